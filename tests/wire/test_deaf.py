"""A phone on the wire that answers no OPTIONS, so as to talk for nothing: it answers BYE, and pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.harness import HOST, SIPSHOP, Program, Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire


def test_a_phone_that_answers_bye_and_nothing_before_pays_up_to_that(tmp_path: Path) -> None:
    port = free_port()
    trunk = f"port: {port}, carrier: Carrier, emergency: true"
    text = World(booths={"booth1": "calls: 1"}, trunks={"carrier": trunk}, routes={"49": ["carrier"]}).yaml()
    carrier = Program([*SIPSHOP, "carrier", "--listen", f"{HOST}:{port}"], tmp_path / "carrier.log")
    with carrier, Server(tmp_path, text, sip={"probe_s": 1}).ready() as server:
        server.unlock("booth1")
        secret, number = password("booth1"), "0301234567"
        with Sipp("deaf", tmp_path / "booth", to=server.sip, booth="booth1", password=secret, number=number) as booth:
            booth.passed()
        until(lambda: len(server.cdrs("booth1")) == 1, "its record")
        (cdr,) = server.cdrs("booth1")
        assert (cdr["result"], cdr["hung_up_by"], cdr["q850"]) == ("answered", "switch", 102)
        assert int(str(cdr["talk_ms"])) > 2_900  # three silences of a second
        assert cdr["charges"]
        assert server.cli("audit").returncode == 0
        server.stop()
        assert "stopped by SIGTERM: 0 calls ended" in server.said
