"""The books: reratings, statements and invoices."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, key_of, segment
from sipshop.cli.codes import EXIT_CODES, USAGE
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import (
    add_row,
    clean,
    complain,
    fail,
    make_table,
    name_table,
    print_facts,
    print_json,
    print_table,
    progress,
)

#: A rerating may be of all calls of a year.
RERATE_TIMEOUT_S: Final = 3600.0
ROWS: Final = 100
MOST_ROWS: Final = 100_000

invoices = group("invoice", "Invoices: periods that are closed, numbered, as a page or a PDF.")

Month = Annotated[str | None, typer.Option(help="Such as 2026-10, in the seller's time zone.")]
First = Annotated[str | None, typer.Option("--from", help="In place of a month: the first day, such as 2026-10-01.")]
Beyond = Annotated[str | None, typer.Option("--until", help="And the first day after the period.")]


def rerate(
    context: typer.Context,
    deck: str,
    *,
    to: Annotated[int, typer.Option("--to", min=1, help="The version of the deck to charge by.")],
    since: Annotated[str, typer.Option(help="Calls let in from then on, such as 2026-10-01; UTC.")],
    until: Annotated[str, typer.Option(help="And before then.")],
    old_version: Annotated[
        list[int] | None, typer.Option(help="Only what was charged by this version; may be repeated. [default: any]")
    ] = None,
    party: Annotated[str | None, typer.Option(help="Only what this party or its own customers pay.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="NAME", help="Do it, under this name: run again, it is done once.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for whoever reads the books; needed with --batch.")] = None,
    csv_file: Annotated[Path | None, typer.Option("--csv", help="Write every difference to this new file.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what calls would cost by another version of their deck; with --batch charge them so."""
    if batch is not None and reason is None:
        raise typer.BadParameter("--batch needs --reason")
    if csv_file is not None and csv_file.exists():
        fail(USAGE, f"{csv_file} is there: name a new file")
    whole = as_json or csv_file is not None or wants_json(context, as_json)
    body: dict[str, object] = {
        "deck": deck,
        "version": to,
        "old_versions": old_version or [],
        "since": since,
        "until": until,
        "dry_run": batch is None,
        "rows": MOST_ROWS if whole else ROWS,
    }
    body |= {"party": party} if party is not None else {}
    body |= {"batch": key_of(batch), "reason": reason} if batch is not None else {}
    with progress("The server rates calls anew"):
        found = Server(context).ask("POST", "/rerates", body, timeout_s=RERATE_TIMEOUT_S)
    if csv_file is not None:
        write_differences(csv_file, found)
    if wants_json(context, as_json):
        print_json(found)
    else:
        print_rerating(found)


