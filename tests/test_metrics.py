import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sipshop.billing.cdr import Result
from sipshop.facts import (
    TRUNK_OUTCOMES,
    CallAnswered,
    CallAttempted,
    CallEnded,
    CallRang,
    Fact,
    MessageDropped,
    RegistrationChanged,
    RequestRefused,
    TrunkChanged,
    TrunkProbed,
    TrunkTried,
)
from sipshop.metrics import NO_CARRIER, Metrics
from sipshop.store import Disk
from sipshop.switch import DROP_REASONS, PartyMoney, refusal_series

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(metrics: Metrics) -> Series:
    """Every series of a scrape, as Prometheus' own parser reads them."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return scrape(metrics).get((name, frozenset(labels.items())))


def fresh(*facts: Fact) -> Metrics:
    metrics = Metrics(version="1.2.3", refusals=refusal_series(), drop_reasons=DROP_REASONS)
    metrics.expect("acme", shops=["center", "harbour"], trunks=["demo"])
    for fact in facts:
        metrics.count(fact)
    return metrics


def attempted(call_id: str, shop: str = "center") -> CallAttempted:
    return CallAttempted(
        tenant="acme", shop=shop, booth="b1", call_id=call_id, kind="call", direction="outbound", at_ms=0
    )


def ended(call_id: str, result: Result = Result.ANSWERED, trunk: str | None = "demo") -> CallEnded:
    return CallEnded(
        call_id=call_id,
        tenant="acme",
        shop="center",
        booth="b1",
        trunk=trunk,
        talk_ms=1000,
        result=result.value,
        sip_status=200,
        q850=16,
        hung_up_by="caller",
    )


def registered(booth: str, bindings: int, shop: str = "center") -> RegistrationChanged:
    return RegistrationChanged(tenant="acme", shop=shop, booth=booth, bindings=bindings, reachable=bindings)


# Present from the start


@pytest.mark.parametrize(
    "name",
    [
        "sipshop_calls_active{tenant=acme,shop=center}",
        "sipshop_calls_active{tenant=acme,shop=harbour}",
        "sipshop_registrations{tenant=acme,shop=center}",
        "sipshop_setup_seconds_count{to=180}",
        "sipshop_setup_seconds_count{to=200}",
        "sipshop_added_seconds_count",
        "sipshop_commit_seconds_count",
        "sipshop_commit_writes_total",
        "sipshop_loop_lag_seconds_count",
        "sipshop_journal_pending",
        *(f"sipshop_dropped_total{{reason={reason}}}" for reason in DROP_REASONS),
        *(f"sipshop_refused_total{{status={status},cause={cause}}}" for status, cause in refusal_series()),
        *(
            f"sipshop_calls_total{{tenant=acme,result={result},carrier={carrier}}}"
            for result in Result
            for carrier in ("demo", NO_CARRIER)
        ),
    ],
)
def test_a_series_is_there_with_zero_before_anything_happens(name: str) -> None:
    labels = dict(re.findall(r"(\w+)=([\w-]+)", name))
    assert value(fresh(), name.partition("{")[0], **labels) == 0


def test_the_build_is_told() -> None:
    [(_, labels)] = [key for key in scrape(fresh()) if key[0] == "sipshop_build_info"]
    assert ("version", "1.2.3") in labels


def test_the_process_is_measured() -> None:
    assert (value(fresh(), "sipshop_process_resident_memory_bytes") or 0) > 1_000_000


def test_every_name_is_ours_and_no_counter_has_a_shadow() -> None:
    names = {name for name, _ in scrape(fresh())}
    assert all(name.startswith("sipshop_") for name in names)
    assert not [name for name in names if name.endswith("_created")]


def test_two_registries_do_not_share_their_counts() -> None:
    fresh(MessageDropped(reason="malformed"))
    assert value(fresh(), "sipshop_dropped_total", reason="malformed") == 0


# Calls


@pytest.mark.parametrize(
    ("facts", "active"),
    [
        pytest.param([attempted("a")], 1, id="one"),
        pytest.param([attempted("a"), attempted("b")], 2, id="two"),
        pytest.param([attempted("a"), attempted("a")], 1, id="the same one told twice"),
        pytest.param([attempted("a"), attempted("b"), ended("a")], 1, id="one of two is over"),
        pytest.param([attempted("a"), ended("a"), ended("a")], 0, id="over is over once"),
        pytest.param([ended("a")], 0, id="the end of a call of a former process"),
        pytest.param([attempted("a", shop="harbour")], 0, id="another shop's"),
    ],
)
def test_active_calls(facts: Iterable[Fact], active: int) -> None:
    assert value(fresh(*facts), "sipshop_calls_active", tenant="acme", shop="center") == active


@pytest.mark.parametrize(
    ("result", "trunk", "carrier"),
    [
        pytest.param(Result.ANSWERED, "demo", "demo", id="answered"),
        pytest.param(Result.BUSY, "demo", "demo", id="busy"),
        pytest.param(Result.REFUSED, None, "none", id="no trunk was tried"),
        pytest.param(Result.FAILED, "new", "new", id="a trunk that nobody announced"),
    ],
)
def test_calls_by_result_and_carrier(result: Result, trunk: str | None, carrier: str) -> None:
    metrics = fresh(ended("a", result, trunk))
    assert value(metrics, "sipshop_calls_total", tenant="acme", result=result.value, carrier=carrier) == 1


def test_setup_is_measured_to_the_ringing_and_to_the_answer() -> None:
    metrics = fresh(
        CallRang(call_id="a", tenant="t", shop="center", booth="b1", after_ms=150),
        CallAnswered(
            call_id="a",
            tenant="t",
            shop="center",
            booth="b1",
            trunk="demo",
            relayed_at_ms=0,
            after_ms=4_000,
            added_us=1_500,
        ),
    )
    assert value(metrics, "sipshop_setup_seconds_sum", to="180") == 0.15
    assert value(metrics, "sipshop_setup_seconds_sum", to="200") == 4.0
    assert value(metrics, "sipshop_added_seconds_sum") == 0.0015


@pytest.mark.parametrize(
    ("added_us", "bucket"),
    [(250, "0.00025"), (251, "0.0005"), (1_000, "0.001"), (2_000_000, "2.0"), (2_000_001, "+Inf")],
)
def test_the_first_bucket_in_which_our_own_part_is_counted(added_us: int, bucket: str) -> None:
    answered = CallAnswered(
        call_id="a", tenant="t", shop="center", booth="b1", trunk="demo", relayed_at_ms=0, after_ms=0, added_us=added_us
    )
    buckets = {
        dict(labels)["le"]: count
        for (name, labels), count in scrape(fresh(answered)).items()
        if "added_seconds_b" in name
    }
    assert min((le for le, count in buckets.items() if count), key=float) == bucket


# Trunks


def tried(*outcomes: str, trunk: str = "first") -> list[Fact]:
    return [TrunkTried(tenant="acme", trunk=trunk, outcome=outcome) for outcome in outcomes]


def test_every_attempt_on_a_trunk_is_counted_by_how_it_came_out() -> None:
    metrics = Metrics(version="1")
    outcomes = ["failed", "silent", "silent", "answered"]
    for fact in [*tried(*outcomes), *tried("answered", trunk="second")]:
        metrics.count(fact)
    metrics.expect("acme", trunks=["first"])
    for outcome in TRUNK_OUTCOMES:
        found = value(metrics, "sipshop_trunk_attempts_total", tenant="acme", trunk="first", outcome=outcome)
        assert found == outcomes.count(outcome)


def changed(state: str, registration: str | None = None) -> TrunkChanged:
    return TrunkChanged(tenant="acme", trunk="first", state=state, registration=registration, status=200)


@pytest.mark.parametrize(
    ("states", "up"),
    [
        pytest.param([], 1, id="nothing is known against it"),
        pytest.param(["down"], 0, id="down"),
        pytest.param(["down", "half_open"], 0, id="on trial it is not up yet"),
        pytest.param(["down", "half_open", "up"], 1, id="back"),
        pytest.param(["down", "gone"], 1, id="who is in use no more calls nobody out of bed"),
    ],
)
def test_a_trunk_is_up_as_its_health_says(states: list[str], up: int) -> None:
    metrics = Metrics(version="1")
    metrics.expect("acme", trunks=["first"])
    metrics.expect("umbrella", trunks=["first"])
    for state in states:
        metrics.count(changed(state))
    metrics.expect("acme", trunks=["first", "third"])  # a world that has grown
    assert value(metrics, "sipshop_trunk_up", tenant="acme", trunk="first") == up
    assert value(metrics, "sipshop_trunk_up", tenant="acme", trunk="third") == 1
    assert value(metrics, "sipshop_trunk_up", tenant="umbrella", trunk="first") == 1


def test_who_registers_has_a_series_while_he_does() -> None:
    metrics = Metrics(version="1")
    told = []
    for fact in (changed("up", "registering"), changed("up", "registered"), changed("up", "failed")):
        metrics.count(fact)
        told.append(value(metrics, "sipshop_trunk_registered", tenant="acme", trunk="first"))
    assert told == [0, 1, 0]
    metrics.count(changed("gone"))
    assert b"sipshop_trunk_registered{" not in metrics.render()


def test_a_booth_is_reachable_while_one_of_its_phones_answers() -> None:
    metrics = Metrics(version="1")
    seen = []
    for bindings, reachable in ((2, 2), (2, 1), (2, 0), (1, 1), (0, 0)):
        metrics.count(replace(registered("b1", bindings), reachable=reachable))
        seen.append(value(metrics, "sipshop_booth_reachable", tenant="acme", shop="center", booth="b1"))
    assert seen == [1, 1, 0, 1, 0]


def test_the_last_probe_is_told_in_seconds() -> None:
    metrics = Metrics(version="1")
    metrics.count(TrunkProbed(tenant="acme", trunk="first", rtt_s=0.025))
    assert value(metrics, "sipshop_trunk_rtt_seconds", tenant="acme", trunk="first") == 0.025


# Money and the disk


def test_a_partys_money_is_told_in_units_of_its_currency() -> None:
    metrics = Metrics(version="1")
    limited = PartyMoney(
        tenant="acme",
        party="zoe",
        currency="EUR",
        balance_micros=-1_500_000,
        held_micros=250_000,
        available_micros=3_250_000,
        charged_micros=7_000_000,
    )
    money = [limited, replace(limited, party="rhea", available_micros=None)]
    metrics.watch(tables=dict, journal_pending=int, money=lambda: money)
    told = {
        name: value(metrics, f"sipshop_party_{name}", tenant="acme", party="zoe", currency="EUR")
        for name in ("balance", "held", "available", "charged_total")
    }
    assert told == {"balance": -1.5, "held": 0.25, "available": 3.25, "charged_total": 7.0}
    assert value(metrics, "sipshop_party_available", tenant="acme", party="rhea", currency="EUR") is None


def test_the_disk_is_looked_at_when_it_is_asked_for() -> None:
    metrics = Metrics(version="1")
    metrics.watch(
        tables=dict,
        journal_pending=int,
        disk=lambda: Disk(size_bytes=4, free_bytes=3, database_bytes=2, log_bytes=1),
    )
    assert value(metrics, "sipshop_disk_free_bytes") == 3
    assert value(metrics, "sipshop_database_bytes", file="log") == 1


# Registrations, refusals, drops


@pytest.mark.parametrize(
    ("facts", "bindings"),
    [
        pytest.param([registered("b1", 1), registered("b2", 1)], 2, id="two booths"),
        pytest.param([registered("b1", 2)], 2, id="two phones of one booth"),
        pytest.param([registered("b1", 1), registered("b1", 1)], 1, id="a refresh adds nothing"),
        pytest.param([registered("b1", 2), registered("b1", 1)], 1, id="one of two went away"),
        pytest.param([registered("b1", 1), registered("b1", 0)], 0, id="gone"),
        pytest.param([registered("b1", 0)], 0, id="gone without having come"),
        pytest.param([registered("b1", 1, shop="harbour")], 0, id="another shop's"),
    ],
)
def test_registrations(facts: Iterable[Fact], bindings: int) -> None:
    assert value(fresh(*facts), "sipshop_registrations", tenant="acme", shop="center") == bindings


def test_refusals_by_status_and_cause() -> None:
    metrics = fresh(
        *(RequestRefused(status=403, cause=cause, shop=None) for cause in ("locked", "locked", "suspended"))
    )
    assert value(metrics, "sipshop_refused_total", status="403", cause="locked") == 2
    assert value(metrics, "sipshop_refused_total", status="403", cause="suspended") == 1


def test_drops_by_reason() -> None:
    metrics = fresh(MessageDropped(reason="malformed"), MessageDropped(reason="new"))
    assert value(metrics, "sipshop_dropped_total", reason="malformed") == 1
    assert value(metrics, "sipshop_dropped_total", reason="new") == 1


# What is measured


def test_commits_and_their_writes() -> None:
    metrics = fresh()
    metrics.committed(0.004, 3)
    metrics.committed(0.006, 1)
    assert value(metrics, "sipshop_commit_seconds_count") == 2
    assert value(metrics, "sipshop_commit_seconds_sum") == 0.01
    assert value(metrics, "sipshop_commit_writes_total") == 4


def test_the_lag_of_the_loop() -> None:
    metrics = fresh()
    metrics.lagged(0.25)
    assert value(metrics, "sipshop_loop_lag_seconds_sum") == 0.25


def test_tables_are_measured_when_they_are_asked_for() -> None:
    metrics = fresh()
    sizes = {"calls": 0, "timers": 0}
    pending: list[str] = []
    metrics.watch(tables=lambda: sizes, journal_pending=lambda: len(pending))
    assert value(metrics, "sipshop_table_size", table="calls") == 0
    sizes["calls"] = 7
    pending.append("a write")
    assert value(metrics, "sipshop_table_size", table="calls") == 7
    assert value(metrics, "sipshop_journal_pending") == 1


def test_a_world_that_grew_keeps_its_counts() -> None:
    metrics = fresh(attempted("a"))
    metrics.expect("acme", shops=["center", "airport"], trunks=["demo", "second"])
    assert value(metrics, "sipshop_calls_active", tenant="acme", shop="center") == 1
    assert value(metrics, "sipshop_calls_active", tenant="acme", shop="airport") == 0
    assert value(metrics, "sipshop_calls_total", tenant="acme", result="busy", carrier="second") == 0
