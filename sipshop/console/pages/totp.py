"""The codes of a second factor: TOTP (RFC 6238), six digits of HMAC-SHA-1 every 30 seconds; pure."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

STEP_MS: Final = 30_000
DIGITS: Final = 6
_SECRET_BYTES: Final = 20  # RFC 4226 section 4, R6
#: A code of the step before or after is taken too: clocks differ, and typing takes time (RFC 6238 section 5.2).
_NEARBY: Final = (0, -1, 1)


def new_secret(random: Callable[[int], bytes]) -> str:
    """Make a secret, in base32 as people type it into their telephones."""
    return base64.b32encode(random(_SECRET_BYTES)).decode("ascii")


def is_secret(text: str) -> bool:
    """Say whether a text is a secret as `new_secret` makes them."""
    try:
        return len(base64.b32decode(text)) == _SECRET_BYTES
    except (binascii.Error, ValueError):
        return False


def code(secret: str, step: int, digits: int = DIGITS) -> str:
    """Return the code of a step: the instant in UTC over 30 s.

    >>> code(base64.b32encode(b"12345678901234567890").decode(), 59 // 30, digits=8)  # RFC 6238 appendix B
    '94287082'
    """
    mac = hmac.digest(base64.b32decode(secret), step.to_bytes(8, "big"), "sha1")
    offset = mac[-1] & 0x0F  # RFC 4226 section 5.3
    number = int.from_bytes(mac[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}}"


def matched_step(secret: str, given: str, now_ms: int, *, after: int) -> int | None:
    """Return the step whose code was given, one later than `after`, which was used; None if it is none of now."""
    digits = "".join(given.split())
    for nearby in _NEARBY:
        step = now_ms // STEP_MS + nearby
        if step > after and hmac.compare_digest(code(secret, step).encode(), digits.encode()):
            return step
    return None


def uri(secret: str, name: str, issuer: str) -> str:
    """Return what an authenticator takes in: otpauth://totp/..."""
    query = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer, safe='')}:{quote(name, safe='')}?{query}"
