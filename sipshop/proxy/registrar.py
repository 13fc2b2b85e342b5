"""REGISTER to Binding, and the Location that holds them (RFC 3261 section 10.3, RFC 3327, RFC 3581, RFC 5626).

A binding is reached by the flow that its REGISTER came on, never by the address that its Contact names: behind a NAT
only the flow leads back. Who may register for which address of record is the caller's business.

>>> from sipshop.sip.message import Request
>>> register = Request("REGISTER", "sip:shop", [("call-id", "1@b1"), ("cseq", "1 REGISTER"), ("contact", "<sip:b1@h>")])
>>> home = Location()
>>> home.register("b1@shop", register, Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.9", 5070)), now=0.0).headers
(('contact', '<sip:b1@h>;expires=3600'),)
>>> home.tick(now=3600.0)
['b1@shop']
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sipshop.sip.flow import Flow
from sipshop.sip.message import MalformedMessage, NameAddr, Request, Uri, parse_address, printable

#: What RFC 3261 section 10.2.1.1 says a malformed expiry means.
_MALFORMED_MEANS_S: Final = 3600
_LONGEST_USER_AGENT: Final = 128
_QUOTED: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
#: A URN in angle brackets (RFC 5626 section 4.1) that needs no escape when it is quoted again.
_INSTANCE: Final = re.compile(r"<[!#-;=?-\[\]-~]{1,200}>\Z")
_NUMBER: Final = re.compile(r"[0-9]{1,10}\Z")
_Q: Final = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")


#: Who a binding is: the instance and its flow number, or the URI and where it was received from.
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """One Contact of an address of record: the URI as the phone wrote it, and the flow on which it is reached.

    `expires_at_s` is on the clock of `now`; `q` is 0 to 1, 1 where the phone named none. It is not `reachable` while
    its connection is gone, or while it answers nobody; `key` tells it from the others of its address.
    """

    contact: str
    flow: Flow
    expires_at_s: float
    call_id: str
    cseq: int
    q: float = 1.0
    instance: str | None = None
    reg_id: str | None = None
    user_agent: str = ""
    path: tuple[str, ...] = ()
    reachable: bool = True
    key: Key = field(default=(), compare=False)

    @property
    def target(self) -> str:
        """The Request-URI that reaches it: the Contact without headers (RFC 3261 section 19.1.1)."""
        return self.contact.partition("?")[0]

    @property
    def matters(self) -> tuple[object, ...]:
        """All of it that a later process has to know, but for how long it lasts and what was heard of it."""
        return (*self.key, self.contact, self.flow, self.call_id, self.q, self.instance, self.reg_id, self.path)

    def to_json(self, expires_at_ms: int) -> dict[str, Any]:
        """Plain JSON types, with the expiry on the clock that all processes share (UTC)."""
        flow = self.flow
        return {
            "key": list(self.key),
            "contact": self.contact,
            "flow": [flow.transport, *flow.local, *flow.remote],
            "expires_at_ms": expires_at_ms,
            "call_id": self.call_id,
            "cseq": self.cseq,
            "q": self.q,
            "instance": self.instance,
            "reg_id": self.reg_id,
            "user_agent": self.user_agent,
            "path": list(self.path),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], expires_at_s: float) -> Binding:
        """What `to_json` wrote: of a flow that was a connection the addresses are left, and nothing reaches it."""
        transport, local_host, local_port, host, port = stored["flow"]
        flow = Flow(transport, (local_host, local_port), (host, port))
        return cls(
            contact=stored["contact"],
            flow=flow,
            expires_at_s=expires_at_s,
            call_id=stored["call_id"],
            cseq=stored["cseq"],
            q=stored["q"],
            instance=stored["instance"],
            reg_id=stored["reg_id"],
            user_agent=stored["user_agent"],
            path=tuple(stored["path"]),
            reachable=not flow.reliable,
            key=tuple(stored["key"]),
        )


@dataclass(frozen=True, slots=True)
class Registered:
    """A REGISTER that was done: every binding that stands now, and the headers of its 200."""

    bindings: tuple[Binding, ...]
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """A REGISTER that changed nothing: the status to answer with its phrase, headers that go with it, and why.

    The phrase is ours; `cause` may quote the request, in characters that a log bears.
    """

    status: int
    phrase: str
    cause: str
    headers: tuple[tuple[str, str], ...] = ()


_OVERTAKEN: Final = Refusal(500, "CSeq is not above the last one", "CSeq out of order")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a REGISTER wants for one Contact; 0 seconds removes it. `stem` is what a phone keeps with another port."""

    key: Key
    stem: Key
    uri: str
    seconds: int
    q: float
    instance: str | None
    reg_id: str | None


