#!/usr/bin/env python3
"""/openapi.json: public validators accept it, and the node keeps to it: every answer, and every refusal."""
import http.client
import json
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import uuid

from harness import PATIENCE_S, ROOT, Cluster, Skip, main, make_records, wait_for
from openapi import Document, jsonschema, need_jsonschema, spoiled

OAI_SCHEMA = pathlib.Path("/usr/share/openapi-specification/schemas/v3.0/schema.json")
JSON_VALIDATOR = """
use JSON::Validator;
my $schema = JSON::Validator->new->schema($ARGV[0])->schema;
my $errors = $schema->errors;
print "$_\\n" for @$errors;
printf "%s: %d operations\\n", ref $schema, scalar @{$schema->routes};
exit(@$errors ? 1 : 0);
"""


def document_of(node):
    answer = node.ask("GET", "/openapi.json")
    assert answer.status == 200, answer
    return Document(answer.body)


def by_the_standards_schema(raw):
    need_jsonschema()
    if not OAI_SCHEMA.exists():
        raise Skip("NOT CHECKED: no package openapi-specification; tools/test installs Debian's")
    validator = jsonschema.Draft4Validator(json.loads(OAI_SCHEMA.read_text()))
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in validator.iter_errors(raw)]


def by_json_validator(raw):
    """What perl's JSON::Validator says; it also follows every reference."""
    if not shutil.which("perl") or subprocess.run(["perl", "-MJSON::Validator", "-e1"], capture_output=True, check=False).returncode:
        raise Skip("NOT CHECKED: no libjson-validator-perl; tools/test installs Debian's")
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "openapi.json"
        path.write_text(json.dumps(raw))
        run = subprocess.run(["perl", "-e", JSON_VALIDATOR, str(path)], capture_output=True, text=True, timeout=120, check=False)
    return run.returncode, run.stdout + run.stderr


def check_document(raw):
    operations = sum(len(item) for item in raw["paths"].values())
    errors = by_the_standards_schema(raw)
    assert not errors, errors[:5]
    code, said = by_json_validator(raw)
    assert code == 0 and f"OpenAPIv3: {operations} operations" in said, said[-2000:]

    damaged = json.loads(json.dumps(raw))  # a validator that refuses nothing would prove nothing
    damaged["paths"]["/v1/flags"]["get"]["responses"] = {"fine": 1}
    assert by_the_standards_schema(damaged), "the standard's schema takes anything"
    assert by_json_validator(damaged)[0] != 0, "JSON::Validator takes anything"
    damaged = json.loads(json.dumps(raw))
    del damaged["components"]["schemas"]["Flag"]
    assert by_json_validator(damaged)[0] != 0, "a reference to nothing is taken"


def check_shape(document):
    names = [operation["operationId"] for _, _, operation in document.operations]
    assert len(set(names)) == len(names) > 40, names
    for method, path, operation in document.operations:
        stated = {p["name"] for p in document.resolve(operation["parameters"]) if p["in"] == "path"}
        assert stated == set(re.findall(r"{(\w+)}", path)), path
        assert operation["summary"].endswith("."), path
        schema = document.body_schema(operation)
        if schema:
            example = operation["requestBody"]["content"]["application/json"].get("example")
            assert example is not None, f"{method} {path} has no example"
            errors = document.errors(schema, example)
            assert not errors, f"the example of {method} {path}: {errors}"


def codes_in_sources():
    """(status, code) of every problem that the sources name."""
    found = set()
    for path in sorted((ROOT / "node").rglob("*.c")):
        text = path.read_text()
        for call in re.findall(r"(?:problem_answer|act_refuse|problem_members)\(\s*\w+,\s*(\d{3}),\s*\"(\w+)\"", text):
            found.add((int(call[0]), call[1]))
    assert len(found) > 15, found
    return found


def check_codes(document):
    for status, code in codes_in_sources():
        response = document.resolve(document.raw["components"]["responses"][f"Problem{status}"])
        known = response["content"]["application/problem+json"]["schema"]["allOf"][1]["properties"]["code"]["enum"]
        assert code in known, f"code {code} of status {status} is missing in node/http/problem.c"
    page = (ROOT / "docs/reference/http-api.md").read_text()
    for name, response in document.raw["components"]["responses"].items():
        schema = document.resolve(response)["content"]["application/problem+json"]["schema"]
        for code in schema["allOf"][1]["properties"]["code"]["enum"]:
            assert f"`{code}`" in page, f"docs/reference/http-api.md doesn't know the code {code} ({name})"


