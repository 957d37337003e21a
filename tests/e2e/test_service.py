#!/usr/bin/env python3
"""A node as a service: what its supervisor hears, when it stops hearing, and a unit that systemd takes and that is hardened.

The supervisor is a datagram socket of the test's own. A loop that hangs and a disk that keeps a write are made with strace, which
holds a thread in one system call; where strace can't attach, these tests are skipped.
"""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time

from harness import BIN, ROOT, Cluster, Skip, main, wait_for

WATCHDOG_S = 2.0
EXPOSURE_MAX = 11  # tenths, of systemd-analyze security; it was that when this was written
FLAG = {"type": "string", "default": "d", "safe": "s", "reason": "service"}


class Supervisor:
    """Hears what a node tells it: (when, field, value) of every line."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.heard = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with contextlib.suppress(OSError):
            while True:
                message = self.socket.recv(65536).decode()
                when = time.monotonic()
                self.heard += [(when, *line.split("=", 1)) for line in message.splitlines()]

    def environment(self, watchdog_s=WATCHDOG_S):
        return {"NOTIFY_SOCKET": self.path, "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}

    def times(self, field, since=0.0):
        return [when for when, name, _ in list(self.heard) if name == field and when > since]

    def lines(self):
        return [value for _, name, value in list(self.heard) if name == "STATUS"]


@contextlib.contextmanager
def supervised(watchdog_s=WATCHDOG_S):
    """(supervisor, node) of a one-node cluster that has become ready."""
    cluster = Cluster(1)
    supervisor = Supervisor(cluster.folder)
    node = cluster.nodes[0]
    node_start = node.start
    node.start = lambda *a, **k: node_start(*a, **{"environment": supervisor.environment(watchdog_s), **k})
    with cluster:
        yield supervisor, node


@contextlib.contextmanager
def held(node, calls, whole_process):
    """Whoever makes one of these system calls is held in it; by strace, until the block ends."""
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    tracer = subprocess.Popen(["strace", *(["-f"] if whole_process else []), "-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter=100s",
                               "-o", "/dev/null", "-p", str(node.process.pid)], stderr=subprocess.PIPE, text=True)
    first = tracer.stderr.readline()
    if "attached" not in first:
        tracer.kill()
        tracer.wait()
        raise Skip(f"strace can't attach: {first.strip()}")
    try:
        yield
    finally:
        tracer.kill()  # at a signal it would wait for the delay; its end frees whom it holds
        tracer.wait(30)
        tracer.stderr.close()


def pings_end(supervisor):
    """True once two intervals have passed without one."""
    def silent():
        last = supervisor.times("WATCHDOG")[-1]
        return time.monotonic() - last > 2 * WATCHDOG_S
    wait_for("two intervals without a ping", silent)


def pings_come_back(supervisor):
    began = time.monotonic()
    wait_for("pings to come back", lambda: len(supervisor.times("WATCHDOG", began)) >= 2)


def test_ready_comes_when_requests_are_answered_and_the_line_says_what_the_node_does():
    with supervised() as (supervisor, node):
        ready = wait_for("READY", lambda: supervisor.times("READY"))
        assert len(ready) == 1, supervisor.heard
        assert node.status() is not None
        wait_for("the role", lambda: any(re.fullmatch(r"leads; term \d+, members 1", line) for line in supervisor.lines()))
        lines = supervisor.lines()
        starting = [line for line in lines if line.startswith("starting: ")]
        assert starting[0] == "starting: lock" and starting[-1] == "starting: http", lines
        assert all(a != b for a, b in zip(lines, lines[1:])), "a line is not repeated"
        before_ready = [value for when, name, value in supervisor.heard if name == "STATUS" and when < ready[0]]
        assert "starting: http" in before_ready, supervisor.heard
        assert node.stop() == 0
        assert len(supervisor.times("STOPPING")) == 1 and supervisor.lines()[-1].startswith("stopping"), supervisor.heard


def test_a_start_that_fails_is_never_ready_and_says_why():
    with supervised() as (supervisor, node):
        node.stop()
        del supervisor.heard[:]
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", node.port))
            taken.listen()
            node.start()
            assert node.process.wait(60) == 3
        wait_for("the reason", lambda: any(line.startswith("can't start: ") and str(node.port) in line for line in supervisor.lines()))
        assert not supervisor.times("READY") and not supervisor.times("WATCHDOG"), supervisor.heard
        node.start()
        wait_for("READY", lambda: supervisor.times("READY"))


def test_pings_come_at_half_the_interval():
    with supervised() as (supervisor, _):
        pings = wait_for("six pings", lambda: (p := supervisor.times("WATCHDOG"))[5:] and p)
        gaps = [b - a for a, b in zip(pings, pings[1:])]
        assert WATCHDOG_S * 0.4 < statistics.median(gaps) < WATCHDOG_S * 0.9, gaps


def test_a_loop_that_hangs_sends_no_pings():
    with supervised() as (supervisor, node):
        wait_for("pings", lambda: supervisor.times("WATCHDOG"))
        with held(node, "epoll_wait,epoll_pwait", whole_process=False):  # the thread that runs the loop
            pings_end(supervisor)
        pings_come_back(supervisor)


def test_a_disk_that_keeps_a_write_ends_the_pings_while_reads_go_on():
    with supervised() as (supervisor, node):
        wait_for("pings", lambda: supervisor.times("WATCHDOG"))
        answers = []
        writer = threading.Thread(target=lambda: answers.append(node.ask("PUT", "/v1/flags/held/definition", FLAG, timeout_s=100).status))
        with held(node, "fsync,fdatasync,sync_file_range", whole_process=True):
            writer.start()
            pings_end(supervisor)
            assert node.ask("GET", "/v1/flags?consistency=stale").status == 200, "the loop turns"
            assert "the disk keeps a write" in node.log()
        pings_come_back(supervisor)
        writer.join()
        assert answers[0] in (200, 201, 504), answers
        wait_for("the write", lambda: node.ask("GET", "/v1/flags/held").status == 200)


def test_a_leader_whose_disk_keeps_a_write_hands_over_before_its_supervisor_gives_it_up():
    cluster = Cluster(3)
    supervisor = Supervisor(cluster.folder)
    with cluster:
        node = cluster.wait_leader()
        node.stop()
        node.start(environment=supervisor.environment())
        cluster.wait_ready()
        wait_for("its office", lambda: cluster.leader() is node or (
            cluster.wait_leader().ask("POST", "/v1/ha/failover", {"reason": "test", "target_node": node.name}).status == 200 and cluster.leader() is node))
        wait_for("pings", lambda: supervisor.times("WATCHDOG"))
        writer = threading.Thread(target=lambda: node.ask("PUT", "/v1/flags/held/definition", FLAG, timeout_s=100))
        with held(node, "fsync,fdatasync,sync_file_range", whole_process=True):
            writer.start()
            leader = cluster.wait_leader(other_than=node)
            assert leader.ask("PUT", "/v1/flags/meanwhile/definition", FLAG).status == 201
            pings_end(supervisor)
        writer.join()
        pings_come_back(supervisor)
        cluster.wait_equal()
        assert all(leader.ask("GET", f"/v1/flags/{key}").status == 200 for key in ("held", "meanwhile")), "what a majority has is kept"


def test_without_a_supervisor_or_with_a_dead_one_a_node_runs():
    with Cluster(1) as cluster:
        node = cluster.nodes[0]
        for socket_path in ("", str(cluster.folder / "nobody"), "not a path"):
            node.stop()
            node.start(environment={"NOTIFY_SOCKET": socket_path, "WATCHDOG_USEC": "100000"})
            cluster.wait_ready()
        assert node.stop() == 0


def test_lines_have_priorities_where_the_journal_listens():
    with tempfile.TemporaryDirectory() as folder:
        with open(pathlib.Path(folder) / "journal", "w+b") as journal:
            status = os.fstat(journal.fileno())
            for stream, wanted in ((f"{status.st_dev}:{status.st_ino}", b"<3>autonomyd: "), ("1:1", b"autonomyd: ")):
                journal.seek(0)
                journal.truncate()
                run = subprocess.run([str(BIN / "autonomyd"), "--config", "/nowhere"], stderr=journal, env=dict(os.environ, JOURNAL_STREAM=stream), check=False)
                journal.seek(0)
                assert run.returncode == 1 and journal.read().startswith(wanted), (run.returncode, wanted)


def check_config(text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "autonomyd.yaml"
        path.write_text(text)
        run = subprocess.run([str(BIN / "autonomyd"), "--check-config", "--config", str(path)], capture_output=True, text=True, timeout=60, check=False)
        return run.returncode, run.stdout + run.stderr


def test_the_configuration_that_is_installed_holds_in_all_its_parts():
    """As it is, it belongs to no cluster; with every setting in it uncommented, it must hold."""
    text = (ROOT / "cmake/debian/autonomyd.yaml").read_text()
    text = text.replace("data_dir: /var/lib/autonomy", "data_dir: /nowhere/autonomy")
    code, said = check_config(text)
    assert code == 1 and "bootstrap: true" in said and "join" in said, said
    whole, settings = re.subn(r"^#(?=[a-z_]+:| +-| +[a-z_]+:)", "", text, flags=re.M)
    assert settings >= 10 and "\n#" in whole, whole
    code, said = check_config(whole)
    assert code == 0, f"{said}\n{whole}"
    code, said = check_config(text.replace("#bootstrap: true", "bootstrap: true"))
    assert code == 0, said


# --- the unit

def unit(folder):
    """The unit as it would be installed, but with this build's program and a configuration."""
    text = (BIN.parent / "autonomyd.service").read_text()
    path = pathlib.Path(folder) / "autonomyd.service"
    path.write_text(re.sub(r"/\S*/sbin/autonomyd\b", str(BIN / "autonomyd"), text))
    return path


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        raise Skip("NOT CHECKED: no systemd-analyze; install the package systemd")
    run = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ, SYSTEMD_COLORS="0", SYSTEMD_PAGER=""))
    return run.returncode, run.stdout + run.stderr


