"""The till of a shop: shifts, cash by hand, blind counts, and reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES, REFUSED
from sipshop.cli.options import Json, Key, Reason, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, fail, make_table, name_table, print_json, print_table

shifts = group("shift", "Shifts: whose cash is in the till of a shop, and whether it is all there.")

Number = Annotated[
    int | None, typer.Option("--shift", min=1, help="Another one than your own open shift: of somebody below you.")
]
Pieces = Annotated[
    list[str] | None,
    typer.Argument(metavar="PIECES", help="How many there are of each note and coin, such as 50x2 0.05x13."),
]
Other = Annotated[str, typer.Option(help="Cash that is none of the currency's notes and coins, as an amount.")]


@shifts.command("open", epilog=EXIT_CODES)
def open_shift(
    context: typer.Context,
    shop: str,
    opening: Annotated[str, typer.Option("--float", help="What is in the drawer, such as 50.00.")] = "0",
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Begin your shift at the till of a shop; your token has to be a person's."""
    answer = Server(context).post(f"/shops/{segment(shop)}/shifts", {"opening": opening}, key=key)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(clean(f"Shift {answer['shift']} of {answer['operator']} at {shop} is open"))


@shifts.command("in", epilog=EXIT_CODES)
def put_in(
    context: typer.Context,
    shop: str,
    amount: str,
    *,
    reason: Reason,
    number: Number = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Put cash into the drawer: change from the bank."""
    _by_hand(context, shop, "in", {"amount": amount, "reason": reason}, number=number, key=key, as_json=as_json)


@shifts.command("out", epilog=EXIT_CODES)
def take_out(
    context: typer.Context,
    shop: str,
    amount: str,
    *,
    reason: Reason,
    number: Number = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take cash out of the drawer: to the safe, for a parcel."""
    _by_hand(context, shop, "out", {"amount": amount, "reason": reason}, number=number, key=key, as_json=as_json)


@shifts.command("count", epilog=EXIT_CODES)
def count_drawer(
    context: typer.Context,
    shop: str,
    pieces: Pieces = None,
    *,
    other: Other = "0",
    number: Number = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Count the drawer in the middle of a shift; what it should hold is kept beside the count, and not told."""
    server, body = Server(context), _counted(pieces, other)
    answer = server.post(f"{_path(server, shop, number)}/count", body, key=key)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        total = answer["checks"][-1]["count"]["total"]
        typer.echo(clean(f"Shift {answer['shift']} at {shop}: counted {total} {answer['currency']}"))


@shifts.command("close", epilog=EXIT_CODES)
def close_shift(
    context: typer.Context,
    shop: str,
    pieces: Pieces = None,
    *,
    other: Other = "0",
    number: Number = None,
    as_json: Json = False,
) -> None:
    """End a shift with what is in its drawer, and show its Z report; it cannot be changed afterwards."""
    server, body = Server(context), _counted(pieces, other)
    answer = server.post(f"{_path(server, shop, number)}/close", body)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        _print(answer)


@shifts.command("x", epilog=EXIT_CODES)
def show_x(context: typer.Context, shop: str, number: Number = None, as_json: Json = False) -> None:
    """Show what a shift has come to so far; of your own not what has to be in the drawer."""
    server = Server(context)
    answer = server.get(_path(server, shop, number))
    if wants_json(context, as_json):
        print_json(answer)
    else:
        _print(answer)


@shifts.command("z", epilog=EXIT_CODES)
def show_z(
    context: typer.Context,
    shop: str,
    number: Annotated[int, typer.Argument(metavar="Z", min=1, help="The number of the report.")],
    as_json: Json = False,
) -> None:
    """Show a Z report, as it was written when its shift was closed."""
    answer = Server(context).get(f"/shops/{segment(shop)}/z/{number}")
    if wants_json(context, as_json):
        print_json(answer)
    else:
        _print(answer)


@shifts.command("list", epilog=EXIT_CODES)
def list_shifts(context: typer.Context, shop: str, as_json: Json = False) -> None:
    """Show the shifts of a shop, the newest first, and what their drawers were wrong by; to an operator his own."""
    answer = {"shifts": list(Server(context).rows(f"/shops/{segment(shop)}/shifts", "shifts"))}
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table(
        *("Shift", "Operator", "Opened (UTC)", "Closed (UTC)", "Z", "Currency"),
        right=("Counted", "Expected", "Variance"),
    )
    for shift in answer["shifts"]:
        add_row(
            table,
            shift["shift"],
            shift["operator"],
            clock(shift["opened_at"]),
            clock(shift["closed_at"]) or "open",
            shift["z"],
            shift["currency"],
            shift["counted"],
            shift["expected"],
            shift["variance"],
        )
    print_table(table, spare=("Currency", "Opened (UTC)"))


@shifts.command("variances", epilog=EXIT_CODES)
def list_variances(
    context: typer.Context,
    shop: str,
    since: Annotated[str | None, typer.Option(help="Shifts that were closed at this instant or later, UTC.")] = None,
    until: Annotated[str | None, typer.Option(help="Shifts that were closed before this instant.")] = None,
    as_json: Json = False,
) -> None:
    """Show what the drawers of each person were wrong by, and what moved outside all shifts since the last report."""
    server, place = Server(context), f"/shops/{segment(shop)}"
    asked = {name: value for name, value in (("since", since), ("until", until)) if value is not None}
    answer = server.get(f"{place}/variances?{urlencode(asked)}") | {"outside": server.get(f"{place}/outside")["moves"]}
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Operator", "Shifts", "Currency", right=("Missing", "Too much", "Variance"))
    for each in answer["variances"]:
        add_row(
            table, each["operator"], each["shifts"], each["currency"], each["missing"], each["over"], each["variance"]
        )
    print_table(table)
    for move in answer["outside"]:
        told = f"{clock(move['at'])}: {move['author']} moved {move['amount']} outside all shifts ({move['kind']})"
        typer.echo(clean(told))


def _by_hand(
    context: typer.Context,
    shop: str,
    way: str,
    body: Mapping[str, str],
    *,
    number: int | None,
    key: str | None,
    as_json: bool,
) -> None:
    server = Server(context)
    answer = server.post(f"{_path(server, shop, number)}/{way}", body, key=key)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        amount = answer["by_hand"][-1]["amount"]
        typer.echo(clean(f"Shift {answer['shift']} at {shop}: {amount} {answer['currency']}, {body['reason']}"))


def _path(server: Server, shop: str, number: int | None) -> str:
    """Where a shift is: that of a number, or the one that is the sender's own."""
    place = f"/shops/{segment(shop)}"
    if number is None:
        number = server.get(f"{place}/till")["own"]
    if number is None:
        fail(REFUSED, f"you have no shift open at {shop}: `shift open` begins one, --shift N names another's")
    return f"{place}/shifts/{number}"


def _counted(pieces: Sequence[str] | None, other: str) -> dict[str, object]:
    """What was counted, from texts such as 50x2.

    >>> _counted(["50x2", "0.05x13"], "0")
    {'pieces': {'50': 2, '0.05': 13}, 'other': '0'}
    """
    found: dict[str, int] = {}
    for text in pieces or ():
        value, sign, number = text.partition("x")
        if not sign or not number.isascii() or not number.isdecimal():
            raise typer.BadParameter(f"{text!r} is no note or coin and its number, such as 50x2")
        if value in found:
            raise typer.BadParameter(f"{value} is counted twice")
        found[value] = int(number)
    return {"pieces": found, "other": other}


def _print(report: Mapping[str, Any]) -> None:
    """A report, for people."""
    currency = report["currency"]
    title = "X report" if report["z"] is None else f"Z report {report['z']}"
    until = clock(report["closed_at"]) or f"{clock(report['at'])}, open"
    table = make_table("What", "How", "Times", right=(currency,))
    for each in report["sums"]:
        add_row(table, each["kind"], each["method"], each["times"], each["amount"])
    name_table(table, f"{title}: shift {report['shift']} of {report['operator']} at {report['shop']}")
    print_table(table)
    typer.echo(f"From {clock(report['opened_at'])} to {until} (UTC)")
    for move in report["by_hand"]:
        reason = f": {move['reason']}" if move["reason"] else ""
        typer.echo(clean(f"  {clock(move['at'])} {move['kind']} {move['amount']} by {move['author']}{reason}"))
    outside = report["outside"]
    if outside is not None and outside["times"]:
        names = ", ".join(outside["authors"])
        typer.echo(clean(f"Outside all shifts since the report before: {outside['amount']} {currency}, by {names}"))
    if report["expected"] is None:
        typer.echo("What has to be in the drawer is told when it was counted.")
        return
    counted = "" if report["count"] is None else f", counted {report['count']['total']}, variance {report['variance']}"
    typer.echo(f"Expected {report['expected']}{counted} {currency}")
