"""Receipts on paper: the agent that feeds a printer at a desk, and what is to be printed."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import NotLetIn, Refused, Server, Unanswered, segment
from sipshop.cli.codes import EXIT_CODES, USAGE
from sipshop.cli.options import Json, Key, Settings, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, fail, make_table, print_json, print_table

if TYPE_CHECKING:
    from sipshop.printing.devices import Printer

prints = group("print", "Receipts on paper: having them printed, and what became of that.")

_COLUMNS: Final = (32, 42, 48)
_NEEDS: Final = "a printer's agent needs more than a server does: pip install 'sipshop[print]'"

Shop = Annotated[str, typer.Argument(metavar="SHOP")]
Number = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="The receipt's.")]
Language = Annotated[str | None, typer.Option(help="Such as fr. [default: the customer's]")]


@prints.command("receipt", epilog=EXIT_CODES)
def print_receipt(
    context: typer.Context,
    shop: Shop,
    number: Number,
    *,
    language: Language = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Have a receipt printed by the printer of the shop's desk; one that was printed before says so."""
    body = {} if language is None else {"language": language}
    answer = Server(context).post(f"/shops/{segment(shop)}/receipts/{number}/print", body, key=key)
    if wants_json(context, as_json):
        print_json(answer)
    else:
        typer.echo(clean(f"receipt {number} of {shop} waits for the printer: job {answer['id']}"))


@prints.command("pdf", epilog=EXIT_CODES)
def save_pdf(
    context: typer.Context,
    shop: Shop,
    number: Number,
    to: Annotated[Path, typer.Option(help="Where to write it.", dir_okay=False)],
    *,
    roll: Annotated[bool, typer.Option("--roll", help="80 mm wide and as long as it is; else A4.")] = False,
    original: Annotated[bool, typer.Option("--original", help="It counts as printed from now on.")] = False,
    language: Language = None,
    as_json: Json = False,
) -> None:
    """Write a receipt to a PDF: a reprint, unless it is the original."""
    server, place = Server(context), f"/shops/{segment(shop)}/receipts/{number}"
    query = {"paper": "80mm" if roll else "a4"} | ({} if language is None else {"language": language})
    if original:
        query["job"] = str(server.post(f"{place}/print", {"goes_to": "browser"})["id"])
    made = server.download(f"{place}/pdf?{urlencode(query)}")
    try:
        to.write_bytes(made)
    except OSError as error:
        fail(USAGE, f"{to} cannot be written: {error.strerror}")
    if wants_json(context, as_json):
        print_json({"receipt": number, "file": str(to)})
    else:
        typer.echo(clean(f"receipt {number} of {shop} is in {to}"))


