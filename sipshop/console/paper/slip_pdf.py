"""A slip as a PDF: as long as it is on a roll of 80 mm, or on pages of A4; the same bytes for the same slip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from io import BytesIO
from typing import Final

from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfgen.canvas import Canvas

from sipshop.console.paper.pdf import BOLD, FONT, register_fonts
from sipshop.printing.bidi import visual
from sipshop.printing.layout import Line, lines_of
from sipshop.printing.slip import Slip


class Paper(StrEnum):
    """What a slip is printed on."""

    ROLL = "80mm"
    A4 = "a4"


_ROLL_WIDTH: Final = 80 * mm
_ROLL_MARGIN: Final = 4 * mm
_A4_MARGIN: Final = 20 * mm
_A4_TEXT: Final = 110 * mm
_SIZES: Final = {Paper.ROLL: 8.0, Paper.A4: 9.5}
_BIG: Final = 1.5
_LEADING: Final = 1.35
#: reportlab measures in floats; the layout counts whole thousandths of a point.
_UNIT: Final = 1000


def slip_pdf(slip: Slip, paper: Paper = Paper.A4) -> bytes:
    """Return a slip as a PDF; letters that the fonts do not have are a mark."""
    register_fonts()
    size = _SIZES[paper]
    width = _ROLL_WIDTH - 2 * _ROLL_MARGIN if paper is Paper.ROLL else _A4_TEXT

    def measure(text: str, bold: bool, big: bool) -> int:
        drawn = pdfmetrics.stringWidth(visual(text, is_rtl=slip.is_rtl), _font(bold), _size(size, big))
        return round(drawn * _UNIT)

    lines = lines_of(slip, round(width * _UNIT), measure)
    made = BytesIO()
    canvas = Canvas(made, pagesize=A4, invariant=1, lang=slip.language)  # no clock and no chance in it
    canvas.setTitle(slip.title)
    canvas.setCreator("sipshop")
    for page, height in _pages(lines, size, paper):
        if paper is Paper.ROLL:
            canvas.setPageSize((_ROLL_WIDTH, height))
            x, y = _ROLL_MARGIN, height - _ROLL_MARGIN
        else:
            canvas.setPageSize(A4)
            x, y = (A4[0] - _A4_TEXT) / 2, A4[1] - _A4_MARGIN
        for line in page:
            y -= _height(line, size)
            _draw(canvas, line, x, y, width=width, size=size)
        canvas.showPage()
    canvas.save()
    return made.getvalue()


def _pages(lines: Sequence[Line], size: float, paper: Paper) -> Iterator[tuple[list[Line], float]]:
    """The lines of each page, and how high it is: a roll is one, as high as all of them."""
    if paper is Paper.ROLL:
        yield list(lines), sum(_height(line, size) for line in lines) + 2 * _ROLL_MARGIN
        return
    room = A4[1] - 2 * _A4_MARGIN
    page: list[Line] = []
    left = room
    for line in lines:
        if _height(line, size) > left:
            yield page, A4[1]
            page, left = [], room
        page.append(line)
        left -= _height(line, size)
    yield page, A4[1]


def _draw(canvas: Canvas, line: Line, x: float, y: float, *, width: float, size: float) -> None:
    """Draw a line with its lower edge at a height."""
    if line.is_rule:
        canvas.setLineWidth(0.5)
        canvas.setDash(2, 2)
        canvas.line(x, y + size * 0.4, x + width, y + size * 0.4)
        return
    canvas.setFont(_font(line.bold), _size(size, line.big))
    for piece in line.pieces:
        canvas.drawString(x + piece.x / _UNIT, y + size * 0.3, visual(piece.text, is_rtl=piece.is_rtl))


def _height(line: Line, size: float) -> float:
    return _size(size, line.big) * (0.9 if line.is_rule else _LEADING)


def _size(size: float, big: bool) -> float:
    return size * _BIG if big else size


def _font(bold: bool) -> str:
    return BOLD if bold else FONT
