"""Machines of a clean Debian, for tests of the package: made with debootstrap, booted with their own systemd in namespaces.

A machine is a root folder as an overlay over one clean base, with process, mount, network and cgroup namespaces of its own, and
systemd as its first process. Every mount lives in a namespace: when its first process ends, for whatever reason, all of it is gone.
The network has no way out: packages are fetched while the base is made. What the environment lacks is told as Skip, loudly.
"""
import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from harness import ROOT, Skip, wait_for

# Kept between runs: what debootstrap and apt have fetched. The roots are made anew each time.
CACHE = pathlib.Path(os.environ.get("AUTONOMY_DEBIAN_CACHE", ROOT / "build/debian"))
BEYOND_THE_PACKAGE = ["systemd", "man-db"]  # what a server has and debootstrap's least variant doesn't
NOT_MET = ("Failed getting release", "Couldn't download", "Couldn't retrieve", "Could not resolve", "Temporary failure resolving", "Unable to fetch",
           "Failed to fetch", "Invalid Release", "Unknown error", "Cannot create device", "No space left")


def need(*programs):
    if os.geteuid() != 0:
        raise Skip("NOT CHECKED: making a Debian root needs root")
    for program in programs:
        if not shutil.which(program):
            raise Skip(f"NOT CHECKED: {program} is not installed")


def fetch(arguments, what, **more):
    """Runs something that needs the network: its absence is the environment's, another failure is ours."""
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=900, stdin=subprocess.DEVNULL, **more)
    said = ended.stdout + ended.stderr
    if ended.returncode:
        if any(words in said for words in NOT_MET):
            raise Skip(f"NOT CHECKED: {what}: {said.strip().splitlines()[-1]}")
        raise AssertionError(f"{what} ended with {ended.returncode}:\n{said[-4000:]}")
    return said


def mirror():
    """(URI, codename) of this machine's own Debian, as apt reads its sources."""
    codename = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release") if "=" in line).get("VERSION_CODENAME", "").strip('"')
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(CODENAME) $(SUITE) $(COMPONENT)", "Created-By: Packages"],
                            capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        uri, *names, component = line.split()
        if component == "main" and codename in names:
            return uri, codename
    raise Skip(f"NOT CHECKED: apt's sources name no mirror of {codename or 'this Debian'}")


class Base:
    """A clean root with nothing of ours in it, and everything fetched that the package will ask for."""

    def __init__(self, package):
        need("debootstrap", "unshare", "nsenter", "chroot", "setpriv", "ip")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="autonomy-debian-"))
        self.root = self.folder / "base"
        self.prepared = None
        try:
            self.make(package)
        except BaseException:
            self.remove()
            raise

    def make(self, package):
        depends = subprocess.run(["dpkg-deb", "-f", str(package), "Depends"], capture_output=True, text=True, check=True).stdout
        self.depends = [word.split()[0] for word in depends.split(",")]
        uri, codename = mirror()
        CACHE.mkdir(parents=True, exist_ok=True)
        tarball = CACHE / f"{codename}.tar"
        arguments = ["debootstrap", "--variant=minbase", "--include=adduser"]
        if not tarball.exists():
            fetch([*arguments, f"--make-tarball={tarball}.new", codename, str(self.folder / "fetched"), uri], "fetching Debian")
            os.rename(f"{tarball}.new", tarball)
        # in a mount namespace: debootstrap mounts /proc in the root
        fetch(["unshare", "--mount", "--propagation", "private", *arguments, f"--unpack-tarball={tarball}", codename, str(self.root), uri], "unpacking Debian")
        if codename == "bookworm":  # libraft
            (self.root / "etc/apt/sources.list.d/backports.list").write_text(f"deb {uri} bookworm-backports main\n")
        (self.root / "etc/apt/apt.conf.d/99least").write_text('APT::Install-Recommends "false";\n')
        (self.root / "etc/dpkg/dpkg.cfg.d/quick").write_text("force-unsafe-io\n")
        shutil.copy("/etc/resolv.conf", self.root / "etc/resolv.conf")
        self.fetch_packages(package)
        (self.root / "usr/sbin/policy-rc.d").write_text("#!/bin/sh\nexit 101\n")  # as on a server that starts nothing unasked
        (self.root / "usr/sbin/policy-rc.d").chmod(0o755)
        chroot = ["chroot", str(self.root)]
        fetch([*chroot, "apt-get", "-q", "install", "-y", "--no-download", *BEYOND_THE_PACKAGE], "installing what a server has")
        (self.root / "usr/sbin/policy-rc.d").unlink()

    def fetch_packages(self, package):
        archives = self.root / "var/cache/apt/archives"
        for kept in CACHE.glob("*.deb"):
            shutil.copy(kept, archives)
        shutil.copy(package, self.root / "tmp")
        chroot = ["chroot", str(self.root), "env", "DEBIAN_FRONTEND=noninteractive"]
        fetch([*chroot, "apt-get", "-q", "update"], "fetching the lists of packages")
        fetch([*chroot, "apt-get", "-q", "install", "-y", "--download-only", *BEYOND_THE_PACKAGE, f"/tmp/{package.name}"],
              "fetching what the package depends on")
        for fetched in archives.glob("*.deb"):
            shutil.copy(fetched, CACHE)
        (self.root / "tmp" / package.name).unlink()

    def layers(self, prepared):
        """The lower layers of a machine; with `prepared`, what the package depends on is installed in them."""
        if not prepared:
            return str(self.root)
        if not self.prepared:
            machine = Machine(self, "prepared", init=NO_SYSTEMD)
            try:
                machine.run("sh", "-c", f"apt-get -q install -y --no-download {' '.join(self.depends)} && rm -f /var/lib/man-db/auto-update")
            finally:
                machine.end()
            self.prepared = f"{machine.folder}/layer/upper:{self.root}"
        return self.prepared

    def remove(self):
        subprocess.run(["rm", "-rf", "--one-file-system", str(self.folder)], check=False)


