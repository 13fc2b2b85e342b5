"""A leg: one INVITE and the dialog that it makes, seen without SIP.

Above a leg there are only events (`Progressed`, `Answered`, `HungUp`, ...) and verbs (`progress`, `answer`,
`hang_up`, ...). Below it, a leg minds what the RFC asks of a user agent: it repeats a 2xx until the ACK, acknowledges
every 2xx it gets, holds a CANCEL back until there is something to cancel, holds a BYE back until its 2xx was
acknowledged, and ends what comes to life after it was given up. A leg that nobody listens to any more finishes its
own business and goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import auto
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipshop.sip.dialog import Dialog
from sipshop.sip.digest import Authorization, DigestClient
from sipshop.sip.flow import Flow
from sipshop.sip.message import Message, Request, Response
from sipshop.sip.timers import GIVE_UP_S, T1_S, T2_S, Timer
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
    """The callee's side gave a provisional response (101 to 199; 100 only says that it is there)."""

    status: int
    content: Content | None


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

    `reason` is the Reason header as it came (RFC 3326), `retry_after_s` what the peer asked for.
    """

    status: int
    reason: str | None
    retry_after_s: int | None
    responded: bool


@dataclass(slots=True)
class Acknowledged:
    """The peer's ACK came; `ask` is the re-INVITE that it ends, None for the first INVITE."""

    content: Content | None
    ask: Ask | None


@dataclass(slots=True)
class Cancelled:
    """The caller gave up before he was answered."""


@dataclass(slots=True)
class HungUp:
    """The peer sent BYE; `reason` is its Reason header."""

    reason: str | None


@dataclass(slots=True)
class Lost:
    """The peer is gone without a BYE: no ACK came, or it answered 481 or 408, or nothing, inside the dialog."""

    why: str


@dataclass(slots=True)
class Asked:
    """The peer sent a request inside the dialog, to be answered by `reply`: re-INVITE, INFO or OPTIONS."""

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


Event = Progressed | Answered | Failed | Acknowledged | Cancelled | HungUp | Lost | Asked | Withdrawn | Replied


class State(Word):
    """Where a leg stands."""

    OFFERED = auto()  # incoming: not answered yet
    CALLING = auto()  # outgoing: no response yet
    PROCEEDING = auto()  # outgoing: a provisional response came
    CANCEL_HELD = auto()  # outgoing: given up before there was anything to cancel
    CANCELLING = auto()  # outgoing: CANCEL sent, final response awaited
    ANSWERED = auto()  # 2xx sent or received, ACK awaited or owed
    BYE_HELD = auto()  # incoming: to be hung up as soon as its 2xx is acknowledged
    CONFIRMED = auto()
    CLOSING = auto()  # BYE sent
    CLOSED = auto()


class Input(Word):
    """What a leg hears: from its owner (verbs), from its peer (GOT), from the clock."""

    PROGRESS = auto()
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
    GOT_CHALLENGE = auto()  # a 401 or 407 that our credentials answer
    GOT_FAILURE = auto()
    NO_RESPONSE = auto()
    NO_ACK = auto()
    NO_FINAL = auto()
    PEER_GONE = auto()
    BYE_DONE = auto()


class Action(Word):
    """What a leg does about it."""

    SEND_PROVISIONAL = auto()
    SEND_ANSWER = auto()
    SEND_REFUSAL = auto()
    SEND_AGAIN = auto()  # the INVITE, with credentials
    SEND_CANCEL = auto()
    SEND_ACK = auto()
    SEND_BYE = auto()
    ABANDON = auto()
    STOP_REPEATING = auto()
    TELL = auto()  # the event that the input stands for


