"""A poster of tariffs: what stands on it, in words and in order; how it looks is for the page and the PDF to say."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Size(StrEnum):
    """The paper that it is for."""

    A4 = "a4"
    A3 = "a3"


@dataclass(frozen=True, slots=True)
class PosterRow:
    """What calls to a destination cost; `cells` are as many as the columns of the poster, but for the first."""

    destination: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PosterGroup:
    """The destinations of a country."""

    country: str
    rows: tuple[PosterRow, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Poster:
    """All that is read on it, in order; `seller` has a line each, the name first."""

    language: str
    is_rtl: bool
    size: Size
    title: str
    about: str
    seller: tuple[str, ...]
    columns: tuple[str, ...]
    groups: tuple[PosterGroup, ...]
    notes: tuple[str, ...]
