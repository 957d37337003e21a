#!/usr/bin/env python3
"""The reference pages name every setting with its default, every route and every code of a refusal that the tables in the source have."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Between nodes only; no operator calls them.
INTERNAL = "/v1/internal/"


def settings():
    """(path, default or "") of each row of the table of settings."""
    rows = re.findall(r'SETTING\(("[^)]*)\)', (ROOT / "node/config.c").read_text())
    return [(texts[0], texts[1] if len(texts) > 1 else "") for texts in (re.findall(r'"([^"]*)"', row) for row in rows)]


def routes():
    text = (ROOT / "node/http/routes.c").read_text()
    return sorted(set(re.findall(r'"(/[^"]*)"', text)))


def codes():
    return re.findall(r'X\(RESULT_[A-Z_]+, "([a-z_]+)"', (ROOT / "fsm/result.h").read_text())


def problems():
    """Codes that a node answers with by itself."""
    texts = "".join(f.read_text() for f in sorted((ROOT / "node").rglob("*.c")))
    return sorted(set(re.findall(r'problem_(?:answer|members)\(request, \d+,\s*"([a-z_]+)"', texts)))


def main():
    errors, page = [], (ROOT / "docs/reference/configuration.md").read_text()
    rows = dict(re.findall(r"^\| `([a-z_.]+)` \| (.*?) \|", page, re.M))
    for path, default in settings():
        if path not in rows:
            errors.append(f"configuration.md lacks {path}")
        elif default and f"`{default}`" != rows[path]:
            errors.append(f"configuration.md: {path} is {rows[path]}, the source says {default}")
    page = (ROOT / "docs/reference/http-api.md").read_text()
    for path in routes():
        tail = "/" + path.rsplit("/", 1)[1]
        if not path.startswith(INTERNAL) and f"`{path}" not in page and f"`{tail}`" not in page:
            errors.append(f"http-api.md lacks {path}")
    for code in codes():
        if f"`{code}`" not in page:
            errors.append(f"http-api.md lacks the code {code}")
    hints = (ROOT / "tools/autonomy/hints.c").read_text()
    for code in problems():
        if f'{{"{code}",' not in hints:
            errors.append(f"tools/autonomy/hints.c has no next step for {code}")
    if len(problems()) < 10:
        errors.append(f"only {len(problems())} codes of problems were found in node/")
    counted = len(settings()) + len(routes()) + len(codes())
    for error in errors:
        print(error)
    if errors or len(settings()) < 10 or len(routes()) < 20 or len(codes()) < 30:
        print(f"not ok - reference pages: {len(errors)} errors, {counted} settings, routes and codes looked at")
        return 1
    print(f"ok - reference pages name {counted} settings, routes and codes")
    return 0


sys.exit(main())
