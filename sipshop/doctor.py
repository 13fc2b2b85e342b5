"""Looks at the machine and the carriers before they are needed: what is wrong, and what to do about it (IO).

It changes nothing, and may be asked while the server runs. What is looked at stands in `examine_all`, in its order.
"""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import json
import os
import resource
import secrets
import shutil
import socket
import ssl
import stat
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, TypeVar

from sipshop import __version__
from sipshop.load import load_world
from sipshop.proxy.routing import Trunk
from sipshop.settings import DAY_S, Address, Settings, SettingsErrors, address_text
from sipshop.sip.message import MalformedMessage, Request, Response, parse
from sipshop.store import StoreError, stored_trunks
from sipshop.switch import utc_ms
from sipshop.web import BadCertificate, expires_at_s, make_tls
from sipshop.world import WorldErrors

#: How long anybody may take to answer.
PATIENCE_S: Final = 2.0

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

_RESOLVERS: Final = Path("/etc/resolv.conf")
_LITTLE_BYTES: Final = 1_000_000_000  # of a disk
_NOTHING_BYTES: Final = 100_000_000
_CERTIFICATE_S: Final = 14 * DAY_S
_OTHER_FILES: Final = 512  # that are open besides connections: the database, HTTP, the interpreter's own
_ASKED_AT_ONCE: Final = 16
_FIRST_RELEASE_MS: Final = 1_767_225_600_000  # 2026-01-01: a clock before it is wrong
_TIMEX_BYTES: Final = 512  # more than struct timex of adjtimex(2) is on any Linux
_CLOCK_ERROR: Final = 5  # TIME_ERROR: the kernel's clock is not synchronised


class Verdict(StrEnum):
    """How bad it is."""

    GOOD = "ok"
    DOUBTFUL = "look"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, what was found, and what to do about it, if anything."""

    verdict: Verdict
    what: str
    found: str
    remedy: str = ""


_good = partial(Finding, Verdict.GOOD)
_doubtful = partial(Finding, Verdict.DOUBTFUL)
_wrong = partial(Finding, Verdict.WRONG)


def examine_all(settings: Settings, resolvers: Path = _RESOLVERS) -> list[Finding]:
    """Look at everything that a server of these settings needs; `resolvers` names the name servers."""
    health = _health(settings)
    return [
        *_server(health, settings),
        *_ports(settings, is_running=health is not None),
        *_database(settings),
        *_disk(Path(settings.database.path)),
        *_certificate(settings),
        *_token(Path(settings.http.token_file)),
        *_clock(),
        *_file_limit(settings),
        *_name_servers(resolvers),
        *_trunks(settings),
    ]


def _health(settings: Settings) -> dict[str, Any] | None:
    """What the running server says of itself, None where none runs."""
    host, port = settings.metrics.listen or settings.http.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not listened on
    if settings.is_https and settings.metrics.listen is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it is asked by its address, and believed only that it is there
        context.verify_mode = ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(host, port, timeout=PATIENCE_S, context=context)
    else:
        connection = HTTPConnection(host, port, timeout=PATIENCE_S)
    try:
        with closing(connection):
            connection.request("GET", "/readyz")
            said = json.loads(connection.getresponse().read(65_536))
    except (OSError, HTTPException, ValueError):
        return None
    return said if isinstance(said, dict) and "ready" in said else None


def _server(health: dict[str, Any] | None, settings: Settings) -> Iterator[Finding]:
    if health is None:
        yield _good("server", "none runs by this configuration, so its ports are tried")
    elif health["ready"]:
        yield _good("server", "runs and takes calls")
    else:
        yield _wrong("server", f"runs but takes no calls: {health.get('why')}", "see its log")
    host = ipaddress.ip_address(settings.advertised[0])
    listens_here = ipaddress.ip_address(settings.sip.listen[0]).is_loopback
    if listens_here and not host.is_loopback:
        yield _wrong(
            "sip.advertise",
            f"{host} is told to phones, but the server listens on {settings.sip.listen[0]} only",
            "set sip.listen to an address that phones reach",
        )
    elif host.is_loopback:
        yield _doubtful(
            "sip.listen",
            f"{host}: only phones on this machine reach it",
            "set sip.listen, if others shall",
        )


def _ports(settings: Settings, *, is_running: bool) -> Iterator[Finding]:
    wanted: list[tuple[str, Address, socket.SocketKind]] = [
        ("SIP, UDP", settings.sip.listen, socket.SOCK_DGRAM),
        ("SIP, TCP", settings.sip.listen, socket.SOCK_STREAM),
        ("HTTP", settings.http.listen, socket.SOCK_STREAM),
    ]
    if settings.metrics.listen is not None:
        wanted.append(("metrics", settings.metrics.listen, socket.SOCK_STREAM))
    for name, address, kind in wanted:
        what, where = f"port of {name}", address_text(address)
        error = _refusal_to_bind(address, kind)
        if error is None:
            yield (
                _good(what, f"{where} is free")
                if not is_running
                else _wrong(
                    what, f"the running server does not listen on {where}", "restart it: its configuration has changed"
                )
            )
        elif error == errno.EADDRINUSE and is_running:
            yield _good(what, f"{where} is in use, as a server runs")
        elif error == errno.EADDRINUSE:
            yield _wrong(
                what, f"{where} is in use, not by a sipshop", f"`ss -lntup 'sport = :{address[1]}'` shows by whom"
            )
        elif error == errno.EADDRNOTAVAIL:
            yield _wrong(what, f"{address[0]} is no address of this machine", "`ip address` shows those that are")
        elif error == errno.EACCES:
            yield _wrong(what, f"{where} is not allowed to you", "take a port above 1023, or CAP_NET_BIND_SERVICE")
        else:
            yield _wrong(what, f"{where}: {os.strerror(error)}", "give it another address")


def _refusal_to_bind(address: Address, kind: socket.SocketKind) -> int | None:
    """The errno of trying, None where the address can be had."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno or errno.EINVAL
    return None


