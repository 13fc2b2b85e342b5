"""The sieve of the audit: calls whose record, charges and transfers are plainly as the laws want them pass through it.

A CDR, its charges and their transfers are written in one transaction, so each of these tables has the calls in the same
order. Read beside each other, in the order of their rowids, they need no look-up and no sort: millions take seconds.

What stays in the sieve is asked about in full (see `laws`): whatever is not where it should be, and whatever is more
than plain, such as a revision, two currencies or a conversion. So it may doubt what is right and costs time by that,
but must not pass what is wrong. A call that passes has one CDR of an answered outbound call with a booth session, a
chain of charges from its booth to the provider in one currency, none of them converted, each what its talk costs, and
for each that is not nothing the transfer between the accounts that it should be between; or no charges, and no talk to
charge for.
"""

from __future__ import annotations

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, groupby, pairwise
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import text

from sipshop.billing.errors import BillingError
from sipshop.billing.ledger import carrier_cost, customer, payable, revenue, session_account
from sipshop.store.prices import Prices
from sipshop.store.schema import Statement

#: How many rows are read ahead for one that is not the next.
_AHEAD: Final = 64
#: How many rows wait for their time, at most.
_WAITING: Final = 10_000
#: How many CDRs are looked at for where a part begins in the other tables.
_LOOKED_AT: Final = 10_000
_BELOW_ALL: Final = -(2**63)
_ALL: Final = (_BELOW_ALL, 2**63 - 1)

