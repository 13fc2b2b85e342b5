"""The command line: `serve` and `demo` start a switch, most of the rest are commands to the one that runs.

The commands talk HTTP to the running server (`sipshop.console.api`) and know nothing of its rooms; only `audit`,
`backup` and `restore` can work on a database by themselves, and `check-config` and `doctor` need no server. What is
heavy is imported where it is needed, so that `sipshop booth list` answers at once.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn
from urllib.parse import quote, urlencode, urlsplit

import typer

from sipshop import __version__

if TYPE_CHECKING:
    from rich.table import Table

DONE: Final = 0
REFUSED: Final = 1  # by the server
USAGE: Final = 2  # or a bad configuration or world
UNPRICED: Final = 3  # what `quote` was asked about
UNREACHABLE: Final = 4  # no server, or it does not let us in
PAGE_ROWS: Final = 500
FOLLOW_EVERY_S: Final = 1.0
TRACE_EVERY_S: Final = 0.5
PEER_WIDTH: Final = 21  # 255.255.255.255:65535
ARROW_WIDTH: Final = 36
VIOLATED: Final = 1  # by the books, which `audit` has read
ILL: Final = 1  # is something that `doctor` has looked at

OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 13)

DEFAULT_WORLD: Final = Path("conf/demo.yaml")
DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TOKEN_FILE: Final = Path("data/token")
DEFAULT_DATABASE: Final = Path("data/sipshop.db")
TIMEOUT_S: Final = 30.0  # a commit on a slow disk takes seconds, and a command must not be given up while it is made
AUDIT_TIMEOUT_S: Final = 3600.0  # it reads the whole database
MAX_WORLD_BYTES: Final = 10_000_000  # the server reads no more
APPLY_TIMEOUT_S: Final = 300.0  # a large world takes a while to read

#: The columns of an exported record.
EXPORTED: Final = (
    *("call_id", "revision", "kind", "shop", "booth", "session_id", "dialled", "e164", "destination"),
    *("setup_at", "answered_at", "ended_at", "pdd_ms", "talk_ms", "result", "sip_status", "q850", "hung_up_by"),
    *("trunk", "recovered", "billed_s", "amount", "currency", "cost"),
)
_AMOUNTS_BELOW_ZERO: Final = {"ignore_unknown_options": True}  # -5.00 is no option
_PIPE_WIDTH: Final = 240  # a file or a pipe has no edge at which a table has to be folded
_EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused by the server; 2 wrong usage, configuration or world; 3 no price (quote); "
    "4 no server there, or not authorised."
)
_AUDIT_EXIT_CODES: Final = (
    "Exit codes: 0 every law holds; 1 one does not, or refused by the server; 2 wrong usage, or a file that cannot be "
    "read; 4 no server there, or not authorised."
)
_DOCTOR_EXIT_CODES: Final = (
    "Exit codes: 0 nothing is wrong, though something may be doubtful; 1 something is; 2 wrong usage or configuration."
)

app = typer.Typer(
    name="sipshop",
    help="The CallShop switch: start it, and work the desk of the one that runs.",
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is a line, not a box
    context_settings={"help_option_names": ["-h", "--help"]},
)
booth_app = typer.Typer(help="Booths: who may call.", no_args_is_help=True, epilog=_EXIT_CODES)
session_app = typer.Typer(
    help="Booth sessions: what a customer owes, and paying it.", no_args_is_help=True, epilog=_EXIT_CODES
)
party_app = typer.Typer(
    help="Parties: provider, resellers, owners; their accounts.", no_args_is_help=True, epilog=_EXIT_CODES
)
deck_app = typer.Typer(help="Decks: what everybody sells by.", no_args_is_help=True, epilog=_EXIT_CODES)
trunk_app = typer.Typer(help="Trunks: the ways to carriers.", no_args_is_help=True, epilog=_EXIT_CODES)
operator_app = typer.Typer(help="Operators: the people of the parties.", no_args_is_help=True, epilog=_EXIT_CODES)
cdr_app = typer.Typer(help="Call detail records.", no_args_is_help=True, epilog=_EXIT_CODES)
app.add_typer(booth_app, name="booth")
app.add_typer(session_app, name="session")
app.add_typer(party_app, name="party")
token_app = typer.Typer(help="Tokens of the API: who may do what.", no_args_is_help=True, epilog=_EXIT_CODES)
app.add_typer(cdr_app, name="cdr")
app.add_typer(deck_app, name="deck")
app.add_typer(trunk_app, name="trunk")
app.add_typer(operator_app, name="operator")
app.add_typer(token_app, name="token")


class ExportForm(StrEnum):
    """How records are written."""

    CSV = "csv"
    JSONL = "jsonl"


Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Reason = Annotated[str, typer.Option(help="Why, for whoever reads the books.")]
Key = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Names this command: repeated with the same name, it is done once. [default: a new one each time]",
    ),
]


@dataclass(frozen=True)
class Settings:
    """The options that stand before the command."""

    url: str = DEFAULT_URL
    token: str | None = None
    token_file: Path | None = None
    as_json: bool = False


def main() -> None:
    """Run the command line; the entry point of the `sipshop` program."""
    wrong = wrong_python(sys.version_info[:2])
    if wrong is not None:
        sys.exit(wrong)
    app()


def wrong_python(version: tuple[int, int]) -> str | None:
    """Say in one line why this version of Python will not do; None if it does.

    >>> wrong_python((3, 12)) is None
    True
    """
    if OLDEST_PYTHON <= version <= NEWEST_PYTHON:
        return None
    oldest, newest, found = (".".join(map(str, pair)) for pair in (OLDEST_PYTHON, NEWEST_PYTHON, version))
    return f"sipshop: needs Python {oldest} to {newest}, this is {found}: run `make setup` with one of those"


def exit_with_version(asked: bool) -> None:
    """Print the version and end, if that is asked; no command has to follow."""
    if asked:
        typer.echo(f"sipshop {__version__}")
        raise typer.Exit


# The commands.


@app.callback()
def settings(
    context: typer.Context,
    *,
    url: Annotated[str, typer.Option(envvar="SIPSHOP_URL", help="The running server.")] = DEFAULT_URL,
    token: Annotated[
        str | None,
        typer.Option(envvar="SIPSHOP_TOKEN", help="API token; better in the environment, where `ps` does not show it."),
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(envvar="SIPSHOP_TOKEN_FILE", help=f"File with the token. [default: {DEFAULT_TOKEN_FILE}]"),
    ] = None,
    as_json: Json = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=exit_with_version)
    ] = False,
) -> None:
    """Take the options that stand before the command."""
    del version  # its callback has ended the program
    context.obj = Settings(url, token, token_file, as_json)


@app.command(epilog=_EXIT_CODES)
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


# The server: what is started and checked by its configuration.


@app.command(epilog=_EXIT_CODES)
def serve(
    config: Annotated[Path, typer.Option(metavar="FILE", help="How it runs; conf/sipshop.yaml explains every key.")],
) -> None:
    """Run the switch by its configuration; SIGTERM stops it, SIGHUP has it read the file again."""
    from sipshop import app as room  # noqa: PLC0415 - the whole house, which no other command needs

    room.run_server(config)


@app.command("check-config", epilog=_EXIT_CODES)
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


@app.command("reload", epilog=_EXIT_CODES)
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


@app.command("doctor", epilog=_DOCTOR_EXIT_CODES)
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
        raise typer.Exit(ILL)


@app.command("carrier", epilog=_EXIT_CODES)
def run_carrier(
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="SIP, UDP and TCP.")] = "127.0.0.1:5070",
) -> None:
    """Run the demo carrier alone; Ctrl-C stops it."""
    from sipshop.demo import carrier  # noqa: PLC0415 - the SIP engine, which no other command needs

    if carrier.main(parse_listen(listen, "--listen")) != DONE:
        raise typer.Exit(USAGE)


@app.command("version", epilog=_EXIT_CODES)
def show_version(context: typer.Context, as_json: Json = False) -> None:
    """Print the version of this program."""
    python = "{}.{}.{}".format(*sys.version_info[:3])
    if wants_json(context, as_json):
        print_json({"version": __version__, "python": python})
    else:
        typer.echo(f"sipshop {__version__} (Python {python})")


@booth_app.command("list", epilog=_EXIT_CODES)
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
            booth["registered"],
            booth["session_id"],
            clock(booth["opened_at"]),
            booth["opened_by"],
            left_of(booth),
            booth["dialled"],
            booth["seconds"],
        )
    print_table(table)


@booth_app.command("unlock", epilog=_EXIT_CODES)
def unlock_booths(
    context: typer.Context,
    booths: Annotated[list[str] | None, typer.Argument(metavar="BOOTH")] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every booth.")] = False,
    deposit: Annotated[str | None, typer.Option(help="What the customer pays in beforehand, such as 5.00.")] = None,
    limit: Annotated[str | None, typer.Option(help="What the customer may owe, such as 5.00.")] = None,
    minutes: Annotated[int | None, typer.Option(min=1, help="How long all his calls together may talk.")] = None,
    as_json: Json = False,
) -> None:
    """Let the customers of these booths call: without end, or for a deposit, a limit or minutes."""
    given = {"deposit": deposit, "limit": limit, "minutes": minutes}
    terms = {term: value for term, value in given.items() if value is not None}
    if len(terms) > 1:
        raise typer.BadParameter("give --deposit, --limit or --minutes, not two of them")
    command_booths(context, booths or [], every=every, as_json=as_json, command="unlock", body=terms)


@booth_app.command("lock", epilog=_EXIT_CODES)
def lock_booths(
    context: typer.Context,
    booths: Annotated[list[str] | None, typer.Argument(metavar="BOOTH")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every booth.")] = False,
    cut: Annotated[bool, typer.Option("--cut", help="Hang up a running call too.")] = False,
    as_json: Json = False,
) -> None:
    """Refuse new calls from these booths; a running call goes on unless --cut."""
    command_booths(context, booths or [], every=every, as_json=as_json, command="lock", body={"cut": cut})


@session_app.command("bill", epilog=_EXIT_CODES)
def show_bill(context: typer.Context, booth: str, as_json: Json = False) -> None:
    """Show what a booth's session owes, each call with its arithmetic."""
    answer = Server(context).get(f"/booths/{segment(booth)}/bill")
    if wants_json(context, as_json):
        print_json(answer)
        return
    currency = answer["currency"]
    table = make_table("Answered (UTC)", "Dialled", "Destination", "Talked", "Price", right=(currency,), footer=True)
    for line in answer["lines"]:
        talked = f"{line['talk_ms'] / 1000:.3f} s"
        add_row(
            table,
            clock(line["answered_at"]),
            line["dialled"],
            line["destination"],
            talked,
            line["explanation"],
            line["amount"],
        )
    table.columns[0].footer = f"Total, version {answer['version']}"
    table.columns[-1].footer = answer["total"]
    table.title = f"Booth {clean(answer['booth'])}, session {answer['session_id']}"
    print_table(table)
    deposit = f", deposit {answer['deposit']}, due {answer['due']}" if Decimal(answer["deposit"]) else ""
    typer.echo(f"Total {answer['total']} {currency}{deposit}, version {answer['version']}. When the customer pays it:")
    pay = (program(), "session", "pay", answer["booth"], "--version", str(answer["version"]))
    typer.echo(f"  {clean(shlex.join((*pay, '--tendered', answer['due'])))}")


