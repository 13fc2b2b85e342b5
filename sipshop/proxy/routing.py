"""Which trunks take a call: the nearest party with a route, its longest prefix, the trunks in their order and caps.

Prices come in as numbers: what a carrier costs is worked out elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from sipshop.proxy.health import Standing
from sipshop.proxy.trunk import (
    AS_USUAL,
    BY_ADDRESS,
    NOT_PROBED,
    NOT_REGISTERED,
    SHOPS_NUMBER,
    WITH_PLUS,
    CallerId,
    FailOver,
    Login,
    NumberFormat,
    Probing,
    Registering,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trunk:
    """The way to a carrier.

    `host` is an IP literal, or a name: then DNS says what `port` None and `transport` "" leave open (RFC 3263), else it
    is "udp", "tcp" or "tls". `answer_timeout_s` is how long it may ring,
    `first_response_timeout_s` how long it may be silent before the next trunk is tried. `carrier` sells to the provider
    by `deck`. `max_calls` bounds its calls at once, `cps` those that are begun in a second, `max_call_s` how long each
    may talk; None is no bound. One that is `disabled` takes no calls, and a route that names it goes on without it.

    `domain` stands behind the @ of what is sent to him, empty for his host. `sources` are networks that he calls from
    besides his host. Of `codecs` (names as in SDP, the best first) others are not offered to him; none is all. Numbers
    are written to him by `numbers`, and read from him by `numbers_in`.
    """

    tenant: str
    name: str
    carrier: str
    deck: str
    host: str
    port: int | None
    transport: str
    emergency: bool
    answer_timeout_s: int
    first_response_timeout_s: int
    max_calls: int | None = None
    cps: int | None = None
    disabled: bool = False
    domain: str = ""
    login: Login = BY_ADDRESS
    registering: Registering = NOT_REGISTERED
    probing: Probing = NOT_PROBED
    sources: tuple[str, ...] = ()
    numbers: NumberFormat = WITH_PLUS
    numbers_in: NumberFormat = WITH_PLUS
    caller_id: CallerId = SHOPS_NUMBER
    fail_over: FailOver = AS_USUAL
    codecs: tuple[str, ...] = ()
    max_call_s: int | None = None

    @property
    def realm_host(self) -> str:
        """What stands behind the @ of what is sent to the carrier."""
        if self.domain:
            return self.domain
        return f"[{self.host}]" if ":" in self.host else self.host


@dataclass(frozen=True, slots=True)
class Choice:
    """A trunk that a route offers.

    The lowest `priority` is tried first. Among trunks of one priority and price, `weight` is a trunk's share of the
    calls.
    """

    trunk: Trunk
    priority: int
    weight: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where a party's calls go whose numbers begin with `prefix` (E.164 digits; "" is every number).

    `choices` are (trunk name, priority, weight), both numbers from 1.
    """

    tenant: str
    party: str
    prefix: str
    choices: tuple[tuple[str, int, int], ...]


class RoutingError(Exception):
    """A set of routes that cannot be used."""


class Routing:
    """The routes of one tenant, ready to be asked; immutable, swapped by reference.

    Raises:
        RoutingError: a route names a trunk that is not there, or a priority or weight under 1, or a party has two
            routes for one prefix.
    """

    __slots__ = ("_by_party", "_emergency")

    def __init__(self, trunks: Iterable[Trunk], routes: Iterable[Route]) -> None:
        by_name: Mapping[str, Trunk] = {trunk.name: trunk for trunk in trunks}
        tables: dict[str, dict[str, tuple[Choice, ...]]] = {}
        for route in routes:
            table = tables.setdefault(route.party, {})
            if route.prefix in table:
                raise RoutingError(f"{route.party!r} has two routes for prefix {route.prefix!r}: join their trunks")
            table[route.prefix] = _choices(route, by_name)
        self._by_party = {
            party: (sorted({len(prefix) for prefix in table}, reverse=True), table) for party, table in tables.items()
        }
        self._emergency = tuple(trunk for trunk in by_name.values() if trunk.emergency and not trunk.disabled)

    def route(self, parties: Sequence[str], e164: str) -> tuple[Choice, ...]:
        """What may take a number in E.164 digits, in the order of the route; empty where nobody has a route for it.

        `parties` are those above the shop's owner, the nearest first: the first of them that has any route for the
        number decides, by its longest prefix.
        """
        for party in parties:
            lengths, table = self._by_party.get(party, ((), {}))
            for length in lengths:
                choices = table.get(e164[:length]) if length <= len(e164) else None
                if choices is not None:
                    return choices
        return ()

    def emergency(self) -> tuple[Trunk, ...]:
        """Every trunk that takes emergency calls, in the order of the world."""
        return self._emergency


