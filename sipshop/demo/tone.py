"""Sound: a tone of 440 Hz in G.711, computed once, and the RTP that carries it (IO).

One socket and one timer send the tone to all calls, so that a hundred of them cost little more than one.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import secrets
import socket
import struct
from dataclasses import dataclass
from typing import Final

from sipshop.sip.flow import Address

TONE_HZ: Final = 440
SAMPLE_HZ: Final = 8000
FRAME_S: Final = 0.02
#: Samples, and in G.711 bytes, of one packet.
FRAME: Final = int(SAMPLE_HZ * FRAME_S)
#: A quarter of full scale, about -15 dBm0: loud enough to hear, not to hurt.
_AMPLITUDE: Final = 8000
_PCMU: Final = 0
_PCMA: Final = 8
#: After a pause longer than this (a suspended laptop), sound goes on from here instead of catching up.
_HOPELESS_S: Final = 1.0


def ulaw(sample: int) -> int:
    """A 16-bit sample as PCMU (ITU-T G.711 table 2a): sign, three bits of exponent, four of mantissa, all inverted."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + 132
    exponent = magnitude.bit_length() - 8
    return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF


def alaw(sample: int) -> int:
    """A 16-bit sample as PCMA (ITU-T G.711 table 1a): sign, exponent and mantissa, every other bit inverted."""
    sign = 0x80 if sample >= 0 else 0
    magnitude = (sample if sample >= 0 else -sample - 1) >> 3
    exponent = max(magnitude.bit_length() - 5, 0)
    return (sign | exponent << 4 | (magnitude >> max(exponent, 1)) & 0x0F) ^ 0x55


def tone(payload_type: int) -> list[bytes]:
    """One second of the tone in frames; it holds whole periods, so it can be repeated without a click."""
    encode = {_PCMU: ulaw, _PCMA: alaw}[payload_type]
    samples = (round(_AMPLITUDE * math.sin(math.tau * TONE_HZ * n / SAMPLE_HZ)) for n in range(SAMPLE_HZ))
    sound = bytes(map(encode, samples))
    return [sound[start : start + FRAME] for start in range(0, len(sound), FRAME)]


@dataclass(slots=True, eq=False)
class Stream:
    """The tone on its way to one listener, as RTP (RFC 3550 section 5.1)."""

    remote: Address
    payload_type: int
    ssrc: int
    sequence: int
    timestamp: int
    frame: int = 0

    def packet(self, frames: list[bytes]) -> bytes:
        """The next packet; the first one of a stream carries the marker (RFC 3551 section 4.1)."""
        marker = 0x80 if self.frame == 0 else 0
        head = struct.pack(
            "!BBHII", 0x80, marker | self.payload_type, self.sequence & 0xFFFF, self.timestamp & 0xFFFFFFFF, self.ssrc
        )
        payload = frames[self.frame % len(frames)]
        self.frame += 1
        self.sequence += 1
        self.timestamp += FRAME
        return head + payload


class Player:
    """The sound of all calls: one socket and one timer for every listener of the tone, a socket for each echo."""

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        """Open the socket; `OSError` where the address is not ours."""
        self._loop = loop
        self._frames = {payload_type: tone(payload_type) for payload_type in (_PCMU, _PCMA)}
        self.streams: set[Stream] = set()
        self.echoes: set[Echo] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._socket = _open(host)
        self.local: Address = self._socket.getsockname()[:2]

    def play(self, remote: Address, payload_type: int) -> Stream:
        """Begin to send the tone."""
        stream = Stream(remote, payload_type, secrets.randbits(32), secrets.randbits(15), secrets.randbits(32))
        self.streams.add(stream)
        if self._alarm is None:
            self._send_all(self._loop.time())
        return stream

    def stop(self, stream: Stream) -> None:
        """Send no more of it."""
        self.streams.discard(stream)

    def echo(self) -> Echo:
        """Make an echo; it is silent at first."""
        echo = Echo(self._loop, self.local[0])
        self.echoes.add(echo)
        return echo

    def stop_echo(self, echo: Echo) -> None:
        """End an echo."""
        self.echoes.discard(echo)
        echo.close()

    def close(self) -> None:
        """Stop all sound and close every socket."""
        if self._alarm is not None:
            self._alarm.cancel()
        for echo in self.echoes:
            echo.close()
        self._socket.close()

    def _send_all(self, due_s: float) -> None:
        self._alarm = None
        for stream in self.streams:
            _send(self._socket, stream.packet(self._frames[stream.payload_type]), stream.remote)
        if self.streams:
            late_s = self._loop.time() - due_s
            next_s = due_s + FRAME_S + (late_s if late_s > _HOPELESS_S else 0.0)
            self._alarm = self._loop.call_at(next_s, self._send_all, next_s)


class Echo:
    """A socket that sends every packet back to where it came from, while it is `sounding`.

    It heeds the source and not the session description: phones on the carrier's own machine often name another
    address than the one that they send from.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        """Open the socket; `OSError` where no more can be opened."""
        self._loop = loop
        self._socket = _open(host)
        self.local: Address = self._socket.getsockname()[:2]
        self.sounding = False
        loop.add_reader(self._socket, self._on_readable)

    def close(self) -> None:
        """Close the socket."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _on_readable(self) -> None:
        while True:
            try:
                packet, source = self._socket.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an ICMP error for a packet of ours: its listener has gone
            if self.sounding:
                _send(self._socket, packet, source)


def _open(host: str) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_DGRAM)
    opened.setblocking(False)
    try:
        opened.bind((host, 0))
    except OSError:
        opened.close()
        raise
    return opened


def _send(by: socket.socket, packet: bytes, remote: Address) -> None:
    with contextlib.suppress(OSError):  # sound that cannot leave now is late already: RTP repeats nothing
        by.sendto(packet, remote)
