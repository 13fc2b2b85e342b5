"""Limits against fraud in the database: the rules, how they stand, what shops have called, and the alerts."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

from sqlalchemy import and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.limits import (
    COUNTRY_DIGITS,
    LimitAction,
    Limits,
    LowBalance,
    Measure,
    Overcommit,
    OvercommitAction,
    Place,
    Rule,
    Stand,
    Standing,
    Subject,
    night,
    night_texts,
)
from sipshop.store.errors import UnknownAlert
from sipshop.store.rows import Row, Values, to_json
from sipshop.store.schema import Statement, alerts, called, cdrs, charges, limit_stands, limits
from sipshop.store.writes import note_in_log

#: So many alerts of a tenant are kept, the newest.
ALERTS_KEPT: Final = 10_000
#: So many charges at most are counted anew at a start, the newest: some seconds.
RECENT_CHARGES: Final = 500_000

# The rules.

LIMITS: Final = Statement(select(limits).where(limits.c.tenant == bindparam("tenant")).order_by(limits.c.position))


def limit_values(tenant: str, watched: Limits) -> Values:
    """Return the row of what is watched of somebody; what goes without saying is left out."""
    terms: dict[str, object] = {"rules": [_rule_json(rule) for rule in watched.rules]}
    if watched.overcommit != Overcommit():
        terms["overcommit"] = asdict(watched.overcommit)
    if watched.low_balance is not None:
        terms["low_balance"] = asdict(watched.low_balance)
    place, name = watched.subject
    return {"tenant": tenant, "place": place.value, "name": name, "terms": to_json(terms)}


def limits_of(row: Row) -> Limits:
    """Read it back."""
    terms = json.loads(row["terms"])
    overcommit, low_balance = terms.get("overcommit"), terms.get("low_balance")
    return Limits(
        subject=_subject(row),
        rules=tuple(map(_rule, terms["rules"])),
        overcommit=Overcommit()
        if overcommit is None
        else Overcommit(action=OvercommitAction(overcommit["action"]), factor_ppm=overcommit["factor_ppm"]),
        low_balance=None if low_balance is None else LowBalance(**low_balance),
    )


def _rule_json(rule: Rule) -> dict[str, object]:
    kept: dict[str, object] = {
        "name": rule.name,
        "measure": rule.measure.value,
        "action": rule.action.value,
        "set_by": rule.set_by,
        "most": rule.most,
    }
    if rule.calendar is not None:
        kept |= {"zone": rule.calendar.zone, "night": list(night_texts(rule.calendar))}
    return kept


def _rule(kept: Mapping[str, Any]) -> Rule:
    return Rule(
        name=kept["name"],
        measure=Measure(kept["measure"]),
        action=LimitAction(kept["action"]),
        set_by=kept["set_by"],
        most=kept["most"],
        calendar=night(kept["zone"], *kept["night"]) if "night" in kept else None,
    )


def _subject(row: Row) -> Subject:
    return Subject(Place(row["place"]), row["name"])


# How they stand.

STANDS: Final = Statement(select(limit_stands))

_put_stand = insert(limit_stands)
_PUT_STAND: Final = Statement(
    _put_stand.on_conflict_do_update(
        index_elements=list(limit_stands.primary_key),
        set_={name: _put_stand.excluded[name] for name in ("standing", "since_ms", "until_ms")},
    )
)
_of_rule = and_(*(limit_stands.c[name] == bindparam(f"key_{name}") for name in ("tenant", "place", "name", "rule")))
_REMOVE_WITHIN: Final = Statement(
    delete(limit_stands).where(
        _of_rule,
        func.substr(limit_stands.c.prefix, 1, func.length(bindparam("within"))) == bindparam("within"),
    )
)


def stand_of(row: Row) -> Stand:
    """Read back how a rule stands."""
    return Stand(
        subject=_subject(row),
        rule=row["rule"],
        prefix=row["prefix"],
        standing=Standing(row["standing"]),
        since_ms=row["since_ms"],
        until_ms=row["until_ms"],
    )


def _stand_values(tenant: str, stand: Stand) -> Values:
    return {
        "tenant": tenant,
        "place": stand.subject.place.value,
        "name": stand.subject.name,
        "rule": stand.rule,
        "prefix": stand.prefix,
        "standing": stand.standing.value,
        "since_ms": stand.since_ms,
        "until_ms": stand.until_ms,
    }


def _within(tenant: str, subject: Subject, rule: str, prefix: str) -> Values:
    place, name = subject
    return {"key_tenant": tenant, "key_place": place.value, "key_name": name, "key_rule": rule, "within": prefix}


@dataclass(frozen=True, slots=True)
class LimitTripped:
    """A call has made a rule stand so; a person's word that came meanwhile is not overwritten."""

    waited_for: ClassVar[bool] = False
    tenant: str
    stand: Stand

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        _PUT_STAND.run(connection, _stand_values(self.tenant, self.stand))


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReleased:
    """A person lets calls pass a rule; what is held within the same destination is so no more."""

    waited_for: ClassVar[bool] = True
    tenant: str
    stand: Stand
    author: str
    detail: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it, and who it was."""
        stand = self.stand
        _REMOVE_WITHIN.run(connection, _within(self.tenant, stand.subject, stand.rule, stand.prefix))
        _PUT_STAND.run(connection, _stand_values(self.tenant, stand))
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=stand.since_ms,
            author=self.author,
            action="limit release",
            subject=f"{stand.subject} {stand.rule}",
            detail=self.detail,
        )


@dataclass(frozen=True, slots=True)
class LimitForgotten:
    """A rule is gone, and with it how it stood: one that takes its name begins anew."""

    waited_for: ClassVar[bool] = False
    tenant: str
    subject: Subject
    rule: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Remove it."""
        _REMOVE_WITHIN.run(connection, _within(self.tenant, self.subject, self.rule, ""))


