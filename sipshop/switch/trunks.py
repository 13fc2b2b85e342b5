"""Carriers as they are at this moment: registrations and probes kept alive, and how each one does (IO).

It sends what the machines of `sipshop.proxy.registration` and `sipshop.proxy.health` say and tells them what came. A
world that is swapped begins what is new in it and takes back the registrations of what is gone. What goes out to a name
tries its addresses one after the other, and no machine hears of a failure but of the last one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Literal

from sipshop.facts import Fact, TrunkChanged, TrunkProbed
from sipshop.proxy import health as healths
from sipshop.proxy import registration as registrations
from sipshop.proxy.fate import fails_here
from sipshop.proxy.health import Health, Standing
from sipshop.proxy.registration import Registration, contact_uri, granted_s
from sipshop.proxy.routing import Trunk
from sipshop.sip.digest import Credentials
from sipshop.sip.flow import Address, Flow, written
from sipshop.sip.message import Response, Uri, is_number, printable
from sipshop.sip.resolve import Plan, is_ip
from sipshop.sip.timers import Timer
from sipshop.sip.transaction import ClientTransaction
from sipshop.sip.useragent import UserAgent
from sipshop.switch.ways import MOST_WAYS, Place, Way, Ways
from sipshop.world import World

log: Final = logging.getLogger("sipshop.trunks")

Key = tuple[str, str]
"""Tenant and name of a trunk."""

Registered = Literal["registered", "registering", "failed"]
"""Whether a carrier knows us, or what we do about it."""

_STATES: Final[Mapping[healths.State, Literal["up", "half_open", "down"]]] = {
    healths.State.UP: "up",
    healths.State.HALF_OPEN: "half_open",
    healths.State.DOWN: "down",
}
#: How often it is asked whether a carrier's name still leads where it did. An answer is kept for its TTL all the same.
LOOK_S: Final = 60.0
#: How long a name's last true answer lets its addresses in as the carrier while DNS says nothing: who may be called by
#: yesterday's answer may not call by it.
BELIEVED_S: Final = 3600.0
#: How long a stop waits for registrars to answer that we are gone.
LEAVE_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a trunk does: `state` since `since_s`, the registration's state where there is one, and what came last.

    Times are on the clock of `now`.
    """

    state: Literal["up", "half_open", "down"]
    since_s: float
    registration: Registered | None
    registered_until_s: float | None
    last_status: int | None
    registration_status: int | None
    rtt_s: float | None


