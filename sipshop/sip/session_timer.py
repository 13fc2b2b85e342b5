"""The session timer's terms: how long a session lasts without a refresh, and who refreshes it (RFC 4028).

Each leg agrees on its own: nothing of the one is seen on the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sipshop.sip.message import Message, Request, Response, is_number

#: No session may be shorter (section 5).
LEAST_S: Final = 90
#: Longer than any call; more digits are no interval.
_MOST_DIGITS: Final = 9


@dataclass(frozen=True, slots=True)
class Terms:
    """What both ends agreed on: seconds from one refresh to the end, and whether the refreshing is ours."""

    interval_s: int
    we_refresh: bool

    @property
    def refresh_after_s(self) -> float:
        """How long after a refresh the next is sent (section 7.2)."""
        return self.interval_s / 2

    @property
    def end_after_s(self) -> float:
        """How long after the last refresh the session is ended: a little before it expires (section 10)."""
        return self.interval_s - min(32.0, self.interval_s / 3)


def asked(interval_s: int, least_s: int) -> list[tuple[str, str]]:
    """What an INVITE or a refresh says that wants a session timer."""
    return [("session-expires", str(interval_s)), ("min-se", str(least_s))]


def too_brief(request: Request, least_s: int) -> bool:
    """Whether a request is to be refused by 422: its session would be shorter than we take (section 9)."""
    wish = _interval_of(request)
    return wish is not None and wish[0] < least_s and takes_timer(request)


def answered(request: Request, interval_s: int) -> tuple[Terms | None, list[tuple[str, str]]]:
    """What a 2xx of ours says, and the terms that come of it (section 9).

    The interval is the peer's where it names a shorter one, never below what it can bear; the refreshing is the peer's
    unless it asks us to. One that knows no session timer gets none.
    """
    if not interval_s or not takes_timer(request):
        return None, []
    wish = _interval_of(request)
    ours = wish is not None and wish[1] == "uas"
    bearable = request.get("min-se")
    floor = _seconds(bearable) if bearable is not None else None
    agreed_s = max(min(interval_s, wish[0] if wish is not None else interval_s), floor or 0)
    refresher = "uas" if ours else "uac"
    headers = [("session-expires", f"{agreed_s};refresher={refresher}")]
    if not ours:
        headers.append(("require", "timer"))
    return Terms(agreed_s, we_refresh=ours), headers


def agreed(response: Response) -> Terms | None:
    """The terms of a 2xx that a peer gave us, or None where it wants no session timer (section 7.2)."""
    said = _interval_of(response)
    if said is None or said[0] < 2:
        return None
    return Terms(said[0], we_refresh=said[1] != "uas")


def demanded(response: Response) -> int | None:
    """The shortest interval that the peer takes who answered 422, or None where it does not say (section 7.3)."""
    text = response.get("min-se")
    return _seconds(text) if text is not None else None


def takes_timer(message: Message) -> bool:
    """Whether the peer that sent this knows session timers."""
    return any(tag.lower() == "timer" for name in ("supported", "require") for tag in message.all(name))


def _interval_of(message: Message) -> tuple[int, str | None] | None:
    """Session-Expires as seconds and refresher, or None where it is not there or cannot be read."""
    text = message.get("session-expires")
    if text is None:
        return None
    seconds = _seconds(text)
    if seconds is None:
        return None
    for param in text.split(";")[1:]:
        name, _, value = param.partition("=")
        if name.strip().lower() == "refresher":
            return seconds, value.strip().lower()
    return seconds, None


def _seconds(text: str) -> int | None:
    number = text.partition(";")[0].strip()
    return int(number) if is_number(number, _MOST_DIGITS) else None
