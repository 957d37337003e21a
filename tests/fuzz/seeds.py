#!/usr/bin/env python3
"""Writes the seeds of the fuzz corpora: inputs that mean something, from which the fuzzers and the gate go on.

  tests/fuzz/seeds.py BUILD [CORPUS]

BUILD is a folder of the ordinary build (build/dev): inputs that programs make better than hands, such as packed records and a chained
audit trail, come from its fuzz programs. CORPUS is tests/fuzz/corpus. Written files are replaced, others are left alone; what the
fuzzers found is kept beside them under names of 12 hex digits.
"""
import os
import pathlib
import struct
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PLAN = ('{"plan_id":"p1","artifact":{"name":"app","version":"2","previous_version":"1"},"stages":[{"stage_id":"s1","target":{"percent":5},'
        '"gates":[{"kind":"manual"}]},{"stage_id":"s2"}],"reason":"r"}')
OPERATOR = "X-Autonomy-Operator: ann@example.com\nContent-Type: application/json\n"

# One request for each row of the route table, in an order in which they succeed: (line, headers, body).
ROUTES = [
    ("GET /v1/health", "", ""), ("GET /health", "", ""), ("HEAD /v1/health/read-ready", "", ""),
    ("GET /v1/health/read-ready", "", ""), ("GET /v1/health/write-ready", "", ""), ("GET /v1/health/quorum", "", ""),
    ("GET /v1/health/leader", "", ""), ("GET /v1/health/audit", "", ""), ("GET /v1/version", "", ""),
    ("GET /v1/support/configuration", "", ""), ("GET /metrics", "", ""), ("GET /v1/ha/status?timeout=1s", "", ""),
    ("GET /v1/ha/quorum", "", ""), ("GET /v1/ha/members?limit=10", "", ""), ("GET /v1/ha/epochs?limit=5", "", ""),
    ("POST /v1/ha/failover", OPERATOR, '{"reason":"r","target_node":"n2"}'),
    ("POST /v1/ha/members", OPERATOR, '{"node_id":9,"name":"n9","address":"h:1","url":"http://h:2","version":"1","level":1}'),
    ("DELETE /v1/ha/members/n3", OPERATOR, '{"reason":"r"}'),
    ("POST /v1/rollouts?publish=true", OPERATOR + "Idempotency-Key: k1\n", PLAN),
    ("POST /v1/rollouts", OPERATOR, PLAN.replace('"p1"', '"p2"')),
    ("GET /v1/rollouts?limit=1&phase=active", "", ""), ("GET /v1/rollouts/stuck?threshold_seconds=60", "", ""),
    ("GET /v1/rollouts/p1?consistency=stale", "", ""), ("POST /v1/rollouts/p2/publish", OPERATOR, '{"reason":"r"}'),
    ("POST /v1/rollouts/p1/pause", OPERATOR, '{"reason":"r"}'), ("POST /v1/rollouts/p1/resume", OPERATOR, "{}"),
    ("GET /v1/rollouts/p1/stages/s1/gates", "", ""),
    ("POST /v1/rollouts/p1/nodes/e1", OPERATOR, '{"state":"activated","version":"2","labels":{"site":"lab"}}'),
    ("POST /v1/rollouts/p1/stages/s1/gates/approve", OPERATOR, '{"reason":"r"}'),
    ("POST /v1/rollouts/p2/cancel", OPERATOR, '{"reason":"r"}'),
    ("GET /v1/rollback/targets", "", ""),
    ("POST /v1/rollback/preview", OPERATOR, '{"target":"rollout_plan","resource":"p1","strategy":"rollback"}'),
    ("POST /v1/rollback/execute", OPERATOR, '{"target":"rollout_stage","resource":"p1/s1","strategy":"halt","reason":"r"}'),
    ("POST /v1/rollback/execute", OPERATOR,
     '{"target":"rollout_plan","resource":"p1","reason":"r","preview_token":"0123456789abcdef0123456789abcdef"}'),
    ("POST /v1/rollback/execute", OPERATOR, '{"target":"ha_leader_resign","resource":"current","reason":"r"}'),
    ("POST /v1/rollouts", OPERATOR, PLAN.replace('"p1"', '"p3"')), ("POST /v1/rollouts/p3/publish", OPERATOR, "{}"),
    ("POST /v1/rollouts/p3/halt", OPERATOR, '{"stage_id":"s1","reason":"r"}'),
    ("POST /v1/rollouts/p3/recover", OPERATOR, '{"strategy":"rollback","pace":"staged","reason":"r"}'),
    ("PUT /v1/flags/f1/definition", OPERATOR, '{"type":"integer","default":1,"safe":0,"reason":"r"}'),
    ("PUT /v1/flags/f1", OPERATOR, '{"value":7,"reason":"r","expected_version":1}'),
    ("POST /v1/flags", OPERATOR, '{"changes":[{"key":"f1","value":8},{"key":"PROMPT_MODE","value":"full"}],"reason":"r"}'),
    ("GET /v1/flags?limit=1", "", ""), ("GET /v1/flags/f1", "", ""),
    ("PUT /v1/kill-switches/k1", OPERATOR, '{"flags":["f1"],"reason":"r"}'),
    ("GET /v1/kill-switches?limit=2", "", ""), ("GET /v1/kill-switches/k1", "", ""),
    ("POST /v1/kill-switches/k1/activate", OPERATOR, '{"reason":"r"}'),
    ("POST /v1/kill-switches/k1/reset", OPERATOR, '{"reason":"r","approver":"carol@example.com","root_cause":"c"}'),
    ("GET /v1/audit?category=flags&event_type=flags.set&start_time=2026-01-02T03:04:05Z&limit=3&order=oldest", "", ""),
    ("GET /v1/audit?actor=ann%40example.com&outcome=success&source=orchestrator&resource=f1", "", ""),
    ("GET /v1/audit/verify", "", ""), ("GET /v1/events?category=flags,ha&event_type=flags.set", "Last-Event-ID: 1\n", ""),
    ("GET /v1/events?last_event_id=0", "", ""), ("POST /v1/internal/confirm", "", ""), ("POST /v1/internal/checkpoints", "", ""),
    ("GET /v1/internal/checkpoints/c1/files/000001.sst", "Range: bytes=2-5\n", ""),
    ("GET /v1/internal/checkpoints/c1/files/000001.sst", "Range: bytes=-3\n", ""),
    ("GET /v1/internal/checkpoints/c1/files/000001.sst", "Range: bytes=99-\n", ""),
    ("PUT /v1/flags/f1", "Content-Type: application/msgpack\nX-Autonomy-Timeout-Ms: 500\n", b"\x82\xa5value\x05\xa6reason\xa1r"),
    ("PATCH /v1/flags/f1", "", ""), ("GET /v1/flags/%66%31", "", ""), ("GET /v1/flags/%zz", "", ""), ("GET /nothing", "", ""), ("GET /openapi.json", "", ""),
    ("GET /v1/rollouts?cursor=00", "", ""), ("GET /v1/flags?cursor=8a2d3fb566", "", ""),
    ("GET /v1/audit/prune?before_seq=5", "", ""), ("POST /v1/audit/prune", OPERATOR, '{"keep_days":400,"reason":"r"}'),
    ("GET /v1/audit/verify?limit=3&cursor=1." + "00" * 32, "", ""), ("GET /v1/audit?format=csv&order=asc&limit=2&cursor=a1", "", ""),
]

