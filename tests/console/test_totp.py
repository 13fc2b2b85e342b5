"""The codes of a second factor, held against the vectors of the RFC."""

import base64

import pytest

from sipshop.console.pages.totp import STEP_MS, code, is_secret, matched_step, new_secret, uri

SECRET = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("at_s", "digits"),
    [
        (59, "94287082"),
        (1111111109, "07081804"),
        (1111111111, "14050471"),
        (1234567890, "89005924"),
        (2000000000, "69279037"),
        (20000000000, "65353130"),
    ],
)
@pytest.mark.rfc("6238", "B")
def test_the_vectors_of_the_rfc(at_s: int, digits: str) -> None:
    assert code(SECRET, at_s // 30, digits=8) == digits
    assert code(SECRET, at_s // 30) == digits[2:]


NOW_MS = 59_000


@pytest.mark.parametrize(
    ("given", "after", "step"),
    [
        ("287082", 0, 1),
        ("287 082 ", 0, 1),
        pytest.param(code(SECRET, 2), 0, 2, id="of the next step"),
        pytest.param(code(SECRET, 3), 0, None, id="of one that is too far"),
        pytest.param("287082", 1, None, id="used already"),
        pytest.param("", 0, None, id="nothing"),
        pytest.param("\u0662\u0668\u0667\u0660\u0668\u0662", 0, None, id="digits that are not compared"),
    ],
)
def test_a_code_is_taken_once_near_its_time(given: str, after: int, step: int | None) -> None:
    assert matched_step(SECRET, given, NOW_MS, after=after) == step


def test_a_secret_is_one() -> None:
    made = new_secret(lambda size: b"x" * size)
    assert is_secret(made)
    assert not any(map(is_secret, ("", "1", made[:-8], f"{made}AAAAAAAA", "é" * 32)))
    assert matched_step(made, code(made, 7), 7 * STEP_MS, after=6) == 7


def test_an_authenticator_is_told_whose_it_is() -> None:
    assert uri("ABC", "ana b", "sipshop") == "otpauth://totp/sipshop:ana%20b?secret=ABC&issuer=sipshop"
