"""DNS for the engine: asks what `sipshop.sip.resolve` wants to know, and tells who waits (IO).

A name that is known is answered in the same turn. For one that is not, questions go out, each once whoever waits for
it, and the event loop goes on; whoever waits is told as soon as all is known, or when his time is up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.resolver

from sipshop.sip.flow import Address
from sipshop.sip.resolve import (
    Answers,
    Kind,
    Naptr,
    Plan,
    Question,
    Record,
    Records,
    Shunned,
    Srv,
    Target,
    Wanted,
    plan,
)

HOSTS: Final = Path("/etc/hosts")
#: How long somebody waits for DNS, unless it is said.
WAIT_S: Final = 2.0
#: Questions on their way at once; a further one has failed before it is asked.
MOST_QUESTIONS: Final = 256

Then = Callable[[Plan, float], None]
"""Is told the targets, or why there are none, and the time; `questions` are never left."""


class Resolver:
    """Finds the addresses of names, in the background where they are not known.

    `turn` gives the time and does what was put out, as `sipshop.sip.endpoint.Endpoint.turn`; `pick(n)` is a random
    number below n. `servers` are asked instead of those of /etc/resolv.conf; names in /etc/hosts are not asked for.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        turn: Callable[[], AbstractContextManager[float]],
        pick: Callable[[int], int],
        servers: Sequence[Address] = (),
        wait_s: float = WAIT_S,
        hosts: Path = HOSTS,
    ) -> None:
        self.answers = Answers()
        self.shunned = Shunned()
        self._loop = loop
        self._turn = turn
        self._pick = pick
        self._wait_s = wait_s
        self._hosts = read_hosts(hosts)
        self._dns = _client(servers, wait_s)
        self._asking: dict[Question, asyncio.Task[None]] = {}
        self._searches: set[_Search] = set()

    def find(
        self,
        wanted: Wanted,
        now: float,
        then: Then,
        *,
        families: Sequence[int] = (4, 6),
        transports: Sequence[str] = ("UDP", "TCP", "TLS"),
    ) -> None:
        """Call `then(plan, now)` with the targets in their order, before this returns if all is known.

        Otherwise it is called in a later turn, within `wait_s`: with what is known then, be it from yesterday, or with
        no targets and the reason. Those that are shunned stand at the end. `families` and `transports` are as `plan`
        takes them.
        """
        search = _Search(wanted, then, families, transports)
        if not self._step(search, now):
            search.limit = self._loop.call_later(self._wait_s, self._give_up, search)
            self._searches.add(search)

    def shun(self, target: Target, now: float, for_s: float | None = None) -> None:
        """Try a target after all others for a while: it has not answered, or said that it will not."""
        if for_s is None:
            self.shunned.add(target, now)
        else:
            self.shunned.add(target, now, for_s)

    def close(self) -> None:
        """Ask and tell no more."""
        for search in self._searches:
            search.stop()
        self._searches.clear()
        for task in self._asking.values():
            task.cancel()

    def _step(self, search: _Search, now: float) -> bool:
        """Go on with a search as far as what is known leads; whether that is to its end."""
        is_old = False

        def known(question: Question) -> Records | None:
            nonlocal is_old
            here = self._here(question)
            if here is not None:
                return here
            is_old = is_old or self.answers.is_old(question)
            return self.answers.fresh(question, now)

        found = search.plan(known, self._pick)
        if found.questions:
            search.questions = found.questions
            for question in found.questions:
                self._ask(question)
            return False
        self._end(search, replace(found, is_old=is_old), now)
        return True

    def _give_up(self, search: _Search) -> None:
        """Time is up: what is not known is not there, and what has expired is as good as it gets."""
        with self._turn() as now:

            def known(question: Question) -> Records:
                here = self._here(question)
                return (self.answers.any(question, now) or ()) if here is None else here

            found = search.plan(known, self._pick)
            if not found.targets:
                found = Plan(why=f"DNS has not told within {self._wait_s:g} s where {search.wanted.host} is")
            self._end(search, replace(found, is_old=True), now)

    def _end(self, search: _Search, found: Plan, now: float) -> None:
        search.stop()
        self._searches.discard(search)
        search.then(replace(found, targets=self.shunned.last(found.targets, now)), now)

    def _here(self, question: Question) -> Records | None:
        """What /etc/hosts says; a name that it knows has there all that is to be known, as for any other program."""
        if not self._hosts:
            return None
        name = question.name
        if question.kind == "SRV" and name.startswith("_"):
            name = name.split(".", 2)[-1]
        addresses = self._hosts.get(name)
        if addresses is None:
            return None
        version = {"A": 4, "AAAA": 6}.get(question.kind)
        return tuple(address for address in addresses if ip_address(address).version == version)

    def _ask(self, question: Question) -> None:
        if question not in self._asking:
            self._asking[question] = self._loop.create_task(self._answer(question))

    async def _answer(self, question: Question) -> None:
        answer: tuple[Records, float] | None = None
        try:
            if len(self._asking) <= MOST_QUESTIONS:
                answer = await _asked(self._dns, question)
        finally:
            del self._asking[question]
        with self._turn() as now:
            if answer is None:
                self.answers.failed(question, now)
            else:
                self.answers.answered(question, *answer, now)
            for search in [search for search in self._searches if question in search.questions]:
                self._step(search, now)