@prints.command("list", epilog=EXIT_CODES)
def list_prints(
    context: typer.Context,
    shop: Shop,
    *,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what a shop had printed, the newest first, and how its printers are."""
    answer = Server(context).get(f"/shops/{segment(shop)}/prints?limit={limit}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Job", "Receipt", "Asked (UTC)", "By", "Goes to", "State", "Copy", "Why")
    for job in answer["prints"]:
        goes_to = job["printer"] or job["goes_to"]
        told = (job["state"], job["copy_number"], job["why"])
        add_row(table, job["id"], job["receipt"], clock(job["asked_at"]), job["author"], goes_to, *told)
    print_table(table, spare=("By", "Goes to"))
    for printer in answer["printers"]:
        state = printer["fault"] or "ready" if printer["is_there"] else f"gone since {clock(printer['seen_at'])} UTC"
        typer.echo(clean(f"printer {printer['name']}: {state}"))


def run_agent(
    context: typer.Context,
    *,
    printer: Annotated[str, typer.Option(metavar="PLACE", help="usb:VENDOR:PRODUCT, tcp:HOST:PORT or file:PATH.")],
    shop: Annotated[str | None, typer.Option(help="[default: the one shop that the token opens]")] = None,
    server: Annotated[str | None, typer.Option(metavar="URL", help="As --url before the command.")] = None,
    token_file: Annotated[Path | None, typer.Option(help="As --token-file before the command.")] = None,
    columns: Annotated[int, typer.Option(help="Of the printer's paper: 32, 42 or 48.")] = 42,
    profile: Annotated[str, typer.Option(help="The printer's, as python-escpos names it.")] = "default",
    only_dots: Annotated[
        bool, typer.Option("--only-dots", help="Draw every letter: for a printer that prints wrong ones.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What the desk calls it. [default: the printer's place]")] = None,
    once: Annotated[bool, typer.Option("--once", help="End after the first receipt.")] = False,
) -> None:
    """Print a shop's receipts on the thermal printer of its desk, until Ctrl-C.

    It asks the server for work and prints it: the server need not reach the shop. It takes sipshop[print].
    """
    if columns not in _COLUMNS:
        fail(USAGE, f"--columns {columns}: a printer has 32, 42 or 48")
    settings: Settings = context.obj
    context.obj = Settings(server or settings.url, settings.token, token_file or settings.token_file, settings.as_json)
    try:
        from sipshop.printing.thermal import UnknownProfile, check_profile, esc_pos  # noqa: PLC0415 - sipshop[print]
    except ImportError as error:
        fail(USAGE, f"{_NEEDS} ({error.name} is missing)")
    from sipshop.printing.agent import Agent  # noqa: PLC0415 - only the agent needs it

    place = _printer(printer)
    try:
        check_profile(profile)
    except UnknownProfile as error:
        fail(USAGE, f"--profile: {error}")
    asked = Server(context)
    queue = _Queue(asked, shop or _only_shop(asked), name or printer)
    agent = Agent(
        queue,
        place,
        encoded=lambda slip: esc_pos(slip, columns=columns, profile=profile, only_dots=only_dots),
        pause=time.sleep,
        say=lambda line: typer.echo(clean(line)),
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    typer.echo(clean(f"Printing the receipts of {queue.shop} on {printer}"))
    while not (agent.step() and once):
        pass


class _Queue:
    """The print jobs of a shop at the server."""

    def __init__(self, server: Server, shop: str, printer: str) -> None:
        self.shop = shop
        self._server = server
        self._place = f"/shops/{segment(shop)}/prints"
        self._printer = printer

    def claim(self, fault: str, wait_s: int) -> dict[str, Any]:
        """Ask for work."""
        try:
            body = {"printer": self._printer, "fault": fault[:300], "wait_s": wait_s}
            found: dict[str, Any] = self._server.post(f"{self._place}/claim", body)
        except (Unanswered, Refused) as error:
            if isinstance(error, Refused) and error.problem["status"] < 500:
                raise
            raise ConnectionError(str(error)) from error
        return found

    def done(self, job_id: int, claim: str) -> None:
        """Say that a job is printed."""
        self._say(job_id, "done", {"claim": claim})

    def failed(self, job_id: int, claim: str, why: str, *, may_be_on_paper: bool) -> None:
        """Say why it is not."""
        self._say(job_id, "failed", {"claim": claim, "why": why[:300], "may_be_on_paper": may_be_on_paper})

    def _say(self, job_id: int, what: str, body: dict[str, object]) -> None:
        try:
            self._server.post(f"{self._place}/{job_id}/{what}", body)
        except (Unanswered, NotLetIn) as error:
            raise ConnectionError(str(error)) from error
        except Refused as error:
            raise (ConnectionError if error.problem["status"] >= 500 else LookupError)(str(error)) from error


def _printer(place: str) -> Printer:
    from sipshop.printing.devices import BadPrinter, printer_at  # noqa: PLC0415 - only the agent needs it

    try:
        return printer_at(place)
    except BadPrinter as error:
        fail(USAGE, f"--printer: {error}")


def _only_shop(server: Server) -> str:
    """The one shop whose booths the token opens."""
    shops = sorted({booth["shop"] for booth in server.rows("/booths", "booths")})
    if len(shops) != 1:
        fail(USAGE, f"--shop: name one of {', '.join(shops) or 'those that the token opens: there is none'}")
    return str(shops[0])
