"""The till of a shop over HTTP: shifts, cash by hand, blind counts, X and Z reports.

Whoever holds a shift is not told what has to be in his drawer before he has counted it: nor is any operator. Who stands
above the shop sees everybody's, but for his own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal, Protocol, Self

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, Field

from sipshop.billing.cash import MOST_PIECES, Count
from sipshop.billing.cdr import utc_text
from sipshop.billing.errors import UnknownShift
from sipshop.billing.money import Money, parse_amount
from sipshop.billing.shift import Checked, Move, MoveKind, Report, Shift, Sum, Turn, Variance
from sipshop.console.paging import Cursor, Limit, decode, encode, epoch_ms
from sipshop.console.scope import OPERATOR, Key, Scope, Sender, problems
from sipshop.console.views import AmountText, Command, Next, Reason

#: The number of a shift or of a report.
Number = Annotated[int, Path(ge=1, lt=2**62)]
#: More different pieces than any currency has.
MOST_VALUES: Final = 40
_NEWEST: Final = 2**62

_READING: Final = problems(
    _404="unknown_shop, unknown_shift: there is none, or it is another one's", _422="invalid_request"
)
_COMMAND: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _403="forbidden: the token is nobody's, and a shift is a person's",
    _404="unknown_shop, unknown_shift: there is none, or it is another one's",
    _409="shift_refused: a shift is open already, or is closed",
    _413="the body is too large",
    _422="invalid_request, bad_amount, bad_count",
    _503="unwritable, unavailable: nothing was changed",
)


class Tills(Protocol):
    """What is asked about tills; `sipshop.switch.till` keeps them."""

    def open_in(self, tenant: str, shop: str) -> list[Shift]:
        """The shifts of a shop that are open."""
        ...

    def of_person(self, tenant: str, shop: str, operator: str | None) -> Shift | None:
        """The open shift of a person in a shop."""
        ...

    def now_ms(self) -> int:
        """This instant, UTC."""
        ...

    def zone(self, tenant: str, shop: str) -> str:
        """The IANA time zone of a shop; raises `UnknownShop`."""
        ...

    def is_required(self, tenant: str, shop: str) -> bool:
        """Whether a shop takes cash in a shift only."""
        ...

    def currency(self, tenant: str, shop: str) -> str:
        """The currency of a shop's till."""
        ...

    async def shift(self, tenant: str, shop: str, number: int) -> Shift:
        """A shift; raises `UnknownShift`."""
        ...

    async def turns(
        self, tenant: str, shop: str, limit: int, *, before: int, operator: str | None = None
    ) -> list[Turn]:
        """The newest shifts of a shop first, of one person where he is named."""
        ...

    async def variances(self, tenant: str, shop: str, *, since_ms: int, until_ms: int) -> list[Variance]:
        """What the drawers of each person were wrong by."""
        ...

    async def outside(self, tenant: str, shop: str, limit: int) -> list[Move]:
        """The cash that moved outside all shifts since the last Z report."""
        ...

    async def report(self, tenant: str, shop: str, number: int, author: str) -> Report:
        """The X report of a shift that is open, the Z report of one that is closed."""
        ...

    async def z_report(self, tenant: str, shop: str, number: int) -> Report:
        """A Z report by its number."""
        ...

    async def open(self, tenant: str, shop: str, operator: str, opening: Money, key: str) -> Shift:
        """Begin a person's shift."""
        ...

    async def move(
        self, tenant: str, shop: str, number: int, kind: MoveKind, amount: Money, *, reason: str, author: str, key: str
    ) -> Shift:
        """Put cash into a drawer or take it out."""
        ...

    async def count(self, tenant: str, shop: str, number: int, count: Count, *, author: str, key: str) -> Shift:
        """Keep a count in the middle of a shift."""
        ...

    async def close(self, tenant: str, shop: str, number: int, count: Count, *, author: str) -> Report:
        """End a shift with what was counted."""
        ...


