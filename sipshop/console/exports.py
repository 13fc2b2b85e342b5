"""Call detail records on their way out, over HTTP: as files, worked out once more, and to the targets of the export."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, HTTPException, Query
from fastapi.responses import StreamingResponse

from sipshop.console.paging import cdr_place, epoch_ms
from sipshop.console.records import Records, masked_record
from sipshop.console.scope import Scope, Sender, problems
from sipshop.console.views import OutboxView, RetriedView, SkipCommand, TargetView, VerifiedView
from sipshop.export.couriers import TargetStatus
from sipshop.export.formats import Encoder, NoParquet, encoder
from sipshop.export.forms import ExportForm
from sipshop.store import CdrPlace, UnknownTarget
from sipshop.store.verify import Verified

#: Records that are read and written in one turn.
PAGE_ROWS: Final = 200

_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "the file", "content": {form.media_type.partition(";")[0]: {} for form in ExportForm}},
    **problems(
        _404="unknown_booth",
        _422="invalid_request",
        _501="http_501: the server has nothing to write Parquet with",
        _503="unavailable",
    ),
}
_VERIFIED: Final = problems(_404="unknown_party", _422="invalid_request", _503="unavailable")
_TARGET: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_target: the provider has none of this name",
    _409="not_in_outbox: the record is neither parked nor the next one",
    _413="the body is too large",
    _422="invalid_request",
    _503="unwritable, unavailable: nothing was changed",
)

Since = Annotated[datetime | None, Query(description="set up then or later; UTC if it names no zone")]
Until = Annotated[datetime | None, Query(description="set up before then")]


class Books(Records, Protocol):
    """What is asked about all records; the switch's desk knows."""

    async def verify(self, tenant: str, since_ms: int, until_ms: int | None, party: str | None) -> Verified:
        """Work out once more what charges come to."""
        ...


class Outbox(Protocol):
    """Who delivers to the targets of the export."""

    def statuses(self, tenant: str | None = None) -> list[TargetStatus]:
        """How each target of a tenant does."""
        ...

    async def retry(self, tenant: str, target: str, author: str) -> int:
        """Try a target now, with what it refused; raises UnknownTarget."""
        ...

    async def skip(self, tenant: str, target: str, number: int, author: str) -> None:
        """Never give a target a record; raises UnknownTarget, NotInTheOutbox."""
        ...


class NoTargets:
    """The outbox of a server that delivers to nobody."""

    def statuses(self, tenant: str | None = None) -> list[TargetStatus]:
        """There are none."""
        del tenant
        return []

    async def retry(self, tenant: str, target: str, author: str) -> int:
        """There is none; raises UnknownTarget."""
        del tenant, author
        raise UnknownTarget(f"there is no target named {target!r}")

    async def skip(self, tenant: str, target: str, number: int, author: str) -> None:
        """There is none; raises UnknownTarget."""
        del tenant, number, author
        raise UnknownTarget(f"there is no target named {target!r}")


def add_exports(router: APIRouter, books: Books, outbox: Outbox, hidden_digits: Callable[[], int]) -> None:
    """Add the endpoints; before those of single records, whose path would take these for names of calls."""

    @router.get("/cdrs/export", tags=["cdrs"], responses=_FILE, response_class=StreamingResponse)
    async def export_cdrs(
        sender: Sender,
        *,
        form: Annotated[ExportForm, Query(alias="format", description="how they are written")] = ExportForm.JSONL,
        booth: Annotated[str | None, Query(description="only this booth's")] = None,
        since: Since = None,
        until: Until = None,
        latest: Annotated[bool, Query(description="of each call the latest revision alone")] = False,
        mask: Annotated[bool, Query(description="without the last digits of the numbers")] = False,
    ) -> StreamingResponse:
        """Write call detail records to a file, the newest first, all that the sender may see."""
        if booth is not None:
            sender.booth(booth)
        try:
            writer = encoder(form)
        except NoParquet as error:
            raise HTTPException(501, str(error)) from error
        hidden = hidden_digits() if mask else None
        since_ms = 0 if since is None else epoch_ms(since)
        pages = _pages(books, sender, booth, since_ms, cdr_place(None, until), latest=latest, hidden=hidden)
        first = await anext(pages)  # what is refused is refused before anything is said
        return StreamingResponse(_file(writer, first, pages), media_type=form.media_type)

    @router.get("/cdrs/verify", tags=["cdrs"], responses=_VERIFIED)
    async def verify_cdrs(
        sender: Sender,
        *,
        since: Since = None,
        until: Until = None,
        party: Annotated[str | None, Query(description="only what it pays or is paid")] = None,
    ) -> VerifiedView:
        """Work out every charge once more from what its call kept, and show each that differs; this reads them all."""
        sender.only_provider()
        if party is not None:
            sender.party(party)
        since_ms, until_ms = 0 if since is None else epoch_ms(since), None if until is None else epoch_ms(until)
        return VerifiedView.of(await books.verify(sender.tenant, since_ms, until_ms, party))

    _add_targets(router, outbox)


def _add_targets(router: APIRouter, outbox: Outbox) -> None:
    @router.get("/outbox", tags=["export"])
    async def list_targets(sender: Sender) -> OutboxView:
        """List the targets of the export: how far each is, what it waits for, and what it refused."""
        sender.only_provider()
        return OutboxView(targets=[TargetView.of(status) for status in outbox.statuses(sender.tenant)])

    @router.post("/outbox/{target}/retry", tags=["export"], responses=_TARGET)
    async def retry_target(sender: Sender, target: str) -> RetriedView:
        """Try a target now, whatever it waits for, and once more with all that it refused."""
        sender.only_provider()
        return RetriedView(retried=await outbox.retry(sender.tenant, target, sender.author))

    @router.post("/outbox/{target}/skip", tags=["export"], responses=_TARGET)
    async def skip_record(sender: Sender, target: str, command: SkipCommand) -> OutboxView:
        """Never give a target a record that it refused, or the one that comes next."""
        sender.only_provider()
        await outbox.skip(sender.tenant, target, command.number, sender.author)
        return OutboxView(targets=[TargetView.of(status) for status in outbox.statuses(sender.tenant)])


async def _pages(
    books: Books,
    sender: Scope,
    booth: str | None,
    since_ms: int,
    after: CdrPlace | None,
    *,
    latest: bool,
    hidden: int | None,
) -> AsyncIterator[list[dict[str, Any]]]:
    """The records that the sender may see, a page at a time; an empty one first where there are none."""
    shops = None if sender.is_provider else sender.reach.shops
    while True:
        found = await books.cdrs(
            sender.tenant, PAGE_ROWS, booth, shops=shops, since_ms=since_ms, after=after, latest=latest
        )
        shown = [sender.record(cdr) for cdr in found]
        yield shown if hidden is None else [masked_record(cdr, hidden) for cdr in shown]
        if len(found) < PAGE_ROWS:
            return
        last = found[-1]
        after = CdrPlace(epoch_ms(datetime.fromisoformat(last["setup_at"])), last["call_id"], last["revision"])


async def _file(
    writer: Encoder, first: list[dict[str, Any]], pages: AsyncIterator[list[dict[str, Any]]]
) -> AsyncIterator[bytes]:
    yield await asyncio.to_thread(writer.add, first)
    async for page in pages:
        yield await asyncio.to_thread(writer.add, page)
    yield await asyncio.to_thread(writer.end)
