"""Decks: what one side asks a minute for each prefix, and what of it a call keeps.

A deck is immutable and swapped by reference; a live call keeps its `Tariff`, so a new deck never changes its price.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import combinations
from typing import Any, Final

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.errors import BadAmount, BadDeck, BadTariff
from sipshop.billing.fx import Conversion
from sipshop.billing.money import (
    Rounding,
    RoundMode,
    check_currency,
    format_micros,
    format_nanos,
    format_scaled,
    minor_unit_places,
    parse_amount,
    parse_price,
    parse_scaled,
)
from sipshop.billing.tax import Tax

#: The parts of a surcharge's whole: a percentage has at most 4 decimal places.
PPM: Final = 1_000_000
PERCENT_PLACES: Final = 4
#: A call's rates are known for so long after it is let in; whichever is in force then stays so.
FORESEEN_MS: Final = 48 * 3_600_000

_PREFIX: Final = re.compile(r"[1-9][0-9]{0,14}")
_UTC: Final = Calendar()


class DurationRound(StrEnum):
    """How talk time in milliseconds becomes the whole seconds that are rated."""

    CEIL = "ceil"
    FLOOR = "floor"
    NEAREST = "nearest"  # half a second counts as one

    def seconds(self, talk_ms: int) -> int:
        """Return the whole seconds of a talk time that is not negative.

        >>> DurationRound.CEIL.seconds(60_001), DurationRound.FLOOR.seconds(60_999)
        (61, 60)
        """
        match self:
            case DurationRound.CEIL:
                return -(-talk_ms // 1000)
            case DurationRound.FLOOR:
                return talk_ms // 1000
            case DurationRound.NEAREST:
                return (talk_ms + 500) // 1000


class WindowPolicy(StrEnum):
    """Which window a call is in that lasts from one into another."""

    START = "start"  # the one that it began in
    SPLIT = "split"  # each second its own


class ChangePolicy(StrEnum):
    """What a call pays that lasts beyond its rate's validity."""

    FREEZE = "freeze"  # what it began with
    SPLIT = "split"  # each second what is valid then


class IncrementRule(StrEnum):
    """How talk time becomes billed seconds, here of 61 s at 60/45."""

    STANDARD = "standard"  # the first increment, and then whole next ones: 60 + 45
    MODULO = "modulo"  # beyond the first increment a multiple of the next one: 90


class MaxPolicy(StrEnum):
    """What comes of a call that has cost its rate's maximum."""

    FREE = "free"  # it goes on, and costs no more
    DISCONNECT = "disconnect"  # it ends


