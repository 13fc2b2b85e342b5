"""The walls of the house that import-linter cannot draw; the layers themselves stand in pyproject.toml.

Every module is pure unless a line below says otherwise, so a new file is held to the rules from its first day. A wall
that finds nothing proves nothing: each rule is also shown a breach.
"""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

HOUSE: Final = Path(__file__).parent.parent / "sipshop"

# A name in these tables stands for the module and everything below it.
IO: Final = frozenset(
    {
        "sipshop.__main__",
        "sipshop.app",
        "sipshop.cli",
        "sipshop.console",
        "sipshop.demo",
        "sipshop.doctor",
        "sipshop.export.command",
        "sipshop.export.couriers",
        "sipshop.export.formats",
        "sipshop.export.spool",
        "sipshop.export.webhook",
        "sipshop.greeting",
        "sipshop.load",
        "sipshop.logs",
        "sipshop.metrics",
        "sipshop.printing.agent",
        "sipshop.printing.devices",
        "sipshop.printing.raster",
        "sipshop.printing.thermal",
        "sipshop.sip.endpoint",
        "sipshop.sip.lookup",
        "sipshop.sip.transport",
        "sipshop.sip.veil",
        "sipshop.store",
        "sipshop.switch",
        "sipshop.tls",
        "sipshop.web",
        "sipshop.workbook",
    }
)
CLOCK_READERS: Final = frozenset({"sipshop.sip.endpoint", "sipshop.switch"})
SQL_SPEAKERS: Final = frozenset({"sipshop.store"})

# Rooms that know less of the house than their layer would let them.
KNOWS_ONLY: Final = {
    "sipshop.billing": frozenset({"sipshop.facts"}),  # money is counted without SIP
    "sipshop.demo": frozenset(
        {"sipshop.media", "sipshop.sip"}
    ),  # the demo carrier is a stranger to us, as a real one is
}

# The standard library's doors to the world, to chance and to time: shut in pure rooms.
DOORS: Final = frozenset(
    {
        *("asyncio", "concurrent", "multiprocessing", "queue", "sched", "signal", "subprocess", "threading"),
        *("http", "select", "selectors", "socket", "socketserver", "ssl"),
        *("glob", "io", "mmap", "os", "shutil", "sqlite3", "sys", "tempfile"),
        *("random", "secrets", "time", "uuid"),
        "logging",
    }
)
# Third-party packages that a pure room may use: they compute, and do nothing else.
PURE_PACKAGES: Final = {"yaml": frozenset({"sipshop.config", "sipshop.world"})}
SQL: Final = frozenset({"sqlite3", "sqlalchemy", "aiosqlite"})

BUILTIN_DOORS: Final = frozenset({"breakpoint", "input", "open", "print"})
FILE_METHODS: Final = frozenset({"read_bytes", "read_text", "write_bytes", "write_text"})
# perf_counter is no clock but a stop watch: it tells how long our own work took, never what time it is.
CLOCKS: Final = frozenset(
    {
        *("time.time", "time.time_ns", "time.monotonic", "time.monotonic_ns", "time.localtime", "time.gmtime"),
        *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today"),
    }
)


@dataclass(frozen=True, slots=True)
class Module:
    """One file of the house: its dotted name, and its text."""

    name: str
    text: str
    is_package: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Breach:
    """What is wrong, and where; printed by the test that fails."""

    module: str
    line: int
    why: str

    def __str__(self) -> str:
        return f"{self.module}:{self.line}: {self.why}"


def modules() -> list[Module]:
    """Every module of the house, read from its file."""
    found = []
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE.parent).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        found.append(Module(name, path.read_text(encoding="utf-8"), is_package))
    return found


def within(name: str, rooms: frozenset[str]) -> bool:
    """Whether a dotted name is one of these rooms or lies in one."""
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def top(name: str) -> str:
    """The first part of a dotted name."""
    return name.partition(".")[0]


