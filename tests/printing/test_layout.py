"""A slip fits on paper of any width, and nothing of it is lost."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.printing.layout import Line, columns_of, lines_of
from sipshop.printing.slip import Align, Block, Row, Rule, Slip, Table, Text

WORDS: Final = st.text("abc \u00e9\u4e2d\u0628.,12", max_size=40)
AMOUNTS: Final = st.text("0123456789.,-", min_size=1, max_size=14)
BLOCKS: Final[st.SearchStrategy[Block]] = st.one_of(
    st.builds(
        Text,
        text=WORDS,
        align=st.sampled_from(Align),
        bold=st.booleans(),
        big=st.booleans(),
        indent=st.integers(0, 4),
        figures=st.booleans(),
    ),
    st.builds(Row, label=WORDS, amount=AMOUNTS, bold=st.booleans(), big=st.booleans()),
    st.builds(
        Table,
        heads=st.tuples(WORDS, WORDS, WORDS),
        rows=st.lists(st.tuples(WORDS, AMOUNTS, AMOUNTS), max_size=3).map(tuple),
    ),
    st.just(Rule()),
)
SLIPS: Final = st.builds(
    Slip, language=st.just("ar"), is_rtl=st.booleans(), title=WORDS, blocks=st.lists(BLOCKS, max_size=5).map(tuple)
)


def a_slip(*blocks: Block, is_rtl: bool = False) -> Slip:
    return Slip(language="en", is_rtl=is_rtl, title="t", blocks=blocks)


def drawn(line: Line) -> str:
    text = ""
    for piece in line.pieces:
        text = text.ljust(piece.x) + piece.text
    return text


@given(SLIPS, st.sampled_from([32, 42, 48]))
def test_no_line_is_wider_than_the_paper_and_no_piece_lies_on_another(slip: Slip, width: int) -> None:
    for line in lines_of(slip, width):
        end = 0
        for piece in line.pieces:
            assert piece.x >= end
            end = piece.x + columns_of(piece.text, line.bold, line.big)
        assert end <= width


@given(SLIPS, st.sampled_from([32, 42, 48]))
def test_nothing_that_is_read_on_a_slip_is_lost(slip: Slip, width: int) -> None:
    told = "".join(sorted("".join(piece.text for line in lines_of(slip, width) for piece in line.pieces)))
    for block in slip.blocks:
        texts = {Text: ("text",), Row: ("label", "amount"), Table: (), Rule: ()}[type(block)]
        for name in texts:
            for letter in set(getattr(block, name)) - {" "}:
                assert getattr(block, name).count(letter) <= told.count(letter)


@given(SLIPS)
def test_a_slip_comes_back_from_json(slip: Slip) -> None:
    assert Slip.from_json(slip.to_json()) == slip


@pytest.mark.parametrize(
    "data",
    [
        {"version": 2},
        {"version": 1, "language": "en", "rtl": False, "title": "t", "blocks": [{}]},
        {"version": 1, "language": "en", "rtl": False, "title": 3, "blocks": []},
        {
            "version": 1,
            "language": "en",
            "rtl": False,
            "title": "t",
            "blocks": [{"heads": ["a"], "rows": [["a", "b"]]}],
        },
    ],
)
def test_what_is_no_slip_is_refused(data: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        Slip.from_json(data)


@pytest.mark.parametrize(
    ("block", "lines"),
    [
        pytest.param(Row(label="Tea", amount="1.50"), ["Tea         1.50"], id="an amount stands at the end"),
        pytest.param(
            Row(label="Coffee with milk", amount="1.50"), ["Coffee with", "milk        1.50"], id="of the last line"
        ),
        pytest.param(Row(label="A", amount="123456789012345"), ["A", " 123456789012345"], id="or of one of its own"),
        pytest.param(Text(text="ab", align=Align.CENTER), ["       ab"], id="in the middle"),
        pytest.param(Text(text="ab", align=Align.END), ["              ab"], id="at the end"),
        pytest.param(Text(text="a" * 20), ["a" * 16, "a" * 4], id="a word that is too long is cut"),
        pytest.param(Text(text="one two three four", indent=2), ["  one two three", "  four"], id="indented"),
        pytest.param(
            Table(heads=("", "Net", "Tax"), rows=(("A", "1.00", "0.20"), ("B", "10.00", "2.00"))),
            ["        Net   Tax", "A      1.00  0.20", "B     10.00  2.00"],
            id="figures stand one below the other",
        ),
    ],
)
def test_where_things_stand(block: Block, lines: list[str]) -> None:
    width = 17 if isinstance(block, Table) else 16
    assert [drawn(line) for line in lines_of(a_slip(block), width)] == lines


def test_a_table_that_is_too_wide_is_told_line_by_line() -> None:
    table = Table(heads=("", "Net", "Tax"), rows=(("VAT 20 %", "100.00", "20.00"),))
    assert [drawn(line) for line in lines_of(a_slip(table), 16)] == ["VAT 20 %", "Net       100.00", "Tax        20.00"]


def test_from_the_right_all_is_mirrored() -> None:
    (line,) = lines_of(a_slip(Row(label="\u0634\u0627\u064a", amount="1.50"), is_rtl=True), 16)
    assert [(piece.x, piece.text) for piece in line.pieces] == [(0, "1.50"), (13, "\u0634\u0627\u064a")]
