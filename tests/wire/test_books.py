"""Reratings and statements by the command line, of calls that were made over the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from .harness import ROOT, Server, Sipp, free_port, until

pytestmark = pytest.mark.wire


def test_calls_are_charged_anew_and_the_statement_says_so(tmp_path: Path) -> None:
    port = free_port()
    world = (ROOT / "conf" / "load.yaml").read_text(encoding="utf-8").replace("port: 5070", f"port: {port}")
    dearer = tmp_path / "dearer.yaml"
    dearer.write_text(world.replace('first_s: 30, first_price: "0.075"', 'first_s: 30, first_price: "0.15"'), "utf-8")
    with Server(tmp_path / "here", world, carrier_port=port) as server:
        server.ready()
        calls = Sipp(
            "call",
            tmp_path / "sipp",
            to=server.sip,
            booth="booth0000",
            password="pw0000",
            number="4930123456",
            calls=3,
            rate=20,
            within_s=20,
        )
        calls.passed()
        until(lambda: len(server.cdrs("booth0000")) == 3, "every CDR")
        assert server.cli("apply", str(dearer)).returncode == 0

        today = datetime.now(UTC).date()
        days = ("--since", str(today - timedelta(days=1)), "--until", str(today + timedelta(days=2)))
        told = server.cli("rerate", "load-buy", "--to", "2", *days)
        assert "3 calls would be charged anew" in told.stdout, told.stderr
        assert "0.225" in told.stdout  # three calls at twice 0.0375
        done = ("rerate", "load-buy", "--to", "2", *days, "--batch", "july", "--reason", "wrong prices", "--json")
        assert json.loads(server.cli(*done).stdout)["calls"] == 3
        assert json.loads(server.cli(*done).stdout)["calls"] == 0
        statement = json.loads(server.cli("statement", "Load Owner", "--json").stdout)
        assert statement["account"]["calls"] == "0.225"
        assert [line["calls"] for line in statement["calls"]] == [3]
        early = server.cli("invoice", "close", "Load Owner", "--month", f"{today:%Y-%m}")
        assert (early.returncode, "can be closed after that" in early.stderr) == (1, True)
        assert "Every law holds." in server.cli("audit").stdout
