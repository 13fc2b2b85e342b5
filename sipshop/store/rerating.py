"""Rerating in the database: which calls are meant, what they would come to, and their revisions.

Looking is done on a thread of its own. What is changed is changed in writes of a few calls each, so that no call that
is set up meanwhile waits for longer than for any other write. A batch has a name: a call gets one revision of a batch
at most, so one that was cut off anywhere is run again, and comes to the same.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, Final

from sqlalchemy import text
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.cdr import Cdr
from sipshop.billing.deck import RateDeck
from sipshop.billing.errors import NoVersion, OtherBatch
from sipshop.billing.ledger import Transfer
from sipshop.billing.rerate import Rerating, Revised, Summary, revised, revision_transfers
from sipshop.store import queries, rows
from sipshop.store.schema import Statement, cdrs, charges, rerated, rerating_batches
from sipshop.store.writes import judge, note_in_log, post, raise_version

#: How many calls one write revises at most: some ten milliseconds of the journal.
CALLS_AT_ONCE: Final = 20


def _question(sql: str) -> Statement:
    return Statement(text(sql))


_DECK: Final = _question(
    "SELECT * FROM decks WHERE tenant = :tenant AND name = :deck AND version = :version AND position >= 0"
)
_VERSIONS: Final = _question(
    "SELECT version FROM decks WHERE tenant = :tenant AND name = :deck AND position >= 0 ORDER BY version"
)
_RATES: Final = _question(
    "SELECT * FROM rates WHERE tenant = :tenant AND deck = :deck AND version = :version ORDER BY position"
)

# What is meant is found by the snapshot that each charge kept; `Rerating.means` then says it of each level.
_MEANT: Final = _question(
    """
    SELECT cdrs.call_id FROM cdrs
    WHERE cdrs.tenant = :tenant AND cdrs.setup_at_ms >= :since_ms AND cdrs.setup_at_ms < :until_ms
      AND cdrs.answered_at_ms IS NOT NULL
      AND NOT EXISTS (
        SELECT 1 FROM cdrs AS later
        WHERE later.tenant = cdrs.tenant AND later.call_id = cdrs.call_id AND later.revision > cdrs.revision
      )
      AND EXISTS (
        SELECT 1 FROM charges
        WHERE charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id AND charges.revision = cdrs.revision
          AND json_extract(charges.tariff, '$.deck') = :deck
          AND json_extract(charges.tariff, '$.version') <> :version
      )
    ORDER BY cdrs.setup_at_ms, cdrs.call_id
    """
)
_PAID: Final = _question("SELECT paid FROM booth_sessions WHERE tenant = :tenant AND id = :session_id")

_BATCH: Final = _question("SELECT * FROM rerating_batches WHERE tenant = :tenant AND id = :id")
_BEGIN: Final = Statement(insert(rerating_batches))
_END: Final = _question("UPDATE rerating_batches SET done_at_ms = :at_ms WHERE tenant = :tenant AND id = :id")
_NOTE: Final = Statement(insert(rerated))
_HAS_IT: Final = _question("SELECT 1 FROM rerated WHERE tenant = :tenant AND call_id = :call_id AND batch = :batch")
_REVISE: Final = Statement(insert(cdrs))
_CHARGE: Final = Statement(insert(charges))


def deck_of(connection: sqlite3.Connection, tenant: str, asked: Rerating) -> RateDeck:
    """Return the version of a deck that calls are to be rerated by.

    Raises:
        NoVersion: it is not there; the text names those that are.
    """
    of = {"tenant": tenant, "deck": asked.deck, "version": asked.version}
    row = _DECK.run(connection, of).fetchone()
    if row is None:
        known = [str(found["version"]) for found in _VERSIONS.run(connection, of)]
        there = f"its versions are {', '.join(known)}" if known else "there is no deck of this name"
        raise NoVersion(f"deck {asked.deck!r} has no version {asked.version}: {there}")
    return rows.deck(row, map(rows.rate, _RATES.run(connection, of)))


def meant(connection: sqlite3.Connection, tenant: str, asked: Rerating) -> list[str]:
    """Return the ids of all calls that have a charge of this deck by another version, in the order of their times."""
    of = {"tenant": tenant, "since_ms": asked.since_ms, "until_ms": asked.until_ms}
    found = _MEANT.run(connection, of | {"deck": asked.deck, "version": asked.version})
    return [row["call_id"] for row in found]


def deck_and_calls(connection: sqlite3.Connection, tenant: str, *, asked: Rerating) -> tuple[RateDeck, list[str]]:
    """Return what a rerating needs: the deck, and which calls are meant; raises NoVersion."""
    return deck_of(connection, tenant, asked), meant(connection, tenant, asked)


def would_be(connection: sqlite3.Connection, tenant: str, asked: Rerating, most: int) -> Summary:
    """Return what a rerating would come to, with at most so many rows; nothing is changed.

    Raises:
        NoVersion: the version is not there.
    """
    deck = deck_of(connection, tenant, asked)
    summary = Summary(most)
    for call_id in meant(connection, tenant, asked):
        summary.add(_revised(connection, _Call.read(connection, tenant, call_id), asked, deck))
    return summary


@dataclass(frozen=True, slots=True)
class _Call:
    """The latest revision of a call's record, and the version that its bill reached by it."""

    cdr: Cdr
    bill_version: int | None

    @classmethod
    def read(cls, connection: sqlite3.Connection, tenant: str, call_id: str) -> _Call:
        found = queries.CDR.run(connection, {"tenant": tenant, "call_id": call_id}).fetchall()
        return cls(rows.cdr(found[0], map(rows.charge, found)), found[0]["bill_version"])


