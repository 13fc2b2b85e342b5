"""Objects to rows and back: no SQL and no decisions, only the shape of each table's columns.

A row goes in as a mapping from column to value and comes back as anything that is indexed by column.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple, Protocol

from sipshop.billing.calendar import Calendar, Window
from sipshop.billing.cdr import Attempt, CallKind, Cdr, Charge, Direction, HungUpBy, Result, utc_text
from sipshop.billing.counter import Counter
from sipshop.billing.deck import (
    ChangePolicy,
    DurationRound,
    Extras,
    IncrementRule,
    Rate,
    RateDeck,
    Tariff,
    WindowPolicy,
)
from sipshop.billing.desk import BillLine, BoothSession, Payment
from sipshop.billing.fx import RATE_PLACES, Pair
from sipshop.billing.guard import GuardAction, LossGuard
from sipshop.billing.invoice import Letterhead
from sipshop.billing.ledger import Transfer, TransferKind
from sipshop.billing.money import Money, Rounding, RoundMode, amount_text, format_scaled, parse_scaled
from sipshop.billing.parties import Kind, Party
from sipshop.billing.rating import Cost, Line, LineKind, explain
from sipshop.billing.tax import Tax
from sipshop.proxy.admission import Auth, Booth, Inbound, Shop
from sipshop.proxy.numbers import NumberRules
from sipshop.proxy.routing import Route, Trunk
from sipshop.sip.digest import Algorithm
from sipshop.store.terms import TERMS, read_terms, terms_text
from sipshop.world import Opening, Operator, Role, Sold, TaxTerms

Values = dict[str, object]

TOKEN_ID_DIGITS: Final = 16

to_json: Final[Callable[[object], str]] = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Row(Protocol):
    """A row of a result: `sqlite3.Row` from either driver."""

    def __getitem__(self, column: str, /) -> Any:
        """Return the value of a column."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveCall:
    """What must outlive us of a call that has no CDR yet: enough to hang up both legs and to settle it.

    `state` is "new" or "answered". `parties` is what each level pays by, (seller, buyer, tariff): the booth's customer
    first, the provider to the carrier last where there is a `trunk`. `dialog_a` and `dialog_b` are plain JSON that the
    store does not look into. `relayed_at_ms` is the start of talk time in UTC, `relayed_mono_ms` the same instant on
    the monotonic clock of `process`. `granted_ms` is the talk time that is paid for: what the call holds on each level
    but the carrier's is its cost. None is without end.
    """

    tenant: str
    call_id: str
    process: str
    state: str
    shop: str
    booth: str
    session_id: int | None
    kind: CallKind
    dialled: str
    e164: str | None
    destination: str | None
    setup_at_ms: int
    trunk: str | None
    attempts: tuple[Attempt, ...]
    leg_a_call_id: str
    leg_b_call_id: str | None
    parties: tuple[tuple[str, str, Tariff], ...]
    dialog_a: dict[str, Any] | None
    dialog_b: dict[str, Any] | None
    pdd_ms: int | None
    relayed_at_ms: int | None
    relayed_mono_ms: int | None
    granted_ms: int | None
    direction: Direction = Direction.OUTBOUND


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """An account as the store keeps it; a credit limit of None is none.

    `overdrawn` says that an adjustment took more than live calls left there.
    """

    name: str
    currency: str
    balance_micros: int
    credit_limit_micros: int | None
    overdrawn: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What an API token opens, which is known by its SHA-256 in hexadecimal alone.

    It sees its `party` and all below it, or of that party one `shop`. An instant of None never comes. `operator` is the
    person that it belongs to, None where it is a program's.
    """

    tenant: str
    sha256: str
    role: str
    party: str
    shop: str | None
    label: str
    created_at_ms: int
    expires_at_ms: int | None
    revoked_at_ms: int | None = None
    operator: str | None = None

    @property
    def id(self) -> str:
        """What people call it by: enough of the hash to be the only one, and too little to be of use."""
        return self.sha256[:TOKEN_ID_DIGITS]


class CdrPlace(NamedTuple):
    """A record's place in the list of CDRs, which has the newest first."""

    setup_at_ms: int
    call_id: str
    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """What became of a movement: the account after it, and whether it was made now (or found done)."""

    account: AccountState
    is_new: bool


# The journal of calls.


