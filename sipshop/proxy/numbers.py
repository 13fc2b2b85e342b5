"""How the customers of a shop dial: from the digits on the keypad to E.164, before any deck or route is asked.

A number is dialled as `+` and E.164, after the international prefix, or after the national prefix. Visual separators
(RFC 3966 section 5.1.1: hyphen, dot, parentheses) and spaces mean nothing. Anything else is refused, never guessed at:
a number that is read wrongly is rated wrongly.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# Five digits is shorter than any number that a carrier takes with its country code; fifteen is E.164's own limit.
_E164: Final = re.compile(r"[1-9][0-9]{4,14}")
_DIGITS: Final = re.compile(r"[0-9]+")
_WITHOUT_SEPARATORS: Final = str.maketrans("", "", "-.() ")
_SHOWN_CHARACTERS: Final = 40


class BadNumber(ValueError):
    """What was dialled is no number by the shop's rules; the text is ASCII without controls, safe to show and log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRules:
    """How one shop's customers dial; all fields are ASCII digits.

    `country_code` is put before a national number. An empty `national_prefix` (Italy, Spain) means that a number
    without the international prefix is national. `emergency` are the numbers that dial from a locked booth.
    """

    country_code: str
    international_prefix: str = "00"
    national_prefix: str = "0"
    emergency: tuple[str, ...] = ()

    def is_emergency(self, dialled: str) -> bool:
        """Say whether exactly an emergency number was dialled; no prefix is taken off, as none is dialled before it.

        >>> NumberRules(country_code="49", emergency=("112",)).is_emergency("1-1-2")
        True
        """
        return dialled.translate(_WITHOUT_SEPARATORS) in self.emergency

    def to_e164(self, dialled: str) -> str:
        """Return the E.164 digits, without a plus, of what was dialled.

        >>> NumberRules(country_code="49").to_e164("(030) 1234-567")
        '49301234567'

        Raises:
            BadNumber: not digits, neither international nor national, or not an E.164 number of 5 to 15 digits.
        """
        number = dialled.translate(_WITHOUT_SEPARATORS)
        digits = number.removeprefix("+")
        if _DIGITS.fullmatch(digits) is None:
            raise BadNumber(f"{_shown(dialled)} is not a telephone number")
        if digits != number:
            e164 = digits
        elif digits.startswith(self.international_prefix):
            e164 = digits[len(self.international_prefix) :]
        elif digits.startswith(self.national_prefix):
            e164 = self.country_code + digits[len(self.national_prefix) :]
        else:
            raise BadNumber(
                f"{_shown(dialled)} begins neither with {self.international_prefix} (international) "
                f"nor with {self.national_prefix} (national)"
            )
        if _E164.fullmatch(e164) is None:
            raise BadNumber(f"{_shown(dialled)} is not a full number: 5 to 15 digits with the country code, no 0 first")
        return e164


def _shown(dialled: str) -> str:
    """Quote what was dialled for people: ASCII, controls escaped, cut to a length that a log line bears."""
    if len(dialled) <= _SHOWN_CHARACTERS:
        return ascii(dialled)
    return f"{dialled[:_SHOWN_CHARACTERS]!a}..."
