"""What a person changes about himself: password, second factor, and where he is signed in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from sipshop.console.logins import Logins
from sipshop.console.pages import totp
from sipshop.console.pages.door import Form, Member, SignedIn, hash_secret, new_secret, set_secret
from sipshop.console.pages.frame import Frame, role_name
from sipshop.console.pages.login import WAIT, Gatekeeper, source_of
from sipshop.console.pages.words import mark
from sipshop.console.passwords import MAX_LENGTH, MIN_LENGTH, hash_password, is_password

_NOT_IT: Final = mark("That is not your password.")
_WRONG_CODE: Final = mark("The code is wrong, or was used already. Type the next one.")
_SHORT: Final = mark("A password has at least %(least)s characters.")
_UNLIKE: Final = mark("The two new passwords are not the same.")
_CHANGED: Final = mark("Your password is changed. You are signed out everywhere else.")
_ON: Final = mark("The second factor is on.")
_OFF: Final = mark("The second factor is off.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """The page of a person's account, and whether it is him who changes something there."""

    frame: Frame
    logins: Logins
    gatekeeper: Gatekeeper

    def page(self, request: Request, member: Member, *, why: str = "", done: str = "", secret: str = "") -> Response:
        """The page; 403 where it says `why` something was not done."""
        login = self.logins.login(member.person.tenant, member.person.name)
        return self.frame.page(
            request,
            member.visitor,
            "account.html",
            status=403 if why else 200,
            why=member.words(why) if why else "",
            done=member.words(done) if done else "",
            role=role_name(member.person.role, member.words),
            has_factor=login is not None and login.totp is not None,
            secret=" ".join(re.findall("....", secret)),
            uri=totp.uri(secret, member.person.name, "sipshop") if secret else "",
            least=MIN_LENGTH,
            most=MAX_LENGTH,
        )

    async def doubt(self, request: Request, member: Member, fields: Mapping[str, str]) -> str:
        """Why the password in a form does not show that it is him; empty if it does."""
        login = self.logins.login(member.person.tenant, member.person.name)
        source, name = source_of(request), f"{member.person.name}@{member.person.tenant}".casefold()
        wait_s = self.gatekeeper.wait_s(name, source)
        if wait_s:
            return member.words(WAIT, seconds=member.words.number(wait_s))
        self.gatekeeper.tries(name, source)
        password = fields.get("current", "")[:MAX_LENGTH]
        if await is_password(None if login is None else login.password, password):
            self.gatekeeper.passed(name, source)
            return ""
        return _NOT_IT


def add_account(
    router: APIRouter, frame: Frame, logins: Logins, gatekeeper: Gatekeeper, random: Callable[[int], bytes]
) -> None:
    """Add the page of a person's account and what it changes."""
    account = _Account(frame=frame, logins=logins, gatekeeper=gatekeeper)

    @router.get("/account")
    async def show_account(request: Request, member: SignedIn) -> Response:
        """What a person may change about himself."""
        return account.page(request, member)

    @router.post("/account/password")
    async def change_password(request: Request, member: SignedIn, fields: Form) -> Response:
        """Take another password, and sign out every other browser of his."""
        new, person = fields.get("new", ""), member.person
        if not MIN_LENGTH <= len(new) <= MAX_LENGTH or not new.isprintable():
            why = member.words(_SHORT, least=member.words.number(MIN_LENGTH))
        elif new != fields.get("again", ""):
            why = _UNLIKE
        else:
            why = await account.doubt(request, member, fields)
        if why:
            return account.page(request, member, why=why)
        await logins.set_password(person.tenant, person.name, await hash_password(new), person.name)
        secret = new_secret(random)
        await logins.enter(person.tenant, person.name, hash_secret(secret), None)
        response = RedirectResponse("/account/changed", 303)
        set_secret(response, secret, is_secure=member.visitor.is_secure)
        return response

    @router.get("/account/changed")
    async def show_changed(request: Request, member: SignedIn) -> Response:
        """The same, after a new password: with the token of the new cookie in its forms."""
        return account.page(request, member, done=_CHANGED)

    @router.post("/account/sign-out-everywhere")
    async def sign_out_everywhere(member: SignedIn, fields: Form) -> Response:
        """Sign a person out of every browser, this one too."""
        del fields
        await logins.leave_everywhere(member.person.tenant, member.person.name, member.person.name)
        return RedirectResponse("/login", 303)

    _add_factor(router, account, random)


def _add_factor(router: APIRouter, account: _Account, random: Callable[[int], bytes]) -> None:
    logins, gatekeeper = account.logins, account.gatekeeper

    @router.post("/account/factor/begin")
    async def begin_factor(request: Request, member: SignedIn, fields: Form) -> Response:
        """Show a secret for an authenticator; nothing is kept before a code of it was typed."""
        del fields
        return account.page(request, member, secret=totp.new_secret(random))

    @router.post("/account/factor")
    async def switch_factor_on(request: Request, member: SignedIn, fields: Form) -> Response:
        """Ask for codes from now on."""
        secret, person = "".join(fields.get("secret", "").split()), member.person
        if not totp.is_secret(secret):
            return account.page(request, member, why=_WRONG_CODE)
        step = totp.matched_step(secret, fields.get("code", ""), gatekeeper.now_ms, after=0)
        if step is None:
            return account.page(request, member, why=_WRONG_CODE, secret=secret)
        why = await account.doubt(request, member, fields)
        if why:
            return account.page(request, member, why=why, secret=secret)
        await logins.set_factor(person.tenant, person.name, secret, step, person.name)
        return account.page(request, member, done=_ON)

    @router.post("/account/factor/off")
    async def switch_factor_off(request: Request, member: SignedIn, fields: Form) -> Response:
        """Ask for no codes any more."""
        why = await account.doubt(request, member, fields)
        if why:
            return account.page(request, member, why=why)
        await logins.set_factor(member.person.tenant, member.person.name, None, 0, member.person.name)
        return account.page(request, member, done=_OFF)
