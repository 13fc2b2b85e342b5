"""Printing in memory: what `tests.console.memory.MemoryDesk` has it from; the room is the real one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from sipshop.billing.receipt import Receipt
from sipshop.store import PrintJob, Store, UnknownPrintJob
from sipshop.store.printing import JOB, JOBS, TIMES_PRINTED, print_job_of
from sipshop.switch import Directory, Printing
from sipshop.world import World
from tests.console.memory_floor import MemoryStore


class MemoryQueue(MemoryStore):
    """A database that is a variable, with its print jobs."""

    async def print_jobs(self, tenant: str, shop: str, *, limit: int, before_id: int | None = None) -> list[PrintJob]:
        values = {"tenant": tenant, "shop": shop, "limit": limit, "before_id": before_id or 2**62}
        return [print_job_of(row) for row in JOBS.run(self.connection, values)]

    async def print_job(self, tenant: str, shop: str, job_id: int) -> PrintJob:
        for row in JOB.run(self.connection, {"tenant": tenant, "shop": shop, "id": job_id}):
            return print_job_of(row)
        raise UnknownPrintJob(f"the shop {shop} has no print job {job_id}")

    async def times_printed(self, tenant: str, shop: str, number: int) -> int:
        of = {"tenant": tenant, "shop": shop, "number": number}
        return int(TIMES_PRINTED.run(self.connection, of).fetchone()["printed"])


def memory_printing(
    world: World,
    receipt: Callable[[str, str, int], Awaitable[Receipt]],
    failure: Callable[[], Exception | None],
    utc_ms: Callable[[], int],
) -> Printing:
    """The real room over such a database."""
    claims = iter(range(1, 10**6))
    return Printing(
        directory=Directory([world], default_realm="sipshop"),
        store=cast("Store", MemoryQueue(failure)),  # the boundary to the disk
        receipt=receipt,
        utc_ms=utc_ms,
        random=lambda size: next(claims).to_bytes(size, "big"),
    )
