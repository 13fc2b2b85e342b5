"""From the tables of an older sipshop to ours, with all that is in them: forward only, in one transaction.

Each schema version has its step in `versions/`, a migration of Alembic. Alembic is imported when there is something to
do, and never in a start that finds its own tables. A new database is made by `schema` at once; a test holds that both
ways come to the same tables.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from sipshop.store.backup import copy
from sipshop.store.connect import connect_writer
from sipshop.store.errors import Unusable, Unwritable
from sipshop.store.schema import SCHEMA_VERSION, alembic_version, table_statements

logger = logging.getLogger(__name__)

STEPS: Final = Path(__file__).parent


def upgrade(path: Path, found: int, *, steps: Path = STEPS, wanted: int = SCHEMA_VERSION) -> Path:
    """Bring a database from version `found` to `wanted` by the migrations in `steps`, or leave it as it was.

    Nobody else may use it. A copy of it as it was is made first; returns where.

    Raises:
        Unwritable: the disk does not let us.
        Unusable: a step cannot be done with what is in it.
    """
    kept = path.with_name(f"{path.name}.schema{found}")
    logger.warning("%s is upgraded from schema %d to %d; as it was it stays in %s", path, found, wanted, kept)
    copy(path, kept)
    try:
        with closing(connect_writer(path)) as connection:
            # A step that makes a table anew would take the rows that refer to it along; they are looked at in the end.
            connection.execute("PRAGMA foreign_keys=OFF")
            with _transaction(connection) as shared:
                _note_alembics_version(connection, found)
                _run(shared, steps, str(wanted))
                _check_references(connection, path)
                noted = {"value": str(wanted).encode()}
                connection.execute("UPDATE meta SET value = :value WHERE key = 'schema_version'", noted)
    except sqlite3.OperationalError as error:
        raise Unwritable(f"{path} cannot be upgraded: {error}") from error
    except sqlite3.Error as error:
        raise Unusable(path, f"it cannot be upgraded: {error}") from error
    return kept


def _check_references(connection: sqlite3.Connection, path: Path) -> None:
    stray = connection.execute("PRAGMA foreign_key_check").fetchone()
    if stray is not None:
        raise Unusable(path, f"it cannot be upgraded: a row of {stray[0]} refers to one of {stray[2]} that is gone")


def _note_alembics_version(connection: sqlite3.Connection, found: int) -> None:
    """Schema 2 was before Alembic's time, and has no table for it."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (alembic_version.name,)).fetchone() is None:
        for statement in table_statements(alembic_version):
            connection.execute(statement)
        connection.execute("INSERT INTO alembic_version VALUES (?)", (str(found),))


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[Connection]:
    """A transaction on the connection as SQLAlchemy sees it: all that is done in the block, or nothing of it.

    Alembic commits none that it finds begun.
    """
    connection.row_factory = None
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.begin() as shared:
        connection.execute("BEGIN IMMEDIATE")
        yield shared


def _run(shared: Connection, steps: Path, wanted: str) -> None:
    """Let Alembic do its steps in the transaction that is open."""
    from alembic import command  # noqa: PLC0415 - half a second that no other start should take
    from alembic.config import Config  # noqa: PLC0415 - likewise

    config = Config()
    config.set_main_option("script_location", str(steps).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = shared
    try:
        command.upgrade(config, wanted)
    except DBAPIError as error:
        raise error.orig or error from error
