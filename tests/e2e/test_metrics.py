#!/usr/bin/env python3
"""/metrics is what Prometheus reads, its numbers move with what happens, and the dashboard and the alerts use only what is there."""
import json
import pathlib
import re
import tempfile

from harness import ROOT, Cluster, main, wait_for
from promtool import promtool

METRICS = ROOT / "docs/metrics"
PLAN = {"plan_id": "p", "artifact": {"name": "checkout", "version": "2.4.1"},
        "stages": [{"stage_id": "canary", "target": {"percent": 5}, "gates": [{"kind": "manual"}]}], "reason": "r"}


def text(node):
    answer = node.ask("GET", "/metrics")
    assert answer.status == 200, answer
    kind = {name.lower(): value for name, value in answer.headers.items()}["content-type"]
    assert kind == "text/plain; version=0.0.4; charset=utf-8", kind
    return answer.body.decode()


def samples(node):
    """{name{labels}: number} of every sample."""
    found = {}
    for line in text(node).splitlines():
        if not line.startswith("#"):
            series, value = line.rsplit(" ", 1)
            assert series not in found, f"{series} is there twice"
            found[series] = float(value)
    return found


def requests(method, route, code):
    return f'autonomy_http_requests_total{{method="{method}",route="{route}",code="{code}"}}'


def names():
    page = (ROOT / "docs/reference/metrics.md").read_text()
    rows = dict(re.findall(r"^\| `(autonomy_\w+)` \| (\w+) \|", page, re.M))
    assert len(rows) > 50, rows
    return rows


def unknown_names(expressions):
    rows, seen = names(), set()
    for expression in expressions:
        for name in re.findall(r"\bautonomy_\w+", expression):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            seen.add(name)
            if name not in rows and rows.get(base) != "histogram":
                yield name
    assert len(seen) > 5, "too few metrics were looked at"


def test_promtool_accepts_every_node():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        assert leader.ask("POST", "/v1/rollouts?publish=true", PLAN).status == 201
        pages = [text(node) for node in cluster.nodes]
        for page in pages:
            for name, kind in names().items():
                assert f"# TYPE {name} {kind}\n" in page, f"{name} is missing"
        for page in pages:
            said = promtool("check", "metrics", stdin=page)
            assert not said.strip(), said


def test_counters_move_with_requests():
    with Cluster(1) as cluster:
        node = cluster.wait_leader()
        before = samples(node)
        assert node.ask("POST", "/v1/rollouts?publish=true", PLAN).status == 201
        assert node.ask("POST", "/v1/rollouts/nothing/halt", {"reason": "r"}).status == 404
        for _ in range(3):
            assert node.ask("GET", "/v1/rollouts/p").status == 200
        assert node.ask("GET", "/v1/rollouts/absent").status == 404
        assert node.ask("GET", "/nowhere/at/all").status == 404
        assert node.ask("DELETE", "/v1/flags").status == 405

        def moved(series, by):
            return after.get(series, 0) - before.get(series, 0) == by

        def all_counted():
            nonlocal after
            after = samples(node)
            return (moved(requests("POST", "/v1/rollouts", 201), 1)
                    and moved(requests("POST", "/v1/rollouts/{plan_id}/halt", 404), 1)
                    and moved(requests("GET", "/v1/rollouts/{plan_id}", 200), 3)
                    and moved(requests("GET", "/v1/rollouts/{plan_id}", 404), 1)
                    and moved(requests("any", "none", 404), 1) and moved(requests("any", "none", 405), 1)
                    and moved('autonomy_http_request_duration_seconds_count{kind="change"}', 2)
                    and moved('autonomy_http_request_duration_seconds_count{kind="read"}', 4)
                    and after[applied] >= before[applied] + 1  # the node makes changes of its own, too
                    and moved('autonomy_changes_total{outcome="refused"}', 1))

        after, applied = {}, 'autonomy_changes_total{outcome="applied"}'
        wait_for("what was asked to be counted", all_counted, patience_s=20)
        assert after["autonomy_applied_index"] >= before["autonomy_applied_index"] + 2
        assert after["autonomy_audit_seq"] > before["autonomy_audit_seq"]
        assert after["autonomy_proposals_total"] >= before["autonomy_proposals_total"] + 2
        for name in ("log_sync_duration_seconds", "apply_duration_seconds", "group_commands", "loop_turn_duration_seconds"):
            assert after[f"autonomy_{name}_count"] > before[f"autonomy_{name}_count"], name
            assert after[f'autonomy_{name}_bucket{{le="+Inf"}}'] == after[f"autonomy_{name}_count"], name
        for name in ("store_bytes", "log_bytes", "resident_memory_bytes", "open_descriptors", "cpu_seconds_total"):
            assert after[f"autonomy_{name}"] > 0, name
        assert after["autonomy_leader"] == after["autonomy_leader_ready"] == after["autonomy_quorum"] == 1
        assert after['autonomy_quorum_health{state="healthy"}'] == 1


