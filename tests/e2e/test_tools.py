#!/usr/bin/env python3
"""tools/up and tools/down do what they say: again, after a kill, with what an earlier run chose, and nothing else's."""
import json
import pathlib
import shutil
import subprocess
import tempfile
import urllib.request

from harness import BIN, ROOT, free_base_port, main

PRESET = ["--release"] if "/release/" in str(BIN) else []


def tool(name, *arguments, check=True):
    run = subprocess.run([str(ROOT / "tools" / name), *arguments], capture_output=True, text=True, timeout=300, check=False)
    if check and run.returncode:
        raise AssertionError(f"{name}: exit {run.returncode}\n{run.stdout}\n{run.stderr}")
    return run


def status(folder, node):
    url = (folder / node / "url").read_text().strip()
    with urllib.request.urlopen(url + "/v1/ha/status", timeout=10) as answer:
        return json.load(answer)


def pids(folder):
    return {n: int((folder / n / "pid").read_text()) for n in ("n1", "n2", "n3") if (folder / n / "pid").exists()}


def runs(pid):
    """A process that nobody has reaped yet doesn't run."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_up_is_repeatable_and_down_stops_what_it_started():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="autonomy-tools-")) / "run"
    base = str(free_base_port(3))
    try:
        tool("up", "--dir", str(folder), "--base-port", base, *PRESET)
        first = pids(folder)
        assert {m["name"] for m in status(folder, "n2")["members"]} == {"n1", "n2", "n3"}
        tool("up", "--dir", str(folder))
        assert pids(folder) == first, "what runs is left alone"
        subprocess.run(["kill", "-9", str(first["n2"])], check=True)
        tool("up", "--dir", str(folder))
        second = pids(folder)
        assert second["n2"] != first["n2"] and second["n1"] == first["n1"] and second["n3"] == first["n3"]
        env = (folder / "env").read_text()
        for name in ("AUTONOMY_ORCHESTRATOR_URL", "AUTONOMY_ORCHESTRATOR_FALLBACK_URLS", "AUTONOMY_OPERATOR", "AUTONOMY_AUDIT_DIR", "AUTONOMY_CONFIG_FILE", "PATH"):
            assert name in env, name
        cluster_id = status(folder, "n1")["cluster_id"]
        tool("down", "--dir", str(folder))
        assert [p for p in second.values() if runs(p)] == []
        tool("up", "--dir", str(folder))
        assert status(folder, "n1")["cluster_id"] == cluster_id, "data stays"
        tool("up", "--dir", str(folder), "--fresh", "--base-port", base, *PRESET)
        assert status(folder, "n1")["cluster_id"] != cluster_id, "fresh means from nothing"
    finally:
        tool("down", "--dir", str(folder), check=False)
        shutil.rmtree(folder.parent, ignore_errors=True)


def test_wrong_usage_is_told_with_exit_2():
    for arguments in (["--nodes", "0"], ["--nodes"], ["--base-port", "80"], ["--what"]):
        run = tool("up", *arguments, "--dir", tempfile.mkdtemp(prefix="autonomy-usage-"), check=False) if arguments[-1] != "--nodes" else tool("up", *arguments, check=False)
        assert run.returncode == 2, (arguments, run)
    assert tool("test", "--what", check=False).returncode == 2
    assert tool("down", "--what", check=False).returncode == 2
    for name in ("up", "down", "test", "soak", "package"):
        run = tool(name, "--help", check=False)
        assert run.returncode in (0,), (name, run)
        assert "tools/" in run.stdout


main(globals())
