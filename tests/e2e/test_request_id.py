#!/usr/bin/env python3
"""The same request id, sent twice, has one effect and one answer: across nodes, a leader change and a restart of all."""
from harness import Cluster, main

PLAN = {"plan_id": "once", "artifact": {"name": "checkout", "version": "2.4.1", "previous_version": "2.4.0"},
        "stages": [{"stage_id": "canary", "target": {"percent": 5}, "gates": [{"kind": "manual"}]}], "reason": "once"}


def same(first, second):
    assert first.status == second.status, (first, second)
    assert first.json() == second.json(), (first.json(), second.json())
    assert first.headers["X-Autonomy-Index"] == second.headers["X-Autonomy-Index"]


def records(node, request_id):
    items = node.ask("GET", "/v1/audit?limit=1000").json()["items"]
    return [r for r in items if r["request_id"] == request_id]


def test_same_request_id_across_a_leader_change_has_one_effect_and_one_answer():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        headers = {"Idempotency-Key": "the-one"}
        first = leader.ask("POST", "/v1/rollouts?publish=true", PLAN, headers)
        assert first.status == 201, first
        before = records(leader, "the-one")
        leader.kill()
        successor = cluster.wait_leader(other_than=leader)
        second = successor.ask("POST", "/v1/rollouts?publish=true", PLAN, headers)
        same(first, second)
        follower = next(n for n in cluster.nodes if n not in (leader, successor))
        same(first, follower.ask("POST", "/v1/rollouts?publish=true", PLAN, headers))
        assert records(successor, "the-one") == before, "a repeat left a record"
        leader.start()
        cluster.wait_ready()
        same(first, leader.ask("POST", "/v1/rollouts?publish=true", PLAN, headers))


def test_same_request_id_with_another_body_is_refused():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        headers = {"Idempotency-Key": "reused"}
        assert node.ask("POST", "/v1/rollouts", PLAN, headers).status == 201
        answer = node.ask("POST", "/v1/rollouts", dict(PLAN, plan_id="other"), headers)
        assert answer.status == 422 and answer.json()["code"] == "request_reused", answer
        assert node.ask("GET", "/v1/rollouts/other").status == 404


def test_refusal_is_remembered_too():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        first = node.ask("POST", "/v1/rollouts/once/halt", {"reason": "r"}, {"Idempotency-Key": "early"})
        assert first.status == 404, first
        assert node.ask("POST", "/v1/rollouts?publish=true", PLAN).status == 201
        again = node.ask("POST", "/v1/rollouts/once/halt", {"reason": "r"}, {"Idempotency-Key": "early"})
        assert again.status == 404, "a retry must get the first answer"


main(globals())
