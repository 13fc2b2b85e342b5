"""Bearer tokens: what a program shows instead of a password (RFC 6750).

Only the SHA-256 of a token is ever stored or compared; the token has 256 random bits, so its plain hash cannot be
searched and needs no salt.
"""

from __future__ import annotations

import base64
import hashlib
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

    The author is the person whose it is, else its role and the first digits of its hash, which give nothing away.
    """
    found = lookup(hash_token(token))
    if found is None or not is_valid(found, now_ms):
        return None
    return Identity(found, found.operator or f"{found.role}/{found.sha256[:8]}")


def is_valid(token: Token, now_ms: int) -> bool:
    """Say whether a token lets anybody in at this instant."""
    return token.revoked_at_ms is None and (token.expires_at_ms is None or now_ms < token.expires_at_ms)
