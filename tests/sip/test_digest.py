"""Challenge and verify: the vectors of RFC 7616 section 3.9.1, nonce counts, stale nonces, hostile credentials."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.sip.digest import Algorithm, DigestServer, Unverified, Verified, answer, ha1
from sipshop.sip.message import UnanswerableChallenge

REALM = "shop.example"
URI = "sip:4930@shop.example"
BOTH = (Algorithm.SHA_256, Algorithm.MD5)
USERS: Mapping[str, Mapping[Algorithm, str]] = {
    name: {algorithm: ha1(algorithm, name, REALM, "secret") for algorithm in Algorithm} for name in ("b1", 'b"1')
}
WRONG = Unverified(stale=False, tried=True)
STALE = Unverified(stale=True, tried=True)
ABSENT = Unverified(stale=False, tried=False)


def source(seed: int = 0) -> Callable[[int], bytes]:
    """Random bytes that are the same every time."""
    drawn = 0

    def draw(length: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.sha256(f"{seed}/{drawn}".encode()).digest()[:length]

    return draw


class Desk:
    """A server and a phone: challenges at one time, verifies at another."""

    def __init__(
        self, *, seed: int = 0, remembered: int = 100, algorithms: Sequence[Algorithm] = (Algorithm.MD5,)
    ) -> None:
        self.server = DigestServer(b"s" * 32, source(seed), remembered=remembered)
        self.algorithms = algorithms

    def challenge(self, now: float = 0.0) -> str:
        return self.server.challenge(REALM, self.algorithms, now)[0][1]

    def verify(self, *values: str, now: float = 0.0, method: str = "INVITE") -> Verified | Unverified:
        return self.server.verify(method, values, REALM, USERS.get, self.algorithms, now)


def credentials(
    challenge: str, *, nc: int = 1, user: str = "b1", password: str = "secret", method: str = "INVITE"
) -> str:
    return answer(challenge, user=user, password=password, method=method, uri=URI, cnonce="c/n+1", nc=nc)


def changed(value: str, **parameters: str | None) -> str:
    """The credentials with parameters written anew, as they stand, or left out."""
    for name, text in parameters.items():
        value = re.sub(rf'(?<=[ ,]){name}=("[^"]*"|[^,]*)(, )?', "", value).removesuffix(", ")
        if text is not None:
            value += f", {name}={text}"
    return value


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        pytest.param("MD5", "8ca523f5e9506fed4657c9700eebdbec", id="MD5"),
        pytest.param("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1", id="SHA-256"),
    ],
)
def test_the_vectors_of_rfc_7616(algorithm: str, response: str) -> None:
    nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
    opaque = "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    realm = "http-auth@example.org"
    value = answer(
        f'Digest realm="{realm}", qop="auth, auth-int", algorithm={algorithm}, nonce="{nonce}", opaque="{opaque}"',
        user="Mufasa",
        password="Circle of Life",
        method="GET",
        uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert f'response="{response}"' in value
    assert f'opaque="{opaque}"' in value
    known = {known: ha1(known, "Mufasa", realm, "Circle of Life") for known in Algorithm}
    server = DigestServer(b"", source())
    # The nonce is not ours, so that the digest is right and the answer is nevertheless no.
    assert server.verify("GET", [value], realm, lambda _: known, BOTH, 0.0) == STALE
    assert server.verify("PUT", [value], realm, lambda _: known, BOTH, 0.0) == WRONG


def test_each_algorithm_has_a_challenge_of_its_own_in_the_order_of_preference() -> None:
    server = DigestServer(b"", source())
    headers = server.challenge('a "b"\\', BOTH, 0.0, stale=True, header="proxy-authenticate")
    assert [name for name, _ in headers] == ["proxy-authenticate"] * 2
    for (_, value), algorithm in zip(headers, ("SHA-256", "MD5"), strict=True):
        assert re.fullmatch(
            rf'Digest realm="a \\"b\\"\\\\", nonce="[0-9a-f]{{60}}", algorithm={algorithm}, qop="auth", stale=true',
            value,
        )


@pytest.mark.parametrize("algorithms", [BOTH, BOTH[::-1], BOTH[:1], BOTH[1:]])
def test_a_right_answer_to_any_of_the_challenges_is_verified(algorithms: Sequence[Algorithm]) -> None:
    desk = Desk(algorithms=algorithms)
    for place in range(len(algorithms)):
        _, challenge = desk.server.challenge(REALM, algorithms, 0.0)[place]
        assert desk.verify("Basic YjE6", credentials(challenge, user='b"1'), now=299.9) == Verified('b"1')


@pytest.mark.scenario(32)
def test_the_next_call_may_use_the_same_nonce() -> None:
    desk = Desk()
    challenge = desk.challenge()
    assert desk.verify(credentials(challenge)) == Verified("b1")
    assert desk.verify(credentials(challenge, nc=2), now=200.0) == Verified("b1")


@pytest.mark.scenario(32)
def test_a_nonce_with_every_character_of_base64_is_answered_as_it_is() -> None:
    """And one of somebody else's is no nonce of ours, whatever is in it."""
    value = credentials('Digest realm="shop", nonce="a+b/c==", qop="auth", algorithm=MD5')
    assert 'nonce="a+b/c=="' in value
    ours = Desk()
    foreign = ours.challenge()
    ours_nonce = re.search(r'nonce="([^"]+)"', foreign)
    assert ours_nonce is not None
    assert ours.verify(credentials(foreign.replace(ours_nonce[1], "a+b/c=="))) == STALE


