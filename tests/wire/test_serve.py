"""A server by its configuration: HTTPS, logs, a listener for monitoring, and the file read again while it runs."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Self

import httpx
import pytest

from tests.wire.nursery import run

from .harness import HOST, PATIENCE_S, ROOT, SIPSHOP, Program, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

CERTIFICATES: Final = ROOT / "tests" / "certificates"


class Served(Program):
    """`sipshop serve` in a folder of its own, with HTTPS, a listener for metrics, and a log of JSON lines."""

    def __init__(self, folder: Path, carrier_port: int) -> None:
        self.folder = folder
        self.sip, self.http, self.metrics_port = free_port(), free_port(), free_port()
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notified.bind(str(folder / "notify"))
        self.notified.settimeout(PATIENCE_S)
        world = World(
            booths={"booth1": ""},
            trunks={"carrier": f"port: {carrier_port}, emergency: true"},
            routes={"": ["carrier"]},
        )
        (folder / "world.yaml").write_text(world.yaml())
        (folder / "password").write_text("open-sesame\n")
        self.use_certificate("desk.pem", "locked.key")
        self.configure()
        super().__init__(
            [*SIPSHOP, "serve", "--config", "sipshop.yaml"],
            folder / "stderr.log",
            env={"NOTIFY_SOCKET": str(folder / "notify")},
        )

    def kill(self) -> None:
        super().kill()
        self.notified.close()

    def use_certificate(self, certificate: str, key: str) -> None:
        shutil.copy(CERTIFICATES / certificate, self.folder / "desk.pem")
        shutil.copy(CERTIFICATES / key, self.folder / "desk.key")

    def configure(self, **others: Mapping[str, object]) -> None:
        """Write the configuration, some tables of it with other keys."""
        tables: dict[str, dict[str, object]] = {
            "sip": {"listen": f"{HOST}:{self.sip}"},
            "http": {
                "listen": f"{HOST}:{self.http}",
                "certificate": "desk.pem",
                "key": "desk.key",
                "key_password": "file:password",
                "trusted_proxies": ["127.0.0.3"],
            },
            "metrics": {"listen": f"{HOST}:{self.metrics_port}"},
            "logs": {"format": "json", "file": "sipshop.log"},
        }
        for name, keys in others.items():
            tables[name] = {**tables.get(name, {}), **keys}
        (self.folder / "sipshop.yaml").write_text(json.dumps({"worlds": ["world.yaml"], **tables}))  # which is YAML too

    def ready(self) -> Self:
        assert self.notified.recv(100) == b"READY=1", self.said
        return self

    def cli(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `sipshop ...` against this server, with its certificate as one that is trusted."""
        return run(
            ["--url", f"https://{HOST}:{self.http}", *words],
            PATIENCE_S,
            folder=self.folder,
            environment={"SSL_CERT_FILE": str(CERTIFICATES / "desk.pem"), **environment},
        )

    def client(self, source: str = HOST) -> httpx.Client:
        """A client that comes from this address and takes any certificate."""
        token = (self.folder / "data" / "token").read_text().strip()
        return httpx.Client(
            base_url=f"https://{HOST}:{self.http}",
            transport=httpx.HTTPTransport(verify=False, local_address=source),
            headers={"authorization": f"Bearer {token}"},
            timeout=PATIENCE_S,
        )

    def reload(self) -> httpx.Response:
        with self.client() as client:
            return client.post("/api/v1/reload")

    def certificate(self) -> str:
        """The certificate that a new connection is shown, in PEM."""
        return ssl.get_server_certificate((HOST, self.http), timeout=PATIENCE_S)

    def metrics(self, path: str = "/metrics") -> httpx.Response:
        return httpx.get(f"http://{HOST}:{self.metrics_port}{path}", timeout=PATIENCE_S)

    def log_lines(self, file: str = "sipshop.log") -> list[dict[str, Any]]:
        path = self.folder / file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def logged(self, text: str) -> dict[str, Any]:
        """The first line of the log whose message has this in it, as soon as it is there."""
        return until(
            lambda: next((line for line in self.log_lines() if text in line["message"]), None), f"{text!r} in the log"
        )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    port = free_port()
    with Program([*SIPSHOP, "carrier", "--listen", f"{HOST}:{port}"], folder / "carrier.log") as carrier:
        carrier.saw("SIP on")
        with Served(folder, port) as server:
            yield server.ready()
            assert server.stop(signal.SIGTERM) == 0, server.said
            assert server.notified.recv(100) == b"STOPPING=1"
            assert server.said == "", "everything is in the log's file"


