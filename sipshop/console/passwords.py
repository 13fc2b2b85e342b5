"""Passwords of people: argon2id (RFC 9106), on threads of their own and few at a time, so that no call waits for them.

It takes the same time whether there is such a person or not.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

#: Long before clever (NIST SP 800-63B); what is longer than that nobody types.
MIN_LENGTH: Final = 10
MAX_LENGTH: Final = 200

#: 19 MiB, two passes, one lane: what OWASP asks for at least; about 20 ms, and all that two logins at once may take.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_THREADS: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="argon2")
#: What nobody's password makes; compared with where there is nobody.
_NOBODY: Final = _HASHER.hash("nobody has this password: it is compared with where there is no login")


async def hash_password(password: str) -> str:
    """Return what is kept of a password."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _HASHER.hash, password)


async def is_password(kept: str | None, password: str) -> bool:
    """Say whether a password is the one that was kept; of nobody, None, none is."""
    return await asyncio.get_running_loop().run_in_executor(_THREADS, _matches, kept, password)


def _matches(kept: str | None, password: str) -> bool:
    try:
        _HASHER.verify(kept or _NOBODY, password)
    except (VerificationError, InvalidHashError):
        return False
    return kept is not None
