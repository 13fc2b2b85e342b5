"""A poster of tariffs as a PDF, on A4 or A3: with its fonts in it, and the same bytes for the same poster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

from reportlab.lib.pagesizes import A3, A4
from reportlab.lib.units import mm
from reportlab.lib.utils import simpleSplit
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from sipshop.console.paper.pdf import BOLD, FONT, register_fonts
from sipshop.console.paper.poster import Poster, PosterGroup, PosterRow, Size
from sipshop.printing.bidi import visual

_PAPERS: Final = {Size.A4: (A4, 9.0), Size.A3: (A3, 12.5)}
_MARGIN: Final = 14 * mm
_LEADING: Final = 1.35
_BIG: Final = 2.2
_SMALL: Final = 0.85
#: What share of the line each column has; the last of them is the price of the least call.
_SHARES: Final = (0.32, 0.14, 0.18, 0.21, 0.15)
_GAP: Final = 2 * mm


def poster_pdf(poster: Poster) -> bytes:
    """Return a poster as a PDF; letters that the fonts do not have are a mark."""
    register_fonts()
    made = BytesIO()
    paper, _ = _PAPERS[poster.size]
    canvas = Canvas(made, pagesize=paper, invariant=1, lang=poster.language)  # no clock and no chance in it
    canvas.setTitle(f"{poster.title}, {poster.about}")
    canvas.setCreator("sipshop")
    _Sheet(canvas, poster).draw()
    canvas.save()
    return made.getvalue()


class _Sheet:
    """Draws a poster from the top down, and begins another page where one is full."""

    def __init__(self, canvas: Canvas, poster: Poster) -> None:
        self._canvas = canvas
        self._poster = poster
        (self._width, self._height), self._size = _PAPERS[poster.size]
        self._y = self._height - _MARGIN
        self._page = 1

    def draw(self) -> None:
        """Draw all of it."""
        poster, size = self._poster, self._size
        self._text(poster.title, size * _BIG, bold=True)
        self._text(poster.about, size)
        for place, line in enumerate(poster.seller):
            self._text(line, size, bold=place == 0)
        self._heads()
        for group in poster.groups:
            self._group(group)
        self._room(size * _LEADING * 2)
        self._y -= size
        for note in poster.notes:
            self._text(note, size * _SMALL)
        self._foot()

    def _group(self, group: PosterGroup) -> None:
        """A country: its name beside the first of its destinations."""
        for place, row in enumerate(group.rows):
            label = group.country if place == 0 else ""
            self._row(label, row)
        self._rule(0.25)

    def _row(self, country: str, row: PosterRow) -> None:
        size = self._size
        first = [(line, True) for line in self._split(country, 0, bold=True)] if country else []
        first += [(line, False) for line in self._split(row.destination, 0, bold=False)] if row.destination else []
        cells = [self._split(cell, column, bold=False) for column, cell in enumerate(row.cells, start=1)]
        high = max(len(first), *map(len, cells)) * size * _LEADING
        if self._room(high + size * 0.4):
            self._heads()
        top = self._y
        for place, (line, is_bold) in enumerate(first):
            self._cell(line, 0, top - (place + 1) * size * _LEADING, bold=is_bold)
        for column, lines in enumerate(cells, start=1):
            for place, line in enumerate(lines):
                is_last = column == len(cells)
                self._cell(line, column, top - (place + 1) * size * _LEADING, bold=is_last)
        self._y = top - high - size * 0.15

    def _heads(self) -> None:
        """The names of the columns, on each page."""
        size = self._size
        self._y -= size * 0.6
        heads = [self._split(head, column, bold=True) for column, head in enumerate(self._poster.columns)]
        high = max(map(len, heads))
        for column, lines in enumerate(heads):
            for place, line in enumerate(lines):
                self._cell(line, column, self._y - (place + 1) * size * _LEADING, bold=True)
        self._y -= high * size * _LEADING + size * 0.3
        self._rule(1)

    def _cell(self, text: str, column: int, y: float, *, bold: bool) -> None:
        """Text in a column: the first is read from its beginning, the others stand at their end."""
        left, right = self._edges(column)
        font = BOLD if bold else FONT
        self._canvas.setFont(font, self._size)
        drawn = visual(text, is_rtl=self._poster.is_rtl)
        if (column == 0) is not self._poster.is_rtl:
            self._canvas.drawString(left, y, drawn)
        else:
            self._canvas.drawRightString(right, y, drawn)

    def _edges(self, column: int) -> tuple[float, float]:
        """Where a column begins and ends, from the left."""
        width = self._width - 2 * _MARGIN
        start, end = sum(_SHARES[:column]) * width, sum(_SHARES[: column + 1]) * width - _GAP
        if self._poster.is_rtl:
            start, end = width - end, width - start
        return _MARGIN + start, _MARGIN + end

    def _split(self, text: str, column: int, *, bold: bool) -> Sequence[str]:
        left, right = self._edges(column)
        return _lines(text, right - left, self._size, bold=bold)

    def _text(self, text: str, size: float, *, bold: bool = False) -> None:
        """A paragraph over the whole width."""
        for line in _lines(text, self._width - 2 * _MARGIN, size, bold=bold):
            self._room(size * _LEADING)
            self._y -= size * _LEADING
            self._canvas.setFont(BOLD if bold else FONT, size)
            drawn = visual(line, is_rtl=self._poster.is_rtl)
            if self._poster.is_rtl:
                self._canvas.drawRightString(self._width - _MARGIN, self._y, drawn)
            else:
                self._canvas.drawString(_MARGIN, self._y, drawn)

    def _rule(self, thick: float) -> None:
        self._canvas.setLineWidth(thick)
        self._canvas.line(_MARGIN, self._y, self._width - _MARGIN, self._y)

    def _room(self, high: float) -> bool:
        """Begin another page where there is no room for so much; say whether it was."""
        if self._y - high > _MARGIN + self._size:
            return False
        self._foot()
        self._canvas.showPage()
        self._page += 1
        self._y = self._height - _MARGIN
        return True

    def _foot(self) -> None:
        self._canvas.setFont(FONT, self._size * _SMALL)
        self._canvas.drawCentredString(self._width / 2, _MARGIN * 0.6, str(self._page))


def _lines(text: str, width: float, size: float, *, bold: bool) -> list[str]:
    """Cut a text into lines; a word that is too long for one is cut as well."""
    return list(_cut(simpleSplit(text, BOLD if bold else FONT, size, width), width, size, bold=bold))


def _cut(lines: Sequence[str], width: float, size: float, *, bold: bool) -> Iterator[str]:
    font = BOLD if bold else FONT
    for line in lines:
        rest = line
        while pdfmetrics.stringWidth(rest, font, size) > width and len(rest) > 1:
            end = len(rest) - 1
            while end > 1 and pdfmetrics.stringWidth(rest[:end], font, size) > width:
                end -= 1
            yield rest[:end]
            rest = rest[end:]
        yield rest
