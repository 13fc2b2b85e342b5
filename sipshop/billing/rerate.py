"""Rerating: what calls that were charged by one version of a deck cost by another one.

Facts never change. A call keeps its record as it was written, and gets a revision beside it: the same talk, priced anew
at the levels that are meant, and at all others as before. What moves is the difference, level by level.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.cdr import MASK, Cdr, Charge, utc_text
from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.ledger import Transfer, TransferKind, booked_transfers, charge_accounts, moved
from sipshop.billing.money import Money, format_micros
from sipshop.billing.rating import cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerating:
    """Which charges are meant, and by which `version` of their `deck` they are to be worked out.

    Meant is what was charged by one of `old_versions` (empty: by any other version), for calls that were let in from
    `since_ms` on and before `until_ms`, UTC; of a `party` only what it or its own customers pay.
    """

    deck: str
    version: int
    old_versions: frozenset[int] = frozenset()
    party: str | None = None
    since_ms: int
    until_ms: int

    def means(self, level: int, charge: Charge) -> bool:
        """Whether a charge of some level is one of them."""
        tariff = charge.tariff
        if tariff.deck != self.deck or tariff.version == self.version:
            return False
        if self.old_versions and tariff.version not in self.old_versions:
            return False
        return self.party is None or charge.buyer == self.party or (level == 0 and charge.seller == self.party)

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, always the same for the same question."""
        return {
            "deck": self.deck,
            "version": self.version,
            "old_versions": sorted(self.old_versions),
            "party": self.party,
            "since": utc_text(self.since_ms),
            "until": utc_text(self.until_ms),
        }


class Kept(StrEnum):
    """Why a charge that was meant stays as it is."""

    PAID = "paid"
    MASKED = "masked"
    NO_RATE = "no_rate"
    FORBIDDEN = "forbidden"
    CURRENCY = "currency"


