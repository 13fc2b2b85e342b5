"""Reratings, statements and invoices over HTTP, and on paper."""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pypdf
import pytest

from sipshop.billing.ledger import TransferKind, customer, moved
from sipshop.billing.money import Money
from sipshop.console.paper.page import POLICY, page_of
from sipshop.console.paper.pdf import pdf_of
from sipshop.console.paper.sheet import sheet_of
from sipshop.store.writes import post
from tests.console.memory import (
    OPERATOR,
    OWNER,
    RESELLER,
    STRANGER,
    TENANT,
    TOKEN,
    Caller,
    MemoryDesk,
    memory_api,
)

DECEMBER_MS: Final = int(datetime(2025, 12, 15, tzinfo=UTC).timestamp()) * 1000
FEBRUARY_MS: Final = int(datetime(2026, 2, 3, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture
def desk() -> MemoryDesk:
    desk = MemoryDesk("b1")
    desk.books.now_ms = FEBRUARY_MS
    paid = moved("payment:x", TransferKind.PAYMENT, source="world", account=customer("olga", "acme"), amount=EURO)
    connection = desk.books.stored.connection
    post(connection, TENANT, (paid,), author="root", reason="<script>alert(1)</script>", at_ms=DECEMBER_MS)
    return desk


EURO: Final = Money(1_000_000, "EUR")


@pytest.fixture
def client(desk: MemoryDesk) -> Iterator[Caller]:
    with Caller(memory_api(desk), token=TOKEN) as client:
        yield client


def test_a_statement_is_read_and_a_month_closed_once(client: Caller) -> None:
    assert client.get("/api/v1/parties/olga/statement?month=2025-12").json()["account"]["payments"] == "6.00"
    first = client.post("/api/v1/parties/olga/invoices", json={"month": "2025-12"}).json()
    assert first == client.post("/api/v1/parties/olga/invoices", json={"month": "2025-12"}).json()
    assert (first["number"], first["document"]["number"], first["net"]) == ("2026-0001", "2026-0001", "0.00")
    listed = client.get("/api/v1/invoices").json()
    assert ([row["number"] for row in listed["invoices"]], listed["next"]) == (["2026-0001"], None)
    assert client.get("/api/v1/parties/olga/invoices/2026-0001").json() == first


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        pytest.param({"month": "2026-02"}, 409, "not_to_be_closed", id="not over"),
        pytest.param({"month": "2026-13"}, 422, "bad_period", id="no month"),
        pytest.param({"from": "2026-01-02", "until": "2026-01-01"}, 422, "bad_period", id="backwards"),
        pytest.param({"month": "2026-01", "from": "2026-01-01"}, 422, "invalid_request", id="both"),
        pytest.param({}, 422, "invalid_request", id="none"),
    ],
)
def test_what_cannot_be_closed(client: Caller, body: dict[str, str], status: int, code: str) -> None:
    answer = client.post("/api/v1/parties/olga/invoices", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(
    ("token", "reads", "closes", "rerates"),
    [
        pytest.param(TOKEN, 200, 200, 200, id="the provider"),
        pytest.param(OWNER, 200, 403, 403, id="the buyer"),
        pytest.param(RESELLER, 404, 404, 403, id="a neighbour"),
        pytest.param(OPERATOR, 403, 403, 403, id="an operator"),
        pytest.param(STRANGER, 404, 404, 404, id="another provider"),
    ],
)
def test_who_may_what(desk: MemoryDesk, token: str, reads: int, closes: int, rerates: int) -> None:
    with Caller(memory_api(desk), token=token) as client:
        assert client.get("/api/v1/parties/olga/statement?month=2025-12").status_code == reads
        assert client.post("/api/v1/parties/olga/invoices", json={"month": "2025-12"}).status_code == closes
        body = {"deck": "sell", "version": 1, "since": "2026-01-01", "until": "2026-02-01"}
        assert client.post("/api/v1/rerates", json=body).status_code == rerates
    with Caller(memory_api(desk), token=TOKEN) as client:
        client.post("/api/v1/parties/olga/invoices", json={"month": "2025-12"})
    with Caller(memory_api(desk), token=token) as client:
        for kind in ("", "/html", "/pdf"):
            assert client.get(f"/api/v1/parties/olga/invoices/2026-0001{kind}").status_code == reads
        if token == RESELLER:
            assert client.get("/api/v1/invoices").json() == {"invoices": [], "next": None}


def test_a_page_runs_nothing_and_shows_names_as_they_were_written(client: Caller) -> None:
    client.post("/api/v1/parties/olga/invoices", json={"month": "2025-12"})
    answer = client.get("/api/v1/parties/olga/invoices/2026-0001/html")
    assert answer.headers["content-security-policy"] == POLICY
    assert "default-src 'none'" in POLICY
    assert "unsafe" not in POLICY
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text


def test_a_pdf_is_read_by_a_foreign_reader_and_has_its_fonts(client: Caller) -> None:
    client.post("/api/v1/parties/olga/invoices", json={"month": "2025-12"})
    answer = client.get("/api/v1/parties/olga/invoices/2026-0001/pdf")
    assert answer.headers["content-type"] == "application/pdf"
    assert answer.headers["content-disposition"] == 'attachment; filename="2026-0001.pdf"'
    text = text_of(answer.content)
    assert "Invoice 2026-0001" in text
    assert "<script>alert(1)</script>" in text
    assert answer.content == client.get("/api/v1/parties/olga/invoices/2026-0001/pdf").content


def text_of(pdf: bytes) -> str:
    return "\n".join(page.extract_text() for page in pypdf.PdfReader(io.BytesIO(pdf)).pages)


DOCUMENT: Final[dict[str, Any]] = {
    "kind": "invoice",
    "number": "RE-7",
    "date": "2026-02-03",
    "due_date": "2026-02-17",
    "currency": "EUR",
    "period": {"from": "2026-01-01", "until": "2026-02-01", "timezone": "Europe/Berlin"},
    "seller": {"party": "rhea", "name": "Rhéa Télécom", "address": ["Große Straße 1", "Łódź"], "tax_id": "DE1"},
    "buyer": {"party": "zoe", "name": "Ζωή & Søn <b>", "address": [], "tax_id": ""},
    "calls": [
        {"destination": f"Côte d'Ivoire {n}", "calls": n, "seconds": 62, "billed_s": 3_725, "amount": "0.319667"}
        for n in range(80)
    ],
    "corrections": [{"invoice": "RE-6", "kind": "rerated", "calls": 3, "amount": "-0.50"}],
    "payments": [{"date": "2026-01-05", "kind": "payment", "reason": "bank", "amount": "5.00", "closed_by": "RE-6"}],
    "adjustments": [],
    "account": {
        "opening": "0.00",
        "calls": "25.57336",
        "corrections": "-0.50",
        "tax": "4.76",
        "payments": "5.00",
        "adjustments": "0.00",
        "closing": "-24.83336",
    },
    "net": "25.07336",
    "tax": {"name": "VAT", "percent": "19", "mode": "added", "amount": "4.76"},
    "gross": "29.83336",
    "due": "24.83",
}


def test_a_long_invoice_goes_on_over_pages_with_every_letter() -> None:
    made = pdf_of(sheet_of(DOCUMENT, "ab" * 32))
    reader = pypdf.PdfReader(io.BytesIO(made))
    text = text_of(made)
    assert len(reader.pages) > 2
    for word in ("Rhéa Télécom", "Große Straße 1", "Łódź", "Ζωή & Søn <b>", "Côte d'Ivoire 79", "ab" * 32, "24.83 EUR"):
        assert word in text
    fonts = {str(name) for page in reader.pages for name in _fonts(page)}
    assert {"/AAAAAA+DejaVuSans", "/AAAAAA+DejaVuSans-Bold"} <= fonts


def _fonts(page: Any) -> Iterator[Any]:
    for font in page["/Resources"]["/Font"].get_object().values():
        yield font.get_object()["/BaseFont"]


def test_the_page_says_what_the_pdf_says() -> None:
    page, text = page_of(sheet_of(DOCUMENT)), text_of(pdf_of(sheet_of(DOCUMENT)))
    for word in ("Corrections of closed periods", "Calls charged anew", "VAT 19 %", "29.83336 EUR", "1:02:05"):
        assert word in page
        assert word in text


def test_a_credit_note_and_a_statement_are_called_so() -> None:
    assert sheet_of({**DOCUMENT, "kind": "credit_note"}).title == "Credit note RE-7"
    statement = {name: value for name, value in DOCUMENT.items() if name not in {"kind", "number", "tax"}}
    assert sheet_of({**statement, "seller": "rhea", "buyer": "zoe"}).title == "Statement"


# Reratings


def test_a_rerating_is_told_then_done_and_then_found_done(desk: MemoryDesk, client: Caller) -> None:
    body = {"deck": "sell", "version": 1, "since": "2026-01-01T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    assert client.post("/api/v1/rerates", json=body).json() == {
        "dry_run": True,
        "calls": 0,
        "differences": [],
        "unrated": [],
        "left_off": 0,
        "totals": [],
        "kept": [],
    }
    done = {**body, "dry_run": False, "batch": "may", "reason": "wrong"}
    assert client.post("/api/v1/rerates", json=done).json()["calls"] == 0
    other = client.post("/api/v1/rerates", json={**done, "party": "olga"})
    assert (other.status_code, other.json()["code"]) == (409, "refused")
    unknown = client.post("/api/v1/rerates", json={**body, "version": 2})
    assert (unknown.status_code, unknown.json()["detail"]) == (404, "deck 'sell' has no version 2: its versions are 1")
    nameless = client.post("/api/v1/rerates", json={**body, "dry_run": False})
    assert nameless.status_code == 422
