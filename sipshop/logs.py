"""The log: one line for each thing that happened, as text or as JSON, with the call that it is about (IO).

What phones and strangers wrote comes out escaped: no name and no number begins a line of its own or steers a terminal.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import Any, Final

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
)
from sipshop.settings import LogFormat, LogSettings
from sipshop.sip.message import printable

#: What a line may be about, besides its text: given as `extra={"call": ...}`, in this order.
SUBJECTS: Final = ("call", "tenant", "shop", "booth", "trunk", "client")

log: Final = logging.getLogger("sipshop.calls")

_MEGABYTE: Final = 1_000_000


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
    handler: logging.Handler = logging.StreamHandler()
    if settings.file is not None:
        handler = RotatingFileHandler(
            settings.file,
            maxBytes=settings.file_mb * _MEGABYTE,
            backupCount=settings.files - 1,
            encoding="utf-8",
            errors="backslashreplace",
        )
    handler.setFormatter(JsonLines() if settings.format is LogFormat.JSON else TextLines())
    root = logging.getLogger()
    before = [each for each in root.handlers if each.get_name() == __name__]
    handler.set_name(__name__)
    root.addHandler(handler)
    for each in before:
        root.removeHandler(each)
        each.close()
    logging.getLogger("sipshop").setLevel(settings.level.upper())


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
            log.debug("registered: %d", fact.bindings, extra=about)
        case RequestRefused():
            log.debug("refused with %d: %s", fact.status, fact.cause, extra={"shop": fact.shop or ""})
        case MessageDropped():
            log.debug("a message was dropped: %s", fact.reason)


def _subjects(record: logging.LogRecord) -> dict[str, str]:
    given: dict[str, Any] = record.__dict__
    return {name: str(given[name]) for name in SUBJECTS if given.get(name)}


def _word(text: str) -> str:
    """A value as one word: in quotes where it has spaces or quotes itself."""
    safe = printable(text)
    return json.dumps(safe) if not safe or any(mark in safe for mark in ' "=') else safe


def _instant(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    assert record.exc_info, "the caller has looked"
    return formatter.formatException(record.exc_info)
