"""One chaos run: a cluster, clients, faults in turn and together, the last reads, the verdict."""
import http.client
import json
import pathlib
import random
import shutil
import subprocess
import threading
import time
import traceback
from contextlib import contextmanager, nullcontext

import world
from catalog import FAULTS
from common import Environment, Violation, now_us, wait_for
from nodes import Cluster, OPERATOR

POLL_S = 0.2
RECOVERY_BOUND_S = 5  # changes are acknowledged again so soon after the last fault
QUIET_S = (0.5, 2.5)  # between two faults
MIXED = 0.4           # so often two faults at once


class Run:
    def __init__(self, arguments, where):
        self.arguments, self.world = arguments, where
        self.out = pathlib.Path(arguments.out)
        self.bin = pathlib.Path(arguments.bin)
        self.rng = random.Random(arguments.seed)
        self.local = threading.local()
        self.lock = threading.Lock()        # of the history and of what is taken
        self.network = threading.Lock()     # one fault of the network at a time
        self.taken = set()
        self.faults, self.violations, self.notes, self.detections, self.failures = [], [], [], [], []
        self.spare_number = None
        self.quota = None
        self.stopping = threading.Event()
        self.history = open(self.out / "history-faults.jsonl", "w", encoding="ascii")
        self.cluster = Cluster(where, self.out / "nodes", self.bin / "autonomyd", arguments.nodes, self._settings())
        self.clients = None

    def _settings(self):
        """Each seed draws its own configuration; small snapshots, so that state transfers happen."""
        choice = self.rng.choice
        return (f"snapshot_entries: {choice((500, 2000, 8000))}\ntrailing_entries: {choice((50, 200, 1000))}\n"
                f"reserve_bytes: 16MiB\naudit:\n  segment_bytes: {choice(('256KiB', '4MiB'))}\n")

    # --- what faults use ---

    def random(self):
        """Of the fault that this thread makes: two at once don't disturb each other's choices."""
        return getattr(self.local, "random", self.rng)

    def hold(self, least_s, most_s):
        self.pause(self.random().uniform(least_s, most_s))

    def pause(self, seconds):
        if self.stopping.wait(seconds):
            raise KeyboardInterrupt

    @contextmanager
    def take(self, leader=False):
        """A node for one fault alone."""
        node = None
        while node is None:
            wanted = self.cluster.leader() if leader else None
            with self.lock:
                free = [n for n in self.cluster.nodes if n.name not in self.taken]
                node = wanted if wanted in free else None if leader else self.random().choice(free) if free else None
                if node:
                    self.taken.add(node.name)
            if node is None:
                self.pause(0.1)
        try:
            yield node
        finally:
            with self.lock:
                self.taken.discard(node.name)

    @contextmanager
    def fault(self, name, *nodes):
        record = {"type": "fault", "name": name, "begin_ns": now_us() * 1000}
        if nodes:
            record["node"] = ",".join(n.name for n in nodes)
        self.say(f"{name} {record.get('node', '')}")
        try:
            yield record
        finally:
            record["end_ns"] = now_us() * 1000
            self.write(record)
            self.faults.append(record)

    def violation(self, text):
        self.say(f"VIOLATION: {text}")
        self.violations.append(text)

    def detected(self, what):
        self.say(f"  detected: {what}")
        self.detections.append(what)

    def spare(self):
        """The number of one more place to run a node at."""
        if not self.spare_number:
            self.spare_number = len(self.cluster.nodes) + 1
            self.world.add(self.spare_number)
        return self.spare_number

    def revive(self, node):
        """Starts it again, as a supervisor does, should it have ended with a status that asks for that."""
        if not node.alive():
            code = node.process.returncode
            if code not in (3, 70):
                self.violation(f"{node.name} ended with {code}: {node.log()[-600:]}")
            node.start()
        node.expected_end = False

    def rejoin(self, node):
        """The documented way for a node whose folder can't be used: away with it, out with the old id, in with a new one."""
        old_id = node.node_id()
        aside = node.folder / f"data.{time.monotonic_ns()}"
        if node.data.exists():
            node.data.rename(aside)
        since = node.log_size()
        node.start()
        wait_for(f"{node.name} to be told how its old name is freed", lambda: "members remove" in node.log(since), 40)

        def removed():
            answer = self.cluster.change("DELETE", f"/v1/ha/members/{node.name}", {"reason": "chaos: its folder is lost"})
            return answer[0] in (200, 404) or None
        wait_for(f"{node.name}'s old id to be taken out", removed, 60)
        self.well_then_erase(node, aside.name)
        if node.node_id() == old_id:
            raise Violation(f"{node.name} came back under its old id {old_id}")

    def well_then_erase(self, node, pattern):
        self.cluster.wait_well(f"{node.name} came back", 120)
        for folder in (node.folder, node.data):
            for path in folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def write(self, record):
        with self.lock:
            self.history.write(json.dumps(record, separators=(",", ":")) + "\n")

    def say(self, text):
        if not self.arguments.quiet:
            print(f"{(now_us() - self.began) / 1e6:7.1f} s  {text}", flush=True)

    def reads_at(self, node):
        """Asks the node, without waiting for answers; the result, called, reads those and says what they were."""
        open_connections = []
        for number in range(8):
            connection = http.client.HTTPConnection(*node.api, timeout=10)
            key = f"{self.arguments.run}-r{number}"
            begin = now_us() * 1000
            try:
                connection.request("GET", f"/v1/flags/{key}", headers={"X-Autonomy-Operator": OPERATOR})
                open_connections.append((number, key, begin, connection))
            except OSError:
                pass

        def collect():
            for number, key, begin, connection in open_connections:
                try:
                    response = connection.getresponse()
                    body = json.loads(response.read())
                except (OSError, http.client.HTTPException, ValueError):
                    continue
                finally:
                    connection.close()
                if response.status == 200:
                    read = {"type": "op", "client": 9000 + number, "kind": "read", "key": key, "node": node.name, "invoke_ns": begin,
                            "complete_ns": now_us() * 1000, "outcome": "ok", "version": body["version"], "index": body["index"]}
                    if body["stored"] is not None:
                        read["value"] = body["stored"]
                    self.write(read)
        return collect

    # --- the run ---

    def missing(self, fault):
        """Why a fault can't be made here; None if it can."""
        for need in fault.needs:
            if need == "namespaces" and not self.world.isolated:
                return "no network namespaces"
            if need == "quota" and (self.quota is None or self.quota.folder is None):
                return "no cgroup for processor time"
            if need not in ("namespaces", "quota") and not (shutil.which(need) or pathlib.Path(need).exists()):
                return f"{need} is not installed"
        return None

    def watch(self, node):
        """Who says that it leads, as it changes."""
        last = None
        while not self.stopping.is_set():
            status = node.status()
            if status and status["role"] == "leader" and (node.name, status["term"]) != last:
                last = (node.name, status["term"])
                self.write({"type": "leader", "time_ns": now_us() * 1000, "node": node.name, "term": status["term"]})
            self.stopping.wait(POLL_S)

    def start_clients(self):
        words = [str(self.bin / "chaos-workload"), "--history", str(self.out / "history-clients.jsonl"), "--run", self.arguments.run,
                 "--seed", str(self.arguments.seed), "--clients", str(self.arguments.clients), "--rate", str(self.arguments.rate)]
        for node in self.cluster.nodes:
            words += ["--node", f"{node.name}={node.api[0]}:{node.api[1]}"]
        with open(self.out / "clients.log", "wb") as log:
            self.clients = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        if self.clients.stdout.readline().strip() != "ready":
            raise Violation(f"the clients could not begin: {(self.out / 'clients.log').read_text()[-400:]}")

    def one(self, fault, number):
        """In a thread of its own or not: makes a fault, and keeps what went wrong with it."""
        self.local.random = random.Random(f"{self.arguments.seed}/{number}")
        try:
            fault.function(self)
        except Violation as violation:
            self.violation(f"{fault.name}: {violation}")
        except Environment as error:
            self.notes.append(f"{fault.name} was not made: {error}")
            self.say(self.notes[-1])
        except Exception:
            self.failures.append(f"{fault.name}: {traceback.format_exc()}")

    def make_faults(self, names, until):
        """Every fault in turn, in an order of the seed's; now and then two at once."""
        bag, number = [], 0
        while time.monotonic() < until:
            if not bag:
                bag = sorted(names)
                self.rng.shuffle(bag)
            fault = FAULTS[bag.pop()]
            partners = [FAULTS[n] for n in bag if fault.goes_with(FAULTS[n])]
            threads = []
            if partners and self.rng.random() < MIXED:
                partner = self.rng.choice(sorted(partners, key=lambda f: f.name))
                bag.remove(partner.name)
                threads = [threading.Thread(target=self.one, args=(partner, number + 1))]
            for thread in threads:
                thread.start()
            self.one(fault, number)
            for thread in threads:
                thread.join()
            number += 2
            healed = time.monotonic()
            self.cluster.wait_well(fault.name)
            for record in self.faults[-1 - len(threads):]:
                record["well_s"] = round(time.monotonic() - healed, 3)
            self.pause(self.rng.uniform(*QUIET_S))

    def drain(self):
        """The clients' last operations and reads; their count."""
        self.say("draining")
        try:
            out, _ = self.clients.communicate("drain\n", timeout=240)
        except subprocess.TimeoutExpired as error:
            self.clients.kill()
            raise Violation("the clients could not end within 240 s") from error
        if self.clients.returncode != 0:
            raise Violation(f"the clients ended with {self.clients.returncode}: {(self.out / 'clients.log').read_text()[-400:]}")
        return out.strip().splitlines()[-1]

    def last_reads(self):
        """Digest, chain and flags of every node, the whole trail of one."""
        index, digest = self.cluster.wait_equal()
        for node in self.cluster.nodes:
            answer = node.ask("GET", "/v1/audit/verify?consistency=stale", timeout_s=120)
            if answer is None:
                raise Violation(f"{node.name} doesn't answer at the end")
            status, verified = answer
            self.write({"type": "final", "node": node.name, "index": index, "digest": digest,
                        "chain_valid": status == 200 and verified["valid"]})
            for flag in pages(node, "/v1/flags?consistency=stale"):
                if flag["key"].startswith((f"{self.arguments.run}-r", f"{self.arguments.run}-a")):
                    state = {"type": "state", "node": node.name, "key": flag["key"], "version": flag["version"]}
                    if isinstance(flag["stored"], int) and not isinstance(flag["stored"], bool):
                        state["value"] = flag["stored"]
                    self.write(state)
        for record in pages(self.cluster.nodes[0], "/v1/audit?order=asc"):
            line = {"type": "audit", "seq": record["seq"], "index": record["index"], "event": record["event_name"],
                    "category": record["category"], "success": record["outcome"] == "success"}
            for name in ("request", "resource"):
                value = record["request_id" if name == "request" else name]
                if value:
                    line[name] = value
            self.write(line)

    def go(self):
        """The whole run; the clients' count of operations."""
        self.began = now_us()
        self.quota = world.Quota()
        names = [n for n in self.arguments.fault_names if not self._left_out(n)]
        if not names:
            raise Environment("none of the wanted faults can be made here")
        self.say(f"{len(self.cluster.nodes)} nodes, seed {self.arguments.seed}, {len(names)} kinds of faults")
        self.cluster.start()
        for node in self.cluster.nodes:
            threading.Thread(target=self.watch, args=(node,), daemon=True).start()
        self.start_clients()
        self.pause(1)
        self.make_faults(names, time.monotonic() + self.arguments.minutes * 60)
        last = now_us()
        self.cluster.wait_well("the last fault")
        self.pause(RECOVERY_BOUND_S)
        end = now_us()
        count = self.drain()
        self.cluster.wait_well("the drain")
        self.last_reads()
        self.write({"type": "history", "about": f"{len(self.cluster.nodes)} nodes, {self.arguments.minutes:g} minutes, seed {self.arguments.seed}",
                    "request_prefix": f"{self.arguments.run}-", "audit_complete": True,
                    "recovery_ns": RECOVERY_BOUND_S * 10**9, "end_ns": end * 1000})
        self.say(f"last fault healed {(end - last) / 1e6:.1f} s before the clients stopped")
        return count

    def _left_out(self, name):
        why = self.missing(FAULTS[name])
        if why:
            self.notes.append(f"{name} is left out: {why}")
            self.say(self.notes[-1])
        return why

    def close(self):
        self.stopping.set()
        if self.clients and self.clients.poll() is None:
            self.clients.kill()
            self.clients.wait()
        self.cluster.end()
        if self.quota:
            self.quota.close()
        self.history.close()

    def join_history(self):
        """One file, the clients' lines first: `register` and `follower` come before what refers to them."""
        with open(self.out / "history.jsonl", "wb") as whole:
            for part in ("history-clients.jsonl", "history-faults.jsonl"):
                path = self.out / part
                if path.exists():
                    with open(path, "rb") as source:
                        whole.writelines(line for line in source if line.endswith(b"\n"))  # a killed writer's last one may be cut
                    path.unlink()


def pages(node, path):
    """All rows of a list."""
    cursor = ""
    while True:
        answer = node.ask("GET", f"{path}{'&' if '?' in path else '?'}limit=1000{cursor and '&cursor=' + cursor}", timeout_s=60)
        if not answer or answer[0] != 200:
            raise Violation(f"{node.name} answered {path} with {answer and answer[0]}")
        yield from answer[1]["items"]
        if not answer[1].get("next_cursor"):
            return
        cursor = answer[1]["next_cursor"]
