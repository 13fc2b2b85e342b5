"""Random decks with everything that a deck may have, and instants at which that matters."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.deck import (
    ChangePolicy,
    DurationRound,
    Extras,
    IncrementRule,
    MaxPolicy,
    Rate,
    RateDeck,
    Step,
    WindowPolicy,
)
from sipshop.billing.errors import BadDeck
from sipshop.billing.money import Rounding, RoundMode

NUMBER = "49301234567"
#: Nights in which the clocks are changed, each with its zone; in Kolkata they are not, in Casablanca for Ramadan.
NIGHTS = [
    ("Europe/London", "2026-03-29"),
    ("Europe/London", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Asia/Kolkata", "2026-03-29"),
    ("Africa/Casablanca", "2026-02-15"),
    ("Africa/Casablanca", "2026-03-22"),
]
WINDOWS = {
    "night": ("daily 22:00-06:00",),
    "early": ("daily 00:00-01:30", "daily 02:30-03:00"),
    "weekend": ("sat,sun",),
    "sunday": ("sun 01:00-03:30",),
    "work": ("mon-fri 08:00-20:00",),
    "feast": ("2026-03-29 00:30-02:30", "2026-10-25 00:30-02:30", "2026-03-08", "2026-11-01 01:15-01:45"),
}

PRICES = st.sampled_from([0, 1, 10**7, 123_456_789, 2 * 10**8, 999_999_999]) | st.integers(0, 10**10)
INCREMENTS = st.sampled_from([1, 6, 30, 45, 60]) | st.integers(1, 120)


@st.composite
def steps(draw: st.DrawFn) -> tuple[Step, ...]:
    made, begin = [], 0
    for _ in range(draw(st.integers(0, 2))):
        every = draw(INCREMENTS)
        begin += every * draw(st.integers(1, 4))
        made.append(Step(begin, every, draw(PRICES)))
    return (*made, Step(None, draw(INCREMENTS), draw(PRICES)))


@st.composite
def extras(draw: st.DrawFn, at_ms: int, *, timed: bool, stepped: bool) -> Extras:
    least = draw(st.just(0) | st.integers(0, 10**6))
    most = draw(st.none() | st.integers(least, least + 5 * 10**6))
    near = st.none() | st.integers(at_ms - 200_000, at_ms + 600_000)
    since, until = draw(near) if timed else None, draw(near) if timed else None
    if since is not None and until is not None and until <= since:
        until = None
    free_s = draw(st.just(0) | st.integers(0, 90))
    return Extras(
        steps=draw(st.just(()) | steps()) if stepped else (),
        grace_s=draw(st.just(0) | st.integers(0, 10)),
        free_s=free_s,
        free_after_first=bool(free_s) and draw(st.booleans()),
        surcharge_ppm=draw(st.just(0) | st.integers(0, 10**6)),
        min_charge_micros=least,
        max_charge_micros=most,
        max_policy=draw(st.sampled_from(MaxPolicy)),
        valid_from_ms=since,
        valid_to_ms=until,
        window=draw(st.none() | st.sampled_from(sorted(WINDOWS))) if timed else None,
    )


@st.composite
def rate(draw: st.DrawFn, at_ms: int, *, timed: bool, stepped: bool) -> Rate:
    more = draw(extras(at_ms, timed=timed, stepped=stepped))
    first_s, next_s = draw(INCREMENTS), draw(INCREMENTS)
    return Rate(
        prefix=draw(st.sampled_from(["49", "4930", "493012"])) if timed else "49",
        destination="any",
        connect_fee_nanos=draw(st.just(0) | PRICES),
        first_s=more.steps[0].every_s if more.steps else first_s,
        first_price_nanos=draw(PRICES),
        next_s=more.steps[-1].every_s if more.steps else next_s,
        next_price_nanos=draw(PRICES),
        extras=more,
    )


@st.composite
def decks(draw: st.DrawFn) -> tuple[RateDeck, int]:
    """A deck with a rate for `NUMBER`, and an instant of a night in which its clocks are changed."""
    zone, night = draw(st.sampled_from(NIGHTS))
    minute = draw(st.integers(0, 6 * 60))
    midnight = datetime.fromisoformat(night).replace(tzinfo=ZoneInfo(zone))
    at_ms = (int(midnight.timestamp()) + minute * 60) * 1000 + draw(st.sampled_from([0, 1, 500, 999]))
    rule = draw(st.sampled_from(IncrementRule))
    rates = [draw(rate(at_ms, timed=False, stepped=rule is IncrementRule.STANDARD))]
    settings = {
        "rounding": draw(st.builds(Rounding, st.sampled_from(RoundMode), st.integers(0, 6))),
        "duration_round": draw(st.sampled_from(DurationRound)),
        "calendar": Calendar(zone, {name: Window.parse(*texts) for name, texts in WINDOWS.items()}),
        "window_policy": draw(st.sampled_from(WindowPolicy)),
        "change_policy": draw(st.sampled_from(ChangePolicy)),
        "increment_rule": rule,
    }
    for _ in range(draw(st.integers(0, 3))):
        more = [*rates, draw(rate(at_ms, timed=True, stepped=rule is IncrementRule.STANDARD))]
        try:
            RateDeck("deck", "EUR", tuple(more), **settings)
        except BadDeck:
            continue  # two of them are for one time
        rates = more
    return RateDeck("deck", "EUR", tuple(rates), **settings), at_ms
