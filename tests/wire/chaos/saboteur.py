"""Runs `sipshop` and sabotages it from within: `python saboteur.py [--die-at K ...] [--jump SEED] -- demo ...`.

With `--die-at K` the process is killed while it settles a call that moves money: before the K-th statement that SQLite
runs for it, or, where a settlement has fewer than K, after its last statement and before the COMMIT. `--die-after N`
lets that many such settlements pass first. Where it died goes to the end of the file `--note`, as
`{"at": K, "before": the statement, null for the COMMIT}`.

With `--jump SEED` the wall clock that is written down jumps by an hour, back and forth, again and again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from sipshop.cli import main as sipshop
from sipshop.store import CallSettled
from sipshop.switch import clock

JUMP_NS: Final = 3_600_000_000_000


def main(arguments: Sequence[str]) -> None:
    """Set the traps, then be `sipshop` with what stands after `--`."""
    split = list(arguments).index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("--die-at", type=int)
    parser.add_argument("--die-after", type=int, default=0)
    parser.add_argument("--note", type=Path)
    parser.add_argument("--jump", type=int)
    options = parser.parse_args(arguments[:split])
    if options.die_at is not None:
        Trap(options.die_at, options.die_after, options.note).set()
    if options.jump is not None:
        setattr(clock, "time", JumpingClock(random.Random(options.jump)))  # noqa: B010  # what it reads, for once not time
    sys.argv = ["sipshop", *arguments[split + 1 :]]
    sipshop()


@dataclass(slots=True)
class Trap:
    """Kills the process at a statement of a settlement that moves money."""

    at: int
    after: int
    note: Path | None
    statements: int = 0

    def set(self) -> None:
        """Have every settlement counted from now on."""
        settle = CallSettled.apply

        def counted(settled: CallSettled, connection: sqlite3.Connection) -> int | None:
            if not any(charge.cost.amount.micros for charge in settled.cdr.charges):
                return settle(settled, connection)
            if self.after > 0:
                self.after -= 1
                return settle(settled, connection)
            self.statements = 0
            connection.set_trace_callback(self.count)
            try:
                version = settle(settled, connection)
            finally:
                connection.set_trace_callback(None)
            if self.statements < self.at:
                self.die(None)
            return version

        setattr(CallSettled, "apply", counted)  # noqa: B010  # the one place where it is replaced

    def count(self, statement: str) -> None:
        """A statement is about to be run; those of triggers come as comments, and are a part of theirs."""
        if statement.startswith("--"):
            return
        self.statements += 1
        if self.statements == self.at:
            self.die(statement)

    def die(self, before: str | None) -> NoReturn:
        """End at once, as kill -9 does."""
        if self.note is not None:
            line = json.dumps({"at": self.at, "before": before})
            with self.note.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("nobody outlives that")


class JumpingClock:
    """Stands in for the module `time`: its `time_ns` is an hour early or late now and then."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._next_s = time.monotonic()
        self._jump_ns = 0

    def time_ns(self) -> int:
        """Nanoseconds since the epoch, more or less."""
        if time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + self._dice.uniform(0.1, 0.8)
            self._jump_ns = self._dice.choice((-JUMP_NS, 0, JUMP_NS))
        return time.time_ns() + self._jump_ns


if __name__ == "__main__":
    main(sys.argv[1:])
