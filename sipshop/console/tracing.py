"""SIP traces over HTTP, for the provider: they show his carriers."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from fastapi import APIRouter, Query, Response

from sipshop.billing.cdr import utc_text
from sipshop.console.scope import Sender, problems
from sipshop.console.views import MessageView, TraceCommand, TraceView
from sipshop.sip.pcap import pcap
from sipshop.switch import Trace, Wanted

CAPTURE: Final = "application/vnd.tcpdump.pcap"
_BEGINNING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _413="the body is too large",
    _422="invalid_request",
    _503="not_now: too many traces run",
)
_READING: Final = problems(_404="unknown_trace", _422="invalid_request")
_CAPTURE: Final = {
    200: {"description": "A capture file", "content": {CAPTURE: {"schema": {"type": "string", "format": "binary"}}}},
    **_READING,
}


class Traces(Protocol):
    """Who traces; the switch does."""

    def begin(self, tenant: str, wanted: Wanted, *, seconds: int, messages: int) -> Trace:
        """Start a trace that ends by itself."""
        ...

    def read(self, tenant: str, trace_id: str) -> Trace:
        """A trace that runs, or one that ended not long ago; raises `UnknownTrace`."""
        ...

    def end(self, tenant: str, trace_id: str) -> Trace:
        """Stop a trace, whose messages can still be read; raises `UnknownTrace`."""
        ...


def add_traces(router: APIRouter, traces: Traces) -> None:
    """Add the endpoints of traces."""

    @router.post("/traces", tags=["traces"], status_code=201, responses=_BEGINNING)
    async def begin_trace(sender: Sender, command: TraceCommand) -> TraceView:
        """Trace the SIP messages of a booth, a call or a number for some seconds; the newest messages are kept."""
        sender.only_provider()
        wanted = Wanted(booth=command.booth, call_id=command.call_id, number=command.number)
        return _view(traces.begin(sender.tenant, wanted, seconds=command.seconds, messages=command.messages))

    @router.get("/traces/{trace_id}", tags=["traces"], responses=_READING)
    async def read_trace(
        sender: Sender,
        trace_id: str,
        after: Annotated[int, Query(ge=0, description="leave out messages up to this number")] = 0,
    ) -> TraceView:
        """Read a trace's messages; `after` gives only those that came since."""
        sender.only_provider()
        return _view(traces.read(sender.tenant, trace_id), after)

    @router.post("/traces/{trace_id}/stop", tags=["traces"], responses=_READING)
    async def stop_trace(sender: Sender, trace_id: str) -> TraceView:
        """Stop a trace; its messages can still be read."""
        sender.only_provider()
        return _view(traces.end(sender.tenant, trace_id))

    @router.get("/traces/{trace_id}/pcap", tags=["traces"], response_class=Response, responses=_CAPTURE)
    async def capture(sender: Sender, trace_id: str) -> Response:
        """Read a trace as a capture file."""
        sender.only_provider()
        kept = traces.read(sender.tenant, trace_id).messages
        return Response(pcap(message.packet for message in kept), media_type=CAPTURE)


def _view(trace: Trace, after: int = 0) -> TraceView:
    return TraceView(
        id=trace.id,
        running=trace.is_running,
        count=trace.count,
        messages=[
            MessageView(
                number=message.number,
                at=utc_text(message.packet.at_us // 1000),
                transport=message.packet.transport,
                source=_address(message.packet.source),
                destination=_address(message.packet.destination),
                sent=message.is_sent,
                says=message.says,
                text=message.packet.data.decode("utf-8", "replace"),
            )
            for message in trace.messages
            if message.number > after
        ],
    )


def _address(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