@pytest.fixture(autouse=True)
def as_it_was(served: Served) -> Iterator[None]:
    """Each test finds the server as it was started."""
    yield
    served.use_certificate("desk.pem", "locked.key")
    served.configure()
    assert served.reload().status_code == 200


def test_a_call_s_end_is_in_the_log_with_its_id(served: Served, tmp_path: Path) -> None:
    with served.client() as client:
        assert client.post("/api/v1/booths/booth1/unlock").status_code == 200
        sipp = Sipp(
            "register_and_call",
            tmp_path,
            to=served.sip,
            booth="booth1",
            password=password("booth1"),
            number="0305551234",
        )
        with sipp:
            sipp.passed()
        line = served.logged("the call has ended by the caller: answered")
        [cdr] = client.get("/api/v1/cdrs").json()["cdrs"]
    assert line["call"] == cdr["call_id"]
    assert (line["shop"], line["booth"], line["trunk"]) == ("Corner", "booth1", "carrier")


def test_monitoring_has_a_listener_of_its_own(served: Served) -> None:
    assert served.metrics("/healthz").json() == {"status": "ok"}
    assert served.metrics("/readyz").json()["ready"] is True
    until = 'sipshop_certificate_expiry_timestamp_seconds{listener="http"} 4.948'  # of desk.pem: in 2126
    assert until in served.metrics().text
    assert served.metrics("/api/v1/booths").status_code == 404
    with served.client() as client:
        assert [client.get(path).status_code for path in ("/metrics", "/healthz", "/readyz")] == [404] * 3
        assert client.get("/api/v1/booths").status_code == 200


def test_a_reload_takes_what_can_change_and_names_what_waits(served: Served) -> None:
    served.configure(limits={"max_calls": 7}, logs={"level": "debug"}, sip={"realm": "other"})
    answer = served.reload()
    assert answer.json() == {
        "changed": [
            {"key": "limits.max_calls", "old": "10000", "new": "7"},
            {"key": "logs.level", "old": "info", "new": "debug"},
        ],
        "restart": [{"key": "sip.realm", "old": "sipshop", "new": "other"}],
    }
    served.logged("reloaded: limits.max_calls: 10000 -> 7")
    served.logged("waits for a restart: sip.realm: sipshop -> other")
    with served.client() as client:
        client.get("/api/v1/booths")
    assert served.logged("GET /api/v1/booths: 200")["level"] == "debug"


def test_the_command_line_speaks_https(served: Served) -> None:
    served.configure(limits={"slice_s": 30})
    done = served.cli("reload")
    assert (done.returncode, done.stdout, done.stderr) == (0, "changed: limits.slice_s: 60 -> 30\n", "")
    assert served.cli("booth", "list").returncode == 0


@pytest.mark.parametrize(
    ("url", "why"),
    [
        pytest.param("https://127.0.0.1:{}", "is not trusted: ", id="a certificate that nobody vouches for"),
        pytest.param("http://127.0.0.1:{}", "if it speaks HTTPS, --url begins with https://", id="HTTP to HTTPS"),
    ],
)
def test_who_asks_the_wrong_way_is_told_the_right_one(served: Served, url: str, why: str) -> None:
    told = served.cli("--url", url.format(served.http), "--token", "none", "booth", "list", SSL_CERT_FILE="")
    assert (told.returncode, told.stdout) == (4, "")
    assert why in told.stderr


def test_https_to_http_is_told_so(served: Served) -> None:
    told = served.cli("--url", f"https://{HOST}:{served.metrics_port}", "booth", "list")
    assert told.stderr == (
        f"sipshop: what answers at https://{HOST}:{served.metrics_port} speaks no HTTPS: try http:// in --url\n"
    )


def test_only_the_server_s_user_may_read_what_it_keeps(served: Served) -> None:
    files = {path.name: path.stat().st_mode & 0o777 for path in (served.folder / "data").glob("sipshop.db*")}
    assert files.pop("sipshop.db.lock") == 0o644  # a process number
    assert files == dict.fromkeys(("sipshop.db", "sipshop.db-wal", "sipshop.db-shm"), 0o600)


