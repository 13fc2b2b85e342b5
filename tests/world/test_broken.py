"""Worlds that are broken on purpose: each is refused with its place, the exit code is 2, and nothing is changed."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sipshop import cli, config
from sipshop.cli import worlds
from sipshop.world import WorldErrors, parse_world
from tests.console.memory import TOKEN, WORLD_TEXT, MemoryDesk, memory_api, serving

RATE = '{prefix: "32", destination: Belgium, connect_fee: "0.05", first_s: 60, first_price: "0.12", next_s: 60}'
BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nd: [*c, *c]\n"

#: Name, what is replaced (all of it if empty), by what, and how an error begins: line, field, what is wrong.
BROKEN = [
    ("an empty file", "", " ", "1: is empty"),
    ("no table", "", "- a\n- b\n", "1: must be a table"),
    ("not YAML", "", "provider: {name: acme\nowners: [", "2: is not YAML"),
    ("a tab", "", "provider:\n\tname: acme\n", "2: is not YAML"),
    ("a YAML bomb", "", BOMB, "1: anchors (&) and aliases (*) are not read here"),
    ("an alias", "{name: acme}", "{name: *acme}", "1: anchors (&) and aliases (*) are not read here"),
    ("a tag", "{name: acme}", "{name: !!python/name:os.system x}", "1: tags (!) are not read here"),
    ("nested without end", "", "a: " + "[" * 40 + "]" * 40, "1: is nested more than 16 deep"),
    ("two documents", "", f"{WORLD_TEXT}---\n{WORLD_TEXT}", "27: a second document begins"),
    ("a control character", "{name: acme}", '{name: "ac\\x07me"}', "1: provider.name: 'ac\\x07me' is not a name"),
    ("a key twice", "{name: acme}", "{name: acme, name: acme}", "1: key 'name' is already at line 1"),
    ("an unknown part", "operators:", "operatros:", "24: operatros: unknown key; did you mean operators?"),
    ("an unknown key", "deck: to-rhea, unlimited", "deck: to-rhea, unlimitd", "2: resellers[0].unlimitd: unknown key"),
    ("another provider", "{name: acme}", "{name: umbrella}", "1: provider.name: this is the world of 'acme'"),
    ("no provider", "provider: {name: acme}\n", "", "1: provider: is missing"),
    ("nothing behind a key", "{name: acme}", "{name: }", "1: provider.name: has no value"),
    ("a list for a table", "{name: acme}", "[acme]", "1: provider: must be a table"),
    (
        "a table for a list",
        "[{name: rhea, deck: to-rhea, unlimited: true}]",
        "{name: rhea}",
        "2: resellers: must be a list",
    ),
    ("a table for a text", "shop: center}", "shop: {name: center}}", "25: operators[0].shop: must be a single value"),
    ("a name with a slash", "name: center", "name: center/left", "18: shops[0].name: 'center/left' is not a name"),
    ("a name of an account", "name: olga,", 'name: "olga@acme",', "3: owners[0].name: 'olga@acme' is not a name here"),
    ("a party twice", "name: olga,", "name: rhea,", "3: owners[0].name"),
    ("the provider again", "name: rhea,", "name: acme,", "2: resellers[0].name: is the name of the provider"),
    ("a parent that is not there", "deck: to-olga,", "deck: to-olga, parent: rhe,", "3: owners[0].parent"),
    ("a parent below", "deck: to-rhea,", "deck: to-rhea, parent: olga,", "2: resellers[0].parent"),
    ("above itself", "deck: to-rhea,", "deck: to-rhea, parent: rhea,", "2: resellers[0].parent"),
    (
        "another seller",
        "deck: to-olga,",
        "deck: to-olga, parent: rhea,",
        "3: owners[0].parent: olga has an account",
    ),
    (
        "a deck that is not there",
        "deck: to-olga,",
        "deck: to-olg,",
        "3: owners[0].deck: there is no deck named",
    ),
    ("a deck twice", "name: to-rhea,", "name: to-olga,", "11: decks[2].name: deck 'to-olga' is already at line 10"),
    ("a currency", "currency: EUR\n", "currency: Euro\n", "6: decks[0].currency: 'Euro' is not a currency"),
    ("two currencies", "currency: EUR\n", "currency: USD\n", "20: shops[0].deck"),
    ("a negative price", '"0.12"', '"-0.12"', "8: decks[0].rates[0].first_price: must not be negative"),
    ("a price in words", '"0.12"', "cheap", "8: decks[0].rates[0].first_price"),
    ("a price with a comma", '"0.12"', '"0,12"', "8: decks[0].rates[0].first_price"),
    ("a price too exact", '"0.12"', '"0.1234567891"', "8: decks[0].rates[0].first_price"),
    ("an increment of nothing", "first_s: 60", "first_s: 0", "8: decks[0].rates[0].first_s: must be a whole number"),
    ("two rates of one prefix", RATE, f"{RATE}\n      - {RATE}", "9: decks[0].rates[1].prefix: prefix '32' is already"),
    ("a prefix with a plus", '{prefix: "32"', '{prefix: "+32"', "8: decks[0].rates[0].prefix: '+32' is not a prefix"),
    (
        "a rate for a while",
        "next_s: 60}",
        "next_s: 60, valid_from: x}",
        "8: decks[0].rates[0].valid_from: 'x' is not an ISO 8601 date or time",
    ),
    (
        "a deck with windows",
        "name: sell\n",
        "name: sell\n    windows: []\n",
        "6: decks[0].windows: must be a table of keys and values",
    ),
    ("a negative limit", '"10.00"', '"-10.00"', "3: owners[0].credit_limit: must not be negative"),
    ("a limit without end", '"10.00"', '"10.00", unlimited: true', "3: owners[0].credit_limit: is not asked for with"),
    ("another opening", '"5.00"', '"6.00"', "3: owners[0].opening: 5.00 was posted already"),
    (
        "a URI for a host",
        "host: 192.0.2.1",
        "host: 'sip:sip.example'",
        "14: trunks[0].host: 'sip:sip.example' is neither an",
    ),
    ("a port beyond", "host: 192.0.2.1", "host: 192.0.2.1, port: 65536", "14: trunks[0].port: must be a whole number"),
    (
        "a trunk with a password",
        "max_calls: 30",
        "max_calls: 30, password: x",
        "14: trunks[0].password: is only for `auth: digest`",
    ),
    (
        "a trunk that registers",
        "max_calls: 30",
        "max_calls: 30, register: true",
        "14: trunks[0].register: needs a username",
    ),
    ("a trunk twice", "name: spare", "name: demo", "15: trunks[1].name: trunk 'demo' is already at line 14"),
    ("a route to nowhere", "[demo, spare]", "[demo, spar]", "16: routes[0].trunks: there is no trunk named 'spar'"),
    ("a route twice", "routes: [", 'routes: [{prefix: "", trunks: [demo]}, ', "16: routes[1].prefix"),
    ("no way to an emergency", "emergency: true", "emergency: false", "22: shops[0].emergency: no trunk has"),
    ("an owner that is not there", "owner: olga", "owner: olag", "19: shops[0].owner: there is no owner named 'olag'"),
    ("a shop without a country", '    country_code: "32"\n', "", "18: shops[0].country_code: is missing"),
    ("a booth twice", "name: b2", "name: b1", "23: shops[0].booths[1].name: booth 'b1' is already at line 23"),
    (
        "a new booth without a password",
        "{name: b2, password: two}",
        "{name: b3}",
        "23: shops[0].booths[1].password: is",
    ),
    (
        "an algorithm",
        "owner: olga\n",
        "owner: olga\n    digest: [MD4]\n",
        "20: shops[0].digest[0]: 'MD4' is not one",
    ),
    (
        "a range of ten thousands",
        "name: b2,",
        'name: "b00000..b99999",',
        "23: shops[0].booths[1].name: is a range of",
    ),
    (
        "a booth open and disabled",
        "password: two",
        "password: two, open: true, disabled: true",
        "23: shops[0].booths[1].open: is not asked for with",
    ),
    ("a person in no shop", "shop: center}", "shop: centre}", "25: operators[0].shop: there is no shop named 'centre'"),
    ("a person twice", "name: otto", "name: ana", "26: operators[1].name: operator 'ana' is already"),
    ("a role", "role: owner", "role: boss", "26: operators[1].role: must be one of operator, owner, reseller"),
    ("an owner of nobody", "party: olga}", "party: rhea}", "26: operators[1].party: there is no owner named 'rhea'"),
]


@pytest.fixture(scope="module")
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture(scope="module")
def url(desk: MemoryDesk) -> Iterator[str]:
    with serving(memory_api(desk)) as url:
        yield url


def applied(url: str, path: Path) -> tuple[int, list[str]]:
    """The exit code of `sipshop apply`, and what it complains of without our name and the file's."""
    done = CliRunner().invoke(cli.app, ["--url", url, "--token", TOKEN, "apply", str(path)])
    return done.exit_code, [line.removeprefix(f"sipshop: {path}:") for line in done.stderr.splitlines()]


