"""Limits against fraud, and alerts: what stands how, letting calls pass again, taking note."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, Reason, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, print_json, print_table

limits = group("limit", "Limits against fraud: their rules, and what they keep from being called.")
alerts = group("alert", "Alerts: what people are told of.")


class Place(StrEnum):
    """Whom a limit is set for."""

    PARTY = "party"
    SHOP = "shop"
    BOOTH = "booth"


@limits.command("list", epilog=EXIT_CODES)
def list_limits(context: typer.Context, as_json: Json = False) -> None:
    """Show every rule, with what counts now and what is held, blocked or released."""
    answer = {"limits": list(Server(context).rows("/limits", "limits"))}
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Of", "Rule", "Measure", "Action", "Set by", "Stands", right=("Most", "Used"))
    for limit in answer["limits"]:
        add_row(
            table,
            f"{limit['place']} {limit['name']}",
            limit["rule"],
            limit["measure"],
            limit["action"],
            limit["set_by"],
            stands_of(limit),
            limit["most"],
            limit["used"],
        )
    print_table(table, spare=("Set by", "Used"))


@limits.command("release", epilog=EXIT_CODES)
def release_limit(
    context: typer.Context,
    place: Annotated[Place, typer.Argument(help="Whom the rule is for.")],
    name: str,
    rule: str,
    *,
    reason: Reason,
    destination: Annotated[
        str | None, typer.Option(help="Only calls to numbers that begin so, such as 53; without end if no --until.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Until then (ISO 8601), such as 2026-12-25T08:00:00Z.")] = None,
    as_json: Json = False,
) -> None:
    """Let calls pass a rule again; with neither option what it counts begins anew."""
    body = {"reason": reason, "destination": destination, "until": until}
    answer = Server(context).post(f"/limits/{place.value}/{segment(name)}/{segment(rule)}/release", body)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(clean(f"{rule} of {place.value} {name}: {stands_of(answer) or 'asked anew'}"))


@alerts.command("list", epilog=EXIT_CODES)
def list_alerts(
    context: typer.Context,
    *,
    every: Annotated[bool, typer.Option("--all", help="Those too that healed or that somebody took note of.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show what people were told of, the newest first."""
    answer = Server(context).get(f"/alerts?limit={limit}&open={'false' if every else 'true'}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Id", "At (UTC)", "About", "Kind", "Action", "State", "Detail")
    for alert in answer["alerts"]:
        about = f"{alert['place']} {alert['name']}"
        state = state_of(alert)
        add_row(
            table,
            str(alert["id"]),
            clock(alert["raised_at"]),
            about,
            alert["kind"],
            alert["action"],
            state,
            alert["detail"],
        )
    print_table(table, spare=("Kind", "State"))


@alerts.command("ack", epilog=EXIT_CODES)
def acknowledge_alert(
    context: typer.Context,
    number: Annotated[int, typer.Argument(min=1, help="As the list has it.")],
    as_json: Json = False,
) -> None:
    """Take note of an alert."""
    answer = Server(context).post(f"/alerts/{number}/ack", {})
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(clean(f"alert {number}: {state_of(answer)}"))


def stands_of(limit: Mapping[str, Any]) -> str:
    """How a rule stands, in a line.

    >>> stands_of({"stands": [{"destination": "53", "standing": "held", "until": None}]})
    '53 held'
    """
    told = []
    for stand in limit["stands"]:
        until = f" until {clock(stand['until'])}" if stand["until"] is not None else ""
        told.append(f"{stand['destination'] or 'all'} {stand['standing']}{until}")
    return ", ".join(told)


def state_of(alert: Mapping[str, Any]) -> str:
    """Whether anybody has to look at an alert.

    >>> state_of({"acknowledged_by": "ana", "healed_at": None})
    'noted by ana'
    """
    if alert["acknowledged_by"] is not None:
        return f"noted by {alert['acknowledged_by']}"
    return "healed" if alert["healed_at"] is not None else "open"
