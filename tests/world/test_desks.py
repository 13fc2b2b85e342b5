"""`desk:` of a shop: read, refused, compared, written back and kept."""

from contextlib import closing

import pytest

from sipshop.billing.counter import LANGUAGES, Counter, Good, TillMode
from sipshop.billing.money import Money
from sipshop.billing.receipt import Seller
from sipshop.billing.tax import Tax, TaxMode
from sipshop.billing.tender import CashMode, CashRounding
from sipshop.console.pages.words import LANGUAGES as SPOKEN
from sipshop.store.worlds import load_world, read_world
from sipshop.switch import Directory
from sipshop.world import History, World, WorldErrors, export_world, parse_world, plan_world
from tests.console.memory import TENANT, WORLD_TEXT
from tests.store.examples import connection_in_memory

ALL = """{
  cash_rounding: {step: "0.05", mode: up},
  goods: [{name: Coffee, price: "1.80"}, {name: Book, price: "9.00", tax: {percent: "7", name: VAT}}],
  legal: {name: Center Ltd, address: "1 High Street\\nLondon", tax_id: GB1},
  timezone: Europe/London, languages: [fr, en], discount_most_percent: "12.5", operators_may_void: false,
  till: required}"""


def text_of(desk: str) -> str:
    """The world of the console's tests, with this desk in its shop."""
    return WORLD_TEXT.replace("  - name: center\n", f"  - name: center\n    desk: {desk}\n")


def parsed(desk: str) -> World:
    return parse_world(text_of(desk), "world.yaml")


def test_what_is_left_out_is_the_usual() -> None:
    assert parse_world(WORLD_TEXT, "world.yaml").counters == ()
    (made,) = parsed("{}").counters
    assert made == Counter(tenant=TENANT, shop="center", currency="EUR")
    assert (made.rounding, made.goods, made.discount_most_ppm, made.till) == (None, (), None, TillMode.OPTIONAL)


def test_everything_that_can_be_said() -> None:
    (made,) = parsed(ALL).counters
    assert made == Counter(
        tenant=TENANT,
        shop="center",
        currency="EUR",
        rounding=CashRounding(50_000, CashMode.UP),
        goods=(
            Good(name="Coffee", price=Money(1_800_000, "EUR")),
            Good(name="Book", price=Money(9_000_000, "EUR"), tax=Tax(70_000, TaxMode.INCLUDED, "VAT")),
        ),
        seller=Seller(name="Center Ltd", address=("1 High Street", "London"), tax_id="GB1"),
        zone="Europe/London",
        languages=("fr", "en"),
        discount_most_ppm=125_000,
        operators_may_void=False,
        till=TillMode.REQUIRED,
    )


@pytest.mark.parametrize(
    ("desk", "said"),
    [
        ('{cash_rounding: {step: "0"}}', "more than nothing, in whole coins of 0.01, not 0"),
        ('{cash_rounding: {step: "0.005"}}', "in whole coins of 0.01, not 0.005"),
        ('{cash_rounding: {step: "0.05", mode: sideways}}', "must be one of nearest, up, down"),
        ("{cash_rounding: {mode: up}}", "desk.cash_rounding.step: is missing"),
        ('{goods: [{name: Tea, price: "-1"}]}', "desk.goods[0].price: must be more than nothing"),
        ('{goods: [{name: "", price: "1"}]}', "is not a name for a bill"),
        ('{goods: [{name: A, price: "1"}, {name: A, price: "2"}]}', "'A' is on the list already"),
        ('{goods: [{name: A, price: "1", tax: {percent: "7", mode: added}}]}', "the price of a good is what is paid"),
        ("{legal: {address: x}}", "desk.legal.name: is missing"),
        ("{timezone: Mars/Olympus}", "is no time zone such as Europe/Berlin"),
        ("{languages: [en, de]}", "'de' is not one of en, fr"),
        ("{languages: [en, en]}", "each once"),
        ("{languages: []}", "must name one or more"),
        ('{discount_most_percent: "101"}', "a percentage from 0 to 100"),
        ("{till: sometimes}", "must be one of required, optional"),
        ("{drawer: 1}", "unknown key"),
        ("[]", "must be a table"),
    ],
)
def test_what_is_refused_names_the_field_and_what_would_be_right(desk: str, said: str) -> None:
    with pytest.raises(WorldErrors) as refused:
        parsed(desk)
    assert said in str(refused.value)
    assert "shops[0].desk" in str(refused.value)


def test_it_is_kept_written_back_and_compared() -> None:
    world = parsed(ALL)
    with closing(connection_in_memory()) as connection:
        load_world(connection, world, at_ms=0)
        assert read_world(connection, TENANT).counters == world.counters
    exported = export_world(world)
    assert plan_world(exported, "world.yaml", world, history=History(), prune=True).changes == ()
    other = exported.replace('percent: "12.5"', 'percent: "20"').replace('"1.80"', '"2.00"')
    (change,) = plan_world(other, "world.yaml", world, history=History(), prune=False).changes
    assert (change.kind, change.name, change.details) == (
        "desk",
        "center",
        (
            "goods Coffee 1.80 EUR, Book 9.00 EUR -> Coffee 2.00 EUR, Book 9.00 EUR",
            "discount_most_percent 12.5 -> 20",
        ),
    )


def test_a_shop_that_says_nothing_sells_in_its_owners_name() -> None:
    legal = 'legal: {name: "Olga Ltd", tax_id: GB2}, invoices: {timezone: Asia/Tokyo}'
    world = parse_world(WORLD_TEXT.replace("{name: olga,", f"{{name: olga, {legal},"), "world.yaml")
    counter = Directory([world], default_realm="x").counters[TENANT, "center"]
    assert counter.on_paper == (Seller(name="Olga Ltd", tax_id="GB2"), "Asia/Tokyo")
    own = Directory([parsed(ALL)], default_realm="x").counters[TENANT, "center"]
    assert own.on_paper == (
        Seller(name="Center Ltd", address=("1 High Street", "London"), tax_id="GB1"),
        "Europe/London",
    )


def test_receipts_are_in_the_languages_of_the_pages() -> None:
    assert tuple(SPOKEN) == LANGUAGES
