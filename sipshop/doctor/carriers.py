"""The carriers: whether their names are known, and whether they answer."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from sipshop import __version__
from sipshop.doctor.finding import Finding, at_once, doubtful, good, wrong
from sipshop.load import load_world
from sipshop.proxy.routing import Trunk
from sipshop.settings import Address, Settings, SettingsErrors, address_text
from sipshop.sip import identity
from sipshop.sip.lookup import Resolver
from sipshop.sip.message import MalformedMessage, Request, Response, parse
from sipshop.sip.resolve import Plan, is_ip
from sipshop.store import StoreError, stored_trunks
from sipshop.switch.ways import Place, Way
from sipshop.tls import make_sip_tls
from sipshop.web import BadCertificate
from sipshop.world import WorldErrors

_DNS_PORT: Final = 53
_SLOW_S: Final = 0.5  # a name server that takes longer is heard by whoever dials
_MOST_READ: Final = 16  # provisional answers, and others


def examine(settings: Settings, resolvers: Path, patience_s: float) -> Iterator[Finding]:
    """Ask the name servers, for the names of trunks, and then the trunks."""
    trunks: list[Trunk] = []
    problems: list[Finding] = []
    try:
        trunks = _known_trunks(settings)
    except StoreError:
        pass  # that was told
    except (SettingsErrors, WorldErrors) as errors:
        problems = [wrong("worlds", str(errors).partition("\n")[0], "`sipshop check-config` tells all of it")]
    needed = any(not is_ip(trunk.host) for trunk in trunks)
    servers = [address_text(address) for address in settings.sip.dns.servers] or _named(resolvers)
    yield from _name_servers(servers, resolvers, patience_s, needed=needed)
    yield from problems
    found = at_once(lambda trunk: _ways(settings, trunk, patience_s), trunks)
    asked = []
    for trunk, (ways, finding) in zip(trunks, found, strict=True):
        if finding is not None:
            yield finding
        asked += [(trunk, way, len(ways) > 1) for way in ways]
    yield from at_once(lambda one: _trunk(settings, *one, patience_s), asked)


def _known_trunks(settings: Settings) -> list[Trunk]:
    """The trunks of the database, or of the worlds that it will be made from."""
    path = Path(settings.database.path)
    if path.exists():
        return stored_trunks(path)
    return [trunk for world in settings.worlds for trunk in load_world(Path(world)).trunks]


def _named(resolvers: Path) -> list[str] | OSError:
    """The name servers of the machine."""
    try:
        lines = [line.split() for line in resolvers.read_text("ascii", "replace").splitlines()]
    except OSError as error:
        return error
    return [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]


def _name_servers(
    servers: list[str] | OSError, resolvers: Path, patience_s: float, *, needed: bool
) -> Iterator[Finding]:
    """Ask each name server; one that fails is wrong where names are `needed`, else only worth a look."""
    bad = wrong if needed else doubtful
    why = "" if needed else "; no trunk has a name, so nothing needs it yet"
    if isinstance(servers, OSError):
        yield bad("DNS", f"{resolvers} cannot be read: {servers.strerror}", f"write `nameserver ADDRESS` into it{why}")
        return
    if not servers:
        yield bad("DNS", f"{resolvers} names no name server", f"write `nameserver ADDRESS` into it{why}")
    for server, took_s in zip(servers, at_once(partial(_asked, patience_s), servers), strict=True):
        if took_s is None:
            yield bad(
                "DNS",
                f"{server} does not answer within {patience_s:g} s",
                f"take another one in {resolvers}, or open port 53 to it{why}",
            )
        elif took_s > _SLOW_S:
            yield doubtful(
                "DNS", f"{server} answers after {took_s * 1000:.0f} ms", f"name a nearer one in {resolvers}, first"
            )
        else:
            yield good("DNS", f"{server} answers after {took_s * 1000:.0f} ms")


def _asked(patience_s: float, server: str) -> float | None:
    """How long a name server takes to answer at all, asked for the root's (RFC 1035 section 4); None: too long."""
    number = secrets.randbits(16)
    question = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + b"\0" + struct.pack("!2H", 2, 1)
    begun_s = time.perf_counter()
    try:
        host, port = _host_and_port(server)
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(patience_s)
            asked.connect((host, port))
            asked.send(question)
            answer = asked.recv(4096)
    except (OSError, ValueError):
        return None
    return time.perf_counter() - begun_s if answer[:2] == struct.pack("!H", number) else None


def _host_and_port(server: str) -> Address:
    """An address as resolv.conf has it, or with a port as the configuration does."""
    if server.startswith("[") or server.count(":") == 1:
        host, _, port = server.rpartition(":")
        return host.strip("[]"), int(port)
    return server, _DNS_PORT


