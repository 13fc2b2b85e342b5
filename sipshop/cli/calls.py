"""The live calls, once or followed (IO)."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sipshop.cli.ask import Refused, Server, Unanswered
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import (
    add_row,
    clock,
    dialled,
    fit,
    make_table,
    name_table,
    print_json,
    print_table,
    until_interrupted,
)

if TYPE_CHECKING:
    from rich.table import Table

FOLLOW_EVERY_S: Final = 1.0
FOLLOW_TIMEOUT_S: Final = 5.0  # then a server that hangs is told as one that does not answer
_ABOVE_AND_BELOW: Final = 7  # lines that a followed table needs besides its calls
_SPARE: Final = ("Shop", "Trunk", "Since (UTC)", "Destination")


def show_calls(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Show them once, and do not follow them.")] = False,
    as_json: Json = False,
) -> None:
    """Show the live calls; on a terminal they are followed until Ctrl-C."""
    server = Server(context)
    answer = server.get("/calls")
    if wants_json(context, as_json):
        print_json(answer)
    elif once or not sys.stdout.isatty():
        print_table(calls_table(answer["calls"]), spare=_SPARE)
    else:
        with until_interrupted() as goes_on:
            follow(server, answer["calls"], goes_on)


def follow(server: Server, calls: Sequence[Mapping[str, Any]], goes_on: Callable[[], bool]) -> None:
    """Draw the calls again and again on a screen of their own, for as long as we are let in.

    A server that does not answer is waited for: the last calls stay, with what is wrong.
    """
    from rich.console import Console  # noqa: PLC0415 - only who follows pays for it
    from rich.live import Live  # noqa: PLC0415 - likewise

    console = Console()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        wrong = ""
        while goes_on():
            table = calls_table(calls, room=console.height - _ABOVE_AND_BELOW, wrong=wrong)
            fit(table, console, _SPARE)
            live.update(table, refresh=True)
            time.sleep(FOLLOW_EVERY_S)
            try:
                calls, wrong = server.get("/calls", timeout_s=FOLLOW_TIMEOUT_S)["calls"], ""
            except Unanswered as problem:
                wrong = str(problem)
            except Refused as refusal:
                if refusal.problem["status"] < 500:  # it will not think better of it
                    raise
                wrong = str(refusal)


def calls_table(calls: Sequence[Mapping[str, Any]], *, room: int | None = None, wrong: str = "") -> Table:
    """The live calls, a line each if there is `room` for so many lines only; with what is `wrong`, if anything."""
    table = make_table(
        "Since (UTC)", "Shop", "Booth", "State", "Dialled", "Destination", "Trunk", right=("Talk", "Amount")
    )
    shown = calls if room is None else calls[: max(room, 1)]
    for call in shown:
        minutes, seconds = divmod(call["talk_ms"] // 1000, 60)
        add_row(
            table,
            clock(call["setup_at"]),
            call["shop"],
            call["booth"],
            call["state"] + (", emergency" if call["kind"] == "emergency" else ""),
            dialled(call),
            call["destination"],
            call["trunk"],
            f"{minutes}:{seconds:02d}" if call["answered_at"] is not None else None,
            f"{call['amount']} {call['currency']}",
        )
    counted = f"{len(calls)} live" + (f", {len(shown)} shown" if len(shown) < len(calls) else "")
    if room is None:
        table.caption = counted
        return table
    for column in table.columns:
        column.no_wrap, column.overflow = True, "ellipsis"
    name_table(table, f"{counted}; {wrong or 'Ctrl-C ends it'}")
    return table
