"""The till on pages: opening a shift, cash by hand, counting blind, X and Z reports, and whose drawers were wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from fastapi import APIRouter, HTTPException, Request
from starlette.responses import RedirectResponse, Response

from sipshop.billing.cash import MOST_PIECES, Count, pieces
from sipshop.billing.errors import BadCount, BillingError
from sipshop.billing.money import Money, amount_text, parse_amount
from sipshop.billing.shift import MoveKind, Report, Shift, Turn
from sipshop.billing.tender import Method
from sipshop.console.errors import problem_of
from sipshop.console.pages.door import Form, Member, SignedIn, command_key, new_secret
from sipshop.console.pages.frame import Frame
from sipshop.console.pages.refusals import sentence
from sipshop.console.pages.words import Words, mark
from sipshop.console.pages.words import amount_text as typed_amount
from sipshop.console.scope import OPERATOR, Scope
from sipshop.console.till import Tills, held, is_blind, person_of, turns_of, z_of
from sipshop.console.views import one_line

MAX_REASON: Final = 200
#: How many shifts a page shows, and how much of what moved outside all of them.
_SHOWN: Final = 30
#: Over how many days it says whose drawers were wrong.
_DAYS: Final = 31
_DAY_MS: Final = 86_400_000

KINDS: Final = {
    MoveKind.FLOAT: mark("Float"),
    MoveKind.IN: mark("Cash put in"),
    MoveKind.OUT: mark("Cash taken out"),
    MoveKind.DEPOSIT: mark("Deposits"),
    MoveKind.CHECKOUT: mark("Paid at checkout"),
    MoveKind.REFUND: mark("Given back at checkout"),
}
METHODS: Final = {
    Method.CASH: mark("Cash"),
    Method.CARD: mark("Card"),
    Method.MOBILE: mark("Mobile money"),
    Method.VOUCHER: mark("Voucher"),
}
#: What is always cash.
_BY_HAND: Final = {MoveKind.FLOAT, MoveKind.IN, MoveKind.OUT}
#: What is said when something was done, by the word that the address has for it.
DONE: Final = {
    "open": mark("Your shift is open. Cash that you take from now on belongs to it."),
    "in": mark("The cash that you put in is noted."),
    "out": mark("The cash that you took out is noted."),
    "check": mark("The count is kept. The shift goes on."),
}


@dataclass(frozen=True, slots=True)
class _Typed:
    """What was typed into a form that could not be taken, and why not."""

    fields: Mapping[str, str] = field(default_factory=dict)
    why: str = ""
    status: int = 200


_NOTHING: Final = _Typed()


class _Till:
    """The pages of one desk's tills."""

    def __init__(self, frame: Frame, desk: Any) -> None:
        self.frame = frame
        self.desk = desk

    @property
    def tills(self) -> Tills:
        """The tills of every shop."""
        found: Tills = self.desk.till
        return found

    def clock(self, member: Member, shop: str) -> Clock:
        """Instants as they are read in a shop."""
        return Clock(member.words.language, self.tills.zone(member.scope.tenant, shop))

    async def page(
        self, request: Request, member: Member, shop: str, *, done: str = "", typed: _Typed = _NOTHING
    ) -> Response:
        """The till of a shop, as whoever looks at it may see it."""
        scope, words, tills = member.scope, member.words, self.tills
        own = tills.of_person(scope.tenant, shop, scope.person)
        is_above = scope.role != OPERATOR
        clock = self.clock(member, shop)
        turns = await turns_of(tills, scope, shop, _SHOWN)
        moves = () if own is None else (await tills.report(scope.tenant, shop, own.number, scope.author)).by_hand
        return self.frame.page(
            request,
            member.visitor,
            "till.html",
            status=typed.status,
            shop=shop,
            has_shops=len(scope.reach.shops) > 1,
            key=new_secret(request.app.state.random),
            own=own,
            others=[shift for shift in tills.open_in(scope.tenant, shop) if shift is not own],
            is_required=tills.is_required(scope.tenant, shop),
            is_above=is_above,
            currency=tills.currency(scope.tenant, shop),
            moves=[
                (
                    clock.time(move.at_ms, move.at_ms if own is None else own.opened_at_ms),
                    words(KINDS[move.kind]),
                    _signed(words, move.amount),
                    move.reason,
                )
                for move in moves
            ],
            turns=[_turn(words, clock, turn, is_blind=is_blind(scope, turn.shift)) for turn in turns],
            variances=await self._variances(member, shop) if is_above else [],
            outside=await self._outside(member, shop, clock) if is_above else [],
            days=_DAYS,
            clock=clock,
            done=words(DONE[done]) if done in DONE else "",
            why=typed.why,
            typed=typed.fields,
            most_reason=MAX_REASON,
        )

    async def _variances(self, member: Member, shop: str) -> list[tuple[str, str, str, str, str, bool]]:
        words, now_ms = member.words, self.tills.now_ms()
        found = await self.tills.variances(
            member.scope.tenant, shop, since_ms=now_ms - _DAYS * _DAY_MS, until_ms=now_ms + _DAY_MS
        )
        return [
            (
                each.operator,
                words.number(each.shifts),
                _money(words, each.missing),
                _signed(words, each.over),
                _signed(words, each.variance),
                bool(each.variance.micros),
            )
            for each in found
        ]

    async def _outside(self, member: Member, shop: str, clock: Clock) -> list[tuple[str, str, str, str]]:
        words = member.words
        found = await self.tills.outside(member.scope.tenant, shop, _SHOWN)
        return [
            (clock.at(move.at_ms), move.author, words(KINDS[move.kind]), _signed(words, move.amount)) for move in found
        ]

    def counting(
        self, request: Request, member: Member, shift: Shift, *, typed: _Typed = _NOTHING, count: Count | None = None
    ) -> Response:
        """The drawer to be counted; with a `count` what was counted, to be looked at once more before it is final."""
        words, currency = member.words, shift.opening.currency
        rows = [
            {
                "name": f"p-{piece.value.micros}",
                "is_note": piece.is_note,
                "text": _money(words, piece.value),
                "number": typed.fields.get(f"p-{piece.value.micros}", ""),
            }
            for piece in pieces(currency)
        ]
        counted = () if count is None else count.numbers
        return self.frame.page(
            request,
            member.visitor,
            "count.html",
            status=typed.status,
            shop=shift.shop,
            shift=shift,
            rows=rows,
            other=typed.fields.get("other", ""),
            why=typed.why,
            key=new_secret(request.app.state.random),
            most=len(str(MOST_PIECES)),
            counted=[
                (words.money(micros, currency), words.number(number), words.money(micros * number, currency))
                for micros, number in counted
            ],
            rest="" if count is None or not count.other_micros else words.money(count.other_micros, currency),
            total="" if count is None else _money(words, count.total),
        )

    def report(self, request: Request, member: Member, report: Report, *, is_blind: bool) -> Response:
        """An X or a Z report."""
        words, shift = member.words, report.shift
        return self.frame.page(
            request,
            member.visitor,
            "shift.html",
            shop=shift.shop,
            shift=shift,
            report=report,
            is_blind=is_blind,
            clock=self.clock(member, shift.shop),
            sums=[
                (
                    words(KINDS[each.kind]),
                    "" if each.kind in _BY_HAND else words(METHODS[each.method]),
                    words.number(each.times),
                    _signed(words, each.amount),
                )
                for each in (report.blind() if is_blind else report.sums)
            ],
            money=lambda amount: _money(words, amount),
            signed=lambda amount: _signed(words, amount),
            kinds=KINDS,
            counted=[]
            if report.count is None
            else [
                (
                    words.money(micros, report.currency),
                    words.number(number),
                    words.money(micros * number, report.currency),
                )
                for micros, number in report.count.numbers
            ],
            verdict=_verdict(words, report.variance),
        )