CONFIG_ALL = """name: n1
data_dir: /d
bootstrap: false
join: [http://127.0.0.1:7102, "http://user:secret@127.0.0.1:7103"]
insecure: true
api: {listen: 0.0.0.0:7101, advertise_url: http://h:7101, threads: 4, connections: 100, connections_per_address: 9, body_bytes: 2MiB,
  header_timeout: 5s, write_timeout: 250ms}
wire: {listen: "[::1]:7201", advertise: h:7201}
election_timeout_ms: 500
heartbeat_ms: 50
snapshot_entries: 1000
trailing_entries: 0
reserve_bytes: 1GiB
audit: {segment_bytes: 4096}
rollout: {stuck_after: 90d}
log_level: debug
"""
MANIFEST = ('{"checkpoint_id":"c1","cluster_id":"0123456789abcdef0123456789abcdef","generation":1,"index":12,"schema":1,"digest":"00",'
            '"files":[{"name":"000001.sst","bytes":10,"sha256":"' + "ab" * 32 + '"}]}')
JOINED = '{"cluster_id":"0123456789abcdef0123456789abcdef","generation":1,"node_id":9,"members":[{"node_id":2,"name":"n2","url":"http://h:4"}]}'
ANSWER = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
EVENT = 'id: {0}\nevent: flags.set\ndata: {{"seq":{0},"event_name":"flags.set"}}\n\n'

