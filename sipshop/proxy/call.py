"""The call: two legs and one table.

`hear` takes what happened and gives back what to do; the legs' events come in without SIP, the commands go out
without IO. Leg A is the caller's, leg B the carrier's; of a call from outside leg A is the carrier's and leg B the
booth's. The order that the table keeps is the one that keeps money right: nothing is dialled before it is authorised,
the caller gets his 2xx only when the answer is durable, and each way out of a call passes `Settle` exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from typing import Final

from sipshop.proxy.admission import Cause
from sipshop.proxy.inbound import Extension
from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import AS_USUAL, FailOver, Verdict, verdict
from sipshop.sip import events
from sipshop.sip.events import Ask, Content
from sipshop.sip.words import Word

#: How long the answer may take to become durable before the call is given up (seconds).
COMMIT_LIMIT_S: Final = 2.0
#: How long the search for a trunk's addresses may take, whatever `sip.dns.wait_ms` is (seconds).
SEARCH_LIMIT_S: Final = 12.0
#: How long who was taken for gone has for an answer to BYE (seconds): it is sent five times in them.
PROOF_LIMIT_S: Final = 8.0
#: The causes of a talk that ended because somebody was silent: he is gone (destination out of order), or he is there
#: and answers no questions (recovery on timer expiry; ITU-T Q.850).
GONE_Q850: Final = 27
DEAF_Q850: Final = 102
#: The cause of an attempt at a trunk that is at its cap: no circuit is available (ITU-T Q.850).
NO_CIRCUIT_Q850: Final = 34


class State(Word):
    """Where a call stands."""

    AUTHORISING = auto()  # asked whether every level can pay
    DIALLING = auto()
    RINGING = auto()  # the caller was told so
    ANSWERING = auto()  # the callee answered, the caller does not know yet
    TALKING = auto()
    TRANSFERRING = auto()  # the caller wants the callee to talk with somebody else, who is being called
    WAITING = auto()  # the same, and he has hung up meanwhile
    PROVING = auto()  # one of them was taken for gone: what he answers to BYE says how long the talk was
    ENDED = auto()


class Input(Word):
    """What a call hears, sorted by what it means for the call."""

    GRANTED = auto()
    EXTENDED = auto()
    DENIED = auto()
    BLOCKED_OVER = auto()  # this trunk takes no more calls, and there is another
    BLOCKED = auto()
    SEARCHING = auto()  # its addresses are looked up
    SENT = auto()  # to one of its addresses
    TRYING = auto()  # the trunk is there
    PROGRESSED = auto()
    ANSWERED = auto()
    ANSWERED_EMERGENCY = auto()  # nothing is waited for
    FAILED_OVER = auto()  # this trunk failed, and there is another
    FAILED = auto()
    FAILED_HERE = auto()  # this address of the target, which has another one
    SILENT_HERE = auto()
    SILENT_OVER = auto()  # no response to the INVITE in time, and there is another trunk
    SILENT = auto()
    RANG_OUT = auto()
    CALLER_CANCELLED = auto()
    CALLER_ACKNOWLEDGED = auto()
    PROGRESS_ACKNOWLEDGED = auto()  # with the answer to an offer that rang
    CALLER_GONE = auto()
    CALLEE_GONE = auto()
    CALLER_VANISHED = auto()
    CALLEE_VANISHED = auto()
    PROVED = auto()  # that he lived, or not
    WRITTEN = auto()
    COMMITTED = auto()
    NOT_COMMITTED = auto()
    CUT_OFF = auto()  # the granted time is over
    CUT = auto()  # by the operator, or because we stop
    ASKED = auto()
    REPLIED = auto()
    WITHDRAWN = auto()
    ASK_ACKNOWLEDGED = auto()
    TRANSFER_BEGUN = auto()
    TRANSFER_FAILED = auto()
    TRANSFERRED = auto()  # the callee talks with that other one, who is the caller from now on


class Action(Word):
    """What a call does about it; each becomes commands in `Call._do`."""

    DIAL = auto()
    DIAL_ON = auto()  # the same target, at its next address
    PROGRESS = auto()
    ACKNOWLEDGE_PROGRESS = auto()
    COMMIT = auto()
    WAIT_FOR_CALLER = auto()
    ANSWER = auto()
    EXTEND = auto()
    ACKNOWLEDGE = auto()
    REJECT = auto()
    GIVE_UP = auto()
    HANG_UP_CALLER = auto()
    HANG_UP_CALLEE = auto()
    AWAIT_PROOF = auto()
    SETTLE = auto()
    PASS_ASK = auto()
    REFUSE_ASK = auto()
    PASS_REPLY = auto()
    PASS_WITHDRAWAL = auto()
    PASS_ASK_ACK = auto()


S, On, Do = State, Input, Action
#: Who is tried: a carrier, or for a call that comes from one a phone of a booth.
Target = Trunk | Extension
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]


def _while_calling(state: State) -> Table:
    """The rows of DIALLING and RINGING: they differ in their names only, which CDRs and boards show."""
    return {
        (state, On.TRYING): (state, ()),
        (state, On.PROGRESSED): (S.RINGING, (Do.PROGRESS,)),
        (state, On.ANSWERED): (S.ANSWERING, (Do.COMMIT,)),
        (state, On.ANSWERED_EMERGENCY): (S.TALKING, (Do.ANSWER,)),
        (state, On.FAILED_HERE): (S.DIALLING, (Do.DIAL_ON,)),
        (state, On.SILENT_HERE): (S.DIALLING, (Do.GIVE_UP, Do.DIAL_ON)),
        (state, On.FAILED_OVER): (S.DIALLING, (Do.DIAL,)),
        (state, On.FAILED): (S.ENDED, (Do.REJECT, Do.SETTLE)),
        (state, On.SILENT_OVER): (S.DIALLING, (Do.GIVE_UP, Do.DIAL)),
        (state, On.SILENT): (S.ENDED, (Do.GIVE_UP, Do.REJECT, Do.SETTLE)),
        (state, On.RANG_OUT): (S.ENDED, (Do.GIVE_UP, Do.REJECT, Do.SETTLE)),
        (state, On.CALLER_CANCELLED): (S.ENDED, (Do.GIVE_UP, Do.REJECT, Do.SETTLE)),
        (state, On.CALLER_GONE): (S.ENDED, (Do.GIVE_UP, Do.REJECT, Do.SETTLE)),
        (state, On.REPLIED): (state, (Do.PASS_REPLY,)),
        (state, On.CUT): (S.ENDED, (Do.GIVE_UP, Do.REJECT, Do.SETTLE)),
    }


def _while_talking(state: State) -> Table:
    """The rows of TALKING and TRANSFERRING, where there is a caller and a callee."""
    return {
        (state, On.EXTENDED): (state, (Do.EXTEND,)),
        (state, On.CALLER_ACKNOWLEDGED): (state, (Do.ACKNOWLEDGE,)),
        (state, On.CALLEE_GONE): (S.ENDED, (Do.HANG_UP_CALLER, Do.SETTLE)),
        (state, On.CUT_OFF): (S.ENDED, (Do.HANG_UP_CALLER, Do.HANG_UP_CALLEE, Do.SETTLE)),
        (state, On.CUT): (S.ENDED, (Do.HANG_UP_CALLER, Do.HANG_UP_CALLEE, Do.SETTLE)),
        (state, On.ASKED): (state, (Do.PASS_ASK,)),
        (state, On.REPLIED): (state, (Do.PASS_REPLY,)),
        (state, On.WITHDRAWN): (state, (Do.PASS_WITHDRAWAL,)),
        (state, On.ASK_ACKNOWLEDGED): (state, (Do.PASS_ASK_ACK,)),
    }


#: A pair that is missing is too late to matter: the caller cancels what was refused, a reply comes after the BYE.
CALL: Final[Table] = {
    (S.AUTHORISING, On.GRANTED): (S.DIALLING, (Do.DIAL,)),
    (S.AUTHORISING, On.DENIED): (S.ENDED, (Do.REJECT, Do.SETTLE)),
    (S.AUTHORISING, On.CALLER_CANCELLED): (S.ENDED, (Do.REJECT, Do.SETTLE)),
    (S.AUTHORISING, On.CUT): (S.ENDED, (Do.REJECT, Do.SETTLE)),
    (S.DIALLING, On.BLOCKED_OVER): (S.DIALLING, (Do.DIAL,)),
    (S.DIALLING, On.BLOCKED): (S.ENDED, (Do.REJECT, Do.SETTLE)),
    (S.DIALLING, On.SEARCHING): (S.DIALLING, ()),
    (S.DIALLING, On.SENT): (S.DIALLING, ()),
    **_while_calling(S.DIALLING),
    (S.DIALLING, On.ASKED): (S.DIALLING, (Do.REFUSE_ASK,)),  # there is nobody to ask
    **_while_calling(S.RINGING),
    (S.RINGING, On.PROGRESS_ACKNOWLEDGED): (S.RINGING, (Do.ACKNOWLEDGE_PROGRESS,)),
    (S.RINGING, On.ASKED): (S.RINGING, (Do.PASS_ASK,)),
    (S.ANSWERING, On.WRITTEN): (S.ANSWERING, (Do.WAIT_FOR_CALLER,)),
    (S.ANSWERING, On.COMMITTED): (S.TALKING, (Do.ANSWER,)),
    (S.ANSWERING, On.NOT_COMMITTED): (S.ENDED, (Do.HANG_UP_CALLEE, Do.REJECT, Do.SETTLE)),
    (S.ANSWERING, On.CALLER_CANCELLED): (S.ENDED, (Do.HANG_UP_CALLEE, Do.REJECT, Do.SETTLE)),
    (S.ANSWERING, On.CALLER_GONE): (S.ENDED, (Do.HANG_UP_CALLEE, Do.REJECT, Do.SETTLE)),
    (S.ANSWERING, On.CALLEE_GONE): (S.ENDED, (Do.REJECT, Do.SETTLE)),
    (S.ANSWERING, On.CUT): (S.ENDED, (Do.HANG_UP_CALLEE, Do.REJECT, Do.SETTLE)),
    (S.ANSWERING, On.ASKED): (S.ANSWERING, (Do.REFUSE_ASK,)),
    (S.ANSWERING, On.REPLIED): (S.ANSWERING, (Do.PASS_REPLY,)),
    **_while_talking(S.TALKING),
    (S.TALKING, On.CALLER_GONE): (S.ENDED, (Do.HANG_UP_CALLEE, Do.SETTLE)),
    (S.TALKING, On.CALLER_VANISHED): (S.PROVING, (Do.HANG_UP_CALLEE, Do.AWAIT_PROOF)),
    (S.TALKING, On.CALLEE_VANISHED): (S.PROVING, (Do.HANG_UP_CALLER, Do.AWAIT_PROOF)),
    (S.PROVING, On.PROVED): (S.ENDED, (Do.SETTLE,)),
    (S.PROVING, On.CUT): (S.ENDED, (Do.SETTLE,)),
    (S.TALKING, On.TRANSFER_BEGUN): (S.TRANSFERRING, ()),
    **_while_talking(S.TRANSFERRING),
    (S.TRANSFERRING, On.CALLER_GONE): (S.WAITING, ()),
    (S.TRANSFERRING, On.TRANSFER_FAILED): (S.TALKING, ()),
    (S.TRANSFERRING, On.TRANSFERRED): (S.TALKING, (Do.HANG_UP_CALLER,)),
    (S.WAITING, On.EXTENDED): (S.WAITING, (Do.EXTEND,)),
    (S.WAITING, On.CALLEE_GONE): (S.ENDED, (Do.SETTLE,)),
    (S.WAITING, On.CUT_OFF): (S.ENDED, (Do.HANG_UP_CALLEE, Do.SETTLE)),
    (S.WAITING, On.CUT): (S.ENDED, (Do.HANG_UP_CALLEE, Do.SETTLE)),
    (S.WAITING, On.ASKED): (S.WAITING, (Do.REFUSE_ASK,)),
    (S.WAITING, On.TRANSFER_FAILED): (S.ENDED, (Do.HANG_UP_CALLEE, Do.SETTLE)),
    (S.WAITING, On.TRANSFERRED): (S.TALKING, ()),
}
#: The states in which the caller is charged.
_CHARGED: Final = frozenset({S.TALKING, S.TRANSFERRING, S.WAITING})


class Side(StrEnum):
    """A leg of the call, and who is behind it."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> Side:
        """The leg opposite."""
        return Side.CALLEE if self is Side.CALLER else Side.CALLER


