"""What a page says when something is not done: a sentence for each code of `console/errors`, in any language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sipshop.console.errors import Problem
from sipshop.console.pages.words import Words, mark

_SENTENCES: Final[Mapping[str, str]] = {
    "unauthorized": mark("You are signed out. Sign in again."),
    "forbidden": mark("This page is too old, or this is not yours to do. Load the page again."),
    "not_found": mark("There is nothing at this address."),
    "unknown_booth": mark("There is no such booth."),
    "unknown_shop": mark("There is no such shop."),
    "unknown_print_job": mark("There is no such receipt."),
    "no_session": mark("The booth has no customer now."),
    "call_alive": mark("A call is still going on: wait for its end or cut it first."),
    "bad_terms": mark("The booth cannot be used so: it is open, taken or out of use."),
    "stale_bill": mark("The bill has changed: look at it, then try again."),
    "tender_too_small": mark("This does not pay the bill."),
    "too_much_tendered": mark("This is more than there is to pay, and change is given for cash alone."),
    "beyond_rights": mark("The shop does not let its operators do this: ask the owner."),
    "unknown_item": mark("This is not on the bill any more."),
    "unknown_receipt": mark("There is no such receipt."),
    "bad_amount": mark("This is not an amount of money, such as 5.00."),
    "below_used": mark("More than that is used already."),
    "account_in_use": mark("A call is going on without a limit: wait for its end or cut it first."),
    "unknown_alarm": mark("Somebody has seen to this alarm already."),
    "bad_count": mark("This cannot be counted, or paid in or out so: look at the numbers, and say why in a line."),
    "no_shift": mark("Cash is taken in a shift only here: open yours at “Till” first."),
    "unknown_shift": mark("There is no such shift."),
    "shift_refused": mark("The till has changed meanwhile: a shift was opened or closed already."),
    "refused": mark("This cannot be done now."),
    "unwritable": mark("Nothing was changed: the database cannot be written. Calls go on."),
    "not_now": mark("Nothing was changed: the switch is starting or going down."),
    "unavailable": mark("Nothing was changed: the switch cannot do this now."),
    "invalid_request": mark("Something in the form is missing or too long."),
    "internal": mark("Something went wrong in the server; its log says what."),
}


def sentence(problem: Problem, words: Words) -> str:
    """Return what to tell a person of a problem."""
    return words(_SENTENCES.get(problem.code, _SENTENCES["refused"]))
