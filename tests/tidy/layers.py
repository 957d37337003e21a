#!/usr/bin/env python3
"""Dependencies run one way, and each library has one owner: checked from the includes.

The table below is the rule; docs/concepts.md shows it as a picture. Fails when it has looked at no file.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# folder: what it may include besides itself (a folder, or one header)
MAY_INCLUDE = {
    "base": [],
    "fsm": ["base/"],
    "consensus": ["base/"],
    "node/http": ["base/", "fsm/", "consensus/consensus.h", "consensus/machine.h", "node/service.h", "node/metrics.h"],
    "node": ["base/", "fsm/", "consensus/consensus.h", "consensus/machine.h", "node/http/server.h",
             "node/http/outcome.h"],
    "tools": ["base/", "fsm/audit.h", "fsm/audit_view.h", "fsm/targets.h"],
    "chaos": ["base/", "fsm/", "consensus/", "node/", "tools/load/response.h"],
}

# library header: the only files that may include it
OWNERS = {
    r"rocksdb/.*": ["base/kv.c"],
    r"msgpack.*": ["base/schema*.c"],
    r"jansson\.h": ["base/schema*.c", "fsm/*view*.c", "fsm/targets.c", "node/*.c", "node/http/*", "tools/autonomy/*",
                   "chaos/*/*"],
    r"raft\.h|raft/.*": ["consensus/engine*"],
    r"uv\.h": ["base/worker.c", "consensus/wire.c", "consensus/wire_*", "node/*.c", "node/internal.h", "chaos/*/*"],
    r"microhttpd\.h": ["node/http/*"],
    r"curl/.*": ["node/*.c", "tools/autonomy/*"],
    r"cyaml/.*": ["node/config.c"],
    r"yaml\.h": ["node/config.c", "tools/autonomy/yaml.c"],
    r"systemd/.*": ["node/supervisor.c"],
    r"zlib\.h": ["tools/autonomy/archive.c"],
    r"gnutls/.*": ["base/hash.c"],
    r"pthread\.h|threads\.h": ["base/worker.c", "base/kv.c", "node/*.c", "node/internal.h", "node/http/*"],
}

# calls of libraft that were seen to corrupt, drop or crash (docs/decisions/0002): absent everywhere
FORBIDDEN_CALLS = r"\b(raft_apply|raft_barrier|raft_start|raft_add|raft_assign|raft_remove|raft_transfer|raft_recover|raft_bootstrap|raft_uv_\w+)\s*\("


def folder_of(path):
    parts = path.parts
    return "node/http" if parts[:2] == ("node", "http") else parts[0]


def allowed(header, path, folder):
    if header.startswith(folder + "/") and not (folder == "node" and header.startswith("node/http/")):
        return True
    return any(header == rule or (rule.endswith("/") and header.startswith(rule)) for rule in MAY_INCLUDE[folder])


def check(path, text):
    folder = folder_of(path)
    for line_number, line in enumerate(text.splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*([<"])([^>"]+)[>"]', line)
        if include and include[1] == '"':
            if not allowed(include[2], path, folder):
                yield f"{path}:{line_number}: {folder}/ may not include {include[2]}"
        elif include:
            for pattern, owners in OWNERS.items():
                if re.fullmatch(pattern, include[2]) and not any(path.match(owner) for owner in owners):
                    yield f"{path}:{line_number}: <{include[2]}> belongs to {', '.join(owners)}"
        forbidden = re.search(FORBIDDEN_CALLS, line)
        if forbidden and not line.lstrip().startswith(("*", "/*", "//")):
            yield f"{path}:{line_number}: {forbidden[1]}() is one of libraft's calls that must not be used"


def self_test():
    """The rules bite: each planted violation is found."""
    planted = {
        "base/x.c": '#include "fsm/fsm.h"',
        "fsm/x.c": '#include "consensus/consensus.h"',
        "fsm/y.c": "#include <uv.h>",
        "consensus/x.c": '#include "fsm/fsm.h"',
        "consensus/log.c": "#include <raft.h>",
        "node/x.c": '#include "consensus/engine.h"',
        "node/http/x.c": '#include "node/mailbox.h"',
        "tools/autonomy/x.c": '#include "fsm/store.h"',
        "node/kv.c": "#include <rocksdb/c.h>",
        "consensus/engine.c": "    raft_apply(raft, request, buffers, 2, done);",
    }
    return [f"self test: {name}: {text} was not found" for name, text in planted.items()
            if not list(check(pathlib.Path(name), text))]


def main():
    errors, files = self_test(), 0
    for folder in ("base", "fsm", "consensus", "node", "tools", "chaos"):
        for path in sorted((ROOT / folder).rglob("*.[ch]")):
            files += 1
            errors += check(path.relative_to(ROOT), path.read_text())
    for error in errors:
        print(error)
    if files == 0 or errors:
        print(f"not ok - layers: {len(errors)} errors in {files} files")
        return 1
    print(f"ok - layers hold in {files} files")
    print("ok - every planted violation of the layers is found")
    return 0


sys.exit(main())