@given(st.lists(st.integers(1, 2**32 - 1) | st.integers(1, 6), min_size=1, max_size=12))
def test_a_nonce_count_has_to_grow(counts: list[int]) -> None:
    desk = Desk()
    challenge = desk.challenge()
    highest = 0
    for count in counts:
        assert desk.verify(credentials(challenge, nc=count)) == (Verified("b1") if count > highest else STALE)
        highest = max(highest, count)


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 7), st.integers(1, 3)), max_size=30))
def test_forgetting_nonces_never_opens_a_replay(remembered: int, uses: list[tuple[int, int]]) -> None:
    desk = Desk(remembered=remembered)
    challenges = [desk.challenge(now=number / 10) for number in range(8)]
    accepted = set()
    for use in uses:
        number, count = use
        if desk.verify(credentials(challenges[number], nc=count), now=1.0) == Verified("b1"):
            assert use not in accepted
            accepted.add(use)
        assert desk.server.nonces <= remembered


def test_expired_nonces_are_forgotten_when_nobody_comes() -> None:
    desk = Desk()
    assert desk.verify(credentials(desk.challenge(0)), now=1) == Verified("b1")
    desk.server.forget_old(299)
    assert desk.server.nonces == 1
    desk.server.forget_old(300)
    assert desk.server.nonces == 0


def test_old_nonces_are_forgotten_as_new_ones_come() -> None:
    desk = Desk()
    for now in range(0, 3000, 100):
        assert desk.verify(credentials(desk.challenge(now)), now=now) == Verified("b1")
        assert desk.server.nonces <= 3


@pytest.mark.parametrize(
    ("made", "now", "seed", "expected"),
    [
        pytest.param(50.0, 349.999, 0, Verified("b1"), id="in time"),
        pytest.param(50.0, 350.0, 0, STALE, id="too old"),
        pytest.param(50.0, 49.0, 0, STALE, id="from the future"),
        pytest.param(50.0, 50.0, 1, STALE, id="from before a restart"),
    ],
)
def test_a_right_password_on_a_dead_nonce_is_stale(
    made: float, now: float, seed: int, expected: Verified | Unverified
) -> None:
    value = credentials(Desk(seed=0).challenge(now=made))
    assert Desk(seed=seed).verify(value, now=now) == expected


def test_credentials_without_qop_are_good_once_a_nonce() -> None:
    desk = Desk()
    bare = re.sub(r', qop="auth"', "", desk.challenge())
    value = credentials(bare)
    assert "nc=" not in value
    assert desk.verify(value) == Verified("b1")
    assert desk.verify(value) == STALE
    assert desk.verify(credentials(desk.challenge(), nc=1)) == Verified("b1")


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer() -> None:
    desk = Desk()
    challenge = desk.challenge()
    assert desk.verify(credentials(challenge, user="nobody")) == WRONG
    assert desk.verify(credentials(challenge, password="other")) == WRONG
    assert desk.server.nonces == 0
    assert desk.verify(credentials(challenge)) == Verified("b1"), "a failure uses nothing up"