class Judge:
    """A client whose every answer is held against the document."""

    def __init__(self, node, document):
        self.node, self.document, self.seen = node, document, set()

    def ask(self, method, path, body=None, status=None, headers=None):
        """Where a status is wanted, a cluster that has lost its leader for a moment is asked again, under the same key."""
        headers = {"Idempotency-Key": uuid.uuid4().hex, **(headers or {})}
        end = time.monotonic() + PATIENCE_S
        while True:
            answer = self.node.ask(method, path, body, headers)
            operation = self.document.check_answer(method, path, answer)
            self.seen.add((operation["operationId"], answer.status))
            if status is None or answer.status not in (503, 504) or time.monotonic() > end:
                assert status in (None, answer.status), f"{method} {path}: {answer!r}"
                return answer
            time.sleep(0.05)


    def until(self, method, path, body, status):
        """Asks again while the cluster isn't as far; every answer is looked at."""
        return wait_for(f"{method} {path} to answer {status}",
                        lambda: (a := self.ask(method, path() if callable(path) else path, body)).status == status and a)


def plan(name, **more):
    return {"plan_id": name, "artifact": {"name": "checkout", "version": "2", "previous_version": "1"},
            "stages": [{"stage_id": "canary", "target": {"percent": 5}, "gates": [{"kind": "manual"}, {"kind": "time_soak", "seconds": 1},
                                                                                {"kind": "success_ratio", "min_percent": 90}]},
                       {"stage_id": "lab", "target": {"labels": {"site": "lab"}}}, {"target": {"nodes": ["edge-1", "edge-2"]}}], **more}


def use_rollouts(judge):
    ask = judge.ask
    ask("GET", "/v1/rollouts", status=200)
    ask("GET", "/v1/rollouts/none", status=404)
    ask("POST", "/v1/rollouts", plan("draft"), 201)
    ask("POST", "/v1/rollouts", plan("draft"), 409)
    ask("POST", "/v1/rollouts", plan("monitored", monitor={"preset": "production"}), 422)
    ask("GET", "/v1/rollouts/draft", status=200)
    ask("POST", "/v1/rollouts/draft/publish", {}, 200)
    for verb, status in (("pause", 200), ("pause", 409), ("resume", 200)):
        ask("POST", f"/v1/rollouts/draft/{verb}", {"reason": "r"}, status)
    ask("GET", "/v1/rollouts/draft/stages/canary/gates", status=200)
    ask("GET", "/v1/rollouts/draft/stages/none/gates", status=404)
    ask("POST", "/v1/rollouts/draft/nodes/edge-1", {"state": "offered"}, None)
    ask("POST", "/v1/rollouts/draft/nodes/edge-1", {"state": "activated"}, None)
    ask("POST", "/v1/rollouts/draft/stages/canary/gates/approve", {"reason": "good"}, 200)
    ask("POST", "/v1/rollouts/draft/halt", {"reason": "r"}, 200)
    ask("POST", "/v1/rollouts/draft/stages/canary/gates/approve", {"reason": "good"}, 409)
    ask("GET", "/v1/rollouts/stuck?threshold_seconds=0", status=200)
    ask("POST", "/v1/rollouts/draft/recover", {"strategy": "rollback", "reason": "r"}, 200)
    ask("POST", "/v1/rollouts/draft/recover", {"strategy": "rollback", "reason": "r"}, 409)
    ask("GET", "/v1/rollouts/draft", status=200)
    ask("POST", "/v1/rollouts?publish=true", plan("second"), 201)
    ask("POST", "/v1/rollouts/second/cancel", {"reason": "r"}, 200)
    ask("GET", "/v1/rollouts?phase=cancelled&limit=1", status=200)
    ask("POST", "/v1/rollouts/none/halt", {"reason": "r"}, 404)


