"""Call detail records: shown, and exported."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES, REFUSED, USAGE
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import (
    add_row,
    clean,
    clock,
    dialled,
    fail,
    make_table,
    print_facts,
    print_json,
    print_table,
    progress,
)

#: The columns of an exported record.
EXPORTED: Final = (
    *("call_id", "revision", "kind", "shop", "booth", "session_id", "dialled", "e164", "destination"),
    *("setup_at", "answered_at", "ended_at", "pdd_ms", "talk_ms", "result", "sip_status", "q850", "hung_up_by"),
    *("trunk", "recovered", "billed_s", "amount", "currency", "cost", "cost_currency"),
)

cdrs = group("cdr", "Call detail records.")


class ExportForm(StrEnum):
    """How records are written."""

    CSV = "csv"
    JSONL = "jsonl"


@cdrs.command("list", epilog=EXIT_CODES)
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
        right=("Talk s", "Billed s", "Amount", "Call"),
    )
    for cdr in answer["cdrs"]:
        charge: Mapping[str, Any] = cdr["charges"][0] if cdr["charges"] else {}
        amount = f"{charge['amount']} {charge['currency']}" if charge else None
        add_row(
            table,
            clock(cdr["setup_at"]),
            cdr["booth"],
            dialled(cdr),
            cdr["destination"],
            cdr["result"],
            cdr["sip_status"],
            cdr["trunk"],
            f"{cdr['talk_ms'] / 1000:.3f}",
            charge.get("billed_s"),
            amount,
            cdr["call_id"],
        )
    print_table(table, spare=("Trunk", "Billed s", "SIP", "Call", "Destination"))


@cdrs.command("show", epilog=EXIT_CODES)
def show_cdr(
    context: typer.Context,
    call_id: Annotated[str | None, typer.Argument(metavar="[CALL]", help="As `cdr list` names it.")] = None,
    last: Annotated[bool, typer.Option("--last", help="The newest one.")] = False,
    booth: Annotated[str | None, typer.Option(help="With --last: the newest one of this booth.")] = None,
    as_json: Json = False,
) -> None:
    """Show a call: every trunk that was tried, and what every level of the chain paid and kept."""
    if (call_id is None) != last or (booth is not None and not last):
        raise typer.BadParameter("name a call, or give --last, with --booth if it shall be a booth's")
    server = Server(context)
    cdr = newest_cdr(server, booth) if call_id is None else server.get(f"/cdrs/{segment(call_id)}")
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


@cdrs.command("export", epilog=EXIT_CODES)
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
    mask: Annotated[
        bool, typer.Option("--mask", help="Without the last digits of each number, as many as old records lose.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write call detail records to a file, the newest first; a file is there whole or not at all.

    With --json the standard output gets JSON lines unless --format says otherwise.
    """
    given = {"booth": booth, "since": since, "until": until, "mask": "true" if mask else None}
    records = Server(context).rows("/cdrs", "cdrs", {name: value for name, value in given.items() if value is not None})
    as_json, is_screen = wants_json(context, as_json), output == Path("-")
    is_jsonl = output.suffix == ".jsonl" or (is_screen and as_json) if form is None else form is ExportForm.JSONL
    lines = (f"{json.dumps(record)}\n" for record in records) if is_jsonl else csv_lines(records)
    if is_screen:
        for line in lines:
            typer.echo(line, nl=False)
        return
    with progress(f"Records to {output}") as tell:
        written = write_whole(output, told(lines, tell)) - (not is_jsonl)
    if as_json:
        print_json({"file": str(output), "records": written})
    else:
        typer.echo(f"{written} records in {clean(str(output))}")


def newest_cdr(server: Server, booth: str | None) -> Mapping[str, Any]:
    """The newest record, of one booth if it is named; ends the program with REFUSED where there is none."""
    query = {"limit": "1"} | ({} if booth is None else {"booth": booth})
    newest: Sequence[Mapping[str, Any]] = server.get(f"/cdrs?{urlencode(query)}")["cdrs"]
    if not newest:
        fail(REFUSED, "no call has ended yet" if booth is None else f"no call of booth {booth} has ended yet")
    return newest[0]


def told(lines: Iterable[str], tell: Callable[[int, int | None], None]) -> Iterator[str]:
    """The lines, each told when it is taken."""
    for number, line in enumerate(lines):
        tell(number, None)
        yield line


def print_attempts(attempts: Sequence[Mapping[str, Any]]) -> None:
    """The trunks that a call tried, in order, and what kept us from an answer where something has."""
    reasons = ("Why",) if any(attempt.get("why") for attempt in attempts) else ()
    table = make_table("Tried", *reasons, right=("SIP", "Q.850", "Rang after ms"))
    for attempt in attempts:
        why = [attempt.get("why")] if reasons else []
        add_row(table, attempt["trunk"], *why, *(attempt[name] for name in ("status", "q850", "pdd_ms")))
    print_table(table)


def print_chain(charges: Sequence[Mapping[str, Any]]) -> None:
    """What each buyer of a call's chain paid, and what he kept of what he was paid himself."""
    currencies = {charge["currency"] for charge in charges}
    is_mixed = len(currencies) > 1
    paid = "Paid" if is_mixed else f"Paid {charges[0]['currency']}"
    table = make_table("Buyer", "Seller", "Deck", "Version", "Prefix", right=("Billed s", paid, "Kept"), footer=True)
    kept: dict[str, Decimal] = {}
    for charge in charges:
        margin, currency = charge["margin"], charge["margin_currency"]
        if margin is not None:
            kept[currency] = kept.get(currency, Decimal()) + Decimal(margin)
        add_row(
            table,
            charge["buyer"],
            charge["seller"],
            charge["deck"],
            charge["version"],
            charge["prefix"] or "any",
            charge["billed_s"],
            f"{charge['amount']} {charge['currency']}" if is_mixed else charge["amount"],
            f"{margin} {currency}" if is_mixed and margin is not None else margin,
        )
    table.columns[0].footer = "All margins"
    sums = (f"{margin} {currency}" if is_mixed else str(margin) for currency, margin in kept.items())
    table.columns[-1].footer = ", ".join(sums) or "0"
    print_table(table)
    for charge in charges:
        for told in terms_of(charge):
            typer.echo(told)


def terms_of(charge: Mapping[str, Any]) -> Iterator[str]:
    """What a charge was taxed at, and by what it was converted."""
    tax, fx = charge.get("tax"), charge.get("fx")
    if tax is not None:
        yield clean(f"{charge['buyer']} pays {tax['name']} {tax['percent']}%, {tax['mode']}")
    if fx is not None:
        one, other = (fx["to"], fx["from"]) if fx.get("divides") else (fx["from"], fx["to"])
        margin = f", and {fx['margin']}% more" if "margin" in fx else ""
        rate = f"1 {one} = {fx['rate']} {other} on {fx['day']}{margin}"
        yield clean(f"{charge['buyer']} pays {fx['from']} in {fx['to']}: {rate}")


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
        "cost_currency": charges[-1]["currency"] if len(charges) > 1 else None,
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
