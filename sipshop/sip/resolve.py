"""Where a SIP URI leads (RFC 3263 section 4, RFC 2782): what DNS is asked, and in which order hosts are tried.

Pure: what DNS has said and what time it is are arguments. `plan` asks for what it still has to know, again and again
with more known, and ends with the targets; `Answers` keeps what was heard, and `Shunned` who was found to be down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal

from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import Uri

#: What DNS said is believed no longer than this, and no shorter: a TTL of zero would mean a question for each call.
LONGEST_TTL_S: Final = 86_400.0
SHORTEST_TTL_S: Final = 5.0
#: How long it is believed that a name has no such records, at most (RFC 2308 section 5).
LONGEST_NEGATIVE_S: Final = 300.0
#: An answer that has expired is better than none, for so long, and is asked for again that often (RFC 8767 section 5).
STALE_S: Final = 86_400.0
RETRY_S: Final = 30.0
#: Names that are remembered: the latest.
KEPT_ANSWERS: Final = 4096
#: How long an address that did not answer is tried last, and how many of them are remembered.
SHUN_S: Final = 60.0
KEPT_SHUNNED: Final = 1024
#: Records of one answer that are looked at: nobody needs more, and an answer may be an attack.
MOST_RECORDS: Final = 32

_PORTS: Final = {"UDP": 5060, "TCP": 5060, "TLS": 5061}
_SERVICES: Final = {"SIP+D2U": "UDP", "SIP+D2T": "TCP", "SIPS+D2T": "TLS"}
_SRV: Final = {"UDP": "_sip._udp", "TCP": "_sip._tcp", "TLS": "_sips._tcp"}

Kind = Literal["NAPTR", "SRV", "A", "AAAA"]


@dataclass(frozen=True, slots=True)
class Question:
    """A name, without a dot at its end and in lower case, and the kind of record that is asked for."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Naptr:
    """One NAPTR record (RFC 3403): `flags` and `service` as they came, `replacement` the name to ask for next."""

    order: int
    preference: int
    flags: str
    service: str
    replacement: str


@dataclass(frozen=True, slots=True)
class Srv:
    """One SRV record (RFC 2782); a `target` of "" says that there is no such service."""

    priority: int
    weight: int
    port: int
    target: str


Record = Naptr | Srv | str  # a text is the IP address of an A or AAAA record
Records = tuple[Record, ...]
Known = Callable[[Question], Records | None]
"""What is known of a question: its records, none of them where there are none, or None where it was never answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Whom to reach: a domain or an IP literal, and what of port and transport was said."""

    host: str
    port: int | None = None
    transport: str | None = None  # "UDP", "TCP" or "TLS"
    is_secure: bool = False  # sips: nothing but TLS will do

    @classmethod
    def of(cls, uri: Uri) -> Wanted:
        """Whom a URI names; transports are understood in any case, and `sips` with `transport=tcp` is TLS.

        >>> from sipshop.sip.message import parse_uri
        >>> Wanted.of(parse_uri("sip:carrier.example;transport=UDP")).transport
        'UDP'
        """
        is_secure = uri.scheme == "sips"
        host = uri.params.get("maddr") or uri.host
        named = "TLS" if is_secure else (uri.transport.upper() if uri.transport else None)
        return cls(host=host.strip("[]").rstrip(".").lower(), port=uri.port, transport=named, is_secure=is_secure)


