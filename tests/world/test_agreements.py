"""What is agreed with a carrier: read from a world, stored, exported, and told when it changes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import (
    CallerId,
    FailOver,
    Format,
    Login,
    NumberFormat,
    Probing,
    Registering,
    Rewrite,
    Show,
)
from sipshop.store.rows import trunk as stored_trunk
from sipshop.store.rows import trunk_values
from sipshop.world import History, World, WorldErrors, export_world, parse_world, plan_world

WORLD = """\
provider: {name: Tel}
owners:
  - {name: Ann, deck: sell, unlimited: true}
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, first_s: 60, first_price: "0.10", next_s: 60}
trunks:
  - name: one
    deck: sell
    host: 192.0.2.20
    emergency: true
%s
routes:
  - {prefix: "", trunks: [one]}
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: ["112"]
    caller_id: "+493011111"
    booths:
      - {name: booth1, password: secret, caller_id: "493022222"}
"""
LOGIN = "    username: we\n    password: hunter2\n"


def world(lines: str = "", onto: World | None = None) -> World:
    return parse_world(WORLD % lines, "world.yaml", onto)


def trunk(lines: str) -> Trunk:
    (found,) = world(lines).trunks
    return found


def errors(lines: str) -> list[str]:
    with pytest.raises(WorldErrors) as caught:
        world(lines)
    return [str(error).split(": ", 1)[1] for error in caught.value.errors]


def test_a_trunk_is_as_usual_where_nothing_is_said() -> None:
    plain = trunk("")
    assert (plain.login, plain.registering, plain.probing) == (Login(), Registering(), Probing())
    assert (plain.numbers, plain.numbers_in, plain.caller_id) == (NumberFormat(), NumberFormat(), CallerId())
    assert (plain.domain, plain.sources, plain.fail_over, plain.codecs) == ("", (), FailOver(), ())
    assert plain.max_call_s is None


EVERYTHING = """\
    domain: sip.example.com
    auth: digest
    username: "4930555"
    password: hunter2
    realm: example
    register: true
    register_s: 1800
    registrars: [192.0.2.20, "192.0.2.21:5070", "[2001:db8::1]:5080", SIP.example.com., "sip.example.com:5070"]
    options_s: 20
    misses: 2
    rest_s: 15
    options_timeout_s: 3
    sources: [198.51.100.0/28, 203.0.113.7]
    numbers:
      format: national
      country_code: "49"
      tech_prefix: "77#"
      rewrite:
        - {prefix: "4930", strip: 2, add: "0"}
    numbers_in: {format: digits}
    caller_id: {show: booth, number: "+4930555", from_user: acct, asserted: true}
    fail_over: {next: ["403", "404"], stop: ["500"]}
    codecs: [PCMA, opus]
    max_call_s: 3600
