"""A slip as ESC/POS, what thermal printers understand: letters where the printer has them, else dots.

It takes sipshop[print]: python-escpos, which knows the code pages of printers by their profiles. Where one reads from
the right the whole slip is dots: no printer joins letters. (IO: python-escpos reads its profiles.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from itertools import groupby
from typing import Any, Final

from escpos.capabilities import CAPABILITIES
from escpos.printer import Dummy

from sipshop.printing.layout import Line, columns_of, lines_of
from sipshop.printing.raster import raster_of
from sipshop.printing.slip import Block, Row, Rule, Slip, Table, Text, without_controls

_DOTS_PER_COLUMN: Final = 12
_FRAGMENT: Final = 240  # dots: printers with little memory take no more at once
#: The code pages that printers have where their profile says so, best first; of the others many have but some.
_PAGES: Final = ("CP437", "CP850", "CP858", "CP1252", "CP852", "CP866")
#: What code pages seldom have, as it was written before there were others.
_PLAIN: Final = str.maketrans(
    {
        "\N{NO-BREAK SPACE}": " ",
        "\N{NARROW NO-BREAK SPACE}": " ",
        "\N{RIGHT SINGLE QUOTATION MARK}": "'",
        "\N{MULTIPLICATION SIGN}": "x",
        "\N{DIVISION SIGN}": "/",
        "\N{ALMOST EQUAL TO}": "->",
        "\N{HORIZONTAL ELLIPSIS}": "...",
        "\N{EN DASH}": "-",
        "\N{MINUS SIGN}": "-",
    }
)


class UnknownProfile(ValueError):
    """python-escpos knows no printer of this name."""


def check_profile(name: str) -> None:
    """Raise UnknownProfile unless python-escpos knows printers of this profile."""
    known = CAPABILITIES["profiles"]
    if name not in known:
        raise UnknownProfile(f"there is no printer profile {name!r}: there are {', '.join(sorted(known))}")


def esc_pos(slip: Slip, *, columns: int, profile: str = "default", only_dots: bool = False) -> bytes:
    """Return what a printer of so many columns is to be sent to print a slip and to cut it off.

    Raises:
        UnknownProfile: there is no such profile.
    """
    check_profile(profile)
    writer = _Writer(profile, columns)
    slip = without_controls(slip)
    if only_dots or slip.is_rtl:
        writer.draw(slip)
    else:
        plain = replace(slip, blocks=tuple(_plain(block) for block in slip.blocks))
        for is_text, blocks in groupby(plain.blocks, key=writer.has_letters):
            part = replace(plain, blocks=tuple(blocks))
            if is_text:
                writer.write(lines_of(part, columns))
            else:
                writer.draw(part)
    return writer.finished()


class _Writer:
    """Collects what a printer is sent."""

    def __init__(self, profile: str, columns: int) -> None:
        self._printer: Any = Dummy(profile=profile)
        self._columns = columns
        self._dots = _dots(self._printer, columns)
        known = self._printer.magic.encoder.codepages
        self._pages = [page for page in _PAGES if page in known]
        self._printer.hw("INIT")
        self._is_bold = self._is_big = False

    def has_letters(self, block: Block) -> bool:
        """Whether the printer has every letter of a block, each line of it in one code page."""
        return all(self._page(text) is not None for text in _texts(block))

    def write(self, lines: list[Line]) -> None:
        """Print lines in the printer's own letters."""
        for line in lines:
            text = "-" * self._columns if line.is_rule else _joined(line)
            self._set(bold=line.bold, big=line.big)
            page = self._page(text)
            assert page is not None, "each letter of it is in the page of its block"
            self._printer.magic.write_with_encoding(page, f"{text}\n")

    def draw(self, slip: Slip) -> None:
        """Print a part of a slip as dots."""
        with redirect_stdout(StringIO()):  # where it does not know how wide a printer is, it tells the terminal so
            self._printer.image(raster_of(slip, self._dots), fragment_height=_FRAGMENT)

    def finished(self) -> bytes:
        """Cut, and return all."""
        self._printer.cut()
        return bytes(self._printer.output)

    def _set(self, *, bold: bool, big: bool) -> None:
        if bold != self._is_bold:
            self._printer.set(bold=bold)
        if big != self._is_big:
            size = 2 if big else 1
            self._printer.set(custom_size=True, width=size, height=size)
        self._is_bold, self._is_big = bold, big

    def _page(self, text: str) -> str | None:
        """A code page that has every letter of a text, the one that is set if it can be."""
        magic = self._printer.magic
        letters = set(text)
        for page in [magic.encoding, *self._pages]:
            if page is not None and all(magic.encoder.can_encode(page, letter) for letter in letters):
                found: str = page
                return found
        return None


def _joined(line: Line) -> str:
    """A line as text: each piece in its column. In a big one every letter takes two."""
    text = ""
    for piece in line.pieces:
        missing = piece.x - columns_of(text, big=line.big)
        text += " " * max(0, missing // (2 if line.big else 1)) + piece.text
    return text


def _plain(block: Block) -> Block:
    match block:
        case Text():
            return replace(block, text=block.text.translate(_PLAIN))
        case Row():
            return replace(block, label=block.label.translate(_PLAIN), amount=block.amount.translate(_PLAIN))
        case Table():
            heads = tuple(head.translate(_PLAIN) for head in block.heads)
            return Table(heads=heads, rows=tuple(tuple(cell.translate(_PLAIN) for cell in row) for row in block.rows))
        case Rule():
            return block


def _texts(block: Block) -> Iterator[str]:
    """The texts of a block that stand on one line, each with what stands beside it."""
    match block:
        case Text():
            yield block.text
        case Row():
            yield f"{block.label}{block.amount}"
        case Table():
            yield from ("".join(row) for row in (block.heads, *block.rows))
        case Rule():
            return


def _dots(printer: Any, columns: int) -> int:
    """How many dots a picture is wide: as many as the columns are, but no more than the printer has."""
    wanted = columns * _DOTS_PER_COLUMN
    pixels = printer.profile.profile_data["media"]["width"]["pixels"]
    return min(wanted, pixels // 8 * 8) if isinstance(pixels, int) else wanted
