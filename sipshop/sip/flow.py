"""Where a message came from and where its answer goes, and what our own addresses are called."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

#: (IP literal without brackets, port); an IPv6 address of one link bears its zone, `fe80::1%eth0`.
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A transport, our address, the peer's address; `connection` numbers a connection (0: none yet, or UDP).

    `local` is the address that we listen on for this transport, on a connection that we opened too. A message sent to
    a flow whose connection is gone, or was never there, opens a new one to `remote`; over TLS the peer then has to show
    a certificate for `name`, a domain, or for his IP address where there is none (RFC 5922 section 7.3).
    """

    transport: str  # "UDP", "TCP" or "TLS"
    local: Address
    remote: Address
    connection: int = 0
    name: str = ""

    @property
    def reliable(self) -> bool:
        """Whether the transport itself repeats what was lost, so that no timer of ours has to."""
        return self.transport != "UDP"


class Addresses:
    """Where we listen, and what peers are told to send to in its place: sent-by of a Via, host and port of a Contact.

    `default` is told where nothing better is known.

    >>> ours = Addresses(("192.0.2.7", 5060))
    >>> ours.add("UDP", ("0.0.0.0", 5060), ("192.0.2.7", 5060))
    >>> ours.add("TLS", ("::", 5061), ("2001:db8::7", 5061))
    >>> ours.told(Flow("TLS", ("::", 5061), ("2001:db8::9", 5061)))
    '[2001:db8::7]:5061'
    """

    def __init__(self, default: Address) -> None:
        self.default: Final = default
        self._told: dict[tuple[str, Address], Address] = {}
        self._texts: dict[tuple[str, Address], str] = {}  # the same, as they are written

    def add(self, transport: str, local: Address, told: Address) -> None:
        """Tell peers `told` on flows from `local`."""
        self._told[transport, local] = told
        self._texts[transport, local] = written(told)

    def told(self, flow: Flow) -> str:
        """The address that the peer of a flow is told, as it is written in SIP."""
        text = self._texts.get((flow.transport, flow.local))
        if text is None:
            local = self.local_for(flow.transport, flow.local[0])
            text = self._texts.get((flow.transport, local)) or written(self._of_family(flow.local[0]))
        return text

    def candidates(self, transport: str, remote_host: str) -> tuple[Address, ...]:
        """Our addresses from which that transport reaches hosts of that family, in the order in which they came."""
        return tuple(self._locals(transport, _family(remote_host)))

    @property
    def families(self) -> tuple[int, ...]:
        """The versions of IP that we listen on, in the order in which they came."""
        return tuple(dict.fromkeys(_family(local[0]) for _, local in self._told))

    def local_for(self, transport: str, remote_host: str, near: str = "") -> Address:
        """Our address for a flow to a host: the one with the IP `near`, else the first of its transport and family.

        Where we listen for no such transport it is the first address of that family, or the default.
        """
        found = self.candidates(transport, remote_host)
        for local in found:
            if local[0] == near:
                return local
        if found:
            return found[0]
        return next(self._locals("", _family(remote_host)), self.default)

    def _locals(self, transport: str, family: int) -> Iterator[Address]:
        for kind, local in self._told:
            if transport in {kind, ""} and _family(local[0]) == family:
                yield local

    def _of_family(self, host: str) -> Address:
        told = (told for told in self._told.values() if _family(told[0]) == _family(host))
        return next(told, self.default)


def written(address: Address) -> str:
    """Host and port as SIP writes them.

    >>> written(("2001:db8::7", 5060))
    '[2001:db8::7]:5060'
    """
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _family(host: str) -> int:
    return 6 if ":" in host else 4
