"""A sheet that was sent to us, in a file: its rows, whatever kind of file it is (IO).

What a text says is read here, on the thread that asks; a workbook is unpacked by a process of its own, which may take
so much memory and no more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import IO, Any, BinaryIO, Final

from sipshop.sheets import MAX_COLUMNS, MAX_ROWS, BadSheet, Cell, Mapping, Row, rows_of

#: How large a sheet may be that is sent to us.
MAX_BYTES: Final = 100_000_000
#: What workbooks begin with: XLSX, XLSB and ODS are archives, XLS is a compound document.
_WORKBOOKS: Final = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
_PIECE: Final = 1 << 18
_MOST_SAID: Final = 2_000


class SheetFile:
    """A sheet in a file without a name, which goes when it is closed; `whole` is how many bytes or rows it has."""

    def __init__(self) -> None:
        self.file: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`
        self.whole = 0

    def add(self, piece: bytes) -> None:
        """Keep a piece of it."""
        self.file.write(piece)

    def close(self) -> None:
        """Let it go."""
        self.file.close()

    @property
    def is_workbook(self) -> bool:
        """Whether a spreadsheet program made it."""
        self.file.flush()
        self.file.seek(0)
        return self.file.read(8).startswith(_WORKBOOKS)

    def rows(self, mapping: Mapping) -> Iterator[Row]:
        """Yield its rows; raises BadSheet where it cannot be read."""
        self.whole = 0
        if not self.is_workbook:
            yield from rows_of(self._pieces, mapping)
            return
        os.lseek(self.file.fileno(), 0, os.SEEK_SET)  # what we have read ahead is not read by the process
        with tempfile.TemporaryFile() as said:
            command = [sys.executable, "-m", "sipshop.workbook", *([mapping.sheet] if mapping.sheet else [])]
            with subprocess.Popen(command, stdin=self.file, stdout=subprocess.PIPE, stderr=said) as process:  # noqa: S603 - ours
                assert process.stdout is not None, "it was asked for"
                try:
                    yield from self._written(process.stdout)
                except BaseException:
                    process.kill()
                    raise
            if process.returncode:
                raise BadSheet(_why(said, process.returncode))

    def _pieces(self) -> Iterable[bytes]:
        place = 0
        while True:
            self.file.seek(place)  # somebody else may have read on from the beginning meanwhile
            piece = self.file.read(_PIECE)
            if not piece:
                return
            place += len(piece)
            yield piece

    def _written(self, lines: IO[bytes]) -> Iterator[Row]:
        """Read what the process writes."""
        for text in lines_of(lines):
            read = json.loads(text, parse_float=Decimal, parse_int=Decimal)
            if isinstance(read, dict):
                self.whole = int(read["rows"])
                if self.whole > MAX_ROWS:
                    raise BadSheet(f"has more than {MAX_ROWS} rows")
                continue
            line, *cells = read
            if len(cells) > MAX_COLUMNS:
                raise BadSheet(f"line {line} has more than {MAX_COLUMNS} cells")
            yield Row(int(line), [_cell(cell) for cell in cells])


def lines_of(stream: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a stream, which ends with one; the system is asked for many at a time.

    A thread that asks every few milliseconds lets go of the interpreter so briefly that no other one gets it, and is
    not made to let it go either, for it does so by itself: the event loop would stop for seconds.
    """
    rest = b""
    while piece := stream.read(_PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines


def _cell(cell: Any) -> Cell:
    if isinstance(cell, dict):
        return datetime.fromisoformat(cell["at"])
    found: Cell = cell
    return found


def _why(said: IO[bytes], status: int) -> str:
    said.seek(0)
    lines = said.read(_MOST_SAID).decode(errors="replace").strip().splitlines()
    return lines[-1] if lines and status > 0 else "takes more than a sheet of prices may: it could not be unpacked"
