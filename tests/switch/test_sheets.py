"""How a sheet is read beside the event loop; what is read is told in tests/sheets."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from sipshop.switch.sheets import lines_of

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_OF_A_PIPE: Final = 8_192


class Pipe(io.RawIOBase):
    """Gives a little at a time, and notes how many lines had been seen whenever it was asked."""

    def __init__(self, content: bytes, seen: list[bytes]) -> None:
        super().__init__()
        self._content = io.BytesIO(content)
        self._seen = seen
        self.asked_after: list[int] = []

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        self.asked_after.append(len(self._seen))
        room = memoryview(buffer).cast("B")
        piece = self._content.read(min(_OF_A_PIPE, len(room)))
        room[: len(piece)] = piece
        return len(piece)


def test_a_process_is_asked_seldom_for_the_lines_of_a_workbook() -> None:
    """A thread that asks again and again lets go of the interpreter each time, too briefly for anybody else."""
    lines = [b'[%d,"Country %d",0.%04d]' % (number, number % 200, number % 10_000) for number in range(50_000)]
    content = b"\n".join(lines) + b"\n"
    seen: list[bytes] = []
    pipe = Pipe(content, seen)
    for line in lines_of(io.BufferedReader(pipe)):
        seen.append(line)  # noqa: PERF402 - it is looked at between two of them
    assert seen == lines
    assert len(content) > 1_000_000
    assert len(set(pipe.asked_after)) < 10, "not for every few kilobytes"
