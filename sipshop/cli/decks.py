"""Decks: what everybody sells by; sheets imported into them, and their versions."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES, USAGE
from sipshop.cli.options import Json, Reason, group, wants_json
from sipshop.cli.screen import (
    add_row,
    clean,
    clock,
    complain,
    fail,
    make_table,
    name_table,
    print_facts,
    print_json,
    print_table,
    progress,
    read_text,
)

#: How often a server is asked how far an import is.
_LOOK_S: Final = 0.3
#: So many bad rows are shown; `--rejects` writes all of them.
_SHOWN: Final = 50
_WORDS: Final = {
    "new": "new",
    "up": "dearer",
    "down": "cheaper",
    "increments": "in other increments",
    "terms": "on other terms",
    "renamed": "with another name",
    "blocked": "blocked",
    "withdrawn": "withdrawn",
    "unchanged": "as they were",
    "not_mentioned": "not in the sheet, and stay",
    "scheduled": "of the changes from a later instant on",
    "losing": "of the changes on which somebody loses",
}

decks = group("deck", "Decks: what everybody sells by.")


@decks.command("list", epilog=EXIT_CODES)
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
    print_table(table, spare=("Round",))


@decks.command("show", epilog=EXIT_CODES)
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
    name_table(table, f"Deck {answer['deck']}, version {answer['version']}, {answer['currency']}")
    print_table(table)
    typer.echo(f"{len(answer['shown'])} of {answer['rates']} rates")


DeckName = Annotated[str, typer.Argument(metavar="DECK")]
Version = Annotated[int, typer.Argument(min=1)]


@decks.command("import", epilog=EXIT_CODES)
def import_sheet(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV or XLSX.")],
    *,
    carrier: Annotated[str, typer.Option(metavar="NAME", help="Whose mapping says how the sheet is read.")],
    deck: Annotated[str, typer.Option(metavar="NAME", help="Which deck it changes.")],
    mapping: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A mapping, kept as the carrier's before the sheet is read.")
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Keep it as a draft, to be looked at: see `deck publish`.")
    ] = False,
    at: Annotated[
        str | None, typer.Option(metavar="ISO8601", help="From when it is in force, in the deck's zone. [default: now]")
    ] = None,
    skip_bad: Annotated[
        bool,
        typer.Option("--skip-bad", help="Leave bad rows out; the log names them. [default: all or nothing]"),
    ] = False,
    rejects: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all bad rows there, as CSV.")] = None,
    limit: Annotated[int, typer.Option(min=0, max=1000, help="How many changes are shown.")] = 20,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Import a carrier's rate sheet into a deck: all of it, or nothing if a row is bad."""
    if preview and at is not None:
        raise typer.BadParameter("give --preview or --at, not both: `deck schedule` gives a draft its instant")
    server = Server(context)
    if mapping is not None:
        server.ask("PUT", f"/mappings/{segment(carrier)}", read_text(mapping, "mapping"))
    query = {"carrier": carrier, "file": file.name[-200:], "reason": reason}
    query |= {"at": at} if at is not None else {}
    query |= {name: "true" for name, given in {"publish": not preview, "skip_bad": skip_bad}.items() if given}
    with progress(f"Sending {file}") as tell:
        job = server.upload(f"/decks/{segment(deck)}/imports?{urlencode(query)}", file, tell)
    job = _followed(server, job)
    _write_rejects(server, job, rejects)
    if wants_json(context, as_json):
        bad = server.get(f"/imports/{job['id']}/rejects?limit=1000")["rows"]
        print_json({**job, "changes": _changes(server, job, limit), "rejects": bad})
    else:
        _show_import(server, job, limit)
    if job["state"] in {"refused", "failed"}:
        raise typer.Exit(USAGE)


