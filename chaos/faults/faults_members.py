"""Faults of identity and membership: wiped, cloned and restored folders, a second cluster, members that come and go."""
import shutil
import signal

from catalog import fault
from common import Violation, wait_for
from nodes import Node


@fault("wipe", "members", "a node's folder is gone: it is taken out and comes back under a new id", lossy=True)
def wipe(run):
    with run.take() as node, run.fault("wipe", node):
        node.end(signal.SIGKILL)
        run.rejoin(node)


@fault("churn", "members", "members are taken out and come back, one after the other", lossy=True)
def churn(run):
    for _ in range(run.random().randrange(2, 4)):
        with run.take() as node, run.fault("churn", node):
            if node is run.cluster.leader():  # politely, where it can; else as if it had crashed
                run.cluster.change("POST", "/v1/ha/failover", {"reason": "chaos: churn"})
            node.end(signal.SIGTERM)
            run.rejoin(node)


@fault("failover", "members", "a storm of handovers: the leader is asked to resign again and again")
def failover(run):
    with run.fault("failover"):
        for _ in range(run.random().randrange(4, 12)):
            body = {"reason": "chaos: storm"}
            if run.random().random() < 0.5:
                body["target_node"] = run.random().choice(run.cluster.nodes).name
            node = run.random().choice(run.cluster.nodes)
            if node.alive():
                node.ask("POST", "/v1/ha/failover", body, timeout_s=3)
            run.hold(0.02, 0.6)


def double(run, node, folder, number):
    """Another process with a node's name, at the place of that number."""
    other = Node(run.cluster, number)
    other.name, other.folder = node.name, run.out / "nodes" / folder
    other.data, other.log_path = other.folder / "data", other.folder / "log"
    shutil.rmtree(other.folder, ignore_errors=True)
    other.folder.mkdir(parents=True)
    return other


@fault("clone", "members", "a copy of a node's folder is started elsewhere while the node runs", mixes=False, lossy=True)
def clone(run):
    with run.take() as node, run.fault("clone", node):
        node.end(signal.SIGKILL)
        other = double(run, node, "clone", run.spare())
        other.configure()
        shutil.copytree(node.data, other.data)
        sizes = {n: n.log_size() for n in run.cluster.nodes}
        node.start()
        other.start()
        try:
            wait_for("somebody to say that one id is used twice",
                     lambda: "cloned" in other.log() or any("cloned" in n.log(since) for n, since in sizes.items()), 20)
            run.detected(f"a clone of {node.name}")
            run.hold(1, 4)
            status = other.status()
            if status and status["write_ready"]:
                run.violation(f"the clone of {node.name} is write-ready")
        finally:
            other.end(signal.SIGKILL)


@fault("old-copy", "members", "a node's folder is replaced by an older copy of itself", mixes=False, lossy=True)
def old_copy(run):
    with run.take() as node, run.fault("old-copy", node):
        copy = node.folder / "copy"
        node.end(signal.SIGKILL)
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(node.data, copy)
        node.start()
        run.cluster.wait_well("a copy was made")
        run.hold(2, 4)
        node.end(signal.SIGKILL)
        shutil.rmtree(node.data)
        copy.rename(node.data)
        if run.random().random() < 0.6:
            run.pause(12)  # longer than two processes under one id keep each other out
        sizes = {n: n.log_size() for n in run.cluster.nodes}
        node.start()
        node.expected_end = True
        words = ("old_start", "cloned", "rolled back", "rolled_back")
        try:
            wait_for("somebody to say that the folder is an old one",
                     lambda: any(w in n.log(since) for n, since in sizes.items() for w in words), 15)
            run.detected(f"an old copy of {node.name}")
        except Violation:
            run.violation(f"{node.name} was started with an older copy of its folder, and nobody said so")
        node.end(signal.SIGKILL)
        run.rejoin(node)


@fault("second-cluster", "members", "a node founds a cluster of its own at the address where another was", mixes=False)
def second_cluster(run):
    with run.take() as node, run.fault("second-cluster", node):
        node.end(signal.SIGKILL)
        other = double(run, node, "second", node.number)
        other.api = other.api[0], other.api[1] + 10000  # the clients don't find it: what it says is no part of this history
        other.configure(bootstrap=True, alone=True)
        sizes = {n: n.log_size() for n in run.cluster.nodes if n is not node}
        other.start()
        try:
            wait_for(f"{node.name} to lead a cluster of its own", lambda: (s := other.status()) and s["write_ready"], 20)
            wait_for("the others to say that two clusters meet",
                     lambda: any("two clusters meet" in n.log(since) or "other_cluster" in n.log(since) for n, since in sizes.items()), 20)
            run.detected(f"a second cluster at {node.name}'s address")
            run.hold(1, 3)
        finally:
            other.end(signal.SIGKILL)
        node.start()
