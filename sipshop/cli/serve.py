"""What starts a server, checks how one would run, and has one read its configuration again."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from sipshop import __version__
from sipshop.cli.ask import Server
from sipshop.cli.codes import DONE, USAGE, WRONG
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import clean, complain, print_json, progress

DEFAULT_WORLD: Final = Path("conf/demo.yaml")


def demo(
    *,
    world: Annotated[
        list[Path] | None,
        typer.Option(
            help="World to load if the database is empty; several times for several providers. "
            f"[default: {DEFAULT_WORLD}]"
        ),
    ] = None,
    data: Annotated[Path, typer.Option(help="Folder of the database and the token.")] = Path("data"),
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="SIP, UDP and TCP.")] = "127.0.0.1:5060",
    advertise: Annotated[
        str | None,
        typer.Option(metavar="HOST[:PORT]", help="The address that phones and carriers are told. [default: --listen]"),
    ] = None,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="HTTP API, health and metrics.")] = "127.0.0.1:8080",
    carrier: Annotated[bool, typer.Option(help="Run the demo carrier too.")] = True,
    carrier_listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="SIP of the demo carrier.")
    ] = "127.0.0.1:5070",
) -> None:
    """Run a switch with a demo world and a demo carrier; Ctrl-C stops it."""
    from sipshop import app as room  # noqa: PLC0415 - the whole house, which no other command needs

    options = room.DemoOptions(
        worlds=tuple(world or [DEFAULT_WORLD]),
        data=data,
        listen=parse_listen(listen, "--listen"),
        advertise=None if advertise is None else parse_address(advertise, "--advertise"),
        http=parse_listen(http, "--http"),
        carrier=carrier,
        carrier_listen=parse_listen(carrier_listen, "--carrier-listen"),
    )
    room.run_demo(options)


def serve(
    config: Annotated[Path, typer.Option(metavar="FILE", help="How it runs; conf/sipshop.yaml explains every key.")],
) -> None:
    """Run the switch by its configuration; SIGTERM stops it, SIGHUP has it read the file again."""
    from sipshop import app as room  # noqa: PLC0415 - the whole house, which no other command needs

    room.run_server(config)


def check_config(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Configurations, or worlds.")],
    as_json: Json = False,
) -> None:
    """Say everything that is wrong with configurations and worlds; start nothing, change nothing."""
    from sipshop.load import check_file  # noqa: PLC0415 - the rooms that read files, which no other command needs

    found = {str(file): check_file(file) for file in files}
    if wants_json(context, as_json):
        print_json(
            {
                "files": [
                    {"file": file, "kind": kind, "problems": [str(each) for each in problems]}
                    for file, (kind, problems) in found.items()
                ]
            }
        )
    else:
        for file, (kind, problems) in found.items():
            if not problems:
                typer.echo(f"{clean(file)}: a {kind} without a mistake")
            for problem in problems:
                complain(str(problem))
    if any(problems for _, problems in found.values()):
        raise typer.Exit(USAGE)


def reload_configuration(context: typer.Context, as_json: Json = False) -> None:
    """Have the server read its configuration again, and say what changed and what waits for a restart."""
    answer = Server(context).post("/reload", {})
    if wants_json(context, as_json):
        print_json(answer)
        return
    for change in answer["changed"]:
        typer.echo(clean(f"changed: {change['key']}: {change['old']} -> {change['new']}"))
    for change in answer["restart"]:
        typer.echo(clean(f"waits for a restart: {change['key']}: {change['old']} -> {change['new']}"))
    if not answer["changed"] and not answer["restart"]:
        typer.echo("Nothing has changed; certificates and the log's file were opened again.")


def examine(
    context: typer.Context,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="How the server runs. [default: as the demo does]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Look at the machine and at the carriers: what is wrong, and what to do about it. Changes nothing."""
    from sipshop.doctor import Verdict, examine_all  # noqa: PLC0415 - sockets and a database, which no other needs
    from sipshop.load import load_settings  # noqa: PLC0415 - likewise
    from sipshop.settings import Settings as ServerSettings  # noqa: PLC0415 - likewise
    from sipshop.settings import SettingsErrors  # noqa: PLC0415 - likewise

    try:
        wanted = ServerSettings() if config is None else load_settings(config)
    except SettingsErrors as errors:
        for problem in errors.errors:
            complain(str(problem))
        raise typer.Exit(USAGE) from None
    with progress("Asks name servers and carriers"):
        findings = examine_all(wanted)
    if wants_json(context, as_json):
        print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        width = max(len(finding.verdict) for finding in findings)
        for finding in findings:
            typer.echo(clean(f"{finding.verdict:{width}}  {finding.what}: {finding.found}"))
            if finding.remedy:
                typer.echo(clean(f"{'':{width}}    -> {finding.remedy}"))
    if any(finding.verdict is Verdict.WRONG for finding in findings):
        raise typer.Exit(WRONG)


def run_carrier(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="SIP, UDP and TCP.")] = "127.0.0.1:5070",
) -> None:
    """Run the demo carrier alone; Ctrl-C stops it."""
    from sipshop.demo import carrier  # noqa: PLC0415 - the SIP engine, which no other command needs

    if carrier.main(parse_listen(listen, "--listen")) != DONE:
        raise typer.Exit(USAGE)


def show_version(context: typer.Context, as_json: Json = False) -> None:
    """Print the version of this program."""
    python = "{}.{}.{}".format(*sys.version_info[:3])
    if wants_json(context, as_json):
        print_json({"version": __version__, "python": python})
    else:
        typer.echo(f"sipshop {__version__} (Python {python})")


def parse_address(text: str, option: str) -> tuple[str, int | None]:
    """Read HOST[:PORT], HOST an IP address and in brackets if it is of version 6. Raises typer.BadParameter.

    >>> parse_address("[::1]:5060", "--listen")
    ('::1', 5060)
    """
    from sipshop import settings as room  # noqa: PLC0415 - only who starts a server pays for its settings

    try:
        return room.parse_address(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def parse_listen(text: str, option: str) -> tuple[str, int]:
    """Read HOST:PORT as `parse_address` does; raises typer.BadParameter without a port."""
    host, port = parse_address(text, option)
    if port is None:
        raise typer.BadParameter(f"{text!r} names no port: HOST:PORT", param_hint=option)
    return host, port
