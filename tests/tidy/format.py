#!/usr/bin/env python3
"""clang-format agrees with every C file; functions stop at 70 lines, files at 800. Fails when it has looked at no file."""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOLDERS = ("base", "fsm", "consensus", "node", "tools", "tests", "chaos")
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 70


def long_functions(path):
    """A function begins at a `{` in the first column after a line that isn't indented, and ends at a `}` there."""
    start = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line == "{":
            start = number
        elif line == "}" and start is not None:
            if number - start - 1 > FUNCTION_LINES_MAX:
                yield f"{path.relative_to(ROOT)}:{start}: a function of {number - start - 1} lines"
            start = None


def main():
    files = sorted(p for folder in FOLDERS for p in (ROOT / folder).rglob("*.[ch]"))
    if not files:
        print("not ok - format: no file was looked at")
        return 1
    errors = []
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *map(str, files)], cwd=ROOT,
                         capture_output=True, text=True, check=False)
    if run.returncode:
        errors += sorted({re.sub(re.escape(str(ROOT)) + "/", "", line).split(":")[0] + ": clang-format would change it"
                          for line in run.stderr.splitlines() if "error:" in line})
    for path in files:
        lines = path.read_text().count("\n")
        if lines > FILE_LINES_MAX:
            errors.append(f"{path.relative_to(ROOT)}: {lines} lines")
        errors += long_functions(path)
    for error in errors:
        print(error)
    print(f"{'not ok' if errors else 'ok'} - format of {len(files)} files")
    return 1 if errors else 0


sys.exit(main())
