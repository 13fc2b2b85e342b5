"""Receipts on their way to paper: jobs that wait, and the agents at the desks that print them (IO).

A printer is known by what its agent says each time it asks for work: nobody can reach into a shop from outside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from sipshop.billing.receipt import Receipt
from sipshop.store import GoesTo, PrintAsked, PrintClaimed, PrintEnded, PrintJob, Store
from sipshop.switch.directory import Directory
from sipshop.switch.errors import UnknownShop

#: An agent asks again and again; who has not for so long is gone.
GONE_AFTER_MS: Final = 45_000
#: So long an agent's question waits for work.
MOST_WAIT_S: Final = 20.0

_CLAIM_BYTES: Final = 12
_MOST_PRINTERS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterStatus:
    """A printer of a shop's desk, as its agent told last; `fault` is why it does not print, empty if it does."""

    name: str
    seen_at_ms: int
    is_there: bool
    fault: str

    @property
    def works(self) -> bool:
        """Whether a receipt that is sent now comes out."""
        return self.is_there and not self.fault


@dataclass(slots=True)
class _Seen:
    at_ms: int
    fault: str = ""
    waiting: int = 0


class Printing:
    """The print jobs of every shop; `receipt` reads one, `random` makes what an agent may end a job by."""

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        receipt: Callable[[str, str, int], Awaitable[Receipt]],
        utc_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._directory = directory
        self._store = store
        self._receipt = receipt
        self._utc_ms = utc_ms
        self._random = random
        self._printers: dict[tuple[str, str], dict[str, _Seen]] = {}
        self._news: dict[tuple[str, str], asyncio.Event] = {}
        self._is_closed = False

    # For whoever wants something printed.

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt:
        """A receipt as it was drawn; raises UnknownShop or UnknownReceipt."""
        self._check(tenant, shop)
        return await self._receipt(tenant, shop, number)

    async def ask(
        self,
        tenant: str,
        shop: str,
        number: int,
        *,
        goes_to: GoesTo = GoesTo.PRINTER,
        language: str | None = None,
        author: str,
        key: str,
    ) -> PrintJob:
        """Have a receipt printed, in the customer's language or another; durable when it returns.

        What goes to a browser is taken to be on paper from then on. `key` names the command: given again it is found
        done.

        Raises:
            UnknownShop, UnknownReceipt: there is none.
            BadTerms: the key is that of another command.
            StoreError: nothing was written.
        """
        receipt = await self.receipt(tenant, shop, number)
        job = await self._store.commit(
            PrintAsked(
                tenant=tenant,
                shop=shop,
                number=number,
                language=language or receipt.language,
                goes_to=goes_to,
                author=author,
                at_ms=self._utc_ms(),
                key=key,
            )
        )
        self._event(tenant, shop).set()
        return job

    async def jobs(self, tenant: str, shop: str, *, limit: int, before_id: int | None = None) -> list[PrintJob]:
        """The newest jobs of a shop first; raises UnknownShop."""
        self._check(tenant, shop)
        return await self._store.print_jobs(tenant, shop, limit=limit, before_id=before_id)

    async def job(self, tenant: str, shop: str, job_id: int) -> PrintJob:
        """One job; raises UnknownShop or UnknownPrintJob."""
        self._check(tenant, shop)
        return await self._store.print_job(tenant, shop, job_id)

    async def copy_of(self, tenant: str, shop: str, number: int) -> int:
        """How often a receipt may be on paper; raises UnknownShop."""
        self._check(tenant, shop)
        return await self._store.times_printed(tenant, shop, number)

    def printers(self, tenant: str, shop: str) -> list[PrinterStatus]:
        """The printers of a shop that an agent has asked for work since the start, by name."""
        now_ms = self._utc_ms()
        return [
            PrinterStatus(
                name=name,
                seen_at_ms=seen.at_ms,
                is_there=seen.waiting > 0 or now_ms - seen.at_ms < GONE_AFTER_MS,
                fault=seen.fault,
            )
            for name, seen in sorted(self._printers.get((tenant, shop), {}).items())
        ]

    # For agents.

    async def claim(
        self,
        tenant: str,
        shop: str,
        *,
        printer: str,
        fault: str,
        wait_s: float,
        is_gone: Callable[[], Awaitable[bool]],
    ) -> tuple[PrintJob, Receipt] | None:
        """Give an agent the next job, or wait so long for one; durable when it returns.

        `fault` is what keeps its printer from printing, and then it gets none; `is_gone` says whether the agent has
        hung up meanwhile: a job that nobody hears of would be printed as a copy later.

        Raises:
            UnknownShop: there is none.
            StoreError: nothing was written.
        """
        self._check(tenant, shop)
        seen = self._seen(tenant, shop, printer)
        seen.fault = fault
        if fault:
            return None
        event, loop = self._event(tenant, shop), asyncio.get_running_loop()
        until_s = loop.time() + min(wait_s, MOST_WAIT_S)
        seen.waiting += 1
        try:
            while not self._is_closed and not await is_gone():
                event.clear()
                job = await self._claimed(tenant, shop, printer)
                if job is not None:
                    return job, await self._receipt(tenant, shop, job.number)
                if loop.time() >= until_s:
                    return None
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), until_s - loop.time())
            return None
        finally:
            seen.waiting -= 1
            seen.at_ms = self._utc_ms()

    def close(self) -> None:
        """Let no agent wait any more: a server that stops waits for its answers."""
        self._is_closed = True
        for event in self._news.values():
            event.set()

    async def _claimed(self, tenant: str, shop: str, printer: str) -> PrintJob | None:
        claim = self._random(_CLAIM_BYTES).hex()
        return await self._store.commit(
            PrintClaimed(tenant=tenant, shop=shop, printer=printer, claim=claim, at_ms=self._utc_ms())
        )

    async def end(
        self, tenant: str, shop: str, job_id: int, *, claim: str, why: str | None = None, may_be_on_paper: bool = True
    ) -> PrintJob:
        """Take an agent's word on a job that it has: printed, or `why` not; durable when it returns.

        Raises:
            UnknownShop, UnknownPrintJob: there is none, or another agent has it by now.
            StoreError: nothing was written.
        """
        self._check(tenant, shop)
        job = await self._store.commit(
            PrintEnded(
                tenant=tenant,
                shop=shop,
                id=job_id,
                claim=claim,
                why=why,
                may_be_on_paper=may_be_on_paper,
                at_ms=self._utc_ms(),
            )
        )
        seen = self._printers.get((tenant, shop), {}).get(job.printer or "")
        if seen is not None:
            seen.at_ms, seen.fault = self._utc_ms(), why or ""
        return job

    def _seen(self, tenant: str, shop: str, printer: str) -> _Seen:
        """What is known of a printer, from now on; of so many printers of a shop, those that were seen last."""
        known = self._printers.setdefault((tenant, shop), {})
        known.setdefault(printer, _Seen(0)).at_ms = self._utc_ms()
        if len(known) > _MOST_PRINTERS:
            del known[min(known, key=lambda name: known[name].at_ms)]
        return known[printer]

    def _event(self, tenant: str, shop: str) -> asyncio.Event:
        return self._news.setdefault((tenant, shop), asyncio.Event())

    def _check(self, tenant: str, shop: str) -> None:
        if (tenant, shop) not in self._directory.shops:
            raise UnknownShop(f"there is no shop named {shop!r}")
