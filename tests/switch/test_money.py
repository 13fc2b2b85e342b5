"""Money through the whole switch in virtual time: the chain, slices, cut-off, refusals, recovery, whoever is suspended.

The world is billing.md's example: a booth under Ann under Rhea under Tel, and two carriers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import pytest

from sipshop.billing.cdr import Cdr, HungUpBy, Result
from sipshop.billing.desk import POSTPAID, SessionTerms
from sipshop.billing.errors import AccountInUse, BadTerms, BelowUsed, NotAvailable, UnknownAccount
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money
from sipshop.facts import LossSeen
from sipshop.sip.events import Failed, HungUp
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store import Unwritable
from sipshop.store.audit import audit
from sipshop.switch import Options
from sipshop.switch.status import PartyStatus
from sipshop.world import World, parse_world
from tests.switch.house import SWITCH, TENANT, House, at_once, cash

CHAIN: Final = """\
provider: {name: Tel, loss_guard: {action: GUARD}}
resellers:
  - {name: Rhea, deck: rhea, credit_limit: "5.00", opening: "100.00"}
owners:
  - {name: Ann, parent: Rhea, deck: ann, opening: "OPENING"}
decks:
  - name: booth
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, connect_fee: "0.12", first_s: 60, first_price: "0.25", next_s: 60}
      - {prefix: "44", destination: United Kingdom, first_s: 1, first_price: "6.00", next_s: 1}
      - {prefix: "33", destination: France, first_s: 1, first_price: "6.00", next_s: 1}
      - {prefix: "39", destination: Italy, first_s: 1, first_price: "6.00", next_s: 1}
      - {prefix: "41", destination: Switzerland, first_s: 60, first_price: "0.60", next_s: 60}
  - name: ann
    currency: EUR
    round: {places: 6}
    rates:
      - {prefix: "49", destination: Germany, first_s: 30, first_price: "0.18", next_s: 6}
      - {prefix: "44", destination: United Kingdom, first_s: 1, first_price: "6.00", next_s: 1}
      - {prefix: "39", destination: Italy, forbidden: true}
      - {prefix: "41", destination: Switzerland, first_s: 1, first_price: "0.10", next_s: 1}
  - name: rhea
    currency: EUR
    round: {places: 6}
    rates:
      - {prefix: "4", destination: Europe, first_s: 1, first_price: "0.14", next_s: 1}
      - {prefix: "41", destination: Switzerland, first_s: 1, first_price: "0.10", next_s: 1}
  - name: cheap
    currency: EUR
    round: {mode: half_up, places: 4}
    rates:
      - {prefix: "4", destination: Europe, first_s: 1, first_price: "0.11", next_s: 1}
  - name: dear
    currency: EUR
    round: {mode: half_up, places: 4}
    rates:
      - {prefix: "4", destination: Europe, first_s: 1, first_price: "0.13", next_s: 1}
      - {prefix: "41", destination: Switzerland, first_s: 1, first_price: "0.09", next_s: 1}
trunks:
  - {name: one, host: 192.0.2.20, carrier: First, deck: cheap, emergency: true, max_calls: 40}
  - {name: two, host: 192.0.2.21, carrier: Second, deck: dear, max_calls: 40}
routes:
  - {prefix: "4", trunks: [one, two]}
shops:
  - name: Corner
    owner: Ann
    deck: booth
    country_code: "49"
    emergency: ["112"]
    booths:
      - {name: gate, auth: ip, ip: 192.0.2.11, calls: 60}