class Outcome(StrEnum):
    """How a call came out; the words are those of the CDR's `result`."""

    ANSWERED = "answered"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    REFUSED = "refused"
    FAILED = "failed"


# What the switch tells a call, besides the events of its legs.


@dataclass(frozen=True, slots=True)
class Granted:
    """Every level can pay for so long a talk (milliseconds); None is without end."""

    talk_ms: int | None


@dataclass(frozen=True, slots=True)
class Extended:
    """Every level can pay for a longer talk than was granted: so long in all (milliseconds)."""

    talk_ms: int


@dataclass(frozen=True, slots=True)
class Blocked:
    """The trunk that was to be dialled cannot take this call; nothing was sent. `why` is for its attempt."""

    q850: int = NO_CIRCUIT_Q850
    detail: str = "no carrier has a free line"
    why: str = "full"


@dataclass(frozen=True, slots=True)
class Searching:
    """The addresses of the trunk that is to be dialled are looked up; nothing was sent yet."""


@dataclass(frozen=True, slots=True)
class Sent:
    """An INVITE went to an address of the target; so many others are left to try if nothing comes of it."""

    others: int = 0


@dataclass(frozen=True, slots=True)
class Denied:
    """The call must not be made."""

    cause: Cause
    detail: str


@dataclass(frozen=True, slots=True)
class Written:
    """The answer is on disk, but the caller cannot have it yet; `Committed` comes when he can, `Lost` if he never can.

    A 2xx waits for the PRACK of a description that is on its way to him (RFC 3262 section 3), which has a limit of its
    own.
    """


