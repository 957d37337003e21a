"""The faults: a table of named functions. Each makes one fault, holds it, heals it, and checks what is its own to check.

A fault takes its victims with run.take(), so that two at once never share a node, and says when it begins and ends with
run.fault(), which is what the history shows. What it can't do here is an Environment error, and the run goes on without it.
"""

FAULTS = {}
GROUPS = {}


class Fault:
    def __init__(self, function, name, group, text, needs, mixes):
        self.function, self.name, self.group, self.text, self.needs, self.mixes = function, name, group, text, needs, mixes


def fault(name, group, text, needs=(), mixes=True):
    """Registers a fault. needs: what the machine must have (run.Run.missing); mixes: another one may happen meanwhile."""
    def register(function):
        FAULTS[name] = Fault(function, name, group, text, needs, mixes)
        GROUPS.setdefault(group, []).append(name)
        return function
    return register