class TillDesk(Protocol):
    """Where the tills are found."""

    @property
    def till(self) -> Tills:
        """The tills of every shop."""
        ...


# What is sent.


class OpenShiftCommand(Command):
    """Begin a shift with what is in the drawer."""

    opening: AmountText = Field(default="0", description="the float")


class CashCommand(Command):
    """Put cash in by hand, or take it out."""

    amount: AmountText
    reason: Reason


Pieces = Annotated[
    dict[Annotated[str, Field(max_length=20)], Annotated[int, Field(ge=0, le=MOST_PIECES)]],
    Field(max_length=MOST_VALUES, description='how many there are of each note and coin, such as {"50": 2, "0.05": 3}'),
]


class CountCommand(Command):
    """Say what is in the drawer."""

    pieces: Pieces = Field(default_factory=dict)
    other: AmountText = Field(default="0", description="what is none of the currency's notes and coins")


# What is answered.


class OpenShiftView(BaseModel):
    """A shift that is open, as everybody at the shop sees it."""

    shift: int
    operator: str
    opened_at: str

    @classmethod
    def of(cls, shift: Shift) -> Self:
        """The view of a shift."""
        return cls(shift=shift.number, operator=shift.operator, opened_at=utc_text(shift.opened_at_ms))


class TillView(BaseModel):
    """The till of a shop: who has a shift there, and which is the sender's."""

    shop: str
    currency: str
    required: bool = Field(description="whether cash is taken in a shift only")
    own: int | None = Field(description="the number of the sender's open shift")
    open: list[OpenShiftView]


class TurnView(BaseModel):
    """A shift in a list; null: it is open, or what has to be in its drawer is not told."""

    shift: int
    operator: str
    currency: str
    opened_at: str
    closed_at: str | None
    closed_by: str | None
    opening: str
    z: int | None = Field(description="the number of its Z report")
    expected: str | None
    counted: str | None
    variance: str | None = Field(description="what was too much; below zero what was missing")

    @classmethod
    def of(cls, turn: Turn) -> Self:
        """The view of a shift in a list."""
        shift, closed_at_ms = turn.shift, turn.shift.closed_at_ms
        variance = None if turn.counted is None or turn.expected is None else turn.counted - turn.expected
        return cls(
            shift=shift.number,
            operator=shift.operator,
            currency=shift.opening.currency,
            opened_at=utc_text(shift.opened_at_ms),
            closed_at=None if closed_at_ms is None else utc_text(closed_at_ms),
            closed_by=turn.closed_by,
            opening=shift.opening.text,
            z=turn.z,
            expected=_text(turn.expected),
            counted=_text(turn.counted),
            variance=_text(variance),
        )


class TurnList(BaseModel):
    """Shifts of a shop, the newest first."""

    shifts: list[TurnView]
    next: Next


class SumView(BaseModel):
    """All movements of one kind and one way of paying; below zero they went out."""

    kind: Literal["float", "in", "out", "deposit", "checkout", "refund"]
    method: Literal["cash", "card", "mobile", "voucher"]
    times: int
    amount: str

    @classmethod
    def of(cls, each: Sum) -> Self:
        """The view of a sum."""
        return cls.model_validate(
            {"kind": each.kind.value, "method": each.method.value, "times": each.times, "amount": each.amount.text}
        )


class TillMoveView(BaseModel):
    """One movement at a till."""

    at: str
    kind: Literal["float", "in", "out", "deposit", "checkout", "refund"]
    amount: str
    author: str
    reason: str
    key: str

    @classmethod
    def of(cls, move: Move) -> Self:
        """The view of a movement."""
        return cls.model_validate(
            {
                "at": utc_text(move.at_ms),
                "kind": move.kind.value,
                "amount": move.amount.text,
                "author": move.author,
                "reason": move.reason,
                "key": move.key,
            }
        )


class CountView(BaseModel):
    """What was counted in a drawer."""

    pieces: dict[str, int]
    other: str
    total: str

    @classmethod
    def of(cls, count: Count) -> Self:
        """The view of a count."""
        return cls.model_validate(count.to_json())


