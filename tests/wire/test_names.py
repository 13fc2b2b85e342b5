"""Carriers with names on the wire: a DNS server of ours, a target that is dead, and a certificate that is checked."""

from __future__ import annotations

import asyncio
import secrets
import socket
import ssl
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from sipshop.demo.carrier import Carrier
from sipshop.demo.tone import Player
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.timers import Timers
from sipshop.sip.transport import Tls
from sipshop.sip.useragent import UserAgent
from tests.sip.dns_server import DnsServer

from .harness import HOST, Sipp, World, free_port, password, until
from .test_serve import CERTIFICATES, Served

pytestmark = pytest.mark.wire

NAME: Final = "carrier.example"  # for which there is a certificate
Do = Callable[[Coroutine[Any, Any, Any]], Any]


class Named(Served):
    """A server whose carrier has a name that the DNS server of the test knows."""

    def __init__(self, folder: Path, dns: DnsServer, trunk: str, name: str = NAME) -> None:
        self._dns = dns
        self._world = World(
            booths={"booth1": ""}, trunks={"named": f"{trunk}, emergency: true"}, routes={"": ["named"]}
        )
        self._name = name
        super().__init__(folder, free_port())

    def is_answering(self) -> bool:
        """Whether its API takes connections: it says that it is ready before the loop has come to that."""
        with socket.socket() as asked:
            return asked.connect_ex((HOST, self.http)) == 0

    def configure(self, **others: Mapping[str, object]) -> None:
        (self.folder / "world.yaml").write_text(self._world.yaml().replace(f"host: {HOST}", f"host: {self._name}", 1))
        host, port = self._dns.address
        sip = {
            "listen": f"{HOST}:{self.sip}",
            "dns": {"servers": [f"{host}:{port}"], "wait_ms": 1000},
            "tls": {"ca": str(CERTIFICATES / "authority.pem")},
        }
        super().configure(**{"sip": sip, **others})


@contextmanager
def dns(do: Do, server: DnsServer) -> Iterator[DnsServer]:
    do(server.__aenter__())
    yield server
    do(server.__aexit__())


@contextmanager
def carrier(do: Do) -> Iterator[int]:
    """The demo's carrier, by TLS, with the certificate of carrier.example; its port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "carrier.pem", CERTIFICATES / "carrier.key")

    async def begin() -> tuple[Endpoint, Player]:
        loop, port = asyncio.get_running_loop(), free_port()
        agent = UserAgent(
            timers=Timers(), token=lambda: secrets.token_hex(8), pick=secrets.randbelow, advertise=(HOST, port)
        )
        player = Player(loop, HOST)
        handle = Carrier(agent, player).handle
        endpoint = Endpoint(loop, agent, handle, tls=Tls(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), context))
        await endpoint.listen_tls(HOST, port)
        await endpoint.serve()
        return endpoint, player

    async def end(endpoint: Endpoint, player: Player) -> None:
        endpoint.close()
        player.close()

    endpoint, player = do(begin())
    yield endpoint.local[1]
    do(end(endpoint, player))


def a_call(server: Named, folder: Path) -> dict[str, Any]:
    """Have the booth call; what its record says of the call."""
    folder.mkdir()
    until(server.is_answering, "its API")
    with server.client() as client:
        assert client.post("/api/v1/booths/booth1/unlock").status_code == 200
        with Sipp("call", folder, to=server.sip, booth="booth1", password=password("booth1"), number="030777") as sipp:
            sipp.wait()
        [cdr] = until(lambda: client.get("/api/v1/cdrs").json()["cdrs"], "a record")
        record: dict[str, Any] = client.get(f"/api/v1/cdrs/{cdr['call_id']}").json()
        return record


def services(service: str, *ports: int) -> dict[tuple[str, str], tuple[str, ...]]:
    """A zone in which the carrier's name leads to these ports of this host, in their order."""
    records = (f"{place} 0 {port} host.{NAME}." for place, port in enumerate(ports))
    return {(f"{service}.{NAME}", "SRV"): tuple(records), (f"host.{NAME}", "A"): (HOST,)}


@pytest.mark.scenario(41)
def test_a_carrier_whose_first_target_is_dead_is_called_at_his_second(tmp_path: Path, do: Do) -> None:
    port = free_port()
    zone = services("_sip._udp", free_port(), port)
    with (
        dns(do, DnsServer(zone)) as names,
        Sipp("uas", tmp_path / "uas", listen=port),
        Named(tmp_path, names, "transport: udp, first_response_timeout_s: 1").ready() as server,
    ):
        record = a_call(server, tmp_path / "phone")
        assert (record["result"], record["sip_status"]) == ("answered", 200)
        assert [(attempt["trunk"], attempt["status"]) for attempt in record["attempts"]] == [("named", 200)]
        assert names.asked[f"_sip._udp.{NAME} SRV"] == 1
        server.stop()


@pytest.mark.rfc("5922", "7.3")
def test_a_carrier_by_tls_is_called_where_his_certificate_is_for_his_name(tmp_path: Path, do: Do) -> None:
    with carrier(do) as port:
        zone = services("_sips._tcp", free_port(), port)
        with (
            dns(do, DnsServer(zone)) as names,
            Named(tmp_path, names, "transport: tls, options_s: 1").ready() as server,
        ):
            record = a_call(server, tmp_path / "phone")
            assert (record["result"], record["hung_up_by"]) == ("answered", "caller")
            server.stop()


@pytest.mark.rfc("5922", "7.3")
def test_a_carrier_whose_certificate_is_for_another_name_gets_no_call_and_the_record_says_why(
    tmp_path: Path, do: Do
) -> None:
    other = "other.example"
    with (
        carrier(do) as port,
        dns(do, DnsServer({(other, "A"): (HOST,)})) as names,
        Named(tmp_path, names, f"transport: tls, port: {port}", other).ready() as server,
    ):
        record = a_call(server, tmp_path / "phone")
        [attempt] = record["attempts"]
        assert (record["result"], attempt["status"], attempt["why"]) == ("failed", 503, "tls_name")
        with server.client() as client:
            metrics = client.get(f"http://{HOST}:{server.metrics_port}/metrics").text
        assert 'sipshop_dropped_total{reason="tls_name"} 1.0' in metrics
        assert server.cli("cdr", "show", str(record["call_id"])).stdout.count("tls_name") == 1
        server.stop()
