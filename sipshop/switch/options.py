"""How the switch runs: what bounds its calls, what its phones may do, what strangers may cost it."""

from __future__ import annotations

from dataclasses import dataclass, field

from sipshop.sip.shield import Rules
from sipshop.switch.meter import SLICE_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the switch runs: `process` names this run, `max_calls` bounds its live calls, `max_call_s` each talk.

    A talk is granted in slices of `slice_s` while somebody in its chain can run out of money. New calls are refused
    while the event loop lags by more than `overload_lag_s`. So many `redirects` of a carrier are followed at a try.
    `shield` says what strangers may cost us. Phones are asked every `keepalive_s` whether they are there. The rest is
    how long and how often they are registered.
    """

    process: str
    max_calls: int
    max_call_s: int
    slice_s: int = SLICE_S
    overload_lag_s: float = 1.0
    redirects: int = 0
    bindings_per_booth: int = 5
    registration_least_s: int = 60
    registration_most_s: int = 3600
    shield: Rules = field(default_factory=Rules)
    keepalive_s: int = 0
