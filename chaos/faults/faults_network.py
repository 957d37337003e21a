"""Faults of the network between nodes. Clients reach every node all the time, and so see what a cut-off node says."""
from contextlib import contextmanager

from catalog import fault

NEEDS = ("namespaces",)


@contextmanager
def cuts(run, name, pairs, *nodes):
    """(source, target): nothing passes from the one to the other."""
    with run.network, run.fault(name, *nodes):
        try:
            for source, target in pairs:
                run.world.cut(source.number, target.number)
            yield
        finally:
            run.world.open()


def apart(left, right):
    return [(a, b) for a in left for b in right] + [(b, a) for a in left for b in right]


def shuffled(run):
    nodes = list(run.cluster.nodes)
    run.random().shuffle(nodes)
    return nodes


@fault("isolate-leader", "network", "the leader is cut off from all others", NEEDS)
def isolate_leader(run):
    leader = run.cluster.leader()
    with cuts(run, "isolate-leader", apart([leader], [n for n in run.cluster.nodes if n is not leader]), leader):
        run.hold(1, 6)


@fault("minority", "network", "less than half of the nodes are cut off together", NEEDS)
def minority(run):
    nodes = shuffled(run)
    few = nodes[:(len(nodes) - 1) // 2]
    with cuts(run, "minority", apart(few, nodes[len(few):]), *few):
        run.hold(1, 6)


@fault("majority", "network", "the leader stays with the smaller half", NEEDS)
def majority(run):
    leader = run.cluster.leader()
    others = [n for n in shuffled(run) if n is not leader]
    few = [leader, *others[:(len(others) + 1) // 2 - 1]]
    with cuts(run, "majority", apart(few, [n for n in others if n not in few]), *few):
        run.hold(1, 6)


@fault("shatter", "network", "every node is alone", NEEDS, mixes=False)
def shatter(run):
    nodes = run.cluster.nodes
    with cuts(run, "shatter", [(a, b) for a in nodes for b in nodes if a is not b], *nodes):
        run.hold(0.5, 3)


@fault("one-way", "network", "one node is heard by others that it can't hear, or hears those that don't hear it", NEEDS)
def one_way(run):
    nodes = shuffled(run)
    deaf = run.random().random() < 0.5
    pairs = [(n, nodes[0]) if deaf else (nodes[0], n) for n in nodes[1:]]
    with cuts(run, "one-way", pairs, nodes[0]):
        run.hold(1, 6)


@fault("one-way-leader", "network", "the leader is heard and hears nobody, or the other way round", NEEDS)
def one_way_leader(run):
    leader = run.cluster.leader()
    others = [n for n in run.cluster.nodes if n is not leader]
    deaf = run.random().random() < 0.5
    with cuts(run, "one-way-leader", [(n, leader) if deaf else (leader, n) for n in others], leader):
        run.hold(1, 6)


@fault("bridge", "network", "two halves that only one node in the middle reaches both", NEEDS)
def bridge(run):
    nodes = shuffled(run)
    half = (len(nodes) - 1) // 2
    with cuts(run, "bridge", apart(nodes[1:1 + half], nodes[1 + half:]), nodes[0]):
        run.hold(1, 6)


@fault("ring", "network", "each node reaches its two neighbours only", NEEDS)
def ring(run):
    nodes = shuffled(run)
    count = len(nodes)
    pairs = [(nodes[i], nodes[j]) for i in range(count) for j in range(count) if i != j and (i - j) % count not in (1, count - 1)]
    with cuts(run, "ring", pairs, *nodes):
        run.hold(1, 6)


@fault("flapping", "network", "a node is cut off and let in again many times", NEEDS)
def flapping(run):
    node = shuffled(run)[0]
    others = [n for n in run.cluster.nodes if n is not node]
    with run.network, run.fault("flapping", node):
        for _ in range(run.random().randrange(3, 8)):
            for source, target in apart([node], others):
                run.world.cut(source.number, target.number)
            run.hold(0.1, 0.7)
            run.world.open()
            run.hold(0.1, 0.5)


@fault("loss", "network", "a tenth to a half of all packets between nodes is lost", NEEDS)
def loss(run):
    percent = run.random().choice((10, 20, 35, 50))
    with run.network, run.fault("loss", *run.cluster.nodes):
        for node in run.cluster.nodes:
            run.world.lose(node.number, percent)
        run.hold(2, 6)
        run.world.open()


@fault("delay", "network", "what some nodes send is late (netem; a narrow line where the kernel has none)", NEEDS)
def delay(run):
    nodes = shuffled(run)[:(len(run.cluster.nodes) + 1) // 2]
    with run.network, run.fault("delay", *nodes):
        try:
            for node in nodes:
                run.world.slow(node.number, run.random().choice((20, 60, 150)))
            run.hold(2, 6)
        finally:
            for node in nodes:
                run.world.fast(node.number)


@fault("resets", "network", "connections between nodes are reset as soon as they carry anything", NEEDS)
def resets(run):
    nodes = shuffled(run)[:run.random().randrange(1, len(run.cluster.nodes))]
    with run.network, run.fault("resets", *nodes):
        for _ in range(run.random().randrange(1, 5)):
            for node in nodes:
                run.world.reset(node.number)
            run.hold(0.05, 0.6)
            run.world.open()
            run.hold(0.05, 0.4)
