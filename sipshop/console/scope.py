"""Who may see and do what: a party sees itself and all below it, and never what those above it pay.

What lies outside is not there: it is answered like a name that nobody has, so that nobody learns names by asking.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Protocol

from fastapi import Depends, Header, HTTPException, Request

from sipshop.billing.errors import UnknownParty
from sipshop.console.errors import MEDIA_TYPE
from sipshop.console.guard import identity_of
from sipshop.console.tokens import Identity
from sipshop.console.views import ProblemView
from sipshop.switch import (
    BoothStatus,
    DeckStatus,
    PartyStatus,
    Reach,
    UnknownBooth,
    UnknownCall,
    UnknownDeck,
    UnknownShop,
)

PROVIDER: Final = "provider"
OPERATOR: Final = "operator"


class World(Protocol):
    """What is asked about who stands below whom; the switch's desk keeps it."""

    def reach(self, tenant: str, party: str) -> Reach:
        """What a party may see; raises `UnknownParty`."""
        ...

    def booth(self, tenant: str, name: str) -> BoothStatus:
        """One booth as it is now; raises `UnknownBooth`."""
        ...

    def party(self, tenant: str, name: str) -> PartyStatus:
        """One party as it is now; raises `UnknownParty`."""
        ...


@dataclass(frozen=True, slots=True)
class Scope:
    """The sender of a request, and what he reaches: an operator one shop and no party."""

    identity: Identity
    reach: Reach
    world: World

    @classmethod
    def of(cls, identity: Identity, world: World) -> Scope:
        """Look up what an identity reaches now; raises `UnknownParty` for a party that is gone."""
        token = identity.token
        reach = world.reach(token.tenant, token.party)
        if token.role == OPERATOR:
            reach = Reach(parties=frozenset(), shops=reach.shops & {token.shop or ""})
        return cls(identity, reach, world)

    @property
    def tenant(self) -> str:
        """Whose world it is."""
        return self.identity.tenant

    @property
    def author(self) -> str:
        """The name that the desk's log keeps."""
        return self.identity.author

    @property
    def person(self) -> str | None:
        """The person of the world whose the token is, None where it is nobody's."""
        return self.identity.token.operator

    @property
    def own_party(self) -> str:
        """The party that he is, or works for."""
        return self.identity.token.party

    @property
    def role(self) -> str:
        """What he is: provider, reseller, owner or operator."""
        return self.identity.role

    @property
    def is_provider(self) -> bool:
        """Whether he sees the carriers too."""
        return self.role == PROVIDER

    def booth(self, name: str) -> BoothStatus:
        """A booth that he reaches; raises `UnknownBooth`."""
        status = self.world.booth(self.tenant, name)
        if status.shop not in self.reach.shops:
            raise UnknownBooth(f"there is no booth named {name!r}")
        return status

    def party(self, name: str) -> PartyStatus:
        """A party that he reaches; raises `UnknownParty`, and HTTPException (403) for an operator."""
        self.forbid_operators()
        if name not in self.reach.parties:
            raise UnknownParty(f"there is no party named {name!r}")
        return self.seen(self.world.party(self.tenant, name))

    def customer(self, name: str) -> PartyStatus:
        """A party that he sells to, whose account and standing he may change.

        His own are his seller's to change: HTTPException (403). The provider has no account, and is told so elsewhere.
        """
        status = self.party(name)
        if name == self.own_party and not self.is_provider:
            raise HTTPException(403, f"only who sells to {name} changes this")
        return status

    def shop(self, name: str) -> str:
        """A shop that he reaches; raises `UnknownShop`."""
        if name not in self.reach.shops:
            raise UnknownShop(f"there is no shop named {name!r}")
        return name

    def sees(self, party: str, shop: str | None) -> bool:
        """Whether something is his to see that is about a party, or about a shop of it or one of its booths."""
        return party in self.reach.parties or shop in self.reach.shops

    def deck(self, status: DeckStatus) -> DeckStatus:
        """A deck whose prices are his to make: nobody sells by it but he and those below him; raises `UnknownDeck`.

        The provider's are all of them, also those that he buys by.
        """
        self.forbid_operators()
        sellers = {seller for seller, _ in status.sales}
        if not self.is_provider and not (sellers and sellers <= self.reach.parties):
            raise UnknownDeck(f"there is no deck named {status.deck.name!r}")
        return status

    def forbid_operators(self) -> None:
        """Stop who is not a party himself: HTTPException (403)."""
        if self.role == OPERATOR:
            raise HTTPException(403, "an operator's token opens the booths and calls of its shop, and nothing else")

    def named(self, party: str) -> str:
        """A party's name as he may hear it: in place of whom he does not know, above his own seller, that one's."""
        if party in self.reach.parties:
            return party
        seller = self.world.party(self.tenant, self.own_party).parent
        assert seller is not None, "the provider reaches everybody"
        return seller

    def seen(self, status: PartyStatus) -> PartyStatus:
        """A party that he reaches, with nobody in it whom he does not know."""
        suspender = status.suspender and self.named(status.suspender)
        return replace(
            status, suspender=suspender, suspended_by=status.suspended_by and self.named(status.suspended_by)
        )

    def only_provider(self) -> None:
        """Stop everybody but the provider: HTTPException (403)."""
        if not self.is_provider:
            raise HTTPException(403, "this takes a token of the provider")

    def record(self, cdr: Mapping[str, Any]) -> dict[str, Any]:
        """A call's record as he may see it: the charges of his subtree, with his own cost last.

        An operator sees what the customer pays. The carriers are the provider's alone, and who he is. Raises
        `UnknownCall` for a call of another's shop.
        """
        if self.is_provider:
            return dict(cdr)
        if cdr["shop"] not in self.reach.shops:
            raise UnknownCall(f"there is no call named {cdr['call_id']!r} that has ended")
        hidden: dict[str, Any] = {"tenant": None, "trunk": None, "attempts": [], "leg_b_call_id": None}
        return {**cdr, **hidden, "charges": self._charges(cdr["charges"])}

    def _charges(self, charges: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if self.role == OPERATOR:
            return charges[:1]
        shown = []
        for charge in charges:
            if charge["seller"] in self.reach.parties:
                shown.append(charge)
                continue
            if charge["buyer"] == self.own_party:
                shown.append(charge)
            break  # from here on it is what those above pay
        return shown


async def _scope(request: Request) -> Scope:  # a plain function would be given a thread
    """Whom the guard let in, with what he reaches; without a guard nobody comes in."""
    identity = identity_of(request.state)
    if identity is None:
        raise HTTPException(401, "the request has passed no guard")
    try:
        return Scope.of(identity, request.app.state.desk)
    except UnknownParty:
        raise HTTPException(401, "the party of this token is gone") from None


Sender = Annotated[Scope, Depends(_scope)]


async def _key(
    sender: Sender,
    given: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="names the command: sent again with the same key and the same content, it is done once",
        ),
    ] = None,
) -> str:
    """The name of a command that moves money, drawn here where the sender gave it none; each token has its own."""
    return f"{sender.identity.token.id}:{secrets.token_hex(16) if given is None else given}"


Key = Annotated[str, Depends(_key)]


def problems(**codes: str) -> dict[int | str, dict[str, Any]]:
    """The refusals of an endpoint for its documentation: `_404="no such booth"`."""
    content = {MEDIA_TYPE: {"schema": ProblemView.model_json_schema()}}
    return {int(code.lstrip("_")): {"description": text, "content": content} for code, text in codes.items()}
