"""The wall clock, for what is written down (IO)."""

from __future__ import annotations

import time


def utc_ms() -> int:
    """Milliseconds since the Unix epoch, UTC."""
    return time.time_ns() // 1_000_000
