"""Write workbooks as spreadsheets do, with the traps that they set: for the tests of imports and for `make bench`.

What a cell's XML says is given as it is: a carrier's workbook has formulas without a value, numbers with 17 digits, and
sheets that nobody is meant to see.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

Cell = str | int | float | date | bool | None

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_EPOCH: Final = datetime(1899, 12, 30)  # noqa: DTZ001 - the day 0 of a workbook is in no zone
#: So that the same workbook has the same bytes.
_ZIPPED_AT: Final = (2026, 1, 1, 0, 0, 0)
#: The styles of `_STYLES`: as it is, and a date.
_PLAIN, _DATE = 0, 1
_STYLES: Final = (
    f'{_HEAD}<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>'
    '<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>'
    '<cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/></cellXfs></styleSheet>'
)


@dataclass(frozen=True, slots=True)
class Raw:
    """A cell by its inner XML, such as `<f>A1*2</f>`; `kind` is its `t`."""

    xml: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    """One sheet: its rows, whether it is shown, and which ranges are merged, such as `A1:D1`."""

    name: str
    rows: Iterable[Sequence[Cell | Raw]]
    hidden: bool = False
    merged: Sequence[str] = ()


def write_workbook(path: Path, sheets: Sequence[Sheet]) -> None:
    """Write an XLSX file, row by row."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in _parts(sheets).items():
            archive.writestr(zipfile.ZipInfo(name, _ZIPPED_AT), text, zipfile.ZIP_DEFLATED)
        for number, sheet in enumerate(sheets, 1):
            part = zipfile.ZipInfo(f"xl/worksheets/sheet{number}.xml", _ZIPPED_AT)
            part.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(part, "w", force_zip64=True) as file:
                for piece in _sheet(sheet):
                    file.write(piece.encode())


def _parts(sheets: Sequence[Sheet]) -> dict[str, str]:
    numbers = range(1, len(sheets) + 1)
    kinds = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    overrides = "".join(
        f'<Override PartName="/xl/worksheets/sheet{number}.xml" ContentType="{kinds}.worksheet+xml"/>'
        for number in numbers
    )
    states = {True: ' state="hidden"', False: ""}
    listed = "".join(
        f'<sheet name="{escape(sheet.name)}" sheetId="{number}"{states[sheet.hidden]} r:id="rId{number}"/>'
        for number, sheet in enumerate(sheets, 1)
    )
    related = "".join(
        f'<Relationship Id="rId{number}" Type="{_OFFICE}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        for number in numbers
    )
    return {
        "[Content_Types].xml": f'{_HEAD}<Types xmlns="{_PACKAGE}/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/xl/workbook.xml" ContentType="{kinds}.sheet.main+xml"/>'
        f'<Override PartName="/xl/styles.xml" ContentType="{kinds}.styles+xml"/>{overrides}</Types>',
        "_rels/.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">'
        f'<Relationship Id="rId1" Type="{_OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'{_HEAD}<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{listed}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'{_HEAD}<Relationships xmlns="{_PACKAGE}/relationships">{related}'
        f'<Relationship Id="rId{len(sheets) + 1}" Type="{_OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "xl/styles.xml": _STYLES,
    }


def _sheet(sheet: Sheet) -> Iterator[str]:
    yield f'{_HEAD}<worksheet xmlns="{_MAIN}"><sheetData>'
    for number, cells in enumerate(sheet.rows, 1):
        if cells:
            inner = "".join(_cell(cell, f"{_column(place)}{number}") for place, cell in enumerate(cells))
            yield f'<row r="{number}">{inner}</row>'
    yield "</sheetData>"
    if sheet.merged:
        ranges = "".join(f'<mergeCell ref="{each}"/>' for each in sheet.merged)
        yield f'<mergeCells count="{len(sheet.merged)}">{ranges}</mergeCells>'
    yield "</worksheet>"


def _cell(cell: Cell | Raw, place: str) -> str:
    match cell:
        case None:
            return ""
        case Raw(xml=xml, kind=kind):
            return f'<c r="{place}"{f" t={chr(34)}{kind}{chr(34)}" if kind else ""}>{xml}</c>'
        case bool():
            return f'<c r="{place}" t="b"><v>{int(cell)}</v></c>'
        case int() | float():
            return f'<c r="{place}"><v>{cell!r}</v></c>'
        case date():
            at = cell if isinstance(cell, datetime) else datetime(cell.year, cell.month, cell.day)  # noqa: DTZ001
            return f'<c r="{place}" s="{_DATE}"><v>{(at - _EPOCH).total_seconds() / 86_400!r}</v></c>'
        case _:
            return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(cell)}</t></is></c>'


def _column(place: int) -> str:
    """The letters of a column, from 0."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters
