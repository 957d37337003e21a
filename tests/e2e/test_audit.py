#!/usr/bin/env python3
"""The audit trail for scripts: csv as Python reads it, the two files that the kill-switch runbook's queries read, online and offline;
an export that goes on when the node it reads from is killed.
"""
import csv
import io
import json
import os
import re
import subprocess

from harness import BIN, Cluster, cli, cli_env, in_parallel, main, wait_for

PLAN = {"plan_id": "checkout-2.4.1", "artifact": {"name": "checkout", "version": "2.4.1", "previous_version": "2.4.0"},
        "stages": [{"stage_id": "canary", "gates": [{"kind": "manual"}], "target": {"percent": 5}},
                   {"stage_id": "all", "target": {"percent": 100}}]}
NASTY = "a, \"b\"\r\n=1+1; 'c'\tä\n"
WRITERS, WRITES = 8, 300


def make_history(cluster, env):
    client = cluster.client()
    assert client.change("POST", "/v1/rollouts?publish=true", PLAN).status == 201
    cli(env, "rollout", "recover", "--plan-id", "checkout-2.4.1", "--strategy", "retry", "--reason", "again")
    cli(env, "rollback", "execute", "--target", "rollout_plan", "--resource", "checkout-2.4.1", "--strategy", "rollback",
        "--reason", "High error rate")
    denied = cli(env, "rollout", "recover", "--plan-id", "checkout-2.4.1", "--strategy", "rollback", "--reason", "twice", check=False)
    assert denied.returncode == 1, denied
    cli(env, "flags", "set", "PROMPT_MODE=verbose", "--reason", NASTY)
    cli(env, "kill-switch", "define", "cart", "--prefix", "CART_")
    for name in ("DISABLE_NEW", "cart"):
        cli(env, "kill-switch", "activate", name, "--reason", f'"{name}" fails')
        cli(env, "kill-switch", "reset", name, "--reason", "Fix deployed", "--approver", "lead@example.com", "--root-cause", "leak")


def audit_health(node):
    """None while the node doesn't answer."""
    try:
        return node.ask("GET", "/v1/health/audit").json()
    except OSError:
        return None


def mirrored(node):
    """True when the node's folder has what its state has."""
    health = audit_health(node)
    return health and health["status"] == "ok" and health["audit_seq"] > 0


def check_csv(text, records):
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert len(rows) == len(records) > 10, (len(rows), len(records))
    assert list(rows[0])[:10] == ["timestamp", "event_name", "category", "action", "outcome", "actor", "resource_type", "resource",
                                  "source", "fields_json"], list(rows[0])
    for row, record in zip(rows, records):
        assert json.loads(row.pop("fields_json")) == (record["fields"] or {}), (row, record)
        for name, cell in row.items():
            value = record[name]
            assert cell == ("" if value is None else str(value)), (name, cell, record)
    assert any(row["reason"] == NASTY for row in rows), "the reason with line breaks"
    assert text.count("\r\n") >= len(rows) + 1


def run_in(folder, command):
    run = subprocess.run(["bash", "-c", "set -o pipefail; " + command], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, (command, run)
    return run.stdout


def check_decisions(folder):
    """The queries of the runbook's chapter on compliance, on the file they name."""
    query = "jq 'select(.decision == \"rollback\" and (.timestamp | fromdate) > (now - 86400))' state/analytics/rollback_audit.jsonl"
    found = json.loads(run_in(folder, query))
    assert found["plan"] == "checkout-2.4.1" and found["reason"] == "High error rate" and found["status"] == "executed", found
    assert {"timestamp", "decision", "reason", "errorRate", "failureCount", "evidence"} <= set(found), found
    assert run_in(folder, "jq 'select(.decision == \"escalate\")' state/analytics/rollback_audit.jsonl") == ""
    assert run_in(folder, "grep -ic 'rollback\\|escalation' state/analytics/rollback_audit.jsonl") == "1\n"


def check_switch_log(folder):
    log = "state/analytics/kill_switch_audit.log"
    lines = run_in(folder, f"cat {log}").splitlines()
    form = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (ACTIVATED|RESET) reason="([^"\\]|\\.)*" actor="[^"]+"( approver="[^"]+")?'
                      r'( switch="cart")?$')
    assert len(lines) == 4 and all(form.match(line) for line in lines), lines
    assert run_in(folder, f"grep -c ACTIVATED {log}; grep -c RESET {log}") == "2\n2\n"
    assert run_in(folder, f"grep -v switch= {log} | awk '{{print $2}}'") == "ACTIVATED\nRESET\n"
    assert 'RESET reason="Fix deployed" actor="oncall@example.com" approver="lead@example.com"' in lines[1], lines
    run_in(folder, f'echo "Reset at $(date -u +%Y-%m-%dT%H:%M:%SZ)" >> {log}')


