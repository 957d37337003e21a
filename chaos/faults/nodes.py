"""Real nodes of one cluster: configuration, start, signals, what they say of themselves."""
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import uuid

from common import Environment, Violation, wait_for

RECOVERY_S = 60  # after the last fault healed, everything must be well again within this
OPERATOR = "chaos@example.com"


class Node:
    def __init__(self, cluster, number):
        self.cluster, self.number, self.name = cluster, number, f"n{number}"
        self.folder = cluster.folder / self.name
        self.data = self.folder / "data"
        self.log_path = self.folder / "log"
        self.process = None
        self.expected_end = False  # a fault ended it, or knows that it may end
        self.prefix, self.environment = [], {}
        host, port = cluster.world.api(number)
        self.api, self.url = (host, port), f"http://{host}:{port}"
        self.wire = cluster.world.wire(number)

    def configure(self, bootstrap=False, alone=False):
        self.folder.mkdir(parents=True, exist_ok=True)
        others = "".join(f"  - {n.url}\n" for n in self.cluster.nodes if n is not self and not alone)
        (self.folder / "config.yaml").write_text(
            f"name: {self.name}\ndata_dir: {self.data}\ninsecure: true\n"
            f"api:\n  listen: {self.api[0]}:{self.api[1]}\nwire:\n  listen: {self.wire[0]}:{self.wire[1]}\n"
            + ("bootstrap: true\n" if bootstrap else "") + (f"join:\n{others}" if others else "") + self.cluster.settings)

    def start(self):
        if self.alive():
            raise AssertionError(f"{self.name} runs already")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [*self.cluster.world.prefix(self.number), *self.prefix, str(self.cluster.program), "--config",
                 str(self.folder / "config.yaml")],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=dict(os.environ, **self.environment))
        self.expected_end = False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def send(self, number):
        if self.alive():
            self.process.send_signal(number)

    def end(self, number=signal.SIGKILL):
        """Ends it and waits for that; its exit code, None when it did not run."""
        if not self.alive():
            return None
        self.expected_end = True
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(number)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired as error:
            raise Violation(f"{self.name} did not end within 60 s of signal {number}") from error

    def log(self, since=0):
        with open(self.log_path, "rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def log_size(self):
        return self.log_path.stat().st_size if self.log_path.exists() else 0

    def ask(self, method, path, body=None, key=None, timeout_s=5):
        """(status, JSON), or None when there was no answer."""
        connection = http.client.HTTPConnection(*self.api, timeout=timeout_s)
        headers = {"X-Autonomy-Operator": OPERATOR}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if key:
            headers["Idempotency-Key"] = key
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body), headers=headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def status(self, timeout_s=1):
        answer = self.ask("GET", "/v1/ha/status", timeout_s=timeout_s) if self.alive() else None
        return answer[1] if answer and answer[0] == 200 else None

    def node_id(self):
        """The id under which it ran last."""
        ids = re.findall(r"node started .*node=([0-9a-f]{16})", self.log())
        return ids[-1] if ids else None


class Cluster:
    def __init__(self, world, folder, program, count, settings):
        self.world, self.folder, self.program, self.settings = world, folder, program, settings
        self.nodes = []
        for number in range(1, count + 1):
            world.add(number)
            self.nodes.append(Node(self, number))
        self.statuses = {}  # name: (time, status), by the watcher
        self.stopping = threading.Event()

    def start(self):
        for node in self.nodes:
            node.configure(bootstrap=node.number == 1)
            node.start()
        self.wait_well("the start", 60)

    def find_leader(self):
        """The write-ready node of the highest term that answers now."""
        best = None
        for node in self.nodes:
            status = node.status()
            if status and status["write_ready"] and (best is None or status["term"] > best[0]):
                best = (status["term"], node)
        return best[1] if best else None

    def leader(self, patience_s=RECOVERY_S):
        return wait_for("a write-ready leader", self.find_leader, patience_s)

    def well(self):
        """A leader that has every node as a voter in contact, and a write that passes."""
        for node in self.nodes:
            if not node.alive():
                if node.expected_end:
                    return None
                raise Violation(f"{node.name} ended by itself (exit {node.process.returncode}): {node.log()[-400:]}")
        leader = self.find_leader()
        status = leader and leader.status()
        if not status:
            return None
        voters = {m["name"] for m in status["members"] if m["role"] == "voter" and m["reachable"]}
        return leader if {n.name for n in self.nodes} <= voters else None

    def wait_well(self, after, patience_s=RECOVERY_S):
        try:
            return wait_for(f"every node a voter in contact after {after}", self.well, patience_s)
        except Violation as violation:
            leader = self.find_leader()
            seen = leader and [(m["name"], m["role"], m["reachable"]) for m in (leader.status() or {}).get("members", [])]
            raise Violation(f"{violation}; leader {leader and leader.name} sees {seen}") from violation

    def change(self, method, path, body, patience_s=RECOVERY_S):
        """One change by any node, repeated under one key until its outcome is known."""
        key, end, attempt = uuid.uuid4().hex, time.monotonic() + patience_s, 0
        while time.monotonic() < end:
            node = self.nodes[attempt % len(self.nodes)]
            attempt += 1
            answer = node.ask(method, path, body, key) if node.alive() else None
            # failover_failed is the outcome: under the same key it is the answer for ever.
            if answer and (answer[0] not in (503, 504, 507) or answer[1].get("code") == "failover_failed"):
                return answer
            time.sleep(0.05)
        raise Violation(f"{method} {path} had no outcome within {patience_s} s")

    def wait_equal(self, patience_s=RECOVERY_S):
        """All nodes at one applied index with one digest; (index, digest)."""
        def equal():
            seen = [(s["applied_index"], s["state_digest"]) for n in self.nodes if (s := n.status(5))]
            return seen[0] if len(seen) == len(self.nodes) and len(set(seen)) == 1 else None
        return wait_for("equal digests at one index on all nodes", equal, patience_s)

    def end(self):
        for node in self.nodes:
            if node.alive():
                node.send(signal.SIGCONT)
                node.process.kill()
        for node in self.nodes:
            if node.process:
                node.process.wait()

    def erase_data(self):
        for node in self.nodes:
            for path in [node.data, *node.folder.glob("data.*"), *node.folder.glob("copy*")]:
                shutil.rmtree(path, ignore_errors=True)


def need(program):
    path = shutil.which(program)
    if not path:
        raise Environment(f"{program} is not installed")
    return path
