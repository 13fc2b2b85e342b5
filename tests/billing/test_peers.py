"""What other systems say that calls cost, in public, against what we say; and where they are wrong, why.

Each vector names its source. Where `theirs` is another amount than ours, the comment beside it says what is wrong.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipshop.billing.deck import DurationRound, Extras, IncrementRule, Step, Tariff
from sipshop.billing.money import RoundMode, parse_amount
from sipshop.billing.rating import cost
from tests.billing.tariffs import tariff


def modulo(priced: Tariff) -> Tariff:
    return replace(priced, increment_rule=IncrementRule.MODULO)


@pytest.mark.parametrize(
    ("source", "priced", "talk_s", "billed_s", "amount", "theirs"),
    [
        # github.com/magnussolution/magnusbilling/wiki/EN--price_calculation: 45 s, 30/6, 0.05 a minute.
        # Both rules agree where the first increment is a multiple of the next one.
        pytest.param("MagnusBilling", tariff("0.05", "30/6"), 45, 48, "0.04", "0.04", id="Magnus 30/6"),
        pytest.param("MagnusBilling", modulo(tariff("0.05", "30/6")), 45, 48, "0.04", "0.04", id="Magnus modulo"),
        # A2Billing, common/lib/Class.RateEngine.php, and MagnusBilling after it: the whole duration is rounded up to a
        # multiple of the increment, if it is beyond the first one. A deck that came from there says `modulo`.
        pytest.param("A2Billing", modulo(tariff("0.60", "60/45")), 61, 90, "0.90", "0.90", id="A2Billing 60/45"),
        pytest.param("A2Billing", modulo(tariff("0.60", "60/45")), 10, 60, "0.60", "0.60", id="A2Billing, short"),
        pytest.param("A2Billing", modulo(tariff("0.60", "60/45")), 60, 60, "0.60", "0.60", id="A2Billing, whole"),
        pytest.param("A2Billing", modulo(tariff("0.60", "60/45")), 91, 135, "1.35", "1.35", id="A2Billing, longer"),
        pytest.param("ours", tariff("0.60", "60/45"), 61, 105, "1.05", "1.05", id="60/45 by the standard rule"),
        # CGRateS tutorial RT_10CNT (fee 0.20, 0.10 the first 60 s, then 0.05 by the second, up to 4 places), and its
        # answer to `cost` for 1m25s, pastebin.com/SEvYMX5J: without the fee 0.12075, as each second was rounded by
        # itself to 0.00083. The exact sum is 0.1208333..., and one cannot pay 25 times what was rounded.
        pytest.param(
            "CGRateS",
            tariff("0.10", "60/1", next_price="0.05", places=4, mode=RoundMode.UP),
            85,
            85,
            "0.1209",
            "0.12075",
            id="CGRateS, whose seconds are rounded one by one",
        ),
        # CGRateS, engine/callcost_test.go TestSingleResultMerge: one a second and a fee of one cost 61 in a minute.
        pytest.param("CGRateS", tariff("60", "1/1", fee="1"), 60, 60, "61", "61", id="CGRateS, a minute"),
        # www.itwissen.info/en/billing-increment-122850.html: 83 s are 60 + 30 at 60/10, 83 at 60/1, 120 at 60/60.
        pytest.param("ITwissen", tariff("0.60", "60/10"), 83, 90, "0.90", "0.90", id="ITwissen 60/10"),
        pytest.param("ITwissen", tariff("0.60", "60/1"), 83, 83, "0.83", "0.83", id="ITwissen 60/1"),
        pytest.param("ITwissen", tariff("0.60", "60/60"), 83, 120, "1.20", "1.20", id="ITwissen 60/60"),
        # vaasconsumer.com/call-billing-increment: 30/6 bills 30 s of 10 and 36 s of 31.
        pytest.param("Vaas", tariff("0.60", "30/6"), 10, 30, "0.30", "0.30", id="Vaas 30/6, short"),
        pytest.param("Vaas", tariff("0.60", "30/6"), 31, 36, "0.36", "0.36", id="Vaas 30/6"),
        # support.commpeak.com, "What does billing increment mean?": 10 s are 12 at 6/6 and 60 at 60/60.
        pytest.param("CommPeak", tariff("0.60", "6/6"), 10, 12, "0.12", "0.12", id="CommPeak 6/6"),
        pytest.param("CommPeak", tariff("0.60", "60/60"), 10, 60, "0.60", "0.60", id="CommPeak 60/60"),
    ],
)
def test_a_peer(source: str, priced: Tariff, talk_s: int, billed_s: int, amount: str, theirs: str) -> None:
    ours = cost(priced, 0, talk_s * 1000)
    assert (ours.amount.micros, ours.billed_s) == (parse_amount(amount), billed_s)
    assert (amount == theirs) == (source != "CGRateS" or talk_s == 60)


@pytest.mark.parametrize(
    ("priced", "billed_s", "up", "down", "nearest"),
    [
        pytest.param(tariff("0.0001", "60/11", places=4), 566, "0.001", "0.0009", "0.0009", id="customer"),
        pytest.param(tariff("1.0", "12/13", places=4), 571, "9.5167", "9.5166", "9.5167", id="vendor"),
    ],
)
def test_yeti_bills_and_rounds_a_call_of_560_s_as_we_do(
    priced: Tariff, billed_s: int, up: str, down: str, nearest: str
) -> None:
    # github.com/yeti-switch/yeti-web, spec/sql/switch/writecdr_spec.rb: 560 s at 0.0001 a minute by 60/11 for the
    # customer, at 1.0 by 12/13 from the vendor, to four places. Its example named "MATH rules" sets the mode of the one
    # before it, and so expects 9.5166; by the rule of its name 9.51666... is 9.5167.
    for mode, amount in ((RoundMode.UP, up), (RoundMode.DOWN, down), (RoundMode.HALF_UP, nearest)):
        ours = cost(replace(priced, rounding=replace(priced.rounding, mode=mode)), 0, 560_000)
        assert (ours.billed_s, ours.amount.micros) == (billed_s, parse_amount(amount))


@pytest.mark.parametrize(
    ("talk_ms", "rounded", "up"),
    [(60_000, 60, 60), (60_100, 60, 61), (60_400, 60, 61), (60_500, 61, 61), (60_961, 61, 61)],
)
def test_durations_are_rounded_as_sippy_does(talk_ms: int, rounded: int, up: int) -> None:
    # support.sippysoft.com, "CDR call duration rounding methods": its default is our nearest, its Round Up our ceil.
    for rule, seconds in ((DurationRound.NEAREST, rounded), (DurationRound.CEIL, up)):
        assert cost(tariff("0.60", "1/1", duration_round=rule), 0, talk_ms).billed_s == seconds


@pytest.mark.parametrize(("talk_s", "billed_s"), [(1, 1), (59, 59), (61, 120), (121, 180), (180, 180), (181, 240)])
def test_steps_are_what_portabilling_calls_a_rating_formula(talk_s: int, billed_s: int) -> None:
    # portaone.com/handbook/MR40, "Charging Calls - Rating Formula Method": 1.80 a minute, the first minute by the
    # second, then by the minute. (Its surcharges by chance, and disconnections by chance, we do not have.)
    plain = tariff("1.80", "1/60")
    steps = Step(60, 1, 1_800_000_000), Step(None, 60, 1_800_000_000)
    priced = cost(replace(plain, rate=replace(plain.rate, extras=Extras(steps=steps))), 0, talk_s * 1000)
    assert (priced.billed_s, priced.amount.micros) == (billed_s, billed_s * 30_000)


def test_a_grace_ends_where_it_says_and_not_a_second_later() -> None:
    # docs.jerasoft.net, rates management, tip 3: there a grace of 5 s is free up to and with 5 s. Ours is half-open, as
    # every time here is: what is as long as the grace is charged; a deck that came from there says one second more.
    plain = tariff("0.60", "1/1")
    ours, theirs = (replace(plain, rate=replace(plain.rate, extras=Extras(grace_s=grace_s))) for grace_s in (5, 6))
    assert [cost(ours, 0, seconds * 1000).billed_s for seconds in (4, 5, 6)] == [0, 5, 6]
    assert [cost(theirs, 0, seconds * 1000).billed_s for seconds in (4, 5, 6)] == [0, 0, 6]
