"""The ledger: an account for each relation, transfers between them, and money that live calls have set aside.

An account belongs to a relation (`customer(buyer, seller)`), so what a party earns never raises what it may spend. Here
are the rules and the balances of those accounts that can run dry; the store keeps every account and every transfer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sipshop.billing.cdr import Cdr
from sipshop.billing.deck import Tariff
from sipshop.billing.desk import Payment
from sipshop.billing.earnings import booked, net
from sipshop.billing.errors import BelowUsed, NotAvailable, UnknownAccount
from sipshop.billing.items import Billed
from sipshop.billing.money import Money
from sipshop.billing.receipt import EntryKind
from sipshop.billing.tax import TaxSum
from sipshop.billing.tender import Method

WORLD: Final = "world"
"""Where money comes from and goes to: the account opposite to payments and adjustments."""


def customer(buyer: str, seller: str) -> str:
    """The account that a party is charged on by the one above it.

    >>> customer("Corner Calls", "Demo Telecom")
    'customer:Corner Calls@Demo Telecom'
    """
    return f"customer:{buyer}@{seller}"


def buyer_of(account: str) -> str | None:
    """The party that is charged on an account, None of an account that is no party's.

    >>> buyer_of("customer:Corner Calls@Demo Telecom"), buyer_of("revenue:Corner Calls")
    ('Corner Calls', None)
    """
    kind, _, relation = account.partition(":")
    return relation.partition("@")[0] if kind == "customer" else None


def session_account(session_id: int, owner: str) -> str:
    """The account that a booth session is charged on by the shop's owner."""
    return f"session:{session_id}@{owner}"


def revenue(seller: str) -> str:
    """The account that a party's sales go to."""
    return f"revenue:{seller}"


def carrier_cost(provider: str) -> str:
    """The account that the provider's carriers are paid from."""
    return f"carrier_cost:{provider}"


def payable(carrier: str) -> str:
    """What a carrier is owed."""
    return f"payable:{carrier}"


def tax_account(seller: str) -> str:
    """The tax on what a party has sold, which it owes to the state."""
    return f"tax:{seller}"


def fx_account(party: str) -> str:
    """Where a party's money of one currency becomes its money of another: what it has in each, below zero in some."""
    return f"fx:{party}"


def rounding_account(owner: str) -> str:
    """What the rounding of cash has brought a shop's owner, below zero where it has cost him."""
    return f"rounding:{owner}"


def tender_account(method: Method, shop: str) -> str:
    """Where what is handed over at a shop's desk comes from, in one way: the till if it is cash."""
    return till(shop) if method is Method.CASH else f"{method.value}:{shop}"


def till(shop: str) -> str:
    """The cash of a shop's desk: below zero by what customers have handed over and not got back."""
    return f"till:{shop}"


class TransferKind(StrEnum):
    """Why money moved."""

    OPENING = "opening"
    CHARGE = "charge"
    DEPOSIT = "deposit"  # a booth session's, at unlock or as a top-up
    CHECKOUT = "checkout"
    PAYMENT = "payment"  # a party's, to the one above it
    ADJUSTMENT = "adjustment"
    GOODS = "goods"  # sold on a bill that was paid
    DISCOUNT = "discount"  # off such a bill
    VOID = "void"  # a call or a good that was taken back from such a bill
    ROUNDING = "rounding"  # of cash
    TAX = "tax"  # of a bill that was paid
    FX = "fx"  # from one currency to another, in the books of one party
    INVOICE_TAX = "invoice_tax"  # what is added to an invoice
    RERATING = "rerating"  # what a charge differs by from the revision before it


