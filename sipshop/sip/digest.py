"""Digest access authentication: challenge and verify, and a client's answer (RFC 7616 and 8760, RFC 3261 section 22).

The server keeps nothing about a challenge until it was answered rightly: a nonce proves by its own HMAC that it is
ours and how old it is. Only then is its nonce count remembered, in a table of bounded size.

The digest's `uri` is taken from the credentials and not compared with the Request-URI: gateways and SIPp send another
one there, and the nonce count is what protects from replay.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sipshop.sip.message import Response, UnanswerableChallenge


class Algorithm(StrEnum):
    """A digest algorithm, spelt as it goes on the wire."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"


_ALGORITHMS: Final = {algorithm.value.lower(): algorithm for algorithm in Algorithm}
#: One parameter after the other: (name, quoted value, token, what is no parameter and all that follows it).
_PARAMETERS: Final = re.compile(
    r"""[ \t]*([A-Za-z0-9*_\-]+)[ \t]*=[ \t]*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|([^ \t,"]+))[ \t]*(?:,|\Z)|([\s\S]+)"""
)
_NONCE: Final = re.compile(r"([0-9a-f]{12})([0-9a-f]{16})([0-9a-f]{32})\Z")
_NONCE_COUNT: Final = re.compile(r"[0-9A-Fa-f]{1,8}\Z")
#: Stands in the nonce-count table where no count may follow: above every count of eight hex digits.
_USED_UP: Final = 1 << 32
#: A challenge's header field by the status that brings it, and the one that answers it (RFC 3261 section 22).
_HEADERS: Final = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}
#: The algorithms that a client answers, the strongest last; the place is the strength.
_STRENGTH: Final = {algorithm.value.lower(): place for place, algorithm in enumerate(Algorithm)}
#: Nonces whose counts a client remembers, and challenges of one response that it reads: there is one of each.
_MOST_NONCES: Final = 8
_MOST_CHALLENGES: Final = 8
#: Credentials for our realm that one request may make us compute; a second is a phone that answers two algorithms.
_MOST_CREDENTIALS: Final = 4


@dataclass(frozen=True, slots=True)
class Verified:
    """The request carries the right digest on a nonce of ours; `user` is the digest's user name."""

    user: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """The request is to be challenged.

    `stale`: the password was right but the nonce is old, foreign or used up, so a phone may answer again without
    asking anyone. `tried`: credentials for our realm were there. `guess`: a wrong password, in answer to a challenge of
    ours that was alive.
    """

    stale: bool
    tried: bool
    guess: Guess | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Guess:
    """Whose password was not right, whether there is such a user or not, and the nonce that was answered."""

    user: str
    nonce: str


def ha1(algorithm: Algorithm, user: str, realm: str, password: str) -> str:
    """What a server stores instead of a password: the hash of user, realm and password, in lower-case hex.

    >>> ha1(Algorithm.MD5, "Mufasa", "http-auth@example.org", "Circle of Life")
    '3d78807defe7de2157e2b0b6573a855f'
    """
    return _hash(algorithm, f"{user}:{realm}:{password}")


