"""Wires the rooms and runs them: the only module that knows them all (IO)."""

from __future__ import annotations

import asyncio
import errno
import gc
import ipaddress
import json
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvloop

from sipshop import __version__
from sipshop.config import Problem, Problems, read_yaml
from sipshop.console.api import make_api, make_monitoring, nothing_to_reload
from sipshop.console.events import Hub
from sipshop.console.passwords import hash_password
from sipshop.console.tokens import hash_token, new_token
from sipshop.demo.process import NoAddress, running_carrier
from sipshop.export.couriers import Couriers, unknown_providers
from sipshop.export.webhook import BadTarget
from sipshop.facts import MessageDropped
from sipshop.greeting import DEMO_PASSWORD, banner
from sipshop.load import fetch_secret, load_settings, load_world, read_file
from sipshop.logs import begin_log, forget_log, log_fact
from sipshop.metrics import Metrics
from sipshop.settings import (
    Address,
    DatabaseSettings,
    HttpSettings,
    Reloaded,
    Settings,
    SettingsErrors,
    SipSettings,
    address_text,
    reloaded,
)
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.message import printable
from sipshop.sip.timers import Timers
from sipshop.sip.transport import Limits
from sipshop.sip.useragent import Manners, UserAgent
from sipshop.store import Store, StoreError, Token, Unwritable
from sipshop.store.audit import LAWS
from sipshop.store.retention import Retention, retain
from sipshop.switch import DROP_REASONS, Directory, Options, Switch, refusal_series, steady_s, utc_ms
from sipshop.tls import make_sip_tls
from sipshop.web import BadCertificate, Listener, expires_at_s, load_certificate, make_tls
from sipshop.world import World, WorldErrors

log: Final = logging.getLogger("sipshop.app")

