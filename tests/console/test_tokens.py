import secrets

import pytest

from sipshop.console.tokens import Identity, TokenCache, hash_token, identify, new_token


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
    known = {hash_token("abc"): ("acme", "provider")}
    assert identify("abc", known.get) == Identity("acme", "provider", "provider/ba7816bf")
    assert identify("abcd", known.get) is None


class Book:
    """A `TokenLookup` that knows every token, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, sha256: str) -> tuple[str, str]:
        self.asked.append(sha256)
        return "acme", "provider"


@pytest.fixture
def book() -> Book:
    return Book()


def test_what_was_found_is_not_asked_again(book: Book) -> None:
    cache = TokenCache(book)
    assert [cache("one"), cache("one")] == [("acme", "provider")] * 2
    assert book.asked == ["one"]
    cache.forget()
    cache("one")
    assert book.asked == ["one", "one"]


def test_what_was_not_found_is_asked_again() -> None:
    known: dict[str, tuple[str, str]] = {}
    cache = TokenCache(known.get)
    assert cache("one") is None
    known["one"] = ("acme", "provider")
    assert cache("one") == ("acme", "provider")


def test_the_longest_unused_is_forgotten_first(book: Book) -> None:
    cache = TokenCache(book, size=2)
    for sha256 in ("one", "two", "one", "three", "one", "two"):
        cache(sha256)
    assert book.asked == ["one", "two", "three", "two"]