class DigestServer:
    """Challenges requests and verifies what comes back.

    `secret` and 16 bytes of `random` make the key of this server's nonces: after a restart, when the nonce counts are
    gone, the nonces of before are foreign, so nothing recorded then can be replayed. `lifetime_s` counts from the
    challenge. At most `remembered` nonces are kept with their counts; when more are in use, those challenged no later
    than the forgotten one turn stale, which costs a phone one more round trip and never opens a replay.
    """

    def __init__(
        self, secret: bytes, random: Callable[[int], bytes], *, lifetime_s: int = 300, remembered: int = 100_000
    ) -> None:
        self._sealer = hmac.new(hmac.digest(secret, random(16), "sha256"), digestmod="sha256")
        self._random = random
        self._lifetime_ms = lifetime_s * 1000
        self._remembered = remembered
        self._counts: dict[str, int] = {}  # in the order of first use
        self._forgotten_ms = -1
        self._nobody = {algorithm: _hash(algorithm, random(32).hex()) for algorithm in Algorithm}

    @property
    def nonces(self) -> int:
        """Nonces whose counts are remembered."""
        return len(self._counts)

    def forget_old(self, now: float) -> None:
        """Drop the counts of nonces that have expired; they come to nothing whoever shows them."""
        now_ms = int(now * 1000)
        while self._counts and now_ms - int(next(iter(self._counts))[:12], 16) >= self._lifetime_ms:
            del self._counts[next(iter(self._counts))]

    def challenge(
        self,
        realm: str,
        algorithms: Sequence[Algorithm],
        now: float,
        *,
        stale: bool = False,
        header: str = "www-authenticate",
        host: str = "",
    ) -> list[tuple[str, str]]:
        """One header an algorithm, in the order of preference (RFC 8760 section 2.4), all with the same new nonce.

        `now` is in seconds on any clock that does not run backwards, the same as for `verify`; `host` is the address
        that the challenge goes to.
        """
        quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
        tail = ', qop="auth", stale=true' if stale else ', qop="auth"'
        head = f'Digest realm="{quoted}", nonce="{self._new_nonce(now, host)}", algorithm='
        return [(header, f"{head}{algorithm}{tail}") for algorithm in algorithms]

    def verify(  # noqa: PLR0917  # two sequences and a clock would say less by keyword
        self,
        method: str,
        authorizations: Sequence[str],
        realm: str,
        lookup: Callable[[str], Mapping[Algorithm, str] | None],
        algorithms: Sequence[Algorithm],
        now: float,
    ) -> Verified | Unverified:
        """Whether one of the credentials is right for `realm`, `lookup` giving a user's HA1 by algorithm.

        An unknown user costs the same work as a known one and gets the same answer. Credentials without `qop`, as
        phones after RFC 2069 send them, are good once a nonce. Those that cannot be read count as not there.
        """
        tried = 0
        stale = False
        guess: Guess | None = None
        for value in authorizations:
            given = _parse(value)
            if given is None or _unescape(given.get("realm", "")) != realm:
                continue
            tried += 1
            if tried > _MOST_CREDENTIALS:
                break
            user = _unescape(given.get("username", ""))
            if not self._is_right(given, method, lookup(user), algorithms):
                nonce = given.get("nonce", "")
                if self._made_ms(nonce, now) is not None:
                    guess = Guess(user, nonce)
                continue
            if self._spend(given["nonce"], int(given["nc"], 16) if "qop" in given else _USED_UP, now):
                return Verified(user)
            stale = True
        return Unverified(stale=stale, tried=tried > 0, guess=guess)

    def is_issued_to(self, nonce: str, host: str, now: float) -> bool:
        """Whether a nonce is of a challenge of ours that went to this host and is alive: he has heard it there."""
        return nonce[20:28] == self._seal(f"{nonce[:20]}@{host}")[:8] and self._made_ms(nonce, now) is not None

    def _is_right(
        self,
        given: Mapping[str, str],
        method: str,
        known: Mapping[Algorithm, str] | None,
        algorithms: Sequence[Algorithm],
    ) -> bool:
        algorithm = _ALGORITHMS.get(given.get("algorithm", "md5").lower())
        if algorithm is None or algorithm not in algorithms:
            return False
        nonce, uri, response = given.get("nonce"), given.get("uri"), given.get("response")
        if nonce is None or uri is None or response is None or not response.isascii():
            return False
        if "qop" in given:
            count, cnonce = given.get("nc", ""), given.get("cnonce")
            if given["qop"].lower() != "auth" or cnonce is None or not _NONCE_COUNT.match(count):
                return False
            middle = f"{nonce}:{count}:{cnonce}:{given['qop']}"
        else:
            middle = nonce
        stored = known.get(algorithm) if known is not None else None
        expected = _hash(
            algorithm, f"{stored or self._nobody[algorithm]}:{middle}:{_hash(algorithm, f'{method}:{uri}')}"
        )
        return hmac.compare_digest(expected, response.lower()) and stored is not None

    def _new_nonce(self, now: float, host: str) -> str:
        """The time, a random number, a mark of the host that nobody else can make, and a seal of all that."""
        made = f"{int(now * 1000):012x}{self._random(4).hex()}"
        made += self._seal(f"{made}@{host}")[:8]
        return made + self._seal(made)

    def _seal(self, made: str) -> str:
        seal = self._sealer.copy()  # a copy of a keyed hash costs a fraction of a new one
        seal.update(made.encode("utf-8", "surrogateescape"))
        return seal.digest()[:16].hex()

    def _made_ms(self, nonce: str, now: float) -> int | None:
        """When a nonce was made, if it is ours and alive."""
        match = _NONCE.match(nonce)
        if match is None or not hmac.compare_digest(self._seal(match[1] + match[2]), match[3]):
            return None
        made_ms = int(match[1], 16)
        return made_ms if 0 <= int(now * 1000) - made_ms < self._lifetime_ms else None

    def _spend(self, nonce: str, count: int, now: float) -> bool:
        """Remember `count` for the nonce if the nonce is ours, alive, and was never used with it or a higher one."""
        made_ms = self._made_ms(nonce, now)
        if made_ms is None:
            return False
        last = self._counts.get(nonce)
        if last is None:
            if made_ms <= self._forgotten_ms:
                return False
            self._make_room(now)
        elif count <= last:
            return False
        self._counts[nonce] = count
        return True

    def _make_room(self, now: float) -> None:
        self.forget_old(now)
        while len(self._counts) >= self._remembered:
            oldest = next(iter(self._counts))
            self._forgotten_ms = max(self._forgotten_ms, int(oldest[:12], 16))
            del self._counts[oldest]