DATABASE: Final = "sipshop.db"
#: What decides where a listener listens, in the words of whoever started us.
_KEYS: Final = {
    "SIP": "sip.listen",
    "SIP over TLS": "sip.tls.listen",
    "HTTP": "http.listen",
    "metrics": "metrics.listen",
}
_HOUR_S: Final = 3600.0
_OPTIONS: Final = {"SIP": "--listen", "HTTP": "--http"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """A demo: the worlds that an empty database gets, one a provider, the folder of the data, and where to listen."""

    worlds: tuple[Path, ...]
    data: Path
    listen: Address
    advertise: tuple[str, int | None] | None
    http: Address
    carrier: bool
    carrier_listen: Address


class StartError(Exception):
    """We cannot start; the text is one line that says what to do."""


def run_demo(options: DemoOptions) -> None:
    """Run a demo until SIGINT or SIGTERM: a server with a configuration made up, and a carrier for it.

    `SystemExit` with status 2 and one line where it cannot start.
    """
    _run(lambda: _House(_demo_settings(options), demo=options))


def run_server(configuration: Path) -> None:
    """Run a server by its configuration until SIGINT or SIGTERM.

    `SystemExit` with status 2 and what is wrong, a line each, where it cannot start.
    """
    _run(lambda: _House(load_settings(configuration), file=configuration))


def _run(make: Callable[[], _House]) -> None:
    try:
        house = make()
        try:
            begin_log(house.settings.logs)
        except OSError as error:
            raise StartError(f"the log cannot be written to {house.settings.logs.file}: {error.strerror}") from error
        uvloop.run(house.run())
    except (StartError, StoreError, SettingsErrors, WorldErrors) as error:
        sys.stderr.write("".join(f"sipshop: {line}\n" for line in str(error).splitlines()))
        raise SystemExit(2) from None


def _demo_settings(options: DemoOptions) -> Settings:
    host, port = options.listen
    advertised, advertised_port = options.advertise or (host, None)
    if ipaddress.ip_address(advertised).is_unspecified:
        raise StartError(f"phones cannot be told to send to {advertised}: add --advertise with this machine's address")
    return Settings(
        sip=SipSettings(listen=options.listen, advertise=(advertised, advertised_port or port)),
        http=HttpSettings(listen=options.http, token_file=str(options.data / "token")),
        database=DatabaseSettings(path=str(options.data / DATABASE)),
        worlds=tuple(str(path) for path in options.worlds),
    )


class _House:
    """One run: `file` is the configuration that a reload reads again, `demo` what a demo has besides a server."""

    def __init__(self, settings: Settings, *, file: Path | None = None, demo: DemoOptions | None = None) -> None:
        self.settings = settings
        self._file = file
        self._demo = demo
        self._retimed = asyncio.Event()  # set when the time between two audits has changed
        self._process = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._metrics = Metrics(version=__version__, refusals=refusal_series(), drop_reasons=DROP_REASONS, laws=LAWS)
        self._tls: ssl.SSLContext | None = None
        try:
            if settings.is_https:
                self._tls = make_tls(settings.http)
            self._sip_tls = make_sip_tls(settings.sip.tls)
            self._metrics.certified(_certified_until_s(settings))
        except BadCertificate as error:
            raise StartError(f"certificate: {error}") from error

    async def run(self) -> None:
        """Start, serve until a signal, and stop; raises StartError, StoreError and what a file is refused with."""
        worlds = self._read_worlds()
        store = Store.open(
            Path(self.settings.database.path),
            process=self._process,
            on_commit=self._metrics.committed,
            on_health=_log_health,
        )
        try:
            self._fill(store, worlds)
            await self._serve(store)
        finally:
            store.close()

    async def _serve(self, store: Store) -> None:
        """Make the rooms, open the doors, and shut them again when we are told to stop."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_bug)
        if store.writable:
            store.publish_due(at_ms=utc_ms())
        worlds = self._worlds(store)
        token_files = [self._issue_token(store, world, is_first=world is worlds[0]) for world in worlds]
        directory = Directory(worlds, default_realm=self.settings.sip.realm)
        events = Hub()
        switch, agent = self._make_switch(store, directory, events)
        couriers = self._make_couriers(store, worlds)
        self._measure(store, switch, worlds, couriers)
        endpoint = Endpoint(
            loop,
            agent,
            switch.handle,
            limits=_tcp_limits(self.settings),
            tls=self._sip_tls,
            name_servers=self.settings.sip.dns.servers,
            dns_wait_s=self.settings.sip.dns.wait_ms / 1000,
        )
        listeners = self._listen_http(switch, events, couriers, worlds[0].tenant)
        await self._listen(endpoint)
        with self._carrier(loop):
            store.start(loop)
            switch.begin(endpoint)
            await endpoint.serve()
            for listener in listeners:
                listener.start()
            couriers.change(self.settings.export)
            tenants = [world.tenant for world in worlds]
            chores = [asyncio.ensure_future(chore) for chore in self._chores(store, switch, tenants, couriers)]
            stop = self._hear_signals(loop, switch, couriers)
            _quiet_collector()
            await self._let_in(switch)
            self._greet(directory, token_files[0])
            try:
                by = await stop
                _tell_systemd("STOPPING=1")
                ended = await self._drain(switch)
                log.info("stopped by %s: %d calls ended", by, ended)
            finally:
                for chore in chores:
                    chore.cancel()
                events.close()
                switch.desk.printing.close()
                for listener in listeners:
                    await listener.stop()
                await couriers.stop()
                endpoint.close()

    async def _drain(self, switch: Switch) -> int:
        """End the calls, and wait for their records; how many there were that we ended."""
        before = switch.tables()["calls"]
        await switch.drain(self.settings.limits.drain_s)
        return before - switch.tables()["calls"]

    # What is there.

    def _read_worlds(self) -> list[World]:
        """Read the worlds before there is a database: a mistake in one leaves no empty one behind."""
        if Path(self.settings.database.path).exists():
            return []
        if not self.settings.worlds:
            raise StartError(self._no_world())
        return [load_world(Path(path)) for path in self.settings.worlds]

    def _fill(self, store: Store, worlds: list[World]) -> None:
        """Load the worlds into an empty database: those that were read, or else those of the files."""
        if store.is_empty():
            for world in worlds or map(load_world, map(Path, self.settings.worlds)):
                store.load(world, at_ms=utc_ms())

    def _worlds(self, store: Store) -> list[World]:
        """The worlds of the database; first of the provider whose token is in the first file."""
        first = self._first_provider(store)
        worlds = sorted(store.worlds(), key=lambda world: (world.tenant != first, world.tenant))
        if not worlds:
            raise StartError(
                self._no_world()
                if not self.settings.worlds
                else f"the database {store.path} has no world and cannot be written: mend the disk and start again"
            )
        return worlds

    def _no_world(self) -> str:
        return f"the database {self.settings.database.path} has no world: name one in `worlds` of {self._file}"

    def _first_provider(self, store: Store) -> str:
        """Whose token is in the first file: his who has it already, or the provider of the first world."""
        with suppress(OSError, UnicodeDecodeError):
            owner = store.token(hash_token(Path(self.settings.http.token_file).read_text("ascii").strip()))
            if owner is not None:
                return owner.tenant
        with suppress(SettingsErrors):  # a file is not needed once there is a database
            return _provider(self._first_text())
        return ""

    def _first_text(self) -> str:
        """The text of the first world's file, empty where none is named."""
        return read_file(Path(self.settings.worlds[0])) if self.settings.worlds else ""

    # The rooms.

    def _make_switch(self, store: Store, directory: Directory, events: Hub) -> tuple[Switch, UserAgent]:
        """The switch and the user agent that it speaks by, which has to know the switch's legs."""
        random, sip = _RandomBytes(), self.settings.sip
        agent = UserAgent(
            timers=Timers(),
            token=lambda: random(8).hex(),
            pick=secrets.randbelow,
            advertise=self.settings.advertised,
            product=f"sipshop/{__version__}",
            ours=lambda call_id, tag: switch.is_ours(call_id, tag),  # noqa: PLW0108  # made below
            manners=Manners(session_s=sip.session_s, session_least_s=sip.session_least_s, probe_s=sip.probe_s),
        )
        switch = Switch(
            directory=directory,
            store=store,
            agent=agent,
            options=_options(self.settings, self._process),
            random=random,
            on_fact=[self._metrics.count, log_fact, events.publish],
            on_lag=self._metrics.lagged,
            on_world=self._expect,
            fetch_secret=fetch_secret,
        )
        return switch, agent

    def _make_couriers(self, store: Store, worlds: list[World]) -> Couriers:
        """Who delivers to the targets of the export; raises StartError for one that cannot be used."""
        self._tenants = [world.tenant for world in worlds]
        couriers = Couriers(
            store,
            self._tenants[0],
            clock=steady_s,
            utc_ms=utc_ms,
            chance=secrets.SystemRandom().random,
            environment=os.environ,
        )
        try:
            self._check_targets(couriers, self.settings)
        except BadTarget as error:
            raise StartError(f"export.targets: {error}") from error
        return couriers

    def _check_targets(self, couriers: Couriers, settings: Settings) -> None:
        for wrong in unknown_providers(settings.export, self._tenants):
            raise BadTarget(wrong)
        couriers.check(settings.export)

    def _measure(self, store: Store, switch: Switch, worlds: list[World], couriers: Couriers) -> None:
        """Have the metrics ask the rooms at each scrape."""
        for world in worlds:
            self._expect(world)
        self._metrics.watch(
            tables=switch.tables,
            journal_pending=lambda: store.pending,
            # /metrics asks nobody who he is, and what a party has is not everybody's business
            money=switch.desk.board.money if _is_monitored_from_here(self.settings) else tuple,
            disk=store.disk,
            alerts=lambda: switch.alerts.open,
            targets=couriers.statuses,
        )

    def _chores(
        self, store: Store, switch: Switch, tenants: list[str], couriers: Couriers
    ) -> Iterator[Coroutine[Any, Any, None]]:
        """What is done again and again while we run."""
        yield self._audit(store.path)
        yield retain(store, lambda: tenants, lambda: _retention(self.settings), utc_ms, targets=couriers.held)
        yield _forget_log()
        yield switch.desk.decks.keep_time()

    def _hear_signals(self, loop: asyncio.AbstractEventLoop, switch: Switch, couriers: Couriers) -> asyncio.Future[str]:
        """Have a SIGHUP reload the configuration; which of SIGINT and SIGTERM came. A demo ends with its terminal."""
        stop: asyncio.Future[str] = loop.create_future()

        def on_stop(number: signal.Signals) -> None:
            if not stop.done():
                stop.set_result(number.name)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_stop, number)

        def on_hangup() -> None:
            with suppress(SettingsErrors):  # it was logged
                self._reload(switch, couriers)

        if self._file is not None:
            loop.add_signal_handler(signal.SIGHUP, on_hangup)
        return stop

    def _expect(self, world: World) -> None:
        """Have the series of a world's shops, trunks and parties, before anything happens there."""
        self._metrics.expect(
            world.tenant,
            shops=[shop.name for shop in world.shops],
            trunks=[trunk.name for trunk in world.trunks],
            parties=[party.name for party in world.parties],
        )

    async def _let_in(self, switch: Switch) -> None:
        """Give the people of a demo, who have no password yet, the one that the greeting tells."""
        if self._demo is None:
            return
        logins = switch.desk.logins
        new = [person for person in logins.people() if logins.login(person.tenant, person.name) is None]
        kept = await hash_password(DEMO_PASSWORD) if new else ""
        with suppress(StoreError):  # where it cannot be written, nobody comes in by the pages
            for person in new:
                await logins.set_password(person.tenant, person.name, kept, "start")

    def _greet(self, directory: Directory, token_file: Path) -> None:
        """Say that we are up, to whoever started us."""
        settings = self.settings
        if self._demo is None:
            log.info(
                "sipshop %s is up: SIP %s, HTTP %s%s, API token in %s",
                __version__,
                ", ".join(map(address_text, settings.sip.listeners))
                + "".join(f", TLS {address_text(address)}" for address in settings.sip.tls.listen),
                address_text(settings.http.listen),
                "" if settings.metrics.listen is None else f", metrics {address_text(settings.metrics.listen)}",
                token_file,
            )
        else:
            carrier = self._demo.carrier_listen if self._demo.carrier else None
            text = self._first_text()
            sys.stdout.write(banner(settings, directory, world_text=text, token_file=str(token_file), carrier=carrier))
            sys.stdout.flush()
        _tell_systemd("READY=1")

    # What changes while we run.

    def _reload(self, switch: Switch, couriers: Couriers) -> Reloaded:
        """Read the configuration again and take what can change while we run; nothing of a file with an error.

        Raises:
            SettingsErrors: the file, or one that it names, cannot be used.
        """
        if self._file is None:
            return nothing_to_reload()
        try:
            holds, done = self._reread(self._file, couriers)
        except SettingsErrors as errors:
            for problem in errors.errors:
                log.error("the configuration is not reloaded: %s", problem)  # noqa: TRY400  # what people wrote
            raise
        self.settings = holds
        self._retimed.set()
        switch.change(_options(holds, self._process))
        couriers.change(holds.export)
        for change in done.changed:
            log.info("reloaded: %s", change)
        for change in done.restart:
            log.warning("waits for a restart: %s", change)
        log.info("the configuration is reloaded: %d changed, %d wait", len(done.changed), len(done.restart))
        return done

    def _reread(self, file: Path, couriers: Couriers) -> tuple[Settings, Reloaded]:
        holds, done = reloaded(self.settings, load_settings(file))
        try:
            if self._tls is not None:
                make_tls(holds.http)  # what cannot be used is told before anything has changed
            sip_tls = make_sip_tls(holds.sip.tls)
            until_s = _certified_until_s(holds)
            self._check_targets(couriers, holds)
            begin_log(holds.logs)
            if self._tls is not None:
                load_certificate(self._tls, holds.http)
        except BadCertificate as error:
            raise SettingsErrors([Problem(str(file), 0, "certificate", str(error))]) from error
        except BadTarget as error:
            raise SettingsErrors([Problem(str(file), 0, "export.targets", str(error))]) from error
        except OSError as error:
            why = f"{holds.logs.file} cannot be written: {error.strerror}"
            raise SettingsErrors([Problem(str(file), 0, "logs.file", why)]) from error
        self._metrics.certified(until_s)
        self._sip_tls.client, self._sip_tls.server = sip_tls.client, sip_tls.server
        return holds, done

    async def _audit(self, database: Path) -> None:
        """Have the books checked again and again, by a process of its own: it reads all of them and calls are busy."""
        while True:
            try:
                async with asyncio.timeout(self.settings.database.audit_every_s or None):
                    await self._retimed.wait()
            except TimeoutError:
                await self._audit_once(database)
            else:
                self._retimed.clear()

    async def _audit_once(self, database: Path) -> None:
        audit = await asyncio.create_subprocess_exec(
            *("nice", sys.executable, "-m", "sipshop", "audit", "--database", str(database), "--json"),
            *("--processes", "1"),  # the other processors are for calls
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            printed, _ = await audit.communicate()
        except asyncio.CancelledError:
            audit.kill()
            await audit.wait()
            raise
        self._note_audit(printed)

    def _note_audit(self, printed: bytes) -> None:
        """Count what an audit found, and log each breach."""
        try:
            violations = json.loads(printed)["violations"]
        except (ValueError, KeyError, TypeError):
            log.exception("the audit could not be made: run `sipshop audit` to see why")
            return
        found = Counter(violation["law"] for violation in violations)
        for violation in violations:
            log.error("audit: %s: %s: %s", violation["law"], violation["subject"], printable(violation["text"]))
        self._metrics.audited({law: found[law] for law in LAWS}, utc_ms() / 1000)

    # The doors.

    async def _listen(self, endpoint: Endpoint) -> None:
        sip = self.settings.sip
        for what, listeners, listen in (
            ("SIP", sip.listeners, endpoint.listen),
            ("SIP over TLS", sip.tls.listen, endpoint.listen_tls),
        ):
            for address in listeners:
                try:
                    await listen(*address, advertise=sip.told(address))
                except OSError as error:
                    raise self._cannot_listen(error, what, address) from error

    def _listen_http(self, switch: Switch, events: Hub, couriers: Couriers, host: str) -> list[Listener]:
        http, metrics = self.settings.http, self.settings.metrics
        api = make_api(
            switch.desk,
            self._metrics,
            events,
            switch.tracer,
            bans=switch.gate,
            outbox=couriers,
            version=__version__,
            reload=lambda: self._reload(switch, couriers),
            host=host,
            hidden_digits=lambda: self.settings.retention.hidden_digits,
            has_monitoring=metrics.listen is None,
        )
        listeners = []
        try:
            what, address = "HTTP", http.listen
            listeners.append(Listener(api, address, tls=self._tls, proxies=http.trusted_proxies))
            if metrics.listen is not None:
                what, address = "metrics", metrics.listen
                listeners.append(Listener(make_monitoring(switch.desk, self._metrics, version=__version__), address))
        except OSError as error:
            raise self._cannot_listen(error, what, address) from error
        return listeners

    def _cannot_listen(self, error: OSError, what: str, address: Address) -> StartError:
        return _cannot_listen(error, what, address, (_OPTIONS if self._demo else _KEYS)[what])

    def _carrier(self, loop: asyncio.AbstractEventLoop) -> AbstractContextManager[None]:
        """The demo carrier, if this is a demo that has one."""
        if self._demo is None or not self._demo.carrier:
            return nullcontext()
        return _carrier_of(self._demo, loop)

    def _issue_token(self, store: Store, world: World, *, is_first: bool) -> Path:
        """The file that holds a provider's API token: made once, readable by its owner alone."""
        path = Path(self.settings.http.token_file)
        if not is_first:
            path = path.with_name(f"{path.name}.{world.tenant}")
        try:
            if path.exists():
                token = path.read_text("ascii").strip()
            else:
                token = new_token(secrets.token_bytes)
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123  # a descriptor, not a path
                    file.write(f"{token}\n")
        except OSError as error:
            raise StartError(f"the token file {path} cannot be used: {error.strerror}") from error
        with suppress(Unwritable):  # a database that cannot be written knows the token from before
            store.add_token(world.tenant, _token_of_provider(world, token), "start", utc_ms())
        return path

    def _on_bug(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An exception that nobody caught: it costs the message that it met, is logged and is counted."""
        del loop
        log.error("%s", context.get("message"), exc_info=context.get("exception"))
        self._metrics.count(MessageDropped(reason="unhandled"))


def _token_of_provider(world: World, token: str) -> Token:
    """What opens all of a world, and does not expire: it lies in a file that the owner of the server alone can read."""
    provider = next(party for party in world.parties if party.parent is None)
    return Token(
        tenant=world.tenant,
        sha256=hash_token(token),
        role=provider.kind.value,
        party=provider.name,
        shop=None,
        label="the server's own token file",
        created_at_ms=utc_ms(),
        expires_at_ms=None,
    )


class _RandomBytes:
    """Random bytes of the operating system, fetched many at a time: each call needs a dozen tags and branches."""

    def __init__(self) -> None:
        self._left = b""

    def __call__(self, count: int) -> bytes:
        """As many bytes as are asked for, never the same twice."""
        if len(self._left) < count:
            self._left = secrets.token_bytes(4096 + count)
        taken, self._left = self._left[:count], self._left[count:]
        return taken


@contextmanager
def _carrier_of(demo: DemoOptions, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(running_carrier(demo.carrier_listen, loop))
        except NoAddress as error:
            raise StartError(f"{error}: --carrier-listen one that is") from error
        except OSError as error:
            option = "--carrier-listen another, or --no-carrier if a carrier of yours runs there"
            raise _cannot_listen(error, "the demo carrier", demo.carrier_listen, option) from error
        yield


def _options(settings: Settings, process: str) -> Options:
    limits = settings.limits
    return Options(
        process=process,
        max_calls=limits.max_calls,
        max_call_s=limits.max_call_s,
        slice_s=limits.slice_s,
        overload_lag_s=limits.overload_lag_ms / 1000,
        redirects=settings.sip.redirects,
        bindings_per_booth=settings.sip.bindings_per_booth,
        registration_least_s=settings.sip.registration_least_s,
        registration_most_s=settings.sip.registration_most_s,
        shield=settings.sip.shield,
        keepalive_s=settings.sip.keepalive_s,
    )


def _is_monitored_from_here(settings: Settings) -> bool:
    """Whether the listener of /metrics is reached from this machine alone."""
    host, _ = settings.metrics.listen or settings.http.listen
    return ipaddress.ip_address(host).is_loopback


def _retention(settings: Settings) -> Retention:
    """How long what is kept, as the configuration says it now; its 0 is for ever."""
    kept = settings.retention
    return Retention(
        numbers_days=kept.numbers_days or None,
        hidden_digits=kept.hidden_digits,
        unanswered_days=kept.unanswered_days or None,
        desk_log_days=kept.desk_log_days or None,
        hold_days=settings.export.hold_days,
    )


async def _forget_log() -> None:
    """Remove what the log need not keep, once an hour."""
    while True:
        forget_log(utc_ms() / 1000)
        await asyncio.sleep(_HOUR_S)


def _provider(world_text: str) -> str:
    """Whose world it is, as far as it can be read; the database has the rest."""
    top = read_yaml(world_text, Problems("the world"))
    return top.part("provider").text("name", "") if top is not None else ""


def _tcp_limits(settings: Settings) -> Limits:
    sip = settings.sip
    return Limits(
        accepted=sip.tcp_connections,
        per_source=sip.tcp_per_source,
        new_per_s=sip.tcp_new_per_s,
        silent_s=sip.tcp_silent_s,
        idle_s=sip.tcp_idle_s,
        connect_s=sip.tcp_connect_s,
    )


def _certified_until_s(settings: Settings) -> dict[str, int]:
    """When the certificate of each listener expires; 0 without one."""
    named = {"http": settings.http.certificate, "sip": settings.sip.tls.certificate}
    return {listener: expires_at_s(Path(file)) if file is not None else 0 for listener, file in named.items()}


def _tell_systemd(state: str) -> None:
    """Tell whoever waits for it by sd_notify(3), if somebody does."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, suppress(OSError):
            notify.sendto(state.encode(), f"\0{address[1:]}" if address[0] == "@" else address)  # @: an abstract name


def _cannot_listen(error: OSError, what: str, address: Address, option: str) -> StartError:
    host, port = address
    if error.errno == errno.EADDRINUSE:
        return StartError(f"{what}: port {port} of {host} is in use: stop what runs there, or give {option}")
    if error.errno == errno.EADDRNOTAVAIL:
        return StartError(f"{what}: {host} is no address of this machine: give {option} with one that is")
    return StartError(f"{what}: cannot listen on {host} port {port} ({error.strerror}): give {option}")


def _quiet_collector() -> None:
    """Keep the garbage collector off what lives as long as we do (decks, tables, code), and let it come less often.

    Calls leave few cycles behind; with Python's own thresholds a collection falls into every other call.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _log_health(writable: bool, why: str) -> None:
    if writable:
        log.warning("the database can be written again")
    else:
        log.error("the database cannot be written: %s", why)
