"""What a call tells the switch to do: each order a value, which says nothing of how it is done."""

from __future__ import annotations

from dataclasses import dataclass

from sipshop.proxy.course import Side
from sipshop.proxy.fate import Fate
from sipshop.proxy.inbound import Extension
from sipshop.proxy.routing import Trunk
from sipshop.sip.events import Ask, Content

#: Who is tried: a carrier, or for a call that comes from one a phone of a booth.
Target = Trunk | Extension


@dataclass(frozen=True, slots=True)
class Authorise:
    """Find out whether every level can pay: `Granted` or `Denied`, in this turn or a later one."""


@dataclass(frozen=True, slots=True)
class Dial:
    """Call the trunk, or ring the phone; its leg is leg B from now on."""

    target: Target
    attempt: int


@dataclass(frozen=True, slots=True)
class DialOn:
    """Call the trunk of this attempt at its next address."""

    attempt: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Cancel leg B and listen to it no more, or look no longer for where to call."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Tell the caller how it goes."""

    status: int
    content: Content | None
    is_reliable: bool = False  # the callee wants to know that it came


@dataclass(frozen=True, slots=True)
class AcknowledgeProgress:
    """Give the callee the caller's answer to the offer that it made while it rang."""

    content: Content | None


@dataclass(frozen=True, slots=True)
class Commit:
    """Make the answer durable: `Committed` or `NotCommitted`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Give the caller his 2xx; talk time starts with it."""

    content: Content | None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Give the callee his ACK, with the caller's answer to a late offer."""

    content: Content | None


@dataclass(frozen=True, slots=True)
class Reject:
    """Refuse the caller."""

    fate: Fate


@dataclass(frozen=True, slots=True)
class HangUp:
    """End a leg by BYE."""

    side: Side
    q850: int
    detail: str


@dataclass(frozen=True, slots=True)
class AwaitProof:
    """Say by `Proved` what this side answers to BYE; until then the talk is only known to have been so long."""

    side: Side
    talk_ms: int


@dataclass(frozen=True, slots=True)
class PassAsk:
    """Send a request of one leg to the other."""

    to: Side
    ask: Ask


@dataclass(frozen=True, slots=True)
class PassReply:
    """Answer a request of `to`."""

    to: Side
    ask: Ask
    status: int
    content: Content | None


@dataclass(frozen=True, slots=True)
class PassWithdrawal:
    """Cancel the re-INVITE that was passed to `to`."""

    to: Side
    ask: Ask


@dataclass(frozen=True, slots=True)
class PassAskAcknowledgement:
    """Acknowledge the re-INVITE that was passed to `to`, if its ACK is owed."""

    to: Side
    ask: Ask
    content: Content | None


@dataclass(frozen=True, slots=True)
class Settle:
    """The call is over: write its CDR. `talk_ms` is zero unless the caller got his 2xx."""

    fate: Fate
    talk_ms: int


Command = (
    Authorise
    | Dial
    | DialOn
    | GiveUp
    | Progress
    | AcknowledgeProgress
    | Commit
    | Answer
    | Acknowledge
    | Reject
    | HangUp
    | AwaitProof
    | PassAsk
    | PassReply
    | PassWithdrawal
    | PassAskAcknowledgement
    | Settle
)
