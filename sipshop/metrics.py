"""What Prometheus scrapes: facts counted, durations sorted into buckets, tables measured.

Every series that can be known is there with zero from the start, so that a rate over the first event of a kind is not
lost and an alert can tell "never" from "not measured". All names start with `sipshop_`; seconds are seconds, as
Prometheus wants them.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

from sipshop.billing.cdr import Result
from sipshop.export.couriers import TargetStatus
from sipshop.facts import (
    ALERT_KINDS,
    TRUNK_OUTCOMES,
    AlertRaised,
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    LossSeen,
    MessageDropped,
    RegistrationChanged,
    RequestRefused,
    TrunkChanged,
    TrunkProbed,
    TrunkTried,
)
from sipshop.store import Disk
from sipshop.switch import PartyMoney

NO_CARRIER: Final = "none"  # the carrier of a call that was refused before any trunk was tried

_MICROS: Final = 1e6  # Prometheus has nothing but floats; no sum is made of these
_ADDED_S: Final = (0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.0, 2.0)
_COMMIT_S: Final = (0.00025, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LAG_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_SETUP_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 30.0, 60.0, 120.0)

_Wrapper = TypeVar("_Wrapper", bound=MetricWrapperBase)


class Metrics:
    """The registry of one process, and the doors by which it learns.

    `count` and the other setters may be called from any thread. Give `refusals` (every SIP status with its cause) and
    `drop_reasons` here, and the names of a loaded world by `expect`, so that their series exist before the first event.
    """

    content_type: Final = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(
        self,
        *,
        version: str,
        refusals: Iterable[tuple[int, str]] = (),
        drop_reasons: Iterable[str] = (),
        laws: Iterable[str] = (),
    ) -> None:
        # Without it every counter has a second gauge beside it. prometheus-client gives it no types.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._live: dict[str, tuple[str, str]] = {}  # tenant and shop of every live call, by call id
        self._bindings: dict[tuple[str, str, str], int] = {}  # of every registered booth

        self._calls_active = _Children(
            Gauge(
                "sipshop_calls_active",
                "Calls that are alive, from the INVITE on.",
                ("tenant", "shop"),
                registry=registry,
            )
        )
        self._registrations = _Children(
            Gauge(
                "sipshop_registrations",
                "Bindings of phones (RFC 3261 section 10); a booth with two phones counts twice.",
                ("tenant", "shop"),
                registry=registry,
            )
        )
        self._reachable = _Children(
            Gauge(
                "sipshop_booth_reachable",
                "1 while a phone of the booth is registered and answers, else 0; none before its first registration.",
                ("tenant", "shop", "booth"),
                registry=registry,
            )
        )
        self._calls = _Children(
            Counter(
                "sipshop_calls",
                f'Calls that are over, by result and by the trunk that took them; carrier="{NO_CARRIER}": none was.',
                ("tenant", "result", "carrier"),
                registry=registry,
            )
        )
        self._refused = _Children(
            Counter(
                "sipshop_refused",
                "Requests that were refused, by SIP status and cause.",
                ("status", "cause"),
                registry=registry,
            )
        )
        self._dropped = _Children(
            Counter(
                "sipshop_dropped",
                "Messages that were dropped without an answer, by reason.",
                ("reason",),
                registry=registry,
            )
        )
        self._tried = _Children(
            Counter(
                "sipshop_trunk_attempts",
                "Attempts of calls on a trunk, by how they came out.",
                ("tenant", "trunk", "outcome"),
                registry=registry,
            )
        )
        self._trunk_up = _Children(
            Gauge(
                "sipshop_trunk_up",
                "1, or 0 since calls or probes in a row were missed or the carrier asked for time, until he answers.",
                ("tenant", "trunk"),
                registry=registry,
            )
        )
        self._trunk_registered = _Children(
            Gauge(
                "sipshop_trunk_registered",
                "1 while a carrier that we register with knows us, else 0.",
                ("tenant", "trunk"),
                registry=registry,
            )
        )
        self._trunk_rtt = _Children(
            Gauge(
                "sipshop_trunk_rtt_seconds",
                "How long the last OPTIONS that a carrier answered was away.",
                ("tenant", "trunk"),
                registry=registry,
            )
        )
        self._losses = _Children(
            Counter(
                "sipshop_losses",
                "Calls that were made although a party loses on them, by party or by the trunk for the provider.",
                ("tenant", "party"),
                registry=registry,
            )
        )
        self._alerts = _Children(
            Counter(
                "sipshop_alerts",
                "What people were told of: calls beyond a limit, little left, too much granted.",
                ("tenant", "kind"),
                registry=registry,
            )
        )
        self._violations = _Children(
            Gauge(
                "sipshop_audit_violations",
                "Breaches of each law of the ledger that the last audit found.",
                ("law",),
                registry=registry,
            )
        )
        self._audited = Gauge(
            "sipshop_audit_timestamp_seconds",
            "When the last audit ended, since the Unix epoch; 0 before the first.",
            registry=registry,
        )
        self._certified = Gauge(
            "sipshop_certificate_expiry_timestamp_seconds",
            "When the certificate of HTTPS (http) or of SIP by TLS (sip) expires, since the Unix epoch; 0 without.",
            ("listener",),
            registry=registry,
        )
        self.certified({"http": 0, "sip": 0})
        self._setup = _Children(
            Histogram(
                "sipshop_setup_seconds",
                "From a booth's INVITE to the first 18x (180) and to the 2xx (200) that it was sent.",
                ("to",),
                buckets=_SETUP_S,
                registry=registry,
            )
        )
        self._added = Histogram(
            "sipshop_added_seconds",
            "What we add to the setup of an answered call, the commit of its answer included.",
            buckets=_ADDED_S,
            registry=registry,
        )
        self._commit = Histogram(
            "sipshop_commit_seconds",
            "One group commit of the journal, from BEGIN to the disk's answer.",
            buckets=_COMMIT_S,
            registry=registry,
        )
        self._writes = Counter("sipshop_commit_writes", "Writes in the journal's group commits.", registry=registry)
        self._lag = Histogram(
            "sipshop_loop_lag_seconds",
            "How late the event loop runs what was due.",
            buckets=_LAG_S,
            registry=registry,
        )
        self._gauges = _Gauges()
        registry.register(self._gauges)
        ProcessCollector(namespace="sipshop", registry=registry)
        Info("sipshop_build", "What is running.", registry=registry).info(
            {"version": version, "python": platform.python_version()}
        )

        for to in ("180", "200"):
            self._setup[to,]
        for status, cause in refusals:
            self._refused[str(status), cause]
        for reason in drop_reasons:
            self._dropped[reason,]
        for law in laws:
            self._violations[law,]

    def expect(
        self, tenant: str, *, shops: Iterable[str] = (), trunks: Iterable[str] = (), parties: Iterable[str] = ()
    ) -> None:
        """Make the series of a tenant's shops, trunks and parties exist; again for a world that has grown."""
        names = tuple(trunks)
        for kind in ALERT_KINDS:
            self._alerts[tenant, kind]
        for loser in (*parties, *names):
            self._losses[tenant, loser]
        for trunk in names:
            if (tenant, trunk) not in self._trunk_up:
                self._trunk_up[tenant, trunk].set(1)
            for outcome in TRUNK_OUTCOMES:
                self._tried[tenant, trunk, outcome]
        for shop in shops:
            self._calls_active[tenant, shop]
            self._registrations[tenant, shop]
        for carrier in (NO_CARRIER, *names):
            for result in Result:
                self._calls[tenant, result.value, carrier]

    def watch(
        self,
        *,
        tables: Callable[[], Mapping[str, int]],
        journal_pending: Callable[[], int],
        money: Callable[[], Iterable[PartyMoney]] = tuple,
        disk: Callable[[], Disk] | None = None,
        alerts: Callable[[], Mapping[str, int]] = dict,
        targets: Callable[[], Iterable[TargetStatus]] = tuple,
    ) -> None:
        """Ask these at every scrape.

        The size of each table of the engine, the writes that wait for a commit, the parties' accounts, the disk, the
        open alerts of each tenant, the targets of the export.
        """
        self._gauges.alerts = alerts
        self._gauges.tables = tables
        self._gauges.journal_pending = journal_pending
        self._gauges.money = money
        self._gauges.disk = disk
        self._gauges.targets = targets

    def count(self, fact: Fact) -> None:
        """Take note of one fact; of a call's end only once, and only if its beginning was seen."""
        match fact:
            case CallAttempted():
                if fact.call_id not in self._live:
                    self._live[fact.call_id] = fact.tenant, fact.shop
                    self._calls_active[fact.tenant, fact.shop].inc()
            case CallRang():
                self._setup["180",].observe(fact.after_ms / 1e3)
            case CallAnswered():
                self._setup["200",].observe(fact.after_ms / 1e3)
                self._added.observe(fact.added_us / 1e6)
            case CallEnded():
                # A call that a former process left behind ends here without ever having been live here.
                shop = self._live.pop(fact.call_id, None)
                if shop is not None:
                    self._calls_active[shop].dec()
                self._calls[fact.tenant, fact.result, fact.trunk or NO_CARRIER].inc()
            case TrunkTried() | TrunkChanged() | TrunkProbed():
                self._note_trunk(fact)
            case RegistrationChanged():
                self._count_bindings(fact)
            case RequestRefused():
                self._refused[str(fact.status), fact.cause].inc()
            case MessageDropped():
                self._dropped[fact.reason,].inc(fact.times)
            case AlertRaised() | LossSeen():
                self._note_trouble(fact)

    def committed(self, seconds: float, writes: int) -> None:
        """One group commit of the journal took `seconds` and held `writes` writes."""
        self._commit.observe(seconds)
        self._writes.inc(writes)

    def audited(self, violations: Mapping[str, int], at_s: float) -> None:
        """An audit ended at this instant (since the Unix epoch), with so many breaches of each law."""
        for law, count in violations.items():
            self._violations[law,].set(count)
        self._audited.set(at_s)

    def certified(self, until_s: Mapping[str, int]) -> None:
        """The certificate of each listener expires at this instant (since the Unix epoch); 0 where there is none."""
        for listener, at_s in until_s.items():
            self._certified.labels(listener).set(at_s)

    def lagged(self, seconds: float) -> None:
        """The event loop was `seconds` late for something that was due."""
        self._lag.observe(seconds)

    def render(self) -> bytes:
        """Every series as it is now, in the format that `content_type` names."""
        return generate_latest(self.registry)

    def _note_trouble(self, fact: AlertRaised | LossSeen) -> None:
        match fact:
            case AlertRaised():
                self._alerts[fact.tenant, fact.kind].inc()
            case LossSeen():
                self._losses[fact.tenant, fact.party].inc()

    def _note_trunk(self, fact: TrunkTried | TrunkChanged | TrunkProbed) -> None:
        trunk = (fact.tenant, fact.trunk)
        match fact:
            case TrunkTried(outcome=outcome):
                self._tried[*trunk, outcome].inc()
            case TrunkProbed(rtt_s=rtt_s):
                self._trunk_rtt[trunk].set(rtt_s)
            case TrunkChanged(state=state, registration=registration):
                self._trunk_up[trunk].set(state in {"up", "gone"})
                if registration is None:
                    self._trunk_registered.drop(trunk)
                else:
                    self._trunk_registered[trunk].set(registration == "registered")

    def _count_bindings(self, fact: RegistrationChanged) -> None:
        booth = (fact.tenant, fact.shop, fact.booth)
        self._reachable[booth].set(fact.reachable > 0)
        before = self._bindings.pop(booth, 0)
        if fact.bindings:
            self._bindings[booth] = fact.bindings
        self._registrations[fact.tenant, fact.shop].inc(fact.bindings - before)


