#!/usr/bin/env python3
"""The event stream over real nodes: a follower survives leader kills without a gap or a double, and idle streams cost others nothing."""
import http.client
import json
import os
import resource
import socket
import subprocess
import threading
import time

from harness import BIN, PATIENCE_S, Cluster, cli_env, main, wait_for

KILLS = 3
STREAMS = 2000


class Follower(threading.Thread):
    """Reads events from one node; goes on at the next one with the last id when the stream ends or breaks."""

    def __init__(self, cluster, query=""):
        super().__init__(daemon=True)
        self.cluster, self.query, self.last_id = cluster, query, 0
        self.records, self.nodes, self.ended = [], [], []
        self.leaving = threading.Event()
        self.sock = None
        self.wanted = None  # the node to be at

    def run(self):
        number = 0
        while not self.leaving.is_set():
            node, self.wanted = self.wanted or self.cluster.nodes[number % len(self.cluster.nodes)], None
            number += 1
            try:
                self.follow(node)
            except (OSError, http.client.HTTPException, ValueError, AttributeError):
                time.sleep(0.02)

    def follow(self, node):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=30)
        try:
            connection.request("GET", f"/v1/events{self.query}", headers={"Last-Event-ID": str(self.last_id)})
            sock = connection.sock  # the connection lets go of it when the answer says that it is the last
            response = connection.getresponse()
            if response.status != 200:
                raise http.client.HTTPException(response.status)
            self.nodes.append(node.name)
            self.sock = sock
            self.read(response)
        finally:
            self.sock = None
            connection.close()

    def read(self, response):
        frame = {}
        for line in response:
            text = line.decode().rstrip("\n")
            if text and not text.startswith(":"):
                name, _, value = text.partition(": ")
                frame[name] = value
            elif not text:
                self.take(frame)
                frame = {}
            if self.leaving.is_set():
                return

    def take(self, frame):
        if frame.get("event") in ("end", "overflow"):
            self.ended.append(frame["event"])
        elif "data" in frame:
            record = json.loads(frame["data"])
            assert str(record["seq"]) == frame["id"] and record["event_name"] == frame["event"], frame
            self.records.append(record)
        if "id" in frame:
            self.last_id = int(frame["id"])

    def hang_up(self):
        sock = self.sock
        try:
            if sock:
                sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # it broke by itself meanwhile

    def move_to(self, node):
        if self.nodes[-1] != node.name or not self.sock:
            self.wanted = node
            self.hang_up()
            wait_for(f"the follower at {node.name}", lambda: self.nodes[-1] == node.name and self.sock)

    def leave(self):
        self.leaving.set()
        self.hang_up()
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the follower hangs"


def all_records(node, query=""):
    rows, cursor = [], None
    while True:
        page = node.ask("GET", f"/v1/audit?order=asc&limit=1000{query}" + (f"&cursor={cursor}" if cursor else "")).json()
        rows += page["items"]
        cursor = page["next_cursor"]
        if not cursor:
            return rows


def define(client, key, start=0):
    answer = client.change("PUT", f"/v1/flags/{key}/definition", {"type": "bool", "default": False, "safe": False, "reason": "events"},
                           start=start)
    assert answer.status in (200, 201), answer


def test_a_follower_sees_every_record_once_through_leader_kills():
    with Cluster(3) as cluster:
        everything, flags = Follower(cluster), Follower(cluster, "?category=flags")
        stop, failures, written = threading.Event(), [], []

        def writer(w):
            client, i = cluster.client(), 0
            try:
                while not stop.is_set():
                    define(client, f"events.{w}.{i}", start=w)
                    written.append(i)
                    i += 1
            except BaseException as error:  # pylint: disable=broad-except
                failures.append(error)

        everything.start()
        flags.start()
        writers = [threading.Thread(target=writer, args=(w,)) for w in range(3)]
        for thread in writers:
            thread.start()
        try:
            for _ in range(KILLS):
                leader = cluster.wait_leader()
                everything.move_to(leader)
                before = len(everything.records)
                wait_for("records to pass", lambda b=before: len(everything.records) > b + 20)
                leader.kill()
                cluster.wait_leader(other_than=leader)
                leader.start()
                cluster.wait_ready()
        finally:
            stop.set()
            for thread in writers:
                thread.join()
        assert not failures, failures[:3]
        cluster.wait_equal()
        rows = all_records(cluster.wait_leader())
        wait_for("the follower to catch up", lambda: everything.last_id >= rows[-1]["seq"])
        flag_rows = [r for r in rows if r["category"] == "flags"]
        wait_for("the filtered follower to catch up", lambda: len(flags.records) >= len(flag_rows))
        everything.leave()
        flags.leave()
        assert everything.records[:len(rows)] == rows, "every record, once, in order, as the trail has it"
        assert flags.records[:len(flag_rows)] == flag_rows
        assert len(set(everything.nodes)) > 1 and len(everything.nodes) > KILLS, everything.nodes
        print(f"events: {len(rows)} records, {len(written)} writes, streams at {everything.nodes}")


