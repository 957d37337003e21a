#!/usr/bin/env python3
"""A short chaos run on real nodes, and the promises of tools/chaos itself: verdicts, exit codes, nothing left behind."""
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile

from harness import BIN, ROOT, Skip, main, wait_for

sys.path.insert(0, str(ROOT / "chaos/faults"))
import world  # pylint: disable=wrong-import-position

# One of each sort, and quick ones. None that preloads a library: so does AddressSanitizer.
FAULTS = "kill-leader,kill-all,thaw-leader,isolate-leader,majority,one-way,resets,corrupt-mark,wipe,second-cluster,failover,malformed"


def need_namespaces():
    prefix, why = world.isolation()
    if prefix is None:
        raise Skip(f"NO REAL CHAOS WAS MADE: no network namespaces here: {why}")


class Folder:
    def __enter__(self):
        self.path = pathlib.Path(tempfile.mkdtemp(prefix="autonomy-chaos-"))
        return self.path

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)


def words(out, *more):
    return [sys.executable, str(ROOT / "chaos/faults/main.py"), "--bin", str(BIN), "--out", str(out), *more]


def processes_of(folder):
    """Those that name the folder on their command line."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(folder).encode() in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            pass
    return found


def judge(path):
    return subprocess.run([str(BIN / "chaos-check"), str(path)], capture_output=True, text=True, timeout=120, check=False)


def lies_are_found(path):
    """The same history with one thing untrue is rejected: a stale read, a lost update, a doubled one, two leaders, half a transfer."""
    lines = path.read_text().splitlines()

    def index_of(*words):
        return next(i for i in range(len(lines) * 2 // 3, len(lines)) if all(w in lines[i] for w in words))

    read = json.loads(lines[i := index_of('"kind":"read","key"', '"outcome":"ok"', '"value":')])
    older = next(json.loads(l) for l in lines if f'"key":"{read["key"]}"' in l and '"value":' in l and '"kind":"set"' in l and '"outcome":"ok"' in l)
    stale = lines[:i] + [json.dumps(dict(read, value=older["value"], version=older["version"]))] + lines[i + 1:]
    audit = index_of('"type":"audit"', '"event":"flags.set"', '"request":"c')
    both = json.loads(lines[j := index_of('"kind":"read","parts"', '"outcome":"ok"')])
    both["parts"][0]["value"] += 1
    leader = next(json.loads(l) for l in lines if '"type":"leader"' in l)
    lies = {"a stale read": stale, "a lost update": lines[:audit] + lines[audit + 1:],
            "a doubled update": lines + [json.dumps(dict(json.loads(lines[audit]), seq=10**6, index=10**6))],
            "half a transfer": lines[:j] + [json.dumps(both)] + lines[j + 1:],
            "two leaders": lines + [json.dumps(dict(leader, node="n9"))]}
    changed = path.with_name("lie.jsonl")
    changed.write_text("\n".join(lines) + "\n")
    assert judge(changed).returncode == 0, judge(changed)
    for name, text in lies.items():
        changed.write_text("\n".join(text) + "\n")
        run = judge(changed)
        assert run.returncode == 1, (name, run)


def test_three_nodes_under_faults_keep_their_promises():
    need_namespaces()
    with Folder() as folder:
        run = subprocess.run(words(folder / "run", "--nodes", "3", "--minutes", "0.5", "--faults", FAULTS, "--seed", "7", "--rate", "200",
                                   "--clients", "24"), capture_output=True, text=True, timeout=400, check=False)
        print(run.stdout[-1500:])
        if run.returncode == 3:
            raise Skip(f"NO REAL CHAOS WAS MADE: {run.stderr.strip()[-300:]}")
        if run.returncode:
            for log in sorted((folder / "run/nodes").glob("*/log")):
                print(f"--- {log.parent.name} ---\n{log.read_text(errors='replace')[-2000:]}")
        assert run.returncode == 0, (run.returncode, run.stdout[-3000:], run.stderr[-1000:])
        assert (folder / "run/history.jsonl").stat().st_size > 100000
        assert "no violation" in run.stdout.splitlines()[-1], run.stdout
        lies_are_found(folder / "run/history.jsonl")


def test_an_interrupted_or_killed_run_leaves_nothing():
    need_namespaces()
    for sig in (signal.SIGINT, signal.SIGKILL):
        with Folder() as folder:
            out = folder / "run"
            run = subprocess.Popen(words(out, "--nodes", "3", "--faults", "kill"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
            wait_for("nodes that run", lambda: len(processes_of(out / "nodes")) >= 3)
            run.send_signal(sig)
            assert run.wait(60) == (130 if sig == signal.SIGINT else -signal.SIGKILL)
            wait_for("all processes gone", lambda: not processes_of(out))
            assert str(out) not in pathlib.Path("/proc/mounts").read_text()
            if sig == signal.SIGINT:
                assert (out / "history.jsonl").exists()


def test_wrong_usage_is_told_from_a_violation():
    with Folder() as folder:
        for more in (["--nodes", "1"], ["--faults", "nonsense"], ["--minutes", "x"], ["--nodes"]):
            run = subprocess.run(words(folder / "run", *more), capture_output=True, text=True, timeout=60, check=False)
            assert run.returncode == 2, (more, run)
        listed = subprocess.run([str(ROOT / "tools/chaos"), "--list"], capture_output=True, text=True, timeout=60, check=True).stdout
        for name in ("kill", "isolate-leader", "disk-full", "corrupt-log", "wipe", "clock-jump"):
            assert f"  {name} " in listed, listed


def test_without_namespaces_it_says_so_and_runs_on_loopback():
    with Folder() as folder:
        run = subprocess.run(words(folder / "run", "--nodes", "3", "--minutes", "0.02", "--faults", "kill,isolate-leader", "--no-namespaces"),
                             capture_output=True, text=True, timeout=200, check=False)
        assert run.returncode == 0, run
        assert "NO NETWORK NAMESPACES" in run.stderr and "isolate-leader is left out" in run.stdout, run


def test_a_soak_without_anything_to_do_is_no_success():
    with Folder() as folder:
        without = [w for kind in ("sim", "chaos", "mutants", "fuzz", "kills") for w in ("--without", kind)]
        soak = [sys.executable, str(ROOT / "chaos/soak/main.py"), "--out", str(folder)]
        for more, code in ((["--hours", "0.001", *without], 3), (["--hours", "-1"], 2), (["--hours", "1", "--without", "nothing"], 2)):
            run = subprocess.run([*soak, *more], capture_output=True, text=True, timeout=60, check=False)
            assert run.returncode == code, (more, run)


main(globals())
