"""The books in any weather: calls that share little money, a disk that fails, a process that dies, people who pay."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sipshop.billing.cdr import Result
from sipshop.billing.desk import SessionTerms
from sipshop.billing.errors import BillingError
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money
from sipshop.sip.course import State
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store import StoreError
from sipshop.store.audit import audit
from tests.sip.peers import LATENCY_S
from tests.switch.house import GATE, SWITCH, TENANT, House, at_once, cash
from tests.switch.test_fx import MIXED
from tests.switch.test_money import BRITAIN, CHAIN, GERMANY, world_of

EURO: Final = Money(1_000_000, "EUR")


class Shop:
    """A shop with a few euros, and what may happen there at any moment."""

    def __init__(self, opening: str, text: str = CHAIN) -> None:
        self.house = House(world=world_of(opening, text=text))
        self.keys = map(str, count())
        self.runs = count(2)
        for phone in (self.house.carrier, self.house.second):
            phone.on_invite = partial(self._answers_soon, phone.address)

    def _answers_soon(self, _address: object, leg: IncomingLeg) -> None:
        phone = self.house.carrier if leg in self.house.carrier.legs else self.house.second
        self.house.network.at(self.house.network.now + 0.5, lambda: phone.answer(leg))

    def do(self, action: str) -> None:
        """One thing that happens; what is refused has its reasons, and changes nothing."""
        with suppress(BillingError, StoreError):
            DEEDS[action](self)

    def call(self, number: str) -> None:
        self.house.phone.call(SWITCH, number)

    def hang_up(self) -> None:
        up = [leg for leg in self.house.phone.legs if leg.state is State.CONFIRMED]
        if up:
            self.house.phone.hang_up(up[0])

    def callee_hangs_up(self) -> None:
        up = [leg for leg in self.house.carrier.legs if leg.state is State.CONFIRMED]
        if up:
            self.house.carrier.hang_up(up[-1])

    def unlock(self, terms: SessionTerms) -> None:
        at_once(self.house.switch.desk.unlock(TENANT, "gate", "ana", terms))

    def lock(self) -> None:
        at_once(self.house.switch.desk.lock(TENANT, "gate", "ana"))

    def top_up(self) -> None:
        at_once(self.house.switch.desk.top_up(TENANT, "gate", EURO, "ana", next(self.keys)))

    def check_out(self) -> None:
        desk = self.house.switch.desk
        status = desk.booths(TENANT)[0]
        if status.session_id is not None:
            version = self.house.memory.version(status.session_id)
            at_once(
                desk.checkout.pay(
                    TENANT,
                    "gate",
                    version=version,
                    tenders=cash(Money(500_000_000, "EUR")),
                    language=None,
                    author="ana",
                )
            )

    def move(self, kind: TransferKind, amount: Money) -> None:
        desk = self.house.switch.desk
        at_once(desk.move(TENANT, "Ann", kind, amount, author="ana", reason="test", key=next(self.keys)))

    def crash(self) -> None:
        self.house.restart(process=f"run-{next(self.runs)}")

    def disk(self, *, broken: bool = False, delay_s: float = 0.0) -> None:
        self.house.memory.broken, self.house.memory.delay_s = broken, delay_s

    def close(self) -> None:
        """The disk works again, everybody hangs up, and all is written."""
        self.disk()
        self.house.advance(200.0)
        at_once(self.house.switch.desk.lock(TENANT, "gate", "ana", cut=True))
        self.house.forget()


DEEDS: Final[dict[str, Callable[[Shop], None]]] = {
    "a dear call": lambda shop: shop.call(BRITAIN),
    "a call": lambda shop: shop.call(GERMANY),
    "the caller hangs up": Shop.hang_up,
    "the callee hangs up": Shop.callee_hangs_up,
    "unlock": lambda shop: shop.unlock(SessionTerms()),
    "unlock for a deposit": lambda shop: shop.unlock(SessionTerms(deposit=EURO)),
    "unlock for minutes": lambda shop: shop.unlock(SessionTerms(talk_limit_ms=60_000)),
    "top up": Shop.top_up,
    "lock": Shop.lock,
    "check out": Shop.check_out,
    "the owner pays": lambda shop: shop.move(TransferKind.PAYMENT, EURO),
    "the owner is paid back": lambda shop: shop.move(TransferKind.PAYMENT, -EURO),
    "suspend": lambda shop: at_once(shop.house.switch.desk.suspend(TENANT, "Rhea", "ana", by=TENANT, cut=True)),
    "resume": lambda shop: at_once(shop.house.switch.desk.resume(TENANT, "Rhea", "ana", by=TENANT)),
    "the process dies": Shop.crash,
    "the disk breaks": lambda shop: shop.disk(broken=True),
    "the disk heals": Shop.disk,
    "the disk is slow": lambda shop: shop.disk(delay_s=0.5),
    "the disk is stuck": lambda shop: shop.disk(delay_s=4.0),
}
MOMENTS: Final = st.integers(0, 480).map(lambda eighths: eighths / 8)
CALLING: Final = st.tuples(MOMENTS, st.sampled_from(["a dear call", "a call"]))
ANYTHING: Final = st.tuples(MOMENTS, st.sampled_from(list(DEEDS)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    opening=st.sampled_from(["0.50", "2.00", "10.00"]),
    text=st.sampled_from([CHAIN, CHAIN, MIXED]),
    first=st.sampled_from(["unlock", "unlock for a deposit", "unlock for minutes"]),
    script=st.tuples(st.lists(CALLING, min_size=1, max_size=8), st.lists(ANYTHING, max_size=10)),
)
def test_whatever_happens_the_books_are_right(
    opening: str, text: str, first: str, script: tuple[Sequence[tuple[float, str]], Sequence[tuple[float, str]]]
) -> None:
    shop = Shop(opening, text)
    house = shop.house
    shop.do(first)
    for at_s, action in (*script[0], *script[1]):
        house.network.at(at_s, partial(shop.do, action))
    house.advance(60.5)
    shop.close()

    assert audit(house.memory.connection) == []
    assert house.switch.accounts.faults() == []
    _check_balances(house)
    _check_talk(house)
    assert house.memory.count("calls") == 0


def _check_balances(house: House) -> None:
    """Memory and database agree, and nobody has spent what he does not have."""
    stored = dict(house.memory.connection.execute("SELECT name, balance_micros FROM accounts").fetchall())
    for account in house.switch.accounts.ledger(TENANT).accounts.values():
        if account.currency != "ms":
            assert account.balance == stored[account.name], account
        if account.credit_limit is not None:
            assert account.balance + account.credit_limit >= 0, account


def _check_talk(house: House) -> None:
    """Each caller who heard a 200 has one CDR, for no longer than he talked."""
    answered: dict[str, float] = {}
    ended: dict[str, float] = defaultdict(lambda: house.network.now)
    for datagram in house.network.log:
        call_id = datagram.message.call_id
        if str(datagram) == "200 INVITE" and datagram.destination == GATE:
            answered.setdefault(call_id, datagram.at_s)
        if str(datagram) == "BYE" and GATE in {datagram.source, datagram.destination}:
            ended[call_id] = min(datagram.at_s, ended[call_id])
    cdrs = {cdr.leg_a_call_id: cdr for cdr in house.memory.cdrs}
    assert len(cdrs) == len(house.memory.cdrs)
    for call_id, answered_s in answered.items():
        cdr = cdrs[call_id]
        assert cdr.result is Result.ANSWERED or cdr.recovered
        # the switch hears a BYE after the network's delay
        assert cdr.talk_ms <= (ended[call_id] - answered_s + LATENCY_S) * 1000


def test_legs_are_told_apart() -> None:
    shop = Shop("2.00")
    shop.do("unlock")
    shop.do("a call")
    shop.house.advance(2.0)
    assert [type(leg) for leg in shop.house.phone.legs] == [OutgoingLeg]
    assert [leg.state for leg in shop.house.carrier.legs] == [State.CONFIRMED]
    shop.close()
