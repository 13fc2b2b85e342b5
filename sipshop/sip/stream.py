r"""Where one SIP message ends and the next begins on a stream (RFC 3261 section 18.3, RFC 5626 section 3.5.1).

Pure: bytes in, whole messages and pings out. The bytes may come in any pieces, one at a time or all at once, and the
frames are the same.

>>> Framer().feed(b"\r\n\r\nOPTIONS sip:h SIP/2.0\r\nl: 2\r\n\r\nhiGET / HTTP/1.1\r\n\r\n")
[Ping(), b'OPTIONS sip:h SIP/2.0\r\nl: 2\r\n\r\nhi', MissingContentLength('the message has no Content-Length')]
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from sipshop.sip.message import FramingError, MissingContentLength, TooLarge

#: The longest message that is taken, head and body: what a datagram can hold.
LONGEST_MESSAGE: Final = 65_535

_END_OF_HEAD: Final = b"\r\n\r\n"
_CONTENT_LENGTH: Final = re.compile(rb"\r\n(?:content-length|l)[ \t]*:((?:[^\r\n]|\r\n[ \t])*)(?=\r\n)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"[0-9]{1,10}\Z")


@dataclass(frozen=True, slots=True)
class Ping:
    """Two empty lines between messages: the peer asks whether we are there and wants one back."""


Frame = bytes | Ping | FramingError


class Framer:
    """Cuts a stream into frames.

    An error is the last frame: it stands after the messages that came before it, and nothing follows it, because
    nobody can tell any more where a message begins. An empty line on its own is a peer's answer to a ping and is
    passed over, so that two of them in a row read as a ping.
    """

    __slots__ = ("_buffer", "_failed", "_length", "_searched")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no head ends before this place
        self._length = 0  # of the message whose head is complete, 0 while there is none
        self._failed = False

    @property
    def is_waiting(self) -> bool:
        """Whether a message has begun that has not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that `data` completes; nothing more once there was an error."""
        frames: list[Frame] = []
        if self._failed:
            return frames
        self._buffer += data
        try:
            while (frame := self._next()) is not None:
                frames.append(frame)
        except FramingError as error:
            self._failed = True
            self._buffer.clear()
            frames.append(error)
        return frames

    def _next(self) -> bytes | Ping | None:
        buffer = self._buffer
        if not self._length:
            while buffer.startswith(b"\r\n"):
                if buffer.startswith(_END_OF_HEAD):
                    self._cut(4)
                    return Ping()
                if len(buffer) == 2 or buffer == b"\r\n\r":
                    return None
                self._cut(2)
            end = buffer.find(_END_OF_HEAD, self._searched)
            if end < 0:
                self._searched = max(0, len(buffer) - 3)
                if len(buffer) >= LONGEST_MESSAGE:
                    raise TooLarge(f"no end of the head in {LONGEST_MESSAGE} bytes")
                return None
            self._length = end + 4 + _content_length(buffer[: end + 2])
            if self._length > LONGEST_MESSAGE:
                raise TooLarge(f"a message of {self._length} bytes")
        if len(buffer) < self._length:
            return None
        return self._cut(self._length)

    def _cut(self, length: int) -> bytes:
        frame = bytes(self._buffer[:length])
        del self._buffer[:length]
        self._searched = self._length = 0
        return frame


def _content_length(head: bytearray) -> int:
    """The one Content-Length of a head; several that differ could hide one message in another's body."""
    values = {value.strip() for value in _CONTENT_LENGTH.findall(head)}
    if not values:
        raise MissingContentLength("the message has no Content-Length")
    if len(values) > 1 or not _LENGTH.match(value := values.pop()):
        raise MissingContentLength("Content-Length is not one number")
    return int(value)
