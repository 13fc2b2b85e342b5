"""The floor and the logins of the desk in memory: what `tests.console.memory.MemoryDesk` has them from."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, cast

from argon2 import PasswordHasher

from sipshop.billing.errors import BadTerms, CallAlive
from sipshop.store import Alarm, Login, NothingToPay, PasswordSet, Screen, Store, UnknownAlarm, WebSession
from sipshop.store.logins import LOGINS, WEB_SESSIONS, login_of, web_session_of
from sipshop.store.schema import schema_statements
from sipshop.store.screens import SCREENS, screen_of
from sipshop.switch import CallStatus, Card, Directory, Logins, Screens
from sipshop.switch.till import Tills
from sipshop.world import World

if TYPE_CHECKING:
    from tests.console.memory import MemoryDesk

PASSWORD = "the password of everybody"
_SCHEMA: Final = schema_statements()


class MemoryStore:
    """A database that is a variable: it has what the real one has, and forgets it; `failure` is the desk's."""

    def __init__(self, failure: Callable[[], Exception | None]) -> None:
        self._failure = failure
        self.connection = sqlite3.connect(":memory:", check_same_thread=False)
        self.connection.row_factory = sqlite3.Row
        for statement in _SCHEMA:
            self.connection.execute(statement)

    async def commit(self, write: Any) -> Any:
        failure = self._failure()
        if failure is not None:
            raise failure
        return write.apply(self.connection)

    async def ask(self, tenant: str, question: Callable[[sqlite3.Connection, str], Any]) -> Any:
        return question(self.connection, tenant)

    def logins(self) -> list[Login]:
        return [login_of(row) for row in LOGINS.run(self.connection, {})]

    def web_sessions(self) -> list[WebSession]:
        return [web_session_of(row) for row in WEB_SESSIONS.run(self.connection, {})]

    def screens(self) -> list[Screen]:
        return [screen_of(row) for row in SCREENS.run(self.connection, {})]

    def submit(self, write: Any) -> None:
        write.apply(self.connection)


def memory_logins(world: World, failure: Callable[[], Exception | None], utc_ms: Callable[[], int]) -> Logins:
    """The real room over such a database, in which everybody has the password PASSWORD."""
    store = MemoryStore(failure)
    kept = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    for person in world.operators:
        PasswordSet(tenant=world.tenant, operator=person.name, password=kept, author="start", at_ms=0).apply(
            store.connection
        )
    logins = Logins(Directory([world], default_realm="sipshop"), cast("Store", store), utc_ms)
    logins.begin()
    return logins


def memory_screens(world: World, failure: Callable[[], Exception | None], utc_ms: Callable[[], int]) -> Screens:
    """The real room over such a database, without a screen."""
    store = cast("Store", MemoryStore(failure))
    return Screens(Directory([world], default_realm="sipshop"), store, utc_ms)


class MemoryFloor:
    """The floor of the one shop; an alarm is one call of its booth b1."""

    def __init__(self, desk: MemoryDesk, tenant: str) -> None:
        self._desk = desk
        self._tenant = tenant
        self.notes: dict[str, str] = {}
        self.calls: dict[str, CallStatus] = {}
        self.asked: list[str] = []  # each booth whose card was asked for
        self.open = [
            Alarm(tenant=tenant, call_id="call-1", shop="center", booth="b1", dialled="112", at_ms=1_767_225_599_007)
        ]

    def cards(self, tenant: str, shop: str, booths: Collection[str] | None = None) -> list[Card]:
        self.asked += booths or ()
        return [
            Card(
                status=status,
                call=self.calls.get(status.booth),
                unpaid_id=status.session_id,
                spent_micros=0,
                beside_micros=0,
                funds_micros=None,
                talk_left_ms=status.left_ms,
                running=(),
                note=self.notes.get(status.booth, ""),
                alarm_id=None,
            )
            for status in self._desk.booths(tenant, {shop})
            if booths is None or status.booth in booths
        ]

    def booths(self, tenant: str, shop: str) -> list[str]:
        return [status.booth for status in self._desk.booths(tenant, {shop})]

    def alarms(self, tenant: str, shops: Collection[str]) -> list[Alarm]:
        return [alarm for alarm in self.open if alarm.tenant == tenant and alarm.shop in shops]

    async def move(self, tenant: str, booth: str, to: str, author: str) -> None:
        here, there = (self._desk.command(tenant, name, "move", author) for name in (booth, to))
        if here.session is None:
            raise NothingToPay(f"booth {booth} has no session to move")
        if here.live_calls:
            raise CallAlive(here.live_calls)
        if there.session is not None:
            raise BadTerms(f"booth {to} is taken: its own session has to be paid first")
        there.session, here.session = replace(here.session, booth=to), None
        there.lines, here.lines = here.lines, []

    async def note(self, tenant: str, booth: str, note: str, author: str) -> None:
        if self._desk.command(tenant, booth, "note", author).session is None:
            raise NothingToPay(f"booth {booth} has no session to write about")
        self.notes[booth] = note

    async def cut(self, tenant: str, booth: str, author: str) -> int:
        room = self._desk.command(tenant, booth, "cut", author)
        cut, room.live_calls = room.live_calls, 0
        return cut

    async def acknowledge(self, tenant: str, call_id: str, author: str) -> Alarm:
        if self._desk.failure is not None:
            raise self._desk.failure
        for alarm in self.open:
            if (alarm.tenant, alarm.call_id) == (tenant, call_id):
                self.open.remove(alarm)
                return replace(alarm, acknowledged_at_ms=alarm.at_ms + 1, acknowledged_by=author)
        raise UnknownAlarm(f"there is no emergency call named {call_id!r}")


class MemoryTills(Tills):
    """The real room over a database that is a variable."""

    def __init__(self, world: World, failure: Callable[[], Exception | None], utc_ms: Callable[[], int]) -> None:
        self.stored = MemoryStore(failure)
        super().__init__(
            directory=Directory([world], default_realm="sipshop"),
            store=cast("Store", self.stored),
            tell=lambda _fact: None,
            utc_ms=utc_ms,
        )