class CheckedView(BaseModel):
    """A count in the middle of a shift; null: it is not told."""

    at: str
    author: str
    count: CountView
    expected: str | None
    variance: str | None

    @classmethod
    def of(cls, checked: Checked, *, is_blind: bool) -> Self:
        """The view of a count."""
        return cls(
            at=utc_text(checked.at_ms),
            author=checked.author,
            count=CountView.of(checked.count),
            expected=None if is_blind else checked.expected.text,
            variance=None if is_blind else checked.variance.text,
        )


class OutsideView(BaseModel):
    """Cash that moved in the shop outside all shifts since the Z report before."""

    times: int
    amount: str
    authors: list[str]


class ReportView(BaseModel):
    """An X report, or a Z report, which has a number; null: the drawer was not counted, or is counted blind."""

    shop: str
    shift: int
    operator: str
    z: int | None
    currency: str
    opened_at: str
    closed_at: str | None
    at: str
    author: str
    opening: str
    sums: list[SumView]
    by_hand: list[TillMoveView] = Field(description="the float, and what was put in and taken out by hand")
    checks: list[CheckedView] = Field(description="counts in the middle of the shift")
    outside: OutsideView | None
    expected: str | None
    count: CountView | None
    variance: str | None = Field(description="what was too much; below zero what was missing")

    @classmethod
    def of(cls, report: Report, *, is_blind: bool) -> Self:
        """The view of a report; a blind one tells nothing of what has to be in the drawer."""
        shift, closed_at_ms = report.shift, report.shift.closed_at_ms
        outside = report.outside
        return cls(
            shop=shift.shop,
            shift=shift.number,
            operator=shift.operator,
            z=report.number,
            currency=report.currency,
            opened_at=utc_text(shift.opened_at_ms),
            closed_at=None if closed_at_ms is None else utc_text(closed_at_ms),
            at=utc_text(report.at_ms),
            author=report.author,
            opening=shift.opening.text,
            sums=[SumView.of(each) for each in (report.blind() if is_blind else report.sums)],
            by_hand=[TillMoveView.of(move) for move in report.by_hand],
            checks=[CheckedView.of(checked, is_blind=is_blind) for checked in report.checks],
            outside=None
            if is_blind
            else OutsideView(times=outside.times, amount=outside.amount.text, authors=list(outside.authors)),
            expected=None if is_blind else report.expected.text,
            count=None if report.count is None else CountView.of(report.count),
            variance=_text(report.variance),
        )


class OutsideList(BaseModel):
    """Cash that moved outside all shifts since the last Z report, the newest first."""

    currency: str
    moves: list[TillMoveView]


class VarianceView(BaseModel):
    """What the drawers of a person were wrong by."""

    operator: str
    shifts: int
    currency: str
    variance: str
    missing: str
    over: str

    @classmethod
    def of(cls, variance: Variance) -> Self:
        """The view of it."""
        return cls(
            operator=variance.operator,
            shifts=variance.shifts,
            currency=variance.variance.currency,
            variance=variance.variance.text,
            missing=variance.missing.text,
            over=variance.over.text,
        )


class VarianceList(BaseModel):
    """What the drawers of everybody were wrong by."""

    variances: list[VarianceView]


Since = Annotated[datetime | None, Query(description="closed at this instant or later; UTC where it names no zone")]
Until = Annotated[datetime | None, Query(description="closed before this instant")]


def add_till(router: APIRouter, desk: TillDesk) -> None:
    """Add the endpoints of the till."""
    _add_shifts(router, desk.till)
    _add_reports(router, desk.till)