def use_rollback(judge):
    ask = judge.ask
    ask("GET", "/v1/rollback/targets", status=200)
    ask("POST", "/v1/rollouts?publish=true", plan("third"), 201)
    for body in ({"target": "rollout_plan"}, {"target": "rollout_plan", "resource": "third"},
                 {"target": "rollout_plan", "resource": "third", "strategy": "cancel"},
                 {"target": "rollout_stage", "resource": "third/canary"}, {"target": "rollout_plan", "resource": "draft"},
                 {"target": "ha_leader_resign"}, {"target": "relay_deadletter", "resource": "s"}):
        ask("POST", "/v1/rollback/preview", body, 200)
    ask("POST", "/v1/rollback/preview", {"target": "rollout_plan", "resource": "none"}, 404)
    execute = {"target": "rollout_stage", "resource": "third/canary", "reason": "r"}
    ask("POST", "/v1/rollback/execute", {**execute, "preview_token": "0" * 32}, 409)
    ask("POST", "/v1/rollback/execute", execute, 200)
    ask("POST", "/v1/rollback/execute", {**execute, "target": "relay_deadletter"}, 422)


def use_flags(judge):
    ask = judge.ask
    ask("GET", "/v1/flags?limit=2", status=200)
    ask("GET", "/v1/flags/none", status=404)
    assert ask("PUT", "/v1/flags/mine/definition", {"type": "integer", "default": 1, "safe": 0}, 201).headers["Location"] == "/v1/flags/mine"
    ask("PUT", "/v1/flags/mine/definition", {"type": "integer", "default": 2, "safe": 0}, 200)
    ask("PUT", "/v1/flags/mine", {"value": 7, "reason": "r"}, 200)
    ask("PUT", "/v1/flags/mine", {"value": 8, "expected_version": 1}, 409)
    ask("PUT", "/v1/flags/mine", {"value": "text"}, 422)
    ask("POST", "/v1/flags", {"changes": [{"key": "mine", "value": 9}, {"key": "PROMPT_MODE", "value": "full"}]}, 200)
    ask("GET", "/v1/flags/mine", status=200)
    ask("GET", "/v1/kill-switches", status=200)
    ask("GET", "/v1/kill-switches/none", status=404)
    ask("PUT", "/v1/kill-switches/stop", {"flags": ["mine"]}, 201)
    ask("PUT", "/v1/kill-switches/stop", {"prefix": "mi"}, 200)
    ask("POST", "/v1/kill-switches/stop/activate", {"reason": "r"}, 200)
    ask("POST", "/v1/kill-switches/stop/activate", {"reason": "r"}, 409)
    ask("GET", "/v1/flags/mine", status=200)
    reset = {"reason": "r", "approver": "lead@example.com", "root_cause": "c"}
    ask("POST", "/v1/kill-switches/stop/reset", {**reset, "approver": "tester@example.com"}, 409)
    ask("POST", "/v1/kill-switches/stop/reset", reset, 200)
    ask("GET", "/v1/kill-switches/stop", status=200)
    ask("PUT", "/v1/flags/DISABLE_NEW", {"value": "1", "reason": "r"}, 200)
    ask("PUT", "/v1/flags/DISABLE_NEW", {"value": "0"}, 409)


def use_the_rest(judge):
    ask = judge.ask
    for path in ("/health", "/v1/health", "/v1/health/read-ready", "/v1/health/write-ready", "/v1/health/quorum", "/v1/health/leader",
                 "/v1/health/audit", "/v1/version", "/v1/support/configuration", "/metrics", "/openapi.json", "/v1/ha/status",
                 "/v1/ha/quorum", "/v1/ha/members", "/v1/ha/epochs?limit=1", "/v1/audit/verify"):
        ask("GET", path, status=200)
    for form in judge.document.find("GET", "/v1/audit")["parameters"]:
        for word in form.get("schema", {}).get("enum", []):
            ask("GET", f"/v1/audit?{form['name']}={word}", status=200)
    ask("GET", "/v1/audit?limit=1&order=asc", status=200)
    for path in ("/v1/flags?surprise=1", "/v1/flags?limit=0", "/v1/flags?limit=1001", "/v1/audit?category=none", "/v1/flags?wait=61s&index=1",
                 "/v1/rollouts?phase=none", "/v1/flags?consistency=maybe", "/v1/flags?cursor=zz", "/v1/audit?start_time=yesterday"):
        ask("GET", path, status=422)
    ask("GET", "/v1/flags", status=400, headers={"X-Autonomy-Timeout-Ms": "60001"})
    ask("GET", "/v1/flags", status=400, headers={"Idempotency-Key": "two words"})
    ask("GET", "/v1/flags?limit=%zz", status=400)
    ask("PUT", "/v1/flags/mine", "{", 400)
    ask("PUT", "/v1/flags/mine", "[]", 422)
    ask("PUT", "/v1/flags/mine", "x=1", 415, {"Content-Type": "application/x-www-form-urlencoded"})
    ask("PUT", "/v1/flags/mine", json.dumps({"value": "v" * (1 << 20)}), 413)
    ask("PUT", "/v1/flags/mine", {"value": 1}, 403, {"Origin": "https://elsewhere.example"})
    key = uuid.uuid4().hex
    ask("PUT", "/v1/flags/mine", {"value": 1}, 200, {"Idempotency-Key": key})
    repeated = ask("PUT", "/v1/flags/mine", {"value": 1}, 200, {"Idempotency-Key": key})
    assert repeated.headers.get("X-Autonomy-Repeated") == "true", repeated.headers
    ask("PUT", "/v1/flags/mine", {"value": 2}, 422, {"Idempotency-Key": key})
    ask("DELETE", "/v1/ha/members/none", {"reason": "r"}, 404)
    ask("POST", "/v1/ha/members", {"node_id": 4711, "name": "n1", "address": "127.0.0.1:1"}, 409)
    ask("POST", "/v1/ha/members", {"node_id": 4711, "name": "ghost", "address": "127.0.0.1:1", "url": "http://127.0.0.1:1"}, 201)
    ask("GET", "/v1/ha/members", status=200)
    judge.until("DELETE", "/v1/ha/members/ghost", {"reason": "r"}, 200)


