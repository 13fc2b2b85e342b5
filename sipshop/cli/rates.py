"""What calls cost from a shop: by place, for an amount or for minutes; and the poster of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import typer

from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import UNPRICED, USAGE
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import add_row, clean, fail, make_table, minutes_of, print_json, print_table


def show_rates(
    context: typer.Context,
    shop: str,
    words: Annotated[list[str], typer.Argument(help="A number, a prefix, a country, a city or a destination.")],
    *,
    money: Annotated[str, typer.Option(help="How long does so much last?")] = "5",
    minutes: Annotated[int, typer.Option(min=1, max=1440, help="What does so long a call cost?")] = 10,
    language: Annotated[str, typer.Option(help="Of the names of countries: en, fr, es, it, pt, pl or ar.")] = "en",
    as_json: Json = False,
) -> None:
    """Say how long an amount lasts to a place, and what a call there costs, now."""
    query = {"q": " ".join(words), "money": money, "minutes": str(minutes), "language": language}
    answer = Server(context).get(f"/shops/{segment(shop)}/rates?{urlencode(query)}")
    if wants_json(context, as_json):
        print_json(answer)
    elif answer["emergency"]:
        typer.echo("An emergency number: it costs nothing.")
    elif answer["rates"]:
        _show(answer)
    if not answer["rates"] and not answer["emergency"]:
        fail(UNPRICED, clean(f"no price: nothing of {shop} is called {query['q']!r}"))


def _show(answer: Mapping[str, Any]) -> None:
    money = f"{answer['money']} {answer['currency']}"
    columns = f"Least {answer['currency']}", f"{money} lasts", f"{answer['minutes']} min cost"
    table = make_table("Country", "Destination", "Prefixes", "Price", right=columns)
    for rate in answer["rates"]:
        where = ", ".join(filter(None, (rate["city"], rate["country_name"])))
        if rate["answer"] != "price":
            add_row(table, where, rate["destination"], _prefixes(rate), rate["answer"].replace("_", " "), "", "", "")
            continue
        add_row(
            table,
            where,
            rate["destination"],
            _prefixes(rate),
            _price(rate),
            rate["minimum"],
            minutes_of(rate["lasts_s"]),
            rate["amount"],
        )
    print_table(table, spare=("Prefixes", "Price"))
    if answer["more"]:
        typer.echo("There is more: say more.", err=True)


def _prefixes(rate: Mapping[str, Any]) -> str:
    return rate["e164"] or " ".join(rate["prefixes"])


def _price(rate: Mapping[str, Any]) -> str:
    """The fee, and what a minute costs from which second on."""
    steps = [
        f"{step['price']}/min by {step['every_s']} s" + (f" from {step['from_s']} s" if step["from_s"] else "")
        for step in rate["steps"]
    ]
    fee = [rate["connect_fee"]] if rate["connect_fee"].strip("0.") else []
    return " + ".join([*fee, ", ".join(steps)])


def write_poster(
    context: typer.Context,
    shop: str,
    file: Annotated[Path, typer.Argument(help="Where to write it, such as tariffs.pdf.")],
    *,
    language: Annotated[str, typer.Option(help="en, fr, es, it, pt, pl or ar.")] = "en",
    size: Annotated[str, typer.Option(help="a4 or a3.")] = "a4",
) -> None:
    """Write the poster of a shop's tariffs as a PDF: every destination, and what the least call there costs."""
    query = urlencode({"language": language, "size": size})
    content = Server(context).download(f"/shops/{segment(shop)}/poster.pdf?{query}")
    try:
        file.write_bytes(content)
    except OSError as error:
        fail(USAGE, f"{file} cannot be written: {error.strerror}")
    typer.echo(clean(f"{file}: the tariffs of {shop} as they are now"))