TEXTS = {
    "config": {"all": CONFIG_ALL, "first": "name: n1\ndata_dir: /d\nbootstrap: true\n", "unknown": "name: n1\ndata_dir: /d\nnmae: x\n",
               "range": "name: n1\ndata_dir: /d\napi: {threads: 65}\n", "twice": "name: a\nname: b\n", "list": "- a\n", "empty": "",
               "alias": "name: &a n1\ndata_dir: *a\n", "block": "name: >-\n  n1\ndata_dir: |-\n  /d\njoin:\n  - http://h:1\n"},
    "cli": {
        "words": "arollout\nplan\ncreate\n--plan-id\np1\n--artifact=a\n--stage\ncanary:5%:soak=10m\n--operator\nann@example.com",
        "dashes": "aflags\nset\n\u2014reason\n\u201cit\u2019s\nbad\u201d\nKEY=\u201c1\u201d\n\u2014operator\na@b",
        "switches": "ahealth\n-h", "before": "a--operator\no\nha\nstatus", "time": "aaudit\nquery\n--start-time\n2026-01-02T03:04:05+02:00",
        "unknown": "arollout\nlist", "double": "aflags\nget\n--output\njson\n--output\njson\nKEY", "end": "aflags\nget\n--\n--KEY",
        "settings": "corchestrator:\n  url: http://127.0.0.1:7101\n", "settings-list": "c- a\n", "settings-text": "corchestrator: text\n",
        "members": 'm{"http://127.0.0.1:1":{"cluster_id":"0123456789abcdef0123456789abcdef","seen_at":1,"urls":["http://h:2","x y",5]}}'
                   '\n---\n{"cluster_id":"0123456789abcdef0123456789abcdef","members":[{"url":"http://h:3"},{"url":""},{}]}',
        "stage": "scanary:5%:soak=10m:success=95:manual:health", "stage-nodes": "ss:nodes=a,b", "stage-labels": "ss:label=site=lab,k=v",
        "screen": 't{"answered":true,"time":"2026-01-02T03:04:05.678Z","cluster_id":"c","leader":{"holder_id":"n1","epoch":1},"quorum":{},'
                  '"replication":{"lag_status":"ok"},"members":[{"name":"n1","url":"http://h:1","answers":true,"reachable":true,"term":1,'
                  '"role":"leader","member_role":"voter","reads_per_s":1.5},{"name":"evil\\u001b[2J","url":"http://h:2"}],"plans":[{"plan_id":"p1",'
                  '"phase":"active","current_stage_id":"s1","stages":[{"stage_id":"s1","stage_phase":"open","nodes":{"total":5,"activated":1},'
                  '"gates":[{"kind":"manual","passed":false}]}]}],"kill_switches":[{"name":"k1","active":true}],"events":[{"event_name":"x"}],'
                  '"tried":["a"],"silent_since":"x","commit_index":7}',
        "flag": "fKEY={\"a\":[1,null]}", "flag-text": "fKEY",
    },
    "events": {"two": "\0: events\nretry: 1000\nid: 4\n\n" + EVENT.format(5) + EVENT.format(6), "heartbeat": "\3: heartbeat\nid: 7\n\n",
               "end": '\5' + EVENT.format(8) + 'id: 8\nevent: end\ndata: {"last_event_id":8,"reason":"bye"}\n\n',
               "half": "\1" + EVENT.format(9) + 'id: 10\nevent: x\ndata: {"se'},
    "load": {"length": "\0" + ANSWER + "Content-Length: 2\r\n\r\n{}", "none": "\1HTTP/1.1 204 No Content\r\n\r\n",
             "chunked": "\3" + ANSWER + "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0;x=y\r\nTrailer: t\r\n\r\n",
             "close": "\2HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "twice": "\4" + ANSWER +
             "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"},
    "text": {"number": "18446744073709551615", "zero": "0", "duration": "1500ms", "days": "90d", "time": "2026-01-02T03:04:05.678Z",
             "offset": "2024-02-29T23:59:59+14:00", "last": "9999-12-31T23:59:59.999Z", "first": "1970-01-01T00:00:00Z",
             "hex": "00ffAb", "name": "a-b_c.d", "escape": "a%20b%c3%a9", "categories": "flags,ha,rollout", "unseen": "\u200b\u00a0\u3000x"},
    "answer": {"cluster": 'f\0{"cluster_id":"0123456789abcdef0123456789abcdef"}', "no-cluster": 'f\0{"cluster_id":""}',
               "let-in": "j\1" + JOINED, "let-in-odd": 'j\0{"cluster_id":"00","generation":-1,"members":{}}',
               "refused": 'j\3{"code":"member_name_taken","detail":"the name belongs to another"}', "refused-mute": "j\3{}",
               "act": 'a\0{"success":true}', "act-moved": 'a\4{"code":"not_leader"}', "act-unknown": "a\5[]",
               "manifest": "m" + MANIFEST, "manifest-path": "m" + MANIFEST.replace("000001.sst", "../x"),
               "manifest-other": "m" + MANIFEST.replace("0123", "9999"), "manifest-newer": "m" + MANIFEST.replace('"schema":1', '"schema":9'),
               "losses": 'q{"incarnation":5,"number":2,"losses":[{"number":1,"lost_ms":10,"restored_ms":20},{}]}', "losses-odd": 'q{"losses":7}'},
    "audit": {"empty": "", "no-record": '{"seq":1}\n\n[]\n', "long": '{"seq":1,' + '"x":"' + "a" * 300 + '"}\n'},
    "mirror": {"empty": "\1", "hash": '\3{"seq":3,"hash":"' + "ab" * 32 + '"}\n{"seq":4,"hash":"' + "cd" * 32 + '"}\n{"seq":5,"ha',
               "gap": '\1{"seq":1,"hash":"x"}\n\x1e{"seq":2}\n', "two": '\1{"seq":1}\n{"seq":2}\n\x1e{"seq":3,"hash":"' + "0" * 64 + '"}\n'},
}


