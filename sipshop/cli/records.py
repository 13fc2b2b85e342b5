"""Call detail records: shown, exported, and worked out once more."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import PAGE_ROWS, Server, segment
from sipshop.cli.codes import AUDIT_EXIT_CODES, EXIT_CODES, REFUSED, USAGE, WRONG
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
from sipshop.export.forms import ExportForm

VERIFY_TIMEOUT_S: Final = 3600.0  # it reads every charge
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

cdrs = group("cdr", "Call detail records.")


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
    revised = any(cdr["revision"] for cdr in answer["cdrs"])  # of few calls there is more than one
    table = make_table(
        "Set up (UTC)",
        "Booth",
        "Dialled",
        "Destination",
        "Result",
        "SIP",
        "Trunk",
        right=("Talk s", "Billed s", "Amount", "Call", *(["Revision"] if revised else [])),
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
            *([cdr["revision"]] if revised else []),
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


Since = Annotated[
    str | None,
    typer.Option("--from", "--since", metavar="INSTANT", help="Set up then or later, such as 2026-01-31T08:00Z."),
]
Until = Annotated[str | None, typer.Option("--to", "--until", metavar="INSTANT", help="Set up before then.")]


@cdrs.command("export", epilog=EXIT_CODES)
def export_cdrs(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="The file to write; - is the standard output.")] = None,
    *,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The same, as an option.")] = None,
    form: Annotated[
        ExportForm | None,
        typer.Option(
            "--format", help="csv, jsonl (JSON, a record a line) or parquet. [default: by the file's name, else csv]"
        ),
    ] = None,
    booth: Annotated[str | None, typer.Option(help="Only this booth's.")] = None,
    since: Since = None,
    until: Until = None,
    latest: Annotated[bool, typer.Option("--latest", help="Of each call the latest revision alone.")] = False,
    mask: Annotated[
        bool, typer.Option("--mask", help="Without the last digits of each number, as many as old records lose.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write call detail records to a file, the newest first; a file is there whole or not at all.

    With --json the standard output gets JSON lines unless --format says otherwise.
    """
    if (file is None) == (output is None):
        raise typer.BadParameter("name one file, as --output FILE")
    path = file or output or Path("-")
    flags = {"latest": "true" if latest else None, "mask": "true" if mask else None}
    given = {"booth": booth, "since": since, "until": until} | flags
    records = Server(context).rows("/cdrs", "cdrs", {name: value for name, value in given.items() if value is not None})
    as_json, is_screen = wants_json(context, as_json), path == Path("-")
    content = encoded(records, form or form_of(path, is_json=is_screen and as_json))
    if is_screen:
        for part, _ in content:
            sys.stdout.buffer.write(part)
        return
    with progress(f"Records to {path}") as tell:
        written = write_whole(path, content, tell)
    if as_json:
        print_json({"file": str(path), "records": written})
    else:
        typer.echo(f"{written} records in {clean(str(path))}")


@cdrs.command("verify", epilog=AUDIT_EXIT_CODES)
def verify_cdrs(
    context: typer.Context,
    database: Annotated[
        Path | None,
        typer.Option(help="Read this database, whether a server runs on it or not. [default: ask the server]"),
    ] = None,
    *,
    since: Since = None,
    until: Until = None,
    party: Annotated[str | None, typer.Option(help="Only what it pays or is paid.")] = None,
    as_json: Json = False,
) -> None:
    """Work out every charge once more from what its call kept, and show the arithmetic of each that differs."""
    if database is None:
        given = {"since": since, "until": until, "party": party}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        with progress("The server works out its charges"):
            found = Server(context).get(f"/cdrs/verify?{query}", timeout_s=VERIFY_TIMEOUT_S)
    else:
        found = verified(database, since, until, party)
    if wants_json(context, as_json):
        print_json(found)
    else:
        print_differences(found)
    if not found["clean"]:
        raise typer.Exit(WRONG)


def verified(database: Path, since: str | None, until: str | None, party: str | None) -> Mapping[str, Any]:
    """What the charges in a database come to, in the shape of the server's answer."""
    from sipshop.store import StoreError  # noqa: PLC0415 - the database, which few commands read
    from sipshop.store.verify import verify_file  # noqa: PLC0415 - likewise

    since_ms = 0 if since is None else instant_ms("--from", since)
    until_ms = None if until is None else instant_ms("--to", until)
    try:
        with progress(f"Charges in {database}") as tell:
            found = verify_file(
                database, since_ms=since_ms, until_ms=until_ms, party=party, tell=lambda done, _: tell(done, None)
            )
            return found.to_json()
    except StoreError as error:
        fail(USAGE, str(error))


def instant_ms(option: str, text: str) -> int:
    """An instant in milliseconds since the Unix epoch, as the server reads it; what is none ends the program."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(USAGE, f"{option}: {text!r} is no instant such as 2026-01-31T08:00Z")
    return ((at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - EPOCH) // timedelta(milliseconds=1)


def print_differences(found: Mapping[str, Any]) -> None:
    """The charges that differ, each with what stands and what is due."""
    for one in found["differences"]:
        name = f"{one['call_id']} revision {one['revision']} level {one['level']}"
        typer.echo(
            clean(f"{name}: {one['buyer']} pays {one['seller']} {one['stands']} {one['currency']}, due {one['due']}")
        )
        typer.echo(clean(f"  stands: {one['stands_lines']}"))
        typer.echo(clean(f"  due:    {one['due_lines']}"))
    if found["more"]:
        typer.echo(f"and {found['more']} more")
    differ = len(found["differences"]) + found["more"]
    typer.echo(
        f"{found['charges']} charges are what their calls cost."
        if found["clean"]
        else f"{differ} of {found['charges']} charges are not what their calls cost."
    )


def newest_cdr(server: Server, booth: str | None) -> Mapping[str, Any]:
    """The newest record, of one booth if it is named; ends the program with REFUSED where there is none."""
    query = {"limit": "1"} | ({} if booth is None else {"booth": booth})
    newest: Sequence[Mapping[str, Any]] = server.get(f"/cdrs?{urlencode(query)}")["cdrs"]
    if not newest:
        fail(REFUSED, "no call has ended yet" if booth is None else f"no call of booth {booth} has ended yet")
    return newest[0]


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


def form_of(path: Path, *, is_json: bool) -> ExportForm:
    """How records are written that are to be in a file of this name."""
    by_name = {f".{form}": form for form in ExportForm}
    return ExportForm.JSONL if is_json else by_name.get(path.suffix, ExportForm.CSV)


def encoded(records: Iterable[Mapping[str, Any]], form: ExportForm) -> Iterator[tuple[bytes, int]]:
    """The bytes of a file, part by part, each with how many records were read for it."""
    from sipshop.export.formats import NoParquet, encoder  # noqa: PLC0415 - only who exports pays for it

    try:
        writer = encoder(form)
    except NoParquet as error:
        fail(USAGE, str(error))
    rows = iter(records)
    while page := list(islice(rows, PAGE_ROWS)):
        yield writer.add(page), len(page)
    yield writer.end(), 0


def write_whole(path: Path, content: Iterable[tuple[bytes, int]], tell: Callable[[int, int | None], None]) -> int:
    """Write a file beside its place and put it there when it is whole; how many records it has."""
    beside = path.with_name(f".{path.name}.part")
    written = 0
    try:
        with beside.open("wb") as file:
            for part, count in content:
                file.write(part)
                written += count
                tell(written, None)
        beside.replace(path)
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")
    finally:
        beside.unlink(missing_ok=True)
    return written