def _revised(connection: sqlite3.Connection, call: _Call, asked: Rerating, deck: RateDeck) -> Revised:
    of = {"tenant": call.cdr.tenant, "session_id": call.cdr.session_id}
    session = _PAID.run(connection, of).fetchone()
    return revised(call.cdr, asked, deck, is_paid=session is None or bool(session["paid"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchBegun:
    """A rerating has a name; the same name is the same rerating."""

    waited_for: ClassVar[bool] = True
    tenant: str
    id: str
    asked: Rerating
    author: str
    reason: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> bool:
        """Note it, and return whether it was done to its end before.

        Raises:
            OtherBatch: another rerating has this name.
        """
        row = _BATCH.run(connection, {"tenant": self.tenant, "id": self.id}).fetchone()
        if row is not None:
            if json.loads(row["asked"]) != self.asked.to_json():
                raise OtherBatch(
                    f"batch {self.id!r} was another rerating, {row['asked']}: take a new name for a new one"
                )
            return row["done_at_ms"] is not None
        _BEGIN.run(
            connection,
            {
                "tenant": self.tenant,
                "id": self.id,
                "asked": rows.to_json(self.asked.to_json()),
                "author": self.author,
                "reason": self.reason,
                "begun_at_ms": self.at_ms,
                "done_at_ms": None,
            },
        )
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=self.at_ms,
            author=self.author,
            action="rerate",
            subject=f"deck {self.asked.deck}",
            detail=f"batch {self.id}, to version {self.asked.version}, {self.reason}",
        )
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerated:
    """What a write of some calls came to: what they would be told of, and what moved, on accounts of whom."""

    told: tuple[Revised, ...]
    transfers: tuple[Transfer, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallsRerated:
    """Some calls get their next revision, and the differences move.

    `held` is what live calls hold, by account: one that is left with less is overdrawn.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    batch: str
    asked: Rerating
    deck: RateDeck
    calls: tuple[str, ...]
    held: Mapping[str, int]
    author: str

    def apply(self, connection: sqlite3.Connection) -> Rerated:
        """Revise the calls that this batch has not revised yet."""
        told: list[Revised] = []
        moves: list[Transfer] = []
        for call_id in self.calls:
            of = {"tenant": self.tenant, "call_id": call_id, "batch": self.batch}
            if _HAS_IT.run(connection, of).fetchone() is None:
                call = _Call.read(connection, self.tenant, call_id)
                told.append(_revised(connection, call, self.asked, self.deck))
                moves += self._write(connection, call, told[-1].cdr)
        judge(
            connection,
            self.tenant,
            {name: transfer.amount.currency for transfer in moves for name in (transfer.debit, transfer.credit)},
            self.held,
        )
        return Rerated(told=tuple(told), transfers=tuple(moves))

    def _write(self, connection: sqlite3.Connection, call: _Call, after: Cdr | None) -> tuple[Transfer, ...]:
        """Write one revision; the bill that its customer was shown before is stale where he pays something else."""
        if after is None:
            return ()
        version = call.bill_version
        if after.charges[0] != call.cdr.charges[0]:
            version = raise_version(connection, self.tenant, after.session_id)
        _REVISE.run(connection, rows.cdr_values(after))
        _CHARGE.run_many(connection, rows.charge_values(after, version))
        key = {"tenant": self.tenant, "call_id": after.call_id, "revision": after.revision}
        _NOTE.run(connection, key | {"batch": self.batch})
        made = revision_transfers(call.cdr, after)
        reason = f"batch {self.batch}"
        # It is dated as its call: it belongs to that one's period, or, where that is closed, to the one that is open.
        post(connection, self.tenant, made, author=self.author, reason=reason, at_ms=after.ended_at_ms)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchDone:
    """A rerating was done to its end."""

    waited_for: ClassVar[bool] = True
    tenant: str
    id: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Note it."""
        _END.run(connection, {"tenant": self.tenant, "id": self.id, "at_ms": self.at_ms})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountsJudged:
    """Accounts, given with their currencies, may have less than live calls hold on them: those are overdrawn."""

    waited_for: ClassVar[bool] = True
    tenant: str
    accounts: Mapping[str, str]
    held: Mapping[str, int]

    def apply(self, connection: sqlite3.Connection) -> None:
        """Set or clear their flags."""
        judge(connection, self.tenant, self.accounts, self.held)


def some_at_once(calls: list[str]) -> Iterator[tuple[str, ...]]:
    """Cut a list of calls into pieces of which each is one write."""
    left = iter(calls)
    while piece := tuple(islice(left, CALLS_AT_ONCE)):
        yield piece
