"""The log: one line for each event, whatever strangers write into it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Event
from types import TracebackType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.facts import (
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    LossSeen,
    MessageDropped,
    RegistrationChanged,
    RequestRefused,
    TrunkChanged,
)
from sipshop.logs import Aside, JsonLines, TextLines, begin_log, forget_log, log_fact
from sipshop.settings import LogFormat, LogLevel, LogSettings

ENDED = CallEnded(
    call_id="1f0c",
    tenant="Demo Telecom",
    shop="Corner",
    booth="booth1",
    trunk="demo",
    talk_ms=64_004,
    result="answered",
    sip_status=200,
    q850=16,
    hung_up_by="caller",
)
DETAILS: list[tuple[Fact, str]] = [
    (
        CallAttempted(tenant="t", shop="s", booth="b", call_id="c", kind="emergency", direction="outbound", at_ms=1),
        "a call begins: emergency call=c tenant=t shop=s booth=b",
    ),
    (CallRang(tenant="t", shop="s", booth="b", call_id="c", after_ms=20), "it rings after 20 ms call=c shop=s"),
    (
        CallAnswered(tenant="t", shop="s", booth="b", call_id="c", trunk="d", relayed_at_ms=1, after_ms=30, added_us=5),
        "it is answered after 30 ms call=c shop=s trunk=d",
    ),
    (
        RegistrationChanged(tenant="t", shop="s", booth="b", bindings=2, reachable=1),
        "registered: 2, of which 1 answer tenant=t shop=s booth=b",
    ),
    (RequestRefused(status=403, cause="locked", shop="s"), "refused with 403: locked shop=s"),
    (RequestRefused(status=401, cause="unauthenticated", shop=None), "refused with 401: unauthenticated"),
    (
        RequestRefused(status=401, cause="unauthenticated", shop=None, account="ev\x1bil", why="a wrong password"),
        "refused with 401: unauthenticated, a wrong password booth=ev\\x1bil",
    ),
    (
        TrunkChanged(tenant="t", trunk="one", state="up", registration=None, status=200, is_first=True),
        "the carrier is up tenant=t trunk=one",
    ),
    (MessageDropped(reason="malformed"), "1 messages were dropped: malformed"),
]


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Path]:
    """A file that the log may be written to; the log ends with the test."""
    yield tmp_path / "sipshop.log"
    for handler in [each for each in logging.getLogger().handlers if each.get_name() == "sipshop.logs"]:
        logging.getLogger().removeHandler(handler)
        handler.close()
    logging.getLogger("sipshop").setLevel(logging.NOTSET)


def record(message: str, *arguments: object, **about: object) -> logging.LogRecord:
    made = logging.LogRecord("sipshop.x", logging.WARNING, "x.py", 1, message, arguments, None)
    made.created = 1_767_225_599.0075
    made.__dict__.update(about)
    return made


def failure(text: str) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """An exception as a log is given it."""
    try:
        fail(text)
    except ValueError as error:
        return type(error), error, error.__traceback__
    raise AssertionError("it has failed")


def fail(text: str) -> None:
    raise ValueError(text)


def caught_up() -> None:
    """Wait for the thread that writes."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def lines_of(file: Path) -> list[str]:
    caught_up()
    return file.read_text("utf-8").splitlines()


def test_a_line_of_text_says_when_how_bad_where_what_and_about_which_call() -> None:
    line = TextLines().format(record("trunk %s is silent", "demo", call="1f0c", shop="Corner Shop", trunk=""))
    assert line == '2025-12-31T23:59:59.007Z WARNING sipshop.x: trunk demo is silent call=1f0c shop="Corner Shop"'


@pytest.mark.parametrize(
    ("shop", "written"),
    [("Café", r"Caf\xe9"), ("Café Sul", r'"Caf\u00e9 Sul"'), ("a\x7f b", r'"a\u007f b"'), ('a"\n', r'"a\"\n"')],
)
def test_a_name_is_escaped_once(shop: str, written: str) -> None:
    assert TextLines().format(record("calls", shop=shop)).endswith(f" shop={written}")


