"""What is watched of a party, a shop or a booth, as a world says it: `limits:`, `overcommit:` and `low_balance:`.

docs/limits.md explains every key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from sipshop.billing.errors import BadDeck
from sipshop.billing.limits import (
    ALLOW,
    AMOUNTS,
    HOUR_MS,
    SPENDING,
    LimitAction,
    Limits,
    LowBalance,
    Measure,
    Overcommit,
    OvercommitAction,
    Place,
    Rule,
    Subject,
    night,
    night_texts,
)
from sipshop.billing.money import format_micros, format_scaled, parse_amount, parse_scaled
from sipshop.config import Section, shown

#: What each measure's number may be, where it is no amount.
_NUMBERS: Final[Mapping[Measure, tuple[int, int]]] = {
    Measure.CALLS: (1, 100_000),
    Measure.UNUSED: (1, 3_650),
    Measure.LIVE: (1, 100_000),
}
_MOST_RULES: Final = 32
_MOST_HOURS: Final = 24 * 365
_FACTOR_PLACES: Final = 6
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class SetBy(StrEnum):
    """Who has set a rule, as seen from whom it is for."""

    OWN = "own"  # the party itself, of a shop or booth its owner
    SELLER = "seller"  # who sells to that one
    PROVIDER = "provider"


def read_limits(section: Section, subject: Subject, chain: tuple[str, str, str]) -> Limits | None:
    """Read what is watched of a subject, None for nothing.

    `chain` names its party (of a shop or booth the owner), who sells to that one, and the provider.
    """
    own, _, provider = chain
    is_provider = subject.place is Place.PARTY and own == provider
    rules: list[Rule] = []
    for number, rule in enumerate(section.sections("limits", required=False)):
        if number == _MOST_RULES:
            section.fault("limits", f"are more than {_MOST_RULES}")
        read = _rule(rule, subject, chain, is_provider=is_provider)
        if any(known.name == read.name for known in rules) and rule.sound:
            rule.fault("name", f"limit {shown(read.name)} is there already")
        rules.append(read)
    overcommit = _overcommit(section) if subject.place is Place.PARTY else ALLOW
    has_balance = subject.place is not Place.BOOTH and not is_provider
    low_balance = _low_balance(section, is_shop=subject.place is Place.SHOP) if has_balance else None
    if not rules and overcommit == ALLOW and low_balance is None:
        return None
    return Limits(subject=subject, rules=tuple(rules), overcommit=overcommit, low_balance=low_balance)


def _rule(section: Section, subject: Subject, chain: tuple[str, str, str], *, is_provider: bool) -> Rule:
    name = section.text("name", check=_rule_name)
    given = [measure for measure in Measure if section.has(measure.value)]
    is_night = Measure.NIGHT in given
    if is_night and Measure.PRICE in given:
        given.remove(Measure.PRICE)  # the price up to which one may call at night
    if len(given) != 1:
        section.fault("", f"must have one of {', '.join(Measure)}; it has {' and '.join(given) or 'none'}")
    measure = given[0] if given else Measure.LIVE
    default = SetBy.SELLER if subject.place is Place.PARTY else SetBy.OWN
    set_by = section.choice("set_by", SetBy, default)
    if is_provider and measure in SPENDING:
        section.fault(measure.value, "is for whom somebody charges: limit those whom the provider sells to")
    if subject.place is Place.BOOTH and measure is Measure.UNUSED:
        section.fault(measure.value, "is for shops and parties: what was called is known shop by shop")
    most: int | None = None
    calendar = None
    if measure in AMOUNTS:
        most = section.number(measure.value, _amount)
    elif is_night:
        texts = section.texts("night") if section.lists("night") else (section.text("night"),)
        zone = section.text("timezone")
        most = section.number(Measure.PRICE.value, _amount) if section.has(Measure.PRICE.value) else None
        if section.sound:
            try:
                calendar = night(zone, *texts)
            except BadDeck as error:
                section.fault("night", str(error))
    elif given:
        low, high = _NUMBERS[measure]
        most = section.integer(measure.value, low=low, high=high)
    action = section.choice("action", LimitAction, LimitAction.REFUSE)
    section.end()
    return Rule(
        name=name, measure=measure, action=action, set_by=chain[list(SetBy).index(set_by)], most=most, calendar=calendar
    )


def _overcommit(section: Section) -> Overcommit:
    table = section.section("overcommit", required=False)
    if table is None:
        return ALLOW
    action = table.choice("action", OvercommitAction, OvercommitAction.WARN)
    factor_ppm = table.number("factor", _factor, ALLOW.factor_ppm)
    table.end()
    return Overcommit(action=action, factor_ppm=factor_ppm)


def _low_balance(section: Section, *, is_shop: bool) -> LowBalance | None:
    table = section.section("low_balance", required=False)
    if table is None:
        return None
    amount = table.number("amount", _amount, 0)
    lasts_h = table.integer("lasts_h", 0, low=1, high=_MOST_HOURS)
    table.end()
    if not amount and not lasts_h and table.sound:
        table.fault("", "needs an `amount`, or `lasts_h`, the hours that it is to last")
    return LowBalance(amount_micros=amount, lasts_ms=lasts_h * HOUR_MS)


Texts = Callable[[tuple[str, ...]], str]
"""Writes a list of texts in one line of YAML."""
Table = Callable[[Mapping[str, str | int]], str]
"""Writes a table in one line of YAML."""


def written(limits: Limits, chain: tuple[str, str, str], table: Table, texts: Texts) -> dict[str, str]:
    """Return the keys of what is watched, each with its YAML, so that `read_limits` gives it back."""
    found: dict[str, str] = {}
    if limits.rules:
        default = SetBy.SELLER if limits.subject.place is Place.PARTY else SetBy.OWN
        found["limits"] = f"[{', '.join(_written(rule, chain, default, table, texts) for rule in limits.rules)}]"
    if limits.overcommit != ALLOW:
        factor = format_scaled(limits.overcommit.factor_ppm, _FACTOR_PLACES, 0)
        found["overcommit"] = table({"action": limits.overcommit.action.value, "factor": factor})
    low = limits.low_balance
    if low is not None:
        amount: dict[str, str | int] = {"amount": format_micros(low.amount_micros)} if low.amount_micros else {}
        found["low_balance"] = table(amount | ({"lasts_h": low.lasts_ms // HOUR_MS} if low.lasts_ms else {}))
    return found


def _written(rule: Rule, chain: tuple[str, str, str], default: SetBy, table: Table, texts: Texts) -> str:
    fields: dict[str, str | int] = {"name": rule.name}
    if rule.calendar is not None:
        fields["night"] = texts(night_texts(rule.calendar))
        fields["timezone"] = rule.calendar.zone
    if rule.most is not None:
        is_amount = rule.calendar is not None or rule.measure in AMOUNTS
        key = Measure.PRICE if rule.calendar is not None else rule.measure
        fields[key.value] = format_micros(rule.most) if is_amount else rule.most
    fields["action"] = rule.action.value
    if rule.set_by != chain[list(SetBy).index(default)]:
        fields["set_by"] = list(SetBy)[chain.index(rule.set_by)].value
    return table(fields)


# What a text must be: each returns what to take for it, or raises ValueError with what is wrong.


def _rule_name(text: str) -> str:
    if _NAME.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not letters, digits, dots, dashes and underscores, at most 32")
    return text


def _amount(text: str) -> int:
    micros = parse_amount(text)
    if micros < 0:
        raise ValueError(f"must not be negative: {text}")
    return micros


def _factor(text: str) -> int:
    ppm = parse_scaled(text, _FACTOR_PLACES)
    if not 0 < ppm <= 1_000 * 10**_FACTOR_PLACES:
        raise ValueError(f"must be above 0 and at most 1000, not {shown(text)}")
    return ppm
