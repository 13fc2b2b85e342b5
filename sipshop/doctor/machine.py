"""What the machine gives a server: ports, disk, clock, open files; a certificate, and a token for nobody else."""

from __future__ import annotations

import ctypes
import errno
import ipaddress
import os
import resource
import shutil
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from sipshop.doctor.finding import Finding, doubtful, good, wrong
from sipshop.settings import DAY_S, Address, Settings, address_text
from sipshop.switch import utc_ms
from sipshop.tls import make_sip_tls
from sipshop.web import BadCertificate, expires_at_s, make_tls

_LITTLE_BYTES: Final = 1_000_000_000  # of a disk
_NOTHING_BYTES: Final = 100_000_000
_CERTIFICATE_S: Final = 14 * DAY_S
_OTHER_FILES: Final = 512  # that are open besides connections: the database, HTTP, the interpreter's own
_FIRST_RELEASE_MS: Final = 1_767_225_600_000  # 2026-01-01: a clock before it is wrong
_TIMEX_BYTES: Final = 512  # more than struct timex of adjtimex(2) is on any Linux
_CLOCK_ERROR: Final = 5  # TIME_ERROR: the kernel's clock is not synchronised


def ports(settings: Settings, *, is_running: bool) -> Iterator[Finding]:
    """Whether each can be had, or is the running server's."""
    wanted: list[tuple[str, Address, socket.SocketKind]] = [
        *_sip_ports(settings),
        ("HTTP", settings.http.listen, socket.SOCK_STREAM),
    ]
    if settings.metrics.listen is not None:
        wanted.append(("metrics", settings.metrics.listen, socket.SOCK_STREAM))
    for name, address, kind in wanted:
        what, where = f"port of {name}", address_text(address)
        error = _refusal_to_bind(address, kind)
        if error is None:
            yield (
                good(what, f"{where} is free")
                if not is_running
                else wrong(
                    what, f"the running server does not listen on {where}", "restart it: its configuration has changed"
                )
            )
        elif error == errno.EADDRINUSE and is_running:
            yield good(what, f"{where} is in use, as a server runs")
        elif error == errno.EADDRINUSE:
            users = _users_of(address[1], kind)
            yield wrong(
                what,
                f"{where} is in use by {users}" if users else f"{where} is in use, not by this server",
                "end that, or take another port" if users else f"`ss -lntup 'sport = :{address[1]}'` as root: by whom",
            )
        elif error == errno.EADDRNOTAVAIL:
            yield wrong(what, f"{address[0]} is no address of this machine", "`ip address` shows those that are")
        elif error == errno.EACCES:
            yield wrong(what, f"{where} is not allowed to you", "take a port above 1023, or CAP_NET_BIND_SERVICE")
        else:
            yield wrong(what, f"{where}: {os.strerror(error)}", "give it another address")


def _sip_ports(settings: Settings) -> Iterator[tuple[str, Address, socket.SocketKind]]:
    """Every listener of SIP; those after the first say where they are."""
    for address in settings.sip.listeners:
        where = "" if address == settings.sip.listen else f" at {address_text(address)}"
        yield f"SIP, UDP{where}", address, socket.SOCK_DGRAM
        yield f"SIP, TCP{where}", address, socket.SOCK_STREAM
    for address in settings.sip.tls.listen:
        yield f"SIP, TLS at {address_text(address)}", address, socket.SOCK_STREAM


def _refusal_to_bind(address: Address, kind: socket.SocketKind) -> int | None:
    """The errno of trying, None where the address can be had."""
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, kind) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
        try:
            probe.bind(address)
        except OSError as error:
            return error.errno or errno.EINVAL
    return None


def _users_of(port: int, kind: socket.SocketKind) -> str:
    """Who has a port, such as "nginx (process 812)"; "" where we may not see it, as of others' processes."""
    sockets = {f"socket:[{inode}]" for inode in _inodes(port, kind)}
    users = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended, or is somebody else's
            if any(str(file.readlink()) in sockets for file in (process / "fd").iterdir()):
                users.append(f"{(process / 'comm').read_text('utf-8', 'replace').strip()} (process {process.name})")
    return ", ".join(users)


