"""What a text makes of the world that runs: nothing it does not say, and nothing that would break what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sipshop.sip.digest import Algorithm, ha1
from sipshop.world import History, Plan, World, WorldErrors, export_world, parse_world, plan_world

ROOT = Path(__file__).parent.parent.parent

TEXT = """\
provider: {name: Tel}
resellers:
  - {name: Rhea, deck: rhea, unlimited: true}
owners:
  - {name: Ann, parent: Rhea, deck: ann, credit_limit: "5.00", opening: "100.00"}
  - {name: Bob, deck: rhea}
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, first_s: 60, first_price: "0.12", next_s: 6}
      - {prefix: "44", destination: United Kingdom, first_s: 60, first_price: "0.30", next_s: 60}
  - {name: ann, currency: EUR, rates: [{prefix: "4", destination: Europe, first_s: 1, first_price: "0.06", next_s: 1}]}
  - {name: rhea, currency: EUR, rates: [{prefix: "4", destination: Europe, first_s: 1, first_price: "0.05", next_s: 1}]}
  - {name: buy, currency: EUR, rates: [{prefix: "4", destination: Europe, first_s: 1, first_price: "0.03", next_s: 1}]}
  - {name: dollars, currency: USD, rates: []}
trunks:
  - {name: one, host: 192.0.2.20, emergency: true, carrier: Far, deck: buy}
  - {name: two, host: 192.0.2.21, emergency: true, carrier: Near, deck: buy, max_calls: 30}
routes:
  - {prefix: "", trunks: [one, two]}
  - {party: Rhea, prefix: "44", trunks: [two]}
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: ["112"]
    booths:
      - {name: b1, password: one}
      - {name: b2, password: two}
      - {name: gate, auth: ip, ip: 192.0.2.11}
  - {name: Side, owner: Bob, deck: sell, country_code: "49", emergency: [], booths: [{name: s1, password: three}]}
operators:
  - {name: ana, shop: Corner}
  - {name: rob, role: reseller, party: Rhea}
