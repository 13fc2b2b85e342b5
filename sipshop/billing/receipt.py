"""A receipt: what a customer paid for, word for word as it was when he paid.

It is written once, in the transaction of the payment, with the next number of its shop; whatever becomes of prices,
names and taxes later, it is printed again as it was. It holds no sentence in any language but what people wrote:
whoever shows it words it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.errors import BadBill
from sipshop.billing.money import Money
from sipshop.billing.tax import Tax, Taxed, TaxSum
from sipshop.billing.tender import Tender

#: What `from_json` reads; a later one reads the earlier ones too.
RECEIPT_VERSION: Final = 1


class EntryKind(StrEnum):
    """What an entry of a bill or a receipt is."""

    CALL = "call"
    GOOD = "good"
    DISCOUNT = "discount"  # below zero: off the whole bill
    VOID = "void"  # below zero: takes back an entry that stands above it


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a receipt; `amount` is what it adds to the total, tax and all.

    `text` is the destination, the good, or the reason of a discount or a void. Of a call there are the number as it was
    dialled and as E.164, when it was answered (UTC), the milliseconds of talk, the seconds that were billed, and
    `explanation`, its arithmetic as `rating.explain` writes it; of a good its `quantity` and the price of one; of a
    discount that is a percentage the arithmetic too.
    """

    kind: EntryKind
    text: str
    amount: Money
    dialled: str = ""
    e164: str = ""
    at_ms: int | None = None
    talk_ms: int = 0
    billed_s: int = 0
    explanation: str = ""
    quantity: int = 1
    unit: Money | None = None
    author: str = ""  # of a discount or a void

    def to_json(self) -> dict[str, Any]:
        """Return the entry in plain JSON types, amounts as decimal strings; what it has not is left out."""
        made: dict[str, Any] = {"kind": self.kind.value, "text": self.text, "amount": self.amount.text}
        if self.kind is EntryKind.CALL:
            made |= {"dialled": self.dialled, "e164": self.e164, "at_ms": self.at_ms, "talk_ms": self.talk_ms}
            made["billed_s"] = self.billed_s
        if self.explanation or self.kind is EntryKind.CALL:
            made["explanation"] = self.explanation
        if self.unit is not None:
            made |= {"quantity": self.quantity, "unit": self.unit.text}
        if self.author:
            made["author"] = self.author
        return made

    @classmethod
    def from_json(cls, data: dict[str, Any], currency: str) -> Entry:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        return cls(
            kind=EntryKind(data["kind"]),
            text=data["text"],
            amount=Money.parse(data["amount"], currency),
            dialled=data.get("dialled", ""),
            e164=data.get("e164", ""),
            at_ms=data.get("at_ms"),
            talk_ms=data.get("talk_ms", 0),
            billed_s=data.get("billed_s", 0),
            explanation=data.get("explanation", ""),
            quantity=data.get("quantity", 1),
            unit=Money.parse(data["unit"], currency) if "unit" in data else None,
            author=data.get("author", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seller:
    """Who sold, as the law wants to read it; `address` has a line each."""

    name: str
    address: tuple[str, ...] = ()
    tax_id: str = ""

    def __str__(self) -> str:
        return self.name

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types."""
        return {"name": self.name, "address": list(self.address), "tax_id": self.tax_id}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Seller:
        """Read back what `to_json` gave; raises KeyError or TypeError if it is not that."""
        return cls(name=data["name"], address=tuple(data["address"]), tax_id=data["tax_id"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A bill that was paid: `number` is the shop's next, from 1 on and without a gap.

    `total` is the sum of the entries, tax and all, and `rounding` what the rounding of cash added to it or took off;
    `deposit` was paid before, the `tenders` at the desk, and `change` went back, in cash. `language` is that of the
    customer, `zone` the IANA time zone of the shop and `country_code` the digits that its country's numbers begin with,
    empty where nobody said; `at_ms` is UTC.

    Raises:
        BadBill: it does not add up.
    """

    tenant: str
    shop: str
    number: int
    session_id: int
    booth: str
    at_ms: int
    author: str
    language: str
    zone: str
    seller: Seller
    entries: tuple[Entry, ...]
    taxes: tuple[TaxSum, ...]
    total: Money
    rounding: Money
    deposit: Money
    tenders: tuple[Tender, ...]
    change: Money
    country_code: str = ""

    def __post_init__(self) -> None:
        zero = Money(0, self.currency)
        if sum((entry.amount for entry in self.entries), zero) != self.total:
            raise BadBill(f"receipt {self.number} of {self.shop}: its entries do not add up to {self.total}")
        if self.deposit + self.tendered - self.change != self.payable:
            raise BadBill(f"receipt {self.number} of {self.shop}: what was paid is not the {self.payable} of its bill")

    @property
    def currency(self) -> str:
        """The currency of all its amounts."""
        return self.total.currency

    @property
    def payable(self) -> Money:
        """What the customer paid in the end."""
        return self.total + self.rounding

    @property
    def tendered(self) -> Money:
        """All that was handed over at the desk."""
        return sum((tender.amount for tender in self.tenders), Money(0, self.currency))

    def to_json(self) -> dict[str, Any]:
        """Return the receipt in plain JSON types, amounts as decimal strings."""
        return {
            "version": RECEIPT_VERSION,
            "tenant": self.tenant,
            "shop": self.shop,
            "number": self.number,
            "session_id": self.session_id,
            "booth": self.booth,
            "at_ms": self.at_ms,
            "author": self.author,
            "language": self.language,
            "zone": self.zone,
            "country_code": self.country_code,
            "seller": self.seller.to_json(),
            "currency": self.currency,
            "entries": [entry.to_json() for entry in self.entries],
            "taxes": [_tax_json(each) for each in self.taxes],
            "total": self.total.text,
            "rounding": self.rounding.text,
            "deposit": self.deposit.text,
            "tenders": [tender.to_json() for tender in self.tenders],
            "change": self.change.text,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Receipt:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        if data["version"] != RECEIPT_VERSION:
            raise ValueError(f"a receipt of version {data['version']!r} is not known, only {RECEIPT_VERSION}")
        currency = data["currency"]
        plain: dict[str, Any] = {name: data[name] for name in _PLAIN}
        amounts: dict[str, Any] = {name: Money.parse(data[name], currency) for name in _AMOUNTS}
        return cls(
            **plain,
            **amounts,
            seller=Seller.from_json(data["seller"]),
            entries=tuple(Entry.from_json(entry, currency) for entry in data["entries"]),
            taxes=_taxes(data["taxes"], currency),
            tenders=tuple(Tender.from_json(tender, currency) for tender in data["tenders"]),
        )


_PLAIN: Final = (
    "tenant",
    "shop",
    "number",
    "session_id",
    "booth",
    "at_ms",
    "author",
    "language",
    "zone",
    "country_code",
)
_AMOUNTS: Final = ("total", "rounding", "deposit", "change")


def _tax_json(each: TaxSum) -> dict[str, Any]:
    parts = each.parts
    return {"tax": each.tax.to_json(), "net": parts.net.text, "amount": parts.tax.text, "gross": parts.gross.text}


def _taxes(found: Sequence[dict[str, Any]], currency: str) -> tuple[TaxSum, ...]:
    def money(text: str) -> Money:
        return Money.parse(text, currency)

    return tuple(
        TaxSum(
            Tax.from_json(each["tax"]),
            Taxed(money(each["net"]), money(each["amount"]), money(each["gross"])),
        )
        for each in found
    )
