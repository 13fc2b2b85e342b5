"""A receipt in words: in seven languages, as a page, as a PDF and as a slip, and always all of it."""

import io
import re
import unicodedata
from typing import Final

import pypdf
import pytest

from sipshop.billing.tender import Method
from sipshop.console.pages.slips import METHODS, arithmetic, slip_of
from sipshop.console.pages.words import LANGUAGES
from sipshop.console.paper.slip_page import POLICY, slip_page
from sipshop.console.paper.slip_pdf import Paper, slip_pdf
from sipshop.printing.slip import Row, Slip, Table, Text
from tests.printing.examples import a_receipt, eur

TIMES: Final = "\N{MULTIPLICATION SIGN}"


def told(slip: Slip) -> str:
    """Everything that is read on a slip, a line each; blanks of every kind are one."""
    lines = []
    for block in slip.blocks:
        match block:
            case Text():
                lines.append(block.text)
            case Row():
                lines.append(f"{block.label}|{block.amount}")
            case Table():
                lines += ["|".join(cells) for cells in (block.heads, *block.rows)]
    return re.sub(r"[^\S\n]", " ", "\n".join(lines))


def test_a_receipt_says_who_sold_what_when_and_how_it_was_paid() -> None:
    assert told(slip_of(a_receipt(language="en"))).splitlines() == [
        "Étoile SARL",
        "12 rue Haute",
        "75011 Paris",
        "Tax number: FR 12 345678901",
        "Shop: center",
        "Receipt|1234",
        "Date|Nov 18, 2026, 12:21:40 PM",
        "Booth|b1",
        "Served by|ana",
        "Amounts in EUR, tax included",
        "Mali Mobile|1.26",
        "International call: Mali",
        "00 223 76 12 34 56",
        "Nov 18, 2026, 12:06:40 PM",
        "Talked 6:02, billed 7:00",
        f"0.05 + (60 + 360) s {TIMES} 0.172857/min = 1.259999 \N{ALMOST EQUAL TO} 1.26",
        "France Paris|0.29",
        "National call",
        "0142681000",
        "Nov 18, 2026, 12:15:00 PM",
        "Talked 1:02, billed 2:00",
        f"0.05 + (60 + 60) s {TIMES} 0.12/min = 0.29",
        "Café|3.00",
        f"2 {TIMES} 1.50",
        "Discount: bad line|-0.30",
        "Taken back: wrong number|-0.29",
        "Sum|3.96",
        "Rounding of cash|-0.01",
        "Total|€3.95",
        "Deposit, paid before|1.00",
        "Card|1.00",
        "Cash|5.00",
        "Change, given back|3.05",
        "|Net|Tax|Gross",
        "TVA 20 %|0.80|0.16|0.96",
        "TVA 5.5 %|2.84|0.16|3.00",
        "Thank you",
    ]


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_every_language_has_all_of_it_and_in_its_own_figures(language: str) -> None:
    english, slip = slip_of(a_receipt(language="en")), slip_of(a_receipt(language=language))
    assert [type(block) for block in slip.blocks] == [type(block) for block in english.blocks]
    assert (slip.language, slip.is_rtl) == (language, language == "ar")
    point = "." if language in {"en", "ar"} else ","
    figures = "".join(each for each in told(slip) if unicodedata.category(each) != "Cf")
    for amount in ("1.26", "0.29", "3.00", "-0.30", "3.96", "-0.01", "5.00", "3.05", "0.172857", "1.259999"):
        assert amount.replace(".", point) in figures, amount
    if language != "en":
        own = set(told(slip).splitlines()) & set(told(english).splitlines())
        assert not any(re.search("receipt|call|total|tax|paid|cash", line, re.IGNORECASE) for line in own)


def test_what_a_receipt_has_not_is_not_spoken_of() -> None:
    plain = a_receipt(
        language="en",
        taxes=(),
        rounding=eur("0"),
        deposit=eur("0"),
        tenders=a_receipt().tenders[1:],
        change=eur("1.04"),
        country_code="",
    )
    text = told(slip_of(plain))
    for word in ("Rounding", "Deposit", "Net", "tax included", "Sum", "National", "International", "REPRINT"):
        assert word not in text
    assert "Amounts in EUR\n" in text


