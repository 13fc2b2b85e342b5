"""HTTP listeners: sockets, certificates, the proxies that are believed, and who asked what (IO).

What is served on them is made elsewhere; here it is an ASGI application.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sipshop.settings import Address, HttpSettings, TlsSettings

log: Final = logging.getLogger("sipshop.web")

#: A client who takes nothing of an answer for so long is gone for us: its connection is ended by the kernel.
STALLED_S: Final = 30.0
#: How long an answer that is under way may go on when we stop.
GRACE_S: Final = 3

#: How many connections may wait in the kernel; uvicorn's own figure.
_BACKLOG: Final = 2048

_SEQUENCE: Final = 0x30
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17


class BadCertificate(Exception):
    """The files of a certificate cannot be used; the text names the file and what is wrong with it."""


class Listener:
    """One address on which an application is served, by TLS if there is a context."""

    def __init__(
        self,
        app: ASGIApp,
        address: Address,
        *,
        tls: ssl.SSLContext | None = None,
        proxies: tuple[str, ...] = (),
        stalled_s: float = STALLED_S,
    ) -> None:
        """Bind the address; `OSError` where it is taken or is not ours."""
        host = address[0]
        self._socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # those that are accepted have it from here: RFC 5482, and it also ends who keeps his window shut
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stalled_s * 1000))
        try:
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        config = uvicorn.Config(
            AccessLog(app),
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            timeout_graceful_shutdown=GRACE_S,
        )
        config.load()
        config.ssl = tls
        self._server = _Server(config)
        self._serving: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Serve from now on; who connects before the loop has come round to it waits, and is not refused."""
        self._socket.listen(_BACKLOG)
        self._serving = asyncio.ensure_future(self._server.serve(sockets=[self._socket]))

    async def stop(self) -> None:
        """Answer what was asked, and serve no more."""
        self._server.should_exit = True
        if self._serving is not None:
            await self._serving
        self._socket.close()


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: when we stop is decided by whoever made us."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


class AccessLog:
    """ASGI middleware: a line for each request at the level `debug`, and a warning for one that was not let in."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write down what it was answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 0

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            log.log(
                logging.WARNING if status == 401 else logging.DEBUG,
                "%s %s: %d after %.0f ms",
                scope["method"],
                scope["path"],
                status,
                (time.perf_counter() - started_s) * 1000,
                extra={"client": (scope.get("client") or ("",))[0]},
            )


# Certificates.


def make_tls(http: HttpSettings) -> ssl.SSLContext:
    """Return a server's context with the certificate that the settings name; raises BadCertificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_certificate(context, http)
    return context


def load_certificate(context: ssl.SSLContext, named: HttpSettings | TlsSettings, section: str = "http") -> None:
    """Put the certificate that the settings name into a context: new connections get it. Raises BadCertificate."""
    assert named.certificate is not None, "there is TLS only with a certificate"
    assert named.key is not None, "a certificate has a key"
    _content("certificate", named.certificate)
    key = _content("key", named.key)
    try:
        # "" and not None: without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(named.certificate, named.key, named.key_password or "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"{named.key} is not the key of {named.certificate}"
        elif b"ENCRYPTED" in key:
            why = f"{named.key} cannot be decrypted: {section}.key_password has to be its password"
        else:
            why = f"{named.certificate} and {named.key} are no certificate and its key in PEM"
        raise BadCertificate(why) from error


def _content(what: str, file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise BadCertificate(f"the {what} {file} cannot be read: {error.strerror}") from error


def expires_at_s(certificate: Path) -> int:
    """When the first certificate of a PEM file expires, since the Unix epoch (RFC 5280 section 4.1.2.5).

    Raises:
        BadCertificate: it cannot be read.
    """
    try:
        text = certificate.read_text("ascii")
        begin = text.index(ssl.PEM_HEADER)
        der = ssl.PEM_cert_to_DER_cert(text[begin : text.index(ssl.PEM_FOOTER, begin) + len(ssl.PEM_FOOTER)])
        return _not_after_s(der)
    except OSError as error:
        raise BadCertificate(f"{certificate} cannot be read: {error.strerror}") from error
    except (ValueError, IndexError) as error:
        raise BadCertificate(f"{certificate} holds no certificate in PEM") from error


def _not_after_s(der: bytes) -> int:
    """The end of a certificate's validity: a walk down to it, past what stands before (X.690, distinguished rules)."""
    _, certificate, _ = _element(der)
    _, to_be_signed, _ = _element(certificate)
    tag, _, rest = _element(to_be_signed)
    if tag == _VERSION:
        _, _, rest = _element(rest)  # the serial number, which stands first in a certificate of version 1
    for _ in ("signature", "issuer"):
        _, _, rest = _element(rest)
    tag, validity, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity where it has to be")
    _, _, rest = _element(validity)  # not before
    tag, text, _ = _element(rest)
    if tag == _UTC_TIME:  # two digits of the year: 50 to 99 are of the last century
        text = (b"19" if text[:2] >= b"50" else b"20") + text
    return int(datetime.strptime(text.decode("ascii"), "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp())


def _element(der: bytes) -> tuple[int, bytes, bytes]:
    """The first element of some DER: its tag, its content, and what follows it."""
    tag, length, begin = der[0], der[1], 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(der[2:begin], "big")
    return tag, der[begin : begin + length], der[begin + length :]
