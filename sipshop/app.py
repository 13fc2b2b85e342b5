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
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn
import uvloop

from sipshop import __version__
from sipshop.config import Problems, Settings, read_yaml
from sipshop.console.api import make_api
from sipshop.console.events import Hub
from sipshop.console.tokens import hash_token, new_token
from sipshop.demo.numbers import NUMBERS
from sipshop.facts import MessageDropped
from sipshop.metrics import Metrics
from sipshop.proxy.admission import Auth
from sipshop.sip.digest import Algorithm, ha1
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.flow import Address
from sipshop.sip.message import printable
from sipshop.sip.timers import Timers
from sipshop.sip.useragent import UserAgent
from sipshop.store import Store, StoreError, Token, Unwritable
from sipshop.store.audit import LAWS
from sipshop.switch import DROP_REASONS, Directory, Options, Switch, refusal_series, utc_ms
from sipshop.world import World, WorldErrors, parse_world

log: Final = logging.getLogger("sipshop.app")

#: How long calls and their CDRs may take to end when we are told to stop.
DRAIN_S: Final = 10.0
#: How often the books are checked against the laws of the ledger.
AUDIT_EVERY_S: Final = 3600.0
DATABASE: Final = "sipshop.db"


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
    """Run a demo until SIGINT or SIGTERM; `SystemExit` with status 2 and one line where it cannot start."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        uvloop.run(_Demo(options).run())
    except (StartError, StoreError, WorldErrors) as error:
        sys.stderr.write(f"sipshop: {error}\n")
        raise SystemExit(2) from None


class _Demo:
    """One run of the demo."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        host, port = options.listen
        advertised, advertised_port = options.advertise or (host, None)
        if ipaddress.ip_address(advertised).is_unspecified:
            raise StartError(
                f"phones cannot be told to send to {advertised}: add --advertise with this machine's address"
            )
        self._advertise: Address = (advertised, advertised_port or port)
        self._settings = Settings(
            listen_host=host,
            listen_port=port,
            advertise=advertised,
            http_host=options.http[0],
            http_port=options.http[1],
            database=str(options.data / DATABASE),
        )
        self._metrics = Metrics(version=__version__, refusals=refusal_series(), drop_reasons=DROP_REASONS, laws=LAWS)

    async def run(self) -> None:
        process = f"{os.getpid()}-{secrets.token_hex(4)}"
        store = Store.open(
            Path(self._settings.database),
            process=process,
            on_commit=self._metrics.committed,
            on_health=_log_health,
        )
        try:
            await self._run(store, process)
        finally:
            store.close()

    async def _run(self, store: Store, process: str) -> None:
        loop = asyncio.get_running_loop()
        texts = [_read_world(path) for path in self._options.worlds]
        if store.is_empty():
            for path, text in zip(self._options.worlds, texts, strict=True):
                store.load(parse_world(text, str(path)), at_ms=utc_ms())
        first = _provider(texts[0])
        worlds = sorted(store.worlds(), key=lambda world: (world.tenant != first, world.tenant))
        if not worlds:
            raise StartError(
                f"the database {store.path} has no world and cannot be written: mend the disk and start again"
            )
        token_files = [self._issue_token(store, world, is_first=world is worlds[0]) for world in worlds]
        directory = Directory(worlds, default_realm=self._settings.realm)
        self._metrics.expect(
            shops=[shop.name for world in worlds for shop in world.shops],
            carriers=[trunk.name for world in worlds for trunk in world.trunks],
        )
        random = _RandomBytes()
        events = Hub()
        agent = UserAgent(
            timers=Timers(),
            token=lambda: random(8).hex(),
            pick=secrets.randbelow,
            advertise=self._advertise,
            product=f"sipshop/{__version__}",
            ours=lambda call_id, tag: switch.is_ours(call_id, tag),  # noqa: PLW0108  # made below
        )
        switch = Switch(
            directory=directory,
            store=store,
            agent=agent,
            options=Options(process=process, max_calls=self._settings.max_calls, max_call_s=self._settings.max_call_s),
            random=random,
            on_fact=[self._metrics.count, events.publish],
            on_lag=self._metrics.lagged,
        )
        self._metrics.watch(tables=switch.tables, journal_pending=lambda: store.pending)
        loop.set_exception_handler(self._on_bug)
        endpoint = Endpoint(loop, agent, switch.handle)
        web = self._bind_http()
        await self._listen(endpoint)
        with self._carrier(loop):
            store.start(loop)
            switch.begin(endpoint)
            await endpoint.serve()
            api = make_api(switch.desk, self._metrics, store.token, events, switch.tracer, version=__version__)
            server = _HttpServer(uvicorn.Config(api, log_config=None, access_log=False, lifespan="off"))
            serving = asyncio.ensure_future(server.serve(sockets=[web]))
            auditing = asyncio.ensure_future(self._audit(store.path))
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            _quiet_collector()
            sys.stdout.write(self._banner(directory, texts[0], token_files[0]))
            sys.stdout.flush()
            try:
                await stop.wait()
                await switch.drain(DRAIN_S)
            finally:
                auditing.cancel()
                events.close()
                server.should_exit = True
                await serving
                endpoint.close()

    async def _audit(self, database: Path) -> None:
        """Have the books checked again and again, by a process of its own: it reads all of them and calls are busy."""
        while True:
            await asyncio.sleep(AUDIT_EVERY_S)
            audit = await asyncio.create_subprocess_exec(
                *("nice", sys.executable, "-m", "sipshop", "audit", "--database", str(database), "--json"),
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

    async def _listen(self, endpoint: Endpoint) -> None:
        host, port = self._options.listen
        try:
            await endpoint.listen(host, port)
        except OSError as error:
            raise _cannot_listen(error, "SIP", host, port, "--listen") from error

    def _bind_http(self) -> socket.socket:
        host, port = self._options.http
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        web = socket.socket(family, socket.SOCK_STREAM)
        web.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            web.bind((host, port))
        except OSError as error:
            web.close()
            raise _cannot_listen(error, "HTTP", host, port, "--http") from error
        return web

    @contextmanager
    def _carrier(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """The demo carrier as a process of its own, which ends when we do, however that is."""
        if not self._options.carrier:
            yield
            return
        host, port = self._options.carrier_listen
        if ipaddress.ip_address(host).is_unspecified:
            raise StartError(
                f"the demo carrier names its address to phones, and {host} is none: --carrier-listen one that is"
            )
        option = "--carrier-listen another, or --no-carrier if a carrier of yours runs there"
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise _cannot_listen(error, "the demo carrier", host, port, option) from error
        child = subprocess.Popen(  # noqa: S603  # our own interpreter and our own module
            [sys.executable, "-m", "sipshop.demo", host, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert child.stdin is not None, "it was opened as a pipe"
        assert child.stdout is not None, "it was opened as a pipe"
        sys.stdout.write(child.stdout.readline().decode())  # that it listens
        watch = os.pidfd_open(child.pid)

        def ended() -> None:
            loop.remove_reader(watch)
            log.error("the demo carrier ended by itself: calls will find no carrier until the demo is started again")

        loop.add_reader(watch, ended)
        try:
            yield
        finally:
            loop.remove_reader(watch)
            os.close(watch)
            child.stdin.close()
            try:
                child.wait(2)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            child.stdout.close()

    def _issue_token(self, store: Store, world: World, *, is_first: bool) -> Path:
        """The file that holds a provider's API token: made once, readable by its owner alone."""
        path = self._options.data / ("token" if is_first else f"token.{world.tenant}")
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

    def _banner(self, directory: Directory, world_text: str, token_file: Path) -> str:
        host, port = self._advertise
        lines = [
            "",
            f"sipshop {__version__} is up",
            f"  SIP      {_address(self._options.listen)}  UDP and TCP"
            + ("" if self._advertise == self._options.listen else f", advertised as {_address(self._advertise)}"),
            f"  HTTP     http://{_address(self._options.http)}  (API /api/v1, /metrics, /healthz, /readyz)",
            f"  data     {self._options.data / DATABASE}, API token in {token_file}",
        ]
        if self._options.carrier:
            lines.append(f"  carrier  {_address(self._options.carrier_listen)}  a tone, but for numbers that end in")
            endings = "; ".join(f"{script.ending} {script.says.split(',')[0].split(' (')[0]}" for script in NUMBERS[:8])
            lines += textwrap.wrap(endings, 100, initial_indent=" " * 11, subsequent_indent=" " * 11)
        lines += ["", *_softphone(directory, world_text, host, port), ""]
        if not ipaddress.ip_address(self._options.listen[0]).is_loopback:
            lines += ["WARNING: the demo's passwords are published; do not let strangers reach this address."]
            if self._options.carrier and ipaddress.ip_address(self._options.carrier_listen[0]).is_loopback:
                lines += [
                    "NOTE: other machines will not hear the demo carrier from here: docs/demo.md says how they do."
                ]
            lines += [""]
        return "\n".join(lines) + "\n"


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


class _HttpServer(uvicorn.Server):
    """uvicorn without its signal handlers: when we stop is decided here."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _softphone(directory: Directory, world_text: str, host: str, port: int) -> list[str]:
    """How to make a first call, with the first booth whose password the world's file still tells."""
    passwords = _passwords(world_text)
    for booth in directory.booths.values():
        password = passwords.get(booth.name)
        realm = directory.shop_of(booth).realm
        if booth.auth is Auth.DIGEST and password is not None:
            known = booth.ha1.get(Algorithm.MD5)
            if known == ha1(Algorithm.MD5, booth.name, realm, password):
                break
    else:
        return ["Booths and passwords are those of the world that was loaded first."]
    server = f"{host}:{port}" if ":" not in host else f"[{host}]:{port}"
    return [
        f"Softphone: user {booth.name}, password {password}, server (domain, registrar) {server}, UDP",
        "Try next, in another terminal:",
        f"  .venv/bin/sipshop booth unlock {booth.name}      then dial 0049 30 555 1234",
        "  .venv/bin/sipshop booth list",
        f"  .venv/bin/sipshop session bill {booth.name}",
    ]


def _provider(world_text: str) -> str:
    """Whose world it is, as far as it can be read; the database has the rest."""
    top = read_yaml(world_text, Problems("the world"))
    provider = top.section("provider", required=False) if top is not None else None
    return provider.text("name", "") if provider is not None else ""


def _passwords(world_text: str) -> dict[str, str]:
    """The passwords in a world's text by booth, for the people who try the demo; they are stored nowhere."""
    top = read_yaml(world_text, Problems("the world"))
    booths = [booth for shop in top.sections("shops") for booth in shop.sections("booths")] if top is not None else []
    first = {booth.text("name", ""): booth.text("password", "") for booth in booths}
    return {name.partition("..")[0]: password.partition("..")[0] for name, password in first.items() if password}


def _read_world(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise StartError(f"the world {path} cannot be read: {why}") from error


def _cannot_listen(error: OSError, what: str, host: str, port: int, option: str) -> StartError:
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


def _address(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _log_health(writable: bool, why: str) -> None:
    if writable:
        log.warning("the database can be written again")
    else:
        log.error("the database cannot be written: %s", why)
