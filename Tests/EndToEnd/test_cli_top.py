"""quire top in a terminal of its own."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time

import pytest

from quire_client import PATIENCE

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?25h\x1b[?1049l"


class InTerminal:
    """A program whose input and output is a terminal of this size."""

    def __init__(self, *command, columns=100, lines=30, **environment):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", **environment)
            os.environ.pop("NO_COLOR", None)
            os.execv(command[0], command)
        self.text = ""
        self.resize(columns, lines)
        self.ended = None

    def resize(self, columns, lines):
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, size)

    def press(self, keys):
        os.write(self.terminal, keys.encode())

    def wait_for(self, words):
        """Reads until these words came; what came before them is gone."""
        until = time.monotonic() + PATIENCE
        while words not in self.text:
            assert time.monotonic() < until, f"no {words!r} in {self.text[-3000:]!r}"
            assert self._read(), f"ended without {words!r}: {self.text[-3000:]!r}"
        before, _, self.text = self.text.partition(words)
        return before

    def _read(self):
        ready, _, _ = select.select([self.terminal], [], [], 1)
        if not ready:
            return True
        try:
            read = os.read(self.terminal, 65536)
        except OSError:  # The other side has been closed.
            return False
        self.text += read.decode(errors="replace")
        return bool(read)

    def is_raw(self):
        return not termios.tcgetattr(self.terminal)[3] & termios.ICANON

    def end(self):
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def top(server):
    def start(pool, *more, **how):
        command = [os.environ["QUIRE"], "top", "--interval", "0.125"]
        return InTerminal(*command, "--target", server.unix, "--pool", pool, *more, **how)
    return start


def test_it_takes_the_window_and_gives_it_back(top, pool):
    pool.add_and_admit(71, 12)
    screen = top(pool.pool)
    screen.wait_for(ENTER)
    screen.wait_for(f"Pool '{pool.pool}'")
    screen.wait_for("18.8 % held")
    assert screen.is_raw()
    screen.wait_for("71")
    screen.press("q")
    screen.wait_for(LEAVE)
    assert not screen.is_raw()
    assert screen.end() == 0


def test_it_follows_the_pool_keys_and_the_window(top, pool):
    pool.add_and_admit(71, 12)
    screen = top(pool.pool)
    screen.wait_for("18.8 % held")
    pool.add_and_admit(72, 20)
    screen.wait_for("50.0 % held")
    screen.press("t")
    screen.wait_for("by tokens")
    screen.press("\x1b[B\x1b[A?")
    screen.wait_for("h or q: back")
    screen.press("q")
    screen.wait_for("SEQUENCE")
    screen.resize(40, 12)
    screen.wait_for("\x1b[J")
    screen.wait_for("\x1b[H")
    frame = screen.wait_for("\x1b[J")
    assert frame.count("\r\n") == 11
    screen.press("q")
    assert screen.end() == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_and_gives_the_window_back(top, pool, number):
    screen = top(pool.pool)
    screen.wait_for("% held")
    os.kill(screen.pid, number)
    screen.wait_for(LEAVE)
    assert screen.end() == 0


def test_a_pool_that_is_not_there_is_told_and_the_next_one_is_a_key_away(top, pool):
    screen = top("nobody")
    screen.wait_for('there is no pool "nobody"')
    screen.press("n")
    screen.wait_for("% held")
    screen.press("q")
    assert screen.end() == 0


def test_colour_is_for_terminals_that_want_it(top, pool):
    pool.allocate(8)
    colourful = top(pool.pool, "--count", "1")
    assert "\x1b[34m" in colourful.wait_for(LEAVE)
    assert colourful.end() == 0
    plain = top(pool.pool, "--count", "1", "--no-color")
    assert "\x1b[34m" not in plain.wait_for(LEAVE)
    assert plain.end() == 0
