"""One layout for three forms, read back by programs that are not ours."""

import csv
import io
import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pytest
from pyarrow import parquet

from sipshop.export.formats import encoder
from sipshop.export.forms import ExportForm
from sipshop.export.layout import ATTEMPT, CHARGE, COLUMNS, CSV_LEVELS, LINE, Form, guarded, shaped
from tests.store.examples import cdr

RECORD: Final = cdr("c1").to_json()
ODD: Final = {**cdr("c2", talk_ms=0).to_json(), "dialled": "=cmd|' /C calc'!A0", "destination": 'Köln, "Rhein"\n'}
PAGE: Final = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")


def written(form: ExportForm, *pages: list[dict[str, Any]]) -> bytes:
    """A file of some pages of records."""
    writer = encoder(form)
    return b"".join([*(writer.add(page) for page in pages), writer.end()])


def test_the_layout_has_every_column_of_a_record_and_no_other() -> None:
    assert {column.name for column in COLUMNS} == {"layout", *RECORD}
    assert {column.name for column in CHARGE} == {"tax", "fx", *RECORD["charges"][0]}
    assert [column.name for column in ATTEMPT] == list(RECORD["attempts"][0])
    assert {key for line in RECORD["charges"][0]["lines"] for key in line} <= {column.name for column in LINE}


def test_the_page_explains_every_column() -> None:
    forms = {form: form.name.lower() for form in Form}
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [(column.name, forms[column.form], column.meaning) for column in COLUMNS]
    lists = dict(re.findall(r"^\| `(\w+)` \| (`.+`) \|$", PAGE, re.MULTILINE))
    for name, columns in (("attempts", ATTEMPT), ("charges", CHARGE), ("lines", LINE)):
        assert re.findall(r"`(\w+)`", lists[name]) == [column.name for column in columns]


def test_json_lines_are_read_back_as_they_were() -> None:
    lines = written(ExportForm.JSONL, [RECORD], [ODD]).decode().splitlines()
    assert [json.loads(line) for line in lines] == [shaped(RECORD), shaped(ODD)]


def test_csv_is_read_back_by_pythons_reader() -> None:
    text = written(ExportForm.CSV, [RECORD], [ODD]).decode()
    first, second = csv.DictReader(io.StringIO(text, newline=""))
    assert (first["layout"], first["call_id"], first["talk_ms"], first["recovered"]) == ("1", "c1", "62000", "false")
    amounts = [first[f"charge{level}_amount"] for level in range(CSV_LEVELS)]
    assert amounts == ["0.29", "0.132", "0.093", "0.07", ""]
    assert json.loads(first["charge0_lines"]) == shaped(RECORD)["charges"][0]["lines"]
    assert json.loads(first["attempts"])[0]["trunk"] == "first"
    assert second["dialled"] == f"'{ODD['dialled']}"
    assert second["destination"] == ODD["destination"]
    assert (second["answered_at"], second["charge0_amount"], second["charges_more"]) == ("", "", "")


def test_charges_beyond_the_columns_of_csv_are_not_dropped() -> None:
    deep = {**RECORD, "charges": RECORD["charges"] * 2}
    (row,) = csv.DictReader(io.StringIO(written(ExportForm.CSV, [deep]).decode(), newline=""))
    assert [charge["amount"] for charge in json.loads(row["charges_more"])] == ["0.132", "0.093", "0.07"]


@pytest.mark.parametrize("text", ["=1+1", "+49", "-x", "@a", "\ta", "\ra", "'a", "-", "+1"])
def test_no_cell_begins_a_formula_and_one_apostrophe_is_to_be_taken_away(text: str) -> None:
    assert guarded(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "a", "-1.25", "0", "49", "a=b"])
def test_what_is_harmless_stays(text: str) -> None:
    assert guarded(text) == text


def test_parquet_is_read_back_by_pyarrow_with_its_types(tmp_path: Path) -> None:
    path = tmp_path / "cdrs.parquet"
    path.write_bytes(written(ExportForm.PARQUET, [RECORD], [ODD]))
    table = parquet.read_table(path)
    charge = table.schema.field("charges").type.value_type
    assert table.schema.field("setup_at").type == pa.timestamp("ms", tz="UTC")
    assert charge.field("amount").type == pa.decimal128(19, 6)
    assert table.schema.metadata[b"sipshop.layout"] == b"1"
    first, second = table.to_pylist()
    assert first["setup_at"] == datetime.fromisoformat(RECORD["setup_at"]).astimezone(UTC)
    assert [each["amount"] for each in first["charges"]] == [Decimal(each["amount"]) for each in RECORD["charges"]]
    assert first["charges"][0]["lines"][0]["price"] == Decimal("0.05")
    assert (first["attempts"][0]["status"], first["recovered"], first["talk_ms"]) == (503, False, 62_000)
    assert (second["dialled"], second["answered_at"], second["charges"]) == (ODD["dialled"], None, [])


def test_parquet_is_written_bit_by_bit() -> None:
    writer = encoder(ExportForm.PARQUET)
    page = [RECORD] * 1000
    parts = [len(writer.add(page)) for _ in range(11)]
    assert sum(1 for part in parts if part) >= 2, "two groups of rows left before the end"
    assert writer.end()


@pytest.mark.parametrize("form", ExportForm)
def test_a_file_of_nothing_is_one_that_can_be_read(form: ExportForm, tmp_path: Path) -> None:
    content = written(form, [])
    if form is ExportForm.PARQUET:
        (tmp_path / "none.parquet").write_bytes(content)
        assert parquet.read_table(tmp_path / "none.parquet").num_rows == 0
    else:
        assert content.count(b"\n") == (form is ExportForm.CSV)
