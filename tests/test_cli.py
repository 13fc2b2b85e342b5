import csv
import json
import os
import re
import shlex
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner, Result

from sipshop import __version__, cli
from sipshop.cli import ask, serve
from sipshop.console.tokens import hash_token
from sipshop.store import LAWS, Store, Unwritable, Violation
from sipshop.switch import CallStatus, RegistrationStatus
from sipshop.world import parse_world
from tests.console.memory import TOKEN, MemoryDesk, Stage, memory_api, serving

HOUSE: Final = Path(__file__).parent.parent

CDR = {
    "call_id": "a",
    "revision": 0,
    "shop": "center",
    "setup_at": "2025-12-31T23:59:59.007Z",
    "booth": "b1",
    "dialled": "0032 2 222 22 22",
    "destination": "Belgium",
    "result": "answered",
    "sip_status": 200,
    "trunk": "demo",
    "talk_ms": 61_250,
    "charges": [{"amount": "0.24", "currency": "EUR", "billed_s": 120}],
}
CHAIN = CDR | {
    "kind": "call",
    "session_id": 7,
    "e164": "3222222222",
    "answered_at": "2026-01-01T00:00:03.500Z",
    "ended_at": "2026-01-01T00:02:20.500Z",
    "talk_ms": 137_000,
    "q850": 16,
    "hung_up_by": "caller",
    "recovered": False,
    "attempts": [
        {"trunk": "cheap", "status": 503, "q850": 34, "pdd_ms": None},
        {"trunk": "demo", "status": 200, "q850": None, "pdd_ms": 1200},
    ],
    "charges": [
        {
            "buyer": buyer,
            "seller": seller,
            "deck": deck,
            "version": 1,
            "prefix": prefix,
            "billed_s": billed_s,
            "amount": amount,
            "currency": "EUR",
            "margin": margin,
            "margin_currency": None if margin is None else "EUR",
            "lines": [],
        }
        for buyer, seller, deck, prefix, billed_s, amount, margin in [
            ("b1", "ann", "booths", "32", 180, "0.87", None),
            ("ann", "rhea", "to-ann", "32", 138, "0.414", "0.456"),
            ("rhea", "tel", "to-rhea", "", 137, "0.319667", "0.094333"),
            ("tel", "demo", "buy", "32", 137, "0.2512", "0.068467"),
        ]
    ],
}
REFUSED_CDR = CDR | {"call_id": "b", "result": "refused", "sip_status": 403, "trunk": None, "talk_ms": 0, "charges": []}

Run = Callable[..., Result]


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    """One server for all tests of this file, and its URL; each puts an API of its own on it."""
    stage = Stage()
    with serving(stage) as url:
        yield stage, url


@pytest.fixture
def url(stage: tuple[Stage, str], desk: MemoryDesk) -> str:
    stage[0].api = memory_api(desk)
    return stage[1]


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a token, and an environment that says nothing."""
    monkeypatch.chdir(tmp_path)
    for name in ("SIPSHOP_URL", "SIPSHOP_TOKEN", "SIPSHOP_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(nowhere: None, url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command line against the server, which it is told of by the environment."""
    monkeypatch.setenv("SIPSHOP_URL", url)
    monkeypatch.setenv("SIPSHOP_TOKEN", TOKEN)
    return invoke