def call_values(call: LiveCall) -> Values:
    """Return the row of a live call."""
    return {
        "tenant": call.tenant,
        "call_id": call.call_id,
        "process": call.process,
        "state": call.state,
        "shop": call.shop,
        "booth": call.booth,
        "session_id": call.session_id,
        "kind": call.kind.value,
        "dialled": call.dialled,
        "e164": call.e164,
        "destination": call.destination,
        "setup_at_ms": call.setup_at_ms,
        "trunk": call.trunk,
        "attempts": _attempts_text(call.attempts),
        "leg_a_call_id": call.leg_a_call_id,
        "leg_b_call_id": call.leg_b_call_id,
        "parties": to_json([[seller, buyer, tariff_text(tariff)] for seller, buyer, tariff in call.parties]),
        "dialog_a": None if call.dialog_a is None else to_json(call.dialog_a),
        "dialog_b": None if call.dialog_b is None else to_json(call.dialog_b),
        "pdd_ms": call.pdd_ms,
        "relayed_at_ms": call.relayed_at_ms,
        "relayed_mono_ms": call.relayed_mono_ms,
        "granted_ms": call.granted_ms,
        "direction": call.direction.value,
    }


def live_call(row: Row) -> LiveCall:
    """Read a live call back."""
    return LiveCall(
        tenant=row["tenant"],
        call_id=row["call_id"],
        process=row["process"],
        state=row["state"],
        shop=row["shop"],
        booth=row["booth"],
        session_id=row["session_id"],
        kind=CallKind(row["kind"]),
        dialled=row["dialled"],
        e164=row["e164"],
        destination=row["destination"],
        setup_at_ms=row["setup_at_ms"],
        trunk=row["trunk"],
        attempts=_attempts(row["attempts"]),
        leg_a_call_id=row["leg_a_call_id"],
        leg_b_call_id=row["leg_b_call_id"],
        parties=call_parties(row["parties"]),
        dialog_a=None if row["dialog_a"] is None else json.loads(row["dialog_a"]),
        dialog_b=None if row["dialog_b"] is None else json.loads(row["dialog_b"]),
        pdd_ms=row["pdd_ms"],
        relayed_at_ms=row["relayed_at_ms"],
        relayed_mono_ms=row["relayed_mono_ms"],
        granted_ms=row["granted_ms"],
        direction=Direction(row["direction"]),
    )


def call_parties(text: str) -> tuple[tuple[str, str, Tariff], ...]:
    """Read back the levels that pay for a live call."""
    return tuple((seller, buyer, tariff(snapshot)) for seller, buyer, snapshot in json.loads(text))


# CDRs and charges.


def cdr_values(cdr: Cdr) -> Values:
    """Return the row of a CDR, without its charges."""
    return {
        "tenant": cdr.tenant,
        "call_id": cdr.call_id,
        "revision": cdr.revision,
        "kind": cdr.kind.value,
        "direction": cdr.direction.value,
        "shop": cdr.shop,
        "booth": cdr.booth,
        "session_id": cdr.session_id,
        "dialled": cdr.dialled,
        "e164": cdr.e164,
        "destination": cdr.destination,
        "setup_at_ms": cdr.setup_at_ms,
        "answered_at_ms": cdr.answered_at_ms,
        "ended_at_ms": cdr.ended_at_ms,
        "pdd_ms": cdr.pdd_ms,
        "talk_ms": cdr.talk_ms,
        "result": cdr.result.value,
        "sip_status": cdr.sip_status,
        "q850": cdr.q850,
        "hung_up_by": None if cdr.hung_up_by is None else cdr.hung_up_by.value,
        "trunk": cdr.trunk,
        "attempts": _attempts_text(cdr.attempts),
        "leg_a_call_id": cdr.leg_a_call_id,
        "leg_b_call_id": cdr.leg_b_call_id,
        "recovered": int(cdr.recovered),
    }


def charge_values(cdr: Cdr, bill_version: int | None) -> list[Values]:
    """Return the rows of a CDR's charges, the booth's customer first; his alone is on a bill."""
    return [
        {
            "tenant": cdr.tenant,
            "call_id": cdr.call_id,
            "revision": cdr.revision,
            "level": level,
            "seller": charge.seller,
            "buyer": charge.buyer,
            "currency": charge.cost.amount.currency,
            "amount_micros": charge.cost.amount.micros,
            "duration_s": charge.cost.duration_s,
            "billed_s": charge.cost.billed_s,
            "tariff": tariff_text(charge.tariff),
            "lines": lines_text(charge.cost),
            "bill_version": bill_version if level == 0 else None,
        }
        for level, charge in enumerate(cdr.charges)
    ]