def program() -> str:
    """How we were called, so that a command that we suggest can be pasted."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "sipshop" and not called.is_absolute() else "sipshop"


@session_app.command("topup", epilog=_EXIT_CODES)
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


@session_app.command("pay", epilog=_EXIT_CODES)
def pay_bill(
    context: typer.Context,
    booth: str,
    version: Annotated[int, typer.Option(min=0, help="The version of the bill that the customer was shown.")],
    tendered: Annotated[str, typer.Option(help="The amount that was handed over, such as 5.00.")],
    as_json: Json = False,
) -> None:
    """Take the customer's money for a bill as it was shown, and lock the booth."""
    answer = Server(context).post(f"/booths/{segment(booth)}/pay", {"version": version, "tendered": tendered})
    if wants_json(context, as_json):
        print_json(answer)
        return
    currency = answer["currency"]
    deposit = f"deposit {answer['deposit']}, " if Decimal(answer["deposit"]) else ""
    typer.echo(
        f"Booth {clean(answer['booth'])}, session {answer['session_id']}: paid {answer['total']} {currency}, {deposit}"
        f"tendered {answer['tendered']}, change {answer['change']} {currency}. The booth is locked."
    )


@party_app.command("list", epilog=_EXIT_CODES)
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
    print_table(table)


@party_app.command("show", epilog=_EXIT_CODES)
def show_party(context: typer.Context, name: str, as_json: Json = False) -> None:
    """Show a party's state and account."""
    print_party(context, Server(context).get(f"/parties/{segment(name)}"), as_json=as_json)