def test_a_start_without_a_world_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "sipshop.yaml").write_text("logs: {level: info}\n")
    done = run(["serve", "--config", "sipshop.yaml"], PATIENCE_S, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == ("sipshop: the database data/sipshop.db has no world: name one in `worlds` of sipshop.yaml\n")
    assert [path.name for path in tmp_path.iterdir()] == ["sipshop.yaml"]


def test_a_broken_file_is_not_reloaded_and_nothing_changes(served: Served) -> None:
    served.configure(limits={"max_calls": 0}, logs={"level": "loud"})
    answer = served.reload()
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["code"] == "bad_configuration"
    fields = [error.split(": ")[1] for error in problem["errors"]]
    assert fields == ["limits.max_calls", "logs.level"]
    served.logged("the configuration is not reloaded: sipshop.yaml:1: limits.max_calls")
    served.configure()
    assert served.reload().json() == {"changed": [], "restart": []}


def test_a_hangup_reloads_and_a_log_that_was_moved_away_begins_again(served: Served) -> None:
    moved = served.folder / "moved.log"
    (served.folder / "sipshop.log").rename(moved)
    served.configure(limits={"drain_s": 3})
    served.process.send_signal(signal.SIGHUP)
    served.logged("reloaded: limits.drain_s: 10 -> 3")
    (served.folder / "sipshop.yaml").write_text("nonsense")
    served.process.send_signal(signal.SIGHUP)
    served.logged("the configuration is not reloaded: sipshop.yaml:1: must be a table of keys and values")
    assert served.metrics("/readyz").status_code == 200
    assert not any("drain_s" in line["message"] for line in served.log_lines("moved.log"))


def test_a_renewed_certificate_is_shown_after_a_reload(served: Served) -> None:
    assert served.certificate() == (CERTIFICATES / "desk.pem").read_text()
    served.use_certificate("renewed.pem", "renewed.key")
    assert served.certificate() == (CERTIFICATES / "desk.pem").read_text(), "not before"
    assert served.reload().status_code == 200
    assert served.certificate() == (CERTIFICATES / "renewed.pem").read_text()
    assert 'sipshop_certificate_expiry_timestamp_seconds{listener="http"} 3.350' in served.metrics().text


def test_a_certificate_with_another_key_is_refused_and_the_old_one_stays(served: Served) -> None:
    served.use_certificate("renewed.pem", "desk.key")
    served.configure(limits={"max_calls": 9})
    answer = served.reload()
    assert answer.status_code == 422
    assert "desk.key is not the key of desk.pem" in answer.json()["detail"]
    assert served.certificate() == (CERTIFICATES / "desk.pem").read_text()
    served.use_certificate("desk.pem", "locked.key")
    assert [change["key"] for change in served.reload().json()["changed"]] == ["limits.max_calls"], "nor did the rest"


def test_a_log_that_cannot_be_written_is_refused(served: Served) -> None:
    served.configure(logs={"file": "no/folder.log"})
    answer = served.reload()
    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        "sipshop.yaml: logs.file: no/folder.log cannot be written: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("source", "client"),
    [
        pytest.param("127.0.0.3", "192.0.2.9", id="of a proxy that is trusted"),
        pytest.param("127.0.0.4", "127.0.0.4", id="of anybody else not"),
    ],
)
def test_where_a_request_came_from_is_believed(served: Served, source: str, client: str) -> None:
    with served.client(source) as proxy:
        wrong = {"authorization": "Bearer wrong", "x-forwarded-for": "192.0.2.9"}
        assert proxy.get(f"/api/v1/booths?{source}", headers=wrong).status_code == 401
    until(
        lambda: [line for line in served.log_lines() if line.get("client") == client and line["level"] == "warning"],
        "a warning of who was not let in",
    )


def test_the_doctor_knows_a_server_that_runs(served: Served) -> None:
    done = served.cli("doctor", "--config", "sipshop.yaml", "--json")
    findings = {finding["what"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert findings["server"]["found"] == "runs and takes calls"
    assert findings["port of SIP, UDP"]["found"] == f"{HOST}:{served.sip} is in use, as a server runs"
    assert findings["database"]["verdict"] == "ok"
    assert findings["trunk carrier"]["found"].partition(" answers ")[2].startswith("200 after ")
    assert findings["open files"]["found"].partition("; ")[0].endswith(f"of the server, process {served.process.pid}")
    assert done.returncode == 0, done.stdout


def test_a_second_server_is_told_which_key_is_in_the_way(served: Served) -> None:
    taken = f"worlds: [world.yaml]\ndatabase: {{path: other.db}}\nsip: {{listen: '{HOST}:{served.sip}'}}\n"
    (served.folder / "second.yaml").write_text(f"{taken}http: {{listen: '{HOST}:{free_port()}'}}\n")
    done = served.cli("serve", "--config", "second.yaml")
    assert done.returncode == 2
    assert done.stderr == (
        f"sipshop: SIP: port {served.sip} of {HOST} is in use: stop what runs there, or give sip.listen\n"
    )
