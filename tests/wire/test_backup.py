"""A backup while calls are made, restored elsewhere: the books hold, and a server goes on from there."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.wire.nursery import run

from .harness import ROOT, Server, Sipp, free_port, until

pytestmark = pytest.mark.wire

RATE, CALLS = 20, 160


def sipshop(*words: str | Path) -> str:
    done = run(words, 60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def calls_to(server: Server, folder: Path, calls: int) -> Sipp:
    return Sipp(
        "call",
        folder,
        to=server.sip,
        booth="booth0000",
        password="pw0000",
        number="4930123456",
        calls=calls,
        rate=RATE,
        pause_ms=500,
        within_s=40,
    )


def has_ended(server: Server, calls: int) -> bool:
    return len(server.cdrs("booth0000")) >= calls


def test_a_backup_at_20_calls_a_second_is_restored_elsewhere_with_clean_books(tmp_path: Path) -> None:
    port = free_port()
    world = (ROOT / "conf" / "load.yaml").read_text(encoding="utf-8").replace("port: 5070", f"port: {port}")
    copies = [tmp_path / "safe" / f"copy{number}.db" for number in range(2)]
    with Server(tmp_path / "here", world, carrier_port=port) as server:
        server.ready()
        calling = calls_to(server, tmp_path / "sipp", CALLS)
        for copy, least in zip(copies, (20, 40), strict=True):
            until(partial(has_ended, server, least), "calls that are over")
            sipshop("backup", copy, "--database", server.data / "sipshop.db")
            assert calling.process.poll() is None, "the load ended before the backup did"
        calling.passed()
        until(partial(has_ended, server, CALLS), "every CDR")

    there = tmp_path / "there"
    sipshop("restore", copies[1], "--database", there / "data" / "sipshop.db")
    for database in (*copies, there / "data" / "sipshop.db"):
        assert "Every law holds." in sipshop("audit", "--database", database)
    with Server(there, world, carrier_port=port) as server:
        server.ready()
        kept = len(server.cdrs("booth0000"))
        assert 40 <= kept < CALLS
        assert server.metrics()['sipshop_table_size{table="calls"}'] == 0, "what was live at the backup is settled"
        calls_to(server, there / "sipp", 1).passed()
        until(partial(has_ended, server, kept + 1), "the CDR of a call after the restore")
        assert "Every law holds." in server.cli("audit").stdout
