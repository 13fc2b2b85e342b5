"""What the switch shows of itself: values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sipshop.billing.tax import Tax


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothStatus:
    """A booth at this instant.

    `registered` counts the bindings of its phone, `reachable` those that answer. `dialled` and `seconds` tell of its
    oldest live call, `seconds` None until it is answered; `opened_at_ms` is UTC. Of a deposit or a limit
    `available_micros` is free, of the session's minutes `left_ms`: live calls hold the rest. What is without end is
    None. `tax` is what the shop's customers pay with it.
    """

    booth: str
    shop: str
    state: Literal["disabled", "locked", "open", "in call"]
    suspended: bool
    registered: int
    reachable: int
    currency: str
    session_id: int | None
    opened_at_ms: int | None
    opened_by: str | None
    dialled: str | None
    seconds: int | None
    live_calls: int
    deposit_micros: int
    credit_limit_micros: int | None
    talk_limit_ms: int | None
    available_micros: int | None
    left_ms: int | None
    tax: Tax | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationStatus:
    """A phone that is registered for a booth, as it is at this instant.

    `contact` is what it calls itself, `address` and `transport` are how it is reached. One that is not `reachable` does
    not answer. Instants are UTC; `rtt_ms` is how long its last answer to us took, None before the first.
    """

    booth: str
    shop: str
    contact: str
    address: str
    transport: str
    user_agent: str
    reachable: bool
    expires_at_ms: int
    seen_at_ms: int | None
    rtt_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyStatus:
    """A party at this instant, and its account with the party above it; the provider has none.

    `suspender` is who suspended it, `suspended_by` the nearest suspended party, itself or above. `available_micros` is
    balance and credit limit less what live calls hold, None where it is `unlimited`; `overdrawn` says that an
    adjustment took more than there was. `tax` is what its invoices have on them. `granted_micros` is what those below
    it may spend, None too where that `grants_without_end`.
    """

    party: str
    kind: str
    parent: str | None
    suspended: bool
    suspender: str | None
    suspended_by: str | None
    currency: str | None
    balance_micros: int | None
    credit_limit_micros: int | None
    unlimited: bool
    held_micros: int
    available_micros: int | None
    overdrawn: bool
    live_calls: int
    tax: Tax | None = None
    granted_micros: int | None = None
    grants_without_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyMoney:
    """A party's account with the one above it, as monitoring sees it.

    `available_micros` is None without end; `charged_micros` is what calls have taken since we started.
    """

    tenant: str
    party: str
    currency: str
    balance_micros: int
    held_micros: int
    available_micros: int | None
    charged_micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStatus:
    """A live call at this instant.

    `setup_at_ms` and `answered_at_ms` are UTC; `talk_ms` runs from the answer. `amount_micros` is what the customer
    owes for the talk so far; `trunk` is the one that is tried or talked on.
    """

    call_id: str
    shop: str
    booth: str
    kind: str
    direction: Literal["outbound", "inbound"]
    state: Literal["setting up", "ringing", "answered"]
    dialled: str
    e164: str | None
    destination: str | None
    setup_at_ms: int
    answered_at_ms: int | None
    talk_ms: int
    amount_micros: int
    currency: str
    trunk: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a booth's live calls cost from an instant on, `after_ms` from now, until the next such figure."""

    after_ms: int
    micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A booth with all that a board shows of it, at this instant.

    `call` is its oldest live call; `running` what all of them cost, now and in the time ahead. Of its unpaid session,
    open or locked, `spent_micros` is on the bill for calls and `beside_micros` for goods, discounts and voids,
    `funds_micros` is what it may spend in all, and `talk_left_ms` is the rest of its talk time (both None: no end).
    `alarm_id` names an emergency call that nobody has acknowledged.
    """

    status: BoothStatus
    call: CallStatus | None
    unpaid_id: int | None
    spent_micros: int
    beside_micros: int
    funds_micros: int | None
    talk_left_ms: int | None
    running: tuple[Running, ...]
    note: str
    alarm_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """What a party may see: itself and all below it, and the shops of those."""

    parties: frozenset[str]
    shops: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """Whether calls and commands can be taken, and why not."""

    ready: bool
    recovering: bool
    writable: bool
    draining: bool
    why: str
