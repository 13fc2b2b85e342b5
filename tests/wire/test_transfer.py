"""Transfers on the wire: SIPp transfers blindly and leaves before the two talk; pjsua2 consults, and the two hear."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.wire.harness import Server, Sipp, World, free_port, password, until
from tests.wire.test_phones import login, needs_pjsua, pjsua, samples_of, share, told

pytestmark = pytest.mark.wire


@pytest.mark.scenario(39)
def test_a_booth_that_transfers_and_leaves_pays_for_both_calls(tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    text = World(
        booths={"booth1": "calls: 1"},
        trunks={"one": f"port: {one}, carrier: One, emergency: true", "two": f"port: {two}, carrier: Two"},
        routes={"49": ["one"], "44": ["two"]},
    ).yaml()
    text = text.replace("    booths:", "    transfer: true\n    booths:", 1)
    with Server(tmp_path, text).ready() as server:
        server.unlock("booth1")
        with (
            Sipp("uas_transferred", tmp_path / "one", listen=one) as first,
            Sipp("uas", tmp_path / "two", listen=two) as second,
        ):
            secret = password("booth1")
            with Sipp(
                "transfer", tmp_path / "booth", to=server.sip, booth="booth1", password=secret, number="0301234567"
            ) as booth:
                booth.passed()
            until(lambda: [call["state"] for call in server.look("/calls")["calls"]] == ["answered"] * 2, "both calls")
            left = time.monotonic()
            until(lambda: time.monotonic() - left > 1.5, "a talk of more than a second")
            server.command("/booths/booth1/lock", {"cut": True})
            for program in (first, second):
                program.passed()
            until(lambda: len(server.cdrs("booth1")) == 2, "both records")
        cdrs = sorted(server.cdrs("booth1"), key=lambda cdr: str(cdr["trunk"]))
        assert [(cdr["trunk"], cdr["result"], cdr["hung_up_by"]) for cdr in cdrs] == [
            ("one", "answered", "switch"),
            ("two", "answered", "switch"),
        ]
        assert [cdr["talk_ms"] >= 1000 for cdr in cdrs] == [True, True]
        assert server.look("/calls")["calls"] == []
        assert server.cli("audit").returncode == 0


@pytest.mark.scenario(39)
@needs_pjsua
def test_two_whom_a_phone_has_joined_hear_each_other_and_its_booth_pays(tmp_path: Path) -> None:
    one, two = free_port(), free_port()
    text = World(
        booths={"booth1": "calls: 2"},
        trunks={"one": f"port: {one}, carrier: One, emergency: true", "two": f"port: {two}, carrier: Two"},
        routes={"49": ["one"], "44": ["two"]},
    ).yaml()
    text = text.replace("    booths:", "    transfer: true\n    booths:", 1)
    with (
        Server(tmp_path, text) as server,
        pjsua(tmp_path, "first", "answer", port=one, tone_hz=1000) as first,
        pjsua(tmp_path, "second", "answer", port=two, tone_hz=1400) as second,
    ):
        server.ready().unlock("booth1")
        for callee in (first, second):
            callee.saw('"ready"')
        errand = "join=0301234567,00441234567"
        with pjsua(tmp_path, "booth", errand, **login("booth1", server.sip), tone_hz=600) as booth:
            assert booth.wait() == 0, booth.said
        assert told(booth, "transfer")[-1] == {"event": "transfer", "status": 200, "final": True}
        assert [call["state"] for call in server.look("/calls")["calls"]] == ["answered"] * 2
        joined = time.monotonic()
        until(lambda: time.monotonic() - joined > 1.5, "a talk of more than a second")
        server.command("/booths/booth1/lock", {"cut": True})
        for callee in (first, second):
            assert callee.wait() == 0, callee.said
        until(lambda: len(server.cdrs("booth1")) == 2, "both records")
        cdrs = sorted(server.cdrs("booth1"), key=lambda cdr: str(cdr["trunk"]))
        assert [(cdr["trunk"], cdr["result"], cdr["hung_up_by"]) for cdr in cdrs] == [
            ("one", "answered", "switch"),
            ("two", "answered", "switch"),
        ]
        assert [cdr["talk_ms"] >= 1500 for cdr in cdrs] == [True, True]
        assert server.cli("audit").returncode == 0
    for name, played_by_the_other in (("first", 1400), ("second", 1000)):
        samples, rate = samples_of(tmp_path / f"{name}.wav")
        assert share((samples[-rate:], rate), played_by_the_other) > 0.9
