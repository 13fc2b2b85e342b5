"""Checkout: bills, what comes on them besides calls, payments, and receipts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES
from sipshop.cli.desk import sessions
from sipshop.cli.options import Json, Key, Reason, group, wants_json
from sipshop.cli.screen import add_row, clean, clock, make_table, name_table, print_json, print_table, program

__all__ = ["receipts", "sessions"]

receipts = group("receipt", "Receipts: the bills of a shop that were paid, as they were then.")

Paid = Annotated[str | None, typer.Option(help="What is paid in this way, such as 5.00.")]


@sessions.command("bill", epilog=EXIT_CODES)
def show_bill(context: typer.Context, booth: str, as_json: Json = False) -> None:
    """Show what a booth's session owes, each call with its arithmetic."""
    show(context, Server(context).get(f"/booths/{segment(booth)}/bill"), as_json=as_json)


@sessions.command("add", epilog=EXIT_CODES)
def sell_good(
    context: typer.Context,
    booth: str,
    name: Annotated[str, typer.Argument(help="What is sold, as the shop's list calls it, or anything else.")],
    *,
    quantity: Annotated[int, typer.Option(min=1, help="How many.")] = 1,
    price: Annotated[str | None, typer.Option(help="Of one, for what is not on the list.")] = None,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Put something that is sold on the bill of a booth's session."""
    body = {"name": name, "quantity": quantity, "price": price}
    show(context, Server(context).post(f"/booths/{segment(booth)}/bill/goods", body, key=key), as_json=as_json)


@sessions.command("discount", epilog=EXIT_CODES)
def give_discount(
    context: typer.Context,
    booth: str,
    amount: Annotated[str | None, typer.Argument(help="What is taken off, such as 0.50.")] = None,
    *,
    percent: Annotated[str | None, typer.Option(help="In place of an amount: that much of the bill.")] = None,
    reason: Reason,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take an amount or a percentage off the bill of a booth's session."""
    if (amount is None) is (percent is None):
        raise typer.BadParameter("give an amount or --percent, one of them")
    body = {"amount": amount, "percent": percent, "reason": reason}
    show(context, Server(context).post(f"/booths/{segment(booth)}/bill/discounts", body, key=key), as_json=as_json)


@sessions.command("void", epilog=EXIT_CODES)
def void_entry(
    context: typer.Context,
    booth: str,
    *,
    call: Annotated[str | None, typer.Option(help="The call, by the name that `session bill --json` has.")] = None,
    item: Annotated[int | None, typer.Option(min=1, help="What was sold, by its number on the bill.")] = None,
    reason: Reason,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Take back a call, or what was sold; both stay on the bill, with the reason."""
    if (call is None) is (item is None):
        raise typer.BadParameter("give --call or --item, one of them")
    body = {"call_id": call, "item": item, "reason": reason}
    show(context, Server(context).post(f"/booths/{segment(booth)}/bill/voids", body, key=key), as_json=as_json)


@sessions.command("remove", epilog=EXIT_CODES)
def remove_item(
    context: typer.Context,
    booth: str,
    item: Annotated[int, typer.Argument(min=1, help="Its number on the bill.")],
    as_json: Json = False,
) -> None:
    """Let a good, a discount or a void go from a bill, as if it had not been there."""
    answer = Server(context).post(f"/booths/{segment(booth)}/bill/items/{item}/remove", {})
    show(context, answer, as_json=as_json)


@sessions.command("pay", epilog=EXIT_CODES)
def pay_bill(
    context: typer.Context,
    booth: str,
    *,
    version: Annotated[int, typer.Option(min=0, help="The version of the bill that the customer was shown.")],
    tendered: Annotated[str | None, typer.Option(help="What was handed over in cash, such as 5.00.")] = None,
    cash: Paid = None,
    card: Paid = None,
    mobile: Paid = None,
    voucher: Paid = None,
    language: Annotated[str | None, typer.Option(help="Of the receipt, such as fr. [default: the shop's]")] = None,
    as_json: Json = False,
) -> None:
    """Take the customer's money for a bill as it was shown, and lock the booth."""
    ways = {"cash": cash, "card": card, "mobile": mobile, "voucher": voucher}
    tenders = [{"method": method, "amount": amount} for method, amount in ways.items() if amount is not None]
    if (tendered is None) is not bool(tenders):
        raise typer.BadParameter("give --tendered, or --cash, --card, --mobile and --voucher")
    paid = {"tenders": tenders} if tenders else {"tendered": tendered}
    body = {"version": version, **paid, **({} if language is None else {"language": language})}
    answer = Server(context).post(f"/booths/{segment(booth)}/pay", body)
    if wants_json(context, as_json):
        print_json(answer)
        return
    currency = answer["currency"]
    rounding = f", rounded by {answer['rounding']}" if Decimal(answer["rounding"]) else ""
    deposit = f"deposit {answer['deposit']}, " if Decimal(answer["deposit"]) else ""
    taxes = "".join(f" {tax_line(tax)} {currency}." for tax in answer["taxes"])
    typer.echo(
        clean(
            f"Booth {answer['booth']}, session {answer['session_id']}: paid {answer['total']} {currency}{rounding}, "
            f"{deposit}tendered {answer['tendered']}, change {answer['change']} {currency}.{taxes} "
            f"Receipt {answer['receipt']}. The booth is locked."
        )
    )


@receipts.command("list", epilog=EXIT_CODES)
def list_receipts(context: typer.Context, shop: str, as_json: Json = False) -> None:
    """Show the receipts of a shop, the newest first."""
    answer = {"receipts": list(Server(context).rows(f"/shops/{segment(shop)}/receipts", "receipts"))}
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Number", "At (UTC)", "Booth", "By", "Total", "Paid", "Currency", right=("Total", "Paid"))
    for receipt in answer["receipts"]:
        add_row(
            table,
            receipt["number"],
            clock(receipt["at"]),
            receipt["booth"],
            receipt["author"],
            receipt["total"],
            receipt["payable"],
            receipt["currency"],
        )
    print_table(table, spare=("By", "Booth"))


@receipts.command("show", epilog=EXIT_CODES)
def show_receipt(
    context: typer.Context,
    shop: str,
    number: Annotated[int, typer.Argument(min=1, help="Its number.")],
    as_json: Json = False,
) -> None:
    """Show a receipt as it was drawn."""
    receipt = Server(context).get(f"/shops/{segment(shop)}/receipts/{number}")
    if wants_json(context, as_json):
        print_json(receipt)
        return
    currency, seller = receipt["currency"], receipt["seller"]
    table = make_table("At (UTC)", "What", "Price", right=(currency,), footer=True)
    for entry in receipt["entries"]:
        add_row(table, clock(entry["at"]), _what(entry), _price(entry), entry["amount"])
    table.columns[0].footer = "Total"
    table.columns[-1].footer = receipt["total"]
    name_table(table, f"{seller['name']}, receipt {receipt['number']} of {clock(receipt['at'])}")
    print_table(table)
    for line in (*seller["address"], *filter(None, (seller["tax_id"],))):
        typer.echo(clean(line))
    for tax in receipt["taxes"]:
        typer.echo(f"{tax_line(tax)} {currency}")
    paid = ", ".join(f"{each['amount']} by {each['method']}" for each in receipt["tenders"]) or "nothing"
    typer.echo(
        clean(
            f"Rounding {receipt['rounding']}, to pay {receipt['payable']}, deposit {receipt['deposit']}, "
            f"paid {paid}, change {receipt['change']} {currency}, by {receipt['author']}"
        )
    )


def show(context: typer.Context, bill: Mapping[str, Any], *, as_json: bool) -> None:
    """Print a bill, and how it is paid."""
    if wants_json(context, as_json):
        print_json(bill)
        return
    currency = bill["currency"]
    table = make_table("Answered (UTC)", "Dialled", "Destination", "Talked", "Price", right=(currency,), footer=True)
    for line in bill["lines"]:
        talked = f"{line['talk_ms'] / 1000:.3f} s"
        add_row(
            table,
            clock(line["answered_at"]),
            line["dialled"],
            line["destination"],
            talked,
            line["explanation"],
            line["amount"],
        )
    for item in bill["items"]:
        add_row(table, clock(item["at"]), f"item {item['item']}", _what(item), None, _price(item), item["amount"])
    table.columns[0].footer = f"Total, version {bill['version']}"
    table.columns[-1].footer = bill["total"]
    name_table(table, f"Booth {bill['booth']}, session {bill['session_id']}")
    print_table(table)
    for tax in bill["taxes"]:
        typer.echo(f"{tax_line(tax)} {currency}")
    deposit = f", deposit {bill['deposit']}, due {bill['due']}" if Decimal(bill["deposit"]) else ""
    in_cash = f", in cash {bill['due_in_cash']}" if Decimal(bill["rounding"]) else ""
    typer.echo(
        f"Total {bill['total']} {currency}{deposit}{in_cash}, version {bill['version']}. When the customer pays it:"
    )
    pay = (program(), "session", "pay", bill["booth"], "--version", str(bill["version"]))
    typer.echo(f"  {clean(shlex.join((*pay, '--tendered', bill['due_in_cash'])))}")


def _what(entry: Mapping[str, Any]) -> str:
    """An entry in a word or two."""
    match entry["kind"]:
        case "call":
            return f"{entry['dialled']} {entry['text']}"
        case "good":
            return f"{entry['text']}"
        case "void":
            return f"taken back by {entry['author']}: {entry['text']}"
        case _:
            return f"discount by {entry['author']}: {entry['text']}"


def _price(entry: Mapping[str, Any]) -> str | None:
    """How an entry comes to what it does."""
    if entry["kind"] == "good":
        return f"{entry['quantity']} x {entry['unit']}"
    if entry.get("percent") is not None:
        return f"{entry['percent']}%"
    return entry.get("explanation")


def tax_line(tax: Mapping[str, str]) -> str:
    """What of an amount is taxed at a rate.

    >>> tax_line({"name": "VAT", "percent": "20", "net": "5.00", "tax": "1.00", "gross": "6.00"})
    'Net 5.00, VAT 20% 1.00, gross 6.00'
    """
    return clean(f"Net {tax['net']}, {tax['name']} {tax['percent']}% {tax['tax']}, gross {tax['gross']}")
