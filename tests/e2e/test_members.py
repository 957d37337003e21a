#!/usr/bin/env python3
"""Nodes that lose their folder, their store or their address come back as members of the one cluster there is."""
import re
import shutil
import signal
import time

from harness import Cluster, cli, cli_env, main, wait_for

FLAG = {"type": "string", "default": "d", "safe": "s", "reason": "members"}
SMALL = "snapshot_entries: 64\ntrailing_entries: 16\n"


def define(node, key):
    answer = node.ask("PUT", f"/v1/flags/{key}/definition", FLAG)
    assert answer.status in (200, 201), answer


def member(node, name):
    status = node.status() or {"members": []}
    return next((m for m in status["members"] if m["name"] == name), None)


def started_as(node):
    """The id under which it ran last."""
    return re.findall(r"node started .*node=([0-9a-f]{16})", node.log())[-1]


def lose_state(node):
    """Moves the store away; the log stays."""
    for path in node.data.glob("state.*"):
        path.rename(node.folder / f"lost-{path.name}")


def test_a_wiped_first_node_founds_no_second_cluster():
    with Cluster(3) as cluster:
        before = cluster.nodes[1].status()["cluster_id"]
        first = cluster.nodes[0]
        first.kill()
        shutil.rmtree(first.data)
        first.start()
        wait_for("the first node to see that there is a cluster", lambda: "a cluster exists" in first.log())
        wait_for("its old name to be held against it", lambda: "not let in yet" in first.log())
        status = first.status()
        assert not status["write_ready"] and status["cluster_id"] in (None, "", before), status
        refused = first.ask("PUT", "/v1/flags/nowhere/definition", FLAG)
        assert refused.status == 503, refused
        define(cluster.wait_leader(), "kept")


def test_two_clusters_that_meet_say_so():
    with Cluster(3) as cluster:
        own = cluster.nodes[1].status()["cluster_id"]
        for node in cluster.nodes:
            node.kill()
        first = cluster.nodes[0]
        shutil.rmtree(first.data)
        first.start()  # nobody is there who could say that there is a cluster
        other = wait_for("a cluster of its own", lambda: (s := first.status()) and s["write_ready"] and s["cluster_id"])
        assert other != own
        cluster.nodes[1].start()
        line = wait_for("an error that names both", lambda: next((l for l in cluster.nodes[1].log().splitlines()
                                                                   if " error wire two clusters meet" in l), None))
        assert own in line and other in line and "go_on=" in line, line


def come_back(cluster, node):
    """A killed node's folder goes, it is removed, and it joins again under its name and address; its old id stays out."""
    node.kill()
    shutil.rmtree(node.data)
    cluster.wait_leader(other_than=node)
    old_id = started_as(node)
    node.start()
    wait_for("the old name to be held against it, with the command that helps",
             lambda: f"autonomy ha members remove {node.name} --reason" in node.log())
    run = cli(cli_env(cluster, AUTONOMY_OPERATOR="oncall@example.com"), "ha", "members", "remove", node.name,
              "--reason", "its disk is lost")
    assert "Member removed" in run.stdout, run.stdout
    wait_for("a voter under the old name",
             lambda: (m := member(cluster.wait_leader(), node.name)) and m["role"] == "voter" and m["reachable"])
    assert started_as(node) != old_id
    records = cluster.wait_leader().ask("GET", "/v1/audit?event_type=ha.member.removed").json()["items"]
    assert [(r["actor"], r["reason"], r["resource"]) for r in records] == [("oncall@example.com", "its disk is lost", node.name)], records
    joiner = {"node_id": int(old_id, 16), "name": "again", "address": "127.0.0.1:9", "url": "http://127.0.0.1:9"}
    refused = cluster.wait_leader().ask("POST", "/v1/ha/members", joiner)
    assert refused.status == 409 and refused.json()["code"] == "member_removed", refused
    cluster.wait_ready()
    cluster.wait_equal()


def test_a_wiped_member_comes_back_under_its_name():
    with Cluster(3) as cluster:
        define(cluster.wait_leader(), "kept")
        come_back(cluster, next(n for n in cluster.nodes if n is not cluster.wait_leader()))


def test_a_wiped_first_node_comes_back_under_its_name():
    with Cluster(3) as cluster:
        before = cluster.nodes[1].status()["cluster_id"]
        define(cluster.wait_leader(), "kept")
        come_back(cluster, cluster.nodes[0])
        assert cluster.nodes[0].status()["cluster_id"] == before
        assert cluster.nodes[0].ask("GET", "/v1/flags/kept").status == 200


