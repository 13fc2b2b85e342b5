"""Right-to-left text is drawn as Unicode says: held against the crate unicode-bidi, and Arabic letters join."""

import unicodedata
from typing import Final

import pytest
from bidi import get_display
from hypothesis import example, given
from hypothesis import strategies as st

from sipshop.printing.bidi import reads_from_the_right, shaped, visual

LETTERS: Final = (
    "abX0123456789 ,.:/+-%$\u20ac()[]<>\u0627\u0628\u062c\u062f\u0645\u0647\u05d0\u05d1\u0660\u0663\u060c\u061f"
)
MARKS: Final = "\u0301\u200e\u200f\u00a0"
#: The crate leaves it to others to mirror; brackets of either way are taken for one here.
UNMIRRORED: Final = str.maketrans(">)]", "<([")


@given(st.text(LETTERS + MARKS, max_size=16), st.booleans())
@example("\u05d0 (1 + b) 2", False)
@example("12 \u0627, 3.50 \u20ac", True)
def test_a_line_is_drawn_in_the_order_of_unicode(text: str, is_rtl: bool) -> None:
    ours = visual(text, is_rtl=is_rtl)
    theirs = get_display(shaped(text), base_dir="R" if is_rtl else "L")
    theirs = "".join(each for each in theirs if unicodedata.category(each) != "Cf")
    assert ours.translate(UNMIRRORED) == theirs.translate(UNMIRRORED)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        pytest.param("\u0628\u0628\u0628", "\ufe90\ufe92\ufe91", id="one word, its letters joined"),
        pytest.param("\u0628 \u0628", "\ufe8f \ufe8f", id="letters apart"),
        pytest.param("\u062f\u0628", "\ufe8f\ufea9", id="dal joins nothing after it"),
        pytest.param("\u0628\u0644\u0627", "\ufefc\ufe91", id="lam and alef are one"),
        pytest.param("\u0628\u064f\u0628\u0651", "\ufe90\ufe91", id="marks are left out, and part nothing"),
        pytest.param("(\u0628)", "(\ufe8f)", id="brackets face what they hold"),
        pytest.param("\u0628 12.50", "12.50 \ufe8f", id="figures go their own way"),
    ],
)
def test_arabic_letters_join(text: str, drawn: str) -> None:
    assert visual(text, is_rtl=True) == drawn


def test_a_name_cannot_turn_the_line_that_it_stands_in() -> None:
    assert visual("a\u202eb\u2066c", is_rtl=False) == "abc"


@pytest.mark.parametrize(
    ("text", "otherwise", "is_rtl"),
    [("12 rue", True, False), ("\u0628 x", False, True), ("1.50", True, True), ("", False, False)],
)
def test_the_first_letter_says_which_way_a_text_reads(text: str, otherwise: bool, is_rtl: bool) -> None:
    assert reads_from_the_right(text, otherwise=otherwise) is is_rtl
