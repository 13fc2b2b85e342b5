"""A rate sheet taken in by the real command, while a call runs: that one keeps its price, the next one has the new."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tools.workbooks import Cell, Sheet, write_workbook

from .harness import Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

MAPPING = """\
columns: {prefix: Code, destination: Name, price: Price, increments: Inc}
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    carrier = free_port()
    world = World(
        booths={"early": "", "late": ""},
        trunks={"carrier": f"port: {carrier}, emergency: true"},
        routes={"": ["carrier"]},
    )
    with Server(tmp_path_factory.mktemp("sheets"), world.yaml(), carrier_port=carrier) as started:
        yield started.ready()


def test_a_sheet_is_imported_while_calls_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "far.yaml").write_text(MAPPING)
    rows: list[list[Cell]] = [["Code", "Name", "Price", "Inc"], [49.0, "Germany", 6, "60/60"], [44.0, "UK", 0.1, "1/1"]]
    write_workbook(tmp_path / "may.xlsx", [Sheet("Rates", rows)])
    (tmp_path / "bad.csv").write_text("Code,Name,Price,Inc\n49,Germany,0.01,60/60\n490,Nowhere,free,1\n")
    words = ("deck", "import", "--carrier", "Far", "--deck", "sell")
    server.unlock("early", "late")

    def call(booth: str, pause_ms: int) -> Sipp:
        folder, known, number = tmp_path / booth, password(booth), "030123456"
        return Sipp("call", folder, to=server.sip, booth=booth, password=known, number=number, pause_ms=pause_ms)

    with call("early", 5_000) as early:
        until(lambda: server.booth("early")["state"] == "in call", "the call")
        done = server.cli(*words, "--mapping", str(tmp_path / "far.yaml"), str(tmp_path / "may.xlsx"))
        assert (done.returncode, done.stderr) == (0, "")
        assert "Version 2 of sell is in force." in done.stdout
        with call("late", 300) as late:
            late.passed()
        assert server.booth("early")["state"] == "in call"
        early.passed()
    charges = {booth: server.cdr(booth)["charges"][0] for booth in ("early", "late")}
    assert [(charges[booth]["version"], charges[booth]["amount"]) for booth in ("early", "late")] == [
        (1, "0.17"),
        (2, "6.00"),
    ]
    _refuses_what_is_bad(server, words, tmp_path)
    _waits_for_an_instant(server, words, tmp_path)


def _refuses_what_is_bad(server: Server, words: tuple[str, ...], folder: Path) -> None:
    refused = server.cli(*words, str(folder / "bad.csv"), "--rejects", str(folder / "rejects.csv"))
    assert refused.returncode == 2
    assert "bad.csv:3: price: 'free' is not a number" in refused.stderr
    assert "nothing was done: 1 row bad" in refused.stderr
    assert (folder / "rejects.csv").read_text().splitlines()[1].startswith("3,price,")
    again = server.cli(*words, str(folder / "may.xlsx"))
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "Nothing changes.")


def _waits_for_an_instant(server: Server, words: tuple[str, ...], folder: Path) -> None:
    at = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    waits = server.cli(*words, str(folder / "bad.csv"), "--skip-bad", "--at", at, "--json")
    assert waits.returncode == 0, waits.stderr
    assert json.loads(waits.stdout)["version_state"] == "scheduled"

    def versions() -> list[dict[str, object]]:
        found: list[dict[str, object]] = server.look("/decks/sell/versions")["versions"]
        return found

    assert [version["state"] for version in versions()][:2] == ["scheduled", "published"]
    until(lambda: versions()[0]["in_force"], "the version's instant")
    back = server.cli("deck", "rollback", "sell", "1", "--reason", "a test")
    assert (back.returncode, back.stdout) == (0, "Version 4 of sell is in force.\n")
    listed = server.cli("deck", "versions", "sell").stdout
    assert "rollback" in listed
    assert "a test" in listed
