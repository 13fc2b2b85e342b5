"""What can be wrong about money: the one error tree of this room."""

from __future__ import annotations

from collections.abc import Sequence
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


class BadTax(BillingError, ValueError):
    """A tax that there cannot be."""


class BadFx(BillingError, ValueError):
    """Rates between two currencies that there cannot be."""


class BadTariff(BillingError, ValueError):
    """A stored snapshot of a tariff cannot be read back."""


class BadCdr(BillingError, ValueError):
    """A CDR contradicts itself, so it must not be written."""


class PartyError(BillingError):
    """The parties do not form a tree under one provider."""


class UnknownParty(PartyError):
    """There is no party of this name."""


class SuspendedAbove(PartyError):
    """A party was suspended by somebody above whoever wants to resume it."""

    def __init__(self, party: str, suspender: str) -> None:
        self.party = party
        self.suspender = suspender
        super().__init__(f"{party} was suspended by {suspender}: only {suspender}, or who is above, resumes it")


class DeskError(BillingError):
    """The desk's command is refused; the text says what to do, in words for the operator."""


class BadBill(DeskError):
    """A bill's total is not the sum of its lines."""


class BadTerms(DeskError):
    """A booth cannot be unlocked for this, or a session not be changed so; the text says why."""


class CallAlive(DeskError):
    """A call of the booth session is still alive, so its bill is not final; `live_calls` says how many."""

    def __init__(self, live_calls: int) -> None:
        self.live_calls = live_calls
        calls = "1 call is" if live_calls == 1 else f"{live_calls} calls are"
        super().__init__(f"{calls} still going on: wait for the end or cut, then ask for the bill again")


class StaleBill(DeskError):
    """The bill changed since the operator read it.

    `current` is the version it has now; `new_calls` and `new_amount` are what was added since, or None where the two
    versions do not tell. `repriced` counts the calls that have another price; `new_items` and `gone_items` are, in
    words, what came besides calls and what went.
    """

    def __init__(
        self,
        asked: int,
        current: int,
        new_calls: int | None = None,
        new_amount: Money | None = None,
        *,
        repriced: int = 0,
        new_items: Sequence[str] = (),
        gone_items: Sequence[str] = (),
    ) -> None:
        self.asked = asked
        self.current = current
        self.new_calls = new_calls
        self.new_amount = new_amount
        self.repriced = repriced
        self.new_items = tuple(new_items)
        self.gone_items = tuple(gone_items)
        told = [
            *([f"{_counted(new_calls, 'new call')}, {new_amount}"] if new_calls else []),
            *([f"another price of {_counted(repriced, 'call')}"] if repriced else []),
            *new_items,
            *(f"taken back: {each}" for each in gone_items),
        ]
        if told:
            them = "it" if len(told) == 1 and (new_calls or 1) == 1 else "them"
            text = f"{'; '.join(told)}: include {them}? Then pay version {current}"
        else:
            text = f"the bill is at version {current}, not {asked}: read it again"
        super().__init__(text)


def _counted(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count} {what}s"


class BeyondRights(DeskError):
    """The shop does not let its operators do this; the text says who may."""


class NoSuchItem(DeskError):
    """There is no such call or item on the bill, or it was taken back already."""


class TooMuchTendered(DeskError):
    """More is paid otherwise than in cash than there is to pay: change is given for cash alone."""

    def __init__(self, owed: Money, tendered: Money) -> None:
        self.owed = owed
        self.tendered = tendered
        super().__init__(f"{tendered} is more than the {owed} to be paid, and change is given for cash alone")


class TenderTooSmall(DeskError):
    """Less was tendered than the bill's total."""

    def __init__(self, total: Money, tendered: Money) -> None:
        self.total = total
        self.tendered = tendered
        super().__init__(f"{tendered} does not pay {total}: {total - tendered} is missing")


class WrongCurrency(DeskError):
    """An amount is in another currency than the bill or the account that it is for."""

    def __init__(self, total: Money, tendered: Money) -> None:
        self.total = total
        self.tendered = tendered
        super().__init__(f"amounts here are in {total.currency}, not in {tendered.currency}")


class BadCount(DeskError, ValueError):
    """Somebody cannot have counted this in a drawer; the text says why."""


class ShiftError(DeskError):
    """The till forbids it: no shift is open, or another one is; the text says what to do."""


class NoShift(ShiftError):
    """Cash moves only in a shift here, and whoever moves it has none open."""


class UnknownShift(ShiftError):
    """There is no shift, or no report, of this number."""


class LedgerError(BillingError):
    """Money cannot be moved or limited so; the text says what is there."""


class UnknownAccount(LedgerError):
    """There is no account of this name."""


class NotAvailable(LedgerError):
    """More is to leave an account than is free on it: live calls hold the rest."""

    def __init__(self, wanted: Money, available: Money) -> None:
        self.wanted = wanted
        self.available = available
        super().__init__(f"{wanted} cannot be taken out: {available} is available, the rest is spent or held")


class BelowUsed(LedgerError):
    """A credit limit is to be lower than what is spent and held already."""

    def __init__(self, limit: Money, used: Money) -> None:
        self.limit = limit
        self.used = used
        super().__init__(f"a credit limit of {limit} is below the {used} that is spent and held: take a payment first")


class Overcommitted(LedgerError):
    """A party would grant those below it more than its policy lets; the text says how much, and how much it has."""


class AccountInUse(LedgerError):
    """Calls are live on an account, so it cannot be changed in this way now."""


class NoVersion(BillingError):
    """A deck has no such version; the text names those that it has."""


class OtherBatch(LedgerError):
    """A batch of reratings has this name already, and it is another one."""


class BadPeriod(BillingError, ValueError):
    """A month or day cannot be read, or a period ends before it begins."""


class BadNumbering(BillingError, ValueError):
    """A pattern of invoice numbers that would not tell one from another."""


class NotToBeClosed(BillingError):
    """A period cannot be closed, or not yet; the text says what would be right."""


class UnknownInvoice(BillingError):
    """There is no invoice of this number."""
