"""Limits against fraud: what a party, a shop or a booth may do, and what is done about a call that goes beyond it.

A limit counts over all that is below whom it is set for. Amounts are what that one is charged, in micro-units of its
account's currency; a price a minute is the dearer of the first minute and of a minute of an hour's talk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.chain import Level
from sipshop.billing.money import format_micros

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS

#: The one window of a rule's calendar.
_NIGHT: Final = "night"


class Place(StrEnum):
    """Whom a limit is set for."""

    PARTY = "party"
    SHOP = "shop"
    BOOTH = "booth"


class Subject(NamedTuple):
    """One of them, by name."""

    place: Place
    name: str

    def __str__(self) -> str:
        return f"{self.place.value} {self.name}"


class Measure(StrEnum):
    """What a rule looks at."""

    SPEND_HOUR = "spend_per_hour"
    SPEND_DAY = "spend_per_day"
    CALLS = "calls_per_hour"  # to one destination
    PRICE = "price_a_minute"
    UNUSED = "unused_days"
    LIVE = "live_calls"
    NIGHT = "night"


class Measured(NamedTuple):
    """What a measure means: whether a rule of it is about one destination, and how long it counts or stays quiet."""

    is_of_destination: bool
    span_ms: int


MEASURES: Final[Mapping[Measure, Measured]] = {
    Measure.SPEND_HOUR: Measured(is_of_destination=False, span_ms=HOUR_MS),
    Measure.SPEND_DAY: Measured(is_of_destination=False, span_ms=DAY_MS),
    Measure.CALLS: Measured(is_of_destination=True, span_ms=HOUR_MS),
    Measure.PRICE: Measured(is_of_destination=True, span_ms=HOUR_MS),
    Measure.UNUSED: Measured(is_of_destination=True, span_ms=DAY_MS),
    Measure.LIVE: Measured(is_of_destination=False, span_ms=HOUR_MS),
    Measure.NIGHT: Measured(is_of_destination=True, span_ms=HOUR_MS),
}
SPENDING: Final = frozenset({Measure.SPEND_HOUR, Measure.SPEND_DAY})
#: Those whose most is an amount.
AMOUNTS: Final = SPENDING | {Measure.PRICE}


class LimitAction(StrEnum):
    """What is done about a call that goes beyond a rule."""

    ALERT = "alert"  # it is made, and somebody is told
    REFUSE = "refuse"  # it is not made; the next one is asked anew
    HOLD = "hold"  # it is not made, nor one like it, until a person of the party or above releases it
    BLOCK = "block"  # it is not made, nor one like it, until who set the rule or is above releases it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule of a limit: beyond `most` (micro-units, calls, or days, by its measure) its action is taken.

    Of a night `calendar` has the window, and `most` is the price a minute up to which calls are made, None for none.
    `set_by` is the party that may end a block by it, and whoever is above that one.
    """

    name: str
    measure: Measure
    action: LimitAction
    set_by: str
    most: int | None
    calendar: Calendar | None = None

    def __str__(self) -> str:
        """The rule in a line, as a world writes it."""
        if self.calendar is not None:
            most = f"{' and '.join(night_texts(self.calendar))} {self.calendar.zone}"
            most += "" if self.most is None else f" up to {format_micros(self.most)}"
        else:
            most = format_micros(self.most or 0) if self.measure in AMOUNTS else str(self.most)
        return f"{self.name}: {self.measure.value} {most}, {self.action.value}, set by {self.set_by}"

    @property
    def stands(self) -> bool:
        """Whether what it refuses stays refused until somebody releases it."""
        return self.action in {LimitAction.HOLD, LimitAction.BLOCK}

    def is_night(self, at_ms: int) -> bool:
        """Whether its window holds at an instant."""
        return self.calendar is not None and self.calendar.precedence(_NIGHT, at_ms) is not None


def night(zone: str, *texts: str) -> Calendar:
    """Return the calendar of a rule for the night; raises BadDeck for a zone or a window that is none."""
    return Calendar(zone, {_NIGHT: Window.parse(*texts)})


def night_texts(calendar: Calendar) -> tuple[str, ...]:
    """Return what the window of such a calendar was read from."""
    return calendar.windows[_NIGHT].texts


class OvercommitAction(StrEnum):
    """What is done when a party grants those below it more than it has itself."""

    ALLOW = "allow"
    WARN = "warn"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overcommit:
    """How much a party may grant: `factor_ppm` millionths of what it has itself."""

    action: OvercommitAction = OvercommitAction.ALLOW
    factor_ppm: int = 1_000_000

    def is_beyond(self, granted: int | None, own: int | None) -> bool:
        """Whether more is granted than there may be, in micro-units; None is without end.

        >>> Overcommit(factor_ppm=1_500_000).is_beyond(150, 100), Overcommit().is_beyond(101, 100)
        (False, True)
        """
        if own is None:
            return False
        return granted is None or granted * 1_000_000 > max(0, own) * self.factor_ppm


