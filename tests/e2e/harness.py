"""Real nodes on loopback for the end-to-end tests: start, kill, ask, and a client that follows the leader.

Standard library only. A test is a function whose name begins with test_; main() runs them all and prints one line each:
`ok - name`, `not ok - name: why`, `skip - name: why`. Every wait has a bound; no assertion is about absolute speed.
"""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("AUTONOMY_BIN", ROOT / "build/dev/bin"))
PATIENCE_S = 60  # for anything that must happen; only a hang takes that long


class Skip(Exception):
    """The environment can't do this; the reason is printed."""


def free_base_port(nodes):
    """A base P whose ports P+1..P+n and P+101..P+100+n are free now, below those that outgoing connections are given."""
    start = (os.getpid() * 211) % 20000
    for base in (10300 + (start + i * 223) % 20000 for i in range(200)):
        try:
            sockets = []
            try:
                for i in range(1, nodes + 1):
                    for port in (base + i, base + 100 + i):
                        s = socket.socket()
                        sockets.append(s)
                        s.bind(("127.0.0.1", port))
                return base
            finally:
                for s in sockets:
                    s.close()
        except OSError:
            continue
    raise Skip("no free ports")


def wait_for(what, condition, patience_s=PATIENCE_S):
    """Polls until condition() is true (and returns that), fails loudly otherwise."""
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {patience_s} s in vain for: {what}")
        time.sleep(0.02)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Node:
    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, f"n{number}"
        self.folder = cluster.folder / self.name
        self.data = self.folder / "data"
        self.config = self.folder / "config.yaml"
        self.port, self.wire_port = cluster.base_port + number, cluster.base_port + 100 + number
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = None
        self.log_path = self.folder / "log"

    def configure(self, extra=""):
        self.folder.mkdir(parents=True, exist_ok=True)
        others = [n.url for n in self.cluster.nodes if n is not self]
        first = "bootstrap: true\n" if self.number == 1 else ""
        if others:
            first += "join:\n" + "".join(f"  - {u}\n" for u in others)
        self.config.write_text(
            f"name: {self.name}\ndata_dir: {self.data}\napi:\n  listen: 127.0.0.1:{self.port}\n"
            f"wire:\n  listen: 127.0.0.1:{self.wire_port}\n" + first + extra)

    def start(self, prefix=(), environment=None):
        assert self.process is None or self.process.poll() is not None
        log = open(self.log_path, "ab")
        env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1", "UBSAN_OPTIONS": "print_stacktrace=1", **(environment or {})}
        self.process = subprocess.Popen([*prefix, str(BIN / "autonomyd"), "--config", str(self.config)], stdout=log, stderr=log,
                                        stdin=subprocess.DEVNULL, env=env)
        log.close()

    def kill(self, sig=signal.SIGKILL):
        if self.process and self.process.poll() is None:
            self.process.send_signal(sig)
            if sig in (signal.SIGKILL, signal.SIGTERM):
                return self.process.wait(PATIENCE_S)
        return None

    def stop(self):
        """Graceful; the exit code."""
        self.kill(signal.SIGTERM)
        return self.process.returncode if self.process else 0

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def ask(self, method, path, body=None, headers=None, timeout_s=30):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            all_headers = {"X-Autonomy-Operator": "tester@example.com"}
            if data is not None:
                all_headers["Content-Type"] = "application/json"
            all_headers.update(headers or {})
            connection.request(method, path, body=data, headers=all_headers)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def status(self):
        try:
            answer = self.ask("GET", "/v1/ha/status", timeout_s=5)
            return answer.json() if answer.status == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None