def invoke(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


def done(result: Result) -> str:
    """What a command that was done printed."""
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def failed(result: Result, code: int) -> str:
    """The one line of a command that was not done."""
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert result.stderr.startswith("sipshop: ")
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("sipshop: ").rstrip("\n")


def rows(table: str) -> list[list[str]]:
    """The cells of a printed table, row by row."""
    return [re.split(r"\s{2,}", line.strip()) for line in table.splitlines() if line.strip(" ─╶╴")]


# The desk


def test_booths_as_a_table(run: Run) -> None:
    header, first, second = rows(done(run("booth", "list")))
    assert header[:4] == ["Booth", "Shop", "State", "Phones"]
    assert (first, second) == (["b1", "center", "locked", "1"], ["b2", "center", "locked", "1"])


def test_the_desks_round_from_unlock_to_paid(desk: MemoryDesk, run: Run) -> None:
    assert done(run("booth", "unlock", "b1")) == "b1: open, session 1\n"
    desk.charge("b1", 240_000)
    bill = done(run("session", "bill", "b1"))
    assert "62 s = 60 + 60 s at 0.12/min" in bill
    assert "Total 0.24 EUR, version 1." in bill
    command = shlex.split(bill.splitlines()[-1])
    assert command == ["sipshop", "session", "pay", "b1", "--version", "1", "--tendered", "0.24"]
    assert done(run(*command[1:-1], "5.00")) == (
        "Booth b1, session 1: paid 0.24 EUR, tendered 5.00, change 4.76 EUR. Receipt 1. The booth is locked.\n"
    )
    assert rows(done(run("booth", "list")))[1][2] == "locked"


def test_a_bill_is_a_receipt(desk: MemoryDesk, run: Run) -> None:
    run("booth", "unlock", "b1")
    desk.charge("b1", 240_000)
    desk.charge("b1", 319_667, dialled="00 33 1")
    title, header, *lines, total, _, _ = rows(done(run("session", "bill", "b1")))
    assert title == ["Booth b1, session 1"]
    assert header == ["Answered (UTC)", "Dialled", "Destination", "Talked", "Price", "EUR"]
    explanation = "62 s = 60 + 60 s at 0.12/min"
    assert lines == [
        ["2025-12-31 23:59:59", "003222222222", "Belgium", "61.250 s", explanation, "0.24"],
        ["2025-12-31 23:59:59", "00 33 1", "Belgium", "61.250 s", explanation, "0.319667"],
    ]
    assert total == ["Total, version 2", "0.559667"]


def test_several_booths_at_once(desk: MemoryDesk, run: Run) -> None:
    assert done(run("booth", "unlock", "b2", "b1")) == "b2: open, session 1\nb1: open, session 2\n"
    assert done(run("booth", "lock", "--all")) == "b1: locked, session 2\nb2: locked, session 1\n"


def test_one_refused_booth_does_not_stop_the_others(run: Run) -> None:
    result = run("booth", "unlock", "b1", "nobody", "b2")
    assert result.exit_code == 1
    assert result.stdout == "b1: open, session 1\nb2: open, session 2\n"
    assert result.stderr == "sipshop: booth nobody: there is no booth named 'nobody'\n"


@pytest.mark.parametrize(
    ("option", "state"),
    [
        pytest.param([], "in call, session 1; its call goes on, --cut ends it", id="goes on"),
        pytest.param(["--cut"], "locked, session 1", id="is cut"),
    ],
)
def test_locking_a_booth_whose_call(desk: MemoryDesk, run: Run, option: list[str], state: str) -> None:
    run("booth", "unlock", "b1")
    desk.rooms["b1"].live_calls = 1
    assert done(run("booth", "lock", "b1", *option)) == f"b1: {state}\n"


@pytest.mark.parametrize(
    ("option", "left"),
    [
        pytest.param(["--deposit", "5.00"], ", 5.00 EUR left", id="a deposit"),
        pytest.param(["--limit", "2.50"], ", 2.50 EUR left", id="a limit"),
        pytest.param(["--minutes", "10"], ", 10:00 min left", id="minutes"),
        pytest.param([], "", id="no end"),
    ],
)
def test_a_booth_is_unlocked_for(run: Run, option: list[str], left: str) -> None:
    assert done(run("booth", "unlock", "b1", *option)) == f"b1: open, session 1{left}\n"
    assert (left.strip(", ").removesuffix(" left") or "locked") in done(run("booth", "list"))


def test_a_top_up_says_what_is_left(desk: MemoryDesk, run: Run) -> None:
    run("booth", "unlock", "b1", "--deposit", "5.00")
    desk.charge("b1", 240_000)
    assert done(run("session", "topup", "b1", "2.50")) == "b1: open, session 1, 7.26 EUR left, deposit 7.50 EUR\n"


def test_a_deposit_stands_on_the_bill_and_comes_off_it(desk: MemoryDesk, run: Run) -> None:
    run("booth", "unlock", "b1", "--deposit", "0.20")
    desk.charge("b1", 240_000)
    *_, total, command = done(run("session", "bill", "b1")).splitlines()
    assert total == "Total 0.24 EUR, deposit 0.20, due 0.04, version 1. When the customer pays it:"
    assert shlex.split(command)[-1] == "0.04"
    assert done(run("session", "pay", "b1", "--version", "1", "--tendered", "0.05")) == (
        "Booth b1, session 1: paid 0.24 EUR, deposit 0.20, tendered 0.05, change 0.01 EUR. "
        "Receipt 1. The booth is locked.\n"
    )


def test_a_bill_with_more_than_calls_and_its_receipt(desk: MemoryDesk, run: Run) -> None:
    run("booth", "unlock", "b1")
    desk.charge("b1", 240_000)
    run("session", "add", "b1", "Coffee", "--quantity", "2")
    run("session", "add", "b1", "Stamp", "--price", "0.89")
    run("session", "discount", "b1", "0.50", "--reason", "a regular")
    run("session", "remove", "b1", "2")
    _, _, call, coffee, discount, *_ = rows(done(run("session", "void", "b1", "--call", "call-0", "--reason", "noise")))
    assert call[-1] == "0.24"
    assert coffee[1:] == ["item 1", "Coffee", "2 x 1.80", "3.60"]
    assert (discount[1], discount[-1]) == ("item 3", "-0.50")
    assert re.fullmatch(r"discount by provider/[0-9a-f]{8}: a regular", discount[2])
    paid = done(run("session", "pay", "b1", "--version", "6", "--card", "3.00", "--cash", "1.00", "--language", "fr"))
    assert paid == (
        "Booth b1, session 1: paid 3.10 EUR, tendered 4.00, change 0.90 EUR. Receipt 1. The booth is locked.\n"
    )
    assert rows(done(run("receipt", "list", "center")))[1][0] == "1"
    receipt = done(run("receipt", "show", "center", "1"))
    assert "olga, receipt 1 of" in receipt
    assert "taken back by" in receipt
    assert "paid 1.00 by cash, 3.00 by card, change 0.90 EUR" in receipt


@pytest.mark.parametrize(
    "words",
    [
        ["session", "pay", "b1", "--version", "0"],
        ["session", "pay", "b1", "--version", "0", "--tendered", "1.00", "--cash", "1.00"],
        ["session", "discount", "b1", "--reason", "r"],
        ["session", "void", "b1", "--reason", "r"],
    ],
)
def test_what_is_paid_or_taken_off_is_said_once(run: Run, words: list[str]) -> None:
    assert run(*words).exit_code == 2


def test_parties_as_a_table(desk: MemoryDesk, run: Run) -> None:
    desk.hold("olga", 1_250_000)
    _, acme, rhea, olga = rows(done(run("party", "list")))
    assert acme == ["acme", "provider", "active", "0"]
    assert rhea == ["rhea", "reseller", "acme", "active", "EUR", "0.00", "unlimited", "0.00", "0"]
    assert olga == ["olga", "owner", "acme", "active", "EUR", "0.00", "10.00", "1.25", "8.75", "0"]


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "olga",
            [
                ["Party", "olga, owner"],
                ["State", "active"],
                ["Bought from", "acme"],
                ["Balance", "0.00 EUR"],
                ["Credit limit", "10.00 EUR"],
                ["Held", "0.00 EUR"],
                ["Available", "10.00 EUR"],
                ["Live calls", "0"],
            ],
        ),
        (
            "rhea",
            [
                ["Party", "rhea, reseller"],
                ["State", "active"],
                ["Bought from", "acme"],
                ["Balance", "0.00 EUR"],
                ["Credit limit", "unlimited"],
                ["Held", "0.00 EUR"],
                ["Available", "without end"],
                ["Live calls", "0"],
            ],
        ),
        ("acme", [["Party", "acme, provider"], ["State", "active"], ["Live calls", "0"]]),
    ],
)
def test_a_party_in_lines(run: Run, name: str, lines: list[list[str]]) -> None:
    assert rows(done(run("party", "show", name))) == lines


