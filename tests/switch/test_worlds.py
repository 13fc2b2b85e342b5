"""A world that becomes another one while calls run: through the whole switch, in virtual time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from sipshop.billing.errors import AccountInUse, BadTerms, BelowUsed
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money
from sipshop.billing.quote import Answer
from sipshop.sip.events import Failed
from sipshop.store import Unwritable, WorldChanged
from sipshop.store.audit import audit
from sipshop.store.worlds import WorldApplied, read_history
from sipshop.switch import UnknownBooth, UnknownDeck
from sipshop.world import Plan, World, WorldErrors, parse_world, plan_world
from tests.switch.house import BERLIN, NOON_MS, SWITCH, TENANT, WORLD_TEXT, BoothPhone, House, at_once, cash

TEXT: Final = WORLD_TEXT.replace("deck: wholesale, unlimited: true", 'deck: wholesale, opening: "10.00"')


@pytest.fixture
def house() -> Iterator[House]:
    """A house with a booth that is open; the books are checked when the test is over."""
    house = House(world=parse_world(TEXT, "world.yaml"))
    house.unlock()
    yield house
    house.forget()
    assert house.switch.accounts.faults() == []
    assert audit(house.memory.connection) == []


def changed(*pairs: tuple[str, str]) -> str:
    text = TEXT
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def apply(house: House, text: str, *, dry_run: bool = False, prune: bool = False) -> Plan:
    worlds = house.switch.desk.worlds
    return at_once(worlds.apply(TENANT, text, "world.yaml", author="ana", dry_run=dry_run, prune=prune))


def stored(house: House) -> World:
    return house.memory.world(TENANT)


def refusal(house: House, number: str) -> int | None:
    """The status of a call that is refused at once, None if it rings at the carrier."""
    leg = house.phone.call(SWITCH, number)
    house.advance()
    last = house.phone.last(leg)
    return last.status if isinstance(last, Failed) else None


def prices(house: House) -> list[tuple[int, int]]:
    """The version and the amount of each call's first charge."""
    return [(cdr.charges[0].tariff.version, cdr.charges[0].cost.amount.micros) for cdr in house.memory.cdrs]


DEARER: Final = (
    'connect_fee: "0.05", first_s: 60, first_price: "0.12", next_s: 6',
    'first_s: 60, first_price: "9.00", next_s: 60',
)


def test_a_live_call_keeps_its_price_and_the_next_one_has_the_new(house: House) -> None:
    leg, _ = house.talking()
    (change,) = apply(house, changed(DEARER)).changes
    assert (change.kind, change.name, change.details[0]) == ("deck", "sell", "version 1 -> 2")
    house.advance(30)
    house.phone.hang_up(leg)
    house.advance()
    leg, _ = house.talking()
    house.phone.hang_up(leg)
    house.advance()
    assert prices(house) == [(1, 170_000), (2, 9_000_000)]
    assert apply(house, changed(DEARER)).changes == ()
    assert {deck.name: deck.version for deck in stored(house).decks} == {"sell": 2, "wholesale": 1, "carrier": 1}


def test_a_dry_run_and_an_error_change_nothing(house: House) -> None:
    before = stored(house), house.memory.count("desk_log")
    assert len(apply(house, changed(DEARER), dry_run=True).changes) == 1
    with pytest.raises(WorldErrors, match="owner"):
        apply(house, changed(("owner: Ann", "owner: Nobody")))
    assert (stored(house), house.memory.count("desk_log")) == before
    assert house.switch.desk.worlds.decks(TENANT)[0].deck.version == 1


def test_a_disk_that_does_not_take_it_leaves_everything_as_it_was(house: House) -> None:
    before = stored(house)
    text = changed(
        DEARER, ('"10.00"', '"10.00", credit_limit: "5.00"'), ("ip: 192.0.2.11", "ip: 192.0.2.11, disabled: true")
    )
    house.memory.broken = True
    with pytest.raises(Unwritable):
        apply(house, text)
    house.memory.broken = False
    assert stored(house) == before
    assert house.switch.desk.party(TENANT, "Ann").credit_limit_micros == 0
    assert [booth.state for booth in house.switch.desk.booths(TENANT)] == ["locked", "open"]
    leg, _ = house.talking()
    house.phone.hang_up(leg)
    house.advance()
    assert prices(house) == [(1, 170_000)]


