"""SIP messages as a capture file (libpcap, raw IP) that Wireshark and its kin open.

The packets are made here around the messages: addresses, ports, times and bytes are true, the rest is what it has to
be. Over TCP each direction counts its own bytes, so that whoever reads the file puts them together again.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from sipshop.sip.flow import Address

_LINKTYPE_RAW: Final = 101  # a packet begins with its IP header, version 4 or 6
_MOST_BYTES: Final = 65_000  # of a message in one packet
_UDP, _TCP = 17, 6
_PUSH_AND_ACK: Final = 0x18


@dataclass(frozen=True, slots=True)
class Packet:
    """A message as it was on the wire: microseconds since the Unix epoch (UTC), and the way it took."""

    at_us: int
    transport: str  # "UDP" or "TCP"
    source: Address
    destination: Address
    data: bytes


def pcap(packets: Iterable[Packet]) -> bytes:
    """Return a capture of these packets."""
    return b"".join(_records(packets))


def _records(packets: Iterable[Packet]) -> Iterator[bytes]:
    yield struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, _LINKTYPE_RAW)
    sent: dict[tuple[Address, Address], int] = {}  # bytes of each direction of a TCP connection
    for packet in packets:
        for start in range(0, len(packet.data), _MOST_BYTES):
            part = packet.data[start : start + _MOST_BYTES]
            framed = _ip_packet(packet, part, sent)
            yield struct.pack("<IIII", *divmod(packet.at_us, 1_000_000), len(framed), len(framed)) + framed


def _ip_packet(packet: Packet, data: bytes, sent: dict[tuple[Address, Address], int]) -> bytes:
    source, destination = (ipaddress.ip_address(host) for host, _ in (packet.source, packet.destination))
    ports = packet.source[1], packet.destination[1]
    if packet.transport == "UDP":
        protocol = _UDP
        head = struct.pack(">HHHH", *ports, 8 + len(data), 0)
    else:
        protocol = _TCP
        way = packet.source, packet.destination
        sequence, other = sent.get(way, 1), sent.get((packet.destination, packet.source), 1)
        sent[way] = sequence + len(data)
        head = struct.pack(">HHIIBBHHH", *ports, sequence, other, 5 << 4, _PUSH_AND_ACK, 65_535, 0, 0)
    payload = _summed(head, data, protocol, source.packed + destination.packed)
    if source.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64) + source.packed + destination.packed + payload
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    header += source.packed + destination.packed
    return header[:10] + struct.pack(">H", _checksum(header)) + header[12:] + payload


def _summed(head: bytes, data: bytes, protocol: int, addresses: bytes) -> bytes:
    """The segment with its checksum, over the pseudo-header too (RFC 768, RFC 9293, RFC 8200 section 8.1)."""
    place = 6 if protocol == _UDP else 16
    pseudo = addresses + struct.pack(">II", len(head) + len(data), protocol)
    checksum = _checksum(pseudo + head + data) or 0xFFFF
    return head[:place] + struct.pack(">H", checksum) + head[place + 2 :] + data


def _checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f">{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