@dataclass(frozen=True, slots=True)
class Clock:
    """Instants as the people of a shop read them."""

    language: str
    zone: str

    def at(self, at_ms: int | None) -> str:
        """A date that no other country reads as another one, and a time of day; nothing for None."""
        if at_ms is None:
            return ""
        at = self._local(at_ms)
        day, time = format_date(at, "medium", locale=self.language), format_time(at, "short", locale=self.language)
        return str(Locale.parse(self.language).datetime_formats["short"]).format(time, day)

    def time(self, at_ms: int | None, since_ms: int) -> str:
        """The time of day alone, with the date where it is another one than that of `since_ms`; nothing for None."""
        if at_ms is None or self._local(at_ms).date() != self._local(since_ms).date():
            return self.at(at_ms)
        return format_time(self._local(at_ms), "short", locale=self.language)

    def _local(self, at_ms: int) -> datetime:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(self.zone))


def add_till_pages(router: APIRouter, frame: Frame, desk: Any) -> None:
    """Add the pages of the till."""
    till = _Till(frame, desk)

    @router.get("/till")
    async def choose_till(request: Request, member: SignedIn) -> Response:
        """The till of the one shop that somebody reaches, or all of them to choose from."""
        shops = sorted(member.scope.reach.shops)
        if len(shops) == 1:
            return await till.page(request, member, shops[0])
        rows = [(shop, [shift.operator for shift in desk.till.open_in(member.scope.tenant, shop)]) for shop in shops]
        return frame.page(request, member.visitor, "tills.html", shops=rows)

    @router.get("/till/{shop}")
    async def show_till(request: Request, member: SignedIn, shop: str, done: str = "") -> Response:
        """The till of a shop."""
        return await till.page(request, member, member.scope.shop(shop), done=done)

    _add_reports(router, till)
    _add_commands(router, till)
    _add_counting(router, till)


