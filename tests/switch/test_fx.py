"""Taxes and currencies in the switch: what a customer pays and when he is cut off, who carries it, the books."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from sipshop.billing.desk import POSTPAID, Bill, SessionTerms
from sipshop.billing.money import Money
from sipshop.billing.rating import cost
from sipshop.billing.receipt import Receipt
from sipshop.store.audit import audit
from sipshop.switch.worlds import Chain
from sipshop.world import World
from tests.switch.house import SWITCH, TENANT, House, at_once, cash
from tests.switch.test_money import BRITAIN, CHAIN, GERMANY, euros, party, refusal, talk, unlock, world_of

#: Ann's customers pay euros, tax on top; she pays Rhea in dollars, and Tel pays one carrier in euros, one in dollars.
FX: Final = 'fx: [{pair: EUR/USD, margin: "2", holds_days: 30, rates: {"2023-11-13": "1.10"}}]\n'
MIXED: Final = (
    CHAIN.replace("deck: ann,", "deck: ann, currency: USD,")
    .replace("- name: rhea\n    currency: EUR", "- name: rhea\n    currency: USD")
    .replace("- name: dear\n    currency: EUR", "- name: dear\n    currency: USD")
    .replace("deck: booth\n", 'deck: booth\n    tax: {percent: "20", mode: added}\n')
    + FX
)
DAY_S: Final = 86_400.0


def mixed(opening: str = "100.00", *, guard: str = "warn", text: str = MIXED) -> World:
    return world_of(opening, guard=guard, text=text)


MADE: Final[list[House]] = []


def house_of(world: World, terms: SessionTerms = POSTPAID) -> House:
    house = House(world=world)
    MADE.append(house)
    unlock(house, terms)
    return house


@pytest.fixture(autouse=True)
def _books() -> Iterator[None]:
    """Whatever a test did, the books keep every law."""
    yield
    while MADE:
        house = MADE.pop()
        house.forget()
        assert house.switch.accounts.faults() == []
        assert audit(house.memory.connection) == []


def balances(house: House) -> dict[str, str]:
    """What is on each account, by name, in its currencies."""
    found = house.memory.connection.execute(
        "SELECT name, balance_micros, currency FROM accounts WHERE balance_micros <> 0 ORDER BY name, currency"
    )
    told: dict[str, str] = {}
    for name, micros, currency in found:
        told[name] = f"{told[name]}, {Money(micros, currency)}" if name in told else str(Money(micros, currency))
    return told


def bill_of(house: House) -> Bill:
    return at_once(house.switch.desk.checkout.bill(TENANT, "gate"))


def pay(house: House, tendered: str = "100.00") -> Receipt:
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    return at_once(
        house.switch.desk.checkout.pay(
            TENANT, "gate", version=bill_of(house).version, tenders=cash(euros(tendered)), language=None, author="ana"
        )
    )


def taxed(mode: str) -> World:
    return world_of(text=CHAIN.replace("deck: booth\n", f'deck: booth\n    tax: {{percent: "20", mode: {mode}}}\n'))


@pytest.mark.parametrize(
    ("mode", "talk_s", "net", "tax", "gross", "change"),
    [
        pytest.param("added", 41, "4.10 EUR", "0.82 EUR", "4.92 EUR", "0.08 EUR", id="a second more would be 5.04"),
        pytest.param("included", 50, "4.17 EUR", "0.83 EUR", "5.00 EUR", "0.00 EUR", id="the tax is in the price"),
    ],
)
def test_a_deposit_pays_for_the_tax_too(mode: str, talk_s: int, net: str, tax: str, gross: str, change: str) -> None:
    house = house_of(taxed(mode), SessionTerms(deposit=euros("5.00")))
    talk(house)
    house.advance(120.0)  # 0.10 a second
    assert house.cdr.talk_ms == talk_s * 1000
    bill = bill_of(house)
    assert (str(bill.net), str(bill.tax), str(bill.total)) == (net, tax, gross)
    payment = pay(house, "0.00")
    assert (payment.taxes, payment.total) == (bill.taxes, bill.total)
    assert str(payment.change) == change
    assert pay_again(house, payment) == payment
    found = balances(house)
    assert found["tax:Ann"] == tax
    assert found["revenue:Ann"] == net
    assert "session:1@Ann" not in found


def pay_again(house: House, receipt: Receipt) -> Receipt:
    """The same payment, sent again because its answer was lost."""
    return at_once(
        house.switch.desk.checkout.pay(TENANT, "gate", version=1, tenders=receipt.tenders, language=None, author="ana")
    )


def test_a_tax_that_changes_does_not_change_calls_that_were_made() -> None:
    house = house_of(taxed("added"))
    make(house, GERMANY, 30.0)  # 0.37, and 0.074 of tax
    text = CHAIN.replace("OPENING", "100.00").replace("GUARD", "warn")
    text = text.replace("deck: booth\n", 'deck: booth\n    tax: {percent: "10", mode: included}\n')
    at_once(house.switch.desk.worlds.apply(TENANT, text, "w", author="ana"))
    make(house, GERMANY, 30.0)
    bill = bill_of(house)
    assert [str(line.amount) for line in bill.lines] == ["0.44 EUR", "0.37 EUR"]
    assert [(each.tax.percent, str(each.parts.net), str(each.parts.tax)) for each in bill.taxes] == [
        ("20", "0.37 EUR", "0.07 EUR"),
        ("10", "0.34 EUR", "0.03 EUR"),
    ]
    assert (str(bill.net), str(bill.tax), str(bill.total)) == ("0.71 EUR", "0.10 EUR", "0.81 EUR")
    pay(house)
    assert balances(house)["tax:Ann"] == "0.10 EUR"


def make(house: House, number: str, talk_s: float) -> None:
    leg = talk(house, number)
    house.advance(talk_s)
    house.phone.hang_up(leg)
    house.advance()


def test_each_level_pays_in_its_own_currency_and_keeps_its_own() -> None:
    house = house_of(mixed())
    make(house, GERMANY, 136.0)
    cdr = house.cdr
    assert cdr.talk_ms <= 137_000
    assert [str(charge.cost.amount) for charge in cdr.charges] == [
        "1.04 EUR",  # 0.87, and 20 % tax
        "0.464508 USD",  # 0.414 EUR at 1.10, and 2 %
        "0.319667 USD",
        "0.2512 EUR",
    ]
    # 1.04 less its tax, 0.866667, is 0.953334 USD; the carrier's 0.2512 EUR are 0.27632 USD
    assert [margin and str(margin) for margin in cdr.margins] == [
        None, "0.488826 USD", "0.144841 USD", "0.043347 USD",
    ]  # fmt: skip
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    assert balances(house) == {
        "carrier_cost:Tel": "-0.27632 USD",
        "customer:Ann@Rhea": "99.535492 USD",
        "customer:Rhea@Tel": "99.680333 USD",
        "fx:Ann": "0.866667 EUR, -0.953334 USD",
        "fx:Tel": "-0.2512 EUR, 0.27632 USD",
        "payable:First": "0.2512 EUR",
        "revenue:Ann": "0.173333 EUR, 0.953334 USD",
        "revenue:Rhea": "0.464508 USD",
        "revenue:Tel": "0.319667 USD",
        "session:1@Ann": "-1.04 EUR",
        "world": "-200.00 USD",
    }
    pay(house)
    assert balances(house)["tax:Ann"] == "0.17 EUR"


def test_who_has_dollars_is_cut_off_when_they_do_not_pay_for_another_second() -> None:
    house = house_of(mixed("1.00"))
    talk(house, BRITAIN)
    house.advance(120.0)
    spent = house.cdr.charges[1]
    one_more = cost(spent.tariff, 0, house.cdr.talk_ms + 1000).amount
    assert spent.cost.amount <= Money.parse("1.00", "USD") < one_more
    assert party(house, "Ann").held_micros == 0


@pytest.mark.parametrize(
    ("rate", "first"),
    [
        # one asks 0.11 EUR a minute, two 0.13 USD
        pytest.param("1.10", "one", id="0.121 USD are less than 0.13"),
        pytest.param("1.20", "two", id="0.132 USD are more"),
    ],
)
def test_carriers_are_compared_in_one_currency(rate: str, first: str) -> None:
    text = MIXED.replace("1.10", rate).replace(
        "trunks: [one, two]", "trunks: [{trunk: one, priority: 1}, {trunk: two, priority: 1}]"
    )
    house = house_of(mixed(text=text))
    house.phone.call(SWITCH, GERMANY)
    house.advance()
    assert (len(house.carrier.legs), len(house.second.legs)) == ((1, 0) if first == "one" else (0, 1))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param(MIXED.replace("2023-11-13", "2023-11-15"), "no_fx", id="a rate of tomorrow"),
        pytest.param(MIXED.replace("holds_days: 30", "holds_days: 1"), "no_fx", id="one that is too old"),
        pytest.param(
            CHAIN.replace("- name: cheap\n    currency: EUR", "- name: cheap\n    currency: USD").replace(
                "- name: dear\n    currency: EUR", "- name: dear\n    currency: USD"
            )
            + FX.replace("holds_days: 30", "holds_days: 1"),
            "no_fx",
            id="of every carrier",
        ),
    ],
)
def test_without_a_rate_for_the_day_nothing_is_dialled(text: str, why: str) -> None:
    house = house_of(mixed(text=text))
    leg = talk(house, GERMANY)
    assert refusal(house, leg) == 503
    assert (house.cdr.charges, house.cdr.sip_status) == ((), 503)
    assert not house.carrier.legs
    assert not house.second.legs
    assert quote(house, GERMANY).answer == why


def quote(house: House, number: str) -> Chain:
    return house.switch.desk.worlds.chain(TENANT, "gate", number, talk_ms=60_000, at=None)


def test_a_carrier_without_a_rate_for_the_day_is_passed_over() -> None:
    text = CHAIN.replace("- name: cheap\n    currency: EUR", "- name: cheap\n    currency: USD")
    house = house_of(mixed(text=text + FX.replace("holds_days: 30", "holds_days: 1")))
    house.phone.call(SWITCH, GERMANY)
    house.advance()
    assert (len(house.carrier.legs), len(house.second.legs)) == (0, 1)


def test_a_call_keeps_its_rate_when_another_one_is_applied() -> None:
    house = house_of(mixed())
    leg = talk(house, GERMANY)
    text = MIXED.replace("OPENING", "100.00").replace("GUARD", "warn").replace('"1.10"', '"1.30"')
    plan = at_once(house.switch.desk.worlds.apply(TENANT, text, "w", author="ana"))
    assert [(each.kind, each.name, each.details) for each in plan.changes] == [
        ("fx", "EUR/USD", ("2023-11-13: 1.1 -> 1.3",))
    ]
    house.advance(59.0)
    house.phone.hang_up(leg)
    house.advance()
    kept = house.cdr.charges[1]
    assert kept.tariff.fx is not None
    assert (kept.tariff.fx.day, kept.tariff.fx.rate_nanos) == ("2023-11-13", 1_100_000_000)
    make(house, GERMANY, 59.0)
    (again,) = [cdr.charges[1] for cdr in house.memory.cdrs if cdr is not house.memory.cdrs[0]]
    assert again.tariff.fx is not None
    assert again.tariff.fx.rate_nanos == 1_300_000_000


def test_a_quote_of_the_chain_is_in_the_currency_of_each_level() -> None:
    house = house_of(mixed())
    steps = [
        (step.buyer, step.trunk, str(step.cost.amount), step.margin and step.margin.currency)
        for step in quote(house, GERMANY).steps
    ]
    assert steps == [
        ("gate", None, "0.44 EUR", None),
        ("Ann", None, "0.20196 USD", "USD"),
        ("Rhea", None, "0.14 USD", "USD"),
        ("Tel", "one", "0.11 EUR", "USD"),
        ("Tel", "two", "0.13 USD", "USD"),
    ]


def test_margins_are_told_in_one_currency_too() -> None:
    text = MIXED.replace("- name: rhea\n    currency: USD", "- name: rhea\n    currency: EUR")
    steps = quote(house_of(mixed(text=text)), GERMANY).steps
    told = [(step.buyer, str(step.margin), str(step.common)) for step in steps if step.margin is not None]
    assert told == [
        ("Ann", "0.201374 USD", "0.183067 EUR"),
        ("Rhea", "0.0436 EUR", "0.0436 EUR"),
        ("Tel", "0.03 EUR", "0.03 EUR"),
        ("Tel", "0.021818 EUR", "0.021818 EUR"),
    ]


def test_an_amount_lasts_as_long_as_a_call_for_it() -> None:
    house = house_of(mixed())
    quotes = house.switch.desk.worlds.quotes
    (booth,) = quotes(TENANT, BRITAIN, booth="gate", amount_micros=5_000_000)
    assert booth.talk_s == 41
    assert booth.parts is not None
    assert (str(booth.parts.net), str(booth.parts.tax), str(booth.parts.gross)) == ("4.10 EUR", "0.82 EUR", "4.92 EUR")
    (owner,) = quotes(TENANT, "+4930123456", party="Ann")
    assert owner.cost is not None
    assert str(owner.cost.amount) == "0.20196 USD"
