"""The doctor, shown machines and carriers that have something."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from typer.testing import CliRunner

from sipshop import cli
from sipshop.doctor import Finding, Verdict, carriers, examine_all
from sipshop.doctor.rates import exchange
from sipshop.settings import (
    DatabaseSettings,
    DnsSettings,
    HttpSettings,
    MetricsSettings,
    Settings,
    SipSettings,
    TlsSettings,
)
from sipshop.sip.message import Request, parse
from sipshop.store import Store
from sipshop.store.schema import SCHEMA_VERSION
from tests.sip.dns_server import DnsServer
from tests.store.examples import filled
from tests.store.test_migrations import made_by

from .harness import HOST, ROOT, World, free_port
from .test_names import Do, dns

pytestmark = pytest.mark.wire

CERTIFICATES: Final = ROOT / "tests" / "certificates"


@pytest.fixture
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a machine that has nothing; its files are in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "resolv.conf").write_text("# none\n")
    return Settings(
        sip=SipSettings(listen=(HOST, free_port())),
        http=HttpSettings(listen=(HOST, free_port()), token_file="token"),
        database=DatabaseSettings(path="data/sipshop.db"),
        worlds=(written(f"port: {free_port()}"),),
    )


def written(trunk: str) -> str:
    """The file of a world with one trunk, at this port."""
    world = World(booths={"b": ""}, trunks={"away": f"{trunk}, emergency: true"}, routes={"": ["away"]})
    Path("world.yaml").write_text(world.yaml())
    return "world.yaml"


def findings(settings: Settings) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine_all(settings, Path("resolv.conf"), patience_s=0.3)}


@contextmanager
def taken(kind: socket.SocketKind) -> Iterator[int]:
    """A port that somebody has, and where he never answers."""
    with socket.socket(socket.AF_INET, kind) as somebody:
        somebody.bind((HOST, 0))
        if kind is socket.SOCK_STREAM:
            somebody.listen()
        yield somebody.getsockname()[1]


@contextmanager
def carrier(kind: socket.SocketKind, answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """A carrier that answers one question."""
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind((HOST, 0))
        listening.settimeout(5)
        if kind is socket.SOCK_STREAM:
            listening.listen()

        def serve() -> None:
            if kind is socket.SOCK_STREAM:
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(answer(connection.recv(65_535)))
            else:
                question, asker = listening.recvfrom(65_535)
                listening.sendto(answer(question), asker)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


def with_trunk(settings: Settings, port: int, transport: str = "udp") -> Settings:
    return replace(settings, worlds=(written(f"port: {port}, transport: {transport}"),))


def well(question: bytes) -> bytes:
    request = parse(question)
    assert isinstance(request, Request)
    assert request.method == "OPTIONS"
    return request.reply(200, to_tag="x").encode()


def test_a_healthy_machine_has_nothing_wrong_but_its_carrier(healthy: Settings) -> None:
    found = findings(healthy)
    assert {what for what, finding in found.items() if finding.verdict is Verdict.WRONG} == {"trunk away"}
    assert found["port of SIP, UDP"].found.endswith(" is free")
    assert found["database"].found == "data/sipshop.db is not there yet: the first start makes it from world.yaml"
    assert not Path("data").exists(), "it only looks"


@pytest.mark.parametrize("finding", ["port of SIP, UDP", "port of SIP, TCP", "port of HTTP", "port of metrics"])
def test_a_port_that_another_program_has(healthy: Settings, finding: str) -> None:
    with taken(socket.SOCK_DGRAM if "UDP" in finding else socket.SOCK_STREAM) as port:
        address = (HOST, port)
        ill = {
            "SIP": replace(healthy, sip=SipSettings(listen=address)),
            "HTTP": replace(healthy, http=HttpSettings(listen=address)),
            "metrics": replace(healthy, metrics=MetricsSettings(listen=address)),
        }[finding.removeprefix("port of ").partition(",")[0]]
        found = findings(ill)[finding]
    assert found.verdict is Verdict.WRONG
    name = Path("/proc/self/comm").read_text().strip()
    assert found.found == f"{HOST}:{port} is in use by {name} (process {os.getpid()})"


def test_an_address_of_another_machine(healthy: Settings) -> None:
    found = findings(replace(healthy, sip=SipSettings(listen=("192.0.2.1", 5060))))
    assert found["port of SIP, UDP"].found == "192.0.2.1 is no address of this machine"


def test_an_address_that_phones_are_told_and_nobody_listens_on(healthy: Settings) -> None:
    found = findings(replace(healthy, sip=replace(healthy.sip, advertise=("192.0.2.1", 5060))))
    assert found["sip.advertise"].verdict is Verdict.WRONG


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM], ids=["UDP", "TCP"])
def test_a_carrier_that_is_well(healthy: Settings, kind: socket.SocketKind) -> None:
    with carrier(kind, well) as port:
        found = findings(with_trunk(healthy, port, "udp" if kind is socket.SOCK_DGRAM else "tcp"))["trunk away"]
    assert found.verdict is Verdict.GOOD
    assert " answers 200 after " in found.found


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "answers, but not in SIP", id="another protocol"),
        pytest.param(b"", "cannot be reached: it closed the connection", id="nothing"),
    ],
)
def test_a_carrier_that_is_none(healthy: Settings, answer: bytes, says: str) -> None:
    with carrier(socket.SOCK_STREAM, lambda _question: answer) as port:
        found = findings(with_trunk(healthy, port, "tcp"))["trunk away"]
    assert found.verdict is Verdict.WRONG
    assert says in found.found


def test_a_carrier_that_is_silent_may_be_well(healthy: Settings) -> None:
    with taken(socket.SOCK_DGRAM) as port:
        found = findings(with_trunk(healthy, port))["trunk away"]
    assert found.verdict is Verdict.DOUBTFUL
    assert "does not answer OPTIONS within 0.3 s" in found.found


def test_a_carrier_where_nobody_listens(healthy: Settings) -> None:
    found = findings(healthy)["trunk away"]
    assert (found.verdict, found.found.partition(" UDP ")[2]) == (
        Verdict.WRONG,
        "cannot be reached: Connection refused",
    )


def test_a_database_without_a_world_and_none_to_fill_it_from(healthy: Settings) -> None:
    Path("data").mkdir()
    Store.open(Path("data/sipshop.db"), process="p", on_commit=print, on_health=print).close()
    assert findings(healthy)["database"].verdict is Verdict.GOOD
    assert findings(replace(healthy, worlds=()))["database"].remedy == "name a world in `worlds`"


def test_a_database_that_is_none(healthy: Settings) -> None:
    Path("data").mkdir()
    Path("data/sipshop.db").write_text("not a database at all, whatever its name may say\n" * 100)
    found = findings(healthy)["database"]
    assert found.verdict is Verdict.WRONG
    assert "cannot be used as a sipshop database" in found.found


def test_a_world_that_is_broken(healthy: Settings) -> None:
    Path("world.yaml").write_text("provider: {name: X}\n")
    found = findings(healthy)["worlds"]
    assert found.verdict is Verdict.WRONG
    assert found.found.startswith("world.yaml:")


@pytest.mark.parametrize(
    ("files", "verdict", "says"),
    [
        pytest.param(("desk.pem", "desk.key"), Verdict.GOOD, "is good for", id="a good one"),
        pytest.param(("expired.pem", "desk.key"), Verdict.WRONG, "has expired", id="an old one"),
        pytest.param(("desk.pem", "renewed.key"), Verdict.WRONG, "is not the key of", id="another key"),
    ],
)
def test_a_certificate(healthy: Settings, files: tuple[str, str], verdict: Verdict, says: str) -> None:
    certificate, key = (str(CERTIFICATES / file) for file in files)
    found = findings(replace(healthy, http=replace(healthy.http, certificate=certificate, key=key)))["certificate"]
    assert found.verdict is verdict
    assert says in found.found


def test_tokens_that_strangers_may_read_on_the_way(healthy: Settings) -> None:
    found = findings(replace(healthy, http=replace(healthy.http, listen=("0.0.0.0", free_port()))))["certificate"]
    assert found.verdict is Verdict.DOUBTFUL


def test_a_token_that_others_may_read(healthy: Settings) -> None:
    token = Path("token")
    token.write_text("sipshop_x\n")
    token.chmod(0o644)
    assert findings(healthy)["token"].remedy == "chmod 600 token"
    token.chmod(0o600)
    assert "token" not in findings(healthy)


def test_a_name_server_that_does_not_answer(healthy: Settings) -> None:
    Path("resolv.conf").write_text("search example\nnameserver 127.0.0.253\n")
    found = findings(healthy)["DNS"]
    assert (found.verdict, found.found) == (Verdict.DOUBTFUL, "127.0.0.253 does not answer within 0.3 s")


@pytest.mark.parametrize(("slow_s", "verdict"), [(0.5, Verdict.GOOD), (0.0, Verdict.DOUBTFUL)], ids=["quick", "slow"])
def test_a_name_server_that_answers(
    healthy: Settings, monkeypatch: pytest.MonkeyPatch, slow_s: float, verdict: Verdict
) -> None:
    monkeypatch.setattr(carriers, "_SLOW_S", slow_s)
    Path("resolv.conf").write_text(f"nameserver {HOST}\n")
    with carrier(socket.SOCK_DGRAM, lambda question: question) as port:
        monkeypatch.setattr(carriers, "_DNS_PORT", port)
        found = findings(healthy)["DNS"]
    assert found.verdict is verdict
    assert found.found.startswith(f"{HOST} answers after ")


@pytest.fixture
def named(healthy: Settings) -> Settings:
    """The settings of a server whose trunk has a name for an address."""
    with filled(Path("data/sipshop.db")):
        pass
    with closing(sqlite3.connect("data/sipshop.db")) as connection:
        connection.execute("UPDATE trunks SET host = 'carrier.example'")
        connection.commit()
    return healthy


def asking(settings: Settings, server: DnsServer) -> Settings:
    """The same settings with this name server."""
    return replace(settings, sip=replace(settings.sip, dns=DnsSettings(servers=(server.address,))))


def test_a_name_that_leads_nowhere_is_wrong_and_so_is_having_no_name_server(named: Settings, do: Do) -> None:
    with dns(do, DnsServer({})) as server:
        found = findings(asking(named, server))
    assert found["name carrier.example"].found == "leads nowhere: carrier.example has no address"
    assert found["DNS"].verdict is Verdict.GOOD
    assert [what for what in found if what.startswith("trunk ")] == [], "it cannot be asked"
    assert findings(named)["DNS"].verdict is Verdict.WRONG
    Path("resolv.conf").unlink()
    assert findings(named)["DNS"].found == "resolv.conf cannot be read: No such file or directory"


def test_a_name_is_looked_up_as_the_server_does_and_each_address_is_asked(healthy: Settings, do: Do) -> None:
    with carrier(socket.SOCK_DGRAM, well) as port:
        silent = free_port()
        records = f"1 0 {silent} host.carrier.example.", f"2 0 {port} host.carrier.example."
        zone = {("_sip._udp.carrier.example", "SRV"): records, ("host.carrier.example", "A"): (HOST,)}
        world = written("transport: udp")
        Path(world).write_text(Path(world).read_text().replace(f"host: {HOST}", "host: carrier.example"))
        with dns(do, DnsServer(zone)) as server:
            found = findings(asking(replace(healthy, worlds=(world,)), server))
    assert found["name carrier.example"].found.startswith(f"{HOST}:{silent} UDP, {HOST}:{port} UDP, after ")
    assert found[f"trunk away at {HOST}:{silent} UDP"].verdict is not Verdict.GOOD
    assert found[f"trunk away at {HOST}:{port} UDP"].verdict is Verdict.GOOD


@pytest.mark.parametrize(
    ("certificate", "verdict"), [("carrier", Verdict.GOOD), ("desk", Verdict.WRONG)], ids=["good", "another's key"]
)
def test_every_listener_and_the_certificate_of_sip(healthy: Settings, certificate: str, verdict: Verdict) -> None:
    tls = TlsSettings(
        listen=((HOST, free_port()),),
        certificate=str(CERTIFICATES / f"{certificate}.pem"),
        key=str(CERTIFICATES / "carrier.key"),
    )
    also = ("127.0.0.2", free_port())
    found = findings(replace(healthy, sip=replace(healthy.sip, tls=tls, listen_also=(also,))))
    assert found["certificate of SIP"].verdict is verdict
    ports = [f"UDP at {also[0]}:{also[1]}", f"TCP at {also[0]}:{also[1]}", f"TLS at {HOST}:{tls.listen[0][1]}"]
    assert all(found[f"port of SIP, {port}"].verdict is Verdict.GOOD for port in ports)


# The database and the clock


def test_a_database_that_is_whole(healthy: Settings) -> None:
    with filled(Path("data/sipshop.db")):
        found = findings(healthy)["database"]
    assert (found.verdict, found.found) == (
        Verdict.GOOD,
        f"data/sipshop.db is whole, schema version {SCHEMA_VERSION}",
    )


def test_a_database_with_a_torn_page(healthy: Settings) -> None:
    path = Path("data/sipshop.db")
    with filled(path):
        pass
    pages = bytearray(path.read_bytes())
    pages[-4096 * 8 :] = b"\xff" * 4096 * 8
    path.write_bytes(pages)
    found = findings(healthy)["database"]
    assert (found.verdict, "damaged" in found.found or "malformed" in found.found) == (Verdict.WRONG, True)
    assert "sipshop restore" in found.remedy


def test_a_database_of_an_older_sipshop_waits_for_its_upgrade(healthy: Settings) -> None:
    Path("data").mkdir()
    made_by(2, Path("data/sipshop.db"))
    found = findings(healthy)["database"]
    assert found.verdict is Verdict.DOUBTFUL
    assert "schema version 2" in found.found
    assert "sipshop backup" in found.remedy


@pytest.mark.parametrize(
    ("state", "verdict", "says"),
    [
        pytest.param(0, Verdict.GOOD, "is kept right by a time server", id="synchronised"),
        pytest.param(5, Verdict.DOUBTFUL, "nothing keeps it right", id="alone"),
        pytest.param(-1, Verdict.DOUBTFUL, "cannot be asked: ", id="not allowed"),
    ],
)
def test_the_clock(healthy: Settings, monkeypatch: pytest.MonkeyPatch, state: int, verdict: Verdict, says: str) -> None:
    kernel = SimpleNamespace(adjtimex=lambda _timex: state)
    monkeypatch.setattr("ctypes.CDLL", lambda *_words, **_options: kernel)
    found = findings(healthy)["clock"]
    assert found.verdict is verdict
    assert found.found.startswith(says)


def test_few_files(healthy: Settings) -> None:
    found = findings(replace(healthy, sip=replace(healthy.sip, tcp_connections=10_000_000)))["open files"]
    assert (found.verdict, found.found.partition("; ")[2]) == (Verdict.DOUBTFUL, "20000512 may be needed")


def test_the_command_says_what_to_do_and_fails(healthy: Settings) -> None:
    Path("sipshop.yaml").write_text(
        f"worlds: [world.yaml]\nsip: {{listen: '{HOST}:{healthy.sip.listen[1]}'}}\n"
        f"http: {{listen: '{HOST}:{healthy.http.listen[1]}'}}\n"
    )
    said = CliRunner().invoke(cli.app, ["doctor", "--config", "sipshop.yaml"])
    assert said.exit_code == 1
    assert "wrong  trunk away: " in said.stdout
    assert "\n         -> its address; or it is down\n" in said.stdout
    as_json = CliRunner().invoke(cli.app, ["--json", "doctor", "--config", "sipshop.yaml"])
    assert {"verdict", "what", "found", "remedy"} == set(json.loads(as_json.stdout)["findings"][0])
    assert sorted(path.name for path in Path().iterdir()) == ["resolv.conf", "sipshop.yaml", "world.yaml"], (
        "it has changed nothing"
    )


def test_the_command_reads_its_configuration_first(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli.app, ["doctor", "--config", str(tmp_path / "none.yaml")])
    assert said.exit_code == 2
    assert said.stderr.endswith("none.yaml: cannot be read: No such file or directory\n")


@pytest.mark.parametrize(
    ("days_ago", "verdict", "told"),
    [
        pytest.param(0, Verdict.GOOD, "the newest one until", id="a rate of today"),
        pytest.param(5, Verdict.DOUBTFUL, "and no other comes", id="one that ends soon"),
        pytest.param(7, Verdict.WRONG, "no rate holds today", id="one that has ended"),
    ],
)
def test_rates_of_exchange_that_end(healthy: Settings, days_ago: int, verdict: Verdict, told: str) -> None:
    today = date(2026, 11, 22)
    day = today - timedelta(days=days_ago)
    world = Path("world.yaml")
    world.write_text(f'{world.read_text()}fx: [{{pair: EUR/XOF, rates: {{"{day}": "655.957"}}}}]\n')
    (finding,) = exchange(healthy, today)
    assert (finding.what, finding.verdict) == ("exchange EUR/XOF", verdict)
    assert told in finding.found


def test_rates_of_exchange_are_those_of_the_database_where_there_is_one(healthy: Settings) -> None:
    path = Path(healthy.database.path)
    path.parent.mkdir()
    with filled(path):
        pass
    assert [finding.what for finding in exchange(healthy)] == ["exchange EUR/TND"]
