"""Parties and their accounts, and the people of the parties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import AMOUNTS_BELOW_ZERO, Json, Key, Reason, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, print_facts, print_json, print_table

parties = group("party", "Parties: provider, resellers, owners; their accounts.")


@parties.command("list", epilog=EXIT_CODES)
def list_parties(context: typer.Context, as_json: Json = False) -> None:
    """Show every party with its account."""
    answer = {"parties": list(Server(context).rows("/parties", "parties"))}
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table(
        "Party",
        "Kind",
        "Bought from",
        "State",
        "Currency",
        right=("Balance", "Credit limit", "Held", "Available", "Calls"),
    )
    for party in answer["parties"]:
        add_row(
            table,
            party["party"],
            party["kind"],
            party["parent"],
            standing_of(party),
            party["currency"],
            party["balance"],
            "unlimited" if party["unlimited"] else party["credit_limit"],
            party["held"],
            party["available"],
            party["live_calls"],
        )
    print_table(table, spare=("Bought from", "Held", "Kind", "Credit limit"))


@parties.command("show", epilog=EXIT_CODES)
def show_party(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Show a party's state and account."""
    print_party(context, Server(context).get(f"/parties/{segment(name)}"), as_json=as_json)


@parties.command("pay", epilog=EXIT_CODES, context_settings=AMOUNTS_BELOW_ZERO)
def book_payment(
    context: typer.Context,
    name: str,
    amount: Annotated[str, typer.Argument(help="What it paid, such as 50.00; -50.00 is paid back.")],
    *,
    reason: Reason,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Book a payment of a party to the one above it; what is paid back has to be available."""
    move_money(context, name, "payments", amount, reason, key=key, as_json=as_json)


@parties.command("adjust", epilog=EXIT_CODES, context_settings=AMOUNTS_BELOW_ZERO)
def book_adjustment(
    context: typer.Context,
    name: str,
    amount: Annotated[str, typer.Argument(help="What is added to its balance, such as 5.00; -5.00 is taken off.")],
    *,
    reason: Reason,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Correct a party's balance; an account that this overdraws starts no calls."""
    move_money(context, name, "adjustments", amount, reason, key=key, as_json=as_json)


@parties.command("limit", epilog=EXIT_CODES, context_settings=AMOUNTS_BELOW_ZERO)
def set_limit(
    context: typer.Context,
    name: str,
    amount: Annotated[str | None, typer.Argument(help="What it may owe, such as 10.00.")] = None,
    *,
    reason: Reason,
    unlimited: Annotated[bool, typer.Option("--unlimited", help="It may owe without end.")] = False,
    as_json: Json = False,
) -> None:
    """Set what a party may owe the one above it."""
    if (amount is not None) == unlimited:
        raise typer.BadParameter("give an amount or --unlimited")
    limit: dict[str, object] = {"unlimited": True} if amount is None else {"credit_limit": amount}
    answer = Server(context).post(f"/parties/{segment(name)}/limit", limit | {"reason": reason})
    print_party(context, answer, as_json=as_json)


@parties.command("transfers", epilog=EXIT_CODES)
def list_transfers(
    context: typer.Context,
    name: str,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what moved on a party's account, the newest first."""
    answer = Server(context).get(f"/parties/{segment(name)}/transfers?limit={limit}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("At (UTC)", "Kind", "Other account", "Author", "Reason", "Key", right=("Amount",))
    for transfer in answer["transfers"]:
        add_row(
            table,
            clock(transfer["at"]),
            transfer["kind"],
            transfer["other"],
            transfer["author"],
            transfer["reason"],
            transfer["key"],
            f"{transfer['amount']} {transfer['currency']}",
        )
    print_table(table, spare=("Key", "Author"))


@parties.command("suspend", epilog=EXIT_CODES)
def suspend_party(
    context: typer.Context,
    name: str,
    cut: Annotated[bool, typer.Option("--cut", help="Hang up the running calls too.")] = False,
    as_json: Json = False,
) -> None:
    """Stop the calls of a party and of all below it; running calls go on unless --cut, emergency calls always."""
    command_party(context, name, "suspend", {"cut": cut}, as_json=as_json)


@parties.command("resume", epilog=EXIT_CODES)
def resume_party(context: typer.Context, name: str, as_json: Json = False) -> None:
    """End a party's suspension."""
    command_party(context, name, "resume", {}, as_json=as_json)


def command_party(
    context: typer.Context, name: str, command: str, body: Mapping[str, object], *, as_json: bool
) -> None:
    """Send a command to a party, and say how it stands."""
    answer = Server(context).post(f"/parties/{segment(name)}/{command}", body)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(f"{clean(answer['party'])} is {clean(standing_of(answer))}")


def move_money(
    context: typer.Context, name: str, kind: str, amount: str, reason: str, *, key: str | None, as_json: bool
) -> None:
    """Book a payment or an adjustment of a party."""
    answer = Server(context).post(f"/parties/{segment(name)}/{kind}", {"amount": amount, "reason": reason}, key=key)
    print_party(context, answer, as_json=as_json)


def print_party(context: typer.Context, party: Mapping[str, Any], *, as_json: bool) -> None:
    """How a party stands, and its account."""
    if wants_json(context, as_json):
        print_json(party)
        return
    facts = {"Party": f"{party['party']}, {party['kind']}", "State": standing_of(party)}
    if party["currency"] is not None:
        currency = party["currency"]
        facts |= {
            "Bought from": party["parent"],
            "Balance": f"{party['balance']} {currency}",
            "Credit limit": "unlimited" if party["unlimited"] else f"{party['credit_limit']} {currency}",
            "Held": f"{party['held']} {currency}",
            "Available": "without end" if party["unlimited"] else f"{party['available']} {currency}",
        }
        if party["grants_without_end"] or (party["granted"] or "0").strip("0."):
            granted = "credit without end" if party["grants_without_end"] else f"{party['granted']} {currency}"
            facts["Grants"] = f"{granted} to those below it"
    print_facts(facts | {"Live calls": str(party["live_calls"])})


def standing_of(party: Mapping[str, Any]) -> str:
    """Whether a party may call.

    >>> standing_of({"party": "olga", "suspended_by": "rhea", "overdrawn": True})
    'suspended with rhea, overdrawn'
    """
    states = []
    if party["suspended_by"] is not None:
        states.append(
            "suspended" if party["suspended_by"] == party["party"] else f"suspended with {party['suspended_by']}"
        )
    if party["overdrawn"]:
        states.append("overdrawn")
    return ", ".join(states) or "active"
