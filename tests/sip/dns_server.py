"""A DNS server on loopback for the tests: answers from a zone, or not at all, and counts what it is asked."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Self, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from sipshop.sip.flow import Address

#: (name, kind) to the records as a zone file writes them.
Zone = Mapping[tuple[str, str], Sequence[str]]


class DnsServer(asyncio.DatagramProtocol):
    """Authoritative for everything: what is not in the zone does not exist. `ttl_s` is that of every record."""

    def __init__(self, zone: Zone, *, ttl_s: int = 60) -> None:
        self.zone = dict(zone)
        self.ttl_s = ttl_s
        self.is_dead = False
        self.is_broken = False
        self.asked: Counter[str] = Counter()
        self._transport: asyncio.DatagramTransport | None = None

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._transport is not None
        self._transport.close()
        await asyncio.sleep(0)

    @property
    def address(self) -> Address:
        assert self._transport is not None
        host, port = self._transport.get_extra_info("sockname")
        return host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        query = dns.message.from_wire(data)
        [question] = query.question
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked[f"{name} {kind}"] += 1
        if self.is_dead:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA | dns.flags.RA
        records = self.zone.get((name, kind), ())
        if self.is_broken:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            response.answer.append(dns.rrset.from_text(question.name, self.ttl_s, "IN", kind, *records))
        else:
            if not any(known == name for known, _ in self.zone):
                response.set_rcode(dns.rcode.NXDOMAIN)
            soa = f"ns.example. admin.example. 1 3600 600 86400 {self.ttl_s}"
            response.authority.append(dns.rrset.from_text("example.", self.ttl_s, "IN", "SOA", soa))
        assert self._transport is not None
        self._transport.sendto(response.to_wire(), addr)
