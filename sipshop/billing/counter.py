"""The counter of a shop: what it sells besides calls, how it takes cash, and what its operators may do.

Prices of goods are what a customer pays, tax and all, whatever the shop's prices of calls are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.errors import BadTerms
from sipshop.billing.money import Money, parse_amount
from sipshop.billing.receipt import Seller
from sipshop.billing.tax import Tax
from sipshop.billing.tender import CashMode, CashRounding

#: The languages that receipts are worded in.
LANGUAGES: Final = ("en", "fr", "es", "it", "pt", "pl", "ar")
NAME_LENGTH: Final = 40


class TillMode(StrEnum):
    """Whether cash is taken without a shift."""

    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True, slots=True, kw_only=True)
class Good:
    """Something that a shop sells besides calls; without a `tax` of its own it is taxed as calls are."""

    name: str
    price: Money
    tax: Tax | None = None

    def __str__(self) -> str:
        return f"{self.name} {self.price}"

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, the price as a decimal string."""
        tax = {} if self.tax is None else {"tax": self.tax.to_json()}
        return {"name": self.name, "price": self.price.text, **tax}

    @classmethod
    def from_json(cls, data: dict[str, Any], currency: str) -> Good:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        tax = Tax.from_json(data["tax"]) if "tax" in data else None
        return cls(name=data["name"], price=Money.parse(data["price"], currency), tax=tax)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """How a shop's desk works; `currency` is that of its till.

    `seller` is who stands on receipts, `zone` the IANA time zone of the shop: both are None where the world leaves them
    to its owner's letterhead (see `completed`). A receipt is in one of the `languages`, the first unless somebody
    chooses; `country_code` tells national calls on it. An operator may take off `discount_most_ppm` of a bill in all
    (None: what he likes).
    """

    tenant: str
    shop: str
    currency: str
    rounding: CashRounding | None = None
    goods: tuple[Good, ...] = ()
    seller: Seller | None = None
    zone: str | None = None
    languages: tuple[str, ...] = LANGUAGES
    discount_most_ppm: int | None = None
    operators_may_void: bool = True
    till: TillMode = TillMode.OPTIONAL
    country_code: str = ""

    def good(self, name: str) -> Good | None:
        """What is sold under this name at a fixed price, None where there is no such thing."""
        return next((good for good in self.goods if good.name == name), None)

    def language(self, wanted: str | None) -> str:
        """Return the language that a receipt is in.

        Raises:
            BadTerms: the shop gives no receipts in this one.
        """
        if wanted is None:
            return self.languages[0]
        if wanted not in self.languages:
            raise BadTerms(f"{self.shop} gives receipts in {', '.join(self.languages)}, not in {wanted!r}")
        return wanted

    def completed(self, owner: Seller, zone: str, country_code: str = "") -> Counter:
        """Return it with what its owner is on paper, where it says nothing else, and where its calls are national."""
        return replace(self, seller=self.seller or owner, zone=self.zone or zone, country_code=country_code)

    @property
    def on_paper(self) -> tuple[Seller, str]:
        """Who stands on receipts, and the time zone of their times, of a counter that is `completed`."""
        assert self.seller is not None, "a counter is completed before it is used"
        assert self.zone is not None, "a counter is completed before it is used"
        return self.seller, self.zone

    def to_json(self) -> dict[str, Any]:
        """Return its terms in plain JSON types, amounts as decimal strings, but for whose it is."""
        return {
            "currency": self.currency,
            "rounding": None if self.rounding is None else self.rounding.to_json(self.currency),
            "goods": [good.to_json() for good in self.goods],
            "seller": None if self.seller is None else self.seller.to_json(),
            "zone": self.zone,
            "languages": list(self.languages),
            "discount_most_ppm": self.discount_most_ppm,
            "operators_may_void": self.operators_may_void,
            "till": self.till.value,
        }

    @classmethod
    def from_json(cls, tenant: str, shop: str, data: dict[str, Any]) -> Counter:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        currency, rounding, seller = data["currency"], data["rounding"], data["seller"]
        return cls(
            tenant=tenant,
            shop=shop,
            currency=currency,
            rounding=None
            if rounding is None
            else CashRounding(parse_amount(rounding["step"]), CashMode(rounding["mode"])),
            goods=tuple(Good.from_json(good, currency) for good in data["goods"]),
            seller=None if seller is None else Seller.from_json(seller),
            zone=data["zone"],
            languages=tuple(data["languages"]),
            discount_most_ppm=data["discount_most_ppm"],
            operators_may_void=data["operators_may_void"],
            till=TillMode(data["till"]),
        )


def taxed_as(good: Good | None, shop_tax: Tax | None) -> Tax | None:
    """Return the tax in the price of a good, or of something that stands on no list: the shop's, or its own.

    A rate is one, whether prices of calls have it in them or not: so it is one line of a bill.
    """
    if good is None or good.tax is None:
        return shop_tax
    own = good.tax
    if shop_tax is not None and (shop_tax.percent_ppm, shop_tax.name) == (own.percent_ppm, own.name):
        return shop_tax
    return own if own.percent_ppm else None
