"""A leg: one INVITE and the dialog that it makes, seen without SIP.

Above a leg there are only events (`Progressed`, `Answered`, `HungUp`, ...: `sip/events`) and verbs (`progress`,
`answer`, `hang_up`, ...). Below it, a leg minds what the RFC asks of a user agent: it repeats a 2xx until the ACK,
acknowledges every 2xx it gets, holds a CANCEL back until there is something to cancel, holds a BYE back until its 2xx
was acknowledged, and ends what comes to life after it was given up. A leg that nobody listens to any more finishes its
own business and goes.

Here is what both halves share. Each has its own table in `sip/course` and, in `sip/incoming` and `sip/outgoing`, what
only that table asks for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sipshop.sip import session_timer
from sipshop.sip.course import Action, Input, State, Table
from sipshop.sip.dialog import Dialog
from sipshop.sip.digest import DigestClient
from sipshop.sip.events import (
    Acknowledged,
    Ask,
    Asked,
    Content,
    Event,
    HungUp,
    Lost,
    Referred,
    Replied,
    Withdrawn,
    content_of,
)
from sipshop.sip.farewell import Then
from sipshop.sip.flow import Flow
from sipshop.sip.inside import Bye, Probe, Refresh, Reinvite, Relay, content_headers
from sipshop.sip.message import MalformedMessage, Message, Request, Response
from sipshop.sip.offer import Exchange
from sipshop.sip.offer import Input as Offering
from sipshop.sip.pulse import Input as Beat
from sipshop.sip.pulse import Probes, Session
from sipshop.sip.referral import Referral, refer_to
from sipshop.sip.session_timer import Terms
from sipshop.sip.timers import GIVE_UP_S, T1_S, T2_S, Timer
from sipshop.sip.transaction import ServerTransaction

if TYPE_CHECKING:
    from sipshop.sip.useragent import UserAgent

#: Asked for in each step; before Python 3.12 to reach a member costs as much as a call.
_CLOSED: Final = State.CLOSED
_CONFIRMED: Final = State.CONFIRMED
#: A BYE of ours is under way, or will be.
_OWING: Final = frozenset({State.BYE_HELD, State.UNWANTED, State.CLOSING})
#: The methods that do what a table says: a match over actions would ask each of them for its name first.
Deeds = Mapping[Action, Callable[[Any, Input, Message | None, float], None]]


class Leg:
    """What both halves share: a dialog, the requests inside it, its end.

    A leg that is not `watched` has no session timer and sends no probes: nobody but its two ends ends it.
    """

    table: ClassVar[Table] = {}

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

    # inside, for the halves too

    def _hear(self, happened: Input, now: float, message: Message | None = None) -> None:
        before = self.state
        step = self.table.get((before, happened))
        if step is None:
            return  # too late, or again: the state has dealt with it
        self.state, actions = step
        for action in actions:
            self.deeds[action](self, happened, message, now)
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

    #: Those that both halves have in common.
    deeds: ClassVar[Deeds] = {Action.SEND_BYE: _send_bye, Action.STOP_REPEATING: _stop_repeating}
