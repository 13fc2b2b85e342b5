"""What the doctor says of one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_ASKED_AT_ONCE: Final = 16


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "ok"
    DOUBTFUL = "look"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it, if anything."""

    verdict: Verdict
    what: str
    found: str
    remedy: str = ""


good = partial(Finding, Verdict.GOOD)
doubtful = partial(Finding, Verdict.DOUBTFUL)
wrong = partial(Finding, Verdict.WRONG)


def at_once(ask: Callable[[Asked], Answer], asked: Sequence[Asked]) -> list[Answer]:
    """Ask many at a time: each may leave us waiting."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return list(pool.map(ask, asked))
