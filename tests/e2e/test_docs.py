#!/usr/bin/env python3
"""Every command in the documents is run: each ```sh block of a file, in order, in one shell, against a fresh cluster.

A block `<!-- test: COMMAND -->` before it prepares what a reader would have at that point. Blocks of another kind hold no commands:
a line there that begins with one of the project's commands is an error. docs/reference/cli.md is generated, and checked by its
own test.
"""
import os
import pathlib
import re
import subprocess

from harness import BIN, ROOT, Cluster, cli_env, main

GENERATED = {"docs/reference/cli.md"}
MACHINES = {"docs/install.md"}  # test_package.py runs it, on hosts of its own
# These start, test or stop a whole cluster of their own; tests/e2e/test_tools.py and test_bench.py run them, and the gate is tools/test.
ELSEWHERE = re.compile(r"^\s*(tools/(up|down|test|soak|bench|chaos|sim|fuzz)\b|\. run/env)")
COMMAND = re.compile(r"^\s*(\$ )?(autonomy|autonomyd|curl|jq|tools/\w+|docs/examples/\S+) ")


def documents():
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [f for f in files if str(f.relative_to(ROOT)) not in GENERATED | MACHINES]


def blocks(text):
    """(kind, first line number, lines) of each fenced block, and of each test comment as kind "test"."""
    kind, start, lines = None, 0, []
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.match(r"<!-- test: (.*) -->$", line)
        fence = re.match(r"\s*```(\w*)\s*$", line)
        if kind is None and comment:
            yield "test", number, [comment[1]]
        elif fence and kind is None:
            kind, start, lines = fence[1] or "text", number + 1, []
        elif fence:
            yield kind, start, lines
            kind = None
        elif kind is not None:
            lines.append(line)


def run_document(path):
    script, commands = [], 0
    for kind, start, lines in blocks(path.read_text()):
        if kind in ("sh", "test"):
            kept = [l for l in lines if not ELSEWHERE.match(l)]
            script.append(f"echo '## {path.name}:{start}' >&2\n" + "\n".join(kept))
            commands += sum(1 for l in kept if COMMAND.match(l))
        else:
            for offset, line in enumerate(lines):
                assert not COMMAND.match(line), f"{path.name}:{start + offset}: a command outside a ```sh block: {line}"
    if commands == 0:
        return 0
    with Cluster(3) as cluster:
        env = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}", ASAN_OPTIONS="detect_leaks=1", **cli_env(cluster))
        env["AUTONOMY_CONFIG_FILE"] = str(cluster.nodes[0].config)
        (cluster.folder / "docs").symlink_to(ROOT / "docs")  # for the examples
        run = subprocess.run(["bash", "-euo", "pipefail", "-c", "\n".join(script)], env=env, cwd=cluster.folder, capture_output=True,
                             text=True, timeout=300, check=False, stdin=subprocess.DEVNULL)
        assert run.returncode == 0, f"{path.name}: exit {run.returncode}\n{run.stdout[-2000:]}\n{run.stderr[-3000:]}"
    return commands


def test_every_command_in_the_documents_runs():
    total, files = 0, documents()
    assert files, "no document was looked at"
    for path in files:
        total += run_document(path)
    assert total > 0, "no command was found in the documents"
    print(f"{total} commands in {len(files)} documents")


main(globals())
