"""A carrier calls a booth, on the wire: SIPp is the carrier, baresip the phone that registered before a crash."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

import pytest

from tests.wire.harness import Server, Sipp, World, free_port, until
from tests.wire.phones.baresip import Baresip

pytestmark = pytest.mark.wire

NUMBER: Final = "+493055501"


def world(carrier: int) -> str:
    text = World(
        booths={"booth1": f'inbound_numbers: ["{NUMBER}"]'},
        trunks={"one": f"port: {carrier}, carrier: One, emergency: true"},
        routes={"": ["one"]},
    ).yaml()
    assert "    booths:" in text
    return text.replace("    booths:", "    inbound: open\n    booths:", 1)


def test_a_carrier_calls_a_phone_that_registered_before_a_crash(tmp_path: Path) -> None:
    carrier, sip, http = free_port(), free_port(), free_port()
    with Server(tmp_path, world(carrier), sip_port=sip, http_port=http).ready() as server:
        server.unlock("booth1")
        with Baresip(tmp_path / "phone", "booth1", sip) as phone:
            until(lambda: server.booth("booth1")["registered"] == 1, "its binding")
            (registered,) = server.look("/registrations")["registrations"]
            assert (registered["transport"], registered["reachable"]) == ("UDP", True)
            assert registered["user_agent"].startswith("baresip")
            until(lambda: server.metrics()["sipshop_journal_pending"] == 0, "its row on the disk")
            server.process.send_signal(signal.SIGKILL)
            server.wait()
            with Server(tmp_path, world(carrier), sip_port=sip, http_port=http).ready() as again:
                assert again.booth("booth1")["registered"] == 1
                calls = Sipp("call_by_address", tmp_path / "one", to=sip, listen=carrier, number=NUMBER, booth="+4940")
                with calls as call:
                    phone.saw("Call established")
                    call.passed()
                cdr = again.cdr("booth1")
                assert (cdr["direction"], cdr["result"], cdr["trunk"]) == ("inbound", "answered", "one")
                assert (cdr["charges"], cdr["talk_ms"] >= 300) == ([], True)
                with Sipp("call_by_address", tmp_path / "two", to=sip, number=NUMBER, within_s=5) as stranger:
                    assert stranger.wait() != 0
                assert any(message.is_response(401, "INVITE") for message in stranger.messages)
                assert len(again.cdrs("booth1")) == 1
                assert again.cli("audit").returncode == 0
