#!/usr/bin/env python3
"""tools/soak --hours: simulation, mutants, chaos, kills and fuzzing in turns until the time is over, and one report.

Each turn runs a step of a kind that has had the least of its share; what fails is kept and the soak goes on, so that one
finding doesn't hide the next. A step that the environment can't make (exit 3) is named in the report and not tried again.
"""
import argparse
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAST_LINES = 40         # of a failed step, in the report


class Step:
    """One command; how it went is its exit code."""

    def __init__(self, kind, words):
        self.kind, self.words = kind, [str(w) for w in words]
        self.seconds, self.code, self.last, self.output = 0.0, None, "", ""

    def run(self, log, deadline):
        """Its output goes to the log. A step may end after the deadline, but not by much."""
        began = time.monotonic()
        with open(log, "w+", encoding="utf-8", errors="replace") as out:
            process = subprocess.Popen(self.words, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
            try:
                self.code = process.wait(max(600, deadline - began + 1800))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM)
                process.wait()
                self.code = 124
            except KeyboardInterrupt:
                process.wait(120)  # it was interrupted, too
                raise
            out.seek(0)
            lines = [line.rstrip() for line in out if line.strip()]
        self.seconds = time.monotonic() - began
        self.last = lines[-1] if lines else ""
        self.output = "\n".join(lines[-LAST_LINES:])

    def verdict(self):
        if self.code == 3:
            return "environment"
        return "ok" if self.code == 0 else "FAILED"


class Soak:
    def __init__(self, arguments):
        self.out, self.rng = pathlib.Path(arguments.out), random.Random(arguments.seed)
        self.arguments, self.deadline = arguments, time.monotonic() + arguments.hours * 3600
        self.steps, self.without = [], set()
        self.mutants, self.mutant_at = self.mutant_names(), 0
        # kind: (share of the time, what makes its next step)
        self.kinds = {"sim": (30, self.sim), "chaos": (45, self.chaos), "mutants": (10, self.mutant), "fuzz": (10, self.fuzz),
                      "kills": (5, self.kills)}
        for kind in arguments.without:
            self.without.add(kind)

    @staticmethod
    def mutant_names():
        run = subprocess.run([ROOT / "tools/sim", "--help"], capture_output=True, text=True, check=False)
        return re.findall(r"^  (\S+) ", run.stdout.partition("Mutants:\n")[2], re.M)

    def left_minutes(self):
        return max(0.2, (self.deadline - time.monotonic()) / 60)

    def sim(self):
        first = self.rng.randrange(10**6, 10**9)
        return Step("sim", ["tools/sim", "--seeds", f"{first}..{first + 49}", "--minutes", self.rng.choice((1, 3, 5)), "--jobs",
                            self.arguments.jobs])

    def mutant(self):
        """The next planted bug: it must be found within the simulator's own bound."""
        if not self.mutants:
            return None
        name = self.mutants[self.mutant_at % len(self.mutants)]
        self.mutant_at += 1
        return Step("mutants", ["tools/sim", "--mutants", "--mutant", name, "--jobs", self.arguments.jobs])

    def chaos(self):
        minutes = round(min(10, self.left_minutes()), 2)
        seed = self.rng.randrange(1, 10**6)
        return Step("chaos", ["tools/chaos", "--nodes", self.rng.choice((3, 5, 5)), "--minutes", minutes, "--seed", seed, "--out",
                              self.out / f"chaos-{seed}"])

    def fuzz(self):
        return Step("fuzz", ["tools/fuzz", "--minutes", 1, "--dir", self.out / "fuzz"])

    def kills(self):
        return Step("kills", ["tools/soak", "kills", "--rounds", 20, "--release"])

    def next(self):
        """A step of the kind that is furthest behind its share."""
        used = {kind: sum(s.seconds for s in self.steps if s.kind == kind) for kind in self.kinds}
        for kind in sorted((k for k in self.kinds if k not in self.without), key=lambda k: used[k] / self.kinds[k][0]):
            step = self.kinds[kind][1]()
            if step:
                return step
            self.without.add(kind)
        return None

    def go(self):
        while time.monotonic() < self.deadline and (step := self.next()):
            step.run(self.out / f"{len(self.steps) + 1:04}-{step.kind}.log", self.deadline)
            self.steps.append(step)
            if step.verdict() == "environment":
                self.without.add(step.kind)
            print(f"{step.verdict():<11} {step.kind:<8} {step.seconds:6.0f} s  {step.last[:150]}", flush=True)
            self.report()

    def report(self):
        failed = [s for s in self.steps if s.verdict() == "FAILED"]
        lines = [f"# Soak: {len(self.steps)} steps, {len(failed)} failed, seed {self.arguments.seed}", "",
                 "| kind | steps | minutes | failed | without |", "| --- | --- | --- | --- | --- |"]
        for kind in self.kinds:
            own = [s for s in self.steps if s.kind == kind]
            lines.append(f"| {kind} | {len(own)} | {sum(s.seconds for s in own) / 60:.1f} | {sum(s.verdict() == 'FAILED' for s in own)} | "
                         f"{'left out' if kind in self.without else ''} |")
        lines += ["", "| step | verdict | seconds | command | last line |", "| --- | --- | --- | --- | --- |"]
        for number, step in enumerate(self.steps, 1):
            lines.append(f"| {number:04} | {step.verdict()} | {step.seconds:.0f} | `{' '.join(step.words)}` | {step.last[:200].replace('|', '/')} |")
        for step in failed:
            lines += ["", f"## {' '.join(step.words)}", "", "```", step.output, "```"]
        (self.out / "report.md").write_text("\n".join(lines) + "\n")
        (self.out / "report.json").write_text(json.dumps(
            {"seed": self.arguments.seed, "steps": [{"kind": s.kind, "command": s.words, "verdict": s.verdict(), "exit": s.code,
                                                     "seconds": round(s.seconds, 1), "last": s.last} for s in self.steps]}, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(prog="tools/soak", add_help=False)
    parser.add_argument("--hours", type=float, required=True)
    parser.add_argument("--out")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 10**6))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--without", action="append", default=[], choices=("sim", "chaos", "mutants", "fuzz", "kills"))
    arguments = parser.parse_args()
    if not 0 < arguments.hours <= 24 * 30:
        parser.error("--hours: up to a month")
    arguments.out = pathlib.Path(arguments.out or f"run/soak/{time.strftime('%Y%m%d-%H%M%S')}-{arguments.seed}").absolute()
    arguments.out.mkdir(parents=True, exist_ok=True)
    soak = Soak(arguments)
    try:
        soak.go()
    except KeyboardInterrupt:
        print(f"tools/soak: interrupted; the report so far is {arguments.out}/report.md", file=sys.stderr)
        return 130
    counts = {v: sum(s.verdict() == v for s in soak.steps) for v in ("ok", "FAILED", "environment")}
    print(f"soak: {len(soak.steps)} steps in {arguments.hours:g} hours: {counts['ok']} ok, {counts['FAILED']} failed, "
          f"{counts['environment']} not possible here; seed {arguments.seed}; {arguments.out}/report.md")
    return 1 if counts["FAILED"] else 0 if counts["ok"] else 3


sys.exit(main())