@pytest.mark.parametrize(
    ("words", "balance"),
    [
        (["pay", "olga", "50.00", "--reason", "cash"], "50.00 EUR"),
        (["pay", "olga", "-5.00", "--reason", "too much"], "-5.00 EUR"),
        (["adjust", "--reason", "a test call", "olga", "-0.07"], "-0.07 EUR"),
    ],
)
def test_money_moves_and_the_account_is_shown(run: Run, words: list[str], balance: str) -> None:
    assert ["Balance", balance] in rows(done(run("party", *words)))
    (_, moved) = rows(done(run("party", "transfers", "olga")))
    assert (moved[-1], moved[4] in words) == (balance, True)


def test_what_an_adjustment_overdraws_is_told(run: Run) -> None:
    lines = rows(done(run("party", "adjust", "olga", "-11.00", "--reason", "a bounced cheque")))
    assert (["State", "overdrawn"] in lines, ["Available", "-1.00 EUR"] in lines) == (True, True)


def test_a_command_with_a_name_is_done_once(run: Run) -> None:
    for _ in range(2):
        lines = rows(done(run("party", "pay", "olga", "5.00", "--reason", "cash", "--key", "receipt-17")))
        assert ["Balance", "5.00 EUR"] in lines


@pytest.mark.parametrize(
    ("words", "limit"), [(["25.00"], "25.00 EUR"), (["--unlimited"], "unlimited"), (["0"], "0.00 EUR")]
)
def test_a_credit_limit_is_set(run: Run, words: list[str], limit: str) -> None:
    assert ["Credit limit", limit] in rows(done(run("party", "limit", "olga", *words, "--reason", "agreed")))


def test_an_unlock_with_a_name_takes_its_deposit_once(run: Run) -> None:
    for _ in range(2):
        unlocked = run("booth", "unlock", "b1", "--deposit", "5.00", "--key", "receipt-18")
        assert done(unlocked) == "b1: open, session 1, 5.00 EUR left\n"


def test_transfers_newest_first(run: Run) -> None:
    for amount in ("1.00", "-2.00", "3.00"):
        run("party", "adjust", "olga", amount, "--reason", f"{amount} it is", "--key", amount)
    header, *lines = rows(done(run("party", "transfers", "olga", "--limit", "2")))
    assert header == ["At (UTC)", "Kind", "Other account", "Author", "Reason", "Key", "Amount"]
    of_token = f"adjustment:{hash_token(TOKEN)[:16]}"  # each token has keys of its own
    assert [(line[1], line[2], *line[4:]) for line in lines] == [
        ("adjustment", "world", "3.00 it is", f"{of_token}:3.00", "3.00 EUR"),
        ("adjustment", "world", "-2.00 it is", f"{of_token}:-2.00", "-2.00 EUR"),
    ]


def test_a_party_is_suspended_and_resumed(run: Run) -> None:
    assert done(run("party", "suspend", "olga")) == "olga is suspended\n"
    assert rows(done(run("booth", "list")))[1][2] == "locked, suspended"
    unlocked = done(run("booth", "unlock", "b1"))
    assert unlocked == "b1: open, session 1, but suspended: `party list` shows with whom\n"
    assert done(run("party", "resume", "olga")) == "olga is active\n"


def test_who_is_resumed_below_a_suspended_party_is_told_so(run: Run) -> None:
    run("party", "suspend", "acme")
    run("party", "suspend", "olga")
    assert done(run("party", "resume", "olga")) == "olga is suspended with acme\n"


@pytest.mark.parametrize(("option", "live_calls"), [([], 1), (["--cut"], 0)])
def test_running_calls_of_a_suspended_party(desk: MemoryDesk, run: Run, option: list[str], live_calls: int) -> None:
    desk.rooms["b1"].live_calls = 1
    run("party", "suspend", "olga", *option)
    assert desk.rooms["b1"].live_calls == live_calls


