"""A dialog: what two user agents share after an INVITE (RFC 3261 section 12).

Tags, sequence numbers, the peer's target and the route to it; it makes the requests that are sent inside and judges
those that come. It can be written down as plain JSON, so that a later process can still end it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import MalformedMessage, Message, NameAddr, Request, Response, Uri, parse_address, parse_uri

_TRANSPORTS: Final = frozenset({"UDP", "TCP", "TLS"})


@dataclass(slots=True, kw_only=True)
class Dialog:
    """One side's view of a dialog.

    `local` and `remote` are the From and To of our requests, without tags. `symmetric` says that the peer is reached
    where its requests came from (a phone behind NAT) and not where its Contact or route points; `secure` that it was
    begun with a SIPS URI over TLS, so that each of its requests has to go by TLS (section 12.1.1). `domain` is whom the
    certificate of a peer who called us has to be for where our requests go to another address than his came from.
    """

    call_id: str
    local: str
    local_tag: str
    remote: str
    remote_tag: str
    target: str
    routes: tuple[str, ...]
    local_cseq: int
    remote_cseq: int | None
    flow: Flow
    symmetric: bool
    secure: bool = False
    domain: str = ""

    @classmethod
    def of_server(cls, request: Request, local_tag: str, flow: Flow) -> Dialog:
        """The dialog that our answer to an INVITE makes (section 12.1.1); raises `MalformedMessage` without Contact."""
        contacts = request.contacts
        if not contacts:
            raise MalformedMessage("an INVITE without Contact makes no dialog")
        return cls(
            call_id=request.call_id,
            local=_untagged(request.get("to") or ""),
            local_tag=local_tag,
            remote=_untagged(request.get("from") or ""),
            remote_tag=request.from_.tag or "",
            target=str(contacts[0].uri),
            routes=tuple(request.all("record-route")),
            local_cseq=0,
            remote_cseq=request.cseq[0],
            flow=flow,
            symmetric=True,
            secure=flow.transport == "TLS" and _is_sips(request.target),
        )

    @classmethod
    def of_client(cls, invite: Request, response: Response, flow: Flow, *, symmetric: bool = False) -> Dialog:
        """The dialog that a response to our INVITE makes (section 12.1.2); a `symmetric` peer stays at its flow.

        A response without Contact leaves the peer where the INVITE was sent: it breaks the RFC, but not our call.
        """
        contacts = response.contacts
        return cls(
            call_id=invite.call_id,
            local=_untagged(invite.get("from") or ""),
            local_tag=invite.from_.tag or "",
            remote=_untagged(response.get("to") or ""),
            remote_tag=response.to.tag or "",
            target=str(contacts[0].uri) if contacts else invite.target,
            routes=tuple(reversed(response.all("record-route"))),
            local_cseq=invite.cseq[0],
            remote_cseq=None,
            flow=flow,
            symmetric=symmetric,
            secure=flow.transport == "TLS" and _is_sips(invite.target),
        )

    def request(
        self,
        method: str,
        *,
        via: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        cseq: int | None = None,
    ) -> Request:
        """A request inside the dialog, with the next sequence number unless `cseq` names one (an ACK's)."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        target, routes = self._path()
        head = [("via", via), ("max-forwards", "70")]
        head += [("route", route) for route in routes]
        head += [
            ("from", f"{self.local};tag={self.local_tag}"),
            ("to", f"{self.remote};tag={self.remote_tag}" if self.remote_tag else self.remote),
            ("call-id", self.call_id),
            ("cseq", f"{cseq} {method}"),
        ]
        return Request(method, target, [*head, *headers], body)

    def next_hop(self) -> Flow:
        """Where our requests go: the flow of a symmetric peer, else the first route, else the peer's target.

        A host that is a name stays with the flow: names are not looked up inside a call.
        """
        if self.symmetric:
            return self.flow
        uri = parse_address(self.routes[0]).uri if self.routes else parse_uri(self.target)
        return flow_to(uri, self.flow, self.domain) or self.flow

    def in_order(self, request: Request) -> bool:
        """Whether a request of the peer is newer than its last one, which it then becomes (section 12.2.2)."""
        number = request.cseq[0]
        if self.remote_cseq is not None and number <= self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def confirm(self, response: Response) -> None:
        """An early dialog becomes a confirmed one: the 2xx says the route anew (section 13.2.2.4)."""
        self.routes = tuple(reversed(response.all("record-route")))
        self.refresh_target(response)

    def follows(self, flow: Flow) -> bool:
        """Whether a peer that asks for something on this flow is reached by it from now on.

        A NAT that gives a phone another port keeps its address, and so does a new connection. From anywhere else
        whoever has seen the tags could draw our requests to himself: he is answered, and nothing moves.
        """
        here = self.flow
        is_neighbour = flow.transport == here.transport and flow.remote[0] == here.remote[0]
        return self.symmetric and is_neighbour and flow != here

    def refresh_target(self, message: Message) -> None:
        """Take the peer's new Contact from a re-INVITE or UPDATE or its answer (section 12.2)."""
        contacts = message.contacts
        if contacts:
            self.target = str(contacts[0].uri)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types, enough to send requests inside the dialog from another process."""
        return {
            "call_id": self.call_id,
            "local": self.local,
            "local_tag": self.local_tag,
            "remote": self.remote,
            "remote_tag": self.remote_tag,
            "target": self.target,
            "routes": list(self.routes),
            "local_cseq": self.local_cseq,
            "remote_cseq": self.remote_cseq,
            "flow": [self.flow.transport, *self.flow.local, *self.flow.remote, self.flow.name],
            "symmetric": self.symmetric,
            "secure": self.secure,
            "domain": self.domain,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Dialog:
        """What `to_json` wrote; the flow names the same addresses, but no connection."""
        transport, local_host, local_port, host, port, *name = stored["flow"]
        flow = Flow(transport, (local_host, local_port), (host, port), name="".join(name))  # version 0.1.0 knew no name
        return cls(**{**stored, "flow": flow, "routes": tuple(stored["routes"])})

    def _path(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values; a first route without `lr` is a strict router's (section 12.2.1.1)."""
        if not self.routes or "lr" in parse_address(self.routes[0]).uri.params:
            return self.target, self.routes
        return str(parse_address(self.routes[0]).uri), (*self.routes[1:], f"<{self.target}>")


def flow_to(uri: Uri, near: Flow, domain: str = "") -> Flow | None:
    """The way to a URI that names an IP literal, from the address that `near` begins at; None for a name.

    Who is found elsewhere has the certificate of who is near, or of `domain` where nothing is known of that one's.
    """
    address = _address(uri)
    if address is None:
        return None
    transport = "TLS" if uri.scheme == "sips" else (uri.transport or near.transport).upper()
    if transport not in _TRANSPORTS:
        transport = near.transport
    if address == near.remote and transport == near.transport:
        return near
    return Flow(transport, near.local, address, name=(near.name or domain) if transport == "TLS" else "")


def _untagged(text: str) -> str:
    """A From or To without its tag."""
    address, bracket, tail = text.rpartition(">")
    if tail.startswith(";tag=") and ";" not in tail[5:] and '"' not in tail:
        return _formatted(address + bracket)  # the tag is new in each call, the address is not
    return _formatted(text)


@lru_cache(maxsize=1024)
def _formatted(text: str) -> str:
    address = parse_address(text)
    params = {name: value for name, value in address.params.items() if name != "tag"}
    return str(NameAddr(address.uri, address.display, params))


def _address(uri: Uri) -> Address | None:
    """Host and port of a URI that names an IP literal, else None."""
    host = uri.host.removeprefix("[").removesuffix("]")
    literal = ":" in host or (host.count(".") == 3 and host.replace(".", "").isdigit())
    return (host, uri.port or (5061 if uri.scheme == "sips" or uri.transport == "tls" else 5060)) if literal else None


def _is_sips(target: str) -> bool:
    return target[:5].lower() == "sips:"