def write_differences(path: Path, found: Mapping[str, Any]) -> None:
    """Write a row for each difference, and for each charge that stays with its reason."""
    text = io.StringIO()
    columns = ("call_id", "level", "seller", "buyer", "currency", "old", "new", "delta", "why")
    writer = csv.DictWriter(text, columns, restval="", extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(_inert(row) for row in (*found["differences"], *found["unrated"]))
    try:
        path.write_text(text.getvalue(), encoding="utf-8")
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")
    if found["left_off"]:
        complain(f"{path} lacks {found['left_off']} rows: an answer has {MOST_ROWS} at most; take shorter periods")


def _inert(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose names are no formulas to a spreadsheet."""
    return {
        name: f"'{value}" if name in {"seller", "buyer"} and str(value)[:1] in "=+-@\t\r" else value
        for name, value in row.items()
    }


def print_rerating(found: Mapping[str, Any]) -> None:
    """Show differences, what stays and why, and what all of it comes to."""
    table = make_table("Call", "Buyer", "Seller", right=("Level", "Old", "New", "Difference"))
    for row in found["differences"]:
        money = (row["old"], row["new"], f"{row['delta']} {row['currency']}")
        add_row(table, row["call_id"], row["buyer"], row["seller"], row["level"], *money)
    if found["differences"]:
        print_table(table, spare=("Level", "Seller"))
    if found["left_off"]:
        typer.echo(f"... and {found['left_off']} rows more: --csv FILE or --json have them")
    if found["totals"]:
        totals = make_table("Buyer", "Seller", "Currency", right=("Charges", "Old", "New", "Difference"))
        name_table(totals, "In all")
        for row in found["totals"]:
            who = (row["buyer"] or "customers in booths", row["seller"], row["currency"])
            add_row(totals, *who, row["charges"], row["old"], row["new"], row["delta"])
        print_table(totals)
    for row in found["kept"]:
        charges = "1 charge stays" if row["charges"] == 1 else f"{row['charges']} charges stay"
        typer.echo(clean(f"{charges} as they are: {row['reason']}"))
    calls = "1 call" if found["calls"] == 1 else f"{found['calls']} calls"
    if found["dry_run"]:
        typer.echo(f"{calls} would be charged anew; nothing was changed. With --batch NAME --reason WHY it is done.")
    else:
        typer.echo(f"{calls} charged anew.")


def show_statement(
    context: typer.Context,
    party: str,
    *,
    month: Month = None,
    first: First = None,
    beyond: Beyond = None,
    as_json: Json = False,
) -> None:
    """Show what moved between a party and its seller in a period, the month of now where none is given."""
    asked = {"month": month, "from": first, "until": beyond}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    found = Server(context).get(f"/parties/{segment(party)}/statement{'?' if query else ''}{query}")
    if wants_json(context, as_json):
        print_json(found)
    else:
        print_statement(found, found["buyer"], found["seller"])


def print_statement(found: Mapping[str, Any], buyer: str, seller: str) -> None:
    """Show a statement, or what an invoice has of it."""
    period, currency = found["period"], found["currency"]
    if found["calls"]:
        calls = make_table("Destination", right=("Calls", "Seconds", "Billed s", f"Amount {currency}"))
        name_table(calls, f"{buyer} at {seller}, {period['from']} until {period['until']} ({period['timezone']})")
        for line in found["calls"]:
            add_row(calls, line["destination"], line["calls"], line["seconds"], line["billed_s"], line["amount"])
        print_table(calls, spare=("Seconds",))
    for line in found["corrections"]:
        what = "charged anew" if line["kind"] == "rerated" else "that came late"
        said = f"Closed by invoice {line['invoice']}: {line['calls']} calls {what}, {line['amount']} {currency}"
        typer.echo(clean(said))
    for line in (*found["payments"], *found["adjustments"]):
        late = "" if line["closed_by"] is None else f" (of the period of invoice {line['closed_by']})"
        typer.echo(clean(f"{line['date']} {line['kind']}: {line['amount']} {currency} {line['reason']}{late}"))
    account = found["account"]
    names = ("opening", "calls", "corrections", "tax", "payments", "adjustments", "closing")
    print_facts({name.capitalize(): f"{account[name]} {currency}" for name in names})


@invoices.command("close", epilog=EXIT_CODES)
def close_period(
    context: typer.Context,
    party: str,
    *,
    month: Month = None,
    first: First = None,
    beyond: Beyond = None,
    as_json: Json = False,
) -> None:
    """Close a period of a party with its seller: it gets its invoice, once, and takes nothing more."""
    asked = {"month": month, "from": first, "until": beyond}
    body = {name: value for name, value in asked.items() if value is not None}
    found = Server(context).post(f"/parties/{segment(party)}/invoices", body)
    if wants_json(context, as_json):
        print_json(found)
        return
    total = f"{found['gross']} {found['currency']}"
    typer.echo(clean(f"Invoice {found['number']} of {found['seller']} to {found['buyer']}: {total}"))


@invoices.command("list", epilog=EXIT_CODES)
def list_invoices(
    context: typer.Context,
    party: Annotated[str | None, typer.Option(help="Only what this party buys.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, the newest first.")] = 50,
    as_json: Json = False,
) -> None:
    """Show invoices, the newest first."""
    query = urlencode({"limit": str(limit), **({} if party is None else {"party": party})})
    answer = Server(context).get(f"/invoices?{query}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Number", "Buyer", "Seller", "From (UTC)", "Until (UTC)", right=("Net", "Tax", "Total"))
    for row in answer["invoices"]:
        days = (row["since"][:16].replace("T", " "), row["until"][:16].replace("T", " "))
        money = (row["net"], row["tax"], f"{row['gross']} {row['currency']}")
        add_row(table, row["number"], row["buyer"], row["seller"], *days, *money)
    print_table(table, spare=("Tax", "Net", "From (UTC)"))


@invoices.command("show", epilog=EXIT_CODES)
def show_invoice(context: typer.Context, party: str, number: str, as_json: Json = False) -> None:
    """Show an invoice of a party."""
    found = Server(context).get(_path(party, number))
    if wants_json(context, as_json):
        print_json(found)
        return
    document = found["document"]
    print_statement(document, document["buyer"]["name"], document["seller"]["name"])
    print_facts(
        {
            "Number": f"{found['number']} of {document['date']}",
            "Total": f"{found['gross']} {found['currency']}, tax {found['tax']}",
            "To be paid": f"{document['due']} {found['currency']} by {document['due_date']}",
            "SHA-256": found["sha256"],
        }
    )


@invoices.command("pdf", epilog=EXIT_CODES)
def print_invoice(
    context: typer.Context,
    party: str,
    number: str,
    file: Annotated[Path | None, typer.Argument(help="The new file. [default: NUMBER.pdf here]")] = None,
    *,
    html: Annotated[bool, typer.Option("--html", help="A page of HTML in place of a PDF.")] = False,
    as_json: Json = False,
) -> None:
    """Write an invoice of a party to a file."""
    kind = "html" if html else "pdf"
    path = file or Path(f"{key_of(number)}.{kind}")
    made = Server(context).download(f"{_path(party, number)}/{kind}")
    try:
        with path.open("xb") as new:
            new.write(made)
    except FileExistsError:
        fail(USAGE, f"{path} is there: name a new file")
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")
    if wants_json(context, as_json):
        print_json({"file": str(path), "bytes": len(made)})
    else:
        typer.echo(clean(f"{path}, {len(made)} bytes"))


def _path(party: str, number: str) -> str:
    return f"/parties/{segment(party)}/invoices/{segment(number)}"
