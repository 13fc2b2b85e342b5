"""A receipt in words: what a customer reads on it, in his language, from the shop's name to the change.

Amounts, dates and numbers are written as CLDR has them for the language. The arithmetic of a call needs none: digits,
signs, and the symbols s and min.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from babel.dates import format_datetime
from babel.numbers import format_decimal, get_decimal_symbol

from sipshop.billing.money import MICRO_PLACES, Money, minor_unit_places
from sipshop.billing.receipt import Entry, EntryKind, Receipt
from sipshop.billing.tender import Method
from sipshop.console.pages.countries import country_of
from sipshop.console.pages.words import LANGUAGES, SOURCE, Words, mark, span, words
from sipshop.printing.slip import Align, Block, Row, Rule, Slip, Table, Text

#: How money is handed over, in words.
METHODS: Final = {
    Method.CASH: mark("Cash"),
    Method.CARD: mark("Card"),
    Method.MOBILE: mark("Mobile money"),
    Method.VOUCHER: mark("Voucher"),
}

#: Why a discount is given, to choose from; kept as it stands here, so that a receipt has it in the customer's language.
DISCOUNTS: Final = (mark("Regular customer"), mark("Bad line"), mark("Goodwill"))
#: Why a call is taken off.
VOIDS: Final = (mark("Bad line"), mark("Wrong number"), mark("Cut off"), mark("Charged by mistake"))

_INDENT: Final = 2
_NUMBER: Final = re.compile(r"[0-9]+\.[0-9]+")
_SECONDS: Final = re.compile(r"^[0-9.]+ s = ")
_TIMES: Final = " \N{MULTIPLICATION SIGN} "
_SIGNS: Final = (
    (" at ", _TIMES),
    (" x ", _TIMES),
    (" / ", " \N{DIVISION SIGN} "),
    ("->", "\N{ALMOST EQUAL TO}"),
    ("...", "\N{HORIZONTAL ELLIPSIS}"),
)


def language_of(receipt: Receipt) -> str:
    """Return the language that a receipt is worded in: the customer's, or that of the messages."""
    return receipt.language if receipt.language in LANGUAGES else SOURCE


def slip_of(receipt: Receipt, *, copy: int = 0, language: str | None = None) -> Slip:
    """Return a receipt as it is read, in the customer's language or another one; `copy` counts how often it was before.

    Whatever was printed before says that it is a reprint.
    """
    _ = words(language_of(receipt) if language is None else language)
    return Slip(
        language=_.language,
        is_rtl=_.direction == "rtl",
        title=_("Receipt %(number)s", number=receipt.number),
        blocks=tuple(_blocks(receipt, copy, _)),
    )


def _blocks(receipt: Receipt, copy: int, _: Words) -> Iterator[Block]:
    yield from _seller(receipt, _)
    if copy:
        yield Text(text=_("REPRINT"), align=Align.CENTER, bold=True, big=True)
        yield Text(text=_("Copy %(number)s, not the original", number=copy), align=Align.CENTER)
        yield Rule()
    yield Row(label=_("Receipt"), amount=str(receipt.number), bold=True)
    yield Row(label=_("Date"), amount=_instant(receipt, receipt.at_ms, _))
    yield Row(label=_("Booth"), amount=receipt.booth)
    yield Row(label=_("Served by"), amount=receipt.author)
    if receipt.taxes:
        yield Text(text=_("Amounts in %(currency)s, tax included", currency=receipt.currency))
    else:
        yield Text(text=_("Amounts in %(currency)s", currency=receipt.currency))
    yield Rule()
    for entry in receipt.entries:
        yield from _entry(receipt, entry, _)
    yield Rule()
    yield from _totals(receipt, _)
    if receipt.taxes:
        yield Rule()
        yield from _taxes(receipt, _)
    yield Rule()
    yield Text(text=_("Thank you"), align=Align.CENTER)


def _seller(receipt: Receipt, _: Words) -> Iterator[Block]:
    seller = receipt.seller
    yield Text(text=seller.name, align=Align.CENTER, bold=True, big=True)
    yield from (Text(text=line, align=Align.CENTER) for line in seller.address)
    if seller.tax_id:
        yield Text(text=_("Tax number: %(number)s", number=seller.tax_id), align=Align.CENTER)
    if receipt.shop != seller.name:
        yield Text(text=_("Shop: %(name)s", name=receipt.shop), align=Align.CENTER)
    yield Rule()