def imports(module: Module, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that a module imports, wherever in its text; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = module.name.split(".")
                package = package[: len(package) - node.level + module.is_package]
                base = ".".join([*package, base] if base else package)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def uses(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    """(line, name as written, name in full) of every name read; in full means by way of the module's imports.

    After `from time import monotonic as m`, m is time.monotonic in full. A name that was not imported has none: "".
    """
    full: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {name.asname or top(name.name): name.name if name.asname else top(name.name) for name in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            full |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name):
            written = ast.unparse(node)
            first, dot, rest = written.partition(".")
            yield node.lineno, written, f"{full[first]}{dot}{rest}" if first in full else ""


def breaches(module: Module) -> list[Breach]:
    """Everything in one module that breaks a wall."""
    tree = ast.parse(module.text)
    found = {
        Breach(module.name, line, why) for line, why in [*import_breaches(module, tree), *use_breaches(module, tree)]
    }
    return sorted(found)


def import_breaches(module: Module, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, why) of each import that a wall forbids."""
    is_pure = not within(module.name, IO)
    for line, name in imports(module, tree):
        if top(name) == "sipshop":
            if is_pure and within(name, IO):
                yield line, f"a pure module imports {name}, which does IO"
            yield from ((line, f"{room} must not know {name}") for room in strangers(module.name, name))
            continue
        if top(name) in SQL and not within(module.name, SQL_SPEAKERS):
            yield line, f"only sipshop.store speaks SQL, but here is {name}"
        if is_pure and (top(name) in DOORS or name.startswith("urllib.request")):
            yield line, f"a pure module imports {name}"
        elif (
            is_pure
            and top(name) not in sys.stdlib_module_names
            and not within(module.name, PURE_PACKAGES.get(top(name), frozenset()))
        ):
            yield line, f"a pure module imports the package {name}"


def strangers(importer: str, imported: str) -> Iterator[str]:
    """The rooms that the importer lies in and that must not know the imported module."""
    for room, known in KNOWS_ONLY.items():
        if within(importer, frozenset({room})) and not within(imported, known | {room}):
            yield room


def use_breaches(module: Module, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, why) of each use of a clock, a file or the terminal that a wall forbids."""
    is_pure = not within(module.name, IO)
    for line, written, full in uses(tree):
        if full in CLOCKS and not within(module.name, CLOCK_READERS):
            yield line, f"{full} is read here; time is an argument"
        if is_pure and written.rpartition(".")[2] in FILE_METHODS:
            yield line, f"a pure module touches a file: {written}"
    for node in ast.walk(tree):
        if is_pure and isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in BUILTIN_DOORS:
            yield node.lineno, f"a pure module calls {node.func.id}()"


@pytest.mark.parametrize("module", [pytest.param(module, id=module.name) for module in modules()])
def test_the_walls_stand(module: Module) -> None:
    assert [str(breach) for breach in breaches(module)] == []


@pytest.mark.parametrize(
    "room", sorted({*IO, *CLOCK_READERS, *SQL_SPEAKERS, *KNOWS_ONLY, "sipshop.config", "sipshop.world"})
)
def test_every_room_in_the_tables_is_there(room: str) -> None:
    """A table that names a room which has moved would guard an empty place."""
    assert room in {module.name for module in modules()}


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("sipshop.sip.message", "import asyncio", "a pure module imports asyncio"),
        ("sipshop.sip.message", "def f():\n  from os import path", "a pure module imports os.path"),
        ("sipshop.billing.money", "import urllib.request", "a pure module imports urllib.request"),
        ("sipshop.proxy.brand_new", "import httpx", "a pure module imports the package httpx"),
        ("sipshop.billing.deck", "import yaml", "a pure module imports the package yaml"),
        (
            "sipshop.sip.dialog",
            "from .endpoint import X",
            "a pure module imports sipshop.sip.endpoint.X, which does IO",
        ),
        ("sipshop.sip.dialog", "from . import transport", "a pure module imports sipshop.sip.transport, which does IO"),
        ("sipshop.billing.cdr", "from sipshop.sip import leg", "sipshop.billing must not know sipshop.sip.leg"),
        ("sipshop.demo.carrier", "from sipshop.store import X", "sipshop.demo must not know sipshop.store.X"),
        ("sipshop.console.api", "import sqlalchemy", "only sipshop.store speaks SQL, but here is sqlalchemy"),
        ("sipshop.app", "import time\nnow = time.monotonic", "time.monotonic is read here; time is an argument"),
        ("sipshop.app", "from time import time as t\nt()", "time.time is read here; time is an argument"),
        (
            "sipshop.console",
            "from datetime import UTC, datetime\ndatetime.now(UTC)",
            "datetime.datetime.now is read here; time is an argument",
        ),
        ("sipshop.world", "text = open('x')", "a pure module calls open()"),
        ("sipshop.world", "def f(path):\n  return path.read_text()", "a pure module touches a file: path.read_text"),
    ],
)
def test_a_breach_is_seen(name: str, text: str, why: str) -> None:
    assert why in [breach.why for breach in breaches(Module(name, text))]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sipshop.sip.endpoint", "import asyncio, time\ntime.monotonic()"),
        ("sipshop.store.journal", "import sqlite3, threading, time\ntime.perf_counter()"),
        ("sipshop.world", "import yaml\nfrom sipshop.billing.deck import RateDeck"),
        ("sipshop.billing.cdr", "from datetime import UTC, datetime\ndatetime.fromtimestamp(0, UTC)"),
        ("sipshop.demo.carrier", "from sipshop.sip.message import Request"),
        ("sipshop.sip.transaction", "def f(time, input):\n  return time.time, input"),
    ],
)
def test_what_is_allowed_is_left_alone(name: str, text: str) -> None:
    assert breaches(Module(name, text)) == []
