"""What calls cost: decks, and quotes of calls not made."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import EXIT_CODES, UNPRICED
from sipshop.cli.options import Json, group, wants_json
from sipshop.cli.screen import add_row, make_table, name_table, print_json, print_table

decks = group("deck", "Decks: what everybody sells by.")


def show_quote(
    context: typer.Context,
    number: Annotated[str, typer.Argument(help="As it is dialled there; whole, such as +22370123456, for a party.")],
    *,
    booth: Annotated[str | None, typer.Option(help="Called from this booth. [default: in every shop]")] = None,
    party: Annotated[str | None, typer.Option(help="Bought by this party; for the provider, of each trunk.")] = None,
    amount: Annotated[str | None, typer.Option(help="How long does so much last, such as 5.00?")] = None,
    seconds: Annotated[int | None, typer.Option(min=0, max=86_400, help="What does so long a talk cost?")] = None,
    as_json: Json = False,
) -> None:
    """Say what a call costs, 60 seconds of it unless told otherwise, or how long an amount lasts."""
    if booth is not None and party is not None:
        raise typer.BadParameter("give --booth or --party, not both")
    if amount is not None and seconds is not None:
        raise typer.BadParameter("give --amount or --seconds, not both")
    given = {"number": number, "booth": booth, "party": party, "amount": amount, "seconds": seconds}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    answer = Server(context).get(f"/quotes?{query}")
    if wants_json(context, as_json):
        print_json(answer)
    else:
        table = make_table("Seller", "Buyer", "Destination", "Deck", "Prefix", "Price", right=("Talk", "Amount"))
        for quote_ in answer["quotes"]:
            add_row(
                table,
                quote_["seller"],
                quote_["buyer"],
                quote_["destination"],
                quote_["deck"],
                quote_["prefix"],
                quote_["explanation"] or quote_["answer"].replace("_", " "),
                None if quote_["talk_s"] is None else minutes_of(quote_["talk_s"]),
                None if quote_["amount"] is None else f"{quote_['amount']} {quote_['currency']}",
            )
        print_table(table, spare=("Deck", "Prefix"))
    if not any(quote_["answer"] in {"price", "emergency"} for quote_ in answer["quotes"]):
        raise typer.Exit(UNPRICED)


@decks.command("list", epilog=EXIT_CODES)
def list_decks(context: typer.Context, as_json: Json = False) -> None:
    """Show every deck, and who sells by it."""
    answer = Server(context).get("/decks")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Deck", "Currency", "Round", "Sells", right=("Version", "Rates"))
    for deck in answer["decks"]:
        sales = "; ".join(f"{sale['seller']} to {sale['buyer']}" for sale in deck["sales"])
        rounding = f"{deck['round']['mode']} {deck['round']['places']}"
        add_row(table, deck["deck"], deck["currency"], rounding, sales, deck["version"], deck["rates"])
    print_table(table, spare=("Round",))


@decks.command("show", epilog=EXIT_CODES)
def show_deck(
    context: typer.Context,
    name: str,
    prefix: Annotated[str, typer.Option(help="Only rates whose prefix begins so.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many rates.")] = 200,
    as_json: Json = False,
) -> None:
    """Show a deck's rates, by prefix."""
    query = urlencode({"prefix": prefix, "limit": limit})
    answer = Server(context).get(f"/decks/{segment(name)}?{query}")
    if wants_json(context, as_json):
        print_json(answer)
        return
    table = make_table("Prefix", "Destination", right=("Fee", "First s", "First /min", "Next s", "Next /min"))
    for rate in answer["shown"]:
        if rate["forbidden"]:
            add_row(table, rate["prefix"], rate["destination"], "forbidden")
            continue
        prices = (rate[key] for key in ("connect_fee", "first_s", "first_price", "next_s", "next_price"))
        add_row(table, rate["prefix"], rate["destination"], *prices)
    name_table(table, f"Deck {answer['deck']}, version {answer['version']}, {answer['currency']}")
    print_table(table)
    typer.echo(f"{len(answer['shown'])} of {answer['rates']} rates")


def minutes_of(seconds: int) -> str:
    """A talk in minutes and seconds.

    >>> minutes_of(754)
    '12:34'
    """
    minutes, rest = divmod(seconds, 60)
    return f"{minutes}:{rest:02d}"