def _followed(server: Server, job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Ask again and again how far an import is, until it is over."""
    stages = {"reading": "Reading", "comparing": "Comparing", "writing": "Writing"}
    while job["state"] in stages:
        stage = job["state"]
        with progress(stages[stage]) as tell:
            while job["state"] == stage:
                tell(job["done"], job["whole"] or None)
                time.sleep(_LOOK_S)
                job = server.get(f"/imports/{job['id']}")
    return job


def _write_rejects(server: Server, job: Mapping[str, Any], path: Path | None) -> None:
    if path is None:
        return
    content = server.download(f"/imports/{job['id']}/rejects.csv")
    try:
        path.write_bytes(content)
    except OSError as error:
        fail(USAGE, f"{path} cannot be written: {error.strerror}")


def _show_import(server: Server, job: Mapping[str, Any], limit: int) -> None:
    """Tell what came of an import, and end with USAGE where nothing was done."""
    if job["rejected"]:
        _complain_of_rows(server, job)
    if job["state"] == "failed":
        complain(f"{job['file']}: {job['why']}")
        return
    _show_changes(server, job, limit)
    if job["state"] == "refused":
        complain(f"{job['file']}: nothing was done: {_rows(job['rejected'])} bad; mend it, or give --skip-bad")
    elif job["version"] is None:
        typer.echo("Nothing changes.")
    else:
        _tell_version(job)


def _complain_of_rows(server: Server, job: Mapping[str, Any]) -> None:
    for row in server.get(f"/imports/{job['id']}/rejects?limit={_SHOWN}")["rows"]:
        field = f"{row['field']}: " if row["field"] else ""
        complain(f"{job['file']}:{row['line']}: {field}{row['reason']}")
    if job["rejected"] > _SHOWN:
        complain(f"{job['file']}: and {_rows(job['rejected'] - _SHOWN)} more: --rejects FILE writes all of them")


def _tell_version(job: Mapping[str, Any]) -> None:
    name, version = clean(job["deck"]), job["version"]
    told = {
        "draft": f"Version {version} is a draft: `sipshop deck publish {name} {version}` puts it in force, "
        f"`deck schedule` at an instant, `deck discard` lets it go.",
        "scheduled": f"Version {version} waits for its instant: see `sipshop deck versions {name}`.",
        "published": f"Version {version} of {name} is in force.",
    }
    typer.echo(told[job["version_state"]])


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _changes(server: Server, job: Mapping[str, Any], limit: int, kind: str = "") -> list[dict[str, Any]]:
    if not limit:
        return []
    query = urlencode({"limit": limit, "kind": kind})
    found: list[dict[str, Any]] = server.get(f"/imports/{job['id']}/changes?{query}")["changes"]
    return found


def _show_changes(server: Server, job: Mapping[str, Any], limit: int, kind: str = "") -> None:
    """Show how many changes there are of each kind, and the first ones."""
    counts = job["counts"] | {name: job[name] for name in ("unchanged", "not_mentioned") if job["rows"]}
    facts = {word: str(counts[name]) for name, word in _WORDS.items() if counts.get(name)}
    if facts:
        print_facts(facts)
    shown = _changes(server, job, limit, kind)
    if not shown:
        return
    table = make_table("Prefix", "Destination", "Change", "From", "Loses", right=("Old /min", "New /min", "Increments"))
    for change in shown:
        add_row(
            table,
            change["prefix"],
            change["destination"],
            change["kind"],
            clock(change["from"]),
            "; ".join(map(_loss, change["losses"])),
            _price(change["old"]),
            _price(change["new"]),
            _increments(change),
        )
    print_table(table, spare=("Increments",))


def _loss(loss: Mapping[str, Any]) -> str:
    return f"{loss['party']} at {loss['seconds']} s ({loss['sell_deck']} {loss['sell_prefix']}, {loss['source']})"


def _price(rate: Mapping[str, Any] | None) -> str | None:
    if rate is None:
        return None
    return "forbidden" if rate["forbidden"] else str(rate["next_price"])


def _increments(change: Mapping[str, Any]) -> str:
    old, new = (
        "" if rate is None or rate["forbidden"] else f"{rate['first_s']}/{rate['next_s']}"
        for rate in (change["old"], change["new"])
    )
    return f"{old} -> {new}" if change["increments_changed"] else new or old


@decks.command("versions", epilog=EXIT_CODES)
def list_versions(context: typer.Context, deck: DeckName, as_json: Json = False) -> None:
    """Show the versions of a deck: who made them, when and why, and from when they are in force."""
    answer = Server(context).get(f"/decks/{segment(deck)}/versions")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("State", "From", "By", "Of", "Author", "Reason", "Made", right=("Version",))
    for version in answer["versions"]:
        state = "in force" if version["in_force"] else version["state"]
        add_row(
            table,
            state,
            clock(version["valid_from"]),
            version["origin"],
            version["source"],
            version["author"],
            version["reason"],
            clock(version["made_at"]),
            version["version"],
        )
    print_table(table, spare=("Made", "Of"))


def _command(name: str) -> Callable[..., None]:
    """A command that does something with a version, and says what it is then."""

    def run(
        context: typer.Context, deck: DeckName, version: Version, reason: Reason = "", as_json: Json = False
    ) -> None:
        _do(context, deck, version, name, {"reason": reason}, as_json=as_json)

    return run


def _do(
    context: typer.Context, deck: str, version: int, name: str, body: Mapping[str, object], *, as_json: bool
) -> None:
    path = f"/decks/{segment(deck)}/versions/{version}/{name}"
    made = Server(context).ask("POST", path, body, timeout_s=LONG_S)
    if wants_json(context, as_json):
        print_json(made)
        return
    state = "in force" if made["in_force"] else made["state"]
    when = f" from {clock(made['valid_from'])} UTC on" if made["state"] == "scheduled" else ""
    typer.echo(clean(f"Version {made['version']} of {made['deck']} is {state}{when}."))


LONG_S: Final = 300.0  # a deck of a million rates takes a while to read and write

decks.command("publish", epilog=EXIT_CODES, help="Put a draft, or a version that waits, in force now.")(
    _command("publish")
)
decks.command("discard", epilog=EXIT_CODES, help="Let a draft, or a version that waits, go.")(_command("discard"))
decks.command("rollback", epilog=EXIT_CODES, help="Make the rates of an earlier version the next one, in force now.")(
    _command("rollback")
)


@decks.command("schedule", epilog=EXIT_CODES)
def schedule_version(
    context: typer.Context,
    deck: DeckName,
    version: Version,
    *,
    at: Annotated[str, typer.Option(metavar="ISO8601", help="From when, in the deck's zone.")],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Have a draft come into force at an instant, or a version that waits at another one."""
    _do(context, deck, version, "schedule", {"at": at, "reason": reason}, as_json=as_json)


@decks.command("diff", epilog=EXIT_CODES)
def compare_versions(
    context: typer.Context,
    deck: DeckName,
    old: Version,
    new: Version,
    *,
    kind: Annotated[
        str, typer.Option(help="Only these: new, up, down, withdrawn, scheduled, losing, ... [default: all]")
    ] = "",
    limit: Annotated[int, typer.Option(min=0, max=1000, help="How many changes are shown.")] = 50,
    as_json: Json = False,
) -> None:
    """Compare two versions of a deck as they hold from now on, and say who would lose by it."""
    server = Server(context)
    body = {"old": old, "new": new}
    job = server.ask("POST", f"/decks/{segment(deck)}/diff", body, timeout_s=LONG_S)
    if wants_json(context, as_json):
        print_json({**job, "changes": _changes(server, job, limit, kind)})
        return
    _show_changes(server, job, limit, kind)
    if not job["counts"]:
        typer.echo("Nothing differs.")