def test_systemd_takes_the_unit_without_a_complaint():
    with tempfile.TemporaryDirectory() as folder:
        code, said = analyze("verify", "--man=no", "--recursive-errors=one", str(unit(folder)))
        assert code == 0 and not said.strip(), said
        assert "man:autonomyd(8)" in unit(folder).read_text() and (BIN.parent / "autonomyd.8").exists()
        broken = unit(folder)
        broken.write_text(broken.read_text().replace("ProtectSystem=strict", "ProtectSystem=stricter"))
        code, said = analyze("verify", "--man=no", "--recursive-errors=one", str(broken))
        assert code != 0 or said.strip(), "systemd-analyze finds what is wrong"


def test_the_unit_is_hardened():
    with tempfile.TemporaryDirectory() as folder:
        path = unit(folder)
        code, said = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(path))
        assert code == 0, said
        path.write_text(path.read_text().replace("PrivateDevices=true", "").replace("CapabilityBoundingSet=\n", ""))
        assert analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", str(path))[0] != 0, "the bound bites"


def syscall_set(name):
    """Every system call of a group of systemd's, its inner groups included."""
    code, said = analyze("syscall-filter", name)
    assert code == 0, said
    calls = set()
    for line in said.splitlines()[1:]:
        word = line.strip()
        if word.startswith("@"):
            calls |= syscall_set(word)
        elif word and not word.startswith("#"):
            calls.add(word)
    return calls