def use_what_is_between_nodes(judge):
    ask = judge.ask
    ask("POST", "/v1/internal/confirm", status=200)
    ask("POST", "/v1/internal/change", b"x", 400, {"Content-Type": "application/msgpack"})
    made = ask("POST", "/v1/internal/checkpoints", status=201).json()
    file = next(f for f in made["files"] if f["bytes"] > 1)
    path = f"/v1/internal/checkpoints/{made['checkpoint_id']}/files/{file['name']}"
    assert len(ask("GET", path, status=200).body) == file["bytes"]
    assert len(ask("GET", path, status=206, headers={"Range": "bytes=0-0"}).body) == 1
    ask("GET", path, status=416, headers={"Range": f"bytes={file['bytes']}-"})
    ask("GET", "/v1/internal/checkpoints/none/files/none", status=404)


def use_prune(judge, cluster):
    ask = judge.ask
    make_records(cluster)
    ask("GET", "/v1/audit/prune?before_seq=4", status=200)
    ask("GET", "/v1/audit/prune", status=422)
    ask("GET", "/v1/audit/prune?before_seq=4&keep_days=1", status=422)
    cursor = ask("GET", "/v1/audit?limit=1&order=asc", status=200).json()["next_cursor"]
    ask("POST", "/v1/audit/prune", {"before_seq": 4, "reason": "r"}, 200)
    ask("GET", f"/v1/audit?limit=1&order=asc&cursor={cursor}", status=410)
    ask("GET", "/v1/audit/verify", status=200)
    ask("GET", "/v1/audit/verify?limit=2", status=200)


def check_events(judge):
    """The data of events is what the document says of them."""
    content = judge.document.find("GET", "/v1/events")["responses"]["200"]["content"]
    (kind, media), = content.items()
    connection = http.client.HTTPConnection("127.0.0.1", judge.node.port, timeout=30)
    connection.request("GET", "/v1/events?last_event_id=0")
    stream, count = connection.getresponse(), 0
    assert stream.getheader("Content-Type") == kind, stream.getheaders()
    while count < 10:
        line = stream.readline().decode()
        if line.startswith("data: "):
            errors = judge.document.errors(media["schema"]["x-event-data"], json.loads(line[6:]), closed=True)
            assert not errors, f"{errors}: {line}"
            count += 1
    connection.close()
    judge.seen.add(("follow_events", 200))


def check_spoiled_bodies(judge):
    """A body that the document refuses is refused by the node; so is an argument."""
    count = 0
    for method, path, operation in judge.document.operations:
        schema = judge.document.body_schema(operation)
        if not schema:
            continue
        schema = judge.document.resolve(schema)
        example = operation["requestBody"]["content"]["application/json"]["example"]
        for what, body in spoiled(schema, example):
            assert judge.document.errors(schema, body), f"{path}: the document takes it: {what}: {body}"
            answer = judge.ask(method, re.sub(r"{\w+}", "spoiled", path), body)
            assert answer.status == 422, f"{method} {path}: {what}: {answer!r}"
            assert answer.json().get("path", "").split(".")[0].split("[")[0] in {"surprise", *schema["properties"]}, answer
            count += 1
    assert count > 300, count
    return count


