"""Faults of the machine: clocks, processor time, descriptors, and strangers on the ports."""
import os
import resource
import signal
import socket
import struct

from catalog import fault
from common import wait_for
from faults_disk import preload

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"


def with_clock(run, node, name, texts, **environment):
    """Restarts the node under libfaketime, lets its clock be what each text says in turn, restarts it without."""
    file = node.folder / "clock"
    file.write_text("+0\n")
    preload(node, (FAKETIME,), FAKETIME_TIMESTAMP_FILE=str(file), FAKETIME_CACHE_DURATION="1", **environment)
    try:
        node.end(signal.SIGKILL)
        node.start()
        wait_for(f"{node.name} under libfaketime", node.status, 30)
        run.hold(0.5, 2)
        with run.fault(name, node):
            for text in texts:
                run.say(f"  {node.name}: {text}")
                file.write_text(text + "\n")
                run.hold(1.5, 3)
    finally:
        node.end(signal.SIGKILL)
        node.environment = {}
        file.unlink()
    node.start()


@fault("clock-jump", "machine", "a node's wall clock jumps by up to an hour, back and forth (libfaketime)", (FAKETIME,))
def clock_jump(run):
    random = run.random()
    texts = [random.choice(("+3600", "-3600", "+60", "-60", "+1", "-1")) for _ in range(3)]
    with run.take(leader=random.random() < 0.6) as node:
        with_clock(run, node, "clock-jump", texts, DONT_FAKE_MONOTONIC="1")


@fault("clock-skew", "machine", "a node's clocks, the monotonic one too, run faster or slower (libfaketime)", (FAKETIME,))
def clock_skew(run):
    random = run.random()
    with run.take(leader=random.random() < 0.6) as node:
        with_clock(run, node, "clock-skew", [f"+0 x{random.choice((0.5, 0.8, 0.95, 1.05, 1.3, 2))}" for _ in range(2)])


@fault("slow", "machine", "a node gets a small part of a processor (cgroup quota)", ("quota",))
def slow(run):
    with run.take() as node, run.fault("slow", node):
        run.quota.slow(node.process.pid, run.random().choice((3, 8, 20)))
        try:
            run.hold(2, 6)
        finally:
            run.quota.free(node.process.pid)


@fault("descriptors", "machine", "a node may open no more files or connections")
def descriptors(run):
    with run.take() as node:
        pid = node.process.pid
        with run.fault("descriptors", node):
            before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            used = len(os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + run.random().randrange(0, 4), before[1]))
            held = []
            for _ in range(20):
                try:
                    held.append(socket.create_connection(node.api, timeout=0.2))
                except OSError:
                    pass
            node.expected_end = True  # a file that can't be opened may end it, as a failing disk does
            run.hold(2, 6)
            for one in held:
                one.close()
            if node.alive():
                resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        run.revive(node)


def frames(random):
    """What nobody should send to a node's port."""
    yield b""
    yield random.randbytes(random.randrange(1, 5000))
    yield b"GET / HTTP/1.1\r\n\r\n"
    for length in (0, 1, 7, 0x7FFFFFFF, 0xFFFFFFFF, 2 << 20):
        yield struct.pack(">I", length) + random.randbytes(64)
        yield struct.pack("<I", length) + random.randbytes(64)
    yield b"\0" * 70000


@fault("malformed", "machine", "malformed bytes arrive on the nodes' ports, those between nodes and those of clients")
def malformed(run):
    with run.fault("malformed", *run.cluster.nodes):
        for _ in range(run.random().randrange(5, 15)):
            for frame in frames(run.random()):
                node = run.random().choice(run.cluster.nodes)
                try:
                    with socket.create_connection(run.random().choice((node.wire, node.wire, node.api)), timeout=0.3) as stranger:
                        stranger.sendall(frame)
                except OSError:
                    pass
            run.hold(0.01, 0.1)


@fault("flood", "machine", "hundreds of connections that say nothing on the port between nodes")
def flood(run):
    with run.take() as node, run.fault("flood", node):
        held = []
        try:
            for _ in range(600):
                try:
                    held.append(socket.create_connection(node.wire, timeout=0.1))
                except OSError:
                    pass
            run.hold(1, 4)
        finally:
            for one in held:
                one.close()
