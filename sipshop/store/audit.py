"""The audit: the laws of the books, held against a whole database at one instant.

Calls, charges and transfers, of which there are millions, go through a sieve first; the laws about them are asked of
what stays in it. The other laws are asked of the whole database.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from sipshop.store import doubts, settled, tills, whole
from sipshop.store.asking import Check
from sipshop.store.connect import Tell, connect_reader, secret_of, tell_nobody
from sipshop.store.errors import Unusable
from sipshop.store.prices import Prices
from sipshop.store.sieve import Part, Sifted, parts_of, sift

LAWS: Final[Mapping[str, str]] = {
    "I1": "An attempt has one CDR at most, and no call is alive that has one.",
    "I2": "A talked call is charged at every level from its booth to the carrier; nothing else is charged.",
    "I3": "A balance is the sum of the account's transfers, and every charge has its transfer.",
    "I4": "What live calls hold, they hold on accounts that are there.",
    "I5": "No account is owed more, with what live calls hold on it, than its credit limit allows.",
    "I6": "All balances of a currency come to nothing together.",
    "I7": "A charge is what the call's talk time costs by the tariff that the call kept.",
    "I8": "A transfer has a key that says what it is for, once in the tenant, and stays as it was written.",
    "I9": "The margins of a call and the tax in it come to what its booth paid less what its carrier gets.",
    "I10": "Every CDR is in the outbox, and each target has what it should up to where it stands.",
    "I11": "An invoice is as it was written, and comes to what moved on its account in its period.",
    "I12": "A seller's invoices are numbered one after the other, and their periods do not meet.",
    "I13": "A bill that was paid is what stood on it, and what stood besides calls has its transfer.",
    "I14": "A shop's receipts are numbered one after the other, one for a payment, and say what was paid.",
    "I15": "What customers have handed over is in the book of the till, in the shift of whoever took it.",
    "I16": "A shift has one Z report, numbered and as it was written, which comes to what moved in its drawer.",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """A law that does not hold: `subject` is the call, account or transfer of a tenant ("" for the database itself)."""

    law: str
    tenant: str
    subject: str
    text: str


#: From here on other processes are worth their start.
LARGE_BYTES: Final = 100_000_000
#: How many parts of the books each process has, one after the other.
_PARTS_EACH: Final = 2
_ORDER: Final = {law: number for number, law in enumerate(LAWS)}
_WHOLE: Final = (*whole.CHECKS, *settled.CHECKS, *tills.CHECKS)
_SHORT: Final = tuple(check for check in _WHOLE if not check.is_long)
LONG: Final = tuple(check for check in _WHOLE if check.is_long)


def audit_file(path: Path, tell: Tell = tell_nobody, *, others: int = 0) -> list[Violation]:
    """Audit a database, whether a server runs on it or not; `tell` hears how much is done, and of how much.

    So many other processes share the work, if there are any. What one of them asks of the whole database it asks at a
    commit that need not be that of the next: a law holds after every one.

    Raises:
        NewerSchema, OlderSchema: another sipshop made it.
        Unusable: it is not there, damaged, or no database of ours.
    """
    try:
        with closing(connect_reader(path)) as connection:
            if secret_of(connection, path) is None:
                raise Unusable(path, "there is nothing in it")
            if not others:
                return audit(connection, tell)
            with one_commit(connection):
                return _audit_together(connection, path, tell, others)
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error


def audit(connection: sqlite3.Connection, tell: Tell = tell_nobody, *, parts: int = 8) -> list[Violation]:
    """Return every breach, in the order of the laws; all questions see the same commit.

    The books go through the sieve in so many parts, between which `tell` hears of it.
    """
    with one_commit(connection):
        sifted, prices = Sifted(), Prices()
        steps = parts + len(LONG)
        for number, part in enumerate(parts_of(connection, parts)):
            tell(number, steps)
            sifted.add(sift(connection, prices, part))
        found: list[Violation] = []
        for number, check in enumerate(LONG, parts):
            tell(number, steps)
            found += broken(connection, [check])
        return judged(connection, sifted, found)


def _audit_together(connection: sqlite3.Connection, path: Path, tell: Tell, others: int) -> list[Violation]:
    """Have each piece of work done by the next process that is free, those first that last long.

    The parts are those of the commit that we see, and rows are appended only; what a later commit shows of them in
    another way is doubted at most, and judged by ours.
    """
    sifted = Sifted()
    found: list[Violation] = []
    with ProcessPoolExecutor(others, mp_context=get_context("spawn")) as pool:
        sieves = [pool.submit(_sifted, path, part) for part in parts_of(connection, others * _PARTS_EACH)]
        checks = [pool.submit(_checked, path, number) for number in range(len(LONG))]
        made: list[Future[Sifted] | Future[list[Violation]]] = [*sieves, *checks]
        for done, _ in enumerate(as_completed(made), 1):
            tell(done, len(made))
        for sieve in sieves:
            sifted.add(sieve.result())
        for check in checks:
            found += check.result()
    return judged(connection, sifted, found)


def judged(connection: sqlite3.Connection, sifted: Sifted, found: list[Violation]) -> list[Violation]:
    """Return what is found already and what the laws find in the rest, in the order of the laws."""
    doubts.set_aside(connection, sifted)
    found += broken(connection, (*_SHORT, *doubts.CHECKS))
    return sorted(found, key=lambda violation: _ORDER[violation.law])


def broken(connection: sqlite3.Connection, checks: Iterable[Check]) -> list[Violation]:
    """Return what checks find."""
    return [Violation(check.law, *breach) for check in checks for breach in check.find(connection)]


@contextmanager
def one_commit(connection: sqlite3.Connection) -> Iterator[None]:
    """Let all that is read be of one commit, and keep nothing that was set aside."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


# What the other processes do; each raises sqlite3.Error.


@cache
def _prices() -> Prices:
    """The prices that a process has worked out, for all its parts."""
    return Prices()


def _sifted(path: Path, part: Part) -> Sifted:
    """What a part comes to."""
    with closing(connect_reader(path)) as connection, one_commit(connection):
        return sift(connection, _prices(), part)


def _checked(path: Path, number: int) -> list[Violation]:
    """What a check of the whole database finds."""
    with closing(connect_reader(path)) as connection, one_commit(connection):
        connection.execute("PRAGMA cache_size=-65536")
        return broken(connection, [LONG[number]])
