"""Statements and invoices: what one party bought of the one above it in a period, and what it owes for that.

A statement lists what moved on the account of the relation, and adds up to the ledger to the last micro-unit. An
invoice is a statement that was closed: numbered, taxed, and a document that does not change. A closed period takes
nothing more: what is dated in it and comes later is in the period that is open then, and says so.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Self
from zoneinfo import ZoneInfo

from sipshop.billing.errors import BadNumbering, BadPeriod
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money, Rounding, RoundMode, format_micros, minor_unit_places, round_ratio
from sipshop.billing.tax import Tax

#: Instants that the database can keep lie in these years.
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 9998

_YEAR: Final = "{year}"
_NUMBERING: Final = re.compile(r"[A-Za-z0-9._-]*(#+)[A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """Who a party is on paper, and how it writes invoices.

    `address` has a line each; `zone` says when its days begin. `numbering` is a text with `####` where the number
    stands, with that many digits at least, and `{year}` where the year of issue does: then each year counts anew.
    """

    tenant: str
    party: str
    name: str
    address: tuple[str, ...] = ()
    tax_id: str = ""
    zone: str = "UTC"
    numbering: str = "{year}-####"
    due_days: int = 14

    def to_json(self) -> dict[str, Any]:
        """Who it is, in plain JSON types."""
        return {"party": self.party, "name": self.name, "address": list(self.address), "tax_id": self.tax_id}

    def day(self, at_ms: int) -> date:
        """The day that an instant is of."""
        return datetime.fromtimestamp(at_ms // 1000, ZoneInfo(self.zone)).date()

    def series(self, at_ms: int) -> str:
        """What an invoice that is written at an instant is numbered in: its year, or nothing."""
        return f"{self.day(at_ms).year}" if _YEAR in self.numbering else ""

    def number(self, series: str, number: int) -> str:
        """The number as it is printed.

        >>> Letterhead(tenant="t", party="p", name="P").number("2026", 7)
        '2026-0007'
        """
        text = self.numbering.replace(_YEAR, series)
        marks = re.search("#+", text)
        assert marks is not None, "a numbering was checked when it was read"
        return f"{text[: marks.start()]}{number:0{len(marks[0])}d}{text[marks.end() :]}"


def check_numbering(text: str) -> str:
    """Return a pattern of invoice numbers, or raise BadNumbering."""
    found = _NUMBERING.fullmatch(text.replace(_YEAR, "", 1))
    if found is None or len(found[1]) > 12 or len(text) > 40:
        raise BadNumbering(
            f"{text[:60]!a} is no pattern of numbers such as '{{year}}-####': letters, digits, . _ - and one run "
            "of up to 12 # for the number"
        )
    return text


@dataclass(frozen=True, slots=True)
class Period:
    """Whole days of a time zone, half-open: from `first` on, and before `beyond`.

    Raises:
        BadPeriod: it ends before it begins.
    """

    zone: str
    first: date
    beyond: date

    def __post_init__(self) -> None:
        if not (self.first.year >= _FIRST_YEAR and self.beyond.year <= _LAST_YEAR):
            raise BadPeriod(f"a period lies in the years {_FIRST_YEAR} to {_LAST_YEAR}")
        if self.beyond <= self.first:
            raise BadPeriod(f"a period that begins on {self.first} does not end before {self.beyond}")

    @classmethod
    def month(cls, text: str, zone: str) -> Self:
        """Read a month such as 2026-10; raises BadPeriod."""
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}", text) is None:
            raise BadPeriod(f"{text[:40]!a} is no month such as 2026-10")
        first = _day(f"{text}-01")
        return cls(zone, first, (first + timedelta(days=31)).replace(day=1))

    @classmethod
    def days(cls, first: str, beyond: str, zone: str) -> Self:
        """Read two days such as 2026-10-01; raises BadPeriod."""
        return cls(zone, _day(first), _day(beyond))

    @classmethod
    def month_of(cls, at_ms: int, zone: str) -> Self:
        """The month that an instant is in."""
        day = datetime.fromtimestamp(at_ms // 1000, ZoneInfo(zone)).date()
        return cls.month(f"{day:%Y-%m}", zone)

    @property
    def since_ms(self) -> int:
        """Its first instant, UTC."""
        return _begin_ms(self.first, self.zone)

    @property
    def until_ms(self) -> int:
        """The first instant after it, UTC."""
        return _begin_ms(self.beyond, self.zone)

    def to_json(self) -> dict[str, str]:
        """Return it in plain JSON types."""
        return {"from": self.first.isoformat(), "until": self.beyond.isoformat(), "timezone": self.zone}

    def __str__(self) -> str:
        return f"{self.first} to {self.beyond - timedelta(days=1)}"


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise BadPeriod(f"{text[:40]!a} is no day such as 2026-10-01") from None


def _begin_ms(day: date, zone: str) -> int:
    """When a day begins; where its midnight is skipped, when the clocks jump over it."""
    return int(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC).timestamp()) * 1000


# What moved.


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """A period of a relation that was closed: what was there by then is in it, or in one before it.

    `last_transfer` is the place of the last transfer that was in the books.
    """

    name: str
    since_ms: int
    until_ms: int
    last_transfer: int
    closing_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One transfer as the buyer's account sees it: below zero it left the account.

    `place` is its place in the books. A charge and a rerating tell of their call: seconds of talk, and what is billed.
    """

    key: str
    kind: TransferKind
    place: int
    at_ms: int
    micros: int
    reason: str
    destination: str = ""
    duration_s: int = 0
    billed_s: int = 0

    def counts_at_ms(self, closings: Sequence[Closing]) -> int:
        """When it counts: at its own instant, or, where that is closed by then, when the open period began.

        `closings` stand in the order of their times. The tax of an invoice belongs to the invoice.
        """
        if self.kind is TransferKind.INVOICE_TAX:
            return self.at_ms
        known = bisect_left(closings, self.place, key=lambda closing: closing.last_transfer)
        return max(self.at_ms, closings[known - 1].until_ms) if known else self.at_ms