NEW_SHOP: Final = (
    (
        "decks:",
        '  - {name: Bob, deck: wholesale, opening: "2.00", credit_limit: "1.00"}\ndecks:',
    ),
    (
        "shops:",
        'shops:\n  - {name: Side, owner: Bob, deck: sell, country_code: "49", emergency: [], booths: [BOOTH]}',
    ),
)


def test_a_new_shop_takes_calls_at_once_on_an_account_of_its_owner(house: House) -> None:
    text = changed(*NEW_SHOP).replace("BOOTH", "{name: s1, password: side, open: true}")
    assert [change.name for change in apply(house, text).changes] == ["Bob", "Side", "s1"]
    phone = BoothPhone(house.network, ("192.0.2.12", 5060), user="s1", password="side")
    phone.call(SWITCH, BERLIN)
    house.advance()
    phone.call_with_password()
    house.advance()
    house.carrier.answer(house.carrier.incoming)
    house.advance(20)
    house.carrier.hang_up(house.carrier.incoming)
    house.advance()
    bob, bought = house.switch.desk.party(TENANT, "Bob"), house.cdr.charges[1].cost.amount
    assert (bob.balance_micros, bob.credit_limit_micros) == (2_000_000 - bought.micros, 1_000_000)
    assert apply(house, text).changes == ()
    again = house.restart()  # what is on the disk is what was in memory
    assert again.switch.desk.party(TENANT, "Ann").balance_micros == 10_000_000


def test_an_opening_is_posted_once_even_if_it_comes_later(house: House) -> None:
    text = changed(*NEW_SHOP).replace("BOOTH", "{name: s1, password: side}")
    apply(house, text.replace('opening: "2.00", ', ""))
    assert house.switch.desk.party(TENANT, "Bob").balance_micros == 0
    for _ in range(2):
        apply(house, text)
        assert house.switch.desk.party(TENANT, "Bob").balance_micros == 2_000_000


def test_a_higher_limit_lets_a_call_go_on_and_a_lower_one_is_refused(house: House) -> None:
    apply(house, changed(('"10.00"', '"10.00", credit_limit: "5.00"')))
    assert house.switch.desk.party(TENANT, "Ann").credit_limit_micros == 5_000_000
    at_once(
        house.switch.desk.move(
            TENANT, "Ann", TransferKind.PAYMENT, Money(-12_000_000, "EUR"), author="ana", reason="", key="k"
        )
    )
    with pytest.raises(BelowUsed):
        apply(house, changed(DEARER, ('"10.00"', '"10.00", credit_limit: "1.00"')))
    assert house.switch.desk.party(TENANT, "Ann").credit_limit_micros == 5_000_000
    assert stored(house).decks[0].version == 1


def test_a_first_limit_waits_for_the_end_of_calls_that_hold_nothing(house: House) -> None:
    unlimited = TEXT.replace('opening: "10.00"', 'opening: "10.00", unlimited: true')
    apply(house, unlimited)
    house.talking()
    with pytest.raises(AccountInUse, match="1 calls on customer:Ann@Tel are live without a limit"):
        apply(house, TEXT.replace('opening: "10.00"', 'credit_limit: "1.00"'))
    assert house.switch.desk.party(TENANT, "Ann").unlimited


def test_a_pruned_booth_is_locked_and_let_in_no_more_but_its_call_goes_on_and_is_paid(house: House) -> None:
    leg, _ = house.talking()
    text = changed(("      - {name: gate, auth: ip, ip: 192.0.2.11}\n", ""))
    assert apply(house, text).changes == ()
    actions = {change.name: change.action for change in apply(house, text, prune=True).changes}
    assert actions == {"gate": "disable"}
    assert [booth.state for booth in house.switch.desk.booths(TENANT)] == ["locked", "in call"]
    house.advance(10)
    house.phone.hang_up(leg)
    house.advance()
    assert [booth.state for booth in house.switch.desk.booths(TENANT)] == ["locked", "disabled"]
    assert refusal(house, BERLIN) == 401
    with pytest.raises(BadTerms, match="booth gate is disabled"):
        house.unlock()
    total = house.cdr.charges[0].cost.amount
    assert (
        at_once(
            house.switch.desk.checkout.pay(TENANT, "gate", version=1, tenders=cash(total), language=None, author="ana")
        ).total
        == total
    )
    apply(house, TEXT)
    house.unlock()
    assert refusal(house, BERLIN) is None


