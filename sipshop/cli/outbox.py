"""The targets of the export: how far they are, tried again, and records that they never get."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, name_table, print_json, print_table

outbox = group("outbox", "Call detail records on their way to the targets of the export.")

Target = Annotated[str, typer.Argument(help="As the list has it.")]


@outbox.command("list", epilog=EXIT_CODES)
def list_targets(context: typer.Context, as_json: Json = False) -> None:
    """Show each target: how many records wait for it, for how long, what failed, and what it refused."""
    answer = Server(context).get("/outbox")
    if wants_json(context, as_json):
        print_json(answer)
        return
    print_targets(answer)


@outbox.command("retry", epilog=EXIT_CODES)
def retry_target(context: typer.Context, target: Target, as_json: Json = False) -> None:
    """Try a target now, whatever it waits for, and once more with all that it refused."""
    answer = Server(context).post(f"/outbox/{segment(target)}/retry", {})
    if wants_json(context, as_json):
        print_json(answer)
        return
    typer.echo(clean(f"{target} is tried now, and {answer['retried']} records that it refused"))


@outbox.command("skip", epilog=EXIT_CODES)
def skip_record(
    context: typer.Context,
    target: Target,
    number: Annotated[int, typer.Argument(min=1, help="A record that it refused, or the one that comes next.")],
    as_json: Json = False,
) -> None:
    """Never give a target a record; the desk's log keeps who wanted that."""
    answer = Server(context).post(f"/outbox/{segment(target)}/skip", {"number": number})
    if wants_json(context, as_json):
        print_json(answer)
        return
    print_targets(answer)


def print_targets(answer: Mapping[str, Any]) -> None:
    """The targets as a table, and what each refused as another."""
    table = make_table("Target", "Where", "State", "Last failure", right=("Waiting", "For s", "Next", "Refused"))
    for target in answer["targets"]:
        add_row(
            table,
            target["target"],
            target["where"],
            f"failing, {target['failures']} times" if target["failures"] else target["state"],
            target["why"],
            target["backlog"],
            f"{target['age_s']:.0f}",
            None if target["taken"] is None else target["taken"] + 1,
            target["parked_count"],
        )
    print_table(table, spare=("Where", "Next"))
    for target in answer["targets"]:
        if target["parked"]:
            print_parked(target)


def print_parked(target: Mapping[str, Any]) -> None:
    """What a target refused."""
    table = make_table("Refused (UTC)", "Call", "Why", right=("Number", "Revision"))
    name_table(table, f"Refused by {target['target']}")
    for one in target["parked"]:
        add_row(table, clock(one["at"]), one["call_id"], one["why"], one["number"], one["revision"])
    print_table(table)
