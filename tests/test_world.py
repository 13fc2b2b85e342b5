"""A world file: what it means, and everything that can be wrong with it."""

from __future__ import annotations

from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest

from sipshop.billing.deck import DurationRound
from sipshop.billing.guard import WARN_OF_LOSSES, GuardAction, LossGuard, losing_at
from sipshop.billing.money import Rounding, RoundMode
from sipshop.billing.parties import Kind, Party, PartyTree
from sipshop.proxy.admission import Auth, Booth, Shop
from sipshop.proxy.numbers import NumberRules
from sipshop.proxy.routing import Route, Routing, Trunk
from sipshop.sip.digest import Algorithm, ha1
from sipshop.world import Opening, World, WorldErrors, parse_world

CONF = Path(__file__).parent.parent / "conf"

SMALL = """\
provider: {name: Demo}
owners:
  - {name: Ann, deck: sell}
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, first_s: 60, first_price: "0.10", next_s: 60}
trunks:
  - {name: demo, deck: sell, host: 127.0.0.1, emergency: true}
routes:
  - {prefix: "", trunks: [demo]}
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: ["112"]
    booths:
      - {name: booth1, password: secret}
"""


def errors(text: str) -> list[str]:
    """Return the errors of a world as `line: field: message`."""
    with pytest.raises(WorldErrors) as caught:
        parse_world(text, "world.yaml")
    assert str(caught.value).splitlines() == [str(error) for error in caught.value.errors]
    return [f"{error.line}: {error.field}: {error.message}" for error in caught.value.errors]


def changed(old: str, new: str) -> str:
    assert SMALL.count(old) == 1
    return SMALL.replace(old, new)


def test_a_small_world_with_every_default() -> None:
    world = parse_world(SMALL, "world.yaml")
    assert world.tenant == "Demo"
    assert world.parties == (
        Party(tenant="Demo", name="Demo", kind=Kind.PROVIDER, parent=None),
        Party(tenant="Demo", name="Ann", kind=Kind.OWNER, parent="Demo", deck="sell"),
    )
    assert world.openings == (Opening(party="Ann", currency="EUR", credit_limit_micros=0, opening_micros=0),)
    assert world.shops == (
        Shop(
            tenant="Demo",
            name="Corner",
            owner="Ann",
            deck="sell",
            currency="EUR",
            realm="sipshop",
            digest=(Algorithm.MD5,),
            numbers=NumberRules(country_code="49", international_prefix="00", national_prefix="0", emergency=("112",)),
        ),
    )
    assert world.booths == (
        Booth(
            tenant="Demo",
            shop="Corner",
            name="booth1",
            calls=1,
            auth=Auth.DIGEST,
            ip=None,
            ha1={each: ha1(each, "booth1", "sipshop", "secret") for each in Algorithm},
        ),
    )
    assert world.trunks == (
        Trunk(
            tenant="Demo",
            name="demo",
            carrier="demo",
            deck="sell",
            host="127.0.0.1",
            port=5060,
            transport="udp",
            emergency=True,
            answer_timeout_s=60,
            first_response_timeout_s=4,
            max_calls=None,
            cps=None,
        ),
    )
    assert world.routes == (Route(tenant="Demo", party="Demo", prefix="", choices=(("demo", 1, 1),)),)
    assert world.open_booths == frozenset()
    (deck,) = world.decks
    (rate,) = deck.rates
    assert (deck.rounding, deck.duration_round) == (Rounding(RoundMode.HALF_UP, 2), DurationRound.CEIL)
    assert (rate.connect_fee_nanos, rate.first_price_nanos, rate.next_price_nanos) == (0, 100_000_000, 100_000_000)