def _choices(route: Route, trunks: Mapping[str, Trunk]) -> tuple[Choice, ...]:
    where = f"the route of {route.party!r} for prefix {route.prefix!r}"
    unknown = [name for name, _, _ in route.choices if name not in trunks]
    if unknown:
        raise RoutingError(f"{where} names unknown trunks: {', '.join(unknown)}")
    if any(min(priority, weight) < 1 for _, priority, weight in route.choices):
        raise RoutingError(f"{where} has a priority or a weight under 1")
    return tuple(
        Choice(trunks[name], priority, weight) for name, priority, weight in route.choices if not trunks[name].disabled
    )


def ordered(choices: Iterable[tuple[Choice, int]], pick: Callable[[int], int]) -> tuple[Trunk, ...]:
    """The trunks in the order in which a call tries them: by priority, then by price, then by lot.

    Each choice comes with its price, in any unit. `pick(n)` draws a whole number from 0 to n - 1; who has twice the
    weight stands first twice as often. It is asked only where there is something to draw.
    """
    trunks: list[Trunk] = []
    ranked = sorted(choices, key=_rank)
    for _, equals in groupby(ranked, key=_rank):
        left = [choice for choice, _ in equals]
        while left:
            trunks.append(left.pop(_drawn(left, pick)).trunk)
    return tuple(trunks)


def _rank(priced: tuple[Choice, int]) -> tuple[int, int]:
    choice, price = priced
    return choice.priority, price


def _drawn(choices: Sequence[Choice], pick: Callable[[int], int]) -> int:
    """The index of the choice that a draw falls on, each as wide as its weight."""
    if len(choices) == 1:
        return 0
    at = pick(sum(choice.weight for choice in choices))
    for index, choice in enumerate(choices):
        at -= choice.weight
        if at < 0:
            return index
    raise AssertionError("a draw is below the sum of the weights")


def by_health(
    trunks: Sequence[Trunk], standing: Callable[[Trunk], Standing], *, is_emergency: bool = False
) -> tuple[Trunk, ...]:
    """The trunks in the order in which a call tries them, for their health: those that are down last.

    One that asked to be left alone is not tried, save by an emergency call, which tries everything.
    """
    stood = [(standing(trunk), trunk) for trunk in trunks]
    if not is_emergency:
        stood = [(health, trunk) for health, trunk in stood if health is not Standing.NOT]
    return tuple(trunk for _, trunk in sorted(stood, key=lambda each: each[0]))


class Caps:
    """Counts the calls of every trunk, so that none carries more at once, or is given more in a second, than it may.

    Emergency calls are not counted: whoever places one does not ask here.
    """

    __slots__ = ("_begun", "_calls")

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], int] = {}  # at once; who has none is not in it
        self._begun: dict[tuple[str, str], deque[float]] = {}  # when, within the last second, of trunks with a `cps`

    def calls(self, trunk: Trunk) -> int:
        """How many calls a trunk carries."""
        return self._calls.get((trunk.tenant, trunk.name), 0)

    def take(self, trunk: Trunk, now: float) -> bool:
        """Count a call that is begun now, in seconds; False and nothing changed where the trunk is at a cap.

        No second, wherever it begins, has more than `cps` of them.
        """
        key = (trunk.tenant, trunk.name)
        calls = self._calls.get(key, 0)
        if trunk.max_calls is not None and calls >= trunk.max_calls:
            return False
        if trunk.cps is not None:
            begun = self._begun.setdefault(key, deque())
            while begun and now - begun[0] >= 1:
                begun.popleft()
            if len(begun) >= trunk.cps:
                return False
            begun.append(now)
        self._calls[key] = calls + 1
        return True

    def release(self, trunk: Trunk) -> None:
        """Count a call that is over; that it was begun in this second is not undone."""
        key = (trunk.tenant, trunk.name)
        calls = self._calls.get(key, 0)
        assert calls > 0, f"trunk {trunk.name} releases a call that it was not given"
        if calls == 1:
            del self._calls[key]
        else:
            self._calls[key] = calls - 1
