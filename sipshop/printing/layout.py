"""The lines of a slip, for paper of any width: what stands where on each, measured by whoever draws it.

Widths are whole numbers of whatever `measure` counts in: columns of a printer, dots, points. Where one reads from the
right all is mirrored: x counts from the left in any case.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from sipshop.printing.bidi import reads_from_the_right
from sipshop.printing.slip import Align, Block, Row, Rule, Slip, Table, Text, without_controls

#: How wide a text is; bold, and twice as large.
Measure: TypeAlias = Callable[[str, bool, bool], int]

_WIDE: Final = frozenset({"W", "F"})


@dataclass(frozen=True, slots=True)
class Piece:
    """A text at a place of a line; `is_rtl` says which way it is read."""

    x: int
    text: str
    is_rtl: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a slip, from the left to the right; without pieces it is a rule, or nothing."""

    pieces: tuple[Piece, ...] = ()
    bold: bool = False
    big: bool = False
    is_rule: bool = False


def columns_of(text: str, bold: bool = False, big: bool = False) -> int:
    """Return how many columns a printer of fixed width needs for a text.

    >>> columns_of("caf\u00e9"), columns_of("\u4e2d"), columns_of("ab", big=True)
    (4, 2, 4)
    """
    del bold  # as wide as any
    width = sum(
        0 if unicodedata.category(each) in {"Mn", "Cf"} else 1 + (unicodedata.east_asian_width(each) in _WIDE)
        for each in text
    )
    return width * 2 if big else width


def lines_of(slip: Slip, width: int, measure: Measure = columns_of) -> list[Line]:
    """Return a slip as lines that are at most `width` wide, unless one letter is wider."""
    blocks = without_controls(slip).blocks
    return [line for block in blocks for line in _Room(slip.is_rtl, width, measure).lines(block)]


@dataclass(frozen=True, slots=True)
class _Room:
    """A width of paper, and which way it is read."""

    is_rtl: bool
    width: int
    measure: Measure

    def lines(self, block: Block) -> Iterator[Line]:
        match block:
            case Text():
                yield from self._text(block)
            case Row():
                yield from self._row(block)
            case Table():
                yield from self._table(block)
            case Rule():
                yield Line(is_rule=True)

    def _text(self, block: Text) -> Iterator[Line]:
        indent = block.indent * self.measure("0", False, False)
        room = max(1, self.width - indent)
        for text in self._wrapped(block.text, room, block.bold, block.big):
            spare = max(0, room - self.measure(text, block.bold, block.big))
            start = indent + {Align.START: 0, Align.CENTER: spare // 2, Align.END: spare}[block.align]
            piece = self._piece(start, text, block.bold, block.big, is_figures=block.figures)
            yield Line(pieces=(piece,), bold=block.bold, big=block.big)

    def _row(self, block: Row) -> Iterator[Line]:
        bold, big = block.bold, block.big
        amount_width = self.measure(block.amount, bold, big)
        room = self.width - amount_width - self.measure(" ", bold, big)
        if room < self.width // 4:  # the amount has a line of its own
            yield from self._text(Text(text=block.label, bold=bold, big=big))
            yield from self._text(Text(text=block.amount, align=Align.END, bold=bold, big=big))
            return
        *before, last = self._wrapped(block.label, room, bold, big)
        for text in before:
            yield Line(pieces=(self._piece(0, text, bold, big),), bold=bold, big=big)
        label = self._piece(0, last, bold, big)
        amount = self._piece(self.width - amount_width, block.amount, bold, big, is_figures=True)
        yield Line(pieces=tuple(sorted((label, amount), key=lambda piece: piece.x)), bold=bold, big=big)

    def _table(self, block: Table) -> Iterator[Line]:
        """The columns as wide as their widest cell, all but the first at the end; too wide, each cell has a line."""
        gap = self.measure("  ", False, False)
        whole = [block.heads, *block.rows]
        widths = [max(self.measure(cell, False, False) for cell in cells) for cells in zip(*whole, strict=True)]
        if sum(widths) + gap * (len(widths) - 1) > self.width:
            for row in block.rows:
                yield from self._text(Text(text=row[0]))
                for head, cell in zip(block.heads[1:], row[1:], strict=True):
                    yield from self._row(Row(label=head, amount=cell))
            return
        for row in whole:
            pieces = []
            end = self.width
            for cell, width in zip(row[:0:-1], widths[:0:-1], strict=True):
                start = end - self.measure(cell, False, False)
                pieces.append(self._piece(start, cell, False, False, is_figures=True))
                end -= width + gap
            pieces.append(self._piece(0, row[0], False, False))
            yield Line(pieces=tuple(sorted((each for each in pieces if each.text), key=lambda piece: piece.x)))

    def _piece(self, start: int, text: str, bold: bool, big: bool, *, is_figures: bool = False) -> Piece:
        """A text so far from where one begins to read; a foreign name goes its own way."""
        x = self.width - start - self.measure(text, bold, big) if self.is_rtl else start
        return Piece(max(0, x), text, reads_from_the_right(text, otherwise=self.is_rtl and not is_figures))

    def _wrapped(self, text: str, room: int, bold: bool, big: bool) -> list[str]:
        """A text in lines that fit: between words, and in the middle of one that is too long."""
        found = [""]
        for word in text.split():
            longer = f"{found[-1]} {word}" if found[-1] else word
            if self.measure(longer, bold, big) <= room:
                found[-1] = longer
                continue
            pieces = self._cut(word, room, bold, big)
            found = [*found, *pieces] if found[-1] else [*found[:-1], *pieces]
        return found

    def _cut(self, word: str, room: int, bold: bool, big: bool) -> list[str]:
        pieces = [""]
        for letter in word:
            if pieces[-1] and self.measure(pieces[-1] + letter, bold, big) > room:
                pieces.append("")
            pieces[-1] += letter
        return pieces
