"""Screens for customers: links that show booths and open nothing else."""

from __future__ import annotations

from typing import Annotated

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, print_json, print_table

screens = group("screen", "Screens for customers: links that show booths and open nothing else.")


@screens.command("add", epilog=EXIT_CODES)
def add_screen(
    context: typer.Context,
    shop: str,
    *,
    booth: Annotated[str | None, typer.Option(help="It shows this one. [default: all booths of the shop]")] = None,
    language: Annotated[str, typer.Option(help="Of what it shows: en, fr, es, it, pt, pl or ar.")] = "en",
    label: Annotated[str, typer.Option(help="Where it stands.")] = "screen",
    as_json: Json = False,
) -> None:
    """Make a screen, and print the path of its link: it is shown this once."""
    body = {"booth": booth, "language": language, "label": label}
    answer = Server(context).post(f"/shops/{segment(shop)}/screens", body)
    if wants_json(context, as_json):
        print_json(answer)
        return
    typer.echo(answer["path"])
    typer.echo(clean(f"Screen {answer['id']} shows {answer['booth'] or 'all booths'} of {answer['shop']}."), err=True)


@screens.command("list", epilog=EXIT_CODES)
def list_screens(context: typer.Context, shop: str, as_json: Json = False) -> None:
    """Show the screens of a shop."""
    answer = Server(context).get(f"/shops/{segment(shop)}/screens")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Id", "Where", "Booth", "Language", "Made by", "Made (UTC)")
    for screen in answer["screens"]:
        shown = (screen[name] for name in ("id", "label", "booth", "language", "made_by"))
        add_row(table, *shown, clock(screen["made_at"]))
    print_table(table, spare=("Made (UTC)",))


@screens.command("remove", epilog=EXIT_CODES)
def remove_screen(
    context: typer.Context,
    shop: str,
    screen_id: Annotated[str, typer.Argument(metavar="ID")],
    as_json: Json = False,
) -> None:
    """Take a screen away: its link shows nothing any more, from this moment."""
    answer = Server(context).post(f"/shops/{segment(shop)}/screens/{segment(screen_id)}/remove", {})
    if wants_json(context, as_json):
        print_json(answer)
        return
    typer.echo(clean(f"Screen {answer['id']}, {answer['label']}, is switched off"))
