"""What differs between two versions of a deck from an instant on, prefix by prefix."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import Extras, Rate, RateDeck
from sipshop.billing.money import format_nanos

#: Prefixes are sorted together that begin with the same so many digits.
_BEGINNING: Final = 4


class Kind(StrEnum):
    """What becomes of a prefix."""

    NEW = "new"
    UP = "up"
    DOWN = "down"
    INCREMENTS = "increments"  # the same prices, for other increments
    TERMS = "terms"  # the same prices and increments, but fees, minimums or windows are others
    RENAMED = "renamed"
    BLOCKED = "blocked"
    WITHDRAWN = "withdrawn"


@dataclass(frozen=True, slots=True)
class Change:
    """A prefix that has another rate than before, at once or from an instant on."""

    kind: Kind
    prefix: str
    old: Rate | None
    new: Rate | None
    from_ms: int | None

    @property
    def has_other_increments(self) -> bool:
        """Whether calls are billed in other increments."""
        return self.old is not None and self.new is not None and _increments(self.old) != _increments(self.new)

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, prices a minute as decimal strings."""
        named = self.new or self.old
        assert named is not None, "something is there, before or after"
        return {
            "kind": self.kind.value,
            "prefix": self.prefix,
            "destination": named.destination,
            "from": None if self.from_ms is None else utc_text(self.from_ms),
            "old": None if self.old is None else _told(self.old),
            "new": None if self.new is None else _told(self.new),
            "increments_changed": self.has_other_increments,
        }


def _told(rate: Rate) -> dict[str, Any]:
    return {
        "destination": rate.destination,
        "connect_fee": format_nanos(rate.connect_fee_nanos),
        "first_s": rate.first_s,
        "first_price": format_nanos(rate.first_price_nanos),
        "next_s": rate.next_s,
        "next_price": format_nanos(rate.next_price_nanos),
        "forbidden": rate.forbidden,
        "window": rate.extras.window,
    }


def changes(old: RateDeck, new: RateDeck, at_ms: int) -> Iterator[Change]:
    """Yield what is another from an instant on, in the order of the prefixes; what was before it does not count."""
    was, now = _by_prefix(old), _by_prefix(new)
    for prefix in _in_order(was, now):
        before, after = was.pop(prefix, ()), now.pop(prefix, ())  # what was looked at goes bit by bit
        if len(before) == len(after) == 1 and before[0] is after[0]:
            continue
        yield from _of_prefix(prefix, before, after, at_ms)


def _in_order(*decks: Iterable[str]) -> Iterator[str]:
    """Yield every prefix once, sorted; some at a time, because no other thread runs while a long list is sorted."""
    beginnings: dict[str, set[str]] = {}
    for prefixes in decks:
        for prefix in prefixes:
            beginnings.setdefault(prefix[:_BEGINNING], set()).add(prefix)
    for beginning in sorted(beginnings):
        yield from sorted(beginnings.pop(beginning))


def _by_prefix(deck: RateDeck) -> dict[str, tuple[Rate, ...]]:
    found: dict[str, tuple[Rate, ...]] = {}
    for rate in deck.rates:
        found[rate.prefix] = (*found[rate.prefix], rate) if rate.prefix in found else (rate,)
    return found


def _of_prefix(prefix: str, before: Sequence[Rate], after: Sequence[Rate], at_ms: int) -> Iterator[Change]:
    windows = dict.fromkeys(rate.extras.window for rate in (*before, *after))
    for window in windows:
        old, new = ([rate for rate in rates if rate.extras.window == window] for rates in (before, after))
        last: tuple[Rate | None, Rate | None] = (None, None)
        for instant_ms in _instants((*old, *new), at_ms):
            pair = _at(old, instant_ms), _at(new, instant_ms)
            kind = _kind(*pair)
            if kind is not None and pair != last:
                yield Change(kind, prefix, *pair, None if instant_ms <= at_ms else instant_ms)
            last = pair


def _instants(rates: Iterable[Rate], at_ms: int) -> list[int]:
    edges = {edge for rate in rates for edge in (rate.extras.valid_from_ms, rate.extras.valid_to_ms)}
    return sorted({at_ms, *(edge for edge in edges if edge is not None and edge > at_ms)})


def _at(rates: Iterable[Rate], at_ms: int) -> Rate | None:
    return next((rate for rate in rates if rate.extras.is_valid(at_ms)), None)


def _kind(old: Rate | None, new: Rate | None) -> Kind | None:
    """What becomes of a prefix that has one rate and gets another; None if nothing does."""
    if old is None or new is None:
        if old is new:
            return None
        return Kind.WITHDRAWN if new is None else Kind.BLOCKED if new.forbidden else Kind.NEW
    if old.forbidden != new.forbidden:
        return Kind.BLOCKED if new.forbidden else Kind.NEW
    one, other = _prices(old), _prices(new)
    if one != other:
        return Kind.UP if other > one else Kind.DOWN
    if _increments(old) != _increments(new):
        return Kind.INCREMENTS
    if _timeless(old.extras) != _timeless(new.extras):
        return Kind.TERMS
    return Kind.RENAMED if old.destination != new.destination else None


def _prices(rate: Rate) -> tuple[int, int, int]:
    """What two prices are compared by: the minute that most calls are charged by comes first."""
    return rate.next_price_nanos, rate.first_price_nanos, rate.connect_fee_nanos


def _increments(rate: Rate) -> tuple[int, int]:
    return rate.first_s, rate.next_s


def _timeless(extras: Extras) -> Extras:
    return replace(extras, valid_from_ms=None, valid_to_ms=None)
