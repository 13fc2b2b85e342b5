"""What a world is, as frozen values; passwords are not in it: a booth carries their digest hashes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sipshop.billing.counter import Counter
from sipshop.billing.deck import RateDeck
from sipshop.billing.fx import Pair
from sipshop.billing.invoice import Letterhead
from sipshop.billing.limits import Limits
from sipshop.billing.parties import Party
from sipshop.billing.tax import Tax
from sipshop.config import Problem
from sipshop.proxy.admission import Booth, Shop
from sipshop.proxy.routing import Route, Trunk

#: Stands in an exported world where a password is: whoever applies it keeps the one that is there.
MASK: Final = "********"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How the account of a party with the one above it begins, in micro-units.

    `opening_micros` was paid in beforehand; `credit_limit_micros` is what may be spent beyond it, None without end.
    """

    party: str
    currency: str
    credit_limit_micros: int | None
    opening_micros: int


class Role(StrEnum):
    """What somebody does: work the desk of a shop, or act for a party of this kind."""

    OPERATOR = "operator"
    OWNER = "owner"
    RESELLER = "reseller"
    PROVIDER = "provider"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """A person of a party: of the owner whose `shop` he serves, or, in any other role, of the party itself.

    While he is `suspended` he can be given no token.
    """

    tenant: str
    name: str
    role: Role
    party: str
    shop: str | None
    suspended: bool = False


class Sold(StrEnum):
    """What a tax is on: what a shop sells to its customers, or what is sold to a party."""

    IN_SHOP = "shop"
    TO_PARTY = "party"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaxTerms:
    """The tax on the sales of a shop, or on what a party is sold, by its name; what is not taxed has none of these."""

    sold: Sold
    place: str
    tax: Tax

    @property
    def name(self) -> str:
        """What it is on, in words."""
        return f"{self.sold.value} {self.place}"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What one provider (`tenant`) has set up.

    `imported` are the decks whose rates are those of sheets, and stand in no file.
    The booth sessions of `open_booths` are opened when the booth is added, which is for load tests alone: a booth
    starts locked.
    """

    tenant: str
    parties: tuple[Party, ...]
    shops: tuple[Shop, ...]
    booths: tuple[Booth, ...]
    decks: tuple[RateDeck, ...]
    trunks: tuple[Trunk, ...]
    routes: tuple[Route, ...]
    open_booths: frozenset[str]
    openings: tuple[Opening, ...]
    operators: tuple[Operator, ...] = ()
    taxes: tuple[TaxTerms, ...] = ()
    fx: tuple[Pair, ...] = ()
    limits: tuple[Limits, ...] = ()
    letterheads: tuple[Letterhead, ...] = ()
    counters: tuple[Counter, ...] = ()
    imported: frozenset[str] = frozenset()


WorldError = Problem  # one error of a world is what the reader of its file calls a problem


class WorldErrors(Exception):
    """A world cannot be used; `errors` are all of its errors, by line, and the text has one on each line."""

    def __init__(self, errors: Sequence[WorldError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(str(error) for error in self.errors))
