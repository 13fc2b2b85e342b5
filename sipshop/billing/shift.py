"""A shift: one person's turn at the till of a shop, what moved in his drawer meanwhile, and what was in it at the end.

A movement is cash that a customer paid or was given back, or that somebody put in or took out; what is paid in another
way is noted beside it. A report is drawn up from the movements of a shift: while it is open (X), or when it is closed
(Z), and then it is kept as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.cash import Count
from sipshop.billing.errors import BadCount
from sipshop.billing.money import Money
from sipshop.billing.tender import Method

#: What `from_json` reads; a later one reads the earlier ones too.
REPORT_VERSION: Final = 1


class MoveKind(StrEnum):
    """Why something moved at a till."""

    FLOAT = "float"  # what a shift begins with
    IN = "in"  # put in by hand: change from the bank
    OUT = "out"  # taken out by hand: to the bank, for a parcel
    DEPOSIT = "deposit"  # of a customer, at unlock or as a top-up
    CHECKOUT = "checkout"  # what he paid when he went
    REFUND = "refund"  # what he was given back when he went


#: What the holder of a shift has done by his own hand, so that he is told nothing new by it.
BY_HAND: Final = frozenset({MoveKind.FLOAT, MoveKind.IN, MoveKind.OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """One person's turn at the till of a shop: the shop's shifts are numbered from 1 on. Instants are UTC."""

    tenant: str
    shop: str
    number: int
    operator: str
    opening: Money  # the float
    opened_at_ms: int
    closed_at_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether cash can be moved in it."""
        return self.closed_at_ms is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Something that moved at a till: below zero it went out. Its shift is None where it happened outside all."""

    number: int
    key: str
    shift: int | None
    kind: MoveKind
    method: Method
    amount: Money
    author: str
    reason: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum:
    """All movements of one kind and one way of paying: how many, and what they come to."""

    kind: MoveKind
    method: Method
    times: int
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A count in the middle of a shift, and what was expected in the drawer at that moment."""

    at_ms: int
    author: str
    count: Count
    expected: Money

    @property
    def variance(self) -> Money:
        """What was too much; below zero what was missing."""
        return self.count.total - self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """Cash that moved in a shop while whoever moved it had no shift: how often, what it comes to, and whose it was."""

    times: int
    amount: Money
    authors: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a shift has come to: an X report while it is open, a Z report, which has a `number`, when it is closed.

    `by_hand` are the movements of cash that nobody paid, one by one; `checks` the counts on the way. `outside` is what
    moved in the shop outside all shifts since the Z report before. `count` is the last one, None of an X report.

    Raises:
        BadCount: the drawer was counted in another currency.
    """

    shift: Shift
    number: int | None
    at_ms: int
    author: str
    sums: tuple[Sum, ...]
    by_hand: tuple[Move, ...]
    checks: tuple[Checked, ...]
    outside: Outside
    count: Count | None = None

    def __post_init__(self) -> None:
        if self.count is not None and self.count.currency != self.currency:
            raise BadCount(f"the drawer holds {self.currency}, and {self.count.currency} was counted")

    @property
    def currency(self) -> str:
        """The currency of all its amounts."""
        return self.shift.opening.currency

    @property
    def expected(self) -> Money:
        """The cash that has to be in the drawer."""
        return Money(sum(each.amount.micros for each in self.sums if each.method is Method.CASH), self.currency)

    @property
    def counted(self) -> Money | None:
        """The cash that was in it; None of an X report."""
        return None if self.count is None else self.count.total

    @property
    def variance(self) -> Money | None:
        """What was too much in the drawer, below zero what was missing; None of an X report."""
        return None if self.count is None else self.count.total - self.expected

    def blind(self) -> Iterator[Sum]:
        """Yield the sums that say nothing of what has to be in the drawer but what its holder did by hand."""
        yield from (each for each in self.sums if each.method is not Method.CASH or each.kind in BY_HAND)

    def to_json(self) -> dict[str, Any]:
        """Return the report in plain JSON types, amounts as decimal strings."""
        shift = self.shift
        return {
            "version": REPORT_VERSION,
            "tenant": shift.tenant,
            "shop": shift.shop,
            "shift": shift.number,
            "operator": shift.operator,
            "currency": self.currency,
            "opening": shift.opening.text,
            "opened_at_ms": shift.opened_at_ms,
            "closed_at_ms": shift.closed_at_ms,
            "number": self.number,
            "at_ms": self.at_ms,
            "author": self.author,
            "sums": [_sum_json(each) for each in self.sums],
            "by_hand": [_move_json(each) for each in self.by_hand],
            "checks": [_checked_json(each) for each in self.checks],
            "outside": {
                "times": self.outside.times,
                "amount": self.outside.amount.text,
                "authors": list(self.outside.authors),
            },
            "expected": self.expected.text,
            "count": None if self.count is None else self.count.to_json(),
            "variance": None if self.variance is None else self.variance.text,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Report:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        if data["version"] != REPORT_VERSION:
            raise ValueError(f"a report of version {data['version']!r} is not known, only {REPORT_VERSION}")
        currency = data["currency"]
        shift = Shift(
            tenant=data["tenant"],
            shop=data["shop"],
            number=data["shift"],
            operator=data["operator"],
            opening=Money.parse(data["opening"], currency),
            opened_at_ms=data["opened_at_ms"],
            closed_at_ms=data["closed_at_ms"],
        )
        outside = data["outside"]
        return cls(
            shift=shift,
            number=data["number"],
            at_ms=data["at_ms"],
            author=data["author"],
            sums=tuple(_sum(each, currency) for each in data["sums"]),
            by_hand=tuple(_move(each, currency, shift.number) for each in data["by_hand"]),
            checks=tuple(_checked(each, currency) for each in data["checks"]),
            outside=Outside(
                times=outside["times"],
                amount=Money.parse(outside["amount"], currency),
                authors=tuple(outside["authors"]),
            ),
            count=None if data["count"] is None else Count.from_json(data["count"], currency),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A shift in a list, with what came of it: None while it is open. `z` is the number of its report."""

    shift: Shift
    z: int | None
    expected: Money | None
    counted: Money | None
    closed_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Variance:
    """What a person's drawers have been wrong by: in how many shifts, in all, and what was missing and too much."""

    operator: str
    shifts: int
    variance: Money
    missing: Money
    over: Money