@pytest.mark.parametrize(("old", "new", "error"), [pytest.param(*case, id=name) for name, *case in BROKEN])
def test_a_broken_world_is_refused_with_its_place_and_changes_nothing(
    desk: MemoryDesk, url: str, tmp_path: Path, old: str, new: str, error: str
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(WORLD_TEXT.replace(old, new) if old else new, encoding="utf-8")
    before = desk.worlds.stored
    code, complaints = applied(url, path)
    assert (code, desk.worlds.stored) == (2, before)
    assert any(line.startswith(error) for line in complaints), complaints


def test_there_are_fifty_of_them_and_all_are_different() -> None:
    assert len({(old, new) for _, old, new, _ in BROKEN}) >= 50


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"x" * (config.MAX_BYTES + 1), "10000001 bytes; 10000000 is the limit", id="more than 10 MB"),
        pytest.param(b"\xff\xfe", "it is no UTF-8 text", id="no text"),
        pytest.param(None, "No such file or directory", id="no file"),
    ],
)
def test_a_file_that_is_no_world_is_not_even_sent(url: str, tmp_path: Path, content: bytes | None, why: str) -> None:
    path = tmp_path / "broken.yaml"
    if content is not None:
        path.write_bytes(content)
    code, (complaint,) = applied(url, path)
    assert (code, why in complaint) == (2, True), complaint