def _add_shifts(router: APIRouter, tills: Tills) -> None:
    @router.get("/shops/{shop}/till", tags=["till"], responses=_READING)
    async def read_till(sender: Sender, shop: str) -> TillView:
        """Say who has a shift open at a shop's till."""
        tenant, name = sender.tenant, sender.shop(shop)
        own = tills.of_person(tenant, name, sender.person)
        return TillView(
            shop=name,
            currency=tills.currency(tenant, name),
            required=tills.is_required(tenant, name),
            own=None if own is None else own.number,
            open=[OpenShiftView.of(shift) for shift in tills.open_in(tenant, name)],
        )

    @router.post("/shops/{shop}/shifts", tags=["till"], status_code=201, responses=_COMMAND)
    async def open_shift(sender: Sender, shop: str, command: OpenShiftCommand, key: Key) -> OpenShiftView:
        """Begin a shift of the sender, who has to be a person: cash that he takes from now on is in it."""
        name = sender.shop(shop)
        opening = Money(parse_amount(command.opening), tills.currency(sender.tenant, name))
        return OpenShiftView.of(await tills.open(sender.tenant, name, person_of(sender), opening, key))

    @router.post("/shops/{shop}/shifts/{shift}/in", tags=["till"], responses=_COMMAND)
    async def put_in(sender: Sender, shop: str, shift: Number, command: CashCommand, key: Key) -> ReportView:
        """Put cash into the drawer of a shift, for a reason."""
        await by_hand(tills, sender, await held(tills, sender, shop, shift), MoveKind.IN, command, key=key)
        return await seen(tills, sender, shop, shift)

    @router.post("/shops/{shop}/shifts/{shift}/out", tags=["till"], responses=_COMMAND)
    async def take_out(sender: Sender, shop: str, shift: Number, command: CashCommand, key: Key) -> ReportView:
        """Take cash out of the drawer of a shift, for a reason."""
        await by_hand(tills, sender, await held(tills, sender, shop, shift), MoveKind.OUT, command, key=key)
        return await seen(tills, sender, shop, shift)

    @router.post("/shops/{shop}/shifts/{shift}/count", tags=["till"], responses=_COMMAND)
    async def count_drawer(sender: Sender, shop: str, shift: Number, command: CountCommand, key: Key) -> ReportView:
        """Count the drawer in the middle of a shift; what it should have held is kept beside it, and not told."""
        found = await held(tills, sender, shop, shift)
        count = Count.of(found.opening.currency, command.pieces, command.other)
        await tills.count(sender.tenant, shop, shift, count, author=sender.author, key=key)
        return await seen(tills, sender, shop, shift)

    @router.post("/shops/{shop}/shifts/{shift}/close", tags=["till"], responses=_COMMAND)
    async def close_shift(sender: Sender, shop: str, shift: Number, command: CountCommand) -> ReportView:
        """End a shift with what is in its drawer; answers with its Z report. The same count finds it done."""
        found = await held(tills, sender, shop, shift)
        count = Count.of(found.opening.currency, command.pieces, command.other)
        report = await tills.close(sender.tenant, shop, shift, count, author=sender.author)
        return ReportView.of(report, is_blind=False)


