"""What a bill is paid with, and the one rounding of cash.

Only cash is rounded, once, on what a whole bill leaves to be paid in cash; what is paid otherwise is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sipshop.billing.errors import BadTerms
from sipshop.billing.money import Money, amount_text, format_micros


class Method(StrEnum):
    """How money is handed over; only cash lies in a till."""

    CASH = "cash"
    CARD = "card"
    MOBILE = "mobile"  # from a telephone: M-Pesa, Orange Money, BLIK and their kind
    VOUCHER = "voucher"


@dataclass(frozen=True, slots=True)
class Tender:
    """An amount that a customer hands over in one way; more than nothing."""

    method: Method
    amount: Money

    def __post_init__(self) -> None:
        if self.amount.micros <= 0:
            raise BadTerms(f"a payment by {self.method} must be more than nothing, not {self.amount}")

    def to_json(self) -> dict[str, Any]:
        """Return it in plain JSON types, the amount as a decimal string."""
        return {"method": self.method.value, "amount": self.amount.text}

    @classmethod
    def from_json(cls, data: dict[str, Any], currency: str) -> Tender:
        """Read back what `to_json` gave; raises KeyError, TypeError or ValueError if it is not that."""
        return cls(Method(data["method"]), Money.parse(data["amount"], currency))


class CashMode(StrEnum):
    """Which way cash is rounded; to the nearest step a half goes up."""

    NEAREST = "nearest"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class CashRounding:
    """The smallest coin that a shop gives, and which way a total goes to it.

    Raises:
        BadTerms: the step is nothing, or less.
    """

    step_micros: int
    mode: CashMode

    def __post_init__(self) -> None:
        if self.step_micros <= 0:
            raise BadTerms("the step of cash rounding must be more than nothing")

    def rounded(self, amount: Money) -> Money:
        """Return an amount of cash, not below zero, as whole steps.

        >>> str(CashRounding(50_000, CashMode.UP).rounded(Money(1_260_000, "EUR")))
        '1.30 EUR'
        """
        assert amount.micros >= 0, "cash has no sign here: what goes back is rounded by its bill"
        steps, over = divmod(amount.micros, self.step_micros)
        up = {CashMode.UP: over > 0, CashMode.DOWN: False, CashMode.NEAREST: 2 * over >= self.step_micros}
        return Money((steps + up[self.mode]) * self.step_micros, amount.currency)

    def given_back(self, amount: Money) -> Money:
        """Return what goes back in cash of an amount: the other way round, so that what is kept is rounded as a total.

        >>> str(CashRounding(50_000, CashMode.UP).given_back(Money(1_290_000, "EUR")))
        '1.25 EUR'
        """
        assert amount.micros >= 0, "what goes back is no debt"
        steps, over = divmod(amount.micros, self.step_micros)
        up = {CashMode.UP: False, CashMode.DOWN: over > 0, CashMode.NEAREST: 2 * over > self.step_micros}
        return Money((steps + up[self.mode]) * self.step_micros, amount.currency)

    def __str__(self) -> str:
        return f"{self.mode} to {format_micros(self.step_micros)}"

    def to_json(self, currency: str) -> dict[str, Any]:
        """Return it in plain JSON types, the step as a decimal string."""
        return {"step": amount_text(self.step_micros, currency), "mode": self.mode.value}
