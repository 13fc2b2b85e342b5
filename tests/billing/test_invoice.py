"""Periods in a seller's time zone, numbers of invoices, and when something counts."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.errors import BadNumbering, BadPeriod
from sipshop.billing.invoice import Closing, Entry, Letterhead, Period, check_numbering, tax_on
from sipshop.billing.ledger import TransferKind
from sipshop.billing.tax import Tax, TaxMode


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


@pytest.mark.parametrize(
    ("month", "zone", "since", "until"),
    [
        pytest.param("2026-10", "UTC", "2026-10-01T00:00", "2026-11-01T00:00", id="UTC"),
        pytest.param("2026-10", "Europe/Berlin", "2026-09-30T22:00", "2026-10-31T23:00", id="an hour more in autumn"),
        pytest.param("2026-03", "Europe/Berlin", "2026-02-28T23:00", "2026-03-31T22:00", id="an hour less in spring"),
        pytest.param("2026-12", "Asia/Kolkata", "2026-11-30T18:30", "2026-12-31T18:30", id="half an hour off"),
        pytest.param("2018-11", "America/Sao_Paulo", "2018-11-01T03:00", "2018-12-01T02:00", id="clocks that jump"),
        pytest.param("2024-02", "UTC", "2024-02-01T00:00", "2024-03-01T00:00", id="a leap year"),
    ],
)
def test_a_month_begins_and_ends_at_its_sellers_midnight(month: str, zone: str, since: str, until: str) -> None:
    period = Period.month(month, zone)
    assert (period.since_ms, period.until_ms) == (at(since), at(until))


def test_a_day_whose_midnight_is_skipped_begins_when_the_clocks_jump() -> None:
    period = Period.days("2018-11-04", "2018-11-05", "America/Sao_Paulo")  # 00:00 was 01:00
    assert (period.since_ms, period.until_ms) == (at("2018-11-04T03:00"), at("2018-11-05T02:00"))


@given(at_ms=st.integers(at("2001-01-01T00:00"), at("2100-01-01T00:00")), zone=st.sampled_from(["UTC", "Africa/Cairo"]))
def test_every_instant_is_in_its_month(at_ms: int, zone: str) -> None:
    period = Period.month_of(at_ms, zone)
    assert period.since_ms <= at_ms < period.until_ms


@pytest.mark.parametrize(
    "text", ["2026", "2026-1", "2026-13", "26-10", "2026-10-01", "", "1999-12", "9999-01", "x" * 99]
)
def test_what_is_no_month(text: str) -> None:
    with pytest.raises(BadPeriod):
        Period.month(text, "UTC")


@pytest.mark.parametrize(
    ("pattern", "number"),
    [
        ("{year}-####", "2026-0007"),
        ("####", "0007"),
        ("RE-{year}.#", "RE-2026.7"),
        ("#-{year}", "7-2026"),
    ],
)
def test_a_number_is_written_by_its_pattern(pattern: str, number: str) -> None:
    letterhead = Letterhead(tenant="t", party="p", name="P", numbering=check_numbering(pattern))
    assert letterhead.number(letterhead.series(at("2026-06-01T00:00")), 7) == number


@pytest.mark.parametrize("pattern", ["", "2026", "#-#", "a b#", "{month}#", "{year}{year}#", "/#", "#" * 13, "é#"])
def test_a_pattern_that_tells_no_numbers_apart_or_needs_quotes(pattern: str) -> None:
    with pytest.raises(BadNumbering):
        check_numbering(pattern)


def test_a_year_is_that_of_the_sellers_day() -> None:
    berlin = Letterhead(tenant="t", party="p", name="P", zone="Europe/Berlin")
    assert berlin.series(at("2026-12-31T23:30")) == "2027"


CLOSINGS = tuple(
    Closing(name=str(end), since_ms=end - 10, until_ms=end, last_transfer=place, closing_micros=0)
    for end, place in ((100, 5), (110, 8))
)


@pytest.mark.parametrize(
    ("at_ms", "place", "counts_at_ms"),
    [
        pytest.param(50, 5, 50, id="there when it was closed"),
        pytest.param(50, 6, 100, id="came after that, so in the next one"),
        pytest.param(99, 9, 110, id="and after both, in the third"),
        pytest.param(105, 8, 105, id="in its own period, before it was closed"),
        pytest.param(105, 9, 110, id="in its own period, after it was closed"),
        pytest.param(200, 9, 200, id="later than all"),
    ],
)
def test_when_something_counts(at_ms: int, place: int, counts_at_ms: int) -> None:
    entry = Entry(key="k", kind=TransferKind.CHARGE, place=place, at_ms=at_ms, micros=1, reason="")
    assert entry.counts_at_ms(CLOSINGS) == counts_at_ms


@pytest.mark.parametrize(
    ("net", "tax"), [(0, 0), (264_000, 50_000), (-264_000, -50_000), (100_000_000, 19_000_000), (4_999, 0)]
)
def test_tax_is_in_coins_and_comes_back_as_it_went(net: int, tax: int) -> None:
    assert tax_on(net, "EUR", Tax(190_000, TaxMode.ADDED, "VAT")) == tax
    assert tax_on(net, "EUR", None) == 0
