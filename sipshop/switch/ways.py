"""The ways to a carrier: the addresses that his name leads to, in their order, and which of them failed lately (IO).

An address is a way by itself, at once. A name is looked up by the endpoint, which answers in the same turn where it
knows, and blocks nobody where it does not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from sipshop.proxy.health import LONGEST_RETRY_AFTER_S
from sipshop.proxy.routing import Trunk
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.flow import Flow
from sipshop.sip.resolve import Plan, Wanted, is_ip
from sipshop.sip.resolve import Target as Way

__all__ = ["MOST_WAYS", "Place", "Way", "Ways"]

#: Addresses of one carrier that one request tries: each costs who waits the carrier's patience.
MOST_WAYS: Final = 4


@dataclass(frozen=True, slots=True)
class Place:
    """Where a carrier or a registrar of his is: an address or a name, what is said of port and transport.

    `domain` is whom the certificate of an address has to be for, where that is not the address itself; a name's has to
    be for the name (RFC 5922 section 7.3).
    """

    wanted: Wanted
    domain: str = ""

    @classmethod
    def of(cls, trunk: Trunk, host: str, port: int | None) -> Place:
        """The place of a trunk, or one of his registrars: his transport holds for both."""
        wanted = Wanted(host=host.lower(), port=port, transport=trunk.transport.upper() or None)
        is_named = is_ip(host) and trunk.domain and not is_ip(trunk.domain.strip("[]"))
        return cls(wanted, trunk.domain.lower() if is_named else "")

    @property
    def certified(self) -> str:
        """Whom a certificate has to be for, "" where that is the address itself."""
        return self.domain or ("" if is_ip(self.wanted.host) else self.wanted.host)


class Ways:
    """Finds ways. `endpoint()` is asked when the first of them is wanted, not before."""

    def __init__(self, endpoint: Callable[[], Endpoint]) -> None:
        self._endpoint = endpoint

    def find(self, place: Place, now: float, then: Callable[[Plan, float], None]) -> None:
        """Call `then(plan, now)` with the ways as its targets, in this turn where they are known, else in a later one.

        Those that failed lately stand at the end.
        """

        def named(plan: Plan, at_s: float) -> None:
            targets = (replace(target, name=place.domain) for target in plan.targets)
            then(replace(plan, targets=tuple(targets)), at_s)

        self._endpoint().find(place.wanted, now, named if place.domain else then)

    def flow(self, way: Way) -> Flow:
        """The flow to an address, from the address of ours that reaches it."""
        return way.flow(self._endpoint().local_for(way.transport, way.address[0]))

    def failed(self, way: Way, now: float, retry_after_s: int | None = None) -> None:
        """Try an address after all others for a while: for as long as it asked for itself, within reason."""
        for_s = None if retry_after_s is None else float(min(retry_after_s, LONGEST_RETRY_AFTER_S))
        self._endpoint().resolver.shun(way, now, for_s)

    def answered(self, way: Way) -> None:
        """It is there."""
        self._endpoint().resolver.shunned.forgive(way)
