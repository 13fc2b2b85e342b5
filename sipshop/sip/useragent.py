"""The user agent core: matches messages to transactions, dialogs and legs (RFC 3261 sections 8, 12 and 18).

It is told bytes, flows and the time, and leaves what it wants done in `out`, in order: `Send` for the transport, all
else for whoever owns the calls. It can be driven in memory, two of them joined back to back.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Final

from sipshop.sip import session_timer, validate
from sipshop.sip.dialog import Dialog
from sipshop.sip.digest import Credentials, DigestClient
from sipshop.sip.events import Content, Event
from sipshop.sip.farewell import Ending, Farewell, Keep, Then, keep_nothing
from sipshop.sip.flow import Address, Addresses, Flow
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.message import MalformedMessage, Request, Response, parse, split_commas
from sipshop.sip.outgoing import OutgoingLeg
from sipshop.sip.shield import Shield
from sipshop.sip.timers import Timers
from sipshop.sip.transaction import (
    CREDENTIALS,
    MAGIC_COOKIE,
    ClientTransaction,
    ClientUser,
    ServerTransaction,
    Transactions,
    credentials_of,
)

#: What we take inside a dialog or to make one, as Allow names it; REGISTER is taken besides.
ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER"
METHODS: Final = frozenset({*ALLOW.split(", "), "REGISTER"})
#: Option tags of Require that we can honour, the session timer only where we keep one.
EXTENSIONS: Final = frozenset({"100rel"})

_SUPPORTED_RELIABLE: Final = ("supported", "100rel")
_SUPPORTED_TIMER: Final = ("supported", "timer")
_RPORT: Final = re.compile(r";\s*rport\s*(?:=\s*)?(?=;|$)", re.IGNORECASE)


# Nobody changes an output. They are not frozen for the reason that events are not (sipshop.sip.events).


@dataclass(frozen=True, slots=True, kw_only=True)
class Manners:
    """How a user agent watches those that it talks with.

    `session_s` is the session interval that it asks for (RFC 4028; 0: no session timers), `session_least_s` the
    shortest that it takes, `probe_s` the time between two probes of a caller, and of a callee without a session timer
    (0: none).
    """

    session_s: int = 0
    session_least_s: int = session_timer.LEAST_S
    probe_s: int = 0


@dataclass(slots=True)
class Send:
    """Bytes for the transport."""

    data: bytes
    flow: Flow


@dataclass(slots=True)
class Happened:
    """An event of a leg, for its owner."""

    leg: Leg
    event: Event


@dataclass(slots=True)
class Invited:
    """A new INVITE, well-formed and outside any dialog: `accept` makes it a leg, `respond` refuses it.

    `source` is where it came from; where its answers go may be another port.
    """

    transaction: ServerTransaction
    source: Flow


@dataclass(slots=True)
class Requested:
    """A REGISTER or OPTIONS outside any dialog, to be answered by `respond`; it came from `source`."""

    transaction: ServerTransaction
    source: Flow


@dataclass(slots=True)
class Dropped:
    """A message that got no answer, and why in one word of a small set."""

    reason: str


@dataclass(slots=True)
class Disconnected:
    """A connection is gone, or could not be made: whoever was reached by it is reached no more."""

    flow: Flow


@dataclass(slots=True)
class Refused:
    """A request that never reached anybody above, and the status that it was answered."""

    status: int
    cause: str


Output = Send | Happened | Invited | Requested | Dropped | Disconnected | Refused


class UserAgent:
    """One SIP user agent, client and server.

    `token` gives a new random token each time; `pick(n)` a random number below n; `advertise` is our address as peers
    see it, where `addresses` has no better one for a flow; `ours(call_id, tag)` says whether a dialog that we do not
    hold was made by us in an earlier life. `shield` is asked before any state is made, and told what cost us work;
    without one all are heard. `keep` keeps the BYE of an answer that nobody wants, before that is acknowledged.
    """

    allow = ALLOW
    methods = METHODS

    def __init__(
        self,
        *,
        timers: Timers,
        token: Callable[[], str],
        pick: Callable[[int], int],
        advertise: Address,
        product: str = "sipshop",
        ours: Callable[[str, str], bool] = lambda _call_id, _tag: False,
        manners: Manners | None = None,
        shield: Shield | None = None,
    ) -> None:
        self.manners = manners or Manners()
        self._extensions = EXTENSIONS | {"timer"} if self.manners.session_s else EXTENSIONS
        self.shield = shield
        self.keep: Keep = keep_nothing
        self.timers = timers
        self.token = token
        self.pick = pick
        self.advertise = advertise
        self.addresses = Addresses(advertise)
        self.product = product
        self.transactions = Transactions(timers, self._put)
        self.legs: dict[tuple[str, str], Leg] = {}
        self._endings: dict[tuple[str, str, str], Ending] = {}  # of an earlier process, by Call-ID and both tags
        self.out: deque[Output] = deque()
        self._ours = ours
        self._key = token().encode("ascii")

    @property
    def advertised_host(self) -> str:
        """The host of our address as peers see it, as it stands in a URI."""
        host = self.advertise[0]
        return f"[{host}]" if ":" in host else host

    # what the transport hears

    def hear(self, data: bytes, flow: Flow, now: float) -> None:
        """Take one datagram, or one framed message of a connection."""
        if self.shield is not None and not self.shield.admit(data, flow, now):
            return
        try:
            message = parse(data)
        except MalformedMessage:
            self._drop("malformed", flow, now)
            return
        if isinstance(message, Request):
            self._hear_request(message, flow, now)
        else:
            self._hear_response(message, flow, now)

    def hear_lost(self, flow: Flow, now: float, why: str = "transport") -> None:
        """A connection is gone, or could not be made; `why` in a word."""
        self.transactions.hear_lost(flow, now, why)
        self.out.append(Disconnected(flow))

    # what the owner of the calls does

    def accept(self, transaction: ServerTransaction, now: float, *, watched: bool = True) -> IncomingLeg:
        """Make a leg of an INVITE: it is answered 100 at once; raises `MalformedMessage` where it has no Contact.

        A caller that is not `watched` is never taken for gone because he is silent.
        """
        transaction.to_tag = self.token()
        leg = IncomingLeg(self, transaction, transaction.to_tag, now, watched=watched)
        self.legs[leg.call_id, leg.local_tag] = leg
        return leg

    def dial(
        self,
        flow: Flow,
        *,
        target: str,
        from_: str,
        to: str,
        call_id: str,
        tag: str,
        max_forwards: int,
        content: Content | None,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
        credentials: Credentials | None = None,
        reliably: bool = True,
        redirects: int = 0,
        symmetric: bool = False,
        watched: bool = True,
    ) -> OutgoingLeg:
        """Call somebody: send an INVITE and return its leg. `from_` and `to` are given without tags.

        A `symmetric` peer, such as a phone behind a NAT, is reached on this flow, wherever its Contact points.

        With `credentials` a challenge to the INVITE, or to a request of ours inside its dialog, is answered.
        Without `reliably` the callee shall send no reliable provisional responses (RFC 3262). So many `redirects` are
        followed, to other addresses of the same user. A callee that is not `watched` is never taken for gone because
        he is silent.
        """
        manners = self.manners
        head = [
            ("via", self.via(flow)),
            ("max-forwards", str(max_forwards)),
            ("from", f"{from_};tag={tag}"),
            ("to", to),
            ("call-id", call_id),
            ("cseq", "1 INVITE"),
            ("contact", self.contact(flow, secure=target.startswith("sips:"))),
            ("allow", self.allow),
            ("user-agent", self.product),
            *headers,
        ]
        if reliably:
            head.append(_SUPPORTED_RELIABLE)
        if manners.session_s and watched:
            head.append(_SUPPORTED_TIMER)
            head += session_timer.asked(manners.session_s, manners.session_least_s)
        if content is not None:
            head.append(("content-type", content.type))
        invite = Request("INVITE", target, head, content.data if content else b"")
        digest = self._digest(credentials)
        leg = OutgoingLeg(self, invite, flow, digest, redirects, symmetric=symmetric, watched=watched)
        self.legs[leg.call_id, leg.local_tag] = leg
        leg.begin(now)
        return leg

    def request(
        self,
        method: str,
        flow: Flow,
        *,
        target: str,
        from_: str,
        to: str,
        call_id: str,
        tag: str,
        cseq: int,
        user: ClientUser,
        now: float,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        credentials: Credentials | None = None,
    ) -> None:
        """Send a request outside any dialog, such as REGISTER or OPTIONS; `user` hears the final answer.

        `from_` and `to` are given without tags. A challenge is answered by `credentials`, with the next number: whoever
        counts reads it in the CSeq of the answer, or of the transaction where there is none.
        """
        head = [
            ("via", self.via(flow)),
            ("max-forwards", "70"),
            ("from", f"{from_};tag={tag}"),
            ("to", to),
            ("call-id", call_id),
            ("cseq", f"{cseq} {method}"),
            ("user-agent", self.product),
            *headers,
        ]
        digest = self._digest(credentials)
        hearer = user if digest is None else _Outside(self, digest, user)
        self.transactions.request(Request(method, target, head, body), flow, hearer, now)

    def respond(self, transaction: ServerTransaction, response: Response, now: float) -> None:
        """Answer a request that made no leg."""
        transaction.respond(response, now)

    def refuse(
        self,
        transaction: ServerTransaction,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer a request with a status and nothing more to say."""
        transaction.to_tag = transaction.to_tag or self.token()
        response = transaction.request.reply(status, reason, to_tag=transaction.to_tag, headers=headers)
        transaction.respond(response, now)

    def turn_away(
        self,
        transaction: ServerTransaction,
        source: Flow,
        status: int,
        now: float,
        *,
        reason: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer somebody whom nobody knows, once, and forget that he asked (RFC 3261 sections 8.2.7 and 26.3.2.4).

        If the answer is lost he asks again, and if his address is forged nobody gets more than this. The To-tag is
        made of the request, so that its ACK is known and each copy of it gets the same.
        """
        request = transaction.request
        self.transactions.forget(transaction)
        tag = self._tag_for(request)
        self._put(request.reply(status, reason, to_tag=tag, headers=headers).encode(), transaction.flow)
        if self.shield is not None:
            self.shield.charge(source, now)

    def end_dialog(self, dialog: Dialog, reason: str, over: Then, now: float) -> None:
        """Send BYE in a dialog that an earlier process held, well above its last sequence number.

        `over` is called after 64*T1: until then an ACK shows that the peer was not in the dialog yet, and gets another.
        """
        key = dialog.call_id, dialog.local_tag, dialog.remote_tag

        def send(then: float) -> None:
            dialog.local_cseq += 10_000
            self.send_inside(dialog, "BYE", ending, then, headers=[("reason", reason)])

        def ended(then: float) -> None:
            self._endings.pop(key, None)
            over(then)

        ending = self._endings[key] = Ending(self.timers, send, ended)
        ending.begin(now)

    def leave(self, dialog: Dialog, now: float, acknowledge: Callable[[], object], reason: str | None = None) -> None:
        """Acknowledge a 2xx that no leg wants, and send BYE, as soon as it is kept that this is owed."""
        farewell = Farewell()

        def kept(then: float) -> None:
            acknowledge()
            self.send_inside(dialog, "BYE", farewell, then, headers=[("reason", reason)] if reason else [])

        farewell.over = self.keep(dialog, kept, now)

    # what legs use

    def tell(self, leg: Leg, event: Event) -> None:
        """Hand an event to the owner of a leg."""
        self.out.append(Happened(leg, event))

    def forget(self, leg: Leg) -> None:
        """A leg is over."""
        self.legs.pop((leg.call_id, leg.local_tag), None)

    def send(self, request: Request, flow: Flow) -> None:
        """Send an ACK: the one request without a transaction."""
        self._put(*self.transactions.without_state(request, flow))

    def send_ack(self, dialog: Dialog, content: Content | None, invite: Request) -> tuple[Request, Flow]:
        """Acknowledge a 2xx to an INVITE of ours; what is returned is sent again when the 2xx comes again."""
        flow = self.way(dialog)
        headers = credentials_of(invite)
        if content is not None:
            headers.append(("content-type", content.type))
        body = content.data if content is not None else b""
        ack = dialog.request("ACK", via=self.via(flow), headers=headers, body=body, cseq=invite.cseq[0])
        self.send(ack, flow)
        return ack, flow

    def send_inside(
        self,
        dialog: Dialog,
        method: str,
        user: ClientUser,
        now: float,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Request:
        """Send a request inside a dialog; `user` hears the answer."""
        flow = self.way(dialog)
        head = [*headers, ("user-agent", self.product)]
        request = dialog.request(method, via=self.via(flow), headers=head, body=body)
        self.transactions.request(request, flow, user, now)
        return request

    def again(
        self, request: Request, flow: Flow, changes: list[tuple[str, str]], cseq: int, target: str | None = None
    ) -> Request:
        """A request with some fields changed, a new branch and the next number (RFC 3261 section 22.2)."""
        new = {"via": self.via(flow), "cseq": f"{cseq} {request.method}"}
        gone = CREDENTIALS.union(name for name, _ in changes)
        kept = [(name, new.get(name, value)) for name, value in request.headers if name not in gone]
        return Request(request.method, target or request.target, [*kept, *changes], request.body)

    def via(self, flow: Flow) -> str:
        """A Via of ours with a new branch, asking for the answer to come where the request came from (RFC 3581)."""
        return f"SIP/2.0/{flow.transport} {self.addresses.told(flow)};branch={MAGIC_COOKIE}{self.token()};rport"

    def contact(self, flow: Flow, *, secure: bool = False) -> str:
        """Our Contact on a flow; a `secure` dialog's is a SIPS URI (section 12.1.1)."""
        if secure:
            return f"<sips:{self.addresses.told(flow)}>"
        transport = "" if flow.transport == "UDP" else f";transport={flow.transport.lower()}"
        return f"<sip:{self.addresses.told(flow)}{transport}>"

    def way(self, dialog: Dialog) -> Flow:
        """Where a request in a dialog goes, from an address of ours that can reach it."""
        return self.reaching(dialog.next_hop(), dialog.flow)

    def reaching(self, flow: Flow, known: Flow) -> Flow:
        """A flow to somewhere near a known one: it begins at the same address of ours, if that can reach it."""
        if flow is known or (flow.transport == known.transport and (":" in flow.remote[0]) == (":" in known.remote[0])):
            return flow
        local = self.addresses.local_for(flow.transport, flow.remote[0], known.local[0])
        return Flow(flow.transport, local, flow.remote, name=flow.name)

    def leg_of(self, call_id: str, local_tag: str, remote_tag: str) -> Leg | None:
        """The leg of a dialog by its three names; the early dialogs of an INVITE of ours are nobody's to name."""
        leg = self.legs.get((call_id, local_tag))
        is_it = leg is not None and leg.dialog is not None and leg.dialog.remote_tag == remote_tag
        return leg if is_it else None

    def tables(self) -> dict[str, int]:
        """How many entries each table holds; all are zero when nothing is going on."""
        return {
            "server_transactions": len(self.transactions.servers),
            "client_transactions": len(self.transactions.clients),
            "legs": len(self.legs) + len(self._endings),
            "timers": len(self.timers),
        }

    # inside

    def _digest(self, credentials: Credentials | None) -> DigestClient | None:
        return DigestClient(credentials, self.token) if credentials is not None else None

    def _put(self, data: bytes, flow: Flow) -> None:
        self.out.append(Send(data, flow))

    def _hear_request(self, request: Request, flow: Flow, now: float) -> None:
        with suppress(MalformedMessage):  # validate says what is wrong with it
            if self.transactions.hear_request(request, now):
                return
        if request.method == "ACK":
            self._hear_ack(request, flow, now)
            return
        rejection = validate.check(request, methods=self.methods, extensions=self._extensions)
        try:
            back = _mark_source(request, flow)
        except MalformedMessage:
            self._drop("malformed", flow, now)  # without a Via there is nobody to answer
            return
        if rejection is not None:
            # without a transaction: what makes no sense must not cost us state (section 8.2.7)
            status, reason, headers = rejection.status, rejection.reason, rejection.headers
            self._put(request.reply(status, reason, to_tag=self.token(), headers=headers).encode(), back)
            self.out.append(Refused(status, "malformed" if status == 400 else "not_supported"))
            if self.shield is not None:
                self.shield.charge(flow, now)
            return
        if self.shield is not None and request.to.tag is None and not self.shield.screen(request, flow, now):
            return
        transaction = self.transactions.serve(request, back)
        if request.method == "CANCEL":
            self._hear_cancel(request, transaction, flow, now)
        elif request.to.tag is not None:
            self._hear_inside(request, transaction, flow, now)
        elif request.method == "INVITE":
            self._hear_invite(request, transaction, flow, now)
        elif request.method in {"REGISTER", "OPTIONS"}:
            self.out.append(Requested(transaction, flow))
        elif request.method == "REFER":
            self._refuse_stray(transaction, flow, 603, "no_transfer", now)  # nobody is called for a stranger
        else:
            self._refuse_stray(transaction, flow, 481, "no_dialog", now)

    def _drop(self, reason: str, flow: Flow, now: float) -> None:
        self.out.append(Dropped(reason))
        if self.shield is not None:
            self.shield.charge(flow, now)

    def _tag_for(self, request: Request) -> str:
        """The To-tag of an answer that is not remembered: the same for a request, its copies and its ACK."""
        about = f"{request.call_id}\n{request.from_.tag}\n{request.cseq[0]}"
        return blake2b(about.encode("utf-8", "surrogateescape"), key=self._key, digest_size=8).hexdigest()

    def _hear_ack(self, request: Request, flow: Flow, now: float) -> None:
        """An ACK of a 2xx goes to its dialog; any other is dropped, never answered (section 17)."""
        try:
            leg = self._find(request)
            ending = self._endings.get((request.call_id, request.to.tag or "", request.from_.tag or ""))
        except MalformedMessage:
            leg = ending = None
        if leg is not None:
            leg.hear_ack(request, now)
        elif ending is not None:
            ending.hear_ack(now)
        elif not self._is_turned_away(request):
            self._drop("stray_ack", flow, now)

    def _is_turned_away(self, ack: Request) -> bool:
        """Whether an ACK is that of an answer that was not remembered."""
        try:
            return ack.to.tag == self._tag_for(ack)
        except MalformedMessage:
            return False

    def _hear_cancel(self, request: Request, transaction: ServerTransaction, flow: Flow, now: float) -> None:
        cancelled = self.transactions.cancelled_by(request)
        if cancelled is None:
            self._refuse_stray(transaction, flow, 481, "no_transaction", now)
            return
        transaction.to_tag = cancelled.to_tag  # one callee, one tag (section 9.2)
        self.refuse(transaction, 200, now)
        if cancelled.final is None and cancelled.on_cancel is not None:
            cancelled.on_cancel(request, now)

    def _hear_inside(self, request: Request, transaction: ServerTransaction, flow: Flow, now: float) -> None:
        """A To-tag is no proof of a dialog: what we do not hold is refused, never passed on (section 12.2.2)."""
        leg = self._find(request)
        if leg is None:
            self._refuse_stray(transaction, flow, 481, "no_dialog", now)
        else:
            leg.hear_request(request, transaction, now)

    def _hear_invite(self, request: Request, transaction: ServerTransaction, flow: Flow, now: float) -> None:
        if self.transactions.merging(transaction):
            self._refuse_stray(transaction, flow, 482, "merged", now)
        elif not request.contacts:
            self._refuse_stray(transaction, flow, 400, "malformed", now)
        elif self.manners.session_s and session_timer.too_brief(request, self.manners.session_least_s):
            self.turn_away(transaction, flow, 422, now, headers=[("min-se", str(self.manners.session_least_s))])
            self.out.append(Refused(422, "not_supported"))
        else:
            self.out.append(Invited(transaction, flow))

    def _refuse_stray(self, transaction: ServerTransaction, source: Flow, status: int, cause: str, now: float) -> None:
        self.turn_away(transaction, source, status, now)
        self.out.append(Refused(status, cause))

    def _hear_response(self, response: Response, flow: Flow, now: float) -> None:
        if validate.check_response(response) is not None:
            self._drop("malformed", flow, now)
        elif not self.transactions.hear_response(response, now) and not self._hear_late_answer(response, flow, now):
            self._drop("stray_response", flow, now)

    def _hear_late_answer(self, response: Response, flow: Flow, now: float) -> bool:
        """Whether a 2xx to an INVITE without a transaction was dealt with.

        It belongs to a leg that lives on, or to a call of an earlier process: that one is acknowledged and ended, so
        that no carrier counts a call that nobody hears (RFC 3261 section 13.2.2.4).
        """
        if response.cseq[1] != "INVITE" or not 200 <= response.status < 300:
            return False
        tag = response.from_.tag or ""
        leg = self.legs.get((response.call_id, tag))
        if isinstance(leg, OutgoingLeg):
            leg.repeat_ack(response)
            return True
        if not self._ours(response.call_id, tag):
            return False
        number, _ = response.cseq
        request = Request("INVITE", str(response.to.uri), [*response.headers])
        request.set("cseq", f"{number} INVITE")
        dialog = Dialog.of_client(request, response, flow)
        dialog.local_cseq += 10_000  # as above: nobody knows what was sent in it
        self.leave(dialog, now, partial(self.send_ack, dialog, None, request), 'SIP;cause=503;text="Restarted"')
        return True

    def _find(self, request: Request) -> Leg | None:
        """The leg of a request inside a dialog: Call-ID and both tags, not the source (section 12.2.2)."""
        leg = self.legs.get((request.call_id, request.to.tag or ""))
        return leg if leg is not None and leg.dialog_with(request.from_.tag or "") is not None else None


class _Outside:
    """A request outside any dialog, sent once more with credentials when it is challenged."""

    def __init__(self, agent: UserAgent, digest: DigestClient, user: ClientUser) -> None:
        self._agent = agent
        self._authorization = digest.begin()
        self._user = user

    def on_response(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        """A response that the transaction does not absorb."""
        request, flow, agent = transaction.request, transaction.flow, self._agent
        credentials = self._authorization.hear(response, request.method, request.target)
        if credentials is None:
            self._user.on_response(transaction, response, now)
        else:
            again = agent.again(request, flow, credentials, request.cseq[0] + 1)
            agent.transactions.request(again, flow, self, now)

    def on_no_response(self, transaction: ClientTransaction, why: str, now: float) -> None:
        """The request failed."""
        self._user.on_no_response(transaction, why, now)


def _mark_source(request: Request, flow: Flow) -> Flow:
    """Write `received` and `rport` into the topmost Via and say where responses go (section 18.2, RFC 3581).

    Without `rport` a UDP response goes to the port that the Via names: that peer listens there.
    """
    host, port = flow.remote
    via = request.via
    rport = "rport" in via.params
    if ":" in host:
        host = host.partition("%")[0]  # the zone of an address of one link means nothing to others
        named = via.host == f"[{host}]"
    else:
        named = via.host == host
    if not named or rport:
        first, rest = request.get("via") or "", ""
        if "," in first:
            first, *others = split_commas(first)
            rest = "".join(f", {other}" for other in others)
        if rport:
            head, _, tail = first.partition(";rport")
            if tail[:1] in {"", ";"} and "rport" not in head.lower():
                first = f"{head};rport={port}{tail}"  # as nearly everybody spells it
            else:
                first = _RPORT.sub(f";rport={port}", first, count=1)
        request.set_first("via", f"{first};received={host}{rest}")
    if flow.reliable or rport:
        return flow
    return Flow(flow.transport, flow.local, (flow.remote[0], via.port or 5060))
