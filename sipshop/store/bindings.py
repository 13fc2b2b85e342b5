"""Where phones are reached, kept over a restart: one row a booth, with all of its bindings.

Nobody waits for these writes, and what is lost with a crash comes back by itself: phones register again.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from sipshop.store.rows import Row
from sipshop.store.schema import Statement, bindings

_put = insert(bindings)
_PUT: Final = Statement(
    _put.on_conflict_do_update(index_elements=list(bindings.primary_key), set_={"held": _put.excluded.held})
)
_REMOVE: Final = Statement(
    delete(bindings).where(bindings.c.tenant == bindparam("key_tenant"), bindings.c.booth == bindparam("key_booth"))
)
ALL: Final = Statement(select(bindings))


@dataclass(frozen=True, slots=True)
class Kept:
    """The bindings of a booth, each in plain JSON types; none means that it has no row."""

    tenant: str
    booth: str
    held: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class BindingsKept:
    """Put the bindings of these booths in the place of what is there."""

    waited_for: ClassVar[bool] = False

    booths: tuple[Kept, ...]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Do it; what is there already stays as it is."""
        gone = (kept for kept in self.booths if not kept.held)
        _REMOVE.run_many(connection, ({"key_tenant": kept.tenant, "key_booth": kept.booth} for kept in gone))
        _PUT.run_many(
            connection,
            (
                {"tenant": kept.tenant, "booth": kept.booth, "held": _text(kept.held)}
                for kept in self.booths
                if kept.held
            ),
        )


def _text(held: tuple[Mapping[str, Any], ...]) -> str:
    """As JSON in ASCII: a Contact may hold bytes that are no UTF-8, which SQLite would not take."""
    return json.dumps(held, separators=(",", ":"))


def kept(row: Row) -> Kept:
    """Read a booth's bindings back."""
    return Kept(row["tenant"], row["booth"], tuple(json.loads(row["held"])))
