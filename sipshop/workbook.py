"""A workbook's rows, read by a process of their own (IO): `python -m sipshop.workbook [SHEET]`, the file on stdin.

A workbook is a packed file from a stranger, and a few bytes of it can ask for more memory than there is. This process
may have so much and no more; where it ends, the calls of the switch go on. Each line on stdout is a JSON list: the
row's line, then its cells; a text is a string, a number a number, a date `{"at": ...}`. The first line is an object:
the sheet's name, how many rows it has, and all sheets that are shown.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import BinaryIO, Final
from xml.etree import ElementTree as ET

from python_calamine import CalamineError, CalamineWorkbook, SheetVisibleEnum

#: What the process may have of memory and of a processor.
MOST_BYTES: Final = 3 << 30
MOST_CPU_S: Final = 300
#: A sheet is unpacked to no more than this.
MOST_UNPACKED: Final = 1 << 30
_MOST_OF_A_PART: Final = 1 << 20
_PIECE: Final = 1 << 20
#: A cell with a formula that nobody has worked out has no value beside it, and would be read as an empty one.
_UNKNOWN: Final = re.compile(
    rb'<c\b[^>]*\br="([A-Z]{1,3}[0-9]{1,7})"[^>]*>\s*<f\b(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v>\s*</v>)?\s*</c>'
)
_NAMESPACE: Final = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_RELATION: Final = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


class BadWorkbook(Exception):
    """The workbook cannot be read; the text says why."""


def main() -> None:
    """Write the rows of the sheet that was asked for, or of the first that is shown; on an error a line on stderr."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_CPU_S, MOST_CPU_S))
    try:
        for line in lines(sys.stdin.buffer, sys.argv[1] if len(sys.argv) > 1 else ""):
            sys.stdout.write(line)
    except (BadWorkbook, MemoryError) as error:
        sys.stderr.write(f"{str(error) or 'needs more memory than a sheet of prices may'}\n")
        raise SystemExit(1) from None


def lines(file: BinaryIO, wanted: str) -> Iterator[str]:
    """Yield the lines of JSON of one sheet.

    Raises:
        BadWorkbook: there is no such sheet, or the file is none that we read.
    """
    try:
        workbook = CalamineWorkbook.from_filelike(file)
        shown = [each.name for each in workbook.sheets_metadata if each.visible == SheetVisibleEnum.Visible]
        name = wanted or next(iter(shown), "")
        if name not in workbook.sheet_names:
            raise BadWorkbook(f"has no sheet named {name!a}; there are {', '.join(map(ascii, shown)) or 'none'}")
        file.seek(0)
        unknown = _first_unknown(file, name)
        if unknown is not None:
            raise BadWorkbook(
                f"sheet {name!a}: cell {unknown} is a formula without its value: open the workbook and save it again"
            )
        sheet = workbook.get_sheet_by_name(name)
    except (CalamineError, zipfile.BadZipFile, ET.ParseError, OSError) as error:
        raise BadWorkbook(f"is no workbook that can be read: {error}") from error
    first = sheet.start[0] + 1 if sheet.start is not None else 1
    yield _line({"sheet": name, "rows": sheet.height, "sheets": shown})
    for number, cells in enumerate(sheet.iter_rows(), first):
        if any(cell != "" for cell in cells):
            yield _line([number, *map(_cell, cells)])


def _line(value: object) -> str:
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")) + "\n"


def _cell(cell: object) -> object:
    match cell:
        case bool():
            return "true" if cell else "false"
        case float():
            return int(cell) if cell.is_integer() else cell
        case datetime():
            return {"at": cell.isoformat()}
        case date():
            return {"at": f"{cell.isoformat()}T00:00:00"}
        case time():
            return cell.isoformat()
        case timedelta():
            return str(cell)
        case _:
            return cell


def _first_unknown(file: BinaryIO, sheet: str) -> str | None:
    """The first cell of an XLSX sheet whose formula has no value; None also for workbooks of other kinds."""
    if not zipfile.is_zipfile(file):
        return None
    with zipfile.ZipFile(file) as archive:
        sizes = {each.filename: each.file_size for each in archive.infolist()}
        if sum(sizes.values()) > MOST_UNPACKED:
            raise BadWorkbook(f"unpacks to more than {MOST_UNPACKED} bytes")
        part = _part_of(archive, sheet)
        if part not in sizes:
            return None
        with archive.open(part) as content:
            rest = b""
            while piece := content.read(_PIECE):
                found = _UNKNOWN.search(rest + piece) if b"<f" in rest + piece else None
                if found is not None:
                    return found[1].decode()
                rest = piece[-4096:]  # a cell may lie across two pieces
    return None


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """The file of a sheet in the archive; an empty text where it is kept in another way."""
    try:
        book, relations = (
            ET.fromstring(archive.open(name).read(_MOST_OF_A_PART))  # noqa: S314 - expat bounds what it expands
            for name in ("xl/workbook.xml", "xl/_rels/workbook.xml.rels")
        )
    except KeyError:
        return ""
    ids: Sequence[str] = [
        each.get(_RELATION, "") for each in book.iter(f"{_NAMESPACE}sheet") if each.get("name") == sheet
    ]
    targets = {each.get("Id"): each.get("Target", "") for each in relations}
    target = targets.get(ids[0], "") if ids else ""
    return target.lstrip("/") if target.startswith("/") else f"xl/{target}"


if __name__ == "__main__":
    main()
