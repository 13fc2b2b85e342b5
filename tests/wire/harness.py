"""Real servers, real phones: starts them as processes of their own, drives them, and reads what they logged.

Nothing here looks into the switch: it is asked by SIP, by HTTP and by its command line, as everybody does.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

import httpx

from tests.wire.nursery import Forked, run

ROOT: Final = Path(__file__).parents[2]
SCENARIOS: Final = ROOT / "sipp-scenarios"
CERTIFICATES: Final = ROOT / "tests" / "certificates"
HOST: Final = "127.0.0.1"
#: Everything that is waited for comes within this time or never.
PATIENCE_S: Final = 20.0

_given_ports: set[int] = set()
_Found = TypeVar("_Found")


def until(look: Callable[[], _Found | None], what: str, within_s: float = PATIENCE_S) -> _Found:
    """Look again and again until there is something to see; fail with `what` was awaited."""
    give_up = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > give_up:
            raise AssertionError(f"within {within_s} s there was not: {what}")
        time.sleep(0.02)


def free_port() -> int:
    """A port that is free for UDP and TCP, and was not given before.

    From below the range that the kernel gives to clients (32768 and up on Linux): one of those may be taken by any
    connection between this look and the server's own.
    """
    while True:
        port = random.randrange(12_000, 32_000)
        if port in _given_ports:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
            try:
                udp.bind((HOST, port))
                tcp.bind((HOST, port))
            except OSError:
                continue
        _given_ports.add(port)
        return port


#: How `sipshop` is started, unless a test starts it in another way.
SIPSHOP: Final = (sys.executable, "-m", "sipshop")


class Program:
    """A process of ours with its output in a file; it is ended with the test, whatever happens.

    One that begins with `SIPSHOP` is forked from the nursery, unless it is to be `fresh`.
    """

    process: subprocess.Popen[bytes] | Forked

    def __init__(
        self, command: Sequence[str | Path], log: Path, *, env: Mapping[str, str] | None = None, fresh: bool = False
    ) -> None:
        self.log = log
        self.name = Path(command[0]).name
        if tuple(command[: len(SIPSHOP)]) == SIPSHOP and not fresh:
            words = [str(word) for word in command[len(SIPSHOP) :]]
            self.process = Forked(words, log.parent, {**os.environ, **(env or {})}, out=log, errors=log)
            return
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**os.environ, **env} if env else None,
            )

    @property
    def said(self) -> str:
        """All its output so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, within_s: float = PATIENCE_S) -> int:
        """Its exit status; it is killed, and the test fails, where it does not end."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end within {within_s} s:\n{self.said}") from None

    def saw(self, text: str, within_s: float = PATIENCE_S) -> None:
        """Wait until it has said something."""

        def look() -> bool:
            if text not in self.said and self.process.poll() is not None and text not in self.said:
                raise AssertionError(f"{self.name} ended and never said {text!r}:\n{self.said}")
            return text in self.said

        until(look, f"{text!r} from {self.name}", within_s)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end, and wait until it has."""
        if self.process.poll() is None:
            self.process.send_signal(by)
        return self.wait()

    def kill(self) -> None:
        """End it without a word to it."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


class Server(Program):
    """`sipshop demo` on free ports, with a data folder and a world of its own, or several worlds."""

    def __init__(
        self,
        folder: Path,
        *worlds: str,
        sip_port: int | None = None,
        http_port: int | None = None,
        carrier_port: int | None = None,
        tls_port: int | None = None,
        sip: Mapping[str, object] | None = None,
        targets: Sequence[Mapping[str, object]] = (),
        program: Sequence[str | Path] = SIPSHOP,
        fresh: bool = False,
    ) -> None:
        """Start it; with `carrier_port` it starts the demo carrier there, without one it starts none.

        With `tls_port` it is `sipshop serve` that listens for SIP over TLS there too; `sip` is what else its
        configuration says of SIP; with `targets` it delivers CDRs to them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.sip = sip_port or free_port()
        self.http = http_port or free_port()
        self.data = folder / "data"
        self._has_carrier = carrier_port is not None
        command: list[str | Path] = [*program, "demo", "--data", self.data]
        for number, world in enumerate(worlds):
            path = folder / f"world{number or ''}.yaml"
            path.write_text(world)
            command += ["--world", path]
        command += ["--listen", f"{HOST}:{self.sip}", "--http", f"{HOST}:{self.http}"]
        command += ["--carrier-listen", f"{HOST}:{carrier_port}"] if carrier_port else ["--no-carrier"]
        if tls_port is not None or sip is not None or targets:
            configuration = folder / "sipshop.yaml"
            configuration.write_text(self._configuration(tls_port, sip or {}, targets))
            command = [*program, "serve", "--config", configuration]
        super().__init__(command, folder / "server.log", fresh=fresh)
        self.client = httpx.Client(base_url=f"http://{HOST}:{self.http}", timeout=PATIENCE_S)

    def _configuration(
        self, tls_port: int | None, sip: Mapping[str, object], targets: Sequence[Mapping[str, object]]
    ) -> str:
        """A file for `serve` that says what the options of `demo` do, and more; JSON, which is YAML too."""
        names = {"certificate": "carrier.pem", "key": "carrier.key", "ca": "authority.pem"}
        files = {key: str(CERTIFICATES / name) for key, name in names.items()}
        tls = {} if tls_port is None else {"tls": {"listen": f"{HOST}:{tls_port}", **files}}
        return json.dumps(
            {
                "worlds": ["world.yaml"],
                "sip": {"listen": f"{HOST}:{self.sip}", **tls, **sip},
                "http": {"listen": f"{HOST}:{self.http}"},
                "export": {"targets": targets},
            }
        )

    def ready(self, *, path: str = "/readyz") -> Self:
        """Wait until it takes work."""

        def look() -> bool:
            assert self.process.poll() is None, f"the server ended:\n{self.said}"
            try:
                return self.client.get(path).status_code == 200
            except httpx.TransportError:
                return False

        until(look, f"200 from {path}")
        if self._has_carrier:
            self.saw("carrier: SIP on")
        return self

    def api(
        self, method: str, path: str, body: object = None, *, tenant: str | None = None, key: str | None = None
    ) -> httpx.Response:
        """Ask the API with the token that the server wrote, another provider's where a `tenant` is named.

        `key` is the name of a command that is done once, however often it is asked for.
        """
        token = (self.data / ("token" if tenant is None else f"token.{tenant}")).read_text().strip()
        headers = {"authorization": f"Bearer {token}"}
        if key is not None:
            headers["idempotency-key"] = key
        return self.client.request(method, f"/api/v1{path}", json=body, headers=headers)

    def command(self, path: str, body: object = None, *, key: str | None = None) -> dict[str, Any]:
        """Give a command of the desk, which must be done."""
        answer = self.api("POST", path, body, key=key)
        assert answer.status_code == 200, answer.text
        done: dict[str, Any] = answer.json()
        return done

    def look(self, path: str) -> dict[str, Any]:
        """Read what is at a path, which must be there."""
        answer = self.api("GET", path)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def unlock(self, *booths: str) -> None:
        """Open booths for customers."""
        for booth in booths:
            self.command(f"/booths/{booth}/unlock")

    def booth(self, name: str) -> dict[str, Any]:
        """A booth's status."""
        booths: list[dict[str, Any]] = self.api("GET", "/booths").json()["booths"]
        return next(booth for booth in booths if booth["booth"] == name)

    def party(self, name: str) -> dict[str, Any]:
        """A party's status, and its account with the one above it."""
        return self.look(f"/parties/{quote(name)}")

    def parties(self) -> list[dict[str, Any]]:
        """Every party's status."""
        parties: list[dict[str, Any]] = self.look("/parties")["parties"]
        return parties

    def transfers(self, party: str) -> list[dict[str, Any]]:
        """What moved on a party's account, the newest first."""
        found: list[dict[str, Any]] = self.look(f"/parties/{quote(party)}/transfers?limit=1000")["transfers"]
        return found

    def cdrs(self, booth: str) -> list[dict[str, Any]]:
        """A booth's CDRs, the newest first."""
        found: list[dict[str, Any]] = self.api("GET", f"/cdrs?limit=1000&booth={booth}").json()["cdrs"]
        return found

    def cdr(self, booth: str) -> dict[str, Any]:
        """The one CDR of a booth that made one attempt, as soon as it is there."""
        found = until(lambda: self.cdrs(booth), f"a CDR of {booth}")
        assert len(found) == 1
        return found[0]

    def cli(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run `sipshop ...` against this server."""
        return run(
            words,
            PATIENCE_S,
            environment={
                "SIPSHOP_URL": str(self.client.base_url),
                "SIPSHOP_TOKEN_FILE": str(self.data / "token"),
                "COLUMNS": "200",
            },
        )

    def metrics(self) -> dict[str, float]:
        """Every sample of /metrics by its name and labels as they stand there."""
        lines = self.client.get("/metrics").text.splitlines()
        pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        if kind is None and self.process.poll() is None:
            self.stop()
        self.kill()
        if kind is None:
            assert "Traceback" not in self.said, self.said
            assert "not handled" not in self.said, self.said


@dataclass(frozen=True, slots=True)
class Logged:
    """One message of SIPp's log: when, which way, and its text."""

    at: datetime
    sent: bool
    text: str

    @property
    def call_id(self) -> str:
        """Its Call-ID."""
        match = re.search(r"^(?:call-id|i)\s*:\s*(\S+)", self.text, re.IGNORECASE | re.MULTILINE)
        assert match is not None, self.text
        return match[1]

    def is_response(self, status: int, method: str) -> bool:
        """Whether it is the response of that status to that method."""
        start = self.text.startswith(f"SIP/2.0 {status} ")
        return start and re.search(rf"^CSeq:\s*\d+\s+{method}\s*$", self.text, re.IGNORECASE | re.MULTILINE) is not None

    def is_request(self, method: str) -> bool:
        """Whether it is a request of that method."""
        return self.text.startswith(f"{method} ")


_LOGGED: Final = re.compile(
    r"^-{20,} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+)\n\w+ message (sent|received) .*:\n\n?",
    re.MULTILINE,
)


class Sipp(Program):
    """A run of SIPp with one of our scenarios; its messages are in a log of its own."""

    def __init__(
        self,
        scenario: str | Path,
        folder: Path,
        *,
        to: int | None = None,
        host: str = HOST,
        listen: int | None = None,
        booth: str = "",
        password: str = "",
        number: str = "0",
        pause_ms: int = 300,
        transport: str = "u1",
        calls: int = 1,
        rate: int = 10,
        within_s: int = 20,
        more: Sequence[str] = (),
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = scenario if isinstance(scenario, Path) else SCENARIOS / f"{scenario}.xml"
        name = f"{file.stem}-{booth or listen}-{len(list(folder.iterdir()))}"
        self.messages_log = folder / f"{name}.messages"
        self.errors_log = folder / f"{name}.errors"
        command: list[str | Path] = ["sipp", "-sf", file, "-i", host, "-t", transport]
        command += ["-m", str(calls), "-r", str(rate), "-d", str(pause_ms), "-nostdin"]
        command += ["-recv_timeout", str(within_s * 1000), "-timeout", str(within_s), "-timeout_error"]
        command += ["-trace_msg", "-message_file", self.messages_log, "-trace_err", "-error_file", self.errors_log]
        command += ["-p", str(listen or free_port()), *more]
        if to is not None:
            server = f"[{host}]" if ":" in host else HOST
            command += [f"{server}:{to}", "-s", number, "-key", "booth", booth, "-au", booth, "-ap", password]
        self._within_s = within_s
        super().__init__(command, folder / f"{name}.screen")

    def passed(self) -> Self:
        """Wait for its end, which must be a success."""
        status = self.wait(self._within_s + 5)
        assert status == 0, f"SIPp ended with {status}:\n{self.errors}\n{self.text}"
        return self

    @property
    def errors(self) -> str:
        """What was not as the scenario says."""
        return self.errors_log.read_text(errors="replace") if self.errors_log.exists() else ""

    @property
    def text(self) -> str:
        """The whole message log."""
        return self.messages_log.read_text(errors="replace") if self.messages_log.exists() else ""

    @property
    def messages(self) -> list[Logged]:
        """Every message, in order."""
        text = self.text.replace("\r\n", "\n")
        heads = list(_LOGGED.finditer(text))
        ends = [*(head.start() for head in heads[1:]), len(text)][: len(heads)]
        return [
            Logged(datetime.fromisoformat(head[1]), head[2] == "sent", text[head.end() : end])
            for head, end in zip(heads, ends, strict=True)
        ]


@contextmanager
def strace(server: Server, folder: Path, inject: str, syscalls: str = "fdatasync,fsync") -> Iterator[None]:
    """Tamper with a running server's fsyncs or other `syscalls`, as `inject` says in strace's words, for the block."""
    command = ["strace", "-f", "-p", str(server.process.pid), "-o", str(folder / "strace.out")]
    command += ["-e", f"trace={syscalls}", "-e", f"inject={syscalls}:{inject}"]
    with Program(command, folder / "strace.log") as tracer:
        tracer.saw(" attached")
        yield
        tracer.stop(signal.SIGINT)


@dataclass(slots=True)
class World:
    """A world to write down: one owner with a shop, and a second one; trunks by name with their ports."""

    booths: Mapping[str, str] = field(default_factory=dict)  # name to what is said besides name and password
    trunks: Mapping[str, str] = field(default_factory=dict)  # name to what is said besides the name
    routes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    other_booths: Sequence[str] = ()

    def yaml(self) -> str:
        """The file. DE is 0.12 a minute and 0.05 to connect, by 60 s; GB is 0.60 a minute by the second.

        Everybody sells by this deck, so that all levels of a call pay the same.
        """
        lines = [
            "provider: {name: Wire Telecom}",
            "owners:",
            "  - {name: Good Payer, deck: sell, unlimited: true}",
            "  - {name: Bad Payer, deck: sell, unlimited: true}",
            "decks:",
            "  - name: sell",
            "    currency: EUR",
            "    rates:",
            *(
                f'      - {{prefix: "{prefix}", destination: {name}, {prices}}}'
                for prefix, name, prices in (
                    ("49", "Germany", 'connect_fee: "0.05", first_s: 60, first_price: "0.12", next_s: 60'),
                    ("44", "Britain", 'first_s: 1, first_price: "0.60", next_s: 1'),
                    ("33", "France", 'first_s: 60, first_price: "0.10", next_s: 60'),
                    ("34", "Spain", 'first_s: 60, first_price: "0.10", next_s: 60'),
                    ("39", "Italy", 'first_s: 60, first_price: "0.10", next_s: 60'),
                    ("43", "Austria", 'first_s: 60, first_price: "0.10", next_s: 60'),
                )
            ),
            "trunks:",
            *(f"  - {{name: {name}, deck: sell, {_host(rest)}{rest}}}" for name, rest in self.trunks.items()),
            "routes:",
            *(f'  - {{prefix: "{prefix}", trunks: [{", ".join(trunks)}]}}' for prefix, trunks in self.routes.items()),
            "shops:",
            *self._shop("Corner", "Good Payer", self.booths),
            *(self._shop("Other", "Bad Payer", dict.fromkeys(self.other_booths, "")) if self.other_booths else ()),
        ]
        return "\n".join(lines) + "\n"

    @staticmethod
    def _shop(name: str, owner: str, booths: Mapping[str, str]) -> list[str]:
        return [
            f"  - name: {name}",
            f"    owner: {owner}",
            "    deck: sell",
            '    country_code: "49"',
            '    emergency: ["112", "110"]',
            "    booths:",
            *(f"      - {{name: {booth}, {_credentials(booth, rest)}{rest}}}" for booth, rest in booths.items()),
        ]


def _host(rest: str) -> str:
    return "" if "host:" in rest else f"host: {HOST}, "


def _credentials(booth: str, rest: str) -> str:
    return "" if "auth: ip" in rest else f"password: {password(booth)}, "


def password(booth: str) -> str:
    """The password of a booth in the tests' worlds."""
    return f"secret-of-{booth}"