def _inodes(port: int, kind: socket.SocketKind) -> Iterator[str]:
    """The numbers of the sockets that are bound to a port, by the tables of proc(5); connections are none of them."""
    protocol = "tcp" if kind is socket.SOCK_STREAM else "udp"
    for table in (protocol, f"{protocol}6"):
        with suppress(OSError):  # a kernel without IPv6
            for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]:
                _, local, remote, _, *rest = line.split()
                if int(local.rpartition(":")[2], 16) == port and int(remote.rpartition(":")[2], 16) == 0:
                    yield rest[5]


def disk(path: Path) -> Iterator[Finding]:
    """How much of it is free."""
    folder = nearest(path)
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB are free in {folder}"
    if free < _NOTHING_BYTES:
        yield wrong("disk", found, "make room at once: without it no call is answered")
    elif free < _LITTLE_BYTES:
        yield doubtful("disk", found, "make room: a thousand calls take about 2 MB")
    else:
        yield good("disk", found)


def nearest(path: Path) -> Path:
    """The folder of a file, or what is there of the way to it."""
    folder = path.absolute().parent
    while not folder.is_dir():
        folder = folder.parent
    return folder


def certificate(settings: Settings) -> Iterator[Finding]:
    """Whether it is there, with its key, and for how long it is good."""
    file = settings.http.certificate
    if file is None:
        if not ipaddress.ip_address(settings.http.listen[0]).is_loopback:
            yield doubtful(
                "certificate",
                f"plain HTTP on {settings.http.listen[0]}: tokens can be read on the way",
                "give http.certificate and http.key, or listen on 127.0.0.1 behind a proxy that speaks HTTPS",
            )
        return
    yield _certified("certificate", file, lambda: make_tls(settings.http), "set http.certificate and http.key")


def sip_certificate(settings: Settings) -> Iterator[Finding]:
    """The same for SIP over TLS."""
    file = settings.sip.tls.certificate
    if file is not None:
        yield _certified(
            "certificate of SIP",
            file,
            lambda: make_sip_tls(settings.sip.tls),
            "set sip.tls.certificate and sip.tls.key",
        )


def _certified(what: str, file: str, use: Callable[[], object], remedy: str) -> Finding:
    try:
        use()
        left_s = expires_at_s(Path(file)) - utc_ms() // 1000
    except BadCertificate as error:
        return wrong(what, str(error), remedy)
    if left_s <= 0:
        return wrong(what, f"{file} has expired", "renew it, then `sipshop reload`")
    if left_s < _CERTIFICATE_S:
        return doubtful(what, f"{file} expires in {left_s // DAY_S} days", "renew it, then `sipshop reload`")
    return good(what, f"{file} is good for {left_s // DAY_S} days")


def token(path: Path) -> Iterator[Finding]:
    """Whether others may read it."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # the first start makes it
    if mode & (stat.S_IRGRP | stat.S_IROTH):
        yield wrong("token", f"others may read {path}", f"chmod 600 {path}")


def clock() -> Iterator[Finding]:
    """Whether it is right: every record is dated by it."""
    if utc_ms() < _FIRST_RELEASE_MS:
        yield wrong("clock", "it is years behind", "set it: every record and every bill is dated by it")
        return
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # `modes` is 0: to read
    state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    if state == _CLOCK_ERROR:
        yield doubtful("clock", "nothing keeps it right", "install chrony or systemd-timesyncd, `timedatectl` shows")
    elif state < 0:
        yield doubtful("clock", f"cannot be asked: {os.strerror(ctypes.get_errno())}", "look at `timedatectl`")
    else:
        yield good("clock", "is kept right by a time server")


def file_limit(settings: Settings) -> Iterator[Finding]:
    """Whether so many files may be open as there may be connections."""
    # As many connections may be opened by us as are accepted. Calls by UDP, however many, have none of their own.
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
        yield good("open files", found)
    else:
        yield doubtful("open files", found, "raise LimitNOFILE of the systemd unit or `ulimit -n`")


def _holder(database: Path) -> int | None:
    """The process that the lock file of a database names."""
    try:
        text = database.with_name(f"{database.name}.lock").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return int(text) if text.isdigit() else None