class _Children(dict[tuple[str, ...], _Wrapper], Generic[_Wrapper]):
    """The series of one metric by their label values: made once, then found without the family's lock."""

    def __init__(self, family: _Wrapper) -> None:
        super().__init__()
        self._family = family

    def __missing__(self, labels: tuple[str, ...]) -> _Wrapper:
        child = self[labels] = self._family.labels(*labels)
        return child

    def drop(self, labels: tuple[str, ...]) -> None:
        """Have no such series any more."""
        if self.pop(labels, None) is not None:
            self._family.remove(*labels)


class _Gauges(Collector):
    """What is measured when it is asked for, and costs nothing in between."""

    def __init__(self) -> None:
        self.tables: Callable[[], Mapping[str, int]] = dict
        self.journal_pending: Callable[[], int] = int
        self.money: Callable[[], Iterable[PartyMoney]] = tuple
        self.disk: Callable[[], Disk] | None = None
        self.alerts: Callable[[], Mapping[str, int]] = dict
        self.targets: Callable[[], Iterable[TargetStatus]] = tuple

    def collect(self) -> Iterator[Metric]:
        sizes = GaugeMetricFamily("sipshop_table_size", "Entries in a table of the engine.", labels=("table",))
        for table, size in self.tables().items():
            sizes.add_metric((table,), size)
        yield sizes
        yield GaugeMetricFamily(
            "sipshop_journal_pending", "Writes that wait for their commit.", value=self.journal_pending()
        )
        alerts = GaugeMetricFamily(
            "sipshop_alerts_open", "Alerts that neither healed nor were taken note of.", labels=("tenant",)
        )
        for tenant, count in self.alerts().items():
            alerts.add_metric((tenant,), count)
        yield alerts
        yield from _money(self.money())
        if self.disk is not None:
            yield from _disk(self.disk())
        yield from _targets(self.targets())


