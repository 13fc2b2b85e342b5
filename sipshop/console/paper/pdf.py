"""A sheet as a PDF: A4, with its fonts in it, and the same bytes for the same sheet."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from html import escape
from io import BytesIO
from pathlib import Path
from typing import Final

from reportlab.lib.colors import HexColor
from reportlab.lib.enums import TA_RIGHT
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    BaseDocTemplate,
    Flowable,
    Frame,
    KeepTogether,
    PageTemplate,
    Paragraph,
    Spacer,
    Table,
    TableStyle,
)

from sipshop.console.paper.sheet import Section, Sheet

FONT: Final = "DejaVuSans"
BOLD: Final = "DejaVuSans-Bold"
_MARGIN: Final = 18 * mm
_WIDTH: Final = A4[0] - 2 * _MARGIN
_NUMBER_WIDTH: Final = 27 * mm
_GREY: Final = HexColor("#555555")
_BLACK: Final = HexColor("#111111")

_TEXT: Final = ParagraphStyle("text", fontName=FONT, fontSize=9, leading=12, textColor=_BLACK, splitLongWords=1)
_STRONG: Final = ParagraphStyle("strong", _TEXT, fontName=BOLD)
_LABEL: Final = ParagraphStyle("label", _TEXT, fontSize=7, leading=10, textColor=_GREY)
_NUMBER: Final = ParagraphStyle("number", _TEXT, alignment=TA_RIGHT)
_STRONG_NUMBER: Final = ParagraphStyle("strong number", _STRONG, alignment=TA_RIGHT)
_TITLE: Final = ParagraphStyle("title", _STRONG, fontSize=16, leading=20, spaceBefore=4 * mm, spaceAfter=3 * mm)
_HEADING: Final = ParagraphStyle("heading", _STRONG, fontSize=10, spaceBefore=5 * mm, spaceAfter=1 * mm)
_BARE: Final = TableStyle(
    [
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("LEFTPADDING", (0, 0), (-1, -1), 0),
        *((side, (0, 0), (-1, -1), 0) for side in ("TOPPADDING", "BOTTOMPADDING")),
    ]
)


def pdf_of(sheet: Sheet) -> bytes:
    """Return a sheet as a PDF; letters that the fonts do not have are a mark."""
    register_fonts()
    made = BytesIO()
    template = BaseDocTemplate(
        made,
        pagesize=A4,
        title=f"{sheet.title}, {sheet.seller[0]}",
        author=sheet.seller[0],
        creator="sipshop",
        invariant=1,  # no clock and no chance in it
        lang="en",
    )
    room = Frame(_MARGIN, _MARGIN, _WIDTH, A4[1] - 2 * _MARGIN, 0, 0, 0, 0)
    template.addPageTemplates(PageTemplate(frames=[room], onPage=_Numbered(sheet.title)))
    template.build(list(_flow(sheet)))
    return made.getvalue()


@lru_cache(maxsize=1)
def register_fonts() -> None:
    """Read the fonts, once."""
    for name in (FONT, BOLD):
        pdfmetrics.registerFont(TTFont(name, str(Path(__file__).with_name(f"{name}.ttf"))))


class _Numbered:
    """Writes at the foot of each page which one of what it is."""

    def __init__(self, title: str) -> None:
        self._title = title

    def __call__(self, canvas: Canvas, document: BaseDocTemplate) -> None:
        canvas.setFont(FONT, 7)
        canvas.setFillColor(_GREY)
        canvas.drawString(_MARGIN, _MARGIN / 2, self._title)
        canvas.drawRightString(A4[0] - _MARGIN, _MARGIN / 2, f"Page {document.page}")


def _flow(sheet: Sheet) -> Iterator[Flowable]:
    yield _sides(sheet)
    yield Paragraph(escape(sheet.title), _TITLE)
    for section in sheet.bought:
        yield from _section(section)
    if sheet.totals:
        yield Spacer(0, 4 * mm)
        yield _totals(sheet)
    for section in sheet.moved:
        yield from _section(section)
    yield Spacer(0, 8 * mm)
    for note in sheet.notes:
        yield Paragraph(escape(note), _TEXT)
    if sheet.sha256 is not None:
        yield Spacer(0, 2 * mm)
        yield Paragraph(f"SHA-256 of the document: {escape(sheet.sha256)}", _LABEL)


def _section(section: Section) -> list[Flowable]:
    """A short one stays on its page; a long one goes on, with its columns named again."""
    heading, table = Paragraph(escape(section.heading), _HEADING), _table(section)
    return [KeepTogether([heading, table])] if len(section.rows) < 12 else [heading, table]


def _sides(sheet: Sheet) -> Table:
    """Who sells, who buys, and what it is, beside each other."""
    seller, buyer = (
        [
            Paragraph(label, _LABEL),
            Paragraph(escape(lines[0]), _STRONG),
            *(Paragraph(escape(line), _TEXT) for line in lines[1:]),
        ]
        for label, lines in (("From", sheet.seller), ("To", sheet.buyer))
    )
    facts = Table(
        [[Paragraph(escape(label), _LABEL), Paragraph(escape(what), _TEXT)] for label, what in sheet.facts],
        colWidths=[_WIDTH * 0.10, _WIDTH * 0.28],
        style=_BARE,
    )
    return Table([[seller, buyer, facts]], colWidths=[_WIDTH * 0.31, _WIDTH * 0.31, _WIDTH * 0.38], style=_BARE)


def _table(section: Section) -> Table:
    first_number = len(section.columns) - section.right
    rows = [_row(section.columns, first_number, strong=True)]
    rows += [_row(row, first_number) for row in section.rows]
    if section.total is not None:
        rows.append(_row(("Sum", *[""] * (len(section.columns) - 2), section.total), first_number, strong=True))
    elif section.rows:
        rows[-1] = _row(section.rows[-1], first_number, strong=True)
    numbers = [
        _NUMBER_WIDTH if section.right == 1 or column == section.right - 1 else _NUMBER_WIDTH * 0.7
        for column in range(section.right)
    ]
    left = _WIDTH - sum(numbers)
    shares = [0.25, 0.75] if first_number == 2 else [1.0 / first_number] * first_number
    table = Table(rows, colWidths=[*(left * share for share in shares), *numbers], repeatRows=1)
    table.setStyle(
        TableStyle(
            [
                ("LINEBELOW", (0, 0), (-1, 0), 0.5, _BLACK),
                ("LINEABOVE", (0, -1), (-1, -1), 0.5, _BLACK),
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
                ("LEFTPADDING", (0, 0), (0, -1), 0),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
            ]
        )
    )
    return table


def _row(cells: tuple[str, ...], first_number: int, *, strong: bool = False) -> list[Paragraph]:
    text, number = (_STRONG, _STRONG_NUMBER) if strong else (_TEXT, _NUMBER)
    return [Paragraph(escape(cell), text if column < first_number else number) for column, cell in enumerate(cells)]


def _totals(sheet: Sheet) -> Table:
    rows = [
        _row((label, amount), 1, strong=place == len(sheet.totals) - 1)
        for place, (label, amount) in enumerate(sheet.totals)
    ]
    table = Table(rows, colWidths=[35 * mm, 40 * mm], hAlign="RIGHT")
    table.setStyle(
        TableStyle(
            [
                ("LINEABOVE", (0, -1), (-1, -1), 0.5, _BLACK),
                ("RIGHTPADDING", (-1, 0), (-1, -1), 0),
                ("TOPPADDING", (0, 0), (-1, -1), 1.5),
                ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
            ]
        )
    )
    return table