_CALLS: Final = frozenset({TransferKind.CHARGE, TransferKind.RERATING})


@dataclass(slots=True)
class CallLine:
    """The calls to one destination: how many, seconds talked and billed, and what they cost."""

    destination: str
    calls: int = 0
    duration_s: int = 0
    billed_s: int = 0
    micros: int = 0

    def add(self, entry: Entry) -> None:
        """Take a charge, or what a rerating changed."""
        self.calls += entry.kind is TransferKind.CHARGE
        self.duration_s += entry.duration_s
        self.billed_s += entry.billed_s
        self.micros -= entry.micros

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {
            "destination": self.destination,
            "calls": self.calls,
            "seconds": self.duration_s,
            "billed_s": self.billed_s,
            "amount": format_micros(self.micros),
        }


@dataclass(slots=True)
class Correction:
    """What is dated in a period that was closed by an invoice, and came later: calls, or reratings of calls."""

    invoice: str
    kind: TransferKind
    calls: int = 0
    micros: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {
            "invoice": self.invoice,
            "kind": "rerated" if self.kind is TransferKind.RERATING else "late",
            "calls": self.calls,
            "amount": format_micros(self.micros),
        }


@dataclass(slots=True, kw_only=True)
class Statement:
    """What moved on an account in a period; `closings` are all periods of the relation that are closed.

    `before` counts what is dated before the period and is in none that is closed.
    """

    buyer: str
    seller: str
    currency: str
    period: Period
    closings: tuple[Closing, ...]
    last_transfer: int
    opening_micros: int = 0
    before: int = 0
    calls: dict[str, CallLine] = field(default_factory=dict)
    corrections: dict[tuple[str, TransferKind], Correction] = field(default_factory=dict)
    payments: list[Entry] = field(default_factory=list)
    adjustments: list[Entry] = field(default_factory=list)
    tax_micros: int = 0

    def add_before(self, entry: Entry) -> None:
        """Take what counts before the period."""
        self.opening_micros += entry.micros
        self.before += 1

    def add(self, entry: Entry) -> None:
        """Take what counts in the period."""
        if entry.kind is TransferKind.INVOICE_TAX:
            self.tax_micros -= entry.micros
        elif entry.kind not in _CALLS:
            listed = self.adjustments if entry.kind is TransferKind.ADJUSTMENT else self.payments
            listed.append(entry)
        elif (invoice := self.closed_by(entry)) is not None:
            correction = self.corrections.setdefault((invoice, entry.kind), Correction(invoice, entry.kind))
            correction.calls += 1
            correction.micros -= entry.micros
        else:
            self.calls.setdefault(entry.destination, CallLine(entry.destination)).add(entry)

    def closed_by(self, entry: Entry) -> str | None:
        """The invoice that the time of an entry was closed by before it came; None where it was open."""
        if entry.counts_at_ms(self.closings) == entry.at_ms:
            return None
        return next((each.name for each in self.closings if each.until_ms > entry.at_ms), None)

    @property
    def calls_micros(self) -> int:
        """What the calls of the period cost."""
        return sum(line.micros for line in self.calls.values())

    @property
    def corrections_micros(self) -> int:
        """What is owed more for periods that are closed, below zero what is given back."""
        return sum(correction.micros for correction in self.corrections.values())

    @property
    def net_micros(self) -> int:
        """What was bought in all."""
        return self.calls_micros + self.corrections_micros

    @property
    def closing_micros(self) -> int:
        """The balance when the period ends, its tax among it if it is closed."""
        moved = sum(entry.micros for entry in (*self.payments, *self.adjustments))
        return self.opening_micros - self.net_micros - self.tax_micros + moved

    @property
    def is_empty(self) -> bool:
        """Whether nothing moved."""
        return not (self.calls or self.corrections or self.payments or self.adjustments)

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types; amounts of calls are what they cost, all others are signed as the account is.

        opening - calls - corrections - tax + payments + adjustments = closing
        """
        return {
            "buyer": self.buyer,
            "seller": self.seller,
            "currency": self.currency,
            "period": self.period.to_json(),
            "calls": [line.to_json() for _, line in sorted(self.calls.items())],
            "corrections": [line.to_json() for _, line in sorted(self.corrections.items())],
            "payments": [self._movement(entry) for entry in self.payments],
            "adjustments": [self._movement(entry) for entry in self.adjustments],
            "account": {
                "opening": format_micros(self.opening_micros),
                "calls": format_micros(self.calls_micros),
                "corrections": format_micros(self.corrections_micros),
                "tax": format_micros(self.tax_micros),
                "payments": format_micros(sum(entry.micros for entry in self.payments)),
                "adjustments": format_micros(sum(entry.micros for entry in self.adjustments)),
                "closing": format_micros(self.closing_micros),
            },
        }

    def _movement(self, entry: Entry) -> dict[str, Any]:
        day = datetime.fromtimestamp(entry.at_ms // 1000, ZoneInfo(self.period.zone)).date()
        return {
            "date": day.isoformat(),
            "kind": entry.kind.value,
            "reason": entry.reason,
            "amount": format_micros(entry.micros),
            "closed_by": self.closed_by(entry),
        }


def fill(statement: Statement, entries: Iterable[Entry]) -> Statement:
    """Put each entry where it counts; those after the period are in none of it."""
    since_ms, until_ms = statement.period.since_ms, statement.period.until_ms
    for entry in entries:
        at_ms = entry.counts_at_ms(statement.closings)
        if at_ms < since_ms:
            statement.add_before(entry)
        elif at_ms < until_ms:
            statement.add(entry)
    return statement


# What is closed.


def tax_on(net_micros: int, currency: str, tax: Tax | None) -> int:
    """What is added to an invoice: the tax on its net in coins, itself in coins; the net stays as the ledger has it.

    What is given back for an earlier invoice takes its tax back with it.
    """
    return 0 if tax is None else tax.split(Money(net_micros, currency)).tax.micros


def document(
    statement: Statement, *, seller: Letterhead, buyer: Letterhead, tax: Tax | None, number: str, closed_at_ms: int
) -> dict[str, Any]:
    """Return all that is printed of an invoice, in plain JSON types; the statement has its tax already.

    It is a credit note where more is given back than was bought.
    """
    net, due_on = statement.net_micros, seller.day(closed_at_ms) + timedelta(days=seller.due_days)
    to_coins = Rounding(RoundMode.HALF_UP, minor_unit_places(statement.currency))
    owed = round_ratio(max(0, -statement.closing_micros), 1, to_coins)
    return {
        "kind": "credit_note" if net < 0 else "invoice",
        "number": number,
        "date": seller.day(closed_at_ms).isoformat(),
        "due_date": due_on.isoformat(),
        **statement.to_json(),
        "seller": seller.to_json(),
        "buyer": buyer.to_json(),
        "net": format_micros(net),
        "tax": None if tax is None else {**tax.to_json(), "amount": format_micros(statement.tax_micros)},
        "gross": format_micros(net + statement.tax_micros),
        "due": format_micros(owed),
    }
