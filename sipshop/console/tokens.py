"""Bearer tokens: what a program shows instead of a password (RFC 6750).

Only the SHA-256 of a token is ever stored or compared; the token has 256 random bits, so its plain hash cannot be
searched and needs no salt.
"""

from __future__ import annotations

import base64
import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TokenLookup = Callable[[str], tuple[str, str] | None]
"""(tenant, role) of the token with this SHA-256 in hexadecimal, or None."""

_PREFIX: Final = "sipshop_"  # so that a secret scanner, and a person, knows what leaked
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a command: the tenant whose world it may see, its role, and the name that the desk's log keeps."""

    tenant: str
    role: str
    author: str


def new_token(random: Callable[[int], bytes]) -> str:
    """Make a token from a source of random bytes (`secrets.token_bytes`)."""
    return _PREFIX + base64.urlsafe_b64encode(random(_TOKEN_BYTES)).decode("ascii").rstrip("=")


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal, by which it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def identify(token: str, lookup: TokenLookup) -> Identity | None:
    """Say whose a token is; the author is its role and the first digits of its hash, which give nothing away."""
    sha256 = hash_token(token)
    found = lookup(sha256)
    if found is None:
        return None
    tenant, role = found
    return Identity(tenant, role, f"{role}/{sha256[:8]}")


class TokenCache:
    """A `TokenLookup` that asks another one only for tokens that it does not remember.

    Only tokens that were found are remembered, at most `size` of them, so that nobody fills it by guessing. `forget`
    has to follow whatever withdraws a token.
    """

    def __init__(self, lookup: TokenLookup, *, size: int = 1024) -> None:
        self._lookup = lookup
        self._size = size
        self._known: OrderedDict[str, tuple[str, str]] = OrderedDict()

    def __call__(self, sha256: str) -> tuple[str, str] | None:
        """Return the tenant and role of the token with this hash, or None."""
        found = self._known.get(sha256)
        if found is not None:
            self._known.move_to_end(sha256)
            return found
        found = self._lookup(sha256)
        if found is not None:
            self._known[sha256] = found
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return found

    def forget(self) -> None:
        """Ask anew for every token."""
        self._known.clear()