def test_a_line_of_json_says_the_same() -> None:
    line = JsonLines().format(record("trunk %s is silent", "demo", call="1f0c", shop="Corner Shop", trunk=""))
    assert json.loads(line) == {
        "at": "2025-12-31T23:59:59.007Z",
        "level": "warning",
        "logger": "sipshop.x",
        "message": "trunk demo is silent",
        "call": "1f0c",
        "shop": "Corner Shop",
    }


@pytest.mark.parametrize("formatter", [TextLines(), JsonLines()])
@given(foreign=st.text(max_size=60) | st.sampled_from(["\nERROR forged", "\x1b[2J", "\u2028", "\r\n", 'a" call=x']))
def test_foreign_text_stays_in_its_line(formatter: logging.Formatter, foreign: str) -> None:
    caught = record("dialled %s", foreign, booth=foreign)
    caught.exc_info = failure(foreign)
    line = formatter.format(caught)
    assert line.isascii()
    assert line.isprintable()
    if isinstance(formatter, JsonLines):
        assert json.loads(line)["message"] == f"dialled {foreign}"


def test_a_value_cannot_pass_for_another_key() -> None:
    assert TextLines().format(record("x", booth="b call=forged")).endswith(' booth="b call=forged"')


def test_a_traceback_is_in_the_line_of_its_message() -> None:
    caught = record("no luck")
    caught.exc_info = failure("boom")
    text, parsed = TextLines().format(caught), json.loads(JsonLines().format(caught))
    assert "no luck | Traceback (most recent call last):\\n" in text
    assert text.endswith("ValueError: boom")
    assert parsed["exception"].endswith("ValueError: boom")


def test_the_end_of_a_call_is_told_with_its_id(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged)))
    log_fact(ENDED)
    [line] = lines_of(logged)
    assert line[25:] == (
        "INFO sipshop.calls: the call has ended by the caller: answered, SIP 200, talked 64.004 s "
        'call=1f0c tenant="Demo Telecom" shop=Corner booth=booth1 trunk=demo'
    )


def test_a_loss_is_a_warning(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged), level=LogLevel.WARNING))
    log_fact(ENDED)
    log_fact(LossSeen(tenant="t", party="ann", call_id="c"))
    assert [line[25:] for line in lines_of(logged)] == ["WARNING sipshop.calls: ann loses on this call call=c tenant=t"]


def test_a_carrier_is_told_of_when_he_changes_or_is_found_down(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged)))
    changed = TrunkChanged(tenant="t", trunk="one", state="up", registration=None, status=200)
    for fact in (changed, replace(changed, is_first=True), replace(changed, is_first=True, state="down")):
        log_fact(fact)
    assert [line[25:] for line in lines_of(logged)] == [
        "INFO sipshop.calls: the carrier is up tenant=t trunk=one",
        "WARNING sipshop.calls: the carrier is down tenant=t trunk=one",
    ]


def test_details_are_told_only_at_the_level_debug(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged)))
    for fact, _ in DETAILS:
        log_fact(fact)
    assert lines_of(logged) == []
    begin_log(LogSettings(file=str(logged), level=LogLevel.DEBUG))
    for fact, _ in DETAILS:
        log_fact(fact)
    assert [line[25:] for line in lines_of(logged)] == [f"DEBUG sipshop.calls: {text}" for _, text in DETAILS]


def test_a_log_that_begins_again_has_one_place_and_one_form(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged)))
    moved = logged.rename(logged.with_name("moved.log"))
    begin_log(LogSettings(file=str(logged), format=LogFormat.JSON))
    logging.getLogger("sipshop.x").info("hello")
    assert lines_of(moved) == []
    assert [json.loads(line)["message"] for line in lines_of(logged)] == ["hello"]


