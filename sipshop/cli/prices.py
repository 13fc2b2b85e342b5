"""What calls cost: quotes of calls not made."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

from sipshop.billing.errors import BadAmount
from sipshop.billing.money import format_scaled, parse_amount, parse_scaled
from sipshop.cli.ask import Server, segment
from sipshop.cli.codes import UNPRICED, USAGE
from sipshop.cli.options import Json, wants_json
from sipshop.cli.screen import (
    add_row,
    clean,
    complain,
    fail,
    make_table,
    minutes_of,
    print_facts,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from sipshop.billing.deck import RateDeck


def show_quote(
    context: typer.Context,
    dialled: Annotated[
        str | None,
        typer.Argument(metavar="[NUMBER]", help="As it is dialled there; whole, such as +22370123456, for a party."),
    ] = None,
    *,
    booth: Annotated[str | None, typer.Option(help="Called from this booth. [default: in every shop]")] = None,
    party: Annotated[str | None, typer.Option(help="Bought by this party; for the provider, of each trunk.")] = None,
    amount: Annotated[str | None, typer.Option(help="How long does so much last, such as 5.00?")] = None,
    seconds: Annotated[str | None, typer.Option(help="What does so long a talk cost? Such as 90 or 60.4.")] = None,
    deck: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="By this deck: a file, or one of the server's.")
    ] = None,
    chain: Annotated[str | None, typer.Option(metavar="BOOTH", help="Every level of a call from there.")] = None,
    number: Annotated[
        str | None, typer.Option(metavar="DIGITS", help="With --deck: the whole number, country code first.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="ISO8601", help="With --deck or --chain: when. [default: now]")
    ] = None,
    balance: Annotated[str | None, typer.Option(help="With --deck: how long does so much last?")] = None,
    as_json: Json = False,
) -> None:
    """Say what a call costs, 60 seconds of it unless told otherwise, or how long an amount lasts."""
    given = {"--booth": booth, "--party": party, "--amount": amount, "--deck": deck, "--chain": chain}
    kind = "--deck" if deck is not None else "--chain" if chain is not None else ""
    others = [name for name, value in given.items() if value is not None and kind and name != kind]
    if others:
        raise typer.BadParameter(f"give {kind} or {others[0]}, not both")
    if not kind and (at is not None or balance is not None):
        raise typer.BadParameter(f"{'--at' if at is not None else '--balance'} is asked for with --deck alone")
    if (dialled is None) == (number is None):
        raise typer.BadParameter("give one number")
    asked = dialled if dialled is not None else number
    assert asked is not None, "one of them is there"
    talk_ms = _milliseconds(seconds) if seconds is not None else 60_000
    if deck is not None:
        answer = _of_deck(context, deck, asked, talk_ms=talk_ms, at=at, balance=balance)
        _show_deck_quote(answer, as_json=wants_json(context, as_json))
    elif chain is not None:
        _show_chain(context, chain, asked, talk_ms=talk_ms, at=at, as_json=as_json)
    else:
        _show_sales(context, asked, booth=booth, party=party, amount=amount, seconds=seconds, as_json=as_json)


def _milliseconds(seconds: str) -> int:
    """Read a talk time that may have decimals."""
    try:
        talk_ms = parse_scaled(seconds, 3)
    except BadAmount as error:
        raise typer.BadParameter(f"--seconds: {error}") from error
    if talk_ms < 0:
        raise typer.BadParameter(f"--seconds: {seconds} is below zero")
    return talk_ms


def _of_deck(
    context: typer.Context, deck: str, number: str, *, talk_ms: int, at: str | None, balance: str | None
) -> dict[str, Any]:
    """The quote of a deck: of a file by ourselves, of any other by the server."""
    path = Path(deck)
    if path.suffix.lower() not in {".yaml", ".yml"} and not path.is_file():
        given = {"number": number, "seconds": format_scaled(talk_ms, 3, 0), "at": at, "balance": balance}
        query = urlencode({name: value for name, value in given.items() if value is not None})
        answer: dict[str, Any] = Server(context).get(f"/decks/{segment(deck)}/quote?{query}")
        return answer
    from sipshop.billing.quote import deck_quote, e164_of  # noqa: PLC0415 - only a deck's file is read without a server
    from sipshop.switch.clock import utc_ms  # noqa: PLC0415 - likewise

    read = read_deck_file(path)
    try:
        digits = e164_of(number)
        at_ms = utc_ms() if at is None else read.calendar.instant(at)
        funds_micros = None if balance is None else parse_amount(balance)
    except ValueError as error:
        fail(USAGE, str(error))
    return deck_quote(read, digits, at_ms=at_ms, talk_ms=talk_ms, funds_micros=funds_micros).to_json()


def read_deck_file(path: Path) -> RateDeck:
    """Read a deck's file and what stands beside it, or end with what is wrong."""
    from sipshop.world import WorldErrors  # noqa: PLC0415 - the readers of files, which few commands need
    from sipshop.world.decks import parse_deck  # noqa: PLC0415 - likewise

    def beside(name: str) -> Iterator[str]:
        try:
            with (path.parent / name).open(encoding="utf-8-sig", newline="") as file:
                yield from file
        except UnicodeDecodeError:
            raise ValueError(f"{name} is not UTF-8 text") from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise ValueError(f"{clean(name)} cannot be read: {reason}") from None

    gc.disable()  # a million rates are in no circle, and looking for one takes longer than reading them
    try:
        return parse_deck("".join(beside(path.name)), str(path), path.stem, beside)
    except WorldErrors as errors:
        for error in errors.errors:
            complain(str(error))
        raise typer.Exit(USAGE) from None
    except ValueError as error:
        fail(USAGE, str(error))
    finally:
        gc.freeze()
        gc.enable()