def test_a_reprint_says_so_before_anything_else_of_the_bill() -> None:
    lines = told(slip_of(a_receipt(language="en"), copy=2)).splitlines()
    assert lines[5:8] == ["REPRINT", "Copy 2, not the original", "Receipt|1234"]


def test_a_receipt_of_a_language_that_is_gone_is_still_printed() -> None:
    assert slip_of(a_receipt(language="xx", zone="Nowhere/None")).language == "en"


def test_every_way_to_pay_has_a_word() -> None:
    assert set(METHODS) == set(Method)


@pytest.mark.parametrize(
    ("written", "language", "shown"),
    [
        ("0 s = 0.00", "fr", "0,00"),
        ("5 s = 1 s at 0.10/min = 0.001666... -> 0.00", "pl", f"1 s {TIMES} 0,10/min = 0,001666… ≈ 0,00"),
        ("9 s = 0.10 < min 0.30 x 119% = 0.357", "en", f"0.10 < min 0.30 {TIMES} 119% = 0.357"),
        ("9 s = 1.20 / 1.0834 -> 1.11", "es", "1,20 ÷ 1,0834 ≈ 1,11"),
    ],
)
def test_arithmetic_is_the_same_in_every_language_but_for_its_point(written: str, language: str, shown: str) -> None:
    assert arithmetic(written, language) == shown


# The page.


def test_the_page_says_what_the_slip_says_and_runs_nothing() -> None:
    slip = slip_of(a_receipt(shop="<script>alert(1)</script>", language="ar"), copy=1)
    page = slip_page(slip)
    assert '<html lang="ar" dir="rtl">' in page
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "script-src" not in POLICY
    for block in slip.blocks:
        if isinstance(block, Row):
            assert f">{block.amount}</bdi>" in page
    assert '<bdi dir="ltr">0.05 + (60 + 60) s' in page


def test_the_page_for_people_has_a_button_that_is_not_printed() -> None:
    page = slip_page(slip_of(a_receipt()), script="/static/paper.js", button="Imprimer")
    assert '<script type="module" src="/static/paper.js"></script>' in page
    assert '<button type="button" id="print">Imprimer</button>' in page
    assert ".tools{display:none}" in page


# The PDF.


@pytest.mark.parametrize("paper", list(Paper))
def test_a_pdf_has_all_of_it(paper: Paper) -> None:
    slip = slip_of(a_receipt())
    made = slip_pdf(slip, paper)
    assert slip_pdf(slip, paper) == made, "the same bytes for the same slip"
    reader = pypdf.PdfReader(io.BytesIO(made))
    text = re.sub(r"\s+", "", "".join(page.extract_text() for page in reader.pages))
    for line in told(slip).splitlines():
        for piece in line.split("|"):
            assert re.sub(r"\s+", "", piece) in text, piece
    width = float(reader.pages[0].mediabox.width)
    assert round(width / 72 * 25.4) == (80 if paper is Paper.ROLL else 210)
    assert reader.metadata is not None
    assert reader.metadata.title == "Reçu 1234"


def test_a_long_receipt_goes_on_over_pages_of_a4_and_is_one_piece_of_a_roll() -> None:
    call = a_receipt().entries[1]
    long = a_receipt(
        entries=(call,) * 60, total=eur("17.40"), rounding=eur("0"), taxes=(), change=eur("0"), deposit=eur("11.40")
    )
    slip = slip_of(long)
    assert len(pypdf.PdfReader(io.BytesIO(slip_pdf(slip))).pages) > 3
    assert len(pypdf.PdfReader(io.BytesIO(slip_pdf(slip, Paper.ROLL))).pages) == 1


def test_an_arabic_pdf_is_joined_and_from_the_right() -> None:
    text = pypdf.PdfReader(io.BytesIO(slip_pdf(slip_of(a_receipt(language="ar"))))).pages[0].extract_text()
    assert "\ufeb7" in text, "its letters are joined"
    assert "\u0634\u0643\u0631\u0627 \u0644\u0643\u0645" in unicodedata.normalize("NFKC", text)