def test_what_a_client_makes_up_is_no_label():
    with Cluster(1) as cluster:
        node = cluster.wait_leader()
        for _ in range(2):
            before = len(samples(node))
        for number in range(50):
            node.ask("GET", f"/v1/flags/made-up-{number}")
            node.ask("GET", f"/made/up/{number}")
            node.ask("PUT", f"/v1/flags/made-up-{number}", {"value": True, "reason": "r"})
        assert len(samples(node)) <= before + 6, "series grow with what clients send"


def test_wire_and_roles_of_a_cluster():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        cluster.wait_ready()
        others = [n for n in cluster.nodes if n is not leader]
        names_of_others = sorted(n.status()["node_id"] for n in others)

        def talks():
            found = samples(leader)
            peers = sorted(re.findall(r'peer="([^"]*)"', " ".join(s for s in found if s.startswith("autonomy_wire_sent_bytes_total"))))
            return peers == names_of_others and all(v > 0 for s, v in found.items() if s.startswith("autonomy_wire_sent_bytes_total"))

        wait_for("the wire to be counted by name", talks)
        before = samples(leader)
        assert before["autonomy_leader"] == 1 and before['autonomy_members{role="voter"}'] == 3, before
        assert all(samples(n)["autonomy_leader"] == 0 for n in others)
        others[0].kill()
        wait_for("degraded", lambda: samples(leader)['autonomy_quorum_health{state="degraded"}'] == 1)
        assert samples(leader)["autonomy_quorum"] == 1
        others[1].kill()
        wait_for("lost", lambda: samples(leader)['autonomy_quorum_health{state="lost"}'] == 1)
        wait_for("not ready", lambda: samples(leader)["autonomy_write_ready"] == 0)


def test_alert_rules_hold():
    promtool("check", "rules", "alerts.yaml", cwd=METRICS)
    promtool("test", "rules", "alerts_test.yaml", cwd=METRICS)


def test_every_alert_is_tested_and_asks_for_what_there_is():
    rules, tests = (METRICS / "alerts.yaml").read_text(), (METRICS / "alerts_test.yaml").read_text()
    alerts = re.findall(r"- alert: (\w+)", rules)
    assert len(alerts) >= 8 and len(set(alerts)) == len(alerts), alerts
    for alert in alerts:
        blocks = re.findall(rf"alertname: {alert}\n(.*?)(?=alertname:|\Z)", tests, re.S)
        assert any("exp_labels" in block for block in blocks), f"{alert} is never seen firing"
        assert any("exp_alerts: []" in block for block in blocks), f"{alert} is never seen silent"
    missing = list(unknown_names(rules.splitlines()))
    assert not missing, missing


def test_dashboard_asks_for_what_there_is():
    board = json.loads((METRICS / "dashboard.json").read_text())
    panels = [p for p in board["panels"] if p["type"] != "row"]
    assert len(panels) >= 12 and len({p["id"] for p in board["panels"]}) == len(board["panels"])
    expressions = [t["expr"] for p in panels for t in p["targets"]]
    missing = list(unknown_names(expressions))
    assert not missing, missing
    with tempfile.TemporaryDirectory() as folder:  # each expression as a rule, so that promtool parses it
        rules = [{"record": f"panel:{i}", "expr": e.replace("$__rate_interval", "5m")} for i, e in enumerate(expressions)]
        path = pathlib.Path(folder) / "rules.yaml"
        path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
        assert f"{len(expressions)} rules found" in promtool("check", "rules", str(path))


main(globals())
