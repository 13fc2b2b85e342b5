"""Carriers on the wire: Kamailio registers and challenges us; SIPp refuses, asks for time, dies and comes back."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.wire.harness import HOST, Program, Server, Sipp, World, free_port, until

pytestmark = pytest.mark.wire

KAMAILIO: Final = """\
debug=1
log_stderror=yes
children=1
disable_tcp=yes
auto_aliases=no
listen=udp:{host}:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "sl.so"
loadmodule "tm.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
modparam("registrar", "min_expires", 120)
request_route {{
    if (is_method("OPTIONS")) {{ sl_send_reply("200", "Here"); exit; }}
    if (is_method("CANCEL")) {{ if (t_check_trans()) t_relay(); exit; }}
    if (has_totag()) {{
        if (loose_route()) {{ t_relay(); exit; }}
        if (is_method("ACK")) {{ if (t_check_trans()) t_relay(); exit; }}
        sl_send_reply("481", "No dialog"); exit;
    }}
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("carrier", "carrier-secret", "0")) {{ www_challenge("carrier", "1"); exit; }}
        save("location"); exit;
    }}
    if (!pv_proxy_authenticate("carrier", "carrier-secret", "0")) {{ proxy_challenge("carrier", "1"); exit; }}
    consume_credentials();
    record_route();
    $du = "sip:{host}:{callee}";
    t_relay();
}}
"""
#: A carrier that says one thing to every INVITE, and nothing to what else there is.
REFUSING: Final = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="a carrier that refuses">
  <recv request="INVITE" />
  <send><![CDATA[
    SIP/2.0 {status} No
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]t[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    {headers}
    Content-Length: 0

  ]]></send>
  <recv request="ACK" />
</scenario>
"""
#: A carrier that is there: he answers OPTIONS, and a host that is probed may ask more than once.
PRESENT: Final = """\
<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="a carrier that answers OPTIONS">
  <recv request="OPTIONS" />
  <send><![CDATA[
    SIP/2.0 200 Here
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]t[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    Content-Length: 0

  ]]></send>
</scenario>
"""
ACCOUNT: Final = "username: we, password: carrier-secret, realm: carrier"


def kamailio(folder: Path, *, port: int, callee: int) -> Program:
    if shutil.which("kamailio") is None:
        pytest.fail("kamailio is not installed")
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "kamailio.cfg"
    config.write_text(KAMAILIO.format(host=HOST, port=port, callee=callee))
    command: list[str | Path] = [
        "kamailio",
        "-f",
        config,
        "-DD",
        "-E",
        "-m",
        "16",
        "-M",
        "4",
        "-Y",
        folder,
        "-P",
        folder / "pid",
    ]
    return Program(command, folder / "kamailio.log")