S, On, Do = State, Input, Action
_CLOSED: Final = S.CLOSED  # asked for in each step; before Python 3.12 to reach a member costs as much as a call
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
    (S.OFFERED, On.ANSWER): (S.ANSWERED, (Do.SEND_ANSWER,)),
    (S.OFFERED, On.REJECT): (S.CLOSED, (Do.SEND_REFUSAL,)),
    (S.OFFERED, On.GOT_CANCEL): (S.OFFERED, (Do.TELL,)),
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
    (S.CANCEL_HELD, On.GOT_2XX): (S.CLOSING, (Do.SEND_ACK, Do.SEND_BYE)),
    (S.CANCEL_HELD, On.GOT_FAILURE): (S.CLOSED, ()),
    (S.CANCEL_HELD, On.NO_RESPONSE): (S.CLOSED, ()),
    (S.CANCELLING, On.GOT_2XX): (S.CLOSING, (Do.STOP_REPEATING, Do.SEND_ACK, Do.SEND_BYE)),
    (S.CANCELLING, On.GOT_FAILURE): (S.CLOSED, (Do.STOP_REPEATING,)),
    (S.CANCELLING, On.NO_FINAL): (S.CLOSED, (Do.ABANDON,)),
    (S.ANSWERED, On.ACKNOWLEDGE): (S.CONFIRMED, (Do.SEND_ACK,)),
    (S.ANSWERED, On.HANG_UP): (S.CLOSING, (Do.SEND_ACK, Do.SEND_BYE)),
    (S.ANSWERED, On.GOT_BYE): (S.CLOSED, (Do.SEND_ACK, Do.TELL)),
    **_ENDING,
}


class Ask:
    """A request inside a dialog on its way through us; it is handed back to `reply` and to `relay`."""

    __slots__ = ("content", "method", "transaction")

    def __init__(self, method: str, content: Content | None, transaction: ServerTransaction) -> None:
        self.method = method
        self.content = content
        self.transaction = transaction

    @property
    def answered(self) -> bool:
        """Whether its final response was sent."""
        return self.transaction.final is not None


