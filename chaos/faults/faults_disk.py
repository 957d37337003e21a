"""Faults of disks: full, failing, and files that were damaged while the node was down."""
import os
import pathlib
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager

from catalog import fault
from common import Environment, Violation, wait_for
from world import command

FIU = "/usr/lib/fiu"
SMALL_SPARE = 96 << 20   # of a small disk beyond what the node has already
SMALL_MAX = 2 << 30      # a node that has more is not moved into memory


def folder_bytes(path):
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file())


def move_to(node, mount):
    """Copies a stopped node's data onto a small disk in memory that stands in its place; or back."""
    aside = node.folder / "data.aside"
    if mount:
        size = folder_bytes(node.data)
        if size > SMALL_MAX:
            raise Environment(f"{node.name} has {size >> 20} MiB already")
        node.data.rename(aside)
        node.data.mkdir()
        command("mount", "-t", "tmpfs", "-o", f"size={size + SMALL_SPARE}", "tmpfs", str(node.data))
        command("cp", "-a", f"{aside}/.", str(node.data))
    else:
        shutil.rmtree(aside)
        shutil.copytree(node.data, aside)
        command("umount", str(node.data))
        node.data.rmdir()
        aside.rename(node.data)


@fault("disk-full", "disk", "a node's disk (a small one in memory) fills up, and is emptied again", ("namespaces",))
def disk_full(run):
    with run.take() as node:
        node.end()
        move_to(node, True)
        node.start()
        try:
            wait_for(f"{node.name} on its small disk", node.status, 30)
            run.hold(0.5, 2)
            with run.fault("disk-full", node):
                filler = node.data / "filler"
                with open(filler, "wb", buffering=0) as out:
                    try:
                        while out.write(b"\0" * (1 << 20)):
                            pass
                    except OSError:
                        pass
                run.hold(2, 6)
                filler.unlink()
            run.hold(1, 2)
            if not node.alive():
                run.violation(f"{node.name} ended ({node.process.returncode}) on a full disk: {node.log()[-300:]}")
        finally:
            node.end()
            move_to(node, False)
        node.start()


def preload(node, libraries, **environment):
    node.environment = {"LD_PRELOAD": ":".join(libraries), **environment}


def fail_by_libfiu(node, point, chance):
    subprocess.run(["fiu-ctrl", "-f", str(node.folder / "fiu"), "-c", f"enable_random name={point},probability={chance},failinfo=5",
                    str(node.process.pid)], check=False, capture_output=True)


