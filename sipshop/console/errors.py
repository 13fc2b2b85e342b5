"""What the API answers when it does not do what it was asked: problems of RFC 9457, in one table.

Every refusal is `application/problem+json` with `type`, `title`, `status`, `detail` and a `code` that a program may
branch on; some carry more members, named in `problem_of`. Texts are for people and may change, codes may not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from starlette.responses import Response

from sipshop.billing.errors import (
    AccountInUse,
    BadAmount,
    BadCount,
    BadPeriod,
    BadTerms,
    BelowUsed,
    BeyondRights,
    BillingError,
    CallAlive,
    NoShift,
    NoSuchItem,
    NotAvailable,
    NotToBeClosed,
    NoVersion,
    Overcommitted,
    ShiftError,
    StaleBill,
    SuspendedAbove,
    TenderTooSmall,
    TooMuchTendered,
    UnknownAccount,
    UnknownInvoice,
    UnknownParty,
    UnknownShift,
)
from sipshop.billing.money import Money
from sipshop.settings import SettingsErrors
from sipshop.sheets import BadMapping, BadSheet
from sipshop.store.errors import (
    Conflict,
    NothingToPay,
    NotInTheOutbox,
    StaleVersion,
    StoreError,
    UnknownAlarm,
    UnknownAlert,
    UnknownMapping,
    UnknownOperator,
    UnknownPlace,
    UnknownPrintJob,
    UnknownScreen,
    UnknownTarget,
    UnknownToken,
    UnknownVersion,
    Unwritable,
    WorldChanged,
)
from sipshop.store.errors import UnknownBooth as StoreUnknownBooth
from sipshop.switch import (
    BadInstant,
    BadQuote,
    BadRelease,
    CommandRefused,
    SwitchError,
    TooManyImports,
    UnknownBooth,
    UnknownCall,
    UnknownDeck,
    UnknownImport,
    UnknownLimit,
    UnknownReceipt,
    UnknownShop,
    UnknownTrace,
    UnknownTrunk,
)
from sipshop.world import WorldErrors

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5  # a disk that is full or a switch that recovers is not worth asking more often

_CHALLENGE: Final = 'Bearer realm="sipshop"'
_OF_STATUS: Final = {
    400: ("malformed", "The body cannot be read"),
    401: ("unauthorized", "A valid token is needed"),
    403: ("forbidden", "The token does not open this"),
    404: ("not_found", "There is nothing at this path"),
    405: ("method_not_allowed", "This path does not take that method"),
    413: ("too_large", "The body is too large"),
    422: ("invalid_request", "The request is not as documented"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One refusal: `code` for programs, `title` always the same for a code, `detail` about this request."""

    status: int
    code: str
    title: str
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def response(self) -> Response:
        """The HTTP response, with the members of RFC 9457 section 3.1 and our own."""
        body: dict[str, Any] = {
            "type": f"urn:sipshop:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }
        return Response(json.dumps(body), self.status, dict(self.headers), media_type=MEDIA_TYPE)


def problem_of(error: Exception) -> Problem:
    """The problem that tells of an error of the rooms below.

    A stale bill carries `version` (as it is now), `new_calls` and `new_amount` (null where they are not known),
    `repriced` (calls that have another price), `new_items` and `gone_items` (what came and went besides, in words); a
    tender that is too small `total` (that was due), `tendered` and `missing`; what is paid by card beyond what there is
    to pay `owed` and `tendered`; a movement of more than there is `wanted`
    and `available`; a credit limit that is too low `limit` and `used`. Amounts stand beside their `currency`. A bad
    configuration carries `errors`, a line each; a world that is wrong all its `errors`, each with `file`, `line`,
    `field` and `message`.
    """
    for kinds, (status, code, title) in _UNNAMED.items():
        if isinstance(error, kinds):
            return _problem(status, code, title, error)
    if isinstance(error, BillingError):
        return _problem_of_money(error)
    if isinstance(error, BadMapping | SettingsErrors | WorldErrors):
        return _problem_of_a_file(error)
    match error:
        case NothingToPay():
            return _problem(404, "no_session", "The booth has no unpaid session", error)
        case Unwritable():
            return _unavailable("unwritable", "The database cannot be written", error)
        case CommandRefused():
            return _unavailable("not_now", "The switch takes no commands now", error)
        case StoreError() | SwitchError():
            return _unavailable("unavailable", "The switch cannot do this now", error)
        case _:
            return Problem(
                status=500,
                code="internal",
                title="A bug in the server",
                detail="the request failed in a way that nobody foresaw; the server's log says where",
            )


#: What is not there, or not ours: nothing more is told of it than its text.
_UNNAMED: Final[Mapping[type[Exception], tuple[int, str, str]]] = {
    UnknownBooth: (404, "unknown_booth", "There is no such booth"),
    StoreUnknownBooth: (404, "unknown_booth", "There is no such booth"),
    UnknownCall: (404, "unknown_call", "There is no such call"),
    UnknownAlert: (404, "unknown_alert", "There is no such alert"),
    UnknownLimit: (404, "unknown_limit", "There is no such limit"),
    BadRelease: (422, "bad_release", "The limit cannot be released so"),
    BadQuote: (422, "bad_quote", "The number or the instant cannot be read"),
    UnknownAlarm: (404, "unknown_alarm", "There is no such alarm"),
    UnknownDeck: (404, "unknown_deck", "There is no such deck"),
    UnknownOperator: (404, "unknown_operator", "There is no such person"),
    UnknownReceipt: (404, "unknown_receipt", "There is no such receipt"),
    UnknownShop: (404, "unknown_shop", "There is no such shop"),
    UnknownPrintJob: (404, "unknown_print_job", "There is no such print job"),
    UnknownScreen: (404, "unknown_screen", "There is no such screen"),
    UnknownTarget: (404, "unknown_target", "There is no such target"),
    UnknownToken: (404, "unknown_token", "There is no such token"),
    UnknownTrace: (404, "unknown_trace", "There is no such trace"),
    UnknownTrunk: (404, "unknown_trunk", "There is no such trunk"),
    NoVersion: (404, "unknown_version", "The deck has no such version"),
    UnknownInvoice: (404, "unknown_invoice", "There is no such invoice"),
    NotToBeClosed: (409, "not_to_be_closed", "The period cannot be closed"),
    BadPeriod: (422, "bad_period", "This is no period"),
    UnknownImport: (404, "unknown_import", "There is no such import"),
    UnknownMapping: (404, "unknown_mapping", "There is no such mapping"),
    UnknownVersion: (404, "unknown_version", "The deck has no such version"),
    BadInstant: (422, "bad_instant", "Nothing can be done at this instant"),
    BadSheet: (422, "bad_sheet", "The sheet cannot be read"),
    StaleVersion: (409, "stale_version", "The version cannot become this any more"),
    TooManyImports: (409, "too_many_imports", "Other imports are under way"),
    UnknownPlace: (422, "bad_cursor", "The list does not go on there"),
    NotInTheOutbox: (409, "not_in_outbox", "The record is neither parked nor the next one"),
    Conflict: (409, "conflict", "It is another provider's already"),
    WorldChanged: (409, "world_changed", "The world was changed meanwhile"),
}


def _problem_of_a_file(error: BadMapping | SettingsErrors | WorldErrors) -> Problem:
    if isinstance(error, BadMapping):
        places = [asdict(each) for each in error.errors]
        return _problem(422, "bad_mapping", "The mapping cannot be used", error, errors=places)
    if isinstance(error, WorldErrors):
        places = [asdict(each) for each in error.errors]
        return _problem(422, "bad_world", "The world cannot be used", error, errors=places)
    lines = [str(each) for each in error.errors]
    return Problem(
        status=422,
        code="bad_configuration",
        title="The configuration cannot be used",
        detail="; ".join(lines),
        extra={"errors": lines},
    )


#: Errors of money of which the text says all.
_PLAIN: Final[Mapping[type[BillingError], tuple[int, str, str]]] = {
    UnknownParty: (404, "unknown_party", "There is no such party"),
    UnknownAccount: (404, "unknown_account", "There is no such account"),
    SuspendedAbove: (403, "suspended_above", "Who suspended it stands above you"),
    Overcommitted: (409, "overcommitted", "Its seller would grant more than there is"),
    AccountInUse: (409, "account_in_use", "Calls are live on the account"),
    BeyondRights: (403, "beyond_rights", "Operators of the shop may not do this"),
    NoSuchItem: (404, "unknown_item", "The bill has no such item"),
    BadTerms: (422, "bad_terms", "A booth cannot be unlocked so"),
    BadCount: (422, "bad_count", "This cannot be in the drawer"),
    NoShift: (409, "no_shift", "Cash is moved in a shift here"),
    UnknownShift: (404, "unknown_shift", "There is no such shift"),
    ShiftError: (409, "shift_refused", "The till forbids it"),
    BadAmount: (422, "bad_amount", "This is not an amount of money"),
}


def _problem_of_money(error: BillingError) -> Problem:
    for kinds, (status, code, title) in _PLAIN.items():
        if isinstance(error, kinds):
            return _problem(status, code, title, error)
    match error:
        case CallAlive():
            return _problem(409, "call_alive", "A call is still going on", error, live_calls=error.live_calls)
        case StaleBill():
            return _problem(409, "stale_bill", "The bill has changed", error, **_what_changed(error))
        case NotAvailable():
            amounts = _amounts(wanted=error.wanted, available=error.available)
            return _problem(409, "not_available", "So much is not available", error, **amounts)
        case BelowUsed():
            amounts = _amounts(limit=error.limit, used=error.used)
            return _problem(409, "below_used", "More than that is used already", error, **amounts)
        case TooMuchTendered():
            amounts = _amounts(owed=error.owed, tendered=error.tendered)
            return _problem(409, "too_much_tendered", "Change is given for cash alone", error, **amounts)
        case TenderTooSmall():
            # 422 and not 402: the request was understood, its content does not do, and 402 is reserved (RFC 9110).
            amounts = _amounts(total=error.total, tendered=error.tendered, missing=error.total - error.tendered)
            return _problem(422, "tender_too_small", "The tender does not pay the bill", error, **amounts)
        case _:
            return _problem(409, "refused", "The desk refuses this", error)


def unauthorized(*, token_given: bool) -> Problem:
    """401 with the challenge of RFC 6750 section 3: no token, or one that nobody knows."""
    return Problem(
        status=401,
        code=_OF_STATUS[401][0],
        title=_OF_STATUS[401][1],
        detail=(
            "the token is not known here, or not any more: it has expired or was revoked"
            if token_given
            else "the request has no token: send the header Authorization: Bearer TOKEN"
        ),
        headers={"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"' if token_given else _CHALLENGE},
    )


def bad_request(errors: list[dict[str, str]]) -> Problem:
    """422 for parameters or a body that are not as documented; `errors` names each place with what is wrong there."""
    return Problem(
        status=422,
        code="invalid_request",
        title="The request is not as documented",
        detail="; ".join(f"{error['where']}: {error['what']}" for error in errors),
        extra={"errors": errors},
    )


def of_status(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Problem:
    """What plain HTTP refuses: an unknown path, another method, a body that is too large."""
    code, title = _OF_STATUS.get(status, (f"http_{status}", "The request is refused"))
    return Problem(status=status, code=code, title=title, detail=detail, headers=headers or {})


def _problem(status: int, code: str, title: str, error: Exception, **extra: object) -> Problem:
    return Problem(status=status, code=code, title=title, detail=str(error), extra=extra)


def _unavailable(code: str, title: str, error: Exception) -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(status=503, code=code, title=title, detail=str(error), headers=headers)


def _what_changed(error: StaleBill) -> dict[str, object]:
    amount = error.new_amount
    return {
        "version": error.current,
        "new_calls": error.new_calls,
        "new_amount": None if amount is None else amount.text,
        "currency": None if amount is None else amount.currency,
        "repriced": error.repriced,
        "new_items": error.new_items,
        "gone_items": error.gone_items,
    }


def _amounts(**amounts: Money) -> Mapping[str, object]:
    """Amounts of one currency by name, and the currency."""
    currencies = {amount.currency for amount in amounts.values()}
    assert len(currencies) == 1, "the amounts of one error are of one currency"
    return {name: amount.text for name, amount in amounts.items()} | {"currency": currencies.pop()}
