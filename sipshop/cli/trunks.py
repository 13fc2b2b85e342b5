"""Trunks: the ways to carriers."""

from __future__ import annotations

import typer

from sipshop.cli.ask import Server
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, make_table, print_json, print_table

trunks = group("trunk", "Trunks: the ways to carriers.")


@trunks.command("list", epilog=EXIT_CODES)
def list_trunks(context: typer.Context, as_json: Json = False) -> None:
    """Show every trunk."""
    answer = Server(context).get("/trunks")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Trunk", "Carrier", "Deck", "Address", "State", right=("Most calls", "Calls/s", "Calls"))
    for trunk in answer["trunks"]:
        host = f"[{trunk['host']}]" if ":" in trunk["host"] else trunk["host"]
        state = "disabled" if trunk["disabled"] else "takes emergency calls" if trunk["emergency"] else "active"
        add_row(
            table,
            trunk["trunk"],
            trunk["carrier"],
            trunk["deck"],
            f"{trunk['transport']} {host}:{trunk['port']}",
            state,
            trunk["max_calls"],
            trunk["cps"],
            trunk["live_calls"],
        )
    print_table(table, spare=("Deck", "Calls/s", "Most calls"))
