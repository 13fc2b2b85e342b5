"""A leg: one INVITE and the dialog that it makes, seen without SIP.

Above a leg there are only events (`Progressed`, `Answered`, `HungUp`, ...) and verbs (`progress`, `answer`,
`hang_up`, ...). Below it, a leg minds what the RFC asks of a user agent: it repeats a 2xx until the ACK, acknowledges
every 2xx it gets, holds a CANCEL back until there is something to cancel, holds a BYE back until its 2xx was
acknowledged, and ends what comes to life after it was given up. A leg that nobody listens to any more finishes its
own business and goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import auto
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipshop.sip import session_timer
from sipshop.sip.dialog import Dialog, flow_to
from sipshop.sip.digest import DigestClient
from sipshop.sip.farewell import Then
from sipshop.sip.flow import Flow
from sipshop.sip.inside import Bye, Prack, Probe, Refresh, Reinvite, Relay, cancel_of, content_headers
from sipshop.sip.message import MalformedMessage, Message, Request, Response, Uri, parse_address
from sipshop.sip.offer import Exchange, Means
from sipshop.sip.offer import Input as Offering
from sipshop.sip.offer import State as Turn
from sipshop.sip.pulse import Input as Beat
from sipshop.sip.pulse import Probes, Session
from sipshop.sip.referral import Referral, refer_to
from sipshop.sip.reliable import Reliable, rseq_of
from sipshop.sip.replaces import Replaces
from sipshop.sip.session_timer import Terms
from sipshop.sip.timers import GIVE_UP_S, LAZY_S, T1_S, T2_S, Timer
from sipshop.sip.transaction import ClientTransaction, ServerTransaction, Unheard
from sipshop.sip.words import Word

if TYPE_CHECKING:
    from sipshop.sip.useragent import UserAgent


@dataclass(frozen=True, slots=True)
class Content:
    """A body and its media type; bodies cross from leg to leg unread."""

    type: str
    data: bytes


def content_of(message: Message) -> Content | None:
    """The body of a message, or None where it has none."""
    return Content(message.get("content-type") or "application/sdp", message.body) if message.body else None


# Nobody changes an event. They are not frozen because a frozen one costs three times as much to make, and each message
# makes one.


@dataclass(slots=True)
class Progressed:
    """The callee's side gave a provisional response (101 to 199; 100 only says that it is there).

    `is_offer`: `content` is an offer in a reliable response, and waits for the answer of `acknowledge_progress`.
    """

    status: int
    content: Content | None
    is_reliable: bool = False
    is_offer: bool = False


@dataclass(slots=True)
class Answered:
    """The callee answered, and waits for the ACK that `acknowledge` sends.

    `late_offer` means that `content` is an offer, to which that ACK carries the answer.
    """

    content: Content | None
    late_offer: bool


@dataclass(slots=True)
class Failed:
    """The callee's side refused, or never responded: then `status` is 408, or 503 for a broken transport.

    `reason` is the Reason header as it came (RFC 3326), `retry_after_s` what the peer asked for. Where there was no
    response, `why` is "timeout", or in a word what became of the connection.
    """

    status: int
    reason: str | None
    retry_after_s: int | None
    responded: bool
    why: str = ""


@dataclass(slots=True)
class Acknowledged:
    """The peer's ACK came; `ask` is the re-INVITE that it ends, None for the first INVITE."""

    content: Content | None
    ask: Ask | None


@dataclass(slots=True)
class ProgressAcknowledged:
    """The caller acknowledged a reliable provisional response that had our offer; `content` is its answer."""

    content: Content | None


@dataclass(slots=True)
class Cancelled:
    """The caller gave up before he was answered."""


@dataclass(slots=True)
class HungUp:
    """The peer sent BYE; `reason` is its Reason header."""

    reason: str | None


@dataclass(slots=True)
class Lost:
    """The peer is gone without a BYE: no ACK or PRACK came, or it answered 481 or 408, or nothing, inside the dialog.

    `alive_at_s` is its last sign of life, None where nobody watched for such signs.
    """

    why: str
    alive_at_s: float | None = None


@dataclass(slots=True)
class Asked:
    """The peer sent a request inside the dialog, to be answered by `reply`: re-INVITE, INFO, OPTIONS, an offer.

    An offer may come in UPDATE or PRACK, then too before the call is answered.
    """

    ask: Ask


@dataclass(slots=True)
class Withdrawn:
    """The peer cancelled its re-INVITE."""

    ask: Ask


@dataclass(slots=True)
class Replied:
    """The peer's final response to `relay`; `late_offer` as in `Answered`."""

    ask: Ask
    status: int
    content: Content | None
    late_offer: bool


@dataclass(slots=True)
class Referred:
    """The peer sent a REFER (RFC 3515), which `refer` accepts and `reply` refuses.

    It wants its other side to talk with `uri`, in the place of the dialog `replaces` where it names one.
    """

    ask: Ask
    uri: Uri
    replaces: Replaces | None


Event = (
    Progressed
    | Answered
    | Failed
    | Acknowledged
    | ProgressAcknowledged
    | Cancelled
    | HungUp
    | Lost
    | Asked
    | Withdrawn
    | Replied
    | Referred
)


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
#: Asked for in each step; before Python 3.12 to reach a member costs as much as a call.
_CLOSED: Final = S.CLOSED
_CONFIRMED: Final = S.CONFIRMED
#: A BYE of ours is under way, or will be.
_OWING: Final = frozenset({S.BYE_HELD, S.UNWANTED, S.CLOSING})
#: Early dialogs of one INVITE that are kept, and refusals of its session interval that are met.
_MOST_FORKS: Final = 16
_MOST_BRIEF: Final = 2
#: A caller who waits hears of us each minute, or a proxy between us may give the call up (RFC 3261 section 13.3.1.1).
_ASSURE_S: Final = 60 - LAZY_S
Table = Mapping[tuple[State, Input], tuple[State, tuple[Action, ...]]]
#: The methods that do what a table says: a match over actions would ask each of them for its name first.
Deeds = Mapping[Action, Callable[[Any, Input, Message | None, float], None]]

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


