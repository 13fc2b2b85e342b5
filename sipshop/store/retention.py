"""What is not kept for ever: numbers in old call detail records are masked, records of calls that nobody answered go.

Nothing that money hangs on goes: the records of answered calls stay with their charges and transfers, so the laws of
the books hold before and after. The work is done in small writes of the journal, with pauses, so that no call waits for
it; how far it has come is noted, so that no record is looked at twice.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from sqlalchemy import text
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.cdr import masked, utc_text
from sipshop.store.errors import StoreError
from sipshop.store.outbox import oldest_undelivered_ms
from sipshop.store.schema import Statement, retention
from sipshop.store.store import Store

logger = logging.getLogger(__name__)

#: How many records one write changes at most: some ten milliseconds of the journal.
AT_ONCE: Final = 200
#: Between two such writes, and between two rounds.
PAUSE_S: Final = 1.0
EVERY_S: Final = 3600.0

_DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How many days what is kept; None is for ever.

    After `numbers_days` the last `hidden_digits` of the numbers that were called are masked; after `unanswered_days`
    the records of calls go that nobody answered, and so nobody paid for; after `desk_log_days` the notes of who did
    what at the desk. A record that a target of the export has yet to get stays whole `hold_days` longer, no more.
    """

    numbers_days: int | None = 180
    hidden_digits: int = 4
    unanswered_days: int | None = 365
    desk_log_days: int | None = None
    hold_days: int = 30

    def __post_init__(self) -> None:
        for name in ("numbers_days", "unanswered_days", "desk_log_days"):
            days = getattr(self, name)
            assert days is None or days >= 1, f"{name} is at least a day"
        assert self.hidden_digits >= 1, "a mask hides something"


async def retain(
    store: Store,
    tenants: Callable[[], Iterable[str]],
    kept: Callable[[], Retention],
    utc_ms: Callable[[], int],
    *,
    targets: Callable[[str], Iterable[str]] = lambda _tenant: (),
    pause_s: float = PAUSE_S,
    every_s: float = EVERY_S,
) -> None:
    """Do what there is to do for each tenant, again and again until it is cancelled; `kept` is asked before each round.

    `targets` names those of a tenant's export. A disk that fails costs a round, no more.
    """
    while True:
        for tenant in list(tenants()):
            try:
                await retain_once(store, tenant, kept(), utc_ms(), targets=tuple(targets(tenant)), pause_s=pause_s)
            except StoreError as error:
                logger.warning("the retention of %s waits for the next round: %s", tenant, error)
        await asyncio.sleep(every_s)


async def retain_once(
    store: Store,
    tenant: str,
    kept: Retention,
    now_ms: int,
    *,
    targets: Sequence[str] = (),
    pause_s: float = PAUSE_S,
) -> int:
    """Do all that there is to do for a tenant, in small writes; how many records were changed or removed.

    Raises:
        Unwritable, Unusable, StoreClosed: the disk does not let us; what was done is done.
    """
    changed = 0
    held_ms = [await asyncio.to_thread(oldest_undelivered_ms, store.path, tenant, target) for target in targets]
    for write in _due(tenant, kept, now_ms, min((at_ms for at_ms in held_ms if at_ms is not None), default=None)):
        while done := await store.commit(write):
            changed += done
            if done < AT_ONCE:
                break
            await asyncio.sleep(pause_s)
    if changed:
        logger.info("retention: %d old records of %s were masked or removed", changed, tenant)
    return changed


def _due(
    tenant: str, kept: Retention, now_ms: int, held_ms: int | None
) -> list[NumbersMasked | UnansweredRemoved | DeskLogRemoved]:
    """What is to be done; `held_ms` is when the oldest call was set up that a target has yet to get."""

    def before_ms(days: int) -> int:
        due_ms = now_ms - days * _DAY_MS
        if held_ms is None or held_ms >= due_ms:
            return due_ms
        until_ms = max(held_ms, due_ms - kept.hold_days * _DAY_MS)
        logger.warning(
            "the retention of %s keeps what the export has yet to deliver, since %s", tenant, utc_text(held_ms)
        )
        return until_ms

    due: list[NumbersMasked | UnansweredRemoved | DeskLogRemoved] = []
    if kept.numbers_days is not None:
        due.append(NumbersMasked(tenant, before_ms(kept.numbers_days), kept.hidden_digits))
    if kept.unanswered_days is not None:
        due.append(UnansweredRemoved(tenant, before_ms(kept.unanswered_days)))
    if kept.desk_log_days is not None:
        due.append(DeskLogRemoved(tenant, now_ms - kept.desk_log_days * _DAY_MS))
    return due


# The writes. Each takes the oldest records that it has not seen, and notes the time of the last one; records of the
# same millisecond may be left for the next write, so what it has done already is told by the records themselves.

