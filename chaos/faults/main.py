#!/usr/bin/env python3
"""tools/chaos, after it has built: arguments, the private namespaces, exit codes. See chaos/README.md."""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

import catalog
import faults_disk
import faults_machine
import faults_members
import faults_network
import faults_process
import world
from common import Environment, Violation
from run import Run
from verdict import availability, judge

MODULES = (faults_process, faults_network, faults_disk, faults_members, faults_machine)  # each registers its faults


def arguments_of(words):
    parser = argparse.ArgumentParser(prog="tools/chaos", add_help=False)
    parser.add_argument("--nodes", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--faults", default="all")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out")
    parser.add_argument("--rate", type=int, default=400)
    parser.add_argument("--clients", type=int, default=48)
    parser.add_argument("--no-namespaces", action="store_true")
    parser.add_argument("--keep-data", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--bin", required=True)
    parser.add_argument("--inner", choices=("network", "loopback"))
    arguments = parser.parse_args(words)
    if not 3 <= arguments.nodes <= 9:
        parser.error("--nodes: within 3 .. 9")
    if not 0 < arguments.minutes <= 7 * 24 * 60:
        parser.error("--minutes: up to a week")
    arguments.fault_names = names_of(arguments.faults, parser)
    if arguments.seed is None:
        arguments.seed = random.SystemRandom().randrange(1, 10**6)
    if arguments.out is None:
        arguments.out = str(pathlib.Path("run/chaos") / f"{time.strftime('%Y%m%d-%H%M%S')}-{arguments.seed}")
    arguments.out = str(pathlib.Path(arguments.out).absolute())
    arguments.run = f"c{arguments.seed % 10**6}"
    return arguments


def names_of(text, parser):
    """A comma list of faults and groups; -NAME takes one out."""
    names = set()
    for word in text.split(","):
        leave = word.startswith("-")
        word = word.lstrip("-")
        some = set(catalog.FAULTS) if word == "all" else set(catalog.GROUPS.get(word, [word]))
        if not some <= set(catalog.FAULTS):
            parser.error(f"--faults: there is no {word}; see --list")
        names = names - some if leave else names | some
    if not names:
        parser.error("--faults: none is left")
    return sorted(names)


def inner(arguments):
    """In the namespaces: the run itself. Its words for the outer process go to OUT/outcome.json."""
    def end_with_the_input():
        sys.stdin.read()
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=end_with_the_input, daemon=True).start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcome = {"count": None, "environment": None, "interrupted": False, "failures": []}
    run = None
    try:
        run = Run(arguments, world.Network() if arguments.inner == "network" else world.Loopback())
        outcome["count"] = run.go()
    except KeyboardInterrupt:
        outcome["interrupted"] = True
    except Violation as violation:
        run.violation(str(violation))
    except Environment as error:
        outcome["environment"] = str(error)
    except Exception:  # the harness itself: what it didn't look at proves nothing
        outcome["failures"].append(traceback.format_exc())
    finally:
        if run:
            outcome["failures"] += run.failures
            run.close()
            run.join_history()
            outcome.update(violations=run.violations, notes=run.notes, faults=run.faults, detections=run.detections)
            if not arguments.keep_data and not run.violations:
                run.cluster.erase_data()
        (pathlib.Path(arguments.out) / "outcome.json").write_text(json.dumps(outcome))
    return 0


def start_inner(words, prefix, kind, out, bin_folder, seed):
    """Runs this program in namespaces and waits; Ctrl-C closes its input, and it cleans up."""
    process = subprocess.Popen([*prefix, sys.executable, __file__, *words, "--inner", kind, "--out", out, "--seed", str(seed)],
                               stdin=subprocess.PIPE, start_new_session=True,
                               env=dict(os.environ, AUTONOMY_CHAOS_CGROUP=str(os.getpid())))

    def stop(*_):
        if process.stdin and not process.stdin.closed:
            process.stdin.close()
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    code = process.wait()
    for root in ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup"):
        try:
            (pathlib.Path(root) / f"autonomy-chaos-{os.getpid()}").rmdir()
        except OSError:
            pass
    return code


def main():
    words = sys.argv[1:]
    if "--list" in words:
        for group, names in catalog.GROUPS.items():
            print(f"{group}:")
            for name in names:
                print(f"  {name:<18} {catalog.FAULTS[name].text}")
        return 0
    arguments = arguments_of(words)
    if arguments.inner:
        return inner(arguments)
    out = pathlib.Path(arguments.out)
    if out.exists() and any(out.iterdir()):
        print(f"tools/chaos: {out} is not empty", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    prefix, why = (None, "as asked") if arguments.no_namespaces else world.isolation()
    if prefix is None:
        print(f"tools/chaos: NO NETWORK NAMESPACES ({why}): loopback, and faults of processes and disks only", file=sys.stderr, flush=True)
    start_inner(words, prefix or [], "network" if prefix else "loopback", arguments.out, arguments.bin, arguments.seed)
    try:
        outcome = json.loads((out / "outcome.json").read_text())
        (out / "outcome.json").unlink()
    except (OSError, ValueError):
        print(f"tools/chaos: the run ended without a word; see {out}", file=sys.stderr)
        return 3
    if outcome["environment"]:
        print(f"tools/chaos: the environment: {outcome['environment']}", file=sys.stderr)
        return 3
    if outcome["interrupted"]:
        print(f"tools/chaos: interrupted; what there is is in {out}", file=sys.stderr)
        return 130
    code = judge(arguments, outcome, availability(out / "history.jsonl"))
    for failure in outcome["failures"]:
        print(f"tools/chaos: the harness itself failed, so the run proves nothing:\n{failure}", file=sys.stderr)
    return code if code or not outcome["failures"] else 3


sys.exit(main())