#: The same for people.
REASONS: Final = {
    Kept.PAID: "the customer has paid and gone",
    Kept.MASKED: "the number is masked by now, so no rate can be found for it",
    Kept.NO_RATE: "the version has no rate for the number",
    Kept.FORBIDDEN: "the version forbids the number",
    Kept.CURRENCY: "the version is in another currency",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A level of a call; level 0 is what its customer pays."""

    call_id: str
    level: int
    seller: str
    buyer: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What a level of a call was charged, and what it would be."""

    place: Place
    old: Money
    new: Money

    @property
    def delta(self) -> Money:
        """What the buyer has to pay more, below zero what he gets back."""
        return self.new - self.old

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, amounts as decimal strings."""
        return {
            **asdict(self.place),
            "currency": self.old.currency,
            "old": format_micros(self.old.micros),
            "new": format_micros(self.new.micros),
            "delta": format_micros(self.delta.micros),
        }


@dataclass(frozen=True, slots=True)
class Unrated:
    """A charge that was meant and stays as it is."""

    place: Place
    why: Kept

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, with the reason as a word and in words."""
        return {**asdict(self.place), "why": self.why.value, "reason": REASONS[self.why]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Revised:
    """What comes of a call: its next revision, None where nothing of it is another; and what is told of it."""

    cdr: Cdr | None
    differences: tuple[Difference, ...] = ()
    unrated: tuple[Unrated, ...] = ()


def revised(cdr: Cdr, asked: Rerating, deck: RateDeck, *, is_paid: bool) -> Revised:
    """Price a call anew, from the latest revision of its record; `is_paid` says that its customer has paid and gone.

    A level that costs the same by the same arithmetic keeps its tariff, and a call all of whose levels do no revision.
    """
    assert (deck.name, deck.version) == (asked.deck, asked.version), "another deck than was asked for"
    charges: list[Charge] = []
    differences: list[Difference] = []
    unrated: list[Unrated] = []
    for level, charge in enumerate(cdr.charges):
        if asked.means(level, charge):
            place = Place(cdr.call_id, level, charge.seller, charge.buyer)
            made = Kept.PAID if level == 0 and is_paid else _anew(cdr, charge, deck)
            if isinstance(made, Kept):
                unrated.append(Unrated(place, made))
            elif made.cost != charge.cost:
                differences.append(Difference(place, charge.cost.amount, made.cost.amount))
                charges.append(made)
                continue
        charges.append(charge)
    return Revised(
        cdr=replace(cdr, revision=cdr.revision + 1, charges=tuple(charges)) if differences else None,
        differences=tuple(differences),
        unrated=tuple(unrated),
    )


def _anew(cdr: Cdr, charge: Charge, deck: RateDeck) -> Charge | Kept:
    """The charge by another version of its deck, matched as when the call was let in."""
    if cdr.e164 is None or MASK in cdr.e164:
        return Kept.MASKED
    tariff = deck.match(cdr.e164, cdr.setup_at_ms)
    if tariff is None:
        return Kept.NO_RATE
    if tariff.rate.forbidden:
        return Kept.FORBIDDEN
    if tariff.currency != charge.tariff.currency:
        return Kept.CURRENCY
    # What a call keeps beside its rates is no business of the deck's: its tax, and the exchange of its day.
    tariff = replace(tariff, tax=charge.tariff.tax, fx=charge.tariff.fx, books=charge.tariff.books)
    assert cdr.answered_at_ms is not None, "a charged call was answered"
    return replace(charge, tariff=tariff, cost=cost(tariff, cdr.answered_at_ms, cdr.talk_ms))


def revision_transfers(before: Cdr, after: Cdr) -> tuple[Transfer, ...]:
    """The transfers of a revision, with the keys `call:level:revision`; a level that owes the same has none.

    What is owed more goes the way of the charge, what is owed less comes back.
    """
    assert after.revision == before.revision + 1, "revisions are one after the other"
    pairs = zip(before.charges, after.charges, charge_accounts(after), strict=True)
    made = []
    for level, (old, new, (debit, credit)) in enumerate(pairs):
        delta = new.cost.amount - old.cost.amount
        key = f"{after.call_id}:{level}:{after.revision}"
        if delta.micros:
            made.append(moved(key, TransferKind.RERATING, source=debit, account=credit, amount=delta))
        made += booked_again(
            key,
            (old.tariff, old.cost.amount),
            (new.tariff, new.cost.amount),
            seller=new.seller,
            buyer=new.buyer,
            is_last=level == len(after.charges) - 1,
        )
    return tuple(made)


def booked_again(
    key: str, old: tuple[Tariff, Money], new: tuple[Tariff, Money], *, seller: str, buyer: str, is_last: bool
) -> Iterator[Transfer]:
    """Yield what a revision changes of what was converted in somebody's books; old and new are tariff and amount."""

    def booked(tariff: Tariff, amount: Money) -> dict[str, Transfer]:
        made = booked_transfers(key, tariff, amount, seller=seller, buyer=buyer, is_last=is_last)
        return {transfer.key: transfer for transfer in made}

    before, after = booked(*old), booked(*new)
    for name, one in (before | after).items():
        nothing = Money(0, one.amount.currency)
        delta = (after[name].amount if name in after else nothing) - (
            before[name].amount if name in before else nothing
        )
        if delta.micros:
            yield moved(name, TransferKind.FX, source=one.debit, account=one.credit, amount=delta)


@dataclass(slots=True)
class Summary:
    """What a rerating comes to: calls that change, differences by relation and currency, and what stays and why.

    `differences` and `unrated` are the first ones up to `most`; the totals count all.
    """

    most: int
    calls: int = 0
    differences: list[Difference] = field(default_factory=list)
    unrated: list[Unrated] = field(default_factory=list)
    _levels: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _old: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _new: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    _kept: Counter[Kept] = field(default_factory=Counter)

    def add(self, told: Revised) -> None:
        """Take one call."""
        self.calls += told.cdr is not None
        for each in told.differences:
            of = each.place.seller, each.place.buyer if each.place.level else "", each.old.currency
            self._levels[of] += 1
            self._old[of] += each.old.micros
            self._new[of] += each.new.micros
        self._kept.update(each.why for each in told.unrated)
        self.differences += told.differences[: max(0, self.most - len(self.differences))]
        self.unrated += told.unrated[: max(0, self.most - len(self.unrated))]

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types; the buyer of a total is null where it is the customers of booths."""
        levels, unrated = sum(self._levels.values()), sum(self._kept.values())
        return {
            "calls": self.calls,
            "differences": [each.to_json() for each in self.differences],
            "unrated": [each.to_json() for each in self.unrated],
            "left_off": levels - len(self.differences) + unrated - len(self.unrated),
            "totals": [
                {
                    "seller": seller,
                    "buyer": buyer or None,
                    "currency": currency,
                    "charges": self._levels[seller, buyer, currency],
                    "old": format_micros(old),
                    "new": format_micros(self._new[seller, buyer, currency]),
                    "delta": format_micros(self._new[seller, buyer, currency] - old),
                }
                for (seller, buyer, currency), old in sorted(self._old.items())
            ],
            "kept": [
                {"why": why.value, "reason": REASONS[why], "charges": count}
                for why, count in sorted(self._kept.items())
            ],
        }
