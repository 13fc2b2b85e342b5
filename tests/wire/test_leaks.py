"""Calls of every kind, many of them, and then nothing is left: no entry in any table, no memory.

The suite makes a tenth of what `make soak` makes, without the calls that nobody acknowledges: those take half a minute.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from .harness import Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

#: Tables whose entries last by design: a nonce is good for other calls, a binding until it expires.
LASTING: Final = frozenset({"nonces", "bindings"})
#: Calls a second, all fates together.
RATE: Final = 80
#: Every timer has run out so long after the last call: 32 s without ACK, then those of the BYE.
FORGETTING_S: Final = 80.0


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of so many of a hundred calls, by scenario and number; `at_most` where one takes half a minute."""

    name: str
    scenario: str
    number: str
    percent: int
    at_most: int | None = None


FATES: Final = (
    Fate("answered", "call", "03012345", 45),
    Fate("hung_up_on", "callee_hangs_up", "030800", 10),
    Fate("busy", "busy", "030486", 10),
    Fate("cancelled", "cancel", "030408", 10),
    Fate("refused", "unavailable", "030503", 5),
    Fate("unknown", "not_found", "030404", 5),
    Fate("failed_over", "call", "0033123", 10),
    Fate("unanswered", "unavailable", "00431408", 3),
    Fate("unacknowledged", "no_ack", "03012345", 2, at_most=40),
)


@dataclass(frozen=True, slots=True)
class Shop:
    """A server with a carrier, and the port of a carrier that has no line."""

    server: Server
    folder: Path
    no_circuit: int


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    carrier, no_circuit = free_port(), free_port()
    world = World(
        booths=dict.fromkeys((fate.name for fate in FATES), "calls: 500"),
        trunks={
            "carrier": f"port: {carrier}, emergency: true",
            "impatient": f"port: {carrier}, answer_timeout_s: 2",
            "no_circuit": f"port: {no_circuit}",
        },
        routes={"": ["carrier"], "43": ["impatient"], "33": ["no_circuit", "carrier"]},
    )
    with Server(tmp_path / "server", world.yaml(), carrier_port=carrier, fresh=True) as server:
        yield Shop(server.ready(), tmp_path, no_circuit)


@pytest.mark.scenario(42)
def test_calls_of_every_kind_leave_nothing_behind(shop: Shop, pytestconfig: pytest.Config) -> None:
    server = shop.server
    server.unlock(*(fate.name for fate in FATES))
    is_soak = pytestconfig.getoption("soak")
    calls = 10_000 if is_soak else 1_000
    brief = [fate for fate in FATES if fate.at_most is None]
    # What a process takes once, and what its allocator keeps for the next load of this kind.
    play(shop, calls, "warm-up", brief)
    settle(server)
    before = resident_mb(server)
    played = play(shop, calls, "calls", FATES if is_soak else brief)
    settle(server)
    after = resident_mb(server)
    assert after <= before * 1.1, f"{before} MB before, {after} MB after {calls} calls"
    assert sum(played.values()) >= calls * 0.9


def play(shop: Shop, calls: int, name: str, fates: Sequence[Fate]) -> dict[str, int]:
    """Make so many calls of mixed fates, all at the same time; how many of each were made, all as they should be."""
    counts = {fate.name: min(max(1, calls * fate.percent // 100), fate.at_most or calls) for fate in fates}
    within_s = calls // RATE + 60
    with ExitStack() as running:
        folder = shop.folder / name
        running.enter_context(
            Sipp("uas_503", folder, listen=shop.no_circuit, calls=counts["failed_over"], within_s=within_s)
        )
        runs = [
            running.enter_context(
                Sipp(
                    fate.scenario,
                    folder,
                    to=shop.server.sip,
                    booth=fate.name,
                    password=password(fate.name),
                    number=fate.number,
                    calls=counts[fate.name],
                    rate=max(5, RATE * fate.percent // 100),
                    more=("-l", str(counts[fate.name])),  # as many at the same time as there are
                    within_s=within_s,
                )
            )
            for fate in fates
        ]
        for run in runs:
            run.passed()
    return counts


def settle(server: Server) -> None:
    """Wait until every table is empty but those that last."""

    def is_empty() -> bool:
        return not left(server)

    try:
        until(is_empty, "empty tables", FORGETTING_S)
    except AssertionError:
        assert left(server) == {}, "what is left"


def left(server: Server) -> dict[str, float]:
    """The tables that are not empty, but for those that last."""
    tables = {
        match[1]: size
        for series, size in server.metrics().items()
        if (match := re.fullmatch(r'sipshop_table_size\{table="(\w+)"\}', series))
    }
    assert "calls" in tables, "the tables are measured"
    return {table: size for table, size in tables.items() if size and table not in LASTING}


def resident_mb(server: Server) -> float:
    """The memory that the process holds."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    found = re.search(r"^VmRSS:\s*(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) / 1024
