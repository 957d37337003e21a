"""Where the nodes live: a network namespace each behind a bridge, or loopback.

All namespaces, mounts and processes belong to one private mount, network and process namespace (`enter`): when its first
process ends, however it ends, the kernel takes all of them away. Nothing is made outside it but folders of files and,
where processor quotas can be had, a cgroup.
"""
import os
import pathlib
import shutil
import socket
import subprocess

from common import Environment

SUBNET = "10.77.0"
API_PORT, WIRE_PORT = 7101, 7201


def command(*words, stdin=None, check=True):
    """Runs a tool of the system; its failure is the environment's."""
    try:
        run = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Environment(f"{words[0]}: {error}") from error
    if check and run.returncode:
        raise Environment(f"{' '.join(words)}: {(run.stderr or run.stdout).strip()}")
    return run


def isolation():
    """The words before a command that give it namespaces of its own; and why there are none, else None."""
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if not shutil.which("unshare") or not shutil.which("nft") or not shutil.which("ip"):
        return None, "unshare, ip or nft is not installed"
    why = "no attempt was made"
    for more in ([],) if os.geteuid() == 0 else (["--user", "--map-root-user"],):
        probe = "mount -t tmpfs tmpfs /run && ip link add probe0 type bridge && nft add table inet probe"
        run = subprocess.run(["unshare", *more, *flags, "sh", "-c", probe], capture_output=True, text=True, check=False)
        if run.returncode == 0:
            return ["unshare", *more, *flags], None
        why = run.stderr.strip().splitlines()[-1] if run.stderr.strip() else f"exit {run.returncode}"
    return None, f"{'not root, and ' if os.geteuid() else ''}{why}"


class Loopback:
    """All nodes on 127.0.0.1: faults of processes and disks only."""

    isolated = False

    def __init__(self):
        self.base = None

    def add(self, number):
        if self.base is None:
            self.base = self._free_base()

    @staticmethod
    def _free_base():
        for base in (10300 + (os.getpid() * 211 + i * 223) % 20000 for i in range(200)):
            sockets = []
            try:
                for i in range(1, 16):
                    for port in (base + i, base + 100 + i):
                        sockets.append(socket.socket())
                        sockets[-1].bind(("127.0.0.1", port))
                return base
            except OSError:
                continue
            finally:
                for s in sockets:
                    s.close()
        raise Environment("no free ports on loopback")

    def api(self, number):
        return "127.0.0.1", self.base + number

    def wire(self, number):
        return "127.0.0.1", self.base + 100 + number

    def prefix(self, number):
        return []


class Network:
    """A namespace for each node, joined by a bridge; rules of nftables at each node's entrance."""

    isolated = True

    def __init__(self):
        command("mount", "-t", "tmpfs", "tmpfs", "/run")  # this mount namespace's own: names of others stay unseen
        pathlib.Path("/run/netns").mkdir()
        command("ip", "link", "set", "lo", "up")
        command("ip", "link", "add", "br0", "type", "bridge")
        command("ip", "address", "add", f"{SUBNET}.254/24", "dev", "br0")
        command("ip", "link", "set", "br0", "up")
        self.numbers = []
        self.has_netem = None

    def add(self, number):
        name, link = f"n{number}", f"v{number}"
        command("ip", "netns", "add", name)
        command("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", name)
        command("ip", "link", "set", link, "master", "br0", "up")
        command("ip", "-n", name, "address", "add", f"{SUBNET}.{number}/24", "dev", "eth0")
        command("ip", "-n", name, "link", "set", "eth0", "up")
        command("ip", "-n", name, "link", "set", "lo", "up")
        self.numbers.append(number)
        self._rules(number, "add table inet chaos\nadd chain inet chaos entrance { type filter hook input priority 0; }")

    def api(self, number):
        return f"{SUBNET}.{number}", API_PORT

    def wire(self, number):
        return f"{SUBNET}.{number}", WIRE_PORT

    def prefix(self, number):
        return ["nsenter", f"--net=/run/netns/n{number}", "--"]

    def _rules(self, number, text):
        command(*self.prefix(number), "nft", "-f", "-", stdin=text)

    def cut(self, source, target):
        """Nothing that `source` sends reaches `target`; the other way stays open."""
        self._rules(target, f"add rule inet chaos entrance ip saddr {SUBNET}.{source} drop")

    def lose(self, target, percent):
        """Of what other nodes send to `target`, so many packets in a hundred are lost."""
        for source in self.numbers:
            if source != target:
                self._rules(target, f"add rule inet chaos entrance ip saddr {SUBNET}.{source} numgen random mod 100 < {percent} drop")

    def reset(self, target):
        """Every packet of a connection between nodes that reaches `target` is answered with a reset."""
        for source in self.numbers:
            if source != target:
                self._rules(target, f"add rule inet chaos entrance ip saddr {SUBNET}.{source} meta l4proto tcp reject with tcp reset")

    def open(self, number=None):
        """Takes all rules away, of one node or of all."""
        for one in [number] if number else self.numbers:
            self._rules(one, "flush chain inet chaos entrance")

    def slow(self, number, delay_ms):
        """What the node sends is late: by netem where the kernel has it, else by a narrow line (1 Mbit/s) whose queue grows."""
        netem = ["netem", "delay", f"{delay_ms}ms", f"{delay_ms // 2}ms"]
        narrow = ["tbf", "rate", "1mbit", "burst", "4kb", "latency", f"{delay_ms * 10}ms"]
        for form, words in (("netem", netem), ("tbf", narrow)):
            if command("tc", "-n", f"n{number}", "qdisc", "replace", "dev", "eth0", "root", *words, check=False).returncode == 0:
                return form
        raise Environment("the kernel has neither netem nor tbf")

    def fast(self, number):
        command("tc", "-n", f"n{number}", "qdisc", "del", "dev", "eth0", "root", check=False)


class Quota:
    """A cgroup for a slowed node's processor time; version 1 or 2, whichever is mounted."""

    def __init__(self):
        self.folder, self.kind = None, None
        for root, kind in ((pathlib.Path("/sys/fs/cgroup/cpu"), 1), (pathlib.Path("/sys/fs/cgroup"), 2)):
            if kind == 2 and "cpu" not in self._read(root / "cgroup.subtree_control"):
                continue
            folder = root / f"autonomy-chaos-{os.environ.get('AUTONOMY_CHAOS_CGROUP', os.getpid())}"
            try:
                folder.mkdir()
                self.folder, self.kind = folder, kind
                return
            except OSError:
                continue

    @staticmethod
    def _read(path):
        try:
            return path.read_text()
        except OSError:
            return ""

    def slow(self, pid, percent):
        quota = f"{percent * 1000}"
        if self.kind == 1:
            (self.folder / "cpu.cfs_period_us").write_text("100000")
            (self.folder / "cpu.cfs_quota_us").write_text(quota)
        else:
            (self.folder / "cpu.max").write_text(f"{quota} 100000")
        (self.folder / "cgroup.procs").write_text(str(pid))

    def free(self, pid):
        parent = self.folder.parent / "cgroup.procs"
        try:
            parent.write_text(str(pid))
        except OSError:
            pass  # the process has ended

    def close(self):
        if self.folder:
            try:
                self.folder.rmdir()
            except OSError:
                pass
