"""Tokens of the API: who may do what."""

from __future__ import annotations

from typing import Annotated

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, print_json, print_table

tokens = group("token", "Tokens of the API: who may do what.")


@tokens.command("create", epilog=EXIT_CODES)
def create_token(
    context: typer.Context,
    label: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    *,
    party: Annotated[str | None, typer.Option(help="It sees this party and all below it.")] = None,
    shop: Annotated[str | None, typer.Option(help="It is for the operators of this shop.")] = None,
    operator: Annotated[str | None, typer.Option(help="It is this person's: his role and shop, and his name.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid.")] = 365,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="It does not expire.")] = False,
    as_json: Json = False,
) -> None:
    """Make a token for a party, a shop's operators or one person, and print it: it is shown this once."""
    given = {"party": party, "shop": shop, "operator": operator}
    opens = {of: name for of, name in given.items() if name is not None}
    if len(opens) != 1:
        raise typer.BadParameter(
            "give either --party, --shop or --operator; for one that opens everything --party and the provider's name"
        )
    answer = Server(context).post("/tokens", {"label": label, "days": None if for_ever else days, **opens})
    if wants_json(context, as_json):
        print_json(answer)
        return
    until = "for ever" if answer["expires_at"] is None else f"until {clock(answer['expires_at'])} UTC"
    typer.echo(answer["token"])
    place = answer["shop"] or answer["party"]
    typer.echo(clean(f"Token {answer['id']}, {answer['role']} of {place}, {until}. Keep it now."), err=True)


@tokens.command("list", epilog=EXIT_CODES)
def list_tokens(context: typer.Context, as_json: Json = False) -> None:
    """Show the tokens, those that open nothing any more too."""
    answer = Server(context).get("/tokens")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Id", "Label", "Role", "Party", "Shop", "Made (UTC)", "Expires", "Revoked")
    for token in answer["tokens"]:
        instants = [clock(token[name]) for name in ("created_at", "expires_at", "revoked_at")]
        add_row(table, *(token[name] for name in ("id", "label", "role", "party", "shop")), *instants)
    print_table(table, spare=("Made (UTC)", "Shop"))


@tokens.command("revoke", epilog=EXIT_CODES)
def revoke_token(
    context: typer.Context, token_id: Annotated[str, typer.Argument(metavar="ID")], as_json: Json = False
) -> None:
    """Let a token in no more, from this moment."""
    answer = Server(context).post(f"/tokens/{segment(token_id)}/revoke", {})
    if wants_json(context, as_json):
        print_json(answer)
        return
    typer.echo(clean(f"Token {answer['id']}, {answer['label']}, is revoked"))
