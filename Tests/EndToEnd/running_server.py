"""Starts and stops a `quired`, and looks at it from outside."""

import os
import queue
import signal
import subprocess
import threading

READY = "quired: listening on "


class RunningServer:
    """One server process on ports and paths of its own; used as a context manager.

    Leaving asks it to stop with SIGTERM and asserts that it exits 0.
    """

    def __init__(self, directory, pools=(), more=(), listen=()):
        self.socket_path = os.path.join(directory, "q.sock")
        listeners = ["127.0.0.1:0", f"unix:{self.socket_path}", *listen]
        arguments = [os.environ["QUIRED"]]
        for listener in listeners:
            arguments += ["--listen", listener]
        for pool in pools:
            arguments += ["--pool", pool]
        self.log_path = os.path.join(directory, "quired.log")
        with open(self.log_path, "w") as log:
            self.process = subprocess.Popen(
                arguments + list(more), stdout=subprocess.PIPE, stderr=log, text=True
            )
        # A reader of its own: a server that says nothing fails a test instead of hanging it.
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()
        self.addresses = [self._ready_line() for _ in listeners]
        self.tcp = next(a for a in self.addresses if not a.startswith("unix:"))
        self.unix = next(a for a in self.addresses if a.startswith("unix:"))

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(None)

    def _ready_line(self):
        line = self.lines.get(timeout=20)
        assert line is not None, f"the server stopped: {self.log()}"
        assert line.startswith(READY), f"not a ready line: {line!r}"
        return line[len(READY):]

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        return int(self.tcp.rsplit(":", 1)[1])

    def log(self):
        with open(self.log_path) as log:
            return log.read()

    def resident_bytes(self):
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def forget_peak(self):
        """From here on `peak_resident_bytes` is of what comes."""
        with open(f"/proc/{self.pid}/clear_refs", "w") as references:
            references.write("5")

    def peak_resident_bytes(self):
        """The most that was resident at any time since, given back or not."""
        with open(f"/proc/{self.pid}/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024

    def open_descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def is_running(self):
        return self.process.poll() is None

    def stop(self, with_signal=signal.SIGTERM):
        """The exit status after a graceful stop."""
        if self.is_running():
            self.process.send_signal(with_signal)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        status = self.stop()
        if kind is None:
            assert status == 0, f"exit {status} after SIGTERM: {self.log()}"
