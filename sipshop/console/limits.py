"""Limits against fraud and alerts over HTTP: what stands how, who lets calls pass again, and who has taken note."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Final, Protocol, Self

from fastapi import APIRouter, HTTPException, Path, Query
from pydantic import BaseModel, Field

from sipshop.billing.cdr import utc_text
from sipshop.billing.limits import AMOUNTS, SPENDING, LimitAction, Measure, Place, Stand, Standing, Subject, night_texts
from sipshop.billing.money import format_micros
from sipshop.console.paging import MAX_ROWS, Cursor, Limit, decode, encode, epoch_ms, page_of
from sipshop.console.scope import Scope, Sender, problems
from sipshop.console.views import Command, Next, Reason
from sipshop.store import Alert, UnknownAlert
from sipshop.switch import LimitStatus, Reach, UnknownLimit

_RELEASING: Final = problems(
    _400="malformed: the body is no JSON in UTF-8",
    _404="unknown_limit",
    _413="the body is too large",
    _422="invalid_request, bad_release: the rule cannot be released so",
    _503="unwritable, not_now, unavailable: nothing was changed",
)
_LISTING: Final = problems(_422="invalid_request, bad_cursor", _503="unavailable")
_TAKING_NOTE: Final = problems(_404="unknown_alert", _422="invalid_request", _503="unwritable, unavailable")
_MOST_ID: Final = 2**63 - 1


class ReleaseCommand(Command):
    """Let calls pass a rule: to one destination, until a time, or, with neither, count anew."""

    destination: str | None = Field(
        default=None, pattern=r"^[1-9][0-9]{0,14}$", description="calls to numbers that begin with these digits"
    )
    until: str | None = Field(default=None, max_length=40, description="ISO 8601; UTC if it names no zone")
    reason: Reason


class StandView(BaseModel):
    """How a rule stands for a destination, the digits that its numbers begin with; empty for all."""

    destination: str
    standing: Standing
    since: str
    until: str | None = Field(description="null: until somebody changes it")

    @classmethod
    def of(cls, stand: Stand) -> Self:
        """The view of it."""
        until = None if stand.until_ms is None else utc_text(stand.until_ms)
        return cls(destination=stand.prefix, standing=stand.standing, since=utc_text(stand.since_ms), until=until)


class LimitView(BaseModel):
    """A rule of somebody: what it looks at, what it does, and how it stands."""

    place: Place
    name: str
    rule: str
    measure: Measure
    most: str | None = Field(description="an amount, or how many; of a night the price a minute, null: no call at all")
    used: str | None = Field(description="what counts now, of spending and of calls at once; else null")
    night: list[str] | None
    timezone: str | None
    action: LimitAction
    set_by: str = Field(description="who may end a block by it, or who is above")
    stands: list[StandView]

    @classmethod
    def of(cls, status: LimitStatus, set_by: str) -> Self:
        """The view of a rule."""
        rule, calendar = status.rule, status.rule.calendar
        is_amount = rule.measure in AMOUNTS or calendar is not None
        most = None if rule.most is None else format_micros(rule.most) if is_amount else str(rule.most)
        used = None
        if status.used is not None:
            used = format_micros(status.used) if rule.measure in SPENDING else str(status.used)
        return cls(
            place=status.subject.place,
            name=status.subject.name,
            rule=rule.name,
            measure=rule.measure,
            most=most,
            used=used,
            night=None if calendar is None else list(night_texts(calendar)),
            timezone=None if calendar is None else calendar.zone,
            action=rule.action,
            set_by=set_by,
            stands=[StandView.of(stand) for stand in status.stands],
        )


class LimitList(BaseModel):
    """The rules that the token sees, in the order of their world."""

    limits: list[LimitView]
    next: Next


class AlertView(BaseModel):
    """Something that people were told of; it is open until it heals by itself or somebody takes note of it."""

    id: int
    raised_at: str
    kind: str
    action: str
    place: Place
    name: str
    party: str
    shop: str | None
    rule: str | None
    detail: str
    healed_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str | None

    @classmethod
    def of(cls, alert: Alert) -> Self:
        """The view of an alert."""
        return cls(
            id=alert.id,
            raised_at=utc_text(alert.raised_at_ms),
            kind=alert.kind,
            action=alert.action,
            place=Place(alert.place),
            name=alert.name,
            party=alert.party,
            shop=alert.shop,
            rule=alert.rule or None,
            detail=alert.detail,
            healed_at=None if alert.healed_at_ms is None else utc_text(alert.healed_at_ms),
            acknowledged_at=None if alert.acked_at_ms is None else utc_text(alert.acked_at_ms),
            acknowledged_by=alert.acked_by,
        )


class AlertList(BaseModel):
    """Alerts, the newest first."""

    alerts: list[AlertView]
    next: Next


class LimitDesk(Protocol):
    """Where limits and alerts are; the switch's desk knows."""

    def limits(self, tenant: str) -> list[LimitStatus]:
        """Every rule of a tenant."""
        ...

    def limit(self, tenant: str, subject: Subject, rule: str) -> LimitStatus:
        """One rule; raises `UnknownLimit`."""
        ...

    async def release(
        self,
        tenant: str,
        subject: Subject,
        rule: str,
        *,
        prefix: str,
        until_ms: int | None,
        author: str,
        reason: str,
    ) -> LimitStatus:
        """Let calls pass a rule; durable when it returns."""
        ...

    async def alerts(
        self, tenant: str, limit: int, *, reach: Reach, before_id: int | None = None, only_open: bool = False
    ) -> list[Alert]:
        """The newest alerts first, as far as somebody reaches."""
        ...

    async def alert(self, tenant: str, alert_id: int) -> Alert:
        """One alert; raises `UnknownAlert`."""
        ...

    async def acknowledge(self, tenant: str, alert_id: int, author: str) -> Alert:
        """Take note of an alert; durable when it returns."""
        ...