class Trunks:
    """The carriers of all tenants.

    `learn(trunk, addresses)` is told from where a carrier calls that is known by a name, whenever that changes.
    `fetch(reference)` gives the secret that `env:NAME` or `file:PATH` leads to, and raises `ValueError` where there is
    none.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        tell: Callable[[Fact], None],
        ways: Ways,
        learn: Callable[[Trunk, frozenset[Address]], None],
        fetch: Callable[[str], str],
    ) -> None:
        self._agent = agent
        self._tell = tell
        self._ways = ways
        self._learn = learn
        self._fetch = fetch
        self._carriers: dict[Key, _Carrier] = {}
        self._leaving: list[_Carrier] = []  # gone from their world, and their registrars are told so
        self._left: asyncio.Event | None = None

    # Life.

    def begin(self, worlds: Iterable[World], now: float) -> None:
        """Watch and register as the worlds say; also again, when one of them was swapped."""
        for world in worlds:
            self._take(world, now)

    def reread(self, now: float) -> None:
        """Fetch the passwords again; who has another one registers by it."""
        for carrier in self._carriers.values():
            credentials = self._credentials_of(carrier.trunk)
            if credentials != carrier.credentials:
                carrier.credentials = credentials
                self._register(carrier, now)
                self._arm(carrier, now)

    def end(self, now: float) -> None:
        """Take every registration back; `gone` waits for it."""
        for carrier in self._carriers.values():
            self._leave(carrier, now)
        self._carriers.clear()
        if self._leaving:
            self._left = asyncio.Event()

    async def gone(self) -> None:
        """Wait until the registrars have said that we are gone, or for a while without."""
        if self._left is None:
            return
        try:
            async with asyncio.timeout(LEAVE_S):
                await self._left.wait()
        except TimeoutError:
            names = ", ".join(carrier.trunk.name for carrier in self._leaving)
            log.warning("carriers that did not hear that we are gone: %s", names)

    @property
    def timers(self) -> int:
        """How many timers run that last as long as we do."""
        return sum(carrier.timer is not None for carrier in (*self._carriers.values(), *self._leaving))

    # For calls.

    def standing(self, trunk: Trunk, now: float) -> Standing:
        """When a call that begins now tries a trunk, for its health and its registration."""
        carrier = self._carriers.get((trunk.tenant, trunk.name))
        if carrier is None:
            return Standing.FIRST
        standing = carrier.health.standing(now)
        if carrier.registration is not None and not carrier.registration.is_registered(now):
            return max(standing, Standing.LAST)
        return standing

    def credentials(self, trunk: Trunk) -> Credentials | None:
        """What answers a carrier's challenges, None where he is to be told nothing."""
        carrier = self._carriers.get((trunk.tenant, trunk.name))
        return carrier.credentials if carrier is not None else None

    def find(self, trunk: Trunk, now: float, then: Callable[[Plan, float], None]) -> None:
        """Find the addresses of a carrier for a call: `then(plan, now)` is told in this turn or in a later one."""
        carrier = self._carriers.get((trunk.tenant, trunk.name))
        place = Place.of(trunk, trunk.host, trunk.port) if carrier is None or carrier.trunk != trunk else carrier.place
        self._ways.find(place, now, then)

    def flow(self, way: Way) -> Flow:
        """The flow to an address that was found."""
        return self._ways.flow(way)

    def hear(self, trunk: Trunk, happened: healths.Heard, now: float) -> None:
        """What a call has found out about a carrier."""
        carrier = self._carriers.get((trunk.tenant, trunk.name))
        if carrier is not None:
            self._probe(carrier, carrier.health.hear(happened, now), now)
            self._settle(carrier, now)

    # For people.

    def condition(self, trunk: Trunk, now: float) -> Condition | None:
        """How a trunk does, None where it is not in use."""
        carrier = self._carriers.get((trunk.tenant, trunk.name))
        return carrier.condition(now) if carrier is not None else None

    def ask(self, trunk: Trunk, now: float) -> asyncio.Future[None] | None:
        """Probe a trunk now, and register where we are not; done when he has answered or his time is over.

        None where the trunk is not in use.
        """
        carrier = self._carriers.get((trunk.tenant, trunk.name))
        if carrier is None:
            return None
        if carrier.heard is None:
            carrier.heard = asyncio.get_running_loop().create_future()
        heard = carrier.heard
        self._probe(carrier, carrier.health.probe(now), now)
        if carrier.registration is not None and not carrier.registration.is_registered(now):
            self._register(carrier, now)
        self._settle(carrier, now)
        return heard

    # Inside.

    def _take(self, world: World, now: float) -> None:
        wanted = {(world.tenant, trunk.name): trunk for trunk in world.trunks if not trunk.disabled}
        for key in [key for key in self._carriers if key[0] == world.tenant and key not in wanted]:
            self._leave(self._carriers.pop(key), now)
            self._tell(TrunkChanged(tenant=key[0], trunk=key[1], state="gone", registration=None, status=None))
        for key, trunk in wanted.items():
            carrier = self._carriers.get(key)
            if carrier is None:
                self._join(trunk, now)
            elif carrier.trunk != trunk:
                self._change(carrier, trunk, now)

    def _join(self, trunk: Trunk, now: float, health: Health | None = None) -> None:
        carrier = _Carrier(
            trunk=trunk,
            place=Place.of(trunk, trunk.host, trunk.port),
            health=health or Health(trunk.probing, self._agent.pick, now),
            registration=_registration_of(trunk, self._agent.pick, now),
            credentials=self._credentials_of(trunk),
            call_id=self._agent.token() + self._agent.token(),
        )
        self._carriers[trunk.tenant, trunk.name] = carrier
        self._look(carrier, now)
        self._register(carrier, now)
        self._settle(carrier, now)

    def _change(self, carrier: _Carrier, trunk: Trunk, now: float) -> None:
        """Go on with what is known of a carrier, unless he is found elsewhere now."""
        before = carrier.trunk
        credentials = self._credentials_of(trunk)
        moved = _place(before) != _place(trunk)
        if moved or _about_us(before) != _about_us(trunk) or credentials != carrier.credentials:
            self._leave(carrier, now)
            self._join(trunk, now, None if moved else carrier.health)
            carrier = self._carriers[trunk.tenant, trunk.name]
        carrier.trunk = trunk
        if before.probing != trunk.probing:
            carrier.health.change(trunk.probing, now)
        self._settle(carrier, now)

    def _leave(self, carrier: _Carrier, now: float) -> None:
        if carrier.timer is not None:
            carrier.timer.stop()
            carrier.timer = None
        carrier.is_left = True
        self._know(carrier, frozenset())
        if carrier.registration is None:
            return
        self._send(carrier, carrier.registration.end(now), now)
        if not carrier.registration.ended:
            self._leaving.append(carrier)

    def _register(self, carrier: _Carrier, now: float) -> None:
        if carrier.registration is not None:
            self._send(carrier, carrier.registration.begin(now), now)

    def _credentials_of(self, trunk: Trunk) -> Credentials | None:
        login = trunk.login
        if not login.username:
            return None
        password = login.password
        if password.startswith(("env:", "file:")):
            try:
                password = self._fetch(password)
            except ValueError as error:
                log.error("trunk %s has no password: %s", trunk.name, error)  # noqa: TRY400  # what people wrote
                return None
        return Credentials(login.username, password, login.realm or None)

    def _tick(self, carrier: _Carrier, now: float) -> None:
        carrier.timer = None
        if carrier.look_at_s is not None and now >= carrier.look_at_s:
            self._look(carrier, now)
        self._probe(carrier, carrier.health.tick(now), now)
        if carrier.registration is not None:
            self._send(carrier, carrier.registration.tick(now), now)
        self._settle(carrier, now)

    def _settle(self, carrier: _Carrier, now: float) -> None:
        """Set the alarm, and tell what has changed."""
        self._arm(carrier, now)
        if carrier.is_left:
            if carrier.registration is not None and carrier.registration.ended and carrier in self._leaving:
                self._leaving.remove(carrier)
                if self._left is not None and not self._leaving:
                    self._left.set()
            return
        seen = carrier.condition(now)
        told = (seen.state, seen.registration)
        if told != carrier.told:
            is_first, carrier.told = carrier.told is None, told
            self._tell(
                TrunkChanged(
                    tenant=carrier.trunk.tenant,
                    trunk=carrier.trunk.name,
                    state=seen.state,
                    registration=seen.registration,
                    status=seen.registration_status if seen.state == "up" else seen.last_status,
                    is_first=is_first,
                )
            )

    def _arm(self, carrier: _Carrier, now: float) -> None:
        deadline = None if carrier.is_left else carrier.deadline(now)
        if carrier.timer is not None and carrier.timer.at_s != deadline:
            carrier.timer.stop()
            carrier.timer = None
        if deadline is not None and carrier.timer is None:
            carrier.timer = self._agent.timers.start(max(deadline, now), lambda at_s: self._tick(carrier, at_s))

    # Where a carrier calls from that is known by a name.

    def _look(self, carrier: _Carrier, now: float) -> None:
        """Ask where a name leads, as often as it may change; what is known is not asked for again before its time."""
        if is_ip(carrier.trunk.host):
            return
        carrier.look_at_s = now + LOOK_S
        self._ways.find(carrier.place, now, partial(self._found, carrier))

    def _found(self, carrier: _Carrier, plan: Plan, now: float) -> None:
        """Believe what DNS says now; what it said once lets somebody in for `BELIEVED_S` longer, and no more."""
        if carrier.is_left:
            return
        if not plan.is_old:
            carrier.believed_until_s = now + BELIEVED_S
            self._know(carrier, frozenset(target.address for target in plan.targets))
        elif now >= carrier.believed_until_s:
            self._know(carrier, frozenset())

    def _know(self, carrier: _Carrier, addresses: frozenset[Address]) -> None:
        if addresses != carrier.addresses:
            carrier.addresses = addresses
            self._learn(carrier.trunk, addresses)

    # What is sent.

    def _probe(self, carrier: _Carrier, probes: list[healths.Probe], now: float) -> None:
        for _ in probes:
            self._ways.find(carrier.place, now, partial(self._probe_by, carrier))

    def _probe_by(self, carrier: _Carrier, plan: Plan, now: float) -> None:
        if plan.targets:
            _Asked(self, carrier, plan.targets[:MOST_WAYS], now).ask()
        else:
            _tell_lost(carrier.trunk, plan.why)
            self.probed(carrier, healths.Silent(), now)

    def send_probe(self, carrier: _Carrier, way: Way, asked: _Asked, now: float) -> None:
        """Ask a carrier at one of his addresses whether he is there."""
        trunk, flow = carrier.trunk, self._ways.flow(way)
        target = str(Uri("sip", None, trunk.realm_host, None if trunk.domain else trunk.port))
        self._agent.request(
            "OPTIONS",
            flow,
            target=target,
            from_=f"<sip:{self._host}>",
            to=f"<{target}>",
            call_id=self._agent.token(),
            tag=self._agent.token(),
            cseq=1,
            user=asked,
            now=now,
            headers=[("contact", self._agent.contact(flow)), ("accept", "application/sdp")],
        )

    def _send(self, carrier: _Carrier, sends: list[registrations.Send], now: float) -> None:
        for send in sends:
            trunk = carrier.trunk
            registrars = trunk.registering.registrars
            host, port = registrars[send.registrar] if registrars else (trunk.host, trunk.port)
            carrier.sending = send.number
            place = Place.of(trunk, host, port)
            host = trunk.domain or (f"[{host}]" if ":" in host else host)
            self._ways.find(place, now, partial(self._register_by, carrier, send, host))

    def _register_by(self, carrier: _Carrier, send: registrations.Send, host: str, plan: Plan, now: float) -> None:
        if carrier.sending != send.number:
            return  # another one was to be sent meanwhile: this one must not come after it
        if plan.targets:
            self.send_register(carrier, _Wish(send, host, plan.targets[:MOST_WAYS]), now)
        else:
            _tell_lost(carrier.trunk, plan.why)
            self.registered(carrier, registrations.Unanswered(send.number), now)

    def send_register(self, carrier: _Carrier, wish: _Wish, now: float) -> None:
        """Send a REGISTER to the first of its addresses, and to the others where that one fails."""
        trunk, send, host = carrier.trunk, wish.send, wish.host
        flow = self._ways.flow(wish.ways[0])
        aor = f"<{Uri('sip', trunk.login.username, host)}>"
        contact = self._contact(trunk, flow)
        carrier.cseq += 1
        self._agent.request(
            "REGISTER",
            flow,
            target=f"sip:{host}",
            from_=aor,
            to=aor,
            call_id=carrier.call_id,
            tag=self._agent.token(),
            cseq=carrier.cseq,
            user=_Registering(self, carrier, wish, contact),
            now=now,
            headers=[("contact", f"{contact};expires={send.expires_s}"), ("expires", str(send.expires_s))],
            credentials=carrier.credentials,
        )

    def _contact(self, trunk: Trunk, flow: Flow) -> str:
        """Where the carrier's calls find us: our address on this flow, with the account as the user."""
        uri = contact_uri(self._agent.contact(flow))
        return f"<{Uri(uri.scheme, trunk.login.username, uri.host, uri.port, uri.params)}>"

    @property
    def _host(self) -> str:
        host, port = self._agent.advertise
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    # What comes back.

    def answered(self, way: Way) -> None:
        """An address of a carrier has answered."""
        self._ways.answered(way)

    def lost(self, trunk: Trunk, way: Way, why: str, now: float, retry_after_s: int | None = None) -> None:
        """An address of a carrier has failed; the others come first for a while."""
        self._ways.failed(way, now, retry_after_s)
        _tell_lost(trunk, f"{written(way.address)} {way.transport}: {why}")

    def probed(self, carrier: _Carrier, happened: healths.Heard, now: float) -> None:
        """A probe was answered, or was not."""
        if carrier.heard is not None:
            if not carrier.heard.done():
                carrier.heard.set_result(None)
            carrier.heard = None
        self._probe(carrier, carrier.health.hear(happened, now), now)
        if isinstance(happened, healths.Answered) and happened.rtt_s is not None and not carrier.is_left:
            trunk = carrier.trunk
            self._tell(TrunkProbed(tenant=trunk.tenant, trunk=trunk.name, rtt_s=happened.rtt_s))
        self._settle(carrier, now)

    def registered(self, carrier: _Carrier, happened: registrations.Heard, now: float) -> None:
        """A REGISTER was answered, or was not."""
        assert carrier.registration is not None, "somebody registers"
        self._send(carrier, carrier.registration.hear(happened, now), now)
        self._settle(carrier, now)

    def after(self, seconds: float, do: Callable[[float], None], now: float) -> Timer:
        """Do something a while from now."""
        return self._agent.timers.start(now + seconds, do)