# Runs as the machine's first process, in its namespaces; $1: the base, $2: the layer over it, $3: root, $4: name, the rest: what to
# run. Where folders can't be the upper layer (/tmp is an overlay itself), memory is.
BOOT = r"""
set -eu
base=$1 layer=$2 root=$3 name=$4
shift 4
mount --make-rprivate /
over() {
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay -o "lowerdir=$base,upperdir=$layer/upper,workdir=$layer/work" overlay "$root"
}
over || { mount -t tmpfs tmpfs "$layer" && over; }
echo "$name" >"$root/etc/hostname"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup" || mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do
    touch "$root/dev/$node"
    mount --bind "/dev/$node" "$root/dev/$node"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
hostname "$name"
cd "$root"
mkdir -p .old
pivot_root . .old
umount -l /.old
exec env -i container=autonomy-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    setpriv --bounding-set -sys_time,-sys_module,-sys_rawio,-sys_boot,-syslog "$@"
"""
SYSTEMD = ["/lib/systemd/systemd", "--system", "--unit=multi-user.target", "--log-target=journal", "--show-status=no"]
NO_SYSTEMD = ["/bin/sh", "-c", "while :; do sleep 1; done"]


def cgroup_home():
    for line in open("/proc/mounts"):
        _, place, kind, *_ = line.split()
        if kind == "cgroup2" and os.access(place, os.W_OK):
            return pathlib.Path(place)
    return None


