"""The short form of the chaos run: 5 kills under 20 calls, and everything counted afterwards (docs/chaos.md)."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from .chaos.plan import Plan
from .chaos.run import Run

pytestmark = pytest.mark.wire


def test_whatever_dies_every_call_is_paid_once_and_nobody_overspends(tmp_path: Path) -> None:
    seed = secrets.randbelow(1_000_000)
    print(f"again: make chaos ARGS='--short --seed {seed}'")
    run = Run(Plan.short(seed), tmp_path, print)
    outcome = run.made()
    print(outcome.figures)
    assert outcome.failures == []
    assert run.kills.total() == 5