# What shops have called.

CALLED: Final = Statement(select(called))

_put_called = insert(called)
_PUT_CALLED: Final = Statement(
    _put_called.on_conflict_do_update(
        index_elements=list(called.primary_key), set_={"at_ms": func.max(called.c.at_ms, _put_called.excluded.at_ms)}
    )
)


@dataclass(frozen=True, slots=True)
class CountryCalled:
    """A shop calls a country, for the first time in a day."""

    waited_for: ClassVar[bool] = False
    tenant: str
    shop: str
    e164: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        digits = self.e164[:COUNTRY_DIGITS]
        values = {"tenant": self.tenant, "shop": self.shop, "digits": digits, "at_ms": self.at_ms}
        _PUT_CALLED.run(connection, values)


# What was called and spent lately, so that a start counts as the process before it did.

_later = cdrs.alias("later")
RECENT: Final = Statement(
    select(
        cdrs.c.tenant,
        cdrs.c.call_id,
        cdrs.c.shop,
        cdrs.c.booth,
        cdrs.c.e164,
        cdrs.c.setup_at_ms,
        cdrs.c.answered_at_ms,
        cdrs.c.talk_ms,
        charges.c.level,
        charges.c.buyer,
        charges.c.amount_micros,
    )
    .outerjoin(
        charges,
        and_(
            charges.c.tenant == cdrs.c.tenant,
            charges.c.call_id == cdrs.c.call_id,
            charges.c.revision == cdrs.c.revision,
        ),
    )
    .where(
        cdrs.c.tenant == bindparam("tenant"),
        cdrs.c.setup_at_ms >= bindparam("since_ms"),
        cdrs.c.direction == "outbound",
        cdrs.c.kind == "call",
        cdrs.c.result != "refused",
        cdrs.c.e164.is_not(None),
        ~select(_later.c.revision)
        .where(
            _later.c.tenant == cdrs.c.tenant,
            _later.c.call_id == cdrs.c.call_id,
            _later.c.revision > cdrs.c.revision,
        )
        .exists(),
    )
    .order_by(cdrs.c.setup_at_ms.desc(), cdrs.c.call_id, charges.c.level)
    .limit(RECENT_CHARGES)
)


@dataclass(slots=True, kw_only=True)
class PastCall:
    """A call that is over: what each level was charged, in micro-units, by buyer; the booth's customer is ""."""

    tenant: str
    shop: str
    booth: str
    e164: str
    setup_at_ms: int
    answered_at_ms: int | None
    talk_ms: int
    amounts: dict[str, int]


def past_calls(rows: Iterable[Row]) -> Iterator[PastCall]:
    """Read calls back from what `RECENT` finds."""
    call_id, past = None, None
    for row in rows:
        if past is None or row["call_id"] != call_id:
            if past is not None:
                yield past
            call_id = row["call_id"]
            past = PastCall(
                tenant=row["tenant"],
                shop=row["shop"],
                booth=row["booth"],
                e164=row["e164"],
                setup_at_ms=row["setup_at_ms"],
                answered_at_ms=row["answered_at_ms"],
                talk_ms=row["talk_ms"],
                amounts={},
            )
        if row["buyer"] is not None:
            past.amounts[row["buyer"] if row["level"] else ""] = row["amount_micros"]
    if past is not None:
        yield past


# Alerts.


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that people were told of.

    `kind` is what was looked at, `action` what was done; `place` and `name` say about whom it is. `party`, and all
    above it, sees it, and who serves `shop`. It is over once it healed by itself or somebody acknowledged it.
    """

    id: int
    raised_at_ms: int
    kind: str
    action: str
    place: str
    name: str
    party: str
    shop: str | None
    rule: str
    prefix: str
    detail: str
    healed_at_ms: int | None = None
    acked_at_ms: int | None = None
    acked_by: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody has acknowledged it and it has not healed."""
        return self.healed_at_ms is None and self.acked_at_ms is None