def test_a_booth_that_never_had_a_customer_is_pruned_away_even_unlocked_again(house: House) -> None:
    apply(house, changed(("      - {name: booth1, password: secret}\n", "")), prune=True)
    with pytest.raises(UnknownBooth):
        house.unlock("booth1")
    assert [booth.name for booth in stored(house).booths] == ["gate"]


def test_a_booth_that_calls_for_help_is_not_pruned_away() -> None:
    house = House(world=parse_world(TEXT, "world.yaml"))
    house.phone.call(SWITCH, "112")
    house.advance()
    house.carrier.answer(house.carrier.incoming)
    house.advance()
    text = changed(("      - {name: gate, auth: ip, ip: 192.0.2.11}\n", ""))
    (change,) = apply(house, text, prune=True).changes
    assert (change.action, change.name, house.switch.desk.party(TENANT, "Ann").live_calls) == ("disable", "gate", 1)
    house.forget()
    (change,) = apply(house, text, prune=True).changes
    assert (change.action, change.name) == ("remove", "gate")


def test_a_suspended_party_and_a_disabled_trunk_are_out_of_use_at_once(house: House) -> None:
    apply(house, changed(("{name: one, host: 192.0.2.20,", "{name: one, host: 192.0.2.20, disabled: true,")))
    house.phone.call(SWITCH, BERLIN)
    house.advance()
    assert (len(house.carrier.legs), len(house.second.legs)) == (0, 1)
    apply(house, changed(('"10.00"', '"10.00", suspended: true')))
    assert refusal(house, BERLIN) == 403
    apply(house, TEXT)
    assert refusal(house, BERLIN) == 403
    apply(house, changed(('"10.00"', '"10.00", suspended: false')))
    assert house.switch.desk.party(TENANT, "Ann").suspended_by is None


def test_a_suspension_by_hand_outlives_a_swap(house: House) -> None:
    at_once(house.switch.desk.suspend(TENANT, "Ann", "ana", by=TENANT))
    apply(house, changed(DEARER))
    assert house.switch.desk.party(TENANT, "Ann").suspended


def test_a_password_is_changed_only_where_one_is_given(house: House) -> None:
    text = at_once(house.switch.desk.worlds.export(TENANT))
    assert ("secret" in text, apply(house, text).changes) == (False, ())
    apply(house, changed((", password: secret", "")))
    for number, (password, status) in enumerate((("secret", 200), ("other", 401))):
        phone = BoothPhone(house.network, (f"192.0.2.{30 + number}", 5060), password=password)
        phone.register()
        house.advance()
        answer = phone.register([phone.credentials(phone.challenge(), "REGISTER", f"sip:{SWITCH[0]}")])
        house.advance()
        assert answer.last.status == status
    assert [change.details for change in apply(house, changed(("secret", "geheim"))).changes] == [("password",)]


def test_what_became_another_meanwhile_is_not_overwritten(house: House) -> None:
    before = stored(house)
    history = read_history(house.memory.connection, TENANT)
    plan = plan_world(changed(DEARER), "world.yaml", before, history=history, prune=False)
    at_once(house.switch.desk.suspend(TENANT, "Ann", "ana", by=TENANT))
    with pytest.raises(WorldChanged, match="apply it again"):
        at_once(house.memory.commit(WorldApplied(plan=plan, history=None, author="ana", at_ms=NOON_MS)))


