"""`legal:` and `invoices:` of a party: read, refused, compared, written back and kept."""

from contextlib import closing

import pytest

from sipshop.billing.invoice import Letterhead
from sipshop.store.worlds import load_world, read_world
from sipshop.world import History, World, WorldErrors, export_world, parse_world, plan_world
from tests.console.memory import TENANT, WORLD_TEXT
from tests.store.examples import connection_in_memory

LEGAL = 'legal: {name: "Zoë & Co", address: "1 High Street\\n\\n London ", tax_id: GB1}'
INVOICES = 'invoices: {timezone: Europe/London, number: "Z#", due_days: 0}'


def text_of(*terms: str, provider: str = "") -> str:
    """The world of the console's tests, with these terms of olga's."""
    said = "".join(f", {term}" for term in terms)
    text = WORLD_TEXT.replace("{name: olga,", f"{{name: olga{said},")
    return text.replace("provider: {name: acme", f"provider: {{name: acme{provider}")


def parsed(*terms: str, provider: str = "") -> World:
    return parse_world(text_of(*terms, provider=provider), "world.yaml")


def test_what_is_left_out_is_the_partys_name_and_the_usual() -> None:
    assert parsed().letterheads == ()
    (made,) = parsed('legal: {name: "Olga Ltd"}').letterheads
    assert made == Letterhead(tenant=TENANT, party="olga", name="Olga Ltd")


def test_everything_that_can_be_said() -> None:
    (provider, olga) = parsed(LEGAL, INVOICES, provider=', legal: {name: "Acme plc"}').letterheads
    assert (provider.party, provider.name) == ("acme", "Acme plc")
    assert olga == Letterhead(
        tenant=TENANT,
        party="olga",
        name="Zoë & Co",
        address=("1 High Street", "London"),
        tax_id="GB1",
        zone="Europe/London",
        numbering="Z#",
        due_days=0,
    )


@pytest.mark.parametrize(
    ("term", "said"),
    [
        ('legal: {name: ""}', "does not fit on a letterhead"),
        ('legal: {address: "1\\n2\\n3\\n4\\n5\\n6\\n7"}', "has 7 lines"),
        ("legal: {vat: 1}", "unknown key"),
        ("invoices: {timezone: Mars/Olympus}", "is no time zone such as Europe/Berlin"),
        ('invoices: {number: "none"}', "is no pattern of numbers"),
        ("invoices: {due_days: -1}", "due_days"),
    ],
)
def test_what_is_refused_names_the_field_and_what_would_be_right(term: str, said: str) -> None:
    with pytest.raises(WorldErrors) as refused:
        parsed(term)
    assert said in str(refused.value)
    assert "owners[0]." in str(refused.value)


def test_it_is_kept_written_back_and_compared() -> None:
    world = parsed(LEGAL, INVOICES, provider=', legal: {name: "Acme plc"}')
    with closing(connection_in_memory()) as connection:
        load_world(connection, world, at_ms=0)
        assert read_world(connection, TENANT).letterheads == world.letterheads
    exported = export_world(world)
    plan = plan_world(exported, "world.yaml", world, history=History(), prune=True)
    assert plan.changes == ()
    other = plan_world(exported.replace("GB1", "GB2"), "world.yaml", world, history=History(), prune=False)
    assert [(change.kind, change.name, change.details) for change in other.changes] == [
        ("letterhead", "olga", ("tax_id GB1 -> GB2",))
    ]
