"""A bill as its page shows it: every word and figure in the reader's language, with what is typed reckoned in.

The browser reckons nothing: it asks for a sheet with each thing that is typed, and puts in what comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from babel.dates import format_time
from babel.numbers import format_decimal, format_percent

from sipshop.billing.cash import pieces
from sipshop.billing.desk import Bill, BillLine, Reckoning, sum_lines
from sipshop.billing.errors import BadAmount, TooMuchTendered
from sipshop.billing.items import Billed, BillItem
from sipshop.billing.money import MICRO_PLACES, Money, digits_of, minor_unit_places, parse_amount
from sipshop.billing.receipt import EntryKind
from sipshop.billing.tax import PPM
from sipshop.billing.tender import Method, Tender
from sipshop.console.pages.countries import country_of
from sipshop.console.pages.slips import arithmetic, reason
from sipshop.console.pages.words import Words, amount_text, mark, span

#: The keys that add a way to pay; cash is there from the beginning. None is one that does something else on a board.
KEYS: Final = {Method.CARD: "K", Method.MOBILE: "W", Method.VOUCHER: "E"}
#: A line that the page fills in by itself.
BLANK: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("id", "kind", "title", "flag", "about", "sum", "amount", "does", "target", "doesText"), ""),
    "isOff": False,
}

_NOT_AN_AMOUNT: Final = mark("This is not an amount of money, such as 5.00.")
_TOO_MUCH: Final = mark("This is more than there is to pay, and change is given for cash alone.")
_LIKELY: Final = 4
_MOST_NOTES: Final = 3
_DOT: Final = "\N{MIDDLE DOT}"


@dataclass(frozen=True, slots=True)
class Typed:
    """What was typed for each way to pay that was chosen: None where nothing was, which means what is left."""

    amounts: Mapping[Method, Money | None]

    @classmethod
    def of(cls, fields: Mapping[str, str], currency: str) -> Typed:
        """Read the fields of a form; raises BadAmount."""
        found: dict[Method, Money | None] = {}
        for method in Method:
            text = fields.get(method.value)
            if text is not None:
                found[method] = Money(parse_amount(amount_text(text)), currency) if text.strip() else None
        return cls(found)

    @property
    def rest(self) -> Method | None:
        """The way in which the rest is paid: of those without an amount the last; None where all have one."""
        return next((method for method in reversed(Method) if self.amounts.get(method, _NONE) is None), None)

    def tenders(self, bill: Bill) -> tuple[Tender, ...]:
        """Return what is handed over; raises TooMuchTendered where more than there is to pay is not cash."""
        given = tuple(Tender(method, amount) for method, amount in self.amounts.items() if amount and amount.micros)
        if self.rest is None:
            return given
        left = bill.reckon(given).missing if self.rest is Method.CASH else _left(bill, given)
        return (*given, Tender(self.rest, left)) if left.micros else given


_NONE: Final = Money(0, "XXX")  # of a way to pay that was not chosen


def _left(bill: Bill, given: Sequence[Tender]) -> Money:
    """What is left to pay to the last cent, when these have paid."""
    return max(
        bill.due - sum((each.amount for each in given), Money(0, bill.due.currency)), Money(0, bill.due.currency)
    )


def likely(due: Money) -> list[Money]:
    """Return what a customer will probably hand over for an amount: a few notes, or one coin; the least first.

    >>> [amount.text for amount in likely(Money(13_400_000, "EUR"))]
    ['15.00', '20.00', '50.00', '100.00']
    """
    found = set()
    for piece in pieces(due.currency):
        number = -(-due.micros // piece.value.micros)
        if number == 1 or (piece.is_note and number <= _MOST_NOTES):
            found.add(number * piece.value.micros)
    return [Money(micros, due.currency) for micros in sorted(found - {due.micros})][:_LIKELY]


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the operator at a page has seen of a bill: its `version`, and the calls that he knows to be `expected`."""

    version: int
    expected: int
    by: str

    def calls(self, bill: Bill) -> list[BillLine]:
        """The calls that he has not seen, nor known to be going on."""
        return [line for line in bill.lines if line.added > self.version][self.expected :]

    def news(self, bill: Bill, words: Words) -> str:
        """Ask whether what he has not seen is to be paid too; empty where he has seen everything.

        What he put on the bill himself is none, nor the end of a call that he saw going on.
        """
        calls = self.calls(bill)
        if calls:
            amount = words.money(sum_lines(calls, bill.total.currency).micros, bill.total.currency)
            return words.many(
                "%(number)s new call, %(amount)s: include it?",
                "%(number)s new calls, %(amount)s: include them?",
                len(calls),
                amount=amount,
            )
        others = any(each.item.added > self.version and each.item.author != self.by for each in bill.items)
        others = others or any((item.removed or 0) > self.version and item.removed_by != self.by for item in bill.gone)
        repriced = any(line.added <= self.version < line.priced for line in bill.lines)
        if others or repriced:
            total = words.money(bill.total.micros, bill.total.currency)
            return words(mark("The bill was changed: it comes to %(amount)s now. Go on?"), amount=total)
        return ""