def _sum_json(each: Sum) -> dict[str, Any]:
    return {
        "kind": each.kind.value,
        "method": each.method.value,
        "times": each.times,
        "amount": each.amount.text,
    }


def _sum(data: Mapping[str, Any], currency: str) -> Sum:
    return Sum(
        kind=MoveKind(data["kind"]),
        method=Method(data["method"]),
        times=data["times"],
        amount=Money.parse(data["amount"], currency),
    )


def _move_json(each: Move) -> dict[str, Any]:
    return {
        "number": each.number,
        "key": each.key,
        "kind": each.kind.value,
        "method": each.method.value,
        "amount": each.amount.text,
        "author": each.author,
        "reason": each.reason,
        "at_ms": each.at_ms,
    }


def _move(data: Mapping[str, Any], currency: str, shift: int) -> Move:
    return Move(
        number=data["number"],
        key=data["key"],
        shift=shift,
        kind=MoveKind(data["kind"]),
        method=Method(data["method"]),
        amount=Money.parse(data["amount"], currency),
        author=data["author"],
        reason=data["reason"],
        at_ms=data["at_ms"],
    )


def _checked_json(each: Checked) -> dict[str, Any]:
    return {
        "at_ms": each.at_ms,
        "author": each.author,
        "count": each.count.to_json(),
        "expected": each.expected.text,
        "variance": each.variance.text,
    }


def _checked(data: Mapping[str, Any], currency: str) -> Checked:
    return Checked(
        at_ms=data["at_ms"],
        author=data["author"],
        count=Count.from_json(data["count"], currency),
        expected=Money.parse(data["expected"], currency),
    )