@dataclass(slots=True, eq=False)
class _Carrier:
    """A trunk in use; `place` is where calls and probes go, `told` what was last told of it."""

    trunk: Trunk
    place: Place
    health: Health
    registration: Registration | None
    credentials: Credentials | None
    call_id: str
    cseq: int = 0
    timer: Timer | None = None
    told: tuple[str, str | None] | None = None
    heard: asyncio.Future[None] | None = None  # what somebody waits for who has asked
    is_left: bool = False
    sending: int = 0  # the number of the REGISTER that is on its way, or waits for an address
    addresses: frozenset[Address] = frozenset()  # of a name: from where he calls
    believed_until_s: float = 0.0
    look_at_s: float | None = None

    def deadline(self, now: float) -> float | None:
        """When one of its machines wants to be called next; a registration that has just run out is told at once."""
        return min(self._deadlines(now), default=None)

    def _deadlines(self, now: float) -> Iterator[float]:
        if self.look_at_s is not None:
            yield self.look_at_s
        if self.health.deadline is not None:
            yield self.health.deadline
        registration = self.registration
        if registration is not None:
            if registration.deadline is not None:
                yield registration.deadline
            if registration.expires_at_s is not None and registration.expires_at_s > now:
                yield registration.expires_at_s

    def condition(self, now: float) -> Condition:
        registration = self.registration
        return Condition(
            state=_STATES[self.health.state],
            since_s=self.health.since_s,
            registration=_word(registration, now),
            registered_until_s=registration.expires_at_s if registration is not None else None,
            last_status=self.health.last_status,
            registration_status=registration.last_status if registration is not None else None,
            rtt_s=self.health.rtt_s,
        )