def test_a_file_that_cannot_be_written_changes_nothing(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged)))
    with pytest.raises(OSError, match="No such file"):
        begin_log(LogSettings(file=str(logged.parent / "no" / "folder.log"), level=LogLevel.ERROR))
    logging.getLogger("sipshop.x").info("still here")
    assert len(lines_of(logged)) == 1


def test_old_files_go_when_there_are_enough(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged), file_mb=1, files=2))
    for _ in range(6):
        logging.getLogger("sipshop.x").info("x" * 400_000)
    caught_up()
    assert sorted(path.name for path in logged.parent.iterdir()) == ["sipshop.log", "sipshop.log.1"]


class StuckDisk(logging.Handler):
    """A place to write that makes everybody wait until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_stuck = Event()
        self.let_go = Event()
        self.written: list[str] = []

    def emit(self, line: logging.LogRecord) -> None:
        self.is_stuck.set()
        self.let_go.wait()
        self.written.append(line.getMessage())


def test_a_disk_that_is_stuck_makes_nobody_wait_and_loses_no_line_untold() -> None:
    disk = StuckDisk()
    log = Aside(disk, max_waiting=3)
    log.handle(record("a"))
    disk.is_stuck.wait()
    for text in "bcdef":  # b, c and d find room behind a, which is being written
        log.handle(record(text))
    disk.let_go.set()
    log.flush()
    log.handle(record("g"))
    log.close()
    lost = "2 lines of this log are lost: they could not be written as fast as they came"
    assert disk.written == ["a", "b", "c", "d", lost, "g"]


DAY_S = 86_400.0
MIDNIGHT_S = 20_000 * DAY_S


def told(text: str, at_s: float) -> None:
    """Log a line as if it happened at an instant, and age the file accordingly."""
    line = record(text)
    line.created = at_s
    logging.getLogger().handle(line)
    caught_up()
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Aside) and isinstance(handler.writer, RotatingFileHandler):
            os.utime(handler.writer.baseFilename, (at_s, at_s))


def kept(logged: Path) -> dict[str, str]:
    """The messages of each file of the log."""
    files = sorted(logged.parent.iterdir())
    return {path.name: "".join(line.rpartition(": ")[2] for line in lines_of(path)) for path in files}


def test_with_days_a_file_is_begun_each_day_and_goes_in_time(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged), days=2))
    for day, text in enumerate("abcd"):
        told(text, MIDNIGHT_S + day * DAY_S)
        told(text, MIDNIGHT_S + (day + 1) * DAY_S - 1)
    assert kept(logged) == {"sipshop.log": "dd", "sipshop.log.1": "cc", "sipshop.log.2": "bb"}


def test_a_restart_goes_on_with_the_file_of_its_day(logged: Path) -> None:
    for at_s, text in ((MIDNIGHT_S, "a"), (MIDNIGHT_S + 60, "b"), (MIDNIGHT_S + DAY_S, "c")):
        begin_log(LogSettings(file=str(logged), days=2))
        told(text, at_s)
    assert kept(logged) == {"sipshop.log": "c", "sipshop.log.1": "ab"}


def test_a_log_in_which_nothing_happens_goes_too(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged), days=2))
    told("a", MIDNIGHT_S)
    forget_log(MIDNIGHT_S + 3 * DAY_S - 1)
    assert kept(logged) == {"sipshop.log": "a"}
    forget_log(MIDNIGHT_S + 3 * DAY_S)
    assert kept(logged) == {"sipshop.log": ""}


def test_without_days_nothing_goes_for_its_age(logged: Path) -> None:
    begin_log(LogSettings(file=str(logged)))
    told("a", MIDNIGHT_S)
    told("b", MIDNIGHT_S + 900 * DAY_S)
    forget_log(MIDNIGHT_S + 9000 * DAY_S)
    assert kept(logged) == {"sipshop.log": "ab"}
