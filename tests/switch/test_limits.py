"""Limits against fraud in the whole switch: who is refused before an INVITE leaves, who is told, and what a fraudster
gets away with; in virtual time."""

from __future__ import annotations

from functools import partial
from typing import Final

import pytest

from sipshop.billing.errors import Overcommitted
from sipshop.billing.ledger import TransferKind
from sipshop.billing.limits import Place, Subject
from sipshop.billing.money import Money
from sipshop.facts import AlertEnded, AlertRaised, CallEnded
from sipshop.sip.leg import IncomingLeg
from sipshop.switch import BadRelease, UnknownLimit
from sipshop.world import WorldErrors, parse_world
from sipshop.world.export import export_world
from tests.sip.peers import OFFER
from tests.switch.house import BERLIN, SWITCH, TENANT, WORLD_TEXT, House, at_once

ANN: Final = Subject(Place.PARTY, "Ann")
CORNER: Final = Subject(Place.SHOP, "Corner")
GATE: Final = Subject(Place.BOOTH, "gate")


def world_with(*, ann: str = "", corner: str = "", gate: str = "", provider: str = "", calls: int = 1) -> str:
    text = WORLD_TEXT.replace("{name: Tel}", f"{{name: Tel{provider}}}")
    text = text.replace("unlimited: true}", f"unlimited: true{ann}}}")
    text = text.replace('    emergency: ["112"]\n', f'    emergency: ["112"]\n{corner}')
    return text.replace("ip: 192.0.2.11}", f"ip: 192.0.2.11, calls: {calls}{gate}}}")


def house_with(**more: object) -> House:
    house = House(world=parse_world(world_with(**more), "world.yaml"))  # type: ignore[arg-type]  # parts of a text
    house.unlock()
    return house


def rule(fields: str) -> str:
    return f", limits: [{{name: r, {fields}}}]"


def shops(fields: str) -> str:
    return f"    limits: [{{name: r, {fields}}}]\n"


def hang_up(house: House) -> None:
    house.phone.hang_up(house.phone.legs[-1])
    house.advance()


def called(house: House, number: str = BERLIN) -> str:
    """How an attempt goes: the cause of its refusal, or "" where the carrier rings."""
    before = len(house.switch_peer.refusals)
    house.phone.call(SWITCH, number, content=OFFER)
    house.advance()
    return "".join(cause for _, cause in house.switch_peer.refusals[before:])


def alerts(house: House) -> list[tuple[str, str, str]]:
    return [(alert.kind, alert.action, alert.name) for alert in house.memory.alerts()]


@pytest.mark.parametrize(
    ("where", "fields", "cause"),
    [
        pytest.param("gate", 'price_a_minute: "0.10", action: refuse', "limited", id="dear for a booth"),
        pytest.param("corner", 'price_a_minute: "0.10", action: hold', "held_back", id="dear for a shop"),
        pytest.param("ann", 'price_a_minute: "0.05", action: block', "blocked", id="dear for the owner"),
        pytest.param("provider", "unused_days: 30, action: hold", "held_back", id="a country new to the provider"),
        pytest.param("corner", "night: daily, timezone: UTC, action: refuse", "limited", id="at no time"),
        pytest.param("corner", 'spend_per_hour: "0.16", action: refuse', "limited", id="not a first increment is left"),
        pytest.param("corner", 'price_a_minute: "0.10", action: alert', "", id="only told"),
    ],
)
def test_a_call_beyond_a_limit_is_refused_before_an_invite_leaves(where: str, fields: str, cause: str) -> None:
    house = house_with(**{where: shops(fields) if where == "corner" else rule(fields)})
    assert called(house) == cause
    assert bool(house.carrier.legs) is (cause == "")
    assert len(house.switch_peer.told(AlertRaised)) == 1
    assert len(house.memory.alerts()) == 1


def test_an_emergency_call_meets_no_limit() -> None:
    everything = "night: daily, timezone: UTC, action: block"
    house = house_with(ann=rule(everything), gate=rule(everything), provider=rule(everything))
    assert called(house) == "blocked"
    assert called(house, "112") == ""
    assert house.memory.alerts()[1:] == []


def test_what_is_held_is_so_after_a_restart_and_until_a_person_releases_it() -> None:
    house = house_with(corner=shops('price_a_minute: "0.10", action: hold'))
    assert called(house) == "held_back"
    house.restart()
    assert called(house) == "held_back"
    assert alerts(house) == [("price_a_minute", "hold", "Corner")], "nobody is told twice"
    desk = house.switch.desk
    (status,) = desk.limits(TENANT)
    assert [(stand.prefix, stand.standing.value) for stand in status.stands] == [("49", "held")]
    release = partial(desk.release, TENANT, until_ms=None, author="ana", reason="known")
    with pytest.raises(BadRelease, match="would hold the next call again"):
        at_once(release(CORNER, "r", prefix=""))
    with pytest.raises(UnknownLimit):
        at_once(release(CORNER, "another", prefix=""))
    at_once(release(CORNER, "r", prefix="49"))
    assert called(house) == ""
    hang_up(house)
    house.restart()
    assert called(house) == ""


