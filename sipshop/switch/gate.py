"""Who a request comes from, and who is not heard for a while: digest, and the shield's bans as people see them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sipshop.facts import Fact, MessageDropped, RequestRefused, SourceBanned
from sipshop.proxy.admission import Booth, Cause
from sipshop.sip.digest import DigestServer, Guess, Unverified, Verified
from sipshop.sip.flow import Flow
from sipshop.sip.message import NameAddr, Request
from sipshop.sip.shield import Rules, Shield
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import UserAgent
from sipshop.switch.clock import utc_ms
from sipshop.switch.directory import Directory


@dataclass(frozen=True, slots=True)
class BanStatus:
    """A source from which nothing is heard, or nothing for one account, until an instant (UTC)."""

    source: str
    account: str | None
    until_ms: int


class Gate:
    """Authenticates by source address or digest; guards the user agent with a shield that it keeps informed."""

    def __init__(
        self,
        agent: UserAgent,
        directory: Directory,
        tell: Callable[[Fact], None],
        *,
        secret: bytes,
        random: Callable[[int], bytes],
        rules: Rules,
        utc_ms: Callable[[], int] = utc_ms,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._tell = tell
        self._utc_ms = utc_ms
        self._clock = clock
        self._digest = DigestServer(secret, random)
        self._shield = agent.shield = Shield(rules, self._digest.is_issued_to)
        self.know_the_world()

    @property
    def nonces(self) -> int:
        """Nonces whose counts are remembered."""
        return self._digest.nonces

    def know_the_world(self) -> None:
        """Take from the directory who proves himself by his address: booths and trunks."""
        self._shield.know(self._directory.known_hosts())

    def change(self, rules: Rules) -> None:
        """Take other limits."""
        self._shield.change(rules)

    def tidy(self, now: float) -> None:
        """Forget nonces that have expired; to be called now and then."""
        self._digest.forget_old(now)

    def tell_drops(self) -> None:
        """Tell how much was dropped since the last time: a flood must not cost a fact for each of its messages."""
        for reason, times in self._shield.take_dropped().items():
            self._tell(MessageDropped(reason=reason, times=times))

    def authenticate(self, transaction: ServerTransaction, source: Flow, claimed: NameAddr, now: float) -> Booth | None:
        """The booth that a request comes from, or None: then it was challenged (RFC 3261 section 22)."""
        found = self.examine(transaction.request, source, claimed, now)
        if isinstance(found, Booth):
            return found
        self._agent.turn_away(transaction, source, 401, now, headers=found)
        return None

    def examine(self, request: Request, source: Flow, claimed: NameAddr, now: float) -> Booth | list[tuple[str, str]]:
        """The booth that a request comes from, or the challenges that it has to be answered with a 401."""
        uri, host = claimed.uri, source.remote[0]
        booth = self._directory.booth_of_source(host, uri.user)
        if booth is not None:
            return booth
        realm = self._directory.realm_of(uri.host)
        algorithms = self._directory.algorithms_of(realm)
        verdict = self._digest.verify(
            request.method,
            request.all("authorization"),
            realm,
            lambda user: self._directory.ha1_of(realm, user),
            algorithms,
            now,
        )
        if isinstance(verdict, Verified):
            self._shield.succeeded(source, verdict.user, now)
            booth = self._directory.booth_of_user(realm, verdict.user)
            assert booth is not None, "whose password it is has a name"
            return booth
        if verdict.guess is not None:
            self._note(verdict.guess, source, now)
        why = self._why(verdict, realm)
        cause = Cause.UNAUTHENTICATED.value
        self._tell(RequestRefused(status=401, cause=cause, shop=None, account=uri.user or None, why=why))
        return self._digest.challenge(realm, algorithms, now, stale=verdict.stale, host=host)

    def _why(self, verdict: Unverified, realm: str) -> str:
        """What a request lacks, for the log alone: whoever sent it is told nothing of it."""
        if verdict.stale:
            return "a nonce that is no longer good"
        if verdict.guess is None:
            return "credentials that answer no challenge of ours" if verdict.tried else "no credentials yet"
        is_known = self._directory.ha1_of(realm, verdict.guess.user) is not None
        return "a wrong password" if is_known else f"no booth of that name in the realm {realm}"

    def trust(self, booth: Booth, flow: Flow, now: float) -> None:
        """Take a phone for known that proved itself to an earlier process: its next request is not a stranger's."""
        self._shield.succeeded(flow, booth.name, now)

    def bans(self) -> list[BanStatus]:
        """Every ban that stands, the newest last."""
        now, now_ms = self._clock(), self._utc_ms()
        return [
            BanStatus(ban.source, ban.account, now_ms + round((ban.until_s - now) * 1000))
            for ban in self._shield.bans(now)
        ]

    def lift(self, source: str, account: str | None = None) -> int:
        """End the bans of a source, or only that of one account there; how many there were."""
        return self._shield.lift(source, account)

    def _note(self, guess: Guess, source: Flow, now: float) -> None:
        """A wrong password; after some of them who guesses is not heard for a while."""
        proven = self._digest.is_issued_to(guess.nonce, source.remote[0], now)
        ban = self._shield.failed(source, guess.user, proven=proven, now=now)
        if ban is not None:
            self._tell(SourceBanned(source=ban.source, account=ban.account, seconds=round(ban.until_s - now)))
