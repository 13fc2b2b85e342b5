"""What Alembic runs for us: our steps on the connection that `migrations` hands it, in the transaction open there."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

connection = context.config.attributes["connection"]
assert isinstance(connection, Connection), "migrations are run by a start of the server, not from a shell"
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
