"""Countries and cities by the names that people call them, in every language of the pages (IO: it reads the table).

Names are held against each other without accents, case and signs. Those of countries are of CLDR, by Babel; those of
cities stand in `cities.tsv`, which `tools/write_cities.py` writes and says the source of.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from babel import Locale

from sipshop.console.pages.countries import COUNTRIES
from sipshop.console.pages.words import LANGUAGES

CITIES: Final = Path(__file__).with_name("cities.tsv")

#: Letters of Arabic that are written one for the other, and those that only stretch or vowel a word.
_ALIKE: Final = str.maketrans("\u0623\u0625\u0622\u0671\u0629\u0649", "\u0627\u0627\u0627\u0627\u0647\u064a", "\u0640")
#: Letters that no accent was put on, so that it cannot be taken off.
_LETTERS: Final = str.maketrans({"ł": "l", "ø": "o", "đ": "d", "\u0131": "i", "æ": "ae", "œ": "oe", "ß": "ss"})
_LETTERS_OF_CITY: Final = 3
_SIGNS: Final = re.compile(r"[\W_]+")
_WAYS_TO_SAY_IT: Final = {
    "GB": ("England", "Scotland", "Wales", "Great Britain", "UK"),
    "US": ("USA", "America"),
    "AE": ("UAE", "Emirates"),
    "CI": ("Ivory Coast",),
    "CD": ("Congo Kinshasa", "DRC"),
    "CG": ("Congo Brazzaville",),
    "NL": ("Holland",),
    "CZ": ("Czech Republic",),
    "TR": ("Turkey",),
    "KP": ("North Korea",),
    "KR": ("South Korea",),
}


@dataclass(frozen=True, slots=True)
class City:
    """A city by a name of it; `prefixes` are what its landlines begin with, in E.164 digits, as far as is known."""

    country: str
    name: str
    prefixes: tuple[str, ...]


def plain(text: str) -> str:
    """Return a text as it is held against others.

    >>> plain(" São  Tomé & Príncipe"), plain("Łódź")
    ('sao tome principe', 'lodz')
    """
    if text.isascii():
        return _SIGNS.sub(" ", text.lower()).strip()
    apart = unicodedata.normalize("NFKD", text.casefold().translate(_LETTERS))
    letters = "".join(each for each in apart if not unicodedata.combining(each))
    return _SIGNS.sub(" ", letters.translate(_ALIKE)).strip()


def begins(words: Iterable[str], name: str) -> bool:
    """Whether each word that was typed begins a word of a name, both as `plain` makes them.

    >>> begins(["costa", "r"], "costa rica"), begins(["rica", "x"], "costa rica")
    (True, False)
    """
    padded = f" {name}"
    return all(f" {word}" in padded for word in words)


def countries(text: str) -> list[str]:
    """Return the countries that a text begins the name of, in any language; those whose whole name it is first."""
    words, whole = plain(text).split(), plain(text)
    found = [(name != whole, code) for name, code in _country_names() if words and begins(words, name)]
    return list(dict.fromkeys(code for _, code in sorted(found)))


def cities(text: str, most: int) -> list[City]:
    """Return the cities that a text begins a name of, each by that name; whole names first, then the larger ones.

    A word of the text has to have three letters.
    """
    whole = plain(text)
    words = whole.split()
    letters = max((word[:_LETTERS_OF_CITY] for word in words), key=len, default="")
    found: dict[int, tuple[bool, int, City]] = {}
    for place, name, city in _city_names().get(letters, ()):
        if begins(words, name) and (place not in found or name == whole):
            found[place] = name != whole, place, city
    return [city for _, _, city in sorted(found.values(), key=lambda each: each[:2])[:most]]


def names_of(country: str | None) -> tuple[str, ...]:
    """Return the names of a country in every language, plain, each once; those of none are none."""
    return _names_by_country().get(country or "", ())


@cache
def _names_by_country() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for name, code in _country_names():
        found.setdefault(code, []).append(name)
    return {code: tuple(names) for code, names in found.items()}


@cache
def _country_names() -> tuple[tuple[str, str], ...]:
    """Every name of every country, plain, with its code."""
    return tuple(dict.fromkeys((plain(name), code) for name, code in _told()))


def _told() -> Iterator[tuple[str, str]]:
    for language in LANGUAGES:
        names = Locale.parse(language).territories
        yield from ((names[code], code) for code in COUNTRIES if code in names)
    yield from ((name, code) for code, names in _WAYS_TO_SAY_IT.items() for name in names)


@cache
def _city_names() -> dict[str, list[tuple[int, str, City]]]:
    """Every name of every city, plain, with the city's place in the table, by the first letters of its words."""
    found: dict[str, list[tuple[int, str, City]]] = {}
    for place, line in enumerate(CITIES.read_text(encoding="utf-8").splitlines()):
        country, prefixes, names = line.split("\t")
        areas = tuple(filter(None, prefixes.split(",")))
        for name in names.split("|"):
            city = place, plain(name), City(country, name, areas)
            for letters in {word[:_LETTERS_OF_CITY] for word in city[1].split()}:
                found.setdefault(letters, []).append(city)
    return found
