"""Quotes: what a call would cost, and how long an amount would last, by the arithmetic that bills are made with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from sipshop.billing.cdr import utc_text
from sipshop.billing.deck import RateDeck, Tariff
from sipshop.billing.money import format_scaled, minor_unit_places
from sipshop.billing.rating import Cost, affordable_s, cost, explain
from sipshop.billing.tax import Taxed

#: E.164 numbers have 15 digits; prefixes that are longer numbers by themselves are served too.
E164_DIGITS: Final = 32
_BETWEEN: Final = str.maketrans("", "", " -./()")


class Answer(StrEnum):
    """Whether a number can be quoted, and why not."""

    PRICE = "price"
    EMERGENCY = "emergency"  # free
    FORBIDDEN = "forbidden"
    NO_RATE = "no_rate"
    BAD_NUMBER = "bad_number"
    NO_FUNDS = "no_funds"  # not even for the first increment that is charged
    NO_FX = "no_fx"  # no rate of exchange holds on that day


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """What `seller` asks `buyer` for a call to a number; `e164` is None where it is none.

    With an amount given, `talk_s` is how long it lasts, 0 if it does not pay for a first second; else it is the talk
    that was asked about. `tariff` and `cost` are there with a price.
    """

    seller: str
    buyer: str
    answer: Answer
    e164: str | None
    talk_s: int = 0
    tariff: Tariff | None = None
    cost: Cost | None = None

    @property
    def parts(self) -> Taxed | None:
        """Net, tax and gross of the amount; None without a price, or without a tax."""
        if self.tariff is None or self.cost is None or self.tariff.tax is None:
            return None
        return self.tariff.tax.within(self.cost.amount)


def e164_of(number: str) -> str:
    """Return the digits of a whole number, country code first, without what people write between and before them.

    Raises:
        ValueError: they are no number that can be called.
    """
    digits = number.removeprefix("+").translate(_BETWEEN)
    if not (digits.isascii() and digits.isdecimal() and len(digits) <= E164_DIGITS and digits[0] != "0"):
        raise ValueError(f"{number[:40]!a} is not a whole number: up to {E164_DIGITS} digits, country code first")
    return digits


def lasts_s(tariff: Tariff, amount_micros: int, most_s: int, at_ms: int) -> int:
    """Return the longest talk in whole seconds, `most_s` at most, that costs no more than an amount.

    >>> from sipshop.billing.deck import Rate, RateDeck
    >>> mali = Rate(prefix="223", destination="Mali", connect_fee_nanos=50_000_000, first_s=60,
    ...             first_price_nanos=390_000_000, next_s=60, next_price_nanos=390_000_000)
    >>> lasts_s(RateDeck("sell", "EUR", (mali,)).match("22370123456", 0), 5_000_000, 14_400, 0)
    720
    """
    talk_s = affordable_s(tariff, at_ms, amount_micros)
    return most_s if talk_s is None else min(talk_s, most_s)


def quoted(
    seller: str,
    buyer: str,
    e164: str,
    tariff: Tariff | None,
    *,
    amount_micros: int | None,
    talk_s: int,
    most_s: int,
    at_ms: int,
) -> Quote:
    """Return the quote of a number that was understood, for an amount or, without one, for a talk at an instant."""
    if tariff is None:
        return Quote(seller=seller, buyer=buyer, answer=Answer.NO_RATE, e164=e164)
    if tariff.rate.forbidden:
        return Quote(seller=seller, buyer=buyer, answer=Answer.FORBIDDEN, e164=e164, tariff=tariff)
    if amount_micros is not None:
        talk_s = lasts_s(tariff, amount_micros, most_s, at_ms)
    return Quote(
        seller=seller,
        buyer=buyer,
        answer=Answer.PRICE,
        e164=e164,
        talk_s=talk_s,
        tariff=tariff,
        cost=cost(tariff, at_ms, talk_s * 1000),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckQuote:
    """What a deck asks for a call to a number in E.164 digits, whoever sells by it.

    With `funds_micros` given, `granted_s` is how long they last, None without end; the talk is priced all the same.
    """

    deck: RateDeck
    answer: Answer
    e164: str
    at_ms: int
    talk_ms: int
    funds_micros: int | None
    tariff: Tariff | None = None
    cost: Cost | None = None
    granted_s: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the quote in plain JSON types, amounts and seconds as decimal strings."""
        tariff, priced, places = self.tariff, self.cost, minor_unit_places(self.deck.currency)
        written = {
            "answer": self.answer.value,
            "deck": self.deck.name,
            "version": self.deck.version,
            "number": self.e164,
            "at": utc_text(self.at_ms),
            "seconds": format_scaled(self.talk_ms, 3, 0),
            "prefix": tariff.rate.prefix if tariff is not None else None,
            "destination": tariff.rate.destination if tariff is not None else None,
            "billed_s": priced.billed_s if priced is not None else None,
            "amount": priced.amount.text if priced is not None else None,
            "currency": self.deck.currency,
            "lines": [line.to_json(places) for line in priced.lines] if priced is not None else [],
            "explanation": explain(priced) if priced is not None else None,
        }
        return written if self.funds_micros is None else written | {"granted_s": self.granted_s}


def deck_quote(deck: RateDeck, e164: str, *, at_ms: int, talk_ms: int, funds_micros: int | None = None) -> DeckQuote:
    """Return what a deck asks for a call that is let in and answered at an instant."""
    tariff = deck.match(e164, at_ms)
    answer = Answer.NO_RATE if tariff is None else Answer.FORBIDDEN if tariff.rate.forbidden else Answer.PRICE
    if tariff is None or answer is not Answer.PRICE:
        return DeckQuote(
            deck=deck,
            answer=answer,
            e164=e164,
            at_ms=at_ms,
            talk_ms=talk_ms,
            funds_micros=funds_micros,
            tariff=tariff,
            granted_s=0,
        )
    granted_s = affordable_s(tariff, at_ms, funds_micros) if funds_micros is not None else None
    return DeckQuote(
        deck=deck,
        answer=Answer.PRICE if granted_s != 0 else Answer.NO_FUNDS,
        e164=e164,
        at_ms=at_ms,
        talk_ms=talk_ms,
        funds_micros=funds_micros,
        tariff=tariff,
        cost=cost(tariff, at_ms, talk_ms),
        granted_s=granted_s,
    )
