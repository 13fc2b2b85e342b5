"""Trunks: the ways to carriers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, clean, make_table, print_json, print_table

trunks = group("trunk", "Trunks: the ways to carriers.")


@trunks.command("list", epilog=EXIT_CODES)
def list_trunks(context: typer.Context, as_json: Json = False) -> None:
    """Show every trunk."""
    answer = Server(context).get("/trunks")
    if wants_json(context, as_json):
        print_json(answer)
        return
    columns = ("Trunk", "Carrier", "Address", "State", "Since (UTC)", "Registered", "Emergency")
    table = make_table(*columns, right=("Status", "RTT ms", "Most calls", "Calls/s", "Calls"))
    for trunk in answer["trunks"]:
        add_row(
            table,
            trunk["trunk"],
            trunk["carrier"],
            _place(trunk),
            trunk["state"].replace("_", "-"),
            trunk["since"],
            _registration(trunk),
            "yes" if trunk["emergency"] else "",
            trunk["last_status"],
            trunk["rtt_ms"],
            trunk["max_calls"],
            trunk["cps"],
            trunk["live_calls"],
        )
    print_table(table, spare=("Calls/s", "Most calls", "RTT ms", "Since (UTC)"))


@trunks.command("probe", epilog=EXIT_CODES)
def probe_trunk(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The trunk's name.", metavar="TRUNK")],
    as_json: Json = False,
) -> None:
    """Ask a carrier by OPTIONS whether he is there; register with him where we are not."""
    trunk = Server(context).post(f"/trunks/{segment(name)}/probe", {})
    if wants_json(context, as_json):
        print_json(trunk)
        return
    status, rtt_ms = trunk["last_status"], trunk["rtt_ms"]
    said = "said nothing" if status == 408 else f"answered {status} after {rtt_ms} ms"
    typer.echo(clean(f"{trunk['trunk']} {said}: {trunk['state'].replace('_', '-')} {_registration(trunk)}".rstrip()))


def _place(trunk: dict[str, Any]) -> str:
    """Transport, host and port, as far as they are said: the rest is for DNS to say."""
    host = f"[{trunk['host']}]" if ":" in trunk["host"] else trunk["host"]
    where = host if trunk["port"] is None else f"{host}:{trunk['port']}"
    return " ".join(filter(None, (trunk["transport"], where)))


def _registration(trunk: dict[str, Any]) -> str:
    """What a carrier's registrar made of us; nothing where we do not register."""
    if trunk["registration"] != "failed":
        return trunk["registration"] or ""
    return f"failed: {trunk['registration_status']}"
