"""What can be wrong about money: the one error tree of this room."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipshop.billing.money import Money


class BillingError(Exception):
    """Something about money is not as it must be."""


class BadAmount(BillingError, ValueError):
    """A text is no exact decimal amount or price within its places, or a currency is no ISO 4217 code."""


class CurrencyMismatch(BillingError):
    """Amounts of two currencies met in one sum or comparison."""


class BadDeck(BillingError, ValueError):
    """A rate, a rounding or a set of rates that cannot price a call."""


class BadTariff(BillingError, ValueError):
    """A stored snapshot of a tariff cannot be read back."""


class BadCdr(BillingError, ValueError):
    """A CDR contradicts itself, so it must not be written."""


class PartyError(BillingError):
    """The parties do not form a tree under one provider."""


class UnknownParty(PartyError):
    """There is no party of this name."""


class DeskError(BillingError):
    """The desk's command is refused; the text says what to do, in words for the operator."""


class BadBill(DeskError):
    """A bill's total is not the sum of its lines."""


class CallAlive(DeskError):
    """A call of the booth session is still alive, so its bill is not final; `live_calls` says how many."""

    def __init__(self, live_calls: int) -> None:
        self.live_calls = live_calls
        calls = "1 call is" if live_calls == 1 else f"{live_calls} calls are"
        super().__init__(f"{calls} still going on: wait for the end or cut, then ask for the bill again")


class StaleBill(DeskError):
    """The bill changed since the operator read it.

    `current` is the version it has now; `new_calls` and `new_amount` are what was added since, or None where the two
    versions do not tell.
    """

    def __init__(self, asked: int, current: int, new_calls: int | None, new_amount: Money | None) -> None:
        self.asked = asked
        self.current = current
        self.new_calls = new_calls
        self.new_amount = new_amount
        if new_calls is None or new_amount is None:
            text = f"the bill is at version {current}, not {asked}: read it again"
        else:
            calls = "1 new call" if new_calls == 1 else f"{new_calls} new calls"
            them = "it" if new_calls == 1 else "them"
            text = f"{calls}, {new_amount}: include {them}? Then pay version {current}"
        super().__init__(text)


class TenderTooSmall(DeskError):
    """Less was tendered than the bill's total."""

    def __init__(self, total: Money, tendered: Money) -> None:
        self.total = total
        self.tendered = tendered
        super().__init__(f"{tendered} does not pay {total}: {total - tendered} is missing")


class WrongCurrency(DeskError):
    """The customer tendered another currency than the bill's."""

    def __init__(self, total: Money, tendered: Money) -> None:
        self.total = total
        self.tendered = tendered
        super().__init__(f"the bill is in {total.currency}, not in {tendered.currency}")
