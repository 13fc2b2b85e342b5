"""There is no float in the room of money: neither by name, nor as a number, nor out of a division."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import sipshop.billing

ROOM = Path(sipshop.billing.__file__).parent


def floats(source: str) -> list[int]:
    """Return the lines on which a float is named, written or made."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if (isinstance(node, ast.Constant) and isinstance(node.value, float))
        or (isinstance(node, ast.Name) and node.id in {"float", "round"})
        or (isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div))
    ]


@pytest.mark.parametrize("path", sorted(ROOM.glob("*.py")), ids=lambda path: path.stem)
def test_a_module_of_money_has_no_float(path: Path) -> None:
    assert floats(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("source", ["x = 0.1", "x = 1 / 3", "x /= 3", "x = float('1')", "x = round(y)"])
def test_a_float_would_be_seen(source: str) -> None:
    assert floats(source) == [1]
