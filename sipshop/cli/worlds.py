"""The world that runs: made what a file says, and written to one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Refused, Server
from sipshop.cli.codes import USAGE
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import clean, complain, fail, print_json, progress

MAX_WORLD_BYTES: Final = 10_000_000  # the server reads no more
APPLY_TIMEOUT_S: Final = 300.0  # a large world takes a while to read

_SIGNS: Final = {"add": "+", "remove": "-"}


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
    server = Server(context)
    try:
        with progress(f"The server reads {world}"):
            answer = server.ask("POST", f"/world?{urlencode(query)}", text, timeout_s=APPLY_TIMEOUT_S)
    except Refused as refusal:
        if refusal.problem["code"] != "bad_world":
            raise
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


def export_world(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where to write it. [default: the screen]")] = None,
    as_json: Json = False,
) -> None:
    """Write the running world as a file that `apply` takes, passwords masked: applied, it changes nothing.

    As JSON, which is YAML too, `apply` takes it as well.
    """
    text = Server(context).download("/world").decode()
    if wants_json(context, as_json):
        import yaml  # noqa: PLC0415 - only who wants another form of it pays for it

        text = json.dumps(yaml.safe_load(text), indent=2) + "\n"
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(USAGE, f"{file} cannot be written: {error.strerror}")


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
