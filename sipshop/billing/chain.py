"""The chain of one call: every level that pays for it, and the longest talk that all of them can pay.

Each level rates the raw talk time by the deck that the party above sells it by; nobody rates what another has rounded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sipshop.billing.deck import Tariff
from sipshop.billing.ledger import Ledger
from sipshop.billing.rating import cost, cut_off_s, first_charged_s, longest, most_micros

#: A call takes at most this part of what an account has left at once, so that others can talk too while money is short.
SHARE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One relation that pays: `buyer` is charged on `account` by what `seller` asks in `tariff`."""

    seller: str
    buyer: str
    account: str
    tariff: Tariff

    def price(self, talk_ms: int, answered_at_ms: int) -> int:
        """What a talk costs here, in micro-units."""
        return cost(self.tariff, answered_at_ms, talk_ms).amount.micros

    def most(self, talk_ms: int, from_ms: int) -> int:
        """What a talk costs here at most that is still to be answered."""
        return most_micros(self.tariff, from_ms, talk_ms)

    def first_s(self, answered_at_ms: int) -> int:
        """The shortest talk for which something is charged."""
        return first_charged_s(self.tariff, answered_at_ms)

    def end_s(self, answered_at_ms: int) -> int | None:
        """The longest talk that there can be here, whoever pays; None without end."""
        return cut_off_s(self.tariff, answered_at_ms)


@dataclass(frozen=True, slots=True)
class TalkTime:
    """A booth session's minutes as one more level: what is spent there is the talk itself, in milliseconds."""

    account: str

    def price(self, talk_ms: int, answered_at_ms: int) -> int:
        """The talk time itself."""
        return talk_ms

    def most(self, talk_ms: int, from_ms: int) -> int:
        """The talk time itself."""
        return talk_ms

    def first_s(self, answered_at_ms: int) -> int:
        """Any talk takes time."""
        return 1

    def end_s(self, answered_at_ms: int) -> int | None:
        """Only what is held ends a talk here."""
        return None


Payer = Level | TalkTime


def grant(
    ledger: Ledger,
    key: str,
    payers: Sequence[Payer],
    *,
    floor_s: int,
    wish_s: int,
    at_ms: int,
    is_answered: bool = True,
) -> int | None:
    """Hold, at every level or at none, what the longest talk costs that all can pay; its seconds, None if none.

    `floor_s` is what was granted before (0 at first): a grant is longer than that. `wish_s` is the most that is wanted.
    `at_ms` is when the call was answered, or, before that, the instant from which on it may be.
    While money is short a grant takes a share of it (`SHARE`) and not all, but always at least one second more, if that
    can be paid: the first increment that is charged and the fees are whole in it.
    """
    wish_s = longest_s(payers, wish_s, at_ms)
    if wish_s <= floor_s:
        return None

    def price(payer: Payer, seconds: int) -> int:
        return payer.price(seconds * 1000, at_ms) if is_answered else payer.most(seconds * 1000, at_ms)

    limited = [payer for payer in payers if ledger[payer.account].credit_limit is not None]
    shares: list[int] = []
    for payer in limited:
        room, held = ledger.room(payer.account, key), ledger.held_by(key).get(payer.account, 0)
        assert room is not None, "the limited ones were chosen"
        # what is free at the beginning of a call is given to those only who can pay what comes after it
        least = price(payer, floor_s + 1 if floor_s else payer.first_s(at_ms))
        # what a call holds already it may talk away, whatever became of the account; a new one needs one that is sound
        if least > (max(room, held) if floor_s else room):
            return None
        shares.append(max(held, held + (room - held) // SHARE, least))

    def fits(seconds: int) -> bool:
        return all(price(payer, seconds) <= share for payer, share in zip(limited, shares, strict=True))

    talk_s = longest(fits, floor_s + 1, wish_s)
    is_held = ledger.hold(key, {payer.account: price(payer, talk_s) for payer in limited})
    assert is_held, "what is within everybody's share can be held"
    return talk_s


def longest_s(payers: Sequence[Payer], wish_s: int, at_ms: int) -> int:
    """The longest talk up to what is wanted that no rate's maximum charge ends before."""
    ends = (payer.end_s(at_ms) for payer in payers)
    return min(wish_s, *(end_s for end_s in ends if end_s is not None), wish_s)
