"""A world that becomes another one on a real disk: all of it, once, and never another tenant's."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sipshop.billing.errors import BadTerms, BelowUsed
from sipshop.billing.ledger import TransferKind
from sipshop.billing.money import Money
from sipshop.store import AccountMoved, Conflict, SessionOpened, Store
from sipshop.store.audit import audit_file
from sipshop.store.connect import connect_reader
from sipshop.store.worlds import RATES_AT_ONCE, DeckStaged
from sipshop.world import History, Plan, World, export_world, plan_world
from tests.store.examples import BOOTH, NOON_MS, OTHER, TENANT, filled, opened, running, world

OPEN = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)


def stored(store: Store) -> World:
    """The world of the tenant, but for the booths that are open."""
    (found,) = (each for each in store.worlds() if each.tenant == TENANT)
    return replace(found, open_booths=frozenset())


async def applied(store: Store, text: str, *, prune: bool = False) -> Plan:
    """What the switch does with a text, but for what is in memory."""

    def planned(before: World, history: History) -> tuple[Plan, History]:
        return plan_world(text, "world.yaml", before, history=history, prune=prune), history

    plan, history = await store.with_world(TENANT, stored(store).decks, planned)
    await store.apply_world(TENANT, plan, history if prune else None, author="ana", at_ms=NOON_MS + 1)
    return plan


def changed(*pairs: tuple[str, str]) -> str:
    text = export_world(world())
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def dump(path: Path) -> list[str]:
    """Everything that is in a database."""
    with closing(connect_reader(path)) as connection:
        return list(connection.iterdump())


MORE = ("owners:", 'owners:\n  - {name: "bob", parent: "rhea", deck: "owner", opening: "7.00", credit_limit: "1.00"}')
DEARER = ("next_s: 60", "next_s: 30")


def test_what_was_applied_is_there_after_a_restart_and_the_books_hold(tmp_path: Path) -> None:
    path = tmp_path / "db"
    text = changed(MORE, DEARER)
    with filled(path) as store:

        async def work(store: Store) -> tuple[Plan, Plan]:
            return await applied(store, text), await applied(store, text)

        first, second = running(store, work)
    assert (len(first.changes), second.changes) == (2, ())
    store = opened(path)
    try:
        (found,) = store.worlds()
        assert found == replace(first.after, open_booths=frozenset())
        assert sum(deck.version for deck in found.decks) == sum(deck.version for deck in world().decks) + 1
        (bob,) = (state for _, state in store.accounts() if state.name == "customer:bob@rhea")
        assert (bob.balance_micros, bob.credit_limit_micros) == (7_000_000, 1_000_000)
    finally:
        store.close()
    assert audit_file(path) == []


def test_what_has_history_is_told_from_what_has_none(tmp_path: Path) -> None:
    text = "\n".join(line for line in export_world(world()).splitlines() if 'name: "booth' not in line)
    text = text.replace(f'name: "{BOOTH}"', 'name: "another"')

    async def work(store: Store) -> tuple[Plan, str]:
        await store.commit(OPEN)
        plan = await applied(store, text.replace('password: "********"', "password: x"), prune=True)
        try:
            await store.commit(replace(OPEN, at_ms=NOON_MS + 2))
        except BadTerms as error:
            return plan, str(error)
        raise AssertionError("a disabled booth was unlocked")

    with filled(tmp_path / "db") as store:
        plan, refusal = running(store, work)
    assert {change.name: change.action for change in plan.changes}[BOOTH] == "disable"
    assert plan.disabled_booths == (BOOTH,)
    assert "is disabled" in refusal


def test_nothing_is_applied_that_is_another_tenants(tmp_path: Path) -> None:
    async def work(store: Store) -> World:
        text = export_world(stored(store)).replace('realm: "corner.acme', 'realm: "corner.umbrella')
        text = text.replace('password: "********"', "password: x")
        with pytest.raises(Conflict, match="cannot be loaded: booth"):
            await applied(store, text)
        return stored(store)

    with filled(tmp_path / "db") as store:
        store.load(world(OTHER), at_ms=NOON_MS)
        assert running(store, work) == replace(world(), open_booths=frozenset())


def test_a_limit_under_what_is_owed_undoes_all_of_it(tmp_path: Path) -> None:
    spent = AccountMoved(
        tenant=TENANT,
        party="zoe",
        kind=TransferKind.ADJUSTMENT,
        amount=Money(-24_000_000, "EUR"),
        author="ana",
        reason="spent",
        at_ms=NOON_MS,
        key="k",
        held_micros=0,
    )

    async def work(store: Store) -> tuple[World, World]:
        await store.commit(spent)
        before = stored(store)
        with pytest.raises(BelowUsed):
            await applied(store, changed(MORE, DEARER, ('credit_limit: "5.00"', 'credit_limit: "1.00"')))
        return before, stored(store)

    with filled(tmp_path / "db") as store:
        before, after = running(store, work)
    assert before == after


LONG = "".join(
    f'      - {{prefix: "{prefix}", destination: "there", first_s: 60, first_price: "0.10", next_s: 60}}\n'
    for prefix in range(70_000, 70_000 + 2 * RATES_AT_ONCE + 1)
)


def with_a_long_deck(*pairs: tuple[str, str]) -> str:
    """The world with more rates in its first deck than are written at once."""
    return changed(("    rates:\n", f"    rates:\n{LONG}"), *pairs)


def test_a_long_deck_is_written_in_many_pieces_and_in_force_with_the_last(tmp_path: Path) -> None:
    async def work(store: Store) -> Plan:
        await applied(store, with_a_long_deck())
        return await applied(store, with_a_long_deck())

    with filled(tmp_path / "db") as store:
        assert running(store, work).changes == ()
        assert stored(store).decks[0].version == 2
        assert len(stored(store).decks[0].rates) > 2 * RATES_AT_ONCE


def test_a_long_deck_that_is_refused_with_its_world_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "db"

    async def work(store: Store) -> None:
        text = with_a_long_deck(('realm: "corner.acme', 'realm: "corner.umbrella'))
        with pytest.raises(Conflict):
            await applied(store, text.replace('password: "********"', "password: x"))

    with filled(path) as store:
        store.load(world(OTHER), at_ms=NOON_MS)
        before = dump(path)
        running(store, work)
    assert dump(path) == before


def test_a_long_deck_that_a_crash_cut_short_is_not_in_force_and_is_written_anew(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        before = stored(store)
        plan = plan_world(with_a_long_deck(), "world.yaml", before, history=History(), prune=False)
        await store.commit(DeckStaged(tenant=TENANT, deck=plan.after.decks[0], first=0))
        assert stored(store) == before
        await applied(store, with_a_long_deck())

    with filled(tmp_path / "db") as store:
        running(store, work)
        assert len(stored(store).decks[0].rates) > 2 * RATES_AT_ONCE