_Row = tuple[Any, ...]
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the books: rows with rowids above the first number and up to the second, of each of three tables."""

    cdrs: tuple[int, int]
    charges: tuple[int, int]
    transfers: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Sifted:
    """What a part came to: calls and transfers that the laws have to be asked about, and what moved on each account.

    A call is a tenant and an id, a transfer a tenant, a key and a kind, an account a tenant, a name and a currency.
    """

    doubted: set[tuple[str, str]] = field(default_factory=set)
    strays: set[tuple[str, str, str]] = field(default_factory=set)
    sums: dict[tuple[str, str, str], int] = field(default_factory=dict)

    def add(self, other: Sifted) -> None:
        """Take in what another part came to."""
        self.doubted.update(other.doubted)
        self.strays.update(other.strays)
        for account, micros in other.sums.items():
            self.sums[account] = self.sums.get(account, 0) + micros


# The parts. Where they begin is good to be right, so that little stays in the sieve, and need not be.

_ENDS: Final = Statement(
    text(
        """
        SELECT (SELECT min(rowid) FROM cdrs) AS first, (SELECT max(rowid) FROM cdrs) AS cdrs,
          (SELECT max(rowid) FROM charges) AS charges, (SELECT max(rowid) FROM transfers) AS transfers
        """
    )
)
_CHARGE_AFTER: Final = Statement(
    text(
        """
        SELECT charges.rowid AS place
        FROM cdrs CROSS JOIN charges ON charges.tenant = cdrs.tenant AND charges.call_id = cdrs.call_id
          AND charges.revision = cdrs.revision AND charges.level = 0
        WHERE cdrs.rowid > :place AND cdrs.rowid <= :until ORDER BY cdrs.rowid LIMIT 1
        """
    )
)
_TRANSFER_AFTER: Final = Statement(
    text(
        r"""
        SELECT min(transfers.rowid) AS place
        FROM cdrs CROSS JOIN transfers ON transfers.tenant = cdrs.tenant
          AND transfers.key IN (cdrs.call_id || '\:0\:0', cdrs.call_id || '\:1\:0', cdrs.call_id || '\:2\:0')
        WHERE cdrs.rowid > :place AND cdrs.rowid <= :until GROUP BY cdrs.rowid ORDER BY cdrs.rowid LIMIT 1
        """
    )
)


def parts_of(connection: sqlite3.Connection, count: int) -> list[Part]:
    """Divide what there is now into so many parts, about equal, that share no row and leave none out."""
    ends = _ENDS.run(connection, {}).fetchone()
    first, last = (ends["first"] or 0) - 1, ends["cdrs"] or 0
    places = [_BELOW_ALL, *(first + (last - first) * number // count for number in range(1, count)), last]
    charges, transfers = [_BELOW_ALL], [_BELOW_ALL]
    for place in places[1:-1]:
        about = {"place": place, "until": place + _LOOKED_AT}
        for bounds, begins in ((charges, _CHARGE_AFTER), (transfers, _TRANSFER_AFTER)):
            row = begins.run(connection, about).fetchone()
            bounds.append(bounds[-1] if row is None else max(bounds[-1], row["place"] - 1))
    bounded = (places, [*charges, ends["charges"] or 0], [*transfers, ends["transfers"] or 0])
    return [Part(*of) for of in zip(*map(pairwise, bounded), strict=True)]


# The sieve.

_CDRS: Final = Statement(
    text(
        """
        SELECT tenant, call_id, revision, kind = 'call' AND direction = 'outbound' AND answered_at_ms IS NOT NULL,
          booth, session_id, coalesce(answered_at_ms, setup_at_ms), talk_ms
        FROM cdrs WHERE rowid > :after AND rowid <= :up_to ORDER BY rowid
        """
    )
)
_CHARGES: Final = Statement(
    text(
        """
        SELECT tenant, call_id, revision, level, seller, buyer, currency, amount_micros, duration_s, billed_s, tariff,
          lines
        FROM charges WHERE rowid > :after AND rowid <= :up_to ORDER BY rowid
        """
    )
)
_TRANSFERS: Final = Statement(
    text(
        """
        SELECT tenant, key, kind, debit, credit, currency, amount_micros
        FROM transfers WHERE rowid > :after AND rowid <= :up_to ORDER BY rowid
        """
    )
)
_PROVIDERS: Final = Statement(text("SELECT tenant, name FROM parties WHERE kind = 'provider'"))

#: Keys that say what their transfers are for, of kinds that no call makes.
_KEYS: Final = {
    "deposit": re.compile("(?:deposit|topup):."),
    "opening": re.compile("opening:."),
    "checkout": re.compile("checkout:."),
    "payment": re.compile("payment:."),
    "adjustment": re.compile("adjustment:."),
    "goods": re.compile("item:.+:."),
    "discount": re.compile("item:.+:."),
    "void": re.compile("item:.+:."),
    "rounding": re.compile("rounding:."),
    "tax": re.compile("tax:.+:."),
    "invoice_tax": re.compile("invoice:.+:."),
}
#: How many parts of a key stand behind the call that it is of.
_BEHIND_CALL: Final = {"charge": 2, "rerating": 2, "fx": 3}


class _Beside(Generic[_Value]):
    """Rows that are read beside others which come in about the same order, each found by its key, once."""

    __slots__ = ("_passed", "_rows", "_waiting")

    def __init__(self, rows: Iterator[tuple[_Row, _Value]]) -> None:
        self._rows = rows
        self._waiting: dict[_Row, _Value] = {}
        self._passed: list[_Row] = []

    def take(self, key: _Row) -> _Value | None:
        """Return what has this key, if it is among the next or was passed by lately."""
        if self._waiting and (value := self._waiting.pop(key, None)) is not None:
            return value
        for _ in range(_AHEAD):
            found = next(self._rows, None)
            if found is None:
                break
            if found[0] == key:
                return found[1]
            self._wait(*found)
        return None

    def take_back(self, key: _Row) -> _Value | None:
        """Return what has this key, if it was passed by lately: nothing is expected."""
        return self._waiting.pop(key, None)

    def _wait(self, key: _Row, value: _Value) -> None:
        if key in self._waiting:
            self._passed.append(key)
        self._waiting[key] = value
        if len(self._waiting) > _WAITING:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            self._passed.append(oldest)

    def left(self) -> Iterator[_Row]:
        """Read to the end, and give the keys of what was not taken."""
        return chain(self._passed, self._waiting, (key for key, _ in self._rows))


def sift(connection: sqlite3.Connection, prices: Prices, part: Part) -> Sifted:
    """Let a part of the books through the sieve."""
    sifted = Sifted()
    doubted = sifted.doubted
    providers = set(_raw(connection, _PROVIDERS))
    moves: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
    charges = _Beside(_grouped(_raw(connection, _CHARGES, part.charges)))
    transfers = _Beside(_of_charges(_raw(connection, _TRANSFERS, part.transfers), moves, sifted))
    for cdr in _raw(connection, _CDRS, part.cdrs):
        tenant, call_id, revision, is_sold, _, session_id, _, talk_ms = cdr
        key = tenant, call_id, revision
        chained = charges.take(key) if is_sold else charges.take_back(key)
        if chained is None:
            is_plain = not (revision or (is_sold and talk_ms > 0))
        else:
            is_plain = (
                not revision
                and is_sold
                and session_id is not None
                and (tenant, chained[-1][5]) in providers
                and _is_plain(cdr, chained, prices, transfers)
            )
        if not is_plain:
            doubted.add((tenant, call_id))
    doubted.update((tenant, call_id) for tenant, call_id, _ in charges.left())
    for tenant, key in transfers.left():
        _stray(tenant, key, "charge", sifted)
    for (tenant, debit, credit, currency), micros in moves.items():
        for account, change in (((tenant, debit, currency), -micros), ((tenant, credit, currency), micros)):
            sifted.sums[account] = sifted.sums.get(account, 0) + change
    return sifted


def _raw(connection: sqlite3.Connection, asked: Statement, rows: tuple[int, int] = _ALL) -> Iterator[_Row]:
    """Rows as tuples: there are millions of them."""
    after, up_to = rows
    cursor = asked.run(connection, {"after": after, "up_to": up_to})
    cursor.row_factory = None
    return cursor


def _grouped(charges: Iterator[_Row]) -> Iterator[tuple[_Row, list[_Row]]]:
    """Yield the charges of each revision of a CDR together."""
    for key, chained in groupby(charges, itemgetter(0, 1, 2)):
        yield key, list(chained)


def _of_charges(
    transfers: Iterator[_Row], moves: defaultdict[tuple[str, str, str, str], int], sifted: Sifted
) -> Iterator[tuple[_Row, _Row]]:
    """Yield transfers of charges by their keys: between which accounts, and how much. All are added to `moves`."""
    for tenant, key, kind, debit, credit, currency, micros in transfers:
        moves[tenant, debit, credit, currency] += micros
        if kind == "charge":
            yield (tenant, key), (debit, credit, currency, micros)
        elif kind not in _KEYS or not _KEYS[kind].match(key):
            _stray(tenant, key, kind, sifted)


def _stray(tenant: str, key: str, kind: str, sifted: Sifted) -> None:
    sifted.strays.add((tenant, key, kind))
    if kind in _BEHIND_CALL:
        sifted.doubted.add((tenant, key.rsplit(":", _BEHIND_CALL[kind])[0]))


def _is_plain(cdr: _Row, chained: list[_Row], prices: Prices, transfers: _Beside[_Row]) -> bool:
    """Whether charges are a chain that begins at a booth, and each is what its talk costs and has its transfer."""
    tenant, call_id, _, _, booth, session_id, at_ms, talk_ms = cdr
    payer, last, chain_currency = booth, len(chained) - 1, chained[0][6]
    for number, charge in enumerate(chained):
        _, _, _, level, seller, buyer, currency, micros, duration_s, billed_s, tariff, lines = charge
        if level != number or buyer != payer or currency != chain_currency or '"books":' in tariff or not call_id:
            return False
        try:
            due = prices.price(tariff, at_ms, talk_ms)
        except (BillingError, ValueError):
            return False
        if due != (micros, currency, duration_s, billed_s, lines):
            return False
        if micros:
            if level == last:
                debit, credit = carrier_cost(buyer), payable(seller)
            elif level == 0:
                debit, credit = session_account(session_id, seller), revenue(seller)
            else:
                debit, credit = customer(buyer, seller), revenue(seller)
            if transfers.take((tenant, f"{call_id}:{level}:0")) != (debit, credit, currency, micros):
                return False
        payer = seller
    return True
