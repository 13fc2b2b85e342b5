"""What states, inputs and actions are made of."""

from __future__ import annotations

from enum import Enum


class Word(Enum):
    """A member of a state machine's vocabulary, quick to look up in its table.

    Members are single objects, so their identity is a fine hash; that of Enum hashes the name anew at each look-up.
    """

    __hash__ = object.__hash__
