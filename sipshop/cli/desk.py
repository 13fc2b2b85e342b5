"""The desk: booths, and what their customers owe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from sipshop.cli.ask import Refused, Server, segment
from sipshop.cli.codes import EXIT_CODES, REFUSED
from sipshop.cli.options import Json, Key, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, complain, make_table, print_json, print_table

booths = group("booth", "Booths: who may call.")
sessions = group("session", "Booth sessions: what a customer owes, and paying it.")


@booths.command("list", epilog=EXIT_CODES)
def list_booths(context: typer.Context, as_json: Json = False) -> None:
    """Show every booth: its state, its phones, its customer and its call."""
    answer = {"booths": list(Server(context).rows("/booths", "booths"))}
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table(
        "Booth", "Shop", "State", "Phones", "Session", "Since (UTC)", "Unlocked by", "Left", "Call", "Seconds"
    )
    for booth in answer["booths"]:
        state = booth["state"] + (", suspended" if booth["suspended"] else "")
        add_row(
            table,
            booth["booth"],
            booth["shop"],
            state,
            _phones(booth),
            booth["session_id"],
            clock(booth["opened_at"]),
            booth["opened_by"],
            left_of(booth),
            booth["dialled"],
            booth["seconds"],
        )
    print_table(table, spare=("Unlocked by", "Since (UTC)", "Phones", "Session"))


@booths.command("unlock", epilog=EXIT_CODES)
def unlock_booths(
    context: typer.Context,
    booths: Annotated[list[str] | None, typer.Argument(metavar="BOOTH")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every booth.")] = False,
    deposit: Annotated[str | None, typer.Option(help="What the customer pays in beforehand, such as 5.00.")] = None,
    limit: Annotated[str | None, typer.Option(help="What the customer may owe, such as 5.00.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="How long all his calls together may talk.")] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Let the customers of these booths call: without end, or for a deposit, a limit or minutes."""
    given = {"deposit": deposit, "limit": limit, "minutes": minutes}
    terms = {term: value for term, value in given.items() if value is not None}
    if len(terms) > 1:
        raise typer.BadParameter("give --deposit, --limit or --minutes, not two of them")
    if key is not None and (every or len(booths or []) > 1):
        raise typer.BadParameter("--key names the command for one booth: name that one alone")
    command_booths(context, booths or [], every=every, as_json=as_json, command="unlock", body=terms, key=key)


@booths.command("lock", epilog=EXIT_CODES)
def lock_booths(
    context: typer.Context,
    booths: Annotated[list[str] | None, typer.Argument(metavar="BOOTH")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every booth.")] = False,
    cut: Annotated[bool, typer.Option("--cut", help="Hang up a running call too.")] = False,
    as_json: Json = False,
) -> None:
    """Refuse new calls from these booths; a running call goes on unless --cut."""
    command_booths(context, booths or [], every=every, as_json=as_json, command="lock", body={"cut": cut})


@booths.command("cut", epilog=EXIT_CODES)
def cut_booths(
    context: typer.Context,
    booths: Annotated[list[str] | None, typer.Argument(metavar="BOOTH")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every booth.")] = False,
    as_json: Json = False,
) -> None:
    """Hang up the calls of these booths, which stay as they are; an emergency call goes on."""
    command_booths(context, booths or [], every=every, as_json=as_json, command="cut", body={})


@sessions.command("move", epilog=EXIT_CODES)
def move_session(
    context: typer.Context,
    booth: str,
    to: Annotated[str, typer.Argument(help="The booth that the customer goes to, of the same shop.")],
    as_json: Json = False,
) -> None:
    """Let a booth's customer go on in another booth, his bill with him; refused while he is in a call."""
    answer = Server(context).post(f"/booths/{segment(booth)}/move", {"to": to})
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(state_of(answer))


@sessions.command("note", epilog=EXIT_CODES)
def note_session(
    context: typer.Context,
    booth: str,
    note: Annotated[str, typer.Argument(help="One line; an empty one takes a note away.")],
    as_json: Json = False,
) -> None:
    """Write something down about a booth's session, for whoever is at the desk."""
    answer = Server(context).post(f"/booths/{segment(booth)}/note", {"note": note})
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(state_of(answer))


@sessions.command("topup", epilog=EXIT_CODES)
def top_up_session(
    context: typer.Context,
    booth: str,
    amount: Annotated[str, typer.Argument(help="What the customer pays in, such as 5.00.")],
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Add to the deposit of a booth's session; a running call goes on for it."""
    answer = Server(context).post(f"/booths/{segment(booth)}/topup", {"amount": amount}, key=key)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(f"{state_of(answer)}, deposit {answer['deposit']} {answer['currency']}")


def command_booths(
    context: typer.Context,
    booths: Sequence[str],
    *,
    every: bool,
    as_json: bool,
    command: str,
    body: Mapping[str, object],
    key: str | None = None,
) -> None:
    """Send a command to each booth, and go on with the others where one is refused; then exit with REFUSED."""
    if bool(booths) == every:
        raise typer.BadParameter("name the booths, or give --all")
    server = Server(context)
    names = [booth["booth"] for booth in server.rows("/booths", "booths")] if every else booths
    done: list[object] = []
    refused = False
    for name in names:
        try:
            booth = server.ask("POST", f"/booths/{segment(name)}/{command}", body, key=key)
        except Refused as refusal:
            refused = True
            complain(f"booth {name}: {refusal}")
            continue
        done.append(booth)
        if not wants_json(context, as_json):
            then = "; its call goes on, --cut ends it" if command == "lock" and booth["state"] == "in call" else ""
            typer.echo(f"{state_of(booth)}{then}")
    if wants_json(context, as_json):
        print_json({"booths": done})
    if refused:
        raise typer.Exit(REFUSED)


def state_of(booth: Mapping[str, Any]) -> str:
    """A booth after a command, in a line."""
    parts = [f"{booth['booth']}: {booth['state']}"]
    if booth["session_id"] is not None:
        parts.append(f"session {booth['session_id']}")
    left = left_of(booth)
    if left is not None:
        parts.append(f"{left} left")
    if booth["suspended"]:
        parts.append("but suspended: `party list` shows with whom")
    return clean(", ".join(parts))


def left_of(booth: Mapping[str, Any]) -> str | None:
    """What a booth's session may still spend and talk; None without end.

    >>> left_of({"available": None, "currency": "EUR", "left_ms": 599_999})
    '9:59 min'
    """
    left = []
    if booth["available"] is not None:
        left.append(f"{booth['available']} {booth['currency']}")
    if booth["left_ms"] is not None:
        minutes, seconds = divmod(booth["left_ms"] // 1000, 60)
        left.append(f"{minutes}:{seconds:02d} min")
    return ", ".join(left) or None


def _phones(booth: Mapping[str, Any]) -> str:
    """How many phones a booth has, and how many of them answer where not all do."""
    registered, reachable = booth["registered"], booth["reachable"]
    return f"{registered}" if reachable == registered else f"{reachable} of {registered}"
