"""SIP over TLS and IPv6 with foreign phones, certificates renewed under a call, and strangers on the ports."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

from .harness import HOST, PATIENCE_S, SIPSHOP, Program, Sipp, free_port, password, until
from .phones.baresip import TONE_HZ, Baresip
from .test_phones import samples_of, share
from .test_serve import CERTIFICATES, Served

pytestmark = pytest.mark.wire

NAME: Final = "127.0.0.1"  # what the certificate is for, besides carrier.example


class Listening(Served):
    """A server with two versions of IP and TLS."""

    def __init__(self, folder: Path, carrier_port: int) -> None:
        self.tls = free_port()
        self._use(folder, "carrier")
        super().__init__(folder, carrier_port)

    def configure(self, **others: Mapping[str, object]) -> None:
        sip = {
            "listen": [f"{HOST}:{self.sip}", f"[::1]:{self.sip}"],
            "tls": {"listen": f"{HOST}:{self.tls}", "certificate": "sip.pem", "key": "sip.key"},
        }
        super().configure(**{"sip": sip, **others})

    def renew(self) -> None:
        """Put another certificate into the files, and have it read."""
        self._use(self.folder, "moved")
        assert self.reload().status_code == 200

    @staticmethod
    def _use(folder: Path, name: str) -> None:
        for kind in ("pem", "key"):
            shutil.copy(CERTIFICATES / f"{name}.{kind}", folder / f"sip.{kind}")

    def shown(self) -> str:
        """The certificate that a new connection of SIP is shown, in PEM."""
        return ssl.get_server_certificate((HOST, self.tls), timeout=PATIENCE_S)

    def sample(self, name: str) -> float:
        """A sample of /metrics."""
        lines = [line.rpartition(" ") for line in self.metrics().text.splitlines()]
        return next(float(value) for found, _, value in lines if found == name)

    def is_answering(self) -> bool:
        """Whether its API takes connections: it says that it is ready before the loop has come to that."""
        with socket.socket() as asked:
            return asked.connect_ex((HOST, self.http)) == 0

    def unlock(self) -> None:
        """Open the booth for a customer."""
        until(self.is_answering, "its API")
        with self.client() as client:
            assert client.post("/api/v1/booths/booth1/unlock").status_code == 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listening]:
    folder = tmp_path_factory.mktemp("listening")
    port = free_port()
    with Program([*SIPSHOP, "carrier", "--listen", f"{HOST}:{port}"], folder / "carrier.log") as carrier:
        carrier.saw("SIP on")
        with Listening(folder, port) as server:
            server.ready().unlock()
            yield server
            server.stop()


def pem(name: str) -> str:
    return (CERTIFICATES / f"{name}.pem").read_text()


def test_baresip_calls_over_tls_and_a_renewed_certificate_drops_nothing(server: Listening, tmp_path: Path) -> None:
    with Baresip(tmp_path / "phone", "booth1", server.tls, transport="tls", number="030777") as phone:
        phone.saw("Call established")
        assert server.shown() == pem("carrier")
        server.renew()
        assert server.shown() == pem("moved")
        until(lambda: _seconds(server) >= 2, "two seconds of talk, after the reload")
        phone.quit()
    with server.client() as client:
        [cdr] = client.get("/api/v1/cdrs").json()["cdrs"]
    assert (cdr["result"], cdr["hung_up_by"], cdr["e164"]) == ("answered", "caller", "4930777")
    assert share(samples_of(phone.heard), TONE_HZ) > 0.9
    assert server.sample('sipshop_certificate_expiry_timestamp_seconds{listener="sip"}') > 4e9


def test_sipp_calls_over_ipv6(server: Listening, tmp_path: Path) -> None:
    with Sipp(
        "register_and_call",
        tmp_path,
        to=server.sip,
        host="::1",
        booth="booth1",
        password=password("booth1"),
        number="0305551234",
    ) as sipp:
        sipp.passed()
    answers = [message.text for message in sipp.messages if message.is_response(200, "INVITE")]
    assert f"Contact: <sip:[::1]:{server.sip}>" in answers[0]
    assert ";received=::1\n" in answers[0]


def test_who_speaks_no_tls_is_counted_and_sent_away(server: Listening) -> None:
    reasons = {reason: f'sipshop_dropped_total{{reason="{reason}"}}' for reason in ("tls_protocol", "tls_certificate")}
    before = {reason: server.sample(name) for reason, name in reasons.items()}
    with socket.create_connection((HOST, server.tls), PATIENCE_S) as plain:
        plain.sendall(b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 0\r\n\r\n")
        while plain.recv(100):
            pass
    doubting = ssl.create_default_context(cafile=CERTIFICATES / "desk.pem")
    with (
        socket.create_connection((HOST, server.tls), PATIENCE_S) as tcp,
        pytest.raises(ssl.SSLCertVerificationError),
        doubting.wrap_socket(tcp, server_hostname=NAME),
    ):
        pass
    wanted = {reason: count + 1 for reason, count in before.items()}
    until(lambda: {reason: server.sample(name) for reason, name in reasons.items()} == wanted, "one more of each")


def _seconds(server: Listening) -> int:
    with server.client() as client:
        [booth] = client.get("/api/v1/booths").json()["booths"]
    return int(booth["seconds"] or 0)
