#!/usr/bin/env python3
"""Nodes that lose their folder, their store or their address come back as members of the one cluster there is."""
import re
import shutil
import signal
import time

from harness import Cluster, main, wait_for

FLAG = {"type": "string", "default": "d", "safe": "s", "reason": "members"}
SMALL = "snapshot_entries: 64\ntrailing_entries: 16\n"


def define(node, key):
    answer = node.ask("PUT", f"/v1/flags/{key}/definition", FLAG)
    assert answer.status in (200, 201), answer


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