def _show_deck_quote(answer: Mapping[str, Any], *, as_json: bool) -> None:
    verdict = answer["answer"]
    if as_json:
        print_json(answer)
    elif answer["amount"] is not None:
        facts = {
            "Deck": f"{answer['deck']}, version {answer['version']}",
            "Prefix": f"{answer['prefix']} {answer['destination']}",
            "Price": answer["explanation"],
            "Billed": f"{answer['billed_s']} s",
            "Amount": f"{answer['amount']} {answer['currency']}",
        }
        if "granted_s" in answer:
            granted_s = answer["granted_s"]
            facts["Lasts"] = "without end" if granted_s is None else f"{granted_s} s, which is {minutes_of(granted_s)}"
        print_facts({name: clean(fact) for name, fact in facts.items()})
    if verdict != "price":
        prefix = answer["prefix"]
        told = {
            "no_rate": f"deck {answer['deck']} has no rate for {answer['number']}",
            "forbidden": f"deck {answer['deck']} forbids calls to {prefix} {answer['destination']}",
            "no_funds": "the balance does not pay for the first increment that is charged",
        }
        fail(UNPRICED, f"no price: {told[verdict]}" if verdict != "no_funds" else f"no funds: {told[verdict]}")


def _show_chain(
    context: typer.Context, booth: str, number: str, *, talk_ms: int, at: str | None, as_json: bool
) -> None:
    given = {"booth": booth, "number": number, "seconds": format_scaled(talk_ms, 3, 0), "at": at}
    query = urlencode({name: value for name, value in given.items() if value is not None})
    answer = Server(context).get(f"/chain?{query}")
    if wants_json(context, as_json):
        print_json(answer)
    else:
        table = make_table("Seller", "Buyer", "Trunk", "Deck", "Prefix", "Price", right=("Amount", "Margin"))
        for level in answer["levels"]:
            add_row(
                table,
                level["seller"],
                level["buyer"],
                level["trunk"],
                level["deck"],
                level["prefix"],
                level["explanation"],
                f"{level['amount']} {level['currency']}",
                margin_of(level),
            )
        print_table(table, spare=("Deck", "Prefix"))
    if answer["answer"] != "price":
        fail(UNPRICED, clean(f"no price: {why_none(answer['answer'], number)}"))


def why_none(answer: str, number: str) -> str:
    """Why a call has no price, for people."""
    told = {
        "bad_number": f"{number} is no number that a booth can call",
        "no_rate": f"there is no rate for {number}",
        "no_rate_above": f"a deck above the shop's has no rate for {number}",
        "forbidden": f"calls to {number} are forbidden",
        "forbidden_above": f"a deck above the shop's forbids calls to {number}",
        "no_fx": "two currencies meet and no rate of exchange holds on that day",
        "no_route": f"no trunk takes {number}",
        "no_funds": "that does not pay for the first increment that is charged",
        "loss": "somebody would sell it for less than it costs him",
        "suspended": "a party is suspended",
        "emergency": f"{number} is an emergency number, which costs nothing",
    }
    return told.get(answer, answer.replace("_", " "))


def _show_sales(
    context: typer.Context,
    number: str,
    *,
    booth: str | None,
    party: str | None,
    amount: str | None,
    seconds: str | None,
    as_json: bool,
) -> None:
    """What a call costs from a booth, for a party, or in every shop."""
    if booth is not None and party is not None:
        raise typer.BadParameter("give --booth or --party, not both")
    if amount is not None and seconds is not None:
        raise typer.BadParameter("give --amount or --seconds, not both")
    if seconds is not None and _milliseconds(seconds) % 1000:
        raise typer.BadParameter("--seconds has decimals with --deck and --chain alone")
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
                price_of(quote_),
                None if quote_["talk_s"] is None else minutes_of(quote_["talk_s"]),
                None if quote_["amount"] is None else f"{quote_['amount']} {quote_['currency']}",
            )
        print_table(table, spare=("Deck", "Prefix"))
    answers = [quote_["answer"] for quote_ in answer["quotes"]]
    if not {"price", "emergency"} & set(answers):
        fail(UNPRICED, clean(f"no price: {why_none(answers[0], number) if answers else f'nobody sells {number}'}"))


def margin_of(level: Mapping[str, Any]) -> str | None:
    """What a level keeps, and what that is in the currency of the provider where it is another."""
    if level["margin"] is None:
        return None
    told = f"{level['margin']} {level['margin_currency']}"
    if level["common_currency"] in {None, level["margin_currency"]}:
        return told
    return f"{told}, {level['common_margin']} {level['common_currency']}"


def price_of(quote_: Mapping[str, Any]) -> str:
    """The arithmetic of a quote and the tax in it, or why there is none."""
    told: str = quote_["explanation"] or quote_["answer"].replace("_", " ")
    taxed = quote_["taxed"]
    if taxed is None or quote_["tax"] is None:
        return told
    return f"{told}; net {quote_['net']}, {taxed['name']} {taxed['percent']}% {quote_['tax']}"