def _database(settings: Settings) -> Iterator[Finding]:
    path = Path(settings.database.path)
    if not path.exists():
        if settings.worlds:
            yield _good("database", f"{path} is not there yet: the first start makes it from {settings.worlds[0]}")
        else:
            yield _doubtful(
                "database", f"{path} is not there, and no world to make it from", "name a world in `worlds`"
            )
        folder = _nearest(path)
        if not os.access(folder, os.W_OK):
            yield _wrong("database", f"you may not write to the folder {folder}", "chown it to who runs sipshop")
        return
    try:
        trunks = stored_trunks(path)
    except StoreError as error:
        yield _wrong("database", str(error), "restore a backup if it is damaged")
        return
    if not trunks and not settings.worlds:
        yield _doubtful("database", f"{path} has no trunk, perhaps no world at all", "name a world in `worlds`")
    if os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
        yield _good("database", f"{path} can be read and written; trunks in it: {len(trunks)}")
    else:
        yield _wrong("database", f"you may not write to {path} or its folder", "chown both to who runs sipshop")


def _disk(path: Path) -> Iterator[Finding]:
    folder = _nearest(path)
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB are free in {folder}"
    if free < _NOTHING_BYTES:
        yield _wrong("disk", found, "make room at once: without it no call is answered")
    elif free < _LITTLE_BYTES:
        yield _doubtful("disk", found, "make room: a thousand calls take about 2 MB")
    else:
        yield _good("disk", found)


def _nearest(path: Path) -> Path:
    """The folder of a file, or what is there of the way to it."""
    folder = path.absolute().parent
    while not folder.is_dir():
        folder = folder.parent
    return folder


def _certificate(settings: Settings) -> Iterator[Finding]:
    certificate = settings.http.certificate
    if certificate is None:
        if not ipaddress.ip_address(settings.http.listen[0]).is_loopback:
            yield _doubtful(
                "certificate",
                f"plain HTTP on {settings.http.listen[0]}: tokens can be read on the way",
                "give http.certificate and http.key, or listen on 127.0.0.1 behind a proxy that speaks HTTPS",
            )
        return
    try:
        make_tls(settings.http)
        left_s = expires_at_s(Path(certificate)) - utc_ms() // 1000
    except BadCertificate as error:
        yield _wrong("certificate", str(error), "set http.certificate and http.key")
        return
    if left_s <= 0:
        yield _wrong("certificate", f"{certificate} has expired", "renew it, then `sipshop reload`")
    elif left_s < _CERTIFICATE_S:
        yield _doubtful(
            "certificate", f"{certificate} expires in {left_s // DAY_S} days", "renew it, then `sipshop reload`"
        )
    else:
        yield _good("certificate", f"{certificate} is good for {left_s // DAY_S} days")


def _token(path: Path) -> Iterator[Finding]:
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # the first start makes it
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        yield _wrong("token", f"others may read {path}", f"chmod 600 {path}")


def _clock() -> Iterator[Finding]:
    if utc_ms() < _FIRST_RELEASE_MS:
        yield _wrong("clock", "it is years behind", "set it: every record and every bill is dated by it")
        return
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # `modes` is 0: to read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    if state == _CLOCK_ERROR:
        yield _doubtful("clock", "nothing keeps it right", "install chrony or systemd-timesyncd, `timedatectl` shows")
    elif state < 0:
        yield _doubtful("clock", f"cannot be asked: {os.strerror(ctypes.get_errno())}", "look at `timedatectl`")
    else:
        yield _good("clock", "is kept right by a time server")


def _file_limit(settings: Settings) -> Iterator[Finding]:
    # as many connections may be opened by us as are accepted
    needed = 2 * settings.sip.tcp_connections + _OTHER_FILES
    whose, limit = "of this shell", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    holder = _holder(Path(settings.database.path))
    if holder is not None:
        try:
            limit = resource.prlimit(holder, resource.RLIMIT_NOFILE)[0]
            whose = f"of the server, process {holder}"
        except (OSError, ValueError):
            pass  # it has ended, or is somebody else's: then what this shell may do is the best guess
    found = f"{'no limit' if limit == resource.RLIM_INFINITY else limit} {whose}; {needed} may be needed"
    if limit == resource.RLIM_INFINITY or limit >= needed:
        yield _good("open files", found)
    else:
        yield _doubtful("open files", found, "raise LimitNOFILE of the systemd unit or `ulimit -n`")


