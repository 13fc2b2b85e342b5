"""A receipt with a line of each kind, a slip of it, and a decoder of ESC/POS that takes nothing it does not know."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from PIL import Image

from sipshop.billing.money import Money
from sipshop.billing.receipt import Entry, EntryKind, Receipt, Seller
from sipshop.billing.tax import Tax, TaxMode, taxes_within
from sipshop.billing.tender import Method, Tender

VAT: Final = Tax(200_000, TaxMode.INCLUDED, "TVA")
REDUCED: Final = Tax(55_000, TaxMode.INCLUDED, "TVA")
AT_MS: Final = 1_795_000_000_000  # 18 November 2026, 11:06:40 UTC


def eur(text: str) -> Money:
    return Money.parse(text, "EUR")


def a_receipt(**other: Any) -> Receipt:
    """Two calls, two coffees, a discount and a void, paid by card and in cash."""
    entries = (
        Entry(
            kind=EntryKind.CALL,
            text="Mali Mobile",
            amount=eur("1.26"),
            dialled="00 223 76 12 34 56",
            e164="22376123456",
            at_ms=AT_MS,
            talk_ms=362_000,
            billed_s=420,
            explanation="362 s = 0.05 + (60 + 360) s at 0.172857/min = 1.259999 -> 1.26",
        ),
        Entry(
            kind=EntryKind.CALL,
            text="France Paris",
            amount=eur("0.29"),
            dialled="0142681000",
            e164="33142681000",
            at_ms=AT_MS + 500_000,
            talk_ms=62_000,
            billed_s=120,
            explanation="62 s = 0.05 + (60 + 60) s at 0.12/min = 0.29",
        ),
        Entry(kind=EntryKind.GOOD, text="Café", amount=eur("3.00"), quantity=2, unit=eur("1.50")),
        Entry(kind=EntryKind.DISCOUNT, text="bad line", amount=eur("-0.30"), author="ana"),
        Entry(kind=EntryKind.VOID, text="wrong number", amount=eur("-0.29"), author="ana"),
    )
    told: dict[str, Any] = {
        "tenant": "acme",
        "shop": "center",
        "number": 1234,
        "session_id": 7,
        "booth": "b1",
        "at_ms": AT_MS + 900_000,
        "author": "ana",
        "language": "fr",
        "zone": "Europe/Paris",
        "country_code": "33",
        "seller": Seller(name="Étoile SARL", address=("12 rue Haute", "75011 Paris"), tax_id="FR 12 345678901"),
        "entries": entries,
        "taxes": taxes_within([(VAT, eur("0.96")), (REDUCED, eur("3.00"))]),
        "total": eur("3.96"),
        "rounding": eur("-0.01"),
        "deposit": eur("1.00"),
        "tenders": (Tender(Method.CARD, eur("1.00")), Tender(Method.CASH, eur("5.00"))),
        "change": eur("3.05"),
    }
    return Receipt(**(told | other))


# A printer. Commands as in Epson's "ESC/POS Command Reference"; nothing that wrote the bytes is asked.

#: What ESC t n selects, of a TM-T88: only the pages that tests need.
PAGES: Final = {0: "cp437", 2: "cp850", 18: "cp852", 17: "cp866", 19: "cp858", 16: "cp1252"}


@dataclass
class Paper:
    """What came out: lines of text with how they look, and pictures, in order."""

    lines: list[Printed] = field(default_factory=list)
    is_cut: bool = False

    @property
    def text(self) -> str:
        """All that is text, line by line."""
        return "\n".join(line.text for line in self.lines if line.picture is None)

    @property
    def pictures(self) -> list[Image.Image]:
        """All that is dots."""
        return [line.picture for line in self.lines if line.picture is not None]


@dataclass(frozen=True)
class Printed:
    """A line of text, or a picture."""

    text: str = ""
    bold: bool = False
    size: tuple[int, int] = (1, 1)
    picture: Image.Image | None = None


class Printer:
    """Reads what a printer is sent; a byte that is no part of a command that it knows is an error."""

    def __init__(self, pages: dict[int, str] = PAGES) -> None:
        self._pages = pages
        self._page = "cp437"
        self._bold = False
        self._size = (1, 1)
        self._line = ""
        self.paper = Paper()

    def read(self, data: bytes) -> Paper:
        """Print all of it."""
        assert data.startswith(b"\x1b@"), "a printer is set back first: who knows what came before"
        place = 0
        while place < len(data):
            assert not self.paper.is_cut, "something comes after the cut"
            place += self._command(data[place:])
        assert not self._line, "a line without an end"
        return self.paper

    def _command(self, data: bytes) -> int:
        """Do the first command, and say how long it was."""
        match data[:2]:
            case b"\x1b@":
                self._bold, self._size, self._page = False, (1, 1), "cp437"
                return 2
            case b"\x1bt":
                self._page = self._pages[data[2]]
                return 3
            case b"\x1bE":
                assert data[2] in {0, 1}
                self._bold = data[2] == 1
                return 3
            case b"\x1d!":
                self._size = (data[2] >> 4) + 1, (data[2] & 0x0F) + 1
                return 3
            case b"\x1bd":
                return 3  # feed
            case b"\x1dV":
                assert data[2] in {0, 1}
                self.paper.is_cut = True
                return 3
            case b"\x1dv":
                return self._picture(data)
        if data[:1] == b"\n":
            self.paper.lines.append(Printed(self._line, self._bold, self._size))
            self._line = ""
            return 1
        assert data[0] >= 0x20, f"unknown command {data[:4]!r}"
        self._line += data[:1].decode(self._page)
        return 1

    def _picture(self, data: bytes) -> int:
        """GS v 0: m, xL xH, yL yH, dots; a set bit is black."""
        assert data[2:4] == b"0\x00"
        assert not self._line, "a picture in the middle of a line"
        across, down = int.from_bytes(data[4:6], "little"), int.from_bytes(data[6:8], "little")
        dots = data[8 : 8 + across * down]
        assert len(dots) == across * down, "a picture is cut off"
        inverted = bytes(255 - each for each in dots)
        self.paper.lines.append(Printed(picture=Image.frombytes("1", (across * 8, down), inverted)))
        return 8 + len(dots)
