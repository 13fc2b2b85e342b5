"""The desk by its command line: unlock, a call, the bill, paying it; locking, cutting, and what it is refused."""

from __future__ import annotations

import json

import pytest

from .conftest import Shop
from .harness import Sipp, password, until

pytestmark = pytest.mark.wire


def test_from_unlocking_to_paying(shop: Shop) -> None:
    server, folder = shop.server, shop.folder / "desk"
    assert server.cli("booth", "unlock", "desk").returncode == 0
    with Sipp("call", folder, to=server.sip, booth="desk", password=password("desk"), number="030123456") as call:
        until(lambda: server.booth("desk")["state"] == "in call", "the call")
        early = server.cli("session", "pay", "desk", "--version", "0", "--tendered", "5.00")
        assert early.returncode == 1
        assert "call" in early.stderr
        call.passed()
    until(lambda: server.cdrs("desk"), "its CDR")
    bill = json.loads(server.cli("session", "bill", "desk", "--json").stdout)
    assert bill["total"] == "0.17"
    assert [line["amount"] for line in bill["lines"]] == ["0.17"]
    printed = server.cli("session", "bill", "desk").stdout
    assert "030123456" in printed
    assert "0.17" in printed

    version = bill["version"]
    stale = server.cli("session", "pay", "desk", "--version", str(version - 1), "--tendered", "5.00")
    assert stale.returncode == 1
    short = server.cli("session", "pay", "desk", "--version", str(version), "--tendered", "0.16")
    assert short.returncode == 1
    paid = json.loads(
        server.cli("session", "pay", "desk", "--version", str(version), "--tendered", "5.00", "--json").stdout
    )
    assert (paid["total"], paid["tendered"], paid["change"]) == ("0.17", "5.00", "4.83")
    assert server.booth("desk")["state"] == "locked"

    listed = json.loads(server.cli("cdr", "list", "--booth", "desk", "--json").stdout)["cdrs"]
    assert [cdr["charges"][0]["amount"] for cdr in listed] == ["0.17"]
    assert listed[0]["session_id"] == bill["session_id"]


def test_a_cut_ends_the_call_and_locks_the_booth(shop: Shop) -> None:
    server, folder = shop.server, shop.folder / "desk"
    server.unlock("cut")
    with Sipp(
        "callee_hangs_up", folder, to=server.sip, booth="cut", password=password("cut"), number="030123456"
    ) as call:
        until(lambda: any(message.is_request("ACK") and message.sent for message in call.messages[3:]), "the answer")
        assert server.cli("booth", "lock", "cut", "--cut").returncode == 0
        call.passed()
    cdr = server.cdr("cut")
    assert (cdr["result"], cdr["hung_up_by"]) == ("answered", "switch")
    assert server.booth("cut")["state"] == "locked"


def test_a_second_call_of_a_booth_for_one_is_busy(shop: Shop) -> None:
    server, folder = shop.server, shop.folder / "desk"
    server.unlock("busy_booth")
    known, number = password("busy_booth"), "030123456"
    with Sipp("call", folder, to=server.sip, booth="busy_booth", password=known, number=number, pause_ms=1500) as first:
        until(lambda: server.booth("busy_booth")["live_calls"] == 1, "the first call")
        with Sipp("busy", folder, to=server.sip, booth="busy_booth", password=known, number=number) as second:
            second.passed()
        first.passed()
    results = until(lambda: found if len(found := server.cdrs("busy_booth")) == 2 else None, "two CDRs")
    assert sorted((cdr["result"], cdr["sip_status"]) for cdr in results) == [("answered", 200), ("refused", 486)]


def test_a_stranger_gets_nothing(shop: Shop) -> None:
    refused = shop.server.client.get("/api/v1/booths", headers={"authorization": "Bearer guessed"})
    assert refused.status_code == 401