def lines_text(charged: Cost) -> str:
    """Return the terms of a cost as JSON."""
    return to_json([[line.kind.value, line.seconds, line.price_nanos, line.num] for line in charged.lines])


def cdr(row: Row, charges: Iterable[Charge]) -> Cdr:
    """Read a CDR back, from its own row and its charges in order."""
    return Cdr(
        call_id=row["call_id"],
        revision=row["revision"],
        kind=CallKind(row["kind"]),
        direction=Direction(row["direction"]),
        tenant=row["tenant"],
        shop=row["shop"],
        booth=row["booth"],
        session_id=row["session_id"],
        dialled=row["dialled"],
        e164=row["e164"],
        destination=row["destination"],
        setup_at_ms=row["setup_at_ms"],
        answered_at_ms=row["answered_at_ms"],
        ended_at_ms=row["ended_at_ms"],
        pdd_ms=row["pdd_ms"],
        talk_ms=row["talk_ms"],
        result=Result(row["result"]),
        sip_status=row["sip_status"],
        q850=row["q850"],
        hung_up_by=None if row["hung_up_by"] is None else HungUpBy(row["hung_up_by"]),
        trunk=row["trunk"],
        attempts=_attempts(row["attempts"]),
        leg_a_call_id=row["leg_a_call_id"],
        leg_b_call_id=row["leg_b_call_id"],
        recovered=bool(row["recovered"]),
        charges=tuple(charges),
    )


def charge(row: Row) -> Charge:
    """Read a charge back, as it was worked out then; nothing is calculated again."""
    return Charge(seller=row["seller"], buyer=row["buyer"], tariff=tariff(row["tariff"]), cost=cost(row))


def bill_line(row: Row) -> BillLine:
    """Read a charged call as a line of its session's bill."""
    charged = cost(row)
    return BillLine(
        call_id=row["call_id"],
        answered_at_ms=row["answered_at_ms"],
        dialled=row["dialled"],
        e164=row["e164"],
        destination=row["destination"],
        talk_ms=row["talk_ms"],
        billed_s=charged.billed_s,
        amount=charged.amount,
        explanation=explain(charged),
        tax=tariff(row["tariff"]).tax,
        added=row["added"],
        priced=row["bill_version"],
    )


def cost(row: Row) -> Cost:
    """Read what a charge came to, as it was worked out then."""
    return Cost(
        amount=Money(row["amount_micros"], row["currency"]),
        duration_s=row["duration_s"],
        billed_s=row["billed_s"],
        lines=tuple(
            Line(LineKind(kind), seconds, price_nanos, num)
            for kind, seconds, price_nanos, num in json.loads(row["lines"])
        ),
    )


def _attempts_text(attempts: tuple[Attempt, ...]) -> str:
    return to_json([[attempt.trunk, attempt.status, attempt.q850, attempt.pdd_ms, attempt.why] for attempt in attempts])


def _attempts(text: str) -> tuple[Attempt, ...]:
    return tuple(
        Attempt(trunk=trunk, status=status, q850=q850, pdd_ms=pdd_ms, why="".join(why))
        for trunk, status, q850, pdd_ms, *why in json.loads(text)  # version 0.1.0 did not say why
    )


@lru_cache(maxsize=4096)
def tariff_text(tariff: Tariff) -> str:
    """Return a tariff as JSON; a call writes its own three times, and most calls share a few."""
    return to_json(tariff.to_json())


@lru_cache(maxsize=4096)
def tariff(text: str) -> Tariff:
    """Read a tariff back.

    Raises:
        BadTariff, ValueError: the text is none.
    """
    return Tariff.from_json(json.loads(text))


# Money.


def transfer_values(tenant: str, transfer: Transfer, *, author: str, reason: str, at_ms: int) -> Values:
    """Return the row of a transfer."""
    return {
        "tenant": tenant,
        "key": transfer.key,
        "kind": transfer.kind.value,
        "debit": transfer.debit,
        "credit": transfer.credit,
        "currency": transfer.amount.currency,
        "amount_micros": transfer.amount.micros,
        "author": author,
        "reason": reason,
        "at_ms": at_ms,
    }


def transfer(row: Row) -> Transfer:
    """Read a transfer back, without who made it and when."""
    return Transfer(
        key=row["key"],
        kind=TransferKind(row["kind"]),
        debit=row["debit"],
        credit=row["credit"],
        amount=Money(row["amount_micros"], row["currency"]),
    )


