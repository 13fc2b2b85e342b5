"""How the shops of a world work at their desks: `desk:` of a shop."""

from __future__ import annotations

from typing import Final

from sipshop.billing.counter import LANGUAGES, NAME_LENGTH, Counter, Good, TillMode
from sipshop.billing.money import Money, amount_text, minor_unit_places, parse_amount, parse_scaled
from sipshop.billing.receipt import Seller
from sipshop.billing.tax import PERCENT_PLACES, PPM, TaxMode
from sipshop.billing.tender import CashMode, CashRounding
from sipshop.config import Section, nearest, shown
from sipshop.world.letterheads import check_address, check_line, check_zone
from sipshop.world.taxes import read_tax

MOST_GOODS: Final = 500


def read_counter(section: Section, tenant: str, shop: str, currency: str) -> Counter | None:
    """Read `desk:` of a shop, whose till is in this currency; None where it is left out."""
    desk = section.section("desk", required=False)
    if desk is None:
        return None
    usual = Counter(tenant=tenant, shop=shop, currency=currency)
    made = Counter(
        tenant=tenant,
        shop=shop,
        currency=currency,
        rounding=_rounding(desk, currency),
        goods=_goods(desk, currency),
        seller=_seller(desk),
        zone=desk.text("timezone", "", check=check_zone) or None,
        languages=_languages(desk),
        discount_most_ppm=desk.number("discount_most_percent", _percent) if desk.has("discount_most_percent") else None,
        operators_may_void=desk.flag("operators_may_void", default=usual.operators_may_void),
        till=desk.choice("till", TillMode, usual.till),
    )
    desk.end()
    section.sound = section.sound and desk.sound
    return made if desk.sound else None


def _rounding(desk: Section, currency: str) -> CashRounding | None:
    fields = desk.section("cash_rounding", required=False)
    if fields is None:
        return None
    step_micros = fields.number("step", lambda text: _coins(text, currency))
    mode = fields.choice("mode", CashMode, CashMode.NEAREST)
    fields.end()
    desk.sound = desk.sound and fields.sound
    return CashRounding(step_micros, mode) if fields.sound else None


def _goods(desk: Section, currency: str) -> tuple[Good, ...]:
    goods: dict[str, Good] = {}
    for fields in desk.sections("goods", required=False):
        name = fields.text("name", check=_name)
        price_micros = fields.number("price", lambda text: _coins(text, currency))
        tax = read_tax(fields, TaxMode.INCLUDED)
        if name and name in goods:
            fields.fault("name", f"{shown(name)} is on the list already")
        fields.end()
        desk.sound = desk.sound and fields.sound
        goods[name] = Good(name=name, price=Money(price_micros, currency), tax=tax)
        if len(goods) > MOST_GOODS:
            desk.fault("goods", f"are more than {MOST_GOODS}")
            break
    return tuple(goods.values())


def _seller(desk: Section) -> Seller | None:
    legal = desk.section("legal", required=False)
    if legal is None:
        return None
    seller = Seller(
        name=legal.text("name", check=check_line),
        address=tuple(filter(None, legal.text("address", "", check=check_address).split("\n"))),
        tax_id=legal.text("tax_id", "", check=check_line),
    )
    legal.end()
    desk.sound = desk.sound and legal.sound
    return seller


def _languages(desk: Section) -> tuple[str, ...]:
    languages = desk.texts("languages", LANGUAGES, check=_language)
    if len(set(languages)) < len(languages) or not languages:
        desk.fault("languages", "must name one or more, each once")
    return languages


# What a text must be: each returns what to take for it, or raises ValueError with what is wrong.


def _coins(text: str, currency: str) -> int:
    """Check an amount that can be handed over."""
    micros = parse_amount(text)
    coin: int = 10 ** (6 - minor_unit_places(currency))
    if micros <= 0 or micros % coin:
        raise ValueError(f"must be more than nothing, in whole coins of {amount_text(coin, currency)}, not {text}")
    return micros


def _name(text: str) -> str:
    if not 0 < len(text) <= NAME_LENGTH or not text.isprintable() or text.strip() != text:
        raise ValueError(f"{shown(text)} is not a name for a bill: 1 to {NAME_LENGTH} printable characters")
    return text


def _percent(text: str) -> int:
    ppm = parse_scaled(text, PERCENT_PLACES)
    if not 0 <= ppm <= PPM:
        raise ValueError(f"must be a percentage from 0 to 100, not {shown(text)}")
    return ppm


def _language(text: str) -> str:
    if text not in LANGUAGES:
        raise ValueError(f"{shown(text)} is not one of {', '.join(LANGUAGES)}{nearest(text, LANGUAGES)}")
    return text