def test_what_is_written_beats_every_default() -> None:
    world = parse_world(
        """\
provider:
  name: Demo
  loss_guard: {action: refuse, margin: "2.5", mean_s: 90}
resellers:
  - {name: City, parent: North, deck: sell, unlimited: true, loss_guard: {action: reroute, margin: "0.0001"}}
  - {name: North, deck: sell, credit_limit: 12.5, opening: "0.000001", loss_guard: {action: warn, mean_s: 60}}
owners: [{name: Ann, parent: City, deck: sell, credit_limit: "5.00", opening: "100"}]
decks:
  - name: sell
    currency: XOF
    round: {mode: up, places: 1}
    duration_round: nearest
    rates:
      - {prefix: 223, destination: Mali, connect_fee: 5, first_s: 30, first_price: 60.5, next_s: 6, next_price: 50}
      - {prefix: 22399, destination: Mali Premium, forbidden: true}
trunks:
  - name: a
    carrier: Far Away
    deck: sell
    host: "2001:DB8::1"
    port: 5080
    transport: tcp
    answer_timeout_s: 30
    first_response_timeout_s: 2
    max_calls: 30
    cps: 5
  - {name: b, deck: sell, host: 192.0.2.1, emergency: on}
routes:
  - {prefix: 223, trunks: [b, a]}
  - {party: North, prefix: 223, trunks: [{trunk: b, priority: 2, weight: 70}, {trunk: a}]}
  - {party: North, prefix: "", trunks: [a]}
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: 39
    international_prefix: "000"
    national_prefix: ""
    emergency: []
    realm: corner.example
    digest: [SHA-256, MD5]
    booths:
      - {name: b1, auth: ip, ip: 192.0.2.9, calls: 2}
      - {name: b2, password: "0123", open: true}
""",
        "world.yaml",
    )
    (deck,) = world.decks
    assert (deck.rounding, deck.duration_round) == (Rounding(RoundMode.UP, 1), DurationRound.NEAREST)
    mali, premium = deck.rates
    assert (mali.connect_fee_nanos, mali.first_price_nanos, mali.next_price_nanos) == (
        5 * 10**9,
        605 * 10**8,
        5 * 10**10,
    )
    assert premium.forbidden
    first, second = world.trunks
    assert (first.host, first.port, first.transport, first.emergency) == ("2001:db8::1", 5080, "tcp", False)
    assert (first.answer_timeout_s, first.first_response_timeout_s) == (30, 2)
    assert (first.carrier, first.max_calls, first.cps) == ("Far Away", 30, 5)
    assert second.emergency
    assert (second.carrier, second.max_calls, second.cps) == ("b", None, None)
    assert world.routes == (
        Route(tenant="Demo", party="Demo", prefix="223", choices=(("b", 1, 1), ("a", 2, 1))),
        Route(tenant="Demo", party="North", prefix="223", choices=(("b", 2, 70), ("a", 1, 1))),
        Route(tenant="Demo", party="North", prefix="", choices=(("a", 1, 1),)),
    )
    assert [(party.name, party.kind, party.parent, party.deck) for party in world.parties] == [
        ("Demo", Kind.PROVIDER, None, None),
        ("City", Kind.RESELLER, "North", "sell"),
        ("North", Kind.RESELLER, "Demo", "sell"),
        ("Ann", Kind.OWNER, "City", "sell"),
    ]
    assert [party.guard for party in world.parties] == [
        LossGuard(action=GuardAction.REFUSE, margin_ppm=25_000, mean_s=90),
        LossGuard(action=GuardAction.REROUTE, margin_ppm=1),
        LossGuard(action=GuardAction.WARN, mean_s=60),
        WARN_OF_LOSSES,
    ]
    assert world.openings == (
        Opening(party="City", currency="XOF", credit_limit_micros=None, opening_micros=0),
        Opening(party="North", currency="XOF", credit_limit_micros=12_500_000, opening_micros=1),
        Opening(party="Ann", currency="XOF", credit_limit_micros=5_000_000, opening_micros=100_000_000),
    )
    (shop,) = world.shops
    assert shop.currency == "XOF"
    assert shop.digest == (Algorithm.SHA_256, Algorithm.MD5)
    assert shop.numbers == NumberRules(country_code="39", international_prefix="000", national_prefix="", emergency=())
    by_ip, by_digest = world.booths
    assert (by_ip.auth, by_ip.ip, by_ip.calls, by_ip.ha1) == (Auth.IP, "192.0.2.9", 2, {})
    assert by_digest.ha1[Algorithm.MD5] == ha1(Algorithm.MD5, "b2", "corner.example", "0123")
    assert world.open_booths == {"b2"}


def test_without_a_rounding_a_deck_rounds_to_the_smallest_coin() -> None:
    (deck,) = parse_world(changed("currency: EUR", "currency: XOF"), "world.yaml").decks
    assert deck.rounding == Rounding(RoundMode.HALF_UP, 0)


def test_a_range_is_many_booths_with_a_password_each() -> None:
    entry = '- {name: "b098..b101", password: "pw8..pw11", calls: 3, open: true}'
    text = changed("- {name: booth1, password: secret}", entry.replace("pw8..pw11", "pw08..pw11"))
    world = parse_world(text, "world.yaml")
    assert [booth.name for booth in world.booths] == ["b098", "b099", "b100", "b101"]
    assert [booth.ha1[Algorithm.MD5] for booth in world.booths] == [
        ha1(Algorithm.MD5, f"b{98 + number:03}", "sipshop", f"pw{8 + number:02}") for number in range(4)
    ]
    assert {booth.calls for booth in world.booths} == {3}
    assert world.open_booths == {"b098", "b099", "b100", "b101"}


