"""What customers dial, as E.164."""

from __future__ import annotations

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy import numbers
from sipshop.proxy.numbers import BadNumber, NumberRules

GERMANY = NumberRules(country_code="49", emergency=("112", "110"))
ITALY = NumberRules(country_code="39", national_prefix="", emergency=("112",))
USA = NumberRules(country_code="1", international_prefix="011", national_prefix="1", emergency=("911",))
RUSSIA = NumberRules(country_code="7", international_prefix="810", national_prefix="8")


@pytest.mark.parametrize(
    ("rules", "dialled", "e164"),
    [
        pytest.param(GERMANY, "+22370123456", "22370123456", id="plus"),
        pytest.param(GERMANY, "0022370123456", "22370123456", id="international prefix"),
        pytest.param(GERMANY, "0301234567", "49301234567", id="national prefix"),
        pytest.param(GERMANY, "+49 (30) 123.45-67", "49301234567", id="visual separators"),
        pytest.param(GERMANY, "00 1 809 555 1234", "18095551234", id="spaces after the prefix"),
        pytest.param(GERMANY, "01511234567", "491511234567", id="national mobile"),
        pytest.param(GERMANY, "+12345", "12345", id="five digits"),
        pytest.param(GERMANY, "+123456789012345", "123456789012345", id="fifteen digits"),
        pytest.param(ITALY, "0612345678", "390612345678", id="the zero of an Italian landline stays"),
        pytest.param(ITALY, "3401234567", "393401234567", id="without a national prefix a number is national"),
        pytest.param(ITALY, "0049301234567", "49301234567", id="international from Italy"),
        pytest.param(USA, "12125551234", "12125551234", id="the national prefix is the country code"),
        pytest.param(USA, "01149301234567", "49301234567", id="another international prefix"),
        pytest.param(RUSSIA, "84951234567", "74951234567", id="national in Russia"),
        pytest.param(RUSSIA, "81049301234567", "49301234567", id="the longer, international prefix comes first"),
    ],
)
def test_a_number_becomes_e164(rules: NumberRules, dialled: str, e164: str) -> None:
    assert rules.to_e164(dialled) == e164


@pytest.mark.parametrize(
    "dialled",
    [
        pytest.param("", id="nothing"),
        pytest.param("+", id="a plus alone"),
        pytest.param(" - ", id="separators alone"),
        pytest.param("22370123456", id="neither international nor national"),
        pytest.param("00", id="the international prefix alone"),
        pytest.param("0", id="the national prefix alone"),
        pytest.param("001234", id="four digits"),
        pytest.param("+1234567890123456", id="sixteen digits"),
        pytest.param("+0301234567", id="a country code with a zero"),
        pytest.param("0000301234567", id="zeros after the international prefix"),
        pytest.param("++49301234567", id="two pluses"),
        pytest.param("49+301234567", id="a plus inside"),
        pytest.param("anna", id="a name"),
        pytest.param("030123456x", id="a letter"),
        pytest.param("*31#0301234567", id="a service code"),
        pytest.param("030/1234567", id="another separator"),
        pytest.param("0301234567;ext=1", id="a parameter"),
        pytest.param("+٤٩٣٠١٢٣٤٥٦٧", id="digits of another script"),
        pytest.param("0301234567\n", id="a line end"),
        pytest.param("0301234567\r\nVia: x", id="a header"),
        pytest.param("030\x00123\udc80", id="raw bytes"),
    ],
)
def test_anything_else_is_no_number_and_is_named_safely(dialled: str) -> None:
    with pytest.raises(BadNumber) as caught:
        GERMANY.to_e164(dialled)
    text = str(caught.value)
    assert text.isascii()
    assert text.isprintable()
    assert ascii(dialled)[:40] in text


def test_a_long_text_is_named_by_its_beginning() -> None:
    with pytest.raises(BadNumber) as caught:
        GERMANY.to_e164("9" * 100_000)
    assert len(str(caught.value)) < 150


@given(st.text(max_size=30) | st.text("0123456789+-.() ", max_size=20))
def test_whatever_is_dialled_is_e164_or_refused(dialled: str) -> None:
    for rules in (GERMANY, ITALY, USA, RUSSIA):
        try:
            text = e164 = rules.to_e164(dialled)
        except BadNumber as error:
            text = str(error)
        else:
            assert e164.isdigit()
            assert 5 <= len(e164) <= 15
            assert e164[0] != "0"
        assert text.isascii()
        assert text.isprintable()


@given(st.from_regex(r"[1-9][0-9]{4,14}", fullmatch=True))
def test_plus_and_international_prefix_are_the_same(e164: str) -> None:
    for rules in (GERMANY, ITALY, USA, RUSSIA):
        assert rules.to_e164(f"+{e164}") == e164
        assert rules.to_e164(rules.international_prefix + e164) == e164


@pytest.mark.parametrize(
    ("dialled", "emergency"),
    [
        ("112", True),
        ("110", True),
        ("1-1-2", True),
        ("(112)", True),
        ("1125", False),
        ("0112", False),
        ("+112", False),
        ("00112", False),
        ("911", False),
        ("11", False),
        ("", False),
    ],
)
def test_emergency_numbers_are_exactly_what_is_dialled(dialled: str, emergency: bool) -> None:
    assert GERMANY.is_emergency(dialled) is emergency


def test_a_shop_without_emergency_numbers_has_none() -> None:
    assert not NumberRules(country_code="49").is_emergency("112")
    assert not NumberRules(country_code="49").is_emergency("")


def test_the_examples_in_the_docstrings_are_true() -> None:
    result = doctest.testmod(numbers)
    assert result.attempted > 0
    assert result.failed == 0
