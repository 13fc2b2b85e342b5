"""Who is not heard for a while, after too many wrong passwords."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, print_json, print_table

bans = group("ban", "Addresses that are not heard after too many wrong passwords.")


@bans.command("list", epilog=EXIT_CODES)
def list_bans(context: typer.Context, as_json: Json = False) -> None:
    """Show the addresses that are not heard, or not for one account."""
    answer = Server(context).get("/bans")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Address", "Account", "Until (UTC)")
    for ban in answer["bans"]:
        add_row(table, ban["source"], ban["account"] or "all", clock(ban["until"]))
    print_table(table)


@bans.command("lift", epilog=EXIT_CODES)
def lift_ban(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="As the list has it.")],
    *,
    account: Annotated[str | None, typer.Option(help="Only the ban of this account there.")] = None,
    as_json: Json = False,
) -> None:
    """Hear an address again at once."""
    query = f"?{urlencode({'account': account})}" if account is not None else ""
    answer = Server(context).ask("DELETE", f"/bans/{segment(address)}{query}", None)
    if wants_json(context, as_json):
        print_json(answer)
        return
    typer.echo(clean(f"{answer['lifted']} bans of {address} are lifted"))
