"""The course of a leg: where it stands, what it hears, and what it does about it, as one table for either half.

A pair that stands in no row is too late, or comes again: the state has dealt with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import auto
from typing import Final

from sipshop.sip.words import Word


class State(Word):
    """Where a leg stands."""

    OFFERED = auto()  # incoming: not answered yet
    CALLING = auto()  # outgoing: no response yet
    PROCEEDING = auto()  # outgoing: a provisional response came
    CANCEL_HELD = auto()  # outgoing: given up before there was anything to cancel
    CANCELLING = auto()  # outgoing: CANCEL sent, final response awaited
    ANSWERED = auto()  # 2xx sent or received, ACK awaited or owed
    BYE_HELD = auto()  # incoming: to be hung up as soon as its 2xx is acknowledged
    UNWANTED = auto()  # outgoing: to be acknowledged and hung up, as soon as it is kept that this is owed
    CONFIRMED = auto()
    CLOSING = auto()  # BYE sent
    CLOSED = auto()


class Input(Word):
    """What a leg hears: from its owner (verbs), from its peer (GOT), from the clock."""

    PROGRESS = auto()
    PROGRESS_BY_PRACK = auto()
    ANSWER = auto()
    REJECT = auto()
    GIVE_UP = auto()
    ACKNOWLEDGE = auto()
    HANG_UP = auto()
    GOT_CANCEL = auto()
    GOT_ACK = auto()
    GOT_BYE = auto()
    GOT_1XX = auto()
    GOT_2XX = auto()
    GOT_CHALLENGE = auto()  # a refusal that says what would do, and we can: credentials, a longer interval, elsewhere
    GOT_FAILURE = auto()
    NO_RESPONSE = auto()
    NO_ACK = auto()
    NO_PRACK = auto()
    NO_FINAL = auto()
    PEER_GONE = auto()
    KEPT = auto()  # that our BYE is owed
    BYE_DONE = auto()


class Action(Word):
    """What a leg does about it."""

    SEND_PROVISIONAL = auto()
    SEND_BY_PRACK = auto()
    SEND_ANSWER = auto()
    SEND_REFUSAL = auto()
    SEND_AGAIN = auto()  # the INVITE, as the refusal wants it
    SEND_CANCEL = auto()
    SEND_ACK = auto()
    SEND_BYE = auto()
    KEEP = auto()  # that a BYE is owed
    ABANDON = auto()
    STOP_REPEATING = auto()
    TELL = auto()  # the event that the input stands for


S, On, Do = State, Input, Action
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]

_ENDING: Final[Table] = {
    (S.CONFIRMED, On.GOT_BYE): (S.CLOSED, (Do.STOP_REPEATING, Do.TELL)),
    (S.CONFIRMED, On.HANG_UP): (S.CLOSING, (Do.STOP_REPEATING, Do.SEND_BYE)),
    (S.CONFIRMED, On.NO_ACK): (S.CLOSING, (Do.SEND_BYE, Do.TELL)),  # of a re-INVITE (RFC 3261 section 14.2)
    (S.CONFIRMED, On.PEER_GONE): (S.CLOSING, (Do.STOP_REPEATING, Do.SEND_BYE, Do.TELL)),
    (S.CLOSING, On.BYE_DONE): (S.CLOSED, ()),
}

#: The callee's half: RFC 3261 sections 13.3 and 15.
INCOMING: Final[Table] = {
    (S.OFFERED, On.PROGRESS): (S.OFFERED, (Do.SEND_PROVISIONAL,)),
    (S.OFFERED, On.PROGRESS_BY_PRACK): (S.OFFERED, (Do.SEND_BY_PRACK,)),
    (S.OFFERED, On.ANSWER): (S.ANSWERED, (Do.SEND_ANSWER,)),
    (S.OFFERED, On.REJECT): (S.CLOSED, (Do.SEND_REFUSAL,)),
    (S.OFFERED, On.GOT_CANCEL): (S.OFFERED, (Do.TELL,)),
    (S.OFFERED, On.NO_PRACK): (S.OFFERED, (Do.TELL,)),
    (S.OFFERED, On.GOT_BYE): (S.OFFERED, (Do.TELL,)),  # a caller may end an early dialog by BYE (section 15)
    (S.ANSWERED, On.GOT_ACK): (S.CONFIRMED, (Do.STOP_REPEATING, Do.TELL)),
    (S.ANSWERED, On.GOT_BYE): (S.CLOSED, (Do.STOP_REPEATING, Do.TELL)),
    (S.ANSWERED, On.HANG_UP): (S.BYE_HELD, ()),  # section 15: no BYE before the ACK
    (S.ANSWERED, On.NO_ACK): (S.CLOSING, (Do.SEND_BYE, Do.TELL)),
    (S.BYE_HELD, On.GOT_ACK): (S.CLOSING, (Do.STOP_REPEATING, Do.SEND_BYE)),
    (S.BYE_HELD, On.GOT_BYE): (S.CLOSED, (Do.STOP_REPEATING,)),
    (S.BYE_HELD, On.NO_ACK): (S.CLOSING, (Do.SEND_BYE,)),
    **_ENDING,
}

#: The caller's half: RFC 3261 sections 9.1, 13.2 and 15.
OUTGOING: Final[Table] = {
    (S.CALLING, On.GOT_1XX): (S.PROCEEDING, (Do.TELL,)),
    (S.CALLING, On.GOT_2XX): (S.ANSWERED, (Do.TELL,)),
    (S.CALLING, On.GOT_CHALLENGE): (S.CALLING, (Do.SEND_AGAIN,)),
    (S.CALLING, On.GOT_FAILURE): (S.CLOSED, (Do.TELL,)),
    (S.CALLING, On.NO_RESPONSE): (S.CLOSED, (Do.TELL,)),
    (S.CALLING, On.GIVE_UP): (S.CANCEL_HELD, ()),
    (S.PROCEEDING, On.GOT_1XX): (S.PROCEEDING, (Do.TELL,)),
    (S.PROCEEDING, On.GOT_2XX): (S.ANSWERED, (Do.TELL,)),
    (S.PROCEEDING, On.GOT_CHALLENGE): (S.CALLING, (Do.SEND_AGAIN,)),  # what is cancelled now is another INVITE
    (S.PROCEEDING, On.GOT_FAILURE): (S.CLOSED, (Do.TELL,)),
    (S.PROCEEDING, On.GIVE_UP): (S.CANCELLING, (Do.SEND_CANCEL,)),
    (S.CANCEL_HELD, On.GOT_1XX): (S.CANCELLING, (Do.SEND_CANCEL,)),
    (S.CANCEL_HELD, On.GOT_2XX): (S.UNWANTED, (Do.KEEP,)),
    (S.CANCEL_HELD, On.GOT_FAILURE): (S.CLOSED, ()),
    (S.CANCEL_HELD, On.NO_RESPONSE): (S.CLOSED, ()),
    (S.CANCELLING, On.GOT_2XX): (S.UNWANTED, (Do.STOP_REPEATING, Do.KEEP)),
    (S.CANCELLING, On.GOT_FAILURE): (S.CLOSED, (Do.STOP_REPEATING,)),
    (S.CANCELLING, On.NO_FINAL): (S.CLOSED, (Do.ABANDON,)),
    (S.ANSWERED, On.ACKNOWLEDGE): (S.CONFIRMED, (Do.SEND_ACK,)),
    (S.ANSWERED, On.HANG_UP): (S.UNWANTED, (Do.KEEP,)),
    (S.ANSWERED, On.GOT_BYE): (S.CLOSED, (Do.SEND_ACK, Do.TELL)),
    (S.UNWANTED, On.KEPT): (S.CLOSING, (Do.SEND_ACK, Do.SEND_BYE)),
    (S.UNWANTED, On.GOT_BYE): (S.CLOSED, (Do.SEND_ACK,)),
    **_ENDING,
}
