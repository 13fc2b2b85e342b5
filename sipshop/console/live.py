"""What goes on at this moment, over HTTP: the live calls, and the stream of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse

from sipshop.console.events import KINDS, MEDIA_TYPE, Hub, States, stream
from sipshop.console.scope import Sender, problems
from sipshop.console.tokens import TokenLookup, is_valid
from sipshop.console.views import CallList, CallView
from sipshop.switch import CallStatus

_EVENTS: Final = {
    200: {
        "description": "Events, each with its data as JSON in a line: "
        + "; ".join(f"`{kind}`: {says}" for kind, says in KINDS.items()),
        "content": {MEDIA_TYPE: {"schema": {"type": "string"}}},
    },
    **problems(_422="invalid_request", _503="not_now: too many streams are open"),
}


class Live(States, Protocol):
    """What goes on; the switch's desk knows."""

    def calls(self, tenant: str) -> list[CallStatus]:
        """Every live call, the oldest first."""
        ...


def add_live(router: APIRouter, desk: Live, hub: Hub, tokens: TokenLookup, utc_ms: Callable[[], int]) -> None:
    """Add the endpoints of what goes on now."""

    @router.get("/calls", tags=["calls"])
    async def list_calls(sender: Sender) -> CallList:
        """List the live calls, the oldest first."""
        seen = [status for status in desk.calls(sender.tenant) if status.shop in sender.reach.shops]
        return CallList(calls=[CallView.of(status, with_trunk=sender.is_provider) for status in seen])

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
