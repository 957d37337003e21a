#!/usr/bin/env python3
"""A client of the control plane, with Python's standard library and nothing else (3.9 or later).

  client.py plan PLAN_ID                  makes a plan and publishes it
  client.py halt PLAN_ID REASON
  client.py flag KEY VALUE [VERSION]      sets a flag, only if it still has this version
  client.py wait KEY [TIMES]              prints a flag's value now and whenever it changes
  client.py follow [AFTER] [COUNT]        prints audit records as they are committed, those after record AFTER

The nodes: AUTONOMY_ORCHESTRATOR_URL, then AUTONOMY_ORCHESTRATOR_FALLBACK_URLS (commas between). You: AUTONOMY_OPERATOR.
Exit: 0 done, 1 refused, 2 usage, 5 the outcome is unknown.
"""
import http.client
import inspect
import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

URLS = os.environ.get("AUTONOMY_ORCHESTRATOR_URL", "http://127.0.0.1:7101") + "," + os.environ.get("AUTONOMY_ORCHESTRATOR_FALLBACK_URLS", "")
NODES = [url.strip().rstrip("/") for url in URLS.split(",") if url.strip()]  # the one that answered last stands first
OPERATOR = os.environ.get("AUTONOMY_OPERATOR", "client.py")
PATIENCE_S = 30


class Refused(Exception):
    """The answer is final: repeating the request can't help. `problem` has its code."""

    def __init__(self, problem):
        super().__init__(problem["detail"] or problem["title"])
        self.problem = problem


class Unknown(Exception):
    """It may have happened or not. Repeating it under the same key is safe."""


def open_url(node, method, path, body=None, key=None, timeout_s=10, **headers):
    headers["X-Autonomy-Operator"] = OPERATOR
    if key:
        headers["Idempotency-Key"] = key
    if body is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(node + path, body, headers, method=method), timeout=timeout_s)


def ask(method, path, body=None, key=None, timeout_s=10):
    """The answer of whichever node gives one.

    No answer, 503 and 507 (nothing happened) and 504 (it may have happened) go on to the next node. All attempts at a change carry
    the same Idempotency-Key: it happens once, and whoever asks again gets the first answer.
    """
    if method != "GET":
        key = key or uuid.uuid4().hex
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            with open_url(NODES[0], method, path, body, key, timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read()
            if error.code not in (503, 504, 507):
                problem = {"title": error.reason, "detail": None, "code": None, "status": error.code}
                raise Refused({**problem, **json.loads(text)} if "json" in error.headers["Content-Type"] else problem) from error
            why = text.decode()
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"{NODES[0]}: {error}"
        if time.monotonic() > end:
            again = f"repeat it with Idempotency-Key {key}; " if key else ""
            raise Unknown(f"no answer within {PATIENCE_S} s; {again}last: {why}")
        NODES.append(NODES.pop(0))
        time.sleep(0.2)


def plan(plan_id):
    made = ask("POST", "/v1/rollouts?publish=true", {
        "plan_id": plan_id,
        "artifact": {"name": "checkout", "version": "2.4.1", "previous_version": "2.4.0"},
        "stages": [{"stage_id": "canary", "target": {"percent": 5}, "gates": [{"kind": "manual"}]},
                   {"stage_id": "all", "target": {"percent": 100}}],
        "reason": "release 2.4.1"})
    print(made["plan_id"], made["phase"])


def halt(plan_id, reason):
    done = ask("POST", f"/v1/rollouts/{plan_id}/halt", {"reason": reason})
    print(done["plan_id"], done["stage_id"], done["stage_phase"])


def flag(key, value, version=None):
    body = {"value": value, "reason": "set by client.py"}
    if version is not None:
        body["expected_version"] = int(version)
    now = ask("PUT", f"/v1/flags/{key}", body)
    print(now["key"], json.dumps(now["value"]), now["version"])


def wait(key, times=None):
    """Long poll: an answer comes when anything newer than `index` is applied, or after 30 s."""
    seen, index, left = None, 0, int(times or 0)
    while True:
        now = ask("GET", f"/v1/flags/{key}?index={index}&wait=30s" if index else f"/v1/flags/{key}", timeout_s=40)
        if (now["version"], now["value"]) != seen:
            print(now["key"], json.dumps(now["value"]), now["version"], flush=True)
            seen, left = (now["version"], now["value"]), left - 1
            if left == 0:
                return
        index = now["index"]


def events(after=None):
    """Every audit record after the one with that seq, once and in order, whichever nodes come and go."""
    while True:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        try:
            with open_url(NODES[0], "GET", "/v1/events", timeout_s=40, **headers) as stream:  # a comment comes every 15 s
                name = data = None
                for line in stream:
                    field, _, value = line.decode().rstrip("\n").partition(": ")
                    if field == "id":
                        seq = int(value)
                    elif field == "event":
                        name = value
                    elif field == "data":
                        data = value
                    elif field == "" and not value:  # the end of an event; one without data only tells where the stream is
                        if data and "." in name:
                            yield json.loads(data)
                        elif data:  # overflow, end, pruned
                            print(f"{name}: {data}", file=sys.stderr)
                        after, name, data = seq, None, None
        except (OSError, http.client.HTTPException):
            time.sleep(0.2)
        NODES.append(NODES.pop(0))


def follow(after=None, count=None):
    left = int(count or 0)
    for record in events(after):
        print(record["seq"], record["event_name"], record["actor"], record["resource"] or "-", flush=True)
        left -= 1
        if left == 0:
            return


def main():
    command = {"plan": plan, "halt": halt, "flag": flag, "wait": wait, "follow": follow}.get("".join(sys.argv[1:2]))
    try:
        inspect.signature(command).bind(*sys.argv[2:])
    except TypeError:
        sys.exit(print(__doc__, file=sys.stderr) or 2)
    try:
        command(*sys.argv[2:])
    except Refused as refused:
        sys.exit(print(f"{refused.problem['code']}: {refused}", file=sys.stderr) or 1)
    except Unknown as unknown:
        sys.exit(print(unknown, file=sys.stderr) or 5)


main()
