"""The floor of a shop: sessions that move, notes, cut calls, alarms, and the figures of a running call."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sipshop.billing.desk import SessionTerms
from sipshop.billing.errors import BadTerms, CallAlive
from sipshop.billing.money import Money
from sipshop.store import NothingToPay, UnknownAlarm, Unwritable
from sipshop.store import UnknownBooth as StoreUnknownBooth
from sipshop.store.audit import audit
from sipshop.switch import Card, UnknownBooth
from sipshop.switch.floor import AHEAD_MS, Floor
from sipshop.world import parse_world
from tests.switch.house import TENANT, House, MemoryStore, at_once

#: 49 is 0.10 for each begun minute, 44 a cent a second.
WORLD = """\
provider: {name: Tel}
owners: [{name: Ann, deck: sell, unlimited: true}]
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, first_s: 60, first_price: "0.10", next_s: 60}
      - {prefix: "44", destination: United Kingdom, first_s: 1, first_price: "0.60", next_s: 1}
trunks: [{name: one, deck: sell, host: 192.0.2.20, emergency: true}]
routes: [{prefix: "", trunks: [one]}]
shops:
  - {name: Corner, owner: Ann, deck: sell, country_code: "49", emergency: ["112"], booths: [
      {name: gate, auth: ip, ip: 192.0.2.11}, {name: next, password: x}, {name: far, password: x}]}
  - {name: Other, owner: Ann, deck: sell, country_code: "49", emergency: ["112"], booths: [
      {name: strange, password: x}]}