@dataclass(frozen=True, slots=True)
class Step:
    """Increments of `every_s` seconds at a price, from the end of the step before to `until_s`; the last has no end."""

    until_s: int | None
    every_s: int
    price_nanos: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extras:
    """What few rates have beyond their prices; many rates of a deck share one of these.

    Without `steps` a rate has its first and next increments. `window` is the name of one of its deck's; validity is
    half-open, in UTC milliseconds, None without end.

    Raises:
        BadDeck: they contradict each other.
    """

    steps: tuple[Step, ...] = ()
    grace_s: int = 0
    free_s: int = 0
    free_after_first: bool = False
    surcharge_ppm: int = 0
    min_charge_micros: int = 0
    max_charge_micros: int | None = None
    max_policy: MaxPolicy = MaxPolicy.FREE
    valid_from_ms: int | None = None
    valid_to_ms: int | None = None
    window: str | None = None

    def __post_init__(self) -> None:
        if min(self.grace_s, self.free_s, self.surcharge_ppm, self.min_charge_micros) < 0:
            raise BadDeck("grace, free seconds, surcharge and charges are not negative")
        if self.max_charge_micros is not None and self.max_charge_micros < self.min_charge_micros:
            raise BadDeck("the maximum charge is less than the minimum")
        if None not in {self.valid_from_ms, self.valid_to_ms} and not self.is_valid(self.valid_from_ms or 0):
            raise BadDeck("it would end before it begins to be valid")
        self._check_steps()

    def _check_steps(self) -> None:
        start_s = 0
        for place, step in enumerate(self.steps, start=1):
            if step.every_s < 1 or step.price_nanos < 0:
                raise BadDeck(f"step {place}: an increment is at least 1 s, and a price is not negative")
            if (step.until_s is None) != (place == len(self.steps)):
                raise BadDeck(f"step {place}: every step but the last says until_s, and the last does not")
            if step.until_s is not None:
                if step.until_s <= start_s or (step.until_s - start_s) % step.every_s:
                    raise BadDeck(f"step {place}: from {start_s} to {step.until_s} s are no whole increments")
                start_s = step.until_s

    @property
    def is_always(self) -> bool:
        """Whether a rate with these is in force at every instant."""
        return self.window is None and self.valid_from_ms is None and self.valid_to_ms is None

    def is_valid(self, at_ms: int) -> bool:
        """Whether an instant is in the validity."""
        return (self.valid_from_ms is None or self.valid_from_ms <= at_ms) and (
            self.valid_to_ms is None or at_ms < self.valid_to_ms
        )

    def to_json(self) -> dict[str, Any]:
        """Return what is not as it is without saying, in plain JSON types."""
        written: dict[str, Any] = {
            "steps": [[step.until_s, step.every_s, format_nanos(step.price_nanos)] for step in self.steps],
            "grace_s": self.grace_s,
            "free_s": self.free_s,
            "free_after_first": self.free_after_first,
            "surcharge_percent": format_scaled(self.surcharge_ppm, PERCENT_PLACES, 0) if self.surcharge_ppm else "",
            "min_charge": format_micros(self.min_charge_micros) if self.min_charge_micros else "",
            "max_charge": format_micros(self.max_charge_micros) if self.max_charge_micros is not None else "",
            "max_policy": self.max_policy.value if self.max_policy is not MaxPolicy.FREE else "",
        }
        kept = {key: value for key, value in written.items() if value}
        when = {"valid_from_ms": self.valid_from_ms, "valid_to_ms": self.valid_to_ms, "window": self.window}
        return kept | {key: value for key, value in when.items() if value is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Extras:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        if not data:
            return NO_EXTRAS
        return cls(
            steps=tuple(
                Step(until_s, every_s, parse_price(price)) for until_s, every_s, price in data.get("steps", ())
            ),
            grace_s=data.get("grace_s", 0),
            free_s=data.get("free_s", 0),
            free_after_first=data.get("free_after_first", False),
            surcharge_ppm=parse_scaled(data.get("surcharge_percent", "0"), PERCENT_PLACES),
            min_charge_micros=parse_amount(data.get("min_charge", "0")),
            max_charge_micros=parse_amount(data["max_charge"]) if "max_charge" in data else None,
            max_policy=MaxPolicy(data.get("max_policy", MaxPolicy.FREE)),
            valid_from_ms=data.get("valid_from_ms"),
            valid_to_ms=data.get("valid_to_ms"),
            window=data.get("window"),
        )


NO_EXTRAS: Final = Extras()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One line of a deck: what a call to numbers with this prefix costs.

    The first increment is `first_s` seconds at `first_price_nanos`, each next one `next_s` seconds at
    `next_price_nanos`; prices are nano-units a minute, the connect fee nano-units a call. A `forbidden` rate refuses
    the call. A rate with steps has here the increments of its first and of its last step.

    Raises:
        BadDeck: the prefix is not E.164 digits, an increment is under a second, or a price is negative.
    """

    prefix: str
    destination: str
    connect_fee_nanos: int
    first_s: int
    first_price_nanos: int
    next_s: int
    next_price_nanos: int
    forbidden: bool = False
    extras: Extras = NO_EXTRAS

    def __post_init__(self) -> None:
        if _PREFIX.fullmatch(self.prefix) is None:
            raise BadDeck(f"{self.prefix!r} is not a prefix: 1 to 15 digits with the country code, no 0 first")
        if self.first_s < 1 or self.next_s < 1:
            raise BadDeck(f"prefix {self.prefix}: an increment is at least 1 s")
        if self.connect_fee_nanos < 0 or self.first_price_nanos < 0 or self.next_price_nanos < 0:
            # A negative price would make a longer call cheaper, and then no hold could ever cover a call.
            raise BadDeck(f"prefix {self.prefix}: a price is not negative")

    def to_json(self) -> dict[str, Any]:
        """Return the rate in plain JSON types, prices as decimal strings."""
        written: dict[str, Any] = {
            "prefix": self.prefix,
            "destination": self.destination,
            "connect_fee": format_nanos(self.connect_fee_nanos),
            "first_s": self.first_s,
            "first_price": format_nanos(self.first_price_nanos),
            "next_s": self.next_s,
            "next_price": format_nanos(self.next_price_nanos),
            "forbidden": self.forbidden,
        }
        return written if self.extras is NO_EXTRAS else written | self.extras.to_json()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Rate:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        return cls(
            prefix=data["prefix"],
            destination=data["destination"],
            connect_fee_nanos=parse_price(data["connect_fee"]),
            first_s=data["first_s"],
            first_price_nanos=parse_price(data["first_price"]),
            next_s=data["next_s"],
            next_price_nanos=parse_price(data["next_price"]),
            forbidden=data["forbidden"],
            extras=Extras.from_json(data) if data.keys() & _EXTRA_KEYS else NO_EXTRAS,
        )


_EXTRA_KEYS: Final = frozenset(
    {
        *("steps", "grace_s", "free_s", "free_after_first", "surcharge_percent", "min_charge", "max_charge"),
        *("max_policy", "valid_from_ms", "valid_to_ms", "window"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What a call keeps of its deck: everything that `rating.cost` needs, so the price can be worked out again.

    `rate` was in force when the call was let in. Of a deck that splits calls, `later` are the rates that take its
    place, each with the UTC milliseconds from which on it does. `tax` is what the sale was taxed at. An account in
    another currency is charged by `fx`, and `books` tells the charge in the currency of the seller's own purchases, or,
    of a carrier's charge, in that of the provider's sale.
    """

    deck: str
    version: int
    currency: str
    rounding: Rounding
    duration_round: DurationRound
    rate: Rate
    increment_rule: IncrementRule = IncrementRule.STANDARD
    later: tuple[tuple[int, Rate], ...] = ()
    tax: Tax | None = None
    fx: Conversion | None = None
    books: Conversion | None = None

    @property
    def charged_in(self) -> str:
        """The currency of the account that is charged."""
        return self.currency if self.fx is None else self.fx.currency

    def to_json(self) -> dict[str, Any]:
        """Return the snapshot in plain JSON types, prices as decimal strings.

        What a plain deck does not have is left out, so its calls keep what they kept before there was more.
        """
        written = {
            "deck": self.deck,
            "version": self.version,
            "currency": self.currency,
            "round": {"mode": self.rounding.mode.value, "places": self.rounding.places},
            "duration_round": self.duration_round.value,
            "rate": self.rate.to_json(),
        }
        if self.increment_rule is not IncrementRule.STANDARD:
            written["increment_rule"] = self.increment_rule.value
        if self.later:
            written["later"] = [{"from_ms": from_ms, "rate": rate.to_json()} for from_ms, rate in self.later]
        terms = {"tax": self.tax, "fx": self.fx, "books": self.books}
        return written | {key: term.to_json() for key, term in terms.items() if term is not None}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Tariff:
        """Read back what `to_json` gave; raises BadTariff if it is not that."""
        try:
            return cls(
                deck=data["deck"],
                version=data["version"],
                currency=check_currency(data["currency"]),
                rounding=Rounding(RoundMode(data["round"]["mode"]), data["round"]["places"]),
                duration_round=DurationRound(data["duration_round"]),
                rate=Rate.from_json(data["rate"]),
                increment_rule=IncrementRule(data.get("increment_rule", IncrementRule.STANDARD)),
                later=tuple((change["from_ms"], Rate.from_json(change["rate"])) for change in data.get("later", ())),
                tax=Tax.from_json(data["tax"]) if "tax" in data else None,
                fx=Conversion.from_json(data["fx"]) if "fx" in data else None,
                books=Conversion.from_json(data["books"]) if "books" in data else None,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadTariff(f"a stored tariff cannot be read: {error}") from error


@dataclass(frozen=True, slots=True, init=False)
class RateDeck:
    """All rates of one side, ready to be asked for a number.

    Without a `rounding` amounts are rounded half up to the currency's minor unit, so that the lines of a receipt add up
    in coins.

    Raises:
        BadDeck: two rates of one prefix are in force at one instant, a rate's window is not there, or the currency is
            no ISO 4217 code.
    """

    name: str
    currency: str
    rates: tuple[Rate, ...]
    version: int
    rounding: Rounding
    duration_round: DurationRound
    calendar: Calendar
    window_policy: WindowPolicy
    change_policy: ChangePolicy
    increment_rule: IncrementRule
    _by_prefix: Mapping[str, Rate | tuple[Rate, ...]] = field(repr=False, compare=False)
    _lengths: tuple[int, ...] = field(repr=False, compare=False)  # of the prefixes present, longest first
    _splits: bool = field(repr=False, compare=False)

    def __init__(
        self,
        name: str,
        currency: str,
        rates: tuple[Rate, ...],
        *,
        version: int = 1,
        rounding: Rounding | None = None,
        duration_round: DurationRound = DurationRound.CEIL,
        calendar: Calendar = _UTC,
        window_policy: WindowPolicy = WindowPolicy.START,
        change_policy: ChangePolicy = ChangePolicy.FREEZE,
        increment_rule: IncrementRule = IncrementRule.STANDARD,
    ) -> None:
        try:
            check_currency(currency)
        except BadAmount as error:
            raise BadDeck(f"deck {name!r}: {error}") from error
        by_prefix = _by_prefix(rates)
        for one, other in _clashes(by_prefix, calendar):
            raise BadDeck(f"deck {name!r} has two rates of prefix {one.prefix}{_where(one, other)}")
        keep = object.__setattr__  # the deck is frozen from here on
        keep(self, "name", name)
        keep(self, "currency", currency)
        keep(self, "rates", rates)
        keep(self, "version", version)
        keep(self, "rounding", rounding or Rounding(RoundMode.HALF_UP, minor_unit_places(currency)))
        keep(self, "duration_round", duration_round)
        keep(self, "calendar", calendar)
        keep(self, "window_policy", window_policy)
        keep(self, "change_policy", change_policy)
        keep(self, "increment_rule", increment_rule)
        keep(self, "_by_prefix", by_prefix)
        keep(self, "_lengths", tuple(sorted(set(map(len, by_prefix)), reverse=True)))
        keep(self, "_splits", window_policy is WindowPolicy.SPLIT or change_policy is ChangePolicy.SPLIT)

    def renewed(self, version: int) -> RateDeck:
        """The same deck as another version; its look-ups are shared."""
        made = object.__new__(RateDeck)
        for name in self.__slots__:
            object.__setattr__(made, name, getattr(self, name))
        object.__setattr__(made, "version", version)
        return made

    def match(self, e164: str, at_ms: int) -> Tariff | None:
        """Return the tariff of the longest prefix of a number in E.164 digits, or None if there is no rate.

        `at_ms` is when the call is let in, UTC: a prefix whose rate is not in force then leaves it to a shorter one. A
        forbidden rate is returned as any other: its caller refuses the call.
        """
        rate = self._rate(e164, at_ms, at_ms)
        if rate is None:
            return None
        return self.tariff(rate, tuple(self._later(e164, at_ms, rate)) if self._splits else ())

    def tariff(self, rate: Rate, later: tuple[tuple[int, Rate], ...] = ()) -> Tariff:
        """Return what a call keeps of this deck that begins with one of its rates."""
        return Tariff(
            deck=self.name,
            version=self.version,
            currency=self.currency,
            rounding=self.rounding,
            duration_round=self.duration_round,
            rate=rate,
            increment_rule=self.increment_rule,
            later=later,
        )

    def _rate(self, e164: str, valid_at_ms: int, window_at_ms: int) -> Rate | None:
        """The rate of the longest prefix that has one which is valid at an instant and in a window at another."""
        for length in self._lengths:
            # A number shorter than this length is probed whole more than once; it finds the same answer.
            found = self._by_prefix.get(e164[:length])
            if found is not None:
                rate = found if isinstance(found, Rate) else self._in_force(found, valid_at_ms, window_at_ms)
                if rate is not None:
                    return rate
        return None

    def _in_force(self, rates: tuple[Rate, ...], valid_at_ms: int, window_at_ms: int) -> Rate | None:
        """The one of a prefix's rates that says most; ties were refused."""
        best: tuple[int, Rate] | None = None
        for rate in rates:
            extras = rate.extras
            if extras.is_valid(valid_at_ms):
                says = -1
                if extras.window is not None:
                    precedence = self.calendar.precedence(extras.window, window_at_ms)
                    if precedence is None:
                        continue
                    says = precedence
                if best is None or says > best[0]:
                    best = says, rate
        return best[1] if best is not None else None

    def _later(self, e164: str, at_ms: int, rate: Rate) -> Iterator[tuple[int, Rate]]:
        """Yield the rates that take the place of one while a call lasts; one goes on where no other can be had."""
        by_window = self.window_policy is WindowPolicy.SPLIT
        by_validity = self.change_policy is ChangePolicy.SPLIT
        for edge_ms in sorted(set(self._edges(e164, at_ms, by_window=by_window, by_validity=by_validity))):
            now = self._rate(e164, edge_ms if by_validity else at_ms, edge_ms if by_window else at_ms)
            if now is not None and now is not rate and not now.forbidden:
                yield edge_ms, now
                rate = now

    def _edges(self, e164: str, at_ms: int, *, by_window: bool, by_validity: bool) -> Iterator[int]:
        to_ms = at_ms + FORESEEN_MS
        windows: set[str] = set()
        for length in self._lengths:
            found = self._by_prefix.get(e164[:length])
            for rate in found if isinstance(found, tuple) else ():
                validity = (rate.extras.valid_from_ms, rate.extras.valid_to_ms) if by_validity else ()
                yield from (edge_ms for edge_ms in validity if edge_ms is not None and at_ms < edge_ms < to_ms)
                if by_window and rate.extras.window is not None:
                    windows.add(rate.extras.window)
        for window in windows:
            yield from (edge_ms for edge_ms in self.calendar.edges(window, at_ms, to_ms) if edge_ms > at_ms)


def scaled(rate: Rate, num: int, den: int) -> Rate:
    """Return a rate with all that it charges times `num / den`, rounded up to the last place that there is."""

    def times(charge: int) -> int:
        return -(-charge * num // den)

    extras = rate.extras
    if extras.steps or extras.min_charge_micros or extras.max_charge_micros:
        extras = replace(
            extras,
            steps=tuple(replace(step, price_nanos=times(step.price_nanos)) for step in extras.steps),
            min_charge_micros=times(extras.min_charge_micros),
            max_charge_micros=None if extras.max_charge_micros is None else times(extras.max_charge_micros),
        )
    return replace(
        rate,
        connect_fee_nanos=times(rate.connect_fee_nanos),
        first_price_nanos=times(rate.first_price_nanos),
        next_price_nanos=times(rate.next_price_nanos),
        extras=extras,
    )


def clashes(rates: Iterable[Rate], calendar: Calendar) -> Iterator[tuple[Rate, Rate]]:
    """Yield the rates of one prefix of which neither says more at some instant, two by two.

    Raises:
        BadDeck: a rate is for a window that is not there.
    """
    return _clashes(_by_prefix(rates), calendar)


def _by_prefix(rates: Iterable[Rate]) -> dict[str, Rate | tuple[Rate, ...]]:
    """Sort rates by prefix; one that is alone and always in force stands there by itself, to be found fast."""
    found: dict[str, Rate | tuple[Rate, ...]] = {}
    for rate in rates:
        before = found.get(rate.prefix)
        if before is None:
            found[rate.prefix] = rate if rate.extras is NO_EXTRAS or rate.extras.is_always else (rate,)
        else:
            found[rate.prefix] = (*(before if isinstance(before, tuple) else (before,)), rate)
    return found


def _clashes(by_prefix: Mapping[str, Rate | tuple[Rate, ...]], calendar: Calendar) -> Iterator[tuple[Rate, Rate]]:
    meeting: dict[tuple[str, str], bool] = {}
    for rates in by_prefix.values():
        if not isinstance(rates, tuple):
            continue
        for rate in rates:
            if rate.extras.window is not None and rate.extras.window not in calendar.windows:
                raise BadDeck(f"prefix {rate.prefix}: there is no window named {rate.extras.window!r}")
        for one, other in combinations(rates, 2):
            if _overlap(one.extras, other.extras) and _meet(one.extras.window, other.extras.window, calendar, meeting):
                yield one, other


def _where(one: Rate, other: Rate) -> str:
    """Name the windows in which two rates are both meant, as the end of a sentence."""
    windows = sorted({rate.extras.window for rate in (one, other) if rate.extras.window is not None})
    return f" that are in force at one time, in {' and '.join(windows)}" if windows else ""


def _overlap(one: Extras, other: Extras) -> bool:
    """Whether both are valid at some instant."""
    return all(
        early.valid_to_ms is None or late.valid_from_ms is None or late.valid_from_ms < early.valid_to_ms
        for early, late in ((one, other), (other, one))
    )


def _meet(one: str | None, other: str | None, calendar: Calendar, known: dict[tuple[str, str], bool]) -> bool:
    if one is None or other is None:
        return one is other
    if (one, other) not in known:
        windows: Mapping[str, Window] = calendar.windows
        known[one, other] = windows[one].meets(windows[other])
    return known[one, other]
