"""The log: one line for each thing that happened, as text or as JSON, with the call that it is about (IO).

What phones and strangers wrote comes out escaped: no name begins a line of its own or steers a terminal. A number that
a customer called is in no line: who wants it asks for the CDR of the `call`, where it is masked in time.
"""

from __future__ import annotations

import json
import logging
import math
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from queue import Full, Queue
from typing import Any, Final

from sipshop.facts import (
    AlertRaised,
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    LossSeen,
    MessageDropped,
    RegistrationChanged,
    RequestRefused,
    SourceBanned,
    TrunkChanged,
)
from sipshop.settings import LogFormat, LogSettings
from sipshop.sip.message import printable

#: What a line may be about, besides its text: given as `extra={"call": ...}`, in this order.
SUBJECTS: Final = ("call", "tenant", "shop", "booth", "trunk", "client")

log: Final = logging.getLogger("sipshop.calls")

_MEGABYTE: Final = 1_000_000
_DAY_S: Final = 86_400
#: How many lines may wait for a disk that is slow; those that come then are lost, and counted.
MAX_WAITING: Final = 10_000


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.123Z INFO sipshop.calls: the call has ended call=1f0c shop=Corner`, a traceback escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        about = "".join(f" {name}={_word(text)}" for name, text in _subjects(record).items())
        trace = f" | {_trace(self, record)}" if record.exc_info else ""
        line = f"{_instant(record)} {record.levelname} {record.name}: {record.getMessage()}"
        return f"{printable(line)}{about}{printable(trace)}"


class JsonLines(logging.Formatter):
    """One object a line: `at` (UTC), `level`, `logger`, `message`, the subjects, and `exception` with its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, str] = {
            "at": _instant(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_subjects(record),
        }
        if record.exc_info:
            line["exception"] = _trace(self, record)
        return json.dumps(line)  # ASCII: everything else is escaped


def begin_log(settings: LogSettings) -> None:
    """Log as the settings say from now on; a file is opened anew, so that it may have been moved away.

    Raises:
        OSError: the file cannot be written; the log goes on as before.
    """
    writer: logging.Handler = logging.StreamHandler()
    if settings.file is not None:
        writer = _Files(settings, settings.file)
    writer.setFormatter(JsonLines() if settings.format is LogFormat.JSON else TextLines())
    handler = Aside(writer)
    root = logging.getLogger()
    before = [each for each in root.handlers if each.get_name() == __name__]
    handler.set_name(__name__)
    root.addHandler(handler)
    for each in before:
        root.removeHandler(each)
        each.close()
    logging.getLogger("sipshop").setLevel(settings.level.upper())


def forget_log(now_s: float) -> None:
    """Remove what the log need not keep at this instant (since the Unix epoch), if it is written to files.

    It is done for each new file too; this is for a log in which nothing happens.
    """
    for handler in logging.getLogger().handlers:
        if isinstance(handler, Aside) and isinstance(handler.writer, _Files):
            handler.writer.forget(now_s)


class Aside(QueueHandler):
    """Has its lines written by a thread of their own, in order.

    A disk, a terminal or a journal that makes a write wait would make every call wait that the event loop serves, and a
    BYE that is heard late is paid for. `flush` and `close` wait until all is written.
    """

    def __init__(self, writer: logging.Handler, max_waiting: int = MAX_WAITING) -> None:
        self._waiting: Queue[logging.LogRecord] = Queue(max_waiting)
        super().__init__(self._waiting)
        self.writer = writer
        self._lost = 0
        self._listener = _Listener(self._waiting, writer)
        self._listener.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Hand the record on as it is: who writes it is in this process, and wants its parts."""
        return record

    def enqueue(self, record: logging.LogRecord) -> None:
        """Put a record behind those that wait, or count it as lost; the next that finds room is told how many were."""
        try:
            if self._lost:
                self._waiting.put_nowait(_lost_lines(self._lost))
                self._lost = 0
            self._waiting.put_nowait(record)
        except Full:
            self._lost += 1

    def flush(self) -> None:
        """Wait until every line is written."""
        self._waiting.join()

    def close(self) -> None:
        """Write what waits, and stop."""
        self._listener.stop()
        self.writer.close()
        super().close()


class _Listener(QueueListener):
    """The thread that writes."""

    def __init__(self, waiting: Queue[logging.LogRecord], writer: logging.Handler) -> None:
        super().__init__(waiting, writer)
        self._waiting: Queue[Any] = waiting

    def stop(self) -> None:
        """End the thread when all is written; a second time does nothing."""
        if self._thread is not None:
            super().stop()

    def enqueue_sentinel(self) -> None:
        """Say that nothing more comes; where there is no room for that, wait for some."""
        self._waiting.put(None)


class _Files(RotatingFileHandler):
    """A file and those before it: another is begun where one is full, and each day where days are counted."""

    def __init__(self, settings: LogSettings, file: str) -> None:
        super().__init__(
            file,
            maxBytes=settings.file_mb * _MEGABYTE,
            backupCount=settings.files - 1,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._days = settings.days
        found = Path(file).stat()
        self._day = found.st_mtime // _DAY_S if found.st_size else math.inf  # of the last line; an empty file has none

    def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802  # a name of the standard library
        """Say whether a line begins another file."""
        is_of_another_day = bool(self._days) and record.created // _DAY_S > self._day
        return is_of_another_day or bool(super().shouldRollover(record))

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, and remove what is too old by then if it begins a file."""
        super().emit(record)
        day = record.created // _DAY_S
        if day != self._day:
            self._day = day
            self.forget(record.created)

    def forget(self, now_s: float) -> None:
        """Remove the files whose last line is too old; the one that is written to begins anew if its own is."""
        if not self._days:
            return
        before_s = now_s - self._days * _DAY_S
        self.acquire()
        try:
            if self._day * _DAY_S + _DAY_S <= before_s:
                self.doRollover()
                self._day = math.inf
            for number in range(1, self.backupCount + 1):
                path = Path(f"{self.baseFilename}.{number}")
                with suppress(OSError):  # it is not there, or somebody else has removed it
                    if path.stat().st_mtime <= before_s:
                        path.unlink()
        finally:
            self.release()


def log_fact(fact: Fact) -> None:
    """Write down what happened to a call or a phone; most of it only at the level `debug`."""
    match fact:
        case CallEnded():
            who = f" by the {fact.hung_up_by}" if fact.hung_up_by is not None else ""
            about = {"call": fact.call_id, "tenant": fact.tenant, "shop": fact.shop, "booth": fact.booth}
            log.info(
                "the call has ended%s: %s, SIP %d, talked %.3f s",
                who,
                fact.result,
                fact.sip_status,
                fact.talk_ms / 1000,
                extra=about | ({} if fact.trunk is None else {"trunk": fact.trunk}),
            )
        case SourceBanned():
            what = "all of it" if fact.account is None else f"account {printable(fact.account)!r}"
            log.warning("too many wrong passwords from %s: %s is not heard for %d s", fact.source, what, fact.seconds)
        case TrunkChanged():
            registration = "" if fact.registration is None else f", {fact.registration}"
            is_well = fact.state == "up" and fact.registration != "failed"
            level = logging.WARNING if not is_well else logging.DEBUG if fact.is_first else logging.INFO
            about = {"tenant": fact.tenant, "trunk": fact.trunk}
            log.log(level, "the carrier is %s%s", fact.state, registration, extra=about)
        case AlertRaised():
            about = {"tenant": fact.tenant}
            log.warning("alert %d: %s %s: %s", fact.id, fact.place, fact.name, printable(fact.detail), extra=about)
        case LossSeen():
            log.warning("%s loses on this call", fact.party, extra={"call": fact.call_id, "tenant": fact.tenant})
        case _ if log.isEnabledFor(logging.DEBUG):
            _log_detail(fact)


def _log_detail(fact: Fact) -> None:
    match fact:
        case CallAttempted():
            about = {"call": fact.call_id, "tenant": fact.tenant, "shop": fact.shop, "booth": fact.booth}
            log.debug("a call begins: %s", fact.kind, extra=about)
        case CallRang():
            log.debug("it rings after %d ms", fact.after_ms, extra={"call": fact.call_id, "shop": fact.shop})
        case CallAnswered():
            about = {"call": fact.call_id, "shop": fact.shop, "trunk": fact.trunk}
            log.debug("it is answered after %d ms", fact.after_ms, extra=about)
        case RegistrationChanged():
            about = {"tenant": fact.tenant, "shop": fact.shop, "booth": fact.booth}
            log.debug("registered: %d, of which %d answer", fact.bindings, fact.reachable, extra=about)
        case RequestRefused():
            why = f", {fact.why}" if fact.why else ""
            about = {"shop": fact.shop or "", "booth": fact.account or ""}
            log.debug("refused with %d: %s%s", fact.status, fact.cause, why, extra=about)
        case MessageDropped():
            log.debug("%d messages were dropped: %s", fact.times, fact.reason)


def _lost_lines(count: int) -> logging.LogRecord:
    text = "%d lines of this log are lost: they could not be written as fast as they came"
    return logging.LogRecord(__name__, logging.ERROR, "", 0, text, (count,), None)


def _subjects(record: logging.LogRecord) -> dict[str, str]:
    given: dict[str, Any] = record.__dict__
    return {name: str(given[name]) for name in SUBJECTS if given.get(name)}


def _word(text: str) -> str:
    """A value as one word: as JSON writes it where it has spaces or quotes itself, so that nothing is escaped twice."""
    if text and not any(mark in text for mark in ' "='):
        return printable(text)
    return json.dumps(text).replace("\x7f", "\\u007f")


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    assert record.exc_info, "the caller has looked"
    return formatter.formatException(record.exc_info)
