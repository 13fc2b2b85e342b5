"""From a bill that is paid to the receipt of it."""

from __future__ import annotations

from collections.abc import Iterator

from sipshop.billing.counter import Counter
from sipshop.billing.desk import Bill, Payment
from sipshop.billing.items import BillItem
from sipshop.billing.money import format_scaled
from sipshop.billing.receipt import Entry, EntryKind, Receipt
from sipshop.billing.tax import PERCENT_PLACES


def draw_receipt(
    bill: Bill, payment: Payment, counter: Counter, *, number: int, at_ms: int, author: str, language: str
) -> Receipt:
    """Return the receipt of a payment: all that stands on its bill, and who sold it, as the counter says now."""
    seller, zone = counter.on_paper
    return Receipt(
        tenant=bill.tenant,
        shop=counter.shop,
        number=number,
        session_id=bill.session_id,
        booth=bill.booth,
        at_ms=at_ms,
        author=author,
        language=language,
        zone=zone,
        seller=seller,
        entries=tuple(entries(bill)),
        taxes=payment.taxes,
        total=payment.total,
        rounding=payment.rounding,
        deposit=payment.deposit,
        tenders=payment.tenders,
        change=payment.change,
        country_code=counter.country_code,
    )


def entries(bill: Bill) -> Iterator[Entry]:
    """Yield the lines of a bill as a receipt has them: the calls, and what stands besides in the order it came."""
    for line in bill.lines:
        yield Entry(
            kind=EntryKind.CALL,
            text=line.destination,
            amount=line.amount,
            dialled=line.dialled,
            e164=line.e164,
            at_ms=line.answered_at_ms,
            talk_ms=line.talk_ms,
            billed_s=line.billed_s,
            explanation=line.explanation,
        )
    for each in bill.items:
        item = each.item
        is_good = item.kind is EntryKind.GOOD
        yield Entry(
            kind=item.kind,
            text=item.text,
            amount=each.amount,
            quantity=item.quantity,
            unit=item.unit,
            author="" if is_good else item.author,
            explanation=_share(item, bill),
        )


def _share(item: BillItem, bill: Bill) -> str:
    """What a percentage was taken of, as `rating.explain` writes arithmetic; empty where it was an amount."""
    if item.percent_ppm is None:
        return ""
    return f"{format_scaled(item.percent_ppm, PERCENT_PLACES, 0)}% x {bill.base.text}"