@party_app.command("pay", epilog=_EXIT_CODES, context_settings=_AMOUNTS_BELOW_ZERO)
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


@party_app.command("adjust", epilog=_EXIT_CODES, context_settings=_AMOUNTS_BELOW_ZERO)
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


@party_app.command("limit", epilog=_EXIT_CODES, context_settings=_AMOUNTS_BELOW_ZERO)
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


@party_app.command("transfers", epilog=_EXIT_CODES)
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
    print_table(table)


@party_app.command("suspend", epilog=_EXIT_CODES)
def suspend_party(
    context: typer.Context,
    name: str,
    cut: Annotated[bool, typer.Option("--cut", help="Hang up the running calls too.")] = False,
    as_json: Json = False,
) -> None:
    """Stop the calls of a party and of all below it; running calls go on unless --cut, emergency calls always."""
    command_party(context, name, "suspend", {"cut": cut}, as_json=as_json)


@party_app.command("resume", epilog=_EXIT_CODES)
def resume_party(context: typer.Context, name: str, as_json: Json = False) -> None:
    """End a party's suspension."""
    command_party(context, name, "resume", {}, as_json=as_json)


@cdr_app.command("list", epilog=_EXIT_CODES)
def list_cdrs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    booth: Annotated[str | None, typer.Option(help="Only this booth's.")] = None,
    as_json: Json = False,
) -> None:
    """Show call detail records, the newest first."""
    query = {"limit": str(limit)} | ({} if booth is None else {"booth": booth})
    answer = Server(context).get(f"/cdrs?{urlencode(query)}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table(
        "Set up (UTC)",
        "Booth",
        "Dialled",
        "Destination",
        "Result",
        "SIP",
        "Trunk",
        right=("Talk s", "Billed s", "Amount"),
    )
    for cdr in answer["cdrs"]:
        charge: Mapping[str, Any] = cdr["charges"][0] if cdr["charges"] else {}
        amount = f"{charge['amount']} {charge['currency']}" if charge else None
        add_row(
            table,
            clock(cdr["setup_at"]),
            cdr["booth"],
            cdr["dialled"],
            cdr["destination"],
            cdr["result"],
            cdr["sip_status"],
            cdr["trunk"],
            f"{cdr['talk_ms'] / 1000:.3f}",
            charge.get("billed_s"),
            amount,
        )
    print_table(table)


@cdr_app.command("show", epilog=_EXIT_CODES)
def show_cdr(context: typer.Context, call_id: str, as_json: Json = False) -> None:
    """Show a call: every trunk that was tried, and what every level of the chain paid and kept."""
    cdr = Server(context).get(f"/cdrs/{segment(call_id)}")
    if wants_json(context, as_json):
        print_json(cdr)
        return
    print_facts(
        {
            "Call": f"{cdr['call_id']}, revision {cdr['revision']}, {cdr['kind']}",
            "Booth": f"{cdr['booth']} of {cdr['shop']}, session {cdr['session_id'] or 'none'}",
            "Dialled": f"{cdr['dialled']}, {cdr['e164'] or 'not understood'}, {cdr['destination'] or 'no destination'}",
            "Set up": clock(cdr["setup_at"]),
            "Answered": clock(cdr["answered_at"]) or "never",
            "Ended": clock(cdr["ended_at"]) + (f", by the {cdr['hung_up_by']}" if cdr["hung_up_by"] else ""),
            "Talked": f"{cdr['talk_ms'] / 1000:.3f} s" + (", ended by a restart" if cdr["recovered"] else ""),
            "Result": f"{cdr['result']}, SIP {cdr['sip_status'] or 'none'}, Q.850 {cdr['q850'] or 'none'}",
            "Trunk": cdr["trunk"] or "none",
        }
    )
    if cdr["attempts"]:
        print_attempts(cdr["attempts"])
    if cdr["charges"]:
        print_chain(cdr["charges"])


def print_attempts(attempts: Sequence[Mapping[str, Any]]) -> None:
    """The trunks that a call tried, in order."""
    table = make_table("Tried", right=("SIP", "Q.850", "Rang after ms"))
    for attempt in attempts:
        add_row(table, attempt["trunk"], attempt["status"], attempt["q850"], attempt["pdd_ms"])
    print_table(table)


def print_chain(charges: Sequence[Mapping[str, Any]]) -> None:
    """What each buyer of a call's chain paid, and what he kept of what he was paid himself."""
    currency = charges[0]["currency"]
    table = make_table(
        "Buyer", "Seller", "Deck", "Version", "Prefix", right=("Billed s", f"Paid {currency}", "Kept"), footer=True
    )
    for charge in charges:
        add_row(
            table,
            charge["buyer"],
            charge["seller"],
            charge["deck"],
            charge["version"],
            charge["prefix"] or "any",
            charge["billed_s"],
            charge["amount"],
            charge["margin"],
        )
    kept = sum((Decimal(charge["margin"]) for charge in charges if charge["margin"] is not None), Decimal())
    table.columns[0].footer = "All margins"
    table.columns[-1].footer = str(kept)
    print_table(table)


# Worlds.

_SIGNS: Final = {"add": "+", "remove": "-"}


