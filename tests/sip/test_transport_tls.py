"""TLS over real sockets, on asyncio's own loop and on uvloop: who is let in, who is believed, and what is renewed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Self

import pytest

from sipshop.settings import TlsSettings
from sipshop.sip.flow import Address, Flow
from sipshop.sip.transport import Limits, Tls
from sipshop.tls import make_sip_tls
from tests.sip.test_transport import ANSWER, HOST, OPTIONS, Side, run

__all__ = ["run"]

CERTIFICATES: Final = Path(__file__).parent.parent / "certificates"
AUTHORITY: Final = str(CERTIFICATES / "authority.pem")

Run = Callable[[Callable[[], Awaitable[None]]], None]


def tls(name: str = "carrier", *, verify_clients: bool = False, ca: str | None = AUTHORITY) -> Tls:
    return make_sip_tls(
        TlsSettings(
            listen=((HOST, 0),),
            certificate=str(CERTIFICATES / f"{name}.pem"),
            key=str(CERTIFICATES / f"{name}.key"),
            ca=ca,
            verify_clients=verify_clients,
        )
    )


class Secured(Side):
    """A side that listens by TLS too."""

    def __init__(self, secured: Tls | None = None, limits: Limits | None = None, host: str = HOST) -> None:
        self.tls = secured or tls()
        super().__init__(limits, self.tls)
        self.secured: Address = (host, 0)

    async def __aenter__(self) -> Self:
        self.secured = await self.transports.listen_tls(*self.secured)
        return await super().__aenter__()

    def to(self, other: Secured, name: str = "carrier.example") -> Flow:
        return Flow("TLS", self.secured, other.secured, name=name)


def client(name: str | None = None, ca: str = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    if name is not None:
        context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    return context


async def shown(address: Address) -> bytes | None:
    """The certificate that a new connection is shown."""
    _, writer = await asyncio.open_connection(*address, ssl=client())
    found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_messages_go_both_ways_on_one_connection(run: Run, host: str) -> None:
    async def main() -> None:
        async with Secured(host=host) as us, Secured(host=host) as them:
            sent = us.transports.send(OPTIONS, us.to(them))
            assert us.transports.send(OPTIONS, us.to(them)) == sent
            for _ in range(2):
                data, flow = await them.messages.get()
                assert (data, flow.transport, flow.local) == (OPTIONS, "TLS", them.secured)
            assert them.transports.send(ANSWER, flow) == flow
            assert await us.messages.get() == (ANSWER, sent)
            assert (us.transports.connections, them.transports.connections) == (1, 1)
            large = ANSWER[:-4] + b"\r\nX: " + b"x" * 65_000 + b"\r\n\r\n"
            them.transports.send(large, flow)
            assert (await us.messages.get())[0] == large

    run(main)


def test_what_comes_with_the_handshake_s_last_bytes_is_heard_and_answered_in_secret(run: Run) -> None:
    async def main() -> None:
        async with Secured() as us:
            reader, writer = await asyncio.open_connection(*us.secured, ssl=client())
            writer.write(b"\r\n\r\n" + OPTIONS + OPTIONS[:10])
            assert await reader.readexactly(2) == b"\r\n"
            assert (await us.messages.get())[0] == OPTIONS
            writer.write(OPTIONS[10:])
            _, flow = await us.messages.get()
            us.transports.send(ANSWER, flow)
            assert await reader.readexactly(len(ANSWER)) == ANSWER
            writer.close()
            assert await us.lost.get() == flow

    run(main)


@pytest.mark.rfc("5922", "7.3")
@pytest.mark.parametrize(
    ("name", "ca", "why"),
    [
        ("other.example", AUTHORITY, "tls_name"),
        ("host.carrier.example", AUTHORITY, "tls_name"),
        ("carrier.example", str(CERTIFICATES / "desk.pem"), "tls_certificate"),
    ],
)
def test_a_carrier_who_is_not_who_he_should_be_gets_not_a_byte(run: Run, name: str, ca: str, why: str) -> None:
    async def main() -> None:
        async with Secured(tls(ca=ca)) as us, Secured() as them:
            sent = us.transports.send(OPTIONS, us.to(them, name))
            assert await us.lost.get() == sent
            assert await us.dropped.get() == why
            assert us.transports.connections == 0
            assert them.messages.empty()

    run(main)


def test_a_connection_to_one_name_is_not_used_for_another(run: Run) -> None:
    async def main() -> None:
        async with Secured() as us, Secured() as them:
            by_name = us.transports.send(OPTIONS, us.to(them))
            await them.messages.get()
            by_address = us.transports.send(OPTIONS, us.to(them, ""))
            assert by_address.connection != by_name.connection
            await them.messages.get()
            us.transports.send(OPTIONS, us.to(them, "other.example"))
            assert await us.dropped.get() == "tls_name"

    run(main)


@pytest.mark.parametrize(
    ("certificate", "is_let_in"),
    [("phone", True), (None, False), ("desk", False)],
    ids=["ours", "none", "a stranger's"],
)
def test_clients_show_a_certificate_where_it_is_asked_for(run: Run, certificate: str | None, is_let_in: bool) -> None:
    async def main() -> None:
        async with Secured(tls(verify_clients=True)) as us:
            # over TLS 1.3 a client learns only by what he reads that he was sent away
            _, writer = await asyncio.open_connection(*us.secured, ssl=client(certificate))
            writer.write(OPTIONS)
            if is_let_in:
                assert (await us.messages.get())[0] == OPTIONS
            else:
                assert await us.dropped.get() == "tls_certificate"
                assert us.messages.empty()
                assert us.transports.connections == 0
            writer.close()

    run(main)


def test_a_renewed_certificate_is_shown_to_new_connections_and_ends_no_old_one(run: Run) -> None:
    async def main() -> None:
        async with Secured() as us:
            before = await shown(us.secured)
            reader, writer = await asyncio.open_connection(*us.secured, ssl=client())
            writer.write(OPTIONS)
            _, flow = await us.messages.get()
            renewed = tls("moved")
            us.tls.server, us.tls.client = renewed.server, renewed.client
            after = await shown(us.secured)
            assert before != after == ssl.PEM_cert_to_DER_cert((CERTIFICATES / "moved.pem").read_text())
            us.transports.send(ANSWER, flow)
            assert await reader.readexactly(len(ANSWER)) == ANSWER
            writer.close()

    run(main)


@pytest.mark.parametrize(
    ("said", "why"),
    [(OPTIONS, "tls_protocol"), (b"", "tls_timeout"), (None, "tls_lost")],
    ids=["SIP", "silence", "end"],
)
def test_who_speaks_no_tls_is_sent_away_in_time(run: Run, said: bytes | None, why: str) -> None:
    async def main() -> None:
        async with Secured(limits=Limits(connect_s=0.1)) as us:
            _, writer = await asyncio.open_connection(*us.secured)
            if said is None:
                writer.close()
            else:
                writer.write(said)
            assert await us.dropped.get() == why
            assert us.transports.connections == 0
            writer.close()

    run(main)


def test_tls_below_1_2_is_not_spoken(run: Run) -> None:
    async def main() -> None:
        async with Secured() as us:
            old = client()
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            with pytest.warns(DeprecationWarning, match="TLSv1_1"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            old.set_ciphers("ALL:@SECLEVEL=0")
            with pytest.raises(ssl.SSLError, match="alert"):
                await asyncio.open_connection(*us.secured, ssl=old)
            assert await us.dropped.get() == "tls_protocol"

    run(main)


def test_those_who_shake_hands_count_as_connections(run: Run) -> None:
    async def main() -> None:
        async with Secured(limits=Limits(per_source=2)) as us:
            writers = [(await asyncio.open_connection(*us.secured))[1] for _ in range(3)]
            assert await us.dropped.get() == "tcp_refused"
            assert us.transports.connections == 2
            for writer in writers:
                writer.close()

    run(main)


def test_a_carrier_who_does_not_shake_hands_is_given_up(run: Run) -> None:
    async def main() -> None:
        async with Secured(limits=Limits(connect_s=0.1)) as us:
            with socket.create_server((HOST, 0)) as deaf:
                flow = Flow("TLS", us.secured, deaf.getsockname(), name="carrier.example")
                sent = us.transports.send(OPTIONS, flow)
                assert await us.lost.get() == sent
                assert await us.dropped.get() == "tls_timeout"

    run(main)


def test_who_has_said_goodbye_is_sent_nothing_more_on_that_connection(run: Run) -> None:
    async def main() -> None:
        async with Secured() as us, Secured() as them:
            sent = us.transports.send(OPTIONS, us.to(them))
            await them.messages.get()
            [connection] = them.transports._connections.values()
            connection.close()
            assert await us.lost.get() == sent
            again = us.transports.send(OPTIONS, us.to(them))
            assert again.connection != sent.connection
            assert (await them.messages.get())[0] == OPTIONS

    run(main)


def test_what_cannot_be_sent_in_secret_is_not_sent(run: Run) -> None:
    async def main() -> None:
        async with Secured() as us, Secured() as them:
            sent = us.transports.send(OPTIONS, us.to(them))
            await them.messages.get()
            [connection] = us.transports._connections.values()
            assert connection._veil is not None
            connection._veil.end()
            us.transports.send(OPTIONS, sent)
            assert us.lost.empty(), "it is not told from inside send"
            assert await us.lost.get() == sent
            assert await us.dropped.get() == "tls_protocol"

    run(main)


def test_close_ends_handshakes_too(run: Run) -> None:
    async def main() -> None:
        us = Secured()
        await us.__aenter__()
        reader, writer = await asyncio.open_connection(*us.secured)
        await asyncio.sleep(0.01)
        await us.__aexit__()
        assert await reader.read() == b""
        assert us.lost.empty()
        writer.close()

    run(main)
