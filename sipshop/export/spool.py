"""A target that is a file: JSON Lines, on the disk before they count as delivered (IO).

The file of now has the name of the configuration; when a batch would make it too large, and when a day (UTC) has begun,
it is put aside as NAME-YYYYMMDD-NNNN, numbered within the day. Whoever reads takes those away; none is removed here.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sipshop.export.delivery import Failed, Taken
from sipshop.export.target import Outcome, Parcel

_BACKWARDS: Final = 65_536
_MB: Final = 1_000_000


class Spool:
    """A file that grows by a batch at a time, of whole lines only."""

    def __init__(self, path: Path, *, most_mb: int) -> None:
        self._path = path
        self._most = most_mb * _MB

    def deliver(self, parcel: Parcel, utc_ms: int) -> Outcome:
        """Append a batch and wait for the disk."""
        lines = parcel.lines
        try:
            self._put_aside(len(lines), utc_ms)
            self._append(lines)
        except OSError as error:
            return Failed(f"{error.filename or self._path} cannot be written: {error.strerror}")
        return Taken()

    def stop(self) -> None:
        """A disk is waited for."""

    def _append(self, lines: bytes) -> None:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            end = _end_of_lines(descriptor)
            os.ftruncate(descriptor, end)  # what a crash left of a line comes again
            try:
                _write_at(descriptor, lines, end)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)  # a full disk keeps nothing of it
                raise
        finally:
            os.close(descriptor)
        if is_new:
            _sync_folder(self._path.parent)

    def _put_aside(self, more: int, utc_ms: int) -> None:
        """Rename the file of now if it is of another day, or would be too large."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return
        day, today = (datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%d") for at_s in (found.st_mtime, utc_ms / 1000))
        if found.st_size and (day != today or found.st_size + more > self._most):
            self._path.rename(self._free_name(day))
            _sync_folder(self._path.parent)

    def _free_name(self, day: str) -> Path:
        number = 1
        while True:
            path = self._path.with_name(f"{self._path.stem}-{day}-{number:04}{self._path.suffix}")
            if not path.exists():
                return path
            number += 1


def _end_of_lines(descriptor: int) -> int:
    """Where the last whole line of a file ends."""
    end = os.fstat(descriptor).st_size
    while end:
        first = max(0, end - _BACKWARDS)
        found = os.pread(descriptor, end - first, first).rfind(b"\n")
        if found >= 0:
            return first + found + 1
        end = first
    return 0


def _write_at(descriptor: int, content: bytes, place: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(descriptor, left, place)
        left, place = left[written:], place + written


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk too."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