def test_exports_are_what_scripts_read():
    with Cluster(3) as cluster:
        env = cli_env(cluster)
        make_history(cluster, env)
        wait_for("the mirror has it all", lambda: mirrored(cluster.nodes[0]))
        folder = cluster.folder / "incident"
        (folder / "state/analytics").mkdir(parents=True)
        for where in ([], ["--audit-dir", str(cluster.nodes[0].data / "audit")]):
            records = json.loads(cli(env, "audit", "export", *where).stdout)
            assert [r["seq"] for r in records] == list(range(1, len(records) + 1)), "a gap or a double"
            lines = cli(env, "audit", "export", "--format", "jsonl", *where).stdout.splitlines()
            assert [json.loads(line) for line in lines] == records
            table = folder / "audit.csv"
            done = cli(env, "audit", "export", "--format", "csv", "--output", str(table), *where)
            assert done.stdout == "" and f"{len(records)} records written" in done.stderr and "\r" not in done.stderr, done
            check_csv(table.read_bytes().decode(), records)
            for name, form in (("rollback_audit.jsonl", "rollback-jsonl"), ("kill_switch_audit.log", "kill-switch-log")):
                cli(env, "audit", "export", "--format", form, "--output", str(folder / "state/analytics" / name), *where)
            check_decisions(folder)
            check_switch_log(folder)


def test_http_pages_of_lines_are_the_whole_export():
    with Cluster(1) as cluster:
        make_history(cluster, cli_env(cluster))
        whole = cluster.folder / "audit.csv"
        cli(cli_env(cluster), "audit", "export", "--format", "csv", "--output", str(whole))
        assert cli(cli_env(cluster), "audit", "export", "--format", "csv", "--output", "-").stdout.startswith("timestamp,")
        text, path, pages = b"", "/v1/audit?format=csv&order=asc&limit=4", 0
        cursor = ""
        while cursor is not None:
            answer = cluster.nodes[0].ask("GET", path + (f"&cursor={cursor}" if cursor else ""))
            assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/csv"), answer
            text += answer.body
            cursor = answer.headers.get("X-Autonomy-Next-Cursor")
            pages += 1
        assert pages > 3 and text == whole.read_bytes(), "pages put together"
        assert cluster.nodes[0].ask("GET", "/v1/audit?format=xml").status == 422