class _Search:
    """Somebody who waits: whom he wants, what it takes to know that, and until when he waits."""

    def __init__(self, wanted: Wanted, then: Then, families: Sequence[int], transports: Sequence[str]) -> None:
        self.wanted = wanted
        self.then = then
        self.questions: tuple[Question, ...] = ()
        self.limit: asyncio.TimerHandle | None = None
        self._families = families
        self._transports = transports

    def plan(self, known: Callable[[Question], Records | None], pick: Callable[[int], int]) -> Plan:
        """What to do next with what is known."""
        return plan(self.wanted, known, pick, families=self._families, transports=self._transports)

    def stop(self) -> None:
        """Wait no more."""
        if self.limit is not None:
            self.limit.cancel()


def read_hosts(file: Path) -> Mapping[str, tuple[str, ...]]:
    """The addresses of each name in a file such as /etc/hosts, none where it cannot be read."""
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        try:
            ip_address(address)
        except ValueError:
            continue
        for name in names:
            found[name.lower()] = (*found.get(name.lower(), ()), address)
    return found


def _client(servers: Sequence[Address], wait_s: float) -> dns.asyncresolver.Resolver:
    try:
        made = dns.asyncresolver.Resolver(configure=not servers)
    except dns.resolver.NoResolverConfiguration:  # a machine without DNS: addresses and /etc/hosts will do
        made = dns.asyncresolver.Resolver(configure=False)
    if servers:
        made.nameservers = [dns.nameserver.Do53Nameserver(host, port) for host, port in servers]
    made.lifetime = wait_s
    made.timeout = wait_s / 2  # then the next server, or the same once more
    return made


async def _asked(client: dns.asyncresolver.Resolver, question: Question) -> tuple[Records, float] | None:
    """The records and for how many seconds they hold; None where nobody could say."""
    try:
        answer = await client.resolve(question.name, question.kind, raise_on_no_answer=False, search=False)
    except dns.resolver.NXDOMAIN as error:
        chains = [response.resolve_chaining() for response in error.kwargs["responses"].values()]
        return (), float(min((chain.minimum_ttl for chain in chains), default=0))
    except (dns.exception.DNSException, OSError):
        return None
    chain = answer.chaining_result
    return tuple(_records(question.kind, answer.rrset or ())), float(chain.minimum_ttl)


def _records(kind: Kind, found: Iterable[Any]) -> Iterable[Record]:
    """What a library calls rdata, in our words; names end without a dot and are of lower case, the root is ""."""
    for record in found:
        if kind == "NAPTR":
            flags, service = record.flags.decode("latin-1"), record.service.decode("latin-1")
            yield Naptr(record.order, record.preference, flags, service, _name(record.replacement))
        elif kind == "SRV":
            yield Srv(record.priority, record.weight, record.port, _name(record.target))
        else:
            yield record.address


def _name(name: Any) -> str:
    return str(name.to_text(omit_final_dot=True)).lower().removesuffix(".")
