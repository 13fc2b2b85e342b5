"""Floods, scanners and guessed passwords: what is thrown away, before any state is made (pure).

Whoever sends datagrams can write anybody's address on them, so an address alone proves nothing. Three rules follow. A
whole source is banned only for failures that answer a challenge of ours which was sent to that very source: who did
that has a return path. For anything less only the pair of source and account is banned. And a source that a phone of
ours is known to be at is never banned, only limited, so that nobody can lock a shop out by writing its address.

A limit is one number: the time at which all that a source has cost us is paid off (the generic cell rate algorithm).
What costs is what was answered or dropped without anybody's being known: challenges, refusals, strays. Calls and
registrations of those who are known cost nothing.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from sipshop.sip.digest import user_of
from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import Request

#: User-Agents of programs that look for servers to rob, in lower case: one that holds such a text is not answered.
SCANNERS: Final = (
    *("friendly-scanner", "friendly-request", "sipvicious", "sip-scan", "sipscan", "sipcli", "sundayddr", "pplsip"),
    *("vaxsipuseragent", "vaxasip", "siparmyknife", "sivus", "iwar"),
)
#: Addresses, pairs and flows that are remembered of each kind; the one that was not seen for longest goes first.
_MOST: Final = 20_000
#: Accounts are the callers' own words: longer ones are cut.
_LONGEST_ACCOUNT: Final = 64
#: How long a flow is known after its last right password: above the longest registration that is usual (seconds).
_KNOWN_S: Final = 3900.0
#: A burst is what a source may cost in this time at its rate (seconds).
_BURST_S: Final = 2.0
_NONCE: Final = re.compile(rb'\bnonce="([0-9a-f]{60})"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The limits; a rate of 0 is none, and so is a number of failures of 0.

    `scanners` are texts in lower case. `failures` wrong passwords for one account from one source within `window_s`
    ban that pair for `ban_s`; `source_failures` that answer challenges sent to that source ban all of it. Without
    being known one source may cost `source_per_s`, all together `total_per_s`, and one that is known `known_per_s`.
    """

    scanners: tuple[str, ...] = SCANNERS
    failures: int = 5
    source_failures: int = 20
    window_s: int = 600
    ban_s: int = 3600
    source_per_s: int = 50
    total_per_s: int = 1000
    known_per_s: int = 5000


@dataclass(frozen=True, slots=True)
class Ban:
    """A source that is not heard, or only not for one account, until a time on the clock of `now`."""

    source: str
    account: str | None
    until_s: float


@dataclass(slots=True)
class _Failures:
    """Wrong passwords since a time, and the ban that they led to."""

    since_s: float
    count: int = 0
    banned_until_s: float = 0.0


