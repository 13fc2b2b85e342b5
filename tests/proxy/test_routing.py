"""Which trunks take a call."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.routing import Route, Routing, RoutingError, Trunk


def trunk(name: str, *, emergency: bool = False) -> Trunk:
    return Trunk(
        tenant="t",
        name=name,
        host="192.0.2.1",
        port=5060,
        transport="udp",
        emergency=emergency,
        answer_timeout_s=60,
        first_response_timeout_s=4,
    )


def route(prefix: str, *trunks: str) -> Route:
    return Route(tenant="t", prefix=prefix, trunks=trunks)


TRUNKS = (trunk("a"), trunk("b", emergency=True), trunk("c", emergency=True))
ROUTING = Routing(TRUNKS, (route("49", "a", "b"), route("4930", "b"), route("1", "c", "a")))


def names(trunks: tuple[Trunk, ...]) -> list[str]:
    return [trunk.name for trunk in trunks]


@pytest.mark.parametrize(
    ("e164", "expected"),
    [
        pytest.param("49891234", ["a", "b"], id="in the order of the route"),
        pytest.param("49301234", ["b"], id="the longest prefix"),
        pytest.param("493", ["a", "b"], id="shorter than the longest prefix"),
        pytest.param("49", ["a", "b"], id="the prefix itself"),
        pytest.param("4", [], id="shorter than any"),
        pytest.param("12125551234", ["c", "a"], id="not in the order of the world"),
        pytest.param("441234", [], id="no route"),
        pytest.param("", [], id="nothing"),
    ],
)
def test_the_longest_prefix_decides(e164: str, expected: list[str]) -> None:
    assert names(ROUTING.route(e164)) == expected


def test_an_empty_prefix_takes_what_no_other_does() -> None:
    routing = Routing(TRUNKS, (route("", "c"), route("49", "a")))
    assert [names(routing.route(number)) for number in ("441234", "49123", "")] == [["c"], ["a"], ["c"]]


def test_emergency_calls_may_take_every_trunk_that_says_so() -> None:
    assert names(ROUTING.emergency()) == ["b", "c"]
    assert Routing((trunk("a"),), ()).emergency() == ()


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        pytest.param((route("49", "a", "x", "y"),), "'49' names unknown trunks: x, y", id="unknown trunks"),
        pytest.param((route("49", "a"), route("49", "b")), "'49' has two routes", id="one prefix twice"),
    ],
)
def test_routes_that_cannot_be_used(routes: tuple[Route, ...], why: str) -> None:
    with pytest.raises(RoutingError, match=why):
        Routing(TRUNKS, routes)


@given(
    st.sets(st.text("12", max_size=5)),
    st.text("12", max_size=8),
)
def test_it_finds_what_a_search_of_every_route_would(prefixes: set[str], e164: str) -> None:
    by_name = {prefix: trunk(prefix or "all") for prefix in prefixes}
    routing = Routing(by_name.values(), (route(prefix, by_name[prefix].name) for prefix in prefixes))
    longest = max((prefix for prefix in prefixes if e164.startswith(prefix)), key=len, default=None)
    assert routing.route(e164) == (() if longest is None else (by_name[longest],))
