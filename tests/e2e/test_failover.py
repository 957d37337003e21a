#!/usr/bin/env python3
"""Handing leadership over under load fails no write of a client that follows; the gaps are printed."""
import json
import signal
import threading
import time

from harness import Cluster, cli, cli_env, main

ROUNDS = 20


def test_twenty_failovers_under_load_fail_no_write():
    with Cluster(3) as cluster:
        stop, failures, times = threading.Event(), [], []

        def writer(w):
            client, i = cluster.client(), 0
            while not stop.is_set():
                answer = client.change("PUT", f"/v1/flags/load.{w}.{i}/definition",
                                       {"type": "bool", "default": False, "safe": False, "reason": "load"}, start=w)
                times.append(time.monotonic())
                if answer.status not in (200, 201):
                    failures.append(answer)
                i += 1
                time.sleep(0.01)

        threads = [threading.Thread(target=writer, args=(w,)) for w in range(4)]
        for thread in threads:
            thread.start()
        gaps, holders, epochs = [], [], []
        try:
            for number in range(ROUNDS):
                run = cli(cli_env(cluster), "ha", "failover", "trigger", "--operator", "oncall@example.com", "--reason",
                          f"drill {number}", "--output", "json")
                answer = json.loads(run.stdout)
                assert answer["success"] is True, answer
                assert answer["new_holder"] != answer["previous_holder"], answer
                assert answer["new_epoch"] > answer["previous_epoch"], answer
                assert isinstance(answer["write_gap_ms"], int), answer
                gaps.append(answer["write_gap_ms"])
                holders.append(answer["new_holder"])
                epochs.append(answer["new_epoch"])
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert not failures, failures[:3]
        assert epochs == sorted(set(epochs)), "epochs rise"
        gaps.sort()
        print(f"failover: {ROUNDS} rounds, {len(times)} writes, 0 failed; write gap ms p50 {gaps[len(gaps) // 2]}, max {gaps[-1]}")
        cluster.wait_equal()
        leaders = [n for n, s in cluster.statuses().items() if s["write_ready"]]
        assert len(leaders) == 1, leaders


def test_failover_leaves_its_records_and_closes_the_epoch():
    with Cluster(3) as cluster:
        old = cluster.wait_leader()
        answer = old.ask("POST", "/v1/ha/failover", {"reason": "records"})
        assert answer.status == 200, answer
        new = cluster.wait_leader(other_than=old)
        items = new.ask("GET", "/v1/audit?category=ha&limit=1000").json()["items"]
        names = [r["event_name"] for r in items]
        assert "ha.failover.triggered" in names and "ha.leader.resigned" in names and "ha.leader.elected" in names, names
        epochs = new.ask("GET", "/v1/ha/epochs").json()["items"]
        assert [e for e in epochs if not e.get("ended_at")] == epochs[:1], "only the newest epoch is open"
        assert epochs[0]["cause"] == "transfer", epochs[0]


def test_failover_of_a_hanging_leader_is_answered_by_its_successor():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        follower = next(n for n in cluster.nodes if n is not leader)
        leader.process.send_signal(signal.SIGSTOP)
        try:  # the one node that is asked passes it on to the leader, which says nothing, and must not wait for it to the end
            answer = follower.ask("POST", "/v1/ha/failover?timeout=50s", {"reason": "it hangs"}, timeout_s=60)
            assert answer.status == 200 and answer.json()["success"], answer
            assert answer.json()["new_holder"] != leader.name, answer
        finally:
            leader.process.send_signal(signal.SIGCONT)
        cluster.wait_equal()


def test_failover_needs_a_reason_and_a_successor():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        assert node.ask("POST", "/v1/ha/failover", {}).status == 422
        answer = node.ask("POST", "/v1/ha/failover", {"reason": "nobody else"})
        assert answer.status == 409, answer
        assert node.status()["write_ready"] is True


main(globals())