def test_a_password_with_two_dots_is_just_a_password() -> None:
    (booth,) = parse_world(changed("password: secret", 'password: "a1..a2"'), "world.yaml").booths
    assert booth.ha1[Algorithm.MD5] == ha1(Algorithm.MD5, "booth1", "sipshop", "a1..a2")


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("{name: Demo}", "Demo", "1: provider: must be a table of keys and values"),
        (
            "{name: Demo}",
            "{name: a/b}",
            "1: provider.name: 'a/b' is not a name: 1 to 64 printable characters without a slash",
        ),
        ("{name: Ann,", "{name: Demo,", "3: owners[0].name: is the name of the provider"),
        ("{name: Ann,", "{name: Ann, parent: Bob,", "3: owners[0].parent: its parent 'Bob' is not there"),
        ("{name: Ann,", "{name: Ann, parent: Ann,", "3: owners[0].parent: is above itself"),
        (
            "{name: Ann,",
            "{name: Ann, deck: sell}\n  - {name: Ann,",
            "4: owners[1].name: party 'Ann' is already at line 3",
        ),
        (
            "owners:",
            "resellers: [{name: Ann, deck: sell}]\nowners:",
            "4: owners[0].name: party 'Ann' is already at line 2",
        ),
        ("{name: Ann,", "{name: a@b,", "3: owners[0].name: 'a@b' is not a name here: @ and : are kept for the names"),
        ("{name: Demo}", "{name: 'a:b'}", "1: provider.name: 'a:b' is not a name here"),
        ("{name: Ann, deck: sell}", "{name: Ann}", "3: owners[0].deck: is missing"),
        (
            "{name: Ann, deck: sell}",
            "{name: Ann, deck: sall}",
            "3: owners[0].deck: there is no deck named 'sall'; did you mean sell?",
        ),
        ("{name: Ann,", "{name: Ann, opening: -1,", "3: owners[0].opening: must not be negative: -1"),
        ("{name: Ann,", '{name: Ann, opening: "1,000",', "3: owners[0].opening: '1,000' is not a decimal number"),
        ("{name: Ann,", "{name: Ann, credit_limit: -0.01,", "3: owners[0].credit_limit: must not be negative: -0.01"),
        (
            "{name: Ann,",
            "{name: Ann, credit_limit: 0, unlimited: true,",
            "3: owners[0].credit_limit: is not asked for with `unlimited: true`",
        ),
        ("{name: Ann,", "{name: Ann, unlimited: 5,", "3: owners[0].unlimited: must be true or false, not '5'"),
        ("{name: Ann,", "{name: Ann, loss_guard: warn,", "3: owners[0].loss_guard: must be a table"),
        (
            "{name: Demo}",
            "{name: Demo, loss_guard: {action: cut}}",
            "1: provider.loss_guard.action: must be one of warn, reroute, refuse, not 'cut'",
        ),
        *(
            (
                "{name: Demo}",
                f"{{name: Demo, loss_guard: {{margin: '{margin}'}}}}",
                "1: provider.loss_guard.margin: must be a percentage from 0 to 1000 with at most 4 decimal places",
            )
            for margin in ("0.00001", "-1", "1000.0001")
        ),
        ("{name: Demo}", "{name: Demo, loss_guard: {margin: 5%}}", "1: provider.loss_guard.margin: '5%' is not a deci"),
        (
            "{name: Demo}",
            "{name: Demo, loss_guard: {mean_s: 0}}",
            "1: provider.loss_guard.mean_s: must be a whole number from 1",
        ),
        ("{name: Demo}", "{name: Demo, loss_guard: {mean: 1}}", "1: provider.loss_guard.mean: unknown key; did you"),
        (
            "{name: Ann,",
            "{name: Ann, deck: sell}\n  - {name: Eve, parent: Ann,",
            "4: owners[1].parent: its parent 'Ann' is an owner, who has only shops below him",
        ),
        (
            "owners:",
            "resellers: [{name: Rhea, parent: Ann, deck: sell}]\nowners:",
            "2: resellers[0].parent: its parent 'Ann' is an owner, who has only shops below him",
        ),
        ("owners:", "resellers: [{name: R@, deck: sell}]\nowners:", "2: resellers[0].name: 'R@' is not a name here"),
        ("EUR", "euro", "6: decks[0].currency: 'euro' is not a currency: three capital letters, such as EUR"),
        (
            "EUR",
            "EUR\n    round: {mode: half}",
            "7: decks[0].round.mode: must be one of up, down, half_up, half_even, not 'half'",
        ),
        ("EUR", "EUR\n    round: {places: 7}", "7: decks[0].round.places: must be a whole number from 0 to 6, not '7'"),
        ("EUR", "EUR\n    valid_from: now", "7: decks[0].valid_from: unknown key"),
        ('prefix: "49"', 'prefix: "+49"', "8: decks[0].rates[0].prefix: '+49' is not a prefix: 1 to 15 digits"),
        ('"0.10"', '"-0.10"', "8: decks[0].rates[0].first_price: must not be negative: -0.10"),
        ('"0.10"', '"1,560.00"', "8: decks[0].rates[0].first_price: '1,560.00' is not a decimal number"),
        ('first_price: "0.10", ', "", "8: decks[0].rates[0].first_price: is missing"),
        (
            " first_s: 60,",
            " first_s: 0,",
            "8: decks[0].rates[0].first_s: must be a whole number from 1 to 3600, not '0'",
        ),
        (" next_s: 60}", " next_s: 60, minimum: 1}", "8: decks[0].rates[0].minimum: unknown key"),
        (" next_s: 60}", " nxt_s: 60}", "8: decks[0].rates[0].nxt_s: unknown key; did you mean next_s?"),
        (
            " next_s: 60}",
            ' next_s: 60}\n      - {prefix: "49", destination: Twice, forbidden: true}',
            "9: decks[0].rates[1].prefix: prefix '49' is already at line 8",
        ),
        (
            "host: 127.0.0.1",
            "host: sip:carrier.example",
            "10: trunks[0].host: 'sip:carrier.example' is neither an IPv4 or IPv6 address nor a name",
        ),
        ("host: 127.0.0.1", "host: car rier.example", "10: trunks[0].host: 'car rier.example' is neither"),
        ("host: 127.0.0.1", "host: carrier..example", "10: trunks[0].host: 'carrier..example' is neither"),
        ("host: 127.0.0.1", "host: -carrier.example", "10: trunks[0].host: '-carrier.example' is neither"),
        ("host: 127.0.0.1", "host: 127.0.0.256", "10: trunks[0].host: '127.0.0.256' is not an address, and no name"),
        ("host: 127.0.0.1", f"host: {'a' * 64}.example", f"10: trunks[0].host: '{'a' * 40}"),
        ("host: 127.0.0.1", "host: 127.0.0.1, port: 0", "10: trunks[0].port: must be a whole number from 1 to 65535"),
        (
            "host: 127.0.0.1",
            "host: '::1', transport: sctp",
            "10: trunks[0].transport: must be one of udp, tcp, tls, not 'sctp'",
        ),
        ("{name: demo,", "{name: 'de:mo',", "10: trunks[0].name: 'de:mo' is not a name here"),
        ("{name: demo,", "{name: demo, carrier: a@b,", "10: trunks[0].carrier: 'a@b' is not a name here"),
        ("{name: demo, deck: sell", "{name: demo", "10: trunks[0].deck: is missing"),
        (
            "{name: demo, deck: sell",
            "{name: demo, deck: buy",
            "10: trunks[0].deck: there is no deck named 'buy'",
        ),
        ("{name: demo,", "{name: demo, max_calls: 0,", "10: trunks[0].max_calls: must be a whole number from 1"),
        ("{name: demo,", "{name: demo, cps: 0.5,", "10: trunks[0].cps: must be a whole number from 1 to 10000"),
        (", emergency: true", "", "18: shops[0].emergency: no trunk has `emergency: true`"),
        (
            "trunks: [demo]",
            "trunks: [dmeo]",
            "12: routes[0].trunks: there is no trunk named 'dmeo'; did you mean demo?",
        ),
        ("trunks: [demo]", "trunks: [demo, demo]", "12: routes[0].trunks: names a trunk twice"),
        ("trunks: [demo]", "trunks: []", "12: routes[0].trunks: must name a trunk"),
        ("trunks: [demo]", "trunks: demo", "12: routes[0].trunks: must be a list"),
        ("trunks: [demo]", 'trunks: [""]', "12: routes[0].trunks[0]: '' is not a name"),
        ("trunks: [demo]", "trunks: [demo, {trunk: demo}]", "12: routes[0].trunks[1]: must be a text"),
        (
            "trunks: [demo]",
            "trunks: [{trunk: demo}, demo]",
            "12: routes[0].trunks[1]: must be a table of keys and values",
        ),
        ("trunks: [demo]", "trunks: [{trunk: demo}, {trunk: demo}]", "12: routes[0].trunks: names a trunk twice"),
        (
            "trunks: [demo]",
            "trunks: [{trunk: dmeo}]",
            "12: routes[0].trunks[0].trunk: there is no trunk named 'dmeo'; did you mean demo?",
        ),
        ("trunks: [demo]", "trunks: [{name: demo}]", "12: routes[0].trunks[0].trunk: is missing"),
        (
            "trunks: [demo]",
            "trunks: [{trunk: demo, priority: 0}]",
            "12: routes[0].trunks[0].priority: must be a whole number from 1 to 100",
        ),
        (
            "trunks: [demo]",
            "trunks: [{trunk: demo, weight: 0}]",
            "12: routes[0].trunks[0].weight: must be a whole number from 1 to 1000",
        ),
        ('prefix: ""', 'prefix: "", party: Dem', "12: routes[0].party: there is no reseller named 'Dem'"),
        ('prefix: ""', 'prefix: "", party: Ann', "12: routes[0].party: there is no reseller named 'Ann'"),
        ('prefix: ""', 'prefix: "0"', "12: routes[0].prefix: '0' is not a prefix"),
        (
            "trunks: [demo]}",
            'trunks: [demo]}\n  - {prefix: "", trunks: [demo]}',
            "13: routes[1].prefix: the route for prefix '' is already at line 12",
        ),
        (
            "trunks: [demo]}",
            'trunks: [demo]}\n  - {party: Demo, prefix: "", trunks: [demo]}',
            "13: routes[1].prefix: the route for prefix '' is already at line 12",
        ),
        ("owner: Ann", "owner: Amn", "15: shops[0].owner: there is no owner named 'Amn'; did you mean Ann?"),
        ("owner: Ann", "owner: Demo", "15: shops[0].owner: there is no owner named 'Demo'"),
        ("    deck: sell", "    deck: sall", "16: shops[0].deck: there is no deck named 'sall'; did you mean sell?"),
        ('country_code: "49"', 'country_code: "+49"', "17: shops[0].country_code: '+49' is not a country code"),
        ('country_code: "49"', "country_code: 49\n    national_prefix:", "18: shops[0].national_prefix: has no value"),
        (
            'country_code: "49"',
            'country_code: 49\n    international_prefix: ""',
            "18: shops[0].international_prefix: '' is not",
        ),
        ('emergency: ["112"]', 'emergency: ["1"]', "18: shops[0].emergency[0]: '1' is not an emergency number"),
        ('    emergency: ["112"]\n', "", "14: shops[0].emergency: is missing"),
        (
            "    deck: sell",
            "    deck: sell\n    digest: [SHA-1]",
            "17: shops[0].digest[0]: 'SHA-1' is not one of MD5, SHA-256",
        ),
        ("    deck: sell", "    deck: sell\n    digest: [MD5, MD5]", "17: shops[0].digest: names an algorithm twice"),
        ("    deck: sell", "    deck: sell\n    digest: []", "17: shops[0].digest: must name an algorithm"),
        ("    deck: sell", "    deck: sell\n    realm: 'a\"b'", "17: shops[0].realm: 'a\"b' is not a realm"),
        ("name: Corner", "name: 'a@b'", "14: shops[0].name: 'a@b' is not a name here"),
        ("owner: Ann", 'owner: ""', "15: shops[0].owner: '' is not a name"),
        ("    deck: sell", '    deck: ""', "16: shops[0].deck: '' is not a name"),
        ("name: booth1", "name: 'a b'", "20: shops[0].booths[0].name: 'a b' is not letters, digits"),
        (", password: secret", "", "20: shops[0].booths[0].password: is missing"),
        ("password: secret", 'password: ""', "20: shops[0].booths[0].password: must have characters"),
        ("password: secret", "auth: ip", "20: shops[0].booths[0].ip: is missing"),
        ("password: secret", "auth: ip, ip: home", "20: shops[0].booths[0].ip: 'home' is not an IPv4 or IPv6 address"),
        ("password: secret", "password: secret, ip: '::1'", "20: shops[0].booths[0].ip: is only for `auth: ip`"),
        (
            "password: secret",
            "password: secret, auth: ip, ip: '::1'",
            "20: shops[0].booths[0].password: is not asked for with `auth: ip`",
        ),
        (
            "password: secret",
            "password: secret, calls: 0",
            "20: shops[0].booths[0].calls: must be a whole number from 1",
        ),
        (
            "password: secret}",
            "password: secret}\n      - {name: booth1, password: other}",
            "21: shops[0].booths[1].name: booth 'booth1' is already at line 20",
        ),
        (
            "name: booth1, password: secret",
            'name: "b1..b3", password: "p1..p2"',
            "20: shops[0].booths[0].password: is a range of 2, but there are 3 booths",
        ),
        ("name: booth1", 'name: "b1..b3"', "20: shops[0].booths[0].password: must be a range such as"),
        ("name: booth1", 'name: "b3..b1"', "20: shops[0].booths[0].name: must be a range such as"),
        ("name: booth1", 'name: "b1..c3"', "20: shops[0].booths[0].name: must be a range such as"),
        ("name: booth1", 'name: "b1..b03"', "20: shops[0].booths[0].name: must be a range such as"),
        ("name: booth1", 'name: "b000000..b999999"', "20: shops[0].booths[0].name: is a range of more than 10000"),
        ("name: Corner", "name: Corner\n    name: Twice", "15: : key 'name' is already at line 14"),
        ("shops:", "carriers: []\nshops:", "13: carriers: unknown key; known here: provider, decks, resellers, owners"),
    ],
)
def test_an_error_is_told_with_its_line_and_field(old: str, new: str, error: str) -> None:
    assert any(each.startswith(error) for each in errors(changed(old, new))), errors(changed(old, new))