def test_a_call_with_its_whole_chain(desk: MemoryDesk, run: Run) -> None:
    desk.records = [CHAIN]
    printed = rows(done(run("cdr", "show", "a")))
    assert printed[:9] == [
        ["Call", "a, revision 0, call"],
        ["Booth", "b1 of center, session 7"],
        ["Dialled", "0032 2 222 22 22, 3222222222, Belgium"],
        ["Set up", "2025-12-31 23:59:59"],
        ["Answered", "2026-01-01 00:00:03"],
        ["Ended", "2026-01-01 00:02:20, by the caller"],
        ["Talked", "137.000 s"],
        ["Result", "answered, SIP 200, Q.850 16"],
        ["Trunk", "demo"],
    ]
    assert printed[9:12] == [
        ["Tried", "SIP", "Q.850", "Rang after ms"],
        ["cheap", "503", "34"],
        ["demo", "200", "1200"],
    ]
    assert printed[12:] == [
        ["Buyer", "Seller", "Deck", "Version", "Prefix", "Billed s", "Paid EUR", "Kept"],
        ["b1", "ann", "booths", "1", "32", "180", "0.87"],
        ["ann", "rhea", "to-ann", "1", "32", "138", "0.414", "0.456"],
        ["rhea", "tel", "to-rhea", "1", "any", "137", "0.319667", "0.094333"],
        ["tel", "demo", "buy", "1", "32", "137", "0.2512", "0.068467"],
        ["All margins", "0.618800"],
    ]


def test_a_call_that_nobody_paid_has_no_chain(desk: MemoryDesk, run: Run) -> None:
    nothing = {"e164": None, "destination": None, "session_id": None, "answered_at": None, "sip_status": None}
    desk.records = [CHAIN | nothing | {"hung_up_by": None, "trunk": None, "attempts": [], "charges": [], "q850": None}]
    printed = rows(done(run("cdr", "show", "a")))
    assert printed[1:3] == [
        ["Booth", "b1 of center, session none"],
        ["Dialled", "0032 2 222 22 22, not understood, no destination"],
    ]
    assert printed[-1] == ["Trunk", "none"]


def test_books_that_hold(run: Run) -> None:
    printed = done(run("audit"))
    assert [row for row in rows(printed) if row[0] in LAWS] == [[law, *rows(LAWS[law])[0], "none"] for law in LAWS]
    assert printed.endswith("\nEvery law holds.\n")


def test_the_page_about_money_shows_the_audit_as_it_is(run: Run) -> None:
    page = (HOUSE / "docs/money.md").read_text("utf-8")
    printed = [line.strip() for line in done(run("audit")).splitlines() if line.strip()]
    assert printed == [
        line.strip() for line in page.partition("$ sipshop audit\n")[2].partition("```")[0].split("\n") if line
    ]


def test_books_that_do_not_hold(desk: MemoryDesk, run: Run) -> None:
    desk.violations = [
        Violation("I3", "acme", "customer:olga@acme", "1.00 EUR is missing"),
        Violation("I3", "acme", "customer:rhea@acme", "\x1b[2J"),
    ]
    result = run("audit")
    assert (result.exit_code, result.stderr) == (1, "")
    assert next(row for row in rows(result.stdout) if row[0] == "I3")[-1] == "2"
    assert result.stdout.splitlines()[-3:] == [
        "I3: acme: customer:olga@acme: 1.00 EUR is missing",
        "I3: acme: customer:rhea@acme: ?[2J",
        "The books do not hold.",
    ]