def test_a_graceful_stop_ends_the_stream_and_the_next_node_goes_on():
    with Cluster(3) as cluster:
        follower = Follower(cluster)
        follower.start()
        wait_for("the first records", lambda: len(follower.records) > 0)
        node = next(n for n in cluster.nodes if n.name == follower.nodes[-1])
        assert node.stop() == 0
        wait_for("the stream's last frame", lambda: follower.ended)
        assert follower.ended == ["end"], follower.ended
        define(cluster.client(), "events.after", start=1)
        wait_for("the record after the stop", lambda: any(r["resource"] == "events.after" for r in list(follower.records)))
        follower.leave()
        seqs = [r["seq"] for r in follower.records]
        assert seqs == list(range(1, len(seqs) + 1)), seqs


def test_the_command_line_goes_on_at_the_next_node():
    with Cluster(3) as cluster:
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", **cli_env(cluster))
        run = subprocess.Popen([str(BIN / "autonomy"), "events", "--since", "0", "--category", "flags", "--limit", "6", "--output", "json"],
                               env=env, stdout=subprocess.PIPE, text=True)
        try:
            client = cluster.client()
            for i in range(3):
                define(client, f"events.cli.{i}")
            first = [json.loads(run.stdout.readline()) for _ in range(3)]
            cluster.nodes[0].kill()  # the one that it reads: the first that was named
            cluster.wait_leader(other_than=cluster.nodes[0])
            for i in range(3, 6):
                define(client, f"events.cli.{i}", start=1)
            rest, _ = run.communicate(timeout=PATIENCE_S)
        finally:
            run.kill()
        assert run.returncode == 0, run.returncode
        records = first + [json.loads(line) for line in rest.splitlines()]
        assert [r["resource"] for r in records] == [f"events.cli.{i}" for i in range(6)], records


def idle_streams(node, count):
    """`count` open streams; from four addresses, since one may open only so many connections."""
    streams = []
    for i in range(count):
        s = socket.socket()
        s.bind((f"127.0.0.{2 + i % 4}", 0))
        s.settimeout(PATIENCE_S)
        s.connect(("127.0.0.1", node.port))
        s.sendall(b"GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")
        streams.append(s)
    for s in streams:
        head = b""
        while b"\nid: " not in head or not head.endswith(b"\r\n"):
            more = s.recv(4096)
            assert more, head
            head += more
        assert b" 200 " in head.split(b"\r\n")[0], head
    return streams


def thread_count(node):
    return len(os.listdir(f"/proc/{node.process.pid}/task"))


def test_two_thousand_idle_streams_leave_others_served():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, STREAMS + 1000)), hard))
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        threads = thread_count(node)
        streams = idle_streams(node, STREAMS)
        try:
            assert thread_count(node) <= threads, "a stream has no thread of its own"
            define(cluster.client(), "events.idle")
            assert node.ask("GET", "/v1/flags/events.idle").status == 200
            assert node.ask("GET", "/v1/health").status == 200
            for s in streams:
                got = b""
                while b"events.idle" not in got:
                    more = s.recv(65536)
                    assert more, got
                    got += more
            define(cluster.client(), "events.idle.again")
        finally:
            for s in streams:
                s.close()
        assert node.stop() == 0


main(globals())