def _add_reports(router: APIRouter, till: _Till) -> None:
    @router.get("/till/{shop}/shifts/{shift}")
    async def show_shift(request: Request, member: SignedIn, shop: str, shift: int) -> Response:
        """What a shift has come to."""
        found = await held(till.tills, member.scope, shop, _number(shift))
        report = await till.tills.report(member.scope.tenant, shop, found.number, member.scope.author)
        return till.report(request, member, report, is_blind=is_blind(member.scope, report.shift))

    @router.get("/till/{shop}/z/{z}")
    async def show_z(request: Request, member: SignedIn, shop: str, z: int) -> Response:
        """A Z report."""
        return till.report(request, member, await z_of(till.tills, member.scope, shop, _number(z)), is_blind=False)

    @router.get("/till/{shop}/shifts/{shift}/count")
    async def show_count(request: Request, member: SignedIn, shop: str, shift: int) -> Response:
        """The drawer of an open shift, to be counted."""
        found = await held(till.tills, member.scope, shop, _number(shift))
        if not found.is_open:
            return RedirectResponse(f"/till/{_path(shop)}/shifts/{shift}", 303)
        return till.counting(request, member, found)


def _add_commands(router: APIRouter, till: _Till) -> None:
    @router.post("/till/{shop}/open")
    async def open_shift(request: Request, member: SignedIn, fields: Form, shop: str) -> Response:
        """Begin a shift with a float."""
        scope, key = member.scope, command_key(member, fields)
        currency = till.tills.currency(scope.tenant, scope.shop(shop))
        try:
            opening = Money(parse_amount(typed_amount(fields.get("opening") or "0")), currency)
            await till.tills.open(scope.tenant, shop, person_of(scope), opening, key)
        except BillingError as error:
            return await till.page(request, member, shop, typed=_not_taken(member.words, fields, error))
        return RedirectResponse(f"/till/{_path(shop)}?done=open", 303)

    async def by_hand(
        request: Request, member: Member, fields: dict[str, str], *, shop: str, shift: int, kind: MoveKind
    ) -> Response:
        scope, key = member.scope, command_key(member, fields)
        found = await held(till.tills, scope, shop, _number(shift))
        try:
            amount = Money(parse_amount(typed_amount(fields.get("amount", ""))), found.opening.currency)
            place = scope.tenant, shop, found.number
            await till.tills.move(*place, kind, amount, reason=_reason(fields), author=scope.author, key=key)
        except BillingError as error:
            return await till.page(request, member, shop, typed=_not_taken(member.words, fields, error))
        return RedirectResponse(f"/till/{_path(shop)}?done={kind}", 303)

    @router.post("/till/{shop}/shifts/{shift}/in")
    async def put_in(request: Request, member: SignedIn, fields: Form, shop: str, shift: int) -> Response:
        """Put cash into the drawer."""
        return await by_hand(request, member, fields, shop=shop, shift=shift, kind=MoveKind.IN)

    @router.post("/till/{shop}/shifts/{shift}/out")
    async def take_out(request: Request, member: SignedIn, fields: Form, shop: str, shift: int) -> Response:
        """Take cash out of the drawer."""
        return await by_hand(request, member, fields, shop=shop, shift=shift, kind=MoveKind.OUT)


def _add_counting(router: APIRouter, till: _Till) -> None:
    @router.post("/till/{shop}/shifts/{shift}/count")
    async def count_drawer(request: Request, member: SignedIn, fields: Form, shop: str, shift: int) -> Response:
        """Show what was counted, before it is final; or keep it, and go on."""
        scope = member.scope
        found = await held(till.tills, scope, shop, _number(shift))
        try:
            count = _count(fields, found.opening.currency)
            if fields.get("then") != "check":
                return till.counting(request, member, found, typed=_Typed(fields), count=count)
            place = scope.tenant, shop, found.number
            await till.tills.count(*place, count, author=scope.author, key=command_key(member, fields))
        except BillingError as error:
            return till.counting(request, member, found, typed=_not_taken(member.words, fields, error))
        return RedirectResponse(f"/till/{_path(shop)}?done=check", 303)

    @router.post("/till/{shop}/shifts/{shift}/close")
    async def close_shift(request: Request, member: SignedIn, fields: Form, shop: str, shift: int) -> Response:
        """End a shift with what was counted, and show its Z report."""
        scope = member.scope
        found = await held(till.tills, scope, shop, _number(shift))
        if fields.get("then") == "again":
            return till.counting(request, member, found, typed=_Typed(fields))
        try:
            count = _count(fields, found.opening.currency)
            report = await till.tills.close(scope.tenant, shop, found.number, count, author=scope.author)
        except BillingError as error:
            return till.counting(request, member, found, typed=_not_taken(member.words, fields, error))
        return RedirectResponse(f"/till/{_path(shop)}/z/{report.number}", 303)


