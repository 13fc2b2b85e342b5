"""The alarms of emergency calls, until somebody has seen to them."""

from __future__ import annotations

from typing import Annotated

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, print_json, print_table

alarms = group("alarm", "Alarms: the emergency calls that nobody has seen to.")


@alarms.command("list", epilog=EXIT_CODES)
def list_alarms(context: typer.Context, as_json: Json = False) -> None:
    """Show the emergency calls that nobody has acknowledged."""
    answer = Server(context).get("/alarms")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Call", "Shop", "Booth", "Dialled", "At (UTC)")
    for alarm in answer["alarms"]:
        add_row(table, alarm["call_id"], alarm["shop"], alarm["booth"], alarm["dialled"], clock(alarm["at"]))
    print_table(table)


@alarms.command("acknowledge", epilog=EXIT_CODES)
def acknowledge_alarm(
    context: typer.Context, call_id: Annotated[str, typer.Argument(metavar="CALL")], as_json: Json = False
) -> None:
    """Say that somebody has seen to an emergency call."""
    answer = Server(context).post(f"/alarms/{segment(call_id)}/acknowledge", {})
    if wants_json(context, as_json):
        print_json(answer)
        return
    typer.echo(clean(f"The emergency call of {answer['booth']} to {answer['dialled']} is acknowledged"))