def test_every_error_is_told_at_once() -> None:
    found = errors(
        """\
providr: {name: Demo}
resellers: [{name: Rhea, parent: Rita, deck: buy, credit_limit: x}]
owners: [{name: Ann, deck: sell, parnt: x}]
decks:
  - {name: sell, currency: EUR, rates: [{prefix: x, destination: X, first_s: 1, first_price: "-1", next_s: 0}]}
trunks: [{name: demo, deck: sell, host: sip:here, emergency: true, cps: 0}]
routes: [{prefix: "", trunks: [other]}]
shops:
  - {name: A, owner: Bob, deck: buy, country_code: "0", emergency: ["112"], booths: [{name: b, auth: ip}]}
  - {name: A, owner: Ann, deck: sell, country_code: 49, emergency: [], digest: [MD-5], booths: [{name: b, password: p}]}
"""
    )
    assert [each[: each.index(": ", 3)] for each in found] == [
        "1: provider",
        "1: providr",
        "2: resellers[0].deck",
        "2: resellers[0].credit_limit",
        "2: resellers[0].parent",
        "3: owners[0].parnt",
        "5: decks[0].rates[0].prefix",
        "5: decks[0].rates[0].first_price",
        "5: decks[0].rates[0].next_s",
        "6: trunks[0].host",
        "6: trunks[0].cps",
        "7: routes[0].trunks",
        "9: shops[0].owner",
        "9: shops[0].deck",
        "9: shops[0].country_code",
        "9: shops[0].booths[0].ip",
        "10: shops[1].name",
        "10: shops[1].digest[0]",
        "10: shops[1].booths[0].name",
    ]