ALLOW: Final = Overcommit()


@dataclass(frozen=True, slots=True, kw_only=True)
class LowBalance:
    """When somebody has little left: less than an amount (micro-units), or than lasts for some time at today's pace.

    It is over when a fifth more is there (`is_well`), so that nothing is told again and again at the edge.
    """

    amount_micros: int = 0
    lasts_ms: int = 0

    def __str__(self) -> str:
        """The thresholds, for people."""
        return f"less than {format_micros(self.amount_micros)} or than lasts for {self.lasts_ms // HOUR_MS} h"

    def is_low(self, left: int, spent_an_hour: int) -> bool:
        """Whether what is left is little."""
        return left < self.amount_micros or left * HOUR_MS < self.lasts_ms * spent_an_hour

    def is_well(self, left: int, spent_an_hour: int) -> bool:
        """Whether it is enough again."""
        return 5 * left >= 6 * self.amount_micros and 5 * left * HOUR_MS >= 6 * self.lasts_ms * spent_an_hour


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """All that is watched of one subject.

    `low_balance` is about a party's account, or of a shop about the deposits in each of its booths.
    """

    subject: Subject
    rules: tuple[Rule, ...] = ()
    overcommit: Overcommit = ALLOW
    low_balance: LowBalance | None = None

    def rule(self, name: str) -> Rule | None:
        """The rule of this name."""
        return next((rule for rule in self.rules if rule.name == name), None)


@dataclass(frozen=True, slots=True)
class Asked:
    """A subject on the way of a call, and the level by which the call is priced for it.

    The provider has the price that he sells at: carriers charge him, nobody above; `is_charged` is False for him.
    """

    subject: Subject
    level: Level
    is_charged: bool = True

    @property
    def prefix(self) -> str:
        """The destination, as the deck of the level divides the world."""
        return self.level.tariff.rate.prefix

    @property
    def destination(self) -> str:
        """The destination as people call it."""
        return self.level.tariff.rate.destination


def price_a_minute(level: Level, at_ms: int) -> int:
    """Return the price of a minute in micro-units: of the first one, or of the mean one of an hour if that is dearer.

    So neither a free beginning nor a cheap one hides what a long call costs.
    """
    return max(level.price(60_000, at_ms), -(-level.price(HOUR_MS, at_ms) // 60))


class Standing(StrEnum):
    """How a rule stands, for one destination or for all, where it is not just asked."""

    HELD = "held"
    BLOCKED = "blocked"
    RELEASED = "released"  # it is not asked, until an instant or for ever


STANDING_OF: Final[Mapping[LimitAction, Standing]] = {
    LimitAction.HOLD: Standing.HELD,
    LimitAction.BLOCK: Standing.BLOCKED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What has become of a rule by a call or by a person.

    `prefix` is the destination that it is about, empty for all. One that is released is so until `until_ms` (UTC), None
    without end; spending and calls of before `fresh_ms` count no more.
    """

    subject: Subject
    rule: str
    prefix: str
    standing: Standing
    since_ms: int
    until_ms: int | None = None

    def holds(self, at_ms: int) -> bool:
        """Whether it says anything at an instant."""
        return self.until_ms is None or at_ms < self.until_ms

    @property
    def fresh_ms(self) -> int:
        """The instant from which on the rule counts again, once it was released."""
        return self.until_ms if self.until_ms is not None else self.since_ms


# Countries.

_TWO_DIGITS_TEXT: Final = (
    "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 62 63 64 65 66 81 82 84 86"
    " 90 91 92 93 94 95 98"
)
#: What begins with 1 and is neither the United States nor Canada: dear, and loved by fraudsters.
_ISLANDS_TEXT: Final = (
    "1242 1246 1264 1268 1284 1340 1345 1441 1473 1649 1658 1664 1670 1671 1684 1721 1758 1767 1784 1787 1809 1829"
    " 1849 1868 1869 1876 1939"
)
_TWO_DIGITS: Final = frozenset(_TWO_DIGITS_TEXT.split())
_ISLANDS: Final = frozenset(_ISLANDS_TEXT.split())
#: So many digits of a number tell its country.
COUNTRY_DIGITS: Final = 4


def country_of(e164: str) -> str:
    """Return the digits of a number that name its country (ITU-T E.164), as far as it has them.

    >>> country_of("493012345"), country_of("18765551234"), country_of("12125551234"), country_of("77012345678")
    ('49', '1876', '1', '77')
    """
    if e164.startswith("1"):
        return e164[:4] if e164[:4] in _ISLANDS else "1"
    if e164.startswith("7"):
        return e164[:2] if e164[1:2] in {"6", "7"} else "7"  # Kazakhstan
    return e164[:2] if e164[:2] in _TWO_DIGITS else e164[:3]
