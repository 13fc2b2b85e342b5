"""The taxes of a world: `tax:` of a shop, of a party and of a good."""

from __future__ import annotations

from typing import Final

from sipshop.billing.money import parse_scaled
from sipshop.billing.tax import PERCENT_PLACES, PPM, Tax, TaxMode
from sipshop.config import Section, shown

_NAME_LENGTH: Final = 20
#: Why there is no other mode where there is only one.
_WHY: Final = {
    TaxMode.ADDED: "what is sold to a party has its tax on the invoice",
    TaxMode.INCLUDED: "the price of a good is what is paid for it",
}


def read_tax(section: Section, *modes: TaxMode) -> Tax | None:
    """Read `tax:` of a shop, a party or a good, of which these modes can be; None where it is left out."""
    fields = section.section("tax", required=False)
    if fields is None:
        return None
    percent_ppm = fields.number("percent", _percent)
    mode = fields.choice("mode", TaxMode, modes[0])
    if mode not in modes:
        fields.fault("mode", f"can only be {modes[0]}: {_WHY[modes[0]]}")
    elif len(modes) > 1 and not fields.has("mode"):
        fields.fault("mode", f"is missing: whether prices have the tax in them ({modes[0]}) or not ({modes[1]})")
    name = fields.text("name", "VAT", check=_name)
    fields.end()
    if not fields.sound:
        section.sound = False
        return None
    return Tax(percent_ppm, mode, name)


def _percent(text: str) -> int:
    ppm = parse_scaled(text, PERCENT_PLACES)
    if not 0 <= ppm <= PPM:
        raise ValueError(f"must be a percentage from 0 to 100, not {shown(text)}")
    return ppm


def _name(text: str) -> str:
    if not 0 < len(text) <= _NAME_LENGTH or not text.isprintable() or text.strip() != text:
        raise ValueError(f"{shown(text)} is not a name for a bill: 1 to {_NAME_LENGTH} printable characters")
    return text
