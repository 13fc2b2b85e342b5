"""What stands on a statement or invoice, in words and in order; how it looks is for the page and the PDF to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Final

_TITLES: Final = {None: "Statement", "invoice": "Invoice", "credit_note": "Credit note"}
_KINDS: Final = {"rerated": "Calls charged anew", "late": "Calls that came late"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A table: its columns, of which the last `right` are numbers, its rows, and what they come to."""

    heading: str
    columns: tuple[str, ...]
    right: int
    rows: tuple[tuple[str, ...], ...]
    total: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """All that is read on it, in order; `facts` and `totals` are pairs of a label and what it is, the last in bold."""

    title: str
    seller: tuple[str, ...]
    buyer: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    bought: tuple[Section, ...]
    totals: tuple[tuple[str, str], ...]
    moved: tuple[Section, ...]
    notes: tuple[str, ...]
    sha256: str | None = None


def sheet_of(document: Mapping[str, Any], sha256: str | None = None) -> Sheet:
    """Lay out a statement or, with its hash, an invoice, both in the plain JSON types of `billing.invoice`."""
    currency, kind = document["currency"], document.get("kind")
    number = document.get("number")
    return Sheet(
        title=_TITLES[kind] if number is None else f"{_TITLES[kind]} {number}",
        seller=_side(document["seller"]),
        buyer=_side(document["buyer"]),
        facts=tuple(_facts(document)),
        bought=tuple(section for section in _bought(document, f"Amount {currency}") if section.rows),
        totals=tuple(_totals(document)) if kind is not None else (),
        moved=tuple(section for section in _moved(document, currency) if section.rows),
        notes=tuple(_notes(document)),
        sha256=sha256,
    )


def _side(who: str | Mapping[str, Any]) -> tuple[str, ...]:
    if isinstance(who, str):
        return (who,)
    tax_id = (f"Tax id {who['tax_id']}",) if who["tax_id"] else ()
    return (who["name"], *who["address"], *tax_id)


def _facts(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    period = document["period"]
    last = date.fromisoformat(period["until"]) - timedelta(days=1)
    if document.get("number") is not None:
        yield "Number", document["number"]
        yield "Date", document["date"]
    yield "Period", f"{period['from']} to {last}"
    yield "Time zone", period["timezone"]
    yield "Currency", document["currency"]
    if document.get("kind") == "invoice":
        yield "Due", document["due_date"]


def _bought(document: Mapping[str, Any], money: str) -> Iterator[Section]:
    account = document["account"]
    yield Section(
        heading="Calls",
        columns=("Destination", "Calls", "Talked", "Billed", money),
        right=4,
        rows=_evened(
            (
                line["destination"] or "unknown",
                str(line["calls"]),
                *map(_clock, (line["seconds"], line["billed_s"])),
                line["amount"],
            )
            for line in document["calls"]
        ),
        total=account["calls"],
    )
    yield Section(
        heading="Corrections of closed periods",
        columns=("Invoice", "What", "Calls", money),
        right=2,
        rows=_evened(
            (line["invoice"], _KINDS[line["kind"]], str(line["calls"]), line["amount"])
            for line in document["corrections"]
        ),
        total=account["corrections"],
    )


def _moved(document: Mapping[str, Any], currency: str) -> Iterator[Section]:
    account = document["account"]
    for heading, key in (("Payments", "payments"), ("Adjustments", "adjustments")):
        yield Section(
            heading=heading,
            columns=("Date", "What for", f"Amount {currency}"),
            right=1,
            rows=_evened((line["date"], _reason(line), line["amount"]) for line in document[key]),
            total=account[key],
        )
    yield Section(
        heading="Account",
        columns=("", f"Balance {currency}"),
        right=1,
        rows=_evened(_account(account)),
    )


def _reason(line: Mapping[str, Any]) -> str:
    said = line["reason"] or ("paid in beforehand" if line["kind"] == "opening" else "")
    late = line["closed_by"]
    return said if late is None else f"{said} (of the period of invoice {late})".strip()


def _account(account: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield "Opening balance", account["opening"]
    for label, key in (("Calls", "calls"), ("Corrections of closed periods", "corrections"), ("Tax", "tax")):
        if account[key] != "0.00":
            yield label, _negated(account[key])
    for label, key in (("Payments", "payments"), ("Adjustments", "adjustments")):
        if account[key] != "0.00":
            yield label, account[key]
    yield "Closing balance", account["closing"]


def _totals(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    tax, currency = document["tax"], document["currency"]
    amounts = [("Net", document["net"])]
    if tax is not None:
        amounts.append((f"{tax['name']} {tax['percent']} %", tax["amount"]))
    amounts.append(("Total", document["gross"]))
    for label, amount in _evened(amounts):
        yield label, f"{amount} {currency}"


def _notes(document: Mapping[str, Any]) -> Iterator[str]:
    if document.get("kind") is None:
        yield "A statement is no invoice: the tax is added when the period is closed."
        return
    if document["due"] == "0.00":
        yield "Nothing is to be paid: the account covers it."
    else:
        yield (
            f"To be paid by {document['due_date']}: {document['due']} {document['currency']}, which is what the "
            "account owes in whole coins."
        )


def _negated(amount: str) -> str:
    return amount.removeprefix("-") if amount.startswith("-") else f"-{amount}"


def _clock(seconds: int) -> str:
    """Seconds as people write them.

    >>> _clock(62), _clock(3_725)
    ('1:02', '1:02:05')
    """
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _evened(rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Rows whose last cells, amounts, all have as many places, so that the points stand one below the other."""
    listed = tuple(rows)
    places = max((len(row[-1].partition(".")[2]) for row in listed), default=0)
    return tuple((*row[:-1], _with_places(row[-1], places)) for row in listed)


def _with_places(amount: str, places: int) -> str:
    whole, _, fraction = amount.partition(".")
    return f"{whole}.{fraction.ljust(places, '0')}"
