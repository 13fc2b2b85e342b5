"""The one table from a cause of refusal to what the phone is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sipshop.proxy.admission import Cause


@dataclass(frozen=True, slots=True)
class Refusal:
    """A SIP status, the reason phrase that phones show, the Q.850 cause and, where it passes, when to try again."""

    status: int
    phrase: str
    q850: int
    retry_after_s: int | None = None

    def headers(self) -> list[tuple[str, str]]:
        """Reason (RFC 3326, in responses RFC 6432) and Retry-After."""
        found = [("reason", f'Q.850;cause={self.q850};text="{self.phrase}"')]
        if self.retry_after_s is not None:
            found.append(("retry-after", str(self.retry_after_s)))
        return found


REFUSALS: Final[Mapping[Cause, Refusal]] = {
    Cause.OVERLOADED: Refusal(503, "Too many calls", 42, retry_after_s=5),
    Cause.DRAINING: Refusal(503, "Going down for maintenance", 41, retry_after_s=30),
    Cause.RESTARTED: Refusal(503, "Restarted", 41, retry_after_s=5),
    Cause.UNAUTHENTICATED: Refusal(401, "Unauthorized", 21),
    Cause.SUSPENDED: Refusal(403, "Suspended, please ask at the desk", 21),
    Cause.LOCKED: Refusal(403, "Booth locked, please ask at the desk", 21),
    Cause.BUSY: Refusal(486, "Booth is in a call", 17),
    Cause.BAD_NUMBER: Refusal(484, "Number not understood", 28),
    Cause.NO_RATE: Refusal(404, "No rate for this number", 1),
    Cause.FORBIDDEN: Refusal(403, "Number not allowed", 21),
    Cause.NO_RATE_ABOVE: Refusal(403, "Number not sold here", 21),
    Cause.FORBIDDEN_ABOVE: Refusal(403, "Number not sold here", 21),
    Cause.NO_FX: Refusal(503, "No exchange rate for today, please ask at the desk", 41),
    Cause.NO_FUNDS: Refusal(402, "No credit left, please ask at the desk", 21),
    Cause.LOSS: Refusal(403, "Number not sold at this price", 21),
    Cause.LIMITED: Refusal(403, "Limit reached, please ask at the desk", 21),
    Cause.HELD_BACK: Refusal(403, "Held back, please ask at the desk", 21),
    Cause.BLOCKED: Refusal(403, "Blocked, please ask at the desk", 21),
    Cause.NO_ROUTE: Refusal(404, "No route to this number", 3),
    Cause.TRUNKS_FAILED: Refusal(480, "No carrier could take the call", 34),
    Cause.NO_INBOUND: Refusal(404, "No telephone with this number", 1),
    Cause.INBOUND_FORBIDDEN: Refusal(403, "No calls are taken here", 21),
    Cause.INBOUND_LOCKED: Refusal(480, "Nobody is here to answer", 20),
    Cause.UNREACHABLE: Refusal(480, "No telephone answers here", 20),
    Cause.FLOOD: Refusal(503, "Too many calls in a second", 42, retry_after_s=5),
    Cause.NOT_DURABLE: Refusal(503, "Call could not be recorded", 41, retry_after_s=5),
}

#: Refusals that come from the SIP engine and the registrar, before anybody is known.
_OTHERS: Final = (
    *((status, "not_supported") for status in (405, 415, 416, 420, 422, 483, 501, 505)),
    (400, "malformed"),
    (481, "no_dialog"),
    (481, "no_transaction"),
    (482, "merged"),
    *((status, "registrar") for status in (400, 403, 423, 500)),
    (403, "wrong_aor"),
    *((status, "no_transfer") for status in (486, 603)),
)

#: Why messages are dropped, as `MessageDropped` tells.
DROP_REASONS: Final = (
    *("malformed", "stray_ack", "stray_response", "unhandled"),
    *("rate_limited", "banned", "scanner"),
    *("keepalive", "starting", "udp_error", "udp_unsent"),
    *("tcp_refused", "tcp_idle", "tcp_unsent", "tcp_no_length", "tcp_too_large", "tcp_connect"),
    *("tls_protocol", "tls_certificate", "tls_name", "tls_timeout", "tls_lost"),
)


def refusal_series() -> tuple[tuple[int, str], ...]:
    """Every (status, cause) that is counted, so that each series is there from the start."""
    return (*((refusal.status, cause.value) for cause, refusal in REFUSALS.items()), *_OTHERS)