"""
GERMANY, BRITAIN, FRANCE, ITALY, SWITZERLAND = (f"00{code}301234567" for code in (49, 44, 33, 39, 41))


MADE: Final[list[House]] = []


def world_of(opening: str = "100.00", *, guard: str = "warn", text: str = CHAIN) -> World:
    return parse_world(text.replace("OPENING", opening).replace("GUARD", guard), "chain.yaml")


def house_of(
    opening: str = "100.00", *, guard: str = "warn", text: str = CHAIN, terms: SessionTerms = POSTPAID
) -> House:
    """A house whose booth is open; its books are checked when the test is over."""
    house = House(world=world_of(opening, guard=guard, text=text))
    MADE.append(house)
    unlock(house, terms)
    return house


@pytest.fixture
def house() -> House:
    return house_of()


@pytest.fixture(autouse=True)
def _books() -> Iterator[None]:
    """Whatever a test did: once all calls are over nothing is held, and the books keep every law."""
    yield
    while MADE:
        house = MADE.pop()
        house.forget()
        assert house.switch.tables()["holds"] == 0
        assert house.switch.accounts.faults() == []
        assert audit(house.memory.connection) == []


def party(house: House, name: str) -> PartyStatus:
    return house.switch.desk.party(TENANT, name)


def unlock(house: House, terms: SessionTerms) -> None:
    at_once(house.switch.desk.unlock(TENANT, "gate", "ana", terms))


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def talk(house: House, number: str = BRITAIN) -> OutgoingLeg:
    """A call that was answered a quarter of a second ago, or was refused."""
    before = len(house.carrier.legs)
    leg = house.phone.call(SWITCH, number)
    house.advance()
    if len(house.carrier.legs) > before:
        house.carrier.answer(house.carrier.incoming)
        house.advance()
    return leg


def refusal(house: House, leg: OutgoingLeg) -> int | None:
    event = house.phone.last(leg)
    return event.status if isinstance(event, Failed) else None


def micros(cdr: Cdr) -> list[int]:
    return [charge.cost.amount.micros for charge in cdr.charges]


# Every level pays.


def test_the_example_of_137_seconds(house: House) -> None:
    leg = talk(house, GERMANY)
    house.advance(136.0)
    house.phone.hang_up(leg)
    house.advance()
    cdr = house.cdr
    assert 136_000 < cdr.talk_ms <= 137_000
    assert [(charge.seller, charge.buyer) for charge in cdr.charges] == [
        ("Ann", "gate"),
        ("Rhea", "Ann"),
        ("Tel", "Rhea"),
        ("First", "Tel"),
    ]
    assert micros(cdr) == [870_000, 414_000, 319_667, 251_200]
    assert cdr.margins == (None, *(Money(micros, "EUR") for micros in (456_000, 94_333, 68_467)))
    assert sum(margin.micros for margin in cdr.margins if margin is not None) == 618_800 == 870_000 - 251_200
    assert party(house, "Ann").balance_micros == 100_000_000 - 414_000
    assert party(house, "Rhea").balance_micros == 100_000_000 - 319_667
    assert party(house, "Rhea").available_micros == 105_000_000 - 319_667
    balances = dict(house.memory.connection.execute("SELECT name, balance_micros FROM accounts").fetchall())
    assert balances["revenue:Ann"] == 870_000
    assert balances["payable:First"] == 251_200
    assert sum(balances.values()) == 0
    keys = [row[0] for row in house.memory.connection.execute("SELECT key FROM transfers WHERE kind = 'charge'")]
    assert sorted(keys) == [f"{cdr.call_id}:{level}:0" for level in range(4)]


def test_the_carrier_that_answered_is_the_one_that_is_paid(house: House) -> None:
    leg = house.phone.call(SWITCH, GERMANY)
    house.advance()
    house.carrier.reject(house.carrier.incoming, 503)
    house.advance()
    house.second.answer(house.second.incoming)
    house.advance(60.0)
    house.phone.hang_up(leg)
    house.advance()
    assert [(attempt.trunk, attempt.status) for attempt in house.cdr.attempts] == [("one", 503), ("two", 200)]
    carrier = house.cdr.charges[-1]
    # 60 s, or a little less, at 0.13 a minute
    assert (house.cdr.trunk, carrier.seller, carrier.buyer) == ("two", "Second", "Tel")
    assert carrier.cost.amount == euros("0.13")


# Nobody overspends.


def test_a_call_is_cut_at_the_second_that_can_still_be_paid() -> None:
    house = house_of("0.55")  # 6.00 a minute: 5 s cost 0.50
    leg = talk(house)
    assert party(house, "Ann").held_micros > 0
    house.advance(10.0)
    assert isinstance(house.phone.last(leg), HungUp)
    cdr = house.cdr
    assert (cdr.talk_ms, cdr.hung_up_by, cdr.result) == (5_000, HungUpBy.SWITCH, Result.ANSWERED)
    answered_s = house.network.instants("200 INVITE", house.switch_peer)[0]
    ended_s = house.network.instants("BYE", house.switch_peer)[0]
    assert ended_s - answered_s == pytest.approx(5.0, abs=0.01)
    assert party(house, "Ann").balance_micros == 50_000


def test_without_money_for_a_first_increment_nobody_is_called() -> None:
    house = house_of("0.08")  # 30 s at 0.18 are 0.09
    leg = talk(house, GERMANY)
    assert refusal(house, leg) == 402
    assert house.carrier.legs == []
    assert (house.cdr.result, house.cdr.sip_status, house.cdr.charges) == (Result.REFUSED, 402, ())


@pytest.mark.parametrize("calls", [2, 7, 50])
def test_however_many_call_at_once_the_owner_spends_no_more_than_he_has(calls: int) -> None:
    house = house_of("10.00")
    legs = [talk(house) for _ in range(calls)]
    house.advance(150.0)
    cut = [cdr for cdr in house.memory.cdrs if cdr.result is Result.ANSWERED]
    refused = [cdr for cdr in house.memory.cdrs if cdr.result is Result.REFUSED]
    assert len(cut) + len(refused) == calls
    assert all(cdr.talk_ms % 1000 == 0 and cdr.hung_up_by is HungUpBy.SWITCH for cdr in cut)
    assert {cdr.sip_status for cdr in refused} <= {402}
    spent = sum(cdr.charges[1].cost.amount.micros for cdr in cut)
    assert 9_900_000 < spent <= 10_000_000
    assert party(house, "Ann").balance_micros == 10_000_000 - spent
    assert party(house, "Ann").held_micros == 0
    assert len(legs) == calls


def test_a_long_call_is_renewed_slice_by_slice_and_each_is_stored() -> None:
    house = house_of("100.00")
    leg = talk(house, GERMANY)
    seen: set[int] = set()
    for _ in range(40):
        house.advance(5.0)
        ((granted_ms,),) = house.memory.connection.execute("SELECT granted_ms FROM calls").fetchall()
        seen.add(granted_ms)
        held = party(house, "Ann").held_micros
        # 30/6 at 0.18: 18,000 for each 6 s begun
        assert held == -(-granted_ms // 6_000) * 18_000
    assert len(seen) >= 3
    house.phone.hang_up(leg)
    house.advance()
    assert house.cdr.hung_up_by is HungUpBy.CALLER


def test_another_length_of_the_slices_holds_from_the_next_one_on() -> None:
    house = house_of("100.00")
    house.switch.change(Options(process="run-1", max_calls=100, max_call_s=7200, slice_s=20))
    leg = talk(house, GERMANY)
    assert granted_s(house) == 20
    house.switch.change(Options(process="run-1", max_calls=100, max_call_s=7200, slice_s=300))
    house.advance(15.0)
    assert granted_s(house) > 300
    house.phone.hang_up(leg)
    house.advance()


def granted_s(house: House) -> int:
    ((granted_ms,),) = house.memory.connection.execute("SELECT granted_ms FROM calls").fetchall()
    return int(granted_ms) // 1000


def test_nobody_without_a_limit_is_ever_cut() -> None:
    text = CHAIN.replace('opening: "OPENING"', "unlimited: true").replace(
        'credit_limit: "5.00", opening: "100.00"', "unlimited: true"
    )
    house = house_of(text=text)
    leg = talk(house)
    assert party(house, "Ann").unlimited
    house.advance(3600.0)
    assert house.phone.story(leg).endswith("Answered")
    house.phone.hang_up(leg)
    house.advance()
    # an hour at 6.00 a minute
    assert party(house, "Ann").balance_micros == pytest.approx(-360_000_000, abs=200_000)


# Booth sessions.


def test_a_deposit_is_talked_away_to_its_last_second_and_a_top_up_extends_the_call() -> None:
    house = House(world=parse_world(CHAIN.replace("OPENING", "100.00").replace("GUARD", "warn"), "chain.yaml"))
    unlock(house, SessionTerms(deposit=euros("1.00")))  # 10 s
    leg = talk(house)
    house.advance(8.0)
    at_once(house.switch.desk.top_up(TENANT, "gate", euros("0.50"), "ana", "k1"))
    at_once(house.switch.desk.top_up(TENANT, "gate", euros("0.50"), "ana", "k1"))  # said twice, taken once
    house.advance(6.0)
    assert house.phone.story(leg).endswith("Answered")
    house.advance(6.0)
    assert (house.cdr.talk_ms, house.cdr.hung_up_by) == (15_000, HungUpBy.SWITCH)
    (status,) = house.switch.desk.booths(TENANT)
    assert (status.deposit_micros, status.available_micros, status.state) == (1_500_000, 0, "open")
    assert refusal(house, talk(house)) == 402


def test_a_limit_is_what_the_customer_may_owe() -> None:
    house = house_of(terms=SessionTerms(limit=euros("0.30")))
    talk(house)
    house.advance(10.0)
    assert house.cdr.talk_ms == 3_000
    assert refusal(house, talk(house)) == 402


def test_minutes_are_talk_minutes_of_all_calls_of_the_session() -> None:
    house = house_of(terms=SessionTerms(talk_limit_ms=60_000))
    first = talk(house, GERMANY)
    house.advance(20.0)
    house.phone.hang_up(first)
    house.advance()
    talk(house, GERMANY)
    house.advance(60.0)
    talks = [cdr.talk_ms for cdr in house.memory.cdrs]
    assert talks[0] == pytest.approx(20_000, abs=600)
    # whole seconds are granted: what is left of the minute, to the second
    assert talks[1] == (60_000 - talks[0]) // 1000 * 1000
    assert refusal(house, talk(house, GERMANY)) == 402


@pytest.mark.parametrize(
    ("terms", "other"),
    [
        (SessionTerms(limit=euros("5.00")), SessionTerms(limit=euros("2.00"))),
        (SessionTerms(talk_limit_ms=600_000), SessionTerms(talk_limit_ms=120_000)),
    ],
)
def test_terms_that_were_not_written_bind_nobody(terms: SessionTerms, other: SessionTerms) -> None:
    house = house_of(terms=terms)
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    before = house.switch.desk.booths(TENANT)
    house.memory.broken = True
    with pytest.raises(Unwritable):
        unlock(house, other)
    house.memory.broken = False
    assert house.switch.desk.booths(TENANT) == before
    unlock(house, other)
    (after,) = house.switch.desk.booths(TENANT)
    assert (after.available_micros, after.left_ms) == (
        None if other.limit is None else other.limit.micros,
        other.talk_limit_ms,
    )


def test_terms_are_one_of_three_and_an_open_booth_keeps_its_own(house: House) -> None:
    with pytest.raises(BadTerms, match="give one of them"):
        SessionTerms(deposit=euros("1.00"), limit=euros("1.00"))
    with pytest.raises(BadTerms, match="more than nothing"):
        SessionTerms(talk_limit_ms=0)
    with pytest.raises(BadTerms, match="top up"):
        unlock(house, SessionTerms(deposit=euros("1.00")))


def test_a_session_that_goes_on_cannot_be_limited_under_what_it_has_spent(house: House) -> None:
    leg = talk(house)
    house.advance(30.0)
    at_once(house.switch.desk.lock(TENANT, "gate", "ana"))
    with pytest.raises(AccountInUse):
        unlock(house, SessionTerms(limit=euros("5.00")))
    house.phone.hang_up(leg)
    house.advance()
    with pytest.raises(BelowUsed):
        unlock(house, SessionTerms(limit=euros("1.00")))
    unlock(house, SessionTerms(limit=euros("10.00")))
    (status,) = house.switch.desk.booths(TENANT)
    assert status.available_micros == 10_000_000 - micros(house.cdr)[0]


# Refused at any level, before any INVITE leaves.


@pytest.mark.parametrize(
    ("number", "status"),
    [
        pytest.param("00351301234567", 404, id="no rate at the booth"),
        pytest.param(FRANCE, 403, id="no rate above the booth"),
        pytest.param(ITALY, 403, id="forbidden above the booth"),
    ],
)
def test_a_number_that_one_level_does_not_sell(house: House, number: str, status: int) -> None:
    assert refusal(house, talk(house, number)) == status
    assert (house.carrier.legs, house.second.legs) == ([], [])


@pytest.mark.parametrize("name", ["Ann", "Rhea", "Tel"])
def test_suspension_cascades_and_running_calls_finish_or_end_by_choice(house: House, name: str) -> None:
    first = talk(house, GERMANY)
    at_once(house.switch.desk.suspend(TENANT, name, "ana", by=TENANT))
    assert refusal(house, talk(house, GERMANY)) == 403
    assert house.phone.story(first).endswith("Answered")
    assert party(house, "Ann").suspended_by == name
    at_once(house.switch.desk.suspend(TENANT, name, "ana", by=TENANT, cut=True))
    house.advance()
    assert isinstance(house.phone.last(first), HungUp)
    at_once(house.switch.desk.resume(TENANT, name, "ana", by=TENANT))
    assert refusal(house, talk(house, GERMANY)) is None


def test_an_emergency_call_needs_no_money_and_is_never_billed() -> None:
    house = house_of("0.00")
    leg = talk(house, "112")
    house.advance(30.0)
    assert house.phone.story(leg).endswith("Answered")
    house.phone.hang_up(leg)
    house.advance()
    assert house.cdr.charges == ()


# The loss guard and the carriers' lines.


@pytest.mark.parametrize(
    ("guard", "trunks", "status"),
    [
        pytest.param("warn", ("one",), None, id="warned, and made by the first"),
        pytest.param("reroute", ("two",), None, id="made by the one that does not lose"),
        pytest.param("refuse", (), 403, id="refused"),
    ],
)
def test_the_loss_guard(guard: str, trunks: tuple[str, ...], status: int | None) -> None:
    house = house_of(guard=guard)
    leg = house.phone.call(SWITCH, SWITZERLAND)
    house.advance()
    assert refusal(house, leg) == status
    assert tuple(phone.user for phone in (house.carrier, house.second) if phone.legs) == trunks
    losses = [fact.party for fact in house.switch_peer.told(LossSeen) if isinstance(fact, LossSeen)]
    assert losses == (["one"] if guard == "warn" else [])


def test_a_trunk_at_its_cap_leaves_the_call_to_the_next() -> None:
    house = house_of(
        text=CHAIN.replace("deck: cheap, emergency: true, max_calls: 40", "deck: cheap, max_calls: 1, emergency: true")
    )
    first = talk(house, GERMANY)
    house.phone.call(SWITCH, GERMANY)
    house.advance()
    house.second.answer(house.second.incoming)
    house.advance()
    for leg in house.phone.legs:
        house.phone.hang_up(leg)
    house.advance()
    assert isinstance(first, OutgoingLeg)
    second = house.memory.cdrs[1]
    assert [(attempt.trunk, attempt.status, attempt.q850) for attempt in second.attempts] == [
        ("one", None, 34),
        ("two", 200, None),
    ]
    assert refusal(house, talk(house, GERMANY)) is None  # the line is free again


def test_when_every_trunk_is_at_its_cap_the_call_fails_and_holds_nothing() -> None:
    house = house_of(text=re.sub("max_calls: 40", "max_calls: 1", CHAIN))
    for _ in range(2):
        house.phone.call(SWITCH, GERMANY)
        house.advance()
    leg = house.phone.call(SWITCH, GERMANY)
    house.advance()
    assert refusal(house, leg) == 480
    assert house.switch.tables()["holds"] == 2


# Accounts.


def move(house: House, name: str, kind: TransferKind, amount: str, key: str = "k") -> PartyStatus:
    command = house.switch.desk.move(
        TENANT, name, kind, Money.parse(amount, "EUR"), author="ana", reason="cash", key=key
    )
    return at_once(command)


def test_a_payment_lets_a_call_go_on_at_once_and_counts_once() -> None:
    house = house_of("1.00")
    leg = talk(house)
    house.advance(8.0)
    assert move(house, "Ann", TransferKind.PAYMENT, "1.00").balance_micros == 2_000_000
    assert move(house, "Ann", TransferKind.PAYMENT, "1.00").balance_micros == 2_000_000
    house.advance(6.0)
    assert house.phone.story(leg).endswith("Answered")
    house.advance(8.0)
    assert house.cdr.talk_ms == 20_000


def test_money_that_a_call_holds_cannot_be_paid_out_but_can_be_adjusted_away() -> None:
    house = house_of("1.00")
    talk(house)
    held = party(house, "Ann").held_micros
    assert held > 0
    with pytest.raises(NotAvailable):
        move(house, "Ann", TransferKind.PAYMENT, "-1.00")
    assert party(house, "Ann").held_micros == held
    after = move(house, "Ann", TransferKind.ADJUSTMENT, "-1.00", "a")
    assert (after.balance_micros, after.overdrawn) == (0, True)
    assert refusal(house, talk(house)) == 402
    house.advance(20.0)
    # what it held was granted before: the call talks it away, and the account stays flagged until it is paid
    assert (party(house, "Ann").balance_micros or 0) < 0
    assert move(house, "Ann", TransferKind.PAYMENT, "5.00", "b").overdrawn is False
    with pytest.raises(UnknownAccount):
        move(house, "Tel", TransferKind.PAYMENT, "1.00")


def test_a_payout_that_is_said_twice_is_paid_once() -> None:
    house = house_of("1.00")
    for _ in range(2):
        assert move(house, "Ann", TransferKind.PAYMENT, "-0.80").balance_micros == 200_000


def test_a_top_up_that_is_repeated_after_the_checkout_changes_nothing() -> None:
    house = house_of(terms=SessionTerms(deposit=euros("1.00")))
    desk = house.switch.desk
    at_once(desk.top_up(TENANT, "gate", euros("1.00"), "ana", "k"))
    assert at_once(
        desk.checkout.pay(TENANT, "gate", version=0, tenders=cash(euros("0.00")), language=None, author="ana")
    ).change == euros("2.00")
    at_once(desk.top_up(TENANT, "gate", euros("1.00"), "ana", "k"))
    (status,) = desk.booths(TENANT)
    assert (status.session_id, status.deposit_micros, status.available_micros) == (None, 0, None)


def test_a_credit_limit_is_not_lowered_under_what_is_used(house: House) -> None:
    desk = house.switch.desk
    at_once(desk.set_limit(TENANT, "Ann", 50_000_000, "ana", "trust"))
    assert party(house, "Ann").available_micros == 150_000_000
    move(house, "Ann", TransferKind.PAYMENT, "-120.00")
    with pytest.raises(BelowUsed, match=r"20\.00 EUR"):
        at_once(desk.set_limit(TENANT, "Ann", 0, "ana", "less trust"))
    at_once(desk.set_limit(TENANT, "Ann", None, "ana", "more trust"))
    leg = talk(house, GERMANY)
    with pytest.raises(AccountInUse, match="1 calls below"):
        at_once(desk.set_limit(TENANT, "Ann", 90_000_000, "ana", "less trust"))
    house.phone.hang_up(leg)
    house.advance()
    at_once(desk.set_limit(TENANT, "Ann", 90_000_000, "ana", "less trust"))


def test_a_command_that_was_not_written_changes_nothing(house: House) -> None:
    before = party(house, "Ann")
    house.memory.broken = True
    for command in (
        lambda: move(house, "Ann", TransferKind.PAYMENT, "-1.00"),
        lambda: at_once(house.switch.desk.set_limit(TENANT, "Ann", 1, "ana", "x")),
        lambda: at_once(house.switch.desk.top_up(TENANT, "gate", euros("1.00"), "ana", "k")),
    ):
        with pytest.raises(Exception, match="disk I/O error"):
            command()
    house.memory.broken = False
    assert party(house, "Ann") == before


# A crash.


def test_after_a_crash_nobody_pays_for_more_than_was_granted() -> None:
    house = house_of("1.00")
    talk(house)
    house.advance(7.0)
    ((granted_ms,),) = house.memory.connection.execute("SELECT granted_ms FROM calls").fetchall()
    # the process stops, but its heartbeats go on for a while: a row that lies is not believed beyond the grant
    house.memory.connection.execute("UPDATE processes SET mono_ms = mono_ms + 3600000")
    house.restart()
    house.advance()
    assert (house.cdr.recovered, house.cdr.talk_ms) == (True, granted_ms)
    assert party(house, "Ann").balance_micros == 1_000_000 - micros(house.cdr)[1]
    assert party(house, "Ann").held_micros == 0
    assert len(house.cdr.charges) == 4


def test_a_session_with_a_deposit_survives_a_crash() -> None:
    house = house_of(terms=SessionTerms(deposit=euros("1.00")))
    leg = talk(house)
    house.advance(4.0)
    house.phone.hang_up(leg)
    house.advance()
    ((before),) = house.switch.desk.booths(TENANT)
    house.restart()
    house.advance()
    ((after),) = house.switch.desk.booths(TENANT)
    assert (after.available_micros, after.deposit_micros) == (before.available_micros, 1_000_000)
    talk(house)
    house.advance(20.0)
    assert sum(micros(cdr)[0] for cdr in house.memory.cdrs) == 1_000_000


def test_two_providers_are_blind_to_each_other() -> None:
    """Two worlds of the same names but for the provider's: what one has, the other does not see."""
    other_text = CHAIN.replace("name: Tel", "name: Other").replace("192.0.2.11", "192.0.2.12")
    house = House(world=world_of("1.00"), more=[world_of("2.00", text=other_text)])
    MADE.append(house)
    house.unlock()
    desk = house.switch.desk
    assert desk.party("Tel", "Ann").balance_micros == 1_000_000
    assert desk.party("Other", "Ann").balance_micros == 2_000_000
    at_once(desk.suspend("Other", "Ann", "eve", by="Other"))
    talk(house)
    house.advance(20.0)
    assert desk.party("Other", "Ann") == replace(desk.party("Other", "Ann"), balance_micros=2_000_000, live_calls=0)
    assert desk.party("Tel", "Ann").balance_micros == 0
    assert [booth.live_calls for booth in desk.booths("Other")] == [0]
    assert at_once(desk.lock("Other", "gate", "eve")) is None