def test_ten_calls_at_once_to_a_dear_number_at_night_cost_no_more_than_the_limit() -> None:
    house = house_with(ann=rule('spend_per_hour: "0.05", action: block'), calls=10)
    for _ in range(10):
        house.phone.call(SWITCH, BERLIN, content=OFFER)
        house.advance(0.01)
    for leg in [leg for leg in house.carrier.legs if isinstance(leg, IncomingLeg)]:
        house.carrier.ring(leg)
        house.advance(0.01)
        house.carrier.answer(leg)
        house.advance(0.01)
    house.advance(7200)
    charged = [
        charge.cost.amount.micros for cdr in house.memory.cdrs for charge in cdr.charges if charge.buyer == "Ann"
    ]
    assert 0.9 * 50_000 <= sum(charged) <= 50_000
    assert all(isinstance(fact, CallEnded) for fact in house.switch_peer.told(CallEnded))
    assert called(house) == "blocked"
    assert ("spend_per_hour", "block", "Ann") in alerts(house)
    assert len(alerts(house)) == 1


def test_a_call_is_cut_where_the_limit_is_met_and_goes_on_when_it_is_released_in_time() -> None:
    house = house_with(ann=rule('spend_per_hour: "0.10", action: hold'))
    house.talking()
    house.advance(95)
    assert house.switch.desk.calls(TENANT)
    at_once(house.switch.desk.release(TENANT, ANN, "r", prefix="", until_ms=None, author="ana", reason="a friend"))
    house.advance(60)
    (live,) = house.switch.desk.calls(TENANT)
    assert live.talk_ms > 150_000
    house.advance(600)
    assert house.switch.desk.calls(TENANT) == []


def test_spending_is_counted_again_after_a_restart() -> None:
    house = house_with(ann=rule('spend_per_day: "0.10", action: refuse'))
    house.talking()
    house.advance(59.5)
    hang_up(house)
    used = house.switch.desk.limits(TENANT)[0].used
    house.restart()
    assert house.switch.desk.limits(TENANT)[0].used == used == 60_000


def test_what_a_crash_cut_short_is_counted_too() -> None:
    house = house_with(ann=rule('spend_per_day: "0.10", action: refuse'))
    house.talking()
    house.advance(40)
    house.restart()
    house.advance()
    assert house.memory.cdrs[-1].recovered
    charged = [charge.cost.amount.micros for charge in house.memory.cdrs[-1].charges if charge.buyer == "Ann"]
    assert [house.switch.desk.limits(TENANT)[0].used] == charged


def test_a_rule_that_a_new_world_brings_counts_what_was_spent_before() -> None:
    house = house_with()
    house.talking()
    house.advance(59.5)
    hang_up(house)
    text = world_with(ann=rule('spend_per_day: "0.10", action: refuse')).replace("password: secret, ", "")
    plan = at_once(house.switch.desk.worlds.apply(TENANT, text, "world.yaml", author="ana"))
    assert [(change.kind, change.name) for change in plan.changes] == [("limits", "party Ann")]
    (status,) = house.switch.desk.limits(TENANT)
    assert status.used == 60_000


def test_a_world_with_limits_is_exported_so_that_applying_it_changes_nothing() -> None:
    text = world_with(
        provider=rule('night: ["mon-fri 22:00-06:00", "sat,sun"], timezone: Europe/Berlin, price_a_minute: "0.1"'),
        ann=', limits: [{name: day, spend_per_day: "50", action: block, set_by: own}], '
        'overcommit: {action: warn, factor: "1.5"}, low_balance: {amount: "5.00", lasts_h: 4}',
        corner="    limits: [{name: a, live_calls: 3}, {name: b, unused_days: 9, set_by: provider}]\n",
        gate=rule("calls_per_hour: 7, action: hold"),
    )
    world = parse_world(text, "world.yaml")
    assert len(world.limits) == 4
    again = parse_world(export_world(world), "export.yaml", onto=world)
    assert again.limits == world.limits
    assert House(world=world).memory.world(TENANT).limits == world.limits


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("action: hold", "must have one of"),
        ('spend_per_hour: "1", live_calls: 2', "must have one of"),
        ("live_calls: 0", "must be a whole number from 1"),
        ('spend_per_hour: "-1"', "must not be negative"),
        ("night: daily", "timezone"),
        ("night: never, timezone: UTC", "is not a window"),
        ("night: daily, timezone: Mars/Base", "is not a time zone"),
        ("live_calls: 2, action: kill", "must be one of alert, refuse, hold, block"),
        ("live_calls: 2, set_by: nobody", "must be one of own, seller, provider"),
        ("unused_days: 3", "is for shops and parties"),
        ("live_calls: 2, most: 3", "most"),
        ("live_calls: 2}, {name: r, live_calls: 3", "is there already"),
    ],
)
def test_a_limit_that_cannot_be_is_told_with_its_line(fields: str, told: str) -> None:
    with pytest.raises(WorldErrors, match=told):
        parse_world(world_with(gate=rule(fields)), "world.yaml")


