"""Reratings and closings while calls go on: memory and database agree, and whoever is overdrawn starts no call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from sipshop.billing.invoice import Period
from sipshop.billing.rerate import Rerating
from sipshop.sip.leg import State
from sipshop.store.audit import audit
from sipshop.switch.books import Books
from tests.switch.house import NOON_MS, TENANT, House, at_once
from tests.switch.test_money import CHAIN, talk, world_of

DAY_MS: Final = 86_400_000
MADE: Final[list[House]] = []


@pytest.fixture
def house() -> Iterator[House]:
    house = House(world=world_of("100.00"))
    house.unlock()
    yield house
    house.forget()
    assert audit(house.memory.connection) == []
    agree(house)


def agree(house: House) -> None:
    """Every account in memory is as it is in the database."""
    stored = dict(house.memory.connection.execute("SELECT name, balance_micros FROM accounts").fetchall())
    for account in house.switch.accounts.ledger(TENANT).accounts.values():
        if account.currency != "ms":
            assert account.balance == stored[account.name], account.name


def dearer(house: House, price: str, text: str = CHAIN) -> Rerating:
    """The owner's deck gets a version with another price for the United Kingdom; all calls are to be rated by it."""
    first, found, rest = text.partition("name: ann\n")
    text = first + found + rest.replace('first_price: "6.00"', f'first_price: "{price}"', 1)
    text = text.replace("GUARD", "warn").replace("OPENING", "100.00")
    at_once(house.switch.desk.worlds.apply(TENANT, text, "chain.yaml", author="root"))
    return Rerating(deck="ann", version=2, since_ms=NOON_MS - DAY_MS, until_ms=NOON_MS + DAY_MS)


def books(house: House) -> Books:
    return house.switch.desk.books


def call_of(house: House, seconds: float) -> None:
    leg = talk(house)
    house.advance(seconds - 0.25)
    house.phone.hang_up(leg)
    house.advance()


def test_what_is_rerated_holds_in_memory_and_on_disk(house: House) -> None:
    call_of(house, 60.0)
    asked = dearer(house, "4.00")
    before = house.switch.desk.party(TENANT, "Ann").balance_micros or 0
    told = at_once(books(house).preview(TENANT, asked, 10))
    assert house.switch.desk.party(TENANT, "Ann").balance_micros == before
    (difference,) = told.differences
    done = at_once(books(house).rerate(TENANT, asked, batch="b", author="root", reason="r", most=10))
    assert done.to_json() == told.to_json()
    assert house.switch.desk.party(TENANT, "Ann").balance_micros == before - difference.delta.micros
    agree(house)
    again = at_once(books(house).rerate(TENANT, asked, batch="b", author="root", reason="r", most=10))
    assert again.calls == 0
    agree(house)


def test_who_is_overdrawn_by_it_starts_no_call_and_a_running_one_goes_on(house: House) -> None:
    call_of(house, 60.0)
    running = talk(house)
    asked = dearer(house, "500.00")
    at_once(books(house).rerate(TENANT, asked, batch="b", author="root", reason="r", most=10))
    assert house.switch.desk.party(TENANT, "Ann").overdrawn
    assert audit(house.memory.connection) == []
    house.advance(1.0)
    assert running.state is State.CONFIRMED
    house.phone.hang_up(running)
    house.advance()
    before = len(house.carrier.legs)
    house.advance()
    talk(house)
    assert len(house.carrier.legs) == before
    agree(house)


def test_who_has_little_left_by_it_is_told_of_at_once() -> None:
    text = CHAIN.replace("name: Ann,", 'name: Ann, low_balance: {amount: "50.00"},')
    house = House(world=world_of("100.00", text=text))
    house.unlock()
    call_of(house, 60.0)
    house.forget()
    asked = dearer(house, "55.00", text)
    assert house.memory.alerts() == []
    at_once(books(house).rerate(TENANT, asked, batch="b", author="root", reason="r", most=10))
    house.advance()
    assert [(alert.kind, alert.name) for alert in house.memory.alerts()] == [("low_balance", "Ann")]


def test_a_closing_takes_its_tax_from_the_balance() -> None:
    house = House(world=world_of("100.00", text=CHAIN.replace("name: Ann,", 'name: Ann, tax: {percent: "50"},')))
    house.unlock()
    call_of(house, 60.0)
    before = house.switch.desk.party(TENANT, "Ann").balance_micros or 0
    house.forget()
    house.network.now += 20 * 86_400.0  # the month is over
    period = books(house).period(TENANT, "Ann", month="2023-11")
    assert period == Period.month("2023-11", "UTC")
    closed = at_once(books(house).close(TENANT, "Ann", period, "root"))
    assert closed.invoice.tax_micros == 3_000_000
    assert house.switch.desk.party(TENANT, "Ann").balance_micros == before - 3_000_000
    assert audit(house.memory.connection) == []
    agree(house)
