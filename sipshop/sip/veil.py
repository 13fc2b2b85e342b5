"""TLS as a machine: bytes of a socket in, bytes of SIP out, and the other way round (IO, by its import of `ssl` alone).

Neither of our event loops lets a server count and bound those who have not shaken hands yet, and one of them reads a
peer's first bytes before it can be told what they are; so hands are shaken here, on any transport, without a task.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Final

_PIECE_BYTES: Final = 1 << 16


class Veil:
    """One side of a TLS connection; `name` is whom a client wants to reach (SNI, RFC 6066 section 3).

    Each step may leave bytes for the peer, which `taken` gives out; an `ssl.SSLError` of any step is the end.
    """

    def __init__(self, context: ssl.SSLContext, *, is_server: bool, name: str | None = None) -> None:
        self._inside, self._outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._inside, self._outside, server_side=is_server, server_hostname=name)
        self.is_up = False
        #: The peer will send no more.
        self.is_over = False

    def begin(self) -> None:
        """Say the first word, if it is ours to say."""
        self._shake()

    def hear(self, data: bytes) -> bytes:
        """Take bytes from the socket; what the peer has said in them."""
        self._inside.write(data)
        if not self.is_up:
            self._shake()
        return self._read() if self.is_up else b""

    def say(self, data: bytes) -> None:
        """Have something sent, once hands are shaken."""
        self._tls.write(data)

    def end(self) -> None:
        """Say that we send no more."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            return  # the peer has not said it yet, which we do not wait for

    @property
    def taken(self) -> bytes:
        """The bytes that have to go to the socket; they are here no more."""
        return self._outside.read()

    @property
    def certificate(self) -> Mapping[str, object]:
        """What the peer's certificate says, as the `ssl` module words it."""
        return self._tls.getpeercert() or {}

    def _shake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        self.is_up = True

    def _read(self) -> bytes:
        said = bytearray()
        try:
            while piece := self._tls.read(_PIECE_BYTES):
                said += piece
            self.is_over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_over = True
        return bytes(said)