def _entry(receipt: Receipt, entry: Entry, _: Words) -> Iterator[Block]:
    match entry.kind:
        case EntryKind.CALL:
            yield from _call(receipt, entry, _)
        case EntryKind.GOOD:
            yield Row(label=entry.text, amount=_plain(entry.amount, _))
            if entry.unit is not None:
                figures = f"{_.number(entry.quantity)}{_TIMES}{_plain(entry.unit, _)}"
                yield Text(text=figures, indent=_INDENT, figures=True)
        case EntryKind.DISCOUNT:
            yield Row(label=_("Discount: %(reason)s", reason=reason(entry.text, _)), amount=_plain(entry.amount, _))
            if entry.explanation:
                yield Text(text=arithmetic(entry.explanation, _.language), indent=_INDENT, figures=True)
        case EntryKind.VOID:
            yield Row(label=_("Taken back: %(reason)s", reason=reason(entry.text, _)), amount=_plain(entry.amount, _))


def _call(receipt: Receipt, entry: Entry, _: Words) -> Iterator[Block]:
    """A call, its class and its date, and how its price came about."""
    yield Row(label=entry.text or _("Call"), amount=_plain(entry.amount, _))
    yield Text(text=call_class(receipt, entry, _), indent=_INDENT)
    yield Text(text=entry.dialled, indent=_INDENT, figures=True)
    if entry.at_ms is not None:
        yield Text(text=_instant(receipt, entry.at_ms, _), indent=_INDENT)
    spans = {"talked": span(entry.talk_ms), "billed": span(entry.billed_s * 1000)}
    yield Text(text=_("Talked %(talked)s, billed %(billed)s", **spans), indent=_INDENT)
    if entry.explanation:
        yield Text(text=arithmetic(entry.explanation, _.language), indent=_INDENT, figures=True)


def call_class(receipt: Receipt, entry: Entry, _: Words) -> str:
    """Return what kind of call it was: inside the country or to another one, which is named where it is known."""
    country = country_of(entry.e164)
    name = "" if country is None else _.country(country)
    home = receipt.country_code
    is_near = entry.e164.startswith(home)  # some countries share a code
    if entry.e164 and home and is_near and country == country_of(home):
        return _("National call")
    if not entry.e164 or not home or is_near:
        return name or _("Telephone call")
    return _("International call: %(country)s", country=name) if name else _("International call")


def _totals(receipt: Receipt, _: Words) -> Iterator[Block]:
    zero = Money(0, receipt.currency)
    if receipt.rounding != zero:
        yield Row(label=_("Sum"), amount=_plain(receipt.total, _))
        yield Row(label=_("Rounding of cash"), amount=_plain(receipt.rounding, _))
    total = _.money(receipt.payable.micros, receipt.currency)
    yield Row(label=_("Total"), amount=total, bold=True, big=True)
    if receipt.deposit != zero:
        yield Row(label=_("Deposit, paid before"), amount=_plain(receipt.deposit, _))
    for tender in receipt.tenders:
        yield Row(label=_(METHODS[tender.method]), amount=_plain(tender.amount, _))
    if receipt.change != zero:
        yield Row(label=_("Change, given back"), amount=_plain(receipt.change, _), bold=True)


def _taxes(receipt: Receipt, _: Words) -> Iterator[Block]:
    rows = [
        (
            f"{each.tax.name} {_decimal(Decimal(each.tax.percent), _)} %",
            *(_plain(part, _) for part in (each.parts.net, each.parts.tax, each.parts.gross)),
        )
        for each in receipt.taxes
    ]
    yield Table(heads=("", _("Net"), _("Tax"), _("Gross")), rows=tuple(rows))


def reason(text: str, _: Words) -> str:
    """Return why something was taken off: in this language if it is one of the usual reasons, else as it was typed."""
    return _(text) if text in DISCOUNTS or text in VOIDS else text


# Figures.


def arithmetic(explanation: str, language: str) -> str:
    """Return the arithmetic of a price, as `rating.explain` writes it, with the decimal sign of a language.

    The seconds that it begins with are left out: what was talked and billed stands beside it.

    >>> arithmetic("1 s = 0.05 = 0.05", "fr")
    '0,05 = 0,05'
    """
    point = get_decimal_symbol(language)
    told = _NUMBER.sub(lambda found: found[0].replace(".", point), _SECONDS.sub("", explanation))
    for written, drawn in _SIGNS:
        told = told.replace(written, drawn)
    return told


def _plain(amount: Money, _: Words) -> str:
    """An amount without its currency, with the places of its coins, or more where there are more."""
    places = minor_unit_places(amount.currency)
    pattern = "#,##0" + ("." + "0" * places + "#" * (MICRO_PLACES - places))
    return format_decimal(Decimal(amount.micros).scaleb(-MICRO_PLACES), format=pattern, locale=_.language)


def _decimal(number: Decimal, _: Words) -> str:
    return format_decimal(number, locale=_.language, decimal_quantization=False)


def _instant(receipt: Receipt, at_ms: int, _: Words) -> str:
    """An instant by the shop's clock."""
    try:
        zone = ZoneInfo(receipt.zone)
    except (ZoneInfoNotFoundError, ValueError):  # a receipt is printed, whatever became of a zone's name
        zone = ZoneInfo("UTC")
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return format_datetime(at, "medium", tzinfo=zone, locale=_.language)
