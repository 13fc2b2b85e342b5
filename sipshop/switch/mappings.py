"""How the rate sheets of carriers are read: each party keeps a mapping for each of them (IO)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sipshop.sheets import BadMapping, Mapping, guess_mapping, parse_mapping
from sipshop.store import MappingRemoved, MappingSaved, SheetMapping, Store, UnknownMapping
from sipshop.switch.sheets import SheetFile


class Mappings:
    """The one door to mappings."""

    def __init__(self, *, store: Store, utc_ms: Callable[[], int]) -> None:
        self._store = store
        self._utc_ms = utc_ms

    async def mappings(self, tenant: str, party: str) -> list[SheetMapping]:
        """The mappings of a party, by the name of the carrier."""
        return await self._store.mappings(tenant, party)

    async def mapping(self, tenant: str, party: str, name: str) -> SheetMapping:
        """One mapping; raises UnknownMapping."""
        for found in await self.mappings(tenant, party):
            if found.name == name:
                return found
        raise UnknownMapping(name)

    async def save_mapping(self, tenant: str, party: str, name: str, text: str, author: str) -> SheetMapping:
        """Keep a mapping under the name of a carrier, in the place of the one that was there; raises BadMapping."""
        mapping = parse_mapping(text, name).text
        made = SheetMapping(tenant=tenant, party=party, name=name, mapping=mapping, author=author, at_ms=self._utc_ms())
        await self._store.commit(MappingSaved(tenant=tenant, mapping=made))
        return made

    async def remove_mapping(self, tenant: str, party: str, name: str, author: str) -> None:
        """Let a mapping go; raises UnknownMapping."""
        gone = SheetMapping(tenant=tenant, party=party, name=name, mapping="", author=author, at_ms=self._utc_ms())
        await self._store.commit(MappingRemoved(tenant=tenant, mapping=gone))

    async def guess(self, sheet: SheetFile, *, name: str) -> str:
        """The text of a mapping that a sheet's header suggests; raises BadSheet. The sheet is closed."""

        def guessed() -> str:
            return guess_mapping(sheet.rows(Mapping(columns={}, sheet=name)), sheet=name).text

        try:
            return await asyncio.to_thread(guessed)
        finally:
            sheet.close()

    async def read_mapping(self, tenant: str, party: str, carrier: str) -> Mapping:
        """The mapping of a carrier, to read by; raises UnknownMapping."""
        found = await self.mapping(tenant, party, carrier)
        try:
            return parse_mapping(found.mapping, carrier)
        except BadMapping as error:
            raise UnknownMapping(carrier) from error
