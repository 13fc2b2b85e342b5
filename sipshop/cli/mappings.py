"""Mappings: how the rate sheets of a carrier are read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Refused, Server, segment
from sipshop.cli.codes import EXIT_CODES, USAGE
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, complain, make_table, print_json, print_table, progress, read_text

mappings = group("mapping", "Mappings: how the rate sheets of a carrier are read.")
Carrier = Annotated[str, typer.Argument(metavar="CARRIER")]


@mappings.command("list", epilog=EXIT_CODES)
def list_mappings(context: typer.Context, as_json: Json = False) -> None:
    """Show whose sheets can be read."""
    answer = Server(context).get("/mappings")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Carrier", "Saved", "By")
    for mapping in answer["mappings"]:
        add_row(table, mapping["carrier"], clock(mapping["saved_at"]), mapping["author"])
    print_table(table)


@mappings.command("show", epilog=EXIT_CODES)
def show_mapping(context: typer.Context, carrier: Carrier, as_json: Json = False) -> None:
    """Write the mapping of a carrier as YAML, which `mapping save` takes."""
    answer = Server(context).get(f"/mappings/{segment(carrier)}")
    if wants_json(context, as_json):
        print_json(answer)
    else:
        _print_text(answer["mapping"])


@mappings.command("save", epilog=EXIT_CODES)
def save_mapping(
    context: typer.Context,
    carrier: Carrier,
    file: Annotated[Path, typer.Argument(metavar="MAPPING.yaml")],
    as_json: Json = False,
) -> None:
    """Keep a mapping for a carrier, in the place of the one that was there."""
    try:
        answer = Server(context).ask("PUT", f"/mappings/{segment(carrier)}", read_text(file, "mapping"))
    except Refused as refusal:
        if refusal.problem["code"] != "bad_mapping":
            raise
        for error in refusal.problem["errors"]:
            field = f"{error['field']}: " if error["field"] else ""
            complain(f"{file}:{error['line']}: {field}{error['message']}")
        raise typer.Exit(USAGE) from None
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(clean(f"The sheets of {carrier} are read by {file}."))


@mappings.command("remove", epilog=EXIT_CODES)
def remove_mapping(context: typer.Context, carrier: Carrier, as_json: Json = False) -> None:
    """Let the mapping of a carrier go; what was imported by it stays."""
    Server(context).delete(f"/mappings/{segment(carrier)}")
    if wants_json(context, as_json):
        print_json({"carrier": carrier, "removed": True})
    else:
        typer.echo(clean(f"The sheets of {carrier} are not read any more."))


@mappings.command("guess", epilog=EXIT_CODES)
def guess_mapping(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or XLSX.")],
    sheet: Annotated[str, typer.Option(help="Of a workbook, by name. [default: the first that is shown]")] = "",
    as_json: Json = False,
) -> None:
    """Suggest a mapping from the header of a sheet: look at it, mend it, and save it."""
    with progress(f"Sending {file}") as tell:
        answer = Server(context).upload(f"/mapping-guesses?{urlencode({'sheet': sheet})}", file, tell)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        _print_text(answer["mapping"])


def _print_text(text: str) -> None:
    """Print a text of many lines, none of which steers the terminal."""
    for line in text.splitlines():
        typer.echo(clean(line))