def test_an_audit_for_programs(desk: MemoryDesk, run: Run) -> None:
    desk.violations = [Violation("I6", "acme", "EUR", "0.01 too much")]
    result = run("audit", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["violations"] == [
        {"law": "I6", "tenant": "acme", "subject": "EUR", "text": "0.01 too much"}
    ]


def test_cdrs_as_a_table(desk: MemoryDesk, run: Run) -> None:
    desk.records = [REFUSED_CDR, CDR]
    _, refused, answered = rows(done(run("cdr", "list")))
    assert refused == ["2025-12-31 23:59:59", "b1", "0032 2 222 22 22", "Belgium", "refused", "403", "0.000", "b"]
    assert answered[4:] == ["answered", "200", "demo", "61.250", "120", "0.24 EUR", CDR["call_id"]]


def test_revisions_are_told_apart(desk: MemoryDesk, run: Run) -> None:
    desk.records = [CDR | {"revision": 1}, CDR]
    title, after, before = rows(done(run("cdr", "list")))
    assert (title[-1], after[-1], before[-1]) == ("Revision", "1", "0")


@pytest.mark.parametrize("words", [pytest.param([], id="of all"), pytest.param(["--booth", "b1"], id="of a booth")])
def test_the_newest_call_is_shown_without_its_id(desk: MemoryDesk, run: Run, words: list[str]) -> None:
    desk.records = [REFUSED_CDR, CDR]
    newest = json.loads(done(run("cdr", "list", "--json", *words)))["cdrs"][0]["call_id"]
    assert json.loads(done(run("cdr", "show", "--last", "--json", *words)))["call_id"] == newest


@pytest.mark.parametrize(
    ("words", "why"), [([], "no call has ended yet"), (["--booth", "b1"], "no call of booth b1 has ended yet")]
)
def test_where_no_call_has_ended_there_is_no_newest(run: Run, words: list[str], why: str) -> None:
    assert failed(run("cdr", "show", "--last", *words), 1) == why


def test_cdrs_of_one_booth_up_to_a_limit(desk: MemoryDesk, run: Run) -> None:
    desk.records = [CDR, CDR | {"booth": "b2"}, CDR]
    assert len(json.loads(done(run("cdr", "list", "--json", "--booth", "b1", "--limit", "1")))["cdrs"]) == 1
    assert len(json.loads(done(run("cdr", "list", "--json", "--booth", "b1")))["cdrs"]) == 2


def no_news(*_news: object) -> None:
    """Take no note."""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with the demo world, on which no server runs."""
    path = tmp_path / "shop.db"
    demo = HOUSE / serve.DEFAULT_WORLD
    with closing(Store.open(path, process="a-test", on_commit=no_news, on_health=no_news)) as store:
        store.load(parse_world(demo.read_text("utf-8"), str(demo)), at_ms=0)
    return path


def test_an_audit_of_a_database_asks_no_server(nowhere: None, database: Path) -> None:
    assert done(invoke("audit", "--database", str(database))).endswith("\nEvery law holds.\n")
    found = json.loads(done(invoke("audit", "--database", str(database), "--json")))
    assert found == {"clean": True, "laws": dict(LAWS), "violations": []}


def test_an_audit_of_a_database_that_somebody_changed(nowhere: None, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("UPDATE accounts SET balance_micros = balance_micros + 1 WHERE name LIKE 'customer:%'")
        connection.commit()
    result = invoke("audit", "--database", str(database), "--json")
    assert (result.exit_code, result.stderr) == (1, "")
    found = json.loads(result.stdout)
    assert (found["clean"], {violation["law"] for violation in found["violations"]}) == (False, {"I3", "I6"})
    assert invoke("audit", "--database", str(database)).stdout.endswith("\nThe books do not hold.\n")


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0 and then nothing"])
def test_an_audit_of_what_is_no_database(nowhere: None, content: bytes | None) -> None:
    if content is not None:
        Path("mine.db").write_bytes(content)
    assert failed(invoke("audit", "--database", "mine.db"), 2).startswith("mine.db ")
    assert Path("mine.db").exists() == (content is not None)


def test_what_a_phone_dialled_cannot_steer_the_terminal(desk: MemoryDesk, run: Run) -> None:
    desk.records = [CDR | {"dialled": "\x1b[2J[bold]1"}]
    assert rows(done(run("cdr", "list")))[1][2] == "?[2J[bold]1"


def test_a_booth_whose_name_has_to_be_quoted(run: Run, desk: MemoryDesk) -> None:
    desk.rooms["the 3rd?"] = desk.rooms.pop("b2")
    assert done(run("booth", "unlock", "the 3rd?")) == "the 3rd?: open, session 1\n"
    assert "session pay 'the 3rd?' --version 0" in done(run("session", "bill", "the 3rd?"))


# For programs


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["booth", "list"], "booths"),
        (["booth", "unlock", "b1"], "booths"),
        (["booth", "lock", "b1"], "booths"),
        (["session", "bill", "b1"], "lines"),
        (["session", "pay", "b1", "--version", "0", "--tendered", "0.00"], "change"),
        (["session", "add", "b1", "Coffee"], "items"),
        (["receipt", "list", "center"], "receipts"),
        (["session", "topup", "b1", "5.00"], "deposit"),
        (["party", "suspend", "olga"], "suspended"),
        (["party", "list"], "parties"),
        (["party", "show", "olga"], "available"),
        (["party", "pay", "olga", "5.00", "--reason", "cash"], "balance"),
        (["party", "adjust", "olga", "-5.00", "--reason", "cash"], "balance"),
        (["party", "limit", "olga", "5.00", "--reason", "cash"], "credit_limit"),
        (["party", "transfers", "olga"], "transfers"),
        (["cdr", "list"], "cdrs"),
        (["cdr", "show", "a"], "charges"),
        (["audit"], "violations"),
        (["version"], "version"),
    ],
)
@pytest.mark.parametrize("before", [True, False])
def test_json_before_or_after_the_command(run: Run, desk: MemoryDesk, words: list[str], key: str, before: bool) -> None:
    desk.records = [CDR]
    run("booth", "unlock", "b1")
    answer: dict[str, Any] = json.loads(done(run(*(["--json", *words] if before else [*words, "--json"]))))
    assert key in answer


def test_the_version() -> None:
    assert done(invoke("version")).startswith(f"sipshop {__version__} (Python 3.")
    assert done(invoke("--version")) == f"sipshop {__version__}\n"


# Refused by the server: 1


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["booth", "unlock", "nobody"], "booth nobody: there is no booth named 'nobody'"),
        (["session", "bill", "b2"], "booth b2 has no session to pay"),
        (
            ["session", "pay", "b1", "--version", "0", "--tendered", "0.20"],
            "1 new call, 0.24 EUR: include it? Then pay",
        ),
        (
            ["session", "pay", "b1", "--version", "1", "--tendered", "0.20"],
            "0.20 EUR does not pay 0.24 EUR: 0.04 EUR is",
        ),
        (
            ["session", "pay", "b1", "--version", "1", "--tendered", "5,00"],
            "'5,00' is not a decimal number such as 0.12",
        ),
        (["booth", "unlock", "b1", "--limit", "5.00"], "booth b1: booth b1 is open already: top up its session"),
        (
            ["booth", "unlock", "b2", "--deposit", "0"],
            "booth b2: a deposit, a limit or minutes must be more than nothing",
        ),
        (["session", "topup", "b2", "5.00"], "booth b2 has no session"),
        (["party", "suspend", "nobody"], "there is no party named 'nobody'"),
        (["party", "show", "nobody"], "there is no party named 'nobody'"),
        (["party", "transfers", "acme"], "acme is the provider: nobody sells to it, so it has no account here"),
        (
            ["party", "pay", "olga", "-10.01", "--reason", "his"],
            "10.01 EUR cannot be taken out: 10.00 EUR is available",
        ),
        (["party", "pay", "olga", "1,5", "--reason", "cash"], "'1,5' is not a decimal number such as 0.12"),
        (["party", "adjust", "olga", "1.00", "--reason", " "], "body.reason: "),
        (["party", "limit", "olga", "-1", "--reason", "x"], "a credit limit is not below zero"),
        (["cdr", "show", "b"], "there is no call named 'b' that has ended"),
        (["cdr", "list", "--booth", "nobody"], "there is no booth named 'nobody'"),
    ],
)
def test_a_refusal_gives_the_servers_reason(desk: MemoryDesk, run: Run, words: list[str], why: str) -> None:
    run("booth", "unlock", "b1")
    desk.charge("b1", 240_000)
    assert failed(run(*words), 1).startswith(why)


def test_a_database_that_cannot_be_written(desk: MemoryDesk, run: Run) -> None:
    desk.failure = Unwritable("the disk is full: make room")
    assert failed(run("booth", "unlock", "b1"), 1) == "booth b1: the disk is full: make room"


# Wrong usage: 2


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["booth", "unlock"], id="no booth"),
        pytest.param(["booth", "unlock", "b1", "--all"], id="a booth and all of them"),
        pytest.param(["booth", "paint", "b1"], id="no such command"),
        pytest.param(["booth", "unlock", "b1", "--limit", "5", "--minutes", "5"], id="two kinds of terms"),
        pytest.param(["booth", "unlock", "b1", "--minutes", "0"], id="no minutes"),
        pytest.param(["booth", "unlock", "b1", "b2", "--key", "k"], id="two booths by one key"),
        pytest.param(["booth", "unlock", "--all", "--key", "k"], id="all booths by one key"),
        pytest.param(["cdr", "show"], id="no call"),
        pytest.param(["cdr", "show", "a", "--last"], id="a call and the newest one"),
        pytest.param(["cdr", "show", "a", "--booth", "b1"], id="a call and a booth"),
        pytest.param(["session", "topup", "b1"], id="no amount"),
        pytest.param(["party", "pay", "olga", "5.00"], id="no reason"),
        pytest.param(["party", "pay", "olga", "5.00", "--raeson", "x", "--reason", "x"], id="no such option"),
        pytest.param(["party", "limit", "olga", "--reason", "x"], id="no limit"),
        pytest.param(["party", "limit", "olga", "5", "--unlimited", "--reason", "x"], id="a limit and none"),
        pytest.param(["session", "pay", "b1", "--tendered", "5.00"], id="no version"),
        pytest.param(["session", "pay", "b1", "--version", "-1", "--tendered", "5.00"], id="a version below zero"),
        pytest.param(["cdr", "list", "--limit", "0"], id="a limit of nothing"),
        pytest.param(["demo", "--listen", "127.0.0.1"], id="no port"),
        pytest.param(["demo", "--advertise", "shop.example.org"], id="a name in place of an address"),
        pytest.param(["carrier", "--listen", "localhost:5070"], id="likewise"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_done(run: Run, desk: MemoryDesk, words: list[str]) -> None:
    result = run(*words)
    assert (result.exit_code, result.stdout, desk.log) == (2, "", [])
    assert "Error: " in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("key", ["", "a b", "a/b", "a\r\nX: y", "x" * 65, "é"])
def test_what_is_no_name_for_a_command(run: Run, desk: MemoryDesk, key: str) -> None:
    line = failed(run("party", "pay", "olga", "5.00", "--reason", "cash", "--key", key), 2)
    assert line.startswith("--key: 1 to 64 letters")
    assert desk.log == []


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://127.0.0.1", "http://", "http://h:99999", "http://h?x", "x"])
def test_what_is_no_url(nowhere: None, url: str) -> None:
    assert failed(invoke("--url", url, "booth", "list"), 2).startswith(f"--url {url}: ")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no token file mine"),
        (b"", "mine holds no token"),
        (b"two words", "mine holds no token"),
        ("tökén".encode(), "mine holds no token"),
        (b"\xff\xfe", "the token file mine is not text"),
    ],
)
def test_a_token_file_that_has_none(nowhere: None, content: bytes | None, why: str) -> None:
    if content is not None:
        Path("mine").write_bytes(content)
    assert failed(invoke("--token-file", "mine", "booth", "list"), 2).startswith(why)


def test_a_token_file_that_is_a_folder(nowhere: None) -> None:
    Path("mine").mkdir()
    assert failed(invoke("--token-file", "mine", "booth", "list"), 2).startswith("the token file mine cannot be read")


@pytest.mark.parametrize("first", [[], ["--world", str(HOUSE / serve.DEFAULT_WORLD)]])
def test_a_world_that_is_not_there(nowhere: None, first: list[str]) -> None:
    others = ["--world", "nowhere.yaml", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--no-carrier"]
    words = ["demo", *first, *others]
    ended = subprocess.run(  # noqa: PLW1510 - its status is what is looked at
        [sys.executable, "-m", "sipshop", *words], capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.splitlines()[-1].startswith("sipshop: nowhere.yaml: cannot be read: ")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5060", ("127.0.0.1", 5060)),
        ("192.0.2.7", ("192.0.2.7", None)),
        ("[::1]:5060", ("::1", 5060)),
        ("[2001:DB8::0:7]", ("2001:db8::7", None)),
    ],
)
def test_addresses(text: str, address: tuple[str, int | None]) -> None:
    assert serve.parse_address(text, "--advertise") == address


@pytest.mark.parametrize(
    "text",
    [
        *("", ":5060", "::1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.256"),
        *("u@127.0.0.1", "127.0.0.1/8", "127.0.0.1:5060 ", "127.0.0.1\t", "localhost:5060", "[127.0.0.1]"),
        *("127.0.0.1?x", "127.0.0.1#x"),
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="IP address"):
        serve.parse_address(text, "--advertise")


@pytest.mark.parametrize(("version", "fits"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_a_wrong_python_is_told_in_one_line(version: tuple[int, int], fits: bool) -> None:
    line = cli.wrong_python(version)
    assert (line is None) == fits
    assert line is None or ("\n" not in line and "3.11 to 3.13" in line)


def test_a_python_without_our_packages_is_told_in_one_line(tmp_path: Path) -> None:
    house = HOUSE
    ended = subprocess.run(  # noqa: PLW1510 - its status is what is looked at
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys, runpy; sys.path.append({str(house)!r}); runpy.run_module('sipshop', run_name='__main__')",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("sipshop: Python 3.")
    assert ended.stderr.count("\n") == 1
    assert "No module named 'typer'" in ended.stderr
    assert "make setup" in ended.stderr


# Not reachable, not authorised: 4


@pytest.fixture
def deaf() -> Iterator[str]:
    """The URL of a port on which nobody listens: it is bound, so that nobody else can have it."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{holder.getsockname()[1]}"


def test_no_server(nowhere: None, deaf: str) -> None:
    assert failed(invoke("--url", deaf, "booth", "list"), 4) == (
        f"no server at {deaf}: start it with `sipshop serve --config FILE`, or name another by --url"
    )


def test_the_server_is_named_first_where_a_token_is_missing_too(nowhere: None, deaf: str) -> None:
    assert failed(invoke("--url", deaf, "booth", "unlock", "b1"), 4).startswith("no server at ")


def test_no_token(nowhere: None, url: str) -> None:
    line = failed(invoke("--url", url, "booth", "list"), 4)
    assert line.startswith(f"{url} asks for a token, and there is none: no data/token here")


def test_a_token_that_the_server_does_not_know(nowhere: None, url: str) -> None:
    line = failed(invoke("--url", url, "--token", "secret", "booth", "list"), 4)
    assert line == f"{url} does not know this token"


@pytest.mark.parametrize("source", ["--token", "--token-file", "SIPSHOP_TOKEN", "SIPSHOP_TOKEN_FILE", "data/token"])
def test_where_a_token_comes_from(nowhere: None, url: str, monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    path = Path("data/token" if source == "data/token" else "mine")
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{TOKEN}\n", encoding="ascii")
    given = str(path) if "file" in source.lower() else TOKEN
    if source.isupper():
        monkeypatch.setenv(source, given)
    words = [source, given] if source.startswith("--") else []
    done(invoke("--url", url, *words, "booth", "list"))


class Stranger(BaseHTTPRequestHandler):
    """Another program's server."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<h1>It works!</h1>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gave it
        """Say nothing."""


def test_a_server_of_another_kind(nowhere: None) -> None:
    with HTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        line = failed(invoke("--url", url, "booth", "list"), 4)
        thread.join()
    assert line == f"what answers at {url} is not a sipshop server: HTTP status 200"


def test_a_server_that_is_not_even_http(nowhere: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with closing(connection):
                connection.recv(4096)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        line = failed(invoke("--url", f"http://127.0.0.1:{listener.getsockname()[1]}", "booth", "list"), 4)
        thread.join()
    assert line.startswith("no server at ")


def test_a_proxy_of_the_environment_is_not_asked(run: Run, deaf: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", deaf)
    done(run("booth", "list"))


# The program


def test_an_audit_has_exit_codes_of_its_own() -> None:
    assert "Exit codes: 0 every law holds; 1 one does not" in " ".join(done(invoke("audit", "--help")).split())


def test_the_exit_codes_are_in_every_help() -> None:
    for words in ([], ["booth"], ["booth", "list"], ["session"], ["session", "pay"], ["party"], ["cdr"], ["demo"]):
        assert "Exit codes: 0 done; 1 refused by the server;" in done(invoke(*words, "--help"))


def test_a_command_loads_nothing_of_the_server() -> None:
    heavy = "fastapi httpx prometheus_client sqlalchemy uvicorn uvloop yaml asyncio"
    code = (
        "import sys; from typer.testing import CliRunner; from sipshop import cli; "
        "CliRunner().invoke(cli.app, ['booth', 'list']); "
        f"print(sorted(set('{heavy}'.split()) & set(sys.modules)))"
    )
    environment = {**os.environ, "SIPSHOP_URL": "http://127.0.0.1:1"}
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "[]\n"


# Tokens, live calls, exports


def test_a_token_is_shown_once_and_revoked_by_its_id(run: Run) -> None:
    made = run("token", "create", "till 2", "--shop", "center", "--days", "30")
    assert made.exit_code == 0, made.output
    token = made.stdout.strip()
    assert token.startswith("sipshop_")
    token_id = made.stderr.split()[1].rstrip(",")
    assert "operator of center, until 2026-01-30" in made.stderr
    assert json.loads(done(invoke("--token", token, "booth", "list", "--json")))["booths"]
    listed = done(run("token", "list"))
    assert token_id in listed
    assert token not in listed
    assert done(run("token", "revoke", token_id)) == f"Token {token_id}, till 2, is revoked\n"
    assert invoke("--token", token, "booth", "list").exit_code == 4


@pytest.mark.parametrize("words", [[], ["--party", "olga", "--shop", "center"]])
def test_a_token_is_for_a_party_or_for_a_shop(run: Run, words: list[str]) -> None:
    assert "give either --party, --shop or --operator" in run("token", "create", "x", *words).stderr


def test_phones_are_shown_with_where_they_are_and_whether_they_answer(desk: MemoryDesk, run: Run) -> None:
    desk.phones = [
        RegistrationStatus(
            booth=booth,
            shop="center",
            contact="sip:b1@10.0.0.5",
            address="192.0.2.7:31000",
            transport="UDP",
            user_agent="Desk\x1b[2J 1",
            reachable=booth == "b1",
            expires_at_ms=1_767_225_599_007,
            seen_at_ms=None,
            rtt_ms=12.5,
        )
        for booth in ("b1", "b2")
    ]
    shown = run("registration", "list").stdout
    assert "\x1b[2J" not in shown
    first, second = [line for line in shown.splitlines() if "udp 192.0.2.7:31000" in line]
    assert ("yes" in first, "no" in second, "12.5" in first) == (True, True, True)
    assert "b1" not in run("registration", "list", "--booth", "b2").stdout.replace("sip:b1", "")
    assert "there is no booth named 'x'" in run("registration", "list", "--booth", "x").stderr


def test_live_calls_are_shown_once_where_nobody_watches(desk: MemoryDesk, run: Run) -> None:
    desk.live = [
        CallStatus(
            call_id="c",
            shop="center",
            booth="b1",
            kind="call",
            direction="outbound",
            state="answered",
            dialled="0032 2 222\x1b[2J",
            e164="322222",
            destination="Belgium",
            setup_at_ms=1_767_225_599_007,
            answered_at_ms=1_767_225_602_000,
            talk_ms=61_250,
            amount_micros=240_000,
            currency="EUR",
            trunk="demo",
        )
    ]
    shown = done(run("calls"))
    assert re.search(
        r"2025-12-31 23:59:59 +center +b1 +answered +0032 2 222\?\[2J +Belgium +demo +1:01 +0.24 EUR", shown
    )
    assert json.loads(done(run("calls", "--json")))["calls"][0]["talk_ms"] == 61_250


def exported(run: Run, desk: MemoryDesk, name: str, *words: str) -> str:
    desk.records = [CHAIN, CHAIN | {"call_id": "b", "dialled": "+49 30 1234567", "charges": []}]
    assert done(run("cdr", "export", name, *words)) == f"2 records in {name}\n"
    return Path(name).read_bytes().decode()


def test_cdrs_are_exported_for_a_spreadsheet_which_runs_none_of_it(desk: MemoryDesk, run: Run) -> None:
    rows = list(csv.DictReader(exported(run, desk, "cdrs.csv").splitlines()))
    assert [row["dialled"] for row in rows] == ["0032 2 222 22 22", "'+49 30 1234567"]
    assert (rows[0]["charge0_amount"], rows[0]["charge3_amount"], rows[0]["charge0_billed_s"]) == (
        "0.87",
        "0.2512",
        "180",
    )
    assert (rows[1]["charge0_amount"], rows[1]["charges_more"]) == ("", "")
    assert Path("cdrs.csv").parent.joinpath(".cdrs.csv.part").exists() is False


def test_cdrs_are_exported_for_programs_with_masked_numbers(desk: MemoryDesk, run: Run) -> None:
    lines = exported(run, desk, "cdrs.jsonl", "--mask").splitlines()
    assert [json.loads(line)["dialled"] for line in lines] == ["0032 2 222 ** **", "+49 30 123****"]


def test_an_export_reads_page_after_page(desk: MemoryDesk, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ask, "PAGE_ROWS", 2)
    desk.records = [CHAIN | {"call_id": str(number)} for number in range(5)]
    lines = done(run("cdr", "export", "-", "--format", "jsonl")).splitlines()
    assert [json.loads(line)["call_id"] for line in lines] == ["0", "1", "2", "3", "4"]


def test_an_export_that_fails_leaves_no_file(desk: MemoryDesk, run: Run) -> None:
    assert "there is no booth named 'nobody'" in run("cdr", "export", "cdrs.csv", "--booth", "nobody").stderr
    assert "no/folder/cdrs.csv cannot be written" in run("cdr", "export", "no/folder/cdrs.csv").stderr
    assert list(Path().iterdir()) == []