@dataclass(frozen=True, slots=True)
class Committed:
    """The answer is durable, and the caller can have it."""


@dataclass(frozen=True, slots=True)
class NotCommitted:
    """The answer cannot be made durable."""

    why: str


@dataclass(frozen=True, slots=True)
class Cut:
    """End the call now: the operator wants it, or we stop."""

    detail: str


@dataclass(frozen=True, slots=True)
class Vanished:
    """Who talked was taken for gone; `alive_at_s` was his last sign of life, and BYE is on its way to him.

    Who is told of `Lost` instead is gone for certain.
    """

    why: str
    alive_at_s: float


@dataclass(frozen=True, slots=True)
class Proved:
    """Who was taken for gone has answered BYE, or never will: `lived` says that he knew of the call until then."""

    lived: bool


@dataclass(frozen=True, slots=True)
class TransferBegun:
    """The caller wants the callee to talk with somebody else, and that one is being called."""


@dataclass(frozen=True, slots=True)
class TransferFailed:
    """That one cannot be had."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """That one has answered: the caller is let go, and his leg from now on is the other call's."""


# What a call tells the switch to do.


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


Heard = (
    Granted
    | Extended
    | Blocked
    | Searching
    | Sent
    | Denied
    | Written
    | Committed
    | NotCommitted
    | Cut
    | Vanished
    | Proved
    | TransferBegun
    | TransferFailed
    | Transferred
    | events.Event
)

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


