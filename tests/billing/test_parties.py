"""The tree of parties, and suspension that cascades."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sipshop.billing.errors import PartyError, SuspendedAbove, UnknownParty
from sipshop.billing.guard import WARN_OF_LOSSES, GuardAction, LossGuard
from sipshop.billing.parties import Kind, Party, PartyTree


def party(name: str, kind: Kind, parent: str | None, *, tenant: str = "acme") -> Party:
    return Party(tenant=tenant, name=name, kind=kind, parent=parent)


ACME = party("acme", Kind.PROVIDER, None)
NORTH = party("north", Kind.RESELLER, "acme")
CITY = party("city", Kind.RESELLER, "north")
CORNER = party("corner", Kind.OWNER, "city")
DIRECT = party("direct", Kind.OWNER, "acme")
TREE = PartyTree([CORNER, CITY, ACME, DIRECT, NORTH])


def test_the_chain_goes_up_to_the_provider() -> None:
    assert TREE.chain("corner") == (CORNER, CITY, NORTH, ACME)
    assert TREE.chain("direct") == (DIRECT, ACME)
    assert TREE.chain("acme") == (ACME,)


def test_a_tree_is_a_collection_of_its_parties() -> None:
    assert len(TREE) == 5
    assert set(TREE) == {ACME, NORTH, CITY, CORNER, DIRECT}
    assert TREE["north"] == NORTH


def test_nobody_is_suspended_at_first() -> None:
    assert [TREE.suspended(each.name) for each in TREE] == [None] * 5


def suspended_in(tree: PartyTree, name: str, by: str = "acme") -> PartyTree:
    return tree.replaced(tree.suspend(name, by))


def test_suspension_cascades_and_touches_nobody_else() -> None:
    suspended = suspended_in(TREE, "north")
    culprits = {each.name: suspended.suspended(each.name) for each in suspended}
    assert {name: found.name if found else None for name, found in culprits.items()} == {
        "acme": None,
        "north": "north",
        "city": "north",
        "corner": "north",
        "direct": None,
    }


def test_the_nearest_suspended_party_is_named() -> None:
    both = suspended_in(suspended_in(TREE, "north"), "corner")
    assert both.suspended("corner") == both["corner"]
    assert both.replaced(both.resume("corner", "acme")).suspended("corner") == both["north"]


def test_a_change_makes_a_new_tree() -> None:
    suspended_in(TREE, "north")
    assert TREE.suspended("corner") is None


def test_suspension_changes_nothing_else_about_a_party() -> None:
    guard = LossGuard(action=GuardAction.REFUSE, margin_ppm=50_000)
    north = replace(NORTH, deck="acme-sell", guard=guard)
    tree = suspended_in(PartyTree([ACME, north]), "north")
    assert tree["north"] == replace(north, suspender="acme")
    assert tree.resume("north", "acme") == north


@pytest.mark.parametrize(
    ("first", "second", "kept", "may_resume"),
    [
        pytest.param("city", None, "city", ["city", "north", "acme"], id="who is above ends it too"),
        pytest.param("north", None, "north", ["north", "acme"], id="nobody below ends it"),
        pytest.param("acme", None, "acme", ["acme"], id="the provider's is his alone"),
        pytest.param("city", "acme", "acme", ["acme"], id="the higher one keeps it, after the lower one"),
        pytest.param("acme", "city", "acme", ["acme"], id="and before it"),
    ],
)
def test_a_suspension_is_ended_by_whose_it_is_or_from_above(
    first: str, second: str | None, kept: str, may_resume: list[str]
) -> None:
    tree = suspended_in(TREE, "corner", first)
    tree = suspended_in(tree, "corner", second) if second is not None else tree
    assert tree["corner"].suspender == kept
    for name in ("city", "north", "acme"):
        if name in may_resume:
            assert tree.resume("corner", name) == CORNER
        else:
            with pytest.raises(SuspendedAbove, match=f"corner was suspended by {kept}: only {kept}, or who is above"):
                tree.resume("corner", name)
    assert TREE.resume("corner", "city") == CORNER  # who is not suspended is found so, whoever asks


def test_a_party_only_warns_of_losses_unless_it_is_told_more() -> None:
    assert NORTH.guard == WARN_OF_LOSSES


@pytest.mark.parametrize(
    "ask",
    [TREE.chain, TREE.suspended, lambda name: TREE.suspend(name, "acme"), lambda name: TREE.resume(name, "acme")],
)
def test_an_unknown_party_is_named(ask: object) -> None:
    assert callable(ask)
    with pytest.raises(UnknownParty, match="'nobody'"):
        ask("nobody")


@pytest.mark.parametrize(
    ("parties", "fault"),
    [
        pytest.param([], "one provider, not 0", id="nobody"),
        pytest.param([DIRECT], "one provider, not 0", id="no provider"),
        pytest.param([ACME, party("two", Kind.PROVIDER, None)], "one provider, not 2", id="two roots"),
        pytest.param([ACME, party("r", Kind.RESELLER, "gone")], "r: its parent 'gone' is not there", id="orphan"),
        pytest.param([ACME, party("r", Kind.RESELLER, None)], "r: has nobody above it", id="second root"),
        pytest.param(
            [ACME, DIRECT, party("r", Kind.RESELLER, "direct")], "r: its parent 'direct' is an owner", id="owner"
        ),
        pytest.param([party("acme", Kind.PROVIDER, "acme")], "nobody is above it", id="provider below somebody"),
        pytest.param([ACME, party("r", Kind.RESELLER, "r")], "r: is above itself", id="circle of one"),
        pytest.param(
            [ACME, party("a", Kind.RESELLER, "b"), party("b", Kind.RESELLER, "a"), party("o", Kind.OWNER, "a")],
            "^a: is above itself; b: is above itself$",
            id="circle of two, told of those in it",
        ),
        pytest.param([ACME, NORTH, NORTH], "north: is named twice", id="double"),
        pytest.param([ACME, party("r", Kind.RESELLER, "acme", tenant="other")], "two tenants", id="two tenants"),
    ],
)
def test_what_is_no_tree_is_refused(parties: list[Party], fault: str) -> None:
    with pytest.raises(PartyError, match=fault):
        PartyTree(parties)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(PartyError, match="one provider, not 0; a: its parent 'x' is not there; b: its parent 'y'"):
        PartyTree([party("a", Kind.OWNER, "x"), party("b", Kind.OWNER, "y")])