"""
LONDON = "00442071234567"


@pytest.fixture
def house() -> Iterator[House]:
    house = House(MemoryStore, world=parse_world(WORLD, "floor"))
    yield house
    assert audit(house.memory.connection) == []


def floor(house: House) -> Floor:
    return house.switch.desk.floor


def card(house: House, booth: str = "gate") -> Card:
    return next(each for each in floor(house).cards(TENANT, "Corner") if each.status.booth == booth)


def move(house: House, to: str = "next", booth: str = "gate") -> None:
    at_once(floor(house).move(TENANT, booth, to, "ana"))


def hang_up(house: House) -> None:
    for leg in list(house.phone.legs):
        house.phone.hang_up(leg)
    house.advance()


def log(house: House) -> list[tuple[str, str, str, str]]:
    rows = house.memory.connection.execute("SELECT author, action, subject, detail FROM desk_log ORDER BY id")
    return [tuple(row) for row in rows]


# A session that moves


def test_a_customer_goes_to_another_booth_and_his_bill_with_him(house: House) -> None:
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", SessionTerms(deposit=Money(1_000_000, "EUR")), "k"))
    house.talking()
    hang_up(house)
    assert card(house).spent_micros == 100_000
    move(house)
    here, there = card(house), card(house, "next")
    assert (here.unpaid_id, here.status.state) == (None, "locked")
    assert (there.status.state, there.spent_micros, there.funds_micros) == ("open", 100_000, 1_000_000)
    assert there.status.deposit_micros == 1_000_000
    assert ("ana", "move", "gate", f"session {there.unpaid_id} to next") in log(house)
    assert house.cdr.booth == "gate", "the record goes on to name the booth that called"
    house.unlock()
    assert card(house).unpaid_id != there.unpaid_id


def test_a_session_that_moved_is_there_after_a_restart(house: House) -> None:
    house.unlock()
    at_once(floor(house).note(TENANT, "gate", "he waits", "ana"))
    move(house)
    house.restart()
    assert (card(house, "next").status.state, card(house, "next").note) == ("open", "he waits")
    assert card(house).unpaid_id is None
    house.phone.call(("192.0.2.1", 5060), LONDON)
    house.advance()
    assert house.switch.desk.calls(TENANT) == [], "the booth that he left is locked"


def test_a_locked_session_moves_and_stays_locked(house: House) -> None:
    house.unlock()
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    move(house)
    assert (card(house, "next").unpaid_id is not None, card(house, "next").status.state) == (True, "locked")


def test_what_cannot_move_is_refused_and_stays(house: House) -> None:
    with pytest.raises(NothingToPay):
        move(house)
    house.unlock()
    for to, error in (("strange", StoreUnknownBooth), ("nowhere", UnknownBooth), ("gate", BadTerms)):
        with pytest.raises(error, match=to):
            move(house, to)
    house.unlock("far")
    with pytest.raises(BadTerms, match="far is taken"):
        move(house, "far")
    house.talking()
    with pytest.raises(CallAlive):
        move(house)
    hang_up(house)
    house.memory.broken = True
    with pytest.raises(Unwritable):
        move(house)
    house.memory.broken = False
    assert card(house).status.state == "open", "as before"
    move(house)


# Notes and cut calls


def test_a_note_is_of_the_session(house: House) -> None:
    with pytest.raises(NothingToPay):
        at_once(floor(house).note(TENANT, "gate", "nobody is here", "ana"))
    house.unlock()
    at_once(floor(house).note(TENANT, "gate", "he waits", "ana"))
    at_once(floor(house).note(TENANT, "gate", "for his brother", "ben"))
    assert card(house).note == "for his brother"
    bill = at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    assert bill is not None
    assert [author for author, action, _, _ in log(house) if action == "note"] == ["ana", "ben"]


def test_a_cut_ends_the_call_and_leaves_the_booth_open(house: House) -> None:
    house.unlock()
    house.talking()
    assert at_once(floor(house).cut(TENANT, "gate", "ana")) == 1
    house.advance()
    assert (card(house).call, card(house).status.state) == (None, "open")
    assert at_once(floor(house).cut(TENANT, "gate", "ana")) == 0
    assert [entry for entry in log(house) if entry[1] == "cut"] == [("ana", "cut", "gate", "1 calls")]


# Alarms


def test_an_emergency_call_is_an_alarm_until_it_is_acknowledged(house: House) -> None:
    house.talking("112")
    (alarm,) = floor(house).alarms(TENANT, {"Corner"})
    assert (alarm.booth, alarm.dialled) == ("gate", "112")
    assert floor(house).alarms(TENANT, {"Other"}) == []
    assert at_once(floor(house).cut(TENANT, "gate", "ana")) == 0, "it is never cut"
    assert card(house).call is not None
    hang_up(house)
    assert card(house).alarm_id == alarm.call_id, "the end of the call is not the end of the alarm"
    house.restart()
    assert card(house).alarm_id == alarm.call_id
    seen = at_once(floor(house).acknowledge(TENANT, alarm.call_id, "ana"))
    again = at_once(floor(house).acknowledge(TENANT, alarm.call_id, "ben"))
    assert (seen.acknowledged_by, again.acknowledged_by) == ("ana", "ana")
    assert card(house).alarm_id is None
    house.restart()
    assert floor(house).alarms(TENANT, {"Corner"}) == []
    with pytest.raises(UnknownAlarm):
        at_once(floor(house).acknowledge(TENANT, "no such call", "ana"))


# The figures of a running call


@pytest.mark.parametrize("number", ["0301234567", LONDON], ids=["by the minute", "by the second"])
def test_what_is_foretold_is_what_is_charged(house: House, number: str) -> None:
    """Each figure holds from its instant to the next one's: as the call's price says it, at every tenth of a second."""
    house.unlock()
    house.talking(number)
    told = card(house).running
    assert told[0].after_ms == 0
    assert len(told) == (2 if number != LONDON else AHEAD_MS // 1000 + 1)
    passed_ms = 0
    while passed_ms < AHEAD_MS - 2000:
        micros = [running.micros for running in told if running.after_ms <= passed_ms][-1]
        assert card(house).running[0].micros == micros
        assert house.switch.desk.calls(TENANT)[0].amount_micros == micros
        house.advance(0.1)
        passed_ms += 100


def test_talk_time_runs_down_while_somebody_talks(house: House) -> None:
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", SessionTerms(talk_limit_ms=600_000)))
    assert card(house).talk_left_ms == 600_000
    house.talking()
    before = card(house)
    assert before.call is not None
    assert before.talk_left_ms == 600_000 - before.call.talk_ms
    house.advance(7)
    assert card(house).talk_left_ms == before.talk_left_ms - 7000
    hang_up(house)
    after = card(house)
    assert after.talk_left_ms == 600_000 - house.cdr.talk_ms


def test_a_booth_without_a_talk_has_no_figures(house: House) -> None:
    house.unlock()
    house.calling()
    assert card(house).running == ()