class Cluster:
    def __init__(self, nodes=3, extra="", folder=None):
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="autonomy-e2e-"))
        self.base_port = free_base_port(nodes)
        self.nodes = []
        for number in range(1, nodes + 1):
            self.nodes.append(Node(self, number))
        for node in self.nodes:
            node.configure(extra)

    def __enter__(self):
        for node in self.nodes:
            node.start()
        try:
            self.wait_ready()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, value, trace):
        for node in self.nodes:
            node.kill()
        reports = [(n.name, n.log()) for n in self.nodes]
        for name, text in reports:
            if "Sanitizer" in text or "runtime error" in text or "check failed" in text:
                print(f"--- {name} ---\n{text[-6000:]}")
                kind = kind or AssertionError
                if value is None:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    raise AssertionError(f"{name} broke a check or met a sanitizer")
        if kind is not None:
            for name, text in reports:
                print(f"--- {name}, last lines ---\n" + "\n".join(text.splitlines()[-25:]))
        shutil.rmtree(self.folder, ignore_errors=True)

    def statuses(self):
        return {n: s for n in self.nodes if (s := n.status())}

    def leader(self):
        """The write-ready node, None while there is none."""
        for node, status in self.statuses().items():
            if status["write_ready"]:
                return node
        return None

    def wait_leader(self, other_than=None):
        return wait_for("a write-ready leader", lambda: (n := self.leader()) is not other_than and n)

    def wait_ready(self):
        """A write-ready leader that sees every living node as a voter in contact."""
        alive = {n.name for n in self.nodes if n.process and n.process.poll() is None}

        def ready():
            for node in self.nodes:
                if node.process and node.process.poll() is not None and node.name in alive:
                    raise AssertionError(f"{node.name} ended with {node.process.returncode}")
            leader = self.leader()
            if not leader:
                return None
            members = (leader.status() or {}).get("members", [])
            up = {m["name"] for m in members if m["role"] == "voter" and m["reachable"]}
            return leader if alive <= up else None

        return wait_for("every node a voter in contact", ready)

    def wait_equal(self):
        """Every living node applied the same index and has the same digest there."""
        def equal():
            seen = {(s["applied_index"], s["state_digest"]) for s in self.statuses().values()}
            alive = sum(1 for n in self.nodes if n.process and n.process.poll() is None)
            return len(seen) == 1 and len(self.statuses()) == alive
        wait_for("equal digests on all nodes", equal)

    def client(self):
        return Client(self)


class Unknown(Exception):
    """The outcome stayed unknown until the client's patience ended."""


class Client:
    """Goes on with the next node, under the same request id, when one does not answer or has no leader."""

    def __init__(self, cluster):
        self.cluster = cluster

    def change(self, method, path, body, key=None, patience_s=PATIENCE_S, start=0):
        key = key or uuid.uuid4().hex
        end = time.monotonic() + patience_s
        attempt = start
        while time.monotonic() < end:
            node = self.cluster.nodes[attempt % len(self.cluster.nodes)]
            attempt += 1
            try:
                answer = node.ask(method, path, body, {"Idempotency-Key": key}, timeout_s=10)
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
                continue
            if answer.status in (503, 504):
                time.sleep(0.02)
                continue
            return answer
        raise Unknown(key)


def cli(cluster_env, *arguments, check=True, timeout_s=60, stdin=None):
    """Runs the autonomy command line; returns the completed process."""
    env = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", ASAN_OPTIONS="detect_leaks=1", **cluster_env)
    run = subprocess.run([str(BIN / "autonomy"), *arguments], env=env, capture_output=True, text=True, timeout=timeout_s,
                         check=False, input=stdin)
    if check and run.returncode != 0:
        raise AssertionError(f"autonomy {' '.join(arguments)}: exit {run.returncode}\n{run.stdout}\n{run.stderr}")
    return run


def cli_env(cluster, **more):
    urls = [n.url for n in cluster.nodes]
    return {"AUTONOMY_ORCHESTRATOR_URL": urls[0], "AUTONOMY_ORCHESTRATOR_FALLBACK_URLS": ",".join(urls[1:]),
            "AUTONOMY_OPERATOR": "oncall@example.com", "AUTONOMY_AUDIT_DIR": str(cluster.nodes[0].data / "audit"),
            "AUTONOMY_ASSUME_YES": "1", "HOME": str(cluster.folder), **more}


def make_records(cluster, count=120):
    """So many audit records, in little time: the newest hundred are never pruned."""
    def work(i):
        for _ in range(count // 8):
            assert cluster.client().change("PUT", "/v1/flags/SANDBOX_MODE", {"value": "none", "reason": "r"}, start=i).status == 200

    in_parallel(8, work)


def in_parallel(count, work):
    """work(i) in `count` threads; the first exception comes out."""
    errors = []

    def guarded(i):
        try:
            work(i)
        except BaseException as error:  # pylint: disable=broad-except
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def main(namespace):
    tests = [(n, f) for n, f in namespace.items() if n.startswith("test_") and callable(f)]
    wanted = sys.argv[1:]
    failed = 0
    ran = 0
    for name, function in tests:
        if wanted and name not in wanted:
            continue
        ran += 1
        try:
            function()
            print(f"ok - {name}", flush=True)
        except Skip as skip:
            print(f"skip - {name}: {skip}", flush=True)
        except BaseException as error:  # pylint: disable=broad-except
            traceback.print_exc()
            failed += 1
            print(f"not ok - {name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}", flush=True)
    if ran == 0:
        print("not ok - no test was run")
        failed = 1
    sys.exit(1 if failed else 0)
