"""The wall clock, for what is written down, and one that only goes forward, for who waits elsewhere (IO)."""

from __future__ import annotations

import time


def utc_ms() -> int:
    """Milliseconds since the Unix epoch, UTC."""
    return time.time_ns() // 1_000_000


def steady_s() -> float:
    """Seconds on a clock that nobody sets."""
    return time.monotonic()
