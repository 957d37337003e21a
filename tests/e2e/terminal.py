"""A program on a terminal of its own: a pty, and as much of a terminal behind it as the command line uses.

Unknown escape sequences are an error, so that nothing is sent which this, or a real terminal, doesn't understand.
"""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from harness import BIN, PATIENCE_S

SEQUENCE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


def columns_of(character):
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


class Screen:
    """What a terminal of this size shows."""

    def __init__(self, rows, columns):
        self.resize(rows, columns)
        self.alternate, self.cursor, self.wrap = False, True, True
        self.coloured = False
        self.strict = True  # until it is resized: what was drawn for the old size comes still

    def resize(self, rows, columns):
        self.strict = False
        self.rows, self.columns = rows, columns
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0

    def sequence(self, private, arguments, final):
        numbers = [int(n) for n in arguments.split(";") if n]
        if private and final in "hl":
            assert numbers[0] in (25, 1049, 7), f"unknown mode {numbers}"
            name = {25: "cursor", 1049: "alternate", 7: "wrap"}[numbers[0]]
            setattr(self, name, final == "h")
        elif final == "H":
            self.row, self.column = (numbers + [1, 1])[0] - 1, (numbers[1:] + [1])[0] - 1
            assert self.row < self.rows or not self.strict, f"row {self.row} of {self.rows}"
            self.row = min(self.row, self.rows - 1)
        elif final == "J":
            first = 0 if numbers and numbers[0] == 2 else self.row
            for row in range(first, self.rows):
                self.cells[row] = [" "] * self.columns
        elif final == "K":
            first = 0 if numbers and numbers[0] == 2 else self.column
            self.cells[self.row][first:] = [" "] * (self.columns - first)
        elif final == "m":
            self.coloured = self.coloured or any(n > 0 for n in numbers)
        else:
            raise AssertionError(f"unknown sequence ESC[{private}{arguments}{final}")

    def put(self, character):
        width = columns_of(character)
        if character == "\r":
            self.column = 0
        elif character == "\n":
            self.row = min(self.row + 1, self.rows - 1)
        elif ord(character) < 32 or ord(character) == 127:
            raise AssertionError(f"control character {ord(character)}")
        elif width and self.column + width <= self.columns:
            self.cells[self.row][self.column] = character
            self.column += width
        elif width and not self.wrap:
            assert not self.strict, f"a line longer than {self.columns}"
        elif width:
            self.row, self.column = min(self.row + 1, self.rows - 1), 0

    def feed(self, text):
        at = 0
        while at < len(text):
            match = SEQUENCE.match(text, at)
            if match:
                self.sequence(*match.groups())
                at = match.end()
                continue
            assert text[at] != "\x1b", f"unknown sequence {text[at:at + 12]!r}"
            self.put(text[at])
            at += 1

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())


class Terminal:
    """A program with a pty as its standard input, output and error, and as its controlling terminal."""

    def __init__(self, arguments, env, rows=40, columns=120, term="xterm", program=None, lenient=False, cwd=None):
        """lenient: another program's terminal; what it sends is kept, and not understood."""
        self.lenient = lenient
        self.master, self.slave = pty.openpty()
        self.screen = Screen(rows, columns)
        self.size(rows, columns)
        self.before = termios.tcgetattr(self.slave)
        self.raw, self.pending = "", b""
        whole = dict(os.environ, **{"PATH": f"{BIN}:{os.environ['PATH']}", "ASAN_OPTIONS": "detect_leaks=1", "TERM": term, **env})

        def own_terminal():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(program or [str(BIN / "autonomy"), *arguments], env=whole, stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, preexec_fn=own_terminal, cwd=cwd)

    def size(self, rows, columns):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, rows, columns):
        self.screen.resize(rows, columns)
        self.size(rows, columns)

    def read(self, wait_s=0.05):
        """Takes what the program has written; False at the end of it."""
        if not select.select([self.master], [], [], wait_s)[0]:
            return True
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.pending += data
        try:
            text = self.pending.decode()
            cut = len(text)
            if (esc := text.rfind("\x1b")) >= 0 and not SEQUENCE.match(text, esc):
                cut = esc  # the rest of it comes with the next bytes
            self.pending = text[cut:].encode()
        except UnicodeDecodeError:
            return True
        self.raw += text[:cut]
        if not self.lenient:
            self.screen.feed(text[:cut])
        return True

    def wait_for_raw(self, text, what, mark=0):
        """Reads until the program has written `text`, cut by nothing but escape sequences."""
        end = time.monotonic() + PATIENCE_S
        while text not in SEQUENCE.sub("", self.raw[mark:]):
            if time.monotonic() > end or not self.read():
                raise AssertionError(f"{what}: waited in vain for {text!r}; what came:\n{self.raw[mark:][-1500:]!r}")

    def settle(self, quiet_s=0.1):
        """Reads until nothing comes for a while after something has."""
        before, end = len(self.raw), time.monotonic() + 5
        while time.monotonic() < end:
            at = len(self.raw)
            self.read(quiet_s)
            if len(self.raw) == at > before:
                return

    def wait_for(self, what, condition=None, patience_s=PATIENCE_S):
        """Reads until the screen holds `what`, or condition(screen) is true."""
        condition = condition or (lambda screen: what in screen.text())
        end = time.monotonic() + patience_s
        while not condition(self.screen):
            alive = self.process.poll() is None
            if time.monotonic() > end or not (self.read() or alive):
                raise AssertionError(f"waited in vain for {what}; the screen:\n{self.screen.text()}\nexit {self.process.poll()}")

    def type(self, text):
        os.write(self.master, text.encode())

    def signal(self, number):
        self.process.send_signal(number)

    def end(self, patience_s=PATIENCE_S):
        """Waits for the program; its exit code."""
        end = time.monotonic() + patience_s
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < end, f"it goes on; the screen:\n{self.screen.text()}"
        while select.select([self.master], [], [], 0)[0]:
            self.read(0)
        return self.process.returncode

    def given_back(self):
        """Settings, cursor, screen and wrapping are as they were."""
        settings = termios.tcgetattr(self.slave)
        assert settings == self.before, f"the terminal's settings: {settings} instead of {self.before}"
        assert not self.screen.alternate and self.screen.cursor and self.screen.wrap, "the screen was not given back"

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()