class Shield:
    """Says what is dropped, and remembers who cost us what; every table is bounded.

    `is_ours(nonce, host, now)` says whether a nonce is of a challenge of ours that was sent to that host and lives.
    `known` are hosts whose phones and carriers are known by their address alone.
    """

    def __init__(self, rules: Rules | None = None, is_ours: Callable[[str, str, float], bool] | None = None) -> None:
        self._is_ours = is_ours or (lambda _nonce, _host, _now: False)
        self._known_hosts: frozenset[str] = frozenset()
        self._known: OrderedDict[Address, float] = OrderedDict()  # until when
        self._known_at: Counter[str] = Counter()  # flows in `_known` by their source
        self._due: OrderedDict[Address | str, float] = OrderedDict()
        self._total_due_s = 0.0
        self._failures: OrderedDict[tuple[str, str | None], _Failures] = OrderedDict()
        self._banned: Counter[str] = Counter()  # bans by source: nearly always empty, and so nearly always all there is
        self.dropped: Counter[str] = Counter()
        self.change(rules or Rules())

    def change(self, rules: Rules) -> None:
        """Take other limits; bans that stand end when they were to."""
        self._rules = rules
        self._is_scanner = lru_cache(maxsize=512)(lambda text: any(word in text.lower() for word in rules.scanners))

    def know(self, hosts: Iterable[str]) -> None:
        """Take these hosts for known, and no others by their address alone."""
        self._known_hosts = frozenset(hosts)

    # before a message is read

    def admit(self, data: bytes, flow: Flow, now: float) -> bool:
        """Whether bytes are worth reading; where not, why is counted in `dropped`."""
        remote = flow.remote
        until_s = self._known.get(remote)
        if until_s is not None and until_s > now:
            return self._within(remote, self._rules.known_per_s, now)
        host = remote[0]
        source = _source_of(host)
        if host in self._known_hosts:
            return self._within(source, self._rules.known_per_s, now)
        if self._banned and self._is_banned(source, None, now):
            return self._drop("banned")
        rules = self._rules
        is_late = rules.total_per_s and self._total_due_s - now > _BURST_S
        if is_late or (rules.source_per_s and self._due.get(source, 0.0) - now > _BURST_S):
            # who answers a challenge that went to him has no forged address: he has a limit that forgers cannot use up
            nonce = _NONCE.search(data) if b'nonce="' in data else None  # the quick look is a tenth of the search
            if nonce is None or not self._is_ours(nonce[1].decode("ascii"), host, now):
                return self._drop("rate_limited")
            answering = f"{source} answers"
            self._pay(answering, rules.source_per_s, now)
            return self._within(answering, rules.source_per_s, now)
        return True

    # when it was read

    def screen(self, request: Request, flow: Flow, now: float) -> bool:
        """Whether a request outside a dialog may go on; where not, it is not answered and counted in `dropped`."""
        product = request.get("user-agent")
        if product is not None and self._is_scanner(product[:128]):
            self.charge(flow, now)
            return self._drop("scanner")
        source = _source_of(flow.remote[0])
        if source not in self._banned or self._is_known(flow, now):
            return True
        is_banned = any(self._is_banned(source, account, now) for account in _accounts_of(request))
        return not is_banned or self._drop("banned")

    def charge(self, flow: Flow, now: float) -> None:
        """Something from this flow cost us work, and nobody is known to have sent it."""
        rules = self._rules
        if self._is_known(flow, now):
            key = flow.remote if flow.remote in self._known else _source_of(flow.remote[0])
            self._pay(key, rules.known_per_s, now)
            return
        self._pay(_source_of(flow.remote[0]), rules.source_per_s, now)
        if rules.total_per_s:
            self._total_due_s = max(self._total_due_s, now) + 1 / rules.total_per_s

    # what came of a password

    def succeeded(self, flow: Flow, account: str, now: float) -> None:
        """The right password came by this flow: there is a phone of ours."""
        remote = flow.remote
        source = _source_of(remote[0])
        if remote not in self._known:
            self._known_at[source] += 1
        self._known[remote] = now + _KNOWN_S
        self._known.move_to_end(remote)
        while len(self._known) > _MOST:
            self._forget_known(next(iter(self._known)))
        if self._failures:
            self._lift(source, account[:_LONGEST_ACCOUNT])

    def failed(self, flow: Flow, account: str, *, proven: bool, now: float) -> Ban | None:
        """A wrong password came, in answer to a challenge of ours; the ban that this led to, if it did.

        `proven`: that challenge had been sent to this very source, so its address is not forged.
        """
        source = _source_of(flow.remote[0])
        if self._is_known(flow, now) or self._has_phones(source, now):
            return None
        rules = self._rules
        ban = self._count(source, account[:_LONGEST_ACCOUNT], rules.failures, now)
        if proven:
            ban = self._count(source, None, rules.source_failures, now) or ban
        return ban

    # what people see

    def bans(self, now: float) -> list[Ban]:
        """Every ban that stands, the newest last."""
        return [
            Ban(source, account, found.banned_until_s)
            for (source, account), found in self._failures.items()
            if found.banned_until_s > now
        ]

    def lift(self, source: str, account: str | None = None) -> int:
        """End the bans of a source, or only that of one account; how many there were."""
        keys = [key for key in self._failures if key[0] == source and (account is None or key[1] == account)]
        return sum(self._lift(*key) for key in keys)

    def take_dropped(self) -> dict[str, int]:
        """How many messages were dropped since this was asked last, by reason."""
        found = dict(self.dropped)
        self.dropped.clear()
        return found

    def tables(self) -> dict[str, int]:
        """How many entries each table holds."""
        return {"known_flows": len(self._known), "sources": len(self._due), "failures": len(self._failures)}

    # inside

    def _drop(self, reason: str) -> bool:
        self.dropped[reason] += 1
        return False

    def _within(self, key: Address | str, per_s: int, now: float) -> bool:
        return not per_s or self._due.get(key, 0.0) - now <= _BURST_S or self._drop("rate_limited")

    def _pay(self, key: Address | str, per_s: int, now: float) -> None:
        if not per_s:
            return
        self._due[key] = max(self._due.get(key, 0.0), now) + 1 / per_s
        self._due.move_to_end(key)
        if len(self._due) > _MOST:
            self._due.popitem(last=False)

    def _is_known(self, flow: Flow, now: float) -> bool:
        return self._known.get(flow.remote, 0.0) > now or flow.remote[0] in self._known_hosts

    def _has_phones(self, source: str, now: float) -> bool:
        """Whether a phone of ours is at a source, at whatever port; flows whose time is over are forgotten here."""
        while source in self._known_at:
            oldest = next(iter(self._known))
            if self._known[oldest] > now:
                return True  # they stand in the order of their ends
            self._forget_known(oldest)
        return False

    def _forget_known(self, remote: Address) -> None:
        del self._known[remote]
        source = _source_of(remote[0])
        self._known_at[source] -= 1
        if not self._known_at[source]:
            del self._known_at[source]

    def _is_banned(self, source: str, account: str | None, now: float) -> bool:
        if source not in self._banned:
            return False
        found = self._failures.get((source, account))
        if found is None or not found.banned_until_s:
            return False
        if found.banned_until_s <= now:
            self._lift(source, account)
            return False
        return not self._has_phones(source, now)

    def _count(self, source: str, account: str | None, most: int, now: float) -> Ban | None:
        found = self._failures.get((source, account))
        if found is None or (not found.banned_until_s and now - found.since_s > self._rules.window_s):
            found = self._failures[source, account] = _Failures(now)
            while len(self._failures) > _MOST:
                self._lift(*next(iter(self._failures)))
        found.count += 1
        self._failures.move_to_end((source, account))
        if not most or found.count < most or found.banned_until_s > now:
            return None
        if not found.banned_until_s:
            self._banned[source] += 1
        found.banned_until_s = now + self._rules.ban_s
        return Ban(source, account, found.banned_until_s)

    def _lift(self, source: str, account: str | None) -> bool:
        """Forget a pair's failures; whether there was a ban."""
        found = self._failures.pop((source, account), None)
        if found is None or not found.banned_until_s:
            return False
        self._banned[source] -= 1
        if not self._banned[source]:
            del self._banned[source]
        return True


def _accounts_of(request: Request) -> Iterator[str]:
    """The accounts that a request claims: of its credentials, or, where it has none, of To and From."""
    claimed = [user for value in request.all("authorization") if (user := user_of(value))]
    for user in claimed or (request.to.uri.user, request.from_.uri.user):
        if user:
            yield user[:_LONGEST_ACCOUNT]


@lru_cache(maxsize=4096)
def _source_of(host: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 that somebody has of IPv6."""
    if ":" not in host:
        return host
    address = IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> 64 << 64)}/64"
