"""Who may call: the order of questions that an INVITE is asked, and the cause that refuses it.

The order is the contract with the shop: credentials, emergency, suspension, the booth's lock, its free lines, and only
then the number. Everything here is told; nothing is looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sipshop.proxy.numbers import BadNumber, NumberRules
from sipshop.sip.digest import Algorithm


class Auth(StrEnum):
    """How a booth's phone proves itself."""

    DIGEST = "digest"
    IP = "ip"


class Inbound(StrEnum):
    """When somebody outside may ring a shop's booths."""

    NEVER = "never"
    OPEN = "open"  # a booth that is unlocked
    ALWAYS = "always"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A CallShop: whose it is, what it sells by (`deck`), its digest realm and how its customers dial.

    `caller_id` is its telephone number in E.164 digits, empty where it has none. `inbound` says when its booths may be
    rung from outside, by the numbers of each booth, or by `inbound_numbers` (E.164 digits) any that is free. `transfer`
    says whether its booths may have a callee talk with another number, at their cost.
    """

    tenant: str
    name: str
    owner: str
    deck: str
    currency: str
    realm: str
    digest: tuple[Algorithm, ...]
    numbers: NumberRules
    caller_id: str = ""
    inbound: Inbound = Inbound.NEVER
    inbound_numbers: tuple[str, ...] = ()
    transfer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Booth:
    """A phone of a shop: `name` is its SIP user, `calls` how many it may hold at once.

    `ip` is the one source address of a booth that authenticates by it; `ha1` the hashed passwords of the others
    (RFC 7616 section 3.4.2), one an algorithm. A `disabled` booth is kept for its history, and nobody is let in as it.
    `caller_id` is its telephone number in E.164 digits, empty where it has none of its own; `inbound_numbers` are those
    that ring it.
    """

    tenant: str
    shop: str
    name: str
    calls: int
    auth: Auth
    ip: str | None
    ha1: Mapping[Algorithm, str]
    disabled: bool = False
    caller_id: str = ""
    inbound_numbers: tuple[str, ...] = ()


class Cause(StrEnum):
    """Why a call is refused. `sipshop.switch` holds the one table from these to SIP statuses."""

    OVERLOADED = "overloaded"
    DRAINING = "draining"
    RESTARTED = "restarted"
    UNAUTHENTICATED = "unauthenticated"
    SUSPENDED = "suspended"
    LOCKED = "locked"
    BUSY = "busy"
    BAD_NUMBER = "bad_number"
    NO_RATE = "no_rate"
    FORBIDDEN = "forbidden"
    NO_RATE_ABOVE = "no_rate_above"
    FORBIDDEN_ABOVE = "forbidden_above"
    NO_FX = "no_fx"
    NO_FUNDS = "no_funds"
    LOSS = "loss"
    LIMITED = "limited"
    HELD_BACK = "held_back"
    BLOCKED = "blocked"
    NO_ROUTE = "no_route"
    TRUNKS_FAILED = "trunks_failed"
    NO_INBOUND = "no_inbound"
    INBOUND_FORBIDDEN = "inbound_forbidden"
    INBOUND_LOCKED = "inbound_locked"
    UNREACHABLE = "unreachable"
    FLOOD = "flood"
    NOT_DURABLE = "not_durable"


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothState:
    """What the switch knows of a booth at this instant: the open booth session, live calls, who above is suspended."""

    session_id: int | None
    live_calls: int
    suspended: str | None


@dataclass(frozen=True, slots=True)
class Emergency:
    """Admitted whatever the booth's state: the number as dialled goes to every emergency trunk."""

    dialled: str


@dataclass(frozen=True, slots=True)
class Admitted:
    """Admitted into the booth session that was open at this instant; `e164` is the number without a plus."""

    session_id: int
    e164: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Not admitted; `detail` is for people and safe to show and log."""

    cause: Cause
    detail: str


def admit(shop: Shop, booth: Booth, state: BoothState, dialled: str) -> Emergency | Admitted | Refused:
    """Decide on an INVITE whose sender has proved to be `booth`.

    Emergency numbers come first, on the digits as dialled. A number that cannot be understood is refused last, so that
    a locked booth learns nothing about numbers.
    """
    if shop.numbers.is_emergency(dialled):
        return Emergency(dialled)
    if state.suspended is not None:
        return Refused(Cause.SUSPENDED, f"{state.suspended} is suspended")
    if state.session_id is None:
        return Refused(Cause.LOCKED, f"booth {booth.name} is locked")
    if state.live_calls >= booth.calls:
        return Refused(Cause.BUSY, f"booth {booth.name} has {state.live_calls} of {booth.calls} calls")
    try:
        return Admitted(state.session_id, shop.numbers.to_e164(dialled))
    except BadNumber as error:
        return Refused(Cause.BAD_NUMBER, str(error))
