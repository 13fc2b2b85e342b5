"""The carriers: whether their names are known, and whether they answer."""

from __future__ import annotations

import ipaddress
import secrets
import socket
import struct
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

from sipshop import __version__
from sipshop.doctor.finding import Finding, at_once, doubtful, good, wrong
from sipshop.load import load_world
from sipshop.proxy.routing import Trunk
from sipshop.settings import Address, Settings, SettingsErrors, address_text
from sipshop.sip.message import MalformedMessage, Request, Response, parse
from sipshop.store import StoreError, stored_trunks
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
    names = sorted({trunk.host for trunk in trunks if not _is_address(trunk.host)})
    yield from _name_servers(resolvers, patience_s, needed=bool(names))
    yield from problems
    addresses = {}
    for name, (address, finding) in zip(names, at_once(_resolved, names), strict=True):
        yield finding
        addresses[name] = address
    known = [(trunk, addresses.get(trunk.host, trunk.host)) for trunk in trunks]
    reachable = [(trunk, address) for trunk, address in known if address]
    yield from at_once(lambda one: _trunk(settings, *one, patience_s), reachable)


def _known_trunks(settings: Settings) -> list[Trunk]:
    """The trunks of the database, or of the worlds that it will be made from."""
    path = Path(settings.database.path)
    if path.exists():
        return stored_trunks(path)
    return [trunk for world in settings.worlds for trunk in load_world(Path(world)).trunks]


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _name_servers(resolvers: Path, patience_s: float, *, needed: bool) -> Iterator[Finding]:
    """Ask each name server; one that fails is wrong where names are `needed`, else only worth a look."""
    bad = wrong if needed else doubtful
    why = "" if needed else "; no trunk has a name, so nothing needs it yet"
    try:
        lines = [line.split() for line in resolvers.read_text("ascii", "replace").splitlines()]
    except OSError as error:
        yield bad("DNS", f"{resolvers} cannot be read: {error.strerror}", f"write `nameserver ADDRESS` into it{why}")
        return
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
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
        with socket.socket(socket.AF_INET6 if ":" in server else socket.AF_INET, socket.SOCK_DGRAM) as asked:
            asked.settimeout(patience_s)
            asked.connect((server, _DNS_PORT))
            asked.send(question)
            answer = asked.recv(4096)
    except (OSError, ValueError):
        return None
    return time.perf_counter() - begun_s if answer[:2] == struct.pack("!H", number) else None


def _resolved(name: str) -> tuple[str, Finding]:
    """The first address of a name, "" if it has none; and what is to be said of it."""
    what, begun_s = f"name {name}", time.perf_counter()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        remedy = f"its spelling in the world, and what `getent ahosts {name}` says"
        return "", wrong(what, f"does not resolve: {error.strerror}", remedy)
    except UnicodeError:
        return "", wrong(what, "is no name of a host", "its spelling in the world")
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
    took_s = time.perf_counter() - begun_s
    says = f"{', '.join(addresses)}, after {took_s * 1000:.0f} ms"
    if took_s > _SLOW_S:
        return addresses[0], doubtful(what, says, "the name servers above: a call may wait as long")
    return addresses[0], good(what, says)


def _trunk(settings: Settings, trunk: Trunk, address: str, patience_s: float) -> Finding:
    what = f"trunk {trunk.name}"
    where = f"{address_text((trunk.host, trunk.port))} {trunk.transport.upper()}"
    begun_s = time.perf_counter()
    try:
        status = _options(settings, trunk, address, patience_s)
    except TimeoutError:
        return doubtful(
            what,
            f"{where} does not answer OPTIONS within {patience_s:g} s",
            "its address, your firewall, and whether the carrier knows your address; some never answer OPTIONS",
        )
    except OSError as error:
        return wrong(what, f"{where} cannot be reached: {error.strerror or error}", "its address; or it is down")
    except MalformedMessage:
        return wrong(what, f"{where} answers, but not in SIP", "its port")
    return good(what, f"{where} answers {status} after {(time.perf_counter() - begun_s) * 1000:.0f} ms")


def _options(settings: Settings, trunk: Trunk, address: str, patience_s: float) -> int:
    """Ask a carrier for its capabilities (RFC 3261 section 11); the status of its answer."""
    remote, is_udp = (address, trunk.port), trunk.transport == "udp"
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if is_udp else socket.SOCK_STREAM) as asked:
        asked.settimeout(patience_s)
        if not ipaddress.ip_address(settings.sip.listen[0]).is_unspecified:
            asked.bind((settings.sip.listen[0], 0))  # carriers know us by our address
        asked.connect(remote)
        asked.sendall(_question(settings, trunk, asked.getsockname()[:2]).encode())
        for _ in range(_MOST_READ):
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
