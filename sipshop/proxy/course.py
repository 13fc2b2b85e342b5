"""The course of a call: where it stands, what it hears, and what it does about it, as one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum, auto
from typing import Final

from sipshop.sip.words import Word


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
    """What a call does about it; each becomes commands in `call.Call`."""

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
CHARGED: Final = frozenset({S.TALKING, S.TRANSFERRING, S.WAITING})


class Side(StrEnum):
    """A leg of the call, and who is behind it."""

    CALLER = "caller"
    CALLEE = "callee"

    @property
    def other(self) -> Side:
        """The leg opposite."""
        return Side.CALLEE if self is Side.CALLER else Side.CALLER