def log_change(what, content):
    return bytes([what, len(content)]) + content


def slot(number, content):
    """A small file's slot; the target makes the checksum right."""
    return (b"autonomy" + struct.pack(">QI", number, len(content)) + bytes(12) + content).ljust(4096, b"\0")


def text(value):
    return bytes([0xa0 | len(value)]) + value.encode()


def meta(term, vote, cluster="0123456789abcdef0123456789abcdef"):
    return bytes([0x97, term, vote, 1, 7, 2]) + b"\xd9" + bytes([len(cluster)]) + cluster.encode() + text("incarnation")


BINARY = {
    "log": {
        "sound": b"", "meta": log_change(0, meta(3, 7)), "meta-early": log_change(0, meta(2, 7)), "meta-short": log_change(0, b"\x92\x03\x01"),
        "snapshot": log_change(1, b"\x94\x02\x01\x01\xc4\x04conf"), "snapshot-late": log_change(1, b"\x94\x09\x03\x01\xc4\x04conf"),
        "folder": log_change(2, b"\x91" + text("state.1")), "entry": log_change(3, b"\x05\x03\x01more"),
        "hole": log_change(3, b"\x07\x03\x01more"), "term-falls": log_change(3, b"\x05\x02\x01more"), "type": log_change(3, b"\x05\x03\x09x"),
        "no-head": log_change(4, b"\x01") + log_change(1, b"\x94\x01\x01\x01\xc4\x04conf"), "no-tail": log_change(4, b"\x04"),
        "no-entries": b"".join(log_change(4, bytes([i])) for i in (1, 2, 3, 4)) + log_change(7, b""), "no-meta": log_change(4, b"\x00\x00"),
        "stranger": log_change(5, b"eabc"), "mark": log_change(6, b"\x96\x04\x03\x03\x07\x01" + text("x")), "no-mark": log_change(7, b""),
    },
    "disk": {"both": b"\3" + slot(1, b"one") + slot(2, b"two"), "first": b"\1" + slot(1, b"one") + bytes(4096),
             "second": b"\2" + bytes(4096) + slot(9, b"nine"), "none": b"\0" + slot(1, b"one"), "short": b"\0autonomy",
             "long": b"\1" + slot(1, b"x")[:16] + struct.pack(">I", 5000) + slot(1, b"x")[20:],
             "full": b"\3" + slot(2**64 - 1, b"a" * 4064) + slot(1, b"")},
    "wal": {"records": b"s\0\x20\3" + b"".join(bytes([40 + i]) * 90 for i in range(12)), "blocks": b"s\x12\x34\5" + bytes(range(1, 255)) * 200,
            "raw": b"r" + bytes(100), "raw-type": b"r\0\0\0\0\1\0\1x"},
    "redact": {}, "http": {},
}


