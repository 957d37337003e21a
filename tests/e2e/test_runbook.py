#!/usr/bin/env python3
"""The emergency-rollback runbook, phases 0 to 2a, 4 and 5 without the edge relay, command by command as an operator types it.

The cluster is started by tools/up, as a newcomer would; each command runs in bash with `. DIR/env` and nothing else.
"""
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from harness import BIN, ROOT, free_base_port, main, wait_for

PLAN = """plan_id: checkout-2.4.1
artifact: {name: checkout, version: 2.4.1, previous_version: 2.4.0}
stages:
  - stage_id: canary
    target: {percent: 5}
    gates:
      - {kind: time_soak, seconds: 600}
      - {kind: manual}
  - {stage_id: all, target: {percent: 100}}
reason: "release 2.4.1"
"""


class Shell:
    """One incident's terminal: commands see DIR/env and what `export` set before."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="autonomy-runbook-"))
        self.dir = self.folder / "run"
        self.exports = {}

    def run(self, command, check=True):
        env = {k: v for k, v in os.environ.items() if not k.startswith("AUTONOMY")}
        env.update(self.exports, HOME=str(self.folder), ASAN_OPTIONS="detect_leaks=1")
        run = subprocess.run(["bash", "-c", f"set -o pipefail; . {self.dir}/env\n{command}"], env=env, cwd=self.folder,
                             capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL)
        if check and run.returncode != 0:
            raise AssertionError(f"exit {run.returncode}: {command}\n{run.stdout}\n{run.stderr}")
        return run

    def json(self, command):
        return json.loads(self.run(command).stdout)

    def __enter__(self):
        preset = "release" if "/release/" in str(BIN) else "dev"
        args = ["--release"] if preset == "release" else []
        try:
            subprocess.run([str(ROOT / "tools/up"), "--dir", str(self.dir), "--base-port", str(free_base_port(3)), *args],
                           check=True, capture_output=True, text=True, timeout=400)
        except subprocess.CalledProcessError as error:
            print(error.stdout, error.stderr)
            raise
        return self

    def __exit__(self, *_):
        subprocess.run([str(ROOT / "tools/down"), "--dir", str(self.dir)], check=True, capture_output=True, timeout=120)
        shutil.rmtree(self.folder, ignore_errors=True)

    def create_plan(self, plan_id):
        (self.folder / "plan.yaml").write_text(PLAN.replace("checkout-2.4.1\n", plan_id + "\n", 1))
        self.run("autonomy rollout plan create -f plan.yaml --publish")


def bundle_holds(path, *names):
    with tarfile.open(path) as bundle:
        members = bundle.getnames()
        manifest = json.load(bundle.extractfile(next(m for m in members if m.endswith("manifest.json"))))
    for name in names:
        assert any(name in m for m in members), (name, members)
    return manifest


def test_runbook_rolls_a_bad_plan_back():
    with Shell() as shell:
        shell.exports = {"AUTONOMY_ASSUME_YES": "1", "AUTONOMY_OPERATOR": "oncall@example.com"}
        shell.create_plan("checkout-2.4.1")

        # Quick start: preview, execute, verify in the audit trail
        assert "terminal" in shell.run("autonomy rollback preview --target rollout_plan").stdout
        assert "reversible" in shell.run("autonomy rollback preview --target ha_leader_resign").stdout

        # Phase 0: the support bundle, with the dashes and quotes that a typesetter made of the command
        shell.run("autonomy support-bundle generate "
                  "–output /tmp/../$PWD/incident.tar.gz –orchestrator-url “$AUTONOMY_ORCHESTRATOR_URL” "
                  "–config-file /etc/autonomy/config.yaml –audit-dir “$AUTONOMY_AUDIT_DIR”")
        manifest = bundle_holds(shell.folder / "incident.tar.gz", "manifest.json")
        assert manifest, "an empty manifest"

        # Phase 1a: find the active plan, roll it back
        plan_id = shell.run("autonomy rollout plan list --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\" --output json "
                            "| jq -r '.[] | select(.phase == \"active\") | .plan_id'").stdout.strip()
        assert plan_id == "checkout-2.4.1", plan_id
        shell.exports["PLAN_ID"] = plan_id
        recovered = shell.json("autonomy rollout recover --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\" --plan-id \"$PLAN_ID\" "
                               "--strategy rollback --reason \"INCIDENT-$(date +%Y%m%d): elevated error rate on canary nodes\"")
        assert recovered["new_phase"] == "rolled_back", recovered
        assert recovered["previous_phase"] == "active", recovered
        again = shell.run("autonomy rollout recover --plan-id \"$PLAN_ID\" --strategy rollback --reason again", check=False)
        assert again.returncode == 1 and "rolled_back" in again.stderr, again

        # Phase 1b: cancel a plan that no node has activated
        shell.create_plan("unwanted")
        shell.run("autonomy rollout plan cancel --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\" --plan-id unwanted")
        assert shell.run("autonomy rollout plan describe --plan-id unwanted --output json | jq .phase").stdout.strip() == '"cancelled"'

        # Phase 1c: halt the stage with curl, without an identity
        shell.create_plan("halting")
        halted = shell.json("PLAN_ID=halting; curl -sf -X POST \"${AUTONOMY_ORCHESTRATOR_URL}/v1/rollouts/${PLAN_ID}/halt\" "
                            "-H \"Content-Type: application/json\" "
                            "-d '{\"reason\": \"INCIDENT: halting stage expansion pending investigation\"}' | jq .")
        assert halted["stage_phase"] == "halted", halted

        # The unified command leaves exactly one rollback.executed
        shell.create_plan("checkout-2.4.2")
        shell.exports["PLAN_ID"] = "checkout-2.4.2"
        shell.run("autonomy rollback execute --target rollout_plan --resource \"$PLAN_ID\" --strategy rollback "
                  "--reason \"INCIDENT-$(date +%Y%m%d): elevated error rate\" --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\"")
        executed = shell.json("autonomy audit query --audit-dir \"$AUTONOMY_AUDIT_DIR\" --event-type rollback.executed --output json")
        assert len(executed) == 1, executed
        assert executed[0]["outcome"] == "success" and "checkout-2.4.2" in executed[0]["resource"], executed
        assert executed[0]["actor"] == "oncall@example.com", executed

        # Phase 2a: the leader resigns
        before = shell.json("autonomy ha status --output json")
        after = shell.run("autonomy ha failover trigger --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\" "
                          "--operator \"$AUTONOMY_OPERATOR\" --reason \"INCIDENT: emergency failover — leader node memory pressure\"").stdout
        assert "Previous Holder" in after and before["leader"]["holder_id"] in after, after

        # Phase 4: verification
        assert shell.run("autonomy rollout plan describe --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\" --plan-id \"$PLAN_ID\" "
                         "--output json | jq .phase").stdout.strip() == '"rolled_back"'
        assert "Write-Ready" in shell.run("autonomy ha status --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\"").stdout
        assert "Write-Ready" in shell.run("autonomy ha quorum status --orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\"").stdout
        one_write_ready_leader(shell)
        for category in ("rollout", "ha"):
            text = shell.run(f"autonomy audit query --audit-dir \"$AUTONOMY_AUDIT_DIR\" --category {category} --limit 10").stdout
            assert "TIMESTAMP" in text and len(text.splitlines()) >= 2, text

        # Phase 5: the final bundle, the audit export, and a chain that holds both ways
        shell.run("autonomy support-bundle generate --output $PWD/incident-$(date +%Y%m%d)-post-recovery.tar.gz "
                  "--orchestrator-url \"$AUTONOMY_ORCHESTRATOR_URL\" --config-file /etc/autonomy/config.yaml --audit-dir \"$AUTONOMY_AUDIT_DIR\"")
        exported = shell.json("autonomy audit export --audit-dir \"$AUTONOMY_AUDIT_DIR\" --format json > out.json; cat out.json")
        sequence = [r["seq"] for r in exported]
        assert sequence == list(range(1, len(sequence) + 1)), "oldest first, whole"
        shell.run("autonomy audit verify")
        shell.run("autonomy audit verify --audit-dir \"$AUTONOMY_AUDIT_DIR\"")


def one_write_ready_leader(shell):
    def urls():
        text = shell.run("echo $AUTONOMY_ORCHESTRATOR_URL $AUTONOMY_ORCHESTRATOR_FALLBACK_URLS").stdout
        return text.replace(",", " ").split()
    codes = [shell.run(f"curl -s -o /dev/null -w '%{{http_code}}' {u}/v1/health/write-ready").stdout for u in urls()]
    assert sorted(codes) == ["200", "503", "503"], codes


def test_terminal_action_without_confirmation_is_refused_and_names_the_command():
    with Shell() as shell:
        shell.exports = {"AUTONOMY_OPERATOR": "oncall@example.com"}
        shell.create_plan("careful")
        run = shell.run("autonomy rollout recover --plan-id careful --strategy rollback --reason 'no confirmation'", check=False)
        assert run.returncode == 2 or run.returncode == 1, run
        assert "--yes" in run.stderr, run.stderr
        phase = shell.run("autonomy rollout plan describe --plan-id careful --output json | jq -r .phase").stdout.strip()
        assert phase == "active", "nothing happened"
        shell.run("autonomy rollout recover --plan-id careful --strategy rollback --reason 'confirmed' --yes")


def test_operator_commands_go_on_when_the_named_node_is_dead():
    with Shell() as shell:
        shell.exports = {"AUTONOMY_OPERATOR": "oncall@example.com", "AUTONOMY_ASSUME_YES": "1"}
        shell.create_plan("survivor")
        shell.run(f"kill -9 $(cat {shell.dir}/n1/pid)")
        wait_for("the others to answer", lambda: shell.run("autonomy rollout plan list", check=False).returncode == 0)
        answer = shell.json("autonomy rollout recover --plan-id survivor --strategy rollback --reason 'n1 is dead' --timeout 30s")
        assert answer["new_phase"] == "rolled_back", answer


main(globals())