def transfer_view(row: Row, account: str) -> dict[str, Any]:
    """Return a transfer in plain JSON types as one of its accounts sees it: what left it is below zero."""
    micros, is_debit = row["amount_micros"], row["debit"] == account
    return {
        "key": row["key"],
        "kind": row["kind"],
        "amount": amount_text(-micros if is_debit else micros, row["currency"]),
        "currency": row["currency"],
        "other": row["credit"] if is_debit else row["debit"],
        "author": row["author"],
        "reason": row["reason"],
        "at": utc_text(row["at_ms"]),
    }


def account_state(row: Row) -> AccountState:
    """Read an account."""
    return AccountState(
        name=row["name"],
        currency=row["currency"],
        balance_micros=row["balance_micros"],
        credit_limit_micros=row["credit_limit_micros"],
        overdrawn=bool(row["overdrawn"]),
    )


# The desk.


def token_values(token: Token) -> Values:
    """Return the row of a token."""
    return asdict(token)


def token(row: Row) -> Token:
    """Read a token back."""
    return Token(
        tenant=row["tenant"],
        sha256=row["sha256"],
        role=row["role"],
        party=row["party"],
        shop=row["shop"],
        label=row["label"],
        created_at_ms=row["created_at_ms"],
        expires_at_ms=row["expires_at_ms"],
        revoked_at_ms=row["revoked_at_ms"],
        operator=row["operator"],
    )


def session_values(session: BoothSession) -> Values:
    """Return the row of a booth session."""
    return asdict(session) | {"paid": int(session.paid)}


def booth_session(row: Row) -> BoothSession:
    """Read a booth session back."""
    return BoothSession(
        tenant=row["tenant"],
        id=row["id"],
        booth=row["booth"],
        owner=row["owner"],
        opened_at_ms=row["opened_at_ms"],
        opened_by=row["opened_by"],
        version=row["version"],
        closed_at_ms=row["closed_at_ms"],
        paid=bool(row["paid"]),
        deposit_micros=row["deposit_micros"],
        credit_limit_micros=row["credit_limit_micros"],
        talk_limit_ms=row["talk_limit_ms"],
    )


def payment_values(payment: Payment) -> Values:
    """Return the row of a payment, but for whose it is and who took it when."""
    return {
        "session_id": payment.session_id,
        "version": payment.version,
        "currency": payment.total.currency,
        "total_micros": payment.total.micros,
        "deposit_micros": payment.deposit.micros,
        "tendered_micros": payment.tendered.micros,
        "change_micros": payment.change.micros,
    }


def payment_tax_values(payment: Payment) -> list[Values]:
    """Return the rows of what a payment was taxed at, but for whose it is."""
    return [
        {
            "session_id": payment.session_id,
            "number": number,
            "tax": to_json(each.tax.to_json()),
            "currency": each.parts.gross.currency,
            "net_micros": each.parts.net.micros,
            "tax_micros": each.parts.tax.micros,
            "gross_micros": each.parts.gross.micros,
        }
        for number, each in enumerate(payment.taxes)
    ]


# The world. `position` is added by whoever knows it.


def party_values(party: Party) -> Values:
    """Return the row of a party."""
    return {
        "tenant": party.tenant,
        "name": party.name,
        "kind": party.kind.value,
        "parent": party.parent,
        "deck": party.deck,
        "suspender": party.suspender,
        "guard": to_json(asdict(party.guard)),
    }


def party(row: Row) -> Party:
    """Read a party back."""
    guard = json.loads(row["guard"])
    return Party(
        tenant=row["tenant"],
        name=row["name"],
        kind=Kind(row["kind"]),
        parent=row["parent"],
        deck=row["deck"],
        suspender=row["suspender"],
        guard=LossGuard(**(guard | {"action": GuardAction(guard["action"])})),
    )


def shop_values(shop: Shop) -> Values:
    """Return the row of a shop."""
    return {
        "tenant": shop.tenant,
        "name": shop.name,
        "owner": shop.owner,
        "deck": shop.deck,
        "currency": shop.currency,
        "realm": shop.realm,
        "digest": to_json([algorithm.value for algorithm in shop.digest]),
        "numbers": to_json(asdict(shop.numbers)),
        "caller_id": shop.caller_id,
        "inbound": shop.inbound.value,
        "inbound_numbers": to_json(list(shop.inbound_numbers)),
        "transfer": int(shop.transfer),
    }


