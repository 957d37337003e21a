"""kill -9 in the middle of many concurrent writes: every acknowledged write is there once on every node, no refused one is.

Used by test_kills.py (three rounds of each) and by `tools/soak kills --rounds N`.
"""
import http.client
import random
import threading
import time
import uuid

from harness import Cluster, in_parallel, wait_for

WRITERS = 1000  # at once, each with a connection of its own


class Ledger:
    """What the clients were told."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged, self.refused, self.unknown = {}, {}, set()

    def note(self, table, key, value):
        with self.lock:
            table[key] = value

    def count(self):
        with self.lock:
            return len(self.acknowledged)


def write_all(cluster, ledger, tag, resend):
    """WRITERS at once: nine of ten define a flag, the tenth sets its neighbour's under a version that never was."""
    def writer(w):
        key, bad = f"{tag}.{w}", w % 10 == 9
        if bad:
            path, body = f"/v1/flags/{tag}.{w - 1}", {"value": "x", "reason": "kills", "expected_version": 99}
        else:
            path, body = f"/v1/flags/{key}/definition", {"type": "string", "default": "d", "safe": "s", "reason": "kills"}
        send_one(cluster, ledger, key, path, body, uuid.uuid4().hex, bad, random.Random(w), resend)
    in_parallel(WRITERS, writer)


def send_one(cluster, ledger, key, path, body, request_id, bad, rng, resend):
    """Until told how it ended. With `resend` the same request id goes on to the next node; without, an unanswered one is unknown."""
    end = time.monotonic() + 90
    node = rng.randrange(len(cluster.nodes))
    while time.monotonic() < end:
        try:
            answer = cluster.nodes[node].ask("PUT", path, body, {"Idempotency-Key": request_id}, timeout_s=15)
            if answer.status in (200, 201):
                assert not bad, f"a write that must be refused was acknowledged: {answer}"
                return ledger.note(ledger.acknowledged, key, request_id)
            if answer.status not in (503, 504):
                assert bad, f"{key}: {answer}"
                return ledger.note(ledger.refused, key, request_id)
            if answer.status == 504 and not resend:
                break
        except (OSError, http.client.HTTPException):
            if not resend:
                break
        node = (node + 1) % len(cluster.nodes)
        time.sleep(0.02)
    with ledger.lock:
        ledger.unknown.add(key)
    return None


def audit_by_request(node):
    """request id -> records, over HTTP from this node's own state."""
    found = {}
    cursor = None
    while True:
        path = "/v1/audit?consistency=stale&category=flags&limit=1000" + (f"&cursor={cursor}" if cursor else "")
        page = node.ask("GET", path).json()
        for record in page["items"]:
            found.setdefault(record["request_id"], []).append(record)
        cursor = page.get("next_cursor")
        if not cursor:
            return found


def flags_of(node):
    keys, cursor = set(), None
    while True:
        page = node.ask("GET", "/v1/flags?consistency=stale&limit=1000" + (f"&cursor={cursor}" if cursor else "")).json()
        keys |= {f["key"] for f in page["items"]}
        cursor = page.get("next_cursor")
        if not cursor:
            return keys


def check(cluster, ledger, tag):
    cluster.wait_equal()
    for node in cluster.nodes:
        keys, audit = flags_of(node), audit_by_request(node)
        for key, request_id in ledger.acknowledged.items():
            assert key in keys, f"{node.name}: acknowledged {key} is not in the state"
            records = [r for r in audit.get(request_id, []) if r["outcome"] == "success"]
            assert len(records) == 1, f"{node.name}: {key} has {len(records)} audit records"
        for key, request_id in ledger.refused.items():
            assert not [r for r in audit.get(request_id, []) if r["outcome"] == "success"], f"{node.name}: refused {key} happened"
        mine = {k for k in keys if k.startswith(tag + ".")}
        strangers = mine - set(ledger.acknowledged) - ledger.unknown
        assert not strangers, f"{node.name}: {len(strangers)} flags that nobody wrote, {sorted(strangers)[:3]}"
        verify = node.ask("GET", "/v1/audit/verify?consistency=stale").json()
        assert verify["valid"] is True, verify


def round_of(cluster, whom, number, resend):
    """One round: load, kill `whom` ("leader" or "all") somewhere in the middle, restart, check."""
    ledger, tag = Ledger(), f"{whom}{number}"
    load = threading.Thread(target=lambda: write_all(cluster, ledger, tag, resend))
    load.start()
    target = WRITERS * (1 + number % 3) // 5
    wait_for("load under way", lambda: ledger.count() >= target or not load.is_alive())
    victims = [cluster.wait_leader()] if whom == "leader" else list(cluster.nodes)
    for node in victims:
        node.process.kill()
    for node in victims:
        node.process.wait(30)
    for node in victims:
        node.start()
    load.join()
    cluster.wait_ready()
    check(cluster, ledger, tag)
    return len(ledger.acknowledged), len(ledger.refused), len(ledger.unknown)


ROUNDS_PER_CLUSTER = 4  # a cluster holds 4,096 flags


def run(whom, rounds, report=print):
    for first in range(0, rounds, ROUNDS_PER_CLUSTER):
        with Cluster(3) as cluster:
            for number in range(first, min(rounds, first + ROUNDS_PER_CLUSTER)):
                acknowledged, refused, unknown = round_of(cluster, whom, number, resend=number % 2 == 0)
                report(f"kill -9 of {whom}, round {number + 1} of {rounds}: {acknowledged} acknowledged, {refused} refused, "
                       f"{unknown} unknown; all accounted for", flush=True)
                assert acknowledged > 0