@dataclass(slots=True)
class Attempt:
    """One target that was tried: its final status, and milliseconds from our first try to its first ringing or answer.

    The last INVITE went to it at `sent_at_s`, to whichever of its addresses. `why` is what kept us from an answer.
    """

    target: Target
    dialled_at_s: float
    sent_at_s: float
    status: int | None = None
    q850: int | None = None
    pdd_ms: int | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Doubt:
    """Who was taken for gone, his last sign of life, and when BYE was sent to him."""

    side: Side
    why: str
    alive_at_s: float
    asked_at_s: float


@dataclass(slots=True)
class Call:
    """One call, from its admission to its end."""

    call_id: str
    targets: tuple[Target, ...]
    emergency: bool = False
    state: State = State.AUTHORISING
    attempts: list[Attempt] = field(default_factory=list)
    answered_at_s: float | None = None
    granted_ms: int | None = None
    _alarm: tuple[float, Input] | None = None
    _early: Content | None = None
    _late_offer: bool = False
    _others: int = 0  # addresses of the target that are left
    _doubt: Doubt | None = None

    @property
    def deadline(self) -> float | None:
        """When `tick` is wanted next, or None."""
        return self._alarm[0] if self._alarm is not None else None

    @property
    def description(self) -> Content | None:
        """What the callee has said of its sound: an answer, or an offer that the caller is to answer."""
        return self._early

    @property
    def ended(self) -> bool:
        """Whether its CDR was asked for."""
        return self.state is State.ENDED

    @property
    def talks(self) -> bool:
        """Whether the caller is charged for each second that passes."""
        return self.state in _CHARGED

    @property
    def target(self) -> Target | None:
        """Who was tried last, which is the one that answered."""
        return self.attempts[-1].target if self.attempts else None

    @property
    def most_ms(self) -> int | None:
        """How long the talk may last: what is granted, and no longer than the trunk carries it; None is without end.

        A call for help is cut by nobody.
        """
        target = self.target
        if self.emergency or target is None or target.max_call_s is None:
            return self.granted_ms
        most_ms = target.max_call_s * 1000
        return most_ms if self.granted_ms is None else min(self.granted_ms, most_ms)

    def begin(self, now: float) -> list[Command]:
        """The first thing to do; an emergency call asks nobody whether it may."""
        return self.hear(Granted(None), now) if self.emergency else [Authorise()]

    def hear(self, happened: Heard, now: float, side: Side = Side.CALLER) -> list[Command]:
        """Take what happened (on leg `side`, where it is an event of a leg) and say what to do."""
        self._note(happened, now)
        return self._step(self._sort(happened, side), happened, side, now)

    def tick(self, now: float) -> list[Command]:
        """Say what to do because time has passed."""
        if self._alarm is None or now < self._alarm[0]:
            return []
        rung = self._alarm[1]
        self._alarm = None
        if rung is Input.NOT_COMMITTED:
            return self.hear(NotCommitted(f"no commit within {COMMIT_LIMIT_S:g} s"), now)
        if rung is Input.SILENT and self._others:
            rung = Input.SILENT_HERE
        elif rung is Input.SILENT and self._another_target:
            rung = Input.SILENT_OVER
        return self._step(rung, None, Side.CALLER, now)

    @property
    def _another_target(self) -> bool:
        return len(self.attempts) < len(self.targets)

    def _note(self, happened: Heard, now: float) -> None:
        """Keep what the CDR tells of each attempt."""
        if not self.attempts:
            return
        attempt = self.attempts[-1]
        match happened:
            case events.Progressed(status=status) if status > 100 and attempt.pdd_ms is None:
                attempt.pdd_ms = round((now - attempt.dialled_at_s) * 1000)
            case events.Answered():
                attempt.status = 200
                if attempt.pdd_ms is None:
                    attempt.pdd_ms = round((now - attempt.dialled_at_s) * 1000)
            case Sent(others=others) if not self.ended:
                self._others, attempt.sent_at_s = others, now
                attempt.status = attempt.q850 = None
                attempt.why = ""
            case Blocked(q850=q850, why=why) if not self.ended:
                attempt.q850, attempt.why = q850, why
            case events.Failed() if not self.ended:
                attempt.why = happened.why
                attempt.status = happened.status
                attempt.q850 = q850_of(happened.reason, happened.status)

    def _sort(self, happened: Heard, side: Side) -> Input:
        """What an event means for this call; guards are decided here, so that the table has none."""
        match happened:
            case events.Progressed(status=status):
                return On.PROGRESSED if status > 100 else On.TRYING
            case events.Answered():
                return On.ANSWERED_EMERGENCY if self.emergency else On.ANSWERED
            case events.Failed(status=status, responded=responded) if self._others and fails_here(status, responded):
                return On.FAILED_HERE
            case events.Failed(status=status):
                agreed = self.target.fail_over if self.target is not None else AS_USUAL
                over = self._another_target and (self.emergency or fails_over(status, agreed))
                return On.FAILED_OVER if over else On.FAILED
            case Vanished() if self.state is S.TALKING:
                return On.CALLER_VANISHED if side is Side.CALLER else On.CALLEE_VANISHED
            case events.HungUp() | events.Lost() | Vanished():
                return On.CALLER_GONE if side is Side.CALLER else On.CALLEE_GONE
            case Blocked():
                return On.BLOCKED_OVER if self._another_target else On.BLOCKED
            case events.Acknowledged(ask=ask):
                return On.CALLER_ACKNOWLEDGED if ask is None else On.ASK_ACKNOWLEDGED
            case _:
                return _PLAIN[type(happened)]

    def _step(self, happened: Input, event: Heard | None, side: Side, now: float) -> list[Command]:
        step = CALL.get((self.state, happened))
        if step is None:
            return []
        before, (self.state, actions) = self.state, step
        if self.ended:
            self._alarm = None
            fate = self._fate(before, happened, event)
            until_s = self._until_s(event, now)
            return [self._end(action, fate, until_s) for action in actions]
        if happened in {On.TRYING, On.PROGRESSED}:
            last = self.attempts[-1]
            self._alarm = (last.sent_at_s + last.target.answer_timeout_s, On.RANG_OUT)
        elif happened is On.SEARCHING:
            self._alarm = (now + SEARCH_LIMIT_S, On.SILENT)
        elif happened is On.SENT:
            self._alarm = (now + self.attempts[-1].target.first_response_timeout_s, On.SILENT)
        elif self.state is S.PROVING:
            assert isinstance(event, Vanished), "nothing else is doubted"
            return self._prove(event, side, now)
        return [command for action in actions for command in self._do(action, event, side, now)]

    def _fate(self, before: State, happened: Input, event: Heard | None) -> Fate:
        """How the call comes out: what a carrier said of the callee tells more than that the ones after him failed."""
        if self._doubt is not None:
            return _fate_of_doubt(self._doubt, event)
        fate = _fate(before, happened, event)
        said = [attempt for attempt in self.attempts[:-1] if attempt.status is not None]
        words = [attempt for attempt in said if not fails_over(attempt.status or 0)]
        if not words or (fate.cause is not Cause.TRUNKS_FAILED and happened is not On.RANG_OUT):
            return fate
        word = next((attempt for attempt in words if attempt.status in {486, 600}), words[0])
        assert word.status is not None, "it was said"
        told = _fate_of_failure(events.Failed(word.status, None, None, responded=True))
        return replace(told, q850=word.q850)

    def _until_s(self, event: Heard | None, now: float) -> float:
        """When the talk was over: for who has vanished at his last sign of life, which may be that he answers BYE."""
        match event:
            case Proved(lived=True) if self._doubt is not None:
                return self._doubt.asked_at_s
            case events.Lost(alive_at_s=float() as alive_at_s) | Vanished(alive_at_s=alive_at_s):
                return alive_at_s
            case _:
                return now if self._doubt is None else self._doubt.alive_at_s

    def _end(self, action: Action, fate: Fate, until_s: float) -> Command:
        """One of the last commands; talk lasted `until_s`, which for a peer that vanished is its last sign of life."""
        match action:
            case Action.GIVE_UP:
                return GiveUp()
            case Action.REJECT:
                return Reject(fate)
            case Action.HANG_UP_CALLER:
                return HangUp(Side.CALLER, fate.q850 or 16, fate.detail)
            case Action.HANG_UP_CALLEE:
                return HangUp(Side.CALLEE, fate.q850 or 16, fate.detail)
            case _:
                return Settle(fate, self._talk_ms(until_s))

    def _do(self, action: Action, event: Heard | None, side: Side, now: float) -> list[Command]:
        match action, event:
            case Action.GIVE_UP, _:
                return [GiveUp()]
            case Action.DIAL, _:
                return [self._dial(event, now)]
            case Action.DIAL_ON, _:
                self._early = None
                return [DialOn(len(self.attempts))]
            case Action.PROGRESS, events.Progressed(status=status, content=content, is_reliable=is_reliable):
                self._early = content or self._early
                return [Progress(status, content, is_reliable)]
            case Action.ACKNOWLEDGE_PROGRESS, events.ProgressAcknowledged(content=content):
                return [AcknowledgeProgress(content)]
            case Action.COMMIT, events.Answered():
                self._take(event)
                self._alarm = (now + COMMIT_LIMIT_S, On.NOT_COMMITTED)
                return [Commit()]
            case Action.HANG_UP_CALLER, _:
                return [HangUp(Side.CALLER, 16, "transferred")]
            case Action.WAIT_FOR_CALLER, _:
                self._alarm = None
                return []
            case Action.ANSWER, _:
                return self._answer(event, now)
            case Action.EXTEND, Extended(talk_ms=talk_ms):
                assert self.answered_at_s is not None, "it talks"
                self.granted_ms = talk_ms
                self._alarm = self._cut_off(self.answered_at_s)
                return []
            case Action.ACKNOWLEDGE, events.Acknowledged(content=content):
                return [Acknowledge(content)] if self._late_offer else []  # else the callee has his ACK already
            case _:
                return self._pass(action, event, side)

    def _prove(self, vanished: Vanished, side: Side, now: float) -> list[Command]:
        """Let the other side go, and wait for what this one answers to BYE."""
        self._doubt = Doubt(side, vanished.why, vanished.alive_at_s, now)
        self._alarm = (now + PROOF_LIMIT_S, On.PROVED)
        return [
            HangUp(side.other, GONE_Q850, _lost(side, vanished.why)),
            AwaitProof(side, self._talk_ms(vanished.alive_at_s)),
        ]

    def _pass(self, action: Action, event: Heard | None, side: Side) -> list[Command]:
        """Requests inside the dialogs, on their way through."""
        match action, event:
            case Action.REFUSE_ASK, events.Asked(ask=ask):
                return [PassReply(side, ask, 491 if ask.is_about_session else 480, None)]
            case Action.PASS_ASK, events.Asked(ask=ask):
                return [PassAsk(side.other, ask)]
            case Action.PASS_REPLY, events.Replied(ask=ask, status=status, content=content):
                return [PassReply(side.other, ask, status, content)]
            case Action.PASS_WITHDRAWAL, events.Withdrawn(ask=ask):
                return [PassReply(side, ask, 487, None), PassWithdrawal(side.other, ask)]
            case Action.PASS_ASK_ACK, events.Acknowledged(content=content, ask=ask) if ask is not None:
                return [PassAskAcknowledgement(side.other, ask, content)]
            case _:
                raise AssertionError(f"{action} does not follow from {event!r}")

    def _dial(self, event: Heard | None, now: float) -> Command:
        if isinstance(event, Granted):
            self.granted_ms = event.talk_ms
        self._early = None  # what a failed trunk played is not what the next one will
        target = self.targets[len(self.attempts)]
        self.attempts.append(Attempt(target, now, now))
        self._others = 0
        self._alarm = (now + target.first_response_timeout_s, On.SILENT)
        return Dial(target, len(self.attempts))

    def _answer(self, event: Heard | None, now: float) -> list[Command]:
        """Answer the caller; the callee gets his ACK with it, or with the caller's own where that has the answer."""
        if isinstance(event, events.Answered):
            self._take(event)
        self.answered_at_s = now
        self._alarm = self._cut_off(now)
        return [Answer(self._early)] if self._late_offer else [Answer(self._early), Acknowledge(None)]

    def _take(self, answered: events.Answered) -> None:
        self._early = answered.content or self._early
        self._late_offer = answered.late_offer

    def _talk_ms(self, until_s: float) -> int:
        if self.answered_at_s is None:
            return 0
        talk_ms = max(0, int((until_s - self.answered_at_s) * 1000))
        most_ms = self.most_ms
        return talk_ms if most_ms is None else min(talk_ms, most_ms)

    def _cut_off(self, answered_at_s: float) -> tuple[float, Input] | None:
        most_ms = self.most_ms
        return (answered_at_s + most_ms / 1000, On.CUT_OFF) if most_ms is not None else None


