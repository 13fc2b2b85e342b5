"""A booth as a board shows it: every word and figure in the reader's language, made here and only put in by the page.

What a running call costs comes as a list of figures, each with the instant from which it holds, out of billing's own
arithmetic: a page counts seconds, never money.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sipshop.billing.cdr import utc_text
from sipshop.console.pages.countries import country_of
from sipshop.console.pages.words import Words, mark
from sipshop.switch import Card, Running

#: A state by the word that the style knows it by, and what people read.
STATES: Final = {
    "locked": mark("Locked"),
    "unpaid": mark("To pay"),
    "open": mark("Open"),
    "dialling": mark("Dialling"),
    "ringing": mark("Ringing"),
    "talking": mark("In call"),
    "incoming": mark("Incoming call"),
    "emergency": mark("Emergency"),
    "disabled": mark("Out of use"),
}
PHONES: Final = {
    "online": mark("Phone online"),
    "silent": mark("Phone does not answer"),
    "offline": mark("Phone not connected"),
}

_LOW: Final = 5  # a fifth of the money or less is left


def tile(card: Card, words: Words) -> dict[str, Any]:
    """Return a booth for a board, in plain JSON types."""
    status, call = card.status, card.call
    state, phone = state_of(card), _phone(card)
    country = country_of(call.e164) if call is not None else None
    is_talking = call is not None and call.state == "answered"
    return {
        "booth": status.booth,
        "state": state,
        "stateText": words(STATES[state]),
        "suspended": words(mark("Suspended")) if status.suspended else "",
        "phone": phone,
        "phoneText": words(PHONES[phone]),
        "number": call.dialled if call is not None else "",
        "flag": country or "",  # in letters: pictures of flags are not on every system
        "country": words.country(country) if country is not None else "",
        "destination": (call.destination or "") if call is not None else "",
        "talk": call.talk_ms if call is not None and is_talking else None,
        "others": words.many("+%(number)s call", "+%(number)s calls", status.live_calls - 1)
        if status.live_calls > 1
        else "",
        "figures": list(_figures(card, words)),
        "terms": _terms(card, words),
        "minutes": card.talk_left_ms,
        "openedAt": "" if status.opened_at_ms is None else utc_text(status.opened_at_ms),
        "openedBy": status.opened_by or "",
        "note": card.note,
        "alarm": card.alarm_id or "",
        "can": list(_can(card)),
    }


def state_of(card: Card) -> str:
    """Return the one word for how a booth is, of STATES."""
    call, status = card.call, card.status
    if call is not None:
        if call.kind == "emergency":
            return "emergency"
        if call.direction == "inbound" and call.state != "answered":
            return "incoming"
        return {"setting up": "dialling", "ringing": "ringing", "answered": "talking"}[call.state]
    if status.session_id is not None:
        return "open"
    if status.state == "disabled":
        return "disabled"
    return "unpaid" if card.unpaid_id is not None else "locked"


def _phone(card: Card) -> str:
    if not card.status.registered:
        return "offline"
    return "online" if card.status.reachable else "silent"


def _figures(card: Card, words: Words) -> Iterator[list[Any]]:
    """What is running, what the session comes to and what is left, each from an instant on, and whether that is low."""
    currency = card.status.currency
    for running in card.running or (Running(after_ms=0, micros=0),):
        total = card.spent_micros + running.micros
        left = None if card.funds_micros is None else max(0, card.funds_micros - total)
        yield [
            running.after_ms,
            words.money(running.micros, currency) if card.running else "",
            words.money(total + card.beside_micros, currency) if card.unpaid_id is not None else "",
            "" if left is None else words.money(left, currency),
            left is not None and card.funds_micros is not None and left * _LOW <= card.funds_micros,
        ]


def _terms(card: Card, words: Words) -> str:
    """What the booth was unlocked for."""
    status = card.status
    if card.unpaid_id is None:
        return ""
    if status.deposit_micros:
        return words(mark("Deposit %(amount)s"), amount=words.money(status.deposit_micros, status.currency))
    if status.credit_limit_micros is not None:
        return words(mark("Limit %(amount)s"), amount=words.money(status.credit_limit_micros, status.currency))
    if status.talk_limit_ms is not None:
        return words.many("%(number)s minute", "%(number)s minutes", status.talk_limit_ms // 60_000)
    return words(mark("Pays afterwards"))


def _can(card: Card) -> Iterator[str]:
    """What may be done with the booth now, by the names of the page's buttons."""
    status, call = card.status, card.call
    is_open = status.session_id is not None
    if not is_open and status.state != "disabled":
        yield "unlock"
    if is_open:
        yield "lock"
    if call is not None and call.kind != "emergency":
        yield "cut"
    if card.unpaid_id is not None:
        yield from ("pay", "topup", "note")
        if call is None:
            yield "move"
    if card.alarm_id is not None:
        yield "acknowledge"
