"""Couriers: a thread for each target, which reads the outbox, gives what is due, and keeps what was taken (IO).

What is slow or dead keeps its own thread waiting and nobody else: calls run on the event loop, which only writes what
a target has taken, with its other writes. A courier holds one batch, and none while it pauses.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as WaitedTooLong
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sipshop.export.command import Command
from sipshop.export.delivery import (
    Action,
    Batch,
    Delivery,
    Failed,
    Found,
    Hurried,
    Input,
    Keep,
    Kept,
    Look,
    Park,
    Progress,
    Send,
    Taken,
)
from sipshop.export.spool import Spool
from sipshop.export.target import Parcel, Target
from sipshop.export.webhook import BadTarget, Webhook
from sipshop.settings import ExportSettings, TargetSettings
from sipshop.store import (
    BatchTaken,
    ParkedRetried,
    RecordParked,
    RecordSkipped,
    Standing,
    Store,
    StoreError,
    TargetBegun,
    UnknownTarget,
    Write,
)
from sipshop.store.outbox import read_due, read_records, read_standing

logger: Final = logging.getLogger(__name__)

#: How old what is told of a target may be, while it pauses.
REFRESH_S: Final = 5.0
#: How long a write may take before its batch is delivered again.
KEEP_WITHIN_S: Final = 60.0
#: How long a stop waits for couriers that are out; what they have given by then and nobody kept comes again.
STOP_WITHIN_S: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """How a target does: where it is, how far (None before it could begin), and what its last try came to.

    `failures` are those in a row, `why` the last of them, `next_try_s` how long until the next; `age_s` is how long
    ago the call ended that comes next, 0 where nothing waits.
    """

    tenant: str
    target: str
    where: str
    state: str
    standing: Standing | None
    failures: int
    why: str
    next_try_s: float | None
    age_s: float


class Couriers:
    """The couriers of all targets; made on the event loop, and changed and asked there.

    `clock` gives seconds that only go forward, `chance` numbers from 0 to 1. `host` is the tenant whose CDRs a target
    gets that names no provider.
    """

    def __init__(
        self,
        store: Store,
        host: str,
        *,
        clock: Callable[[], float],
        utc_ms: Callable[[], int],
        chance: Callable[[], float],
        environment: Mapping[str, str],
    ) -> None:
        self._store = store
        self._host = host
        self._clock = clock
        self._utc_ms = utc_ms
        self._chance = chance
        self._environment = environment
        self._running: dict[str, _Courier] = {}
        self._leaving: list[_Courier] = []

    def change(self, settings: ExportSettings) -> None:
        """Send couriers to these targets, and have those go home that are to others, or to others in another way.

        Raises:
            BadTarget: one cannot be used; nothing has changed.
        """
        wanted = {target.name: target for target in settings.targets}
        made = {
            name: self._target(target)
            for name, target in wanted.items()
            if name not in self._running or self._running[name].settings != target
        }
        for name in [name for name in self._running if name not in wanted or name in made]:
            courier = self._running.pop(name)
            courier.stop()
            self._leaving.append(courier)
        self._leaving = [courier for courier in self._leaving if courier.is_out]
        for name, target in made.items():
            # A predecessor that is still out may give its batch once more; the outbox moves on for one of them alone.
            self._running[name] = courier = self._courier(wanted[name], target)
            courier.start()

    def check(self, settings: ExportSettings) -> None:
        """Try whether all targets can be used; raises BadTarget."""
        for target in settings.targets:
            self._target(target)

    async def stop(self) -> None:
        """Have every courier come home, and wait for them a little."""
        couriers = [*self._running.values(), *self._leaving]
        for courier in couriers:
            courier.stop()
        until = self._clock() + STOP_WITHIN_S
        for courier in couriers:
            await asyncio.to_thread(courier.join, max(0.0, until - self._clock()))

    def statuses(self, tenant: str | None = None) -> list[TargetStatus]:
        """Return how each target of a tenant, or of all, does."""
        found = (courier.status() for courier in self._running.values())
        return [status for status in found if tenant in {None, status.tenant}]

    def held(self, tenant: str) -> tuple[str, ...]:
        """Return the targets of a tenant, for which is kept what they have yet to get."""
        return tuple(name for name, courier in self._running.items() if courier.tenant == tenant)

    async def retry(self, tenant: str, target: str, author: str) -> int:
        """Try a target now, with what it refused; how many records that are. Raises UnknownTarget, Unwritable."""
        courier = self._of(tenant, target)
        due = await self._store.commit(ParkedRetried(tenant=tenant, target=target, author=author, at_ms=self._utc_ms()))
        courier.hurry()
        return due

    async def skip(self, tenant: str, target: str, number: int, author: str) -> None:
        """Never give a target a record; raises UnknownTarget, NotInTheOutbox, Unwritable."""
        courier = self._of(tenant, target)
        await self._store.commit(
            RecordSkipped(tenant=tenant, target=target, number=number, author=author, at_ms=self._utc_ms())
        )
        courier.hurry()

    def _of(self, tenant: str, target: str) -> _Courier:
        courier = self._running.get(target)
        if courier is None or courier.tenant != tenant:
            raise UnknownTarget(f"there is no target named {target!r}")
        return courier

    def _courier(self, settings: TargetSettings, target: Target) -> _Courier:
        return _Courier(
            settings,
            settings.provider or self._host,
            target,
            self._store,
            asyncio.get_running_loop(),
            clock=self._clock,
            utc_ms=self._utc_ms,
            chance=self._chance,
        )

    def _target(self, settings: TargetSettings) -> Target:
        tenant = settings.provider or self._host
        if settings.file is not None:
            return Spool(Path(settings.file), most_mb=settings.file_mb)
        if settings.url is not None:
            assert settings.secret is not None, "the configuration was read"
            try:
                return Webhook(
                    tenant=tenant,
                    target=settings.name,
                    url=settings.url,
                    secret=settings.secret,
                    ca=settings.ca,
                    timeout_s=settings.timeout_s,
                )
            except BadTarget as error:
                raise BadTarget(f"{settings.name}: {error}") from error
        return Command(
            settings.command, target=settings.name, timeout_s=settings.timeout_s, environment=self._environment
        )


class _Courier:
    """The thread of one target."""

    def __init__(
        self,
        settings: TargetSettings,
        tenant: str,
        target: Target,
        store: Store,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Callable[[], float],
        utc_ms: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        self.settings = settings
        self.tenant = tenant
        self._target = target
        self._store = store
        self._loop = loop
        self._clock = clock
        self._utc_ms = utc_ms
        self._delivery = Delivery(settings.batch, chance)
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._hurried = False
        self._has_begun = False
        self._gone = 0  # of the batch that is out: records that had been removed before it
        self._seen: Standing | None = None  # replaced as a whole: others read it
        self._progress = Progress()
        self._thread = threading.Thread(target=self._run, name=f"sipshop-export-{settings.name}", daemon=True)

    @property
    def is_out(self) -> bool:
        """Whether it has not come home yet."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Come home, from wherever it is."""
        self._stopped.set()
        self._wake.set()
        self._target.stop()

    def join(self, within_s: float) -> None:
        """Wait until it has come home."""
        self._thread.join(within_s)

    def hurry(self) -> None:
        """Try now."""
        self._hurried = True
        self._wake.set()

    def status(self) -> TargetStatus:
        """How it does."""
        seen, progress = self._seen, self._progress
        oldest_at_ms = None if seen is None else seen.oldest_at_ms
        return TargetStatus(
            tenant=self.tenant,
            target=self.settings.name,
            where=self.settings.where,
            state=progress.state.value,
            standing=seen,
            failures=progress.failures,
            why=progress.why,
            next_try_s=None if progress.next_try_s is None else max(0.0, progress.next_try_s - self._clock()),
            age_s=0.0 if oldest_at_ms is None else max(0.0, (self._utc_ms() - oldest_at_ms) / 1000),
        )

    # Its thread.

    def _run(self) -> None:
        while not self._stopped.is_set():
            actions = self._delivery.tick(self._clock())
            if self._hurried:
                self._hurried = False
                actions += self._delivery.hear(Hurried(), self._clock())
            while actions and not (self._stopped.is_set() and not isinstance(actions[0], Keep)):
                self._note()
                heard = self._done(actions.pop(0))
                if self._stopped.is_set() and not isinstance(heard, Taken):
                    return
                actions += self._delivery.hear(heard, self._clock())  # what was taken is kept, or it comes twice
            self._note()
            if not self._stopped.is_set():
                self._wait()

    def _wait(self) -> None:
        """Pause until something is due, and see meanwhile how far the target is."""
        deadline = self._delivery.deadline
        assert deadline is not None, "what does nothing waits for something"
        if self._wake.wait(min(max(0.0, deadline - self._clock()), REFRESH_S)):
            self._wake.clear()
        elif self._clock() < deadline:
            try:
                self._see()
            except StoreError as error:
                logger.warning("how far the export to %s is cannot be read: %s", self.settings.name, error)

    def _done(self, action: Action) -> Input:
        """Do what the machine wants; what came of it."""
        try:
            match action:
                case Look(at_most, last):
                    return Found(self._next_batch(at_most, last))
                case Send(batch):
                    return self._sent(batch)
                case Keep(batch):
                    return self._kept(self._taken(batch))
                case Park(batch, why):
                    return self._kept(self._parked(batch, why))
        except (StoreError, CancelledError, WaitedTooLong) as error:
            return Failed(f"the database: {str(error) or type(error).__name__}")
        except Exception:  # one bug is one try: the thread goes on, and the backlog tells
            if not self._stopped.is_set():
                logger.exception("a bug in the export to %s", self.settings.name)
            return Failed("a bug: the log has it")

    def _next_batch(self, at_most: int, last: int | None) -> Batch | None:
        if not self._has_begun:
            begun = TargetBegun(
                tenant=self.tenant, target=self.settings.name, from_beginning=self.settings.from_beginning
            )
            self._commit(begun)
            self._has_begun = True
        due = read_due(self._store.path, self.tenant, self.settings.name)
        if due is not None:
            return Batch(due, due, is_parked=True)
        seen = self._see()
        if seen is None or not seen.backlog:
            return None
        first = seen.taken + 1
        end = last if last is not None and first <= last < first + self.settings.batch else first + at_most - 1
        return Batch(first, min(end, seen.last))

    def _see(self) -> Standing | None:
        self._seen = read_standing(self._store.path, self.tenant, self.settings.name)
        return self._seen

    def _sent(self, batch: Batch) -> Input:
        records = self._records(batch)
        if not records:  # all of it was removed when its time had come
            return Taken()
        parcel = Parcel.of(self.tenant, self.settings.name, batch.first, batch.last, records)
        return self._target.deliver(parcel, self._utc_ms())

    def _records(self, batch: Batch) -> tuple[dict[str, Any], ...]:
        found = read_records(self._store.path, self.tenant, batch.first, batch.last)
        self._gone = sum(1 for each in found if each.record is None)
        return tuple(each.record for each in found if each.record is not None)

    def _taken(self, batch: Batch) -> Write[bool]:
        if self._gone:
            logger.error("export to %s: %d records were removed before it took them", self.settings.name, self._gone)
        return BatchTaken(
            tenant=self.tenant,
            target=self.settings.name,
            first=batch.first,
            last=batch.last,
            gone=self._gone,
            is_parked=batch.is_parked,
        )

    def _parked(self, batch: Batch, why: str) -> Write[bool]:
        logger.error("export to %s: record %d is parked: %s", self.settings.name, batch.first, why)
        return RecordParked(
            tenant=self.tenant,
            target=self.settings.name,
            number=batch.first,
            why=why,
            at_ms=self._utc_ms(),
            is_parked=batch.is_parked,
        )

    def _kept(self, write: Write[bool]) -> Kept:
        self._commit(write)  # False where somebody skipped it meanwhile: the next look finds what comes then
        return Kept()

    def _commit(self, write: Write[Any]) -> None:
        """Have something written by the event loop, and wait; raises StoreError, or what ends the wait."""
        asyncio.run_coroutine_threadsafe(self._store.commit(write), self._loop).result(KEEP_WITHIN_S)

    def _note(self) -> None:
        """Show others how it does, and tell the log when a target fails and when it takes again."""
        before, now = self._progress, self._delivery.progress
        self._progress = now
        if now.failures == 1 and before.failures == 0:
            logger.warning("the export to %s fails: %s", self.settings.name, now.why)
        elif before.failures and not now.failures:
            logger.warning("the export to %s goes on after %d failures", self.settings.name, before.failures)


def unknown_providers(settings: ExportSettings, tenants: Iterable[str]) -> list[str]:
    """Return what is wrong with targets of providers that are not there."""
    known = set(tenants)
    return [
        f"target {target.name}: there is no provider named {target.provider!r}"
        for target in settings.targets
        if target.provider is not None and target.provider not in known
    ]
