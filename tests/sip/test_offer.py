"""Whose turn it is to describe the session: the six ways of RFC 6337 section 2, and what is out of turn."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from sipshop.sip.offer import EXCHANGE, Exchange, Input, Means, State

S, On = State, Input
#: What each half is called from the other end.
MIRROR: dict[Any, Any] = {
    S.OUR_OFFER: S.THEIR_OFFER,
    S.THEIR_OFFER: S.OUR_OFFER,
    S.OUR_TURN: S.THEIR_TURN,
    S.THEIR_TURN: S.OUR_TURN,
    S.STABLE: S.STABLE,
    On.REFUSED: On.REFUSED,
    **{On[f"SENT_{what}"]: On[f"GOT_{what}"] for what in ("OFFER", "BARE", "REPLY", "EARLY", "ACK")},
    **{On[f"GOT_{what}"]: On[f"SENT_{what}"] for what in ("OFFER", "BARE", "REPLY", "EARLY", "ACK")},
}


def test_both_ends_see_the_same() -> None:
    assert {
        (MIRROR[state], MIRROR[happened]): (MIRROR[after], means)
        for (state, happened), (after, means) in EXCHANGE.items()
    } == dict(EXCHANGE)


@pytest.mark.rfc("6337", "2.1")
@pytest.mark.parametrize(
    "way",
    [
        pytest.param([(On.SENT_OFFER, "o"), (On.GOT_REPLY, "a")], id="INVITE and 2xx, or a reliable 1xx"),
        pytest.param(
            [(On.SENT_BARE, None), (On.GOT_REPLY, "o"), (On.SENT_ACK, "a")], id="2xx and ACK, or 1xx and PRACK"
        ),
        pytest.param(
            [(On.SENT_OFFER, "o"), (On.GOT_EARLY, "a"), (On.GOT_REPLY, "a")], id="a preview before the answer"
        ),
    ],
)
def test_an_exchange_ends_where_both_have_agreed(way: list[tuple[Input, str | None]]) -> None:
    ours: Exchange[str] = Exchange()
    theirs: Exchange[str] = Exchange()
    for happened, content in way:
        assert ours.hear(happened, content) is theirs.hear(MIRROR[happened], content)
    assert ours.is_stable
    assert theirs.is_stable
    assert {ours.ours, ours.theirs} == {"o", "a"}
    assert (ours.ours, ours.theirs) == (theirs.theirs, theirs.ours)


def test_what_was_refused_changes_nothing() -> None:
    exchange: Exchange[str] = Exchange()
    for happened, content in ((On.SENT_OFFER, "o"), (On.GOT_REPLY, "a"), (On.GOT_OFFER, "new"), (On.REFUSED, None)):
        exchange.hear(happened, content)
    assert (exchange.state, exchange.ours, exchange.theirs) == (S.STABLE, "o", "a")


def test_a_description_that_comes_again_is_known_as_such() -> None:
    exchange: Exchange[str] = Exchange()
    exchange.hear(On.GOT_OFFER, "o")
    assert exchange.hear(On.SENT_REPLY, "a") is Means.ANSWER  # in a reliable 183
    assert exchange.hear(On.SENT_REPLY, "b") is Means.REPEATED  # so that the 200 brings none
    assert exchange.ours == "a"


@pytest.mark.scenario(13)
@pytest.mark.rfc("3311", "5.2")
@pytest.mark.parametrize(
    ("before", "status"),
    [
        pytest.param([], None, id="nothing is open"),
        pytest.param([On.SENT_OFFER], 491, id="our offer is open"),
        pytest.param([On.SENT_BARE], 491, id="we asked for theirs"),
        pytest.param([On.GOT_OFFER], 500, id="theirs is not answered yet"),
        pytest.param([On.GOT_BARE], 500, id="they asked for ours"),
    ],
)
def test_an_offer_at_a_bad_moment(before: list[Input], status: int | None) -> None:
    exchange: Exchange[str] = Exchange()
    for happened in before:
        exchange.hear(happened, "x")
    assert exchange.refusal == status
    assert (exchange.hear(On.GOT_OFFER, "y") is Means.OFFER) is (status is None)


@pytest.mark.parametrize(("state", "happened"), [pair for pair in product(State, Input) if pair not in EXCHANGE])
def test_what_has_no_place_changes_nothing(state: State, happened: Input) -> None:
    exchange: Exchange[str] = Exchange()
    exchange.state = state
    assert (exchange.hear(happened, "x"), exchange.state, exchange.ours) == (None, state, None)
