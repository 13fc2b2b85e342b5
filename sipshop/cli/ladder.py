"""SIP messages as a ladder: phones to the left, the switch, carriers to the right."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import USAGE
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import clean, fail, until_interrupted

TRACE_EVERY_S: Final = 0.5
PEER_WIDTH: Final = 21  # 255.255.255.255:65535
ARROW_WIDTH: Final = 36


def trace_messages(
    context: typer.Context,
    *,
    booth: Annotated[str | None, typer.Option(help="The messages of this booth and of its calls.")] = None,
    call: Annotated[str | None, typer.Option(metavar="ID", help="Of this live call, or of this SIP Call-ID.")] = None,
    number: Annotated[str | None, typer.Option(help="Of the calls to this number.")] = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="When it ends by itself.")] = 60,
    pcap: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a capture file at the end.")] = None,
    as_json: Json = False,
) -> None:
    """Follow SIP messages as a ladder: phones to the left, the switch, carriers to the right; Ctrl-C ends it."""
    given = {"booth": booth, "call_id": call, "number": number}
    wanted: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if len(wanted) != 1:
        raise typer.BadParameter("give --booth, --call or --number, and one of them only")
    server = Server(context)
    trace = server.post("/traces", wanted | {"seconds": seconds})
    path, ladder, seen = f"/traces/{segment(trace['id'])}", Ladder(), 0
    as_json = wants_json(context, as_json)
    typer.echo(f"tracing for {seconds} s; Ctrl-C ends it", err=True)
    with until_interrupted() as goes_on:
        while trace["running"] and goes_on():
            time.sleep(TRACE_EVERY_S)
            trace = server.get(f"{path}?after={seen}")
            for message in trace["messages"]:
                typer.echo(json.dumps(message) if as_json else ladder.rung(message))
                seen = message["number"]
    server.post(f"{path}/stop", {})
    if pcap is not None:
        write_bytes(pcap, server.download(f"{path}/pcap"))
    if not as_json:
        lost = f", {seen - len(ladder)} were too many at once" if seen > len(ladder) else ""
        typer.echo(f"{len(ladder)} messages{lost}" + (f", captured in {clean(str(pcap))}" if pcap is not None else ""))


class Ladder:
    """Draws SIP messages, a line each, with us in the middle: whom we send a request first stands to the right."""

    def __init__(self) -> None:
        self._is_right: dict[str, bool] = {}
        self._drawn = 0

    def __len__(self) -> int:
        """How many were drawn."""
        return self._drawn

    def rung(self, message: Mapping[str, Any]) -> str:
        """The line of a message."""
        self._drawn += 1
        is_sent, says = message["sent"], clean(message["says"])
        peer = message["destination" if is_sent else "source"]
        is_right = self._is_right.setdefault(peer, is_sent and not says[:3].isdigit())
        says = f" {says[: ARROW_WIDTH - 4]} "
        arrow = f"{says:─^{ARROW_WIDTH}}"
        arrow = f"{arrow}▶" if is_sent is is_right else f"◀{arrow}"
        side = f"{'':{PEER_WIDTH + ARROW_WIDTH + 2}}│{arrow} {peer}" if is_right else f"{peer:>{PEER_WIDTH}} {arrow}│"
        return f"{message['at'][11:23]} {clean(side)}"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; what goes wrong ends the program with USAGE."""
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")