def answer(challenge_value: str, *, user: str, password: str, method: str, uri: str, cnonce: str, nc: int = 1) -> str:
    """The Authorization value that answers one challenge (RFC 7616 section 3.4), with `qop=auth` where it is offered.

    `nc` counts the requests that were sent with this challenge's nonce, from 1.

    Raises:
        UnanswerableChallenge: no Digest, no realm or nonce, another algorithm, or only `auth-int` offered.
    """
    given = _parse(challenge_value)
    if given is None or "realm" not in given or "nonce" not in given:
        raise UnanswerableChallenge("the challenge is no Digest with a realm and a nonce")
    if _strength(given) < 0:
        raise UnanswerableChallenge(f"the challenge's algorithm {given['algorithm']!r} is not known")
    if not _is_answerable(given):
        raise UnanswerableChallenge(f"the challenge's qop {given['qop']!r} has no auth")
    return _answer(given, user=user, password=password, method=method, uri=uri, cnonce=cnonce, nc=nc)


def _answer(given: Mapping[str, str], *, user: str, password: str, method: str, uri: str, cnonce: str, nc: int) -> str:
    """The credentials for a challenge that can be answered (RFC 7616 section 3.4)."""
    algorithm = _ALGORITHMS[given.get("algorithm", "md5").lower()]
    offered = bool(given.get("qop"))
    middle = f"{given['nonce']}:{nc:08x}:{cnonce}:auth" if offered else given["nonce"]
    secret = ha1(algorithm, user, _unescape(given["realm"]), password)
    response = _hash(algorithm, f"{secret}:{middle}:{_hash(algorithm, f'{method}:{uri}')}")
    quoted = user.replace("\\", "\\\\").replace('"', '\\"')
    parts = [
        f'Digest username="{quoted}"',
        f'realm="{given["realm"]}"',
        f'nonce="{given["nonce"]}"',
        f'uri="{uri}"',
        f'response="{response}"',
        f"algorithm={given.get('algorithm', algorithm)}",
    ]
    if offered:
        parts += ["qop=auth", f"nc={nc:08x}", f'cnonce="{cnonce}"']
    if "opaque" in given:
        parts.append(f'opaque="{given["opaque"]}"')
    return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client answers challenges with: good for `realm` only; None is the first realm that asks."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None


