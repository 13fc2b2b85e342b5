"""Every call's record reaches a webhook that fails, stalls and asks for time, though the server is killed meanwhile."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import pytest

from tests.wire.nursery import run

from .harness import HOST, PATIENCE_S, Program, Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

SECRET: Final = "whsec_" + base64.b64encode(b"k" * 24).decode()
CALLS: Final = 12
STALL_S: Final = 1


class Books(ThreadingHTTPServer):
    """Who gets the records: fails, stalls, asks for time, takes one batch without a word, then takes all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((HOST, 0), _Handler)
        self.lock = threading.Lock()
        self.asked = 0
        self.taken: Counter[tuple[str, int]] = Counter()
        self.took_silently = threading.Event()
        self.is_killed = threading.Event()
        self.wrong: list[str] = []

    def hear(self, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str]]:
        """The answer to a batch, and what becomes of it."""
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        due = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
        if headers["webhook-signature"] != f"v1,{due}":
            self.wrong.append(headers["webhook-signature"])
        with self.lock:
            self.asked += 1
            turn = self.asked
        if turn == 1:
            return 500, {}
        if turn == 2:
            threading.Event().wait(STALL_S + 1)
            return 204, {}  # too late: nobody listens any more
        if turn == 3:
            return 503, {"Retry-After": "1"}
        with self.lock:
            self.taken.update((each["call_id"], each["revision"]) for each in json.loads(body)["records"])
        if turn == 4:
            self.took_silently.set()
            self.is_killed.wait(PATIENCE_S)
        return 204, {}


class _Handler(BaseHTTPRequestHandler):
    server: Books

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, headers = self.server.hear({name.lower(): value for name, value in self.headers.items()}, body)
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def books() -> Iterator[Books]:
    with Books() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.is_killed.set()
            server.shutdown()
            thread.join()


def calls(folder: Path, server: Server) -> None:
    """A dozen calls, one after the other and at once."""
    options = {"to": server.sip, "booth": "crowd", "password": password("crowd"), "number": "030123456"}
    with Sipp("call", folder, calls=CALLS, rate=20, pause_ms=100, **options) as crowd:  # type: ignore[arg-type]  # by name
        crowd.passed()


def test_every_record_arrives_whatever_dies(tmp_path: Path) -> None:
    trunk = free_port()
    world = World(
        booths={"crowd": "calls: 100"},
        trunks={"carrier": f"port: {trunk}, emergency: true"},
        routes={"": ["carrier"]},
    ).yaml()
    with (
        books() as receiver,
        Program(
            [sys.executable, "-m", "sipshop", "carrier", "--listen", f"{HOST}:{trunk}"], tmp_path / "carrier.log"
        ) as carrier,
    ):
        secret = tmp_path / "secret"
        secret.write_text(SECRET)
        hook = {
            "name": "books",
            "url": f"http://{HOST}:{receiver.server_port}/calls",
            "secret": f"file:{secret}",
            "timeout_s": STALL_S,
            "batch": 5,
            "begin": "beginning",
        }
        carrier.saw("carrier: SIP on")
        with Server(tmp_path, world, targets=[hook]) as server:
            server.ready().unlock("crowd")
            calls(tmp_path, server)
            until(receiver.took_silently.is_set, "a batch that was taken")
            (target,) = server.look("/outbox")["targets"]
            assert target["failures"] >= 1
            assert target["backlog"] == CALLS, "nothing is behind it before it was heard to take it"
            server.stop(signal.SIGKILL)
            receiver.is_killed.set()
        with Server(tmp_path, world, targets=[hook]) as server:
            server.ready()
            calls(tmp_path, server)
            due = {(cdr["call_id"], cdr["revision"]) for cdr in server.cdrs("crowd")}
            assert len(due) == 2 * CALLS
            until(lambda: set(receiver.taken) == due, "every record")
            until(lambda: server.look("/outbox")["targets"][0]["backlog"] == 0, "an empty outbox")
            assert "books" in server.cli("outbox", "list").stdout
            server.stop()
    assert max(receiver.taken.values()) > 1, "what was taken without a word came again"
    assert receiver.wrong == []
    assert run(["audit", "--database", tmp_path / "data" / "sipshop.db"], PATIENCE_S).returncode == 0
