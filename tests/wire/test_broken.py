"""A world of each kind that is broken, by the real command against a real server: nothing of the database changes.

The other broken worlds (tests/world/test_broken.py) differ from these in their text alone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest

from sipshop.config import MAX_BYTES

from .harness import Server, World

pytestmark = pytest.mark.wire

SOUND: Final = World(
    booths={"booth1": ""}, trunks={"carrier": "port: 5070, emergency: true"}, routes={"": ["carrier"]}
).yaml()
BOMB: Final = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"
KINDS: Final = [
    pytest.param("name: booth1,", "name: [booth1],", "shops[0].booths[0].name: must be a single value", id="type"),
    pytest.param("name: booth1,", "name: booth1, colour: red,", "booths[0].colour: unknown key", id="unknown key"),
    pytest.param("name: booth1,", "name: booth1, name: booth1,", "key 'name' is already at line", id="key twice"),
    pytest.param("name: Bad Payer", "name: Good Payer", "party 'Good Payer' is already at line 3", id="name twice"),
    pytest.param(
        "trunks: [carrier]", "trunks: [carier]", "there is no trunk named 'carier'; did you mean", id="nowhere"
    ),
    pytest.param(
        'first_price: "', 'first_price: "-', "first_price: must not be negative: -0.12", id="price below zero"
    ),
    pytest.param('prefix: "44"', 'prefix: "49"', "rates[1].prefix: prefix '49' is already at line 9", id="two rates"),
    pytest.param("", BOMB, ":1: anchors (&) and aliases (*) are not read here", id="YAML bomb"),
    pytest.param("", "x" * (MAX_BYTES + 1), "10000001 bytes; 10000000 is the limit", id="ten megabytes"),
]


#: What the server writes of itself, in a time of its own.
OWN = ('"processes"', 'INSERT INTO "retention"')


def dump(database: Path) -> list[str]:
    """Everything that is in a database, but for the server's heartbeat and when it last forgot what is old."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return [line for line in connection.iterdump() if not any(table in line for table in OWN)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("broken"), SOUND) as running:
        yield running.ready()


@pytest.mark.parametrize(("old", "new", "why"), KINDS)
def test_a_broken_world_ends_with_2_and_leaves_the_database_as_it_was(
    server: Server, tmp_path: Path, old: str, new: str, why: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(SOUND.replace(old, new) if old else new, encoding="utf-8")
    before = dump(server.data / "sipshop.db")
    done = server.cli("apply", str(path))
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert dump(server.data / "sipshop.db") == before