def _ways(settings: Settings, trunk: Trunk, patience_s: float) -> tuple[tuple[Way, ...], Finding | None]:
    """The addresses of a trunk as the server finds them, and what is to be said of its name."""
    place = Place.of(trunk, trunk.host, trunk.port)
    begun_s = time.perf_counter()
    found = asyncio.run(_find(settings, place, patience_s))
    if is_ip(trunk.host):
        return found.targets, None
    what, took_s = f"name {trunk.host}", time.perf_counter() - begun_s
    if not found.targets:
        remedy = f"its spelling in the world, and what `dig +short SRV _sip._udp.{trunk.host}` and `dig` say"
        return (), wrong(what, f"leads nowhere: {found.why}", remedy)
    says = ", ".join(f"{address_text(way.address)} {way.transport}" for way in found.targets)
    says = f"{says}, after {took_s * 1000:.0f} ms"
    if took_s > _SLOW_S:
        return found.targets, doubtful(what, says, "the name servers above: a call may wait as long")
    return found.targets, good(what, says)


async def _find(settings: Settings, place: Place, patience_s: float) -> Plan:
    """Look a place up by the server's own resolver."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[Plan] = loop.create_future()
    resolver = Resolver(
        loop,
        turn=lambda: nullcontext(time.perf_counter()),
        pick=secrets.randbelow,
        servers=settings.sip.dns.servers,
        wait_s=patience_s,
    )
    families = tuple(dict.fromkeys(6 if ":" in host else 4 for host, _ in settings.sip.listeners))
    resolver.find(place.wanted, time.perf_counter(), lambda plan, _now: told.set_result(plan), families=families)
    plan = await told
    resolver.close()
    if not place.domain:
        return plan
    return replace(plan, targets=tuple(replace(target, name=place.domain) for target in plan.targets))


def _trunk(settings: Settings, trunk: Trunk, way: Way, has_others: bool, patience_s: float) -> Finding:
    where = f"{address_text(way.address)} {way.transport}"
    what = f"trunk {trunk.name} at {where}" if has_others else f"trunk {trunk.name}"
    begun_s = time.perf_counter()
    try:
        status = _options(settings, trunk, way, patience_s)
    except TimeoutError:
        return doubtful(
            what,
            f"{where} does not answer OPTIONS within {patience_s:g} s",
            "its address, your firewall, and whether the carrier knows your address; some never answer OPTIONS",
        )
    except ssl.SSLError as error:
        why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.reason
        return wrong(what, f"{where} does not speak TLS with us: {why}", "his certificate, and sip.tls.ca")
    except BadCertificate as error:
        return wrong(what, f"{where} cannot be asked: {error}", "mend sip.tls")
    except _AnotherName:
        return wrong(
            what, f"{where} shows a certificate that is not for {way.name}", "the name that his certificate is for"
        )
    except OSError as error:
        return wrong(what, f"{where} cannot be reached: {error.strerror or error}", "its address; or it is down")
    except MalformedMessage:
        return wrong(what, f"{where} answers, but not in SIP", "its port")
    return good(what, f"{where} answers {status} after {(time.perf_counter() - begun_s) * 1000:.0f} ms")


class _AnotherName(Exception):
    """The certificate is somebody else's."""


def _options(settings: Settings, trunk: Trunk, way: Way, patience_s: float) -> int:
    """Ask a carrier for its capabilities (RFC 3261 section 11); the status of its answer."""
    host, is_udp = way.address[0], way.transport == "UDP"
    ours = [listen for listen in settings.sip.listeners if (":" in listen[0]) == (":" in host)]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as held:
        asked = held.enter_context(socket.socket(family, socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM))
        asked.settimeout(patience_s)
        if ours and not ipaddress.ip_address(ours[0][0]).is_unspecified:
            asked.bind((ours[0][0], 0))  # carriers know us by our address
        asked.connect(way.address)
        if way.transport == "TLS":
            veiled = make_sip_tls(settings.sip.tls).client.wrap_socket(asked, server_hostname=way.name)
            asked = held.enter_context(veiled)
            if not identity.is_of(veiled.getpeercert() or {}, way.name):
                raise _AnotherName
        asked.sendall(_question(settings, trunk, way, asked.getsockname()[:2]).encode())
        for _ in range(_MOST_READ):
            received = asked.recv(65_535)
            if not received:
                raise ConnectionAbortedError("it closed the connection")
            answer = parse(received)
            if isinstance(answer, Response) and answer.status >= 200:
                return answer.status
    raise TimeoutError


def _question(settings: Settings, trunk: Trunk, way: Way, local: Address) -> Request:
    ours = address_text((settings.advertised[0], 0)).removesuffix(":0")
    theirs = trunk.realm_host if trunk.port is None or trunk.domain else f"{trunk.realm_host}:{trunk.port}"
    return Request(
        "OPTIONS",
        f"sip:{theirs}" + ("" if way.transport == "UDP" else f";transport={way.transport.lower()}"),
        [
            ("via", f"SIP/2.0/{way.transport} {address_text(local)};branch=z9hG4bK{secrets.token_hex(8)};rport"),
            ("max-forwards", "70"),
            ("from", f"<sip:doctor@{ours}>;tag={secrets.token_hex(8)}"),
            ("to", f"<sip:{theirs}>"),
            ("call-id", secrets.token_hex(8)),
            ("cseq", "1 OPTIONS"),
            ("user-agent", f"sipshop/{__version__}"),
            ("content-length", "0"),
        ],
    )
