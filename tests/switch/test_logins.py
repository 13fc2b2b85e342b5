"""Who is in by the pages, and until when: sessions end by themselves, with the person, and with a new password."""

import asyncio
from typing import cast

import pytest

from sipshop.store import Store, UnknownOperator, WebSession
from sipshop.switch import Directory, Logins
from sipshop.switch.logins import IDLE_MS, LONGEST_MS
from sipshop.world import parse_world
from tests.console.memory_floor import MemoryStore

WORLD = """\
provider: {name: Tel}
owners: [{name: Ann, deck: sell, unlimited: true}]
decks: [{name: sell, currency: EUR, rates: [{prefix: "49", destination: X, first_s: 1, first_price: "1", next_s: 1}]}]
trunks: [{name: one, deck: sell, host: 192.0.2.20, emergency: true}]
routes: [{prefix: "", trunks: [one]}]
shops:
  - {name: Corner, owner: Ann, deck: sell, country_code: "49", emergency: ["112"], booths: [{name: b, password: x}]}
operators:
  - {name: ana, shop: Corner}
  - {name: ben, shop: Corner, suspended: SUSPENDED}
"""
NOON_MS = 1_700_000_000_000


class Gate:
    """Logins on a clock that stands still until it is set."""

    def __init__(self, store: MemoryStore | None = None, suspended: str = "false") -> None:
        self.now_ms = NOON_MS
        self.store = store or MemoryStore(lambda: None)
        world = parse_world(WORLD.replace("SUSPENDED", suspended), "logins")
        self.logins = Logins(
            Directory([world], default_realm="sipshop"), cast("Store", self.store), lambda: self.now_ms
        )
        self.logins.begin()

    def enter(self, name: str = "ana") -> WebSession:
        if self.logins.login("Tel", name) is None:
            asyncio.run(self.logins.set_password("Tel", name, "argon2id's text", "start"))
        return asyncio.run(self.logins.enter("Tel", name, f"hash of {name}", None))


def test_a_session_ends_when_nothing_is_done_and_goes_on_when_something_is() -> None:
    gate = Gate()
    session = gate.enter()
    gate.now_ms += IDLE_MS - 1
    assert gate.logins.who(session.sha256) is not None
    gate.logins.saw(session)
    gate.now_ms += IDLE_MS - 1
    assert gate.logins.who(session.sha256) is not None
    gate.now_ms += 1
    assert gate.logins.who(session.sha256) is None


def test_it_ends_in_any_case() -> None:
    gate = Gate()
    session = gate.enter()
    while gate.now_ms < NOON_MS + LONGEST_MS - IDLE_MS:
        gate.now_ms += IDLE_MS - 1
        found = gate.logins.who(session.sha256)
        assert found is not None
        gate.logins.saw(found[0])
    gate.now_ms = NOON_MS + LONGEST_MS
    assert gate.logins.who(session.sha256) is None
    gate.enter("ben")
    assert len(gate.store.web_sessions()) == 1, "what has ended is removed"


def test_a_session_outlives_a_restart_but_not_the_person() -> None:
    gate = Gate()
    session = gate.enter("ben")
    again = Gate(gate.store)
    found = again.logins.who(session.sha256)
    assert found is not None
    assert (found[1].name, found[1].shop) == ("ben", "Corner")
    assert Gate(gate.store, suspended="true").logins.who(session.sha256) is None


def test_a_new_password_ends_them_all() -> None:
    gate = Gate()
    ana, ben = gate.enter(), gate.enter("ben")
    asyncio.run(gate.logins.set_password("Tel", "ana", "another text", "boss"))
    assert gate.logins.who(ana.sha256) is None
    assert gate.logins.who(ben.sha256) is not None
    assert [session.operator for session in gate.store.web_sessions()] == ["ben"]


def test_who_is_not_in_the_world_gets_no_password() -> None:
    with pytest.raises(UnknownOperator):
        asyncio.run(Gate(suspended="true").logins.set_password("Tel", "ben", "text", "boss"))


def test_everything_is_in_the_desks_log() -> None:
    gate = Gate()
    asyncio.run(gate.logins.leave(gate.enter()))
    asyncio.run(gate.logins.set_factor("Tel", "ana", "SECRET", 7, "ana"))
    asyncio.run(gate.logins.set_language("Tel", "ana", "pl"))
    asyncio.run(gate.logins.leave_everywhere("Tel", "ana", "boss"))
    rows = gate.store.connection.execute("SELECT author, action, subject, detail FROM desk_log ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("start", "password", "ana", ""),
        ("ana", "sign in", "ana", ""),
        ("ana", "sign out", "ana", ""),
        ("ana", "second factor", "ana", "on"),
        ("ana", "language", "ana", "pl"),
        ("boss", "sign out", "ana", "everywhere"),
    ]