"""


def test_everything_that_can_be_agreed_on() -> None:
    found = trunk(EVERYTHING)
    assert found.login == Login("4930555", "hunter2", "example")
    addresses = ("192.0.2.20", 5060), ("192.0.2.21", 5070), ("2001:db8::1", 5080)
    names = ("sip.example.com", None), ("sip.example.com", 5070)
    assert found.registering == Registering(1800, (*addresses, *names))
    assert found.probing == Probing(every_s=20, misses=2, rest_s=15, patience_s=3)
    assert found.sources == ("198.51.100.0/28", "203.0.113.7/32")
    assert found.numbers == NumberFormat(
        Format.NATIONAL, country_code="49", tech_prefix="77#", rewrites=(Rewrite("4930", 2, "0"),)
    )
    assert found.numbers_in == NumberFormat(Format.DIGITS)
    assert found.caller_id == CallerId(Show.BOOTH, "4930555", "acct", asserted=True)
    assert found.fail_over == FailOver(next=(403, 404), stop=(500,))
    assert (found.codecs, found.max_call_s, found.domain) == (("PCMA", "opus"), 3600, "sip.example.com")


def test_numbers_are_read_as_they_are_written_unless_something_else_is_said() -> None:
    found = trunk('    numbers: {format: digits, tech_prefix: "77"}\n')
    assert found.numbers_in == NumberFormat(Format.DIGITS)


def test_shops_and_booths_have_numbers() -> None:
    found = world()
    assert (found.shops[0].caller_id, found.booths[0].caller_id) == ("493011111", "493022222")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param("    password: hunter2\n", "password: is only for `auth: digest`", id="a password for nobody"),
        pytest.param("    username: we\n", "password: is missing", id="no password"),
        pytest.param("    auth: digest\n", "username: is missing", id="no username"),
        pytest.param('    username: "a b"\n', "username: 'a b' is not a user name", id="no user"),
        pytest.param(
            '    username: we\n    password: "********"\n', "password: is only a mask", id="a mask of nothing"
        ),
        pytest.param("    username: we\n    password: env:HOME\n", "password: is kept in env:SIPSHOP_", id="HOME"),
        pytest.param(
            "    username: we\n    password: file:x\n", "password: is kept in env:SIPSHOP_", id="a part of a path"
        ),
        pytest.param("    register: true\n", "register: needs a username", id="nobody registers"),
        pytest.param("    register_s: 60\n", "register_s: is only for `register: true`", id="when not to register"),
        pytest.param(LOGIN + "    register: true\n    registrars: ['sip:example.com']\n", "registrars[0]:", id="a URI"),
        pytest.param(LOGIN + '    register: true\n    registrars: ["192.0.2.1:0"]\n', "registrars[0]:", id="port 0"),
        pytest.param("    sources: [198.51.100.1/28]\n", "sources[0]: '198.51.100.1/28' is not", id="host bits"),
        pytest.param("    numbers: {format: national}\n", "numbers.country_code: is missing", id="which country"),
        pytest.param("    numbers: {fromat: digits}\n", "numbers.fromat: ", id="a slip"),
        pytest.param('    numbers: {tech_prefix: "7 7"}\n', "numbers.tech_prefix: '7 7' is not", id="no tech prefix"),
        pytest.param(
            '    numbers: {rewrite: [{prefix: "49", strip: 3}]}\n', "numbers.rewrite[0].strip: is more", id="too much"
        ),
        pytest.param(
            '    numbers: {rewrite: [{prefix: "49"}, {prefix: "49"}]}\n',
            "numbers.rewrite[1].prefix: there is",
            id="two",
        ),
        pytest.param("    caller_id: {show: fixed}\n", "caller_id.number: is missing", id="which number"),
        pytest.param('    caller_id: {number: "030"}\n', "caller_id.number: '030' is not", id="no number"),
        pytest.param('    fail_over: {next: ["486"]}\n', "fail_over.next[0]: 486 is the callee's", id="busy elsewhere"),
        pytest.param('    fail_over: {next: ["200"]}\n', "fail_over.next[0]: '200' is not", id="no refusal"),
        pytest.param('    fail_over: {next: ["404"], stop: ["404"]}\n', "fail_over.stop: 404 stands", id="both"),
        pytest.param('    codecs: ["PC MA"]\n', "codecs[0]: 'PC MA' is not", id="no codec"),
        pytest.param("    domain: sip example\n", "domain: 'sip example' is not", id="no domain"),
        pytest.param('    domain: "x>;a=b"\n', "domain: 'x>;a=b' is not", id="a domain that breaks out"),
        pytest.param("    options_s: 4000\n", "options_s: must be", id="too seldom"),
    ],
)
def test_what_cannot_be_agreed_on_is_refused_where_it_stands(lines: str, expected: str) -> None:
    found = errors(lines)
    assert any(error.startswith(f"trunks[0].{expected}") for error in found), found
    assert "hunter2" not in " ".join(found)


def test_an_exported_world_masks_passwords_and_changes_nothing_when_it_is_applied() -> None:
    before = world(EVERYTHING)
    text = export_world(before)
    assert "hunter2" not in text
    plan = plan_world(text, "export.yaml", before, history=History(), prune=False)
    assert plan.changes == ()
    assert plan.after.trunks == before.trunks


@pytest.mark.parametrize("reference", ["env:SIPSHOP_CARRIER", "file:/etc/sipshop/carrier.secret"])
def test_where_a_password_is_kept_is_no_secret(reference: str) -> None:
    before = world(f"    username: we\n    password: {reference}\n")
    assert before.trunks[0].login.password == reference
    text = export_world(before)
    assert reference in text
    assert plan_world(text, "export.yaml", before, history=History(), prune=False).changes == ()


def test_a_change_of_a_password_is_told_and_the_password_is_not() -> None:
    before = world(LOGIN)
    plan = plan_world(WORLD % LOGIN.replace("hunter2", "hunter3"), "new.yaml", before, history=History(), prune=False)
    (change,) = plan.changes
    assert (change.kind, change.name, change.details) == ("trunk", "one", ("login.password",))


def test_every_change_of_an_agreement_is_told() -> None:
    plan = plan_world(WORLD % EVERYTHING, "new.yaml", world(), history=History(), prune=False)
    (change,) = plan.changes
    told = " ".join(change.details)
    assert "hunter2" not in told
    for said in ("login.username", "registering.expires_s 0 -> 1800", "192.0.2.21 port 5070", "numbers.format"):
        assert said in told, told
    assert "4930 (strip 2, add '0')" in told


def test_a_password_is_kept_where_it_is_left_out_but_not_for_another_username() -> None:
    before = world(LOGIN)
    assert world("    username: we\n", before).trunks[0].login.password == "hunter2"
    with pytest.raises(WorldErrors, match="password: is missing"):
        world("    username: you\n", before)


# Whatever is agreed on


DIGITS = st.from_regex(r"[1-9][0-9]{4,14}", fullmatch=True)
NUMBERS = st.one_of(
    st.builds(
        NumberFormat,
        st.sampled_from([Format.PLUS, Format.DIGITS, Format.INTERNATIONAL]),
        international_prefix=st.sampled_from(["00", "011"]),
        tech_prefix=st.sampled_from(["", "77#"]),
        rewrites=st.sampled_from([(), (Rewrite("49", 2, "0"),), (Rewrite("1", 0, "+"), Rewrite("49", 1, ""))]),
    ),
    st.builds(NumberFormat, st.just(Format.NATIONAL), country_code=st.sampled_from(["49", "1"])),
)
PLAIN = trunk("")
TRUNKS = st.builds(
    lambda **terms: replace(PLAIN, **terms),
    domain=st.sampled_from(["", "sip.example.com", "[2001:db8::1]"]),
    login=st.sampled_from([Login("we", "a password", ""), Login("w+e", "file:/x y", 'r: {"]'.replace('"', ""))]),
    registering=st.sampled_from([Registering(), Registering(60, (("192.0.2.1", 5060), ("2001:db8::1", 1)))]),
    probing=st.builds(Probing, st.integers(0, 3600), st.integers(1, 100), st.integers(1, 3600), st.integers(1, 32)),
    sources=st.sampled_from([(), ("192.0.2.0/24", "2001:db8::/64")]),
    numbers=NUMBERS,
    numbers_in=NUMBERS,
    caller_id=st.builds(CallerId, st.sampled_from(Show), DIGITS, st.sampled_from(["", "acct"]), st.booleans()),
    fail_over=st.sampled_from([FailOver(), FailOver((403, 404), (500,)), FailOver(stop=(503,))]),
    codecs=st.sampled_from([(), ("PCMA", "telephone-event")]),
    max_call_s=st.one_of(st.none(), st.integers(1, 86_400)),
)


@given(TRUNKS)
def test_whatever_is_agreed_on_is_exported_and_read_again(agreed: Trunk) -> None:
    before = replace(world(), trunks=(agreed,))
    assert parse_world(export_world(before), "export.yaml", onto=before).trunks == (agreed,)


@given(TRUNKS)
def test_whatever_is_agreed_on_is_stored_and_read_again(agreed: Trunk) -> None:
    assert stored_trunk(trunk_values(agreed)) == agreed


def test_a_trunk_of_an_older_database_is_as_usual() -> None:
    assert stored_trunk(trunk_values(trunk("")) | {"terms": "{}"}) == trunk("")
