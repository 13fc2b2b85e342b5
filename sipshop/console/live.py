"""What goes on at this moment, over HTTP: the live calls, and the stream of events."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse

from sipshop.console.events import KINDS, MEDIA_TYPE, Hub, States, stream
from sipshop.console.paging import MAX_ROWS, Cursor, Limit, page_of
from sipshop.console.scope import Sender, problems
from sipshop.console.tokens import TokenLookup, is_valid
from sipshop.console.views import CallList, CallView, RegistrationList, RegistrationView
from sipshop.switch import CallStatus, RegistrationStatus

_EVENTS: Final = {
    200: {
        "description": "Events, each with its data as JSON in a line: "
        + "; ".join(f"`{kind}`: {says}" for kind, says in KINDS.items()),
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    **problems(_422="invalid_request", _503="not_now: too many streams are open"),
}


_LIST: Final = problems(_404="unknown_booth", _422="invalid_request, bad_cursor")


class Live(States, Protocol):
    """What goes on; the switch's desk knows."""

    def calls(self, tenant: str) -> list[CallStatus]:
        """Every live call, the oldest first."""
        ...

    def registrations(self, tenant: str, shops: Collection[str]) -> list[RegistrationStatus]:
        """Every phone that is registered for a booth of these shops."""
        ...


def add_live(router: APIRouter, desk: Live, hub: Hub, tokens: TokenLookup, utc_ms: Callable[[], int]) -> None:
    """Add the endpoints of what goes on now."""

    @router.get("/calls", tags=["calls"])
    async def list_calls(sender: Sender) -> CallList:
        """List the live calls, the oldest first."""
        seen = [status for status in desk.calls(sender.tenant) if status.shop in sender.reach.shops]
        return CallList(calls=[CallView.of(status, with_trunk=sender.is_provider) for status in seen])

    @router.get("/registrations", tags=["booths"], responses=_LIST)
    async def list_registrations(
        sender: Sender,
        booth: Annotated[str | None, Query(max_length=100, description="only those of this booth")] = None,
        limit: Limit = MAX_ROWS,
        cursor: Cursor = None,
    ) -> RegistrationList:
        """List the phones that are registered: where each is reached, and whether it answers."""
        name = booth if booth is None else sender.booth(booth).booth
        found = desk.registrations(sender.tenant, sender.reach.shops)
        seen = [status for status in found if name in {None, status.booth}]
        page, after = page_of(seen, _name_of, limit, cursor)
        return RegistrationList(registrations=[RegistrationView.of(status) for status in page], next=after)

    @router.get("/events", tags=["calls"], response_class=StreamingResponse, responses=_EVENTS)
    async def listen(
        sender: Sender,
        after: Annotated[
            str | None,
            Header(
                alias="Last-Event-ID",
                pattern=r"^[0-9]{1,18}$",
                description="the `id` that an earlier stream came to: this one goes on there, or says what it misses",
            ),
        ] = None,
    ) -> StreamingResponse:
        """Listen to what happens (server-sent events); the stream begins with every booth and balance as it is."""
        hub.check_room(sender.identity)
        sha256 = sender.identity.token.sha256

        def still_valid() -> bool:
            token = tokens(sha256)
            return token is not None and is_valid(token, utc_ms())

        events = stream(hub, sender.identity, desk, still_valid, after=None if after is None else int(after))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # a proxy must not gather it
        return StreamingResponse(events, media_type=MEDIA_TYPE, headers=headers)


def _name_of(status: RegistrationStatus) -> str:
    """What tells a phone from all others."""
    return f"{status.booth} {status.transport} {status.address} {status.contact}"
