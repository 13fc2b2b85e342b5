"""Worlds on the command line: what is printed, what is written, and with which exit code it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sipshop import cli
from sipshop.store import Unwritable
from tests.console.memory import TOKEN, WORLD_TEXT, MemoryDesk, Stage, memory_api, serving


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    """One server for all tests of this file, and its URL."""
    stage = Stage()
    with serving(stage) as url:
        yield stage, url


@pytest.fixture
def desk(stage: tuple[Stage, str], monkeypatch: pytest.MonkeyPatch) -> MemoryDesk:
    """A desk that the command line finds by the environment."""
    desk = MemoryDesk("b1", "b2")
    stage[0].api = memory_api(desk)
    monkeypatch.setenv("SIPSHOP_URL", stage[1])
    monkeypatch.setenv("SIPSHOP_TOKEN", TOKEN)
    return desk


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A file in which a price is another, a booth is new, and the people are missing."""
    text = WORLD_TEXT.partition("operators:")[0].replace('first_price: "0.12"', 'first_price: "0.10"')
    path = tmp_path / "world.yaml"
    path.write_text(text.replace("{name: b2,", "{name: b3, password: three}, {name: b2,"), encoding="utf-8")
    return path


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def printed(*words: str | Path) -> str:
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def test_a_world_is_applied_once(desk: MemoryDesk, world: Path) -> None:
    before = desk.worlds.stored
    told = """\
~ deck sell
    version 1 -> 2
    ~ 32 Belgium: first_price 0.12 -> 0.10, next_price 0.12 -> 0.10
+ booth b3
"""
    rest = "Not in the file, and there all the same: 2 of kind operator.\n"
    dry = printed("apply", world, "--dry-run")
    assert dry == f"{told}2 changes; nothing was done (--dry-run).\n{rest}"
    assert desk.worlds.stored == before
    assert printed("apply", world) == f"{told}2 changes, done.\n{rest}"
    assert printed("apply", world) == f"Nothing changes.\n{rest}"


def test_what_is_pruned_is_told(desk: MemoryDesk, world: Path) -> None:
    answer = json.loads(printed("apply", world, "--prune", "--json"))
    changes = [(change["action"], change["name"]) for change in answer["changes"]]
    assert changes == [("change", "sell"), ("add", "b3"), ("remove", "ana"), ("remove", "otto")]
    world.write_text(WORLD_TEXT.replace("password: one", "password: one, disabled: true"), encoding="utf-8")
    assert "~ booth b1: disable\n    disabled no -> yes\n" in printed("apply", world)


def test_every_error_of_a_world_is_told_with_its_place(desk: MemoryDesk, world: Path) -> None:
    world.write_text(WORLD_TEXT.replace("owner: olga", "owner: olgo").replace('"0.12"', "cheap"), encoding="utf-8")
    result = run("apply", world)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.splitlines() == [
        f"sipshop: {world}:8: decks[0].rates[0].first_price: 'cheap' is not a decimal number such as 0.12",
        f"sipshop: {world}:19: shops[0].owner: there is no owner named 'olgo'; did you mean olga?",
    ]


def test_a_server_that_cannot_do_it_refuses(desk: MemoryDesk, world: Path) -> None:
    desk.worlds.failure = Unwritable("disk full")
    result = run("apply", world)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "sipshop: disk full\n")


def test_an_export_goes_to_the_screen_or_to_a_file_and_changes_nothing(desk: MemoryDesk, tmp_path: Path) -> None:
    path = tmp_path / "now.yaml"
    assert printed("export-world", path) == ""
    assert printed("export-world") == path.read_text(encoding="utf-8")
    assert printed("apply", path, "--prune") == "Nothing changes.\n"
    result = run("export-world", tmp_path / "no" / "folder")
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)


