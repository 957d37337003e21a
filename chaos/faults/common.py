"""What the modules of the chaos run share: its two kinds of ending badly, waiting, and the clock of the history."""
import time


class Environment(Exception):
    """The machine can't do this (no right, no tool, no space): exit 3, never a violation."""


class Violation(Exception):
    """The product broke a promise: exit 1."""


def now_us():
    """CLOCK_MONOTONIC, the one clock of a history; the same in every process of this machine."""
    return time.monotonic_ns() // 1000


def wait_for(what, condition, patience_s):
    """Polls until condition() is true and returns that; a Violation names what did not come."""
    end = time.monotonic() + patience_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Violation(f"waited {patience_s} s in vain for {what}")
        time.sleep(0.05)
