"""What a board is told: all booths at first, then what changed; and who comes back, what he missed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from sipshop.console.events import MAX_KEPT, Hub
from sipshop.console.pages.feed import RENEW_S, Feed
from sipshop.console.pages.wall import KEPT_S, Wall
from sipshop.console.pages.words import words
from sipshop.console.tokens import Identity, hash_token
from sipshop.facts import BoothChanged, CallEnded, PartyChanged
from sipshop.switch import CallStatus
from tests.console.memory import OPENED_AT_MS, OPERATOR, TENANT, MemoryDesk

SHOP = "center"


def ended(booth: str = "b1", shop: str = SHOP, talk_ms: int = 125_000) -> CallEnded:
    return CallEnded(
        call_id="c",
        tenant=TENANT,
        shop=shop,
        booth=booth,
        trunk="demo",
        result="answered",
        sip_status=200,
        hung_up_by="caller",
        q850=16,
        talk_ms=talk_ms,
    )


def changed(booth: str = "b1") -> BoothChanged:
    return BoothChanged(tenant=TENANT, shop=SHOP, booth=booth)


class Told:
    """A board of one shop, and the events that it was told."""

    def __init__(
        self,
        desk: MemoryDesk,
        hub: Hub,
        *,
        after: int | None = None,
        language: str = "en",
        wall: Wall | None = None,
    ) -> None:
        identity = Identity(desk.issued[hash_token(OPERATOR)], "ana")
        self.now_s = 0.0
        self.is_valid = True
        self.place = ""
        feed = Feed(hub, wall or Wall(desk.floor, hub, lambda: self.now_s), identity, SHOP, words(language))
        self._events = feed.stream(lambda: self.is_valid, after=after, gather_s=0, ping_s=0.001)

    async def next(self, kind: str) -> dict[str, Any]:
        """The next event of a kind; others that come before it are passed over."""
        while True:
            for event in (await anext(self._events)).split("\n\n"):
                fields = dict(line.split(": ", 1) for line in event.splitlines())
                self.place = fields.get("id", self.place)
                if fields.get("event") == kind:
                    found: dict[str, Any] = json.loads(fields["data"])
                    return found

    @property
    def events(self) -> AsyncGenerator[str]:
        return self._events


def play(story: Callable[[MemoryDesk, Hub], Any]) -> None:
    async def main() -> None:
        desk, now_ms = MemoryDesk("b1", "b2"), iter(range(OPENED_AT_MS, OPENED_AT_MS + 10**6))
        async with asyncio.timeout(5):
            await story(desk, Hub(lambda: next(now_ms)))

    asyncio.run(main())


def test_it_begins_with_all_booths_and_goes_on_with_those_that_changed() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        told = Told(desk, hub)
        async with aclosing(told.events):
            whole = await told.next("tiles")
            assert (whole["whole"], [tile["booth"] for tile in whole["tiles"]]) == (True, ["b1", "b2"])
            await told.next("ping")
            hub.publish(changed())  # nothing has
            await desk.unlock(TENANT, "b2", "ana")
            hub.publish(changed("b2"))
            later = await told.next("tiles")
            assert (later["whole"], [tile["booth"] for tile in later["tiles"]]) == (False, ["b2"])
            assert later["tiles"][0]["stateText"] == "Open"

    play(story)


def test_calls_that_ended_are_told_of_the_shop_alone_and_in_its_language() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        told = Told(desk, hub, language="fr")
        async with aclosing(told.events):
            await told.next("tiles")
            hub.publish(ended(shop="another"))
            hub.publish(ended())
            assert await told.next("ended") == {
                "booth": "b1",
                "talked": True,
                "text": "b1 : appel terminé après 2:05",
            }

    play(story)


def test_who_comes_back_is_told_what_ended_meanwhile() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        told = Told(desk, hub)
        async with aclosing(told.events):
            await told.next("tiles")
            await told.next("ping")
        hub.publish(ended("b2", talk_ms=0))
        again = Told(desk, hub, after=int(told.place))
        async with aclosing(again.events):
            assert (await again.next("ended"))["text"] == "b2: no answer"

    play(story)


def test_who_was_away_for_too_long_is_told_so_and_sees_all_booths() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        told = Told(desk, hub)
        async with aclosing(told.events):
            await told.next("tiles")
        for _ in range(MAX_KEPT + 1):
            hub.publish(ended())
        for place in (int(told.place), 1):  # what is not kept any more; a place of another run
            again = Told(desk, hub, after=place)
            async with aclosing(again.events):
                assert "up to date" in (await again.next("missed"))["text"]
        assert (await Told(desk, hub, after=1).next("tiles"))["whole"]

    play(story)


def test_it_ends_with_the_session() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        told = Told(desk, hub)
        await told.next("tiles")
        told.is_valid = False
        hub.publish(changed())
        assert [event async for event in told.events if "event: ping" not in event] == []

    play(story)


def talking() -> CallStatus:
    return CallStatus(
        call_id="c",
        shop=SHOP,
        booth="b1",
        kind="normal",
        direction="outbound",
        state="answered",
        dialled="0049301234",
        e164="49301234",
        destination="Germany",
        setup_at_ms=OPENED_AT_MS,
        answered_at_ms=OPENED_AT_MS,
        talk_ms=1000,
        amount_micros=0,
        currency="EUR",
        trunk="demo",
    )


def test_figures_of_running_calls_are_told_again_before_they_end() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        desk.floor.calls["b1"] = talking()
        told = Told(desk, hub)
        async with aclosing(told.events):
            await told.next("tiles")
            told.now_s = RENEW_S - 1
            await told.next("ping")
            desk.floor.calls["b1"] = replace(talking(), talk_ms=31_000)
            told.now_s = RENEW_S
            later = (await told.next("tiles"))["tiles"]
            assert [(tile["booth"], tile["talk"]) for tile in later] == [("b1", 31_000)]

    play(story)


def test_a_tile_is_worded_once_in_each_language_however_many_boards_look_on() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        now_s = [0.0]
        wall = Wall(desk.floor, hub, lambda: now_s[0])
        boards = [Told(desk, hub, wall=wall, language=language) for language in ("en", "fr", "en", "fr", "en")]
        for board in boards:
            await board.next("tiles")
        assert sorted(desk.floor.asked) == ["b1", "b1", "b2", "b2"]
        desk.floor.asked.clear()
        await desk.unlock(TENANT, "b2", "ana")
        hub.publish(changed("b2"))
        for board in boards:
            now_s[0] += 0.01
            later = await board.next("tiles")
            assert [(tile["booth"], tile["state"]) for tile in later["tiles"]] == [("b2", "open")]
        assert desk.floor.asked == ["b2", "b2"]
        for board in boards:
            await board.events.aclose()

    play(story)


def test_a_tile_that_was_kept_is_told_with_its_age_and_is_not_kept_for_long() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        now_s = [0.0]
        wall = Wall(desk.floor, hub, lambda: now_s[0])

        async def ages() -> list[int]:
            return [tile["age"] for tile in (await Told(desk, hub, wall=wall).next("tiles"))["tiles"]]

        assert await ages() == [0, 0]
        now_s[0] = 0.15
        assert await ages() == [150, 150]
        hub.publish(changed("b2"))  # nobody knows what has
        assert await ages() == [150, 0]
        hub.publish(PartyChanged(tenant=TENANT, party=TENANT))
        assert await ages() == [0, 0]
        now_s[0] += 2 * KEPT_S
        assert await ages() == [0, 0]

    play(story)


def test_what_happens_in_another_shop_wakes_no_board() -> None:
    async def story(desk: MemoryDesk, hub: Hub) -> None:
        identity = Identity(desk.issued[hash_token(OPERATOR)], "ana")
        with hub.listening(identity, shop=SHOP) as listener:
            hub.publish(BoothChanged(tenant=TENANT, shop="another", booth="b1"))
            assert not listener.woken.is_set()
            hub.publish(changed())
            assert listener.woken.is_set()

    play(story)
