"""The call detail records over HTTP: one of them, and pages of them, within what the sender may see."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Annotated, Any, Final, Protocol

from fastapi import APIRouter, Query

from sipshop.billing.cdr import masked
from sipshop.console.paging import Cursor, Limit, cdr_place, epoch_ms, place_of
from sipshop.console.scope import Sender, problems
from sipshop.console.views import CdrList
from sipshop.store import CdrPlace

_NO_LIST: Final = problems(_404="unknown_booth", _422="invalid_request, bad_cursor", _503="unavailable")
_NO_RECORD: Final = problems(_404="unknown_call", _422="invalid_request", _503="unavailable")


class Records(Protocol):
    """Where the records are; the switch's desk knows."""

    async def cdr(self, tenant: str, call_id: str) -> dict[str, Any]:
        """The CDR of a call that is over, its latest revision, as `Cdr.to_json` gives it."""
        ...

    async def cdrs(
        self,
        tenant: str,
        limit: int,
        booth: str | None = None,
        *,
        shops: Collection[str] | None = None,
        since_ms: int = 0,
        after: CdrPlace | None = None,
        latest: bool = False,
    ) -> list[dict[str, Any]]:
        """The newest CDRs first, as `Cdr.to_json` gives them, of one booth or of some shops where named.

        Every revision, or of each call the `latest` alone.
        """
        ...


def add_records(router: APIRouter, records: Records, hidden_digits: Callable[[], int]) -> None:
    """Add the endpoints of call detail records; `hidden_digits` is how much of a number a mask hides."""

    @router.get("/cdrs", tags=["cdrs"], responses=_NO_LIST)
    async def list_cdrs(
        sender: Sender,
        *,
        limit: Limit = 50,
        cursor: Cursor = None,
        booth: Annotated[str | None, Query(description="only this booth's")] = None,
        since: Annotated[datetime | None, Query(description="set up then or later; UTC if it names no zone")] = None,
        until: Annotated[datetime | None, Query(description="set up before then")] = None,
        latest: Annotated[bool, Query(description="of each call the latest revision alone")] = False,
        mask: Annotated[bool, Query(description="without the last digits of the numbers")] = False,
    ) -> CdrList:
        """List call detail records, the newest first."""
        if booth is not None:
            sender.booth(booth)
        found = await records.cdrs(
            sender.tenant,
            limit + 1,
            booth,
            shops=None if sender.is_provider else sender.reach.shops,
            since_ms=0 if since is None else epoch_ms(since),
            after=cdr_place(cursor, until),
            latest=latest,
        )
        shown = [sender.record(cdr) if not sender.is_provider else cdr for cdr in found[:limit]]
        after = place_of(found[limit - 1]) if len(found) > limit else None
        return CdrList(cdrs=[masked_record(cdr, hidden_digits()) for cdr in shown] if mask else shown, next=after)

    @router.get("/cdrs/{call_id}", tags=["cdrs"], responses=_NO_RECORD)
    async def read_cdr(sender: Sender, call_id: str) -> dict[str, Any]:
        """Read the call detail record of a call: what every level paid and kept, and every trunk that was tried."""
        return sender.record(await records.cdr(sender.tenant, call_id))


def masked_record(cdr: dict[str, Any], hidden: int) -> dict[str, Any]:
    """Return a record whose numbers tell a country and an area, and nobody's telephone."""
    numbers = {name: masked(cdr[name], hidden) for name in ("dialled", "e164") if cdr[name] is not None}
    return {**cdr, **numbers}
