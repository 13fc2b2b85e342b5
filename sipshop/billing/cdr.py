"""The call detail record: one for every attempt that was let in or refused by name, with what each level pays.

A record is written once and never changed; a correction is a new revision of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.deck import Tariff
from sipshop.billing.earnings import margins
from sipshop.billing.errors import BadCdr
from sipshop.billing.money import Money, minor_unit_places
from sipshop.billing.rating import Cost

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
#: What hides a character of a number, and what stands in numbers without saying anything.
MASK: Final = "*"
_BETWEEN: Final = frozenset(" +-./()")


class CallKind(StrEnum):
    """What a call is for; an emergency call is never charged."""

    CALL = "call"
    EMERGENCY = "emergency"
    TEST = "test"


class Direction(StrEnum):
    """From a booth to a carrier, or the other way."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class Result(StrEnum):
    """How an attempt ended."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


class HungUpBy(StrEnum):
    """Who ended a call: the caller, the callee, or this switch (a cut, a limit, a lost leg, a restart)."""

    CALLER = "caller"
    CALLEE = "callee"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One trunk that was tried.

    `status` is its final SIP status (None: it never gave one), `q850` its cause (ITU-T Q.850), `pdd_ms` the
    milliseconds from our first try to its first ringing or progress. `why` is in a word what kept us from an answer of
    his: `dns`, `full`, `codecs`, `timeout`, or what became of the connection, such as `tls_name`.
    """

    trunk: str
    status: int | None
    q850: int | None
    pdd_ms: int | None
    why: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the attempt in plain JSON types."""
        told = {"trunk": self.trunk, "status": self.status, "q850": self.q850, "pdd_ms": self.pdd_ms}
        return {**told, "why": self.why or None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one level pays the level above: `cost` was worked out by `tariff`, the snapshot that the call kept.

    The booth's customer pays first, the provider pays the carrier last.
    """

    seller: str
    buyer: str
    tariff: Tariff
    cost: Cost

    def to_json(self) -> dict[str, Any]:
        """Return the charge in plain JSON types, the amount as a decimal string.

        What it is taxed at and by what it was converted are there where it is.
        """
        return {
            "seller": self.seller,
            "buyer": self.buyer,
            "deck": self.tariff.deck,
            "version": self.tariff.version,
            "prefix": self.tariff.rate.prefix,
            "billed_s": self.cost.billed_s,
            "amount": self.cost.amount.text,
            "currency": self.cost.amount.currency,
            "lines": [line.to_json(minor_unit_places(self.tariff.currency)) for line in self.cost.lines],
            **({} if self.tariff.tax is None else {"tax": self.tariff.tax.to_json()}),
            **({} if self.tariff.fx is None else {"fx": self.tariff.fx.to_json()}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdr:
    """Everything that is kept of one attempt.

    Instants are milliseconds since the Unix epoch, UTC; `answered_at_ms` is when the 2xx was relayed to the caller, the
    start of `talk_ms`. What the attempt did not reach is None: `e164` of a number that could not be read, `session_id`
    of a locked booth.

    Raises:
        BadCdr: talk time or charges without an answer, or a charged emergency call or call from outside.
    """

    call_id: str
    revision: int = 0
    kind: CallKind
    direction: Direction = Direction.OUTBOUND
    tenant: str
    shop: str
    booth: str
    session_id: int | None
    dialled: str
    e164: str | None
    destination: str | None
    setup_at_ms: int
    answered_at_ms: int | None
    ended_at_ms: int
    pdd_ms: int | None
    talk_ms: int
    result: Result
    sip_status: int | None
    q850: int | None
    hung_up_by: HungUpBy | None
    trunk: str | None
    attempts: tuple[Attempt, ...] = ()
    leg_a_call_id: str | None
    leg_b_call_id: str | None
    recovered: bool = False
    charges: tuple[Charge, ...] = ()

    def __post_init__(self) -> None:
        if self.talk_ms < 0:
            raise BadCdr(f"call {self.call_id}: talk time of {self.talk_ms} ms")
        if self.answered_at_ms is None and (self.talk_ms or self.charges):
            raise BadCdr(f"call {self.call_id}: talk time or charges, but no answer")
        if self.kind is CallKind.EMERGENCY and self.charges:
            raise BadCdr(f"call {self.call_id}: an emergency call is never charged")
        if self.direction is Direction.INBOUND and self.charges:
            raise BadCdr(f"call {self.call_id}: a call from outside is never charged")

    @property
    def margins(self) -> tuple[Money | None, ...]:
        """What the buyer of each charge keeps: his own sale, net, less this; None for the customer."""
        return tuple(margins((charge.tariff, charge.cost.amount) for charge in self.charges))

    def to_json(self) -> dict[str, Any]:
        """Return the record in plain JSON types: instants in UTC with milliseconds, amounts as decimal strings."""
        return {
            "call_id": self.call_id,
            "revision": self.revision,
            "kind": self.kind.value,
            "direction": self.direction.value,
            "tenant": self.tenant,
            "shop": self.shop,
            "booth": self.booth,
            "session_id": self.session_id,
            "dialled": self.dialled,
            "e164": self.e164,
            "destination": self.destination,
            "setup_at": utc_text(self.setup_at_ms),
            "answered_at": None if self.answered_at_ms is None else utc_text(self.answered_at_ms),
            "ended_at": utc_text(self.ended_at_ms),
            "pdd_ms": self.pdd_ms,
            "talk_ms": self.talk_ms,
            "result": self.result.value,
            "sip_status": self.sip_status,
            "q850": self.q850,
            "hung_up_by": None if self.hung_up_by is None else self.hung_up_by.value,
            "trunk": self.trunk,
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "leg_a_call_id": self.leg_a_call_id,
            "leg_b_call_id": self.leg_b_call_id,
            "recovered": self.recovered,
            "charges": [
                charge.to_json()
                | {
                    "margin": None if margin is None else margin.text,
                    "margin_currency": None if margin is None else margin.currency,
                }
                for charge, margin in zip(self.charges, self.margins, strict=True)
            ],
        }


def utc_text(at_ms: int) -> str:
    """Return an instant in milliseconds since the Unix epoch as ISO 8601 in UTC.

    >>> utc_text(1_767_225_599_007)
    '2025-12-31T23:59:59.007Z'
    """
    return (_EPOCH + timedelta(milliseconds=at_ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def masked(number: str, hidden: int) -> str:
    """Return a dialled number with its last `hidden` characters masked, or all of them; what stands between them stays.

    What is masked already counts as masked, so nothing comes back, and masking again changes nothing.

    >>> masked("+49 30 555-1234", 4)
    '+49 30 555-****'
    >>> masked("112", 4)
    '***'
    """
    made, left = list(number), hidden
    for place in range(len(made) - 1, -1, -1):
        if left and made[place] not in _BETWEEN:
            made[place], left = MASK, left - 1
    return "".join(made)
