"""Files of records over HTTP, in the scope of who asks, and charges worked out once more."""

import csv
import io
import json

import pyarrow as pa
import pytest
from pyarrow import parquet

from sipshop.console import exports
from tests.console.memory import OWNER, TOKEN, Caller, MemoryDesk, memory_api
from tests.console.test_api import record

RECORDS = 5


def asked(path: str, token: str = TOKEN) -> tuple[int, str, bytes]:
    desk = MemoryDesk("b1", "b2")
    desk.records = [record(f"call-{number}") for number in range(RECORDS)]
    with Caller(memory_api(desk), token=token) as client:
        answer = client.get(f"/api/v1{path}")
    return answer.status_code, answer.headers["content-type"], answer.content


@pytest.mark.parametrize("page", [2, 5, 100])
def test_a_file_has_every_record_whatever_a_page_has(page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "PAGE_ROWS", page)
    status, kind, content = asked("/cdrs/export")
    assert (status, kind) == (200, "application/jsonl")
    names = [json.loads(line)["call_id"] for line in content.splitlines()]
    assert names == [f"call-{number}" for number in range(RECORDS)]


def test_a_file_is_csv_or_parquet_where_it_is_asked_for() -> None:
    _, kind, content = asked("/cdrs/export?format=csv")
    assert kind.startswith("text/csv")
    assert len(list(csv.DictReader(io.StringIO(content.decode(), newline="")))) == RECORDS
    _, kind, content = asked("/cdrs/export?format=parquet")
    assert kind == "application/vnd.apache.parquet"
    assert parquet.read_table(pa.BufferReader(content)).num_rows == RECORDS


def test_a_file_has_what_the_sender_may_see_and_no_more() -> None:
    _, _, content = asked("/cdrs/export", OWNER)
    assert {json.loads(line)["trunk"] for line in content.splitlines()} <= {None}


def test_numbers_are_masked_where_that_is_asked_for() -> None:
    _, _, content = asked("/cdrs/export?mask=true")
    assert all("*" in json.loads(line)["dialled"] for line in content.splitlines())


@pytest.mark.parametrize("path", ["/cdrs/export?format=xml", "/cdrs/export?since=yesterday", "/cdrs/verify?until=x"])
def test_what_cannot_be_asked_for_is_refused(path: str) -> None:
    assert asked(path)[0] == 422


def test_charges_are_worked_out_for_the_provider_alone() -> None:
    status, _, content = asked("/cdrs/verify")
    assert (status, json.loads(content)) == (200, {"clean": True, "charges": 4, "differences": [], "more": 0})
    assert asked("/cdrs/verify", OWNER)[0] == 403


def test_a_server_without_targets_says_so() -> None:
    assert json.loads(asked("/outbox")[2]) == {"targets": []}
    assert asked("/outbox", OWNER)[0] == 403
