"""Who comes in by the pages: the people's logins and the sessions of their browsers, in memory and on disk (IO).

What a person may do is read from his world each time: who is suspended there, or gone, is out at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from sipshop.store import (
    FactorSet,
    LanguageSet,
    Login,
    PasswordSet,
    Store,
    UnknownOperator,
    WebSession,
    WebSessionBegun,
    WebSessionSeen,
    WebSessionsEnded,
)
from sipshop.switch.directory import Directory
from sipshop.world import Operator

#: A session ends when nothing was done in it for so long, and in any case when it is so old: a shift, and a week.
IDLE_MS: Final = 12 * 3_600_000
LONGEST_MS: Final = 7 * 24 * 3_600_000
#: That somebody is still there is written down no more often than this.
_SEEN_EVERY_MS: Final = 300_000


class Logins:
    """The people who may come in, and those who are in."""

    def __init__(self, directory: Directory, store: Store, utc_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._store = store
        self._utc_ms = utc_ms
        self._logins: dict[tuple[str, str], Login] = {}
        self._sessions: dict[str, WebSession] = {}

    def begin(self) -> None:
        """Take what the store has."""
        self._logins = {(login.tenant, login.operator): login for login in self._store.logins()}
        self._sessions = {session.sha256: session for session in self._store.web_sessions()}

    # Who is who.

    def people(self) -> Iterator[Operator]:
        """Everybody of every tenant who may come in, if he has a password."""
        for world in self._directory.worlds:
            yield from (person for person in world.operators if not person.suspended)

    def person(self, tenant: str, name: str) -> Operator | None:
        """Somebody who may come in as his world has him now."""
        return next((one for one in self.people() if (one.tenant, one.name) == (tenant, name)), None)

    def named(self, name: str) -> Operator | None:
        """Whom a name means that was typed in: one person of all, or `name@provider` where two are named alike."""
        alike = [person for person in self.people() if person.name == name]
        if not alike:
            operator, _, tenant = name.rpartition("@")
            alike = [person for person in self.people() if (person.name, person.tenant) == (operator, tenant)]
        return alike[0] if len(alike) == 1 else None

    def login(self, tenant: str, operator: str) -> Login | None:
        """How a person comes in, None where he was given no password."""
        return self._logins.get((tenant, operator))

    def who(self, sha256: str) -> tuple[WebSession, Operator] | None:
        """Who is in by the cookie with this SHA-256, as his world has him now; None where nobody is."""
        session, now_ms = self._sessions.get(sha256), self._utc_ms()
        if session is None or not _is_alive(session, now_ms):
            return None
        person = self.person(session.tenant, session.operator)
        return None if person is None else (session, person)

    # Commands, durable when they return.

    async def set_password(self, tenant: str, operator: str, password: str, author: str) -> None:
        """Give a person a password, which is argon2id's text of it; all his browsers are out. Raises StoreError."""
        if self.person(tenant, operator) is None:
            raise UnknownOperator(f"there is no operator named {operator!r}, or none who may come in")
        now_ms = self._utc_ms()
        self._keep(
            await self._store.commit(
                PasswordSet(tenant=tenant, operator=operator, password=password, author=author, at_ms=now_ms)
            )
        )
        self._forget(tenant, operator)

    async def set_factor(self, tenant: str, operator: str, totp: str | None, step: int, author: str) -> None:
        """Switch a person's second factor on, or off; raises StoreError."""
        self._keep(
            await self._store.commit(
                FactorSet(
                    tenant=tenant, operator=operator, totp=totp, totp_step=step, author=author, at_ms=self._utc_ms()
                )
            )
        )

    async def set_language(self, tenant: str, operator: str, language: str) -> None:
        """Have a person's pages in another language; raises StoreError."""
        write = LanguageSet(tenant=tenant, operator=operator, language=language, author=operator, at_ms=self._utc_ms())
        self._keep(await self._store.commit(write))

    async def enter(self, tenant: str, operator: str, sha256: str, totp_step: int | None) -> WebSession:
        """Let somebody in who has shown who he is, by a cookie with this SHA-256; raises StoreError."""
        now_ms = self._utc_ms()
        session = WebSession(tenant=tenant, sha256=sha256, operator=operator, created_at_ms=now_ms, seen_at_ms=now_ms)
        write = WebSessionBegun(
            tenant=tenant, session=session, totp_step=totp_step, forget_before_ms=now_ms - LONGEST_MS, at_ms=now_ms
        )
        self._keep(await self._store.commit(write))
        self._sessions = {each: one for each, one in self._sessions.items() if _is_alive(one, now_ms)}
        self._sessions[sha256] = session
        return session

    async def leave(self, session: WebSession) -> None:
        """Sign a browser out; it is out even if that cannot be written. Raises StoreError."""
        self._sessions.pop(session.sha256, None)
        await self._store.commit(
            WebSessionsEnded(
                tenant=session.tenant,
                operator=session.operator,
                sha256=session.sha256,
                author=session.operator,
                at_ms=self._utc_ms(),
            )
        )

    async def leave_everywhere(self, tenant: str, operator: str, author: str) -> None:
        """Sign a person out of every browser; he is out even if that cannot be written. Raises StoreError."""
        self._forget(tenant, operator)
        await self._store.commit(
            WebSessionsEnded(tenant=tenant, operator=operator, sha256=None, author=author, at_ms=self._utc_ms())
        )

    def saw(self, session: WebSession) -> None:
        """Somebody who is in has done something: his session goes on."""
        now_ms = self._utc_ms()
        if now_ms - session.seen_at_ms < _SEEN_EVERY_MS or session.sha256 not in self._sessions:
            return
        self._sessions[session.sha256] = replace(session, seen_at_ms=now_ms)
        self._store.submit(WebSessionSeen(tenant=session.tenant, sha256=session.sha256, seen_at_ms=now_ms))

    def _keep(self, login: Login) -> None:
        self._logins[login.tenant, login.operator] = login

    def _forget(self, tenant: str, operator: str) -> None:
        self._sessions = {
            each: one for each, one in self._sessions.items() if (one.tenant, one.operator) != (tenant, operator)
        }


def _is_alive(session: WebSession, now_ms: int) -> bool:
    return now_ms - session.seen_at_ms < IDLE_MS and now_ms - session.created_at_ms < LONGEST_MS