def test_of_twenty_thousand_errors_a_thousand_are_told_and_how_many_more_there_are() -> None:
    text = "provider: {name: acme}\nowners:\n" + "  - {name: olga}\n" * 20_000
    with pytest.raises(WorldErrors) as caught:
        parse_world(text, "broken.yaml")
    *told, last = caught.value.errors
    assert len(told) == config.MOST_TOLD
    assert [each.line for each in told] == sorted(each.line for each in told)
    assert str(last) == "broken.yaml: 39003 problems more are not told: mend these first"


def test_the_limits_of_both_ends_are_one() -> None:
    assert worlds.MAX_WORLD_BYTES == config.MAX_BYTES


# What is written to keep us busy. The bounds are wide: they are missed by a search or a tree that grows without end.

MEMORY_BYTES, CPU_S = 2_000_000_000, 60
MEGABYTES = [
    pytest.param("limits: [" + "1," * 2_100_000 + "1]\n", "1: has more than 2000000 values", id="values"),
    pytest.param("".join(f"k{n}: 1\n" for n in range(120_000)), "k0: unknown key", id="unknown keys"),
    pytest.param("sip: {realm: " + "x" * 9_900_000 + "}\n", "1: sip.realm: must be 1 to 64", id="one value"),
    pytest.param("a: &a [x, x]\n" + "b: [*a, *a]\n" * 800_000, "1: anchors (&)", id="a YAML bomb"),
    pytest.param("sip: " + "[" * 9_900_000, "1: is nested more than", id="depth"),
]


def bounded() -> None:
    """Take the process that a test starts away from what is left of the machine."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))


@pytest.mark.wire
@pytest.mark.parametrize(("text", "why"), MEGABYTES)
def test_megabytes_of_nonsense_are_refused_within_bounds(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sipshop", "check-config", path.name],
        cwd=tmp_path,
        preexec_fn=bounded,  # no thread of ours is alive here
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert why in done.stderr
    assert len(done.stderr) < 200_000