def test_removals_that_would_harm_are_refused():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        others = [n for n in cluster.nodes if n is not leader]
        removal = {"reason": "trial"}
        for asked in (leader, others[0]):  # a follower hands it on
            answer = asked.ask("DELETE", f"/v1/ha/members/{leader.name}", removal)
            assert answer.status == 409 and "failover" in answer.json()["detail"], answer
            assert asked.ask("DELETE", "/v1/ha/members/n9", removal).status == 404
            assert asked.ask("DELETE", f"/v1/ha/members/{others[1].name}", {}).status == 422
        others[1].kill()
        wait_for("the leader to miss it", lambda: not member(leader, others[1].name)["reachable"])
        answer = leader.ask("DELETE", f"/v1/ha/members/{others[0].name}", removal)  # a dead voter would be half of two
        assert answer.status == 409 and "majority" in answer.json()["detail"], answer
        key = {"Idempotency-Key": "remove-once"}
        answer = others[0].ask("DELETE", f"/v1/ha/members/{others[1].name}", removal, key)
        assert answer.status == 200 and answer.json()["role"] == "removed", answer
        again = leader.ask("DELETE", f"/v1/ha/members/{others[1].name}", removal, key)
        assert again.status == 200 and again.json()["index"] == answer.json()["index"], (answer, again)
        define(leader, "after")


def test_a_first_node_fetches_a_lost_store():
    with Cluster(3, extra=SMALL) as cluster:
        for i in range(200):
            define(cluster.wait_leader(), f"k{i}")
        first = cluster.nodes[0]
        first.kill()
        lose_state(first)
        first.start()
        cluster.wait_ready()
        cluster.wait_equal()
        assert first.ask("GET", "/v1/flags/k199?consistency=stale").status == 200


def test_a_lost_store_that_nobody_can_give_is_said():
    with Cluster(3, extra=SMALL) as cluster:
        for i in range(200):
            define(cluster.wait_leader(), f"k{i}")
        wait_for("a snapshot", lambda: cluster.nodes[0].status()["snapshot_index"] > 100)
        for node in cluster.nodes:
            node.kill()
        first = cluster.nodes[0]
        lose_state(first)
        first.config.write_text(re.sub(r"join:\n(  - .*\n)*", "", first.config.read_text()))
        first.start()
        wait_for("a line that says so, and how to go on",
                 lambda: re.search(r"no other node is known.*join:", first.log()) and "can't be fetched" in first.log())


def test_a_frozen_source_does_not_hold_the_state_up():
    with Cluster(3, extra=SMALL) as cluster:
        first, second, third = cluster.nodes
        for i in range(200):
            define(cluster.wait_leader(), f"k{i}")
        cluster.wait_equal()
        third.kill()
        lose_state(third)
        # The third knows nobody but those of its `join`, and asks the first of them first.
        first.kill(signal.SIGSTOP)
        began = time.monotonic()
        try:
            third.start()
            wait_for("a write without the frozen node",
                     lambda: second.ask("PUT", "/v1/flags/thawed/definition", FLAG).status in (200, 201), patience_s=30)
            wait_for("the store from the other source",
                     lambda: (s := third.status()) and s["applied_index"] >= second.status()["applied_index"], patience_s=30)
            assert time.monotonic() - began < 30, "a checkpoint that takes its time is given 60 s"
            assert "stopped answering" in third.log()
        finally:
            first.kill(signal.SIGCONT)
        cluster.wait_equal()


def test_an_older_copy_of_a_folder_refuses_to_go_on():
    with Cluster(3) as cluster:
        define(cluster.wait_leader(), "before")
        cluster.wait_equal()
        node = next(n for n in cluster.nodes if n is not cluster.wait_leader())
        node.kill()
        copy = node.folder / "copy"
        shutil.copytree(node.data, copy)
        node.start()
        cluster.wait_ready()
        for i in range(10):
            define(cluster.wait_leader(), f"after{i}")
        cluster.wait_equal()
        time.sleep(0.2)  # the leader notes what is acknowledged with its heartbeats
        node.kill()
        shutil.rmtree(node.data)
        copy.rename(node.data)
        time.sleep(11)  # longer than a silent process keeps another one under its id out
        size = len(node.log())
        node.start()
        assert node.process.wait(60) == 70
        said = node.log()[size:]
        assert "older copy" in said and "ha members remove" in said and "join:" in said, said
        define(cluster.wait_leader(other_than=node), "afterwards")
        come_back(cluster, node)


def test_a_node_with_another_wire_address_is_found_and_says_so():
    with Cluster(3) as cluster:
        node = next(n for n in cluster.nodes if n is not cluster.wait_leader())
        node.stop()
        moved = node.wire_port + 50
        node.config.write_text(node.config.read_text().replace(f"127.0.0.1:{node.wire_port}", f"127.0.0.1:{moved}"))
        node.start()
        cluster.wait_ready()
        cluster.wait_equal()
        line = next(l for l in node.log().splitlines() if "another wire address" in l)
        assert f":{moved}" in line and f":{node.wire_port}" in line and "go_on=" in line, line


main(globals())
