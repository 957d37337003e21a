"""The faults: a table of named functions. Each makes one fault, holds it, heals it, and checks what is its own to check.

A fault takes its victims with run.take(), so that two at once never share a node, and says when it begins and ends with
run.fault(), which is what the history shows. What it can't do here is an Environment error, and the run goes on without it.
"""

FAULTS = {}
GROUPS = {}


class Fault:
    def __init__(self, function, name, group, text, needs, mixes, lossy):
        self.function, self.name, self.group, self.text = function, name, group, text
        self.needs, self.mixes, self.lossy = needs, mixes, lossy

    def goes_with(self, other):
        """May both happen at once? Two nodes that lose what they had could be one too many."""
        return self.mixes and other.mixes and self.group != other.group and not (self.lossy and other.lossy)


def fault(name, group, text, needs=(), mixes=True, lossy=False):
    """Registers a fault. needs: what the machine must have (run.Run.missing); mixes: another one may happen meanwhile;
    lossy: its victim loses its data for good."""
    def register(function):
        FAULTS[name] = Fault(function, name, group, text, needs, mixes, lossy)
        GROUPS.setdefault(group, []).append(name)
        return function
    return register