class Leg:
    """What both halves share: a dialog, the requests inside it, its end."""

    table: ClassVar[Table] = {}
    _deeds: ClassVar[Deeds] = {}

    def __init__(self, agent: UserAgent, call_id: str, local_tag: str, flow: Flow) -> None:
        self.agent = agent
        self.call_id = call_id
        self.local_tag = local_tag
        self.flow = flow
        self.dialog: Dialog | None = None
        self.state = State.CLOSED
        self.digest: DigestClient | None = None  # none: whoever challenges us is told nothing
        self._asks: list[Ask] = []  # the peer's requests that have no final response yet
        self._unacknowledged: tuple[Ask | None, int] | None = None  # our 2xx that is repeated, by its CSeq
        self._relaying: _Relay | None = None  # our re-INVITE that has no final response yet
        self._owed: dict[Ask, _Relay] = {}  # re-INVITEs whose 2xx made the offer: their ACK waits
        self._timer: Timer | None = None
        self._bye_reason: str | None = None

    # verbs

    def hang_up(self, reason: str | None, now: float) -> None:
        """End the dialog by BYE; `reason` becomes its Reason header (RFC 3326)."""
        self._bye_reason = reason
        self._hear(Input.HANG_UP, now)

    def relay(self, ask: Ask, now: float) -> None:
        """Send the other leg's request to our peer; `Replied` brings the answer."""
        if self.dialog is None or self.state is not State.CONFIRMED:
            status = 491 if self.state is State.ANSWERED else 481  # its ACK is still on the way, or it is over
            self.agent.tell(self, Replied(ask, status, None, late_offer=False))
            return
        if ask.method == "INVITE" and (self._relaying or self._is_asked or self._unacknowledged):
            self.agent.tell(self, Replied(ask, 491, None, late_offer=False))
            return
        relay = _Relay(self, ask)
        if ask.method == "INVITE":
            self._relaying = relay
        relay.begin(now)

    def withdraw(self, ask: Ask, now: float) -> None:
        """Cancel a re-INVITE that `relay` sent."""
        if self._relaying is not None and self._relaying.ask is ask:
            self._relaying.cancel(now)

    def acknowledge_relayed(self, ask: Ask, content: Content | None) -> None:
        """Send the ACK that a late offer left owing (RFC 3261 section 14.1)."""
        relay = self._owed.pop(ask, None)
        if relay is not None:
            relay.acknowledge(content)

    def reply(self, ask: Ask, status: int, content: Content | None, now: float) -> None:
        """Answer a request that `Asked` brought; a second answer is dropped."""
        if ask.answered:
            return
        self._asks.remove(ask)
        headers = _content_headers(content)
        if ask.method == "INVITE" and status < 300:
            headers = [("contact", self.agent.contact(self.flow)), *headers]
        headers = [*headers, ("allow", self.agent.allow)]
        response = ask.transaction.request.reply(status, headers=headers, body=content.data if content else b"")
        ask.transaction.respond(response, now)
        if ask.method == "INVITE" and status < 300:
            self._repeat(ask, ask.transaction, response, now)

    # what the user agent hands in

    def hear_request(self, request: Request, transaction: ServerTransaction, now: float) -> None:
        """A request inside the dialog, new and well-formed."""
        dialog = self.dialog
        assert dialog is not None, "only a leg with a dialog is found by a request inside it"
        if not dialog.in_order(request):
            self.agent.refuse(transaction, 500, now)
        elif request.method == "BYE":
            self.agent.refuse(transaction, 200, now)
            self._hear(Input.GOT_BYE, now, request)
        elif self.state not in {State.CONFIRMED, State.ANSWERED}:
            # not yet answered: some phones take a 481 for the end of their call; or hanging up
            early = self.state is State.OFFERED and request.method != "INVITE"
            self.agent.refuse(transaction, 480 if early else 481, now)
        elif request.method != "INVITE":
            self._ask(request, transaction)
        elif self._is_asked or self._unacknowledged is not None:
            retry = [("retry-after", str(1 + self.agent.pick(10)))]  # RFC 3261 section 14.2: 0 to 10 s
            self.agent.refuse(transaction, 500, now, headers=retry)
        elif self._relaying is not None or self.state is State.ANSWERED:
            self.agent.refuse(transaction, 491, now)  # our own offer is open
        else:
            dialog.refresh_target(request)
            dialog.flow = self.flow = transaction.flow if dialog.symmetric else dialog.flow
            transaction.respond(request.reply(100), now)
            ask = self._ask(request, transaction)
            transaction.on_cancel = lambda _cancel, _now: self.agent.tell(self, Withdrawn(ask))

    def hear_ack(self, request: Request, now: float) -> None:
        """An ACK inside the dialog: of a 2xx that we repeat, or one that we know already."""
        waiting = self._unacknowledged
        if waiting is None or waiting[1] != request.cseq[0]:
            return
        if waiting[0] is None:
            self._hear(Input.GOT_ACK, now, request)
        else:
            self._stop_repeating()
            self.agent.tell(self, Acknowledged(content_of(request), waiting[0]))

    # inside

    def _hear(self, happened: Input, now: float, message: Message | None = None) -> None:
        step = self.table.get((self.state, happened))
        if step is None:
            return  # too late, or again: the state has dealt with it
        self.state, actions = step
        for action in actions:
            self._deeds[action](self, happened, message, now)
        if self.state is _CLOSED:
            self._drop_asks(now)
            if self._relaying is not None:
                self._relaying.wait_no_longer(now)
            self.agent.forget(self)

    def _tell(self, happened: Input, message: Message | None, _now: float) -> None:
        match happened:
            case Input.GOT_BYE:
                event: Event = HungUp(message.get("reason") if message else None)
            case Input.NO_ACK:
                event = Lost("no ACK")
            case _:
                event = Lost("gone inside the dialog")
        self.agent.tell(self, event)

    @property
    def _is_asked(self) -> bool:
        """Whether a re-INVITE of the peer has no final response yet."""
        return any(ask.method == "INVITE" for ask in self._asks)

    def _ask(self, request: Request, transaction: ServerTransaction) -> Ask:
        ask = Ask(request.method, content_of(request), transaction)
        self._asks.append(ask)
        self.agent.tell(self, Asked(ask))
        return ask

    def _drop_asks(self, now: float) -> None:
        """The dialog ends: a request that still waits for its answer gets one (section 15.1.2)."""
        for ask in list(self._asks):
            self.reply(ask, 487 if ask.method == "INVITE" else 481, None, now)

    def _send_bye(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self.dialog is not None, "a BYE needs a dialog"
        headers = [("reason", self._bye_reason)] if self._bye_reason else []
        _Bye(self).send("BYE", now, headers)

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
    """The leg of somebody who called us: we are the callee."""

    table = INCOMING

    def __init__(self, agent: UserAgent, transaction: ServerTransaction, local_tag: str, now: float) -> None:
        request = transaction.request
        super().__init__(agent, request.call_id, local_tag, transaction.flow)
        self.state = State.OFFERED
        self.offer = content_of(request)
        self.dialog = Dialog.of_server(request, local_tag, transaction.flow)
        self._transaction = transaction
        transaction.on_cancel = lambda cancel, at_s: self._hear(Input.GOT_CANCEL, at_s, cancel)
        transaction.respond(request.reply(100), now)
        self._response: Response | None = None

    def progress(self, status: int, content: Content | None, now: float) -> None:
        """Send a provisional response."""
        self._response = self._reply(status, None, content, ())
        self._hear(Input.PROGRESS, now)

    def answer(self, content: Content | None, now: float) -> None:
        """Send the 2xx."""
        self._response = self._reply(200, None, content, ())
        self._hear(Input.ANSWER, now)

    def reject(self, status: int, reason: str | None, headers: list[tuple[str, str]], now: float) -> None:
        """Send a final response other than 2xx; `reason` replaces the status's own phrase."""
        self._response = self._reply(status, reason, None, headers)
        self._hear(Input.REJECT, now)

    def _reply(
        self, status: int, reason: str | None, content: Content | None, headers: list[tuple[str, str]] | tuple[()]
    ) -> Response:
        head = _content_headers(content)
        if status < 300:
            head = [("contact", self.agent.contact(self.flow)), ("allow", self.agent.allow), *head]
        return self._transaction.request.reply(
            status,
            reason,
            to_tag=self.local_tag,
            headers=[*head, *headers],
            body=content.data if content else b"",
        )

    def _respond(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._response is not None, "each verb that sends has made its response"
        self._transaction.respond(self._response, now)

    def _send_answer(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._response is not None, "each verb that sends has made its response"
        self._transaction.respond(self._response, now)
        self._repeat(None, self._transaction, self._response, now)

    def _tell(self, happened: Input, message: Message | None, now: float) -> None:
        if happened is Input.GOT_ACK:
            self.agent.tell(self, Acknowledged(content_of(message) if message else None, None))
        elif self.state is State.OFFERED:
            self.agent.tell(self, Cancelled())
        else:
            super()._tell(happened, message, now)

    _deeds: ClassVar[Deeds] = {
        Do.SEND_PROVISIONAL: _respond,
        Do.SEND_ANSWER: _send_answer,
        Do.SEND_REFUSAL: _respond,
        Do.SEND_BYE: Leg._send_bye,
        Do.STOP_REPEATING: Leg._stop_repeating,
        Do.TELL: _tell,
    }


class OutgoingLeg(Leg):
    """The leg of somebody whom we call."""

    table = OUTGOING

    def __init__(self, agent: UserAgent, invite: Request, flow: Flow, digest: DigestClient | None = None) -> None:
        super().__init__(agent, invite.call_id, invite.from_.tag or "", flow)
        self.state = State.CALLING
        self.invite = invite
        self.digest = digest
        self._authorization = digest.begin() if digest is not None else None
        self._credentials: list[tuple[str, str]] = []
        self.responded = False
        self._offered = bool(invite.body)
        self._transaction: ClientTransaction | None = None
        self._acks: dict[str, tuple[Request, Flow]] = {}  # by To-tag: what is sent again for a repeated 2xx
        self._answer_content: Content | None = None
        self._unreachable = False

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

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response to the INVITE."""
        status = response.status
        self.responded = True
        if status < 200:
            self._hear(Input.GOT_1XX, now, response)
            return
        self._transaction = None  # it knows us: a circle would wait for the garbage collector
        if status >= 300:
            self._hear(Input.GOT_CHALLENGE if self._is_answerable(response) else Input.GOT_FAILURE, now, response)
        else:
            self._on_2xx(transaction, response, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """The INVITE was never answered, or could not be sent."""
        self._transaction = None
        self._unreachable = why == "transport"
        self._hear(Input.NO_RESPONSE, now)

    def repeat_ack(self, response: Response) -> None:
        """Acknowledge a 2xx that comes again after its transaction has ended."""
        known = self._acks.get(response.to.tag or "")
        if known is not None:
            self.agent.send(*known)

    def _is_answerable(self, response: Response) -> bool:
        """Whether a refusal is a challenge that we have the credentials for, while somebody waits for this call."""
        if self._authorization is None or self.state not in {State.CALLING, State.PROCEEDING}:
            return False
        credentials = self._authorization.hear(response, "INVITE", self.invite.target)
        self._credentials = credentials or self._credentials
        return credentials is not None

    def _send_again(self, _happened: Input, _message: Message | None, now: float) -> None:
        """Send the INVITE with credentials: the same Call-ID and tag, the next number (section 22.2)."""
        self.invite = self.agent.again(self.invite, self.flow, self._credentials, self.invite.cseq[0] + 1)
        self.begin(now)

    def _on_2xx(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        tag = response.to.tag or ""
        if tag in self._acks:
            self.repeat_ack(response)
        elif self.dialog is not None and self.dialog.remote_tag == tag:
            return  # its ACK is still to come
        elif self.dialog is not None:
            # a fork's second answer: a dialog of its own that nobody wants (section 13.2.2.4)
            self._end_fork(Dialog.of_client(transaction.request, response, self.flow), tag, now)
        else:
            self.dialog = Dialog.of_client(transaction.request, response, self.flow)
            self._hear(Input.GOT_2XX, now, response)

    def _end_fork(self, dialog: Dialog, tag: str, now: float) -> None:
        self._acks[tag] = self.agent.send_ack(dialog, None, self.invite)
        self.agent.send_inside(dialog, "BYE", Unheard(), now)

    def _send_ack(self, _happened: Input, _message: Message | None, _now: float) -> None:
        dialog = self.dialog
        assert dialog is not None, "a 2xx made the dialog"
        acked = self.agent.send_ack(dialog, self._answer_content, self.invite)
        self._acks[dialog.remote_tag] = acked

    def _send_cancel(self, _happened: Input, _message: Message | None, now: float) -> None:
        self.agent.transactions.request(_cancel(self.invite), self.flow, Unheard(), now)
        self._timer = self.agent.timers.start(now + GIVE_UP_S, lambda at_s: self._hear(Input.NO_FINAL, at_s))

    def _abandon(self, _happened: Input, _message: Message | None, now: float) -> None:
        assert self._transaction is not None, "what was cancelled had been sent"
        self._transaction.abandon(now)
        self._transaction = None

    def _tell(self, happened: Input, message: Message | None, now: float) -> None:
        match happened:
            case Input.GOT_1XX:
                assert isinstance(message, Response), "a 1xx is a response"
                self.agent.tell(self, Progressed(message.status, content_of(message)))
            case Input.GOT_2XX:
                content = content_of(message) if message else None
                self.agent.tell(self, Answered(content, late_offer=not self._offered))
            case Input.GOT_FAILURE:
                assert isinstance(message, Response), "a failure is a response"
                retry = (message.get("retry-after") or "").partition(";")[0].partition("(")[0].strip()
                wait_s = int(retry) if retry.isascii() and retry.isdigit() else None
                self.agent.tell(self, Failed(message.status, message.get("reason"), wait_s, responded=True))
            case Input.NO_RESPONSE:
                self.agent.tell(self, Failed(503 if self._unreachable else 408, None, None, responded=False))
            case _:
                super()._tell(happened, message, now)

    _deeds: ClassVar[Deeds] = {
        Do.SEND_AGAIN: _send_again,
        Do.SEND_ACK: _send_ack,
        Do.SEND_CANCEL: _send_cancel,
        Do.SEND_BYE: Leg._send_bye,
        Do.ABANDON: _abandon,
        Do.STOP_REPEATING: Leg._stop_repeating,
        Do.TELL: _tell,
    }


class _Inside:
    """A request that we send inside the dialog of a leg, once more with credentials where the leg has some.

    A leg without any (a phone's) answers no challenge: whoever sent it is no trunk of ours.
    """

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self._authorization: Authorization | None = leg.digest.begin() if leg.digest is not None else None
        self._withdrawn = False

    def send(self, method: str, now: float, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> None:
        """Send it; what comes back is heard by the class that it is."""
        assert self.leg.dialog is not None, "only a leg with a dialog has requests inside it"
        self.leg.agent.send_inside(self.leg.dialog, method, self, now, headers=headers, body=body)

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that the transaction does not absorb."""
        if self._authorization is not None and response.status in {401, 407} and not self._withdrawn:
            request = transaction.request
            credentials = self._authorization.hear(response, request.method, request.target)
            if credentials is not None:
                self._send_again(request, transaction.flow, credentials, now)
                return
        self._hear(transaction, response, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """The request failed."""
        self._hear(transaction, None, now)

    def _send_again(self, request: Request, flow: Flow, credentials: list[tuple[str, str]], now: float) -> None:
        dialog, agent = self.leg.dialog, self.leg.agent
        assert dialog is not None, "only a leg with a dialog has requests inside it"
        dialog.local_cseq += 1
        agent.transactions.request(agent.again(request, flow, credentials, dialog.local_cseq), flow, self, now)

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        """Take a response, or None where none will come."""
        raise NotImplementedError


class _Relay(_Inside):
    """A request that we send inside a dialog on behalf of the other leg."""

    def __init__(self, leg: Leg, ask: Ask) -> None:
        super().__init__(leg)
        self.ask = ask
        self._ack: tuple[Request, Flow] | None = None
        self._answered: Request | None = None  # that of ours which the final response is to
        self._proceeding: ClientTransaction | None = None  # a provisional response came
        self._done = False

    def begin(self, now: float) -> None:
        leg, ask = self.leg, self.ask
        assert leg.dialog is not None, "only a leg with a dialog relays"
        headers = _content_headers(ask.content)
        if ask.method == "INVITE":
            headers = [("contact", leg.agent.contact(leg.dialog.next_hop())), ("allow", leg.agent.allow), *headers]
        self.send(ask.method, now, headers, ask.content.data if ask.content else b"")

    def cancel(self, now: float) -> None:
        """Cancel it, now or as soon as there is something to cancel (section 9.1)."""
        self._withdrawn = True
        if self._proceeding is not None:
            self._send_cancel(self._proceeding, now)

    def wait_no_longer(self, now: float) -> None:
        """Forget it if the final response does not come soon: nothing else would end its transaction."""
        self.leg.agent.timers.start(now + GIVE_UP_S, self._abandon)

    def acknowledge(self, content: Content | None) -> None:
        assert self.leg.dialog is not None, "only a leg with a dialog relays"
        assert self._answered is not None, "what is acknowledged was answered"
        self._ack = self.leg.agent.send_ack(self.leg.dialog, content, self._answered)

    def _send_again(self, request: Request, flow: Flow, credentials: list[tuple[str, str]], now: float) -> None:
        self._proceeding = None
        super()._send_again(request, flow, credentials, now)

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        leg = self.leg
        if response is None:
            self._finish()
            leg.agent.tell(leg, Replied(self.ask, 408, None, late_offer=False))
            leg._hear(Input.PEER_GONE, now)
        elif response.status < 200:
            is_first, self._proceeding = self._proceeding is None, transaction
            if is_first and self._withdrawn:
                self._send_cancel(transaction, now)
        elif self._done:
            if self._ack is not None:
                leg.agent.send(*self._ack)
        else:
            self._finish()
            self._answered = transaction.request
            self._hear_final(response, now)

    def _hear_final(self, response: Response, now: float) -> None:
        status, leg = response.status, self.leg
        late_offer = False
        if status < 300 and self.ask.method == "INVITE":
            assert leg.dialog is not None, "only a leg with a dialog relays"
            leg.dialog.refresh_target(response)
            late_offer = self.ask.content is None and not self._withdrawn
            if late_offer and leg.state is State.CONFIRMED:
                leg._owed[self.ask] = self
            else:
                self.acknowledge(None)
        leg.agent.tell(leg, Replied(self.ask, status, content_of(response), late_offer))
        if status in {408, 481}:
            leg._hear(Input.PEER_GONE, now)

    def _send_cancel(self, transaction: ClientTransaction, now: float) -> None:
        self.leg.agent.transactions.request(_cancel(transaction.request), transaction.flow, Unheard(), now)
        self.wait_no_longer(now)

    def _abandon(self, now: float) -> None:
        if not self._done and self._proceeding is not None:
            self._proceeding.abandon(now)
            self._finish()

    def _finish(self) -> None:
        self._done = True
        if self.leg._relaying is self:
            self.leg._relaying = None


class _Bye(_Inside):
    """Our BYE: whatever comes back, or nothing, the leg is over."""

    def _hear(self, transaction: ClientTransaction, response: Response | None, now: float) -> None:
        if response is None or response.status >= 200:
            self.leg._hear(Input.BYE_DONE, now)


def _content_headers(content: Content | None) -> list[tuple[str, str]]:
    return [("content-type", content.type)] if content is not None else []


def _cancel(invite: Request) -> Request:
    """The CANCEL of an INVITE: the same hop, branch, route and number (section 9.1)."""
    headers = [("via", invite.get("via") or ""), ("max-forwards", "70")]
    headers += [(name, value) for name, value in invite.headers if name in {"route", "from", "to", "call-id"}]
    headers.append(("cseq", f"{invite.cseq[0]} CANCEL"))
    return Request("CANCEL", invite.target, headers)
