#!/usr/bin/env python3
"""The simulator plays a seed the same on every run and build, tells a violation from a usage error, and finds a planted bug."""
import re
import subprocess

from harness import BIN, ROOT, Skip, main


def sim(*arguments, binary=BIN / "sim", timeout_s=300):
    run = subprocess.run([str(binary), *arguments], capture_output=True, text=True, timeout=timeout_s, check=False)
    return run.returncode, run.stdout, run.stderr


def trace(out):
    last = out.strip().splitlines()[-1]
    assert re.fullmatch(r"trace [0-9a-f]{64}", last), last
    return last


def test_a_seed_plays_the_same_again():
    traces = [trace(sim("--seed", "7", "--minutes", "1")[1]) for _ in range(2)]
    assert traces[0] == traces[1], traces
    assert trace(sim("--seed", "8", "--minutes", "1")[1]) != traces[0], "another seed is another schedule"


def test_a_seed_plays_the_same_in_every_build():
    others = [p for p in (ROOT / "build/release/bin/sim", ROOT / "build/dev/bin/sim") if p.exists() and p != BIN / "sim"]
    if not others:
        raise Skip("there is one build only")
    for seed in ("7", "11"):
        mine = trace(sim("--seed", seed, "--minutes", "1")[1])
        for other in others:
            assert trace(sim("--seed", seed, "--minutes", "1", binary=other)[1]) == mine, f"{other} plays seed {seed} differently"


def test_many_seeds_are_counted():
    code, out, err = sim("--seeds", "1..4", "--minutes", "1", "--jobs", "2")
    assert code == 0, out + err
    assert out.strip().endswith("ok - 4 of the 4 seeds 1..4 hold"), out
    assert re.search(r"[1-9]\d* writes acknowledged", out), out
    assert re.search(r"[1-9]\d* restarts", out), out


def test_faults_are_chosen():
    code, out, err = sim("--seed", "3", "--minutes", "1", "--faults", "none")
    assert code == 0 and "\n0 faults:" in "\n" + out, out + err
    code, out, err = sim("--seed", "3", "--minutes", "1", "--faults", "crash,partition", "--nodes", "3")
    assert code == 0, out + err
    assert " pause 0" in out and " loss 0" in out, out


def test_wrong_usage_is_told_from_a_violation():
    for wrong in ([], ["--seed", "x"], ["--seeds", "5..1"], ["--seed", "1", "--faults", "gremlins"], ["--seed", "1", "--nodes", "99"],
                  ["--seed", "1", "--mutant", "nobody"]):
        code, _, err = sim(*wrong)
        assert code == 2 and "sim" in err, (wrong, code, err)
    code, out, _ = sim("--help")
    assert code == 0 and "sim --seed 7" in out


NAMED = ("ack-before-sync", "vote-not-persisted", "term-and-vote-in-two-writes", "apply-twice-after-restart", "requests-lost-at-snapshot",
         "snapshot-before-flush", "read-without-confirmation", "digest-not-checked", "record-outside-the-group", "truncate-past-the-mark")


def test_planted_bugs_are_listed_and_found():
    _, out, _ = sim("--help")
    mutants = re.findall(r"^  ([a-z-]+) {2,}\S", out[out.index("Mutants:"):], re.M)
    assert len(mutants) >= 18 and not set(NAMED) - set(mutants), mutants
    for name in ("ack-before-sync", "rule-one-change"):  # all of them: tools/test, in the release build
        code, out, err = sim("--mutants", "--mutant", name)
        assert code == 0 and f"ok - {name}" in out, out + err


main(globals())