def _targets(targets: Iterable[TargetStatus]) -> tuple[Metric, ...]:
    labels = ("tenant", "target")
    backlog = GaugeMetricFamily("sipshop_export_backlog", "Records that a target has yet to get.", labels=labels)
    age = GaugeMetricFamily(
        "sipshop_export_age_seconds", "Since the call ended that a target gets next; 0: it has them all.", labels=labels
    )
    parked = GaugeMetricFamily("sipshop_export_parked", "Records that a target refused.", labels=labels)
    failures = GaugeMetricFamily("sipshop_export_failures", "Tries in a row that failed.", labels=labels)
    delivered = CounterMetricFamily("sipshop_export_delivered", "Records that a target has.", labels=labels)
    skipped = CounterMetricFamily("sipshop_export_skipped", "Records that a target never gets.", labels=labels)
    for status in targets:
        key, seen = (status.tenant, status.target), status.standing
        age.add_metric(key, status.age_s)
        failures.add_metric(key, status.failures)
        if seen is not None:
            backlog.add_metric(key, seen.backlog)
            parked.add_metric(key, seen.parked_count)
            delivered.add_metric(key, seen.delivered)
            skipped.add_metric(key, seen.skipped)
    return backlog, age, parked, failures, delivered, skipped


def _money(parties: Iterable[PartyMoney]) -> tuple[Metric, ...]:
    labels = ("tenant", "party", "currency")
    balance = GaugeMetricFamily("sipshop_party_balance", "What a party has with the one above it.", labels=labels)
    held = GaugeMetricFamily("sipshop_party_held", "What live calls hold of it.", labels=labels)
    available = GaugeMetricFamily(
        "sipshop_party_available",
        "Balance and credit limit less what is held; none for a party that is never refused.",
        labels=labels,
    )
    charged = CounterMetricFamily("sipshop_party_charged", "What calls have cost a party.", labels=labels)
    for party in parties:
        key = (party.tenant, party.party, party.currency)
        balance.add_metric(key, party.balance_micros / _MICROS)
        held.add_metric(key, party.held_micros / _MICROS)
        charged.add_metric(key, party.charged_micros / _MICROS)
        if party.available_micros is not None:
            available.add_metric(key, party.available_micros / _MICROS)
    return balance, held, available, charged


def _disk(disk: Disk) -> Iterator[Metric]:
    yield GaugeMetricFamily("sipshop_disk_size_bytes", "The database's filesystem.", value=disk.size_bytes)
    yield GaugeMetricFamily("sipshop_disk_free_bytes", "What is left of it for us.", value=disk.free_bytes)
    sizes = GaugeMetricFamily("sipshop_database_bytes", "The database's file, and its log.", labels=("file",))
    sizes.add_metric(("database",), disk.database_bytes)
    sizes.add_metric(("log",), disk.log_bytes)
    yield sizes