def test_every_change_is_in_the_log_with_its_author(house: House) -> None:
    apply(house, changed(DEARER, ("secret", "geheim")))
    log = house.memory.connection.execute("SELECT author, action, subject, detail FROM desk_log ORDER BY id")
    deck, booth = [tuple(row) for row in log][1:]
    assert deck[:3] == ("ana", "apply: change", "deck sell")
    assert deck[3].startswith("version 1 -> 2; ~ 49 Germany: connect_fee 0.05 -> 0.00, first_price 0.12 -> 9.00,")
    assert booth == ("ana", "apply: change", "booth booth1", "password")


def test_a_restart_finds_the_world_that_was_applied(house: House) -> None:
    plan = apply(house, changed(DEARER))
    house.restart()
    assert stored(house) == plan.after


# Prices.


def answers(house: House, number: str, **asked: object) -> list[tuple[str, str, Answer]]:
    quotes = house.switch.desk.worlds.quotes(TENANT, number, **asked)  # type: ignore[arg-type]  # a table of any of them
    return [(quote.seller, quote.buyer, quote.answer) for quote in quotes]


@pytest.mark.parametrize(
    ("number", "asked", "expected"),
    [
        (BERLIN, {}, ("Ann", "customers of Corner", Answer.PRICE)),
        (BERLIN, {"booth": "gate"}, ("Ann", "gate", Answer.PRICE)),
        ("0900123456", {"booth": "gate"}, ("Ann", "gate", Answer.FORBIDDEN)),
        ("0033123456", {"booth": "gate"}, ("Ann", "gate", Answer.NO_RATE)),
        ("12", {"booth": "gate"}, ("Ann", "gate", Answer.BAD_NUMBER)),
        ("112", {"booth": "gate"}, ("Ann", "gate", Answer.EMERGENCY)),
        ("+49301234567", {"party": "Ann"}, ("Tel", "Ann", Answer.PRICE)),
        ("4930 1234567", {"party": "Ann"}, ("Tel", "Ann", Answer.PRICE)),
        ("030123456", {"party": "Ann"}, ("Tel", "Ann", Answer.BAD_NUMBER)),
    ],
)
def test_a_number_is_quoted_as_it_is_dialled_there(
    house: House, number: str, asked: dict[str, object], expected: tuple[str, str, Answer]
) -> None:
    assert answers(house, number, **asked) == [expected]


def test_the_provider_is_quoted_what_each_trunk_asks(house: House) -> None:
    assert answers(house, "+49301234567", party="Tel") == [("Carrier", "Tel", Answer.PRICE)] * 2


@pytest.mark.parametrize(
    ("amount", "talk_s", "cost"), [("5.00", 2472, "4.99"), ("0.16", 0, "0"), ("0.17", 60, "0.17"), ("0", 0, "0")]
)
def test_how_long_an_amount_lasts_is_what_the_bill_will_say(house: House, amount: str, talk_s: int, cost: str) -> None:
    micros = Money.parse(amount, "EUR").micros
    (quote,) = house.switch.desk.worlds.quotes(TENANT, BERLIN, booth="gate", amount_micros=micros)
    assert quote.cost is not None
    assert (quote.talk_s, quote.cost.amount) == (talk_s, Money.parse(cost, "EUR"))
    (longer,) = house.switch.desk.worlds.quotes(TENANT, BERLIN, booth="gate", talk_s=talk_s + 1)
    assert longer.cost is not None
    assert longer.cost.amount.micros > micros


def test_what_is_not_there_is_not_quoted_or_shown(house: House) -> None:
    with pytest.raises(UnknownBooth):
        answers(house, BERLIN, booth="booth9")
    with pytest.raises(UnknownDeck, match="'sold'"):
        house.switch.desk.worlds.deck(TENANT, "sold")


def test_a_deck_tells_who_sells_by_it_and_a_trunk_what_it_carries(house: House) -> None:
    house.talking()
    sales = {status.deck.name: status.sales for status in house.switch.desk.worlds.decks(TENANT)}
    assert sales == {
        "sell": (("Ann", "customers of Corner"),),
        "wholesale": (("Tel", "Ann"),),
        "carrier": (("Carrier", "Tel"),),
    }
    trunks = house.switch.desk.worlds.trunks(TENANT)
    assert [(status.trunk.name, status.live_calls) for status in trunks] == [("one", 1), ("two", 0)]
