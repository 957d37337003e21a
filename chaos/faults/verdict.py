"""What came of a run: chaos-check's verdict on the history, what the faults themselves found, availability per fault."""
import json
import pathlib
import subprocess

REQUIRED = "flags,plans,switches,prefix,session,audit,bank,events,leaders,final,recovery"
READS = {"read", "plan_read", "switch_read"}


def availability(path):
    """Per kind of fault: how many, and of those that were alone the share of changes that were decided meanwhile, and the longest time
    without an acknowledged one. A fault that shared its time with another says nothing of its own kind."""
    faults, acknowledged, changes = [], [], []
    with open(path, encoding="ascii") as lines:
        for line in lines:
            if '"type":"fault"' in line:
                faults.append(json.loads(line))
            elif '"type":"op"' in line:
                op = json.loads(line)
                if op["kind"] in READS:
                    continue
                end = op.get("complete_ns")
                changes.append((op["invoke_ns"], op["outcome"] == "ok" or bool(op.get("code"))))
                if op["outcome"] == "ok" and end:
                    acknowledged.append(end)
    acknowledged.sort()
    changes.sort()
    rows = {}
    for fault in faults:
        row = rows.setdefault(fault["name"], {"times": 0, "alone": 0, "seconds": 0.0, "changes": 0, "decided": 0, "gap_ms_max": 0})
        begin, end = fault["begin_ns"], fault["end_ns"]
        row["times"] += 1
        if any(other is not fault and other["begin_ns"] < end and begin < other["end_ns"] for other in faults):
            continue
        row["alone"] += 1
        row["seconds"] += (end - begin) / 1e9
        within = [ok for at, ok in changes[position(changes, (begin, False)):position(changes, (end, False))]]
        row["changes"] += len(within)
        row["decided"] += sum(within)
        inside = acknowledged[max(0, position(acknowledged, begin) - 1):position(acknowledged, end) + 1]
        gaps = [b - a for a, b in zip(inside, inside[1:])]
        row["gap_ms_max"] = max([row["gap_ms_max"], *(g // 10**6 for g in gaps)])
    for row in rows.values():
        row["seconds"] = round(row["seconds"], 1)
        row["decided_percent"] = round(100 * row["decided"] / row["changes"], 2) if row["changes"] else None
    return rows


def position(sorted_list, value):
    import bisect
    return bisect.bisect_left(sorted_list, value)


def judge(arguments, outcome, rows):
    """Prints the verdict's sentence; the exit code."""
    out = pathlib.Path(arguments.out)
    checked = None
    checker = pathlib.Path(arguments.bin) / "chaos-check"
    if checker.exists():
        words = [str(checker), str(out)]
        if outcome["count"]:  # the run came to its end: every check must have had something to look at
            words += ["--require", REQUIRED]
        run = subprocess.run(words, capture_output=True, text=True, check=False)
        checked = run.returncode
        (out / "check.log").write_text(run.stdout + run.stderr)
        print(run.stdout.strip())
    else:
        print("NOT JUDGED: there is no chaos-check beside autonomyd")
    summary = {"seed": arguments.seed, "nodes": arguments.nodes, "minutes": arguments.minutes, "clients": outcome["count"],
               "violations": outcome["violations"], "notes": outcome["notes"],
               "detections": outcome["detections"], "availability": rows, "checked": checked}
    (out / "chaos.json").write_text(json.dumps(summary, indent=1) + "\n")
    for name, row in sorted(rows.items()):
        print(f"  {name:<18} {row['times']:3} times, {row['alone']:3} alone  {row['seconds']:7.1f} s  {row['changes']:7} changes, "
              f"{row['decided_percent'] if row['decided_percent'] is not None else '-':>6} % decided, longest gap {row['gap_ms_max']} ms")
    for violation in outcome["violations"]:
        print(f"violation: {violation}")
    bad = bool(outcome["violations"]) or checked not in (0, 3, None)
    verdict = "VIOLATION" if bad else "no violation" if checked == 0 else "NOT JUDGED"
    made = sum(row["times"] for row in rows.values())
    print(f"chaos: {verdict}: {arguments.nodes} nodes, {arguments.minutes:g} minutes, "
          f"{made} faults of {len(rows)} kinds, {len(outcome['detections'])} damages detected, {outcome['count']}, seed {arguments.seed}; {out}")
    return 1 if bad else 0 if checked == 0 else 3
