"""The versions of decks while calls run: imported, looked at, put in force now or at an instant, taken back (IO).

Versions of a deck make a chain: each is made from the newest one, and they come into force in their order. So none
undoes another that was made meanwhile, and a live call keeps the tariff that it began with.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final

from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import RateDeck
from sipshop.sheets import BadSheet, Mapping, Sale
from sipshop.store import (
    DeckVersion,
    Origin,
    StaleVersion,
    State,
    Store,
    StoreError,
    UnknownVersion,
    VersionDiscarded,
    VersionDrafted,
    VersionPublished,
    VersionScheduled,
)
from sipshop.switch.errors import BadInstant, TooManyImports, UnknownImport
from sipshop.switch.imports import Import, compare, free, skipped_lines, work
from sipshop.switch.mappings import Mappings
from sipshop.switch.sheets import SheetFile
from sipshop.switch.worlds import Worlds, uncollected

log: Final = logging.getLogger("sipshop.switch")

#: So many imports are told of; the oldest one that is over makes room for the next.
MOST_IMPORTS: Final = 16
#: A version is read so long before it comes into force, and a clock that is put is noticed as soon.
READ_AHEAD_MS: Final = 60_000
#: How soon what a disk did not take is tried again.
_AGAIN_S: Final = 10.0


def due(versions: Iterable[DeckVersion], now_ms: int) -> tuple[list[DeckVersion], int | None]:
    """Of the versions that wait: those whose instant has come, in their order, and how long the next one has yet."""
    waiting = [version for version in versions if version.from_ms is not None]
    waiting.sort(key=lambda version: (version.from_ms or 0, version.version))
    come = [version for version in waiting if (version.from_ms or 0) <= now_ms]
    rest = [version.from_ms for version in waiting if version.from_ms is not None and version.from_ms > now_ms]
    return come, (min(rest) - now_ms if rest else None)


class Decks(Mappings):
    """The one door to the versions of decks; `random` makes the names of imports."""

    def __init__(
        self, *, store: Store, worlds: Worlds, random: Callable[[int], bytes], utc_ms: Callable[[], int]
    ) -> None:
        super().__init__(store=store, utc_ms=utc_ms)
        self._worlds = worlds
        self._random = random
        self._imports: dict[str, Import] = {}
        self._importing = asyncio.Lock()
        self._jobs: set[asyncio.Task[None]] = set()
        self._scheduled: dict[tuple[str, str, int], DeckVersion] = {}
        self._ahead: dict[tuple[str, str, int], RateDeck] = {}
        self._rescheduled = asyncio.Event()

    def begin(self) -> None:
        """Take the versions that wait."""
        self._scheduled = {_key(version): version for version in self._store.scheduled_versions()}

    # Imports.

    async def begin_import(
        self,
        tenant: str,
        deck: str,
        sheet: SheetFile,
        *,
        carrier: str,
        file: str,
        party: str,
        author: str,
        reason: str = "",
        at: str | None = None,
        publish: bool = False,
        skip_bad: bool = False,
    ) -> Import:
        """Begin to import a sheet by the party's mapping of a carrier; what comes of it is told in the import.

        Without bad rows it becomes a draft, which is looked at; with `publish` it is put in force, or scheduled for the
        instant `at`. The sheet is closed then.

        Raises:
            UnknownDeck, UnknownMapping: there is none.
            BadInstant: the instant cannot be read, or is over.
            StaleVersion: another version comes into force later than that.
            TooManyImports: so many are under way already.
        """
        try:
            found = self._worlds.deck(tenant, deck).deck
            mapping = await self.read_mapping(tenant, party, carrier)
            from_ms = self._instant(found, at)
            if publish or at is not None:
                _check_after(self._waiting(tenant, deck), from_ms)
            job = Import(id=self._random(8).hex(), tenant=tenant, party=party, deck=deck, carrier=carrier, file=file)
            self._keep(job)
        except BaseException:
            sheet.close()
            raise

        async def run() -> None:
            try:
                async with self._importing:
                    await self._import(
                        job,
                        sheet,
                        mapping,
                        author=author,
                        reason=reason,
                        publish=publish,
                        from_ms=from_ms,
                        skip_bad=skip_bad,
                    )
            except (BadSheet, StoreError) as error:
                job.why, job.state = str(error), "failed"
            except BaseException:
                job.why, job.state = "the server could not finish it: its log says why", "failed"
                raise
            finally:
                sheet.close()

        task = asyncio.ensure_future(run())
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return job

    async def finished(self) -> None:
        """Wait until no import is under way."""
        while self._jobs:
            await asyncio.wait(self._jobs)

    def imported(self, tenant: str, name: str) -> Import:
        """One import; raises UnknownImport."""
        found = self._imports.get(name)
        if found is None or found.tenant != tenant:
            raise UnknownImport(f"there is no import {name!r}, or not any more")
        return found

    def _keep(self, job: Import) -> None:
        over = [each for each in self._imports.values() if each.is_over]
        if len(self._imports) - len(over) >= MOST_IMPORTS:
            raise TooManyImports(f"{MOST_IMPORTS} imports are under way")
        for each in over[: len(self._imports) + 1 - MOST_IMPORTS] if len(self._imports) >= MOST_IMPORTS else ():
            del self._imports[each.id]
            each.close()
        self._imports[job.id] = job

    async def _import(
        self,
        job: Import,
        sheet: SheetFile,
        mapping: Mapping,
        *,
        author: str,
        reason: str,
        publish: bool,
        from_ms: int | None,
        skip_bad: bool,
    ) -> None:
        tenant = job.tenant
        bases = [await self._newest(tenant, job.deck)]
        job.base = bases[0].version
        at_ms = self._utc_ms() if from_ms is None else from_ms

        def sales(deck: RateDeck) -> list[Sale]:
            return list(self._worlds.sales_with(tenant, deck, job.party))

        with uncollected():
            made = await asyncio.to_thread(
                work, job, sheet, mapping, bases.pop(), sales=sales, at_ms=at_ms, skip_bad=skip_bad
            )
            if not job.may_be_done or not job.changes:
                await self._let_go(made)
                job.state = "done" if job.may_be_done else "refused"
                return
            job.state = "writing"
            source = f"{job.file} by {job.carrier}"
            version = await self._draft(
                job, made[0], origin=Origin.IMPORT, author=author, reason=reason, source=source, base=job.base
            )
            if from_ms is not None:
                version = await self._put(version, from_ms, author=author, reason=reason)
            elif publish:
                version = await self._put(version, None, author=author, reason=reason, deck=made.pop())
            job.version, job.version_state = version.version, version.state.value
            await self._let_go(made)
            job.state = "done"

    async def _draft(
        self, job: Import, made: RateDeck, *, origin: Origin, author: str, reason: str, source: str, base: int
    ) -> DeckVersion:
        """Write a version that is not in force; the draft that was there before it goes."""
        tenant = job.tenant
        for old in await self._store.deck_versions(tenant, made.name):
            if old.state is State.DRAFT:
                await self._discard(old, author, f"version {old.version}, for another draft")
        number = max(await self._store.given_version(tenant, made.name), base) + 1
        deck = made.renewed(number)
        job.whole = len(deck.rates)

        def tell(count: int) -> None:
            job.done = count

        await self._store.stage_deck(tenant, deck, tell)
        version = DeckVersion(
            tenant=tenant,
            deck=deck.name,
            version=number,
            state=State.DRAFT,
            origin=origin,
            base=base,
            imported=True,
            author=author,
            party=job.party,
            reason=reason,
            source=source,
            made_at_ms=self._utc_ms(),
            from_ms=None,
        )
        detail = f"version {number} from {base}: {source}"
        if job.skipped:
            detail += f"; bad rows skipped, by their lines: {skipped_lines(job.rejects)}"
        await self._store.commit(VersionDrafted(tenant=tenant, version=version, detail=detail))
        return version

    # Versions.

    async def versions(self, tenant: str, deck: str) -> list[DeckVersion]:
        """The versions of a deck of which it is known who made them, the newest first; raises UnknownDeck."""
        self._worlds.deck(tenant, deck)
        return await self._store.deck_versions(tenant, deck)

    async def publish(self, tenant: str, deck: str, version: int, *, author: str, reason: str) -> DeckVersion:
        """Put a draft, or a version that waits, in force now.

        Raises:
            UnknownDeck, UnknownVersion: there is none.
            StaleVersion: it was made from a version that is not the one in force.
        """
        found = await self._version(tenant, deck, version)
        return await self._put(found, None, author=author, reason=reason)

    async def schedule(self, tenant: str, deck: str, version: int, at: str, *, author: str, reason: str) -> DeckVersion:
        """Have a draft come into force at an instant, or a version that waits at another one; raises as `publish`.

        Raises:
            BadInstant: the instant cannot be read, or is over.
        """
        found = await self._version(tenant, deck, version)
        from_ms = self._instant(self._worlds.deck(tenant, deck).deck, at)
        return await self._put(found, from_ms, author=author, reason=reason)

    async def discard(self, tenant: str, deck: str, version: int, *, author: str, reason: str) -> DeckVersion:
        """Let a version go that never was in force; raises as `publish`."""
        found = await self._version(tenant, deck, version)
        for other in self._waiting(tenant, deck):
            if other.version > version and found.state is State.SCHEDULED:
                raise StaleVersion(f"version {other.version} was made from this one: discard that first")
        await self._discard(found, author, _detail(f"version {version}", reason))
        return replace(found, state=State.DISCARDED, from_ms=None)

    async def roll_back(
        self, tenant: str, deck: str, version: int, *, author: str, party: str, reason: str
    ) -> DeckVersion:
        """Make the rates of an earlier version the next one, in force now; raises as `publish`."""
        held = self._worlds.deck(tenant, deck).deck
        if version == held.version:
            raise StaleVersion(f"version {version} of deck {deck!r} is in force")
        if waiting := self._waiting(tenant, deck):
            raise StaleVersion(_waits(waiting[0]))
        known = {each.version: each for each in await self._store.deck_versions(tenant, deck)}
        if version in known and known[version].state is not State.PUBLISHED:
            raise StaleVersion(f"version {version} of deck {deck!r} was never in force: it is {known[version].state}")
        async with self._importing:
            with uncollected():
                made = await self._store.deck_version(tenant, deck, version)
                job = Import(id="", tenant=tenant, party=party, deck=deck, carrier="", file="")
                try:
                    drafted = await self._draft(
                        job,
                        made,
                        origin=Origin.ROLLBACK,
                        author=author,
                        reason=reason,
                        source=f"version {version}",
                        base=held.version,
                    )
                finally:
                    job.close()
                return await self._put(drafted, None, author=author, reason=reason, deck=made)

    async def diff(self, tenant: str, deck: str, old: int, new: int, *, party: str) -> Import:
        """What one version changes of another, and who would lose by it now; told as an import is, which nobody made.

        Raises:
            UnknownDeck, UnknownVersion: there is none.
        """
        job = Import(id=self._random(8).hex(), tenant=tenant, party=party, deck=deck, carrier="", file="")
        self._keep(job)
        try:
            async with self._importing:
                with uncollected():
                    one, other = [await self._read(tenant, deck, version) for version in (old, new)]
                    sales = list(self._worlds.sales_with(tenant, other, party))
                    job.base, job.version, job.state = old, new, "comparing"
                    await asyncio.to_thread(compare, job, one, other, sales=sales, at_ms=self._utc_ms())
                    job.state = "done"
        finally:
            if not job.is_over:
                job.state = "failed"
        return job

    async def _read(self, tenant: str, deck: str, version: int) -> RateDeck:
        held = self._worlds.deck(tenant, deck).deck
        return held if held.version == version else await self._store.deck_version(tenant, deck, version)

    async def _version(self, tenant: str, deck: str, version: int) -> DeckVersion:
        for found in await self.versions(tenant, deck):
            if found.version == version:
                return found
        raise UnknownVersion(deck, version)

    async def _newest(self, tenant: str, deck: str) -> RateDeck:
        """What the next version is made from: the last one that waits, or else the one in force."""
        waiting = self._waiting(tenant, deck)
        if waiting:
            return await self._store.deck_version(tenant, deck, waiting[-1].version)
        return self._worlds.deck(tenant, deck).deck

    def _waiting(self, tenant: str, deck: str) -> list[DeckVersion]:
        found = [version for version in self._scheduled.values() if (version.tenant, version.deck) == (tenant, deck)]
        return sorted(found, key=lambda version: version.version)

    async def _put(
        self, version: DeckVersion, from_ms: int | None, *, author: str, reason: str, deck: RateDeck | None = None
    ) -> DeckVersion:
        """Put a version in force now, or have it wait for its instant."""
        if version.state not in {State.DRAFT, State.SCHEDULED}:
            raise StaleVersion(f"version {version.version} of deck {version.deck!r} is {version.state} already")
        self._check_order(version, from_ms)
        if from_ms is None:
            return await self._publish(version, author, _detail(f"version {version.version}", reason), deck)
        detail = _detail(f"version {version.version} for {utc_text(from_ms)}", reason)
        at_ms = self._utc_ms()
        await self._store.commit(
            VersionScheduled(
                tenant=version.tenant, version=version, from_ms=from_ms, author=author, at_ms=at_ms, detail=detail
            )
        )
        made = replace(version, state=State.SCHEDULED, from_ms=from_ms)
        self._scheduled[_key(made)] = made
        self._rescheduled.set()
        return made

    def _check_order(self, version: DeckVersion, from_ms: int | None) -> None:
        """Let nothing undo what was made meanwhile, and let versions come in their order."""
        waiting = self._waiting(version.tenant, version.deck)
        before = [each for each in waiting if each.version < version.version]
        after = [each for each in waiting if each.version > version.version]
        newest = before[-1].version if before else self._worlds.deck(version.tenant, version.deck).deck.version
        if version.base != newest:
            raise StaleVersion(
                f"version {version.version} of deck {version.deck!r} was made from version {version.base}, and since "
                f"then there is version {newest}: import the sheet again"
            )
        _check_after(before, from_ms)
        if after and from_ms is not None and from_ms > (after[0].from_ms or 0):
            raise StaleVersion(f"{_waits(after[0])}, and was made from this one")

    async def _publish(self, version: DeckVersion, author: str, detail: str, deck: RateDeck | None) -> DeckVersion:
        tenant, now_ms = version.tenant, self._utc_ms()
        if deck is None:
            deck = self._ahead.pop(_key(version), None)
        with uncollected():
            if deck is None:
                deck = await self._store.deck_version(tenant, version.deck, version.version)
            write = VersionPublished(tenant=tenant, version=version, author=author, at_ms=now_ms, detail=detail)
            made = deck.renewed(version.version)
            gone = [await self._worlds.take_deck(tenant, made, lambda: self._store.commit(write))]
            self._scheduled.pop(_key(version), None)
            self._rescheduled.set()
            await self._let_go(gone)
        log.info("deck %r of %r: version %d is in force", version.deck, tenant, version.version)
        return replace(version, state=State.PUBLISHED, from_ms=now_ms)

    async def _discard(self, version: DeckVersion, author: str, detail: str) -> None:
        at_ms = self._utc_ms()
        await self._store.commit(
            VersionDiscarded(tenant=version.tenant, version=version, author=author, at_ms=at_ms, detail=detail)
        )
        self._scheduled.pop(_key(version), None)
        self._ahead.pop(_key(version), None)
        self._rescheduled.set()
        await self._store.remove_rates(version.tenant, version.deck, version.version)

    async def _let_go(self, decks: list[RateDeck]) -> None:
        """Give the memory of decks back that nobody else holds, bit by bit: all at once would hold up every call."""
        await asyncio.to_thread(_free, decks)

    # Time.

    async def keep_time(self) -> None:
        """Put versions in force at their instants, for as long as we run; the one timer."""
        while True:
            self._rescheduled.clear()
            now_ms = self._utc_ms()
            come, wait_ms = due(self._scheduled.values(), now_ms)
            failed = [version for version in come if not await self._bring(version)]
            await self._read_ahead(now_ms)
            if not come or failed:
                wait_ms = READ_AHEAD_MS if wait_ms is None else min(wait_ms, READ_AHEAD_MS)
                await self._sleep(min(wait_ms / 1000, _AGAIN_S) if failed else wait_ms / 1000)

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._rescheduled.wait()
        except TimeoutError:
            return

    async def _bring(self, version: DeckVersion) -> bool:
        """Put a version in force whose instant has come; False if it has to be tried again."""
        try:
            detail = f"version {version.version}, as it was scheduled"
            await self._publish(version, version.author, detail, None)
        except StoreError as error:
            log.error("deck %r: version %d cannot come into force: %s", version.deck, version.version, error)  # noqa: TRY400  # the disk's fault
            return not isinstance(error, StaleVersion) or self._scheduled.pop(_key(version), None) is None
        return True

    async def _read_ahead(self, now_ms: int) -> None:
        """Have the decks at hand that come into force soon, so that they come at their instant."""
        for version in list(self._scheduled.values()):
            if (version.from_ms or 0) <= now_ms + READ_AHEAD_MS and _key(version) not in self._ahead:
                try:
                    read = await self._store.deck_version(version.tenant, version.deck, version.version)
                except StoreError as error:
                    log.warning("deck %r: version %d is not read yet: %s", version.deck, version.version, error)
                else:
                    self._ahead[_key(version)] = read

    def _instant(self, deck: RateDeck, at: str | None) -> int | None:
        if at is None:
            return None
        try:
            from_ms = deck.calendar.instant(at)
        except ValueError as error:
            raise BadInstant(str(error)) from error
        if from_ms <= self._utc_ms():
            raise BadInstant(f"{at} is over: leave the instant out to have it at once")
        return from_ms


def _free(decks: list[RateDeck]) -> None:
    while decks:
        rates = list(decks.pop().rates)
        free(rates)


def _check_after(waiting: Sequence[DeckVersion], from_ms: int | None) -> None:
    """Let no version come into force before those that it was made from; None is now."""
    if waiting and (from_ms is None or from_ms < (waiting[-1].from_ms or 0)):
        raise StaleVersion(_waits(waiting[-1]))


def _key(version: DeckVersion) -> tuple[str, str, int]:
    return version.tenant, version.deck, version.version


def _waits(version: DeckVersion) -> str:
    return f"version {version.version} of deck {version.deck!r} waits for {utc_text(version.from_ms or 0)}"


def _detail(what: str, reason: str) -> str:
    return f"{what}: {reason}" if reason else what