@app.command("apply", epilog=_EXIT_CODES)
def apply_world(
    context: typer.Context,
    world: Annotated[Path, typer.Argument(metavar="WORLD.yaml", help="What the world is to be.")],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    prune: Annotated[
        bool,
        typer.Option("--prune", help="Take out what is not in the file: suspend or disable what has history."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make the running world what a file says: all of it, or nothing if anything in it is wrong."""
    flags = {"dry_run": dry_run, "prune": prune}
    query = {"file": str(world)[-200:]} | {name: "true" for name, is_given in flags.items() if is_given}
    text = read_world(world)
    try:
        answer = Server(context).ask("POST", f"/world?{urlencode(query)}", text, timeout_s=APPLY_TIMEOUT_S)
    except Refused as refusal:
        if refusal.problem["code"] != "bad_world":
            fail(REFUSED, str(refusal))
        for error in refusal.problem["errors"]:
            field = f"{error['field']}: " if error["field"] else ""
            complain(f"{error['file']}:{error['line']}: {field}{error['message']}")
        raise typer.Exit(USAGE) from None
    if wants_json(context, as_json):
        print_json(answer)
        return
    for change in answer["changes"]:
        print_change(change)
    typer.echo(summary_of(answer))


def read_world(path: Path) -> str:
    """The text of a world's file; what is none ends the program with USAGE."""
    try:
        size = path.stat().st_size
        if size > MAX_WORLD_BYTES:
            fail(USAGE, f"{path}:1: has {size} bytes; {MAX_WORLD_BYTES} is the limit")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fail(USAGE, f"the world {path} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(USAGE, f"the world {path} cannot be read: it is no UTF-8 text")


def print_change(change: Mapping[str, Any]) -> None:
    """A thing that becomes another, and what of it, a line each."""
    word = "" if change["action"] in {"add", "change", "remove"} else f": {change['action']}"
    typer.echo(clean(f"{_SIGNS.get(change['action'], '~')} {change['kind']} {change['name']}{word}"))
    for detail in change["details"]:
        typer.echo(clean(f"    {detail}"))


def summary_of(plan: Mapping[str, Any]) -> str:
    """What a change of the world comes to, in a line or two.

    >>> print(summary_of({"dry_run": True, "changes": [{}], "absent": {"booth": 2}}))
    1 change; nothing was done (--dry-run).
    Not in the file, and there all the same: 2 of kind booth.
    """
    count = len(plan["changes"])
    if not count:
        done = "Nothing changes."
    else:
        what = "1 change" if count == 1 else f"{count} changes"
        done = f"{what}; nothing was done (--dry-run)." if plan["dry_run"] else f"{what}, done."
    if not plan["absent"]:
        return done
    rest = ", ".join(f"{number} of kind {kind}" for kind, number in plan["absent"].items())
    return f"{done}\nNot in the file, and there all the same: {rest}."


@app.command("export-world", epilog=_EXIT_CODES)
def export_world(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to write it. [default: the screen]")] = None,
) -> None:
    """Write the running world as a file that `apply` takes, passwords masked: applied, it changes nothing."""
    text = Server(context).get_text("/world")
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(USAGE, f"{file} cannot be written: {error.strerror}")


@app.command("quote", epilog=_EXIT_CODES)
def show_quote(
    context: typer.Context,
    number: Annotated[str, typer.Argument(help="As it is dialled there; whole, such as +22370123456, for a party.")],
    *,
    booth: Annotated[str | None, typer.Option(help="Called from this booth. [default: in every shop]")] = None,
    party: Annotated[str | None, typer.Option(help="Bought by this party; for the provider, of each trunk.")] = None,
    amount: Annotated[str | None, typer.Option(help="How long does so much last, such as 5.00?")] = None,
    seconds: Annotated[int | None, typer.Option(min=0, max=86_400, help="What does so long a talk cost?")] = None,
    as_json: Json = False,
) -> None:
    """Say what a call costs, 60 seconds of it unless told otherwise, or how long an amount lasts."""
    if booth is not None and party is not None:
        raise typer.BadParameter("give --booth or --party, not both")
    if amount is not None and seconds is not None:
        raise typer.BadParameter("give --amount or --seconds, not both")
    given = {"number": number, "booth": booth, "party": party, "amount": amount, "seconds": seconds}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    answer = Server(context).get(f"/quotes?{query}")
    if wants_json(context, as_json):
        print_json(answer)
    else:
        table = make_table("Seller", "Buyer", "Destination", "Deck", "Prefix", "Price", right=("Talk", "Amount"))
        for quote_ in answer["quotes"]:
            add_row(
                table,
                quote_["seller"],
                quote_["buyer"],
                quote_["destination"],
                quote_["deck"],
                quote_["prefix"],
                quote_["explanation"] or quote_["answer"].replace("_", " "),
                None if quote_["talk_s"] is None else minutes_of(quote_["talk_s"]),
                None if quote_["amount"] is None else f"{quote_['amount']} {quote_['currency']}",
            )
        print_table(table)
    if not any(quote_["answer"] in {"price", "emergency"} for quote_ in answer["quotes"]):
        raise typer.Exit(UNPRICED)


def minutes_of(seconds: int) -> str:
    """A talk in minutes and seconds.

    >>> minutes_of(754)
    '12:34'
    """
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02d}"


@deck_app.command("list", epilog=_EXIT_CODES)
def list_decks(context: typer.Context, as_json: Json = False) -> None:
    """Show every deck, and who sells by it."""
    answer = Server(context).get("/decks")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Deck", "Currency", "Round", "Sells", right=("Version", "Rates"))
    for deck in answer["decks"]:
        sales = "; ".join(f"{sale['seller']} to {sale['buyer']}" for sale in deck["sales"])
        rounding = f"{deck['round']['mode']} {deck['round']['places']}"
        add_row(table, deck["deck"], deck["currency"], rounding, sales, deck["version"], deck["rates"])
    print_table(table)


@deck_app.command("show", epilog=_EXIT_CODES)
def show_deck(
    context: typer.Context,
    name: str,
    prefix: Annotated[str, typer.Option(help="Only rates whose prefix begins so.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rates.")] = 200,
    as_json: Json = False,
) -> None:
    """Show a deck's rates, by prefix."""
    query = urlencode({"prefix": prefix, "limit": limit})
    answer = Server(context).get(f"/decks/{segment(name)}?{query}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Prefix", "Destination", right=("Fee", "First s", "First /min", "Next s", "Next /min"))
    for rate in answer["shown"]:
        if rate["forbidden"]:
            add_row(table, rate["prefix"], rate["destination"], "forbidden")
            continue
        prices = (rate[key] for key in ("connect_fee", "first_s", "first_price", "next_s", "next_price"))
        add_row(table, rate["prefix"], rate["destination"], *prices)
    table.title = clean(f"Deck {answer['deck']}, version {answer['version']}, {answer['currency']}")
    print_table(table)
    typer.echo(f"{len(answer['shown'])} of {answer['rates']} rates")


@trunk_app.command("list", epilog=_EXIT_CODES)
def list_trunks(context: typer.Context, as_json: Json = False) -> None:
    """Show every trunk."""
    answer = Server(context).get("/trunks")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Trunk", "Carrier", "Deck", "Address", "State", right=("Most calls", "Calls/s", "Calls"))
    for trunk in answer["trunks"]:
        host = f"[{trunk['host']}]" if ":" in trunk["host"] else trunk["host"]
        state = "disabled" if trunk["disabled"] else "takes emergency calls" if trunk["emergency"] else "active"
        add_row(
            table,
            trunk["trunk"],
            trunk["carrier"],
            trunk["deck"],
            f"{trunk['transport']} {host}:{trunk['port']}",
            state,
            trunk["max_calls"],
            trunk["cps"],
            trunk["live_calls"],
        )
    print_table(table)


@operator_app.command("list", epilog=_EXIT_CODES)
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


@cdr_app.command("export", epilog=_EXIT_CODES)
def export_cdrs(
    context: typer.Context,
    output: Annotated[Path, typer.Argument(help="The file to write; - is the standard output.")],
    *,
    form: Annotated[
        ExportForm | None,
        typer.Option("--format", help="csv or jsonl (JSON, a record a line). [default: by the file's name, else csv]"),
    ] = None,
    booth: Annotated[str | None, typer.Option(help="Only this booth's.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="INSTANT", help="Set up then or later, such as 2026-01-31T08:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="INSTANT", help="Set up before then.")] = None,
    mask: Annotated[bool, typer.Option("--mask", help="Without the last five digits of each number.")] = False,
) -> None:
    """Write call detail records to a file, the newest first; a file is there whole or not at all."""
    given = {"booth": booth, "since": since, "until": until, "mask": "true" if mask else None}
    records = Server(context).rows("/cdrs", "cdrs", {name: value for name, value in given.items() if value is not None})
    is_csv = form is ExportForm.CSV or (form is None and output.suffix != ".jsonl")
    lines = csv_lines(records) if is_csv else (f"{json.dumps(record)}\n" for record in records)
    if output == Path("-"):
        for line in lines:
            typer.echo(line, nl=False)
        return
    written = write_whole(output, lines) - is_csv
    typer.echo(f"{written} records in {clean(str(output))}")


def csv_lines(records: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The records as lines of CSV (RFC 4180), a header first.

    `amount` is what the customer pays, `cost` what whoever asks pays himself. No cell begins a formula: one that would
    has an apostrophe before it, because callers choose what they dial.
    """
    for record in chain([None], records):
        line = io.StringIO()
        writer = csv.writer(line)
        writer.writerow(EXPORTED if record is None else map(cell_of, export_row(record)))
        yield line.getvalue()


def export_row(record: Mapping[str, Any]) -> Iterator[object]:
    """The cells of a record, in the order of EXPORTED."""
    charges = record["charges"]
    money = {
        "billed_s": charges[0]["billed_s"] if charges else None,
        "amount": charges[0]["amount"] if charges else None,
        "currency": charges[0]["currency"] if charges else None,
        "cost": charges[-1]["amount"] if len(charges) > 1 else None,
    }
    return (money[name] if name in money else record.get(name) for name in EXPORTED)


def cell_of(value: object) -> str:
    """A cell that no spreadsheet runs.

    >>> cell_of("+49 30"), cell_of("=1+1"), cell_of(None), cell_of(0)
    ("'+49 30", "'=1+1", '', '0')
    """
    text = "" if value is None else clean(str(value))
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def write_whole(path: Path, lines: Iterable[str]) -> int:
    """Write a file beside its place and put it there when it is whole; how many lines it has."""
    beside = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with beside.open("w", encoding="utf-8", newline="") as file:
            for line in lines:
                file.write(line)
                written += 1
        beside.replace(path)
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")
    finally:
        beside.unlink(missing_ok=True)
    return written


@app.command("calls", epilog=_EXIT_CODES)
def show_calls(
    context: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Show them once, and do not follow them.")] = False,
    as_json: Json = False,
) -> None:
    """Show the live calls; on a terminal they are followed until Ctrl-C."""
    server = Server(context)
    if wants_json(context, as_json):
        print_json(server.get("/calls"))
        return
    if once or not sys.stdout.isatty():
        print_table(calls_table(server.get("/calls")["calls"]))
        return
    from rich.live import Live  # noqa: PLC0415 - only who follows pays for it

    with suppress(KeyboardInterrupt), Live(calls_table(server.get("/calls")["calls"]), auto_refresh=False) as live:
        while True:
            time.sleep(FOLLOW_EVERY_S)
            live.update(calls_table(server.get("/calls")["calls"]), refresh=True)


def calls_table(calls: Sequence[Mapping[str, Any]]) -> Table:
    """The live calls."""
    table = make_table(
        "Since (UTC)", "Shop", "Booth", "State", "Dialled", "Destination", "Trunk", right=("Talk", "Amount")
    )
    for call in calls:
        minutes, seconds = divmod(call["talk_ms"] // 1000, 60)
        add_row(
            table,
            clock(call["setup_at"]),
            call["shop"],
            call["booth"],
            call["state"] + (", emergency" if call["kind"] == "emergency" else ""),
            call["dialled"],
            call["destination"],
            call["trunk"],
            f"{minutes}:{seconds:02d}" if call["answered_at"] is not None else None,
            f"{call['amount']} {call['currency']}",
        )
    table.caption = f"{len(calls)} live"
    return table


@app.command("trace", epilog=_EXIT_CODES)
def trace_messages(
    context: typer.Context,
    *,
    booth: Annotated[str | None, typer.Option(help="The messages of this booth and of its calls.")] = None,
    call: Annotated[str | None, typer.Option(metavar="ID", help="Of this live call, or of this SIP Call-ID.")] = None,
    number: Annotated[str | None, typer.Option(help="Of the calls to this number.")] = None,
    seconds: Annotated[int, typer.Option(min=1, max=3600, help="When it ends by itself.")] = 60,
    pcap: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a capture file at the end.")] = None,
    as_json: Json = False,
) -> None:
    """Follow SIP messages as a ladder: phones to the left, the switch, carriers to the right; Ctrl-C ends it."""
    given = {"booth": booth, "call_id": call, "number": number}
    wanted: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if len(wanted) != 1:
        raise typer.BadParameter("give --booth, --call or --number, and one of them only")
    server = Server(context)
    trace = server.post("/traces", wanted | {"seconds": seconds})
    path, ladder, seen = f"/traces/{segment(trace['id'])}", Ladder(), 0
    as_json = wants_json(context, as_json)
    typer.echo(f"tracing for {seconds} s; Ctrl-C ends it", err=True)
    with suppress(KeyboardInterrupt):
        while trace["running"]:
            time.sleep(TRACE_EVERY_S)
            trace = server.get(f"{path}?after={seen}")
            for message in trace["messages"]:
                typer.echo(json.dumps(message) if as_json else ladder.rung(message))
                seen = message["number"]
    server.post(f"{path}/stop", {})
    if pcap is not None:
        write_bytes(pcap, server.download(f"{path}/pcap"))
    if not as_json:
        lost = f", {seen - len(ladder)} were too many at once" if seen > len(ladder) else ""
        typer.echo(f"{len(ladder)} messages{lost}" + (f", captured in {clean(str(pcap))}" if pcap is not None else ""))


class Ladder:
    """Draws SIP messages, a line each, with us in the middle: whom we send a request first stands to the right."""

    def __init__(self) -> None:
        self._is_right: dict[str, bool] = {}
        self._drawn = 0

    def __len__(self) -> int:
        """How many were drawn."""
        return self._drawn

    def rung(self, message: Mapping[str, Any]) -> str:
        """The line of a message."""
        self._drawn += 1
        is_sent, says = message["sent"], clean(message["says"])
        peer = message["destination" if is_sent else "source"]
        is_right = self._is_right.setdefault(peer, is_sent and not says[:3].isdigit())
        says = f" {says[: ARROW_WIDTH - 4]} "
        arrow = f"{says:─^{ARROW_WIDTH}}"
        arrow = f"{arrow}▶" if is_sent is is_right else f"◀{arrow}"
        side = f"{'':{PEER_WIDTH + ARROW_WIDTH + 2}}│{arrow} {peer}" if is_right else f"{peer:>{PEER_WIDTH}} {arrow}│"
        return f"{message['at'][11:23]} {clean(side)}"


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file; what goes wrong ends the program with USAGE."""
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")


@token_app.command("create", epilog=_EXIT_CODES)
def create_token(
    context: typer.Context,
    label: Annotated[str, typer.Argument(help="Whose it is, or what for.")],
    *,
    party: Annotated[str | None, typer.Option(help="It sees this party and all below it.")] = None,
    shop: Annotated[str | None, typer.Option(help="It is for the operators of this shop.")] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it is valid.")] = 365,
    for_ever: Annotated[bool, typer.Option("--for-ever", help="It does not expire.")] = False,
    as_json: Json = False,
) -> None:
    """Make a token for a party or for a shop's operators, and print it: it is shown this once."""
    if (party is None) == (shop is None):
        raise typer.BadParameter("give either --party or --shop")
    opens = {"party": party} if shop is None else {"shop": shop}
    answer = Server(context).post("/tokens", {"label": label, "days": None if for_ever else days, **opens})
    if wants_json(context, as_json):
        print_json(answer)
        return
    until = "for ever" if answer["expires_at"] is None else f"until {clock(answer['expires_at'])} UTC"
    typer.echo(answer["token"])
    typer.echo(clean(f"Token {answer['id']}, {answer['role']} of {answer['party']}, {until}. Keep it now."), err=True)


@token_app.command("list", epilog=_EXIT_CODES)
def list_tokens(context: typer.Context, as_json: Json = False) -> None:
    """Show the tokens, those that open nothing any more too."""
    answer = Server(context).get("/tokens")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Id", "Label", "Role", "Party", "Shop", "Made (UTC)", "Expires", "Revoked")
    for token in answer["tokens"]:
        instants = [clock(token[name]) for name in ("created_at", "expires_at", "revoked_at")]
        add_row(table, *(token[name] for name in ("id", "label", "role", "party", "shop")), *instants)
    print_table(table)


@token_app.command("revoke", epilog=_EXIT_CODES)
def revoke_token(context: typer.Context, token_id: Annotated[str, typer.Argument(metavar="ID")]) -> None:
    """Let a token in no more, from this moment."""
    answer = Server(context).post(f"/tokens/{segment(token_id)}/revoke", {})
    typer.echo(clean(f"Token {answer['id']}, {answer['label']}, is revoked"))


@app.command(epilog=_AUDIT_EXIT_CODES)
def audit(
    context: typer.Context,
    database: Annotated[
        Path | None,
        typer.Option(help="Read this database, whether a server runs on it or not. [default: ask the server]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold every law of the books against all calls, transfers and balances."""
    found = Server(context).get("/audit", timeout_s=AUDIT_TIMEOUT_S) if database is None else audit_of(database)
    if wants_json(context, as_json):
        print_json(found)
    else:
        table = make_table("Law", "Says", right=("Breaches",))
        for law, sentence in found["laws"].items():
            breaches = sum(1 for violation in found["violations"] if violation["law"] == law)
            add_row(table, law, sentence, breaches or "none")
        print_table(table)
        for violation in found["violations"]:
            line = f"{violation['law']}: {violation['tenant']}: {violation['subject']}: {violation['text']}"
            typer.echo(clean(line))
        typer.echo("Every law holds." if found["clean"] else "The books do not hold.")
    if not found["clean"]:
        raise typer.Exit(VIOLATED)


def audit_of(database: Path) -> dict[str, Any]:
    """What an audit of a database finds, in the shape of the server's answer."""
    from sipshop.store import StoreError  # noqa: PLC0415 - the database, which no other command reads
    from sipshop.store.audit import LAWS, audit_file  # noqa: PLC0415 - likewise

    try:
        violations = audit_file(database)
    except StoreError as error:
        fail(USAGE, str(error))
    return {
        "clean": not violations,
        "laws": dict(LAWS),
        "violations": [asdict(violation) for violation in violations],
    }


# The database itself: copies of it, with or without a server that runs on it.

_FILE_EXIT_CODES: Final = "Exit codes: 0 done; 2 wrong usage, or a file that cannot be read, written or replaced."
Database = Annotated[Path, typer.Option(help="The server's database.")]


@app.command(epilog=_FILE_EXIT_CODES)
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The new file; its folder is made.")],
    database: Database = DEFAULT_DATABASE,
    as_json: Json = False,
) -> None:
    """Copy the database to one file that holds together, while the server runs or not."""
    from sipshop.store import StoreError  # noqa: PLC0415 - the database, which few commands read
    from sipshop.store.backup import backup as copy_database  # noqa: PLC0415 - likewise

    try:
        copy_database(database, file)
    except StoreError as error:
        fail(USAGE, str(error))
    size = file.stat().st_size
    if wants_json(context, as_json):
        print_json({"backup": str(file), "bytes": size})
    else:
        typer.echo(clean(f"{database} is copied to {file}, {size} bytes"))


@app.command(epilog=_FILE_EXIT_CODES)
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file that `sipshop backup` made.")],
    database: Database = DEFAULT_DATABASE,
    replace: Annotated[bool, typer.Option("--replace", help="Move a database that is there aside.")] = False,
    as_json: Json = False,
) -> None:
    """Put a backup in the place of the database; no server may run on it."""
    from sipshop.store import StoreError  # noqa: PLC0415 - the database, which few commands read
    from sipshop.store.backup import restore as put_back  # noqa: PLC0415 - likewise

    try:
        aside = put_back(file, database, replace=replace)
    except StoreError as error:
        fail(USAGE, str(error))
    if wants_json(context, as_json):
        print_json({"database": str(database), "replaced": None if aside is None else str(aside)})
        return
    kept = "" if aside is None else f"; the one before it is kept as {aside}"
    typer.echo(clean(f"{database} is as {file} has it{kept}"))
    typer.echo(
        clean(f"Check it before you start the server: {program()} audit --database {shlex.quote(str(database))}")
    )


def command_booths(
    context: typer.Context,
    booths: Sequence[str],
    *,
    every: bool,
    as_json: bool,
    command: str,
    body: Mapping[str, object],
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
            booth = server.ask("POST", f"/booths/{segment(name)}/{command}", body)
        except Refused as refusal:
            refused = True
            complain(f"booth {name}: {refusal}")
            continue
        done.append(booth)
        if not wants_json(context, as_json):
            typer.echo(state_of(booth))
    if wants_json(context, as_json):
        print_json({"booths": done})
    if refused:
        raise typer.Exit(REFUSED)


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


def state_of(booth: Mapping[str, Any]) -> str:
    """A booth after a command, in a line."""
    parts = [f"{booth['booth']}: {booth['state']}"]
    if booth["session_id"] is not None:
        parts.append(f"session {booth['session_id']}")
    left = left_of(booth)
    if left is not None:
        parts.append(f"{left} left")
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


# The server.


class Refused(Exception):
    """The server does not do what it was asked: the text is its reason, `problem` all that it says (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(str(problem["detail"]))


class Server:
    """The running server, asked over HTTP with the settings of this invocation.

    What keeps a question from being answered at all ends the program with UNREACHABLE or USAGE and one line.
    """

    def __init__(self, context: typer.Context) -> None:
        settings: Settings = context.obj
        self._url = settings.url.rstrip("/")
        try:
            parts = urlsplit(self._url)
            self._port = parts.port
        except ValueError as error:
            fail(USAGE, f"--url {settings.url}: {error}")
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            fail(USAGE, f"--url {settings.url}: it has to look like {DEFAULT_URL}")
        self._is_tls = parts.scheme == "https"
        self._host = parts.hostname
        self._path = parts.path
        self._token = read_token(settings)

    def get(self, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
        """Read; ends the program with REFUSED where the server refuses."""
        return self._ask_or_exit("GET", path, None, timeout_s=timeout_s)

    def post(self, path: str, body: Mapping[str, object], *, key: str | None = None) -> Any:
        """Command, named by `key` if one is given; ends the program with REFUSED where the server refuses."""
        return self._ask_or_exit("POST", path, body, key=key)

    def get_text(self, path: str) -> str:
        """Read what is no JSON; ends the program with REFUSED where the server refuses."""
        status, text = self._exchange("GET", path, None, {"User-Agent": f"sipshop/{__version__}"}, TIMEOUT_S)
        try:
            return text.decode() if status == 200 else str(self._answer(status, text))
        except Refused as refusal:
            fail(REFUSED, str(refusal))
        except UnicodeDecodeError:
            fail(UNREACHABLE, f"what answers at {self._url} is not a sipshop server: it sends no text")

    def rows(self, path: str, name: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        """Read every row of a list, page by page."""
        cursor: str | None = ""
        while cursor is not None:
            more = {"cursor": cursor} if cursor else {}
            answer = self.get(f"{path}?{urlencode({'limit': str(PAGE_ROWS), **(query or {}), **more})}")
            yield from answer[name]
            cursor = answer["next"]

    def download(self, path: str) -> bytes:
        """Read what is no JSON; ends the program with REFUSED where the server refuses."""
        headers = {"User-Agent": f"sipshop/{__version__}"}
        status, content = self._exchange("GET", path, None, headers, TIMEOUT_S)
        if status != 200:
            fail(REFUSED, f"{path}: HTTP status {status}")
        return content

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | str | None,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Return the JSON of the server's answer to a body of JSON, or of YAML if it is a text; raises Refused."""
        headers = {"Accept": "application/json", "User-Agent": f"sipshop/{__version__}"}
        if key is not None:
            headers["Idempotency-Key"] = key_of(key)
        return self._answer(*self._exchange(method, path, body, headers, timeout_s))

    def _answer(self, status: int, text: bytes) -> Any:
        """Read the JSON of an answer; raises Refused."""
        if status == 401:
            fail(UNREACHABLE, self._why_unauthorised())
        try:
            answer = json.loads(text)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or not (200 <= status < 300 or {"code", "detail"} <= answer.keys()):
            fail(UNREACHABLE, f"what answers at {self._url} is not a sipshop server: HTTP status {status}")
        if status >= 300:
            raise Refused(answer)
        return answer

    def _ask_or_exit(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        try:
            return self.ask(method, path, body, key=key, timeout_s=timeout_s)
        except Refused as refusal:
            fail(REFUSED, str(refusal))

    def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | str | None,
        headers: dict[str, str],
        timeout_s: float,
    ) -> tuple[int, bytes]:
        """One request on a connection of its own, and the status and body of its response."""
        from http import client  # noqa: PLC0415 - the shell's completion and --help need no network

        kind = client.HTTPSConnection if self._is_tls else client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_s)
        content = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        if body is not None:
            headers["Content-Type"] = "application/yaml" if isinstance(body, str) else "application/json"
        if self._token is not None:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            connection.request(method, f"{self._path}/api/v1{path}", content, headers)
            response = connection.getresponse()
            return response.status, response.read()
        except ConnectionRefusedError:
            fail(UNREACHABLE, f"no server at {self._url}: start it with `make run`")
        except TimeoutError:
            fail(
                UNREACHABLE,
                f"no answer from {self._url} within {timeout_s:.0f} s: look whether the command was done before you "
                "repeat it",
            )
        except (OSError, client.HTTPException) as error:
            fail(
                UNREACHABLE,
                f"no server at {self._url} ({str(error) or type(error).__name__}): start it with `make run`",
            )
        finally:
            connection.close()

    def _why_unauthorised(self) -> str:
        if self._token is None:
            return (
                f"{self._url} asks for a token, and there is none: no {DEFAULT_TOKEN_FILE} here, no --token-file, "
                "and SIPSHOP_TOKEN is not set"
            )
        return f"{self._url} does not know this token"


def read_token(settings: Settings) -> str | None:
    """The token of this invocation, None where none was given and the file is not there by default either."""
    path = settings.token_file or DEFAULT_TOKEN_FILE
    if settings.token is not None:
        token, source = settings.token, "--token"
    else:
        try:
            token, source = path.read_text(encoding="utf-8"), str(path)
        except FileNotFoundError:
            if settings.token_file is None:
                return None
            fail(USAGE, f"there is no token file {path}")
        except OSError as error:
            fail(USAGE, f"the token file {path} cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            fail(USAGE, f"the token file {path} is not text")
    token = token.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        fail(USAGE, f"{source} holds no token: one word of ASCII characters")
    return token


def key_of(text: str) -> str:
    """The name of a command as a header can carry it; what is none ends the program with USAGE."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,64}", text) is None:
        fail(USAGE, "--key: 1 to 64 letters, digits, dots, underscores and dashes")
    return text


def segment(name: str) -> str:
    """A name as one segment of a URL's path."""
    return quote(name, safe="")


# Addresses.


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


# The screen.


def fail(code: int, line: str) -> NoReturn:
    """End the program with one line on stderr."""
    complain(line)
    raise typer.Exit(code)


def complain(line: str) -> None:
    """Say on stderr what went wrong."""
    typer.echo(f"sipshop: {clean(line)}", err=True)


def clean(text: str) -> str:
    """The text without what a terminal would obey: names and numbers come from phones and from strangers."""
    return "".join(character if character.isprintable() else "?" for character in text)


def clock(text: str | None) -> str:
    """An instant of the API, ISO 8601 in UTC, as people read it.

    >>> clock("2025-12-31T23:59:59.007Z")
    '2025-12-31 23:59:59'
    """
    return "" if text is None else text[:19].replace("T", " ")


def wants_json(context: typer.Context, as_json: bool) -> bool:
    """Whether --json stands before the command or after it."""
    settings: Settings = context.obj
    return as_json or settings.as_json


def print_json(value: object) -> None:
    """Print for programs."""
    typer.echo(json.dumps(value, indent=2))


def print_facts(facts: Mapping[str, str]) -> None:
    """Print names and what they are, a line each."""
    width = max(map(len, facts))
    for name, what in facts.items():
        typer.echo(f"{name:{width}}  {clean(what)}")


def make_table(*left: str, right: Sequence[str] = (), footer: bool = False) -> Table:
    """An empty table with columns to the left and, for numbers, to the right."""
    from rich import box  # noqa: PLC0415 - only who prints a table pays for it
    from rich.table import Table  # noqa: PLC0415 - likewise

    table = Table(box=box.SIMPLE_HEAD, show_footer=footer, title_justify="left", title_style="bold")
    for title in left:
        table.add_column(title)
    for title in right:
        table.add_column(title, justify="right")
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row; None is an empty cell."""
    from rich.text import Text  # noqa: PLC0415 - only who prints a table pays for it

    table.add_row(*(Text("" if cell is None else clean(str(cell))) for cell in cells))


def print_table(table: Table) -> None:
    """Print to the terminal's width, or without folding where there is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - only who prints a table pays for it

    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)