def test_the_provider_has_nobody_who_charges_him() -> None:
    with pytest.raises(WorldErrors, match="limit those whom the provider sells to"):
        parse_world(world_with(provider=rule('spend_per_day: "1"')), "world.yaml")


# What is left, and what is granted.


LIMITED: Final = 'credit_limit: "0.00", opening: "0.20"'


def test_a_party_with_little_left_is_told_of_once_and_when_it_has_healed() -> None:
    text = world_with(ann=', low_balance: {amount: "0.15"}').replace("unlimited: true", LIMITED)
    house = House(world=parse_world(text, "world.yaml"))
    house.unlock()
    for _ in range(2):
        house.talking()
        house.advance(45)
        hang_up(house)
    assert alerts(house) == [("low_balance", "alert", "Ann")]
    assert house.switch.alerts.open == {TENANT: 1}
    house.restart()
    move = house.switch.desk.move
    at_once(move(TENANT, "Ann", TransferKind.PAYMENT, Money(1_000_000, "EUR"), author="a", reason="r", key="k"))
    house.advance()
    assert len(house.switch_peer.told(AlertEnded)) == 1
    assert house.memory.alerts()[0].healed_at_ms is not None
    assert house.switch.alerts.open == {TENANT: 0}


OWNERS: Final = "owners:\n  - {name: Ann, deck: wholesale, unlimited: true}\n"
OVER: Final = """\
resellers:
  - {name: Rhea, deck: wholesale, credit_limit: "10.00", overcommit: {action: %s, factor: "1.5"}}
owners:
  - {name: Ann, parent: Rhea, deck: wholesale, credit_limit: "14.00"}
"""


def reseller(action: str) -> House:
    return House(world=parse_world(WORLD_TEXT.replace(OWNERS, OVER % action), "world.yaml"))


def test_a_reseller_is_not_to_grant_more_than_his_policy_lets() -> None:
    house = reseller("refuse")
    desk = house.switch.desk
    rhea = desk.party(TENANT, "Rhea")
    assert (rhea.granted_micros, rhea.grants_without_end) == (14_000_000, False)
    at_once(desk.set_limit(TENANT, "Ann", 15_000_000, "ana", "as far as it goes"))
    for limit in (15_000_001, None):
        with pytest.raises(Overcommitted, match=r"and has 10\.00 itself"):
            at_once(desk.set_limit(TENANT, "Ann", limit, "ana", "more"))
    payment = Money(1, "EUR")
    with pytest.raises(Overcommitted):
        at_once(desk.move(TENANT, "Ann", TransferKind.PAYMENT, payment, author="a", reason="r", key="k"))
    text = (
        WORLD_TEXT.replace("owners:\n  - {name: Ann, deck: wholesale, unlimited: true}\n", OVER % "refuse")
    ).replace("14.00", "16.00")
    with pytest.raises(Overcommitted):
        at_once(desk.worlds.apply(TENANT, text, "world.yaml", author="ana"))
    assert desk.party(TENANT, "Ann").credit_limit_micros == 15_000_000
    at_once(desk.move(TENANT, "Rhea", TransferKind.PAYMENT, Money(10**6, "EUR"), author="a", reason="r", key="k"))
    at_once(desk.set_limit(TENANT, "Ann", 16_500_000, "ana", "there is more now"))


IN_DOLLARS: Final = OVER.replace('deck: wholesale, credit_limit: "14.00"', "deck: wholesale, currency: USD%s") + (
    'fx: [{pair: EUR/USD, holds_days: 30, rates: {"2023-11-13": "1.20"}}]\n'
)


def test_what_is_granted_in_another_currency_counts_by_the_rate_of_today() -> None:
    text = WORLD_TEXT.replace(OWNERS, IN_DOLLARS % ("refuse", ', credit_limit: "12.00"'))
    house = House(world=parse_world(text, "world.yaml"))
    desk = house.switch.desk
    assert desk.party(TENANT, "Rhea").granted_micros == 10_000_000
    at_once(desk.set_limit(TENANT, "Ann", 18_000_000, "ana", "15 EUR"))
    for limit in (18_000_002, None):
        with pytest.raises(Overcommitted):
            at_once(desk.set_limit(TENANT, "Ann", limit, "ana", "more"))
    another = '  - {name: Bob, parent: Rhea, deck: wholesale, currency: USD, credit_limit: "%s"}\nfx:'
    with pytest.raises(Overcommitted):
        at_once(desk.worlds.apply(TENANT, text.replace("fx:", another % "6.01"), "world.yaml", author="ana"))
    at_once(desk.worlds.apply(TENANT, text.replace("fx:", another % "6.00"), "world.yaml", author="ana"))


@pytest.mark.parametrize(("action", "told"), [("allow", 0), ("warn", 1)])
def test_a_reseller_may_be_told_instead(action: str, told: int) -> None:
    house = reseller(action)
    at_once(house.switch.desk.set_limit(TENANT, "Ann", None, "ana", "trusted"))
    house.advance()
    assert house.switch.desk.party(TENANT, "Rhea").grants_without_end
    assert len(house.memory.alerts()) == told
