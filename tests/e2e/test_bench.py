#!/usr/bin/env python3
"""tools/bench measures what it says: a short run ends without errors, its figures agree, and failures are counted as such."""
import http.server
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import threading

from harness import BIN, ROOT, Cluster, Skip, main

WORKLOADS = ("flag-set", "plan-create", "read", "stale-read", "mixed")
PRESET = "release" if "/release/" in str(BIN) else "dev"


def bench(*arguments, check=True):
    environment = dict(os.environ, AUTONOMY_BENCH_PRESET=PRESET)
    run = subprocess.run([str(ROOT / "tools/bench"), *arguments], capture_output=True, text=True, timeout=300, check=False, env=environment)
    if check and run.returncode:
        raise AssertionError(f"tools/bench {' '.join(arguments)}: exit {run.returncode}\n{run.stdout}\n{run.stderr}")
    return run


def sane(figures, connections, nodes):
    latency = figures["latency_us"]
    assert figures["errors"] == 0 and not any(figures["failures"].values()), figures
    assert figures["operations"] > 0 and figures["operations"] == sum(figures["statuses"].values()), figures
    assert figures["connections"] == connections and len(figures["targets"]) == nodes, figures
    assert abs(figures["ops_per_s"] * figures["elapsed_s"] - figures["operations"]) <= figures["operations"] * 0.01 + 1, figures
    assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"], figures
    # A closed loop: no more than `connections` latencies fit beside each other into the time.
    assert figures["operations"] * latency["p50"] / 2 <= connections * (figures["elapsed_s"] + 1) * 1e6, figures
    assert figures["client_cpu_s"] >= 0


def test_every_workload_runs_without_errors():
    with Cluster(3) as cluster:
        urls = ",".join(n.url for n in cluster.nodes)
        pids = ",".join(str(n.process.pid) for n in cluster.nodes)
        for workload in WORKLOADS:
            run = bench("--url", urls, "--pid", pids, "--workload", workload, "--connections", "7", "--duration", "1s",
                        "--warmup", "100ms", "--output", "json")
            figures = json.loads(run.stdout)
            sane(figures, 7, 3)
            assert figures["workload"] == workload
            assert figures["server_cpu_s"] > 0, figures
        flag = cluster.leader().ask("GET", "/v1/flags/bench-0").json()
        assert len(flag["value"]) == 200, flag
        leader = cluster.leader().url
        figures = json.loads(bench("--url", urls, "--leader", "--workload", "plan-create", "--duration", "300ms", "--connections", "2", "--output", "json").stdout)
        assert figures["targets"] == [leader] and figures["server_cpu_s"] is None, figures
        text = bench("--url", urls, "--duration", "300ms", "--connections", "2").stdout
        assert "p999" in text and "errors      0" in text, text


def test_the_check_of_the_audit_trail_is_measured():
    figures = json.loads(bench("verify", "--records", "3000", "--output", "json").stdout)
    for side in ("state", "folder"):
        assert figures[side]["records"] == 3000 and figures[side]["seconds"] > 0 and figures[side]["times_sha256sum"] > 0, figures
    assert figures["sha256sum"]["bytes"] > 3000 * 300, figures
    assert bench("verify", "--clients", "3", check=False).returncode == 2
    assert bench("--records", "3", check=False).returncode == 2


def test_without_a_cluster_it_brings_its_own_and_takes_it_away():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="autonomy-bench-test-"))
    try:
        figures = json.loads(bench("--work", str(folder), "--duration", "1s", "--connections", "4", "--output", "json").stdout)
        sane(figures, 4, 3)
        assert figures["server_cpu_s"] > 0
        assert list(folder.iterdir()) == [], "nothing stays"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_failures_are_counted_and_never_as_operations():
    class Refusing(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        count = 0

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            Refusing.count += 1
            if Refusing.count % 3 == 0:
                self.wfile.write(b"HTTP/1.0 nonsense\r\n\r\n")
            elif Refusing.count % 3 == 1:
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
            self.close_connection = Refusing.count % 3 != 1

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            run = bench("--url", f"http://127.0.0.1:{server.server_port}", "--workload", "plan-create", "--connections", "1",
                        "--duration", "1s", "--warmup", "0", "--output", "json", check=False)
        finally:
            server.shutdown()
    assert run.returncode == 1, run
    figures = json.loads(run.stdout)
    assert figures["operations"] == 0 and figures["latency_us"]["max"] == 0, figures
    assert figures["statuses"].keys() == {"503"} and figures["failures"]["closed"] > 0 and figures["failures"]["malformed"] > 0, figures
    assert figures["errors"] == figures["statuses"]["503"] + sum(figures["failures"].values()), figures
    assert figures["failures"]["connect"] == figures["failures"]["timeout"] == 0, figures


def test_compare_prints_ratios():
    if not shutil.which("etcd"):
        raise Skip("etcd-server is not installed; tools/bench compare installs it")
    run = bench("compare", "--clients", "4", "--pairs", "txn,put,read,stale-read", "--rounds", "1", "--duration", "500ms", "--output", "json")
    rows = json.loads(run.stdout)["rows"]
    assert {(r["pair"], r["connections"]) for r in rows} == {(p, 4) for p in ("txn", "put", "read", "stale-read")}, rows
    for row in rows:
        assert row["autonomy"]["errors"] == 0 and row["etcd"]["errors"] == 0, row
        for ratio in ("ops", "p50", "p99", "server_cpu"):
            assert row["ratios"][ratio] > 0, row


def test_wrong_usage_and_a_missing_server_are_told_apart():
    for arguments in (["--what"], ["--connections"], ["--output", "xml"], ["--workload", "none"], ["--connections", "0"],
                      ["--duration", "0"], ["--value-bytes", "99999"], ["compare", "--pairs", "none"], ["compare", "--dir", "x"], ["--clients", "1"]):
        url = [] if arguments[0] == "compare" else ["--url", "http://127.0.0.1:9"]
        run = bench(*arguments[:1], *url, *arguments[1:], check=False) if arguments[0] == "compare" else bench(*url, *arguments, check=False)
        assert run.returncode == 2 and run.stderr, (arguments, run)
    assert bench("--url", "127.0.0.1:9", check=False).returncode == 2
    assert bench("--url", "http://127.0.0.1:9", check=False).returncode == 3
    assert bench("--dir", "/nonexistent", check=False).returncode == 3
    assert "tools/bench" in bench("--help").stdout


main(globals())
