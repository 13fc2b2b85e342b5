"""Which trunks take a call: the longest prefix that a route names, its trunks in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """The way to a carrier.

    `host` is an IP literal; `transport` is "udp" or "tcp". `answer_timeout_s` is how long it may ring,
    `first_response_timeout_s` how long it may be silent before the next trunk is tried.
    """

    tenant: str
    name: str
    host: str
    port: int
    transport: str
    emergency: bool
    answer_timeout_s: int
    first_response_timeout_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The trunks, by name and in order, for the numbers that begin with `prefix` (E.164 digits; "" is every number)."""

    tenant: str
    prefix: str
    trunks: tuple[str, ...]


class RoutingError(Exception):
    """A set of routes that cannot be used."""


class Routing:
    """The routes of one tenant, ready to be asked; immutable, swapped by reference.

    Raises:
        RoutingError: a route names a trunk that is not there, or two routes have one prefix.
    """

    __slots__ = ("_by_prefix", "_emergency", "_lengths")

    def __init__(self, trunks: Iterable[Trunk], routes: Iterable[Route]) -> None:
        by_name: Mapping[str, Trunk] = {trunk.name: trunk for trunk in trunks}
        self._by_prefix: dict[str, tuple[Trunk, ...]] = {}
        for route in routes:
            unknown = [name for name in route.trunks if name not in by_name]
            if unknown:
                raise RoutingError(f"the route for prefix {route.prefix!r} names unknown trunks: {', '.join(unknown)}")
            if route.prefix in self._by_prefix:
                raise RoutingError(f"prefix {route.prefix!r} has two routes: join their trunks in one")
            self._by_prefix[route.prefix] = tuple(by_name[name] for name in route.trunks)
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)
        self._emergency = tuple(trunk for trunk in by_name.values() if trunk.emergency)

    def route(self, e164: str) -> tuple[Trunk, ...]:
        """The trunks for a number in E.164 digits, best first; empty where no route matches."""
        for length in self._lengths:
            trunks = self._by_prefix.get(e164[:length]) if length <= len(e164) else None
            if trunks is not None:
                return trunks
        return ()

    def emergency(self) -> tuple[Trunk, ...]:
        """Every trunk that takes emergency calls, in the order of the world."""
        return self._emergency
