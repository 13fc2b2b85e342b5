"""The command line: `serve` and `demo` start a switch, most of the rest are commands to the one that runs.

The commands talk HTTP to the running server (`sipshop.console.api`) and know nothing of its rooms; only `audit`,
`cdr verify`, `backup` and `restore` can work on a database by themselves, and `check-config` and `doctor` need no
server. What is heavy is imported where it is needed, so that `sipshop booth list` answers at once.
"""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from sipshop import __version__
from sipshop.cli.ask import DEFAULT_TOKEN_FILE, NotLetIn, Refused, Unanswered
from sipshop.cli.codes import AUDIT_EXIT_CODES, DOCTOR_EXIT_CODES, EXIT_CODES, FILE_EXIT_CODES, REFUSED, UNREACHABLE
from sipshop.cli.options import DEFAULT_URL, Json, Settings
from sipshop.cli.screen import fail

OLDEST_PYTHON: Final = (3, 11)
NEWEST_PYTHON: Final = (3, 13)


#: Where each command is: in which module, under which name, and its exit codes; a group tells those of its commands.
_PLACES: Final = {
    "demo": ("serve", "demo", EXIT_CODES),
    "serve": ("serve", "serve", EXIT_CODES),
    "check-config": ("serve", "check_config", EXIT_CODES),
    "doctor": ("serve", "examine", DOCTOR_EXIT_CODES),
    "reload": ("serve", "reload_configuration", EXIT_CODES),
    "carrier": ("serve", "run_carrier", EXIT_CODES),
    "apply": ("worlds", "apply_world", EXIT_CODES),
    "export-world": ("worlds", "export_world", EXIT_CODES),
    "booth": ("desk", "booths", EXIT_CODES),
    "session": ("checkout", "sessions", EXIT_CODES),
    "receipt": ("checkout", "receipts", EXIT_CODES),
    "shift": ("shifts", "shifts", EXIT_CODES),
    "screen": ("screens", "screens", EXIT_CODES),
    "alarm": ("alarms", "alarms", EXIT_CODES),
    "print": ("printing", "prints", EXIT_CODES),
    "print-agent": ("printing", "run_agent", EXIT_CODES),
    "calls": ("calls", "show_calls", EXIT_CODES),
    "cdr": ("records", "cdrs", EXIT_CODES),
    "outbox": ("outbox", "outbox", EXIT_CODES),
    "party": ("parties", "parties", EXIT_CODES),
    "operator": ("people", "operators", EXIT_CODES),
    "registration": ("registrations", "registrations", EXIT_CODES),
    "trunk": ("trunks", "trunks", EXIT_CODES),
    "deck": ("decks", "decks", EXIT_CODES),
    "mapping": ("mappings", "mappings", EXIT_CODES),
    "quote": ("prices", "show_quote", EXIT_CODES),
    "rates": ("rates", "show_rates", EXIT_CODES),
    "poster": ("rates", "write_poster", EXIT_CODES),
    "rerate": ("books", "rerate", EXIT_CODES),
    "statement": ("books", "show_statement", EXIT_CODES),
    "invoice": ("books", "invoices", EXIT_CODES),
    "trace": ("ladder", "trace_messages", EXIT_CODES),
    "limit": ("limits", "limits", EXIT_CODES),
    "alert": ("limits", "alerts", EXIT_CODES),
    "token": ("tokens", "tokens", EXIT_CODES),
    "ban": ("bans", "bans", EXIT_CODES),
    "audit": ("keeping", "audit", AUDIT_EXIT_CODES),
    "backup": ("keeping", "backup", FILE_EXIT_CODES),
    "restore": ("keeping", "restore", FILE_EXIT_CODES),
    "version": ("serve", "show_version", EXIT_CODES),
}


class Commands(TyperGroup):
    """All commands, each made when it is asked for: that of all of them would be a good part of the time they take.

    One that the server does not do, or does not answer, ends with a line and its exit code.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        """The commands, as the help has them."""
        del ctx
        return list(_PLACES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Make a command; for a name that is none all of them, so that the one that was meant can be told."""
        del ctx
        for name in [cmd_name] if cmd_name in _PLACES else _PLACES:
            if name not in self.commands:
                self.commands[name] = made(name)
        return self.commands.get(cmd_name)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except Refused as refusal:
            fail(REFUSED, str(refusal))
        except (Unanswered, NotLetIn) as problem:
            fail(UNREACHABLE, str(problem))


def made(name: str) -> Any:
    """The command of that name, or the group of commands."""
    module, attribute, exit_codes = _PLACES[name]
    found = getattr(import_module(f"{__name__}.{module}"), attribute)
    if isinstance(found, typer.Typer):
        return get_group(found)
    alone = typer.Typer(rich_markup_mode=None, add_completion=False)
    alone.command(name, epilog=exit_codes)(found)
    return get_command(alone)


app = typer.Typer(
    name="sipshop",
    cls=Commands,
    help="The CallShop switch: start it, and work the desk of the one that runs.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # an error is a line, not a box
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