def shop(row: Row) -> Shop:
    """Read a shop back."""
    numbers = json.loads(row["numbers"])
    return Shop(
        tenant=row["tenant"],
        name=row["name"],
        owner=row["owner"],
        deck=row["deck"],
        currency=row["currency"],
        realm=row["realm"],
        digest=tuple(Algorithm(name) for name in json.loads(row["digest"])),
        numbers=NumberRules(**(numbers | {"emergency": tuple(numbers["emergency"])})),
        caller_id=row["caller_id"],
        inbound=Inbound(row["inbound"]),
        inbound_numbers=tuple(json.loads(row["inbound_numbers"])),
        transfer=bool(row["transfer"]),
    )


def booth_values(booth: Booth) -> Values:
    """Return the row of a booth."""
    return {
        "tenant": booth.tenant,
        "name": booth.name,
        "shop": booth.shop,
        "calls": booth.calls,
        "auth": booth.auth.value,
        "ip": booth.ip,
        "ha1": to_json({algorithm.value: digest for algorithm, digest in booth.ha1.items()}),
        "disabled": int(booth.disabled),
        "caller_id": booth.caller_id,
        "inbound_numbers": to_json(list(booth.inbound_numbers)),
    }


def booth(row: Row) -> Booth:
    """Read a booth back."""
    return Booth(
        tenant=row["tenant"],
        name=row["name"],
        shop=row["shop"],
        calls=row["calls"],
        auth=Auth(row["auth"]),
        ip=row["ip"],
        ha1={Algorithm(name): digest for name, digest in json.loads(row["ha1"]).items()},
        disabled=bool(row["disabled"]),
        caller_id=row["caller_id"],
        inbound_numbers=tuple(json.loads(row["inbound_numbers"])),
    )


def deck_values(tenant: str, deck: RateDeck) -> Values:
    """Return the row of a deck, without its rates."""
    header = {
        "currency": deck.currency,
        "round": {"mode": deck.rounding.mode.value, "places": deck.rounding.places},
        "duration_round": deck.duration_round.value,
        "timezone": deck.calendar.zone,
        "windows": {name: window.texts for name, window in deck.calendar.windows.items()},
        "window_policy": deck.window_policy.value,
        "change_policy": deck.change_policy.value,
        "increment_rule": deck.increment_rule.value,
    }
    return {"tenant": tenant, "name": deck.name, "version": deck.version, "header": to_json(header)}


def deck(row: Row, rates: Iterable[Rate]) -> RateDeck:
    """Read a deck back, from its own row and its rates in order; an old row says less."""
    header = json.loads(row["header"])
    windows = {name: Window.parse(*texts) for name, texts in header.get("windows", {}).items()}
    return RateDeck(
        row["name"],
        header["currency"],
        tuple(rates),
        version=row["version"],
        rounding=Rounding(RoundMode(header["round"]["mode"]), header["round"]["places"]),
        duration_round=DurationRound(header["duration_round"]),
        calendar=Calendar(header.get("timezone", "UTC"), windows),
        window_policy=WindowPolicy(header.get("window_policy", WindowPolicy.START)),
        change_policy=ChangePolicy(header.get("change_policy", ChangePolicy.FREEZE)),
        increment_rule=IncrementRule(header.get("increment_rule", IncrementRule.STANDARD)),
    )


def rate_values(tenant: str, deck: RateDeck, rate: Rate) -> Values:
    """Return the row of a rate."""
    return {
        "tenant": tenant,
        "deck": deck.name,
        "version": deck.version,
        "prefix": rate.prefix,
        "destination": rate.destination,
        "connect_fee_nanos": rate.connect_fee_nanos,
        "first_s": rate.first_s,
        "first_price_nanos": rate.first_price_nanos,
        "next_s": rate.next_s,
        "next_price_nanos": rate.next_price_nanos,
        "forbidden": int(rate.forbidden),
        "extras": _extras_text(rate.extras),
    }


def rate(row: Row) -> Rate:
    """Read a rate back."""
    return Rate(
        prefix=row["prefix"],
        destination=row["destination"],
        connect_fee_nanos=row["connect_fee_nanos"],
        first_s=row["first_s"],
        first_price_nanos=row["first_price_nanos"],
        next_s=row["next_s"],
        next_price_nanos=row["next_price_nanos"],
        forbidden=bool(row["forbidden"]),
        extras=_extras(row["extras"]),
    )


@lru_cache(maxsize=4096)
def _extras_text(extras: Extras) -> str:
    return to_json(extras.to_json())