def request(line, headers, body):
    return (line + "\n" + headers + "\n").encode() + (body if isinstance(body, bytes) else body.encode())


def from_commands(corpus):
    """A command's body is a record, too: the same JSON under the number that the record target gives it."""
    for path in sorted((corpus / "command").glob("[a-z]*-[12]")):
        data = path.read_bytes()
        if not path.name.startswith("envelope"):
            yield "json-" + path.name, bytes([data[0] + 9]) + data[1:]


STORED_JSON = [  # in the order of fuzz_record.c's table
    '{"seq":1,"index":2,"term":1,"timestamp":"2026-01-02T03:04:05.678Z","category":"flags","event_name":"flags.set","action":"set",'
    '"outcome":"success","source":"cli","actor":"a","resource_type":"flag","resource":"f","fields":{"k":"v"},"prev_hash":"'
    + "00" * 32 + '","hash":"' + "11" * 32 + '"}', "{}", "{}", "{}", "{}", "{}", "{}", "{}",
    '{"seq":7,"hash":"' + "22" * 32 + '","count":7,"timestamp":"2026-01-02T03:04:05.678Z","record_seq":9,"swept_seq":3}']


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main():
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    build = pathlib.Path(sys.argv[1])
    corpus = pathlib.Path(sys.argv[2]) if len(sys.argv) == 3 else HERE / "corpus"
    for target, files in TEXTS.items():
        for name, content in files.items():
            write(corpus / target, name, content.encode())
    for target, files in BINARY.items():
        for name, content in files.items():
            write(corpus / target, name, content)
    for i, row in enumerate(ROUTES):
        write(corpus / "route", f"{i:02}-{row[0].split()[0].lower()}", request(*row))
    for name, content in from_commands(corpus):
        write(corpus / "record", name, content)
    for i, content in enumerate(STORED_JSON):
        write(corpus / "record", f"stored-{i}", bytes([i]) + content.encode())
    write(corpus / "state", "cursor", b"c\0pa")
    write(corpus / "state", "cursor-flag", b"c\x016631")
    write(corpus / "state", "cursor-other", b"c\0zzz")
    environment = dict(os.environ, AUTONOMY_FUZZ_SEEDS=str(corpus.resolve()))
    for target in ("state", "record"):
        subprocess.run([build / "bin" / f"fuzz_{target}", corpus / target], env=environment, check=True)
    return 0


sys.exit(main())