class DigestClient:
    """Answers the challenges of one peer; `token` gives a new random token each time.

    Of a realm's challenges it takes the strongest that it knows, whatever their order. It keeps the realm that it once
    answered, so that nobody else on the way of a call gets an answer, and counts how often it used a nonce.
    """

    def __init__(self, credentials: Credentials, token: Callable[[], str]) -> None:
        self._credentials = credentials
        self._token = token
        self._realm = credentials.realm
        self._counts: dict[str, int] = {}  # by nonce

    def begin(self) -> Authorization:
        """What answers the challenges to one request."""
        return Authorization(self)

    def choose(self, response: Response) -> dict[str, str] | None:
        """The challenge of a 401 or 407 that is to be answered, or None where we can answer none."""
        best: dict[str, str] | None = None
        for value in response.all(_HEADERS[response.status][0])[:_MOST_CHALLENGES]:
            given = _parse(value)
            if given is None or not _is_answerable(given):
                continue
            if self._realm is None and best is not None and given["realm"] != best["realm"]:
                continue  # the first realm that asks
            if self._realm is not None and _unescape(given["realm"]) != self._realm:
                continue
            if best is None or _strength(given) > _strength(best):
                best = given
        return best

    def answer(self, challenge: Mapping[str, str], method: str, uri: str) -> str:
        """The credentials for a challenge that `choose` gave."""
        self._realm = _unescape(challenge["realm"])
        nonce = challenge["nonce"]
        count = self._counts[nonce] = self._counts.pop(nonce, 0) + 1
        while len(self._counts) > _MOST_NONCES:
            del self._counts[next(iter(self._counts))]
        who = self._credentials
        return _answer(
            challenge, user=who.username, password=who.password, method=method, uri=uri, cnonce=self._token(), nc=count
        )


class Authorization:
    """The credentials of one request on its way through challenge after challenge.

    A second challenge to what was answered is a refusal, unless it says that only the nonce was stale, and then a
    third is one.
    """

    def __init__(self, client: DigestClient) -> None:
        self._client = client
        self._challenges: dict[str, dict[str, str]] = {}  # by the header field that answers
        self._tries: dict[str, int] = {}

    def hear(self, response: Response, method: str, uri: str) -> list[tuple[str, str]] | None:
        """The header fields with which to send the request again, or None: then the response is final."""
        if response.status not in _HEADERS:
            return None
        challenge, header = self._client.choose(response), _HEADERS[response.status][1]
        if challenge is None:
            return None
        tries = self._tries[header] = self._tries.get(header, 0) + 1
        if tries > 2 or (tries == 2 and challenge.get("stale", "").lower() != "true"):
            return None
        self._challenges[header] = challenge
        return self.renew(method, uri)

    def renew(self, method: str, uri: str) -> list[tuple[str, str]]:
        """The same credentials for the request that is sent again for another reason, their nonces counted on."""
        return [(name, self._client.answer(given, method, uri)) for name, given in self._challenges.items()]


def _is_answerable(challenge: Mapping[str, str]) -> bool:
    if "realm" not in challenge or "nonce" not in challenge:
        return False
    offered = challenge.get("qop")
    return _strength(challenge) >= 0 and (not offered or "auth" in _options(offered))


def _strength(challenge: Mapping[str, str]) -> int:
    return _STRENGTH.get(challenge.get("algorithm", "md5").lower(), -1)


def _options(qop: str) -> list[str]:
    return [option.strip().lower() for option in qop.split(",")]


def user_of(authorization: str) -> str | None:
    r"""The user whom credentials name, right or wrong, or None where they name none or cannot be read.

    >>> user_of('Digest realm="x", USERNAME = "booth\\1"')
    'booth1'
    """
    given = _parse(authorization)
    return _unescape(given["username"]) if given is not None and "username" in given else None


def _parse(value: str) -> dict[str, str] | None:
    """The parameters of a Digest challenge or credentials, or None where it is neither.

    Quotes are taken off and escapes left in, which is what the hash is made of (`unq` of RFC 7616 section 3.3).
    """
    if value[:7].lower() != "digest ":
        return None
    found: dict[str, str] = {}
    for spelling, quoted, token, rest in _PARAMETERS.findall(value, 7):
        name = spelling.lower()
        if rest or name in found:
            return None
        found[name] = quoted or token
    return found


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text) if "\\" in text else text


def _hash(algorithm: Algorithm, text: str) -> str:
    data = text.encode("utf-8", "surrogateescape")
    if algorithm is Algorithm.MD5:
        return hashlib.md5(data, usedforsecurity=False).hexdigest()
    return hashlib.sha256(data).hexdigest()
