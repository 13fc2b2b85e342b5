"""What happened, told upward: frozen, in the past tense, with no money in it.

`switch` tells them; `metrics` counts them and `console` shows them. Instants are milliseconds since the Unix epoch,
UTC; spans carry their unit in their name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationChanged:
    """A booth's phone registered, went away or expired, or it answers again or no more.

    `bindings` is how many it has now, `reachable` how many of them answer.
    """

    tenant: str
    shop: str
    booth: str
    bindings: int
    reachable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAttempted:
    """An INVITE of a booth or a carrier opened a call; `kind` is "call" or "emergency"."""

    tenant: str
    shop: str
    booth: str
    call_id: str
    kind: str
    direction: str
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRang:
    """The first 18x was passed to the caller, `after_ms` after his INVITE."""

    call_id: str
    tenant: str
    shop: str
    booth: str
    after_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered:
    """The caller was sent the 2xx after the answer was made durable; talk time starts here.

    `after_ms` counts from his INVITE; `added_us` is our own part of it: INVITE in to INVITE out, and 2xx in to 2xx
    out, the commit included.
    """

    call_id: str
    tenant: str
    shop: str
    booth: str
    trunk: str
    relayed_at_ms: int
    after_ms: int
    added_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded:
    """A call is over, answered or not, and its CDR is made; `trunk` is the one that answered or was tried last."""

    call_id: str
    tenant: str
    shop: str
    booth: str
    trunk: str | None
    talk_ms: int
    result: str
    sip_status: int
    q850: int | None
    hung_up_by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkTried:
    """A call that is over had tried this trunk; `outcome` is one of `TRUNK_OUTCOMES`."""

    tenant: str
    trunk: str
    outcome: str


TRUNK_OUTCOMES: Final[Mapping[str, str]] = {
    "answered": "the callee answered",
    "refused": "the carrier answered, and the callee could not be had: busy, not found, declined",
    "unanswered": "nobody answered in time, or the caller gave up",
    "failed": "the carrier could not take the call: 5xx, 408, 3xx, a challenge",
    "silent": "the carrier said nothing",
    "full": "nothing was sent: a cap of ours on the trunk was reached, or none of the phone's codecs is offered there",
}
"""How an attempt on a trunk can come out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkChanged:
    """A carrier came up or went down, or our registration with him has changed.

    `state` is "up", "half_open" or "down", or "gone" where the trunk is in use no more. `registration` is "registered",
    "registering" or "failed", None where we do not register; `status` is the last thing that he said, 408 where he was
    silent. `is_first`: nothing was known of him before.
    """

    tenant: str
    trunk: str
    state: str
    registration: str | None
    status: int | None
    is_first: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrunkProbed:
    """A carrier has answered an OPTIONS of ours, after `rtt_s`."""

    tenant: str
    trunk: str
    rtt_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRefused:
    """A request was refused before it became a call; `shop` is None where nobody was authenticated.

    Of who has to prove himself, `account` is what he calls himself, and `why` says what is missing.
    """

    status: int
    cause: str
    shop: str | None
    account: str | None = None
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageDropped:
    """Bytes that got no answer, so many times; `reason` is one of a small fixed set of words."""

    reason: str
    times: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBanned:
    """Too many wrong passwords came from an address: for one account, or all that is heard from there if None."""

    source: str
    account: str | None
    seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSeen:
    """A call is made although `party` loses on it: its loss guard warns only. A trunk is named for the provider's."""

    tenant: str
    party: str
    call_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BoothChanged:
    """A command changed a booth: it was unlocked, locked, topped up or paid, or its bill is another."""

    tenant: str
    shop: str
    booth: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TillChanged:
    """A shift began or ended at the till of a shop."""

    tenant: str
    shop: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PartyChanged:
    """A command changed a party's account, or suspended it or let it call again."""

    tenant: str
    party: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRaised:
    """People are told of something: a call went beyond a limit, or somebody has little left or grants too much.

    `kind` is what was looked at and `action` what was done; both are of a small fixed set of words. It is about a
    party, shop or booth (`place`, `name`); `party`, and all above it, sees it, and who serves `shop`. `rule` is the
    limit's name, empty where there is none.
    """

    tenant: str
    id: int
    at_ms: int
    kind: str
    action: str
    place: str
    name: str
    party: str
    shop: str | None
    rule: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEnded:
    """What an alert told of has healed, or somebody (`by`) has taken note of it."""

    tenant: str
    id: int
    kind: str
    place: str
    name: str
    party: str
    shop: str | None
    by: str | None


ALERT_KINDS: Final[Mapping[str, str]] = {
    "spend_per_hour": "more was spent within an hour than a limit lets, or was to be",
    "spend_per_day": "more was spent within a day",
    "calls_per_hour": "more calls went to one destination within an hour",
    "price_a_minute": "a call to a destination that is dearer",
    "unused_days": "a call to a country that was not called for long",
    "live_calls": "more calls at once",
    "night": "a call in a time of the day in which there are to be none, or none so dear",
    "low_balance": "a party's account or a booth's deposit is running out",
    "overcommit": "a party grants those below it more than it has",
}
"""What an alert can be about."""


Fact = (
    RegistrationChanged
    | CallAttempted
    | CallRang
    | CallAnswered
    | CallEnded
    | TrunkTried
    | TrunkChanged
    | TrunkProbed
    | RequestRefused
    | MessageDropped
    | SourceBanned
    | LossSeen
    | BoothChanged
    | TillChanged
    | PartyChanged
    | AlertRaised
    | AlertEnded
)