"""
WORLD = parse_world(TEXT, "world.yaml")


def changed(*pairs: tuple[str, str]) -> str:
    text = TEXT
    for old, new in pairs:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


def plan(text: str, *, before: World = WORLD, history: History | None = None, prune: bool = False) -> Plan:
    return plan_world(text, "world.yaml", before, history=history or History(), prune=prune)


def told(planned: Plan) -> list[str]:
    """The changes as `action kind name: details`."""
    return [
        f"{change.action} {change.kind} {change.name}" + "".join(f": {detail}" for detail in change.details)
        for change in planned.changes
    ]


def refused(text: str, *, before: World = WORLD) -> list[str]:
    with pytest.raises(WorldErrors) as caught:
        plan(text, before=before)
    return [f"{error.line}: {error.field}: {error.message}" for error in caught.value.errors]


def test_a_text_that_is_applied_again_changes_nothing() -> None:
    planned = plan(TEXT)
    assert (planned.changes, planned.postings, planned.absent, planned.after) == ((), (), (), WORLD)


@pytest.mark.parametrize("path", ["conf/demo.yaml", "conf/load.yaml", "tests/worlds/chain.yaml"])
def test_what_is_exported_and_applied_changes_nothing(path: str) -> None:
    world = parse_world((ROOT / path).read_text("utf-8"), path)
    planned = plan(export_world(world), before=world, prune=True)
    assert (planned.changes, planned.after.openings) == ((), world.openings)


def test_an_export_says_all_that_can_be_said_and_no_password() -> None:
    world = plan(
        changed(
            ('deck: ann, credit_limit: "5.00"', 'deck: ann, credit_limit: "5.00", suspended: true'),
            ("{name: Tel}", '{name: Tel, loss_guard: {action: refuse, margin: "2.5001", mean_s: 9}}'),
            ("password: three", "password: three, disabled: true"),
            ("max_calls: 30", "max_calls: 30, cps: 3, disabled: true"),
        )
    ).after
    text = export_world(world)
    assert plan(text, before=world, prune=True).changes == ()
    assert not any(secret in text for booth in world.booths for secret in booth.ha1.values())
    assert text.count('password: "********"') == 3


@pytest.mark.parametrize(
    ("name", "comment"), [("Telé", "# The world of 'Telé'. "), ("T\x85el", r"# The world of 'T\x85el'. ")]
)
def test_the_comment_of_an_export_is_one_line_that_names_the_provider(name: str, comment: str) -> None:
    assert export_world(replace(parse_world(TEXT, "w"), tenant=name)).startswith(comment)


def test_names_are_exported_so_that_they_are_read_back() -> None:
    name = "A 'single', # a \u00e9 and a \U0001f4de, \\n is no line"
    written = "'" + name.replace("'", "''") + "'"
    world = parse_world(TEXT.replace("destination: Germany", f"destination: {written}"), "w")
    assert world.decks[0].rates[0].destination == name
    assert plan(export_world(world), before=world).changes == ()


def test_changed_rates_make_a_new_version_and_others_keep_theirs() -> None:
    planned = plan(
        changed(
            ('"0.12", next_s: 6}', '"0.11", next_s: 6}\n      - {prefix: "43", destination: Austria, forbidden: true}'),
            ('      - {prefix: "44", destination: United Kingdom, first_s: 60, first_price: "0.30", next_s: 60}\n', ""),
        )
    )
    (change,) = planned.changes
    assert (change.action, change.kind, change.name) == ("change", "deck", "sell")
    assert change.details == (
        "version 1 -> 2",
        "+ 43 Austria: forbidden",
        "~ 49 Germany: first_price 0.12 -> 0.11, next_price 0.12 -> 0.11",
        "- 44 United Kingdom: 0.30 a minute, 60/60",
    )
    sell, ann, *_ = planned.after.decks
    assert (sell.version, ann) == (2, WORLD.decks[1])


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ('deck: ann, credit_limit: "5.00"', 'deck: rhea, credit_limit: "5.00"', "change party Ann: deck ann -> rhea"),
        ('"5.00", opening', '"7.50", opening', "change party Ann: credit_limit 5.00 EUR -> 7.50 EUR"),
        ('credit_limit: "5.00"', "unlimited: true", "change party Ann: credit_limit 5.00 EUR -> unlimited"),
        ("unlimited: true", 'credit_limit: "1.00"', "change party Rhea: credit_limit unlimited -> 1.00 EUR"),
        ("Bob, deck: rhea", 'Bob, deck: rhea, opening: "9"', "change party Bob: opening 9.00 EUR is posted"),
        ("Bob, deck: rhea", "Bob, deck: rhea, suspended: true", "suspend party Bob: suspended no -> yes"),
        ("{name: Tel}", "{name: Tel, loss_guard: {margin: 1}}", "change party Tel: guard.margin 0 -> 1"),
        ("max_calls: 30", "cps: 2", "change trunk two: max_calls 30 -> none: cps none -> 2"),
        ("max_calls: 30", "max_calls: 30, disabled: true", "disable trunk two: disabled no -> yes"),
        (
            "[one, two]",
            "[one]",
            "change route Tel: any number: choices one (priority 1, weight 1), two (priority",
        ),
        ('country_code: "49"\n', 'country_code: "43"\n', "change shop Corner: numbers.country_code 49 -> 43"),
        ("password: one", "password: eins", "change booth b1: password"),
        ("password: two", "password: two, calls: 2", "change booth b2: calls 1 -> 2"),
        ("ip: 192.0.2.11", "ip: 192.0.2.12", "change booth gate: ip 192.0.2.11 -> 192.0.2.12"),
        ("password: three", "password: three, disabled: true", "disable booth s1: disabled no -> yes"),
        (
            "{name: ana, shop: Corner}",
            "{name: ana, shop: Side}",
            "change operator ana: party Ann -> Bob: shop",
        ),
        (
            "  - {name: ana,",
            "  - {name: eve, shop: Side}\n  - {name: ana,",
            "add operator eve",
        ),
    ],
)
def test_a_change_is_told_field_by_field(old: str, new: str, change: str) -> None:
    (line,) = told(plan(changed((old, new))))
    assert line.startswith(change), line


def test_what_a_text_leaves_out_of_a_booth_or_an_account_stays() -> None:
    known = parse_world(changed(("Bob, deck: rhea", "Bob, deck: rhea, suspended: true")), "world.yaml")
    planned = plan(
        changed((', credit_limit: "5.00", opening: "100.00"', ""), (", unlimited: true", ""), (", password: one", "")),
        before=known,
    )
    assert planned.changes == ()
    assert planned.after.booths[0].ha1[Algorithm.MD5] == ha1(Algorithm.MD5, "b1", "sipshop", "one")


def test_trunks_in_another_order_are_a_change_for_emergency_calls() -> None:
    one, two = (
        line for line in TEXT.splitlines(keepends=True) if line.startswith(("  - {name: one", "  - {name: two"))
    )
    planned = plan(TEXT.replace(one + two, two + one))
    assert told(planned) == ["change trunk order for emergency calls: one, two -> two, one"]


def test_new_things_are_added_with_all_that_belongs_to_them() -> None:
    more = changed(
        ("  - {name: Bob, deck: rhea}", '  - {name: Bob, deck: rhea}\n  - {name: Cid, deck: rhea, opening: "3.00"}'),
        (
            "operators:",
            '  - {name: New, owner: Cid, deck: sell, country_code: "49", emergency: [], booths: [NEW]}\noperators:',
        ),
    )
    more = more.replace("NEW", "{name: n1, password: n, open: true}")
    planned = plan(more)
    assert told(planned) == [
        "add party Cid: credit_limit 0.00 EUR: opening 3.00 EUR is posted",
        "add shop New",
        "add booth n1",
    ]
    assert planned.opened_booths == ("n1",)
    assert [(party.name, opening.opening_micros) for party, opening in planned.new_accounts] == [("Cid", 3_000_000)]
    assert [opening.party for opening in planned.postings] == ["Cid"]
    assert plan(more, before=planned.after).changes == ()


def without_side() -> str:
    """The world without Bob, his shop, its booth, the trunk `two` and the routes to it, and without the people."""
    return "".join(
        line
        for line in changed(("[one, two]", "[one]")).splitlines(keepends=True)
        if not any(word in line for word in ("Bob", "name: two", "trunks: [two]", "ana", "rob"))
    ).replace("operators:\n", "")


def test_absence_changes_nothing() -> None:
    planned = plan(without_side())
    assert [line for line in told(planned) if "route" not in line] == []
    assert dict(planned.absent) == {"party": 1, "shop": 1, "booth": 1, "trunk": 1, "route": 1, "operator": 2}
    assert {booth.name for booth in planned.after.booths} == {"b1", "b2", "gate", "s1"}


def test_what_has_no_history_is_pruned_away() -> None:
    planned = plan(without_side(), prune=True)
    assert [line for line in told(planned) if not line.startswith("change route")] == [
        "remove party Bob",
        "remove trunk two",
        "remove route Rhea: 44",
        "remove shop Side",
        "remove booth s1",
        "remove operator ana",
        "remove operator rob",
    ]
    assert plan(without_side(), before=planned.after, prune=True).changes == ()


@pytest.mark.parametrize(
    ("history", "gone"),
    [
        (
            History(booths=frozenset({"s1"}), trunks=frozenset({"two"})),
            ["suspend party Bob", "disable trunk two", "disable booth s1"],
        ),
        (History(shops=frozenset({"Side"})), ["suspend party Bob", "remove trunk two", "remove booth s1"]),
        (History(parties=frozenset({"Bob"})), ["suspend party Bob", "remove trunk two", "remove shop Side"]),
    ],
)
def test_what_has_history_is_pruned_to_idleness(history: History, gone: list[str]) -> None:
    planned = plan(without_side(), history=history, prune=True)
    lines = [line.partition(":")[0] for line in told(planned)]
    assert [line for line in gone if line not in lines] == []
    assert plan(without_side(), before=planned.after, history=history, prune=True).changes == ()


def test_nobody_is_pruned_from_above_somebody_who_stays() -> None:
    text = without_side().replace("  - {name: Rhea, deck: rhea, unlimited: true}\n", "").replace("resellers:\n", "")
    text = text.replace('  - {name: Ann, parent: Rhea, deck: ann, credit_limit: "5.00", opening: "100.00"}', "")
    text = text.replace("owners:\n", "owners: [{name: Zoe, deck: rhea}]\n").split("shops:")[0] + "shops: []\n"
    planned = plan(text, history=History(parties=frozenset({"Ann"})), prune=True)
    stayed = {party.name: party.suspended for party in planned.after.parties}
    assert stayed == {"Tel": False, "Zoe": False, "Rhea": True, "Ann": True}


def test_what_comes_back_works_again_but_a_suspension_is_ended_by_word() -> None:
    history = History(booths=frozenset({"s1"}), trunks=frozenset({"two"}))
    pruned = plan(without_side(), history=history, prune=True).after
    back = plan(TEXT, before=pruned)
    assert {"change trunk two: disabled yes -> no", "change booth s1: disabled yes -> no"} <= set(told(back))
    assert [party.name for party in back.after.parties if party.suspended] == ["Bob"]
    resumed = plan(changed(("Bob, deck: rhea", "Bob, deck: rhea, suspended: false")), before=back.after)
    assert told(resumed) == ["change party Bob: suspended yes -> no"]


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("{name: Tel}", "{name: Other}", "provider.name: this is the world of 'Tel', whose name cannot be changed"),
        ("parent: Rhea", "parent: Tel", "owners[0].parent: Ann has an account with 'Rhea': it cannot change sellers"),
        (
            "Bob, deck: rhea",
            "Bob, deck: dollars",
            "owners[1].deck: deck 'dollars' is in USD, the account of Bob in",
        ),
        ('"100.00"', '"90.00"', "owners[0].opening: 100.00 was posted already, and is posted once: book a payment"),
        ("owner: Bob", "owner: Ann", "shops[1].owner: shop Side is owned by 'Bob': it cannot change owners"),
        ("Bob, deck: sell", "Bob, deck: dollars", "shops[1].deck: deck 'dollars' is in USD, the till of Side in EUR"),
        ("name: b2, pass", "name: s1, pass", "shops[0].booths[1].name: booth 's1' is in shop 'Side': it cannot change"),
        ("b1, password: one", "new", "shops[0].booths[0].password: is missing"),
        ("b1, password: one", 'new, password: "********"', "shops[0].booths[0].password: is only a mask"),
    ],
)
def test_what_the_world_cannot_become_is_refused(old: str, new: str, error: str) -> None:
    found = refused(changed((old, new)))
    assert any(each.partition(": ")[2].startswith(error) for each in found), found


def test_a_booth_in_a_new_realm_needs_its_password_again() -> None:
    text = changed(('emergency: ["112"]', 'emergency: ["112"]\n    realm: other'), (", password: one", ""))
    (error,) = refused(text)[:1]
    assert error.endswith("shops[0].booths[0].password: is missing")


def test_a_kind_of_party_is_for_ever() -> None:
    text = changed(
        ("Bob, deck: rhea", "Bob, deck: rhea, parent: Rhea"), ("resellers:", "resellers:\n  - {name: Cid, deck: rhea}")
    )
    known = parse_world(text.replace("Bob", "Dan").replace("Cid", "Bob").replace("Dan", "Cid"), "world.yaml")
    found = refused(text, before=known)
    assert any("name: Bob is one of the resellers already: take another name" in each for each in found)


def test_what_is_new_fits_what_stays_beside_it() -> None:
    """The shop Side is not in the text, and stays."""
    text = without_side().replace('emergency: ["112"]', 'emergency: ["112"]\n    digest: [SHA-256]')
    assert refused(text) == ["1: : shops Corner and Side have one realm, but other lists of digest algorithms"]
    emergency = parse_world(TEXT.replace("emergency: []", 'emergency: ["112"]'), "world.yaml")
    text = without_side().replace(" emergency: true,", "").replace('["112"]', "[]")
    two = parse_world(TEXT.replace("192.0.2.21, emergency: true", "192.0.2.21"), "world.yaml")
    stays = replace(two, shops=emergency.shops)
    assert refused(text, before=stays) == ["1: : no trunk has `emergency: true`, but shop Side has emergency numbers"]