BRITISH: Final = '{prefix: "44", destination: United Kingdom, first_s: 1, first_price: "6.00", next_s: 1}'


@pytest.mark.parametrize(
    ("policy", "talked_s"),
    [pytest.param("disconnect", 20, id="a call ends with its maximum"), pytest.param("free", 90, id="or goes on free")],
)
@pytest.mark.parametrize(
    "terms", [POSTPAID, SessionTerms(deposit=Money(5_000_000, "EUR"))], ids=["postpaid", "deposit"]
)
def test_a_maximum_charge(policy: str, talked_s: int, terms: SessionTerms) -> None:
    bounded = BRITISH.replace("}", f', max_charge: "2.00", max_policy: {policy}}}')
    house = house_of(text=CHAIN.replace(BRITISH, bounded, 1), terms=terms)
    leg = talk(house)
    house.advance(89.75)
    if policy == "free":
        house.phone.hang_up(leg)
        house.advance()
    assert house.cdr.talk_ms == talked_s * 1000
    assert house.cdr.charges[0].cost.amount == euros("2.00")
    assert house.cdr.hung_up_by is (HungUpBy.CALLER if policy == "free" else HungUpBy.SWITCH)


def test_a_call_into_another_window_pays_each_second_its_own_price_and_holds_enough() -> None:
    # it begins at 22:13:20 UTC; from 22:14 on a second costs a cent and not ten
    header = '  - name: booth\n    currency: EUR\n    window_policy: split\n    windows: {late: "daily 22:14-24:00"}\n'
    late = f"{BRITISH}\n      - {BRITISH.replace('6.00', '0.60').replace('}', ', window: late}')}"
    text = CHAIN.replace("  - name: booth\n    currency: EUR\n", header).replace(BRITISH, late, 1)
    house = house_of(text=text, terms=SessionTerms(deposit=Money(50_000_000, "EUR")))
    leg = talk(house)
    answered_at_ms = house.switch.desk.calls(TENANT)[0].answered_at_ms
    assert answered_at_ms is not None
    dear_s = -(-(1_700_000_040_000 - answered_at_ms) // 1000)
    house.advance(120.0)
    house.phone.hang_up(leg)
    house.advance()
    billed_s = house.cdr.charges[0].cost.billed_s
    assert house.cdr.charges[0].cost.amount.micros == dear_s * 100_000 + (billed_s - dear_s) * 10_000
    assert [line.seconds for line in house.cdr.charges[0].cost.lines] == [1, dear_s - 1, billed_s - dear_s]