_ITEM_KINDS: Final = {
    EntryKind.GOOD: TransferKind.GOODS,
    EntryKind.DISCOUNT: TransferKind.DISCOUNT,
    EntryKind.VOID: TransferKind.VOID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """An amount that left the account `debit` for the account `credit`, once: `key` is unique in the tenant.

    The amount is never below zero; what goes the other way names its accounts the other way round.
    """

    key: str
    kind: TransferKind
    debit: str
    credit: str
    amount: Money

    def __post_init__(self) -> None:
        assert self.amount.micros >= 0, "a transfer has a direction, not a sign"
        assert self.debit != self.credit, "a transfer goes somewhere"


def moved(key: str, kind: TransferKind, *, source: str, account: str, amount: Money) -> Transfer:
    """The transfer that brings `amount` from `source` to `account`, or takes it back where it is below zero."""
    if amount.micros >= 0:
        return Transfer(key=key, kind=kind, debit=source, credit=account, amount=amount)
    return Transfer(key=key, kind=kind, debit=account, credit=source, amount=-amount)


def charge_accounts(cdr: Cdr) -> tuple[tuple[str, str], ...]:
    """The account that pays and the one that is paid, for each charge of a CDR in order.

    The booth session pays first, the provider pays the carrier last.
    """
    last = len(cdr.charges) - 1
    pairs: list[tuple[str, str]] = []
    for level, charge in enumerate(cdr.charges):
        if level == last:
            pairs.append((carrier_cost(charge.buyer), payable(charge.seller)))
        elif level == 0:
            assert cdr.session_id is not None, "a charged call belongs to a booth session"
            pairs.append((session_account(cdr.session_id, charge.seller), revenue(charge.seller)))
        else:
            pairs.append((customer(charge.buyer, charge.seller), revenue(charge.seller)))
    return tuple(pairs)


def charge_transfers(cdr: Cdr) -> tuple[Transfer, ...]:
    """The transfers of a settled call, with the keys `call:level:revision`; a level that owes nothing has none.

    Whoever earns in one currency and pays in another has his part of it converted in his own books.
    """
    charged = tuple(
        Transfer(
            key=f"{cdr.call_id}:{level}:{cdr.revision}",
            kind=TransferKind.CHARGE,
            debit=debit,
            credit=credit,
            amount=charge.cost.amount,
        )
        for level, (charge, (debit, credit)) in enumerate(zip(cdr.charges, charge_accounts(cdr), strict=True))
        if charge.cost.amount.micros
    )
    last = len(cdr.charges) - 1
    converted = (
        transfer
        for level, charge in enumerate(cdr.charges)
        for transfer in booked_transfers(
            f"{cdr.call_id}:{level}:{cdr.revision}",
            charge.tariff,
            charge.cost.amount,
            seller=charge.seller,
            buyer=charge.buyer,
            is_last=level == last,
        )
    )
    return (*charged, *converted)


def booked_transfers(
    key: str, tariff: Tariff, amount: Money, *, seller: str, buyer: str, is_last: bool
) -> Iterator[Transfer]:
    """Yield what makes a sale's revenue one in the seller's own currency, or a carrier's charge the provider's.

    There are none where they are in that already. Each stays within one currency, so that all balances of it come to
    nothing (I6).
    """
    if tariff.books is None:
        return
    account = carrier_cost(buyer) if is_last else revenue(seller)
    exchange = fx_account(buyer if is_last else seller)
    for name, part, is_out in (
        ("from", net(tariff, amount), not is_last),
        ("to", booked(tariff, amount), is_last),
    ):
        if part.micros:
            debit, credit = (account, exchange) if is_out else (exchange, account)
            yield Transfer(key=f"{key}:{name}", kind=TransferKind.FX, debit=debit, credit=credit, amount=part)


def tax_transfers(session_id: int, owner: str, taxes: Iterable[TaxSum]) -> tuple[Transfer, ...]:
    """The transfers of the taxes on a bill that is paid, from what its owner has earned, as `tax:session:rate`."""
    return tuple(
        moved(
            f"tax:{session_id}:{number}",
            TransferKind.TAX,
            source=revenue(owner),
            account=tax_account(owner),
            amount=each.parts.tax,
        )
        for number, each in enumerate(taxes)
        if each.parts.tax.micros
    )


def item_transfers(session_id: int, owner: str, items: Iterable[Billed]) -> tuple[Transfer, ...]:
    """The transfers of what stands on a bill besides calls, made when it is paid, as `item:session:number`.

    A good is sold as a call is; a discount and a void bring back what was charged. What comes to nothing has none.
    """
    return tuple(
        moved(
            f"item:{session_id}:{each.item.number}",
            _ITEM_KINDS[each.item.kind],
            source=session_account(session_id, owner),
            account=revenue(owner),
            amount=each.amount,
        )
        for each in items
        if each.amount.micros
    )


def checkout_transfers(session_id: int, owner: str, shop: str, payment: Payment) -> tuple[Transfer, ...]:
    """The transfers by which a bill is paid: what each way of paying brings, and the rounding of cash.

    They leave nothing on the session's account. Cash has the key `checkout:session`, another way its name after it; of
    cash it is what the till gains, which is less than nothing where more of the deposit goes back than is handed over.
    """
    brought = {Method.CASH: payment.cash}
    for tender in payment.tenders:
        if tender.method is not Method.CASH:
            brought[tender.method] = brought.get(tender.method, Money(0, payment.total.currency)) + tender.amount
    account = session_account(session_id, owner)
    made = [
        moved(
            f"checkout:{session_id}" if method is Method.CASH else f"checkout:{session_id}:{method.value}",
            TransferKind.CHECKOUT,
            source=tender_account(method, shop),
            account=account,
            amount=amount,
        )
        for method, amount in brought.items()
        if amount.micros
    ]
    if payment.rounding.micros:
        made.append(
            moved(
                f"rounding:{session_id}",
                TransferKind.ROUNDING,
                source=account,
                account=rounding_account(owner),
                amount=payment.rounding,
            )
        )
    return tuple(made)


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a buyer may spend beyond what was paid in: `credit_limit_micros`, None for one who is never refused."""

    credit_limit_micros: int | None

    @property
    def unlimited(self) -> bool:
        """Whether nothing is ever refused for want of money."""
        return self.credit_limit_micros is None


UNLIMITED: Final = Terms(credit_limit_micros=None)


@dataclass(slots=True, kw_only=True)
class Account:
    """An account that is charged: balance, credit limit (None is unlimited) and what is held, all in micro-units.

    `charged` is what calls have taken from it since it was opened here; it only grows.

    The unit may be another whole number that can run dry: the talk time of a booth session is one, in milliseconds.
    """

    name: str
    currency: str
    balance: int
    credit_limit: int | None
    held: int = 0
    charged: int = 0

    @property
    def available(self) -> int | None:
        """What may still be spent or held; None without end. Below zero where an adjustment has overdrawn it."""
        return None if self.credit_limit is None else self.balance + self.credit_limit - self.held


@dataclass(slots=True)
class Ledger:
    """The accounts of one tenant that can be charged, with what each live call holds on them.

    Everything is done in whole: a hold is taken on all its accounts or on none. A hold is named by a key, the call's.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    _holds: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Account:
        try:
            return self.accounts[name]
        except KeyError:
            raise UnknownAccount(f"there is no account named {name!r}") from None

    @property
    def holds(self) -> int:
        """How many keys hold something."""
        return len(self._holds)

    def open(self, name: str, currency: str, *, balance: int, credit_limit: int | None) -> Account:
        """Add an account; one that is there already is left as it is, for a command that is repeated."""
        account = Account(name=name, currency=currency, balance=balance, credit_limit=credit_limit)
        return self.accounts.setdefault(name, account)

    def close(self, name: str) -> None:
        """Forget an account on which nothing is held; it need not be there."""
        account = self.accounts.get(name)
        if account is not None:
            assert account.held == 0, f"{name} is closed while it is held on"
            del self.accounts[name]

    def room(self, name: str, key: str) -> int | None:
        """How much the hold of `key` may come to on an account, what it holds there already included; None: no end."""
        account = self[name]
        available = account.available
        return None if available is None else available + self._holds.get(key, {}).get(name, 0)

    def hold(self, key: str, amounts: Mapping[str, int]) -> bool:
        """Hold these amounts instead of what the key holds now; False and nothing changed if one cannot be held.

        Accounts without a limit hold nothing, whatever is asked.
        """
        wanted = {name: amount for name, amount in amounts.items() if self[name].credit_limit is not None}
        before = self._holds.get(key, {})
        for name, amount in wanted.items():
            room = self.room(name, key)
            if amount > before.get(name, 0) and room is not None and amount > room:
                return False
        self._release(before)
        for name, amount in wanted.items():
            self.accounts[name].held += amount
        self._holds[key] = wanted
        return True

    def void(self, key: str) -> None:
        """Free what a key holds; it need not hold anything."""
        self._release(self._holds.pop(key, {}))

    def post(self, key: str, charges: Mapping[str, int]) -> None:
        """Take the charges from their accounts, and free what the key holds.

        An account that is not here (a session that was paid, a tenant's revenue) is the store's alone.
        """
        self.void(key)
        for name, amount in charges.items():
            account = self.accounts.get(name)
            if account is not None:
                account.balance -= amount
                account.charged += amount

    def held_by(self, key: str) -> Mapping[str, int]:
        """What a key holds, by account."""
        return self._holds.get(key, {})

    def apply(self, transfer: Transfer) -> None:
        """Move money that the store has moved: a payment, a deposit, an adjustment."""
        for name, micros in ((transfer.debit, -transfer.amount.micros), (transfer.credit, transfer.amount.micros)):
            account = self.accounts.get(name)
            if account is not None:
                account.balance += micros

    def take(self, key: str, name: str, amount: int) -> None:
        """Hold what is to leave an account while the store moves it.

        Raises:
            NotAvailable: it is needed by live calls, or is not there.
        """
        if not self.hold(key, {name: amount}):
            account = self[name]
            raise NotAvailable(Money(amount, account.currency), Money(max(0, account.available or 0), account.currency))

    def limit(self, name: str, credit_limit: int | None) -> int | None:
        """Change the credit limit, None is none, and return the one before.

        Calls that are live on an account without a limit hold nothing on it: whoever sets one sees to it that there are
        none.

        Raises:
            BelowUsed: it is lowered under what is spent and held already.
        """
        account = self[name]
        before = account.credit_limit
        is_lower = credit_limit is not None and (before is None or credit_limit < before)
        if credit_limit is not None and is_lower and account.balance + credit_limit < account.held:
            used = Money(account.held - account.balance, account.currency)
            raise BelowUsed(Money(credit_limit, account.currency), used)
        account.credit_limit = credit_limit
        return before

    def faults(self) -> list[str]:
        """Where what is held is not what the holds come to (law I4); empty when all is well."""
        sums: defaultdict[str, int] = defaultdict(int)
        for held in self._holds.values():
            for name, amount in held.items():
                sums[name] += amount
        found = [
            f"{name} holds {account.held}, its live calls {sums[name]}"
            for name, account in self.accounts.items()
            if account.held != sums[name]
        ]
        found += [f"{name} holds {sums[name]} and is not there" for name in sums if name not in self.accounts]
        return found

    def _release(self, held: Mapping[str, int]) -> None:
        for name, amount in held.items():
            self.accounts[name].held -= amount
