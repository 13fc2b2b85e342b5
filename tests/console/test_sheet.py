"""A bill on its page: what is typed is reckoned, what is new is asked about, and all of it is in words."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from sipshop.billing.desk import Bill, BillLine, BoothSession, draw_bill
from sipshop.billing.items import BillItem
from sipshop.billing.money import Money
from sipshop.billing.receipt import EntryKind
from sipshop.billing.tax import Tax, TaxMode
from sipshop.billing.tender import CashMode, CashRounding
from sipshop.console.pages.sheet import Seen, likely, sheet
from sipshop.console.pages.words import words

ENGLISH: Final = words("en")
VAT: Final = Tax(200_000, TaxMode.INCLUDED, "VAT")
TIMES: Final = "\N{MULTIPLICATION SIGN}"
STEP: Final = CashRounding(50_000, CashMode.NEAREST)


def euros(text: str) -> Money:
    return Money.parse(text, "EUR")


def call(number: int, amount: str, *, added: int) -> BillLine:
    return BillLine(
        call_id=f"c{number}",
        answered_at_ms=1_767_225_599_007,
        dialled="003222222222",
        e164="3222222222",
        destination="Belgium",
        talk_ms=61_250,
        billed_s=120,
        amount=euros(amount),
        explanation=f"62 s = 60 + 60 s at 0.12/min = {amount}",
        tax=VAT,
        added=added,
        priced=added,
    )


def item(kind: EntryKind, text: str, number: int, **more: Any) -> BillItem:
    return BillItem(kind=kind, text=text, author="ana", at_ms=0, number=number, added=number + 10, **more)


def bill(*calls: BillLine, items: tuple[BillItem, ...] = (), deposit: str = "0", version: int = 9) -> Bill:
    session = BoothSession(
        tenant="acme",
        id=1,
        booth="b1",
        owner="olga",
        opened_at_ms=0,
        opened_by="ana",
        version=version,
        closed_at_ms=None,
        paid=False,
        deposit_micros=euros(deposit).micros,
    )
    drawn = draw_bill(session, "EUR", calls, items)
    return Bill(**{name: getattr(drawn, name) for name in Bill.__dataclass_fields__} | {"cash_rounding": STEP})


def shown(
    found: Bill, typed: Mapping[str, str] | None = None, *, language: str = "en", alive: int = 0
) -> dict[str, Any]:
    return sheet(found, typed or {}, words(language), zone="Europe/Brussels", alive=alive)


@pytest.mark.parametrize(
    ("typed", "due", "outcome", "rest", "can_pay"),
    [
        pytest.param({}, "€1.25", ["none", "", ""], {"cash": "1.25"}, True, id="nothing typed is exactly so"),
        pytest.param({"cash": "5"}, "€1.25", ["change", "Change", "€3.75"], {}, True, id="change"),
        pytest.param({"cash": "1,2"}, "€1.25", ["missing", "Missing", "€0.05"], {}, False, id="too little"),
        pytest.param(
            {"cash": "", "card": ""}, "€1.26", ["none", "", ""], {"cash": "0", "card": "1.26"}, True, id="all by card"
        ),
        pytest.param(
            {"cash": "", "card": "1"}, "€1.25", ["none", "", ""], {"cash": "0.25"}, True, id="the rest in cash"
        ),
        pytest.param(
            {"cash": "1", "card": ""}, "€1.26", ["none", "", ""], {"card": "0.26"}, True, id="the rest by card"
        ),
        pytest.param(
            {"cash": "5", "card": "1"}, "€1.25", ["change", "Change", "€4.75"], {}, True, id="change with a card"
        ),
        pytest.param({"cash": "", "mobile": "2"}, "€1.25", ["none", "", ""], {"cash": "0"}, False, id="no cash back"),
        pytest.param({"cash": "much"}, "€1.25", ["none", "", ""], {"cash": "0"}, False, id="no amount"),
    ],
)
def test_what_is_typed_is_reckoned(
    typed: dict[str, str], due: str, outcome: list[str], rest: dict[str, str], can_pay: bool
) -> None:
    found = shown(bill(call(1, "1.26", added=1)), typed)
    assert (found["due"], found["outcome"], found["rest"], found["canPay"]) == (due, outcome, rest, can_pay)
    assert bool(found["problem"]) is (not can_pay and outcome[0] == "none")


def test_a_deposit_that_was_more_goes_back() -> None:
    found = shown(bill(call(1, "1.26", added=1), deposit="5.00"))
    assert (found["dueLabel"], found["due"], found["submit"]) == ("Give back", "€3.75", "Give €3.75 back")
    assert (found["hasToPay"], found["canPay"], found["quick"]) == (False, True, [])
    assert [(label, amount) for label, amount, _ in found["sums"]] == [
        ("Total", "€1.26"),
        ("of which VAT 20%", "€0.21"),
        ("Deposit, paid before", "-€5.00"),
        ("Cash is rounded to €0.05", "-€0.01"),
    ]


def test_a_bill_of_nothing_is_closed() -> None:
    found = shown(bill())
    assert (found["due"], found["submit"], found["canPay"], found["lines"]) == ("€0.00", "Close the bill", True, [])


def test_nobody_pays_while_a_call_goes_on() -> None:
    assert not shown(bill(call(1, "1.26", added=1)), alive=1)["canPay"]


def test_a_line_says_how_it_came_about_and_what_may_be_done_with_it() -> None:
    found = shown(
        bill(
            call(1, "1.00", added=1),
            call(2, "0.50", added=2),
            items=(
                item(EntryKind.GOOD, "Coffee", 1, quantity=2, unit=euros("1.80"), tax=VAT),
                item(EntryKind.DISCOUNT, "Goodwill", 2, percent_ppm=100_000),
                item(EntryKind.VOID, "Bad line", 3, call_id="c2"),
            ),
        )
    )
    told = [(line["title"], line["sum"], line["amount"], line["isOff"], line["does"]) for line in found["lines"]]
    assert told == [
        ("Belgium", f"60 + 60 s {TIMES} 0.12/min = 1.00", "€1.00", False, "void"),
        ("Belgium", "Bad line · ana", "€0.50", True, "putback"),
        ("Coffee", f"2 {TIMES} €1.80", "€3.60", False, "takeback"),
        ("Discount: 10% of €4.60", "Goodwill · ana", "-€0.46", False, "takeback"),
    ]
    assert [line["target"] for line in found["lines"]] == ["c1", "3", "1", "2"]
    assert found["lines"][0]["about"].startswith("003222222222 · 12:59")
    assert found["due"] == "€4.15"


def test_a_sheet_is_in_the_language_of_its_reader() -> None:
    found = shown(bill(call(1, "1.26", added=1)), {"cash": "5"}, language="fr")
    assert (found["due"], found["outcome"][1]) == ("1,25\N{NO-BREAK SPACE}€", "À rendre")
    assert shown(bill(call(1, "1.26", added=1)), language="pl")["rest"] == {"cash": "1,25"}


@pytest.mark.parametrize(
    ("version", "expected", "by", "asks"),
    [
        pytest.param(1, 0, "ana", "1 new call, €0.35: include it?", id="a call that landed meanwhile"),
        pytest.param(1, 1, "ana", "", id="one that he saw going on is none"),
        pytest.param(0, 0, "ana", "2 new calls, €1.35: include them?", id="two"),
        pytest.param(0, 1, "ana", "1 new call, €0.35: include it?", id="one of them he knew of"),
        pytest.param(2, 0, "ana", "", id="what he put there himself is none"),
        pytest.param(2, 0, "otto", "The bill was changed: it comes to €3.15 now. Go on?", id="another's good is"),
        pytest.param(20, 0, "otto", "", id="he has seen it all"),
    ],
)
def test_what_is_new_is_asked_about(version: int, expected: int, by: str, asks: str) -> None:
    found = bill(
        call(1, "1.00", added=1),
        call(2, "0.35", added=2),
        items=(item(EntryKind.GOOD, "Coffee", 1, unit=euros("1.80")),),
        version=11,
    )
    assert Seen(version=version, expected=expected, by=by).news(found, ENGLISH) == asks


def test_what_another_took_off_is_asked_about() -> None:
    gone = item(EntryKind.GOOD, "Coffee", 1, unit=euros("1.80"), removed=12, removed_by="otto")
    found = bill(call(1, "1.00", added=1), items=(gone,), version=12)
    assert Seen(version=11, expected=0, by="ana").news(found, ENGLISH).startswith("The bill was changed")
    assert not Seen(version=11, expected=0, by="otto").news(found, ENGLISH)


@pytest.mark.parametrize(
    ("due", "amounts"),
    [
        ("1.30 EUR", ["2.00", "5.00", "10.00", "20.00"]),
        ("5.00 EUR", ["10.00", "20.00", "50.00", "100.00"]),
        ("47.20 EUR", ["50.00", "60.00", "100.00", "200.00"]),
        ("870 XOF", ["1000", "2000", "5000", "10000"]),
        ("2000.00 EUR", []),
    ],
)
def test_what_a_customer_is_likely_to_hand_over(due: str, amounts: list[str]) -> None:
    assert [amount.text for amount in likely(Money.parse(*due.split()))] == amounts
