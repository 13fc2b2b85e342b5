"""The call: two legs and one table.

`hear` takes what happened (`proxy/news` and the legs' events) and gives back what to do (`proxy/orders`), by the table
in `proxy/course`: events come in without SIP, commands go out without IO. Leg A is the caller's, leg B the carrier's;
of a call from outside leg A is the carrier's and leg B the booth's. The order that the table keeps is the one that
keeps money right: nothing is dialled before it is authorised, the caller gets his 2xx only when the answer is durable,
and each way out of a call passes `Settle` exactly once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from sipshop.proxy.admission import Cause
from sipshop.proxy.course import CALL, CHARGED, Action, Input, On, S, Side, State
from sipshop.proxy.fate import (
    GONE_Q850,
    Doubt,
    Fate,
    fails_here,
    fails_over,
    fate_of,
    fate_of_doubt,
    fate_of_failure,
    lost,
    q850_of,
)
from sipshop.proxy.news import (
    Blocked,
    Committed,
    Cut,
    Denied,
    Extended,
    Granted,
    Heard,
    NotCommitted,
    Proved,
    Searching,
    Sent,
    TransferBegun,
    TransferFailed,
    Transferred,
    Vanished,
    Written,
)
from sipshop.proxy.orders import (
    Acknowledge,
    AcknowledgeProgress,
    Answer,
    Authorise,
    AwaitProof,
    Command,
    Commit,
    Dial,
    DialOn,
    GiveUp,
    HangUp,
    PassAsk,
    PassAskAcknowledgement,
    PassReply,
    PassWithdrawal,
    Progress,
    Reject,
    Settle,
    Target,
)
from sipshop.proxy.trunk import AS_USUAL
from sipshop.sip import events
from sipshop.sip.events import Content

#: How long the answer may take to become durable before the call is given up (seconds).
COMMIT_LIMIT_S: Final = 2.0
#: How long the search for a trunk's addresses may take, whatever `sip.dns.wait_ms` is (seconds).
SEARCH_LIMIT_S: Final = 12.0
#: How long who was taken for gone has for an answer to BYE (seconds): it is sent five times in them.
PROOF_LIMIT_S: Final = 8.0


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
        return self.state in CHARGED

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
            return fate_of_doubt(self._doubt, event)
        fate = fate_of(before, happened, event)
        said = [attempt for attempt in self.attempts[:-1] if attempt.status is not None]
        words = [attempt for attempt in said if not fails_over(attempt.status or 0)]
        if not words or (fate.cause is not Cause.TRUNKS_FAILED and happened is not On.RANG_OUT):
            return fate
        word = next((attempt for attempt in words if attempt.status in {486, 600}), words[0])
        assert word.status is not None, "it was said"
        told = fate_of_failure(events.Failed(word.status, None, None, responded=True))
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
            HangUp(side.other, GONE_Q850, lost(side, vanished.why)),
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