def sheet(
    bill: Bill,
    typed: Mapping[str, str],
    words: Words,
    *,
    zone: str,
    alive: int,
    may_void: bool = True,
    seen: Seen | None = None,
) -> dict[str, Any]:
    """Return a bill for its page, in plain JSON types; `alive` calls of it go on."""
    currency = bill.total.currency
    problem, entered = "", Typed({Method.CASH: None})
    try:
        entered = Typed.of(typed, currency) if typed else entered
        tenders = entered.tenders(bill)
    except BadAmount:
        problem, tenders = words(_NOT_AN_AMOUNT), ()
    except TooMuchTendered:
        problem, tenders = words(_TOO_MUCH), ()
    found = bill.reckon(tenders)
    has_to_pay = bill.reckon(()).missing.micros > 0
    return {
        "session": bill.session_id,
        "version": bill.version,
        "alive": alive,
        "news": seen.news(bill, words) if seen is not None else "",
        "newsAbout": [f"{line.dialled} {line.destination}" for line in seen.calls(bill)] if seen is not None else [],
        "lines": [*_calls(bill, words, zone, may_void=may_void), *_items(bill, words)],
        "sums": list(_sums(bill, found, words)),
        **_due(bill, found, words, alive=alive),
        "hasToPay": has_to_pay,
        "rest": _rest(bill, entered, tenders, words),
        "quick": _quick(bill, tenders, words) if has_to_pay else [],
        "outcome": _outcome(found, words) if has_to_pay and not problem else ["none", "", ""],
        "problem": problem,
        "canPay": not alive and not problem and not found.missing.micros,
        "submit": words(mark("The call goes on")) if alive else _submit(found, tenders, words, has_to_pay=has_to_pay),
    }


def _submit(found: Reckoning, tenders: Sequence[Tender], words: Words, *, has_to_pay: bool) -> str:
    """What Enter does: it takes all that is handed over."""
    if has_to_pay:
        taken = sum((tender.amount for tender in tenders), Money(0, found.payable.currency))
        return words(mark("Take %(amount)s"), amount=words.money(taken.micros, taken.currency))
    if found.change.micros:
        return words(mark("Give %(amount)s back"), amount=words.money(found.change.micros, found.change.currency))
    return words(mark("Close the bill"))


# The lines.


def _calls(bill: Bill, words: Words, zone: str, *, may_void: bool) -> Iterator[dict[str, Any]]:
    voids = {each.item.call_id: each.item for each in bill.items if each.item.kind is EntryKind.VOID}
    for line in bill.lines:
        void = voids.get(line.call_id)
        yield {
            **BLANK,
            "id": f"call:{line.call_id}",
            "kind": EntryKind.CALL.value,
            "title": line.destination,
            "flag": country_of(line.e164) or "",
            "about": _about(line, words, zone),
            "sum": arithmetic(line.explanation, words.language) if void is None else _why(void, words),
            "amount": words.money(line.amount.micros, line.amount.currency),
            "isOff": void is not None,
            **(
                _takes_back(void, words)
                if void is not None
                else _takes_off("void", line.call_id, words)
                if may_void
                else {}
            ),
        }


def _about(line: BillLine, words: Words, zone: str) -> str:
    at = datetime.fromtimestamp(line.answered_at_ms / 1000, ZoneInfo(zone))
    time = format_time(at, "short", locale=words.language)
    spans = {"talked": span(line.talk_ms), "billed": span(line.billed_s * 1000)}
    return f" {_DOT} ".join((line.dialled, time, words(mark("Talked %(talked)s, billed %(billed)s"), **spans)))


def _items(bill: Bill, words: Words) -> Iterator[dict[str, Any]]:
    voids = {each.item.item: each.item for each in bill.items if each.item.kind is EntryKind.VOID}
    for each in bill.items:
        if each.item.kind is EntryKind.VOID:
            continue  # its reason stands at what it takes off
        void = voids.get(each.item.number)
        yield {
            **BLANK,
            "id": f"item:{each.item.number}",
            "kind": each.item.kind.value,
            "title": _title(each.item, bill.base, words),
            "sum": _why(void, words) if void is not None else _arithmetic(each, words),
            "amount": words.money(each.amount.micros, each.amount.currency),
            "isOff": void is not None,
            **(_takes_back(void, words) if void is not None else _takes_off("takeback", str(each.item.number), words)),
        }