@pytest.mark.parametrize("word", ["apply", "export-world"])
def test_a_stranger_is_not_let_in(desk: MemoryDesk, world: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("SIPSHOP_TOKEN", "sipshop_nobody")
    assert run(word, world).exit_code == 4


@pytest.mark.parametrize(
    ("words", "code", "shown"),
    [
        (("021234567", "--booth", "b1"), 0, "60 s = 0.05 + 60 s at 0.12/min = 0.17"),
        (("021234567", "--booth", "b1", "--amount", "5.00"), 0, "41:00"),
        (("021234567", "--seconds", "61"), 0, "customers of center"),
        (("+3221234567", "--party", "acme"), 0, "Far "),
        (("112", "--booth", "b1"), 0, "emergency"),
        (("090123456", "--booth", "b1"), 3, "forbidden"),
        (("0049301234567", "--booth", "b1"), 3, "no rate"),
        (("12", "--booth", "b1"), 3, "bad number"),
    ],
)
def test_a_quote_ends_with_3_where_there_is_no_price(
    desk: MemoryDesk, words: tuple[str, ...], code: int, shown: str
) -> None:
    result = run("quote", *words)
    assert (result.exit_code, shown in result.stdout) == (code, True), result.output
    assert ("no price: " in result.stderr) == (code == 3), "who gets no price is told why"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("1", "--booth", "b1", "--party", "olga"), 2),
        (("1", "--amount", "1", "--seconds", "1"), 2),
        (("1", "--amount", "much"), 1),
        (("1", "--booth", "b9"), 1),
    ],
)
def test_a_quote_that_cannot_be_made(desk: MemoryDesk, words: tuple[str, ...], code: int) -> None:
    assert run("quote", *words).exit_code == code


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("deck", "list"), ("sell", "olga to customers of center", "half_up 2")),
        (("deck", "show", "sell"), ("Belgium Premium", "forbidden", "0.12", "2 of 2 rates")),
        (("deck", "show", "sell", "--prefix", "3290"), ("Belgium Premium", "1 of 2 rates")),
        (
            ("trunk", "list"),
            ("udp 192.0.2.1:5060", "udp [2001:db8::1]:5060", "disabled", "up", "yes"),
        ),
        (("operator", "list"), ("ana", "operator", "center", "otto", "olga")),
    ],
)
def test_what_a_world_has_is_shown(desk: MemoryDesk, words: tuple[str, ...], shown: tuple[str, ...]) -> None:
    text = printed(*words)
    assert [word for word in shown if word not in text] == []
    json.loads(printed(*words, "--json"))


PEAK = """\
currency: EUR
timezone: Europe/Berlin
round: {places: 4}
window_policy: split
windows: {peak: mon-fri 08:00-20:00}
rates:
  - {prefix: "49", destination: Germany, first_s: 1, first_price: "0.10", next_s: 1}
  - {prefix: "49", destination: Germany, first_s: 1, first_price: "0.20", next_s: 1, window: peak}
  - {prefix: "33", destination: France, first_s: 60, first_price: "0.50", next_s: 60, max_charge: "0.50"}
  - {prefix: "44900", destination: Premium, forbidden: true}
"""


