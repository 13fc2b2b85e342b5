"""The torture messages of RFC 4475 and RFC 5118 against a running server, as datagrams and on connections."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pytest

from sipshop.sip.message import Response, parse
from sipshop.sip.stream import Framer
from tests.sip.torture.cases import CASES, CLOSED, Case

from .harness import HOST, Server, World, free_port

pytestmark = pytest.mark.wire
every_case = pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.id, marks=pytest.mark.torture(case.name)) for case in CASES]
)

#: The ports that the topmost Vias of the messages name, besides 5060: answers to a datagram go there.
NAMED_PORTS = (5060, 5050, 5070, 6050, 19823)
#: Answered at once: when its answer is there, no other is on its way.
PING = (
    b"OPTIONS sip:ping SIP/2.0\r\nVia: SIP/2.0/UDP ping;rport;branch=z9hG4bKping\r\nFrom: <sip:p@ping>;tag=p\r\n"
    b"To: <sip:p@ping>\r\nCall-ID: ping\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
)


@dataclass
class Stranger:
    """Somebody at a loopback address of his own, with an ear on every port that an answer may go to."""

    server: Server
    host: str
    ears: list[socket.socket]

    def answers(self, data: bytes) -> list[Response]:
        """What a datagram is answered on any of the ports, up to the answer to a ping behind it."""
        for datagram in (data, PING):
            self.ears[0].sendto(datagram, (HOST, self.server.sip))
        heard: list[Response] = []
        while not (heard and is_of_ping(heard[-1])):
            heard.append(read(self.ears[0].recv(65_535)))
        heard.pop()
        for ear in self.ears[1:]:
            ear.setblocking(False)
            with suppress(BlockingIOError):
                heard.append(read(ear.recv(65_535)))
        return heard

    def stream(self, data: bytes) -> tuple[int | str, ...]:
        """What bytes on a connection are answered, up to the answer to a ping behind them, or its end, or silence."""
        with socket.create_connection((HOST, self.server.sip), 5, (self.host, 0)) as connection:
            connection.sendall(data + PING)
            connection.settimeout(0.5)
            framer, heard = Framer(), list[int | str]()
            while True:
                try:
                    received = connection.recv(65_535)
                except TimeoutError:
                    return tuple(heard)
                except ConnectionResetError:
                    received = b""
                if not received:
                    return (*heard, CLOSED)
                for frame in framer.feed(received):
                    assert isinstance(frame, bytes)
                    if is_of_ping(read(frame)):
                        return tuple(heard)
                    heard.append(read(frame).status)


def is_of_ping(response: Response) -> bool:
    return response.get("call-id") == "ping"


def read(data: bytes) -> Response:
    response = parse(data)
    assert isinstance(response, Response)
    return response


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    world = World(booths={"booth1": ""}, trunks={"one": f"port: {free_port()}, emergency: true"}, routes={"": ["one"]})
    with Server(tmp_path_factory.mktemp("torture"), world.yaml()) as server:
        yield server.ready()


@pytest.fixture
def stranger(server: Server) -> Iterator[Stranger]:
    """Each test has another: one alone would soon have used up what strangers may cost."""
    host = f"127.{random.randrange(1, 255)}.{random.randrange(1, 255)}.{random.randrange(1, 255)}"
    with ExitStack() as stack:
        ears = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in NAMED_PORTS]
        for ear, port in zip(ears, NAMED_PORTS, strict=True):
            ear.bind((host, port))
            ear.settimeout(5)
        yield Stranger(server, host, ears)


@every_case
def test_over_udp(stranger: Stranger, case: Case) -> None:
    answers = stranger.answers(case.data)
    assert [answer.status for answer in answers] == ([] if case.udp is None else [case.udp]), case.why


@every_case
def test_over_tcp(stranger: Stranger, case: Case) -> None:
    assert stranger.stream(case.data) == case.over_tcp, case.why


def test_nothing_is_left_of_them(server: Server) -> None:
    assert server.cdrs("booth1") == []
    metrics = server.metrics()
    for table in ("server_transactions", "legs", "calls", "holds"):
        assert metrics[f'sipshop_table_size{{table="{table}"}}'] == 0, table
    assert metrics['sipshop_dropped_total{reason="unhandled"}'] == 0