def _title(item: BillItem, base: Money, words: Words) -> str:
    if item.kind is EntryKind.GOOD:
        return item.text
    if item.percent_ppm is None:
        return words(mark("Discount"))
    amount = words.money(base.micros, base.currency)
    return words(mark("Discount: %(percent)s of %(amount)s"), percent=percent(item.percent_ppm, words), amount=amount)


def _arithmetic(each: Billed, words: Words) -> str:
    item = each.item
    if item.kind is EntryKind.DISCOUNT:
        return _why(item, words)
    if item.unit is None or item.quantity == 1:
        return ""
    return f"{words.number(item.quantity)} \N{MULTIPLICATION SIGN} {words.money(item.unit.micros, item.unit.currency)}"


def _why(item: BillItem, words: Words) -> str:
    """The reason that somebody gave, and who it was."""
    return f"{reason(item.text, words)} {_DOT} {item.author}"


def _takes_off(does: str, target: str, words: Words) -> dict[str, str]:
    """The button of a line: a call is voided, for a reason; what was put on the bill at the desk just goes again."""
    return {"does": does, "target": target, "doesText": words(mark("Take off"))}


def _takes_back(void: BillItem, words: Words) -> dict[str, str]:
    return {"does": "putback", "target": str(void.number), "doesText": words(mark("Put back"))}


# What it comes to.


def _sums(bill: Bill, found: Reckoning, words: Words) -> Iterator[list[str]]:
    """Total, tax, deposit and rounding, each with its name and its kind."""

    def money(amount: Money) -> str:
        return words.money(amount.micros, amount.currency)

    yield [words(mark("Total")), money(bill.total), "total"]
    for each in bill.taxes:
        name = f"{each.tax.name} {percent(each.tax.percent_ppm, words)}"
        yield [words(mark("of which %(tax)s"), tax=name), money(each.parts.tax), "soft"]
    if bill.deposit.micros:
        yield [words(mark("Deposit, paid before")), money(-bill.deposit), ""]
    if found.rounding.micros and bill.cash_rounding is not None:
        step = Money(bill.cash_rounding.step_micros, bill.total.currency)
        yield [words(mark("Cash is rounded to %(step)s"), step=money(step)), money(found.rounding), ""]


def _due(bill: Bill, found: Reckoning, words: Words, *, alive: int) -> dict[str, str]:
    """What is to be paid at the desk, or goes back; nobody says it while a call goes on that belongs to it."""
    due = found.payable - bill.deposit
    if alive:
        return {
            "dueLabel": words(mark("Without the call that goes on")),
            "due": words.money(bill.total.micros, due.currency),
        }
    if due.micros >= 0:
        return {"dueLabel": words(mark("To pay")), "due": words.money(due.micros, due.currency)}
    return {"dueLabel": words(mark("Give back")), "due": words.money(-due.micros, due.currency)}


def _outcome(found: Reckoning, words: Words) -> list[str]:
    """What the operator gives back, or what he lacks, of what is typed."""
    if found.missing.micros:
        return ["missing", words(mark("Missing")), words.money(found.missing.micros, found.missing.currency)]
    if found.change.micros:
        return ["change", words(mark("Change")), words.money(found.change.micros, found.change.currency)]
    return ["none", "", ""]


def _rest(bill: Bill, entered: Typed, tenders: Sequence[Tender], words: Words) -> dict[str, str]:
    """What stands in each field in which nothing is typed: what that way is to pay."""
    paid = {tender.method: tender.amount for tender in tenders}
    zero = Money(0, bill.total.currency)
    return {
        method.value: _plain(paid.get(method, zero), words)
        for method, amount in entered.amounts.items()
        if amount is None
    }


def _quick(bill: Bill, tenders: Sequence[Tender], words: Words) -> list[list[str]]:
    """What may be handed over in cash, at a touch: as it is typed, and as it is read."""
    other = [tender for tender in tenders if tender.method is not Method.CASH]
    due = bill.reckon(other).missing
    if not due.micros:
        return []
    return [[_plain(amount, words), words.money(amount.micros, amount.currency)] for amount in likely(due)]


def _plain(amount: Money, words: Words) -> str:
    """An amount as it is typed: without its currency, and without cents where there are none."""
    places = max(digits_of(amount.micros), minor_unit_places(amount.currency)) if digits_of(amount.micros) else 0
    number = Decimal(amount.micros).scaleb(-MICRO_PLACES)
    return format_decimal(number, format=f"0.{'0' * places}", locale=words.language)


def percent(ppm: int, words: Words) -> str:
    """Return a percentage as it is written.

    >>> from sipshop.console.pages.words import words
    >>> percent(81_000, words("en")), percent(200_000, words("en"))
    ('8.1%', '20%')
    """
    return format_percent(Decimal(ppm) / PPM, locale=words.language, decimal_quantization=False)