CHAIN = """\
provider: {name: Tel}
resellers:
  - {name: Rhea, deck: one}
  - {name: Rita, parent: Rhea, deck: two}
owners:
  - {name: Ann, parent: Rita, deck: three}
decks:
  - {name: one, currency: EUR, rates: []}
  - {name: two, currency: EUR, rates: []}
  - {name: three, currency: EUR, rates: []}
  - {name: four, currency: EUR, rates: []}
  - {name: buy, currency: EUR, rates: []}
  - {name: other, currency: USD, rates: []}
trunks:
  - {name: first, deck: buy, host: 192.0.2.1}
  - {name: far, deck: other, host: 192.0.2.2}
routes:
  - {prefix: "", trunks: [first]}
shops:
  - {name: Corner, owner: Ann, deck: four, country_code: "49", emergency: [], booths: []}
"""


@pytest.mark.parametrize(
    ("deck", "told"),
    [
        pytest.param(
            "one",
            "4: resellers[1].deck: Rita pays in EUR, and Rhea buys in USD: say under",
            id="a reseller's",
        ),
        pytest.param(
            "two", "4: resellers[1].deck: Rita pays in USD, and Rhea buys in EUR: say under `fx` what", id="below him"
        ),
        pytest.param(
            "three", "6: owners[0].deck: Ann pays in USD, and Rita buys in EUR: say under `fx` what", id="the owner's"
        ),
        pytest.param(
            "four",
            "20: shops[0].deck: customers of Corner pay in USD, and Ann buys in EUR: say under `fx` what",
            id="the shop's",
        ),
        pytest.param(
            "buy",
            "15: trunks[0].deck: trunk first sells in USD, and calls of Ann reach it that are paid in EUR: say under",
            id="the carrier's",
        ),
    ],
)
def test_money_becomes_that_of_another_currency_by_a_rate_alone(deck: str, told: str) -> None:
    parse_world(CHAIN, "world.yaml")
    text = CHAIN.replace(f"{{name: {deck}, currency: EUR", f"{{name: {deck}, currency: USD")
    assert any(error.startswith(told) for error in errors(text)), errors(text)
    rate = 'fx: [{pair: USD/EUR, rates: {"2026-11-20": "0.92"}}]\n'
    parse_world(text + rate, "world.yaml")


