"""The options that many commands have, and those that stand before the command."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from sipshop.cli.codes import EXIT_CODES

DEFAULT_URL: Final = "http://127.0.0.1:8080"
AMOUNTS_BELOW_ZERO: Final = {"ignore_unknown_options": True}  # -5.00 is no option

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


def wants_json(context: typer.Context, as_json: bool) -> bool:
    """Whether --json stands before the command or after it."""
    settings: Settings = context.obj
    return as_json or settings.as_json


def group(name: str, about: str) -> typer.Typer:
    """An empty group of commands."""
    return typer.Typer(
        name=name, help=about, no_args_is_help=True, epilog=EXIT_CODES, rich_markup_mode=None, add_completion=False
    )