def test_a_failure_on_an_old_nonce_does_not_say_stale() -> None:
    desk = Desk()
    assert desk.verify(credentials(desk.challenge(), password="other"), now=1000.0) == WRONG


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        pytest.param({"username": '"\\b1"'}, Verified("b1"), id="an escape in the name"),
        pytest.param({"username": "b1"}, Verified("b1"), id="a name without quotes"),
        pytest.param({"qop": '"auth"'}, Verified("b1"), id="qop in quotes"),
        pytest.param({"algorithm": '"md5"'}, Verified("b1"), id="the algorithm in quotes and small"),
        pytest.param({"algorithm": None}, Verified("b1"), id="no algorithm is MD5"),
        pytest.param({"extension": "x"}, Verified("b1"), id="a parameter of tomorrow"),
        pytest.param({"algorithm": "SHA-256"}, WRONG, id="an algorithm that was not offered"),
        pytest.param({"algorithm": "SHA-512-256"}, WRONG, id="an algorithm that nobody knows"),
        pytest.param({"qop": "auth-int"}, WRONG, id="a qop that was not offered"),
        pytest.param({"nc": "1g"}, WRONG, id="a count that is no number"),
        pytest.param({"nc": "000000001"}, WRONG, id="a count of nine digits"),
        pytest.param({"nc": None}, WRONG, id="no count"),
        pytest.param({"cnonce": None}, WRONG, id="no cnonce"),
        pytest.param({"nonce": None}, WRONG, id="no nonce"),
        pytest.param({"uri": '"sip:other@h"'}, WRONG, id="another uri than was hashed"),
        pytest.param({"uri": None}, WRONG, id="no uri"),
        pytest.param({"response": None}, WRONG, id="no response"),
        pytest.param({"response": '"é"'}, WRONG, id="a response that is no ASCII"),
        pytest.param({"username": None}, WRONG, id="no name"),
        pytest.param({"realm": '"elsewhere"'}, ABSENT, id="another realm"),
        pytest.param({"realm": None}, ABSENT, id="no realm"),
        pytest.param({"x": '"open'}, ABSENT, id="a quote without an end"),
        pytest.param({"x": "1, x=2"}, ABSENT, id="a parameter that stands twice"),
        pytest.param({"x": ""}, ABSENT, id="a parameter without a value"),
    ],
)
def test_what_phones_and_others_send(parameters: dict[str, str | None], expected: Verified | Unverified) -> None:
    desk = Desk()
    assert desk.verify(changed(credentials(desk.challenge()), **parameters)) == expected


@pytest.mark.parametrize(
    "value", ["", "Digest", "Digest ", "digest x", "Bearer abc", "Digest \udcff=1", "Digest a=\x00"]
)
def test_what_is_no_digest_counts_as_not_there(value: str) -> None:
    assert Desk().verify(value) == ABSENT
    assert Desk().verify() == ABSENT


@given(st.text(max_size=60))
def test_no_text_raises(text: str) -> None:
    assert Desk().verify(f"Digest {text}") == ABSENT


def test_a_request_cannot_make_us_hash_without_end() -> None:
    asked: list[str] = []
    server = DigestServer(b"", source())
    value = credentials(server.challenge(REALM, BOTH[1:], 0.0)[0][1], password="other")
    assert server.verify("INVITE", [value] * 300, REALM, asked.append, BOTH, 0.0) == WRONG
    assert len(asked) == 4


@pytest.mark.parametrize(
    "challenge",
    [
        pytest.param('Basic realm="r"', id="another scheme"),
        pytest.param('Digest realm="r"', id="no nonce"),
        pytest.param('Digest nonce="n"', id="no realm"),
        pytest.param('Digest realm="r", nonce="n", algorithm=MD5-sess', id="another algorithm"),
        pytest.param('Digest realm="r", nonce="n", qop="auth-int"', id="only the body's protection"),
    ],
)
def test_challenges_that_cannot_be_answered(challenge: str) -> None:
    with pytest.raises(UnanswerableChallenge):
        credentials(challenge)
