#!/usr/bin/env python3
"""The Debian package: what is in it, and its life on clean machines: install, run, upgrade, remove, install again, purge.

The machines are real Debian roots with their own systemd (machine.py). Two versions of the package are built by tools/package, as
anybody would. What the environment can't do is skipped, by name.
"""
import atexit
import contextlib
import functools
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import threading

from harness import BIN, ROOT, Skip, in_parallel, main, wait_for
from machine import NO_SYSTEMD, Base, Machine, connect

URL = "http://127.0.0.1:7101"
CLI = {"AUTONOMY_ORCHESTRATOR_URL": URL, "AUTONOMY_OPERATOR": "tester@example.com", "AUTONOMY_ASSUME_YES": "1"}
CONFIG = "/etc/autonomy/autonomyd.yaml"


@functools.cache
def packages():
    """(the package, the same with a higher version), built once."""
    if not shutil.which("dpkg-shlibdeps") or not shutil.which("cpack"):
        raise Skip("NOT CHECKED: building a package needs cpack and dpkg-dev")
    built = []
    for newer in (False, True):
        more = ["--version", field(built[0], "Version") + "+newer"] if newer else []
        run = subprocess.run([str(ROOT / "tools/package"), *more], capture_output=True, text=True, timeout=900, check=False)
        if run.returncode == 3:
            raise Skip(f"NOT CHECKED: {run.stderr.strip().splitlines()[-1]}")
        assert run.returncode == 0, run.stderr[-4000:]
        built.append(pathlib.Path(run.stdout.strip().splitlines()[-1]))
    assert built[0] != built[1] and all(b.exists() for b in built), built
    return built


@functools.cache
def base():
    """One for all machines: each has a layer of its own over it."""
    made = Base(packages()[0])
    atexit.register(made.remove)
    return made


@contextlib.contextmanager
def machine(name, **more):
    made = Machine(base(), name, **more)
    try:
        yield made
    finally:
        made.end()


def field(package, name):
    return subprocess.run(["dpkg-deb", "-f", str(package), name], capture_output=True, text=True, check=True).stdout.strip()


def install(where, package, check=True):
    """dpkg -i, then apt for what is missing: of what was fetched before, since the machine has no way out."""
    shutil.copy(package, where.path("/root"))
    ended = where.run("dpkg", "-i", f"/root/{package.name}", check=False)
    if ended.returncode and "dependency problems" in ended.stderr:
        where.run("apt-get", "-q", "-f", "install", "-y", "--no-download")
    elif check and ended.returncode:
        raise AssertionError(ended.stdout + ended.stderr)
    assert where.run("dpkg-query", "-W", "-f", "${Status} ${Version}", "autonomy").stdout == f"install ok installed {field(package, 'Version')}"
    return ended.stdout + ended.stderr


def bootstrap(where):
    where.run("sed", "-i", "s/^#bootstrap: true/bootstrap: true/", CONFIG)


def flag(where, key):
    ended = where.run("autonomy", "flags", "get", key, "--output", "json", environment=CLI, check=False)
    return json.loads(ended.stdout)["value"] if ended.returncode == 0 else None


def define(where, key, value):
    wait_for("a flag to be defined", lambda: where.run(
        "autonomy", "flags", "define", key, "--type", "string", "--default", value, "--safe", "s", "--request-id", f"define-{key}", environment=CLI, check=False).returncode == 0)
    assert flag(where, key) == value


def exists(where, path):
    return where.run("test", "-e", path, check=False).returncode == 0


def check_gone(where):
    """After a purge: nothing of it is left, but the user, and drop-ins that are the administrator's own."""
    for path in ("/var/lib/autonomy", "/etc/autonomy", "/usr/sbin/autonomyd", "/usr/lib/systemd/system/autonomyd.service",
                 "/etc/systemd/system/multi-user.target.wants/autonomyd.service"):
        assert not exists(where, path), path
    left = where.run("find", "/usr", "/etc", "/var/lib", "-xdev", "-name", "*autonomy*").stdout.split()
    assert not [p for p in left if not p.startswith(("/var/lib/dpkg/", "/etc/systemd/system/autonomyd.service.d"))], left
    assert "unknown" in where.run("sh", "-c", "dpkg-query -W -f '${Status}' autonomy 2>&1 || echo unknown").stdout
    assert where.run("getent", "passwd", "autonomy").returncode == 0, "the user stays"


# --- what is in it

def test_package_says_what_it_is_and_needs():
    package, newer = packages()
    assert field(package, "Package") == "autonomy"
    assert subprocess.run(["dpkg", "--compare-versions", field(package, "Version"), "lt", field(newer, "Version")], check=False).returncode == 0
    depends = field(package, "Depends")
    for library in ("libc6", "libraft0 (>= 0.22", "librocksdb", "libmicrohttpd12", "libuv1", "libsystemd0", "adduser"):
        assert library in depends, (library, depends)
    summary, *description = field(package, "Description").splitlines()
    assert len(summary) < 80 and all(re.match(r" \S", line) for line in description), description


