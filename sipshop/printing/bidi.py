"""Text as it is drawn from the left: the order of UAX #9, and the joined letters of Arabic.

Browsers do both by themselves; a printer and a PDF draw what they are given, one letter after the other. What is drawn
is a line by itself, without explicit embeddings or overrides (rules X1 to X8 have nothing to do): characters that ask
for some are left out, so that a name cannot turn the line that it stands in.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Final

_TATWEEL: Final = "\N{ARABIC TATWEEL}"
_LAM: Final = "\N{ARABIC LETTER LAM}"
_BRACKETS: Final = dict(zip("([{", ")]}", strict=True))
_MIRRORED: Final = {
    one: other
    for left, right in zip("([{<\u00ab\u2039", ")]}>\u00bb\u203a", strict=True)
    for one, other in ((left, right), (right, left))
}
_NEUTRAL: Final = frozenset({"B", "S", "WS", "ON"})
_STRONG: Final = {"L": "L", "R": "R", "EN": "R", "AN": "R"}  # as the rules for neutrals see them
_LEFT_OUT: Final = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"})


def needs_bidi(text: str) -> bool:
    """Say whether a text has a letter that is read from the right."""
    return any(unicodedata.bidirectional(each) in {"R", "AL", "AN"} for each in text)


def reads_from_the_right(text: str, *, otherwise: bool) -> bool:
    """Say which way a text is read: its first letter tells (rules P2 and P3), `otherwise` where it has none.

    >>> reads_from_the_right("12 rue", otherwise=True), reads_from_the_right("12.50", otherwise=True)
    (False, True)
    """
    kinds = (unicodedata.bidirectional(each) for each in text)
    return next((kind != "L" for kind in kinds if kind in {"L", "R", "AL"}), otherwise)


def visual(text: str, *, is_rtl: bool) -> str:
    """Return a line as it is drawn from the left; `is_rtl` says which way the paragraph that it is of reads.

    >>> visual("abc", is_rtl=False), visual("12 \u05d0\u05d1", is_rtl=True)
    ('abc', '\u05d1\u05d0 12')
    """
    if not is_rtl and not needs_bidi(text):
        return "".join(each for each in text if unicodedata.category(each) != "Cf")
    joined = shaped(text)
    kept = "".join(each for each in joined if unicodedata.bidirectional(each) not in _LEFT_OUT)
    return "".join(each for each in _reordered(kept, int(is_rtl)) if unicodedata.category(each) != "Cf")


# Letters.


def _forms() -> Mapping[str, Mapping[str, str]]:
    """How each Arabic letter, or lam with alef, is written: `isolated`, `final`, `initial`, `medial`, as it has them.

    Unicode says so itself: each presentation form decomposes to its letter.
    """
    found: dict[str, dict[str, str]] = {}
    for code in (*range(0xFB50, 0xFC00), *range(0xFE80, 0xFEFD)):
        form, *letters = unicodedata.decomposition(chr(code)).split() or [""]
        letter = "".join(chr(int(each, 16)) for each in letters)
        if len(letter) == 1 or letter.startswith(_LAM):
            found.setdefault(letter, {}).setdefault(form.strip("<>"), chr(code))
    return found


_FORMS: Final = _forms()
_NO_FORMS: Final[Mapping[str, str]] = {}


def shaped(text: str) -> str:
    """Return a text, still in the order in which it is read, with its Arabic letters as they join.

    Marks above and below letters are left out, as on most signs: a receipt is read without them.
    """
    letters = list(_letters(text))
    return "".join(
        _FORMS.get(letter, _NO_FORMS).get(
            _FORM[
                place > 0 and _joins_next(letters[place - 1]) and _joins_before(letter),
                place + 1 < len(letters) and _joins_next(letter) and _joins_before(letters[place + 1]),
            ],
            letter,
        )
        for place, letter in enumerate(letters)
    )


#: Joined to the one before, to the one after: what it is called.
_FORM: Final = {
    (False, False): "isolated",
    (True, False): "final",
    (False, True): "initial",
    (True, True): "medial",
}


def _letters(text: str) -> Iterator[str]:
    """The letters of a text, lam with an alef as one."""
    kept = [
        each
        for each in text
        if not (unicodedata.category(each) == "Mn" and unicodedata.name(each, "").startswith("ARABIC"))
    ]
    place = 0
    while place < len(kept):
        pair = "".join(kept[place : place + 2])
        yield pair if len(pair) == 2 and pair in _FORMS else kept[place]
        place += 2 if len(pair) == 2 and pair in _FORMS else 1


def _joins_next(letter: str) -> bool:
    return letter == _TATWEEL or "initial" in _FORMS.get(letter, _NO_FORMS)


def _joins_before(letter: str) -> bool:
    return letter == _TATWEEL or "final" in _FORMS.get(letter, _NO_FORMS)


# Order.


def _reordered(text: str, base: int) -> str:
    levels = _levels(text, base)
    for place in range(len(text) - 1, -1, -1):  # L1: blanks at the end of a line are the paragraph's
        if unicodedata.bidirectional(text[place]) not in {"B", "S", "WS"}:
            break
        levels[place] = base
    drawn = [
        (level, _MIRRORED.get(each, each) if level % 2 else each) for each, level in zip(text, levels, strict=True)
    ]
    lowest = min((level for level in levels if level % 2), default=max(levels, default=0) + 1)
    for level in range(max(levels, default=0), lowest - 1, -1):  # L2
        drawn = list(_turned(drawn, level))
    return "".join(each for _, each in drawn)


def _turned(drawn: list[tuple[int, str]], level: int) -> Iterator[tuple[int, str]]:
    """A line with each run of a level, or of a higher one, the other way round."""
    for is_high, run in groupby(drawn, key=lambda each: each[0] >= level):
        letters = list(run)
        yield from letters[::-1] if is_high else letters


def _levels(text: str, base: int) -> list[int]:
    """The level of each character: even ones are read from the left."""
    edge = "R" if base else "L"
    types = _weak([unicodedata.bidirectional(each) or "L" for each in text], edge)
    _pair_brackets(text, types, edge)
    _resolve_neutrals(types, edge)
    if base:
        return [base + (kind != "R") for kind in types]
    return [{"L": 0, "R": 1}.get(kind, 2) for kind in types]


def _weak(types: list[str], edge: str) -> list[str]:
    """Rules W1 to W7: what figures and the signs beside them are."""
    types = ["R" if kind == "AL" else kind for kind in _figures(types, edge)]  # W3
    for place in range(1, len(types) - 1):
        around = {types[place - 1], types[place + 1]}
        if (types[place], around) in _JOINING:
            types[place] = around.pop()  # W4
    place = 0
    for kind, run in [(kind, len(list(run))) for kind, run in groupby(types)]:
        touches = types[max(0, place - 1) : place + run + 1]
        if kind == "ET" and "EN" in touches:
            types[place : place + run] = ["EN"] * run  # W5
        place += run
    strong = edge
    for place, kind in enumerate(types):
        if kind in {"ET", "ES", "CS"}:
            types[place] = "ON"  # W6
        elif kind in {"L", "R"}:
            strong = kind
        elif kind == "EN" and strong == "L":
            types[place] = "L"  # W7
    return types


#: A sign that joins the figures on both sides of it.
_JOINING: Final = (("ES", {"EN"}), ("CS", {"EN"}), ("CS", {"AN"}))


def _figures(types: list[str], edge: str) -> Iterator[str]:
    """Rules W1 and W2: a mark is what it is on, and figures after an Arabic letter are Arabic."""
    before = strong = edge
    for kind in types:
        if kind == "NSM":
            kind = before  # noqa: PLW2901 - the rule says so
        elif kind == "EN" and strong == "AL":
            kind = "AN"  # noqa: PLW2901 - likewise
        if kind in {"L", "R", "AL"}:
            strong = kind
        before = kind
        yield kind


def _pair_brackets(text: str, types: list[str], edge: str) -> None:
    """Rule N0: both brackets of a pair go one way."""
    for opening, closing in sorted(_pairs(text, types)):
        inside = {_STRONG[kind] for kind in types[opening + 1 : closing] if kind in _STRONG}
        if not inside:
            continue
        way = edge
        if edge not in inside:
            context = next((_STRONG[kind] for kind in reversed(types[:opening]) if kind in _STRONG), edge)
            way = context
        types[opening] = types[closing] = way


def _pairs(text: str, types: list[str]) -> Iterator[tuple[int, int]]:
    waiting: list[tuple[str, int]] = []
    for place, each in enumerate(text):
        if types[place] != "ON":
            continue
        if each in _BRACKETS:
            waiting.append((_BRACKETS[each], place))
        elif each in _BRACKETS.values():
            for depth in range(len(waiting) - 1, -1, -1):
                if waiting[depth][0] == each:
                    yield waiting[depth][1], place
                    del waiting[depth:]
                    break


def _resolve_neutrals(types: list[str], edge: str) -> None:
    """Rules N1 and N2: what stands between two of one way goes that way, else that of the paragraph."""
    place = 0
    for is_neutral, run in [(same, len(list(run))) for same, run in groupby(types, key=lambda kind: kind in _NEUTRAL)]:
        if is_neutral:
            before = _STRONG[types[place - 1]] if place else edge
            after = _STRONG[types[place + run]] if place + run < len(types) else edge
            types[place : place + run] = [before if before == after else edge] * run
        place += run
