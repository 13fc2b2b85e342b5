"""One user agent on a bench, its peer played by hand, message by message."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from sipshop.sip.course import Input
from sipshop.sip.dialog import Dialog
from sipshop.sip.digest import Credentials
from sipshop.sip.events import Answered, Content, Event
from sipshop.sip.farewell import Then
from sipshop.sip.flow import Flow
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.message import Request, Response, parse
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.timers import Timers
from sipshop.sip.useragent import Happened, Invited, Manners, Output, Send, UserAgent
from tests.sip.peers import ANSWER, OFFER, summary

HERE: Final = ("192.0.2.1", 5060)
PEER: Final = ("192.0.2.2", 5060)
FLOW: Final = Flow("UDP", HERE, PEER)


def _is_complete(event: Event) -> bool:
    return isinstance(event, Answered) and not event.late_offer


@dataclass
class Bench:
    """One user agent, its peer played by hand; `effects` is what it did since it was last asked."""

    timers: Timers = field(default_factory=Timers)
    now: float = 0.0
    sent: list[tuple[float, Request | Response]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    invited: list[Invited] = field(default_factory=list)
    cseq: int = 1
    acknowledges: bool = True  # at once, where the INVITE had the offer
    manners: Manners = field(default_factory=Manners)
    keeps: bool = True  # at once, what is owed; else when it is told to
    owed: list[Then] = field(default_factory=list)  # what waits until it is kept that a BYE is owed
    over: int = 0  # how many of them are owed no more

    def __post_init__(self) -> None:
        tokens = iter(range(1_000_000))
        self.agent = UserAgent(
            timers=self.timers,
            token=lambda: f"t{next(tokens)}",
            pick=lambda below: below - 1,
            advertise=HERE,
            manners=self.manners,
        )
        self.agent.keep = self._keep

    def _keep(self, _dialog: Dialog, then: Then, now: float) -> Then:
        if self.keeps:
            then(now)
        else:
            self.owed.append(then)
        return self._note_over

    def _note_over(self, _now: float) -> None:
        self.over += 1

    def effects(self) -> str:
        found: list[str] = []
        while self.agent.out:
            output = self.agent.out.popleft()
            self._note(output)
            match output:
                case Send(data=data):
                    found.append(f"sends {summary(parse(data)).split()[0]}")
                case Happened(leg=leg, event=event):
                    found.append(f"tells {type(event).__name__}")
                    if self.acknowledges and isinstance(leg, OutgoingLeg) and _is_complete(event):
                        leg.acknowledge(None, self.now)
        return ", ".join(found)

    def _note(self, output: Output) -> None:
        match output:
            case Send(data=data):
                self.sent.append((self.now, parse(data)))
            case Happened(event=event):
                self.events.append(event)
            case Invited():
                self.invited.append(output)

    def run(self, until_s: float) -> None:
        while (deadline := self.timers.deadline) is not None and deadline <= until_s:
            self.now = deadline
            self.timers.tick(deadline)
            self.effects()
        self.now = until_s

    def sent_at(self, name: str) -> list[float]:
        return [at_s for at_s, message in self.sent if summary(message) == name]

    def last(self, name: str) -> Request | Response:
        return next(message for _, message in reversed(self.sent) if summary(message) == name)

    # the leg of a callee, its caller played by hand

    def offer(self, *, body: bytes = OFFER.data, headers: str = "", watched: bool = True) -> IncomingLeg:
        self.hear(self.from_caller("INVITE", tag=None, body=body, headers=headers))
        self.effects()
        leg = self.agent.accept(self.invited[-1].transaction, self.now, watched=watched)
        self.effects()
        return leg

    def from_caller(
        self,
        method: str,
        *,
        tag: str | None,
        branch: str = "",
        cseq: int | None = None,
        body: bytes = b"",
        headers: str = "",
        from_tag: str = "a",
    ) -> bytes:
        if cseq is None:
            cseq = self.cseq
        to = f";tag={tag}" if tag else ""
        content = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:b@192.0.2.1 SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK{branch or f'i{cseq}'}\r\n"
            f"Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.2>;tag={from_tag}\r\nTo: <sip:b@192.0.2.1>{to}\r\nCall-ID: c\r\n"
            f"CSeq: {cseq} {method}\r\nContact: <sip:a@192.0.2.2>\r\n{headers}{content}"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode() + body

    def ask(self, leg: Leg, method: str, *, body: bytes = b"", headers: str = "", tag: str | None = None) -> None:
        """The peer of a leg sends a request inside the dialog; `tag` names an early one."""
        dialog = leg.dialog if tag is None else leg.dialog_with(tag)
        assert dialog is not None
        self.cseq += 1
        branch = f"{method}{self.cseq}"
        data = self.from_caller(
            method, tag=leg.local_tag, branch=branch, body=body, headers=headers, from_tag=dialog.remote_tag
        )
        self.hear(data.replace(b"Call-ID: c\r\n", f"Call-ID: {dialog.call_id}\r\n".encode()))

    def hear(self, data: bytes) -> None:
        self.agent.hear(data, FLOW, self.now)

    # the leg of a caller

    def dial(
        self,
        *,
        late: bool = False,
        credentials: Credentials | None = None,
        redirects: int = 0,
        watched: bool = True,
    ) -> OutgoingLeg:
        leg = self.agent.dial(
            FLOW,
            target="sip:b@192.0.2.2",
            from_="<sip:a@192.0.2.1>",
            to="<sip:b@192.0.2.2>",
            call_id="c",
            tag="a",
            max_forwards=70,
            content=None if late else OFFER,
            now=self.now,
            credentials=credentials,
            redirects=redirects,
            watched=watched,
        )
        self.effects()
        return leg

    def respond(
        self,
        leg: OutgoingLeg,
        status: int,
        *,
        tag: str | None = "b",
        headers: tuple[tuple[str, str], ...] = (),
        content: Content | None = None,
        contact: str = "<sip:b@192.0.2.2>",
    ) -> None:
        """The peer answers our INVITE, under one of its tags."""
        head = [("contact", contact)] if status < 300 and contact else []
        head += [("content-type", content.type)] if content is not None else []
        body = content.data if content is not None else b""
        self.hear(leg.invite.reply(status, to_tag=tag, headers=[*head, *headers], body=body).encode())

    def cause(self, leg: Leg, happened: Input) -> None:
        """Make an input happen, by a verb or a message where there is one."""
        match happened, leg:
            case Input.PROGRESS, IncomingLeg():
                leg.progress(180, None, self.now)
            case Input.PROGRESS_BY_PRACK, IncomingLeg():
                leg.takes_reliable = True
                leg.progress(180, None, self.now, reliably=True)
            case Input.ANSWER, IncomingLeg():
                leg.answer(ANSWER, self.now)
            case Input.REJECT, IncomingLeg():
                leg.reject(486, None, [], self.now)
            case Input.GIVE_UP, OutgoingLeg():
                leg.give_up(self.now)
            case Input.ACKNOWLEDGE, OutgoingLeg():
                leg.acknowledge(ANSWER, self.now)
            case Input.HANG_UP, _:
                leg.hang_up(None, self.now)
            case Input.KEPT, _ if self.owed:
                self.owed.pop()(self.now)
            case _:
                self._send_what_causes(leg, happened)

    def _send_what_causes(self, leg: Leg, happened: Input) -> None:
        match happened, leg:
            case Input.GOT_CANCEL, IncomingLeg():
                self.hear(self.from_caller("CANCEL", tag=None))
            case Input.GOT_ACK, IncomingLeg():
                self.hear(self.from_caller("ACK", tag=leg.local_tag, branch="ack", cseq=1))
            case Input.GOT_1XX, OutgoingLeg():
                self.respond(leg, 180)
            case Input.GOT_2XX, OutgoingLeg() if leg.dialog is None:
                self.respond(leg, 200)
            case Input.GOT_FAILURE, OutgoingLeg():
                self.respond(leg, 486)
            case _:
                leg._hear(happened, self.now)