_FIELDS: Final = tuple(name for name in alerts.c.keys() if name != "tenant")  # noqa: SIM118  # columns are no mapping
_RAISE: Final = Statement(insert(alerts).on_conflict_do_nothing())
_FORGET: Final = Statement(
    delete(alerts).where(alerts.c.tenant == bindparam("key_tenant"), alerts.c.id <= bindparam("upto"))
)
_the_alert = and_(alerts.c.tenant == bindparam("key_tenant"), alerts.c.id == bindparam("key_id"))
_HEAL: Final = Statement(
    update(alerts).where(_the_alert).values(healed_at_ms=func.coalesce(alerts.c.healed_at_ms, bindparam("at_ms")))
)
_ACKNOWLEDGE: Final = Statement(
    update(alerts)
    .where(_the_alert)
    .values(
        acked_at_ms=func.coalesce(alerts.c.acked_at_ms, bindparam("at_ms")),
        acked_by=func.coalesce(alerts.c.acked_by, bindparam("author")),
    )
)
ALERT: Final = Statement(select(alerts).where(alerts.c.tenant == bindparam("tenant"), alerts.c.id == bindparam("id")))
_parties = func.json_each(bindparam("parties")).table_valued("value")
_shops = func.json_each(bindparam("shops")).table_valued("value")
#: The newest first; those of some parties, or about one of some shops. Both are JSON lists.
ALERTS: Final = Statement(
    select(alerts)
    .where(
        alerts.c.tenant == bindparam("tenant"),
        alerts.c.id < bindparam("before_id"),
        or_(alerts.c.party.in_(select(_parties.c.value)), alerts.c.shop.in_(select(_shops.c.value))),
        or_(
            bindparam("all") == 1,
            and_(alerts.c.healed_at_ms.is_(None), alerts.c.acked_at_ms.is_(None)),
        ),
    )
    .order_by(alerts.c.id.desc())
    .limit(bindparam("limit"))
)
#: Of every tenant: its last alert, how many are open, and, below, those that can still heal.
ALERT_STATE: Final = Statement(
    select(
        alerts.c.tenant,
        func.max(alerts.c.id).label("last"),
        func.sum(and_(alerts.c.healed_at_ms.is_(None), alerts.c.acked_at_ms.is_(None))).label("open"),
    ).group_by(alerts.c.tenant)
)
UNHEALED: Final = Statement(
    select(alerts).where(alerts.c.kind == "low_balance", alerts.c.healed_at_ms.is_(None)).order_by(alerts.c.id)
)


def alert_of(row: Row) -> Alert:
    """Read an alert back."""
    return Alert(**{name: row[name] for name in _FIELDS})


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptLimits:
    """What a start knows of limits, each with its tenant.

    `called` are (tenant, shop, first digits, when last), `alerts` the last number of a tenant and how many are open.
    """

    stands: Sequence[tuple[str, Stand]] = ()
    called: Sequence[tuple[str, str, str, int]] = ()
    alerts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    unhealed: Sequence[tuple[str, Alert]] = ()


@dataclass(frozen=True, slots=True)
class AlertNoted:
    """People are told of something; the oldest alerts go for it."""

    waited_for: ClassVar[bool] = False
    tenant: str
    alert: Alert

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        _RAISE.run(connection, {"tenant": self.tenant} | {name: getattr(self.alert, name) for name in _FIELDS})
        _FORGET.run(connection, {"key_tenant": self.tenant, "upto": self.alert.id - ALERTS_KEPT})


@dataclass(frozen=True, slots=True)
class AlertMended:
    """What an alert told of is over by itself."""

    waited_for: ClassVar[bool] = False
    tenant: str
    id: int
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it, unless the alert is gone."""
        _HEAL.run(connection, {"key_tenant": self.tenant, "key_id": self.id, "at_ms": self.at_ms})


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertAcknowledged:
    """Somebody has taken note of an alert."""

    waited_for: ClassVar[bool] = True
    tenant: str
    id: int
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> tuple[Alert, bool]:
        """Write who, once; the alert as it is now, and whether it was open before.

        Raises:
            UnknownAlert: there is none of this number, or it is gone.
        """
        of = {"tenant": self.tenant, "id": self.id}
        before = ALERT.run(connection, of).fetchone()
        if before is None:
            raise UnknownAlert(f"there is no alert {self.id}")
        values = {"key_tenant": self.tenant, "key_id": self.id, "at_ms": self.at_ms, "author": self.author}
        _ACKNOWLEDGE.run(connection, values)
        return alert_of(ALERT.run(connection, of).fetchone()), alert_of(before).is_open
