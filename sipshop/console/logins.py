"""The people's logins over HTTP: for whoever looks after them, by an API token; the pages are elsewhere."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field

from sipshop.console.passwords import MAX_LENGTH, MIN_LENGTH, hash_password
from sipshop.console.scope import Scope, Sender, problems
from sipshop.console.views import Command
from sipshop.store import Login, UnknownOperator, WebSession
from sipshop.world import Operator

_REFUSALS: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _413="the body is too large",
    _404="unknown_operator: there is none, or none who may come in",
    _422="invalid_request",
    _503="unwritable, unavailable: nothing was changed",
)


class Logins(Protocol):
    """Who comes in by the pages; `sipshop.switch.logins` keeps it. Commands are durable when they return."""

    def person(self, tenant: str, name: str) -> Operator | None:
        """Somebody who may come in as his world has him now."""
        ...

    def named(self, name: str) -> Operator | None:
        """Whom a name means that was typed in."""
        ...

    def login(self, tenant: str, operator: str) -> Login | None:
        """How a person comes in."""
        ...

    def who(self, sha256: str) -> tuple[WebSession, Operator] | None:
        """Who is in by the cookie with this SHA-256."""
        ...

    def saw(self, session: WebSession) -> None:
        """Somebody who is in has done something."""
        ...

    async def set_password(self, tenant: str, operator: str, password: str, author: str) -> None:
        """Give a person a password; all his browsers are out."""
        ...

    async def set_factor(self, tenant: str, operator: str, totp: str | None, step: int, author: str) -> None:
        """Switch a person's second factor on, or off."""
        ...

    async def set_language(self, tenant: str, operator: str, language: str) -> None:
        """Have a person's pages in another language."""
        ...

    async def enter(self, tenant: str, operator: str, sha256: str, totp_step: int | None) -> WebSession:
        """Let somebody in who has shown who he is."""
        ...

    async def leave(self, session: WebSession) -> None:
        """Sign a browser out."""
        ...

    async def leave_everywhere(self, tenant: str, operator: str, author: str) -> None:
        """Sign a person out of every browser."""
        ...


class LoginDesk(Protocol):
    """Where the logins are found."""

    @property
    def logins(self) -> Logins:
        """The people's logins."""
        ...


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has to be of printable characters")
    return text


class PasswordCommand(Command):
    """Give a person a password."""

    password: Annotated[
        str,
        Field(min_length=MIN_LENGTH, max_length=MAX_LENGTH, description="only what argon2id makes of it is kept"),
        AfterValidator(_printable),
    ]


class LoginView(BaseModel):
    """How a person comes in by the pages."""

    operator: str
    has_password: bool
    has_second_factor: bool


def add_logins(router: APIRouter, desk: LoginDesk) -> None:
    """Add the endpoints of logins."""

    def person_of(sender: Scope, name: str) -> Operator:
        """Somebody of a party that the sender reaches; an operator looks after nobody."""
        sender.forbid_operators()
        person = desk.logins.person(sender.tenant, name)
        if person is None or person.party not in sender.reach.parties:
            raise UnknownOperator(f"there is no operator named {name!r}, or none who may come in")
        return person

    def view(person: Operator) -> LoginView:
        login = desk.logins.login(person.tenant, person.name)
        return LoginView(
            operator=person.name,
            has_password=login is not None,
            has_second_factor=login is not None and login.totp is not None,
        )

    @router.get("/operators/{operator}/login", tags=["operators"], responses=_REFUSALS)
    async def read_login(sender: Sender, operator: str) -> LoginView:
        """Say whether a person can come in by the pages, and by what."""
        return view(person_of(sender, operator))

    @router.post("/operators/{operator}/password", tags=["operators"], responses=_REFUSALS)
    async def set_password(sender: Sender, operator: str, command: PasswordCommand) -> LoginView:
        """Give a person a password for the pages; wherever he is in, he is out by it."""
        person = person_of(sender, operator)
        await desk.logins.set_password(sender.tenant, operator, await hash_password(command.password), sender.author)
        return view(person)

    @router.post("/operators/{operator}/forget-factor", tags=["operators"], responses=_REFUSALS)
    async def forget_factor(sender: Sender, operator: str) -> LoginView:
        """Switch a person's second factor off, for one who has lost it."""
        person = person_of(sender, operator)
        if desk.logins.login(sender.tenant, operator) is not None:
            await desk.logins.set_factor(sender.tenant, operator, None, 0, sender.author)
        return view(person)

    @router.post("/operators/{operator}/sign-out", tags=["operators"], responses=_REFUSALS)
    async def sign_out(sender: Sender, operator: str) -> LoginView:
        """Sign a person out of every browser."""
        person = person_of(sender, operator)
        await desk.logins.leave_everywhere(sender.tenant, operator, sender.author)
        return view(person)
