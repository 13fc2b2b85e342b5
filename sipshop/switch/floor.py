"""The floor of a shop: what operators do besides opening and locking, and all that a board shows of a booth (IO)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from sipshop.billing.cdr import CallKind
from sipshop.billing.desk import BoothSession
from sipshop.billing.errors import BadTerms, CallAlive
from sipshop.facts import BoothChanged, CallAttempted, Fact
from sipshop.proxy import news
from sipshop.proxy.orders import Command
from sipshop.sip.message import printable
from sipshop.store import (
    Alarm,
    AlarmAcknowledged,
    AlarmRaised,
    CallsCut,
    NothingToPay,
    SessionMoved,
    SessionNoted,
    Store,
)
from sipshop.switch.accounts import Accounts
from sipshop.switch.directory import Directory
from sipshop.switch.errors import UnknownBooth
from sipshop.switch.live import BoothKey, LiveCalls
from sipshop.switch.records import Live
from sipshop.switch.settler import Settler
from sipshop.switch.status import BoothStatus, CallStatus, Card, Running

#: How far ahead of now the figures of a running call are told.
AHEAD_MS: Final = 90_000


@dataclass(frozen=True, slots=True)
class _Foreseen:
    """What calls were going to cost, as it was worked out at an instant."""

    calls: tuple[str, ...]
    at_s: float
    running: tuple[Running, ...]


class Floor:
    """The booths of every shop, as their operators work them.

    `sessions` are those that are open, `statuses` what the desk shows of booths, `status` what it shows of one,
    `status_of` what it shows of a call; `beside` is what a session's bill has besides calls that come to so much.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        calls: LiveCalls,
        settler: Settler,
        sessions: dict[BoothKey, BoothSession],
        statuses: Callable[[str, Collection[str] | None], list[BoothStatus]],
        status: Callable[[str, str], BoothStatus],
        status_of: Callable[[Live, float], CallStatus],
        beside: Callable[[BoothSession, int], int],
        turn: Callable[[], AbstractContextManager[float]],
        run: Callable[[Live, list[Command], float], None],
        tell: Callable[[Fact], None],
        utc_ms: Callable[[], int],
        clock: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._calls = calls
        self._settler = settler
        self._sessions = sessions
        self._statuses = statuses
        self._status = status
        self._status_of = status_of
        self._beside = beside
        self._turn = turn
        self._run = run
        self._tell = tell
        self._utc_ms = utc_ms
        self._clock = clock
        self._notes: dict[tuple[str, int], str] = {}
        self._alarms: dict[tuple[str, str], Alarm] = {}
        self._foreseen: dict[BoothKey, _Foreseen] = {}

    def begin(self) -> None:
        """Take the store's notes and alarms."""
        self._notes = {(tenant, session_id): note for tenant, session_id, note in self._store.notes()}
        self._alarms = {(alarm.tenant, alarm.call_id): alarm for alarm in self._store.open_alarms()}

    def hear(self, fact: Fact) -> None:
        """Raise the alarm of an emergency call, before anybody is told of the call."""
        if not isinstance(fact, CallAttempted) or fact.kind != CallKind.EMERGENCY.value:
            return
        dialled = [
            live.offer.dialled
            for live in self._calls.of_booth((fact.tenant, fact.booth))
            if live.call_id == fact.call_id
        ]
        alarm = Alarm(
            tenant=fact.tenant,
            call_id=fact.call_id,
            shop=fact.shop,
            booth=fact.booth,
            dialled=printable(dialled[0]) if dialled else "",
            at_ms=fact.at_ms,
        )
        self._alarms[fact.tenant, fact.call_id] = alarm
        self._store.submit(AlarmRaised(tenant=fact.tenant, alarm=alarm))

    # What people see.

    def alarms(self, tenant: str, shops: Collection[str]) -> list[Alarm]:
        """The emergency calls of these shops that nobody has acknowledged, the oldest first."""
        return [alarm for alarm in self._alarms.values() if alarm.tenant == tenant and alarm.shop in shops]

    def cards(self, tenant: str, shop: str, booths: Collection[str] | None = None) -> list[Card]:
        """Every booth of a shop in the order of its world, or these of it, with all that a board shows of them."""
        now = self._clock()
        if booths is None:
            statuses = self._statuses(tenant, {shop})
        else:
            found = (self._directory.booths.get((tenant, name)) for name in booths)
            statuses = [self._status(tenant, booth.name) for booth in found if booth is not None and booth.shop == shop]
        return [self._card(tenant, each, now) for each in statuses]

    def booths(self, tenant: str, shop: str) -> list[str]:
        """The names of a shop's booths, in the order of its world."""
        of_tenant = (booth for booth in self._directory.booths.values() if booth.tenant == tenant)
        return [booth.name for booth in of_tenant if booth.shop == shop]

    def _card(self, tenant: str, status: BoothStatus, now: float) -> Card:
        key = tenant, status.booth
        live = self._calls.of_booth(key)
        session = self._accounts.unpaid_of(key)
        alarm = next((one for one in self._alarms.values() if (one.tenant, one.booth) == key), None)
        spent = self._accounts.spent(session) if session is not None else 0
        return Card(
            status=status,
            call=self._status_of(live[0], now) if live else None,
            unpaid_id=session.id if session is not None else None,
            spent_micros=spent,
            beside_micros=self._beside(session, spent) if session is not None else 0,
            funds_micros=self._accounts.funds(session) if session is not None else None,
            talk_left_ms=self._talk_left(session, live, now) if session is not None else None,
            running=self._ahead(key, live, now),
            note=self._notes.get((tenant, session.id), "") if session is not None else "",
            alarm_id=None if alarm is None else alarm.call_id,
        )

    def _talk_left(self, session: BoothSession, lives: list[Live], now: float) -> int | None:
        """What is left of a session's talk time at this instant: live calls use it up as they go on."""
        left_ms = self._accounts.talk_left(session)
        if left_ms is None:
            return None
        return max(0, left_ms - sum(self._status_of(live, now).talk_ms for live in lives))

    def _ahead(self, key: BoothKey, lives: list[Live], now: float) -> tuple[Running, ...]:
        """What the calls of a booth cost from now on; worked out once for all who look."""
        talking = [live for live in lives if live.call.answered_at_s is not None and live.offer.passage is not None]
        if not talking:
            self._foreseen.pop(key, None)
            return ()
        names = tuple(live.call_id for live in talking)
        foreseen = self._foreseen.get(key)
        if foreseen is None or foreseen.calls != names or not 0 <= now - foreseen.at_s < AHEAD_MS / 2000:
            foreseen = self._foreseen[key] = _Foreseen(names, now, tuple(_running(talking, now)))
        past_ms = round((now - foreseen.at_s) * 1000)
        passed = [each for each in foreseen.running if each.after_ms <= past_ms]
        return (
            Running(after_ms=0, micros=passed[-1].micros),
            *(
                Running(after_ms=each.after_ms - past_ms, micros=each.micros)
                for each in foreseen.running[len(passed) :]
            ),
        )

    # Commands.

    async def move(self, tenant: str, booth: str, to: str, author: str) -> BoothSession:
        """Let a customer go on in another booth of the shop, his bill with him; durable when it returns.

        Raises:
            UnknownBooth: there is no such booth, or the other one is not of this shop.
            NothingToPay: the booth has no unpaid session.
            CallAlive: a call of it is alive, or ended and not on disk yet.
            BadTerms: the other booth is taken or disabled.
            StoreError: nothing was written.
        """
        here, there = self._key(tenant, booth), self._key(tenant, to)
        alive = self._settler.unsettled_of(here)
        if alive:
            raise CallAlive(alive)
        if self._accounts.unpaid_of(here) is None:
            raise NothingToPay(f"booth {booth} has no session to move")
        if self._accounts.unpaid_of(there) is not None:
            raise BadTerms(f"booth {to} is taken: its own session has to be paid first")
        before = self._sessions.pop(here, None)  # no call may land in a booth that the session has left
        try:
            session = await self._store.commit(
                SessionMoved(tenant=tenant, booth=booth, to=to, author=author, at_ms=self._utc_ms())
            )
        except Exception:
            if before is not None:
                self._sessions.setdefault(here, before)
            raise
        self._accounts.move(session, booth)
        if session.is_open:
            self._sessions[there] = session
        self._changed(here)
        self._changed(there)
        return session

    async def note(self, tenant: str, booth: str, note: str, author: str) -> None:
        """Write something down about a booth's unpaid session; durable when it returns.

        Raises:
            UnknownBooth: there is no such booth.
            NothingToPay: it has no unpaid session.
            StoreError: nothing was written.
        """
        key = self._key(tenant, booth)
        session_id = await self._store.commit(
            SessionNoted(tenant=tenant, booth=booth, note=note, author=author, at_ms=self._utc_ms())
        )
        self._notes[tenant, session_id] = note
        self._changed(key)

    async def cut(self, tenant: str, booth: str, author: str) -> int:
        """End the calls of a booth, which stays as it is, and say how many; an emergency call is never cut.

        Raises:
            UnknownBooth: there is no such booth.
            StoreError: they are cut, but the log does not say so.
        """
        key = self._key(tenant, booth)
        lives = [live for live in self._calls.of_booth(key) if live.offer.kind is not CallKind.EMERGENCY]
        with self._turn() as now:
            for live in lives:
                self._run(live, live.call.hear(news.Cut(f"cut by {printable(author)}"), now), now)
        if lives:
            cut = CallsCut(tenant=tenant, booth=booth, calls=len(lives), author=author, at_ms=self._utc_ms())
            await self._store.commit(cut)
        return len(lives)

    async def acknowledge(self, tenant: str, call_id: str, author: str) -> Alarm:
        """Note that somebody has seen to an emergency call; who did so first stays. Durable when it returns.

        Raises:
            UnknownAlarm: there is no such emergency call.
            StoreError: nothing was written.
        """
        alarm = await self._store.commit(
            AlarmAcknowledged(tenant=tenant, call_id=call_id, author=author, at_ms=self._utc_ms())
        )
        self._alarms.pop((tenant, call_id), None)
        self._tell(BoothChanged(tenant=tenant, shop=alarm.shop, booth=alarm.booth))
        return alarm

    def _key(self, tenant: str, booth: str) -> BoothKey:
        if (tenant, booth) not in self._directory.booths:
            raise UnknownBooth(f"there is no booth named {booth!r}")
        return tenant, booth

    def _changed(self, key: BoothKey) -> None:
        tenant, booth = key
        self._tell(BoothChanged(tenant=tenant, shop=self._directory.booths[key].shop, booth=booth))