_PLAIN: Final[Mapping[type, Input]] = {
    Granted: On.GRANTED,
    Extended: On.EXTENDED,
    Denied: On.DENIED,
    Written: On.WRITTEN,
    Searching: On.SEARCHING,
    Sent: On.SENT,
    Committed: On.COMMITTED,
    NotCommitted: On.NOT_COMMITTED,
    Cut: On.CUT,
    Proved: On.PROVED,
    TransferBegun: On.TRANSFER_BEGUN,
    TransferFailed: On.TRANSFER_FAILED,
    Transferred: On.TRANSFERRED,
    events.Cancelled: On.CALLER_CANCELLED,
    events.ProgressAcknowledged: On.PROGRESS_ACKNOWLEDGED,
    events.Asked: On.ASKED,
    events.Replied: On.REPLIED,
    events.Withdrawn: On.WITHDRAWN,
}


def fails_over(status: int, agreed: FailOver = AS_USUAL) -> bool:
    """Whether a final response says that this trunk failed, not that the callee cannot be had."""
    return verdict(status, agreed) is Verdict.NEXT


def fails_here(status: int, responded: bool) -> bool:
    """Whether the next address of the same carrier is to be tried (RFC 3263 section 4.3): silence, or 503."""
    return not responded or status == 503


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


