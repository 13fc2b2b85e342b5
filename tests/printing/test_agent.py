"""The agent at a desk: what it prints, what it tells, and that it prints nothing twice by itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sipshop.console.pages.slips import slip_of
from sipshop.printing.agent import PAUSES_S, WAIT_S, Agent
from sipshop.printing.devices import BadPrinter, FilePrinter, NotPrinted, TcpPrinter, UsbPrinter, printer_at
from sipshop.printing.slip import Slip
from tests.printing.examples import a_receipt

SLIP = slip_of(a_receipt())


class FakePrinter:
    """Takes what it is sent, or fails as the test wants it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.fault: NotPrinted | None = None
        self.breaks: NotPrinted | None = None

    def check(self) -> None:
        if self.fault is not None:
            raise self.fault

    def send(self, data: bytes) -> None:
        if self.breaks is not None:
            raise self.breaks
        self.sent.append(data)


class FakeQueue:
    """One job that waits until it is done, and a line to the server that may be cut."""

    def __init__(self) -> None:
        self.waiting = [7]
        self.told: list[tuple[object, ...]] = []
        self.claims: list[tuple[str, int]] = []
        self.down = 0  # so many questions are lost
        self.down_when_told = 0  # and so many of the words that a job is done
        self.is_gone = False

    def claim(self, fault: str, wait_s: int) -> dict[str, Any]:
        if self.down:
            self.down -= 1
            raise ConnectionError("no answer")
        self.claims.append((fault, wait_s))
        if fault or not self.waiting:
            return {"job": None, "claim": None, "slip": None}
        job = {"id": self.waiting[0], "receipt": 12, "copy_number": 0}
        return {"job": job, "claim": "c", "slip": SLIP.to_json()}

    def done(self, job_id: int, claim: str) -> None:
        if self.down_when_told:
            self.down_when_told -= 1
            raise ConnectionError("no answer")
        if self.is_gone:
            raise LookupError("another has it")
        self.told.append(("done", job_id, claim))
        self.waiting.remove(job_id)

    def failed(self, job_id: int, claim: str, why: str, *, may_be_on_paper: bool) -> None:
        self.told.append(("failed", job_id, claim, why, may_be_on_paper))


class Desk:
    """An agent between the two; nobody waits."""

    def __init__(self) -> None:
        self.queue, self.printer, self.pauses = FakeQueue(), FakePrinter(), list[float]()
        self.said = list[str]()
        self.agent = Agent(self.queue, self.printer, encoded=encoded, pause=self.pauses.append, say=self.said.append)


def encoded(slip: Slip) -> bytes:
    assert slip == SLIP
    return b"the receipt"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_job_is_printed_and_told(desk: Desk) -> None:
    assert desk.agent.step()
    assert desk.printer.sent == [b"the receipt"]
    assert desk.queue.told == [("done", 7, "c")]
    assert not desk.agent.step()
    assert (desk.queue.claims, desk.pauses) == ([("", WAIT_S)] * 2, [])
    assert desk.said == ["receipt 12 is printed"]


@pytest.mark.parametrize("may_be_on_paper", [True, False])
def test_what_was_not_printed_is_told_with_why(desk: Desk, may_be_on_paper: bool) -> None:
    desk.printer.breaks = NotPrinted("cable", may_be_on_paper=may_be_on_paper)
    assert not desk.agent.step()
    assert desk.queue.told == [("failed", 7, "c", "cable", may_be_on_paper)]
    assert desk.pauses == [PAUSES_S[0]]


def test_without_paper_it_takes_no_job_and_says_why(desk: Desk) -> None:
    desk.printer.fault = NotPrinted("no paper", may_be_on_paper=False)
    assert [desk.agent.step() for _ in range(6)] == [False] * 6
    assert (desk.queue.claims, desk.printer.sent) == ([("no paper", 0)] * 6, [])
    assert desk.pauses == [*PAUSES_S, PAUSES_S[-1], PAUSES_S[-1]]
    desk.printer.fault = None
    assert desk.agent.step()


