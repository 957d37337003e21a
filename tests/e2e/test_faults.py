#!/usr/bin/env python3
"""Bad input and faults against real nodes: a clear error each time, and nothing acknowledged is lost."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from harness import BIN, Cluster, Skip, in_parallel, main, wait_for

FLAG = {"type": "string", "default": "d", "safe": "s", "reason": "faults"}


def define(node, key, **more):
    return node.ask("PUT", f"/v1/flags/{key}/definition", FLAG, **more)


def refused_start(node):
    """Starts it, expects it to end; (exit code, what it said)."""
    size = len(node.log())
    node.start()
    code = node.process.wait(60)
    return code, node.log()[size:]


def test_a_follower_answers_everything():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        for follower in cluster.nodes:
            if follower is leader:
                continue
            key = f"via-{follower.name}"
            assert define(follower, key).status == 201
            assert follower.ask("GET", f"/v1/flags/{key}").json()["key"] == key, "a read sees the write before it"
            assert leader.ask("GET", f"/v1/flags/{key}").status == 200
            plan = {"plan_id": f"p-{follower.name}", "artifact": {"name": "a", "version": "1"}, "stages": [{"stage_id": "s", "target": {"percent": 5}, "gates": [{"kind": "manual"}]}]}
            assert follower.ask("POST", "/v1/rollouts?publish=true", plan).status == 201
            assert follower.ask("POST", f"/v1/rollouts/p-{follower.name}/halt", {"reason": "r"}).status == 200
            assert follower.ask("POST", f"/v1/rollouts/p-{follower.name}/recover", {"reason": "r", "strategy": "rollback"}).json()["new_phase"] == "rolled_back"
            terminal = follower.ask("POST", f"/v1/rollouts/p-{follower.name}/recover", {"reason": "r", "strategy": "rollback"})
            assert terminal.status == 409 and terminal.json()["code"] == "plan_terminal" and "rolled_back" in terminal.json()["detail"], terminal
            assert follower.ask("GET", "/v1/health/write-ready").status == 503
            assert follower.ask("GET", "/v1/health/read-ready").status == 200


def test_without_quorum_writes_end_within_their_deadline_and_are_not_lost():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        for node in cluster.nodes:
            if node is not leader:
                node.kill()
        answers = [define(leader, f"lonely{i}", headers={"Idempotency-Key": f"lonely{i}"}) for i in range(3)]
        assert all(a.status in (503, 504) for a in answers), answers
        for a in answers:
            assert a.headers["Content-Type"].startswith("application/problem+json"), a.headers
            assert a.json()["request_id"].startswith("lonely"), a
            if a.status == 503:
                assert "Retry-After" in a.headers
        wait_for("loss of quorum seen", lambda: (leader.ask("GET", "/v1/health/quorum").json())["quorum_health"] == "lost")
        assert leader.ask("GET", "/v1/flags?consistency=stale").status == 200, "stale reads go on"
        assert leader.ask("GET", "/v1/flags").status in (503, 504), "linearizable reads do not"
        assert leader.ask("GET", "/v1/health").status == 200
        for node in cluster.nodes:
            if node is not leader:
                node.start()
        cluster.wait_ready()
        for i in range(3):
            assert define(cluster.wait_leader(), f"lonely{i}", headers={"Idempotency-Key": f"lonely{i}"}).status == 201
        names = lambda: [r["event_name"] for r in cluster.wait_leader().ask("GET", "/v1/audit?category=ha&limit=1000").json()["items"]]
        wait_for("the loss and its end on record", lambda: {"ha.quorum.lost", "ha.quorum.restored"} <= set(names()))


def test_a_write_told_that_nothing_happened_never_happens():
    """The leader and its other follower die under forwarded writes: what this follower then calls refused must stay refused."""
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        follower, third = [n for n in cluster.nodes if n is not leader]
        stop, told, lock = threading.Event(), {}, threading.Lock()

        def writer(w):
            i = 0
            while not stop.is_set():
                key = f"told.{w}.{i}"
                answer = define(follower, key, headers={"Idempotency-Key": key}, timeout_s=40)
                with lock:
                    told[key] = answer.status
                i += 1

        load = threading.Thread(target=lambda: in_parallel(30, writer))
        load.start()
        wait_for("load under way", lambda: len(told) > 200)
        third.process.kill()
        leader.process.kill()
        wait_for("answers without a leader", lambda: sum(1 for s in told.values() if s in (503, 504)) >= 30)
        stop.set()
        load.join()
        for node in (leader, third):
            node.process.wait()
            node.start()
        cluster.wait_ready()
        cluster.wait_equal()
        refused = {k for k, s in told.items() if s == 503}
        done = {k for k in told if follower.ask("GET", f"/v1/flags/{k}").status == 200}
        assert not refused & done, f"{len(refused & done)} writes were refused and happened"
        lost = {k for k, s in told.items() if s in (200, 201)} - done
        assert not lost, f"{len(lost)} acknowledged writes are lost"


def test_data_folder_in_use_names_the_holder_and_touches_nothing():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        run = subprocess.run([str(BIN / "autonomyd"), "--config", str(node.config)], capture_output=True, text=True, timeout=60, check=False)
        assert run.returncode == 3, run
        assert str(node.process.pid) in run.stderr, run.stderr
        assert define(node, "still-here").status == 201


def test_port_in_use_is_said():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        for port in (node.port, node.wire_port):
            node.stop()
            with socket.socket() as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", port))
                taken.listen()
                code, said = refused_start(node)
                assert code == 3 and str(port) in said, (code, said)
        node.start()
        cluster.wait_ready()


def test_damaged_configuration_names_the_line():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        node.stop()
        good = node.config.read_text()
        for bad, expected in (("nonsense: 1\n", "nonsense"), ("election_timeout_ms: 99999999\n", "election_timeout_ms"), ("data_dir: [\n", f"config.yaml:{len(good.splitlines()) + 2}")):
            node.config.write_text(good + bad)
            code, said = refused_start(node)
            assert code == 1 and expected in said, (bad, code, said)
        open_to_all = "0.0.0.0:%d\n  advertise_url: http://example.com:%d" % (node.port, node.port)
        node.config.write_text(good.replace("127.0.0.1:%d" % node.port, open_to_all))
        code, said = refused_start(node)
        assert code == 1 and "insecure: true" in said, (code, said)
        node.config.write_text(good)
        node.start()
        cluster.wait_ready()


def flip_a_byte(path, needle):
    data = bytearray(path.read_bytes())
    at = data.find(needle)
    if at < 0:
        return False
    data[at] ^= 1
    path.write_bytes(data)
    return True


def test_damaged_log_refuses_to_start_and_says_how_to_go_on():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        assert define(leader, "precious-key").status == 201
        cluster.wait_equal()
        victim = next(n for n in cluster.nodes if n is not leader)
        time.sleep(1.5)  # the mark is refreshed every second
        victim.kill()
        hit = [p for p in sorted((victim.data / "log").iterdir()) if p.is_file() and flip_a_byte(p, b"precious-key")]
        assert hit, "the entry is in the log's files"
        code, said = refused_start(victim)
        assert code == 1, (code, said)
        assert "mv " in said and "log" in said, said
        assert leader.ask("GET", "/v1/flags/precious-key").status == 200, "the others go on"


def test_log_that_lost_its_end_refuses_to_start():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        for i in range(20):
            assert define(leader, f"tail{i}").status == 201
        cluster.wait_equal()
        time.sleep(1.5)
        victim = next(n for n in cluster.nodes if n is not leader)
        victim.kill()
        wal = max((p for p in (victim.data / "log").iterdir() if p.suffix == ".log"), key=lambda p: p.stat().st_size)
        os.truncate(wal, wal.stat().st_size // 2)
        code, said = refused_start(victim)
        assert code == 1 and "mark" in said, (code, said)


def test_damaged_store_refuses_to_start_or_is_rebuilt_but_never_serves_wrong_data():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        assert define(node, "stored-key").status == 201
        node.stop()
        state = next(node.data.glob("state.*"))
        hit = [p for p in sorted(state.glob("*.sst")) if flip_a_byte(p, b"stored-key")]
        assert hit, "a graceful stop flushed the store"
        node.start()
        try:
            code = node.process.wait(5)
            assert code in (1, 70), code
            assert "state" in node.log(), node.log()[-2000:]
        except subprocess.TimeoutExpired:
            answer = node.ask("GET", "/v1/flags/stored-key")
            assert answer.status >= 500, answer


def test_full_disk_refuses_writes_keeps_reads_and_recovers():
    mount = pathlib.Path(tempfile.mkdtemp(prefix="autonomy-full-"))
    run = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(mount)], capture_output=True, text=True, check=False)
    if run.returncode:
        mount.rmdir()
        raise Skip(f"a small file system can't be mounted here: {run.stderr.strip()}")
    try:
        with Cluster(1, folder=mount / "cluster", extra="reserve_bytes: 33554432\n") as cluster:
            node = cluster.nodes[0]
            assert define(node, "before").status == 201
            filler = fill(mount)
            acknowledged, refused = [], wait_full(node)
            acknowledged += refused[1]
            assert refused[0].status == 507, refused[0]
            assert refused[0].json()["code"] == "disk_full" or "space" in refused[0].json()["detail"], refused[0]
            assert node.ask("GET", "/v1/flags/before").status == 200, "reads go on"
            filler.unlink()
            wait_for("writes to resume by themselves", lambda: define(node, "after").status in (200, 201))
            node.kill()
            node.start()
            cluster.wait_ready()
            for key in ["before", "after", *acknowledged]:
                assert node.ask("GET", f"/v1/flags/{key}").status == 200, key
    finally:
        subprocess.run(["umount", str(mount)], check=False)
        mount.rmdir()


def fill(folder):
    """Until nothing more goes into its file system. The file."""
    filler = folder / "filler"
    with open(filler, "wb") as f:
        try:
            while True:
                f.write(b"\0" * (1 << 20))
                f.flush()
        except OSError:
            pass
    return filler


def test_leader_with_a_full_disk_hands_over_and_the_cluster_writes_on():
    cluster = Cluster(3, extra="reserve_bytes: 33554432\n")
    node = cluster.nodes[0]
    run = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", str(node.folder)], capture_output=True, text=True, check=False)
    if run.returncode:
        shutil.rmtree(cluster.folder)
        raise Skip(f"a small file system can't be mounted here: {run.stderr.strip()}")
    try:
        node.configure("reserve_bytes: 33554432\n")
        with cluster:
            if cluster.wait_leader() is not node:
                wait_for("its office", lambda: cluster.wait_leader().ask("POST", "/v1/ha/failover", {"reason": "test", "target_node": node.name}).status == 200)
            assert define(cluster.wait_leader(), "before").status == 201
            filler = fill(node.folder)
            leader = cluster.wait_leader(other_than=node)
            assert define(leader, "meanwhile").status == 201, "two of three have space"
            refused = define(node, "refused", timeout_s=10)
            assert refused.status == 507, refused
            assert node.ask("GET", "/v1/flags/before?consistency=stale").status == 200
            assert "the disk is full" in node.log()
            filler.unlink()
            wait_for("the full one to take writes again", lambda: define(node, "after").status in (200, 201))
            cluster.wait_equal()
            for key in ("before", "meanwhile", "after"):
                assert leader.ask("GET", f"/v1/flags/{key}").status == 200, key
            assert leader.ask("GET", "/v1/flags/refused").status == 404, "what was refused did not happen"
    finally:
        subprocess.run(["umount", str(node.folder)], check=False)
        shutil.rmtree(cluster.folder, ignore_errors=True)


def wait_full(node):
    """Writes until one is refused for want of space. One that was under way as the disk filled up may be unknown: it can still happen."""
    acknowledged = []
    for i in range(5000):
        answer = define(node, f"full{i}")
        if answer.status in (200, 201):
            acknowledged.append(f"full{i}")
        elif answer.status != 504:
            return answer, acknowledged
    raise AssertionError("five thousand writes fitted on a full disk")


def test_paused_leader_serves_no_stale_linearizable_read_when_it_wakes():
    with Cluster(3) as cluster:
        old = cluster.wait_leader()
        assert define(old, "register").status == 201
        old.kill(signal.SIGSTOP)
        try:
            new = cluster.wait_leader(other_than=old)
            assert new.ask("PUT", "/v1/flags/register", {"value": "new", "reason": "while paused"}).status == 200
            answers = []
            reader = threading.Thread(target=lambda: answers.append(old.ask("GET", "/v1/flags/register", timeout_s=60)))
            reader.start()
            time.sleep(0.2)
        finally:
            old.kill(signal.SIGCONT)
        reader.join()
        if answers[0].status == 200:
            assert answers[0].json()["value"] == "new", answers[0]
        else:
            assert answers[0].status in (503, 504), answers[0]
        cluster.wait_ready()
        cluster.wait_equal()


def test_malformed_and_foreign_bytes_on_the_wire_port_hurt_nobody():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        term = leader.status()["term"]
        for payload in (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\xff" * 64, b"\x00" * 64, b"\x00\x00\x00\x08" + os.urandom(12)):
            for node in cluster.nodes:
                with socket.create_connection(("127.0.0.1", node.wire_port), timeout=10) as s:
                    s.sendall(payload)
        assert define(leader, "unhurt").status == 201
        assert leader.status()["term"] == term, "strangers raise no term"
        assert all(n.process.poll() is None for n in cluster.nodes)


def test_slow_client_is_cut_off_and_others_are_served():
    with Cluster(1, extra="") as cluster:
        node = cluster.nodes[0]
        slow = [socket.create_connection(("127.0.0.1", node.port), timeout=60) for _ in range(20)]
        for s in slow:
            s.sendall(b"POST /v1/rollouts HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert define(node, "quick").status == 201
        for s in slow:
            s.settimeout(60)
            while s.recv(4096):  # an answer may come first; then the connection ends
                pass
            s.close()


main(globals())
