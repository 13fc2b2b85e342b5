"""Who the parties of a world are on paper: `legal:` and `invoices:` of a party."""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sipshop.billing.invoice import Letterhead, check_numbering
from sipshop.config import Section, shown

_NAME_LENGTH: Final = 100
_LINES: Final = 6


def read_letterhead(section: Section, tenant: str, party: str) -> Letterhead | None:
    """Read who a party is on paper and how it writes invoices; None where the world says neither."""
    if not section.has_any(("legal", "invoices")):
        return None
    legal, invoices = section.part("legal"), section.part("invoices")
    known = Letterhead(tenant=tenant, party=party, name=party)
    made = Letterhead(
        tenant=tenant,
        party=party,
        name=legal.text("name", party, check=check_line),
        address=tuple(filter(None, legal.text("address", "", check=check_address).split("\n"))),
        tax_id=legal.text("tax_id", "", check=check_line),
        zone=invoices.text("timezone", known.zone, check=check_zone),
        numbering=invoices.text("number", known.numbering, check=check_numbering),
        due_days=invoices.integer("due_days", known.due_days, low=0, high=365),
    )
    for part in (legal, invoices):
        part.end()
        section.sound = section.sound and part.sound
    return made


def check_line(text: str) -> str:
    """Return a line of a letterhead, or raise ValueError with what is wrong."""
    if not 0 < len(text) <= _NAME_LENGTH or not text.isprintable() or text.strip() != text:
        raise ValueError(f"{shown(text)} does not fit on a letterhead: 1 to {_NAME_LENGTH} printable characters")
    return text


def check_address(text: str) -> str:
    """Return an address of some lines, or raise ValueError; empty ones, and what is empty around them, go."""
    lines = [line.strip() for line in re.split(r"\r?\n", text) if line.strip()]
    if len(lines) > _LINES:
        raise ValueError(f"has {len(lines)} lines: an address has {_LINES} at most")
    return "\n".join(map(check_line, lines))


def check_zone(text: str) -> str:
    """Return the name of a time zone, or raise ValueError with what is wrong."""
    try:
        return ZoneInfo(text).key
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{shown(text)} is no time zone such as Europe/Berlin") from None