def _holder(database: Path) -> int | None:
    """The process that the lock file of a database names."""
    try:
        text = database.with_name(f"{database.name}.lock").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None


def _name_servers(resolvers: Path) -> Iterator[Finding]:
    try:
        lines = [line.split() for line in resolvers.read_text("ascii", "replace").splitlines()]
    except OSError:
        lines = []
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    if not servers:
        yield _doubtful("DNS", f"{resolvers} names no name server", "trunks are addresses today, names will need one")
    for server, answers in zip(servers, _at_once(_answers_dns, servers), strict=True):
        if answers:
            yield _good("DNS", f"{server} answers")
        else:
            yield _doubtful("DNS", f"{server} does not answer", f"mend it in {resolvers}; trunks are addresses today")


def _answers_dns(server: str) -> bool:
    """Whether a name server answers at all: asked for the name servers of the root (RFC 1035 section 4)."""
    number = secrets.randbits(16)
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + b"\0" + struct.pack("!2H", 2, 1)
    try:
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(PATIENCE_S)
            asked.connect((server, 53))
            asked.send(question)
            return asked.recv(4096)[:2] == struct.pack("!H", number)
    except (OSError, ValueError):
        return False


def _trunks(settings: Settings) -> Iterator[Finding]:
    try:
        path = Path(settings.database.path)
        if path.exists():
            trunks = stored_trunks(path)
        else:
            trunks = [trunk for world in settings.worlds for trunk in load_world(Path(world)).trunks]
    except StoreError:
        return  # that was told
    except (SettingsErrors, WorldErrors) as errors:
        yield _wrong("worlds", str(errors).partition("\n")[0], "`sipshop check-config` tells all of it")
        return
    yield from _at_once(partial(_trunk, settings), trunks)


def _trunk(settings: Settings, trunk: Trunk) -> Finding:
    what = f"trunk {trunk.name}"
    where = f"{address_text((trunk.host, trunk.port))} {trunk.transport.upper()}"
    begun_s = time.perf_counter()
    try:
        status = _options(settings, trunk)
    except TimeoutError:
        return _doubtful(
            what,
            f"{where} does not answer OPTIONS within {PATIENCE_S:g} s",
            "its address, your firewall, and whether the carrier knows your address; some never answer OPTIONS",
        )
    except OSError as error:
        return _wrong(what, f"{where} cannot be reached: {error.strerror or error}", "its address; or it is down")
    except MalformedMessage:
        return _wrong(what, f"{where} answers, but not in SIP", "its port")
    return _good(what, f"{where} answers {status} after {(time.perf_counter() - begun_s) * 1000:.0f} ms")


def _options(settings: Settings, trunk: Trunk) -> int:
    """Ask a carrier for its capabilities (RFC 3261 section 11); the status of its answer."""
    remote, is_udp = (trunk.host, trunk.port), trunk.transport == "udp"
    family = socket.AF_INET6 if ":" in trunk.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM) as asked:
        asked.settimeout(PATIENCE_S)
        if not ipaddress.ip_address(settings.sip.listen[0]).is_unspecified:
            asked.bind((settings.sip.listen[0], 0))  # carriers know us by our address
        asked.connect(remote)
        asked.sendall(_question(settings, trunk, asked.getsockname()[:2]).encode())
        for _ in range(_ASKED_AT_ONCE):
            received = asked.recv(65_535)
            if not received:
                raise ConnectionAbortedError("it closed the connection")
            answer = parse(received)
            if isinstance(answer, Response) and answer.status >= 200:
                return answer.status
    raise TimeoutError


def _question(settings: Settings, trunk: Trunk, local: Address) -> Request:
    ours, theirs = address_text((settings.advertised[0], 0)).removesuffix(":0"), address_text((trunk.host, trunk.port))
    transport = trunk.transport.upper()
    return Request(
        "OPTIONS",
        f"sip:{theirs}" + ("" if transport == "UDP" else ";transport=tcp"),
        [
            ("via", f"SIP/2.0/{transport} {address_text(local)};branch=z9hG4bK{secrets.token_hex(8)};rport"),
            ("max-forwards", "70"),
            ("from", f"<sip:doctor@{ours}>;tag={secrets.token_hex(8)}"),
            ("to", f"<sip:{theirs}>"),
            ("call-id", secrets.token_hex(8)),
            ("cseq", "1 OPTIONS"),
            ("user-agent", f"sipshop/{__version__}"),
            ("content-length", "0"),
        ],
    )


def _at_once(ask: Callable[[Asked], Answer], asked: Sequence[Asked]) -> list[Answer]:
    """Ask many at a time: each may leave us waiting."""
    with ThreadPoolExecutor(_ASKED_AT_ONCE) as pool:
        return list(pool.map(ask, asked))
