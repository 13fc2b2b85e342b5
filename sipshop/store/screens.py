"""Screens for customers: links, each with a key of its own that shows booths of one shop and opens nothing else.

Of a key only the SHA-256 is kept.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

from sqlalchemy import bindparam, delete, insert, select

from sipshop.store.errors import UnknownScreen
from sipshop.store.rows import Row
from sipshop.store.schema import Statement, screens
from sipshop.store.writes import note_in_log

_ID_DIGITS: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """A screen: what it shows (`booth` is None for all of the shop), in which language; known by its key's SHA-256."""

    tenant: str
    sha256: str
    shop: str
    booth: str | None
    language: str
    label: str
    author: str
    created_at_ms: int

    @property
    def id(self) -> str:
        """What people know it by; it tells nothing of the key."""
        return self.sha256[:_ID_DIGITS]


_ADD: Final = Statement(insert(screens))
_REMOVE: Final = Statement(
    delete(screens).where(screens.c.tenant == bindparam("key_tenant"), screens.c.sha256 == bindparam("key_sha256"))
)
SCREENS: Final = Statement(select(screens).order_by(screens.c.created_at_ms, screens.c.sha256))


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenAdded:
    """Somebody makes a screen."""

    waited_for: ClassVar[bool] = True
    tenant: str
    screen: Screen
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it down."""
        _ADD.run(connection, asdict(self.screen))
        _log(connection, self.screen, self.screen.author, "add screen", self.at_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenRemoved:
    """Somebody takes a screen away: its link shows nothing any more."""

    waited_for: ClassVar[bool] = True
    tenant: str
    screen: Screen
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Do it; raises UnknownScreen where it is gone."""
        gone = _REMOVE.run(connection, {"key_tenant": self.tenant, "key_sha256": self.screen.sha256})
        if not gone.rowcount:
            raise UnknownScreen(f"there is no screen with the id {self.screen.id!r}")
        _log(connection, self.screen, self.author, "remove screen", self.at_ms)


def _log(connection: sqlite3.Connection, screen: Screen, author: str, action: str, at_ms: int) -> None:
    note_in_log(
        connection,
        tenant=screen.tenant,
        at_ms=at_ms,
        author=author,
        action=action,
        subject=screen.shop if screen.booth is None else screen.booth,
        detail=f"{screen.id} {screen.label}".strip(),
    )


def screen_of(row: Row) -> Screen:
    """Read a screen back."""
    return Screen(
        tenant=row["tenant"],
        sha256=row["sha256"],
        shop=row["shop"],
        booth=row["booth"],
        language=row["language"],
        label=row["label"],
        author=row["author"],
        created_at_ms=row["created_at_ms"],
    )
