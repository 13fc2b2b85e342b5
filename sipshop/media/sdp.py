"""An answer to an offer (RFC 3264): one audio stream of G.711, every other medium declined.

The switch passes session descriptions through unread, but for carriers to whom not every codec is to be offered
(`only`). The rest is for an end that sends sound itself, as the demo carrier does, and small: it knows the lines that
it needs and leaves the rest alone.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from sipshop.sip.flow import Address

#: Static payload types of RFC 3551 that we send and take, best first.
CODECS: Final = {"8": "PCMA", "0": "PCMU"}
#: The static payload types of RFC 3551 that telephones use, with their RTP clock: they need no rtpmap.
_STATIC: Final = {
    "0": ("PCMU", "8000"),
    "3": ("GSM", "8000"),
    "4": ("G723", "8000"),
    "8": ("PCMA", "8000"),
    "9": ("G722", "8000"),
    "13": ("CN", "8000"),
    "15": ("G728", "8000"),
    "18": ("G729", "8000"),
}
#: What goes along with a codec of its clock, and is no codec itself.
_ALONG: Final = frozenset({"TELEPHONE-EVENT", "CN"})
_RTPMAP: Final = re.compile(rb"a=rtpmap:[ \t]*([0-9]{1,3})[ \t]+([A-Za-z0-9._-]+)/([0-9]{1,6})")
_OF_FORMAT: Final = re.compile(rb"a=(?:rtpmap|fmtp|rtcp-fb):[ \t]*([0-9]{1,3})[ \t]")
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


def only(description: bytes, codecs: Sequence[str], *, may_be_silent: bool = False) -> bytes:
    """An offer of sound by these codecs alone, in this order; names as in rtpmap, in any case.

    Payload types keep their numbers and their parameters, so that what is answered to this offer answers the one that
    it was made of. telephone-event and comfort noise stay where a codec of their clock does. A stream of which nothing
    is left is declined by port 0, as its place must be kept (RFC 3264 section 8); all other lines stay byte for byte.

    Raises:
        NoCommonMedia: there was sound, and none of it is left, unless it `may_be_silent`.
    """
    sections = re.split(rb"(?m)^(?=m=)", description)
    wanted = {codec.upper(): place for place, codec in enumerate(codecs)}
    done = [_only(section, wanted) if section.startswith(b"m=audio ") else section for section in sections]
    heard = [section for section in done if section.startswith(b"m=audio ")]
    if heard and not may_be_silent and all(section.split()[1].partition(b"/")[0] == b"0" for section in heard):
        raise NoCommonMedia(f"no audio with any of {', '.join(codecs)}")
    return b"".join(done)


def _only(section: bytes, wanted: dict[str, int]) -> bytes:
    """One audio stream of an offer, by the wanted codecs in the order of their places."""
    lines = section.splitlines(keepends=True)
    head = lines[0].rstrip(b"\r\n")
    ending = lines[0][len(head) :]
    words = head.decode("ascii", "replace").split()
    if len(words) < 4:
        return section
    named = {**_STATIC, **_mapped(section)}
    formats = [(payload_type, *named.get(payload_type, ("", ""))) for payload_type in words[3:]]
    kept = sorted((each for each in formats if each[1] in wanted), key=lambda each: wanted[each[1]])
    if not kept:
        return b" ".join([b"m=audio 0", *head.split()[2:]]) + ending + b"".join(lines[1:])
    clocks = {clock for _, _, clock in kept}
    kept += [each for each in formats if each[1] in _ALONG and each[2] in clocks and each not in kept]
    stays = {payload_type.encode() for payload_type, _, _ in kept}
    gone = {payload_type.encode() for payload_type in words[3:]} - stays
    rest = [line for line in lines[1:] if (found := _OF_FORMAT.match(line)) is None or found[1] not in gone]
    return b" ".join([*head.split()[:3], *(each[0].encode() for each in kept)]) + ending + b"".join(rest)


def _mapped(section: bytes) -> dict[str, tuple[str, str]]:
    """The names and clocks that a stream gives to its payload types."""
    found = (_RTPMAP.match(line) for line in section.splitlines())
    return {match[1].decode(): (match[2].decode().upper(), match[3].decode()) for match in found if match is not None}


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