def test_package_holds_everything_and_nothing_of_the_build():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["dpkg-deb", "-R", str(packages()[0]), folder], check=True)
        root = pathlib.Path(folder)
        files = {"/" + str(p.relative_to(root)) for p in root.rglob("*") if p.is_file()}
        wanted = {"/usr/bin/autonomy", "/usr/sbin/autonomyd", CONFIG, "/usr/lib/systemd/system/autonomyd.service", "/usr/share/man/man1/autonomy.1.gz",
                  "/usr/share/man/man8/autonomyd.8.gz", "/usr/share/bash-completion/completions/autonomy", "/usr/share/zsh/vendor-completions/_autonomy",
                  "/usr/share/fish/vendor_completions.d/autonomy.fish", "/usr/share/doc/autonomy/copyright", "/usr/share/doc/autonomy/changelog.gz",
                  "/usr/share/doc/autonomy/README.md", "/usr/share/doc/autonomy/docs/install.md"}
        assert wanted <= files, wanted - files
        assert (root / "DEBIAN/conffiles").read_text().split() == [CONFIG]
        notes = (root / "usr/share/doc/autonomy/copyright").read_text()
        assert all(words in notes for words in ("Apache-2.0", "libraft", "LGPL-3", "libmicrohttpd", "LGPL-2.1")), notes
        for name in files:
            path = root / name[1:]
            mode = path.stat().st_mode & 0o7777
            runs = name.startswith(("/usr/bin/", "/usr/sbin/", "/usr/share/doc/autonomy/docs/examples/")) or re.match(r"/DEBIAN/p(ost|re)", name)
            assert mode == (0o755 if runs else 0o644), (name, oct(mode))
            assert str(ROOT).encode() not in path.read_bytes(), f"{name} names the folder it was built in"
        for script in ("postinst", "prerm", "postrm"):
            assert subprocess.run(["sh", "-n", str(root / "DEBIAN" / script)], check=False).returncode == 0, script


