"""The phones that are registered."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clock, make_table, print_json, print_table

registrations = group("registration", "Phones: where they are registered, and whether they answer.")


@registrations.command("list", epilog=EXIT_CODES)
def list_registrations(
    context: typer.Context,
    booth: Annotated[str | None, typer.Option(help="Only those of this booth.", metavar="BOOTH")] = None,
    as_json: Json = False,
) -> None:
    """Show every phone that is registered, with the address that it is reached at."""
    answer = Server(context).get("/registrations" if booth is None else f"/registrations?booth={segment(booth)}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    columns = ("Booth", "Shop", "Answers", "Address", "Contact", "User agent", "Heard (UTC)", "Expires (UTC)")
    table = make_table(*columns, right=("RTT ms",))
    for phone in answer["registrations"]:
        add_row(
            table,
            phone["booth"],
            phone["shop"],
            "yes" if phone["reachable"] else "no",
            _address(phone),
            phone["contact"],
            phone["user_agent"],
            clock(phone["seen_at"]),
            clock(phone["expires_at"]),
            phone["rtt_ms"],
        )
    print_table(table, spare=("Contact", "User agent", "Expires (UTC)", "Heard (UTC)", "Shop"))


def _address(phone: dict[str, Any]) -> str:
    return f"{phone['transport'].lower()} {phone['address']}"