@dataclass(frozen=True, slots=True)
class Target:
    """One address to try: `name` is the domain that a certificate of its has to be for (RFC 5922 section 7.3)."""

    transport: str
    address: Address
    name: str

    def flow(self, local: Address) -> Flow:
        """The flow to it from an address of ours."""
        return Flow(self.transport, local, self.address, name=self.name if self.transport == "TLS" else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """Either `questions` that have to be answered first, or `targets` in the order in which they are to be tried.

    Neither: there is no way, and `why` says in a few words what was missing. `is_old`: DNS has not said so now, but did
    once or never.
    """

    questions: tuple[Question, ...] = ()
    targets: tuple[Target, ...] = ()
    why: str = ""
    is_old: bool = False


def plan(
    wanted: Wanted,
    known: Known,
    pick: Callable[[int], int],
    *,
    families: Sequence[int] = (4, 6),
    transports: Sequence[str] = ("UDP", "TCP", "TLS"),
) -> Plan:
    """What to do next to reach somebody.

    `pick(n)` gives a random number below n and decides between records of one priority, by their weights. `families`
    and `transports` are those that we can use, in the order that we prefer where DNS does not say.
    """
    usable = [transport for transport in transports if not wanted.is_secure or transport == "TLS"]
    if wanted.transport is not None and wanted.transport not in usable:
        return Plan(why=f"we do not speak {wanted.transport}")
    default = "TLS" if wanted.is_secure else "UDP"
    if is_ip(wanted.host):
        transport = wanted.transport or default
        return Plan(targets=(Target(transport, (wanted.host, wanted.port or _PORTS[transport]), wanted.host),))
    if wanted.port is not None:
        hosts = [(wanted.transport or default, wanted.host, wanted.port)]
        return _with_addresses(wanted.host, hosts, known, families)
    services = _services(wanted, known, usable)
    if isinstance(services, Plan):
        return services
    found = _hosts(services, known, pick)
    if isinstance(found, Plan):
        return found
    if found is None:  # no SRV record at all: the name is a host's (section 4.2)
        transport = wanted.transport or default
        found = [(transport, wanted.host, _PORTS[transport])]
    return _with_addresses(wanted.host, found, known, families)


def _services(wanted: Wanted, known: Known, usable: Sequence[str]) -> list[tuple[str, str]] | Plan:
    """(transport, name of SRV records) in the order of preference (section 4.1)."""
    if wanted.transport is not None:
        return [(wanted.transport, f"{_SRV[wanted.transport]}.{wanted.host}")]
    question = Question(wanted.host, "NAPTR")
    records = known(question)
    if records is None:
        return Plan((question,))
    offered = sorted(
        (record for record in records if isinstance(record, Naptr) and record.flags.lower() == "s"),
        key=lambda record: (record.order, record.preference),
    )
    services = [(_SERVICES.get(record.service.upper(), ""), record.replacement) for record in offered]
    chosen = [(transport, name) for transport, name in services if transport in usable and name]
    return chosen or [(transport, f"{_SRV[transport]}.{wanted.host}") for transport in usable]


def _hosts(
    services: Sequence[tuple[str, str]], known: Known, pick: Callable[[int], int]
) -> list[tuple[str, str, int]] | Plan | None:
    """(transport, host, port) in the order in which they are tried; None where no service has a record."""
    questions = [Question(name, "SRV") for _, name in services]
    answers = [known(question) for question in questions]
    missing = tuple(question for question, answer in zip(questions, answers, strict=True) if answer is None)
    if missing:
        return Plan(missing)
    found: list[tuple[str, str, int]] = []
    are_there = False
    for (transport, _), answer in zip(services, answers, strict=True):
        records = [record for record in answer or () if isinstance(record, Srv)]
        are_there = are_there or bool(records)
        found += [(transport, record.target, record.port) for record in ordered(records, pick) if record.target]
    return found if are_there else None


def ordered(records: Iterable[Srv], pick: Callable[[int], int]) -> Iterator[Srv]:
    """SRV records in the order in which they are tried: by priority, then by chance and weight (RFC 2782)."""
    left = sorted(records, key=lambda record: (record.priority, record.weight))  # those without weight stand first
    while left:
        group = [record for record in left if record.priority == left[0].priority]
        drawn = pick(sum(record.weight for record in group) + 1)
        for record in group:
            drawn -= record.weight
            if drawn <= 0:
                break
        left.remove(record)
        yield record


def _with_addresses(name: str, hosts: Sequence[tuple[str, str, int]], known: Known, families: Sequence[int]) -> Plan:
    kinds: list[Kind] = ["A" if family == 4 else "AAAA" for family in families]
    targets: dict[Target, None] = {}
    missing: dict[Question, None] = {}
    for transport, host, port in hosts[:MOST_RECORDS]:
        if is_ip(host):
            targets[Target(transport, (host, port), name)] = None
            continue
        for kind in kinds:
            question = Question(host, kind)
            records = known(question)
            if records is None:
                missing[question] = None
            for record in records or ():
                assert isinstance(record, str), "addresses are texts"
                targets[Target(transport, (record, port), name)] = None
    if missing:
        return Plan(tuple(missing))
    return Plan(targets=tuple(targets), why="" if targets else f"{name} has no address")


def is_ip(text: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


# What is remembered.


@dataclass(slots=True)
class _Answer:
    records: Records
    fresh_until_s: float
    stale_until_s: float
    is_old: bool = False


class Answers:
    """What DNS has said, as long as it may be believed; bounded, the oldest answers go first.

    A question that DNS fails to answer keeps the answer that it had: one from yesterday finds a carrier who has not
    moved, and none finds nobody.
    """

    def __init__(self) -> None:
        self._kept: dict[Question, _Answer] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def fresh(self, question: Question, now: float) -> Records | None:
        """What is known of a question, or None."""
        answer = self._kept.get(question)
        return answer.records if answer is not None and now < answer.fresh_until_s else None

    def is_old(self, question: Question) -> bool:
        """Whether what is known of a question is not what DNS says now: when it was asked last, it did not answer."""
        answer = self._kept.get(question)
        return answer is None or answer.is_old

    def any(self, question: Question, now: float) -> Records | None:
        """What is known of a question, an answer that has expired too; None where there was never one."""
        answer = self._kept.get(question)
        return answer.records if answer is not None and now < max(answer.stale_until_s, answer.fresh_until_s) else None

    def answered(self, question: Question, records: Records, ttl_s: float, now: float) -> None:
        """DNS has answered: records, or that there are none."""
        ttl_s = min(max(ttl_s, SHORTEST_TTL_S), LONGEST_TTL_S if records else LONGEST_NEGATIVE_S)
        self._keep(question, _Answer(records[:MOST_RECORDS], now + ttl_s, now + ttl_s + STALE_S))

    def failed(self, question: Question, now: float) -> None:
        """DNS has not answered, or could not: what was known is taken for a while longer, or that there is nothing."""
        answer = self._kept.get(question)
        if answer is not None and now < answer.stale_until_s:
            answer.fresh_until_s, answer.is_old = now + RETRY_S, True
        else:
            self._keep(question, _Answer((), now + SHORTEST_TTL_S, 0.0, is_old=True))

    def _keep(self, question: Question, answer: _Answer) -> None:
        self._kept.pop(question, None)
        self._kept[question] = answer
        if len(self._kept) > KEPT_ANSWERS:
            del self._kept[next(iter(self._kept))]


class Shunned:
    """Addresses that did not answer, each for a while: they are tried after all others, and never left out."""

    def __init__(self) -> None:
        self._until_s: dict[tuple[str, Address], float] = {}

    def add(self, target: Target, now: float, for_s: float = SHUN_S) -> None:
        """Try an address last for so long; a 503 with Retry-After says itself for how long."""
        key = (target.transport, target.address)
        self._until_s.pop(key, None)
        self._until_s[key] = now + for_s
        if len(self._until_s) > KEPT_SHUNNED:
            del self._until_s[next(iter(self._until_s))]

    def forgive(self, target: Target) -> None:
        """It has answered."""
        self._until_s.pop((target.transport, target.address), None)

    def last(self, targets: Iterable[Target], now: float) -> tuple[Target, ...]:
        """The same targets, those that are shunned at the end, each half in its order."""
        return tuple(sorted(targets, key=lambda target: self.holds(target, now)))

    def holds(self, target: Target, now: float) -> bool:
        """Whether an address is shunned at this moment."""
        return now < self._until_s.get((target.transport, target.address), now)
