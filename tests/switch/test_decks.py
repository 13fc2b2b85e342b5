"""Versions of decks while calls run: imported, looked at, put in force, made to wait, taken back; on a real disk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from sipshop.billing.deck import RateDeck
from sipshop.store import Origin, StaleVersion, State, Store, UnknownVersion
from sipshop.switch import BadInstant, Decks, Import, SheetFile, UnknownImport
from sipshop.switch.decks import due
from sipshop.world import WorldErrors, parse_world
from tests.store.examples import opened
from tests.switch.house import NOON_MS, TENANT, WORLD_TEXT, House

MAPPING: Final = "columns: {prefix: Code, destination: Name, price: Price, effective_from: From}\nincrements: 1/1\n"
SHEET: Final = "Code,Name,Price,From\n49,Germany,0.05,\n4930,Berlin,0.01,\n"
BAD: Final = SHEET + "x,Nowhere,0.01,\n4940,Hamburg,free,\n"


class Day:
    """A switch on a real database, and its clock."""

    def __init__(self, store: Store) -> None:
        self.house = House(lambda _network, _worlds: store, world=parse_world(WORLD_TEXT, "world.yaml"))
        self.store = store
        self.desk = self.house.switch.desk

    @property
    def decks(self) -> Decks:
        return self.desk.decks

    def held(self, deck: str = "carrier") -> RateDeck:
        return self.desk.worlds.deck(TENANT, deck).deck

    async def imported(self, text: str = SHEET, *, deck: str = "carrier", at: str | None = None, **how: bool) -> Import:
        await self.decks.save_mapping(TENANT, TENANT, "far", MAPPING, "ana")
        sheet = SheetFile()
        sheet.add(text.encode())
        job = await self.decks.begin_import(
            TENANT,
            deck,
            sheet,
            carrier="far",
            file="may.csv",
            party=TENANT,
            author="ana",
            at=at,
            reason="r",
            publish=how.get("publish", False),
            skip_bad=how.get("skip_bad", False),
        )
        await self.decks.finished()
        return job

    async def log(self, action: str) -> list[str]:
        with self.store._writing() as connection:
            found = connection.execute("SELECT detail FROM desk_log WHERE action = ? ORDER BY id", (action,))
            return [row[0] for row in found]

    async def states(self, deck: str = "carrier") -> dict[int, State]:
        return {version.version: version.state for version in await self.decks.versions(TENANT, deck)}


def price(deck: RateDeck, number: str = "49301234567", at_ms: int = NOON_MS) -> int:
    tariff = deck.match(number, at_ms)
    assert tariff is not None
    return tariff.rate.next_price_nanos


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Day], Awaitable[None]]], None]:
    def with_day(work: Callable[[Day], Awaitable[None]]) -> None:
        async def main() -> None:
            store = opened(tmp_path / "db")
            if store.is_empty():
                store.load(parse_world(WORLD_TEXT, "world.yaml"), at_ms=NOON_MS)
            store.start(asyncio.get_running_loop())
            day = Day(store)
            try:
                await work(day)
            finally:
                store.close()

        asyncio.run(main())

    return with_day


Run = Callable[[Callable[[Day], Awaitable[None]]], None]


def test_a_draft_changes_nothing_until_it_is_published(run: Run) -> None:
    async def work(day: Day) -> None:
        job = await day.imported()
        assert (job.state, job.version, job.version_state) == ("done", 2, "draft")
        assert dict(job.counts) == {"new": 2}
        assert day.held().version == 1
        made = await day.decks.publish(TENANT, "carrier", 2, author="bob", reason="agreed")
        assert (made.state, day.held().version, price(day.held())) == (State.PUBLISHED, 2, 10_000_000)
        assert await day.log("deck: publish") == ["version 2: agreed"]
        assert (await day.imported()).version is None  # nothing changes
        (stored,) = day.store.worlds()
        assert next(deck for deck in stored.decks if deck.name == "carrier") == day.held()
        assert stored.imported == {"carrier"}

    run(work)


def test_one_bad_row_and_nothing_is_done_unless_it_is_skipped_which_the_log_says(run: Run) -> None:
    async def work(day: Day) -> None:
        job = await day.imported(BAD, publish=True)
        assert (job.state, job.version, len(job.rejects), day.held().version) == ("refused", None, 2, 1)
        assert [row["line"] for row in job.rejects] == [4, 5]
        job = await day.imported(BAD, publish=True, skip_bad=True)
        assert (job.state, job.version_state, day.held().version) == ("done", "published", 2)
        assert (await day.log("deck: import"))[-1].endswith("bad rows skipped, by their lines: 4-5")

    run(work)


def test_who_would_lose_is_told_with_the_length_of_the_call(run: Run) -> None:
    async def work(day: Day) -> None:
        job = await day.imported("Code,Name,Price,From\n49,Germany,0.07,\n44,UK,0.01,\n")
        (change,) = job.changes.page(0, 9, 1 << 10)[0]
        assert change["prefix"] == "49"
        assert {(loss["party"], loss["source"], loss["sell_deck"], loss["seconds"]) for loss in change["losses"]} == {
            ("Tel", "trunk two", "wholesale", 1)
        }

    run(work)


def test_a_version_waits_for_its_instant_and_no_other_comes_before_it(run: Run) -> None:
    async def work(day: Day) -> None:
        at = "2030-01-01"
        job = await day.imported(at=at)
        assert (job.version_state, day.held().version) == ("scheduled", 1)
        with pytest.raises(StaleVersion, match="version 2 of deck 'carrier' waits for 2030-01-01"):
            await day.imported("Code,Name,Price,From\n49,Germany,0.04,\n", publish=True)
        dearer = WORLD_TEXT.replace('first_price: "0.03"', 'first_price: "0.04"')
        with pytest.raises(WorldErrors, match="deck carrier would change, but a version of it waits"):
            await day.desk.worlds.apply(TENANT, dearer, "world.yaml", author="ana")
        with pytest.raises(StaleVersion, match="waits for"):
            await day.decks.roll_back(TENANT, "carrier", 2, author="a", party=TENANT, reason="")
        moved = await day.decks.schedule(TENANT, "carrier", 2, "2031-01-01", author="ana", reason="")
        assert moved.state is State.SCHEDULED
        await day.decks.discard(TENANT, "carrier", 2, author="ana", reason="")
        assert await day.states() == {2: State.DISCARDED, 1: State.PUBLISHED}
        with pytest.raises(UnknownVersion):
            await day.store.deck_version(TENANT, "carrier", 2)
        assert (await day.imported(publish=True)).version == 3  # no number is given twice

    run(work)


def test_versions_come_in_their_order_and_each_is_made_from_the_one_before(run: Run) -> None:
    async def work(day: Day) -> None:
        await day.imported(at="2030-01-01")
        later = await day.imported("Code,Name,Price,From\n33,France,0.04,\n", at="2030-02-01")
        assert (later.base, later.version) == (2, 3)
        assert {rate.prefix for rate in (await day.store.deck_version(TENANT, "carrier", 3)).rates} >= {"33", "4930"}
        with pytest.raises(StaleVersion, match="version 3 was made from this one"):
            await day.decks.discard(TENANT, "carrier", 2, author="ana", reason="")
        with pytest.raises(StaleVersion, match="waits for 2030-02-01"):
            await day.decks.schedule(TENANT, "carrier", 2, "2030-03-01", author="ana", reason="")
        with pytest.raises(StaleVersion, match="waits for 2030-01-01"):
            await day.decks.publish(TENANT, "carrier", 3, author="ana", reason="")

    run(work)


def test_a_draft_of_a_deck_that_changed_meanwhile_is_refused(run: Run) -> None:
    async def work(day: Day) -> None:
        await day.imported()
        dearer = WORLD_TEXT.replace('first_price: "0.03"', 'first_price: "0.04"')
        await day.desk.worlds.apply(TENANT, dearer, "world.yaml", author="ana")
        assert day.held().version == 3
        with pytest.raises(StaleVersion, match="made from version 1, and since then there is version 3"):
            await day.decks.publish(TENANT, "carrier", 2, author="ana", reason="")
        assert (await day.imported()).version == 4
        assert await day.states() == {4: State.DRAFT, 3: State.PUBLISHED, 2: State.DISCARDED, 1: State.PUBLISHED}

    run(work)


def test_an_earlier_version_comes_back_as_a_new_one(run: Run) -> None:
    async def work(day: Day) -> None:
        await day.imported(publish=True)
        assert price(day.held()) == 10_000_000
        made = await day.decks.roll_back(TENANT, "carrier", 1, author="bob", party=TENANT, reason="wrong sheet")
        assert (made.version, made.state, made.origin, made.base) == (3, State.PUBLISHED, Origin.ROLLBACK, 2)
        assert (day.held().version, price(day.held())) == (3, 30_000_000)
        told = await day.decks.diff(TENANT, "carrier", 2, 3, party=TENANT)
        assert dict(told.counts) == {"withdrawn": 2}
        assert day.decks.imported(TENANT, told.id) is told
        with pytest.raises(UnknownImport):
            day.decks.imported("Other", told.id)
        with pytest.raises(StaleVersion, match="is in force"):
            await day.decks.roll_back(TENANT, "carrier", 3, author="bob", party=TENANT, reason="")

    run(work)


def test_apply_does_not_undo_an_import_unless_it_says_so(run: Run) -> None:
    async def work(day: Day) -> None:
        worlds = day.desk.worlds
        await day.imported(publish=True)
        with pytest.raises(WorldErrors, match="would undo what was imported: version 2"):
            await worlds.apply(TENANT, WORLD_TEXT, "world.yaml", author="ana")
        exported = await worlds.export(TENANT)
        assert "imported: true" in exported
        assert (await worlds.apply(TENANT, exported, "world.yaml", author="ana")).changes == ()
        rounded = exported.replace('round: {mode: "half_up", places: 4}', 'round: {mode: "up", places: 4}')
        assert len((await worlds.apply(TENANT, rounded, "world.yaml", author="ana")).changes) == 1
        assert (day.held().version, price(day.held())) == (3, 10_000_000)
        over = WORLD_TEXT.replace("- name: carrier\n", "- name: carrier\n    imported: false\n")
        assert len((await worlds.apply(TENANT, over, "world.yaml", author="ana")).changes) == 1
        assert (day.held().version, price(day.held())) == (4, 30_000_000)
        assert (await worlds.apply(TENANT, WORLD_TEXT, "world.yaml", author="ana")).changes == ()

    run(work)


def test_what_was_due_while_nobody_ran_is_in_force_at_the_start(run: Run) -> None:
    async def first(day: Day) -> None:
        await day.imported(at="2030-01-01")

    async def second(day: Day) -> None:
        assert day.held().version == 1
        assert [version.version for version in day.store.scheduled_versions()] == [2]
        assert day.store.publish_due(at_ms=NOON_MS) == []
        assert [version.version for version in day.store.publish_due(at_ms=1_893_456_000_000)] == [2]

    async def third(day: Day) -> None:
        (world,) = day.store.worlds()
        assert next(deck for deck in world.decks if deck.name == "carrier").version == 2
        assert day.store.scheduled_versions() == []

    for work in (first, second, third):
        run(work)


def test_versions_are_due_by_their_instants(run: Run) -> None:
    async def work(day: Day) -> None:
        await day.imported(at="2030-01-01")
        await day.imported("Code,Name,Price,From\n33,France,0.04,\n", at="2030-02-01")
        waiting = day.store.scheduled_versions()
        january_ms, day_ms = 1_893_456_000_000, 86_400_000
        assert due(waiting, january_ms - 1) == ([], 1)
        assert due(waiting, january_ms) == ([waiting[0]], 31 * day_ms)
        assert due(waiting, january_ms + 40 * day_ms) == (waiting, None)

    run(work)


@pytest.mark.parametrize(("at", "why"), [("soon", "is not an ISO 8601"), ("2001-01-01", "is over")])
def test_an_instant_that_cannot_be_is_refused(run: Run, at: str, why: str) -> None:
    async def work(day: Day) -> None:
        with pytest.raises(BadInstant, match=why):
            await day.imported(at=at)

    run(work)
