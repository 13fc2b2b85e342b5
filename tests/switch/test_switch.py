"""The whole switch over a real store: who may call, what it costs, what the desk can do, and what survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sipshop.billing.errors import CallAlive, StaleBill, UnknownParty
from sipshop.billing.money import Money
from sipshop.facts import CallAnswered, CallAttempted, CallEnded, CallRang, RegistrationChanged
from sipshop.sip.course import State
from sipshop.sip.events import Answered, Failed, HungUp
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.message import Request, Response
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.store import NothingToPay, Store, Unwritable
from sipshop.switch import REFUSALS, Options, UnknownBooth, refusal_series
from tests.sip.peers import ANSWER, FORGETTING_S, Phone
from tests.store.examples import opened
from tests.switch.house import (
    BERLIN,
    CARRIER_ONE,
    NOON_MS,
    SWITCH,
    TENANT,
    WORLD,
    BoothPhone,
    Disk,
    DiskHouse,
    SwitchPeer,
    cash,
)

Scene = Callable[[DiskHouse], Awaitable[None]]


@asynccontextmanager
async def house_on(path: Path, disk: Disk, *, max_calls: int = 100) -> AsyncIterator[DiskHouse]:
    store = opened(path, connect=disk.connect)
    if store.is_empty():
        store.load(WORLD, at_ms=NOON_MS)
    try:
        yield DiskHouse(store, disk, max_calls=max_calls)
    finally:
        store.close()


@pytest.fixture
def play(tmp_path: Path) -> Callable[..., None]:
    """Play a scene with booth `gate` open, and see that afterwards nobody remembers it."""

    def played(scene: Scene, *, disk: Disk | None = None, max_calls: int = 100, unlocked: bool = True) -> None:
        async def main() -> None:
            async with house_on(tmp_path / "db", disk or Disk(), max_calls=max_calls) as house:
                if unlocked:
                    await house.switch.desk.unlock(TENANT, "gate", "ana")
                await scene(house)
                house.disk.heal()
                for phone in house.phones:
                    for leg in phone.legs:
                        if isinstance(leg, OutgoingLeg):
                            phone.give_up(leg)
                        phone.hang_up(leg)
                await house.run(FORGETTING_S)
                assert house.switch_peer.leftovers() == {}

        asyncio.run(main())

    return played


def refused(phone: Phone, leg: OutgoingLeg) -> Failed:
    failed = phone.last(leg)
    assert isinstance(failed, Failed)
    return failed


# Registration.


def test_a_phone_registers_with_its_password(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        first = house.booth.register()
        await house.run()
        assert first.statuses == [401]
        challenge = house.booth.challenge()
        assert ('realm="sipshop"' in challenge, "algorithm=MD5" in challenge) == (True, True)
        second = house.booth.register([house.booth.credentials(challenge, "REGISTER", "sip:192.0.2.1")])
        await house.run()
        assert second.statuses == [200]
        assert second.last.get("contact") == "<sip:booth1@192.0.2.10:5060>;expires=600"
        status = house.switch.desk.booths(TENANT)[0]
        assert (status.booth, status.registered, status.state) == ("booth1", 1, "locked")
        await house.run(601.0)
        assert house.switch.desk.booths(TENANT)[0].registered == 0
        told = [f.bindings for f in house.switch_peer.facts if isinstance(f, RegistrationChanged)]
        assert told == [1, 0]

    play(scene)


def test_a_phone_takes_its_registration_back(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        house.booth.register()
        await house.run()
        bindings = []
        for nc, seconds in enumerate((600, 0), start=1):
            credentials = house.booth.credentials(house.booth.challenge(), "REGISTER", "sip:192.0.2.1", nc=nc)
            recorder = house.booth.register([credentials], expires_s=seconds)
            await house.run()
            assert recorder.statuses == [200]
            bindings.append(house.switch.tables()["bindings"])
        assert bindings == [1, 0]

    play(scene)


@pytest.mark.scenario(33)
@pytest.mark.parametrize(
    ("password", "user", "expected"),
    [
        pytest.param("wrong", None, 401, id="wrong password"),
        pytest.param("secret", "gate", 403, id="another booth's address"),
    ],
)
def test_a_registration_that_is_refused(
    play: Callable[..., None], password: str, user: str | None, expected: int
) -> None:
    async def scene(house: DiskHouse) -> None:
        house.booth.password = password
        house.booth.register()
        await house.run()
        credentials = house.booth.credentials(house.booth.challenge(), "REGISTER", "sip:192.0.2.1")
        recorder = house.booth.register([credentials], user=user)
        await house.run()
        assert recorder.statuses == [expected]
        assert house.switch.tables()["bindings"] == 0

    play(scene)


def test_a_registration_for_too_short_a_time_is_refused_with_the_shortest(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        house.booth.register()
        await house.run()
        credentials = house.booth.credentials(house.booth.challenge(), "REGISTER", "sip:192.0.2.1")
        recorder = house.booth.register([credentials], expires_s=10)
        await house.run()
        assert (recorder.statuses, recorder.last.get("min-expires")) == ([423], "60")
        assert (423, "registrar") in house.switch_peer.refusals

    play(scene)


def test_options_are_answered_without_a_challenge(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        phone = house.booth
        fields = [
            ("via", phone.agent.via(phone.flow_to(SWITCH))),
            ("max-forwards", "70"),
            ("from", "<sip:x@192.0.2.10>;tag=x"),
            ("to", "<sip:192.0.2.1>"),
            ("call-id", "o"),
            ("cseq", "1 OPTIONS"),
        ]
        recorder = phone.send(Request("OPTIONS", "sip:192.0.2.1", fields), SWITCH)
        await house.run()
        assert recorder.statuses == [200]
        assert "INVITE" in (recorder.last.get("allow") or "")

    play(scene)


# Who may call.


async def suspend(house: DiskHouse) -> None:
    await house.switch.desk.suspend(TENANT, "Ann", "ana", by=TENANT)


async def suspend_all(house: DiskHouse) -> None:
    await house.switch.desk.suspend(TENANT, "Tel", "ana", by=TENANT)


async def lock(house: DiskHouse) -> None:
    await house.switch.desk.lock(TENANT, "gate", "ana")


async def suspend_and_lock(house: DiskHouse) -> None:
    await suspend(house)
    await lock(house)


async def be_in_a_call(house: DiskHouse) -> None:
    await house.talk()


async def nothing(_house: DiskHouse) -> None:
    return


@pytest.mark.parametrize(
    ("prepare", "number", "status", "cause", "reason"),
    [
        pytest.param(suspend, BERLIN, 403, "suspended", "21", id="suspended owner"),
        pytest.param(suspend_all, BERLIN, 403, "suspended", "21", id="suspended provider"),
        pytest.param(suspend_and_lock, BERLIN, 403, "suspended", "21", id="suspended and locked"),
        pytest.param(lock, BERLIN, 403, "locked", "21", id="locked"),
        pytest.param(lock, "what", 403, "locked", "21", id="locked, and no number"),
        pytest.param(be_in_a_call, BERLIN, 486, "busy", "17", id="busy"),
        pytest.param(nothing, "12", 484, "bad_number", "28", id="no number"),
        pytest.param(nothing, "0033123456", 404, "no_rate", "1", id="no rate"),
        pytest.param(nothing, "0900123456", 403, "forbidden", "21", id="forbidden"),
        pytest.param(nothing, "0044123456", 404, "no_route", "3", id="no route"),
    ],
)
def test_a_booth_that_may_not_call_is_told_why_and_leaves_a_cdr_of_zero(
    play: Callable[..., None], prepare: Scene, number: str, status: int, cause: str, reason: str
) -> None:
    async def scene(house: DiskHouse) -> None:
        await prepare(house)
        before = len(house.carrier.legs)
        leg, _ = await house.dial(number)
        phrase = next(refusal.phrase for name, refusal in REFUSALS.items() if name.value == cause)
        failed = refused(house.phone, leg)
        assert (failed.status, failed.reason) == (status, f'Q.850;cause={reason};text="{phrase}"')
        answer = next(d.message for d in reversed(house.network.log) if d.destination == house.phone.address)
        assert isinstance(answer, Response)
        assert answer.reason == phrase
        assert (status, cause) in house.switch_peer.refusals
        assert set(house.switch_peer.refusals) <= set(refusal_series())
        assert len(house.carrier.legs) == before
        record = next(cdr for cdr in await house.cdrs() if cdr["result"] == "refused")
        assert (record["sip_status"], record["dialled"], record["charges"]) == (status, number, [])
        assert (record["talk_ms"], record["answered_at"], record["trunk"]) == (0, None, None)

    play(scene)


def test_a_stranger_is_challenged_and_leaves_no_cdr(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        leg = house.booth.call(SWITCH, BERLIN)
        await house.run()
        assert refused(house.booth, leg).status == 401
        assert await house.cdrs() == []
        assert house.switch_peer.refusals == [(401, "unauthenticated")]

    play(scene)


@pytest.mark.scenario(32)
def test_a_booth_calls_with_its_password_and_its_next_call_reuses_the_nonce(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        await house.switch.desk.unlock(TENANT, "booth1", "ana")
        house.booth.call(SWITCH, BERLIN)
        await house.run()
        for nc in (1, 2):
            leg = house.booth.call_with_password(nc=nc)
            await house.run()
            house.carrier.answer(house.carrier.incoming)
            await house.run()
            assert house.booth.last(leg) == Answered(ANSWER, late_offer=False)
            house.booth.hang_up(leg)
            await house.run()
        assert [cdr["result"] for cdr in await house.cdrs()] == ["answered", "answered"]
        replayed = house.booth.call_with_password(nc=2)
        await house.run()
        assert refused(house.booth, replayed).status == 401

    play(scene)


@pytest.mark.parametrize("user", ["booth1", "nobody"])
def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(play: Callable[..., None], user: str) -> None:
    async def scene(house: DiskHouse) -> None:
        stranger = BoothPhone(house.network, ("192.0.2.66", 5060), user=user, password="wrong")
        stranger.call(SWITCH, BERLIN)
        await house.run()
        leg = stranger.call_with_password()
        await house.run()
        assert refused(stranger, leg).status == 401
        assert "stale" not in stranger.challenge()

    play(scene)


# Emergency.


@pytest.mark.parametrize("disk_works", [True, False])
def test_an_emergency_call_from_a_locked_booth_of_a_suspended_owner(
    play: Callable[..., None], disk_works: bool
) -> None:
    async def scene(house: DiskHouse) -> None:
        await suspend_and_lock(house)
        if not disk_works:
            house.disk.fail()
        leg, incoming = await house.dial("112")
        assert incoming is not None
        house.carrier.reject(incoming, 403)
        await house.run()
        house.second.answer(house.second.incoming)
        await house.run()
        assert house.phone.last(leg) == Answered(ANSWER, late_offer=False)
        invite = next(d.message for d in house.network.log if d.destination == CARRIER_ONE)
        assert isinstance(invite, Request)
        assert invite.uri.user == "112"
        await house.switch.desk.lock(TENANT, "gate", "ana", cut=True) if disk_works else None
        assert leg.state is State.CONFIRMED  # no command cuts it
        house.phone.hang_up(leg)
        house.disk.heal()
        await house.run(3.0)
        (record,) = await house.cdrs()
        assert (record["kind"], record["result"], record["charges"]) == ("emergency", "answered", [])
        assert [attempt["trunk"] for attempt in record["attempts"]] == ["one", "two"]

    play(scene)


def test_an_emergency_call_is_taken_when_nothing_else_is(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        await house.talk()
        others, _ = await house.dial()
        assert refused(house.phone, others).status == 503
        leg = house.phone.call(SWITCH, "112")
        await house.run()
        assert leg.state is State.PROCEEDING

    play(scene, max_calls=1)


# A call and its price.


def test_a_call_is_rated_billed_and_paid(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, incoming = await house.dial()
        assert incoming is not None
        await house.run(1.0)
        house.carrier.ring(incoming)
        await house.run(2.0)
        house.carrier.answer(incoming)
        await house.run()
        await house.run(61.25)
        with pytest.raises(CallAlive):
            await house.switch.desk.checkout.pay(
                TENANT, "gate", version=0, tenders=cash(Money(500_000_000, "EUR")), language=None, author="ana"
            )
        status = next(booth for booth in house.switch.desk.booths(TENANT) if booth.booth == "gate")
        assert (status.state, status.dialled, status.seconds, status.live_calls) == ("in call", BERLIN, 61, 1)
        house.phone.hang_up(leg)
        await house.run()

        (record,) = await house.cdrs()
        # 61.5 s is 62 s; 60 s and one increment of 6 s at 0.12 a minute, 0.05 to connect: 0.182, to the cent
        assert (record["talk_ms"], record["result"], record["hung_up_by"]) == (61_500, "answered", "caller")
        charge, *above = record["charges"]
        assert [(level["seller"], level["buyer"]) for level in above] == [("Tel", "Ann"), ("Carrier", "Tel")]
        assert (charge["seller"], charge["buyer"]) == ("Ann", "gate")
        assert (charge["billed_s"], charge["amount"], charge["currency"]) == (66, "0.18", "EUR")
        assert (record["e164"], record["destination"], record["trunk"]) == ("49301234567", "Germany", "one")
        assert (record["pdd_ms"], record["sip_status"]) == (1_250, 200)

        bill = await house.switch.desk.checkout.bill(TENANT, "gate")
        assert (bill.total, bill.version, len(bill.lines)) == (Money(180_000, "EUR"), 1, 1)
        with pytest.raises(StaleBill):
            await house.switch.desk.checkout.pay(
                TENANT, "gate", version=0, tenders=cash(Money(500_000, "EUR")), language=None, author="ana"
            )
        payment = await house.switch.desk.checkout.pay(
            TENANT, "gate", version=1, tenders=cash(Money(500_000, "EUR")), language=None, author="ana"
        )
        assert payment.change == Money(320_000, "EUR")
        again, _ = await house.dial()
        assert refused(house.phone, again).status == 403
        with pytest.raises(NothingToPay):
            await house.switch.desk.checkout.bill(TENANT, "gate")

    play(scene)


def test_the_facts_of_a_call_are_told_in_order_and_agree(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, incoming = await house.dial()
        assert incoming is not None
        house.carrier.ring(incoming)
        await house.run()
        house.carrier.answer(incoming)
        await house.run(10.0)
        house.phone.hang_up(leg)
        await house.run()
        kinds = (CallAttempted, CallRang, CallAnswered, CallEnded)
        facts = [fact for fact in house.switch_peer.facts if isinstance(fact, kinds)]
        assert [type(fact) for fact in facts] == list(kinds)
        assert len({fact.call_id for fact in facts}) == 1
        rang, answered, ended = facts[1:]
        assert isinstance(rang, CallRang)
        assert isinstance(answered, CallAnswered)
        assert isinstance(ended, CallEnded)
        assert 0 < rang.after_ms < answered.after_ms
        assert (ended.result, ended.trunk, ended.hung_up_by) == ("answered", "one", "caller")

    play(scene)


# The desk.


def test_lock_lets_the_call_go_on_and_takes_no_new_one(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, _ = await house.talk()
        session = await house.switch.desk.lock(TENANT, "gate", "ana")
        assert session is not None
        await house.run(5.0)
        assert leg.state is State.CONFIRMED
        house.phone.hang_up(leg)
        await house.run()
        assert (await house.switch.desk.checkout.bill(TENANT, "gate")).session_id == session.id

    play(scene)


@pytest.mark.parametrize("answered", [True, False])
def test_lock_and_cut_ends_the_call(play: Callable[..., None], answered: bool) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, incoming = await (house.talk() if answered else house.dial())
        await house.switch.desk.lock(TENANT, "gate", "ana", cut=True)
        await house.run()
        assert incoming is not None
        if answered:
            assert house.phone.last(leg) == HungUp("Q.850;cause=31")
            assert house.carrier.last(incoming) == HungUp("Q.850;cause=31")
        else:
            assert refused(house.phone, leg).status == 480
            assert house.carrier.story(incoming) == "Cancelled"
        (record,) = await house.cdrs()
        assert (record["result"], record["hung_up_by"]) == ("answered" if answered else "cancelled", "switch")

    play(scene)


def test_suspension_ends_no_call_and_is_lifted_again(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, _ = await house.talk()
        await suspend(house)
        await house.run()
        assert leg.state is State.CONFIRMED
        house.phone.hang_up(leg)
        await house.run()
        await house.switch.desk.resume(TENANT, "Ann", "ana", by=TENANT)
        await house.talk()

    play(scene)


def test_commands_for_what_is_not_there(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        switch, money = house.switch, Money(0, "EUR")
        commands: list[Callable[[], Awaitable[Any]]] = [
            lambda: switch.desk.unlock(TENANT, "nowhere", "ana"),
            lambda: switch.desk.lock(TENANT, "nowhere", "ana"),
            lambda: switch.desk.checkout.bill("other", "gate"),
            lambda: switch.desk.checkout.pay(
                "other", "gate", version=0, tenders=cash(money), language=None, author="ana"
            ),
            lambda: switch.desk.cdrs(TENANT, 10, "nowhere"),
        ]
        for command in commands:
            with pytest.raises(UnknownBooth):
                await command()
        with pytest.raises(UnknownParty):
            await switch.desk.suspend(TENANT, "nobody", "ana", by=TENANT)
        assert switch.desk.booths("other") == []

    play(scene)


def test_unlock_is_idempotent_and_goes_on_with_the_unpaid_session(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        first = await house.switch.desk.unlock(TENANT, "gate", "ana")
        await house.switch.desk.lock(TENANT, "gate", "ana")
        again = await house.switch.desk.unlock(TENANT, "gate", "bob")
        assert (again.id, again.paid) == (first.id, False)

    play(scene)


# A disk that fails.


def test_an_answer_that_cannot_be_written_is_hung_up_on_and_its_cdr_is_written_later(
    play: Callable[..., None],
) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, incoming = await house.dial()
        assert incoming is not None
        house.disk.fail()
        house.carrier.answer(incoming)
        await house.run()
        failed = refused(house.phone, leg)
        assert (failed.status, failed.retry_after_s) == (503, 5)
        assert house.carrier.story(incoming) == "Acknowledged HungUp"
        health = house.switch.health()
        assert (health.ready, health.writable, health.why) == (False, False, "the database cannot be written")
        # an unwritable database alone refuses nobody beforehand, and the desk is told
        with pytest.raises(Unwritable):
            await house.switch.desk.unlock(TENANT, "booth1", "ana")
        second, called = await house.dial()
        assert (second.state, called is incoming) == (State.PROCEEDING, False)
        house.disk.heal()
        await house.run(3.0)
        assert house.switch.health().ready
        assert [cdr["result"] for cdr in await house.cdrs()] == ["failed"]
        assert (await house.cdrs())[0]["sip_status"] == 503

    play(scene)


def test_a_lock_that_cannot_be_written_leaves_the_booth_open(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        house.disk.fail()
        with pytest.raises(Unwritable):
            await house.switch.desk.lock(TENANT, "gate", "ana")
        assert next(b for b in house.switch.desk.booths(TENANT) if b.booth == "gate").state == "open"

    play(scene)


# Going down and coming up.


def test_draining_ends_every_call_with_its_cdr_and_takes_no_new_one(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        leg, _ = await house.talk()
        assert await house.switch.drain(10.0) == 0
        await house.run()
        assert house.phone.last(leg) == HungUp("Q.850;cause=31")
        late, _ = await house.dial()
        failed = refused(house.phone, late)
        assert (failed.status, failed.retry_after_s) == (503, 30)
        assert not house.switch.health().ready
        assert [cdr["result"] for cdr in await house.cdrs()] == ["answered"]

    play(scene)


def test_after_a_crash_the_calls_are_ended_and_the_booths_are_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "db"

    async def first_life() -> tuple[list[bytes], DiskHouse]:
        async with house_on(path, Disk()) as house:
            await house.switch.desk.unlock(TENANT, "gate", "ana")
            await house.switch.desk.unlock(TENANT, "booth1", "ana")
            await house.switch.desk.lock(TENANT, "booth1", "ana")
            await house.talk()
            await house.run(12.0)
            return [datagram.data for datagram in house.network.log], house

    async def second_life(earlier: DiskHouse, log: list[bytes]) -> None:
        store = Store.open(path, process="run-2", on_commit=lambda *_: None, on_health=lambda *_: None)
        try:
            store.start(asyncio.get_running_loop())
            house, network = earlier, earlier.network
            house._disk = house.store = store
            network.leave(house.switch_peer)
            house.switch_peer = SwitchPeer(network, store, process="run-2")
            house.switch_peer.begin()
            states = {booth.booth: booth.state for booth in house.switch.desk.booths(TENANT)}
            assert states == {"booth1": "locked", "gate": "open"}
            assert house.switch.health().recovering
            with pytest.raises(CallAlive):
                await house.switch.desk.checkout.pay(
                    TENANT, "gate", version=0, tenders=cash(Money(1_000_000, "EUR")), language=None, author="ana"
                )
            await house.run()
            for phone in (house.phone, house.carrier):
                assert phone.last(phone.legs[0]) == HungUp('SIP;cause=503;text="Restarted"')
            (record,) = await house.cdrs()
            assert (record["recovered"], record["result"], record["charges"][0]["amount"]) == (True, "answered", "0.17")
            assert house.switch.health().ready
            # the caller's INVITE comes once more: nobody is called again
            network.carry(log[0], "UDP", house.phone.address, SWITCH)
            await house.run()
            assert "503 INVITE" in [str(datagram) for datagram in network.log]
            assert [type(leg) for leg in house.carrier.legs] == [IncomingLeg]
            await house.run(FORGETTING_S)
            assert house.switch_peer.leftovers() == {}
        finally:
            store.close()

    log, house = asyncio.run(first_life())
    asyncio.run(second_life(house, log))


def test_draining_does_not_wait_for_ever_for_a_disk(
    play: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(house: DiskHouse) -> None:
        await house.talk()
        house.disk.fail()
        assert await house.switch.drain(0.02) == 1
        assert "1 calls have no CDR yet" in caplog.text
        house.disk.heal()
        await house.run(3.0)
        assert [cdr["result"] for cdr in await house.cdrs()] == ["answered"]

    play(scene)


def test_limits_that_change_hold_for_the_calls_that_begin_then(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        first, _ = await house.talk()
        house.switch.change(Options(process="run-1", max_calls=1, max_call_s=60))
        turned_away = house.booth.call(SWITCH, BERLIN)
        await house.run()
        assert refused(house.booth, turned_away).status == 503
        await house.run(61.0)
        assert not isinstance(house.phone.last(first), HungUp), "it keeps the length that it began with"
        house.phone.hang_up(first)
        await house.run()
        second, _ = await house.talk()
        await house.run(59.0)
        assert not isinstance(house.phone.last(second), HungUp)
        await house.run(2.0)
        assert isinstance(house.phone.last(second), HungUp)

    play(scene)


def test_overload_is_refused_with_a_time_to_try_again(play: Callable[..., None]) -> None:
    async def scene(house: DiskHouse) -> None:
        await house.talk()
        await house.switch.desk.unlock(TENANT, "booth1", "ana")
        leg = house.booth.call(SWITCH, BERLIN)
        await house.run()
        failed = refused(house.booth, leg)
        assert (failed.status, failed.retry_after_s, failed.reason) == (
            503,
            5,
            'Q.850;cause=42;text="Too many calls"',
        )

    play(scene, max_calls=1)