@contextmanager
def failing_writes(node, every):
    """Every so many-th write to the newest write-ahead log fails; by strace, since libfiu would fail those to event descriptors, too."""
    tracer = subprocess.Popen(["strace", "-f", "-q", "-o", "/dev/null", "-p", str(node.process.pid), "-P", str(newest_wal(node)), "-e",
                               "trace=write,pwrite64", "-e", f"inject=write,pwrite64:error=EIO:when={every}+{every}"],
                              stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def ended_well(run, node):
    """A node whose disk fails goes on or ends with a status that a supervisor knows; it never crashes."""
    code = node.process.poll()
    if code is not None and code not in (1, 3, 70):
        run.violation(f"{node.name} ended with {code} when its disk failed: {node.log()[-600:]}")


@fault("io-errors", "disk", "reads, opens or syncs of a node's disk fail with EIO (libfiu)", ("fiu-ctrl", f"{FIU}/fiu_posix_preload.so"))
def io_errors(run):
    point = run.random().choice(("posix/io/sync/fdatasync", "posix/io/sync/*", "posix/io/rw/pread", "posix/io/oc/open"))
    chance = run.random().choice((1, 0.3, 0.02))
    with run.take() as node:
        preload(node, (f"{FIU}/fiu_run_preload.so", f"{FIU}/fiu_posix_preload.so"), FIU_CTRL_FIFO=str(node.folder / "fiu"))
        try:
            node.end()
            node.start()
            wait_for(f"{node.name} with libfiu", node.status, 30)
            run.hold(0.5, 2)
            with run.fault("io-errors", node):
                run.say(f"  {node.name}: {point} fails, {chance:.0%}")
                node.expected_end = True
                fail_by_libfiu(node, point, chance)
                run.hold(2, 5)
            ended_well(run, node)
        finally:
            node.end()
            node.environment = {}
            for path in node.folder.glob("fiu*"):
                path.unlink()
        node.start()


@fault("write-errors", "disk", "writes of a node's raft log fail with EIO (strace)", ("strace",))
def write_errors(run):
    with run.take() as node:
        with run.fault("write-errors", node):
            node.expected_end = True
            with failing_writes(node, run.random().choice((1, 5, 50))):
                run.hold(1, 4)
        ended_well(run, node)
        if node.alive():
            node.end()
        node.start()


def refused_start(run, node, patience_s=20):
    """Starts it; (exit code, what it said), the code None when it goes on."""
    since = node.log_size()
    node.start()
    node.expected_end = True
    try:
        code = node.process.wait(patience_s)
    except subprocess.TimeoutExpired:
        code = None
    return code, node.log(since)


def damage(path, at, random):
    """Flips one bit."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ (1 << random.randrange(8))]))


def newest_wal(node):
    return max((node.data / "log").glob("*.log"), key=lambda p: int(p.stem), default=None)


def with_a_long_wal(run, node):
    """The newest write-ahead log of a node that is killed now; long enough that its middle lies before the mark."""
    def long_enough():
        wal = newest_wal(node)
        return wal and wal.stat().st_size > 200_000
    wait_for(f"{node.name} to have a write-ahead log of some length", long_enough, 60)
    run.pause(2.5)  # the mark is refreshed every second
    node.end(signal.SIGKILL)
    return newest_wal(node)


def must_refuse(run, node, what):
    code, said = refused_start(run, node)
    if code == 1 and "damaged" in said and "members remove" in said:
        run.detected(what)
        return
    node.end()
    run.violation(f"{node.name} with {what} was not refused with the way to go on (exit {code}): {said[-500:]}")


@fault("corrupt-log", "corruption", "a bit of the raft log is flipped while the node is down", lossy=True)
def corrupt_log(run):
    with run.take() as node, run.fault("corrupt-log", node):
        wal = with_a_long_wal(run, node)
        data = wal.read_bytes()
        at = data.find(b"chaos", len(data) // 4)  # inside an entry, with whole entries behind it
        if not 0 <= at < len(data) * 3 // 5:
            raise Environment("no entry was found in the write-ahead log's middle")
        damage(wal, at, run.random())
        must_refuse(run, node, f"a flipped bit in log/{wal.name} at {at} of {len(data)}")
        run.rejoin(node)


@fault("truncate-log", "corruption", "the raft log loses its end while the node is down", lossy=True)
def truncate_log(run):
    with run.take() as node, run.fault("truncate-log", node):
        wal = with_a_long_wal(run, node)
        size = wal.stat().st_size
        os.truncate(wal, size // 3)
        must_refuse(run, node, f"log/{wal.name} cut from {size} to {size // 3} bytes")
        run.rejoin(node)


@fault("corrupt-mark", "corruption", "both copies of the mark are damaged, or the file is gone, while the node is down", lossy=True)
def corrupt_mark(run):
    with run.take() as node, run.fault("corrupt-mark", node):
        run.pause(1.5)
        node.end(signal.SIGKILL)
        mark = node.data / "mark"
        if run.random().random() < 0.3:
            mark.unlink()
        else:
            for copy in (0, 4096):
                damage(mark, copy + run.random().randrange(32, 80), run.random())
        must_refuse(run, node, "a damaged mark")
        run.rejoin(node)


def state_folder(node):
    """The newest store."""
    folders = [p for p in node.data.glob("state.*") if p.is_dir()]
    return max(folders, key=lambda p: int(p.name.split(".")[1]))


RECORD = b"\xa9flags.set"  # as only a record of the trail has it: its event's name as msgpack, and not in a key


def store_with_records(run, node):
    """A table of the stopped node's store that holds audit records."""
    node.end(signal.SIGTERM)  # a graceful stop flushes
    files = []
    for path in sorted(state_folder(node).glob("*.sst")):
        data = path.read_bytes()
        at = data.find(RECORD, len(data) // 3)
        if at >= 0:
            files.append((path, at, len(data)))
    if not files:
        raise Environment("no table with records was found")
    return run.random().choice(files)


def finds_it(run, node, what):
    """A node with a damaged store refuses to start, ends, or says so when it is read; it never serves it."""
    code, said = refused_start(run, node, 8)
    if code is None:
        answer = node.ask("GET", "/v1/audit/verify?consistency=stale", timeout_s=60)
        said = node.log()
        if node.alive() and answer and answer[0] == 200 and answer[1]["valid"]:
            run.violation(f"{node.name} with {what} serves a trail that it calls whole")
        elif not node.alive() or answer is None or answer[0] >= 500 or not answer[1].get("valid", True):
            run.detected(what)
    elif code in (1, 70) and "state" in said:
        run.detected(what)
    else:
        run.violation(f"{node.name} with {what} ended with {code}: {said[-500:]}")
    node.end()


def new_store(node):
    """As the node's own message says: the store is moved away, and comes anew from the log or from another node."""
    for path in [p for p in node.data.glob("state.*") if p.is_dir()]:
        path.rename(node.data / f"damaged.{path.name}.{time.monotonic_ns()}")


@fault("corrupt-state", "corruption", "a bit of the store is flipped while the node is down")
def corrupt_state(run):
    with run.take() as node, run.fault("corrupt-state", node):
        path, at, size = store_with_records(run, node)
        damage(path, at, run.random())
        finds_it(run, node, f"a flipped bit in {path.parent.name}/{path.name} at {at} of {size}")
        new_store(node)
        node.start()
        run.well_then_erase(node, "damaged.*")


@fault("truncate-state", "corruption", "a table of the store loses its end while the node is down")
def truncate_state(run):
    with run.take() as node, run.fault("truncate-state", node):
        path, _, size = store_with_records(run, node)
        os.truncate(path, size // 2)
        finds_it(run, node, f"{path.parent.name}/{path.name} cut from {size} to {size // 2} bytes")
        new_store(node)
        node.start()
        run.well_then_erase(node, "damaged.*")


@fault("lost-state", "corruption", "the store is gone while the node is down; the log stays")
def lost_state(run):
    with run.take() as node, run.fault("lost-state", node):
        node.end(signal.SIGKILL)
        new_store(node)
        node.start()
        run.well_then_erase(node, "damaged.*")
