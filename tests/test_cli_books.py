"""Reratings, statements and invoices by the command line, against an API over a database in memory."""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pypdf
import pytest
from typer.testing import CliRunner, Result

from sipshop import cli
from sipshop.billing.rerate import Difference, Kept, Place, Revised, Summary, Unrated
from sipshop.cli.books import print_rerating, write_differences
from tests.console.memory import TOKEN, MemoryDesk, Stage, memory_api, serving
from tests.console.test_books import EURO, FEBRUARY_MS
from tests.store.examples import cdr


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    stage = Stage()
    with serving(stage) as url:
        yield stage, url


@pytest.fixture
def desk(stage: tuple[Stage, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryDesk:
    desk = MemoryDesk("b1")
    desk.books.now_ms = FEBRUARY_MS
    stage[0].api = memory_api(desk)
    monkeypatch.setenv("SIPSHOP_URL", stage[1])
    monkeypatch.setenv("SIPSHOP_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    return desk


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


DAYS = ("--since", "2026-01-01", "--until", "2026-02-01")


def test_an_invoice_is_closed_listed_shown_and_printed(desk: MemoryDesk) -> None:
    closed = run("invoice", "close", "olga", "--month", "2025-12")
    assert (closed.stdout, closed.stderr) == ("Invoice 2026-0001 of acme to olga: 0.00 EUR\n", "")
    assert "2026-0001" in run("invoice", "list").stdout
    shown = run("invoice", "show", "olga", "2026-0001").stdout
    assert "2025-12-31 opening: 5.00 EUR" in shown
    assert "2025-12-31 opening: 5.00 EUR" in run("statement", "olga", "--month", "2025-12").stdout
    assert "SHA-256" in shown
    assert run("invoice", "pdf", "olga", "2026-0001").exit_code == 0
    assert "Invoice 2026-0001" in pypdf.PdfReader("2026-0001.pdf").pages[0].extract_text()
    assert run("invoice", "pdf", "olga", "2026-0001", "page.html", "--html").exit_code == 0
    assert Path("page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    again = run("invoice", "pdf", "olga", "2026-0001")
    assert (again.exit_code, again.stderr) == (2, "sipshop: 2026-0001.pdf is there: name a new file\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("invoice", "close", "olga", "--month", "2026-02"), 1, "can be closed after that", id="too soon"),
        pytest.param(("invoice", "show", "olga", "7"), 1, "olga has no invoice '7'", id="none"),
        pytest.param(("statement", "acme"), 1, "acme is the provider", id="of the provider"),
        pytest.param(("rerate", "sell", "--to", "9", *DAYS), 1, "its versions are 1", id="no version"),
        pytest.param(("rerate", "sell", "--to", "1", *DAYS, "--batch", "b"), 2, "needs --reason", id="no reason"),
    ],
)
def test_what_is_refused_says_what_would_be_right(desk: MemoryDesk, words: Sequence[str], code: int, said: str) -> None:
    result = run(*words)
    assert (result.exit_code, said in " ".join(result.stderr.split())) == (code, True), result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("rerate", "sell", "--to", "1", *DAYS),
        ("rerate", "sell", "--to", "1", *DAYS, "--batch", "b", "--reason", "r"),
        ("statement", "olga"),
        ("invoice", "close", "olga", "--month", "2025-12"),
        ("invoice", "list", "--party", "olga"),
    ],
    ids=lambda words: " ".join(words[:2]),
)
def test_json_is_one_document(desk: MemoryDesk, words: Sequence[str]) -> None:
    result = run(*words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert isinstance(json.loads(result.stdout), dict)


def a_rerating(rows: int) -> Summary:
    """One call that costs a cent less, and one that stays."""
    summary = Summary(rows)
    one, other = Place("c1", 0, "=olga", "b1"), Place("c2", 1, "rhea", "olga")
    less = Difference(one, EURO, EURO - type(EURO)(10_000, "EUR"))
    summary.add(Revised(cdr=cdr(), differences=(less,), unrated=(Unrated(other, Kept.MASKED),)))
    return summary


def test_differences_are_a_table_with_what_they_come_to(capsys: pytest.CaptureFixture[str]) -> None:
    print_rerating({"dry_run": True, **a_rerating(9).to_json()})
    told = capsys.readouterr().out
    for word in (
        "c1",
        "1.00",
        "0.99",
        "-0.01 EUR",
        "customers in booths",
        "1 charge stays as they are",
        "1 call would",
    ):
        assert word in told


def test_a_file_of_differences_has_each_and_no_formulas(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_differences(tmp_path / "all.csv", a_rerating(9).to_json())
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["call_id"], first["seller"], first["delta"], first["why"]) == ("c1", "'=olga", "-0.01", "")
    assert (second["call_id"], second["why"]) == ("c2", "masked")
    write_differences(tmp_path / "none.csv", a_rerating(0).to_json())
    assert "lacks 2 rows" in capsys.readouterr().err
