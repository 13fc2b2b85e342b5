"""The documents say what is: names, numbers and links in them are held against the code."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from prometheus_client.core import Metric

from sipshop.demo.numbers import NUMBERS
from sipshop.export.couriers import TargetStatus
from sipshop.facts import TRUNK_OUTCOMES, LossSeen, RegistrationChanged, TrunkChanged, TrunkProbed
from sipshop.load import fetch_secret
from sipshop.metrics import Metrics
from sipshop.proxy.admission import Cause
from sipshop.settings import parse_settings
from sipshop.store import LAWS, Disk, Standing
from sipshop.switch import DROP_REASONS, PartyMoney, refusal_series
from sipshop.switch.refusals import REFUSALS
from sipshop.world import parse_world
from tools import draw_picture, draw_states

ROOT: Final = Path(__file__).parent.parent
DOCUMENTS: Final = sorted(
    path.relative_to(ROOT)
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("sipp-scenarios/*.md"))
)
PACKAGE: Final = ROOT / "sipshop"
MODULES: Final = sorted(
    str(path.relative_to(PACKAGE).with_suffix(""))
    for path in PACKAGE.rglob("*.py")
    if path.name not in {"__init__.py", "__main__.py"} and "migrations" not in path.parts  # Alembic runs those
)
ROOMS: Final = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))

LONGEST_ARCHITECTURE: Final = 150


def text_of(document: str | Path) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def outside_code(markdown: str) -> str:
    """A document without its blocks and spans of code, where nothing is a link or a heading."""
    without_blocks = re.sub(r"^```.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"^ {4}.*$", "", without_blocks, flags=re.MULTILINE)


# Links


def links(document: Path) -> Iterator[str]:
    """Every target in a document that is meant to be in this repository."""
    text = re.sub(r"`[^`\n]*`", "", outside_code(text_of(document)))
    found = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    found += re.findall(r'(?:src|srcset|href)="([^"]+)"', text)
    return (target for target in found if not re.match(r"[a-z]+:", target))


def anchors(document: Path) -> set[str]:
    """What may stand after # in a link to a document: its headings, as forges write them."""
    headings = re.findall(r"^#+ (.*)$", outside_code(text_of(document)), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", [pytest.param(path, id=str(path)) for path in DOCUMENTS])
def test_links_lead_somewhere(document: Path) -> None:
    dead = []
    for target in links(document):
        name, _, anchor = target.partition("#")
        path = (ROOT / document.parent / name).resolve() if name else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path.relative_to(ROOT))):
            dead.append(target)
    assert dead == []


