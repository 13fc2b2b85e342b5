"""Which trunks take a call, in which order, and how many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.health import Standing
from sipshop.proxy.routing import Caps, Choice, Route, Routing, RoutingError, Trunk, by_health, ordered

TEL = "Tel"


def trunk(
    name: str, *, emergency: bool = False, max_calls: int | None = None, cps: int | None = None, tenant: str = TEL
) -> Trunk:
    return Trunk(
        tenant=tenant,
        name=name,
        carrier=f"carrier of {name}",
        deck="buy",
        host="192.0.2.1",
        port=5060,
        transport="udp",
        emergency=emergency,
        answer_timeout_s=60,
        first_response_timeout_s=4,
        max_calls=max_calls,
        cps=cps,
    )


def route(prefix: str, *trunks: str, party: str = TEL) -> Route:
    choices = tuple((name, place, 1) for place, name in enumerate(trunks, start=1))
    return Route(tenant=TEL, party=party, prefix=prefix, choices=choices)


TRUNKS = (trunk("a"), trunk("b", emergency=True), trunk("c", emergency=True))
ROUTING = Routing(TRUNKS, (route("49", "a", "b"), route("4930", "b"), route("1", "c", "a")))


def names(choices: Sequence[Choice]) -> list[str]:
    return [choice.trunk.name for choice in choices]


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
    assert names(ROUTING.route([TEL], e164)) == expected


def test_an_empty_prefix_takes_what_no_other_does() -> None:
    routing = Routing(TRUNKS, (route("", "c"), route("49", "a")))
    assert [names(routing.route([TEL], number)) for number in ("441234", "49123", "")] == [["c"], ["a"], ["c"]]


def test_a_choice_has_the_priority_and_the_weight_of_its_route() -> None:
    weighed = Route(tenant=TEL, party=TEL, prefix="49", choices=(("b", 2, 70), ("a", 1, 30)))
    assert Routing(TRUNKS, (weighed,)).route([TEL], "4930") == (Choice(TRUNKS[1], 2, 70), Choice(TRUNKS[0], 1, 30))


@pytest.mark.parametrize(
    ("parties", "e164", "expected"),
    [
        pytest.param(["city", "north", TEL], "4930", ["a"], id="the nearest has a route"),
        pytest.param(["city", "north", TEL], "4989", ["a"], id="its shorter prefix beats a longer one above"),
        pytest.param(["city", "north", TEL], "331", ["b"], id="it has none for this number"),
        pytest.param(["city", "north", TEL], "1212", ["c"], id="only the provider has"),
        pytest.param(["city", "north", TEL], "7", [], id="nobody has"),
        pytest.param(["north", TEL], "4930", ["c", "b"], id="another's routes below it are not its own"),
        pytest.param(["quiet", TEL], "4930", ["c", "b"], id="who has no routes at all"),
        pytest.param([TEL], "331", [], id="nor are those of who is not in the chain"),
        pytest.param([], "4930", [], id="no chain"),
    ],
)
def test_the_nearest_party_with_a_route_decides(parties: list[str], e164: str, expected: list[str]) -> None:
    routing = Routing(
        TRUNKS,
        (
            route("49", "a", party="city"),
            route("33", "b", party="north"),
            route("4989", "b"),
            route("49", "c", "b"),
            route("1", "c"),
        ),
    )
    assert names(routing.route(parties, e164)) == expected


def test_emergency_calls_may_take_every_trunk_that_says_so() -> None:
    assert ROUTING.emergency() == TRUNKS[1:]
    assert Routing((trunk("a"),), ()).emergency() == ()


@pytest.mark.parametrize(
    ("routes", "why"),
    [
        pytest.param((route("49", "a", "x", "y"),), "'49' names unknown trunks: x, y", id="unknown trunks"),
        pytest.param((route("49", "a"), route("49", "b")), "'Tel' has two routes for prefix '49'", id="prefix twice"),
        pytest.param(
            (Route(tenant=TEL, party=TEL, prefix="49", choices=(("a", 0, 1),)),), "'49' has a priority", id="priority 0"
        ),
        pytest.param(
            (Route(tenant=TEL, party=TEL, prefix="49", choices=(("a", 1, 0),)),), "'49' has a priority", id="weight 0"
        ),
    ],
)
def test_routes_that_cannot_be_used(routes: tuple[Route, ...], why: str) -> None:
    with pytest.raises(RoutingError, match=why):
        Routing(TRUNKS, routes)


def test_two_parties_may_have_a_route_for_one_prefix() -> None:
    routing = Routing(TRUNKS, (route("49", "a"), route("49", "b", party="north")))
    assert [names(routing.route(chain, "49")) for chain in ([TEL], ["north", TEL])] == [["a"], ["b"]]


@given(st.lists(st.sets(st.text("12", max_size=5)), max_size=3), st.text("12", max_size=8))
def test_it_finds_what_a_search_of_every_route_would(prefixes: list[set[str]], e164: str) -> None:
    parties = [f"party {number}" for number in range(len(prefixes))]
    by_name = {
        f"{party}/{prefix}": (party, prefix) for party, own in zip(parties, prefixes, strict=True) for prefix in own
    }
    routing = Routing(
        (trunk(name) for name in by_name),
        (route(prefix, name, party=party) for name, (party, prefix) in by_name.items()),
    )
    matching = [(party, prefix) for party, prefix in by_name.values() if e164.startswith(prefix)]
    best = min(matching, key=lambda found: (parties.index(found[0]), -len(found[1])), default=None)
    assert names(routing.route(parties, e164)) == ([] if best is None else ["/".join(best)])


def first(_: int) -> int:
    return 0


def last(total: int) -> int:
    return total - 1


def never(total: int) -> int:
    raise AssertionError(f"nothing is to be drawn from {total}")


def choice(name: str, priority: int = 1, weight: int = 1) -> Choice:
    return Choice(trunk(name), priority, weight)


@pytest.mark.parametrize(
    ("choices", "pick", "expected"),
    [
        pytest.param([], never, "", id="nothing"),
        pytest.param([(choice("a"), 9)], never, "a", id="one"),
        pytest.param([(choice("a", 2), 1), (choice("b", 1), 9)], never, "ba", id="priority before price"),
        pytest.param(
            [(choice("a", 1, 9), 3), (choice("b"), 2), (choice("c"), 1)], never, "cba", id="price, not weight"
        ),
        pytest.param([(choice("a"), 1), (choice("b"), 1)], first, "ab", id="the lot falls on the first"),
        pytest.param([(choice("a"), 1), (choice("b"), 1)], last, "ba", id="the lot falls on the last"),
        pytest.param(
            [(choice("a"), 1), (choice("b"), 1), (choice("c", 2), 1), (choice("d", 2), 1), (choice("e"), 0)],
            last,
            "ebadc",
            id="lots are drawn within a priority and a price",
        ),
    ],
)
def test_the_order_is_priority_then_price_then_a_lot(
    choices: list[tuple[Choice, int]], pick: Callable[[int], int], expected: str
) -> None:
    assert [each.name for each in ordered(choices, pick)] == list(expected)


def drawing(*lots: int) -> tuple[Callable[[int], int], list[int]]:
    """A `pick` that draws these, and the list of what it was asked to draw from."""
    asked: list[int] = []

    def pick(total: int) -> int:
        asked.append(total)
        return lots[len(asked) - 1]

    return pick, asked


UNEQUAL = [(choice("a", weight=3), 5), (choice("b", weight=1), 5), (choice("c", weight=6), 5)]


def test_the_lot_falls_on_each_as_often_as_it_weighs() -> None:
    firsts = Counter(ordered(UNEQUAL, drawing(lot, 0)[0])[0].name for lot in range(10))
    assert firsts == {"a": 3, "b": 1, "c": 6}


def test_who_was_drawn_is_not_drawn_again() -> None:
    pick, asked = drawing(3, 3)
    assert [each.name for each in ordered(UNEQUAL, pick)] == ["b", "c", "a"]
    assert asked == [10, 9]


CHOICES = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(0, 2)), max_size=8)


@given(CHOICES, st.randoms())
def test_every_choice_is_tried_once_and_none_before_a_better_one(
    drawn: list[tuple[int, int, int]], random: Random
) -> None:
    priced = [(choice(str(number), *each[:2]), each[2]) for number, each in enumerate(drawn)]
    order = [int(each.name) for each in ordered(priced, random.randrange)]
    assert sorted(order) == list(range(len(drawn)))
    ranks = [(drawn[number][0], drawn[number][2]) for number in order]
    assert ranks == sorted(ranks)


def test_a_trunk_carries_no_more_calls_than_it_may() -> None:
    caps, two = Caps(), trunk("two", max_calls=2)
    assert [caps.take(two, 0.0) for _ in range(3)] == [True, True, False]
    assert caps.calls(two) == 2
    caps.release(two)
    assert [caps.take(two, 0.0) for _ in range(2)] == [True, False]


def test_a_trunk_is_given_no_more_calls_in_a_second_than_it_may() -> None:
    caps, slow = Caps(), trunk("slow", cps=2)
    times = [0.0, 0.5, 0.75, 0.99, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert [caps.take(slow, now) for now in times] == [True, True, False, False, True, False, True, False, True]


def test_a_call_that_is_over_still_counts_in_its_second() -> None:
    caps, slow = Caps(), trunk("slow", cps=1)
    assert caps.take(slow, 0.0)
    caps.release(slow)
    assert not caps.take(slow, 0.5)
    assert caps.take(slow, 1.0)


def test_a_call_that_meets_one_cap_is_not_counted_at_the_other() -> None:
    caps, both = Caps(), trunk("both", max_calls=1, cps=2)
    assert [caps.take(both, now) for now in (0.0, 0.1, 0.2, 0.3)] == [True, False, False, False]
    caps.release(both)
    assert caps.take(both, 0.4)
    caps.release(both)
    assert not caps.take(both, 0.5)
    assert caps.calls(both) == 0


def test_a_trunk_without_caps_takes_every_call() -> None:
    caps, wide = Caps(), trunk("wide")
    assert all(caps.take(wide, 0.0) for _ in range(1000))
    assert caps.calls(wide) == 1000


def test_trunks_of_one_name_in_two_tenants_do_not_know_each_other() -> None:
    caps = Caps()
    ours, theirs = trunk("one", max_calls=1, cps=1), trunk("one", max_calls=1, cps=1, tenant="Other")
    assert caps.take(ours, 0.0)
    assert caps.take(theirs, 0.0)
    assert not caps.take(ours, 0.0)


def test_a_cap_that_is_changed_counts_what_is_there() -> None:
    caps, before = Caps(), trunk("one", max_calls=3, cps=3)
    assert [caps.take(before, 0.0) for _ in range(3)] == [True, True, True]
    assert not caps.take(replace(before, max_calls=4), 0.5)
    assert caps.take(replace(before, max_calls=4, cps=4), 0.5)
    assert not caps.take(replace(before, max_calls=2, cps=None), 2.0)


def test_a_call_that_was_not_taken_cannot_be_released() -> None:
    with pytest.raises(AssertionError, match="trunk one releases a call"):
        Caps().release(trunk("one"))


# in eighths of a second, which floats hold exactly
MOMENTS = st.lists(st.tuples(st.integers(0, 4), st.booleans()), max_size=80)


@given(st.integers(1, 4), st.integers(1, 4), MOMENTS)
def test_a_call_is_taken_if_and_only_if_both_caps_leave_room(
    max_calls: int, cps: int, moments: list[tuple[int, bool]]
) -> None:
    caps, capped = Caps(), trunk("one", max_calls=max_calls, cps=cps)
    now, live = 0, 0
    begun: list[int] = []
    for pause, begins in moments:
        now += pause
        if begins:
            in_second = sum(now - each < 8 for each in begun)
            taken = caps.take(capped, now / 8)
            assert taken == (live < max_calls and in_second < cps)
            if taken:
                live += 1
                begun.append(now)
        elif live:
            caps.release(capped)
            live -= 1
        assert caps.calls(capped) == live


# Health


def test_trunks_that_are_down_are_tried_last_and_those_told_to_wait_not_at_all() -> None:
    stands = {"a": Standing.LAST, "b": Standing.NOT, "c": Standing.FIRST}
    trunks = tuple(trunk(name) for name in stands)
    assert [each.name for each in by_health(trunks, lambda one: stands[one.name])] == ["c", "a"]


def test_a_call_for_help_tries_every_trunk() -> None:
    stands = {"a": Standing.LAST, "b": Standing.NOT, "c": Standing.FIRST}
    trunks = tuple(trunk(name) for name in stands)
    tried = by_health(trunks, lambda one: stands[one.name], is_emergency=True)
    assert [each.name for each in tried] == ["c", "a", "b"]


@given(st.permutations([trunk(name) for name in "abcde"]))
def test_trunks_of_one_health_keep_their_order(trunks: list[Trunk]) -> None:
    assert by_health(trunks, lambda _: Standing.FIRST) == tuple(trunks)


def test_what_stands_behind_the_at() -> None:
    assert trunk("a").realm_host == "192.0.2.1"
    assert replace(trunk("a"), host="2001:db8::1").realm_host == "[2001:db8::1]"
    assert replace(trunk("a"), domain="sip.example.com").realm_host == "sip.example.com"
