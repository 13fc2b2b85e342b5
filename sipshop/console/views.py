"""What the API shows and takes, as JSON: amounts as decimal strings, instants as ISO 8601 in UTC with milliseconds.

The classes are the schema that /openapi.json publishes; each is built from the value of the room that owns it.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from sipshop.billing.cdr import utc_text
from sipshop.billing.desk import Bill, BillLine, Payment
from sipshop.billing.money import format_micros
from sipshop.switch import BoothStatus


class LockCommand(BaseModel):
    """Lock a booth; `cut` also hangs up the call that it has."""

    model_config = ConfigDict(extra="forbid", strict=True)

    cut: bool = False


class PayCommand(BaseModel):
    """Pay the bill as it was read: its version, and the amount handed over as a decimal string such as "5.00"."""

    model_config = ConfigDict(extra="forbid", strict=True)

    version: int = Field(ge=0, lt=2**63)
    tendered: str = Field(max_length=40)


class BoothView(BaseModel):
    """A booth as the desk sees it; what a booth without a session or without a call cannot have is null."""

    booth: str
    shop: str
    state: Literal["locked", "open", "in call"]
    suspended: bool
    registered: int = Field(description="phones that are registered for the booth")
    currency: str
    session_id: int | None
    opened_at: str | None
    opened_by: str | None
    dialled: str | None
    seconds: int | None = Field(description="how long its call has been going on")
    live_calls: int

    @classmethod
    def of(cls, status: BoothStatus) -> Self:
        """The view of a booth's status."""
        return cls(
            booth=status.booth,
            shop=status.shop,
            state=status.state,
            suspended=status.suspended,
            registered=status.registered,
            currency=status.currency,
            session_id=status.session_id,
            opened_at=None if status.opened_at_ms is None else utc_text(status.opened_at_ms),
            opened_by=status.opened_by,
            dialled=status.dialled,
            seconds=status.seconds,
            live_calls=status.live_calls,
        )


class BoothList(BaseModel):
    """Every booth of the tenant."""

    booths: list[BoothView]


class BillLineView(BaseModel):
    """A charged call on a bill; `explanation` is its arithmetic."""

    call_id: str
    answered_at: str
    dialled: str
    e164: str
    destination: str
    talk_ms: int
    billed_s: int
    amount: str
    explanation: str

    @classmethod
    def of(cls, line: BillLine) -> Self:
        """The view of a bill's line."""
        return cls(
            call_id=line.call_id,
            answered_at=utc_text(line.answered_at_ms),
            dialled=line.dialled,
            e164=line.e164,
            destination=line.destination,
            talk_ms=line.talk_ms,
            billed_s=line.billed_s,
            amount=format_micros(line.amount.micros),
            explanation=line.explanation,
        )


class BillView(BaseModel):
    """What a booth's session owes at a version; all its amounts are in `currency`."""

    booth: str
    session_id: int
    version: int
    currency: str
    lines: list[BillLineView]
    total: str

    @classmethod
    def of(cls, bill: Bill) -> Self:
        """The view of a bill."""
        return cls(
            booth=bill.booth,
            session_id=bill.session_id,
            version=bill.version,
            currency=bill.total.currency,
            lines=[BillLineView.of(line) for line in bill.lines],
            total=format_micros(bill.total.micros),
        )


class PaymentView(BaseModel):
    """A bill that was paid, and the change to give back."""

    booth: str
    session_id: int
    version: int
    currency: str
    total: str
    tendered: str
    change: str

    @classmethod
    def of(cls, booth: str, payment: Payment) -> Self:
        """The view of a booth's payment."""
        return cls(
            booth=booth,
            session_id=payment.session_id,
            version=payment.version,
            currency=payment.total.currency,
            total=format_micros(payment.total.micros),
            tendered=format_micros(payment.tendered.micros),
            change=format_micros(payment.change.micros),
        )


class PartyView(BaseModel):
    """A party after it was suspended or resumed."""

    party: str
    suspended: bool


class CdrList(BaseModel):
    """Call detail records, the newest first, each with the columns of `sipshop.billing.cdr.Cdr`."""

    cdrs: list[dict[str, Any]]


class ProblemView(BaseModel):
    """A refusal (RFC 9457); some codes carry more members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