def test_every_decision_is_in_the_index() -> None:
    records = {path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md")}
    assert set(re.findall(r"\((\d{4}-[\w-]+\.md)\)", text_of("docs/decisions/README.md"))) == records


# ARCHITECTURE.md


def test_the_architecture_is_read_in_one_sitting() -> None:
    assert len(text_of("ARCHITECTURE.md").splitlines()) <= LONGEST_ARCHITECTURE


def names_in_architecture() -> list[str]:
    """The spans of code in it that name a room, a module, or something in one."""
    spans = re.findall(r"`([^`\n]+)`", text_of("ARCHITECTURE.md"))
    known = {*ROOMS, *MODULES}
    return [span for span in spans if "/" in span or span.partition(".")[0] in known]


@pytest.mark.parametrize("name", sorted({*ROOMS, *MODULES, "__main__"}))
def test_the_architecture_names_every_room_and_module(name: str) -> None:
    assert f"`{name}`" in text_of("ARCHITECTURE.md")


@pytest.mark.parametrize("name", sorted(set(names_in_architecture())))
def test_what_the_architecture_names_is_there(name: str) -> None:
    if (ROOT / name).exists():
        return
    path, *attributes = name.split(".")
    found: Any = import_module(f"sipshop.{path.replace('/', '.')}")
    for attribute in attributes:
        found = getattr(found, attribute)


# Drawn pages


def test_the_state_diagrams_are_those_of_the_tables() -> None:
    assert draw_states.STATES.read_text(encoding="utf-8") == draw_states.page(), "run tools/draw_states.py"


@pytest.mark.parametrize("theme", sorted(draw_picture.PALETTES))
def test_the_picture_is_the_one_that_its_script_draws(theme: str) -> None:
    drawn = draw_picture.picture(draw_picture.PALETTES[theme])
    assert draw_picture.path_of(theme).read_text(encoding="utf-8") == drawn, "run tools/draw_picture.py"


# docs/metrics.md


def signature(family: Metric) -> tuple[str, str]:
    """A metric as the page writes it, with its type."""
    name = f"{family.name}_total" if family.type == "counter" else family.name
    name = f"{family.name}_info" if family.type == "info" else name
    labels = dict.fromkeys(label for sample in family.samples for label in sample.labels if label != "le")
    return (
        f"{name}{{{','.join(sorted(labels))}}}" if labels else name,
        "gauge" if family.type == "info" else family.type,
    )


def test_every_metric_is_explained_and_no_other() -> None:
    metrics = Metrics(version="1", refusals=refusal_series(), drop_reasons=DROP_REASONS, laws=LAWS)
    metrics.count(TrunkChanged(tenant="t", trunk="demo", state="up", registration="registered", status=200))
    metrics.count(TrunkProbed(tenant="t", trunk="demo", rtt_s=0.01))
    metrics.count(LossSeen(tenant="t", party="ann", call_id="c"))
    metrics.count(RegistrationChanged(tenant="t", shop="corner", booth="b", bindings=1, reachable=1))
    metrics.expect("t", shops=["corner"], trunks=["demo"])
    money = PartyMoney(
        tenant="t",
        party="ann",
        currency="EUR",
        balance_micros=1,
        held_micros=0,
        available_micros=1,
        charged_micros=0,
    )
    target = TargetStatus(
        tenant="t",
        target="books",
        where="file cdr.jsonl",
        state="idle",
        standing=Standing(first=0, taken=2, delivered=1, skipped=1, last=3, oldest_at_ms=1),
        failures=0,
        why="",
        next_try_s=None,
        age_s=1.0,
    )
    metrics.watch(
        tables=lambda: {"calls": 0},
        journal_pending=lambda: 0,
        money=lambda: [money],
        disk=lambda: Disk(size_bytes=4, free_bytes=3, database_bytes=2, log_bytes=1),
        alerts=lambda: {"t": 0},
        targets=lambda: [target],
    )
    exposed = {signature(family) for family in metrics.registry.collect()}
    rows = re.findall(r"^\| `(sipshop_\w+)(?:\{([\w,]+)\})?` \| (\w+) \|", text_of("docs/metrics.md"), re.MULTILINE)
    explained = {
        (f"{name}{{{','.join(sorted(labels.split(',')))}}}" if labels else name, kind) for name, labels, kind in rows
    }
    assert explained == exposed


def test_every_cause_of_a_refusal_is_explained_with_its_statuses() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\d, ]+) \|", text_of("docs/metrics.md"), re.MULTILINE)
    explained = {(int(status), cause) for cause, statuses in rows for status in statuses.split(",")}
    assert explained == set(refusal_series())


def test_every_outcome_of_an_attempt_is_explained() -> None:
    table = text_of("docs/metrics.md").partition("| `outcome` |")[2].partition("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE)) == TRUNK_OUTCOMES


def test_every_reason_of_a_drop_is_explained() -> None:
    table = text_of("docs/metrics.md").partition("| `reason` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(DROP_REASONS)


# docs/demo.md


def test_the_demo_carriers_numbers_are_those_of_its_table() -> None:
    table = text_of("docs/demo.md").partition("<!-- numbers:")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (\d+|anything else) \| ([^|]+) \|", table, re.MULTILINE)
    assert [(ending, says) for ending, says in rows] == [
        (script.ending or "anything else", script.says) for script in NUMBERS
    ]


# docs/troubleshooting.md, docs/decks.md, docs/trunks.md, docs/install.md


@pytest.mark.parametrize("cause", [cause for cause in REFUSALS if cause is not Cause.UNAUTHENTICATED])
def test_what_a_refused_phone_shows_is_looked_up_by_status_and_words(cause: Cause) -> None:
    refusal = REFUSALS[cause]
    assert f"\n| {refusal.status} {refusal.phrase} |" in text_of("docs/troubleshooting.md")


def examples(document: str) -> list[str]:
    """The YAML that a document shows."""
    return re.findall(r"^```yaml\n(.*?)^```$", text_of(document), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("document", "key"), [("docs/decks.md", "decks"), ("docs/trunks.md", "trunks"), ("docs/limits.md", "owners")]
)
def test_the_first_example_of_a_page_is_taken_by_a_world(document: str, key: str) -> None:
    world = yaml.safe_load(text_of("conf/trunks/static-ip.yaml"))
    shown = yaml.safe_load(examples(document)[0])[key]
    names = {entry["name"] for entry in shown}
    world[key] = [*shown, *(entry for entry in world[key] if entry["name"] not in names)]
    parse_world(yaml.safe_dump(world, sort_keys=False), document)


def test_the_configuration_of_the_installation_is_one() -> None:
    (text,) = examples("docs/install.md")
    parse_settings(text, "docs/install.md", fetch_secret)
