"""What calls cost, worked out by hand from the words of docs/decks.md: one vector for each term of a rate and a deck.

The decks are files as people write them, so that the reader is in it too. Peers' examples are in test_peers.py.
"""

from __future__ import annotations

import pytest

from sipshop.billing.money import format_micros, parse_scaled
from sipshop.billing.quote import deck_quote
from sipshop.world.decks import parse_deck

PER_MINUTE = 'first_s: 60, first_price: "0.30", next_s: 60'
PER_SECOND = 'first_s: 1, first_price: "0.60", next_s: 1'
# In Berlin it is one hour later than in UTC on that day, a Friday.
AT = "2026-11-20T12:00:00Z"


def asked(terms: str, rates: list[str], seconds: str, at: str) -> tuple[str | None, int | None, int | None]:
    """The amount, the billed seconds, and how long one euro lasts."""
    lines = [f"  - {{prefix: '49', destination: Germany, {rate}}}" for rate in rates]
    text = "\n".join(["currency: EUR", terms, "rates:", *lines]) + "\n"
    deck = parse_deck(text, "deck.yaml", "deck", lambda _name: iter(()))
    talk_ms, at_ms = parse_scaled(seconds, 3), deck.calendar.instant(at)
    found = deck_quote(deck, "4930", at_ms=at_ms, talk_ms=talk_ms, funds_micros=1_000_000).to_json()
    return found["amount"], found["billed_s"], found["granted_s"]


@pytest.mark.parametrize(
    ("rate", "seconds", "amount", "billed_s", "lasts_s"),
    [
        # First and next: 60/60 at 0.30 is 0.30 for each minute that has begun; one euro has three.
        pytest.param(PER_MINUTE, "60", "0.30", 60, 180, id="one minute"),
        pytest.param(PER_MINUTE, "60.001", "0.60", 120, 180, id="a moment more"),
        # A fee of 0.05 is due from the first second: (1 - 0.05) / 0.30 are three minutes.
        pytest.param(f'{PER_MINUTE}, connect_fee: "0.05"', "0.001", "0.35", 60, 180, id="a fee"),
        pytest.param(f'{PER_MINUTE}, next_price: "0.12"', "61", "0.42", 120, 360, id="two prices: 0.30 + 5 * 0.12"),
        # Steps: 60 s at once for 0.60, then 6 s for 0.03 each: 66 s are 0.63, and 0.40 pays for 13 of them.
        pytest.param(
            'steps: [{until_s: 60, every_s: 60, price: "0.60"}, {every_s: 6, price: "0.30"}]',
            "61",
            "0.63",
            66,
            138,
            id="steps",
        ),
        # Grace: 4.999 s are less than 5, and 5 s are not.
        pytest.param(f"{PER_SECOND}, grace_s: 5", "4.999", "0.00", 0, 100, id="within the grace"),
        pytest.param(f"{PER_SECOND}, grace_s: 5", "5", "0.05", 5, 100, id="at its end"),
        # Free seconds come first: of 90 s 30 are billed, of 30 s none; the fee is due all the same.
        pytest.param(f"{PER_SECOND}, free_s: 60", "90", "0.30", 30, 160, id="free seconds"),
        pytest.param(f"{PER_SECOND}, free_s: 60", "60", "0.00", 0, 160, id="all of it free"),
        pytest.param(f'{PER_SECOND}, free_s: 60, connect_fee: "0.10"', "30", "0.10", 0, 150, id="but for the fee"),
        # Free after the first minute: 60 s are billed, 30 s free, and of the 10 s beyond them a minute.
        pytest.param(f"{PER_MINUTE}, free_s: 30, free_after_first: true", "90", "0.30", 60, 210, id="free after it"),
        pytest.param(f"{PER_MINUTE}, free_s: 30, free_after_first: true", "100", "0.60", 120, 210, id="and beyond"),
        # A surcharge is put on fee and increments: (0.10 + 0.30) * 1.125 = 0.45; 0.10 + 2 * 0.30 = 0.7875 for two.
        pytest.param(
            f'{PER_MINUTE}, connect_fee: "0.10", surcharge_percent: "12.5"', "1", "0.45", 60, 120, id="a surcharge"
        ),
        # The least and the most that a call costs; with the surcharge before both.
        pytest.param(f'{PER_SECOND}, min_charge: "0.20"', "1", "0.20", 1, 100, id="the least"),
        pytest.param(f'{PER_SECOND}, min_charge: "0.20"', "21", "0.21", 21, 100, id="more than the least"),
        pytest.param(f'{PER_SECOND}, min_charge: "0.20"', "0", "0.00", 0, 100, id="no talk costs no least"),
        pytest.param(f'{PER_SECOND}, max_charge: "0.50"', "3600", "0.50", 3600, None, id="the most, and on for free"),
        pytest.param(
            f'{PER_SECOND}, max_charge: "0.50", max_policy: disconnect', "10", "0.10", 10, 50, id="the most ends a call"
        ),
        pytest.param(
            f'{PER_SECOND}, surcharge_percent: "100", max_charge: "0.50"',
            "60",
            "0.50",
            60,
            None,
            id="both: 1.20 -> 0.50",
        ),
    ],
)
def test_each_term_of_a_rate(rate: str, seconds: str, amount: str, billed_s: int, lasts_s: int | None) -> None:
    assert asked("", [rate], seconds, AT) == (amount, billed_s, lasts_s)


