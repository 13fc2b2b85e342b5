"""Rates, the poster and screens for customers on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from sipshop import cli
from sipshop.cli.codes import REFUSED, UNPRICED, USAGE
from tests.console.memory import TOKEN, MemoryDesk, memory_api, serving


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(memory_api(MemoryDesk("b1", "b2"))) as url:
        yield url


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(cli.app, ["--url", url, "--token", TOKEN, *words])


def test_what_five_euros_to_brussels_last(url: str) -> None:
    told = run(url, "rates", "center", "bruxelles", "--money", "5", "--language", "fr")
    assert told.exit_code == 0
    line = next(line for line in told.stdout.splitlines() if "Bruxelles" in line)
    assert line.split()[:3] == ["Bruxelles,", "Belgique", "Belgium"]
    assert line.split()[-3:] == ["0.17", "41:00", "1.25"]
    assert "0.05 + 0.12/min by 60 s" in line


def test_an_emergency_number_and_nothing(url: str) -> None:
    assert "costs nothing" in run(url, "rates", "center", "112").stdout
    assert run(url, "rates", "center", "xyzzy").exit_code == UNPRICED
    assert run(url, "rates", "nowhere", "32").exit_code == REFUSED


def test_the_poster_is_written_to_a_file(url: str, tmp_path: Path) -> None:
    file = tmp_path / "tariffs.pdf"
    assert run(url, "poster", "center", str(file), "--size", "a3", "--language", "ar").exit_code == 0
    assert file.read_bytes().startswith(b"%PDF")
    assert run(url, "poster", "center", str(tmp_path / "no" / "x.pdf")).exit_code == USAGE
    assert run(url, "poster", "center", str(file), "--size", "a5").exit_code == REFUSED


def test_a_screen_from_its_making_to_its_end(url: str) -> None:
    made = run(url, "screen", "add", "center", "--booth", "b1", "--label", "door")
    assert made.stdout.startswith("/screen/")
    listed = run(url, "screen", "list", "center").stdout
    assert "door" in listed
    screen_id = next(line for line in listed.splitlines() if "door" in line).split()[0]
    assert run(url, "screen", "remove", "center", screen_id).stdout == f"Screen {screen_id}, door, is switched off\n"
    assert run(url, "screen", "remove", "center", screen_id).exit_code == REFUSED
