"""The ledger: who pays whom, what is set aside for live calls, and that nobody spends more than he may."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from sipshop.billing.cdr import CallKind, Cdr, Charge, Result
from sipshop.billing.chain import SHARE, Level, Payer, TalkTime, grant
from sipshop.billing.deck import Tariff
from sipshop.billing.errors import BelowUsed, NotAvailable, UnknownAccount
from sipshop.billing.ledger import (
    UNLIMITED,
    WORLD,
    Ledger,
    Terms,
    Transfer,
    TransferKind,
    carrier_cost,
    charge_accounts,
    charge_transfers,
    customer,
    moved,
    payable,
    revenue,
    session_account,
    till,
)
from sipshop.billing.money import Money
from sipshop.billing.rating import cost
from tests.billing.tariffs import TARIFFS, tariff

ANN, RHEA = customer("Ann", "Rhea"), customer("Rhea", "Tel")


def euros(micros: int) -> Money:
    return Money(micros, "EUR")


def ledger(**balances: int) -> Ledger:
    """Return a ledger of prepaid accounts by their balances."""
    made = Ledger()
    for name, balance in balances.items():
        made.open(name, "EUR", balance=balance, credit_limit=0)
    return made


def books(made: Ledger) -> dict[str, tuple[int, int]]:
    """Balance and held of every account."""
    return {name: (account.balance, account.held) for name, account in made.accounts.items()}


# Transfers.


def test_an_account_belongs_to_a_relation() -> None:
    names = [
        customer("Ann", "Rhea"),
        customer("Ann", "Tel"),
        session_account(7, "Ann"),
        revenue("Ann"),
        carrier_cost("Tel"),
        payable("Ann"),
        till("Ann"),
        WORLD,
    ]
    assert names == [
        "customer:Ann@Rhea",
        "customer:Ann@Tel",
        "session:7@Ann",
        "revenue:Ann",
        "carrier_cost:Tel",
        "payable:Ann",
        "till:Ann",
        "world",
    ]


@pytest.mark.parametrize(
    ("micros", "debit", "credit", "amount"),
    [
        pytest.param(5, WORLD, ANN, 5, id="what is brought"),
        pytest.param(-5, ANN, WORLD, 5, id="what is taken back goes the other way"),
        pytest.param(0, WORLD, ANN, 0, id="nothing"),
    ],
)
def test_a_transfer_has_a_direction_and_no_sign(micros: int, debit: str, credit: str, amount: int) -> None:
    made = moved("k", TransferKind.PAYMENT, source=WORLD, account=ANN, amount=euros(micros))
    assert made == Transfer(key="k", kind=TransferKind.PAYMENT, debit=debit, credit=credit, amount=euros(amount))


@pytest.mark.parametrize(
    ("debit", "credit", "micros"),
    [pytest.param(ANN, RHEA, -1, id="a sign"), pytest.param(ANN, ANN, 1, id="from an account to itself")],
)
def test_a_transfer_that_makes_no_sense_is_our_own_mistake(debit: str, credit: str, micros: int) -> None:
    with pytest.raises(AssertionError):
        Transfer(key="k", kind=TransferKind.CHARGE, debit=debit, credit=credit, amount=euros(micros))


def cdr(*levels: tuple[str, str, Tariff], talk_ms: int, revision: int = 0) -> Cdr:
    """Return the CDR of an answered call of booth session 7 by its levels: (seller, buyer, tariff)."""
    return Cdr(
        call_id="c1",
        revision=revision,
        kind=CallKind.CALL,
        tenant="Tel",
        shop="Corner",
        booth="b07",
        session_id=7,
        dialled="0301234567",
        e164="49301234567",
        destination="Germany",
        setup_at_ms=0,
        answered_at_ms=1,
        ended_at_ms=1 + talk_ms,
        pdd_ms=None,
        talk_ms=talk_ms,
        result=Result.ANSWERED,
        sip_status=200,
        q850=16,
        hung_up_by=None,
        trunk="demo",
        leg_a_call_id=None,
        leg_b_call_id=None,
        charges=tuple(
            Charge(seller=seller, buyer=buyer, tariff=priced, cost=cost(priced, 0, talk_ms))
            for seller, buyer, priced in levels
        ),
    )


CHAIN = (
    ("Ann", "b07", tariff("0.25", "60/60", fee="0.12", places=2)),
    ("Rhea", "Ann", tariff("0.18", "30/6")),
    ("Tel", "Rhea", tariff("0.14", "1/1")),
    ("Carrier", "Tel", tariff("0.11", "1/1", places=4)),
)


def test_each_level_pays_the_one_above_and_the_provider_pays_the_carrier() -> None:
    assert charge_transfers(cdr(*CHAIN, talk_ms=137_000, revision=2)) == tuple(
        Transfer(key=key, kind=TransferKind.CHARGE, debit=debit, credit=credit, amount=euros(micros))
        for key, debit, credit, micros in (
            ("c1:0:2", "session:7@Ann", "revenue:Ann", 870_000),
            ("c1:1:2", "customer:Ann@Rhea", "revenue:Rhea", 414_000),
            ("c1:2:2", "customer:Rhea@Tel", "revenue:Tel", 319_667),
            ("c1:3:2", "carrier_cost:Tel", "payable:Carrier", 251_200),
        )
    )


def test_the_shortest_chain_is_an_owner_s_below_the_provider() -> None:
    short = (("Ann", "b07", CHAIN[0][2]), ("Tel", "Ann", CHAIN[1][2]), ("Carrier", "Tel", CHAIN[3][2]))
    assert charge_accounts(cdr(*short, talk_ms=1)) == (
        ("session:7@Ann", "revenue:Ann"),
        ("customer:Ann@Tel", "revenue:Tel"),
        ("carrier_cost:Tel", "payable:Carrier"),
    )


def test_a_level_that_owes_nothing_has_no_transfer() -> None:
    levels = (CHAIN[0], ("Rhea", "Ann", tariff("0", "60/60")), *CHAIN[2:])
    made = charge_transfers(cdr(*levels, talk_ms=1000))
    assert [transfer.key for transfer in made] == ["c1:0:0", "c1:2:0", "c1:3:0"]
    assert charge_transfers(cdr(*CHAIN, talk_ms=0)) == ()


def test_a_call_without_charges_moves_nothing() -> None:
    assert charge_accounts(cdr(talk_ms=0)) == ()
    assert charge_transfers(cdr(talk_ms=0)) == ()


@given(st.lists(TARIFFS, min_size=4, max_size=4), st.integers(0, 4_000_000))
def test_what_every_level_loses_another_gains_and_margins_are_what_stays(tariffs: list[Tariff], talk_ms: int) -> None:
    made = cdr(
        *((seller, buyer, each) for (seller, buyer, _), each in zip(CHAIN, tariffs, strict=True)), talk_ms=talk_ms
    )
    balances: Counter[str] = Counter()
    for transfer in charge_transfers(made):
        balances[transfer.debit] -= transfer.amount.micros
        balances[transfer.credit] += transfer.amount.micros
    assert sum(balances.values()) == 0
    kept = {
        "Ann": balances[revenue("Ann")] + balances[ANN],
        "Rhea": balances[revenue("Rhea")] + balances[RHEA],
        "Tel": balances[revenue("Tel")] + balances[carrier_cost("Tel")],
    }
    assert made.margins == (None, *(Money(kept[name], "EUR") for name in ("Ann", "Rhea", "Tel")))
    assert sum(kept.values()) == -balances[session_account(7, "Ann")] - balances[payable("Carrier")]


# Accounts and holds.


def test_what_is_available_is_balance_and_credit_less_what_is_held() -> None:
    made = Ledger()
    account = made.open("a", "EUR", balance=-3, credit_limit=10)
    assert made.hold("call", {"a": 5})
    assert (account.available, made.room("a", "call"), made.room("a", "other")) == (2, 7, 2)
    assert made.held_by("call") == {"a": 5}


def test_without_a_limit_there_is_no_end_and_nothing_is_held() -> None:
    made = Ledger()
    account = made.open("a", "EUR", balance=-3, credit_limit=None)
    assert made.hold("call", {"a": 10**12})
    assert (account.available, made.room("a", "call"), account.held) == (None, None, 0)
    assert (UNLIMITED.unlimited, Terms(credit_limit_micros=0).unlimited) == (True, False)


@pytest.mark.parametrize(
    ("amounts", "done"),
    [
        pytest.param({"a": 10, "b": 5}, True, id="all that is there"),
        pytest.param({"a": 11, "b": 5}, False, id="too much of the first"),
        pytest.param({"a": 10, "b": 6}, False, id="too much of the last"),
        pytest.param({}, True, id="nothing"),
    ],
)
def test_a_hold_is_taken_on_all_accounts_or_on_none(amounts: dict[str, int], done: bool) -> None:
    made = ledger(a=10, b=5)
    assert made.hold("call", amounts) is done
    assert books(made) == {name: (made[name].balance, amounts.get(name, 0) if done else 0) for name in "ab"}
    assert made.holds == done


def test_a_hold_takes_the_place_of_the_one_before() -> None:
    made = ledger(a=10, b=5)
    for amounts in ({"a": 4}, {"a": 10}, {"a": 2, "b": 5}, {"b": 1}):
        assert made.hold("call", amounts)
        assert made.held_by("call") == amounts
        assert {name: held for name, (_, held) in books(made).items() if held} == amounts
    assert not made.hold("call", {"a": 11})
    assert made.held_by("call") == {"b": 1}


def test_an_overdrawn_account_keeps_its_holds_and_takes_no_more() -> None:
    made = ledger(a=10)
    assert made.hold("call", {"a": 6})
    made.apply(moved("k", TransferKind.ADJUSTMENT, source=WORLD, account="a", amount=euros(-8)))
    assert made["a"].available == -4
    assert [made.hold("call", {"a": amount}) for amount in (7, 6, 5)] == [False, True, True]
    assert not made.hold("other", {"a": 1})
    assert made.hold("other", {"a": 0})


def test_a_void_frees_what_is_held_once() -> None:
    made = ledger(a=10)
    made.hold("call", {"a": 6})
    made.void("call")
    made.void("call")
    assert (books(made), made.holds) == ({"a": (10, 0)}, 0)


def test_a_post_charges_and_frees() -> None:
    made = ledger(a=10, b=5)
    made.hold("call", {"a": 6, "b": 5})
    made.post("call", {"a": 4, "b": 5, "revenue:Ann": 4})
    assert (books(made), made.holds) == ({"a": (6, 0), "b": (0, 0)}, 0)


def test_an_account_that_is_opened_twice_is_left_as_it_is() -> None:
    made = ledger(a=10)
    made.hold("call", {"a": 6})
    assert made.open("a", "EUR", balance=0, credit_limit=None) is made["a"]
    assert books(made) == {"a": (10, 6)}


def test_an_account_is_closed_when_nothing_is_held_on_it() -> None:
    made = ledger(a=10)
    made.hold("call", {"a": 6})
    with pytest.raises(AssertionError, match="a is closed while it is held on"):
        made.close("a")
    made.void("call")
    made.close("a")
    made.close("a")
    with pytest.raises(UnknownAccount, match="there is no account named 'a'"):
        made["a"]


def test_money_that_leaves_is_held_until_it_has_left() -> None:
    made = ledger(a=10)
    made.hold("call", {"a": 6})
    with pytest.raises(NotAvailable, match=r"0\.000005 EUR cannot be taken out: 0\.000004 EUR is available"):
        made.take("out", "a", 5)
    made.take("out", "a", 4)
    assert not made.hold("other", {"a": 1})
    made.apply(moved("k", TransferKind.PAYMENT, source=WORLD, account="a", amount=euros(-4)))
    made.void("out")
    assert books(made) == {"a": (6, 6)}


def test_of_an_overdrawn_account_nothing_is_available() -> None:
    made = ledger(a=-10)
    with pytest.raises(NotAvailable) as caught:
        made.take("out", "a", 5)
    assert (caught.value.wanted, caught.value.available) == (euros(5), euros(0))


@pytest.mark.parametrize(
    ("balance", "credit_limit", "held", "wanted", "is_refused"),
    [
        pytest.param(-4, 10, 6, 10, False, id="as it was"),
        pytest.param(-4, 10, 6, 9, True, id="lower than what is spent and held"),
        pytest.param(-4, 12, 6, 10, False, id="down to what is spent and held"),
        pytest.param(-4, None, 0, 4, False, id="one where there was none"),
        pytest.param(-4, None, 0, 3, True, id="one under what is spent"),
        pytest.param(-4, 10, 6, None, False, id="none any more"),
        pytest.param(-9, 5, 0, 7, False, id="higher, if not enough, on an overdrawn account"),
        pytest.param(-9, 5, 0, 4, True, id="lower on an overdrawn account"),
    ],
)
def test_a_limit_is_not_lowered_under_what_is_used(
    balance: int, credit_limit: int | None, held: int, wanted: int | None, is_refused: bool
) -> None:
    made = Ledger()
    account = made.open("a", "EUR", balance=balance, credit_limit=credit_limit)
    made.hold("call", {"a": held})
    if is_refused:
        with pytest.raises(BelowUsed) as caught:
            made.limit("a", wanted)
        assert caught.value.used == euros(held - balance)
    else:
        assert made.limit("a", wanted) == credit_limit
    assert account.credit_limit == (credit_limit if is_refused else wanted)


@pytest.mark.parametrize(
    "ask",
    [
        pytest.param(lambda made: made.hold("call", {"a": 1, "nobody": 1}), id="hold"),
        pytest.param(lambda made: made.room("nobody", "call"), id="room"),
        pytest.param(lambda made: made.take("call", "nobody", 1), id="take"),
        pytest.param(lambda made: made.limit("nobody", 1), id="limit"),
    ],
)
def test_an_unknown_account_is_named_and_nothing_is_changed(ask: Any) -> None:
    made = ledger(a=10)
    with pytest.raises(UnknownAccount, match="'nobody'"):
        ask(made)
    assert books(made) == {"a": (10, 0)}


def test_books_that_do_not_hold_are_told() -> None:
    made = ledger(a=10, b=10)
    made.hold("call", {"a": 6, "b": 6})
    assert made.faults() == []
    made["a"].held = 5
    del made.accounts["b"]
    assert made.faults() == ["a holds 5, its live calls 6", "b holds 6 and is not there"]


# The whole ledger, with calls that are granted, extended and settled, against one that knows nothing but lists.


class Reference:
    """What the ledger must say, worked out from lists each time it is asked."""

    def __init__(self) -> None:
        self.limits: dict[str, int | None] = {}
        self.movements: list[tuple[str, int]] = []
        self.holds: dict[str, dict[str, int]] = {}

    def balance(self, name: str) -> int:
        return sum(micros for account, micros in self.movements if account == name)

    def held(self, name: str) -> int:
        return sum(amounts.get(name, 0) for amounts in self.holds.values())

    def free(self, name: str) -> int | None:
        credit_limit = self.limits[name]
        return None if credit_limit is None else self.balance(name) + credit_limit - self.held(name)

    def can_hold(self, key: str, amounts: Mapping[str, int]) -> bool:
        before = self.holds.get(key, {})
        for name, amount in amounts.items():
            free, more = self.free(name), amount - before.get(name, 0)
            if free is not None and more > max(free, 0):
                return False
        return True

    def hold(self, key: str, amounts: Mapping[str, int]) -> None:
        self.holds[key] = {name: amount for name, amount in amounts.items() if self.limits[name] is not None}

    def granted_s(self, key: str, payers: list[Payer], floor_s: int, wish_s: int) -> int | None:
        """The longest talk of which everybody can pay the part that is his to take, by trying every second."""
        limited = [payer for payer in payers if self.limits[payer.account] is not None]
        before = self.holds.get(key, {})
        held = {payer.account: before.get(payer.account, 0) for payer in limited}
        free = {payer.account: self.free(payer.account) or 0 for payer in limited}
        one_more = {payer.account: payer.price(floor_s * 1000 + 1000, 0) for payer in limited}
        kept = held if floor_s else dict.fromkeys(held, -(10**18))
        if any(price > max(kept[name], held[name] + free[name]) for name, price in one_more.items()):
            return None
        bounds = {name: max(held[name], held[name] + free[name] // SHARE, price) for name, price in one_more.items()}
        return self._longest(limited, bounds, floor_s, wish_s)

    @staticmethod
    def _longest(limited: list[Payer], bounds: Mapping[str, int], floor_s: int, wish_s: int) -> int | None:
        seconds = range(floor_s + 1, wish_s + 1)
        fits = (s for s in seconds if all(payer.price(s * 1000, 0) <= bounds[payer.account] for payer in limited))
        return max(fits, default=None)


class Live:
    """A call that is going on: who pays for it, and how long it may talk."""

    def __init__(self, key: str, payers: list[Payer], granted_s: int) -> None:
        self.key = key
        self.payers = payers
        self.granted_s = granted_s


SESSIONS = ("session:1@Ann", "session:2@Ann", "session:3@Ann")
PARTIES = (ANN, RHEA)
TALK = "talk:3"  # the third session has minutes
ACCOUNTS = (*SESSIONS, *PARTIES, TALK)
MICROS = st.integers(0, 3_000_000) | st.integers(0, 60_000_000)  # too little for a call, or enough for some
SIGNED = MICROS | MICROS.map(lambda micros: -micros)
LIMITS = st.none() | st.integers(0, 2_000_000)


class Chain(RuleBasedStateMachine):
    """Three booth sessions of one owner below a reseller: calls, payments and limits in any order."""

    calls = Bundle("calls")

    @initialize(
        priced=st.tuples(TARIFFS, TARIFFS, TARIFFS),
        balances=st.tuples(*[MICROS] * len(ACCOUNTS)),
        limits=st.tuples(*[LIMITS] * len(ACCOUNTS)),
    )
    def begin(self, priced: tuple[Tariff, ...], balances: tuple[int, ...], limits: tuple[int | None, ...]) -> None:
        self.ledger = Ledger()
        self.reference = Reference()
        self.live: dict[str, Live] = {}
        self.begun = 0
        self.deepest: dict[str, int] = {}  # how far under its limit an adjustment has brought an account
        self.tariffs = priced
        for name, balance, drawn in zip(ACCOUNTS, balances, limits, strict=True):
            currency, credit_limit = ("ms", 0) if name == TALK else ("EUR", drawn)
            opened = balance // 100 if name == TALK else balance
            self.ledger.open(name, currency, balance=opened, credit_limit=credit_limit)
            self.reference.limits[name] = credit_limit
            self.reference.movements.append((name, opened))

    def payers(self, session: str) -> list[Payer]:
        relations = (("Ann", "booth", session), ("Rhea", "Ann", ANN), ("Tel", "Rhea", RHEA))
        payers: list[Payer] = [
            Level(seller=seller, buyer=buyer, account=account, tariff=each)
            for (seller, buyer, account), each in zip(relations, self.tariffs, strict=True)
        ]
        return [*payers, TalkTime(TALK)] if session == SESSIONS[2] else payers

    def grant(self, call: Live, wish_s: int) -> bool:
        """Ask for a longer talk, and compare what comes with what must come."""
        expected = self.reference.granted_s(call.key, call.payers, call.granted_s, wish_s)
        rooms = {payer.account: self.ledger.room(payer.account, call.key) for payer in call.payers}
        before = dict(self.ledger.held_by(call.key))
        granted_s = grant(self.ledger, call.key, call.payers, floor_s=call.granted_s, wish_s=wish_s, at_ms=0)
        assert granted_s == expected
        if granted_s is None:
            return False
        assert call.granted_s < granted_s <= wish_s
        for payer in call.payers:
            room = rooms[payer.account]
            assert room is None or payer.price(granted_s * 1000, 0) <= max(room, before.get(payer.account, 0))
        self.reference.hold(call.key, {payer.account: payer.price(granted_s * 1000, 0) for payer in call.payers})
        call.granted_s = granted_s
        return True

    @rule(target=calls, session=st.sampled_from(SESSIONS), wish_s=st.integers(1, 120))
    def dial(self, session: str, wish_s: int) -> Any:
        self.begun += 1
        call = Live(f"call {self.begun}", self.payers(session), 0)
        if not self.grant(call, wish_s):
            assert not self.ledger.held_by(call.key)
            return multiple()
        self.live[call.key] = call
        return call.key

    @rule(key=calls, slices_s=st.lists(st.integers(1, 120), min_size=1, max_size=6))
    def extend(self, key: str, slices_s: list[int]) -> None:
        call = self.live[key]
        for slice_s in slices_s:
            before = dict(self.ledger.held_by(key))
            if not self.grant(call, call.granted_s + slice_s):
                assert self.ledger.held_by(key) == before

    @rule(key=consumes(calls), actual_ms=st.integers(0, 300_000))
    def settle(self, key: str, actual_ms: int) -> None:
        """A call ends whenever it does, and is billed for no more than it was granted."""
        call = self.live.pop(key)
        talk_ms = min(actual_ms, call.granted_s * 1000)
        charges = {payer.account: payer.price(talk_ms, 0) for payer in call.payers}
        for name, held in self.ledger.held_by(key).items():
            assert charges[name] <= held
        self.ledger.post(key, {**charges, revenue("Ann"): charges[call.payers[0].account]})
        del self.reference.holds[key]
        self.reference.movements += [(name, -amount) for name, amount in charges.items()]

    @rule(key=consumes(calls))
    def give_up(self, key: str) -> None:
        """A call that nobody answered."""
        del self.live[key]
        self.ledger.void(key)
        del self.reference.holds[key]

    @rule(amounts=st.dictionaries(st.sampled_from(ACCOUNTS), MICROS, max_size=4), key=st.sampled_from("xy"))
    def set_aside(self, amounts: dict[str, int], key: str) -> None:
        expected = self.reference.can_hold(key, amounts)
        before = books(self.ledger)
        assert self.ledger.hold(key, amounts) is expected
        if expected:
            self.reference.hold(key, amounts)
        else:
            assert books(self.ledger) == before

    @rule(key=st.sampled_from("xyz"))
    def free(self, key: str) -> None:
        self.ledger.void(key)
        self.reference.holds.pop(key, None)

    @rule(name=st.sampled_from(ACCOUNTS), micros=MICROS)
    def pay_in(self, name: str, micros: int) -> None:
        self.move(name, micros, TransferKind.PAYMENT)

    @rule(name=st.sampled_from(ACCOUNTS), micros=MICROS)
    def pay_out(self, name: str, micros: int) -> None:
        free = self.reference.free(name)
        if free is not None and micros > max(free, 0):
            with pytest.raises(NotAvailable):
                self.ledger.take("out", name, micros)
        else:
            self.ledger.take("out", name, micros)
            self.move(name, -micros, TransferKind.PAYMENT)
            self.ledger.void("out")

    @rule(name=st.sampled_from(ACCOUNTS), micros=SIGNED)
    def adjust(self, name: str, micros: int) -> None:
        """Alone of all that happens this may bring an account under its limit."""
        self.move(name, micros, TransferKind.ADJUSTMENT)
        self.deepest[name] = min(self.reference.free(name) or 0, 0)

    def move(self, name: str, micros: int, kind: TransferKind) -> None:
        money = Money(micros, self.ledger[name].currency)
        self.ledger.apply(moved("k", kind, source=WORLD, account=name, amount=money))
        self.reference.movements.append((name, micros))

    @rule(name=st.sampled_from((*SESSIONS, *PARTIES)), wanted=LIMITS)
    def limit(self, name: str, wanted: int | None) -> None:
        before = self.reference.limits[name]
        if before is None and any(payer.account == name for call in self.live.values() for payer in call.payers):
            return  # nothing is held for the calls of an unlimited account: the switch gives it a limit after them
        is_lower = wanted is not None and (before is None or wanted < before)
        used = self.reference.held(name) - self.reference.balance(name)
        if wanted is not None and is_lower and wanted < used:
            with pytest.raises(BelowUsed) as caught:
                self.ledger.limit(name, wanted)
            assert caught.value.used == euros(used)
            return
        assert self.ledger.limit(name, wanted) == before
        self.reference.limits[name] = wanted
        if before is None:
            self.deepest.pop(name, None)

    @invariant()
    def the_books_are_those_of_the_reference(self) -> None:
        assert self.ledger.faults() == []
        assert books(self.ledger) == {
            name: (self.reference.balance(name), self.reference.held(name)) for name in ACCOUNTS
        }

    @invariant()
    def nobody_spends_more_than_he_may(self) -> None:
        """Only an adjustment overdraws an account, and nothing that follows brings it deeper."""
        for name, account in self.ledger.accounts.items():
            if account.available is not None:
                assert account.available >= self.deepest.get(name, 0)
                self.deepest[name] = min(account.available, 0)

    @invariant()
    def every_live_call_holds_what_its_talk_costs(self) -> None:
        for call in self.live.values():
            for payer in call.payers:
                if payer.account in self.ledger.held_by(call.key):
                    assert self.ledger.held_by(call.key)[payer.account] == payer.price(call.granted_s * 1000, 0)


Chain.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestChain = Chain.TestCase


def test_what_an_account_was_charged_only_grows() -> None:
    ledger = Ledger()
    account = ledger.open("session:1@zoe", "EUR", balance=100, credit_limit=0)
    for key, amount in (("c1", 30), ("c2", 0), ("c3", 12)):
        ledger.post(key, {"session:1@zoe": amount})
    account.balance += 500  # a payment
    assert (account.charged, account.balance) == (42, 558)
