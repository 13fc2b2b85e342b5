"""What a call detail record is to others: the columns of CSV, JSON Lines and Parquet, once, and their version.

A record is that of the API (`Cdr.to_json`). JSON and Parquet nest its lists; CSV has a line for a record, so there the
first charges have columns of their own and what is left over is JSON in one cell: nothing is left out in any of them.
A column that is added, removed or means something else makes a new version, which each record names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

LAYOUT_VERSION: Final = 1
#: How many charges of a record have columns of their own in CSV: the booth's customer first.
CSV_LEVELS: Final = 5

# What a spreadsheet takes for a formula, and what stands before such a text so that it is none.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
_GUARD: Final = "'"
_DECIMAL: Final = re.compile(r"-?\d+(\.\d+)?")


class Form(Enum):
    """What a column holds; a decimal number is a text in JSON and CSV, exact as it is here."""

    TEXT = auto()
    INTEGER = auto()
    FLAG = auto()
    INSTANT = auto()  # UTC, to the millisecond
    AMOUNT = auto()  # 6 decimal places
    PRICE = auto()  # 9 decimal places, a minute or a call
    PERCENT = auto()  # 4 decimal places
    LIST = auto()
    OBJECT = auto()  # JSON, which CSV and Parquet hold as its text


@dataclass(frozen=True, slots=True)
class Column:
    """One column, and what it means; `columns` are those of the entries of a list."""

    name: str
    form: Form
    meaning: str
    columns: tuple[Column, ...] = ()


LINE: Final = (
    Column("kind", Form.TEXT, "grace, fee, first, free, next, surcharge, minimum or maximum"),
    Column("seconds", Form.INTEGER, "billed seconds of the increments"),
    Column("price", Form.PRICE, "a minute; of a fee, minimum or maximum a call"),
    Column("percent", Form.PERCENT, "of a surcharge"),
)
ATTEMPT: Final = (
    Column("trunk", Form.TEXT, "the trunk that was tried"),
    Column("status", Form.INTEGER, "its final SIP status"),
    Column("q850", Form.INTEGER, "its cause (ITU-T Q.850)"),
    Column("pdd_ms", Form.INTEGER, "from our first try to its first ringing"),
    Column("why", Form.TEXT, "what kept us from an answer"),
)
CHARGE: Final = (
    Column("seller", Form.TEXT, "who is paid"),
    Column("buyer", Form.TEXT, "who pays; of the first charge the booth"),
    Column("deck", Form.TEXT, "by which deck"),
    Column("version", Form.INTEGER, "and by which version of it"),
    Column("prefix", Form.TEXT, "the prefix of the rate"),
    Column("billed_s", Form.INTEGER, "seconds that are billed"),
    Column("amount", Form.AMOUNT, "what is paid"),
    Column("currency", Form.TEXT, "ISO 4217"),
    Column("margin", Form.AMOUNT, "what the buyer keeps of what he is paid himself; none of the first"),
    Column("margin_currency", Form.TEXT, "and in which currency"),
    Column("lines", Form.LIST, "the arithmetic, term by term", LINE),
    Column("tax", Form.OBJECT, "what it is taxed at"),
    Column("fx", Form.OBJECT, "what it was converted by"),
)
COLUMNS: Final = (
    Column("layout", Form.INTEGER, "the version of these columns"),
    Column("call_id", Form.TEXT, "ours; with `revision` the name of a record"),
    Column("revision", Form.INTEGER, "0, then one more for each correction; the latest counts"),
    Column("kind", Form.TEXT, "call, emergency or test"),
    Column("direction", Form.TEXT, "outbound, or inbound from a carrier"),
    Column("tenant", Form.TEXT, "the provider"),
    Column("shop", Form.TEXT, "the shop"),
    Column("booth", Form.TEXT, "the booth"),
    Column("session_id", Form.INTEGER, "the booth session that pays"),
    Column("dialled", Form.TEXT, "as it was dialled"),
    Column("e164", Form.TEXT, "the digits with the country code"),
    Column("destination", Form.TEXT, "what the deck calls it"),
    Column("setup_at", Form.INSTANT, "the first INVITE"),
    Column("answered_at", Form.INSTANT, "the answer, where talk time begins"),
    Column("ended_at", Form.INSTANT, "the end"),
    Column("pdd_ms", Form.INTEGER, "until it rang"),
    Column("talk_ms", Form.INTEGER, "talk time"),
    Column("result", Form.TEXT, "answered, busy, no_answer, cancelled, refused or failed"),
    Column("sip_status", Form.INTEGER, "the SIP status that the caller got, or would have"),
    Column("q850", Form.INTEGER, "the cause (ITU-T Q.850)"),
    Column("hung_up_by", Form.TEXT, "caller, callee or switch"),
    Column("trunk", Form.TEXT, "the trunk that answered or was tried last"),
    Column("attempts", Form.LIST, "every trunk that was tried", ATTEMPT),
    Column("leg_a_call_id", Form.TEXT, "the Call-ID of the phone's side"),
    Column("leg_b_call_id", Form.TEXT, "the Call-ID of the carrier's side"),
    Column("recovered", Form.FLAG, "ended by a restart"),
    Column("charges", Form.LIST, "what each level pays, the booth's customer first", CHARGE),
)

to_json: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def shaped(record: Mapping[str, Any], columns: Sequence[Column] = COLUMNS) -> dict[str, Any]:
    """Return a record with exactly the columns of the layout, in their order; what it has not is None.

    >>> list(shaped({"call_id": "c1"}))[:2]
    ['layout', 'call_id']
    """
    made: dict[str, Any] = {}
    for column in columns:
        value: Any = LAYOUT_VERSION if column is COLUMNS[0] else record.get(column.name)
        made[column.name] = (
            [shaped(entry, column.columns) for entry in value or ()] if column.form is Form.LIST else value
        )
    return made


def json_line(record: Mapping[str, Any]) -> str:
    """Return a record as a line of JSON, with its end."""
    return f"{to_json(shaped(record))}\n"


def csv_header() -> Iterator[str]:
    """The names of the columns of CSV, in order."""
    for column in COLUMNS:
        if column.name != "charges":
            yield column.name
    for level in range(CSV_LEVELS):
        yield from (f"charge{level}_{column.name}" for column in CHARGE)
    yield "charges_more"


def csv_cells(record: Mapping[str, Any]) -> Iterator[str]:
    """The cells of a record, in the order of `csv_header`."""
    made = shaped(record)
    charges = made.pop("charges")
    for column in COLUMNS:
        if column.name != "charges":
            yield _cell(column, made[column.name])
    for level in range(CSV_LEVELS):
        charge = charges[level] if level < len(charges) else {}
        yield from (_cell(column, charge.get(column.name)) for column in CHARGE)
    yield to_json(charges[CSV_LEVELS:]) if len(charges) > CSV_LEVELS else ""


def _cell(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.form in {Form.LIST, Form.OBJECT}:
        return to_json(value)
    if column.form is Form.FLAG:
        return "true" if value else "false"
    return guarded(str(value))


def guarded(text: str) -> str:
    """Return a text as no spreadsheet runs it: an apostrophe stands before what it would take for a formula.

    It stands before a text that begins with an apostrophe too, so that one is always to be taken away. A number below
    zero is none.

    >>> guarded("+49 30"), guarded("=1+1"), guarded("-0.25"), guarded("'tis"), guarded("zoe")
    ("'+49 30", "'=1+1", '-0.25', "''tis", 'zoe')
    """
    if text.startswith((*_FORMULA, _GUARD)) and not _DECIMAL.fullmatch(text):
        return f"{_GUARD}{text}"
    return text
