"""A target that is a program: it gets a batch as JSON Lines on its standard input, and ends with 0 if it has it (IO).

It is started without a shell, once a batch, in a process group and an environment of its own. Whatever it prints goes
nowhere; who takes too long is killed with all that it has started.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from sipshop.export.delivery import Failed, Refused, Taken
from sipshop.export.target import Outcome, Parcel

#: The exit status of a program that does not want what it got, of sysexits.h: EX_DATAERR.
REFUSAL: Final = 65

#: What it gets to know of our environment, in which there may be secrets.
_PASSED_ON: Final = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "TMPDIR", "TZ", "USER")


class Command:
    """A program that takes batches."""

    def __init__(self, words: Sequence[str], *, target: str, timeout_s: float, environment: Mapping[str, str]) -> None:
        self._words = tuple(words)
        self._timeout_s = timeout_s
        passed_on = {name: environment[name] for name in _PASSED_ON if name in environment}
        self._environment = {**passed_on, "SIPSHOP_TARGET": target}
        self._process: subprocess.Popen[bytes] | None = None

    def deliver(self, parcel: Parcel, utc_ms: int) -> Outcome:
        """Run it with a batch."""
        del utc_ms
        try:
            with tempfile.TemporaryFile() as lines:
                lines.write(parcel.lines)
                lines.seek(0)
                return self._run(lines.fileno(), parcel.id)
        except OSError as error:
            return Failed(f"{error.filename or self._words[0]} cannot be run: {error.strerror}")

    def stop(self) -> None:
        """Kill it with all that it has started, if it runs."""
        process = self._process
        if process is not None and process.poll() is None:
            _kill(process)

    def _run(self, lines: int, batch: str) -> Outcome:
        process = self._process = subprocess.Popen(  # noqa: S603 - the words are the configuration's, and no shell reads them
            self._words,
            stdin=lines,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**self._environment, "SIPSHOP_BATCH": batch},
            start_new_session=True,
        )
        try:
            status = process.wait(self._timeout_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
            return Failed(f"did not end within {self._timeout_s:g} s, and was killed")
        finally:
            self._process = None
        return outcome_of(status)


def outcome_of(status: int) -> Outcome:
    """Return what an exit status means; one below zero is the signal that ended the program."""
    if status == 0:
        return Taken()
    if status == REFUSAL:
        return Refused(f"exit status {status}")
    return Failed(f"exit status {status}" if status > 0 else f"ended by signal {-status}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