def check_spoiled_arguments(judge):
    count = 0
    for method, path, operation in judge.document.operations:
        for parameter in judge.document.resolve(operation["parameters"]):
            schema = parameter["schema"]
            bad = ["surprise"] if "enum" in schema or schema["type"] in ("integer", "boolean") or "pattern" in schema else []
            bad += [schema["minimum"] - 1] if "minimum" in schema else []
            bad += [schema["maximum"] + 1] if schema.get("maximum", 2 ** 63) < 2 ** 62 else []
            if parameter["in"] != "query" or method != "GET" or path.startswith("/v1/internal") or parameter["name"] == "index":
                continue
            for value in bad:
                answer = judge.ask(method, re.sub(r"{\w+}", "spoiled", path) + f"?{parameter['name']}={value}")
                assert answer.status == 422, f"{path}: {parameter['name']}={value}: {answer!r}"
                count += 1
    assert count > 60, count
    return count


def check_cluster(cluster, document):
    """What needs more than one node: a failover, forwarding, a node that can't write."""
    leader = cluster.wait_leader()
    other = next(n for n in cluster.nodes if n is not leader)
    judge = Judge(other, document)
    judge.until("GET", "/v1/health/write-ready", None, 503)
    judge.until("PUT", "/v1/flags/PROMPT_MODE", {"value": "full"}, 200)
    judge.ask("GET", "/v1/ha/status", status=200)
    judge.until("POST", "/v1/ha/failover", {"reason": "r", "target_node": "nobody"}, 404)
    judge.until("POST", "/v1/ha/failover", {"reason": "r"}, 200)
    cluster.wait_leader()
    judge.until("POST", "/v1/rollback/execute", {"target": "ha_leader_resign", "reason": "r"}, 200)
    leader = cluster.wait_leader()
    gone = next(n for n in cluster.nodes if n not in (leader, other))
    gone.kill()
    judge.until("DELETE", lambda: f"/v1/ha/members/{cluster.wait_leader().name}", {"reason": "r"}, 409)
    judge.ask("DELETE", f"/v1/ha/members/{gone.name}?reason=r", {"reason": "r"}, 422)
    judge.ask("DELETE", f"/v1/ha/members/{gone.name}?reason=", None, 422)
    judge.until("DELETE", f"/v1/ha/members/{gone.name}?reason=its+host+is+gone", None, 200)
    assert judge.ask("GET", "/v1/audit?event_type=ha.member.removed", status=200).json()["items"][0]["reason"] == "its host is gone"
    third = next(n for n in cluster.nodes if n not in (other, gone))
    third.kill()
    judge.ask("GET", "/v1/flags?timeout=300ms", status=None)
    judge.ask("PUT", "/v1/flags/PROMPT_MODE?timeout=300ms", {"value": "a"}, status=None)
    judge.ask("GET", "/v1/flags?consistency=stale", status=200)
    judge.ask("GET", "/v1/health/quorum", status=200)
    assert any(status in (503, 504) for _, status in judge.seen), judge.seen
    return judge


def test_validators_accept_the_document():
    with Cluster(1) as cluster:
        document = document_of(cluster.wait_leader())
        check_shape(document)
        check_codes(document)
        check_document(document.raw)


def test_answers_and_refusals_are_as_the_document_says():
    with Cluster(3) as cluster:
        leader = cluster.wait_leader()
        document = document_of(leader)
        judge = Judge(leader, document)
        use_flags(judge)
        use_rollouts(judge)
        use_rollback(judge)
        use_the_rest(judge)
        use_what_is_between_nodes(judge)
        check_events(judge)
        use_prune(judge, cluster)
        bodies, arguments = check_spoiled_bodies(judge), check_spoiled_arguments(judge)
        seen = judge.seen | check_cluster(cluster, document).seen
    done = {name for name, status in seen if status < 300}
    missing = {o["operationId"] for _, _, o in document.operations} - done - {"forward_change"}
    assert not missing, f"never seen to succeed: {missing}"
    print(f"{len(seen)} kinds of answers of {len(done)} operations, {bodies} spoiled bodies, {arguments} spoiled arguments")


main(globals())
