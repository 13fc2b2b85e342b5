import secrets
from dataclasses import replace

import pytest

from sipshop.console.tokens import hash_token, identify, new_token
from sipshop.store import Token
from tests.console.memory import OPENED_AT_MS, token_of

ABC = token_of("abc", party="acme", role="provider")


def test_a_token_is_made_of_the_bytes_it_is_given() -> None:
    assert new_token(bytes) == "sipshop_" + "A" * 43
    assert new_token(lambda size: b"\xff" * size) == "sipshop_" + "_" * 42 + "8"


def test_a_new_token_is_one_word_that_a_header_can_carry() -> None:
    token = new_token(secrets.token_bytes)
    assert token.isascii()
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_the_hash_is_sha_256_in_hexadecimal() -> None:
    assert hash_token("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1


def test_a_token_speaks_for_its_tenant_and_its_author_does_not_give_it_away() -> None:
    known = {ABC.sha256: ABC}
    found = identify("abc", known.get, OPENED_AT_MS)
    assert found is not None
    assert (found.tenant, found.role, found.author) == ("acme", "provider", "provider/ba7816bf")
    assert identify("abcd", known.get, OPENED_AT_MS) is None


@pytest.mark.parametrize(
    ("token", "opens"),
    [
        pytest.param(ABC, True, id="without end"),
        pytest.param(replace(ABC, expires_at_ms=OPENED_AT_MS + 1), True, id="in its last moment"),
        pytest.param(replace(ABC, expires_at_ms=OPENED_AT_MS), False, id="at its end"),
        pytest.param(replace(ABC, revoked_at_ms=OPENED_AT_MS - 1), False, id="revoked"),
    ],
)
def test_a_token_has_an_end(token: Token, opens: bool) -> None:
    assert (identify("abc", {token.sha256: token}.get, OPENED_AT_MS) is not None) is opens
