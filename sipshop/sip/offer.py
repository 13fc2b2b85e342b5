"""Offer and answer: who owes whom a session description (RFC 3264, RFC 6337).

One `Exchange` for each dialog. It is told which message carried a description, or came without one, and says what that
description is. What is in it nobody here reads. A pair that stands in no row is a breach of the rules, and changes
nothing: a peer's offer is then refused by `Exchange.refusal`, and a description that has no place is not taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import auto
from typing import Final, Generic, TypeVar

from sipshop.sip.words import Word


class State(Word):
    """Whose turn it is; STABLE is the state between two exchanges, and that before the first."""

    STABLE = auto()
    OUR_OFFER = auto()  # unanswered
    THEIR_OFFER = auto()
    OUR_TURN = auto()  # they sent an INVITE without an offer: ours goes into a reliable response
    THEIR_TURN = auto()


class Input(Word):
    """A message that carries a description (BARE: an INVITE that carries none), by who sent it."""

    SENT_OFFER = auto()  # INVITE, UPDATE, or a PRACK that answers nothing
    SENT_BARE = auto()
    SENT_REPLY = auto()  # a 2xx or a reliable 1xx
    SENT_EARLY = auto()  # an unreliable 1xx: what it carries holds for nobody yet
    SENT_ACK = auto()  # ACK or PRACK
    GOT_OFFER = auto()
    GOT_BARE = auto()
    GOT_REPLY = auto()
    GOT_EARLY = auto()
    GOT_ACK = auto()
    REFUSED = auto()  # the request that began it: all is as it was before


class Means(Word):
    """What a description is."""

    OFFER = auto()
    ANSWER = auto()
    PREVIEW = auto()  # of what the reliable response will say
    REPEATED = auto()  # the exchange is over: not to be sent, and ignored where it is got
    NOTHING = auto()


S, On = State, Input
Table = Mapping[tuple[State, Input], tuple[State, tuple[Means, ...]]]

EXCHANGE: Final[Table] = {
    (S.STABLE, On.SENT_OFFER): (S.OUR_OFFER, (Means.OFFER,)),
    (S.STABLE, On.SENT_BARE): (S.THEIR_TURN, (Means.NOTHING,)),
    (S.STABLE, On.SENT_REPLY): (S.STABLE, (Means.REPEATED,)),
    (S.STABLE, On.SENT_EARLY): (S.STABLE, (Means.REPEATED,)),
    (S.STABLE, On.GOT_OFFER): (S.THEIR_OFFER, (Means.OFFER,)),
    (S.STABLE, On.GOT_BARE): (S.OUR_TURN, (Means.NOTHING,)),
    (S.STABLE, On.GOT_REPLY): (S.STABLE, (Means.REPEATED,)),
    (S.STABLE, On.GOT_EARLY): (S.STABLE, (Means.REPEATED,)),
    (S.STABLE, On.REFUSED): (S.STABLE, (Means.NOTHING,)),
    (S.OUR_OFFER, On.GOT_REPLY): (S.STABLE, (Means.ANSWER,)),
    (S.OUR_OFFER, On.GOT_EARLY): (S.OUR_OFFER, (Means.PREVIEW,)),
    (S.OUR_OFFER, On.GOT_ACK): (S.STABLE, (Means.ANSWER,)),
    (S.OUR_OFFER, On.REFUSED): (S.STABLE, (Means.NOTHING,)),
    (S.THEIR_OFFER, On.SENT_REPLY): (S.STABLE, (Means.ANSWER,)),
    (S.THEIR_OFFER, On.SENT_EARLY): (S.THEIR_OFFER, (Means.PREVIEW,)),
    (S.THEIR_OFFER, On.SENT_ACK): (S.STABLE, (Means.ANSWER,)),
    (S.THEIR_OFFER, On.REFUSED): (S.STABLE, (Means.NOTHING,)),
    (S.OUR_TURN, On.SENT_REPLY): (S.OUR_OFFER, (Means.OFFER,)),
    (S.OUR_TURN, On.SENT_EARLY): (S.OUR_TURN, (Means.PREVIEW,)),
    (S.OUR_TURN, On.REFUSED): (S.STABLE, (Means.NOTHING,)),
    (S.THEIR_TURN, On.GOT_REPLY): (S.THEIR_OFFER, (Means.OFFER,)),
    (S.THEIR_TURN, On.GOT_EARLY): (S.THEIR_TURN, (Means.PREVIEW,)),
    (S.THEIR_TURN, On.REFUSED): (S.STABLE, (Means.NOTHING,)),
}

#: What a peer's offer is answered at a bad moment (RFC 3261 section 14.2, RFC 3311 section 5.2): 491 where ours is in
#: the way and both shall try again, 500 where the peer has one from us to wait for.
_REFUSALS: Final[Mapping[State, int]] = {
    S.OUR_OFFER: 491,
    S.THEIR_TURN: 491,
    S.THEIR_OFFER: 500,
    S.OUR_TURN: 500,
}


_OURS: Final = frozenset({On.SENT_OFFER, On.SENT_REPLY, On.SENT_ACK})
_Content = TypeVar("_Content")


class Exchange(Generic[_Content]):
    """The offers and answers of one dialog; `ours` and `theirs` are the descriptions that were agreed on last."""

    __slots__ = ("_offered", "ours", "state", "theirs")

    def __init__(self) -> None:
        self.state = State.STABLE
        self.ours: _Content | None = None
        self.theirs: _Content | None = None
        self._offered: _Content | None = None

    def hear(self, happened: Input, content: _Content | None = None) -> Means | None:
        """Take a message; what its description is, or None where it has no place: then nothing has changed."""
        step = EXCHANGE.get((self.state, happened))
        if step is None:
            return None
        self.state, (means,) = step
        if means is Means.OFFER:
            self._offered = content
        elif means is Means.ANSWER:
            offered, self._offered = self._offered, None
            self.ours, self.theirs = (content, offered) if happened in _OURS else (offered, content)
        return means

    @property
    def is_stable(self) -> bool:
        """Whether either side may make an offer now."""
        return self.state is State.STABLE

    @property
    def refusal(self) -> int | None:
        """The status of an offer that the peer makes now, or None where it may."""
        return _REFUSALS.get(self.state)
