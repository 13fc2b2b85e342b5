"""A blind transfer on the wire: SIPp is the booth and both carriers, and the booth leaves before the two talk."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.wire.harness import Server, Sipp, World, free_port, password, until

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
