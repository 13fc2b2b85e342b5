"""What the audit asks with: a law is a question for what breaks it, and finds nothing in books that keep it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import text

from sipshop.billing.money import amount_text
from sipshop.store.rows import Row
from sipshop.store.schema import Statement

#: What breaks a law: a tenant, the call, account or transfer of it, and what is wrong, in words.
Breach = tuple[str, str, str]
Find = Callable[[sqlite3.Connection], Iterator[Breach]]


@dataclass(frozen=True, slots=True)
class Check:
    """One question that a law asks; `is_long` says that it reads tables which have rows for every call."""

    law: str
    find: Find
    is_long: bool = False


def question(sql: str, *, given: str = "") -> Statement:
    """Make a statement of SQL that stands here; `given` is what it has in common with others."""
    return Statement(text(given + sql))


def ask(asked: Statement, found: Callable[[Row], str], **values: object) -> Find:
    """Return the check that asks for `tenant` and `subject` of what breaks a law, and tells it by the row."""

    def check(connection: sqlite3.Connection) -> Iterator[Breach]:
        for row in asked.run(connection, values):
            yield row["tenant"], row["subject"], found(row)

    return check


def words(what: str) -> Callable[[Row], str]:
    """Return what is told of every row in the same words."""
    return lambda _row: what


def amount_of(micros: int, currency: str) -> str:
    """Return an amount as the audit tells it."""
    return f"{amount_text(micros, currency)} {currency}"
