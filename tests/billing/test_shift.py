"""What a shift has come to: expected, counted, and what whoever counts is told."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.cash import Count
from sipshop.billing.errors import BadCount
from sipshop.billing.money import Money
from sipshop.billing.shift import BY_HAND, Checked, Move, MoveKind, Outside, Report, Shift, Sum
from sipshop.billing.tender import Method


def euros(micros: int) -> Money:
    return Money(micros, "EUR")


SHIFT = Shift(tenant="t", shop="corner", number=3, operator="ana", opening=euros(50_000_000), opened_at_ms=1)
SUMS = (
    Sum(kind=MoveKind.FLOAT, method=Method.CASH, times=1, amount=euros(50_000_000)),
    Sum(kind=MoveKind.DEPOSIT, method=Method.CASH, times=2, amount=euros(7_500_000)),
    Sum(kind=MoveKind.CHECKOUT, method=Method.CASH, times=1, amount=euros(2_100_000)),
    Sum(kind=MoveKind.CHECKOUT, method=Method.CARD, times=4, amount=euros(40_000_000)),
    Sum(kind=MoveKind.REFUND, method=Method.CASH, times=1, amount=euros(-600_000)),
    Sum(kind=MoveKind.OUT, method=Method.CASH, times=1, amount=euros(-20_000_000)),
)
REPORT = Report(
    shift=SHIFT,
    number=None,
    at_ms=9,
    author="ana",
    sums=SUMS,
    by_hand=(
        Move(
            number=4,
            key="by_hand:k",
            shift=3,
            kind=MoveKind.OUT,
            method=Method.CASH,
            amount=euros(-20_000_000),
            author="ana",
            reason="to the safe",
            at_ms=5,
        ),
    ),
    checks=(Checked(at_ms=6, author="ana", count=Count.of("EUR", {"20": 2}), expected=euros(39_000_000)),),
    outside=Outside(times=1, amount=euros(1_000_000), authors=("ben",)),
)


def test_only_cash_is_expected_in_the_drawer() -> None:
    assert REPORT.expected == euros(39_000_000)
    assert (REPORT.counted, REPORT.variance) == (None, None)


@pytest.mark.parametrize(("counted", "variance"), [("39.00", "0.00"), ("38.90", "-0.10"), ("40.00", "1.00")])
def test_the_variance_is_what_was_counted_less_what_was_expected(counted: str, variance: str) -> None:
    z = replace(REPORT, number=1, count=Count.of("EUR", {}, counted))
    assert z.variance is not None
    assert z.variance.text == variance


def test_another_currency_is_not_counted() -> None:
    with pytest.raises(BadCount, match="holds EUR, and TND was counted"):
        replace(REPORT, count=Count.of("TND", {}))


def test_who_counts_blind_is_told_what_he_did_himself_and_what_is_no_cash() -> None:
    assert list(REPORT.blind()) == [SUMS[0], SUMS[3], SUMS[5]]
    assert sum(checked.variance.micros for checked in REPORT.checks) == 1_000_000


AMOUNTS = st.integers(-(10**9), 10**9).map(euros)
ANY_SUMS = st.lists(
    st.builds(
        Sum,
        kind=st.sampled_from(MoveKind),
        method=st.sampled_from(Method),
        times=st.integers(1, 99),
        amount=AMOUNTS,
    )
)


@given(ANY_SUMS, st.none() | st.integers(0, 10**6))
def test_a_report_is_read_back_as_it_was_written(sums: list[Sum], cents: int | None) -> None:
    count = None if cents is None else Count.of("EUR", {"50": 1}, str(cents))
    report = replace(REPORT, sums=tuple(sums), count=count, number=None if count is None else 7)
    assert Report.from_json(report.to_json()) == report


@given(ANY_SUMS)
def test_what_is_told_blind_does_not_change_with_what_customers_pay(sums: list[Sum]) -> None:
    paid = Sum(kind=MoveKind.CHECKOUT, method=Method.CASH, times=1, amount=euros(123_456))
    assert list(replace(REPORT, sums=(*sums, paid)).blind()) == list(replace(REPORT, sums=tuple(sums)).blind())
    assert all(each.method is not Method.CASH or each.kind in BY_HAND for each in REPORT.blind())


def test_a_report_of_another_version_is_not_read() -> None:
    with pytest.raises(ValueError, match="version 2 is not known"):
        Report.from_json(REPORT.to_json() | {"version": 2})
