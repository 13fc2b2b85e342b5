"""Records as CSV (RFC 4180), JSON Lines and Parquet, written bit by bit: memory holds a page of them at most (IO).

Parquet is written by pyarrow, which comes with `sipshop[parquet]` and is loaded when the first file is begun.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, Final, Protocol

from sipshop.export.forms import ExportForm
from sipshop.export.layout import (
    COLUMNS,
    LAYOUT_VERSION,
    Column,
    Form,
    csv_cells,
    csv_header,
    json_line,
    shaped,
    to_json,
)

#: Records in a row group of Parquet: enough to be read fast, few enough to be held.
ROWS_OF_A_GROUP: Final = 5_000

Record = Mapping[str, Any]


class NoParquet(Exception):
    """pyarrow is not installed; the text says what to do."""


class Encoder(Protocol):
    """Takes records and gives what is to be written of them; a file begins with what the first `add` or `end` gives."""

    def add(self, records: Sequence[Record]) -> bytes:
        """The next bytes, if any are ready."""
        ...

    def end(self) -> bytes:
        """The last bytes."""
        ...


def encoder(form: ExportForm) -> Encoder:
    """Return what writes a file; raises NoParquet where that is not there to write with."""
    match form:
        case ExportForm.CSV:
            return _Csv()
        case ExportForm.JSONL:
            return _JsonLines()
        case ExportForm.PARQUET:
            if find_spec("pyarrow") is None:
                raise NoParquet("Parquet needs pyarrow: pip install 'sipshop[parquet]'")
            return _Parquet()


class _Csv:
    def __init__(self) -> None:
        self._has_begun = False

    def add(self, records: Sequence[Record]) -> bytes:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        if not self._has_begun:
            self._has_begun = True
            writer.writerow(csv_header())
        writer.writerows(map(csv_cells, records))
        return text.getvalue().encode()

    def end(self) -> bytes:
        return b"" if self._has_begun else self.add(())


class _JsonLines:
    def add(self, records: Sequence[Record]) -> bytes:
        return "".join(map(json_line, records)).encode()

    def end(self) -> bytes:
        return b""


class _Parquet:
    def __init__(self) -> None:
        import pyarrow as pa  # noqa: PLC0415 - 150 MB of libraries, for those who want Parquet
        from pyarrow import parquet  # noqa: PLC0415 - likewise

        self._table = pa.Table
        self._schema = pa.schema(
            [pa.field(column.name, _type(pa, column)) for column in COLUMNS],
            metadata={"sipshop.layout": str(LAYOUT_VERSION)},
        )
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, self._schema, compression="zstd")
        self._waiting: list[dict[str, Any]] = []

    def add(self, records: Sequence[Record]) -> bytes:
        self._waiting += (_typed(shaped(record), COLUMNS) for record in records)
        if len(self._waiting) >= ROWS_OF_A_GROUP:
            self._flush()
        return self._sink.taken()

    def end(self) -> bytes:
        self._flush()
        self._writer.close()
        return self._sink.taken()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(self._table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []


class _Sink(io.RawIOBase):
    """A file that is only written to, and whose bytes are taken away as they come."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any, /) -> int:
        self._waiting.append(bytes(content))
        self._written += len(self._waiting[-1])
        return len(self._waiting[-1])

    def tell(self) -> int:
        return self._written

    def taken(self) -> bytes:
        """What was written since the last time."""
        content, self._waiting = b"".join(self._waiting), []
        return content


def _type(pa: Any, column: Column) -> Any:
    """The type of a column in Parquet."""
    match column.form:
        case Form.TEXT | Form.OBJECT:
            return pa.string()
        case Form.INTEGER:
            return pa.int64()
        case Form.FLAG:
            return pa.bool_()
        case Form.INSTANT:
            return pa.timestamp("ms", tz="UTC")
        case Form.AMOUNT:
            return pa.decimal128(19, 6)
        case Form.PRICE:
            return pa.decimal128(19, 9)
        case Form.PERCENT:
            return pa.decimal128(19, 4)
        case Form.LIST:
            return pa.list_(pa.struct([pa.field(each.name, _type(pa, each)) for each in column.columns]))


def _typed(record: Record, columns: Sequence[Column]) -> dict[str, Any]:
    """A record whose texts of numbers and instants are numbers and instants."""
    return {column.name: _value(record[column.name], column) for column in columns}


def _value(value: Any, column: Column) -> Any:
    if value is None:
        return None
    match column.form:
        case Form.INSTANT:
            return datetime.fromisoformat(value)
        case Form.AMOUNT | Form.PRICE | Form.PERCENT:
            return Decimal(value)
        case Form.LIST:
            return [_typed(entry, column.columns) for entry in value]
        case Form.OBJECT:
            return to_json(value)
        case _:
            return value
