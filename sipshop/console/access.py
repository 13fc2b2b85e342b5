"""The API's tokens over HTTP: making, listing and revoking them, each party for itself and for those below it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from fastapi import APIRouter

from sipshop.console.scope import OPERATOR, Scope, Sender, problems
from sipshop.console.tokens import hash_token, new_token
from sipshop.console.views import NewTokenView, TokenCommand, TokenList, TokenView
from sipshop.store import Token, UnknownOperator, UnknownToken
from sipshop.world import Operator

_DAY_MS: Final = 86_400_000
_MAKING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_party, unknown_shop, unknown_operator",
    _413="the body is too large",
    _422="invalid_request",
    _503="unwritable, unavailable: no token was made",
)
_REVOKING: Final = problems(_404="unknown_token", _422="invalid_request", _503="unwritable, unavailable")


class Tokens(Protocol):
    """Where tokens are kept; the switch's desk does it, durably."""

    def chain(self, tenant: str, shop: str) -> tuple[str, ...]:
        """A shop's owner and everybody above him; raises `UnknownShop`."""
        ...

    def operator(self, tenant: str, name: str) -> Operator:
        """A person of the world; raises `UnknownOperator`."""
        ...

    def token(self, sha256: str) -> Token | None:
        """The token with this SHA-256 in hexadecimal, unless it was revoked."""
        ...

    async def tokens(self, tenant: str) -> list[Token]:
        """Every token, the oldest first."""
        ...

    async def add_token(self, tenant: str, token: Token, author: str) -> None:
        """Let a token in."""
        ...

    async def revoke_token(self, tenant: str, token_id: str, author: str) -> Token:
        """Let a token in no more, by its id; raises `UnknownToken`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Opened:
    """What a token is to open, and the person whose it is."""

    role: str
    party: str
    shop: str | None = None
    operator: str | None = None


def add_tokens(router: APIRouter, tokens: Tokens, utc_ms: Callable[[], int], random: Callable[[int], bytes]) -> None:
    """Add the endpoints of tokens."""

    def opened(sender: Scope, command: TokenCommand) -> _Opened:
        """What a command asks for, as far as the sender reaches it himself."""
        if command.operator is not None:
            person = tokens.operator(sender.tenant, command.operator)
            if person.suspended or person.party not in sender.reach.parties:
                raise UnknownOperator(f"there is no operator named {command.operator!r}, or none who may come in")
            return _Opened(role=person.role.value, party=person.party, shop=person.shop, operator=person.name)
        if command.shop is not None:
            owner = tokens.chain(sender.tenant, sender.shop(command.shop))[0]
            return _Opened(role=OPERATOR, party=owner, shop=command.shop)
        status = sender.party(command.party or "")
        return _Opened(role=status.kind, party=status.party)

    async def visible(sender: Scope) -> list[Token]:
        sender.forbid_operators()
        return [token for token in await tokens.tokens(sender.tenant) if token.party in sender.reach.parties]

    @router.get("/tokens", tags=["tokens"], responses=problems(_503="unavailable"))
    async def list_tokens(sender: Sender) -> TokenList:
        """List the tokens of the parties that the sender sees, the oldest first."""
        return TokenList(tokens=[TokenView.of(token) for token in await visible(sender)])

    @router.post("/tokens", tags=["tokens"], status_code=201, responses=_MAKING)
    async def make_token(sender: Sender, command: TokenCommand) -> NewTokenView:
        """Make a token for a party, for the operators of a shop or for one person; the answer alone tells it."""
        sender.forbid_operators()
        made, now_ms, opens = new_token(random), utc_ms(), opened(sender, command)
        token = Token(
            tenant=sender.tenant,
            sha256=hash_token(made),
            role=opens.role,
            party=opens.party,
            shop=opens.shop,
            operator=opens.operator,
            label=command.label,
            created_at_ms=now_ms,
            expires_at_ms=None if command.days is None else now_ms + command.days * _DAY_MS,
        )
        await tokens.add_token(sender.tenant, token, sender.author)
        return NewTokenView.of(token, secret=made)

    @router.post("/tokens/{token_id}/revoke", tags=["tokens"], responses=_REVOKING)
    async def revoke_token(sender: Sender, token_id: str) -> TokenView:
        """Let a token in no more, from this moment; what was revoked is found revoked."""
        if not any(token.id == token_id for token in await visible(sender)):
            raise UnknownToken(f"there is no token with the id {token_id!r}")
        return TokenView.of(await tokens.revoke_token(sender.tenant, token_id, sender.author))
