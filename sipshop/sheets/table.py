"""The rows of a CSV as a carrier sends it: any delimiter and encoding, found out where the mapping does not say."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sipshop.sheets.cells import Cell
from sipshop.sheets.mapping import Mapping

MAX_ROWS: Final = 1_048_576
"""So many rows has a workbook's sheet at most, and so many we read of any."""
MAX_COLUMNS: Final = 256
MAX_CELL: Final = 32_767
"""So many characters has a cell at most."""
_LOOKED_AT: Final = 65_536
_SAMPLE_LINES: Final = 50
_DELIMITERS: Final = ",;\t|"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

Chunks = Callable[[], Iterable[bytes]]
"""Gives the bytes of a file from its beginning, each time it is asked."""


class BadSheet(Exception):
    """A sheet cannot be read at all; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row that has something in it, with the line at which it begins, from 1."""

    line: int
    cells: Sequence[Cell]


def csv_rows(chunks: Chunks, *, delimiter: str = "", encoding: str = "") -> Iterator[Row]:
    """Yield the rows of a CSV.

    Raises:
        BadSheet: it is no text in that encoding, or no CSV.
    """
    codec = encoding or find_encoding(chunks)
    sign = delimiter or find_delimiter(_sample(chunks, codec))
    try:
        reader = csv.reader(_lines(chunks(), codec), delimiter=sign)
        line = 1
        for cells in reader:
            if any(cells):
                if len(cells) > MAX_COLUMNS:
                    raise BadSheet(f"line {line} has more than {MAX_COLUMNS} cells")
                yield Row(line, cells)
            line = reader.line_num + 1
            if line > MAX_ROWS + 1:
                raise BadSheet(f"has more than {MAX_ROWS} lines")
    except csv.Error as error:
        raise BadSheet(f"line {reader.line_num} is not CSV: {error}") from error


def find_encoding(chunks: Chunks) -> str:
    """Find out the encoding of a text: by its mark, by its zero bytes, by being UTF-8, and else that of Windows."""
    first = next(iter(chunks()), b"")[:_LOOKED_AT]
    for mark, encoding in _MARKS:
        if first.startswith(mark):
            return encoding
    if b"\x00" in first:
        return "utf-16-le" if first[1::2].count(0) >= first[::2].count(0) else "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for chunk in chunks():
            decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def find_delimiter(lines: Sequence[str]) -> str:
    """Find out what stands between cells: the sign by which most lines have one number of cells, and many of them."""

    def weight(sign: str) -> int:
        try:
            widths = [len(cells) for cells in csv.reader(lines, delimiter=sign) if cells]
        except csv.Error:
            return 0
        return max((widths.count(width) * (width - 1) for width in set(widths)), default=0)

    return max(_DELIMITERS, key=weight)


def _sample(chunks: Chunks, encoding: str) -> list[str]:
    return [line for line, _ in zip(_lines(chunks(), encoding), range(_SAMPLE_LINES), strict=False)]


def _lines(chunks: Iterable[bytes], encoding: str) -> Iterator[str]:
    """Yield the lines of a text with their ends; a NUL in it is no text."""
    decoder = codecs.getincrementaldecoder(encoding)("replace" if encoding == "cp1252" else "strict")
    rest = ""
    for chunk in chunks:
        rest += _decoded(decoder, chunk, encoding)
        held = "\r" if rest.endswith("\r") else ""  # its line feed may be in the next piece
        *lines, rest = _split(rest.removesuffix(held))
        yield from (_checked(f"{line}\n") for line in lines)
        rest += held
        if len(rest) > MAX_CELL * MAX_COLUMNS:
            raise BadSheet(f"has a line of more than {MAX_CELL * MAX_COLUMNS} characters")
    rest += _decoded(decoder, b"", encoding, final=True)
    yield from (_checked(f"{line}\n") for line in _split(rest))


def _decoded(decoder: codecs.IncrementalDecoder, chunk: bytes, encoding: str, *, final: bool = False) -> str:
    try:
        return decoder.decode(chunk, final)
    except UnicodeError as error:
        raise BadSheet(f"is not text in {encoding}: say in the mapping which `encoding` it has") from error


def _split(text: str) -> list[str]:
    """Split at ends of lines alone, also those of an old Macintosh, and not at what else Unicode knows."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _checked(line: str) -> str:
    if "\x00" in line:
        raise BadSheet("has bytes of zero in it: it is no text, or in another encoding than the mapping says")
    return line


def rows_of(chunks: Chunks, mapping: Mapping) -> Iterator[Row]:
    """Yield the rows of a CSV as a mapping says it is written."""
    return csv_rows(chunks, delimiter=mapping.delimiter, encoding=mapping.encoding)
