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

from sipshop.store import Token

TokenLookup = Callable[[str], Token | None]
"""The token with this SHA-256 in hexadecimal, or None; whether it still opens anything is not asked here."""

_PREFIX: Final = "sipshop_"  # so that a secret scanner, and a person, knows what leaked
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """Who sends a command: the token that let him in, and the name that the desk's log keeps."""

    token: Token
    author: str

    @property
    def tenant(self) -> str:
        """Whose world he may see at all."""
        return self.token.tenant

    @property
    def role(self) -> str:
        """What he is: provider, reseller, owner or operator."""
        return self.token.role


def new_token(random: Callable[[int], bytes]) -> str:
    """Make a token from a source of random bytes (`secrets.token_bytes`)."""
    return _PREFIX + base64.urlsafe_b64encode(random(_TOKEN_BYTES)).decode("ascii").rstrip("=")


def hash_token(token: str) -> str:
    """Return the SHA-256 of a token in hexadecimal, by which it is stored."""
    return hashlib.sha256(token.encode()).hexdigest()


def identify(token: str, lookup: TokenLookup, now_ms: int) -> Identity | None:
    """Say whose a token is at this instant (UTC), None for one that is unknown, revoked or past its end.

    The author is its role and the first digits of its hash, which give nothing away.
    """
    found = lookup(hash_token(token))
    if found is None or not is_valid(found, now_ms):
        return None
    return Identity(found, f"{found.role}/{found.sha256[:8]}")


def is_valid(token: Token, now_ms: int) -> bool:
    """Say whether a token lets anybody in at this instant."""
    return token.revoked_at_ms is None and (token.expires_at_ms is None or now_ms < token.expires_at_ms)


class TokenCache:
    """A `TokenLookup` that asks another one only for tokens that it does not remember.

    Only tokens that were found are remembered, at most `size` of them, so that nobody fills it by guessing. `forget`
    has to follow whatever withdraws a token.
    """

    def __init__(self, lookup: TokenLookup, *, size: int = 1024) -> None:
        self._lookup = lookup
        self._size = size
        self._known: OrderedDict[str, Token] = OrderedDict()

    def __call__(self, sha256: str) -> Token | None:
        """Return the token with this hash, or None."""
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