def fill(cluster, records):
    client = cluster.client()

    def write(i):
        for _ in range(records // WRITERS):
            assert client.change("PUT", "/v1/flags/PROMPT_MODE", {"value": "verbose", "reason": "x" * 200}, start=i).status == 200

    in_parallel(WRITERS, write)


def export_held_up(cluster, meanwhile):
    """An export that has its first page, and a full pipe; the rest is read after `meanwhile`. Exit code, records, stderr."""
    env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", **cli_env(cluster))
    export = subprocess.Popen([str(BIN / "autonomy"), "audit", "export", "--format", "jsonl"], env=env, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, bufsize=0)
    first = export.stdout.read(1)
    meanwhile()
    text, errors = export.communicate(timeout=120)
    return export.returncode, [json.loads(line)["seq"] for line in (first + text).splitlines()], errors


def test_export_tells_that_records_were_pruned_meanwhile():
    with Cluster(1) as cluster:
        fill(cluster, WRITERS * WRITES)

        def prune():
            cli(cli_env(cluster), "audit", "prune", "--before-seq", "2000", "--reason", "retention")

        code, seqs, errors = export_held_up(cluster, prune)
        assert code == 1 and b"were pruned while they were read" in errors and b"begin again" in errors, errors
        assert seqs == list(range(1, 1001)), "what was read before is whole"


def test_export_goes_on_when_its_node_is_killed():
    with Cluster(3) as cluster:
        fill(cluster, WRITERS * WRITES)
        code, seqs, errors = export_held_up(cluster, cluster.nodes[0].kill)  # the one that the export asks first
        assert code == 0, errors
        assert seqs == list(range(1, len(seqs) + 1)) and len(seqs) > WRITERS * WRITES, (len(seqs), seqs[:3])
        assert errors == b"", "nothing but records in a pipe"


def segments(node):
    return sorted((node.data / "audit").glob("*.jsonl"))


def first_seq(path):
    return int(path.name.split(".")[0])


def verdict(env, *where, code=0):
    done = cli(env, "audit", "verify", "--output", "json", *where, check=False)
    assert done.returncode == code, done
    return json.loads(done.stdout)


def check_refusals(env):
    """Nothing goes without a reason, an identity, a yes and exactly one word on what goes."""
    asking = {k: v for k, v in env.items() if k != "AUTONOMY_ASSUME_YES"}
    refused = cli(asking, "audit", "prune", "--before-seq", "500", "--reason", "r", check=False)
    assert refused.returncode == 1 and "deletes 499 audit records" in refused.stderr and "--yes" in refused.stderr, refused
    nobody = {k: v for k, v in env.items() if k != "AUTONOMY_OPERATOR"}
    assert cli(nobody, "audit", "prune", "--before-seq", "500", "--reason", "r", check=False).returncode == 2
    assert cli(env, "audit", "prune", "--before-seq", "500", check=False).returncode == 2
    assert cli(env, "audit", "prune", "--before-seq", "500", "--keep-days", "3", "--reason", "r", check=False).returncode == 2


def test_a_pruned_trail_verifies_on_every_node():
    with Cluster(3, extra="audit:\n  segment_bytes: 64KiB\n") as cluster:
        env = cli_env(cluster)
        fill(cluster, 800)
        check_refusals(env)
        shown = cli(env, "audit", "prune", "--before-seq", "500", "--reason", "r", "--dry-run").stdout
        assert shown.startswith("499 records would go, up to record 499 of "), shown
        cursor = cluster.nodes[1].ask("GET", "/v1/audit?order=asc&limit=7").json()["next_cursor"]
        whole = verdict(env)
        assert whole["first_seq"] == 1 and whole["anchor"] is None, whole

        done = json.loads(cli(env, "audit", "prune", "--before-seq", "500", "--reason", "retention", "--output", "json").stdout)
        assert done["pruned"] == 499 and done["first_seq"] == 500, done
        for node in cluster.nodes:
            wait_for("pruned segments to go", lambda n=node: mirrored(n) and 1 < first_seq(segments(n)[0]) <= 500)
        cluster.wait_equal()
        text = cli(env, "audit", "verify").stdout
        assert "verified from seq 500: pruned before" in text and done["anchor_hash"] in text, text
        for node in cluster.nodes:
            offline = verdict(env, "--audit-dir", str(node.data / "audit"))
            assert offline["anchor"]["seq"] == 499 and offline["anchor"]["hash"] == done["anchor_hash"], offline
            assert offline["first_seq"] == first_seq(segments(node)[0]) and offline["last_seq"] == verdict(env)["last_seq"], offline
        gone = cluster.nodes[1].ask("GET", f"/v1/audit?order=asc&limit=7&cursor={cursor}")
        assert gone.status == 410 and gone.json()["code"] == "records_pruned", gone
        assert json.loads(cli(env, "audit", "export").stdout)[0]["seq"] == 500
        assert json.loads(cli(env, "audit", "query", "--event-type", "system.audit.pruned", "--output", "json").stdout)[0]["reason"] == "retention"
        check_after_restart(cluster, env)


def check_after_restart(cluster, env):
    """A killed node comes back with the anchor; what is taken from its folder is noticed, there and offline, and comes back."""
    victim = next(n for n in cluster.nodes if n is not cluster.leader())
    victim.kill()
    kept = segments(victim)
    assert len(kept) > 3, kept
    kept[1].rename(victim.folder / "taken")
    bad = verdict(env, "--audit-dir", str(victim.data / "audit"), code=1)
    assert "records are missing" in bad["detail"], bad
    victim.start()
    cluster.wait_ready()
    health = wait_for("the damage is told", lambda: (h := audit_health(victim)) and h["mirror_damage"] and h)
    assert health["status"] == "damaged" and f"before {kept[2].name}" in health["mirror_damage"], health
    assert "remedy=" in victim.log(), "the way out"
    victim.stop()
    (victim.data / "audit").rename(victim.folder / "audit.damaged")
    victim.start()
    cluster.wait_ready()
    wait_for("the folder is written anew", lambda: mirrored(victim))
    assert first_seq(segments(victim)[0]) == 500
    assert verdict(env, "--audit-dir", str(victim.data / "audit"))["first_seq"] == 500
    cluster.wait_equal()


def test_export_to_a_full_disk_leaves_no_file():
    with Cluster(1) as cluster:
        fill(cluster, 80)
        env, path = cli_env(cluster), cluster.folder / "audit.csv"
        path.write_text("an earlier export")
        # A file that can't grow past 8 KiB fails like a full disk does.
        limited = subprocess.run(["bash", "-c", f"trap '' XFSZ; ulimit -f 8; exec {BIN}/autonomy audit export --format csv --output {path}"],
                                 env=dict(os.environ, ASAN_OPTIONS="detect_leaks=0", **env), capture_output=True, text=True, check=False)
        assert limited.returncode == 1 and "can't be written" in limited.stderr, limited
        assert path.read_text() == "an earlier export", "the file that was there stays"
        assert not list(cluster.folder.glob("audit.csv.*")), "no half of a file is left"


main(globals())