@pytest.mark.parametrize(
    ("routes", "reaches"),
    [
        pytest.param('{party: Tel, prefix: "1", trunks: [first, far]}', True, id="as a second choice"),
        pytest.param('{party: Rita, prefix: "1", trunks: [{trunk: far}]}', True, id="by a route of the nearest"),
        pytest.param('{party: Rhea, prefix: "1", trunks: [far]}', True, id="by a route of one above"),
        pytest.param(
            '{party: Rita, prefix: "1", trunks: [first]}, {party: Rhea, prefix: "12", trunks: [far]}',
            False,
            id="not past a shorter prefix of a nearer one",
        ),
        pytest.param(
            '{party: Rita, prefix: "1", trunks: [first]}, {party: Rhea, prefix: "1", trunks: [far]}',
            False,
            id="nor past the same",
        ),
        pytest.param(
            '{party: Rita, prefix: "", trunks: [first]}, {party: Tel, prefix: "1", trunks: [far]}',
            False,
            id="nor past a route for everything",
        ),
        pytest.param(
            '{party: Rita, prefix: "12", trunks: [first]}, {party: Rhea, prefix: "1", trunks: [far]}',
            True,
            id="but past a longer one",
        ),
        pytest.param('{party: Mia, prefix: "1", trunks: [far]}', False, id="nor by a stranger's"),
    ],
)
def test_only_carriers_that_a_call_can_reach_must_have_its_currency(routes: str, reaches: bool) -> None:
    text = CHAIN.replace('  - {prefix: "", trunks: [first]}\n', f"  [{routes}]\n")
    text = text.replace("owners:\n", "  - {name: Mia, deck: one}\nowners:\n")
    if not reaches:
        parse_world(text, "world.yaml")
        return
    (told,) = errors(text)
    assert told.startswith(
        "17: trunks[1].deck: trunk far sells in USD, and calls of Ann reach it that are paid in EUR: "
    )