_put = insert(retention)
_NOTE: Final = Statement(
    _put.on_conflict_do_update(index_elements=list(retention.primary_key), set_={"until_ms": _put.excluded.until_ms})
)


def _question(sql: str) -> Statement:
    return Statement(text(sql))


_UNTIL: Final = _question("SELECT until_ms FROM retention WHERE tenant = :tenant AND work = :work")

# `masked` is the function of that name, which the write lends to its connection.
_UNMASKED: Final = _question(
    """
    SELECT rowid AS number, setup_at_ms FROM cdrs
    WHERE tenant = :tenant AND setup_at_ms >= :since_ms AND setup_at_ms < :before_ms
      AND (dialled <> masked(dialled, :hidden) OR e164 <> masked(e164, :hidden))
    ORDER BY setup_at_ms LIMIT :at_most
    """
)
_HIDE: Final = _question(
    """
    UPDATE cdrs SET dialled = masked(dialled, :hidden), e164 = masked(e164, :hidden)
    WHERE tenant = :tenant AND rowid = :number
    """
)
_UNANSWERED: Final = _question(
    """
    SELECT rowid AS number, setup_at_ms FROM cdrs
    WHERE tenant = :tenant AND setup_at_ms >= :since_ms AND setup_at_ms < :before_ms AND answered_at_ms IS NULL
      AND NOT EXISTS (
        SELECT 1 FROM cdrs AS other
        WHERE other.tenant = cdrs.tenant AND other.call_id = cdrs.call_id AND other.answered_at_ms IS NOT NULL
      )
    ORDER BY setup_at_ms LIMIT :at_most
    """
)
_REMOVE: Final = _question("DELETE FROM cdrs WHERE tenant = :tenant AND rowid = :number")
_REMOVE_NOTES: Final = _question(
    """
    DELETE FROM desk_log WHERE tenant = :tenant AND at_ms < :before_ms
      AND id IN (SELECT id FROM desk_log WHERE tenant = :tenant ORDER BY id LIMIT :at_most)
    """
)


@dataclass(frozen=True, slots=True)
class NumbersMasked:
    """The numbers of calls that were set up before an instant lose their last `hidden` characters."""

    waited_for: ClassVar[bool] = True
    tenant: str
    before_ms: int
    hidden: int
    at_most: int = AT_ONCE

    def apply(self, connection: sqlite3.Connection) -> int:
        """Mask some; how many records were changed."""
        connection.create_function("masked", 2, _masked, deterministic=True)
        # Another length masks anew, from the oldest record on; what is hidden already stays hidden.
        return _work(
            connection, self, f"mask {self.hidden}", find=_UNMASKED, change=_HIDE, values={"hidden": self.hidden}
        )


@dataclass(frozen=True, slots=True)
class UnansweredRemoved:
    """The records of calls that were set up before an instant and that nobody answered are removed."""

    waited_for: ClassVar[bool] = True
    tenant: str
    before_ms: int
    at_most: int = AT_ONCE

    def apply(self, connection: sqlite3.Connection) -> int:
        """Remove some; how many there were."""
        return _work(connection, self, "unanswered", find=_UNANSWERED, change=_REMOVE, values={})


@dataclass(frozen=True, slots=True)
class DeskLogRemoved:
    """The notes of who did what at the desk before an instant are removed."""

    waited_for: ClassVar[bool] = True
    tenant: str
    before_ms: int
    at_most: int = AT_ONCE

    def apply(self, connection: sqlite3.Connection) -> int:
        """Remove some; how many there were."""
        values = {"tenant": self.tenant, "before_ms": self.before_ms, "at_most": self.at_most}
        return _REMOVE_NOTES.run(connection, values).rowcount


def _masked(number: str | None, hidden: int) -> str | None:
    return None if number is None else masked(number, hidden)


def _work(
    connection: sqlite3.Connection,
    write: NumbersMasked | UnansweredRemoved,
    work: str,
    *,
    find: Statement,
    change: Statement,
    values: dict[str, object],
) -> int:
    """Change the oldest records that are due and were not looked at, and note how far that is."""
    noted = _UNTIL.run(connection, {"tenant": write.tenant, "work": work}).fetchone()
    since_ms = 0 if noted is None else noted["until_ms"]
    asked = {"tenant": write.tenant, "since_ms": since_ms, "before_ms": write.before_ms, "at_most": write.at_most}
    found = find.run(connection, asked | values).fetchall()
    change.run_many(connection, ({"tenant": write.tenant, "number": row["number"]} | values for row in found))
    until_ms = found[-1]["setup_at_ms"] if len(found) == write.at_most else max(since_ms, write.before_ms)
    _NOTE.run(connection, {"tenant": write.tenant, "work": work, "until_ms": until_ms})
    return len(found)
