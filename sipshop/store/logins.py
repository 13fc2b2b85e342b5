"""Who comes in by the pages: passwords, second factors and the sessions of browsers, and what is written of them.

A password is kept as argon2id wrote it, a session as the SHA-256 of its cookie.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from typing import ClassVar, Final

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.store.errors import UnknownOperator
from sipshop.store.rows import Row
from sipshop.store.schema import Statement, logins, web_sessions
from sipshop.store.writes import note_in_log


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How a person of a tenant's world comes in.

    `totp` is the secret of his second factor in base32, None where he has none; `totp_step` the last step whose code
    was used, so that none is used twice. `language` is that of his pages, empty until he chose one.
    """

    tenant: str
    operator: str
    password: str
    totp: str | None = None
    totp_step: int = 0
    language: str = ""
    changed_at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """A browser that somebody came in by; known by the SHA-256 of its cookie, in hexadecimal. Instants are UTC."""

    tenant: str
    sha256: str
    operator: str
    created_at_ms: int
    seen_at_ms: int


_IS_LOGIN: Final = (logins.c.tenant == bindparam("key_tenant"), logins.c.operator == bindparam("key_operator"))
_put = insert(logins)
_PUT: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=list(logins.primary_key),
        set_={"password": _put.excluded.password, "changed_at_ms": _put.excluded.changed_at_ms},
    )
)
_FACTOR: Final = Statement(
    update(logins).where(*_IS_LOGIN).values(totp=bindparam("totp"), totp_step=bindparam("totp_step"))
)
_LANGUAGE: Final = Statement(update(logins).where(*_IS_LOGIN).values(language=bindparam("language")))
_BEGIN: Final = Statement(insert(web_sessions).on_conflict_do_nothing())
_SEEN: Final = Statement(
    update(web_sessions)
    .where(web_sessions.c.tenant == bindparam("key_tenant"), web_sessions.c.sha256 == bindparam("key_sha256"))
    .values(seen_at_ms=bindparam("seen_at_ms"))
)
_END: Final = Statement(
    delete(web_sessions).where(
        web_sessions.c.tenant == bindparam("key_tenant"), web_sessions.c.sha256 == bindparam("key_sha256")
    )
)
_END_ALL: Final = Statement(
    delete(web_sessions).where(
        web_sessions.c.tenant == bindparam("key_tenant"), web_sessions.c.operator == bindparam("key_operator")
    )
)
_FORGET: Final = Statement(
    delete(web_sessions).where(
        web_sessions.c.tenant == bindparam("key_tenant"), web_sessions.c.created_at_ms <= bindparam("before_ms")
    )
)
_LOGIN: Final = Statement(select(logins).where(*_IS_LOGIN))
LOGINS: Final = Statement(select(logins))
WEB_SESSIONS: Final = Statement(select(web_sessions))


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordSet:
    """A person gets a password, his first or another one; whoever is in under his name is out by it."""

    waited_for: ClassVar[bool] = True
    tenant: str
    operator: str
    password: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Login:
        """Set it, and return his login as it is now: what else he has stays."""
        values = asdict(
            Login(tenant=self.tenant, operator=self.operator, password=self.password, changed_at_ms=self.at_ms)
        )
        _PUT.run(connection, values)
        _END_ALL.run(connection, {"key_tenant": self.tenant, "key_operator": self.operator})
        _log(connection, self, "password", "")
        return _found(connection, self)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorSet:
    """A person's second factor is switched on, or off where `totp` is None; `totp_step` is the one used just now."""

    waited_for: ClassVar[bool] = True
    tenant: str
    operator: str
    totp: str | None
    totp_step: int
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Login:
        """Set it, and return his login; raises UnknownOperator where he has none."""
        key = {"key_tenant": self.tenant, "key_operator": self.operator}
        _FACTOR.run(connection, key | {"totp": self.totp, "totp_step": self.totp_step})
        login = _found(connection, self)
        _log(connection, self, "second factor", "off" if self.totp is None else "on")
        return login


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageSet:
    """A person reads his pages in another language."""

    waited_for: ClassVar[bool] = True
    tenant: str
    operator: str
    language: str
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Login:
        """Set it, and return his login; raises UnknownOperator where he has none."""
        key = {"key_tenant": self.tenant, "key_operator": self.operator}
        _LANGUAGE.run(connection, key | {"language": self.language})
        login = _found(connection, self)
        _log(connection, self, "language", self.language)
        return login


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSessionBegun:
    """Somebody came in: he showed his password, and the second factor where he has one, whose step is `totp_step`.

    Sessions that began by `forget_before_ms` have ended by themselves, and are removed.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    session: WebSession
    totp_step: int | None
    forget_before_ms: int
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Login:
        """Let him in, and return his login; raises UnknownOperator where he has none."""
        login = _found(connection, self)
        if self.totp_step is not None:
            key = {"key_tenant": self.tenant, "key_operator": self.operator}
            _FACTOR.run(connection, key | {"totp": login.totp, "totp_step": self.totp_step})
            login = _found(connection, self)
        _FORGET.run(connection, {"key_tenant": self.tenant, "before_ms": self.forget_before_ms})
        _BEGIN.run(connection, asdict(self.session))
        _log(connection, self, "sign in", "")
        return login

    @property
    def operator(self) -> str:
        """Who came in."""
        return self.session.operator

    @property
    def author(self) -> str:
        """Whom the log names: himself."""
        return self.session.operator


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSessionSeen:
    """Somebody who is in did something; not written each time, and nobody waits for it."""

    waited_for: ClassVar[bool] = False
    tenant: str
    sha256: str
    seen_at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it down, if he is in still."""
        key = {"key_tenant": self.tenant, "key_sha256": self.sha256}
        _SEEN.run(connection, key | {"seen_at_ms": self.seen_at_ms})


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSessionsEnded:
    """Somebody went out: by the browser with this cookie, or everywhere where `sha256` is None."""

    waited_for: ClassVar[bool] = True
    tenant: str
    operator: str
    sha256: str | None
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """End it, or all of them."""
        if self.sha256 is None:
            _END_ALL.run(connection, {"key_tenant": self.tenant, "key_operator": self.operator})
        else:
            _END.run(connection, {"key_tenant": self.tenant, "key_sha256": self.sha256})
        _log(connection, self, "sign out", "everywhere" if self.sha256 is None else "")


_Command = PasswordSet | FactorSet | LanguageSet | WebSessionBegun | WebSessionsEnded


def _found(connection: sqlite3.Connection, command: _Command) -> Login:
    row = _LOGIN.run(connection, {"key_tenant": command.tenant, "key_operator": command.operator}).fetchone()
    if row is None:
        raise UnknownOperator(f"{command.operator!r} has no password yet")
    return login_of(row)


def _log(connection: sqlite3.Connection, command: _Command, action: str, detail: str) -> None:
    note_in_log(
        connection,
        tenant=command.tenant,
        at_ms=command.at_ms,
        author=command.author,
        action=action,
        subject=command.operator,
        detail=detail,
    )


def login_of(row: Row) -> Login:
    """Read a login back."""
    return Login(
        tenant=row["tenant"],
        operator=row["operator"],
        password=row["password"],
        totp=row["totp"],
        totp_step=row["totp_step"],
        language=row["language"],
        changed_at_ms=row["changed_at_ms"],
    )


def web_session_of(row: Row) -> WebSession:
    """Read a browser's session back."""
    return WebSession(
        tenant=row["tenant"],
        sha256=row["sha256"],
        operator=row["operator"],
        created_at_ms=row["created_at_ms"],
        seen_at_ms=row["seen_at_ms"],
    )
