"""Reading what people wrote by hand: strictly, exactly, and all problems at once."""

from __future__ import annotations

from enum import StrEnum

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sipshop import config
from sipshop.config import MAX_BYTES, MAX_DEPTH, Problems, Section, read_yaml


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


def read(text: str) -> tuple[Section, Problems]:
    problems = Problems("shop.yaml")
    section = read_yaml(text, problems)
    assert section is not None, [str(problem) for problem in problems.in_order()]
    return section, problems


def told(problems: Problems) -> list[str]:
    return [str(problem).removeprefix("shop.yaml:") for problem in problems.in_order()]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("a: 0049", "0049", id="digits keep their zeros"),
        pytest.param("a: 0.10", "0.10", id="decimals keep their places"),
        pytest.param("a: 1_000", "1_000", id="no YAML number is read"),
        pytest.param("a: 2026-01-01", "2026-01-01", id="no YAML date is read"),
        pytest.param("a: no", "no", id="no YAML boolean is read"),
        pytest.param("a: 'null'", "null", id="in quotes a null is a text"),
        pytest.param('a: ""', "", id="an empty text in quotes"),
        pytest.param("a: Müller & Söhne", "Müller & Söhne", id="letters of the world"),
    ],
)
def test_a_text_is_taken_as_it_is_written(text: str, value: str) -> None:
    section, problems = read(text)
    assert section.text("a") == value
    assert not problems


def test_a_key_that_is_not_there_takes_its_default() -> None:
    section, problems = read("b: 1")
    assert section.text("a", "x") == "x"
    assert section.texts("a", ("x", "y")) == ("x", "y")
    assert section.integer("a", 5, low=1, high=9) == 5
    assert section.flag("a", default=True) is True
    assert section.choice("a", Colour, Colour.BLUE) is Colour.BLUE
    assert section.section("a", required=False) is None
    assert list(section.sections("a", required=False)) == []
    assert not problems


def test_what_is_there_is_read_by_type() -> None:
    section, problems = read("t: [x, 07]\ni: -3\nf: Yes\nc: red\ns: {k: v}\nl: [{k: v}, {k: w}]")
    assert section.texts("t") == ("x", "07")
    assert section.integer("i", low=-5, high=5) == -3
    assert section.flag("f") is True
    assert section.choice("c", Colour, Colour.BLUE) is Colour.RED
    under = section.section("s")
    assert under is not None
    assert under.text("k") == "v"
    assert [each.text("k") for each in section.sections("l")] == ["v", "w"]
    section.end()
    assert section.sound
    assert not problems


def test_every_problem_is_told_at_once_with_line_and_field() -> None:
    section, problems = read(
        "port: 70000\nflag: perhaps\ncolour: rde\nnames: {a: 1}\nlist:\n  - {depth: deep}\n  - flat\n"
        "table: [1]\nvalue: [1]\nempty:\nrecieve: 1\nqqq: 1\n"
    )
    section.integer("port", low=1, high=65535)
    section.flag("flag")
    section.choice("colour", Colour, Colour.RED)
    section.texts("names")
    for each in section.sections("list"):
        each.integer("depth", low=0, high=3)
        each.text("gone")
        each.end()
    section.section("table")
    section.text("value")
    section.text("empty", "default")
    section.text("receive", "")
    section.end()
    assert not section.sound
    known = "port, flag, colour, names, list, table, value, empty, receive"
    assert told(problems) == [
        "1: port: must be a whole number from 1 to 65535, not '70000'",
        "2: flag: must be true or false, not 'perhaps'",
        "3: colour: must be one of red, blue, not 'rde'; did you mean red?",
        "4: names: must be a list",
        "6: list[0].depth: must be a whole number from 0 to 3, not 'deep'",
        "6: list[0].gone: is missing",
        "7: list[1]: must be a table of keys and values",
        "8: table: must be a table of keys and values",
        "9: value: must be a single value",
        '10: empty: has no value: leave the key out, or write "" for an empty text',
        "11: recieve: unknown key; did you mean receive?",
        f"12: qqq: unknown key; known here: {known}",
    ]


