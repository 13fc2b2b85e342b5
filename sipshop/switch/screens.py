"""The screens for customers, in memory and on disk: which links show what (IO)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from sipshop.store import Screen, ScreenAdded, ScreenRemoved, Store, UnknownScreen
from sipshop.switch.directory import Directory
from sipshop.switch.errors import CommandRefused

#: So many screens a shop may have.
MOST_SCREENS: Final = 20


class Screens:
    """Every screen of every tenant; what is not in its world any more shows nothing."""

    def __init__(self, directory: Directory, store: Store, utc_ms: Callable[[], int]) -> None:
        self._directory = directory
        self._store = store
        self._utc_ms = utc_ms
        self._screens: dict[str, Screen] = {}

    def begin(self) -> None:
        """Take what the store has."""
        self._screens = {screen.sha256: screen for screen in self._store.screens()}

    def find(self, sha256: str) -> Screen | None:
        """The screen whose key has this SHA-256; None where there is none, or its shop or its booth is gone."""
        screen = self._screens.get(sha256)
        if screen is None or (screen.tenant, screen.shop) not in self._directory.shops:
            return None
        if screen.booth is not None:
            booth = self._directory.booths.get((screen.tenant, screen.booth))
            if booth is None or booth.shop != screen.shop:
                return None
        return screen

    def of_shops(self, tenant: str, shops: Collection[str]) -> list[Screen]:
        """The screens of these shops, the oldest first."""
        return [screen for screen in self._screens.values() if screen.tenant == tenant and screen.shop in shops]

    async def add(self, screen: Screen) -> None:
        """Have a link show something; durable when it returns. Raises CommandRefused (too many) or StoreError."""
        if len(self.of_shops(screen.tenant, {screen.shop})) >= MOST_SCREENS:
            raise CommandRefused(f"{screen.shop} has {MOST_SCREENS} screens already: take one away first")
        await self._store.commit(ScreenAdded(tenant=screen.tenant, screen=screen, at_ms=self._utc_ms()))
        self._screens[screen.sha256] = screen

    async def remove(self, tenant: str, screen_id: str, shops: Collection[str], author: str) -> Screen:
        """Have a link of one of these shops show nothing any more, by the id of its screen.

        It shows nothing even if that cannot be written. Raises UnknownScreen, StoreError.
        """
        for screen in self.of_shops(tenant, shops):
            if screen.id == screen_id:
                self._screens.pop(screen.sha256)
                removed = ScreenRemoved(tenant=tenant, screen=screen, author=author, at_ms=self._utc_ms())
                await self._store.commit(removed)
                return screen
        raise UnknownScreen(f"there is no screen with the id {screen_id!r}")
