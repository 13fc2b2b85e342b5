"""Where servers of the tests come from: a process that has all of sipshop loaded, and forks one in some milliseconds.

To load it takes two seconds of a processor, and there are more than a hundred of them. What is forked is a process as
any other: it has its own output, folder and environment, and runs `sipshop` from its first line on.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_LOADED: Final = ("sipshop.app", "sipshop.cli.serve")
_LOOK_EVERY_S: Final = 0.01


class Forked:
    """A `sipshop` of the nursery, with as much of `subprocess.Popen` as the tests need."""

    def __init__(
        self, words: Sequence[str], folder: Path, environment: Mapping[str, str], *, out: Path, errors: Path
    ) -> None:
        """Start it in a folder, with what it says at the end of two files, which may be one."""
        self.words = words
        for file in (out, errors):
            file.touch()
        what = {"words": list(words), "folder": str(folder), "out": str(out), "errors": str(errors)}
        self.pid = _nursery().born(what | {"environment": dict(environment)})

    @property
    def returncode(self) -> int | None:
        """Its exit status, below zero the signal that ended it; None while it runs."""
        return _nursery().status(self.pid)

    def poll(self) -> int | None:
        """Its exit status, or None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, as soon as there is one; raises TimeoutExpired."""
        give_up = time.monotonic() + (float("inf") if timeout is None else timeout)
        while (status := self.poll()) is None:
            if time.monotonic() > give_up:
                raise subprocess.TimeoutExpired(["sipshop", *self.words], timeout or 0.0)
            time.sleep(_LOOK_EVERY_S)
        return status

    def send_signal(self, by: int) -> None:
        """Send it a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, by)

    def kill(self) -> None:
        """End it without a word to it."""
        self.send_signal(signal.SIGKILL)


def run(
    words: Sequence[str | Path],
    within_s: float,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `sipshop WORDS` to its end, as `subprocess.run` does, in a folder and with more in its environment."""
    texts = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as said:
        out, errors = Path(said, "out"), Path(said, "errors")
        program = Forked(texts, folder or Path.cwd(), {**os.environ, **(environment or {})}, out=out, errors=errors)
        try:
            status = program.wait(within_s)
        finally:
            program.kill()
        return subprocess.CompletedProcess(
            ["sipshop", *texts], status, out.read_text("utf-8"), errors.read_text("utf-8")
        )


class _Nursery:
    """The process that forks, as it is seen by the tests."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.wire.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        assert self._process.stdin is not None, "it was asked for"
        assert self._process.stdout is not None, "it was asked for"
        self._asks, self._tells = self._process.stdin, self._process.stdout
        self._lock = threading.Lock()
        self._statuses: dict[int, int] = {}

    def born(self, what: Mapping[str, object]) -> int:
        """Have one forked; its number."""
        with self._lock:
            self._asks.write(json.dumps(what).encode() + b"\n")
            self._asks.flush()
            while "born" not in (told := self._heard()):
                self._statuses[told["ended"]] = told["status"]
            self._statuses.pop(told["born"], None)  # numbers come again
            return int(told["born"])

    def status(self, pid: int) -> int | None:
        """The exit status of one, None while it runs."""
        with self._lock:
            while select.select([self._tells], [], [], 0)[0]:
                told = self._heard()
                self._statuses[told["ended"]] = told["status"]
            return self._statuses.get(pid)

    def close(self) -> None:
        """End it, and all that still run."""
        self._process.communicate()

    def _heard(self) -> dict[str, Any]:
        """The next thing that it tells."""
        line = bytearray()
        while not line.endswith(b"\n"):  # no more than the line: what lies in a buffer is not seen by `select`
            piece = os.read(self._tells.fileno(), 1)
            assert piece, "the nursery has ended"
            line += piece
        told: dict[str, Any] = json.loads(line)
        return told


@cache
def _nursery() -> _Nursery:
    """The one of this process, with the first that is born there."""
    nursery = _Nursery()
    atexit.register(nursery.close)
    return nursery


def _tell(what: Mapping[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


def _fork_as_asked() -> dict[str, Any] | None:
    """Fork one for every line on the standard input; in each what it is to be, and in the nursery None at the end."""
    running: dict[int, int] = {}  # what the kernel tells of its end by, and its number
    awaited = select.poll()
    awaited.register(0, select.POLLIN | select.POLLHUP)
    while True:
        for found, _ in awaited.poll():
            if found != 0:
                awaited.unregister(found)
                pid = running.pop(found)
                os.close(found)
                _tell({"ended": pid, "status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})
                continue
            line = sys.stdin.readline()
            if not line:
                for pid in running.values():
                    os.kill(pid, signal.SIGKILL)
                return None
            pid = os.fork()
            if not pid:
                for each in running:
                    os.close(each)
                what: dict[str, Any] = json.loads(line)
                return what
            descriptor = os.pidfd_open(pid)
            running[descriptor] = pid
            awaited.register(descriptor, select.POLLIN)
            _tell({"born": pid})


def _be(what: Mapping[str, Any]) -> None:
    """Be `python -m sipshop`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with (
        Path(os.devnull).open("rb") as nothing,
        Path(what["out"]).open("ab") as out,
        Path(what["errors"]).open("ab") as errors,
    ):
        os.dup2(nothing.fileno(), 0)
        os.dup2(out.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    os.chdir(what["folder"])
    os.environ.clear()
    os.environ.update(what["environment"])
    sys.argv = ["sipshop", *what["words"]]
    runpy.run_module("sipshop", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever presses Ctrl-C means the tests, which end us
    for name in _LOADED:
        import_module(name)
    gc.collect()
    gc.freeze()  # who is forked has less to go through
    one = _fork_as_asked()
    if one is not None:
        _be(one)
