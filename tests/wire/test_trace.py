"""A trace at the command line, while a real phone calls: the ladder, and a capture that tshark reads."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from .conftest import Shop
from .harness import Program, Sipp, password

pytestmark = pytest.mark.wire


def test_a_booths_call_is_drawn_and_captured(shop: Shop) -> None:
    server, folder = shop.server, shop.folder / "trace"
    folder.mkdir()
    server.unlock("trace")
    asked = {"SIPSHOP_URL": str(server.client.base_url), "SIPSHOP_TOKEN_FILE": str(server.data / "token")}
    capture = folder / "call.pcap"
    command = (sys.executable, "-m", "sipshop", "trace", "--booth", "trace", "--pcap", capture)
    unbuffered = {**asked, "PYTHONUNBUFFERED": "1"}
    with Program(command, folder / "trace.log", env=unbuffered) as trace:
        trace.saw("Ctrl-C ends it")
        with Sipp(
            "call", folder / "sipp", to=server.sip, booth="trace", password=password("trace"), number="030123456"
        ) as call:
            call.passed()
        trace.saw("BYE")
        trace.saw("200 OK (BYE)")
        assert trace.stop(signal.SIGINT) == 0
    lines = trace.said.splitlines()
    assert any("─ INVITE 030123456 ─" in line and line.endswith("│") for line in lines)
    assert any("│─" in line and "INVITE +4930123456" in line and "▶ 127.0.0.1:" in line for line in lines)
    read = subprocess.run(
        ["tshark", "-r", capture, "-Y", "sip.Method", "-T", "fields", "-e", "sip.Method"],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    methods = read.stdout.split()
    assert (methods.count("BYE"), methods.count("ACK") >= 2, methods.count("INVITE") >= 2) == (2, True, True)
