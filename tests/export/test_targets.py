"""The kinds of targets: a webhook on a real socket, a file on a real disk, a program that really runs."""

import base64
import hashlib
import hmac
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from sipshop.export.command import Command
from sipshop.export.delivery import Failed, Refused, Taken
from sipshop.export.spool import Spool
from sipshop.export.target import Outcome, Parcel
from sipshop.export.webhook import BadTarget, Webhook
from tests.store.examples import NOON_MS, cdr

SECRET: Final = "a secret of twenty four"
CERTIFICATES: Final = Path(__file__).parents[1] / "certificates"
DAY_MS: Final = 86_400_000


def parcel(*call_ids: str) -> Parcel:
    return Parcel.of("acme", "books", 1, len(call_ids), tuple(cdr(call_id).to_json() for call_id in call_ids))


# A webhook


class Receiver(HTTPServer):
    """Answers as it is told, and keeps what it got."""

    def __init__(self, status: int, headers: dict[str, str], tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.headers = status, headers
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A handshake that the other side breaks off is what a test wants."""


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(self.server.status)
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def receiver(
    status: int = 204, headers: dict[str, str] | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    with Receiver(status, headers or {}, tls) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def posted(url: str, *, timeout_s: float = 5.0, secret: str = SECRET, ca: Path | None = None) -> Outcome:
    target = Webhook(
        tenant="acme", target="books", url=url, secret=secret, ca=None if ca is None else str(ca), timeout_s=timeout_s
    )
    return target.deliver(parcel("c1", "c2"), NOON_MS)


def test_a_batch_is_posted_with_a_signature_that_a_stranger_can_check() -> None:
    with receiver() as server:
        assert posted(f"http://127.0.0.1:{server.server_port}/calls?x=1") == Taken()
    ((path, headers, body),) = server.got
    assert path == "/calls?x=1"
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    due = base64.b64encode(hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{due}"
    assert headers["webhook-timestamp"] == str(NOON_MS // 1000)
    told = json.loads(body)
    assert (told["type"], told["layout"], told["provider"], told["target"]) == ("cdr.batch", 1, "acme", "books")
    assert [record["call_id"] for record in told["records"]] == ["c1", "c2"]


def test_a_batch_that_comes_again_has_the_same_id() -> None:
    assert parcel("c1", "c2").id == parcel("c1", "c2").id
    assert parcel("c1", "c2").id != parcel("c1").id


@pytest.mark.parametrize(
    ("status", "headers", "outcome"),
    [
        pytest.param(200, {}, Taken(), id="taken"),
        pytest.param(422, {}, Refused("HTTP status 422"), id="refused"),
        pytest.param(413, {}, Refused("HTTP status 413"), id="too large"),
        pytest.param(500, {}, Failed("HTTP status 500"), id="in trouble"),
        pytest.param(401, {}, Failed("HTTP status 401"), id="a wrong secret"),
        pytest.param(503, {"Retry-After": "7"}, Failed("HTTP status 503", 7.0), id="asks for time"),
        pytest.param(429, {"Retry-After": "soon"}, Failed("HTTP status 429"), id="asks for what is no time"),
        pytest.param(
            307, {"Location": "/"}, Failed("HTTP status 307: redirects are not followed"), id="sends us elsewhere"
        ),
    ],
)
def test_what_an_answer_means(status: int, headers: dict[str, str], outcome: Outcome) -> None:
    with receiver(status, headers) as server:
        assert posted(f"http://127.0.0.1:{server.server_port}/") == outcome
    assert len(server.got) == 1


def test_a_target_that_is_not_there_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        outcome = posted(f"http://127.0.0.1:{taken.getsockname()[1]}/")
    assert outcome == Failed("no answer: Connection refused")


@pytest.mark.parametrize("says", [b"", b"H", b"HTTP/1.1 200 OK\r\nx: "])
def test_a_target_that_stalls_has_its_time_in_all(says: bytes) -> None:
    """One that sends a byte now and then would keep a plain socket's timeout waiting for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def stall() -> None:
            with listener.accept()[0] as peer:
                try:
                    while True:
                        peer.sendall(says[:1] or b"")
                        time.sleep(0.05)
                        if not says and not peer.recv(1 << 20):
                            return
                except OSError:
                    return

        thread = threading.Thread(target=stall)
        thread.start()
        begun = time.monotonic()
        assert posted(f"http://127.0.0.1:{listener.getsockname()[1]}/", timeout_s=0.3) == Failed(
            "no answer within 0.3 s"
        )
        assert time.monotonic() - begun < 3
        thread.join()


def tls_of(name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{name}.pem", CERTIFICATES / f"{name}.key")
    return context


def test_a_certificate_is_verified_against_those_who_are_believed() -> None:
    authority = CERTIFICATES / "authority.pem"
    with receiver(tls=tls_of("phone")) as server:
        wrong_name = posted(f"https://127.0.0.1:{server.server_port}/", ca=authority)
    with receiver(tls=tls_of("carrier")) as server:
        stranger = posted(f"https://127.0.0.1:{server.server_port}/")
        assert server.got == []
        assert posted(f"https://127.0.0.1:{server.server_port}/", ca=authority) == Taken()
    for outcome in (wrong_name, stranger):
        assert isinstance(outcome, Failed)
        assert "its certificate is not trusted" in outcome.why


def test_a_secret_that_is_said_to_be_base64_has_to_be() -> None:
    with pytest.raises(BadTarget, match="no Base64"):
        posted("http://127.0.0.1:1/", secret="whsec_%%%")


# A file


def test_batches_are_appended_as_whole_lines(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "cdr.jsonl", most_mb=1)
    now_ms = time.time_ns() // 1_000_000
    assert spool.deliver(parcel("c1", "c2"), now_ms) == Taken()
    assert spool.deliver(parcel("c3"), now_ms) == Taken()
    lines = (tmp_path / "cdr.jsonl").read_text().splitlines()
    assert [json.loads(line)["call_id"] for line in lines] == ["c1", "c2", "c3"]
    assert (tmp_path / "cdr.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_crash_cut_off_is_removed_before_the_next_batch(tmp_path: Path) -> None:
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b'{"call_id":"c1"}\n{"call_id":"c' + b"x" * 100_000)
    Spool(path, most_mb=1).deliver(parcel("c2"), time.time_ns() // 1_000_000)
    assert [json.loads(line)["call_id"] for line in path.read_text().splitlines()] == ["c1", "c2"]


def test_a_file_is_put_aside_when_a_day_begins_and_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"{}\n")
    os.utime(path, (NOON_MS / 1000, NOON_MS / 1000))
    spool = Spool(path, most_mb=1)
    assert spool.deliver(parcel("c1"), NOON_MS + DAY_MS) == Taken()
    path.write_bytes(b'{"x":"' + b"x" * 999_900 + b'"}\n')
    os.utime(path, (NOON_MS / 1000, NOON_MS / 1000))
    assert spool.deliver(parcel("c2"), NOON_MS) == Taken()
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "cdr-20231114-0001.jsonl",
        "cdr-20231114-0002.jsonl",
        "cdr.jsonl",
    ]
    assert json.loads(path.read_text())["call_id"] == "c2"


def test_a_disk_that_is_full_keeps_nothing_of_a_batch(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "cdr.jsonl"
    path.write_bytes(b"{}\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        outcome = Spool(path, most_mb=1).deliver(parcel("c1"), time.time_ns() // 1_000_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome == Failed(f"{path} cannot be written: File too large")
    assert path.read_bytes() == b"{}\n"


def test_a_folder_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    outcome = Spool(tmp_path / "no" / "cdr.jsonl", most_mb=1).deliver(parcel("c1"), NOON_MS)
    assert outcome == Failed(f"{tmp_path / 'no' / 'cdr.jsonl'} cannot be written: No such file or directory")


# A program


def given_to(program: str, *, timeout_s: float = 10.0, **environment: str) -> Outcome:
    command = Command([sys.executable, "-c", program], target="loader", timeout_s=timeout_s, environment=environment)
    return command.deliver(parcel("c1", "c2"), NOON_MS)


def test_a_program_gets_lines_of_json_and_nothing_of_our_secrets(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = f"import sys, os; open({str(out)!r}, 'w').write(sys.stdin.read() + repr(sorted(os.environ.items())))"
    assert given_to(program, PATH=os.environ["PATH"], BOOKS_SECRET="hush") == Taken()
    first, second, environment = out.read_text().splitlines()
    assert [json.loads(line)["call_id"] for line in (first, second)] == ["c1", "c2"]
    assert "hush" not in environment
    assert "('SIPSHOP_TARGET', 'loader')" in environment
    assert parcel("c1", "c2").id in environment


@pytest.mark.parametrize(
    ("program", "outcome"),
    [
        pytest.param("raise SystemExit(65)", Refused("exit status 65"), id="refuses"),
        pytest.param("raise SystemExit(1)", Failed("exit status 1"), id="fails"),
        pytest.param("import os; os.kill(os.getpid(), 9)", Failed("ended by signal 9"), id="is killed"),
    ],
)
def test_what_an_end_means(program: str, outcome: Outcome) -> None:
    assert given_to(program) == outcome


def test_a_program_that_takes_too_long_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = f"import subprocess, time; p = subprocess.Popen(['sleep', '60']); open({str(pid)!r}, 'w').write(str(p.pid))"
    outcome = given_to(f"{child}; time.sleep(60)", timeout_s=1.5, PATH=os.environ["PATH"])
    assert outcome == Failed("did not end within 1.5 s, and was killed")
    give_up = time.monotonic() + 5
    while _is_alive(int(pid.read_text())):
        assert time.monotonic() < give_up, "its child lives on"


def _is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_is_not_there_is_a_failure() -> None:
    command: Any = Command(["/no/such/program"], target="t", timeout_s=1, environment={})
    assert command.deliver(parcel("c1"), NOON_MS) == Failed("/no/such/program cannot be run: No such file or directory")
