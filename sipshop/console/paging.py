"""Long lists, a page at a time: `limit` says how much, `cursor` where an earlier page ended.

A cursor names the last row that was shown, so that rows which come meanwhile are neither missed nor shown twice. Its
text means nothing to whoever sends it back.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from fastapi import Query

from sipshop.store import CdrPlace, UnknownPlace

MAX_ROWS: Final = 1000

Limit = Annotated[int, Query(ge=1, le=MAX_ROWS, description="how many at most")]
Cursor = Annotated[str | None, Query(max_length=400, description="`next` of the page before")]
Item = TypeVar("Item")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_INTEGER: Final = 2**63 - 1  # of the database


def encode(*place: str | int) -> str:
    """Return the cursor of a row, from what names it.

    >>> decode(encode("booth1"), str)
    ('booth1',)
    """
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode("ascii").rstrip("=")


def decode(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return what names a cursor's row, of exactly these types; raises `UnknownPlace` for what we never made."""
    try:
        place = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        place = None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds) or not all(map(_is_ours, place)):
        raise UnknownPlace("the cursor is none of this list: take `next` of the page before")
    return tuple(place)


def _is_ours(part: str | int) -> bool:
    """Whether the database can be asked for it: no more than its integers, and no half of a character."""
    return part.isprintable() if isinstance(part, str) else abs(part) <= _MAX_INTEGER


def page_of(
    items: Sequence[Item], name: Callable[[Item], str], limit: int, cursor: str | None
) -> tuple[Sequence[Item], str | None]:
    """Return a page of a list that is in memory, and the cursor of the next; raises `UnknownPlace`."""
    start = 0
    if cursor is not None:
        (last,) = decode(cursor, str)
        start = next((number for number, item in enumerate(items, 1) if name(item) == last), 0)
        if not start:
            raise UnknownPlace(f"the list has no {last!r} any more: read it from the beginning")
    page = items[start : start + limit]
    return page, encode(name(page[-1])) if start + limit < len(items) else None


def place_of(cdr: Mapping[str, Any]) -> str:
    """Return the cursor of a call's record."""
    return encode(epoch_ms(datetime.fromisoformat(cdr["setup_at"])), cdr["call_id"], cdr["revision"])


def cdr_place(cursor: str | None, until: datetime | None) -> CdrPlace | None:
    """Return where a list of CDRs goes on: after a page, or with what was set up before `until`."""
    if cursor is not None:
        return CdrPlace(*decode(cursor, int, str, int))
    return None if until is None else CdrPlace(epoch_ms(until) - 1, "", 0)


def epoch_ms(at: datetime) -> int:
    """Return an instant in milliseconds since the Unix epoch; one that names no zone is in UTC."""
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
