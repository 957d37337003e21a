"""Faults of processes: killed, paused, restarted, slowed."""
import signal

from catalog import fault


@fault("kill", "process", "kill -9 of a node, leader or not; started again after a while")
def kill(run):
    with run.take() as node, run.fault("kill", node):
        node.end(signal.SIGKILL)
        run.hold(0.2, 5)
        node.start()


@fault("kill-leader", "process", "kill -9 of the leader")
def kill_leader(run):
    with run.take(leader=True) as node, run.fault("kill-leader", node):
        node.end(signal.SIGKILL)
        run.hold(0.5, 4)
        node.start()


@fault("kill-all", "process", "kill -9 of all nodes at once, as in a power cut", mixes=False)
def kill_all(run):
    with run.fault("kill-all", *run.cluster.nodes):
        for node in run.cluster.nodes:
            node.expected_end = True
            node.send(signal.SIGKILL)
        for node in run.cluster.nodes:
            node.end(signal.SIGKILL)
        run.hold(0.2, 1)
        for node in run.cluster.nodes:
            node.start()


@fault("stop", "process", "SIGTERM: a graceful stop hands leadership over")
def stop(run):
    with run.take() as node, run.fault("stop", node):
        code = node.end(signal.SIGTERM)
        if code != 0:
            run.violation(f"{node.name} ended with {code} after SIGTERM")
        run.hold(0.2, 3)
        node.start()


@fault("pause", "process", "SIGSTOP of a node for some seconds, then SIGCONT")
def pause(run):
    with run.take() as node, run.fault("pause", node):
        node.send(signal.SIGSTOP)
        run.hold(0.3, run.random().choice((3, 6, 12)))
        node.send(signal.SIGCONT)


@fault("thaw-leader", "process", "the leader is paused until another leads, and asked for reads at the moment it wakes")
def thaw_leader(run):
    with run.take(leader=True) as node, run.fault("thaw-leader", node):
        node.send(signal.SIGSTOP)
        run.hold(1.5, 4)
        reads = run.reads_at(node)  # they wait in its sockets
        run.hold(0.1, 0.3)
        node.send(signal.SIGCONT)
        reads()


@fault("storm", "process", "a restart storm: nodes are killed and started again at once, many times")
def storm(run):
    with run.take() as node, run.fault("storm", node):
        node.end(signal.SIGKILL)
        if run.random().random() < 0.5:
            run.hold(2, 5)  # so that it is killed while it fetches the state of others
        for _ in range(run.random().randrange(4, 10)):
            node.end(signal.SIGKILL)
            node.start()
            run.hold(0.05, 0.8)
