"""Schema 2, the one that databases had when migrations began: there is nothing to do for it."""

from __future__ import annotations

revision = "2"
down_revision = None


def upgrade() -> None:
    """Do nothing: who comes from here has these tables."""