def on_shift(tills: Tills, scope: Scope, shop: str, words: Words) -> dict[str, str]:
    """Who is on shift at a shop's till, for the head of its board: a text, and how that is for whoever looks."""
    names = [shift.operator for shift in tills.open_in(scope.tenant, shop)]
    if tills.of_person(scope.tenant, shop, scope.person) is not None:
        state = "own"
    elif scope.role == OPERATOR and tills.is_required(scope.tenant, shop):
        state = "needed"  # he takes no cash before he has opened one
        names = names or [words(mark("Open a shift first"))]
    else:
        state = "others" if names else "none"
    return {"text": ", ".join(names) or words(mark("No shift")), "state": state}


# Fields and figures.


def _number(number: int) -> int:
    """The number of a shift or report; HTTPException (404) for one that there cannot be."""
    if not 1 <= number < 2**62:
        raise HTTPException(404, "there is no such number")
    return number


def _path(name: str) -> str:
    return quote(name, safe="")


def _reason(fields: Mapping[str, str]) -> str:
    """Why cash is put in or taken out; raises BadCount where nothing is said, or too much."""
    try:
        reason = one_line(fields.get("reason", ""))
    except ValueError:
        reason = ""
    if not 0 < len(reason) <= MAX_REASON:
        raise BadCount(f"say in a line why, in {MAX_REASON} characters at most")
    return reason


def _count(fields: Mapping[str, str], currency: str) -> Count:
    """Read what was counted; an empty field is nothing. Raises BadAmount or BadCount."""
    numbers: dict[str, int] = {}
    for piece in pieces(currency):
        typed = fields.get(f"p-{piece.value.micros}", "").strip()
        if not typed:
            continue
        text = typed_amount(typed)
        if not text.isdecimal() or len(text) > len(str(MOST_PIECES)):
            raise BadCount(f"{typed[:40]!a} is no number of notes or coins")
        numbers[amount_text(piece.value.micros, currency)] = int(text)
    other = fields.get("other", "").strip()
    return Count.of(currency, numbers, typed_amount(other) if other else "0")


def _not_taken(words: Words, fields: Mapping[str, str], error: BillingError) -> _Typed:
    problem = problem_of(error)
    return _Typed(fields, sentence(problem, words), problem.status)


def _money(words: Words, amount: Money) -> str:
    return words.money(amount.micros, amount.currency)


def _signed(words: Words, amount: Money) -> str:
    """An amount with its sign, so that nobody takes what is missing for what is too much."""
    return f"+{_money(words, amount)}" if amount.micros > 0 else _money(words, amount)


def _turn(words: Words, clock: Clock, turn: Turn, *, is_blind: bool) -> dict[str, Any]:
    """A shift as a list shows it."""
    shift = turn.shift
    variance = None if turn.counted is None or turn.expected is None else turn.counted - turn.expected
    assert not is_blind or variance is None, "an open shift was not counted"
    return {
        "number": words.number(shift.number),
        "path": shift.number,
        "operator": shift.operator,
        "opened": clock.at(shift.opened_at_ms),
        "closed": clock.time(shift.closed_at_ms, shift.opened_at_ms),
        "z": "" if turn.z is None else words.number(turn.z),
        "z_path": turn.z,
        "counted": "" if turn.counted is None else _money(words, turn.counted),
        "variance": "" if variance is None else _signed(words, variance),
        "is_wrong": variance is not None and bool(variance.micros),
    }


def _verdict(words: Words, variance: Money | None) -> str:
    """What a count has shown, in a sentence."""
    if variance is None:
        return ""
    if not variance.micros:
        return words(mark("The drawer is right."))
    amount = _money(words, max(variance, -variance))
    if variance.micros < 0:
        return words(mark("%(amount)s is missing."), amount=amount)
    return words(mark("%(amount)s is too much."), amount=amount)