def test_a_circle_of_resellers_is_told_and_not_walked_round() -> None:
    found = errors(CHAIN.replace("{name: Rhea,", "{name: Rhea, parent: Rita,"))
    assert found == ["3: resellers[0].parent: is above itself", "4: resellers[1].parent: is above itself"]


def test_shops_of_one_realm_offer_one_list_of_algorithms() -> None:
    second = (
        "  - {name: B, owner: Ann, deck: sell, country_code: 49, emergency: [], digest: [SHA-256, MD5], booths: []}\n"
    )
    assert errors(SMALL + second) == ["21: shops[1].digest: shop 'Corner' has realm 'sipshop' too, with another list"]
    assert len(parse_world(SMALL + second.replace("digest", "realm: other, digest"), "world.yaml").shops) == 2


def test_no_error_repeats_a_password() -> None:
    for written in ('"geheim\\x07"', "[geheim]", "geheim, auth: ip, ip: '::1'", "geheim, calls: x"):
        assert not any("geheim" in each for each in errors(changed("password: secret", f"password: {written}")))


def test_a_world_holds_no_password() -> None:
    world = parse_world(SMALL, "world.yaml")
    assert not any("secret" in repr(getattr(world, each.name)) for each in fields(World))


def test_errors_name_the_file_as_it_was_given() -> None:
    with pytest.raises(WorldErrors, match=r"^conf/my\.yaml:1: is empty$"):
        parse_world("", "conf/my.yaml")


def shipped(name: str) -> World:
    return parse_world((CONF / name).read_text(encoding="utf-8"), name)


def test_the_demo_world_has_ten_locked_booths_in_three_shops_of_two_owners() -> None:
    world = shipped("demo.yaml")
    assert [booth.name for booth in world.booths] == [f"booth{number}" for number in range(1, 11)]
    assert {booth.calls for booth in world.booths} == {1}
    assert world.open_booths == frozenset()
    for booth in world.booths:
        assert booth.ha1[Algorithm.MD5] == ha1(Algorithm.MD5, booth.name, "sipshop", f"demo-{booth.name}")
    assert [shop.name for shop in world.shops] == ["Corner", "Station", "Harbour"]
    corner, _, harbour = world.shops
    assert (corner.currency, corner.numbers.country_code) == ("EUR", "49")
    tree = PartyTree(world.parties)
    assert [party.name for party in tree.chain(corner.owner)] == ["Corner Calls", "Demo Telecom"]
    assert [party.kind for party in tree.chain(harbour.owner)] == ["owner", "reseller", "reseller", "provider"]
    assert [(trunk.name, trunk.carrier, trunk.port) for trunk in world.trunks] == [
        ("demo", "Demo Carrier", 5070),
        ("sahel", "Sahel Carrier", 5070),
    ]
    assert [(person.name, person.role, person.shop or person.party) for person in world.operators] == [
        ("Ana", "operator", "Corner"),
        ("Ben", "operator", "Station"),
        ("Cleo", "operator", "Harbour"),
        ("Carla", "owner", "Corner Calls"),
        ("Rosa", "reseller", "Euro Wholesale"),
        ("Paul", "provider", "Demo Telecom"),
    ]