class Location:
    """The bindings of every address of record; times in seconds, on one clock that does not run backwards.

    More than `max_bindings` for one address are refused, unless some of them are not reachable: those make room, the
    oldest first. Expiries of less than `min_expires_s` are refused; longer ones than `max_expires_s` are shortened to
    it. A phone that names none gets `default_expires_s`.
    """

    def __init__(
        self,
        *,
        max_bindings: int = 5,
        min_expires_s: int = 60,
        max_expires_s: int = 3600,
        default_expires_s: int = 3600,
    ) -> None:
        self._max_bindings = max_bindings
        self._min_expires_s = min_expires_s
        self._max_expires_s = max_expires_s
        self._default_expires_s = default_expires_s
        self._bindings: dict[str, dict[Key, Binding]] = {}
        self._armed: dict[str, float] = {}  # when each address is looked at next, never after its first expiry
        self._heap: list[tuple[float, str]] = []

    @property
    def size(self) -> int:
        """Every binding of every address, those included that `tick` has yet to drop."""
        return sum(map(len, self._bindings.values()))

    def register(self, aor: str, request: Request, flow: Flow, now: float) -> Registered | Refusal:
        """Do a whole REGISTER for `aor`, or nothing of it (RFC 3261 section 10.3).

        Refused with 400: a Contact or Path that cannot be read, `*` that is not alone or not with `Expires: 0`.
        423: an expiry below the least, with Min-Expires. 500: a CSeq that is not above that of the binding which the
        same Call-ID made. 403: more bindings than there may be.

        A phone that understands `outbound` and has numbered its connection to us is told that it is reached on that
        alone (RFC 5626 section 6): it then sends keep-alives, and is back at once when the connection breaks.
        """
        before = {key: held for key, held in self._bindings.get(aor, {}).items() if held.expires_at_s > now}
        try:
            path = tuple(request.all("path"))
            for hop in path:
                parse_address(hop)
            if "*" in (contacts := request.all("contact")):
                return self._register_none(aor, request, before, now)
            wishes = [self._wish(value, request, flow) for value in contacts]
            cseq = request.cseq[0]
        except MalformedMessage as error:
            return Refusal(400, "Registration not understood", printable(str(error)))
        if any(0 < wish.seconds < self._min_expires_s for wish in wishes):
            least = ("min-expires", str(self._min_expires_s))
            return Refusal(423, "Interval Too Brief", "expiry too brief", (least,))
        if any(_is_late(request, before.get(wish.key)) for wish in wishes):
            return _OVERTAKEN
        held = dict(before)
        for wish in wishes:
            if not wish.seconds:
                held.pop(wish.key, None)
                continue
            if len(wishes) == 1 and wish.instance is None:
                _drop_earlier_self(held, wish, request.call_id, flow)
            held[wish.key] = Binding(
                contact=wish.uri,
                flow=flow,
                expires_at_s=now + min(wish.seconds, self._max_expires_s),
                call_id=request.call_id,
                cseq=cseq,
                q=wish.q,
                instance=wish.instance,
                reg_id=wish.reg_id,
                user_agent=printable(request.get("user-agent") or "")[:_LONGEST_USER_AGENT],
                path=path,
                key=wish.key,
            )
        self._make_room(held)
        if len(held) > self._max_bindings:
            cause = f"too many bindings: {len(held)} of at most {self._max_bindings}"
            return Refusal(403, "Too many phones registered", cause)
        is_numbered = any(wish.reg_id is not None and wish.seconds for wish in wishes)
        return self._keep(aor, held, now, path, is_outbound=is_numbered and _takes_outbound(request, flow))

    def restore(self, aor: str, bindings: Iterable[Binding], now: float) -> int:
        """Take up what an earlier process held; how many of them live on."""
        alive = [
            replace(binding, expires_at_s=min(binding.expires_at_s, now + self._max_expires_s))  # clocks are set back
            for binding in bindings
            if binding.expires_at_s > now
        ]
        self._replace(aor, {binding.key: binding for binding in alive})
        return len(alive)

    def mark(self, aor: str, key: Key, *, reachable: bool) -> bool:
        """Note whether a binding answers; False where that is no news, or it is gone."""
        held = self._bindings.get(aor, {})
        binding = held.get(key)
        if binding is None or binding.reachable == reachable:
            return False
        held[key] = replace(binding, reachable=reachable)
        return True

    def lose(self, flow: Flow) -> list[str]:
        """A connection is gone, and with it the way to whoever had registered on it; the addresses that lost one."""
        lost = []
        for aor, held in self._bindings.items():
            gone = [key for key, binding in held.items() if binding.reachable and _is_on(binding, flow)]
            for key in gone:
                held[key] = replace(held[key], reachable=False)
            if gone:
                lost.append(aor)
        return lost

    def bindings(self, aor: str, now: float) -> tuple[Binding, ...]:
        """The live bindings of an address: the reachable first, then by `q`, of equals the one that expires last."""
        return _in_order(self._bindings.get(aor, {}), now)

    def binding(self, aor: str, key: Key) -> Binding | None:
        """One binding, or None where it is gone."""
        return self._bindings.get(aor, {}).get(key)

    def held(self, aor: str) -> tuple[Binding, ...]:
        """Every binding of an address, those included that `tick` has yet to drop."""
        return tuple(self._bindings.get(aor, {}).values())

    def count(self, aor: str) -> int:
        """How many bindings an address holds, those included that `tick` has yet to drop."""
        return len(self._bindings.get(aor, ()))

    def remove(self, aor: str) -> int:
        """Forget every binding of an address; how many there were."""
        self._armed.pop(aor, None)
        return len(self._bindings.pop(aor, ()))

    @property
    def deadline(self) -> float | None:
        """When `tick` wants to be called next, or None while nothing is held."""
        while self._heap:
            at_s, aor = self._heap[0]
            if self._armed.get(aor) == at_s:
                return at_s
            heapq.heappop(self._heap)
        return None

    def tick(self, now: float) -> list[str]:
        """Drop what has expired; the addresses that lost a binding."""
        lost = []
        while (deadline := self.deadline) is not None and deadline <= now:
            _, aor = heapq.heappop(self._heap)
            held = self._bindings[aor]
            alive = {key: binding for key, binding in held.items() if binding.expires_at_s > now}
            if len(alive) < len(held):
                lost.append(aor)
            del self._armed[aor]
            self._replace(aor, alive)
        return lost

    def _make_room(self, held: dict[Key, Binding]) -> None:
        """Drop bindings that nobody can reach, where there are too many."""
        unreachable = [key for key, binding in held.items() if not binding.reachable]
        for key in unreachable[: max(0, len(held) - self._max_bindings)]:
            del held[key]

    def _register_none(self, aor: str, request: Request, held: dict[Key, Binding], now: float) -> Registered | Refusal:
        if len(request.all("contact")) > 1 or (request.get("expires") or "").strip() != "0":
            return Refusal(400, "Contact * needs Expires 0", "Contact * that is not alone with Expires 0")
        if any(_is_late(request, old) for old in held.values()):
            return _OVERTAKEN
        return self._keep(aor, {}, now, ())

    def _wish(self, value: str, request: Request, flow: Flow) -> _Wish:
        address = parse_address(value)
        instance = address.params.get("+sip.instance")
        if instance is None or not _INSTANCE.match(instance):
            instance = None
        reg_id = address.params.get("reg-id")
        if instance is None or reg_id is None or not _NUMBER.match(reg_id):
            reg_id = None
        q = address.params.get("q")
        return _Wish(
            key=_key_of(address.uri, flow) if instance is None else (instance, reg_id or ""),
            stem=_stem(address.uri),
            uri=_raw_uri(value),
            seconds=self._seconds_of(address, request),
            q=float(q) if q is not None and _Q.match(q) else 1.0,
            instance=instance,
            reg_id=reg_id,
        )

    def _seconds_of(self, address: NameAddr, request: Request) -> int:
        text = address.params["expires"] or "" if "expires" in address.params else request.get("expires")
        if text is None:
            return self._default_expires_s
        return int(text) if _NUMBER.match(text) else _MALFORMED_MEANS_S

    def _keep(
        self, aor: str, held: dict[Key, Binding], now: float, path: tuple[str, ...], *, is_outbound: bool = False
    ) -> Registered:
        self._replace(aor, held)
        bindings = _in_order(held, now)
        headers = [("contact", _contact_value(binding, now)) for binding in bindings]
        headers += [("path", hop) for hop in path]
        if is_outbound:
            headers.append(("require", "outbound"))
        return Registered(bindings, tuple(headers))

    def _replace(self, aor: str, held: dict[Key, Binding]) -> None:
        if not held:
            self.remove(aor)
            return
        self._bindings[aor] = held
        first_s = min(binding.expires_at_s for binding in held.values())
        armed_s = self._armed.get(aor)
        # A refresh leaves the earlier alarm as it is: an address is queued once, however often it registers.
        if armed_s is None or first_s < armed_s:
            self._armed[aor] = first_s
            heapq.heappush(self._heap, (first_s, aor))
        if len(self._heap) > 2 * len(self._armed) + 64:
            self._heap = [(at_s, name) for name, at_s in self._armed.items()]
            heapq.heapify(self._heap)


