"""The words and figures of a page in its reader's language: catalogues, amounts, spans of time (IO: it reads them).

The catalogues are read as they are written (.po), at the start: there is no step of a build that could be forgotten,
and it takes some milliseconds.
"""

from __future__ import annotations

import gettext
import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

from babel import Locale, negotiate_locale
from babel.messages.pofile import read_po
from babel.numbers import format_currency, format_decimal, get_currency_precision

from sipshop.billing.errors import BadAmount
from sipshop.billing.money import MICRO_PLACES, NANO_PLACES

FOLDER: Final = Path(__file__).parent / "locales"
#: The languages, each in its own name, in the order in which they are offered; the first is that of the messages.
LANGUAGES: Final = {
    "en": "English",
    "fr": "Français",
    "es": "Español",
    "it": "Italiano",
    "pt": "Português",
    "pl": "Polski",
    "ar": "العربية",
}
SOURCE: Final = "en"

_UNIT: Final = 10**MICRO_PLACES
_ARABIC_POINT: Final = "\N{ARABIC DECIMAL SEPARATOR}"

_Plural = Callable[[int], int]
_ACCEPTED: Final = re.compile(r"([A-Za-z]{2,3})(?:[-_][A-Za-z0-9]+)*(?:\s*;\s*q=([0-9.]+))?")


def mark(message: str) -> str:
    """Mark a message that is translated where it is shown."""
    return message


@dataclass(frozen=True, slots=True, eq=False)
class Words:
    """One language: its messages, and how it writes figures."""

    language: str
    messages: dict[str, tuple[str, ...]]
    plural: _Plural

    def __call__(self, message: str, /, **values: object) -> str:
        """Return a message with its values; one that was not translated as it is."""
        found = self.messages.get(message, (message,))[0]
        return found % values if values else found

    def many(self, one: str, more: str, number: int, /, **values: object) -> str:
        """Return the message for a number of things, which is `%(number)s` in it."""
        forms = self.messages.get(one)
        found = forms[self.plural(number)] if forms is not None else one if number == 1 else more
        return found % {"number": self.number(number), **values}

    @property
    def direction(self) -> str:
        """Which way it is written: ltr or rtl."""
        return Locale.parse(self.language).text_direction

    def money(self, micros: int, currency: str) -> str:
        """Return an amount with its currency, with as many places as the currency has, or more where there are more."""
        return _money(micros, currency, self.language)

    def price(self, nanos: int, currency: str) -> str:
        """Return a price in nano-units with its currency, with as many places as it needs."""
        return _price(nanos, currency, self.language)

    def number(self, number: int) -> str:
        """Return a whole number."""
        return format_decimal(number, locale=self.language)

    def decimal(self, text: str) -> str:
        """Return a decimal string as it is written here."""
        return format_decimal(Decimal(text), locale=self.language, decimal_quantization=False)

    def country(self, code: str) -> str:
        """Return the name of a country by its ISO 3166 code, or the code where it has none here."""
        return str(Locale.parse(self.language).territories.get(code, code))


@cache
def words(language: str) -> Words:
    """Return a language, one of LANGUAGES."""
    if language == SOURCE:
        return Words(language, {}, lambda number: int(number != 1))
    with (FOLDER / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language)
    found: dict[str, tuple[str, ...]] = {}
    for message in catalogue:
        if message.id:
            ids = (message.id,) if isinstance(message.id, str) else message.id
            texts = (message.string,) if isinstance(message.string, str) else tuple(message.string or ())
            found[ids[0]] = tuple(map(str, texts))
    return Words(language, found, gettext.c2py(catalogue.plural_expr))


def chosen(wishes: Iterable[str | None], accepted: str) -> str:
    """Return the language of a page: the first wish that is one of ours, else what the browser accepts.

    >>> chosen([None, "xx"], "de-AT, pt-BR;q=0.8, fr;q=0.4")
    'pt'
    """
    for wish in wishes:
        if wish in LANGUAGES:
            return wish
    found = [(float(quality or 1), tag.lower()) for tag, quality in _ACCEPTED.findall(accepted) if _is_float(quality)]
    preferred = [tag for _, tag in sorted(found, key=lambda pair: -pair[0])]
    return negotiate_locale(preferred, LANGUAGES) or SOURCE


def amount_text(typed: str) -> str:
    """Return an amount as somebody typed it, in any of our languages, as the decimal string that billing reads.

    A comma or a point stands before the last digits; spaces, and any digits of Unicode, are taken as they are meant.
    Raises BadAmount for what could mean two things.

    >>> amount_text("5,50"), amount_text("1 200")
    ('5.50', '1200')
    """
    text = "".join(typed.split()).replace(_ARABIC_POINT, ".").replace(",", ".")
    plain = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in text)
    if not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,6})?", plain):
        raise BadAmount(f"{typed[:40]!a} is not an amount such as 5.00")
    return plain


def span(milliseconds: int) -> str:
    """Return a span of time as people read it from a clock.

    >>> span(59_999), span(3_600_000)
    ('0:59', '1:00:00')
    """
    minutes, seconds = divmod(milliseconds // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _is_float(text: str) -> bool:
    return not text or re.fullmatch(r"[01](\.[0-9]*)?", text) is not None


@lru_cache(maxsize=20_000)
def _money(micros: int, currency: str, language: str) -> str:
    """Babel's text of an amount. It takes it 40 µs, and a board shows thousands: only whole units are asked of it."""
    units, fraction = divmod(micros, _UNIT)
    places = get_currency_precision(currency)
    text = f"{fraction:0{MICRO_PLACES}d}"
    digits = text[:places] + text[places:].rstrip("0")
    if units < 0 or not digits:
        return _by_babel(micros, currency, language)
    before, after = _around(units, max(places, 1), currency, language)
    return f"{before}{digits}{after}"


@lru_cache(maxsize=5000)
def _around(units: int, places: int, currency: str, language: str) -> tuple[str, str]:
    """What stands before and after a fraction with at least so many places, of an amount with so many units."""
    fraction = "7" * places
    whole = _by_babel(units * _UNIT + int(fraction.ljust(MICRO_PLACES, "0")), currency, language)
    before, _, after = whole.rpartition(fraction)
    return before, after


@lru_cache(maxsize=5000)
def _by_babel(micros: int, currency: str, language: str) -> str:
    amount = Decimal(micros).scaleb(-MICRO_PLACES)
    return format_currency(amount, currency, locale=language, decimal_quantization=False)


@lru_cache(maxsize=20_000)
def _price(nanos: int, currency: str, language: str) -> str:
    price = Decimal(nanos).scaleb(-NANO_PLACES)
    return format_currency(price, currency, locale=language, decimal_quantization=False)