def test_what_is_printed_and_could_not_be_told_is_not_printed_again(desk: Desk) -> None:
    desk.queue.down_when_told = len(PAUSES_S) + 1
    assert desk.agent.step()
    assert desk.queue.told == []
    assert desk.agent.step()  # it is given the job once more
    assert desk.printer.sent == [b"the receipt"]
    assert desk.queue.told == [("done", 7, "c")]


def test_a_job_that_another_has_by_now_is_left_to_him(desk: Desk) -> None:
    desk.queue.is_gone = True
    assert desk.agent.step()
    assert desk.pauses == []


def test_a_server_that_does_not_answer_is_asked_again(desk: Desk) -> None:
    desk.queue.down = 1
    assert not desk.agent.step()
    assert desk.agent.step()
    assert desk.pauses == [PAUSES_S[0]]


# Printers.


@contextmanager
def listening(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A printer in the network that says how its paper is, and keeps what it was sent on each connection."""
    got: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    data = b""
                    while piece := connection.recv(65_536):
                        data += piece
                        if piece == b"\x10\x04\x04" and answer:
                            connection.sendall(answer)
                    got.append(data)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1], got
        finally:
            server.shutdown(socket.SHUT_RDWR)
            server.close()
            thread.join()


@pytest.mark.parametrize("answer", [pytest.param(b"\x12", id="with paper"), pytest.param(b"", id="that tells nothing")])
def test_a_printer_in_the_network_is_sent_all(answer: bytes) -> None:
    data = bytes(range(256)) * 400
    with listening(answer) as (port, got):
        TcpPrinter("127.0.0.1", port).send(data)
    assert got == [b"\x10\x04\x04" + data]


def test_a_printer_in_the_network_without_paper_is_sent_nothing() -> None:
    with listening(b"\x72") as (port, got):
        with pytest.raises(NotPrinted, match="has no paper") as refused:
            TcpPrinter("127.0.0.1", port).send(b"x")
        assert not refused.value.may_be_on_paper
        with pytest.raises(NotPrinted, match="has no paper"):
            TcpPrinter("127.0.0.1", port).check()
    assert set(got) == {b"\x10\x04\x04"}


def test_a_printer_that_is_not_there_has_printed_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for printer in (TcpPrinter("127.0.0.1", port), FilePrinter(tmp_path / "none" / "lp0"), UsbPrinter(0x04B8, 0xFFFF)):
        with pytest.raises(NotPrinted) as refused:
            printer.send(b"x")
        assert not refused.value.may_be_on_paper
        with pytest.raises(NotPrinted):
            printer.check()


def test_a_file_is_written_on_at_its_end(tmp_path: Path) -> None:
    printer = FilePrinter(tmp_path / "lp0")
    printer.check()
    printer.send(b"one")
    printer.send(b"two")
    assert printer.path.read_bytes() == b"onetwo"


@pytest.mark.parametrize(
    ("place", "printer"),
    [
        ("usb:04b8:0e15", UsbPrinter(0x04B8, 0x0E15)),
        ("tcp:printer.lan:9100", TcpPrinter("printer.lan", 9100)),
        ("tcp:[2001:db8::9]:9100", TcpPrinter("2001:db8::9", 9100)),
        ("file:/dev/usb/lp0", FilePrinter(Path("/dev/usb/lp0"))),
    ],
)
def test_a_place_names_a_printer(place: str, printer: object) -> None:
    assert printer_at(place) == printer


@pytest.mark.parametrize("place", ["", "file:", "tcp:host", "tcp:host:0", "tcp:host:65536", "usb:4b8:0e15", "lpt1"])
def test_what_names_no_printer_is_refused(place: str) -> None:
    with pytest.raises(BadPrinter, match="is no printer: usb:"):
        printer_at(place)
