"""Alerts: what people are told of, numbered, written down, and told as facts (IO)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from sipshop.billing.limits import Place, Subject
from sipshop.facts import AlertEnded, AlertRaised, Fact
from sipshop.store import Alert, AlertAcknowledged, AlertMended, AlertNoted, KeptLimits, Store
from sipshop.switch.directory import Directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why an alert is raised: what was looked at, what was done, about whom, and why, in words."""

    kind: str
    action: str
    subject: Subject
    detail: str
    rule: str = ""
    prefix: str = ""


class Alerts:
    """The alerts of every tenant; they are read from the store, and counted here."""

    def __init__(
        self, directory: Directory, store: Store, tell: Callable[[Fact], None], utc_ms: Callable[[], int]
    ) -> None:
        self._directory = directory
        self._store = store
        self._tell = tell
        self._utc_ms = utc_ms
        self._last: dict[str, int] = {}
        self._open: dict[str, int] = {}

    def begin(self, kept: KeptLimits) -> None:
        """Go on where the process before ended."""
        for tenant, (last, count) in kept.alerts.items():
            self._last[tenant], self._open[tenant] = last, count

    @property
    def open(self) -> Mapping[str, int]:
        """How many alerts of each tenant are neither acknowledged nor healed."""
        return {tenant: self._open.get(tenant, 0) for tenant in self._directory.parties}

    def raise_(self, tenant: str, cause: Cause) -> Alert:
        """Tell of something."""
        party, shop = self.place_of(tenant, cause.subject)
        number = self._last[tenant] = self._last.get(tenant, 0) + 1
        alert = Alert(
            id=number,
            raised_at_ms=self._utc_ms(),
            kind=cause.kind,
            action=cause.action,
            place=cause.subject.place.value,
            name=cause.subject.name,
            party=party,
            shop=shop,
            rule=cause.rule,
            prefix=cause.prefix,
            detail=cause.detail,
        )
        self._open[tenant] = self._open.get(tenant, 0) + 1
        self._store.submit(AlertNoted(tenant, alert))
        self._tell(
            AlertRaised(
                tenant=tenant,
                id=number,
                at_ms=alert.raised_at_ms,
                kind=alert.kind,
                action=alert.action,
                place=alert.place,
                name=alert.name,
                party=party,
                shop=shop,
                rule=alert.rule,
                detail=alert.detail,
            )
        )
        return alert

    def mend(self, tenant: str, alert: Alert) -> None:
        """What an alert told of is over by itself; somebody may have acknowledged it before."""
        at_ms = self._utc_ms()
        self._store.submit(AlertMended(tenant, alert.id, at_ms))
        self._end(tenant, replace(alert, healed_at_ms=at_ms), is_news=alert.is_open)

    async def acknowledge(self, tenant: str, alert_id: int, author: str) -> Alert:
        """Take note of an alert; durable when it returns. Raises `UnknownAlert` or another `StoreError`."""
        write = AlertAcknowledged(tenant=tenant, id=alert_id, author=author, at_ms=self._utc_ms())
        alert, was_open = await self._store.commit(write)
        if was_open:
            self._end(tenant, alert, is_news=True)
        return alert

    def place_of(self, tenant: str, subject: Subject) -> tuple[str, str | None]:
        """Whose a subject is, by party and, of a shop or a booth, by shop."""
        if subject.place is Place.PARTY:
            return subject.name, None
        shop = subject.name
        if subject.place is Place.BOOTH:
            shop = self._directory.booths[tenant, subject.name].shop
        return self._directory.shops[tenant, shop].owner, shop

    def _end(self, tenant: str, alert: Alert, *, is_news: bool) -> None:
        if is_news:
            self._open[tenant] = max(0, self._open.get(tenant, 0) - 1)
        self._tell(
            AlertEnded(
                tenant=tenant,
                id=alert.id,
                kind=alert.kind,
                place=alert.place,
                name=alert.name,
                party=alert.party,
                shop=alert.shop,
                by=alert.acked_by if alert.healed_at_ms is None else None,
            )
        )
