"""The longest talk that everybody in a chain can pay, and what is held for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.chain import SHARE, Level, Payer, TalkTime, grant
from sipshop.billing.deck import Extras, MaxPolicy, Tariff
from sipshop.billing.ledger import Ledger, TransferKind, moved
from sipshop.billing.money import Money, RoundMode, parse_amount
from tests.billing.tariffs import TARIFFS, tariff

CENT_A_SECOND = tariff("0.60", "1/1")
MINUTES = tariff("0.60", "60/60", fee="0.05")


def level(account: str, priced: Tariff) -> Level:
    return Level(seller=f"above {account}", buyer=account, account=account, tariff=priced)


def ledger(**balances: str | None) -> Ledger:
    """Return a ledger of prepaid accounts by their balances; None is an account that is never refused."""
    made = Ledger()
    for name, balance in balances.items():
        limit = None if balance is None else 0
        made.open(name, "EUR", balance=parse_amount(balance or "0"), credit_limit=limit)
    return made


def held(made: Ledger) -> dict[str, int]:
    return {name: account.held for name, account in made.accounts.items()}


def test_a_share_of_an_eighth() -> None:
    assert SHARE == 8


@pytest.mark.parametrize(
    ("priced", "balance", "wish_s", "talk_s", "held_micros"),
    [
        pytest.param(CENT_A_SECOND, "100.00", 600, 600, 6_000_000, id="all that is wished for"),
        pytest.param(CENT_A_SECOND, "48.00", 600, 600, 6_000_000, id="exactly an eighth"),
        pytest.param(CENT_A_SECOND, "47.99", 600, 599, 5_990_000, id="a cent less is a second less"),
        pytest.param(CENT_A_SECOND, "8.00", 600, 100, 1_000_000, id="an eighth of what is there"),
        pytest.param(CENT_A_SECOND, "0.15", 600, 1, 10_000, id="an eighth of a little more than a second's is one"),
        pytest.param(CENT_A_SECOND, "0.01", 600, 1, 10_000, id="the last second"),
        pytest.param(CENT_A_SECOND, "0.009999", 600, None, 0, id="not even a second"),
        pytest.param(CENT_A_SECOND, "0", 600, None, 0, id="nothing"),
        pytest.param(MINUTES, "5.20", 600, 60, 650_000, id="the fee and a minute are an eighth"),
        pytest.param(MINUTES, "5.19", 600, 60, 650_000, id="more than an eighth, and whole all the same"),
        pytest.param(MINUTES, "0.65", 600, 60, 650_000, id="all that is there for the first increment"),
        pytest.param(MINUTES, "0.649999", 600, None, 0, id="no part of an increment"),
        pytest.param(MINUTES, "100.00", 61, 61, 1_250_000, id="what is held is whole increments"),
        pytest.param(tariff("0.01", "1/1", places=2), "0.00", 600, 29, 0, id="what rounds to nothing costs nothing"),
        pytest.param(tariff("0", "60/60"), "0", 600, 600, 0, id="a free destination needs no money"),
    ],
)
def test_a_first_grant(priced: Tariff, balance: str, wish_s: int, talk_s: int | None, held_micros: int) -> None:
    made = ledger(booth=balance)
    assert grant(made, "call", [level("booth", priced)], floor_s=0, wish_s=wish_s, at_ms=0) == talk_s
    assert held(made) == {"booth": held_micros}


def test_each_further_grant_takes_a_share_of_what_is_left() -> None:
    made, payers = ledger(booth="1.60"), [level("booth", CENT_A_SECOND)]
    grants = [0]
    while (talk_s := grant(made, "call", payers, floor_s=grants[-1], wish_s=600, at_ms=0)) is not None:
        grants.append(talk_s)
    steps = [longer - shorter for shorter, longer in pairwise(grants)]
    assert steps[:5] == [20, 17, 15, 13, 11]
    assert steps == sorted(steps, reverse=True)
    assert grants[-1] == 160
    assert made["booth"].available == 0


def test_eight_calls_at_once_leave_something_for_a_ninth() -> None:
    made, payers = ledger(booth="8.00"), [level("booth", CENT_A_SECOND)]
    granted = [grant(made, f"call {number}", payers, floor_s=0, wish_s=600, at_ms=0) for number in range(9)]
    assert granted == [100, 87, 76, 67, 58, 51, 45, 39, 34]
    assert made["booth"].held == 10_000 * sum(seconds for seconds in granted if seconds is not None)


def test_the_seconds_of_an_increment_that_is_held_cost_nothing_more() -> None:
    made, payers = ledger(booth="0.65"), [level("booth", MINUTES)]
    assert grant(made, "call", payers, floor_s=0, wish_s=30, at_ms=0) == 30
    assert made["booth"].available == 0
    assert grant(made, "call", payers, floor_s=30, wish_s=90, at_ms=0) == 60
    assert grant(made, "call", payers, floor_s=60, wish_s=90, at_ms=0) is None
    assert made["booth"].held == 650_000


@pytest.mark.parametrize(
    ("balances", "talk_s"),
    [
        pytest.param({"booth": "100", "owner": "100", "reseller": "100"}, 300, id="all can pay"),
        pytest.param({"booth": "1.60", "owner": "100", "reseller": "100"}, 20, id="the booth is the poorest"),
        pytest.param({"booth": "100", "owner": "0.80", "reseller": "100"}, 20, id="the owner is"),
        pytest.param({"booth": "100", "owner": "100", "reseller": "0.40"}, 20, id="the reseller is"),
        pytest.param({"booth": None, "owner": None, "reseller": "0.40"}, 20, id="the only one with a limit"),
        pytest.param({"booth": None, "owner": None, "reseller": None}, 300, id="nobody has a limit"),
        pytest.param({"booth": "100", "owner": "100", "reseller": "0.002499"}, None, id="not a second at the last"),
        pytest.param({"booth": "0", "owner": None, "reseller": None}, None, id="not a second at the first"),
    ],
)
def test_every_level_pays_or_none(balances: dict[str, str | None], talk_s: int | None) -> None:
    prices = {
        "booth": CENT_A_SECOND,
        "owner": tariff("0.30", "1/1"),
        "reseller": tariff("0.15", "1/1"),
    }
    made = ledger(**balances)
    payers = [level(name, priced) for name, priced in prices.items()]
    assert grant(made, "call", payers, floor_s=0, wish_s=300, at_ms=0) == talk_s
    assert held(made) == {
        payer.account: payer.price((talk_s or 0) * 1000, 0) if balances[payer.account] is not None else 0
        for payer in payers
    }


def test_credit_is_money() -> None:
    made = Ledger()
    made.open("owner", "EUR", balance=-2_000_000, credit_limit=10_000_000)
    assert grant(made, "call", [level("owner", CENT_A_SECOND)], floor_s=0, wish_s=600, at_ms=0) == 100


def test_minutes_are_one_more_level() -> None:
    made = ledger(booth=None)
    made.open("talk", "ms", balance=600_000, credit_limit=0)
    payers: list[Payer] = [level("booth", CENT_A_SECOND), TalkTime("talk")]
    assert grant(made, "call", payers, floor_s=0, wish_s=300, at_ms=0) == 75
    assert made["talk"].held == 75_000
    assert grant(made, "other", payers, floor_s=0, wish_s=10, at_ms=0) == 10
    assert made["talk"].held == 85_000


def test_a_talk_ends_with_its_last_whole_second() -> None:
    made = Ledger()
    made.open("talk", "ms", balance=1_999, credit_limit=0)
    assert grant(made, "call", [TalkTime("talk")], floor_s=0, wish_s=300, at_ms=0) == 1
    assert grant(made, "call", [TalkTime("talk")], floor_s=1, wish_s=300, at_ms=0) is None


def test_a_deposit_extends_the_call_that_used_up_the_one_before() -> None:
    made, payers = ledger(booth="0.01"), [level("booth", CENT_A_SECOND)]
    assert grant(made, "call", payers, floor_s=0, wish_s=60, at_ms=0) == 1
    assert grant(made, "call", payers, floor_s=1, wish_s=60, at_ms=0) is None
    made.apply(moved("k", TransferKind.DEPOSIT, source="till", account="booth", amount=Money(800_000, "EUR")))
    assert grant(made, "call", payers, floor_s=1, wish_s=60, at_ms=0) == 11


# The example of the plan: a talk of 137 s through three levels and a carrier.
CHAIN = (
    level("booth", tariff("0.25", "60/60", fee="0.12", places=2)),
    level("owner", tariff("0.18", "30/6")),
    level("reseller", tariff("0.14", "1/1")),
    level("provider", tariff("0.11", "1/1", places=4, mode=RoundMode.HALF_UP)),
)


def test_137_seconds_at_every_level_to_the_micro_unit() -> None:
    prices = [each.price(137_000, 0) for each in CHAIN]
    assert prices == [870_000, 414_000, 319_667, 251_200]
    margins = [sold - bought for sold, bought in pairwise(prices)]
    assert margins == [456_000, 94_333, 68_467]
    assert sum(margins) == 618_800 == prices[0] - prices[-1]


@given(st.lists(TARIFFS, min_size=2, max_size=5), st.integers(0, 10_000_000))
def test_the_margins_of_a_chain_are_its_first_price_less_its_last(tariffs: list[Tariff], talk_ms: int) -> None:
    prices = [level("any", each).price(talk_ms, 0) for each in tariffs]
    assert sum(sold - bought for sold, bought in pairwise(prices)) == prices[0] - prices[-1]


MONEY = st.integers(-1_000_000, 30_000_000)
LIMITS = st.none() | st.integers(0, 2_000_000)


@given(
    st.lists(st.tuples(TARIFFS, MONEY, LIMITS), min_size=1, max_size=4),
    st.integers(1, 200),
    st.integers(1, 200),
)
def test_a_grant_is_the_longest_talk_of_which_nobody_pays_more_than_his_share(
    levels: Sequence[tuple[Tariff, int, int | None]], wish_s: int, more_s: int
) -> None:
    made = Ledger()
    payers = [level(f"level {number}", priced) for number, (priced, _, _) in enumerate(levels)]
    for payer, (_, balance, credit_limit) in zip(payers, levels, strict=True):
        made.open(payer.account, "EUR", balance=balance, credit_limit=credit_limit)
    floor_s = 0
    for wished_s in (wish_s, wish_s + more_s):
        before = held(made)
        expected = longest_by_trial(made, payers, floor_s, wished_s)
        granted_s = grant(made, "call", payers, floor_s=floor_s, wish_s=wished_s, at_ms=0)
        assert granted_s == expected
        if granted_s is None:
            assert held(made) == before
            return
        for payer in payers:
            account = made[payer.account]
            assert account.held == (0 if account.credit_limit is None else payer.price(granted_s * 1000, 0))
            assert account.available is None or account.held == 0 or account.available >= 0
        floor_s = granted_s


def longest_by_trial(made: Ledger, payers: Sequence[Level], floor_s: int, wish_s: int) -> int | None:
    """What a grant must be, by trying every second."""
    limited = [payer for payer in payers if made[payer.account].credit_limit is not None]

    def all_pay(talk_s: int, bounds: Sequence[int]) -> bool:
        return all(payer.price(talk_s * 1000, 0) <= bound for payer, bound in zip(limited, bounds, strict=True))

    one_more = [payer.price((floor_s + 1) * 1000, 0) for payer in limited]
    holds = [made[payer.account].held for payer in limited]  # there is one call only
    left = [made[payer.account].available or 0 for payer in limited]
    if not all_pay(
        floor_s + 1, [now + max(0, each) if floor_s else now + each for now, each in zip(holds, left, strict=True)]
    ):
        return None
    bounds = [max(now, now + each // SHARE, price) for now, each, price in zip(holds, left, one_more, strict=True)]
    seconds = range(floor_s + 1, wish_s + 1)
    return max((talk_s for talk_s in seconds if all_pay(talk_s, bounds)), default=None)


def bounded(micros: int, policy: MaxPolicy) -> Tariff:
    """0.60 a minute by the second, to a maximum."""
    plain = tariff("0.60", "1/1")
    extras = Extras(max_charge_micros=micros, max_policy=policy)
    return replace(plain, rate=replace(plain.rate, extras=extras))


@pytest.mark.parametrize(
    ("policy", "limit", "talk_s"),
    [
        pytest.param(MaxPolicy.DISCONNECT, None, 100, id="a maximum ends a call that is paid for without limit"),
        pytest.param(MaxPolicy.FREE, None, 600, id="or lets it go on"),
        pytest.param(MaxPolicy.DISCONNECT, "8.00", 100, id="it ends a call whose share would last longer"),
        pytest.param(MaxPolicy.FREE, "8.00", 600, id="who can pay the maximum talks on"),
    ],
)
def test_a_maximum(policy: MaxPolicy, limit: str | None, talk_s: int) -> None:
    made = Ledger()
    credit = None if limit is None else 0
    made.open("booth", "EUR", balance=parse_amount(limit or "0"), credit_limit=credit)
    payers = [level("booth", bounded(1_000_000, policy))]
    assert grant(made, "call", payers, floor_s=0, wish_s=600, at_ms=0) == talk_s
    if policy is MaxPolicy.DISCONNECT:
        assert grant(made, "call", payers, floor_s=talk_s, wish_s=600, at_ms=0) is None


@pytest.mark.parametrize(
    "extras",
    [pytest.param(Extras(grace_s=5), id="a grace"), pytest.param(Extras(free_s=5), id="free seconds")],
)
def test_what_is_free_at_first_is_not_given_to_those_who_cannot_go_on(extras: Extras) -> None:
    plain = tariff("0.60", "1/1")
    priced = replace(plain, rate=replace(plain.rate, extras=extras))
    for balance, granted in (("0.00", False), ("1.00", True)):
        made = ledger(booth=balance)
        assert (grant(made, "call", [level("booth", priced)], floor_s=0, wish_s=60, at_ms=0) is not None) is granted