def _is_late(request: Request, held: Binding | None) -> bool:
    """Whether the request was overtaken by the one that made this binding (RFC 3261 section 10.3, step 7)."""
    return held is not None and held.call_id == request.call_id and request.cseq[0] <= held.cseq


def _takes_outbound(request: Request, flow: Flow) -> bool:
    """Whether a phone is to keep its flow alive by RFC 5626: it says that it can, and nobody is between us.

    Over UDP it would do so by STUN, which we do not speak.
    """
    supported = (tag.strip().lower() for tag in request.all("supported"))
    return flow.reliable and len(request.all("via")) <= 1 and "outbound" in supported


def _key_of(uri: Uri, flow: Flow) -> Key:
    """A URI as section 19.1.4 compares it, and the address it was received from.

    The port it was received from is left out: a NAT that gives a phone a new one has not made a second phone of it.
    """
    params = sorted(f"{name}={(value or '').lower()}" for name, value in uri.params.items())
    return *_stem(uri), str(uri.port or ""), *params, flow.remote[0]


def _is_on(binding: Binding, flow: Flow) -> bool:
    """Whether a binding was registered over this connection."""
    held = binding.flow
    return (held.transport, held.remote, held.connection) == (flow.transport, flow.remote, flow.connection)


def _stem(uri: Uri) -> Key:
    """The parts of a URI that a phone keeps when it takes another port."""
    return uri.scheme, uri.user or "", uri.host.lower()