def _tell_lost(trunk: Trunk, why: str) -> None:
    about = {"tenant": trunk.tenant, "trunk": trunk.name}
    log.info("the carrier cannot be reached: %s", printable(why), extra=about)


def _word(registration: Registration | None, now: float) -> Registered | None:
    if registration is None:
        return None
    if registration.is_registered(now):
        return "registered"
    return "failed" if registration.state is registrations.State.WAITING else "registering"


def _registration_of(trunk: Trunk, pick: Callable[[int], int], now: float) -> Registration | None:
    registering = trunk.registering
    if not registering.expires_s:
        return None
    return Registration(registering.expires_s, max(1, len(registering.registrars)), pick, now)


def _place(trunk: Trunk) -> tuple[object, ...]:
    return trunk.host, trunk.port, trunk.transport


def _about_us(trunk: Trunk) -> tuple[object, ...]:
    """What a registration is made of, besides the place."""
    return trunk.login, trunk.domain, trunk.registering


def _seconds(response: Response, name: str) -> int | None:
    """A header of seconds, its comment and parameters left off (RFC 3261 section 20.33)."""
    text = (response.get(name) or "").partition(";")[0].partition("(")[0].strip()
    return int(text) if text and is_number(text, 9) else None


class _Asked:
    """An OPTIONS of ours: answered, or missed when its time is over at the last of these addresses."""

    def __init__(self, trunks: Trunks, carrier: _Carrier, ways: tuple[Way, ...], now: float) -> None:
        self._trunks = trunks
        self._carrier = carrier
        self._way, *self._others = ways
        self._sent_at_s = now
        self._timer: Timer | None = None

    def ask(self) -> None:
        """Send it, and wait for an answer, but not for as long as the transaction does."""
        patience_s = self._carrier.health.probing.patience_s
        self._timer = self._trunks.after(patience_s, self._miss, self._sent_at_s)
        self._trunks.send_probe(self._carrier, self._way, self, self._sent_at_s)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """What the carrier says; that he says anything is what counts, but 503 sends us to his next address."""
        if response.status < 200 or not self._stop():
            return
        rtt_s, retry_after_s = now - self._sent_at_s, _seconds(response, "retry-after")
        if fails_here(response.status, responded=True):
            self._trunks.lost(self._carrier.trunk, self._way, str(response.status), now, retry_after_s)
            if self._others:
                self._ask_next(now)
                return
        else:
            self._trunks.answered(self._way)
        self._trunks.probed(self._carrier, healths.Answered(response.status, retry_after_s, rtt_s), now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """He cannot be reached."""
        if self._stop():
            self._fail(why, now)

    def _miss(self, now: float) -> None:
        self._timer = None
        self._fail("timeout", now)

    def _fail(self, why: str, now: float) -> None:
        self._trunks.lost(self._carrier.trunk, self._way, why, now)
        if self._others:
            self._ask_next(now)
        else:
            self._trunks.probed(self._carrier, healths.Silent(), now)

    def _ask_next(self, now: float) -> None:
        _Asked(self._trunks, self._carrier, tuple(self._others), now).ask()

    def _stop(self) -> bool:
        """Whether its time was not over yet."""
        if self._timer is None:
            return False
        self._timer.stop()
        self._timer = None
        return True


@dataclass(frozen=True, slots=True)
class _Wish:
    """A REGISTER that is to be sent to a registrar, `host` in its URIs, at one of these addresses."""

    send: registrations.Send
    host: str
    ways: tuple[Way, ...]


class _Registering:
    """A REGISTER of ours at the first of its addresses, through its challenges to its end."""

    def __init__(self, trunks: Trunks, carrier: _Carrier, wish: _Wish, contact: str) -> None:
        self._trunks = trunks
        self._carrier = carrier
        self._wish = wish
        self._send = wish.send
        self._way, *self._others = wish.ways
        self._contact = contact

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """What the registrar says."""
        status, number = response.status, self._send.number
        if status < 200:
            return
        self._carrier.cseq = max(self._carrier.cseq, response.cseq[0])
        retry_after_s = _seconds(response, "retry-after")
        if fails_here(status, responded=True) and self._fail(str(status), now, retry_after_s):
            return
        if status < 300:
            self._trunks.answered(self._way)
            seconds = granted_s(response, contact_uri(self._contact), self._send.expires_s)
            happened: registrations.Heard = registrations.Accepted(number, seconds)
        else:
            happened = registrations.Rejected(number, status, _seconds(response, "min-expires"), retry_after_s)
            about = {"tenant": self._carrier.trunk.tenant, "trunk": self._carrier.trunk.name}
            log.warning("the registrar says %d %s", status, printable(response.reason), extra=about)
        self._trunks.registered(self._carrier, happened, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """He cannot be reached, or says nothing."""
        self._carrier.cseq = max(self._carrier.cseq, transaction.request.cseq[0])
        if not self._fail(why, now):
            self._trunks.registered(self._carrier, registrations.Unanswered(self._send.number), now)

    def _fail(self, why: str, now: float, retry_after_s: int | None = None) -> bool:
        """This address has failed; whether another one is tried, if the REGISTER is still wanted."""
        self._trunks.lost(self._carrier.trunk, self._way, why, now, retry_after_s)
        if not self._others or self._carrier.sending != self._send.number:
            return False
        self._trunks.send_register(self._carrier, replace(self._wish, ways=tuple(self._others)), now)
        return True
