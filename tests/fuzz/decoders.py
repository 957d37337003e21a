#!/usr/bin/env python3
"""Every decoder of the tree has a fuzz target, and the stored corpus gets through it: a new schema, route or reader without one fails.

  decoders.py REACHED      a folder with what each target's replay reached (fuzz_NAME --reached FILE)

Three comparisons: files that call a reading function against decoders.txt; tables of fields (SCHEMA) against those that some input
was accepted by; routes against those that some request succeeded on.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
READERS = (r"\b(json_parse|json_load\w*|schema_unpack|schema_from_json|schema_peek_u64|value_to_json|value_get_\w+|view_unpack|view_get_record|"
           r"store_unpack|store_get_record|reader_unpack|reader_get_record|cyaml_load\w*|yaml_parser_\w+|parse_u64|parse_duration_ms|time_parse|"
           r"hex_decode|get_u(?:16|32|64)|strto[a-z]+|sscanf|getline|fread|disk_small_read|MHD_lookup_connection_value|\w+_decode|command_inspect)"
           r"\s*\(")
# Beyond tables and routes: that an input got to where only a sound one gets.
MARKS = ["configuration taken", "manifest taken", "trail verified", "cursor taken", "line without a tree"]


def sources():
    for folder in ("base", "consensus", "fsm", "node", "tools"):
        yield from sorted((ROOT / folder).rglob("*.c"))


def readers(text):
    return set(re.findall(READERS, re.sub(r"/\*.*?\*/", "", text, flags=re.S)))


def tables(text):
    """Names of the schemas that this text defines, by SCHEMA() or by hand."""
    names = re.findall(r'=\s*SCHEMA\("([^"]+)"', text)
    return names + re.findall(r'const struct schema \w+ = \{\s*\.name = "([^"]+)"', text)


def listed():
    rows, unread, errors = {}, set(), []
    for number, line in enumerate((HERE / "decoders.txt").read_text().splitlines(), 1):
        words = line.split()
        if not words or words[0] == "#":
            continue
        table = re.fullmatch(r'table "([^"]+)"\s+- \S+ .*', line)
        if table:
            unread.add(table[1])
            continue
        if len(words) < 2 or words[0] in rows or (words[1] == "-" and len(words) < 5):
            errors.append(f"decoders.txt:{number}: a file, once, and its targets or '- why none is needed'")
        rows[words[0]] = [] if words[1:2] == ["-"] else words[1:]
    return rows, unread, errors


def check_files(rows, found, targets):
    for path, names in sorted(found.items()):
        if path not in rows:
            yield f"{path} reads with {', '.join(sorted(names))} and stands in no row of tests/fuzz/decoders.txt"
    for path, wanted in rows.items():
        if path not in found:
            yield f"decoders.txt: {path} reads nothing any more, or isn't there"
        yield from (f"decoders.txt: {path}: there is no target {name}" for name in wanted if name not in targets)


def check_reached(names, unread, lines, marks):
    schemas = {line[7:] for line in lines if line.startswith("schema ")}
    table = {line[6:] for line in lines if line.startswith("table ")}
    served = {" ".join(line.split()[1:3]) for line in lines if line.startswith("route ") and line.split()[3][0] == "2"}
    yield from (f"no input of any corpus is accepted as a \"{name}\"" for name in sorted(set(names) - schemas - unread))
    yield from (f"decoders.txt: nothing reads \"{name}\", it says, and something does, or it isn't there"
                for name in sorted(unread & schemas | unread - set(names)))
    yield from (f"no request of corpus/route succeeds on {route}" for route in sorted(table - served))
    yield from (f"no input of any corpus says \"{mark}\"" for mark in marks if mark not in lines)
    if not table:
        yield "fuzz_route names no routes"


def self_test():
    """What is missing is found."""
    text = 'static const struct schema x = SCHEMA("new", struct x, x_fields);\n/* json_parse( */ y = parse_u64(z);'
    planted = [
        (readers(text) == {"parse_u64"} and tables(text) == ["new"], "a reader or a table in a source"),
        (list(check_files({}, {"fsm/x.c": {"parse_u64"}}, [])), "a file in no row"),
        (list(check_files({"fsm/x.c": ["gone"]}, {"fsm/x.c": {"parse_u64"}}, ["text"])), "a row with an unknown target"),
        (list(check_files({"fsm/x.c": ["text"]}, {}, ["text"])), "a row without its file"),
        (list(check_reached(["new"], set(), {"table GET /a", "route GET /a 200"}, [])), "a table that nothing was accepted by"),
        (list(check_reached([], set(), {"table GET /a", "route GET /a 404"}, [])), "a route that nothing succeeded on"),
        (list(check_reached(["a"], {"a"}, {"schema a", "table GET /a", "route GET /a 200"}, [])), "a table that is read after all"),
        (not list(check_reached(["a", "b"], {"b"}, {"schema a", "table GET /a", "route GET /a 200", "m"}, ["m"])), "nothing, where all is there"),
    ]
    return [f"self test: not found: {what}" for good, what in planted if not good]


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(__doc__.strip())
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    rows, unread, errors = listed()
    errors += self_test()
    targets = sorted(path.stem[5:] for path in HERE.glob("fuzz_*.c"))
    built = re.search(r"set\(fuzz_targets ([^)]*)\)", (HERE / "CMakeLists.txt").read_text())[1].split()
    errors += [f"fuzz_{name}.c is not among fuzz_targets in CMakeLists.txt" for name in sorted(set(targets) ^ set(built))]
    found, names, lines = {}, [], set()
    for path in sources():
        text = path.read_text()
        names += tables(text)
        if readers(text):
            found[str(path.relative_to(ROOT))] = readers(text)
    errors += check_files(rows, found, targets)
    for name in targets:
        reached = pathlib.Path(sys.argv[1]) / name
        if not reached.exists():
            errors.append(f"{reached} isn't there: was fuzz/{name} run?")
        else:
            lines |= set(reached.read_text().splitlines())
    errors += check_reached(names, unread, lines, MARKS)
    for error in errors:
        print(error)
    if errors or not found or not names:
        print(f"not ok - decoders: {len(errors)} errors; {len(found)} files, {len(names)} tables")
        return 1
    print(f"ok - {len(found)} files that read have a target, {len(set(names))} tables and all routes are reached by the corpora")
    print("ok - every planted gap is found")
    return 0


sys.exit(main())
