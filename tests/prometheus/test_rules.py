"""The rules for Prometheus: each alert fires when it should and not before, told by promtool."""

import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[2]
RULES: Final = ROOT / "conf/prometheus/sipshop.rules.yml"
TESTS: Final = Path(__file__).parent / "rules.test.yml"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def exported() -> dict[str, set[str]]:
    """The labels of every series by its name: of the page that another test holds against the server."""
    page = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(sipshop_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", page, re.MULTILINE)
    labels = {name: set(names.split(",")) - {""} for name, names, _ in found}
    buckets = {f"{name}_bucket": labels[name] | {"le"} for name, _, kind in found if kind == "histogram"}
    return labels | buckets | {"up": {"job", "instance"}}


def promtool(*words: str | Path) -> None:
    done = subprocess.run(["promtool", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.wire
def test_promtool_takes_the_configuration() -> None:
    promtool("check", "config", ROOT / "conf/prometheus/prometheus.yml")


@pytest.mark.wire
def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", TESTS)


def test_the_series_of_these_tests_are_those_that_the_server_has() -> None:
    known = exported()
    for test in yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]:
        for each in test["input_series"]:
            name, _, labels = each["series"].partition("{")
            assert set(re.findall(r"(\w+)=", labels)) == known[name], each["series"]


def test_every_alert_is_tested_both_ways() -> None:
    quiet, firing = yaml.safe_load(TESTS.read_text(encoding="utf-8"))["tests"]
    names = {alert["alert"] for alert in alerts()}
    assert {case["alertname"] for case in quiet["alert_rule_test"] if not case.get("exp_alerts")} == names
    assert {case["alertname"] for case in firing["alert_rule_test"] if case.get("exp_alerts")} == names


@pytest.mark.parametrize("alert", [pytest.param(alert, id=alert["alert"]) for alert in alerts()])
def test_an_alert_says_what_is_wrong_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"].keys() == {"summary", "description"}


def test_the_page_for_operators_has_every_alert() -> None:
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `(Sipshop\w+)` \| (\w+) \|", page, re.MULTILINE)
    assert told == [(alert["alert"], alert["labels"]["severity"]) for alert in alerts()]
