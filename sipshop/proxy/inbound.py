"""Calls from outside: who is rung by a carrier's call, and why nobody is.

A carrier's call reaches a booth and nothing else, whatever number it names: it is never routed to a carrier.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sipshop.proxy.admission import Booth, BoothState, Cause, Inbound, Shop
from sipshop.proxy.numbers import BadNumber
from sipshop.proxy.registrar import Binding
from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import ANONYMOUS, AS_USUAL, FailOver, is_withheld
from sipshop.sip.message import MalformedMessage, NameAddr, Request, Uri, parse_address

#: How long a phone of a booth may ring, and be silent before the next one is tried (seconds).
RINGS_S: Final = 60
SILENT_S: Final = 5
#: So many calls of one carrier are looked at in a second: a flood of them costs no more than its refusals.
MOST_A_SECOND: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """A phone of a booth that a call from outside tries, as it tries a trunk on the way out."""

    name: str
    binding: Binding
    max_call_s: int | None
    answer_timeout_s: int = RINGS_S
    first_response_timeout_s: int = SILENT_S
    fail_over: FailOver = AS_USUAL


def extensions(booth: Booth, bindings: Iterable[Binding], trunk: Trunk) -> tuple[Extension, ...]:
    """The phones of a booth, in the order in which they are tried."""
    return tuple(Extension(name=booth.name, binding=binding, max_call_s=trunk.max_call_s) for binding in bindings)


def refusal(shop: Shop, booth: Booth, state: BoothState, phones: int) -> Cause | None:
    """Why a booth is not rung, or None: then one of its `phones` that can be reached is."""
    if booth.disabled:
        return Cause.NO_INBOUND
    if shop.inbound is Inbound.NEVER or state.suspended is not None:
        return Cause.INBOUND_FORBIDDEN
    if shop.inbound is Inbound.OPEN and state.session_id is None:
        return Cause.INBOUND_LOCKED
    if state.live_calls >= booth.calls:
        return Cause.BUSY
    return None if phones else Cause.UNREACHABLE


#: What a carrier is told of several booths that all cannot be rung: the first of these that one of them says.
_WORST_LAST: Final = (
    *(Cause.BUSY, Cause.UNREACHABLE, Cause.INBOUND_LOCKED),
    *(Cause.INBOUND_FORBIDDEN, Cause.NO_INBOUND),
)


def told(causes: Iterable[Cause]) -> Cause:
    """What a carrier is told of booths that all cannot be rung: that one is busy, rather than that one is locked."""
    return min(causes, key=_WORST_LAST.index, default=Cause.NO_INBOUND)


def called(request: Request, trunk: Trunk) -> str | None:
    """The E.164 digits that a carrier's INVITE calls, or None where that is no number by his format.

    A carrier with whom we register may call our account, and name the number in To alone.
    """
    user = request.uri.user or ""
    if user == trunk.login.username:
        user = request.to.uri.user or ""
    return _read(user, trunk)


def caller(request: Request, trunk: Trunk, host: str) -> str:
    """Whom the phone is shown as the caller: a number, as the carrier tells it, or nobody; `host` stands behind the @.

    The number is taken from P-Asserted-Identity (RFC 3325) where that has one, else from From. No text of the caller's
    gets to the phone.
    """
    if is_withheld(request.get("privacy")):
        return ANONYMOUS
    try:
        asserted = [parse_address(value).uri for value in request.all("p-asserted-identity")]
    except MalformedMessage:
        asserted = []
    numbers = (_read(uri.user or "", trunk) for uri in (*asserted, request.from_.uri))
    number = next(filter(None, numbers), None)
    return ANONYMOUS if number is None else str(NameAddr(Uri("sip", f"+{number}", host)))


def _read(user: str, trunk: Trunk) -> str | None:
    try:
        return trunk.numbers_in.read(user)
    except BadNumber:
        return None


class Inflow:
    """Counts the calls that each carrier brings, so that none brings more than `MOST_A_SECOND`."""

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun: dict[tuple[str, str], deque[float]] = {}

    def take(self, trunk: Trunk, now: float) -> bool:
        """Count a call that came now; False where there were too many within the last second."""
        begun = self._begun.setdefault((trunk.tenant, trunk.name), deque(maxlen=MOST_A_SECOND))
        if len(begun) == MOST_A_SECOND and now - begun[0] < 1:
            return False
        begun.append(now)
        return True
