"""What people and programs are shown: lines, tables, JSON, and how far something is (IO)."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import typer

from sipshop.cli.codes import USAGE

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPE_WIDTH: Final = 240  # a file or a pipe has no edge at which a table has to be folded
_ENDLESS: Final = 10_000  # columns


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


def dialled(call: Mapping[str, Any]) -> str:
    """The number that a call called; of one from outside it is the booth's own.

    >>> dialled({"dialled": "+493055501", "direction": "inbound"})
    'in: +493055501'
    """
    return f"in: {call['dialled']}" if call.get("direction") == "inbound" else str(call["dialled"])


def program() -> str:
    """How we were called, so that a command that we suggest can be pasted."""
    called = Path(sys.argv[0])
    return str(called) if called.name == "sipshop" and not called.is_absolute() else "sipshop"


def read_text(path: Path, what: str) -> str:
    """The text of a file; what is none ends the program with USAGE."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        fail(USAGE, f"the {what} {path} cannot be read: {error.strerror}")
    except UnicodeDecodeError:
        fail(USAGE, f"the {what} {path} cannot be read: it is no UTF-8 text")


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

    table = Table(
        box=box.SIMPLE_HEAD, show_footer=footer, title_justify="left", title_style="bold", caption_justify="left"
    )
    for title in left:
        table.add_column(title, overflow="fold")
    for title in right:
        table.add_column(title, justify="right", overflow="fold", no_wrap=True)
    return table


def add_row(table: Table, *cells: object) -> None:
    """Add a row; None is an empty cell."""
    from rich.text import Text  # noqa: PLC0415 - only who prints a table pays for it

    table.add_row(*(Text("" if cell is None else clean(str(cell))) for cell in cells))


def name_table(table: Table, title: str) -> None:
    """Give a table its title."""
    from rich.text import Text  # noqa: PLC0415 - only who prints a table pays for it

    table.title = Text(clean(title))


def print_table(table: Table, *, spare: Sequence[str] = ()) -> None:
    """Print to the terminal's width, as `fit` makes it, or without folding where there is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - only who prints a table pays for it

    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    fit(table, console, spare)
    console.print(table)


def fit(table: Table, console: Console, spare: Sequence[str]) -> None:
    """Leave out of a table that is too wide the `spare` columns, in their order, and say so below it.

    What is too wide even so is folded: no name and no amount is cut off.
    """
    endless = console.options.update(width=_ENDLESS)
    if console.measure(table, options=endless).maximum > console.width:
        table.padding = (0, 1, 0, 0)
    left_out = []
    for header in spare:
        if console.measure(table, options=endless).maximum <= console.width:
            break
        table.columns[:] = [column for column in table.columns if column.header != header]
        left_out.append(header)
    if left_out:
        table.caption = f"Not shown in so narrow a window: {', '.join(left_out)}"


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show on a terminal, on stderr, that something lasts; what is given tells how much is done, and of how much."""
    if not sys.stderr.isatty():
        yield lambda _done, _whole: None
        return
    from rich.console import Console  # noqa: PLC0415 - only who waits pays for it
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (TextColumn(clean(what), markup=False), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("", total=None)
        yield lambda done, whole: shown.update(task, completed=done, total=whole)


def minutes_of(seconds: int) -> str:
    """A talk in minutes and seconds.

    >>> minutes_of(754)
    '12:34'
    """
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02d}"


@contextmanager
def until_interrupted() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C end a block, and give it a question: whether it goes on.

    It has to ask: Python forgets an interruption that comes while an object is finalized.
    """
    interruptions: list[int] = []

    def interrupt(number: int, _frame: object) -> None:
        interruptions.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with suppress(KeyboardInterrupt):
            yield lambda: not interruptions
    finally:
        signal.signal(signal.SIGINT, before)