def _running(talking: list[Live], now: float) -> Iterator[Running]:
    """What calls cost together, from now on: a figure for each instant at which it changes."""
    talks = [(live, round(max(0.0, now - (live.call.answered_at_s or now)) * 1000)) for live in talking]
    # a talk is billed by whole seconds, so a price can change only where one is full, or has just begun
    full = {1000 - talk_ms % 1000 + second * 1000 for _, talk_ms in talks for second in range(AHEAD_MS // 1000)}
    halves = (instant - 500 for instant in full if instant > 500)
    instants = sorted({0, *full, *(instant + 1 for instant in full), *halves})
    price = lru_cache(lambda place: sum(_price(live, talk_ms + instants[place]) for live, talk_ms in talks))

    def changes(low: int, high: int) -> Iterator[int]:
        """The places after `low` up to `high` at which the price is another one; a longer talk never costs less."""
        if price(low) == price(high):
            return
        if high - low == 1:
            yield high
            return
        middle = (low + high) // 2
        yield from changes(low, middle)
        yield from changes(middle, high)

    for place in (0, *changes(0, len(instants) - 1)):
        yield Running(after_ms=instants[place], micros=price(place))


def _price(live: Live, talk_ms: int) -> int:
    assert live.offer.passage is not None, "those without were left out"
    return live.offer.passage.levels[0].price(talk_ms, live.priced_at_ms)
