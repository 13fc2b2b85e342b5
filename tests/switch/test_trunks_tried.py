"""What an attempt on a trunk came to, as monitoring counts it."""

from dataclasses import replace

import pytest

from sipshop.billing.cdr import Attempt, Result
from sipshop.facts import TRUNK_OUTCOMES, TrunkTried
from sipshop.switch.records import trunks_tried
from tests.store.examples import TENANT, cdr


def attempt(*, status: int | None = None, q850: int | None = None, pdd_ms: int | None = None) -> Attempt:
    return Attempt(trunk="first", status=status, q850=q850, pdd_ms=pdd_ms)


@pytest.mark.parametrize(
    ("tried", "result", "outcome"),
    [
        pytest.param(attempt(status=200, pdd_ms=40), Result.ANSWERED, "answered", id="a talk"),
        pytest.param(attempt(status=486, q850=17), Result.BUSY, "refused", id="a busy callee"),
        pytest.param(attempt(status=404, q850=1), Result.FAILED, "refused", id="no such number"),
        pytest.param(attempt(status=503, q850=41), Result.FAILED, "failed", id="a carrier that cannot"),
        pytest.param(attempt(status=408), Result.FAILED, "failed", id="a carrier whose own carrier is silent"),
        pytest.param(attempt(status=302), Result.FAILED, "failed", id="a redirection"),
        pytest.param(attempt(), Result.FAILED, "silent", id="not a word"),
        pytest.param(attempt(pdd_ms=40), Result.NO_ANSWER, "unanswered", id="it rang out"),
        pytest.param(attempt(), Result.CANCELLED, "unanswered", id="the caller was faster than the carrier"),
        pytest.param(attempt(q850=34), Result.FAILED, "full", id="a cap of ours"),
    ],
)
def test_how_the_last_attempt_came_out(tried: Attempt, result: Result, outcome: str) -> None:
    made = replace(cdr(talk_ms=0), attempts=(tried,), result=result)
    assert list(trunks_tried(made)) == [TrunkTried(tenant=TENANT, trunk="first", outcome=outcome)]
    assert outcome in TRUNK_OUTCOMES


def test_a_trunk_that_was_given_up_was_silent_whatever_the_caller_did_then() -> None:
    second = replace(attempt(), trunk="second")
    made = replace(cdr(talk_ms=0), attempts=(attempt(), second), result=Result.CANCELLED)
    assert [(fact.trunk, fact.outcome) for fact in trunks_tried(made)] == [
        ("first", "silent"),
        ("second", "unanswered"),
    ]
