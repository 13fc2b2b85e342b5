"""How a call came out: its fate, made of what ended it or of what a carrier has said, for the caller and the CDR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sipshop.proxy.admission import Cause
from sipshop.proxy.course import CHARGED, Input, Side, State
from sipshop.proxy.news import Blocked, Cut, Denied, Heard, NotCommitted, Proved, TransferFailed, Vanished
from sipshop.proxy.trunk import AS_USUAL, FailOver, Verdict, verdict
from sipshop.sip import events

#: The causes of a talk that ended because somebody was silent: he is gone (destination out of order), or he is there
#: and answers no questions (recovery on timer expiry; ITU-T Q.850).
GONE_Q850: Final = 27
DEAF_Q850: Final = 102
#: Q.850 causes of SIP statuses (RFC 3398 section 8.2.6.1), for responses that carry no Reason of their own.
_Q850: Final[Mapping[int, int]] = {
    404: 1,
    408: 102,
    410: 22,
    480: 18,
    484: 28,
    486: 17,
    487: 31,
    488: 88,
    500: 41,
    501: 79,
    502: 38,
    503: 41,
    504: 102,
    600: 17,
    603: 21,
    604: 1,
}


class Outcome(StrEnum):
    """How a call came out; the words are those of the CDR's `result`."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """Why a call ends. Where `cause` is ours the status follows from it, else it is `status`."""

    outcome: Outcome
    cause: Cause | None = None
    status: int = 480
    q850: int | None = None
    hung_up_by: str | None = None  # "caller", "callee" or "switch"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Who was taken for gone, his last sign of life, and when BYE was sent to him."""

    side: Side
    why: str
    alive_at_s: float
    asked_at_s: float


def fate_of(state: State, happened: Input, event: Heard | None) -> Fate:
    """How a call comes out that ends by this input in this state."""
    if state in CHARGED:
        return _fate_of_talk(happened, event)
    match happened, event:
        case Input.DENIED, Denied(cause=cause, detail=detail):
            return Fate(outcome=Outcome.REFUSED, cause=cause, hung_up_by="switch", detail=detail)
        case Input.NOT_COMMITTED, NotCommitted(why=why):
            return Fate(outcome=Outcome.FAILED, cause=Cause.NOT_DURABLE, hung_up_by="switch", q850=41, detail=why)
        case Input.CUT, Cut(detail=detail):
            return Fate(outcome=Outcome.CANCELLED, hung_up_by="switch", q850=31, detail=detail)
        case Input.CALLER_CANCELLED, _:
            return Fate(outcome=Outcome.CANCELLED, status=487, q850=16, hung_up_by="caller")
        case Input.CALLER_GONE, _:
            detail = "the caller did not acknowledge that it rang"
            return Fate(outcome=Outcome.FAILED, status=504, q850=102, hung_up_by="switch", detail=detail)
        case Input.CALLEE_GONE, _:
            return Fate(outcome=Outcome.FAILED, q850=16, hung_up_by="callee", detail="hung up while answering")
        case Input.RANG_OUT, _:
            return Fate(outcome=Outcome.NO_ANSWER, q850=19, hung_up_by="switch", detail="nobody answered")
        case Input.FAILED, events.Failed() as failed:
            return fate_of_failure(failed)
        case Input.BLOCKED, Blocked(q850=q850, detail=detail):
            return Fate(outcome=Outcome.FAILED, cause=Cause.TRUNKS_FAILED, q850=q850, detail=detail)
        case _:
            return Fate(outcome=Outcome.FAILED, cause=Cause.TRUNKS_FAILED, q850=102, detail="no carrier responded")


def _fate_of_talk(happened: Input, event: Heard | None) -> Fate:
    by, detail, q850 = "switch", "", 16
    match event:
        case events.HungUp(reason=reason):
            by = "caller" if happened is Input.CALLER_GONE else "callee"
            q850 = q850_of(reason, 200) or 16
        case events.Lost(why=why) | Vanished(why=why):
            detail, q850 = lost(Side.CALLER if happened is Input.CALLER_GONE else Side.CALLEE, why), GONE_Q850
        case Cut(detail=detail):
            q850 = 31
        case TransferFailed():
            by, detail = "caller", "the caller hung up, and his transfer failed"
        case _:
            detail, q850 = "the granted time is over", 31
    return Fate(outcome=Outcome.ANSWERED, status=200, q850=q850, hung_up_by=by, detail=detail)


def fate_of_doubt(doubt: Doubt, event: Heard | None) -> Fate:
    """How a talk comes out that ended because somebody was silent."""
    detail, q850 = lost(doubt.side, doubt.why), GONE_Q850
    if isinstance(event, Proved) and event.lived:
        detail, q850 = f"{doubt.side} answers BYE, and was silent before: {doubt.why}", DEAF_Q850
    return Fate(outcome=Outcome.ANSWERED, status=200, q850=q850, hung_up_by="switch", detail=detail)


def fate_of_failure(failed: events.Failed) -> Fate:
    """What the caller is told of a carrier's refusal: the callee's state as it is, the carrier's troubles as 480."""
    status, q850 = failed.status, q850_of(failed.reason, failed.status)
    if fails_over(status):
        detail = f"carrier answered {status}" if failed.responded else "no carrier responded"
        return Fate(outcome=Outcome.FAILED, cause=Cause.TRUNKS_FAILED, q850=q850, detail=detail)
    if status in {486, 600}:
        return Fate(outcome=Outcome.BUSY, status=486, q850=q850 or 17)
    if status == 480:
        return Fate(outcome=Outcome.NO_ANSWER, status=480, q850=q850)
    passed = status if status in {403, 404, 410, 484, 488, 603, 604, 606} else 480
    return Fate(outcome=Outcome.FAILED, status=passed, q850=q850, detail=f"carrier answered {status}")


def fails_over(status: int, agreed: FailOver = AS_USUAL) -> bool:
    """Whether a final response says that this trunk failed, not that the callee cannot be had."""
    return verdict(status, agreed) is Verdict.NEXT


def fails_here(status: int, responded: bool) -> bool:
    """Whether the next address of the same carrier is to be tried (RFC 3263 section 4.3): silence, or 503."""
    return not responded or status == 503


def q850_of(reason: str | None, status: int) -> int | None:
    """The Q.850 cause that a Reason header names (RFC 3326), else the one that its SIP status stands for.

    >>> q850_of('SIP;cause=600, Q.850;cause=17;text="User busy"', 480), q850_of(None, 404)
    (17, 1)
    """
    for part in (reason or "").split(","):
        protocol, *params = [field.strip().lower() for field in part.split(";")]
        if protocol == "q.850":
            for name, _, value in (param.partition("=") for param in params):
                if name == "cause" and value.isascii() and value.isdigit() and int(value) < 128:
                    return int(value)
    return _Q850.get(status)


def lost(side: Side, why: str) -> str:
    """That a side is gone, in words."""
    return f"{side} lost: {why}"
