"""Certificates, and what the log says of a request; the listeners themselves are in tests/wire/test_serve.py."""

from __future__ import annotations

import asyncio
import logging
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from starlette.types import Message, Receive, Scope, Send

from sipshop.settings import Address, HttpSettings
from sipshop.web import AccessLog, BadCertificate, Listener, expires_at_s, make_tls

CERTIFICATES: Final = Path(__file__).parent / "certificates"


def named(certificate: str, key: str, password: str | None = None) -> HttpSettings:
    return HttpSettings(certificate=str(CERTIFICATES / certificate), key=str(CERTIFICATES / key), key_password=password)


def test_a_certificate_is_taken_with_its_key() -> None:
    assert make_tls(named("desk.pem", "desk.key")).cert_store_stats()["x509"] == 0
    make_tls(named("desk.pem", "locked.key", "open-sesame"))


@pytest.mark.parametrize(
    ("http", "why"),
    [
        pytest.param(named("none.pem", "desk.key"), "none.pem cannot be read: No such file", id="no certificate"),
        pytest.param(named("desk.pem", "none.key"), "none.key cannot be read: No such file", id="no key"),
        pytest.param(named("desk.pem", "renewed.key"), "renewed.key is not the key of .*desk.pem", id="another key"),
        pytest.param(named("desk.pem", "locked.key"), "locked.key cannot be decrypted", id="no password"),
        pytest.param(named("desk.pem", "locked.key", "wrong"), "locked.key cannot be decrypted", id="wrong password"),
        pytest.param(named("README.md", "desk.key"), "are no certificate and its key in PEM", id="no PEM"),
        pytest.param(named("desk.key", "desk.pem"), "are no certificate and its key in PEM", id="changed over"),
    ],
)
def test_what_is_no_certificate_is_told_by_its_name(http: HttpSettings, why: str) -> None:
    with pytest.raises(BadCertificate, match=why):
        make_tls(http)


@pytest.mark.parametrize(
    ("file", "until"),
    [
        pytest.param("desk.pem", "2126-10-29 07:17:21", id="generalised time, from 2050 on"),
        pytest.param("renewed.pem", "2076-03-04 07:17:21", id="another one"),
        pytest.param("expired.pem", "2021-01-01 00:00:00", id="a certificate of version 1, in UTC time"),
    ],
)
def test_a_certificate_says_until_when_it_is_good(file: str, until: str) -> None:
    found = datetime.fromtimestamp(expires_at_s(CERTIFICATES / file), UTC)
    assert f"{found:%Y-%m-%d %H:%M:%S}" == until


@pytest.mark.parametrize("text", ["", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"])
def test_what_holds_no_certificate_has_no_end(text: str, tmp_path: Path) -> None:
    file = tmp_path / "x.pem"
    file.write_text(text)
    with pytest.raises(BadCertificate, match=r"x\.pem holds no certificate in PEM"):
        expires_at_s(file)


@pytest.mark.parametrize(
    ("status", "level"),
    [
        pytest.param(200, logging.DEBUG, id="what was answered is a detail"),
        pytest.param(401, logging.WARNING, id="who was not let in is a warning"),
    ],
)
def test_a_request_is_written_down(status: int, level: int, caplog: pytest.LogCaptureFixture) -> None:
    async def application(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_message: Message) -> None:
        return

    scope = {"type": "http", "method": "GET", "path": "/api/v1/booths", "client": ("192.0.2.9", 40_000)}
    with caplog.at_level(logging.DEBUG, "sipshop.web"):
        asyncio.run(AccessLog(application)(scope, receive, send))
    [record] = caplog.records
    assert record.levelno == level
    assert record.getMessage().startswith(f"GET /api/v1/booths: {status} after ")
    assert record.__dict__["client"] == "192.0.2.9"


def test_a_client_who_never_reads_is_let_go() -> None:
    ended = asyncio.Event()

    async def endless(_scope: Scope, receive: Receive, send: Send) -> None:
        async def write() -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            while True:
                await send({"type": "http.response.body", "body": b"x" * 65_536, "more_body": True})

        await receive()
        writing = asyncio.ensure_future(write())
        while (await receive())["type"] != "http.disconnect":
            pass
        writing.cancel()
        ended.set()

    async def connected(address: Address) -> asyncio.StreamWriter:
        while True:
            try:
                return (await asyncio.open_connection(*address, limit=1))[1]
            except ConnectionRefusedError:
                await asyncio.sleep(0)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = free.getsockname()[:2]
        listener = Listener(endless, address, stalled_s=0.3)
        listener.start()
        try:
            async with asyncio.timeout(20):
                writer = await connected(address)
                writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # and nobody ever reads what comes
                await ended.wait()
            writer.transport.abort()
        finally:
            await listener.stop()

    asyncio.run(main())