def test_the_carriers_of_the_demo_have_prices_of_their_own() -> None:
    decks = {deck.name: deck for deck in shipped("demo.yaml").decks}
    for number, cheaper in (("49301234567", "carrier-sell"), ("2348031234567", "sahel-sell")):
        prices = {}
        for name in ("carrier-sell", "sahel-sell"):
            tariff = decks[name].match(number, 0)
            assert tariff is not None
            prices[tariff.rate.first_price_nanos] = name
        assert prices[min(prices)] == cheaper


@pytest.mark.parametrize(
    ("e164", "prefix"),
    [
        ("49301234567", "49"),
        ("4915771234567", "4915"),
        ("4915112345678", "49151"),
        ("33142345678", "33"),
        ("33612345678", "336"),
        ("33712345678", "337"),
        ("12125551234", "1"),
        ("18095551234", "1809"),
        ("22370123456", "223"),
        ("9999999999", None),
    ],
)
def test_the_demo_deck_has_a_longest_prefix(e164: str, prefix: str | None) -> None:
    tariff = shipped("demo.yaml").decks[0].match(e164, 0)
    assert (tariff.rate.prefix if tariff else None) == prefix


def test_the_demo_deck_knows_about_forty_destinations() -> None:
    deck = shipped("demo.yaml").decks[0]
    assert len({rate.destination.removesuffix(" Mobile") for rate in deck.rates}) >= 40


def test_the_load_world_is_200_open_booths_that_reach_every_number() -> None:
    world = shipped("load.yaml")
    assert [booth.name for booth in world.booths] == [f"booth{number:04}" for number in range(200)]
    assert world.booths[199].ha1[Algorithm.MD5] == ha1(Algorithm.MD5, "booth0199", "sipshop", "pw0199")
    assert {booth.calls for booth in world.booths} == {1000}
    assert len(world.open_booths) == 200
    routing = Routing(world.trunks, world.routes)
    for first in "123456789":
        assert world.decks[0].match(f"{first}0000000000", 0) is not None
        (choice,) = routing.route([world.tenant], f"{first}0000000000")
        assert choice.trunk in world.trunks
    assert routing.emergency() == world.trunks
    assert [opening.credit_limit_micros for opening in world.openings] == [None, None]
    chain = PartyTree(world.parties).chain(world.shops[0].owner)
    assert [party.kind for party in chain] == ["owner", "reseller", "provider"]


def test_everybody_in_the_demo_has_paid_in_advance() -> None:
    assert [
        (opening.party, opening.opening_micros // 1_000_000, opening.credit_limit_micros)
        for opening in shipped("demo.yaml").openings
    ] == [
        ("Euro Wholesale", 500, 0),
        ("City Resale", 200, 0),
        ("Corner Calls", 100, 0),
        ("Harbour Calls", 50, 20_000_000),
    ]


@pytest.mark.parametrize("path", sorted((CONF / "trunks").glob("*.yaml")), ids=lambda path: path.name)
def test_every_example_of_a_trunk_is_a_world(path: Path) -> None:
    world = parse_world(path.read_text(encoding="utf-8"), path.name)
    assert Routing(world.trunks, world.routes).emergency()


@pytest.mark.parametrize("name", ["demo.yaml", "load.yaml"])
def test_no_destination_of_a_shipped_world_loses(name: str) -> None:
    world = shipped(name)
    decks = {deck.name: deck for deck in world.decks}
    tree = PartyTree(world.parties)
    for shop in world.shops:
        bought = [decks[party.deck] for party in tree.chain(shop.owner) if party.deck is not None]
        for trunk in world.trunks:
            chain = [decks[shop.deck], *bought, decks[trunk.deck]]
            # who numbers are sold to by any prefix of any level: a longer one above must not cost more than it brings
            for prefix in {rate.prefix for deck in chain for rate in deck.rates}:
                tariffs = [deck.match(prefix, 0) for deck in chain]
                if tariffs[0] is None or tariffs[0].rate.forbidden or tariffs[-1] is None:
                    continue  # it is not sold, or not bought there
                for sell, buy in pairwise(tariffs):
                    assert sell is not None
                    assert buy is not None, (prefix, sell)
                    assert not buy.rate.forbidden
                    assert losing_at(sell, buy, WARN_OF_LOSSES) is None, (prefix, sell, buy)
