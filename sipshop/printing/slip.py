"""A slip: what is to be read on a piece of narrow paper, in blocks and in one language, however wide the paper is.

It goes as JSON to whoever prints it, so that a printer's agent needs no word of any language.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeAlias

#: What `from_json` reads; a later one reads the earlier ones too.
SLIP_VERSION: Final = 1

_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Align(StrEnum):
    """Where a text stands; the start is on the right where one reads from there."""

    START = "start"
    CENTER = "center"
    END = "end"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A paragraph. A `big` one is twice as large, one of `figures` is read from the left in any language."""

    text: str
    align: Align = Align.START
    bold: bool = False
    big: bool = False
    indent: int = 0  # in columns
    figures: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What something is, at the start, and how much, at the end of the last line that this takes."""

    label: str
    amount: str
    bold: bool = False
    big: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Figures with the names of their columns above them; each row has a cell for each column, the first is a name."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""


Block: TypeAlias = Text | Row | Table | Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Slip:
    """All that is read on it, in order; `title` names it where it is a file or a page."""

    language: str
    is_rtl: bool
    title: str
    blocks: tuple[Block, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the slip in plain JSON types."""
        return {
            "version": SLIP_VERSION,
            "language": self.language,
            "rtl": self.is_rtl,
            "title": self.title,
            "blocks": [_block_json(block) for block in self.blocks],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Slip:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        if data["version"] != SLIP_VERSION:
            raise ValueError(f"a slip of version {data['version']!r} is not known, only {SLIP_VERSION}")
        return cls(
            language=_text(data["language"]),
            is_rtl=data["rtl"] is True,
            title=_text(data["title"]),
            blocks=tuple(_block(each) for each in data["blocks"]),
        )


def without_controls(slip: Slip) -> Slip:
    """Return a slip of which no text is a command: what a printer would obey is a space.

    Names come from people and numbers from phones; ESC and what follows it opens a drawer.
    """
    return replace(slip, title=_clean(slip.title), blocks=tuple(map(_cleaned, slip.blocks)))


def _cleaned(block: Block) -> Block:
    match block:
        case Text():
            return replace(block, text=_clean(block.text))
        case Row():
            return replace(block, label=_clean(block.label), amount=_clean(block.amount))
        case Table():
            heads, rows = tuple(map(_clean, block.heads)), tuple(tuple(map(_clean, row)) for row in block.rows)
            return Table(heads=heads, rows=rows)
        case Rule():
            return block


def _clean(text: str) -> str:
    return _CONTROLS.sub(" ", text)


def _block_json(block: Block) -> dict[str, Any]:
    match block:
        case Text():
            made: dict[str, Any] = {"text": block.text, "align": block.align.value}
            flags = {"bold": block.bold, "big": block.big, "figures": block.figures}
            return made | {"indent": block.indent} | flags
        case Row():
            return {"label": block.label, "amount": block.amount, "bold": block.bold, "big": block.big}
        case Table():
            return {"heads": list(block.heads), "rows": [list(row) for row in block.rows]}
        case Rule():
            return {"rule": True}


def _block(data: dict[str, Any]) -> Block:
    if "text" in data:
        return Text(
            text=_text(data["text"]),
            align=Align(data["align"]),
            bold=data["bold"] is True,
            big=data["big"] is True,
            indent=int(data["indent"]),
            figures=data["figures"] is True,
        )
    if "label" in data:
        return Row(
            label=_text(data["label"]),
            amount=_text(data["amount"]),
            bold=data["bold"] is True,
            big=data["big"] is True,
        )
    if "heads" in data:
        heads = tuple(map(_text, data["heads"]))
        rows = tuple(tuple(map(_text, row)) for row in data["rows"])
        if any(len(row) != len(heads) for row in rows):
            raise ValueError("a row of a table has not as many cells as there are columns")
        return Table(heads=heads, rows=rows)
    if data.get("rule") is True:
        return Rule()
    raise ValueError(f"a block is a text, a row, a table or a rule, not {sorted(data)}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is wanted, not {value!r}")
    return value