class Machine:
    """One booted machine."""

    def __init__(self, base, name, init=None, prepared=False):
        self.name, self.folder = name, base.folder / name
        for part in ("layer", "root"):
            (self.folder / part).mkdir(parents=True)
        self.console = self.folder / "console"
        self.cgroup = None
        self.process = self.spawn(base.layers(prepared), init or SYSTEMD)
        self.pid = None
        try:
            self.wait_booted(init or SYSTEMD)
        except BaseException:
            self.end()
            raise

    def spawn(self, lower, init):
        home = cgroup_home()
        if home:
            self.cgroup = home / f"autonomy-test-{os.getpid()}-{self.name}"
            with contextlib.suppress(OSError):
                self.cgroup.mkdir()

        def join_cgroup():
            if self.cgroup:
                with contextlib.suppress(OSError):
                    (self.cgroup / "cgroup.procs").write_text(str(os.getpid()))

        with open(self.console, "wb") as console:
            return subprocess.Popen(["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup", "--net", "--kill-child", "sh", "-c", BOOT, "boot",
                                     lower, str(self.folder / "layer"), str(self.folder / "root"), self.name, *init],
                                    stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=join_cgroup)

    def first_process(self):
        found = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False).stdout.split()
        return int(found[0]) if found else None

    def booted(self, init):
        if self.process.poll() is not None:
            raise Skip(f"NOT CHECKED: a machine can't be booted here: {self.said()}")
        self.pid = self.first_process()
        if not self.pid:
            return False
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{self.pid}/cmdline").read_bytes().split(b"\0")
            if words[:len(init)] != [word.encode() for word in init]:
                return False  # still in BOOT
            return init is not SYSTEMD or self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")
        return False

    def ip(self, *arguments):
        """The host's `ip` in the machine's network."""
        ended = subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", "ip", *arguments], capture_output=True, text=True, check=False)
        if ended.returncode:
            raise Skip(f"NOT CHECKED: ip {' '.join(arguments)}: {ended.stderr.strip()}")

    def wait_booted(self, init):
        end = time.monotonic() + 60
        while not self.booted(init):
            if time.monotonic() > end:
                raise Skip(f"NOT CHECKED: systemd doesn't come up here: {self.said()}")
            time.sleep(0.05)
        self.ip("link", "set", "lo", "up")

    def said(self):
        return self.console.read_text(errors="replace").strip()[-300:]

    def path(self, path):
        """A file of the machine, as the host sees it."""
        return pathlib.Path(f"/proc/{self.pid}/root{path}")

    def run(self, *arguments, check=True, timeout_s=120, environment=None, stdin=None):
        """A command in the machine, as root."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive", **(environment or {})}
        ended = subprocess.run(["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "--root", "--wd", *arguments], env=environment, capture_output=True,
                               text=True, check=False, timeout=timeout_s, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL)
        if check and ended.returncode:
            raise AssertionError(f"{self.name}: {' '.join(arguments)}: exit {ended.returncode}\n{ended.stdout[-2000:]}\n{ended.stderr[-3000:]}")
        return ended

    def processes(self, name):
        """Ids, in the machine, of the processes of that name."""
        found = []
        for folder in self.path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if (folder / "comm").read_text().strip() == name:
                    found.append(int(folder.name))
        assert self.path("/proc/1/comm").exists()
        return found

    def end(self):
        """Kills its first process: the namespaces end, and with them every process and mount."""
        pid = self.pid or self.first_process()
        if pid and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        if self.process.poll() is None:
            self.process.kill()  # --kill-child
        self.process.wait(30)
        if self.cgroup and self.cgroup.exists():
            def gone():
                for folder in sorted(self.cgroup.rglob("*"), reverse=True):
                    if folder.is_dir():
                        with contextlib.suppress(OSError):
                            folder.rmdir()
                with contextlib.suppress(OSError):
                    self.cgroup.rmdir()
                return not self.cgroup.exists()
            wait_for("the machine's cgroup to be empty", gone, 30)


def connect(machines, domain):
    """One network for all, 10.77.0.1 and on, which ends with the first machine; each knows the others by name."""
    first, *others = machines
    first.ip("link", "add", "lan", "type", "bridge")
    first.ip("addr", "add", "10.77.0.1/24", "dev", "lan")
    first.ip("link", "set", "lan", "up")
    for number, machine in enumerate(others, 2):
        first.ip("link", "add", f"to-{machine.name}", "type", "veth", "peer", "name", "lan", "netns", str(machine.pid))
        first.ip("link", "set", f"to-{machine.name}", "master", "lan")
        first.ip("link", "set", f"to-{machine.name}", "up")
        machine.ip("addr", "add", f"10.77.0.{number}/24", "dev", "lan")
        machine.ip("link", "set", "lan", "up")
    names = "".join(f"10.77.0.{number} {machine.name}.{domain} {machine.name}\n" for number, machine in enumerate(machines, 1))
    for machine in machines:
        machine.path("/etc/hosts").write_text("127.0.0.1 localhost\n" + names)