@pytest.mark.parametrize("written", ["010", "0x10", "1.0", "1e3", "+1", "'  1'", "1_0", "9" * 30, "''", "٣"])
def test_a_whole_number_is_plain_digits(written: str) -> None:
    section, problems = read(f"a: {written}")
    section.integer("a", low=0, high=10**18)
    assert problems


def test_a_check_may_change_a_text_or_refuse_it() -> None:
    def capitals(text: str) -> str:
        if not text.isalpha():
            raise ValueError("must be letters")
        return text.upper()

    section, problems = read("a: x\nb:\n  - y\n  - 1\n  - [z]\n")
    assert section.text("a", check=capitals) == "X"
    assert section.texts("b", check=capitals) == ("Y", "")
    assert told(problems) == ["4: b[1]: must be letters", "5: b[2]: must be a text"]


def test_a_key_that_stands_twice_is_refused_at_every_level() -> None:
    _, problems = read("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert told(problems) == ["4: key 'c' is already at line 3", "5: key 'a' is already at line 1"]


def test_a_strange_key_is_shown_escaped() -> None:
    section, problems = read('"a\\nb": 1\n[x]: 2\n')
    section.end()
    assert [line.isprintable() for line in told(problems)] == [True, True]
    assert "a key must be a single value" in told(problems)[1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "1: is empty", id="nothing"),
        pytest.param("# a comment\n", "1: is empty", id="a comment alone"),
        pytest.param("---\n", "1: is empty", id="an empty document"),
        pytest.param("- a\n", "1: must be a table of keys and values", id="a list"),
        pytest.param("a\n", "1: must be a table of keys and values", id="a text"),
        pytest.param("a: 1\n---\nb: 2\n", "2: a second document begins; there must be one", id="two documents"),
        pytest.param("a: &x 1\n", "1: anchors (&) and aliases (*) are not read here", id="anchor"),
        pytest.param("a: 1\nb: *x\n", "2: anchors (&) and aliases (*) are not read here", id="alias"),
        pytest.param("a: !!python/name:os.system x\n", "1: tags (!) are not read here", id="tag"),
        pytest.param("a: [1\nb: 2\n", "2: is not YAML: ", id="an open bracket"),
        pytest.param("a: b: c\n", "1: is not YAML: ", id="two colons"),
        pytest.param("a: 1\n\tb: 2\n", "2: is not YAML: ", id="a tab"),
        pytest.param("a: 1\nb: \x01\n", "2: is not YAML: ", id="a control character"),
        pytest.param("a: 1\nb: \udc80\n", "2: is not UTF-8 text", id="not UTF-8"),
        pytest.param("a: " + "[" * 50_000, f"1: is nested more than {MAX_DEPTH} deep", id="a very deep list"),
        pytest.param("a:\n  " + "- " * 50_000, f"2: is nested more than {MAX_DEPTH} deep", id="deep in blocks"),
        pytest.param("a: " + "{b: " * 50, f"1: is nested more than {MAX_DEPTH} deep", id="deep tables"),
        pytest.param("#" * MAX_BYTES + "\n", f"1: has {MAX_BYTES + 1} bytes; {MAX_BYTES} is the limit", id="too large"),
    ],
)
@pytest.mark.parametrize("loader", ["libyaml", "pure"])
def test_what_cannot_be_read_is_told_with_its_line(
    text: str, problem: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if loader == "pure":
        monkeypatch.setattr(config, "_LOADER", yaml.SafeLoader)
    problems = Problems("shop.yaml")
    assert read_yaml(text, problems) is None
    assert len(told(problems)) == 1
    assert told(problems)[0].startswith(problem)


@given(st.text(max_size=200) | st.text("ab:-[]{}&*!#\n \"'", max_size=60))
def test_no_text_is_too_strange_to_be_refused(text: str) -> None:
    problems = Problems("shop.yaml")
    section = read_yaml(text, problems)
    if section is None:
        assert problems
    else:
        section.end()


def test_a_long_value_is_shown_by_its_beginning() -> None:
    section, problems = read(f"a: {'x' * 10_000}")
    section.flag("a")
    assert len(told(problems)[0]) < 100
