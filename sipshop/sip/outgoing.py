"""A leg that goes out: we call somebody, of whom several may ring (RFC 3261 sections 9.1, 13.2 and 22; RFC 3262)."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from sipshop.sip import session_timer
from sipshop.sip.course import OUTGOING, Action, Input, State
from sipshop.sip.dialog import Dialog, flow_to
from sipshop.sip.digest import DigestClient
from sipshop.sip.events import Answered, Content, Failed, Progressed, content_of
from sipshop.sip.flow import Flow
from sipshop.sip.inside import Prack, cancel_of
from sipshop.sip.leg import Deeds, Leg
from sipshop.sip.message import MalformedMessage, Message, Request, Response, Uri, parse_address
from sipshop.sip.offer import Exchange, Means
from sipshop.sip.offer import Input as Offering
from sipshop.sip.offer import State as Turn
from sipshop.sip.reliable import rseq_of
from sipshop.sip.timers import GIVE_UP_S
from sipshop.sip.transaction import ClientTransaction, Unheard

if TYPE_CHECKING:
    from sipshop.sip.useragent import UserAgent

#: Early dialogs of one INVITE that are kept, and refusals of its session interval that are met.
_MOST_FORKS: Final = 16
_MOST_BRIEF: Final = 2


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

    deeds: ClassVar[Deeds] = {
        **Leg.deeds,
        Action.SEND_AGAIN: _send_again,
        Action.SEND_ACK: _send_ack,
        Action.SEND_CANCEL: _send_cancel,
        Action.KEEP: _keep,
        Action.ABANDON: _abandon,
        Action.TELL: _tell,
    }


def _contact_uris(response: Response) -> list[Uri]:
    """The SIP URIs that a redirection names, in its order; those of other schemes are none of ours."""
    found = []
    for value in response.all("contact"):
        with suppress(MalformedMessage):
            found.append(parse_address(value).uri)
    return found
