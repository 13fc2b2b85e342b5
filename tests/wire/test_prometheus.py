"""A real Prometheus scrapes the demo under calls: every query of every rule and dashboard finds something there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tools import make_dashboards

from .harness import HOST, ROOT, SIPSHOP, Program, Server, Sipp, free_port, until
from .prometheus import SHIPPED, Prometheus

pytestmark = pytest.mark.wire

RULES: Final = [
    rule
    for group in yaml.safe_load((SHIPPED / "sipshop.rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
DASHBOARDS: Final = sorted((ROOT / "conf" / "grafana" / "dashboards").glob("*.json"))


def queries() -> Iterator[object]:
    """Every query that we ship; those of alerts as 0 or 1 instead of nothing while all is well."""
    for rule in RULES:
        if "alert" in rule:
            compared = re.sub(r" (>|<|==) ", r" \1 bool ", rule["expr"])
            yield pytest.param(compared, id=rule["alert"])
        else:
            yield pytest.param(rule["expr"], id=f"expression of {rule['record']}")
            yield pytest.param(rule["record"], id=rule["record"])
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                yield pytest.param(target["expr"], id=f"{path.stem}: {panel['title']} {target['refId']}")


#: A trunk that no route leads to, with an account at a carrier who is away: what is told of registrations.
REGISTERED: Final = """\
  - {name: away, deck: carrier-sell, host: 127.0.0.1, port: 9, register: true, username: u, password: p}
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """It has seen the demo's world take calls that were answered, busy, and refused, and deliver their records."""
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    archive = {"name": "archive", "file": str(folder / "calls.jsonl")}
    world = (ROOT / "conf" / "demo.yaml").read_text(encoding="utf-8").replace("port: 5070", f"port: {port}")
    world = world.replace("\ntrunks:", "\ntrunks:\n" + REGISTERED, 1)
    with (
        Program([*SIPSHOP, "carrier", "--listen", f"{HOST}:{port}"], folder / "carrier.log") as carrier,
        Server(folder, world, targets=[archive]) as server,
        Prometheus(folder / "at", scrapes=server.http) as watching,
    ):
        carrier.saw("carrier: SIP on")
        server.ready()
        watching.ready()
        server.unlock("booth1", "booth2", "booth3")
        calls = [
            Sipp(scenario, folder / "sipp", to=server.sip, booth=booth, password=f"demo-{booth}", number=number)
            for scenario, booth, number in (
                ("call", "booth1", "030123456"),
                ("busy", "booth2", "030486"),
                ("unavailable", "booth3", "030503"),
                ("locked", "booth4", "030123456"),
            )
        ]
        for call in calls:
            call.passed()
        until(lambda: watching.ask("sipshop:party_runway_seconds"), "the rules worked out after the calls")
        yield watching


@pytest.mark.parametrize("query", list(queries()))
def test_a_query_finds_something(prometheus: Prometheus, query: str) -> None:
    found = prometheus.ask(query)
    assert found
    assert not any(series["value"][1] == "NaN" for series in found) or "histogram_quantile" in query


def test_what_it_has_seen_is_what_there_was(prometheus: Prometheus) -> None:
    attempts = prometheus.ask("sum by (outcome) (sipshop_trunk_attempts_total) > 0")
    outcomes = {series["metric"]["outcome"]: int(series["value"][1]) for series in attempts}
    assert outcomes.pop("failed") >= 1, "at every trunk that the route has"
    assert outcomes == {"answered": 1, "refused": 1}


def test_nothing_is_wrong_with_a_demo_that_works(prometheus: Prometheus) -> None:
    answer = prometheus.client.get("/api/v1/rules", params={"type": "alert"}).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert len(rules) == sum("alert" in rule for rule in RULES)
    assert [rule["name"] for rule in rules if rule.get("lastError")] == []
    firing = {rule["name"] for rule in rules if rule["state"] == "firing"}
    assert firing == set()


@pytest.mark.parametrize("name", sorted(make_dashboards.DASHBOARDS))
def test_a_dashboard_is_the_one_that_its_script_writes(name: str) -> None:
    written = (make_dashboards.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written == make_dashboards.text_of(name), "run tools/make_dashboards.py"


def test_every_dashboard_is_shipped() -> None:
    assert [path.stem for path in DASHBOARDS] == sorted(make_dashboards.DASHBOARDS)
