"""BYEs that are owed, kept over a crash: a dialog that nobody hangs up stays up at the peer, who may be paid for it.

They belong to no tenant: a dialog is the peer's and ours, whoever pays for its call.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.store.rows import Row
from sipshop.store.schema import Statement, farewells

_KEY: Final = ("call_id", "local_tag", "remote_tag")
_PUT: Final = Statement(insert(farewells).on_conflict_do_nothing())
_REMOVE: Final = Statement(delete(farewells).where(*(farewells.c[name] == bindparam(f"key_{name}") for name in _KEY)))
_COUNT: Final = Statement(update(farewells).values(starts=farewells.c.starts + 1))
_GIVE_UP: Final = Statement(delete(farewells).where(farewells.c.starts > bindparam("most")))
ALL: Final = Statement(select(farewells))

#: So many starts send a BYE that was not answered: who dies again and again owes what its last lives have left.
MOST_STARTS: Final = 8


class Owed:
    """A BYE that is owed in a dialog, which is plain JSON.

    The event loop says by `is_over` that it is owed no more, the writer's thread by `is_written` that it has a row. So
    a BYE that is answered before its call is settled on disk, as nearly all are, is never written. Each sets its own
    flag before it reads the other's: either there is no row, or whoever is to remove it knows of it.

    `starts` says how many processes have found it when they began.
    """

    __slots__ = ("dialog", "is_over", "is_written", "starts")

    def __init__(self, dialog: Mapping[str, Any], *, is_written: bool = False, starts: int = 0) -> None:
        self.dialog = dialog
        self.is_over = False
        self.is_written = is_written
        self.starts = starts

    def write(self, connection: sqlite3.Connection) -> None:
        """Write its row, unless it is over."""
        if self.is_over:
            return
        self.is_written = True
        if not self.is_over:
            stored = json.dumps(self.dialog, separators=(",", ":"))
            _PUT.run(connection, {**self._key, "dialog": stored, "starts": self.starts})

    def remove(self, connection: sqlite3.Connection) -> None:
        """Remove its row."""
        _REMOVE.run(connection, {f"key_{name}": value for name, value in self._key.items()})

    @property
    def _key(self) -> dict[str, str]:
        # a tag is the peer's, and may hold bytes that are no UTF-8, which SQLite would not take
        return {name: self.dialog[name].encode("ascii", "backslashreplace").decode("ascii") for name in _KEY}


@dataclass(frozen=True, slots=True)
class FarewellOwed:
    """A BYE will be sent: whoever is to hear it is not acknowledged before this is written."""

    waited_for: ClassVar[bool] = True
    owed: Owed

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it; one that is there stays."""
        self.owed.write(connection)


@dataclass(frozen=True, slots=True)
class FarewellsOver:
    """These BYEs were answered, or never will be."""

    waited_for: ClassVar[bool] = False
    over: tuple[Owed, ...]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Remove their rows."""
        for owed in self.over:
            owed.remove(connection)


@dataclass(frozen=True, slots=True)
class FarewellsFound:
    """A start found what there is; those that enough starts have sent go."""

    waited_for: ClassVar[bool] = False

    def apply(self, connection: sqlite3.Connection) -> None:
        """Count the start, in every row."""
        _COUNT.run(connection, {})
        _GIVE_UP.run(connection, {"most": MOST_STARTS})


def owed(row: Row) -> Owed:
    """Read one back."""
    return Owed(json.loads(row["dialog"]), is_written=True, starts=row["starts"])