def test_package_pleases_lintian():
    if not shutil.which("lintian"):
        raise Skip("NOT CHECKED: lintian is not installed")
    ended = subprocess.run(["lintian", "--fail-on", "error", "--allow-root", str(packages()[0])], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout


# --- without systemd: what the package promises by itself

def test_installed_upgraded_removed_and_purged_where_no_systemd_runs():
    package, newer = packages()
    with machine("plain", init=NO_SYSTEMD) as where:
        said = install(where, package)
        assert not where.processes("autonomyd"), "nothing is started"
        assert re.match(r"autonomyd \d", where.run("autonomyd", "--version").stdout)
        refused = where.run("autonomyd", "--check-config", "--config", CONFIG, check=False)
        assert refused.returncode == 1 and "bootstrap: true" in refused.stderr, refused
        assert "dependency problems" in said or "no node was started" in said, said
        page = where.run("sh", "-c", "man autonomyd | cat; man autonomy-flags | cat").stdout
        assert "one node of the control plane" in page and "flags define" in page, page[:500]
        bootstrap(where)
        where.run("autonomyd", "--check-config", "--config", CONFIG)

        run_by_hand(where, lambda: define(where, "kept", "through-all"))
        assert where.run("stat", "-c", "%U:%G %a", "/var/lib/autonomy").stdout.strip() == "autonomy:autonomy 750"
        install(where, newer)
        assert "bootstrap: true\n" in where.path(CONFIG).read_text(), "an upgrade keeps the configuration"
        run_by_hand(where, lambda: flag_is_there(where))

        where.run("dpkg", "--remove", "autonomy")
        assert exists(where, "/var/lib/autonomy/log") and exists(where, CONFIG) and not exists(where, "/usr/sbin/autonomyd")
        install(where, package)
        run_by_hand(where, lambda: flag_is_there(where))
        where.run("dpkg", "--purge", "autonomy")
        check_gone(where)
        install(where, newer)
        assert where.run("ls", "-A", "/var/lib/autonomy").stdout == "", "a new life begins with an empty folder"


def flag_is_there(where):
    wait_for("the flag of before", lambda: flag(where, "kept") == "through-all")


def run_by_hand(where, work):
    """The installed node as its user, for as long as work() takes; it must end well."""
    where.run("sh", "-c", f"setpriv --reuid autonomy --regid autonomy --init-groups autonomyd --config {CONFIG} >/root/node.log 2>&1 & echo $! >/root/pid")
    pid = where.path("/root/pid").read_text().strip()
    wait_for("the node to run", lambda: where.processes("autonomyd") == [int(pid)])
    try:
        work()
    finally:
        where.run("sh", "-c", f"kill {pid}")
    wait_for("the node to end", lambda: not where.processes("autonomyd"))
    log = where.path("/root/node.log").read_text()
    assert "info node stopped" in log, log[-3000:]


# --- with systemd: a service

def prop(where, name):
    return where.run("systemctl", "show", "-p", name, "--value", "autonomyd").stdout.strip()


def active(where):
    return where.run("systemctl", "is-active", "autonomyd", check=False).stdout.strip()


def drop_in(where, text):
    where.run("mkdir", "-p", "/run/systemd/system/autonomyd.service.d")
    where.path("/run/systemd/system/autonomyd.service.d/test.conf").write_text(text)
    where.run("systemctl", "daemon-reload")


def journal(where):
    lines = where.run("journalctl", "-u", "autonomyd", "-o", "json", "--no-pager").stdout.splitlines()
    return [(int(row["PRIORITY"]), row["MESSAGE"]) for row in map(json.loads, lines) if row.get("SYSLOG_IDENTIFIER") == "autonomyd"]


def test_service_runs_hardened_restarts_when_it_must_and_is_upgraded_in_order():
    package, newer = packages()
    with machine("service", prepared=True) as where:
        install(where, package)
        assert active(where) == "inactive" and prop(where, "UnitFileState") == "disabled", "nothing is started unasked"
        unconfigured_stays_down(where)
        bootstrap(where)
        where.run("systemctl", "enable", "--now", "autonomyd")
        define(where, "kept", "through-all")
        runs_as_promised(where)
        comes_back_after_a_kill_and_a_hang(where)
        upgrade(where, newer)
        where.run("dpkg", "--remove", "autonomy")
        assert active(where) == "inactive" and exists(where, "/var/lib/autonomy/log") and exists(where, CONFIG)
        assert not where.processes("autonomyd")
        install(where, newer)
        where.run("systemctl", "start", "autonomyd")
        flag_is_there(where)
        where.run("dpkg", "--purge", "autonomy")
        assert not where.processes("autonomyd")
        check_gone(where)


def unconfigured_stays_down(where):
    assert where.run("systemctl", "start", "autonomyd", check=False).returncode != 0
    assert (active(where), prop(where, "Result"), prop(where, "ExecMainStatus"), prop(where, "NRestarts")) == ("failed", "exit-code", "1", "0")
    wait_for("the reason in the journal", lambda: any(p == 3 and "bootstrap: true" in m for p, m in journal(where)))


def runs_as_promised(where):
    assert active(where) == "active"
    wait_for("the role", lambda: re.fullmatch(r"leads; term \d+, members 1", prop(where, "StatusText")))
    status = where.path(f"/proc/{prop(where, 'MainPID')}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    user = where.run("id", "-u", "autonomy").stdout.strip()
    assert set(fields["Uid"].split()) == {user} and int(fields["CapEff"], 16) == int(fields["CapBnd"], 16) == 0, status
    assert fields["NoNewPrivs"].strip() == "1" and fields["Seccomp"].strip() == "2", status
    files = where.run("find", "/var/lib/autonomy", "-perm", "/o=rwx", "-o", "!", "-user", "autonomy").stdout
    assert files == "", files
    seen = journal(where)
    assert any(p == 6 and " info node started " in m for p, m in seen), seen
    assert where.run("systemd-analyze", "verify", "autonomyd.service").stderr == ""


def comes_back_after_a_kill_and_a_hang(where):
    drop_in(where, "[Service]\nRestartSec=100ms\nWatchdogSec=2s\nTimeoutAbortSec=1s\n")
    where.run("systemctl", "restart", "autonomyd")
    for signal, result in (("KILL", "signal"), ("STOP", "watchdog")):
        flag_is_there(where)
        before = prop(where, "MainPID")
        where.run("sh", "-c", f"kill -{signal} {before}")
        wait_for(f"another process after SIG{signal}", lambda: active(where) == "active" and prop(where, "MainPID") not in ("0", before))
        flag_is_there(where)
        said = where.run("journalctl", "-u", "autonomyd", "--no-pager").stdout
        assert f"Failed with result '{result}'" in said, said[-2000:]
    drop_in(where, "")


def upgrade(where, newer):
    """A node that runs is restarted, once and in good order; one whose configuration the new version refuses goes on as it was."""
    before, text = prop(where, "MainPID"), where.path(CONFIG).read_text()
    where.path(CONFIG).write_text(text + "setting_of_the_future: 1\n")
    said = install(where, newer)
    assert prop(where, "MainPID") == before and "setting_of_the_future" in said and "systemctl restart autonomyd" in said, said
    flag_is_there(where)
    where.path(CONFIG).write_text(text)
    where.run("dpkg", "-i", f"/root/{newer.name}")
    after = prop(where, "MainPID")
    assert after not in ("0", before) and active(where) == "active"
    stopped = [m for _, m in journal(where) if f" info node " in m][-20:]
    assert any(" info node stopped " in m for m in stopped), stopped
    flag_is_there(where)


# --- three hosts: docs/install.md

SUDO = """#!/bin/sh
if [ "$1" = -u ]; then user=$2; shift 2; exec runuser -u "$user" -- "$@"; fi
exec "$@"
"""


def blocks():
    """(hosts, commands before, the block, conditions after) of each sh block of the page."""
    hosts, before, until, lines = None, [], [], None
    for number, line in enumerate((ROOT / "docs/install.md").read_text().splitlines(), 1):
        comment = re.match(r"<!-- (on|before|until): (.*) -->$", line)
        if comment and comment[1] == "on":
            hosts = comment[2].split()
        elif comment:
            (before if comment[1] == "before" else until).append(comment[2])
        elif line == "```sh":
            assert hosts, f"install.md:{number}: on which hosts?"
            lines = []
        elif line.startswith("```") and lines is not None:
            yield hosts, before, "\n".join(lines), until
            hosts, before, until, lines = None, [], [], None
        elif lines is not None:
            lines.append(line)
        else:
            assert not re.match(r"\s*(sudo|autonomy|autonomyd|systemctl) ", line), f"install.md:{number}: a command outside of a block"


class Writer(threading.Thread):
    """Defines one flag after the other, each with the patience of a program that retries, as long as the block runs."""

    def __init__(self, network):
        super().__init__()
        self.network, self.done, self.lost, self.ending = network, [], [], threading.Event()

    def define(self, key):
        urls = "http://10.77.0.1:7101,http://10.77.0.2:7101"
        return subprocess.run(["nsenter", f"--net=/proc/{self.network.pid}/ns/net", str(BIN / "autonomy"), "flags", "define", key, "--type", "string", "--default", key, "--safe", "s",
                               "--request-id", key, "--timeout", "20s"], capture_output=True, text=True, check=False, env={**os.environ, **CLI, "AUTONOMY_ORCHESTRATOR_URL": urls})

    def run(self):
        while not self.ending.wait(0.1):
            key = f"w{len(self.done)}"
            ended = self.define(key)
            if ended.returncode:
                self.lost.append(ended.stderr)
                return
            self.done.append(key)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()


def test_the_page_makes_a_cluster_of_three_hosts_and_upgrades_it_under_writes():
    page = list(blocks())
    names = list(dict.fromkeys(re.findall(r"autonomy_\S+_amd64\.deb", "".join(block for _, _, block, _ in page))))
    assert len(page) >= 8 and len(names) == 2, (len(page), names)
    upgrade_at = next(i for i, (_, _, block, _) in enumerate(page) if names[1] in block)
    removal_at = next(i for i, (_, _, block, _) in enumerate(page) if "members remove" in block)
    with contextlib.ExitStack() as stack:
        hosts = {name: stack.enter_context(machine(name, prepared=True)) for name in ("n1", "n2", "n3")}
        connect(list(hosts.values()), "example.net")
        for host in hosts.values():
            host.path("/usr/bin/sudo").write_text(SUDO)
            host.path("/usr/bin/sudo").chmod(0o755)
            for package, name in zip(packages(), names):
                shutil.copy(package, host.path(f"/root/{name}"))
        follow(hosts, page[:upgrade_at], at_once=True)
        ids = {name: prop(host, "MainPID") for name, host in hosts.items()}
        with Writer(hosts["n1"]) as writer:
            follow(hosts, page[upgrade_at:removal_at])
        assert not writer.lost and len(writer.done) > 5, (writer.lost, len(writer.done))
        assert all(prop(host, "MainPID") not in ("0", ids[name]) for name, host in hosts.items()), "each node was restarted"
        for key in writer.done:
            assert flag(hosts["n2"], key) == key, f"{key} was acknowledged"
        follow(hosts, page[removal_at:])
        check_gone(hosts["n3"])


def follow(hosts, page, at_once=False):
    def on_host(host, before, block, until):
        for text in (*before, block):
            ended = shell(host, text)
            assert ended.returncode == 0, f"{host.name}: exit {ended.returncode}\n{text}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"
        for condition in until:
            wait_for(f"{host.name}: {condition}", lambda: shell(host, condition).returncode == 0)

    for on, before, block, until in page:
        if at_once:
            in_parallel(len(on), lambda i: on_host(hosts[on[i]], before, block, until))
        else:
            for name in on:
                on_host(hosts[name], before, block, until)


def shell(host, text):
    return host.run("bash", "-euo", "pipefail", "-c", "cd\n" + text, check=False)


main(globals())
