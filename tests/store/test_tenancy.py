"""Whose it is comes first: in every key, in every write and in every method of the store. A newcomer is held to it."""

import ast
import inspect
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Final, get_type_hints

import pytest
from sqlalchemy import Table

import sipshop.store
from sipshop.billing.cdr import Cdr
from sipshop.store import Store, decks, floor, logins, printing, screens, till, writes
from sipshop.store.schema import METADATA

# What belongs to the installation and so to no tenant, each with its reason.
TABLES_OF_NOBODY: Final = {
    "meta": "notes of the file about itself",
    "processes": "a process serves all tenants",
    "farewells": "a dialog is the peer's and ours, whoever pays for its call",
    "alembic_version": "the schema is one for all tenants",
}
WRITES_OF_NOBODY: Final = {
    "Heartbeat": "a process serves all tenants",
    "ProcessStarted": "a process serves all tenants",
}
METHODS_OF_NOBODY: Final = {
    "open": "opens the file",
    "close": "closes the file",
    "start": "starts the journal",
    "flush": "hurries the journal",
    "submit": "the write names the tenant",
    "commit": "the write names the tenant",
    "load": "the world names the tenant",
    "is_empty": "the start, for all tenants",
    "worlds": "the start, for all tenants",
    "open_sessions": "the start, for all tenants",
    "unpaid_sessions": "the start, for all tenants",
    "accounts": "the start, for all tenants",
    "audit": "the books of all tenants",
    "publish_due": "the start, for all tenants",
    "scheduled_versions": "the start, for all tenants",
    "disk": "one file for all tenants",
    "bindings": "the start, for all tenants",
    "farewells": "the start, for all tenants",
    "dead_calls": "the start, for all tenants",
    "limits": "the start, for all tenants",
    "token": "the token tells the tenant",
    "valid_tokens": "the start, for all tenants",
    "logins": "the start, for all tenants",
    "web_sessions": "the start, for all tenants",
    "screens": "the start, for all tenants",
    "notes": "the start, for all tenants",
    "open_bills": "the start, for all tenants",
    "open_alarms": "the start, for all tenants",
    "open_shifts": "the start, for all tenants",
}

WRITES: Final = [
    value
    for module in (writes, decks, floor, logins, printing, screens, till)
    for value in vars(module).values()
    if inspect.isclass(value) and is_dataclass(value) and value.__module__ == module.__name__
]
METHODS: Final = [name for name, _ in inspect.getmembers(Store, inspect.isroutine) if not name.startswith("_")]


@pytest.mark.parametrize("table", METADATA.sorted_tables, ids=str)
def test_a_key_begins_with_the_tenant(table: Table) -> None:
    first = next(iter(table.primary_key)).name
    assert (first == "tenant") is (table.name not in TABLES_OF_NOBODY)


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_a_write_begins_with_the_tenant(write: type) -> None:
    first = fields(write)[0]
    names_tenant = first.name == "tenant" or get_type_hints(write)[first.name] is Cdr
    assert names_tenant is (write.__name__ not in WRITES_OF_NOBODY)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_begins_with_the_tenant(name: str) -> None:
    arguments = [name for name in inspect.signature(getattr(Store, name)).parameters if name != "self"]
    assert (arguments[:1] == ["tenant"]) is (name not in METHODS_OF_NOBODY)


def test_the_exceptions_are_there() -> None:
    assert set(TABLES_OF_NOBODY) <= set(METADATA.tables)
    assert set(WRITES_OF_NOBODY) <= {write.__name__ for write in WRITES}
    assert set(METHODS_OF_NOBODY) <= set(METHODS)


def test_no_sql_is_put_together_from_values() -> None:
    """Whatever is executed is a plain string, or the text of a statement that was compiled from Core."""
    executed = [
        (file.name, ast.unparse(call.args[0]))
        for file in Path(sipshop.store.__file__).parent.glob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in {"execute", "executemany", "execute_fetchall", "executescript"}
        and not isinstance(call.args[0], ast.Constant)
    ]
    assert sorted(executed) == [
        ("schema.py", "self.text"),
        ("schema.py", "self.text"),
        ("store.py", "query.text"),
        ("store.py", "statement"),  # one of schema_statements()
    ]