class Ask:
    """A request inside a dialog on its way through us; it is handed back to `reply` and to `relay`.

    One without a transaction is our own: nobody waits for its answer but us.
    """

    __slots__ = ("content", "method", "transaction")

    def __init__(self, method: str, content: Content | None, transaction: ServerTransaction | None = None) -> None:
        self.method = method
        self.content = content
        self.transaction = transaction

    @property
    def answered(self) -> bool:
        """Whether its final response was sent."""
        return self.transaction is None or self.transaction.final is not None

    @property
    def is_about_session(self) -> bool:
        """Whether it makes an offer, or asks for one."""
        return self.method == "INVITE" or (self.content is not None and self.method in {"UPDATE", "PRACK"})


class Leg:
    """What both halves share: a dialog, the requests inside it, its end.

    A leg that is not `watched` has no session timer and sends no probes: nobody but its two ends ends it.
    """

    table: ClassVar[Table] = {}
    _deeds: ClassVar[Deeds] = {}

    def __init__(self, agent: UserAgent, call_id: str, local_tag: str, flow: Flow, *, watched: bool) -> None:
        self.agent = agent
        self.call_id = call_id
        self.local_tag = local_tag
        self.flow = flow
        self.dialog: Dialog | None = None
        self.state = State.CLOSED
        self.digest: DigestClient | None = None  # none: whoever challenges us is told nothing
        self.exchange: Exchange[Content] = Exchange()
        self.heard_at_s = 0.0  # the peer's last sign of life inside the dialog
        self.terms: Terms | None = None  # of the session timer
        self._peer_allows = ""
        self._asks: list[Ask] = []  # the peer's requests that have no final response yet
        self._unacknowledged: tuple[Ask | None, int] | None = None  # our 2xx that is repeated, by its CSeq
        self._inviting: Reinvite | None = None  # our re-INVITE that has no final response yet
        self._owed: dict[Ask, Relay] = {}  # re-INVITEs whose 2xx made the offer: their ACK waits
        self._timer: Timer | None = None
        self._watched = watched
        self._session: Session | None = None
        self._probes: Probes | None = None
        self._bye_reason: str | None = None
        self.bye_status: int | None = None  # what our BYE was answered, once the leg is over
        self._at_end: list[Then] = []

    # verbs

    def hang_up(self, reason: str | None, now: float) -> None:
        """End the dialog by BYE; `reason` becomes its Reason header (RFC 3326)."""
        self._bye_reason = reason
        self._hear(Input.HANG_UP, now)

    def relay(self, ask: Ask, now: float) -> None:
        """Send the other leg's request to our peer; `Replied` brings the answer."""
        dialog, method = self._dialog_now, self._method_of(ask)
        status = self._obstacle(ask, method)
        if dialog is None or status is not None:
            self.agent.tell(self, Replied(ask, status or 481, None, late_offer=False))
            return
        relay = Relay(self, dialog, ask, method)
        if method == "INVITE":
            self._inviting = relay
        if ask.is_about_session:
            self.exchange.hear(Offering.SENT_BARE if ask.content is None else Offering.SENT_OFFER, ask.content)
        relay.begin(now)

    def withdraw(self, ask: Ask, now: float) -> None:
        """Cancel a re-INVITE that `relay` sent."""
        if isinstance(self._inviting, Relay) and self._inviting.ask is ask:
            self._inviting.cancel(now)

    def acknowledge_relayed(self, ask: Ask, content: Content | None) -> None:
        """Send the ACK that a late offer left owing (RFC 3261 section 14.1)."""
        relay = self._owed.pop(ask, None)
        if relay is not None:
            self.exchange.hear(Offering.SENT_ACK if content is not None else Offering.REFUSED, content)
            relay.acknowledge(content)

    def reply(
        self, ask: Ask, status: int, content: Content | None, now: float, more: Iterable[tuple[str, str]] = ()
    ) -> None:
        """Answer a request that `Asked` or `Referred` brought; a second answer is dropped."""
        if ask.transaction is None or ask.answered:
            return
        self._asks.remove(ask)
        request, headers = ask.transaction.request, content_headers(content)
        if status < 300 and ask.method in {"INVITE", "UPDATE"}:
            headers = [("contact", self._contact), *self._agree(request), *headers]
        elif status < 300 and ask.method == "REFER":
            headers = [("contact", self._contact), *headers]
        if status == 500:
            headers = [self._retry_after(), *headers]
        headers = [*headers, *more, ("allow", self.agent.allow)]
        if ask.is_about_session:
            agreed = status < 300 and content is not None
            self.exchange.hear(Offering.SENT_REPLY if agreed else Offering.REFUSED, content)
        response = request.reply(status, headers=headers, body=content.data if content else b"")
        ask.transaction.respond(response, now)
        if status < 300 and ask.method in {"INVITE", "UPDATE"}:
            self._watch(now)
            if ask.method == "INVITE":
                self._repeat(ask, ask.transaction, response, now)

    def move(self, flow: Flow) -> None:
        """Reach a symmetric peer by another flow from now on: it was proved that it is there."""
        if self.dialog is not None and self.dialog.symmetric:
            self.dialog.flow = self.flow = flow

    def refer(self, ask: Ask, now: float) -> Referral:
        """Accept a REFER that `Referred` brought; what is returned tells the peer what comes of it."""
        assert self.dialog is not None, "a REFER comes inside one"
        assert ask.transaction is not None, "it is the peer's"
        self.reply(ask, 202, None, now)
        referral = Referral(self, self.dialog, ask.transaction.request.cseq[0])
        referral.begin(now)
        return referral

    @property
    def owes_bye(self) -> bool:
        """Whether a BYE of ours is under way, or held back."""
        return self.state in _OWING

    def at_end(self, do: Then, now: float) -> None:
        """Do something when the leg is over: its BYE was answered, or needs none, or the peer had its time."""
        if self.state is _CLOSED:
            do(now)
        else:
            self._at_end.append(do)

    def put_off_asks(self, now: float) -> None:
        """Refuse what the peer has asked and nobody will answer any more: it may ask again."""
        for ask in list(self._asks):
            self.reply(ask, 491, None, now)

    @property
    def _contact(self) -> str:
        """Our Contact in an answer: a SIPS URI if the dialog is one of those (RFC 3261 section 12.1.1)."""
        return self.agent.contact(self.flow, secure=self.dialog is not None and self.dialog.secure)

    # what the user agent hands in

    def dialog_with(self, remote_tag: str) -> Dialog | None:
        """The dialog with this tag of the peer, early ones too."""
        dialog = self.dialog
        return dialog if dialog is not None and dialog.remote_tag == remote_tag else None

    def hear_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """A request inside the dialog, new and well-formed."""
        dialog = self.dialog_with(request.from_.tag or "")
        assert dialog is not None, "only a leg with a dialog is found by a request inside it"
        if not dialog.in_order(request):
            self.agent.refuse(transaction, 500, now)
            return
        if dialog.follows(transaction.flow):
            dialog.flow = self.flow = transaction.flow
        self._note(request, now)
        match request.method:
            case "BYE":
                self.agent.refuse(transaction, 200, now)
                self._hear(Input.GOT_BYE, now, request)
            case "PRACK":
                self._hear_prack(request, transaction, now)
            case "UPDATE":
                self._hear_update(dialog, request, transaction, now)
            case "INVITE":
                self._hear_reinvite(dialog, request, transaction, now)
            case "REFER" if self.state in {State.CONFIRMED, State.ANSWERED}:
                self._hear_refer(request, transaction, now)
            case _ if self.state in {State.CONFIRMED, State.ANSWERED}:
                self._ask(Ask(request.method, content_of(request), transaction))
            case _:
                # not yet answered: some phones take a 481 for the end of their call; or hanging up
                self.agent.refuse(transaction, 480 if self._is_early else 481, now)

    def hear_ack(self, request: Request, now: float) -> None:
        """An ACK inside the dialog: of a 2xx that we repeat, or one that we know already."""
        self._hear_life(now)
        waiting = self._unacknowledged
        if waiting is None or waiting[1] != request.cseq[0]:
            return
        if waiting[0] is None:
            self._hear(Input.GOT_ACK, now, request)
        else:
            self._stop_repeating()
            content = content_of(request)
            self.exchange.hear(Offering.REFUSED if content is None else Offering.GOT_ACK, content)
            self.agent.tell(self, Acknowledged(content, waiting[0]))

    # inside

    def _hear(self, happened: Input, now: float, message: Message | None = None) -> None:
        before = self.state
        step = self.table.get((before, happened))
        if step is None:
            return  # too late, or again: the state has dealt with it
        self.state, actions = step
        for action in actions:
            self._deeds[action](self, happened, message, now)
        if self.state is before:
            return
        if self.state is _CONFIRMED:
            self._watch(now)
        elif before is _CONFIRMED:
            self._rest(now)
        if self.state is _CLOSED:
            self._close(now)

    def _close(self, now: float) -> None:
        if self._asks:
            self._drop_asks(now)
        if self._inviting is not None:
            self._inviting.wait_no_longer(now)
        self.agent.forget(self)
        for do in self._at_end:
            do(now)

    def _tell(self, happened: Input, message: Message | None, _now: float) -> None:
        match happened:
            case Input.GOT_BYE:
                event: Event = HungUp(message.get("reason") if message else None)
            case Input.NO_ACK:
                event = Lost("no ACK")
            case Input.NO_PRACK:
                event = Lost("no PRACK")
            case _:
                # who was not watched may have been there all the time: his silence in signalling says nothing
                event = Lost("gone inside the dialog", self.heard_at_s if self._is_watched_now else None)
        self.agent.tell(self, event)

    def _note(self, message: Message, now: float) -> None:
        """A message of the peer came: it lives, and may say what it can do."""
        self._hear_life(now)
        self._peer_allows = message.get("allow") or self._peer_allows

    def _allows(self, method: str) -> bool:
        return method in self._peer_allows.replace(" ", "").split(",")

    @property
    def _dialog_now(self) -> Dialog | None:
        """The dialog that a request of ours goes into: the confirmed one, or the early one that spoke last."""
        return self.dialog

    @property
    def _is_early(self) -> bool:
        """Whether the call waits for its answer, so that offers may cross only in UPDATE and PRACK."""
        raise NotImplementedError

    @property
    def _is_asked(self) -> bool:
        """Whether a re-INVITE of the peer has no final response yet."""
        return any(ask.method == "INVITE" for ask in self._asks)

    def _method_of(self, ask: Ask) -> str:
        """How the other leg's request goes on here: an offer in whatever our peer takes one."""
        if ask.method not in {"UPDATE", "PRACK"}:
            return ask.method
        return "UPDATE" if self._is_early or self._allows("UPDATE") else "INVITE"

    def _obstacle(self, ask: Ask, method: str) -> int | None:
        """The status that refuses a request of the other leg which cannot go on now."""
        if self._is_early and ask.method in {"UPDATE", "PRACK"}:
            if not self._allows("UPDATE"):
                return 488
        elif self.state is State.ANSWERED:
            return 491  # its ACK is still on the way
        elif self.state is not State.CONFIRMED:
            return 481  # no dialog yet, or over
        is_busy = bool(self._inviting or self._is_asked or self._unacknowledged) and method == "INVITE"
        return 491 if is_busy or (ask.is_about_session and not self.exchange.is_stable) else None

    def _hear_prack(self, _request: Request, transaction: ServerTransaction, now: float) -> None:
        """A PRACK acknowledges nothing of ours, but on the leg of somebody who called us."""
        self.agent.refuse(transaction, 481, now)

    def _hear_update(self, dialog: Dialog, request: Request, transaction: ServerTransaction, now: float) -> None:
        """A refresh, or an offer (RFC 3311 section 5.2)."""
        content = content_of(request)
        if not self._is_early and self.state not in {State.CONFIRMED, State.ANSWERED}:
            self.agent.refuse(transaction, 481, now)
        elif content is not None and self.exchange.refusal is not None:
            self._refuse_offer(transaction, self.exchange.refusal, now)
        elif self._refuses_interval(request, transaction, now):
            return
        else:
            self._move(dialog, request, transaction)
            ask = Ask("UPDATE", content, transaction)
            if content is None:
                self._asks.append(ask)
                self.reply(ask, 200, None, now)
            else:
                self.exchange.hear(Offering.GOT_OFFER, content)
                self._ask(ask)

    def _hear_reinvite(self, dialog: Dialog, request: Request, transaction: ServerTransaction, now: float) -> None:
        refusal = self._refusal_of_reinvite()
        if refusal is not None:
            self._refuse_offer(transaction, refusal, now)
            return
        if self._refuses_interval(request, transaction, now):
            return
        self._move(dialog, request, transaction)
        transaction.respond(request.reply(100), now)
        content = content_of(request)
        ask = Ask("INVITE", content, transaction)
        is_refresh = self.terms is not None and content is not None and content == self.exchange.theirs
        self.exchange.hear(Offering.GOT_BARE if content is None else Offering.GOT_OFFER, content)
        if is_refresh:  # of this leg's session timer: the other leg has its own
            self._asks.append(ask)
            self.reply(ask, 200, self.exchange.ours, now)
            return
        self._ask(ask)
        transaction.on_cancel = lambda _cancel, _now: self.agent.tell(self, Withdrawn(ask))

    def _hear_refer(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        try:
            uri, replaces = refer_to(request)
        except MalformedMessage as error:
            self.agent.refuse(transaction, error.status, now)
            return
        ask = Ask("REFER", None, transaction)
        self._asks.append(ask)
        self.agent.tell(self, Referred(ask, uri, replaces))

    def _refusal_of_reinvite(self) -> int | None:
        """The status of a re-INVITE at a bad moment (RFC 3261 section 14.2)."""
        if self._is_early:
            return self._refusal_while_early
        if self.state not in {State.CONFIRMED, State.ANSWERED}:
            return 481
        if self._is_asked or self._unacknowledged is not None:
            return 500
        if self._inviting is not None or self.state is State.ANSWERED:
            return 491  # our own offer is open
        return self.exchange.refusal

    #: What an INVITE is answered while the first one has no final response: whoever sent that asks too early.
    _refusal_while_early: ClassVar[int] = 500

    def _refuse_offer(self, transaction: ServerTransaction, status: int, now: float) -> None:
        self.agent.refuse(transaction, status, now, headers=[self._retry_after()] if status == 500 else [])

    def _retry_after(self) -> tuple[str, str]:
        return ("retry-after", str(1 + self.agent.pick(10)))  # RFC 3261 section 14.2: 0 to 10 s

    def _move(self, dialog: Dialog, request: Request, transaction: ServerTransaction) -> None:
        """The peer may be somewhere else from now on."""
        dialog.refresh_target(request)

    def _ask(self, ask: Ask) -> None:
        self._asks.append(ask)
        self.agent.tell(self, Asked(ask))

    # the session timer and the pulse

    def _refuses_interval(self, request: Request, transaction: ServerTransaction, now: float) -> bool:
        """Whether a request was refused because its session would be too short (RFC 4028 section 9)."""
        least_s = self.agent.manners.session_least_s
        if not self.agent.manners.session_s or not session_timer.too_brief(request, least_s):
            return False
        self.agent.refuse(transaction, 422, now, headers=[("min-se", str(least_s))])
        return True

    def _agree(self, request: Request) -> list[tuple[str, str]]:
        """Agree on a session timer in a 2xx of ours; what that has to say about it."""
        self.terms, headers = session_timer.answered(request, self.agent.manners.session_s if self._watched else 0)
        return headers

    def _agreed(self, response: Response) -> Terms | None:
        """What a 2xx of the peer has agreed on."""
        return session_timer.agreed(response) if self._watched else None

    def _watch(self, now: float) -> None:
        """Watch the peer from now on, by what was agreed on last."""
        if self.state is not State.CONFIRMED or not self._watched:
            return
        agent = self.agent
        if self._session is None and self.terms is not None:
            self._session = Session(agent.timers, send=self._refresh, gone=self._on_silence, retry_s=self.retry_s)
        if self._session is not None:
            self._session.keep(self.terms, now)
        if not agent.manners.probe_s or (self.terms is not None and not self._is_always_probed):
            self._stop_probing(now)
        elif self._probes is None:
            self._probes = Probes(agent.timers, agent.manners.probe_s, send=self._probe, gone=self._on_silence)
            self._probes.hear(Beat.PROBE, now)

    #: Whether the peer is probed also where it has a session timer.
    _is_always_probed: ClassVar[bool] = False

    @property
    def _is_watched_now(self) -> bool:
        return self.terms is not None or self._probes is not None

    def _rest(self, now: float) -> None:
        """Watch no more. What watches knows us: a circle would wait for the garbage collector."""
        if self._session is not None:
            self._session.hear(Beat.STOP, now)
            self._session = None
        self._stop_probing(now)

    def _stop_probing(self, now: float) -> None:
        if self._probes is not None:
            self._probes.hear(Beat.STOP, now)
            self._probes = None

    def _probe(self, now: float) -> None:
        Probe(self, self._dialog_now).begin(now)

    def _on_silence(self, now: float) -> None:
        self._hear(Input.PEER_GONE, now)

    def _hear_life(self, now: float) -> None:
        """The peer said something inside the dialog."""
        self.heard_at_s = now
        if self._probes is not None:
            self._probes.hear(Beat.HEARD, now)

    def _refresh(self, now: float) -> None:
        """Refresh the session, by UPDATE where the peer takes it, else by a re-INVITE that changes nothing."""
        method = "UPDATE" if self._allows("UPDATE") else "INVITE"
        is_busy = self._inviting or self._asks or self._unacknowledged or not self.exchange.is_stable
        if is_busy and method == "INVITE":
            self._put_off_refresh(now)
            return
        refresh = Refresh(self, self._dialog_now, method)
        if method == "INVITE":
            self._inviting = refresh
        refresh.begin(now)

    def session_headers(self, dialog: Dialog) -> list[tuple[str, str]]:
        """What a re-INVITE or UPDATE of ours says: where we are, what we take, and how long the session lasts."""
        agent, terms = self.agent, self.terms
        contact = agent.contact(agent.way(dialog), secure=dialog.secure)
        headers = [("contact", contact), ("allow", agent.allow)]
        if agent.manners.session_s and self._watched:
            interval_s = terms.interval_s if terms is not None else agent.manners.session_s
            headers += [("supported", "timer"), *session_timer.asked(interval_s, agent.manners.session_least_s)]
        return headers

    def _put_off_refresh(self, now: float) -> None:
        if self._session is not None:
            self._session.hear(Beat.REFUSED, now)

    def retry_s(self) -> float:
        """How long to wait before a refused request of ours is sent again (RFC 3261 section 14.1)."""
        raise NotImplementedError

    # what requests of ours inside the dialog report

    def on_replied(self, relay: Relay, response: Response | None, now: float) -> None:
        """The final response to a request of the other leg; None where there is none."""
        ask, content = relay.ask, content_of(response) if response is not None else None
        status = response.status if response is not None else 408
        late_offer = False
        if response is not None and status < 300 and relay.method in {"INVITE", "UPDATE"}:
            relay.dialog.refresh_target(response)
            self.terms = self._agreed(response)
            self._watch(now)
            late_offer = relay.method == "INVITE" and ask.content is None and not relay.withdrawn
        if ask.is_about_session:
            self.exchange.hear(Offering.GOT_REPLY if status < 300 and content else Offering.REFUSED, content)
        if late_offer and self.state is State.CONFIRMED:
            self._owed[ask] = relay
        elif status < 300 and relay.method == "INVITE":
            if late_offer or relay.withdrawn:
                self.exchange.hear(Offering.REFUSED)
            relay.acknowledge(None)
        self.agent.tell(self, Replied(ask, status, content, late_offer))
        if status in {408, 481}:
            self.on_gone(now)

    def on_refreshed(self, response: Response, now: float) -> None:
        """The peer accepted our refresh."""
        assert self.dialog is not None, "only a dialog is refreshed"
        self.dialog.refresh_target(response)
        self.terms = self._agreed(response)
        self._watch(now)

    def on_refused_refresh(self, response: Response, method: str, now: float) -> None:
        """The peer refused our refresh, which says nothing about the session: try again, until that expires."""
        demanded_s = session_timer.demanded(response) if response.status == 422 else None
        if demanded_s is not None and self.terms is not None and demanded_s > self.terms.interval_s:
            self.terms = Terms(demanded_s, we_refresh=True)
        if response.status in {405, 501} and method == "UPDATE":
            self._peer_allows = ""
        self._put_off_refresh(now)

    def on_probed(self, now: float) -> None:
        """The peer answered a probe, with whatever status."""
        if self._probes is not None:
            self._probes.hear(Beat.ANSWERED, now)

    def on_gone(self, now: float) -> None:
        """The peer knows nothing of the dialog, or is silent inside it."""
        self._hear(Input.PEER_GONE, now)

    def on_bye_done(self, status: int | None, now: float) -> None:
        """Our BYE was answered, or never will be."""
        self.bye_status = status
        self._hear(Input.BYE_DONE, now)

    def on_invite_done(self, sent: Reinvite) -> None:
        """A re-INVITE of ours has its final response."""
        if self._inviting is sent:
            self._inviting = None

    def _drop_asks(self, now: float) -> None:
        """The dialog ends: a request that still waits for its answer gets one (section 15.1.2)."""
        for ask in list(self._asks):
            self.reply(ask, 487 if ask.method == "INVITE" else 481, None, now)

    def _send_bye(self, _happened: Input, _message: Message | None, now: float) -> None:
        Bye(self, self.dialog).begin(self._bye_reason, now)

    def _repeat(self, ask: Ask | None, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Repeat a 2xx until its ACK, at T1, 2*T1, ... T2, and give up after 64*T1 (section 13.3.1.4)."""
        self._unacknowledged = (ask, response.cseq[0])
        self._repeat_after(T1_S, transaction, response, now + GIVE_UP_S, now)

    def _repeat_after(
        self, wait_s: float, transaction: ServerTransaction, response: Response, give_up_s: float, now: float
    ) -> None:
        again = partial(self._repeat_now, wait_s, transaction, response, give_up_s)
        self._timer = self.agent.timers.start(min(now + wait_s, give_up_s), again)

    def _repeat_now(
        self, waited_s: float, transaction: ServerTransaction, response: Response, give_up_s: float, now: float
    ) -> None:
        if now >= give_up_s:
            self._stop_repeating()
            self._hear(Input.NO_ACK, now)
            return
        # RFC 3261 has the 2xx repeated over reliable transports too: a hop behind may be UDP
        transaction.respond(response, now)
        self._repeat_after(min(2 * waited_s, T2_S), transaction, response, give_up_s, now)

    def _stop_repeating(self, *_why: object) -> None:
        self._unacknowledged = None
        if self._timer is not None:
            self._timer.stop()
            self._timer = None


class IncomingLeg(Leg):
    """The leg of somebody who called us: we are the callee.

    `takes_reliable` says that the caller acknowledges provisional responses where he is asked to (RFC 3262).
    """

    table = INCOMING
    _is_always_probed = True  # it is the caller who pays, and he who could agree to a long session and vanish

    def __init__(
        self, agent: UserAgent, transaction: ServerTransaction, local_tag: str, now: float, *, watched: bool = True
    ) -> None:
        request = transaction.request
        super().__init__(agent, request.call_id, local_tag, transaction.flow, watched=watched)
        self.state = State.OFFERED
        self.offer = content_of(request)
        self.exchange.hear(Offering.GOT_BARE if self.offer is None else Offering.GOT_OFFER, self.offer)
        self.dialog = Dialog.of_server(request, local_tag, transaction.flow)
        self._note(request, now)
        self._wants_reliable = _names(request, "require", "100rel")
        self.takes_reliable = self._wants_reliable or _names(request, "supported", "100rel")
        self._reliable: Reliable | None = None
        self._transaction = transaction
        transaction.on_cancel = lambda cancel, at_s: self._hear(Input.GOT_CANCEL, at_s, cancel)
        transaction.respond(request.reply(100), now)
        self._response: Response | None = None
        self._assurance = agent.timers.start_lazily(now + _ASSURE_S, self._assure)

    def progress(self, status: int, content: Content | None, now: float, *, reliably: bool = False) -> None:
        """Send a provisional response; `reliably` where the caller takes that, and always where he demands it."""
        by_prack = status > 100 and (self._wants_reliable or (reliably and self.takes_reliable))
        if content is not None:
            means = self.exchange.hear(Offering.SENT_REPLY if by_prack else Offering.SENT_EARLY, content)
            content = content if means in {Means.OFFER, Means.ANSWER, Means.PREVIEW} else None
        self._response = self._reply(status, None, content, ())
        if by_prack and self._reliable is None:
            agent = self.agent
            self._reliable = Reliable(agent.timers, agent.pick, self._transaction.respond, self._on_no_prack)
        self._hear(Input.PROGRESS_BY_PRACK if by_prack else Input.PROGRESS, now)

    def _assure(self, now: float) -> None:
        """Say once more how it goes; by a response of its own where the caller acknowledges each."""
        self._assurance = self.agent.timers.start_lazily(now + _ASSURE_S, self._assure)
        if self._response is None or self._reliable is not None:
            status = 183 if self._response is None else self._response.status
            self.progress(status, None, now, reliably=self._reliable is not None)
        else:
            self._hear(Input.PROGRESS, now)

    def answer(self, content: Content | None, now: float) -> None:
        """Send the 2xx, or as soon as the caller has acknowledged the description that is on its way to him."""
        if self._reliable is not None and self._reliable.holds_answer:
            self._reliable.when_free(lambda then: self.answer(content, then), now)
            return
        if content is None:
            self.exchange.hear(Offering.REFUSED)
        elif self.exchange.hear(Offering.SENT_REPLY, content) is Means.REPEATED:
            content = None  # he has it, and acknowledged it
        self._response = self._reply(200, None, content, self._agree(self._transaction.request))
        self._hear(Input.ANSWER, now)

    def when_free(self, do: Callable[[float], None], now: float) -> None:
        """Do something as soon as the 2xx may go out, which is at once in most calls."""
        if self._reliable is None:
            do(now)
        else:
            self._reliable.when_free(do, now)

    def reject(self, status: int, reason: str | None, headers: list[tuple[str, str]], now: float) -> None:
        """Send a final response other than 2xx; `reason` replaces the status's own phrase."""
        self._response = self._reply(status, reason, None, headers)
        self._hear(Input.REJECT, now)

    @property
    def _is_early(self) -> bool:
        return self.state is State.OFFERED

    def retry_s(self) -> float:
        """From 0 to 2 s, in steps of 10 ms: the Call-ID is the peer's."""
        return self.agent.pick(201) / 100

    def _reply(
        self, status: int, reason: str | None, content: Content | None, headers: list[tuple[str, str]] | tuple[()]
    ) -> Response:
        head = content_headers(content)
        if status < 300:
            head = [("contact", self._contact), ("allow", self.agent.allow), *head]
        return self._transaction.request.reply(
            status,
            reason,
            to_tag=self.local_tag,
            headers=[*head, *headers],
            body=content.data if content else b"",
        )

    def _hear_prack(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """The PRACK of a reliable response of ours; it may answer our offer, or make one (RFC 3262 section 5)."""
        reliable, content = self._reliable, content_of(request)
        if reliable is None or not reliable.takes(request):
            self.agent.refuse(transaction, 481, now)
            return
        if content is not None and self.exchange.hear(Offering.GOT_OFFER, content) is Means.OFFER:
            self._ask(Ask("PRACK", content, transaction))
        else:
            self.agent.refuse(transaction, 200, now)
            if content is not None and self.exchange.hear(Offering.GOT_ACK, content) is Means.ANSWER:
                self.agent.tell(self, ProgressAcknowledged(content))
        reliable.acknowledge(now)

    @property
    def is_free(self) -> bool:
        """Whether the 2xx may go out: nothing on its way has to be acknowledged first."""
        return self._reliable is None or not self._reliable.holds_answer

    def _on_no_prack(self, now: float) -> None:
        self._hear(Input.NO_PRACK, now)

    def _respond(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._response is not None, "each verb that sends has made its response"
        self._transaction.respond(self._response, now)

    def _respond_by_prack(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._response is not None, "each verb that sends has made its response"
        assert self._reliable is not None, "it was made for the first such response"
        self._reliable.send(self._response, now)

    def _send_final(self, _happened: Input, _message: Message | None, now: float) -> None:
        self._assurance.stop()
        if self._reliable is not None:
            self._reliable.finish(now)
            self._reliable = None  # it knows us: a circle would wait for the garbage collector
        assert self._response is not None, "each verb that sends has made its response"
        self._transaction.respond(self._response, now)

    def _send_answer(self, happened: Input, message: Message | None, now: float) -> None:
        assert self._response is not None, "each verb that sends has made its response"
        self._send_final(happened, message, now)
        self._repeat(None, self._transaction, self._response, now)

    def _tell(self, happened: Input, message: Message | None, now: float) -> None:
        if happened is Input.GOT_ACK:
            content = content_of(message) if message else None
            self.exchange.hear(Offering.REFUSED if content is None else Offering.GOT_ACK, content)
            self.agent.tell(self, Acknowledged(content, None))
        elif self.state is State.OFFERED and happened is not Input.NO_PRACK:
            self.agent.tell(self, Cancelled())
        else:
            super()._tell(happened, message, now)

    _deeds: ClassVar[Deeds] = {
        Do.SEND_PROVISIONAL: _respond,
        Do.SEND_BY_PRACK: _respond_by_prack,
        Do.SEND_ANSWER: _send_answer,
        Do.SEND_REFUSAL: _send_final,
        Do.SEND_BYE: Leg._send_bye,
        Do.STOP_REPEATING: Leg._stop_repeating,
        Do.TELL: _tell,
    }


class Fork:
    """One of those who ring: an early dialog (RFC 3261 section 12.1), which is made when somebody needs it.

    `content` is what it played; `rseq` the number of its last reliable response.
    """

    __slots__ = ("content", "exchange", "first", "made", "rseq")

    def __init__(self, first: Response, exchange: Exchange[Content]) -> None:
        self.first = first
        self.exchange = exchange
        self.made: Dialog | None = None
        self.content: Content | None = None
        self.rseq: int | None = None


class OutgoingLeg(Leg):
    """The leg of somebody whom we call."""

    table = OUTGOING
    _refusal_while_early = 491  # our own INVITE is open

    def __init__(
        self,
        agent: UserAgent,
        invite: Request,
        flow: Flow,
        digest: DigestClient | None = None,
        redirects: int = 0,
        *,
        symmetric: bool = False,
        watched: bool = True,
    ) -> None:
        super().__init__(agent, invite.call_id, invite.from_.tag or "", flow, watched=watched)
        self._symmetric = symmetric
        self.state = State.CALLING
        self.invite = invite
        self.digest = digest
        self.responded = False
        self._begin_exchange(self.exchange)
        self._authorization = digest.begin() if digest is not None else None
        self._changes: list[tuple[str, str]] = []  # what a challenge wants of the INVITE
        self._brief = 0  # how often our session interval was too small
        self._redirects = redirects
        self._moved: tuple[str, Flow] | None = None  # where a redirection sends us
        self._transaction: ClientTransaction | None = None
        self._forks: dict[str, Fork] = {}  # by To-tag
        self._fork: Fork | None = None  # the one that spoke last
        self._owed_prack: tuple[Fork, str] | None = None
        self._acks: dict[str, tuple[Request, Flow]] = {}  # by To-tag: what is sent again for a repeated 2xx
        self._left: set[str] = set()  # To-tags of those whose answers came after another's
        self._answer_content: Content | None = None
        self._late_offer = False
        self._why = ""  # there was no response

    def begin(self, now: float) -> None:
        """Send the INVITE."""
        self._transaction = self.agent.transactions.request(self.invite, self.flow, self, now)

    def give_up(self, now: float) -> None:
        """Cancel the call, now or as soon as there is something to cancel (section 9.1)."""
        self._hear(Input.GIVE_UP, now)

    def acknowledge(self, content: Content | None, now: float) -> None:
        """Send the ACK of the 2xx, with the caller's answer to a late offer.

        Until then the callee repeats its 2xx (section 13.3.1.4), so that an answer that dies with us comes again.
        """
        self._answer_content = content
        self._hear(Input.ACKNOWLEDGE, now)

    def acknowledge_progress(self, content: Content | None, now: float) -> None:
        """Send the PRACK of a reliable response that made an offer, with the caller's answer to it."""
        if self._owed_prack is not None:
            (fork, rack), self._owed_prack = self._owed_prack, None
            if content is not None:
                fork.exchange.hear(Offering.SENT_ACK, content)
            Prack(self, fork.made).begin(rack, content, now)

    def dialog_with(self, remote_tag: str) -> Dialog | None:
        """The dialog with this tag of the peer, early ones too."""
        if self.dialog is None and remote_tag in self._forks:
            return self._turn_to(self._forks[remote_tag])
        return super().dialog_with(remote_tag)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response to the INVITE."""
        status = response.status
        self.responded = True
        if status == 100:
            self._hear(Input.GOT_1XX, now, response)
        elif status < 200:
            self._on_1xx(transaction, response, now)
        elif status < 300:
            self._transaction = None  # it knows us: a circle would wait for the garbage collector
            self._on_2xx(transaction, response, now)
        else:
            self._transaction = None  # as above
            self._hear(Input.GOT_CHALLENGE if self._is_answerable(response) else Input.GOT_FAILURE, now, response)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """The INVITE was never answered, or could not be sent."""
        self._transaction = None
        self._why = why
        self._hear(Input.NO_RESPONSE, now)

    def repeat_ack(self, response: Response) -> None:
        """Acknowledge a 2xx that comes again after its transaction has ended."""
        known = self._acks.get(response.to.tag or "")
        if known is not None:
            self.agent.send(*known)

    @property
    def _dialog_now(self) -> Dialog | None:
        return self._turn_to(self._fork) if self.dialog is None and self._fork is not None else self.dialog

    @property
    def _is_early(self) -> bool:
        return self.state is State.PROCEEDING and self._fork is not None

    def retry_s(self) -> float:
        """From 2.1 to 4 s, in steps of 10 ms: the Call-ID is ours."""
        return (210 + self.agent.pick(191)) / 100

    def _is_answerable(self, response: Response) -> bool:
        """Whether a refusal says what would do and we can, while somebody waits for this call."""
        if self.state not in {State.CALLING, State.PROCEEDING}:
            return False
        if response.status == 422:
            return self._takes_interval(response)
        if response.status < 400:
            return self._takes_redirection(response)
        if self._authorization is None:
            return False
        self._changes = self._authorization.hear(response, "INVITE", self.invite.target) or []
        return bool(self._changes)

    def _takes_interval(self, response: Response) -> bool:
        demanded_s = session_timer.demanded(response)
        self._brief += 1
        if demanded_s is None or self._brief > _MOST_BRIEF or not self.invite.get("session-expires"):
            return False
        renewed = self._authorization.renew("INVITE", self.invite.target) if self._authorization else []
        self._changes = [*session_timer.asked(demanded_s, demanded_s), *renewed]
        return True

    def _takes_redirection(self, response: Response) -> bool:
        """Whether we follow a 3xx: to another address of the same user only, since another number has another price.

        Who is there has no credentials of ours, whatever he asks.
        """
        if self._redirects < 1:
            return False
        for uri in _contact_uris(response):
            flow = flow_to(uri, self.flow)
            if flow is not None and uri.user == self.invite.uri.user:
                self._redirects -= 1
                flow = self.agent.reaching(flow, self.flow)
                self._moved = str(uri), flow
                self._changes = [("contact", self.agent.contact(flow))]
                self.digest = self._authorization = None
                return True
        return False

    def _send_again(self, _happened: Input, _message: Message | None, now: float) -> None:
        """Send the INVITE as it is wanted: the same Call-ID and tag, the next number (section 22.2)."""
        self._forks.clear()  # they were of the INVITE that was refused
        self._fork = self._owed_prack = None
        self.exchange = self._first_exchange()
        target = None
        if self._moved is not None:
            (target, self.flow), self._moved = self._moved, None
        number = self.invite.cseq[0] + 1
        self.invite = self.agent.again(self.invite, self.flow, self._changes, number, target)
        self.begin(now)

    def _on_1xx(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A provisional response, in an early dialog of its own where it has a To-tag."""
        fork = self._fork_of(response)
        if fork is not None:
            self._fork = fork
            self._peer_allows = response.get("allow") or self._peer_allows
            if not self._takes_in(fork, transaction.request, response, now):
                return
        self._hear(Input.GOT_1XX, now, response)

    def _takes_in(self, fork: Fork, invite: Request, response: Response, now: float) -> bool:
        """Whether a provisional response comes in its turn; a reliable one is acknowledged (RFC 3262 section 4)."""
        rseq = rseq_of(response) if response.get("rseq") is not None else None
        content = content_of(response) if response.body else None
        if rseq is None:
            fork.content = content or fork.content
            return True
        if fork.rseq is not None and rseq != fork.rseq + 1:
            return False  # again, or before its turn: it comes again
        fork.rseq = rseq
        dialog = self._turn_to(fork)
        means = fork.exchange.hear(Offering.GOT_REPLY, content) if content is not None else None
        if means in {Means.OFFER, Means.ANSWER}:
            fork.content = content
        rack = f"{rseq} {invite.cseq[0]} INVITE"
        if means is Means.OFFER:
            self._owed_prack = fork, rack
        else:
            Prack(self, dialog).begin(rack, None, now)
        return True

    def _fork_of(self, response: Response) -> Fork | None:
        """The fork of a provisional response, or None: without To-tag, or beyond what anybody needs."""
        tag = response.to.tag
        if not tag:
            return None
        fork = self._forks.get(tag)
        if fork is None and len(self._forks) < _MOST_FORKS:
            exchange = self.exchange if not self._forks else self._first_exchange()
            fork = self._forks[tag] = Fork(response, exchange)
        return fork

    def _first_exchange(self) -> Exchange[Content]:
        exchange: Exchange[Content] = Exchange()
        self._begin_exchange(exchange)
        return exchange

    def _begin_exchange(self, exchange: Exchange[Content]) -> None:
        offer = content_of(self.invite)
        exchange.hear(Offering.SENT_BARE if offer is None else Offering.SENT_OFFER, offer)

    def _turn_to(self, fork: Fork) -> Dialog:
        """Have the next requests go to this one; its dialog."""
        if fork.made is None:
            fork.made = self._dialog_of(self.invite, fork.first)
        self._fork, self.exchange = fork, fork.exchange
        return fork.made

    def _on_2xx(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            self.repeat_ack(response)
        elif tag in self._left or (self.dialog is not None and self.dialog.remote_tag == tag):
            return  # its ACK is still to come
        elif self.dialog is not None:
            # a fork's second answer: a dialog of its own that nobody wants (section 13.2.2.4)
            self._end_fork(self._confirmed(transaction.request, response)[0], tag, now)
        else:
            self.dialog, self.exchange, early = self._confirmed(transaction.request, response)
            self._note(response, now)
            self.terms = self._agreed(response)
            self._take_answer(content_of(response), early)
            self._hear(Input.GOT_2XX, now, response)

    def _take_answer(self, content: Content | None, early: Content | None) -> None:
        """What a 2xx says of the session; one without a description means what was played before it."""
        means = self.exchange.hear(Offering.GOT_REPLY, content or early) if content or early else None
        self._late_offer = means is Means.OFFER or self.exchange.state is Turn.THEIR_TURN
        self._answer_content = early if content is None or means is Means.REPEATED else content
        if means is None and not self._late_offer:
            self.exchange.hear(Offering.REFUSED)  # it has to bring an answer; the call goes on all the same

    def _confirmed(self, invite: Request, response: Response) -> tuple[Dialog, Exchange[Content], Content | None]:
        """The dialog of a 2xx, its offers, and what was played in it before."""
        fork = self._forks.get(response.to.tag or "")
        if fork is None:
            exchange = self._first_exchange() if self._forks else self.exchange
            return self._dialog_of(invite, response), exchange, None
        if fork.made is None and response.get("contact") is not None:
            fork.made = self._dialog_of(invite, response)
        else:
            self._turn_to(fork).confirm(response)
        assert fork.made is not None, "it was made one way or the other"
        return fork.made, fork.exchange, fork.content

    def _dialog_of(self, invite: Request, response: Response) -> Dialog:
        return Dialog.of_client(invite, response, self.flow, symmetric=self._symmetric)

    def _end_fork(self, dialog: Dialog, tag: str, now: float) -> None:
        def acknowledge() -> None:
            self._acks[tag] = self.agent.send_ack(dialog, None, self.invite)

        self._left.add(tag)
        self.agent.leave(dialog, now, acknowledge)

    def _keep(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self.dialog is not None, "a 2xx made the dialog"
        self.at_end(self.agent.keep(self.dialog, lambda then: self._hear(Input.KEPT, then), now), now)

    def _send_ack(self, happened: Input, _message: Message | None, _now: float) -> None:
        dialog = self.dialog
        assert dialog is not None, "a 2xx made the dialog"
        content = self._answer_content if happened is Input.ACKNOWLEDGE else None
        self.exchange.hear(Offering.REFUSED if content is None else Offering.SENT_ACK, content)
        self._acks[dialog.remote_tag] = self.agent.send_ack(dialog, content, self.invite)

    def _send_cancel(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._transaction is not None, "what is cancelled was sent, and has no final answer"
        self.agent.transactions.request(cancel_of(self.invite), self._transaction.flow, Unheard(), now)
        self._timer = self.agent.timers.start(now + GIVE_UP_S, lambda at_s: self._hear(Input.NO_FINAL, at_s))

    def _abandon(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._transaction is not None, "what was cancelled had been sent"
        self._transaction.abandon(now)
        self._transaction = None

    def _tell(self, happened: Input, message: Message | None, now: float) -> None:
        match happened:
            case Input.GOT_1XX:
                assert isinstance(message, Response), "a 1xx is a response"
                reliable = message.get("rseq") is not None and rseq_of(message) is not None
                is_offer = reliable and self._owed_prack is not None and bool(message.body)
                self.agent.tell(self, Progressed(message.status, content_of(message), reliable, is_offer))
            case Input.GOT_2XX:
                self.agent.tell(self, Answered(self._answer_content, late_offer=self._late_offer))
            case Input.GOT_FAILURE:
                assert isinstance(message, Response), "a failure is a response"
                retry = (message.get("retry-after") or "").partition(";")[0].partition("(")[0].strip()
                wait_s = int(retry) if retry.isascii() and retry.isdigit() else None
                self.agent.tell(self, Failed(message.status, message.get("reason"), wait_s, responded=True))
            case Input.NO_RESPONSE:
                status = 408 if self._why == "timeout" else 503
                self.agent.tell(self, Failed(status, None, None, responded=False, why=self._why))
            case _:
                super()._tell(happened, message, now)

    _deeds: ClassVar[Deeds] = {
        Do.SEND_AGAIN: _send_again,
        Do.SEND_ACK: _send_ack,
        Do.SEND_CANCEL: _send_cancel,
        Do.KEEP: _keep,
        Do.SEND_BYE: Leg._send_bye,
        Do.ABANDON: _abandon,
        Do.STOP_REPEATING: Leg._stop_repeating,
        Do.TELL: _tell,
    }


def _contact_uris(response: Response) -> list[Uri]:
    """The SIP URIs that a redirection names, in its order; those of other schemes are none of ours."""
    found = []
    for value in response.all("contact"):
        with suppress(MalformedMessage):
            found.append(parse_address(value).uri)
    return found


def _names(message: Message, header: str, tag: str) -> bool:
    """Whether a header field of option tags names one."""
    value = message.get(header)
    return value is not None and (value == tag or any(each.lower() == tag for each in message.all(header)))
