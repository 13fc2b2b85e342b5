"""Notes and coins, and what somebody has counted in a drawer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing import cash
from sipshop.billing.cash import MOST_PIECES, Count, Piece, pieces
from sipshop.billing.errors import BadCount
from sipshop.billing.money import Money, minor_unit_places

KNOWN = sorted(cash._PIECES)
UNKNOWN = ["XXX", "ISK", "BHD"]


@pytest.mark.parametrize("currency", [*KNOWN, *UNKNOWN])
def test_pieces_are_amounts_of_the_currency_the_greatest_first(currency: str) -> None:
    found = pieces(currency)
    values = [piece.value.micros for piece in found]
    assert values == sorted(set(values), reverse=True)
    assert all(piece.value.currency == currency for piece in found)
    smallest = 10 ** (6 - minor_unit_places(currency))
    assert all(value % smallest == 0 and value > 0 for value in values)
    assert any(piece.is_note for piece in found)


def test_the_notes_and_coins_of_the_euro() -> None:
    assert [piece.value.text for piece in pieces("EUR") if piece.is_note] == [
        *("500.00", "200.00", "100.00", "50.00", "20.00", "10.00", "5.00")
    ]
    assert sum(not piece.is_note for piece in pieces("EUR")) == 8


def test_what_is_a_note_and_a_coin_is_counted_once() -> None:
    assert Piece(Money(500_000_000, "XOF"), is_note=True) in pieces("XOF")
    assert sum(piece.value.micros == 500_000_000 for piece in pieces("XOF")) == 1


@pytest.mark.parametrize(
    ("numbers", "other", "total"),
    [
        pytest.param({}, "0", "0.00", id="an empty drawer"),
        pytest.param({"50": 2, "0.05": 3}, "0", "100.15", id="a note and a coin"),
        pytest.param({"50.00": 2}, "7.30", "107.30", id="and something else"),
        pytest.param({"0.01": MOST_PIECES}, "0", "1000.00", id="as many as there may be"),
    ],
)
def test_a_count_comes_to_its_pieces(numbers: dict[str, int], other: str, total: str) -> None:
    assert Count.of("EUR", numbers, other).total.text == total


@pytest.mark.parametrize(
    ("numbers", "other", "why"),
    [
        ({"3": 1}, "0", "no note or coin of '3' EUR"),
        ({"x": 1}, "0", "not a decimal number"),
        ({"50": 1, "50.00": 1}, "0", "counted twice"),
        ({"50": -1}, "0", "0 to 100000"),
        ({"50": MOST_PIECES + 1}, "0", "0 to 100000"),
        ({}, "-1", "not below zero"),
        ({}, "1e3", "not a decimal number"),
    ],
)
def test_what_cannot_have_been_counted_is_refused(numbers: dict[str, int], other: str, why: str) -> None:
    with pytest.raises(BadCount, match=why):
        Count.of("EUR", numbers, other)


COUNTS = st.sampled_from(["EUR", "XOF", "TND", "XXX"]).flatmap(
    lambda currency: st.builds(
        lambda numbers, other: Count.of(currency, numbers, str(other)),
        st.dictionaries(st.sampled_from([piece.value.text for piece in pieces(currency)]), st.integers(0, 999)),
        st.integers(0, 10**6),
    )
)


@given(COUNTS)
def test_a_count_is_read_back_as_it_was_written(count: Count) -> None:
    written = count.to_json()
    assert Count.from_json(written, count.currency) == count
    assert Count.of(count.currency, written["pieces"], written["other"]) == count
    assert written["total"] == count.total.text
