"""A leg that came in: somebody calls us, and we are the callee (RFC 3261 section 13.3; RFC 3262)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from sipshop.sip.course import INCOMING, Action, Input, State
from sipshop.sip.dialog import Dialog
from sipshop.sip.events import Acknowledged, Ask, Cancelled, Content, ProgressAcknowledged, content_of
from sipshop.sip.inside import content_headers
from sipshop.sip.leg import Deeds, Leg
from sipshop.sip.message import Message, Request, Response
from sipshop.sip.offer import Input as Offering
from sipshop.sip.offer import Means
from sipshop.sip.reliable import Reliable
from sipshop.sip.timers import LAZY_S
from sipshop.sip.transaction import ServerTransaction

if TYPE_CHECKING:
    from sipshop.sip.useragent import UserAgent

#: A caller who waits hears of us each minute, or a proxy between us may give the call up (RFC 3261 section 13.3.1.1).
_ASSURE_S: Final = 60 - LAZY_S


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

    deeds: ClassVar[Deeds] = {
        **Leg.deeds,
        Action.SEND_PROVISIONAL: _respond,
        Action.SEND_BY_PRACK: _respond_by_prack,
        Action.SEND_ANSWER: _send_answer,
        Action.SEND_REFUSAL: _send_final,
        Action.TELL: _tell,
    }


def _names(message: Message, header: str, tag: str) -> bool:
    """Whether a header field of option tags names one."""
    value = message.get(header)
    return value is not None and (value == tag or any(each.lower() == tag for each in message.all(header)))