@pytest.mark.parametrize(
    ("terms", "price", "amount"),
    [
        # 1 s at 0.30 a minute is 0.005, half a cent; at 0.90 it is 0.015.
        ("round: {mode: up}", "0.30", "0.01"),
        ("round: {mode: down}", "0.30", "0.00"),
        ("round: {mode: half_up}", "0.30", "0.01"),
        ("round: {mode: half_even}", "0.30", "0.00"),
        ("round: {mode: half_even}", "0.90", "0.02"),
        ("round: {mode: up, places: 0}", "0.30", "1.00"),
        ("round: {places: 4}", "0.31", "0.0052"),  # 0.0051666...
        ("round: {places: 6}", "0.31", "0.005167"),
    ],
)
def test_each_way_of_rounding(terms: str, price: str, amount: str) -> None:
    rate = f'first_s: 1, first_price: "{price}", next_s: 1'
    assert asked(terms, [rate], "1", AT)[0] == amount


@pytest.mark.parametrize(
    ("terms", "seconds", "billed_s"),
    [
        ("duration_round: ceil", "60.001", 61),
        ("duration_round: floor", "60.999", 60),
        ("duration_round: nearest", "60.499", 60),
        ("duration_round: nearest", "60.5", 61),
        ("increment_rule: standard", "61", 105),  # 60 + 45
        ("increment_rule: modulo", "61", 90),  # 2 * 45
        ("increment_rule: modulo", "60", 60),
        ("increment_rule: modulo", "91", 135),
    ],
)
def test_each_way_of_counting(terms: str, seconds: str, billed_s: int) -> None:
    rate = PER_SECOND if "duration" in terms else 'first_s: 60, first_price: "0.60", next_s: 45'
    assert asked(terms, [rate], seconds, AT)[:2] == (format_micros(billed_s * 10_000), billed_s)


PEAK = "timezone: Europe/Berlin\nwindows: {peak: mon-fri 08:00-20:00, xmas: '2026-12-25'}\nwindow_policy: "
BY_TIME = [
    'first_s: 1, first_price: "0.60", next_s: 1',
    'first_s: 1, first_price: "1.20", next_s: 1, window: peak',
    'first_s: 1, first_price: "0.06", next_s: 1, window: xmas',
]


@pytest.mark.parametrize(
    ("policy", "at", "amount"),
    [
        # 60 s, of which 30 are before and 30 after the edge.
        pytest.param("split", "2026-11-20T19:59:30", "0.90", id="a Friday evening: 30 s of each"),
        pytest.param("start", "2026-11-20T19:59:30", "1.20", id="all as it began"),
        pytest.param("split", "2026-11-20T20:00:00", "0.60", id="its end is not in it"),
        pytest.param("split", "2026-11-21T12:00:00", "0.60", id="a Saturday"),
        pytest.param("split", "2026-12-25T12:00:00", "0.06", id="a date beats a weekday"),
        pytest.param("split", "2026-12-25T23:59:30", "0.33", id="and ends at midnight: 0.03 + 0.30"),
        pytest.param("start", "2026-11-20T18:59:59Z", "1.20", id="in UTC an hour before"),
    ],
)
def test_each_way_through_a_window(policy: str, at: str, amount: str) -> None:
    assert asked(PEAK + policy, BY_TIME, "60", at)[0] == amount


@pytest.mark.parametrize(
    ("zone", "night", "amount"),
    [
        # From local midnight 8 h by 0.60 a minute, but 0.06 from 00:30 until 03:30: as many hours as the clocks show.
        pytest.param("Europe/London", "2026-03-29", "223.20", id="London leaves one out: 6 h and 2 h"),
        pytest.param("Europe/London", "2026-10-25", "158.40", id="London has one twice: 4 h and 4 h"),
        pytest.param("America/New_York", "2026-03-08", "223.20", id="New York, forward"),
        pytest.param("America/New_York", "2026-11-01", "158.40", id="New York, back"),
        pytest.param("Asia/Kolkata", "2026-03-29", "190.80", id="Kolkata changes nothing: 5 h and 3 h"),
        pytest.param("Africa/Casablanca", "2026-02-15", "158.40", id="Casablanca, as Ramadan begins"),
        pytest.param("Africa/Casablanca", "2026-03-22", "223.20", id="and as it is over"),
    ],
)
def test_nights_in_which_clocks_are_changed(zone: str, night: str, amount: str) -> None:
    terms = f"timezone: {zone}\nwindows: {{night: daily 00:30-03:30}}\nwindow_policy: split"
    rates = [PER_SECOND, 'first_s: 1, first_price: "0.06", next_s: 1, window: night']
    assert asked(terms, rates, "28800", f"{night}T00:00:00")[0] == amount


def test_a_rate_that_changes_during_a_call() -> None:
    rates = [
        f"{PER_SECOND}, valid_to: '2027-01-01'",
        'first_s: 1, first_price: "1.20", next_s: 1, valid_from: "2027-01-01"',
    ]
    for policy, amount in (("freeze", "0.60"), ("split", "0.90")):
        assert asked(f"change_policy: {policy}", rates, "60", "2026-12-31T23:59:30Z")[0] == amount
