"""Carriers as they are at this moment: registrations and probes kept alive, and how each one does (IO).

It sends what the machines of `sipshop.proxy.registration` and `sipshop.proxy.health` say and tells them what came. A
world that is swapped begins what is new in it and takes back the registrations of what is gone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sipshop.facts import Fact, TrunkChanged, TrunkProbed
from sipshop.proxy import health as healths
from sipshop.proxy import registration as registrations
from sipshop.proxy.health import Health, Standing
from sipshop.proxy.registration import Registration, contact_uri, granted_s
from sipshop.proxy.routing import Trunk
from sipshop.sip.digest import Credentials
from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import Response, Uri, is_number, printable
from sipshop.sip.timers import Timer
from sipshop.sip.transaction import ClientTransaction
from sipshop.sip.useragent import UserAgent
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

    `local(transport, host)` is the address from which we send there. `fetch(reference)` gives the secret that
    `env:NAME` or `file:PATH` leads to, and raises `ValueError` where there is none.
    """

    def __init__(
        self,
        *,
        agent: UserAgent,
        tell: Callable[[Fact], None],
        local: Callable[[str, str], Address],
        fetch: Callable[[str], str],
    ) -> None:
        self._agent = agent
        self._tell = tell
        self._local = local
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

    def flow_to(self, trunk: Trunk, where: Address | None = None) -> Flow:
        """The way to a carrier, or to one of his registrars; here a name is looked up where there is one."""
        remote, transport = where or (trunk.host, trunk.port), trunk.transport.upper()
        return Flow(transport, self._local(transport, remote[0]), remote)

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
            health=health or Health(trunk.probing, self._agent.pick, now),
            registration=_registration_of(trunk, self._agent.pick, now),
            credentials=self._credentials_of(trunk),
            call_id=self._agent.token() + self._agent.token(),
        )
        self._carriers[trunk.tenant, trunk.name] = carrier
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
            carrier.told = told
            self._tell(
                TrunkChanged(
                    tenant=carrier.trunk.tenant,
                    trunk=carrier.trunk.name,
                    state=seen.state,
                    registration=seen.registration,
                    status=seen.registration_status if seen.state == "up" else seen.last_status,
                )
            )

    def _arm(self, carrier: _Carrier, now: float) -> None:
        deadline = None if carrier.is_left else carrier.deadline(now)
        if carrier.timer is not None and carrier.timer.at_s != deadline:
            carrier.timer.stop()
            carrier.timer = None
        if deadline is not None and carrier.timer is None:
            carrier.timer = self._agent.timers.start(max(deadline, now), lambda at_s: self._tick(carrier, at_s))

    # What is sent.

    def _probe(self, carrier: _Carrier, probes: list[healths.Probe], now: float) -> None:
        for _ in probes:
            trunk = carrier.trunk
            target = str(Uri("sip", None, trunk.realm_host, None if trunk.domain else trunk.port))
            asked = _Asked(self, carrier, now)
            asked.wait()
            self._agent.request(
                "OPTIONS",
                self.flow_to(trunk),
                target=target,
                from_=f"<sip:{self._host}>",
                to=f"<{target}>",
                call_id=self._agent.token(),
                tag=self._agent.token(),
                cseq=1,
                user=asked,
                now=now,
                headers=[("contact", self._agent.contact(self.flow_to(trunk))), ("accept", "application/sdp")],
            )

    def _send(self, carrier: _Carrier, sends: list[registrations.Send], now: float) -> None:
        for send in sends:
            trunk = carrier.trunk
            registrars = trunk.registering.registrars
            where = registrars[send.registrar] if registrars else (trunk.host, trunk.port)
            flow = self.flow_to(trunk, where)
            host = trunk.domain or (f"[{where[0]}]" if ":" in where[0] else where[0])
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
                user=_Registering(self, carrier, send, contact),
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
    """A trunk in use; `told` is what was last told of it."""

    trunk: Trunk
    health: Health
    registration: Registration | None
    credentials: Credentials | None
    call_id: str
    cseq: int = 0
    timer: Timer | None = None
    told: tuple[str, str | None] | None = None
    heard: asyncio.Future[None] | None = None  # what somebody waits for who has asked
    is_left: bool = False

    def deadline(self, now: float) -> float | None:
        """When one of its machines wants to be called next; a registration that has just run out is told at once."""
        return min(self._deadlines(now), default=None)

    def _deadlines(self, now: float) -> Iterator[float]:
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
    """An OPTIONS of ours: answered, or missed when its time is over."""

    def __init__(self, trunks: Trunks, carrier: _Carrier, sent_at_s: float) -> None:
        self._trunks = trunks
        self._carrier = carrier
        self._sent_at_s = sent_at_s
        self._timer: Timer | None = None

    def wait(self) -> None:
        """Wait for an answer, and not for as long as the transaction does."""
        patience_s = self._carrier.health.probing.patience_s
        self._timer = self._trunks.after(patience_s, self._miss, self._sent_at_s)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """What the carrier says; that he says anything is what counts."""
        if response.status < 200 or not self._stop():
            return
        rtt_s, retry_after_s = now - self._sent_at_s, _seconds(response, "retry-after")
        self._trunks.probed(self._carrier, healths.Answered(response.status, retry_after_s, rtt_s), now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """He cannot be reached."""
        if self._stop():
            self._trunks.probed(self._carrier, healths.Silent(), now)

    def _miss(self, now: float) -> None:
        self._timer = None
        self._trunks.probed(self._carrier, healths.Silent(), now)

    def _stop(self) -> bool:
        """Whether its time was not over yet."""
        if self._timer is None:
            return False
        self._timer.stop()
        self._timer = None
        return True


class _Registering:
    """A REGISTER of ours, through its challenges to its end."""

    def __init__(self, trunks: Trunks, carrier: _Carrier, send: registrations.Send, contact: str) -> None:
        self._trunks = trunks
        self._carrier = carrier
        self._send = send
        self._contact = contact

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """What the registrar says."""
        status, number = response.status, self._send.number
        if status < 200:
            return
        self._carrier.cseq = max(self._carrier.cseq, response.cseq[0])
        if status < 300:
            seconds = granted_s(response, contact_uri(self._contact), self._send.expires_s)
            happened: registrations.Heard = registrations.Accepted(number, seconds)
        else:
            happened = registrations.Rejected(
                number, status, _seconds(response, "min-expires"), _seconds(response, "retry-after")
            )
            about = {"tenant": self._carrier.trunk.tenant, "trunk": self._carrier.trunk.name}
            log.warning("the registrar says %d %s", status, printable(response.reason), extra=about)
        self._trunks.registered(self._carrier, happened, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """He cannot be reached, or says nothing."""
        self._carrier.cseq = max(self._carrier.cseq, transaction.request.cseq[0])
        self._trunks.registered(self._carrier, registrations.Unanswered(self._send.number), now)