def _fate(state: State, happened: Input, event: Heard | None) -> Fate:
    """How a call comes out that ends by this input in this state."""
    if state in _CHARGED:
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
            return _fate_of_failure(failed)
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
            detail, q850 = _lost(Side.CALLER if happened is Input.CALLER_GONE else Side.CALLEE, why), GONE_Q850
        case Cut(detail=detail):
            q850 = 31
        case TransferFailed():
            by, detail = "caller", "the caller hung up, and his transfer failed"
        case _:
            detail, q850 = "the granted time is over", 31
    return Fate(outcome=Outcome.ANSWERED, status=200, q850=q850, hung_up_by=by, detail=detail)


def _fate_of_doubt(doubt: Doubt, event: Heard | None) -> Fate:
    """How a talk comes out that ended because somebody was silent."""
    detail, q850 = _lost(doubt.side, doubt.why), GONE_Q850
    if isinstance(event, Proved) and event.lived:
        detail, q850 = f"{doubt.side} answers BYE, and was silent before: {doubt.why}", DEAF_Q850
    return Fate(outcome=Outcome.ANSWERED, status=200, q850=q850, hung_up_by="switch", detail=detail)


def _lost(side: Side, why: str) -> str:
    return f"{side} lost: {why}"


def _fate_of_failure(failed: events.Failed) -> Fate:
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