def refusing(folder: Path, status: int, headers: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"refusing-{status}.xml"
    file.write_text(REFUSING.format(status=status, headers=headers or "X-Nothing: more"))
    return file


def trunk(server: Server, name: str) -> dict[str, object]:
    trunks: list[dict[str, object]] = server.look("/trunks")["trunks"]
    return next(each for each in trunks if each["trunk"] == name)


def a_call(server: Server, folder: Path, *, scenario: str = "call") -> None:
    booth = Sipp(scenario, folder, to=server.sip, booth="booth1", password="secret-of-booth1", number="030111222")
    booth.passed()


def test_kamailio_registers_us_challenges_our_calls_and_hears_that_we_are_gone(tmp_path: Path) -> None:
    port, callee = free_port(), free_port()
    terms = f"emergency: true, {ACCOUNT}, domain: carrier, register: true, register_s: 60, options_s: 1"
    world = World(booths={"booth1": ""}, trunks={"kam": f"port: {port}, {terms}"}, routes={"": ["kam"]})
    with kamailio(tmp_path / "kamailio", port=port, callee=callee):
        with Server(tmp_path / "server", world.yaml()).ready() as server:
            until(lambda: trunk(server, "kam")["registration"] == "registered", "a registration")
            until(lambda: trunk(server, "kam")["last_status"] == 200, "an answer to OPTIONS")
            server.unlock("booth1")
            with Sipp("uas", tmp_path / "uas", listen=callee):
                a_call(server, tmp_path / "phone")
            cdr = server.cdr("booth1")
            assert (cdr["result"], cdr["trunk"]) == ("answered", "kam")
            listed = server.cli("trunk", "list").stdout
            assert "registered" in listed
            assert "kam answered 200" in server.cli("trunk", "probe", "kam").stdout
            metrics = server.metrics()
            assert metrics['sipshop_trunk_registered{tenant="Wire Telecom",trunk="kam"}'] == 1
            assert server.stop() == 0
        assert "did not hear that we are gone" not in server.said


def test_a_wrong_password_is_said_and_calls_take_the_next_trunk(tmp_path: Path) -> None:
    port, callee = free_port(), free_port()
    wrong = ACCOUNT.replace("carrier-secret", "wrong")
    world = World(
        booths={"booth1": ""},
        trunks={
            "kam": f"port: {port}, {wrong}, domain: carrier, register: true",
            "next": f"port: {callee}, emergency: true",
        },
        routes={"": ["kam", "next"]},
    )
    with (
        kamailio(tmp_path / "kamailio", port=port, callee=callee),
        Server(tmp_path / "server", world.yaml()).ready() as server,
    ):
        until(lambda: trunk(server, "kam")["registration"] == "failed", "a refusal")
        assert trunk(server, "kam")["registration_status"] == 401
        server.unlock("booth1")
        with Sipp("uas", tmp_path / "uas", listen=callee):
            a_call(server, tmp_path / "phone")
        assert server.cdr("booth1")["trunk"] == "next"


@pytest.mark.scenario(24)
@pytest.mark.parametrize(
    ("status", "headers", "state"),
    [(503, "Retry-After: 60", "down"), (503, "", "up"), (500, "", "up")],
    ids=["503 with Retry-After", "503", "500"],
)
def test_a_carrier_that_cannot_is_followed_by_the_next(tmp_path: Path, status: int, headers: str, state: str) -> None:
    one, two = free_port(), free_port()
    world = World(
        booths={"booth1": ""},
        trunks={"one": f"port: {one}", "two": f"port: {two}, emergency: true"},
        routes={"": ["one", "two"]},
    )
    with Server(tmp_path / "server", world.yaml()).ready() as server:
        server.unlock("booth1")
        with (
            Sipp(refusing(tmp_path / "xml", status, headers), tmp_path / "one", listen=one),
            Sipp("uas", tmp_path / "two", listen=two),
        ):
            a_call(server, tmp_path / "phone")
        assert server.cdr("booth1")["trunk"] == "two"
        assert (trunk(server, "one")["state"], trunk(server, "one")["last_status"]) == (state, status)


@pytest.mark.scenario(23)
def test_a_carrier_that_dies_is_down_and_is_found_again(tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    watched = "options_s: 1, misses: 2, rest_s: 1, options_timeout_s: 1, emergency: true"
    world = World(
        booths={"booth1": ""},
        trunks={"one": f"port: {one}, {watched}", "two": f"port: {two}"},
        routes={"": ["one", "two"]},
    )
    present = tmp_path / "present.xml"
    present.write_text(PRESENT)
    with Server(tmp_path / "server", world.yaml()).ready() as server:
        until(lambda: trunk(server, "one")["state"] == "down", "a breaker that opens")
        server.unlock("booth1")
        with Sipp("uas", tmp_path / "two", listen=two):
            a_call(server, tmp_path / "phone")
        assert [each["trunk"] for each in server.look(f"/cdrs/{server.cdr('booth1')['call_id']}")["attempts"]] == [
            "two"
        ]
        with Sipp(present, tmp_path / "one", listen=one, calls=1000):
            until(lambda: trunk(server, "one")["state"] == "up", "a carrier that is back")
            assert server.metrics()['sipshop_trunk_up{tenant="Wire Telecom",trunk="one"}'] == 1
        assert "the carrier is down" in server.said
