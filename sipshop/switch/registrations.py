"""REGISTER: who may, for which booth, and what the phone is told; and which phones are there, over restarts too (IO).

What matters of a binding is written as soon as it changes, and nobody waits for it. A phone that only renews is written
with all others that did, every `RENEWALS_S`: two hundred phones that renew each minute are three writes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Final

from sipshop.facts import Fact, RegistrationChanged, RequestRefused
from sipshop.proxy.admission import Auth, Booth
from sipshop.proxy.reach import Place, Watch
from sipshop.proxy.registrar import Binding, Key, Location, Refusal
from sipshop.sip.flow import Flow
from sipshop.sip.message import Response, printable
from sipshop.sip.timers import Timer
from sipshop.sip.transaction import ClientTransaction, ServerTransaction
from sipshop.sip.useragent import UserAgent
from sipshop.store import BindingsKept, Kept, Store
from sipshop.switch.directory import Directory
from sipshop.switch.status import RegistrationStatus

log: Final = logging.getLogger("sipshop.registrations")

#: How often renewals are written: so much of a phone's time a crash can cost at most.
RENEWALS_S: Final = 20.0
#: A phone that says nothing for so long has missed a question.
PATIENCE_S: Final = 4.0

_WRONG_AOR: Final = Refusal(403, "Not this booth's address", "another booth's address")


class Registrations:
    """The bindings of every booth's phone, and which of them answer.

    Phones are asked by OPTIONS every `keepalive_s`, 0 for never. `on_moved` is told of a phone that came from one flow
    and comes from another now, `on_kept` of one that had proved itself to an earlier process.
    `utc_ms` is the clock that outlives us.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        directory: Directory,
        store: Store,
        tell: Callable[[Fact], None],
        location: Location,
        keepalive_s: int,
        on_moved: Callable[[Booth, Flow, Flow], None],
        on_kept: Callable[[Booth, Flow, float], None] = lambda _booth, _flow, _now: None,
        utc_ms: Callable[[], int],
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._store = store
        self._tell = tell
        self._location = location
        self._watch = Watch(keepalive_s, agent.pick)
        self._on_moved = on_moved
        self._on_kept = on_kept
        self._utc_ms = utc_ms
        self._booths: dict[str, Booth] = {}  # by address of record, of those that have bindings
        self._keys: dict[str, frozenset[Key]] = {}  # of the bindings that are watched
        self._written: dict[str, frozenset[tuple[object, ...]]] = {}  # what matters of what is in the store
        self._told: dict[str, tuple[int, int]] = {}
        self._renewed: set[str] = set()
        self._timers: dict[str, Timer] = {}

    # Life.

    def begin(self, now: float) -> None:
        """Take up the bindings that the store has kept; who has expired, or has no booth any more, is gone."""
        utc_ms, stale = self._utc_ms(), []
        for kept in self._store.bindings():
            booth = self._directory.booths.get((kept.tenant, kept.booth))
            found = () if booth is None or booth.disabled else kept.held
            held = [Binding.from_json(one, now + (one["expires_at_ms"] - utc_ms) / 1000) for one in found]
            if booth is None or not self._location.restore(_aor(booth), held, now):
                stale.append(replace(kept, held=()))
                continue
            aor = _aor(booth)
            self._booths[aor] = booth
            self._written[aor] = frozenset(binding.matters for binding in held)
            for binding in self._location.held(aor):
                self._watch.follow((aor, binding.key), now, seen=False)
                self._on_kept(booth, binding.flow, now)
            self._changed(aor, now)
        if stale:
            self._store.submit(BindingsKept(tuple(stale)))
        self._arm(now)

    def swapped(self, now: float) -> None:
        """Worlds have changed: phones of booths that are gone, or let nobody in, are forgotten."""
        for aor, known in list(self._booths.items()):
            booth = self._directory.booths.get((known.tenant, known.name))
            if booth is None or booth.disabled:
                self._location.remove(aor)
                self._changed(aor, now)
        self._arm(now)

    def end(self, now: float) -> None:
        """Write what is left to write."""
        self._write(sorted(self._renewed), now)

    # What is asked.

    def count(self, booth: Booth) -> int:
        """How many bindings a booth's phone has."""
        return self._location.count(_aor(booth))

    def reachable(self, booth: Booth) -> int:
        """How many of them answer, as far as is known."""
        return self._told.get(_aor(booth), (0, 0))[1]

    def bindings(self, booth: Booth, now: float) -> tuple[Binding, ...]:
        """The bindings by which a booth is rung, in their order; those that nobody can reach are left out."""
        return tuple(binding for binding in self._location.bindings(_aor(booth), now) if binding.reachable)

    def of_booth(self, booth: Booth, now: float) -> list[RegistrationStatus]:
        """The phones of a booth, for people."""
        aor = _aor(booth)
        return [self._status(booth, aor, binding, now) for binding in self._location.bindings(aor, now)]

    @property
    def size(self) -> int:
        """All bindings."""
        return self._location.size

    @property
    def timers(self) -> int:
        """How many timers run for them, besides those of questions that wait for an answer."""
        return len(self._timers)

    # What happens.

    def hear(self, transaction: ServerTransaction, booth: Booth, now: float) -> None:
        """Do a REGISTER that `booth` has proved to have sent; it may speak for its own address of record only."""
        request, aor = transaction.request, _aor(booth)
        if request.to.uri.user != booth.name and booth.auth is Auth.DIGEST:
            self._refuse(transaction, booth, _WRONG_AOR, "wrong_aor", now)
            return
        flows = {binding.flow for binding in self._location.held(aor)}
        done = self._location.register(aor, request, transaction.flow, now)
        if isinstance(done, Refusal):
            self._refuse(transaction, booth, done, "registrar", now)
            return
        self._agent.respond(transaction, request.reply(200, to_tag=self._agent.token(), headers=done.headers), now)
        if not done.bindings and aor not in self._booths:
            return
        self._booths[aor] = booth
        for binding in done.bindings:
            if binding.flow == transaction.flow:
                self._watch.follow((aor, binding.key), now)
        self._renewed.add(aor)
        left = flows - {binding.flow for binding in done.bindings}
        if any(binding.flow == transaction.flow for binding in done.bindings):
            for flow in left:
                self._on_moved(booth, flow, transaction.flow)
        self._changed(aor, now)
        self._arm(now)

    def hear_lost(self, flow: Flow, now: float) -> None:
        """A connection is gone."""
        for aor in self._location.lose(flow):
            self._changed(aor, now)

    def answered(self, place: Place, rtt_s: float, now: float) -> None:
        """A phone has answered a question."""
        self._watch.answer(place, rtt_s, now)
        self._mark(place, now, reachable=True)

    def missed(self, place: Place, now: float) -> None:
        """A phone has not answered."""
        if self._watch.miss(place):
            self._mark(place, now, reachable=False)

    # inside

    def _mark(self, place: Place, now: float, *, reachable: bool) -> None:
        aor, key = place
        if self._location.mark(aor, key, reachable=reachable):
            log.info("a phone %s", "answers again" if reachable else "does not answer", extra=_about(self._booths[aor]))
            self._changed(aor, now)

    def _refuse(self, transaction: ServerTransaction, booth: Booth, refusal: Refusal, cause: str, now: float) -> None:
        status = refusal.status
        self._agent.refuse(transaction, status, now, reason=refusal.phrase, headers=refusal.headers)
        log.warning("REGISTER was refused with %d: %s", status, refusal.cause, extra=_about(booth))
        self._tell(RequestRefused(status=status, cause=cause, shop=booth.shop))

    def _changed(self, aor: str, now: float) -> None:
        """Watch, write and tell what has become of an address."""
        booth, held = self._booths[aor], self._location.held(aor)
        keys = frozenset(binding.key for binding in held)
        for key in self._keys.get(aor, frozenset()) - keys:
            self._watch.forget((aor, key))
        matters = frozenset(binding.matters for binding in held)
        if matters != self._written.get(aor, frozenset()):
            self._write([aor], now)
        counts = len(held), sum(binding.reachable for binding in held)
        if counts != self._told.get(aor, (0, 0)):
            self._tell(
                RegistrationChanged(
                    tenant=booth.tenant, shop=booth.shop, booth=booth.name, bindings=counts[0], reachable=counts[1]
                )
            )
        if held:
            self._keys[aor], self._written[aor], self._told[aor] = keys, matters, counts
            return
        del self._booths[aor]
        for table in (self._keys, self._written, self._told):
            table.pop(aor, None)
        self._renewed.discard(aor)

    def _write(self, aors: Collection[str], now: float) -> None:
        utc_ms = self._utc_ms()
        kept = tuple(self._kept(aor, utc_ms, now) for aor in aors)
        if kept:
            self._store.submit(BindingsKept(kept))
        self._renewed.difference_update(aors)

    def _kept(self, aor: str, utc_ms: int, now: float) -> Kept:
        booth, held = self._booths[aor], self._location.held(aor)
        lasting = (binding.to_json(utc_ms + round((binding.expires_at_s - now) * 1000)) for binding in held)
        return Kept(booth.tenant, booth.name, tuple(lasting))

    def _status(self, booth: Booth, aor: str, binding: Binding, now: float) -> RegistrationStatus:
        sight, utc_ms = self._watch.sight((aor, binding.key)), self._utc_ms()
        host, port = binding.flow.remote
        seen_at_s = sight.seen_at_s if sight is not None else None
        rtt_s = sight.rtt_s if sight is not None else None
        return RegistrationStatus(
            booth=booth.name,
            shop=booth.shop,
            contact=printable(binding.contact),
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            transport=binding.flow.transport,
            user_agent=binding.user_agent,
            reachable=binding.reachable,
            expires_at_ms=utc_ms + round((binding.expires_at_s - now) * 1000),
            seen_at_ms=None if seen_at_s is None else utc_ms + round((seen_at_s - now) * 1000),
            rtt_ms=None if rtt_s is None else round(rtt_s * 1000, 1),
        )

    # Time.

    def _arm(self, now: float) -> None:
        renewals = self._timers.get("renewals")
        self._set("expiry", self._location.deadline, self._expire, now)
        self._set("watch", self._watch.deadline, self._ask_all, now)
        if self._renewed and renewals is None:
            self._set("renewals", now + RENEWALS_S, self._write_renewals, now)

    def _set(self, name: str, at_s: float | None, do: Callable[[float], None], now: float) -> None:
        """Have a timer at this instant, or none; one that is there and rings earlier is left to ring in vain."""
        timer = self._timers.get(name)
        if timer is not None:
            if at_s is not None and timer.at_s <= at_s:
                return
            timer.stop()
            del self._timers[name]
        if at_s is not None:
            self._timers[name] = self._agent.timers.start(max(at_s, now), partial(self._ring, name, do))

    def _ring(self, name: str, do: Callable[[float], None], now: float) -> None:
        del self._timers[name]
        do(now)
        self._arm(now)

    def _expire(self, now: float) -> None:
        for aor in self._location.tick(now):
            self._changed(aor, now)

    def _write_renewals(self, now: float) -> None:
        self._write(sorted(self._renewed), now)

    def _ask_all(self, now: float) -> None:
        for place in self._watch.tick(now):
            self._ask(place, now)

    def _ask(self, place: Place, now: float) -> None:
        """Ask a phone whether it is there; whose connection is gone has to come back by itself."""
        binding = self._location.binding(*place)
        if binding is None or (binding.flow.reliable and not binding.reachable):
            return
        agent, flow = self._agent, binding.flow
        question = _Question(self, place, now)
        question.timer = agent.timers.start(now + PATIENCE_S, question.miss)
        agent.request(
            "OPTIONS",
            flow,
            target=binding.target,
            from_=f"<sip:{agent.advertised_host}>",
            to=f"<{binding.target}>",
            call_id=agent.token(),
            tag=agent.token(),
            cseq=1,
            user=question,
            now=now,
            headers=[
                *(("route", hop) for hop in binding.path),
                ("contact", agent.contact(flow)),
                ("accept", "application/sdp"),
            ],
        )


class _Question:
    """An OPTIONS to a phone: answered, whatever the answer is, or missed when its time is over."""

    def __init__(self, registrations: Registrations, place: Place, asked_at_s: float) -> None:
        self._registrations = registrations
        self._place = place
        self._asked_at_s = asked_at_s
        self.timer: Timer | None = None

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """The phone is there; one that answers late is there too."""
        if response.status >= 200:
            self._stop()
            self._registrations.answered(self._place, now - self._asked_at_s, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """Nothing came, or nothing could be sent."""
        if self._stop():
            self._registrations.missed(self._place, now)

    def miss(self, now: float) -> None:
        """Its time is over."""
        self.timer = None
        self._registrations.missed(self._place, now)

    def _stop(self) -> bool:
        """Whether its time was not over yet."""
        if self.timer is None:
            return False
        self.timer.stop()
        self.timer = None
        return True


def _aor(booth: Booth) -> str:
    """One address of record a booth, whatever host its phone names: names hold no slash."""
    return f"{booth.tenant}/{booth.name}"


def _about(booth: Booth) -> Mapping[str, str]:
    return {"tenant": booth.tenant, "shop": booth.shop, "booth": booth.name}