@lru_cache(maxsize=4096)
def _extras(text: str) -> Extras:
    """Read back what a rate has beyond its prices; many share it."""
    return Extras.from_json(json.loads(text))


def trunk_values(trunk: Trunk) -> Values:
    """Return the row of a trunk."""
    columns = {name: value for name, value in asdict(trunk).items() if name not in TERMS}
    return columns | {
        "port": trunk.port or 0,
        "emergency": int(trunk.emergency),
        "disabled": int(trunk.disabled),
        "terms": terms_text(trunk),
    }


def trunk(row: Row) -> Trunk:
    """Read a trunk back."""
    return Trunk(
        tenant=row["tenant"],
        name=row["name"],
        host=row["host"],
        port=row["port"] or None,
        transport=row["transport"],
        emergency=bool(row["emergency"]),
        answer_timeout_s=row["answer_timeout_s"],
        first_response_timeout_s=row["first_response_timeout_s"],
        carrier=row["carrier"],
        deck=row["deck"],
        max_calls=row["max_calls"],
        cps=row["cps"],
        disabled=bool(row["disabled"]),
        **read_terms(row["terms"]),
    )


def route_values(route: Route) -> Values:
    """Return the row of a route."""
    return {
        "tenant": route.tenant,
        "party": route.party,
        "prefix": route.prefix,
        "choices": to_json(route.choices),
    }


def route(row: Row) -> Route:
    """Read a route back."""
    return Route(
        tenant=row["tenant"],
        party=row["party"],
        prefix=row["prefix"],
        choices=tuple((trunk, priority, weight) for trunk, priority, weight in json.loads(row["choices"])),
    )


def operator_values(operator: Operator) -> Values:
    """Return the row of a person."""
    return asdict(operator) | {"role": operator.role.value, "suspended": int(operator.suspended)}


def operator(row: Row) -> Operator:
    """Read a person back."""
    return Operator(
        tenant=row["tenant"],
        name=row["name"],
        role=Role(row["role"]),
        party=row["party"],
        shop=row["shop"],
        suspended=bool(row["suspended"]),
    )


def tax_values(tenant: str, terms: TaxTerms) -> Values:
    """Return the row of a tax."""
    return {
        "tenant": tenant,
        "sold": terms.sold.value,
        "place": terms.place,
        "terms": to_json(terms.tax.to_json()),
    }


def letterhead_values(letterhead: Letterhead) -> Values:
    """Return the row of a letterhead."""
    terms = asdict(letterhead)
    return {"tenant": terms.pop("tenant"), "party": terms.pop("party"), "terms": to_json(terms)}


def letterhead(row: Row) -> Letterhead:
    """Read a letterhead back."""
    terms = json.loads(row["terms"])
    return Letterhead(tenant=row["tenant"], party=row["party"], **(terms | {"address": tuple(terms["address"])}))


def counter_values(counter: Counter) -> Values:
    """Return the row of how a shop's desk works."""
    return {"tenant": counter.tenant, "shop": counter.shop, "terms": to_json(counter.to_json())}


def counter(row: Row) -> Counter:
    """Read it back."""
    return Counter.from_json(row["tenant"], row["shop"], json.loads(row["terms"]))


def tax_terms(row: Row) -> TaxTerms:
    """Read a tax back."""
    return TaxTerms(sold=Sold(row["sold"]), place=row["place"], tax=Tax.from_json(json.loads(row["terms"])))


def fx_values(tenant: str, pair: Pair) -> Values:
    """Return the row of what one currency is in another."""
    terms = {
        "rates": {day: format_scaled(nanos, RATE_PLACES, 0) for day, nanos in pair.rates},
        "margin_ppm": pair.margin_ppm,
        "holds_days": pair.holds_days,
    }
    return {"tenant": tenant, "pair": pair.name, "terms": to_json(terms)}


def fx_pair(row: Row) -> Pair:
    """Read it back."""
    terms = json.loads(row["terms"])
    base, quote = row["pair"].split("/")
    return Pair(
        base=base,
        quote=quote,
        rates=tuple((day, parse_scaled(rate, RATE_PLACES)) for day, rate in terms["rates"].items()),
        margin_ppm=terms["margin_ppm"],
        holds_days=terms["holds_days"],
    )


def opening(row: Row) -> Opening:
    """Read how a party's account began, with its credit limit of now."""
    return Opening(
        party=row["party"],
        currency=row["currency"],
        credit_limit_micros=row["credit_limit_micros"],
        opening_micros=row["opening_micros"],
    )
