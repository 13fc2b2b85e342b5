"""The chain of one call: every level that pays for it, and the longest talk that all of them can pay.

Each level rates the raw talk time by the deck that the party above sells it by; nobody rates what another has rounded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from sipshop.billing.deck import Tariff
from sipshop.billing.ledger import Ledger
from sipshop.billing.rating import cost

#: A call takes at most this part of what an account has left at once, so that others can talk too while money is short.
SHARE: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One relation that pays: `buyer` is charged on `account` by what `seller` asks in `tariff`."""

    seller: str
    buyer: str
    account: str
    tariff: Tariff

    def price(self, talk_ms: int) -> int:
        """What a talk costs here, in micro-units."""
        return cost(talk_ms, self.tariff).amount.micros


@dataclass(frozen=True, slots=True)
class TalkTime:
    """A booth session's minutes as one more level: what is spent there is the talk itself, in milliseconds."""

    account: str

    def price(self, talk_ms: int) -> int:
        """The talk time itself."""
        return talk_ms


Payer = Level | TalkTime


def grant(ledger: Ledger, key: str, payers: Sequence[Payer], *, floor_s: int, wish_s: int) -> int | None:
    """Hold, at every level or at none, what the longest talk costs that all can pay; its seconds, None if none.

    `floor_s` is what was granted before (0 at first): a grant is longer than that. `wish_s` is the most that is wanted.
    While money is short a grant takes a share of it (`SHARE`) and not all, but always at least one second more, if that
    can be paid: the first increment and the fees are whole in it.
    """
    if wish_s <= floor_s:
        return None
    limited = [payer for payer in payers if ledger[payer.account].credit_limit is not None]
    shares: list[int] = []
    for payer in limited:
        room, held = ledger.room(payer.account, key), ledger.held_by(key).get(payer.account, 0)
        assert room is not None, "the limited ones were chosen"
        next_second = payer.price((floor_s + 1) * 1000)
        # what a call holds already it may talk away, whatever became of the account; a new one needs one that is sound
        if next_second > (max(room, held) if floor_s else room):
            return None
        shares.append(max(held, held + (room - held) // SHARE, next_second))

    def fits(seconds: int) -> bool:
        return all(payer.price(seconds * 1000) <= share for payer, share in zip(limited, shares, strict=True))

    talk_s = _longest(fits, floor_s + 1, wish_s)
    is_held = ledger.hold(key, {payer.account: payer.price(talk_s * 1000) for payer in limited})
    assert is_held, "what is within everybody's share can be held"
    return talk_s


def _longest(fits: Callable[[int], bool], low: int, high: int) -> int:
    """The largest of `low` to `high` that fits, where all below it fit too; `low` itself is not asked."""
    if high <= low or fits(high):
        return max(low, high)
    while high - low > 1:
        middle = (low + high) // 2
        if fits(middle):
            low = middle
        else:
            high = middle
    return low
