"""An answer to an offer (RFC 3264): one audio stream of G.711, every other medium declined.

The switch passes session descriptions through unread. This is for an end that sends sound itself, as the demo carrier
does, and small: it knows the lines that it needs and leaves the rest alone.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from sipshop.sip.flow import Address

#: Static payload types of RFC 3551 that we send and take, best first.
CODECS: Final = {"8": "PCMA", "0": "PCMU"}
#: What we answer to a direction (RFC 3264 section 6.1).
ANSWERS: Final = {"sendrecv": "sendrecv", "sendonly": "recvonly", "recvonly": "sendonly", "inactive": "inactive"}


class NoCommonMedia(ValueError):
    """A description without an audio stream that we can take; a SIP answer to it is 488."""


@dataclass(frozen=True, slots=True)
class Audio:
    """The peer's audio stream: where it listens, the payload type to send, and its direction as it names it.

    `remote` is None where nothing is to be sent: no address of ours can reach it, or it is the 0.0.0.0 of old phones
    on hold (RFC 2543 section B.5).
    """

    remote: Address | None
    payload_type: int
    direction: str

    @property
    def hears(self) -> bool:
        """Whether the peer wants to be sent sound."""
        return self.remote is not None and self.direction in {"sendrecv", "recvonly"}


@dataclass(slots=True)
class _Medium:
    """One `m=` section; `host` and `direction` start as the session's own."""

    kind: str
    port: int
    protocol: str
    formats: list[str]
    host: str
    direction: str
    events: list[str] = field(default_factory=list)  # payload types of telephone-event (RFC 4733)

    @property
    def codec(self) -> str | None:
        """The payload type that we take of it, in the order of the one who wrote it; None if there is none."""
        if self.kind != "audio" or self.port == 0 or self.protocol not in {"RTP/AVP", "RTP/AVPF"}:
            return None
        return next((payload_type for payload_type in self.formats if payload_type in CODECS), None)


def audio_of(description: bytes, family: int) -> Audio:
    """The audio stream of an offer or an answer; `family` (4 or 6) is the kind of address that we can send to.

    Raises:
        NoCommonMedia: it has none with PCMA or PCMU over plain RTP, or cannot be read.
    """
    chosen = next((medium for medium in _media(description) if medium.codec is not None), None)
    if chosen is None or chosen.codec is None:
        raise NoCommonMedia("no audio with PCMA or PCMU over RTP")
    return Audio(_reachable(chosen.host, chosen.port, family), int(chosen.codec), chosen.direction)


def answer(offer: bytes, local: Address, version: int) -> bytes:
    """The answer to an offer: our address for its first audio stream that we can take, port 0 for all else.

    `version` is ours to raise with each description of a call. Raises `NoCommonMedia` as `audio_of` does.
    """
    lines = []
    taken = False
    for medium in _media(offer):
        codec = medium.codec
        if codec is None or taken:
            lines.append(f"m={medium.kind} 0 {medium.protocol} {' '.join(medium.formats)}")
            continue
        taken = True
        lines += _audio(local[1], medium.protocol, [codec], medium.events[:1], ANSWERS[medium.direction])
    if not taken:
        raise NoCommonMedia("no audio with PCMA or PCMU over RTP")
    return _describe(local, version, lines)


def offer(local: Address, version: int) -> bytes:
    """Our own offer, for an INVITE that has none."""
    return _describe(local, version, _audio(local[1], "RTP/AVP", CODECS, ["101"], "sendrecv"))


def _describe(local: Address, version: int, media: Iterable[str]) -> bytes:
    host = f"IP{ipaddress.ip_address(local[0]).version} {local[0]}"
    lines = ["v=0", f"o=carrier {local[1]} {version} IN {host}", "s=-", f"c=IN {host}", "t=0 0", *media]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _audio(port: int, protocol: str, codecs: Iterable[str], events: Iterable[str], direction: str) -> list[str]:
    codecs, events = list(codecs), list(events)
    return [
        f"m=audio {port} {protocol} {' '.join([*codecs, *events])}",
        *(f"a=rtpmap:{payload_type} {CODECS[payload_type]}/8000" for payload_type in codecs),
        *(f"a=rtpmap:{payload_type} telephone-event/8000" for payload_type in events),
        *(f"a=fmtp:{payload_type} 0-16" for payload_type in events),
        "a=ptime:20",
        f"a={direction}",
    ]


def _media(description: bytes) -> list[_Medium]:
    host, direction = "", "sendrecv"
    media: list[_Medium] = []
    for line in description.decode("utf-8", "replace").splitlines():
        kind, _, value = line.partition("=")
        if kind == "m":
            media.append(_medium(value, host, direction))
        elif kind == "c":
            # "IN IP4 192.0.2.1", a multicast address with "/ttl" behind it
            connection = value.split()[-1].partition("/")[0] if value.split() else ""
            if media:
                media[-1].host = connection
            else:
                host = connection
        elif kind == "a" and value in ANSWERS:
            if media:
                media[-1].direction = value
            else:
                direction = value
        elif kind == "a" and media and value.startswith("rtpmap:") and "telephone-event/8000" in value.lower():
            media[-1].events.append(value.removeprefix("rtpmap:").split()[0])
    return media


def _medium(value: str, host: str, direction: str) -> _Medium:
    words = value.split()
    if len(words) < 4:
        raise NoCommonMedia(f"m={value} is no media line")
    port = words[1].partition("/")[0]
    if not (port.isascii() and port.isdigit() and int(port[:9]) < 65536):
        raise NoCommonMedia(f"m={value} has no port")
    return _Medium(words[0], int(port), words[2], words[3:], host, direction)


def _reachable(host: str, port: int, family: int) -> Address | None:
    """The address to send to, if it is a literal of our family and not the 0.0.0.0 of a phone on hold."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None  # a name: the carrier looks nothing up inside a call
    return (host, port) if address.version == family and not address.is_unspecified else None