def add_limits(router: APIRouter, desk: LimitDesk) -> None:
    """Add the endpoints of limits and alerts."""

    @router.get("/limits", tags=["limits"], responses=_LISTING)
    async def list_limits(sender: Sender, limit: Limit = MAX_ROWS, cursor: Cursor = None) -> LimitList:
        """List the rules of limits, with what counts now and what is held, blocked or released."""
        sender.forbid_operators()
        seen = list(_seen(sender, desk.limits(sender.tenant)))
        page, after = page_of(seen, lambda status: f"{status.subject} {status.rule.name}", limit, cursor)
        return LimitList(limits=[_view(sender, status) for status in page], next=after)

    @router.post("/limits/{place}/{name}/{rule}/release", tags=["limits"], responses=_RELEASING)
    async def release_limit(sender: Sender, place: Place, name: str, rule: str, command: ReleaseCommand) -> LimitView:
        """Let calls pass a rule again: what is held, who is below it may end; all else, who has set it."""
        sender.forbid_operators()
        subject = Subject(place, name)
        for status in _seen(sender, [desk.limit(sender.tenant, subject, rule)]):
            if status.rule.action is not LimitAction.HOLD and status.rule.set_by not in sender.reach.parties:
                raise HTTPException(403, f"only who has set {rule} releases it, or who is above")
            released = await desk.release(
                sender.tenant,
                subject,
                rule,
                prefix=command.destination or "",
                until_ms=None if command.until is None else _instant(command.until),
                author=sender.author,
                reason=command.reason,
            )
            return _view(sender, released)
        raise UnknownLimit(f"there is no limit named {rule!r} of {subject}")

    @router.get("/alerts", tags=["limits"], responses=_LISTING)
    async def list_alerts(
        sender: Sender,
        limit: Limit = 50,
        cursor: Cursor = None,
        is_open: Annotated[bool, Query(alias="open", description="only those that nobody took note of")] = False,
    ) -> AlertList:
        """List what people were told of, the newest first."""
        before_id = None if cursor is None else decode(cursor, int)[0]
        found = await desk.alerts(sender.tenant, limit + 1, reach=sender.reach, before_id=before_id, only_open=is_open)
        more = encode(found[limit - 1].id) if len(found) > limit else None
        return AlertList(alerts=[AlertView.of(alert) for alert in found[:limit]], next=more)

    @router.post("/alerts/{alert_id}/ack", tags=["limits"], responses=_TAKING_NOTE)
    async def acknowledge_alert(sender: Sender, alert_id: Annotated[int, Path(ge=1, le=_MOST_ID)]) -> AlertView:
        """Take note of an alert: it is open no more, and names who did; the first one stays named."""
        alert = await desk.alert(sender.tenant, alert_id)
        if not sender.sees(alert.party, alert.shop):
            raise UnknownAlert(f"there is no alert {alert_id}")
        return AlertView.of(await desk.acknowledge(sender.tenant, alert_id, sender.author))


def _seen(sender: Scope, found: Iterable[LimitStatus]) -> Iterable[LimitStatus]:
    return (status for status in found if sender.sees(status.party, status.shop))


def _view(sender: Scope, status: LimitStatus) -> LimitView:
    return LimitView.of(status, sender.named(status.rule.set_by))


def _instant(text: str) -> int:
    """The UTC milliseconds of an ISO 8601 text; HTTPException (422) for one that is none."""
    try:
        return epoch_ms(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        raise HTTPException(422, "until: it has to be an ISO 8601 time, such as 2026-12-25T08:00:00Z") from None
