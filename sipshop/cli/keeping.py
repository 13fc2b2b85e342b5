"""The database itself: its books audited, copies of it made and put back, with or without a server that runs on it."""

from __future__ import annotations

import os
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from sipshop.cli.ask import Server
from sipshop.cli.codes import USAGE, WRONG
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import add_row, clean, fail, make_table, print_json, print_table, program, progress

DEFAULT_DATABASE: Final = Path("data/sipshop.db")
AUDIT_TIMEOUT_S: Final = 3600.0  # it reads the whole database

Database = Annotated[Path, typer.Option(help="The server's database.")]


def audit(
    context: typer.Context,
    database: Annotated[
        Path | None,
        typer.Option(help="Read this database, whether a server runs on it or not. [default: ask the server]"),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=64,
            help="With --database: how many processes share the work. [default: one a CPU, if it is large]",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Hold every law of the books against all calls, transfers and balances."""
    if database is None:
        server = Server(context)
        with progress("The server reads its books"):
            found = server.get("/audit", timeout_s=AUDIT_TIMEOUT_S)
    else:
        found = audit_of(database, processes)
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
        raise typer.Exit(WRONG)


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
        with progress(f"Copy of {database}") as tell:
            copy_database(database, file, tell)
    except StoreError as error:
        fail(USAGE, str(error))
    size = file.stat().st_size
    if wants_json(context, as_json):
        print_json({"backup": str(file), "bytes": size})
    else:
        typer.echo(clean(f"{database} is copied to {file}, {size} bytes"))


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
        with progress(f"Copy of {file}") as tell:
            aside = put_back(file, database, replace=replace, tell=tell)
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


def audit_of(database: Path, processes: int | None) -> dict[str, Any]:
    """What an audit of a database finds, in the shape of the server's answer."""
    from sipshop.store import StoreError  # noqa: PLC0415 - the database, which no other command reads
    from sipshop.store.audit import LARGE_BYTES, LAWS, audit_file  # noqa: PLC0415 - likewise

    try:
        shared_by = processes or processes_for(database, LARGE_BYTES)
        with progress(f"Audit of {database}") as tell:
            violations = audit_file(database, tell, others=0 if shared_by == 1 else shared_by)
    except StoreError as error:
        fail(USAGE, str(error))
    return {
        "clean": not violations,
        "laws": dict(LAWS),
        "violations": [asdict(violation) for violation in violations],
    }


def processes_for(database: Path, large_bytes: int) -> int:
    """How many processes are worth their start: one for what is read in a moment."""
    size = database.stat().st_size if database.is_file() else 0
    return len(os.sched_getaffinity(0)) if size >= large_bytes else 1