def _add_reports(router: APIRouter, tills: Tills) -> None:
    @router.get("/shops/{shop}/shifts", tags=["till"], responses=_READING)
    async def list_shifts(sender: Sender, shop: str, limit: Limit = 50, cursor: Cursor = None) -> TurnList:
        """List the shifts of a shop, the newest first; an operator sees his own."""
        before = _NEWEST if cursor is None else decode(cursor, int)[0]
        found = await turns_of(tills, sender, sender.shop(shop), limit + 1, before)
        more = encode(found[limit - 1].shift.number) if len(found) > limit else None
        return TurnList(shifts=[TurnView.of(turn) for turn in found[:limit]], next=more)

    @router.get("/shops/{shop}/shifts/{shift}", tags=["till"], responses=_READING)
    async def read_shift(sender: Sender, shop: str, shift: Number) -> ReportView:
        """Read what a shift has come to: its X report while it is open, its Z report when it is closed."""
        await held(tills, sender, shop, shift)
        return await seen(tills, sender, shop, shift)

    @router.get("/shops/{shop}/z/{z}", tags=["till"], responses=_READING)
    async def read_z(sender: Sender, shop: str, z: Number) -> ReportView:
        """Read a Z report by its number, as it was written."""
        return ReportView.of(await z_of(tills, sender, shop, z), is_blind=False)

    @router.get("/shops/{shop}/variances", tags=["till"], responses=_READING)
    async def list_variances(sender: Sender, shop: str, since: Since = None, until: Until = None) -> VarianceList:
        """List what the drawers of each person were wrong by; for who stands above the shop."""
        sender.forbid_operators()
        since_ms = 0 if since is None else epoch_ms(since)
        until_ms = _NEWEST if until is None else epoch_ms(until)
        found = await tills.variances(sender.tenant, sender.shop(shop), since_ms=since_ms, until_ms=until_ms)
        return VarianceList(variances=[VarianceView.of(each) for each in found])

    @router.get("/shops/{shop}/outside", tags=["till"], responses=_READING)
    async def list_outside(sender: Sender, shop: str, limit: Limit = 50) -> OutsideList:
        """List the cash that moved outside all shifts since the last Z report; for who stands above the shop."""
        sender.forbid_operators()
        found = await tills.outside(sender.tenant, sender.shop(shop), limit)
        currency = tills.currency(sender.tenant, shop)
        return OutsideList(currency=currency, moves=[TillMoveView.of(move) for move in found])


# Who may do what, for the pages too.


def person_of(sender: Scope) -> str:
    """The person who sends this; HTTPException (403) for a token that is nobody's."""
    if sender.person is None:
        raise HTTPException(403, "a shift is a person's, and this token is nobody's: make one with --operator NAME")
    return sender.person


async def held(tills: Tills, sender: Scope, shop: str, number: int) -> Shift:
    """A shift that the sender may work: his own, or anybody's below him; raises UnknownShop, UnknownShift."""
    shift = await tills.shift(sender.tenant, sender.shop(shop), number)
    if sender.role == OPERATOR and shift.operator != sender.person:
        raise UnknownShift(f"{shop} has no shift {number}")
    return shift


async def by_hand(tills: Tills, sender: Scope, shift: Shift, kind: MoveKind, command: CashCommand, *, key: str) -> None:
    """Put cash into the drawer of a shift that the sender may work, or take it out."""
    amount = Money(parse_amount(command.amount), shift.opening.currency)
    place = sender.tenant, shift.shop, shift.number
    await tills.move(*place, kind, amount, reason=command.reason, author=sender.author, key=key)


def is_blind(sender: Scope, shift: Shift) -> bool:
    """Whether the sender is not told what has to be in the drawer: he, or one like him, is still to count it."""
    return shift.is_open and (sender.role == OPERATOR or shift.operator == sender.person)


async def seen(tills: Tills, sender: Scope, shop: str, number: int) -> ReportView:
    """What a shift has come to, as the sender may see it."""
    report = await tills.report(sender.tenant, shop, number, sender.author)
    return ReportView.of(report, is_blind=is_blind(sender, report.shift))


async def turns_of(tills: Tills, sender: Scope, shop: str, limit: int, before: int = _NEWEST) -> list[Turn]:
    """The shifts that the sender may see, the newest first."""
    if sender.role != OPERATOR:
        return await tills.turns(sender.tenant, shop, limit, before=before)
    if sender.person is None:
        return []
    return await tills.turns(sender.tenant, shop, limit, before=before, operator=sender.person)


async def z_of(tills: Tills, sender: Scope, shop: str, number: int) -> Report:
    """A Z report that the sender may see; raises UnknownShop, UnknownShift."""
    report = await tills.z_report(sender.tenant, sender.shop(shop), number)
    if sender.role == OPERATOR and report.shift.operator != sender.person:
        raise UnknownShift(f"{shop} has no Z report {number}")
    return report


def _text(amount: Money | None) -> str | None:
    return None if amount is None else amount.text
