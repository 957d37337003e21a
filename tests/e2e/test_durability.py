#!/usr/bin/env python3
"""The log is synced before a write is acknowledged; a store that lost its memory is rebuilt from the log."""
import json
import re
import shutil
import subprocess

from harness import Cluster, Skip, main, wait_for

FLAG = {"type": "string", "default": "d", "safe": "s", "reason": "durability"}


def trace(node, work):
    """System calls of a running node, in order, while work() runs."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    output = node.folder / "strace"
    tracer = subprocess.Popen(["strace", "-f", "-tt", "-s", "400", "-e", "trace=fsync,fdatasync,sync_file_range,write,writev,sendto,sendmsg",
                               "-o", str(output), "-p", str(node.process.pid)], stderr=subprocess.PIPE, text=True)
    first = tracer.stderr.readline()
    if "attached" not in first:
        tracer.kill()
        tracer.wait()
        raise Skip(f"strace can't attach: {first.strip()}")
    try:
        work()
    finally:
        tracer.terminate()
        tracer.wait(30)
        tracer.stderr.close()
    return output.read_text(errors="replace").splitlines()


def test_a_write_is_synced_before_it_is_acknowledged():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        # the state's own folder has no WAL, so every .log write and sync is the raft log's
        lines = trace(node, lambda: node.ask("PUT", "/v1/flags/traced-by-name/definition", FLAG, {"Idempotency-Key": "traced-by-id"}))
        written = next(i for i, l in enumerate(lines) if "write(" in l and "traced-by-name" in l)
        answered = next(i for i, l in enumerate(lines) if re.search(r"HTTP/1\.1 20[01]", l))
        # a sync begun after the write and ended before the answer; strace splits a call in two when threads interleave
        syncs = [i for i, l in enumerate(lines) if re.search(r"(fdatasync|fsync|sync_file_range)(\(\d+.*| resumed>.*)= 0$", l)]
        assert any(written < i < answered for i in syncs), "\n".join(lines[max(0, written - 3):answered + 1])


def test_killed_store_is_rebuilt_from_the_log():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        for i in range(50):
            assert node.ask("PUT", f"/v1/flags/k{i}/definition", FLAG).status in (200, 201)
        before = node.status()
        node.kill()
        node.start()
        cluster.wait_ready()
        status = wait_for("the log applied", lambda: (s := node.status()) and s["applied_index"] > before["applied_index"] and s)
        assert status["commit_index"] - status["applied_index"] <= 1, status
        for i in range(50):
            assert node.ask("GET", f"/v1/flags/k{i}").status == 200


def test_graceful_stop_and_restart_of_all_keeps_everything():
    with Cluster(3) as cluster:
        node = cluster.wait_leader()
        assert node.ask("PUT", "/v1/flags/kept/definition", FLAG).status in (200, 201)
        assert [n.stop() for n in cluster.nodes] == [0, 0, 0]
        for n in cluster.nodes:
            n.start()
        cluster.wait_ready()
        assert cluster.nodes[0].ask("GET", "/v1/flags/kept").status == 200
        cluster.wait_equal()


def test_a_follower_behind_the_logs_tail_fetches_a_checkpoint():
    with Cluster(3, extra="snapshot_entries: 64\ntrailing_entries: 16\n") as cluster:
        leader = cluster.wait_leader()
        follower = next(n for n in cluster.nodes if n is not leader)
        follower.kill()
        for i in range(400):
            assert leader.ask("PUT", f"/v1/flags/far{i}/definition", FLAG).status in (200, 201)
        wait_for("a snapshot", lambda: leader.status().get("snapshot_index", 0) > 300)
        follower.start()
        cluster.wait_ready()
        cluster.wait_equal()
        assert follower.ask("GET", "/v1/flags/far399?consistency=stale").status == 200
        assert "state installed" in follower.log()
        wait_for("the replaced store to go", lambda: len(list(follower.data.glob("state.*"))) == 1)
        def mirrored():
            return [json.loads(line)["seq"] for p in sorted((follower.data / "audit").glob("*.jsonl")) for line in p.read_text().splitlines()]
        wait_for("the mirror to have every record once, in order",
                 lambda: mirrored() == list(range(1, leader.ask("GET", "/v1/audit/verify").json()["records"] + 1)))


main(globals())