def test_the_filter_lets_a_whole_life_through():
    """Start, founding, writes, reads, a snapshot, a stop; every system call of it must be in what the unit allows."""
    filters = re.findall(r"^SystemCallFilter=(.*)$", (BIN.parent / "autonomyd.service").read_text(), re.M)
    allowed = set()
    for line in filters:
        for word in line.lstrip("~").split():
            calls = syscall_set(word) if word.startswith("@") else {word}
            allowed = allowed - calls if line.startswith("~") else allowed | calls
    assert len(allowed) > 200, sorted(allowed)
    if not shutil.which("strace"):
        raise Skip("strace is not installed")
    with Cluster(1, extra="snapshot_entries: 32\ntrailing_entries: 8\n") as cluster:
        node = cluster.nodes[0]
        assert node.stop() == 0
        counts = cluster.folder / "calls"
        node.start(prefix=["strace", "-f", "-qq", "-e", "signal=none", "-o", str(counts)], environment={"ASAN_OPTIONS": "detect_leaks=0"})
        cluster.wait_ready()
        for i in range(100):
            assert node.ask("PUT", f"/v1/flags/k{i}/definition", FLAG).status == 201
        assert node.ask("GET", "/metrics").status == 200
        wait_for("a snapshot", lambda: node.status()["snapshot_index"] > 0)
        tracee = int(subprocess.run(["pgrep", "-P", str(node.process.pid)], capture_output=True, text=True, check=True).stdout.split()[0])
        os.kill(tracee, signal.SIGTERM)
        assert node.process.wait(60) == 0, node.log()[-2000:]
        used = set(re.findall(r"^\d+ +(?:<\.\.\. )?(\w+)[( ]", counts.read_text(errors="replace"), re.M))
        assert len(used) > 40 and {"execve", "fdatasync"} <= used, sorted(used)
        assert used <= allowed, sorted(used - allowed)


main(globals())