@pytest.mark.parametrize(
    ("number", "options", "code", "expected"),
    [
        (
            "4930123",
            ("--seconds", "60.4", "--at", "2026-11-20T19:59:30", "--balance", "1"),
            0,
            {"prefix": "49", "destination": "Germany", "billed_s": 61, "amount": "0.1517", "granted_s": 570},
        ),
        ("+49 30 123", ("--at", "2026-11-20T12:00:00Z"), 0, {"amount": "0.20", "number": "4930123", "seconds": "60"}),
        ("33123", ("--seconds", "200", "--balance", "0.50"), 0, {"amount": "0.50", "granted_s": None}),
        (
            "33123",
            ("--seconds", "200", "--balance", "0.49"),
            3,
            {"answer": "no_funds", "amount": "0.50", "granted_s": 0},
        ),
        (
            "4930123",
            ("--seconds", "999", "--balance", "0.1", "--at", "2026-11-22"),
            0,
            {"granted_s": 60, "amount": "1.665"},
        ),
        ("4490012", (), 3, {"answer": "forbidden", "prefix": "44900", "amount": None}),
        ("99", (), 3, {"answer": "no_rate", "prefix": None, "lines": []}),
    ],
)
def test_a_quote_by_a_deck_s_file_needs_no_server(
    tmp_path: Path, number: str, options: tuple[str, ...], code: int, expected: dict[str, object]
) -> None:
    path = tmp_path / "peak.yaml"
    path.write_text(PEAK, encoding="utf-8")
    result = run("quote", "--deck", str(path), "--number", number, *options, "--json")
    assert result.exit_code == code, result.stderr
    answer = json.loads(result.stdout)
    assert {key: answer[key] for key in expected} == expected
    assert ("granted_s" in answer) == ("--balance" in options)
    shown = run("quote", "--deck", str(path), "--number", number, *options)
    assert shown.exit_code == code
    assert bool(shown.stderr) == (code == 3), "who gets no price is told why"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--number", "49", "--seconds", "x"), "'x' is not a decimal number"),
        (("--number", "49", "--seconds", "-1"), "below zero"),
        (("--number", "+49x"), "is not a whole number"),
        (("--number", "49", "--at", "noon"), "is not an ISO 8601 date or time"),
        (("--number", "49", "--balance", "1,5"), "is not a decimal number"),
        ((), "give one number"),
        (("49", "--number", "49"), "give one number"),
        (("49", "--booth", "booth1"), "give --deck or --booth"),
    ],
)
def test_a_quote_by_a_deck_that_is_asked_wrongly(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    path = tmp_path / "peak.yaml"
    path.write_text(PEAK, encoding="utf-8")
    result = run("quote", "--deck", str(path), *words)
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_a_deck_s_file_that_is_wrong_is_told_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "peak.yaml"
    path.write_text(PEAK.replace("Europe/Berlin", "Berlin").replace("window: peak", "window: pek"), encoding="utf-8")
    result = run("quote", "--deck", str(path), "--number", "49")
    assert result.exit_code == 2
    assert f"{path}:2: timezone: 'Berlin' is not a time zone" in result.stderr
    assert f"{path}:8: rates[1].window: there is no window named 'pek'; did you mean peak?" in result.stderr
    assert "cannot be read" in run("quote", "--deck", str(tmp_path / "none.yaml"), "--number", "49").stderr


def test_a_quote_by_a_deck_of_the_server(desk: MemoryDesk) -> None:
    result = run("quote", "--deck", "sell", "--number", "3221234567", "--seconds", "60.4", "--balance", "1", "--json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["prefix"], answer["seconds"]) == (0, "32", "60.4")
    assert (answer["billed_s"], answer["amount"], answer["granted_s"]) == (120, "0.29", 420)
    assert run("quote", "--deck", "sell", "--number", "999").exit_code == 3
    assert run("quote", "--deck", "sold", "--number", "999").exit_code == 1
    assert run("quote", "--deck", "sell", "--number", "99x").exit_code == 1


def test_a_chain_is_every_level_and_then_the_carriers(desk: MemoryDesk) -> None:
    result = run("quote", "021234567", "--chain", "b1", "--seconds", "61", "--json")
    answer = json.loads(result.stdout)
    assert result.exit_code == 0, result.stderr
    levels = answer["levels"]
    assert levels[0]["buyer"] == "b1"
    assert levels[0]["margin"] is None
    assert levels[-1]["trunk"] is not None
    for sold, bought in pairwise(levels):
        assert Decimal(bought["margin"]) == Decimal(sold["amount"]) - Decimal(bought["amount"])
    assert "b1" in run("quote", "021234567", "--chain", "b1").stdout
    assert run("quote", "0049301234567", "--chain", "b1").exit_code == 3
    assert run("quote", "021234567", "--chain", "b9").exit_code == 1