def _drop_earlier_self(held: dict[Key, Binding], wish: _Wish, call_id: str, flow: Flow) -> None:
    """Drop what the same phone, one without an instance, registered before it took another port or connection.

    It is the same where it comes from the same address and either its old connection is gone, or it goes on with its
    Call-ID, as section 10.2 wants, over a new connection or with another port in its Contact.
    """
    for key, old in list(held.items()):
        if old.instance is not None or old.flow.remote[0] != flow.remote[0] or key == wish.key:
            continue
        gone = old.flow.reliable and not old.reachable
        reconnected = flow.reliable and old.flow.reliable and old.flow.connection != flow.connection
        moved = old.key[:3] == wish.stem
        if gone or (old.call_id == call_id and (reconnected or moved)):
            del held[key]


def _in_order(held: Mapping[Key, Binding], now: float) -> tuple[Binding, ...]:
    alive = [binding for binding in held.values() if binding.expires_at_s > now]
    return tuple(sorted(alive, key=lambda binding: (not binding.reachable, -binding.q, -binding.expires_at_s)))


def _contact_value(binding: Binding, now: float) -> str:
    value = f"<{binding.contact}>;expires={max(1, round(binding.expires_at_s - now))}"
    if binding.q != 1.0:
        value += f";q={binding.q:g}"
    if binding.instance is not None:
        value += f';+sip.instance="{binding.instance}"'
    if binding.reg_id is not None:
        value += f";reg-id={binding.reg_id}"
    return value


def _raw_uri(value: str) -> str:
    """The URI of a Contact exactly as it came, since a phone looks for its own text in our 200."""
    quoted = _QUOTED.match(value)
    opening = value.find("<", quoted.end() if quoted is not None else 0)
    if opening < 0:
        return value.partition(";")[0].strip()
    return value[opening + 1 : value.index(">", opening)]
