"""What the switch shows of itself: values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothStatus:
    """A booth at this instant.

    `registered` counts the bindings of its phone; `dialled` and `seconds` tell of its oldest live call, `seconds` None
    until it is answered; `opened_at_ms` is UTC.
    """

    booth: str
    shop: str
    state: Literal["locked", "open", "in call"]
    suspended: bool
    registered: int
    currency: str
    session_id: int | None
    opened_at_ms: int | None
    opened_by: str | None
    dialled: str | None
    seconds: int | None
    live_calls: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether calls and commands can be taken, and why not."""

    ready: bool
    recovering: bool
    writable: bool
    draining: bool
    why: str
