"""The people of the parties, and how they come in by the pages."""

from __future__ import annotations

import sys

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, make_table, print_json, print_table

operators = group("operator", "Operators: the people of the parties, and their passwords for the pages.")


@operators.command("list", epilog=EXIT_CODES)
def list_operators(context: typer.Context, as_json: Json = False) -> None:
    """Show the people of the parties."""
    answer = Server(context).get("/operators")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Name", "Role", "Party", "Shop")
    for person in answer["operators"]:
        add_row(table, person["name"], person["role"], person["party"], person["shop"])
    print_table(table)


@operators.command("password", epilog=EXIT_CODES)
def set_password(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Give a person a password for the pages: it is asked for twice, or read from stdin, which is no terminal then."""
    if sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        password = sys.stdin.readline().rstrip("\n")
    _command(context, name, "password", {"password": password}, "has a new password", as_json=as_json)


@operators.command("forget-factor", epilog=EXIT_CODES)
def forget_factor(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Switch off the second factor of a person who has lost it."""
    _command(context, name, "forget-factor", {}, "needs no second factor", as_json=as_json)


@operators.command("sign-out", epilog=EXIT_CODES)
def sign_out(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Sign a person out of every browser."""
    _command(context, name, "sign-out", {}, "is signed out everywhere", as_json=as_json)


def _command(
    context: typer.Context, name: str, command: str, body: dict[str, str], done: str, *, as_json: bool
) -> None:
    answer = Server(context).post(f"/operators/{segment(name)}/{command}", body)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(clean(f"{answer['operator']} {done}"))
