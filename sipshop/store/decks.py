"""The versions of decks, and the mappings of sheets: who made which, when it comes into force, and what it stands on.

A version's rates are written before it is in force, so many at a time; what decides is its row in `decks`, which has a
place only from then on. A number that was given to a version is not given again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import ClassVar, Final

from sqlalchemy import and_, bindparam, delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.deck import RateDeck
from sipshop.store import rows
from sipshop.store.errors import StaleVersion, UnknownMapping, UnknownVersion
from sipshop.store.queries import LATEST
from sipshop.store.rows import Row, Values
from sipshop.store.schema import Statement, deck_versions, decks, rates, sheet_mappings
from sipshop.store.writes import note_in_log


class State(StrEnum):
    """What has become of a version."""

    DRAFT = "draft"  # it is there to be looked at
    SCHEDULED = "scheduled"  # it comes into force at its instant
    PUBLISHED = "published"  # it is, or was, in force
    DISCARDED = "discarded"  # it never was, and its rates are gone


class Origin(StrEnum):
    """What a version was made by."""

    APPLY = "apply"
    IMPORT = "import"
    ROLLBACK = "rollback"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckVersion:
    """A version of a deck, without its rates.

    `party` is whose `author` made it, `source` the file's name and carrier, or the version that it brings back; `base`
    is the version that it was made from, None of the first. `from_ms` is when it came into force, or is to, in UTC.
    `imported` says that no world's file has its rates.
    """

    tenant: str
    deck: str
    version: int
    state: State
    origin: Origin
    base: int | None
    imported: bool
    author: str
    party: str
    reason: str
    source: str
    made_at_ms: int
    from_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetMapping:
    """How the sheets of a carrier are read, as a party of a tenant keeps it: a text in YAML."""

    tenant: str
    party: str
    name: str
    mapping: str
    author: str
    at_ms: int


#: More than any deck has.
MOST_RATES: Final = 10_000_000
#: Of a deck that is not in force: see `store/worlds`.
_NO_PLACE: Final = -1

_of_deck = and_(deck_versions.c.tenant == bindparam("tenant"), deck_versions.c.deck == bindparam("deck"))
_of_version = and_(_of_deck, deck_versions.c.version == bindparam("version"))
_row = and_(
    decks.c.tenant == bindparam("tenant"),
    decks.c.name == bindparam("deck"),
    decks.c.version == bindparam("version"),
)
_its_rates = and_(
    rates.c.tenant == bindparam("tenant"),
    rates.c.deck == bindparam("deck"),
    rates.c.version == bindparam("version"),
)

VERSIONS: Final = Statement(select(deck_versions).where(_of_deck).order_by(deck_versions.c.version.desc()))
HAS_RATES: Final = Statement(
    select(rates.c.position).where(_its_rates, rates.c.position >= bindparam("after")).limit(1)
)
VERSION: Final = Statement(select(deck_versions).where(_of_version))
DECK: Final = Statement(select(decks).where(_row))
RATES: Final = Statement(select(rates).where(_its_rates).order_by(rates.c.position))
#: The start: of all tenants.
SCHEDULED: Final = Statement(
    select(deck_versions)
    .where(deck_versions.c.state == State.SCHEDULED.value)
    .order_by(deck_versions.c.tenant, deck_versions.c.deck, deck_versions.c.version)
)
GIVEN: Final = Statement(
    select(decks.c.name, func.max(decks.c.version).label("version"))
    .where(decks.c.tenant == bindparam("tenant"))
    .group_by(decks.c.name)
)
GIVEN_BEFORE: Final = Statement(
    select(deck_versions.c.deck, func.max(deck_versions.c.version).label("version"))
    .where(deck_versions.c.tenant == bindparam("tenant"))
    .group_by(deck_versions.c.deck)
)
WAITING: Final = Statement(
    select(deck_versions.c.deck, deck_versions.c.version, deck_versions.c.from_ms).where(
        deck_versions.c.tenant == bindparam("tenant"), deck_versions.c.state == State.SCHEDULED.value
    )
)
IMPORTED: Final = Statement(
    select(deck_versions.c.deck)
    .join(LATEST, and_(deck_versions.c.deck == LATEST.c.name, deck_versions.c.version == LATEST.c.version))
    .where(deck_versions.c.tenant == bindparam("tenant"), deck_versions.c.imported == 1)
)
_PLACE: Final = Statement(
    select(decks.c.position)
    .join(LATEST, and_(decks.c.name == LATEST.c.name, decks.c.version == LATEST.c.version))
    .where(decks.c.tenant == bindparam("tenant"), decks.c.name == bindparam("deck"))
)
_INSERT: Final = Statement(insert(deck_versions))
_SET: Final = Statement(
    update(deck_versions).where(_of_version).values(state=bindparam("new_state"), from_ms=bindparam("new_from_ms"))
)
_PUT_IN_FORCE: Final = Statement(update(decks).where(_row).values(position=bindparam("new_position")))
_REMOVE_SOME: Final = Statement(delete(rates).where(_its_rates, rates.c.position < bindparam("before")))
_REMOVE_DECK: Final = Statement(delete(decks).where(_row, decks.c.position == _NO_PLACE))

MAPPINGS: Final = Statement(
    select(sheet_mappings)
    .where(sheet_mappings.c.tenant == bindparam("tenant"), sheet_mappings.c.party == bindparam("party"))
    .order_by(sheet_mappings.c.name)
)
_put = insert(sheet_mappings)
_PUT_MAPPING: Final = Statement(
    _put.on_conflict_do_update(
        index_elements=["tenant", "party", "name"],
        set_={name: _put.excluded[name] for name in ("mapping", "author", "at_ms")},
    )
)
_REMOVE_MAPPING: Final = Statement(
    delete(sheet_mappings).where(
        sheet_mappings.c.tenant == bindparam("tenant"),
        sheet_mappings.c.party == bindparam("party"),
        sheet_mappings.c.name == bindparam("name"),
    )
)


def version_of(row: Row) -> DeckVersion:
    """Read a version back."""
    return DeckVersion(
        tenant=row["tenant"],
        deck=row["deck"],
        version=row["version"],
        state=State(row["state"]),
        origin=Origin(row["origin"]),
        base=row["base"],
        imported=bool(row["imported"]),
        author=row["author"],
        party=row["party"],
        reason=row["reason"],
        source=row["source"],
        made_at_ms=row["made_at_ms"],
        from_ms=row["from_ms"],
    )


def mapping_of(row: Row) -> SheetMapping:
    """Read a mapping back."""
    return SheetMapping(**{name: row[name] for name in ("tenant", "party", "name", "mapping", "author", "at_ms")})


def note_version(connection: sqlite3.Connection, version: DeckVersion) -> None:
    """Write who made a version."""
    values: Values = asdict(version)
    _INSERT.run(connection, values | {"imported": int(version.imported)})


def note_applied(
    connection: sqlite3.Connection,
    tenant: str,
    made: Iterable[RateDeck],
    imported: frozenset[str],
    *,
    at_ms: int,
    author: str,
    party: str,
) -> None:
    """Write that a world's file made these versions, which are in force."""
    for deck in made:
        note_version(
            connection,
            DeckVersion(
                tenant=tenant,
                deck=deck.name,
                version=deck.version,
                state=State.PUBLISHED,
                origin=Origin.APPLY,
                base=None,
                imported=deck.name in imported,
                author=author,
                party=party,
                reason="",
                source="",
                made_at_ms=at_ms,
                from_ms=at_ms,
            ),
        )


def given_versions(connection: sqlite3.Connection, tenant: str) -> dict[str, int]:
    """Return the greatest number that a version of each deck was ever given."""
    of = {"tenant": tenant}
    given = {row["name"]: row["version"] for row in GIVEN.run(connection, of)}
    for row in GIVEN_BEFORE.run(connection, of):
        given[row["deck"]] = max(row["version"], given.get(row["deck"], 0))
    return given


def read_deck(connection: sqlite3.Connection, tenant: str, deck: str, version: int) -> RateDeck:
    """Return a version with its rates; raises UnknownVersion."""
    of = {"tenant": tenant, "deck": deck, "version": version}
    row = DECK.run(connection, of).fetchone()
    if row is None:
        raise UnknownVersion(deck, version)
    return rows.deck(row, map(rows.rate, RATES.run(connection, of)))


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDrafted:
    """A version whose rates were written is there to be looked at; `detail` is for the log."""

    waited_for: ClassVar[bool] = True
    tenant: str
    version: DeckVersion
    detail: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        note_version(connection, self.version)
        author, at_ms = self.version.author, self.version.made_at_ms
        action = f"deck: {self.version.origin}"
        _log(connection, self.version, action, author=author, at_ms=at_ms, detail=self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionScheduled:
    """A version comes into force at an instant, of UTC."""

    waited_for: ClassVar[bool] = True
    tenant: str
    version: DeckVersion
    from_ms: int
    author: str
    at_ms: int
    detail: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it; raises StaleVersion where it became something else meanwhile."""
        _expect(connection, self.version, {State.DRAFT, State.SCHEDULED})
        _set(connection, self.version, State.SCHEDULED, self.from_ms)
        _log(connection, self.version, "deck: schedule", author=self.author, at_ms=self.at_ms, detail=self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionPublished:
    """A version is in force from now on, in the place of its deck's latest one."""

    waited_for: ClassVar[bool] = True
    tenant: str
    version: DeckVersion
    author: str
    at_ms: int
    detail: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it; raises StaleVersion where it is not there any more, or became something else meanwhile."""
        _expect(connection, self.version, {State.DRAFT, State.SCHEDULED})
        of = {"tenant": self.tenant, "deck": self.version.deck, "version": self.version.version}
        place = _PLACE.run(connection, of).fetchone()
        if place is None or not _PUT_IN_FORCE.run(connection, of | {"new_position": place["position"]}).rowcount:
            raise StaleVersion(f"version {self.version.version} of deck {self.version.deck!r} has no rates any more")
        _set(connection, self.version, State.PUBLISHED, self.at_ms)
        _log(connection, self.version, "deck: publish", author=self.author, at_ms=self.at_ms, detail=self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDiscarded:
    """A version that never was in force is none; its rates go afterwards, with `RatesRemoved`."""

    waited_for: ClassVar[bool] = True
    tenant: str
    version: DeckVersion
    author: str
    at_ms: int
    detail: str

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it; raises StaleVersion where it became something else meanwhile."""
        _expect(connection, self.version, {State.DRAFT, State.SCHEDULED})
        _set(connection, self.version, State.DISCARDED, None)
        _log(connection, self.version, "deck: discard", author=self.author, at_ms=self.at_ms, detail=self.detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class RatesRemoved:
    """The rates of a version without a place go, up to a position; with the last ones its row goes too."""

    waited_for: ClassVar[bool] = False
    tenant: str
    deck: str
    version: int
    before: int
    is_last: bool

    def apply(self, connection: sqlite3.Connection) -> None:
        """Remove them."""
        of = {"tenant": self.tenant, "deck": self.deck, "version": self.version, "before": self.before}
        row = DECK.run(connection, of).fetchone()
        if row is None or row["position"] != _NO_PLACE:
            return
        _REMOVE_SOME.run(connection, of)
        if self.is_last:
            _REMOVE_DECK.run(connection, of)


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingSaved:
    """A mapping takes the place of the one of its name."""

    waited_for: ClassVar[bool] = True
    tenant: str
    mapping: SheetMapping

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write it."""
        values: Values = asdict(self.mapping)
        _PUT_MAPPING.run(connection, values)
        _log_mapping(connection, self.mapping, "mapping: save")


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingRemoved:
    """A mapping goes."""

    waited_for: ClassVar[bool] = True
    tenant: str
    mapping: SheetMapping

    def apply(self, connection: sqlite3.Connection) -> None:
        """Remove it; raises UnknownMapping."""
        one = self.mapping
        of = {"tenant": one.tenant, "party": one.party, "name": one.name}
        if not _REMOVE_MAPPING.run(connection, of).rowcount:
            raise UnknownMapping(one.name)
        _log_mapping(connection, one, "mapping: remove")


def publish_due(connection: sqlite3.Connection, *, at_ms: int) -> list[DeckVersion]:
    """Put in force what was to be by an instant, inside a transaction: at a start, before a world is read."""
    due: list[DeckVersion] = []
    for row in SCHEDULED.run(connection, {}).fetchall():
        version = version_of(row)
        if version.from_ms is not None and version.from_ms <= at_ms:
            VersionPublished(
                tenant=version.tenant,
                version=version,
                author=version.author,
                at_ms=version.from_ms,
                detail=f"version {version.version}, as it was scheduled",
            ).apply(connection)
            due.append(replace(version, state=State.PUBLISHED))
    return due


def _expect(connection: sqlite3.Connection, version: DeckVersion, states: set[State]) -> None:
    of = {"tenant": version.tenant, "deck": version.deck, "version": version.version}
    row = VERSION.run(connection, of).fetchone()
    if row is None or State(row["state"]) not in states:
        became = "gone" if row is None else row["state"]
        raise StaleVersion(f"version {version.version} of deck {version.deck!r} is {became} already")


def _set(connection: sqlite3.Connection, version: DeckVersion, state: State, from_ms: int | None) -> None:
    of = {"tenant": version.tenant, "deck": version.deck, "version": version.version}
    _SET.run(connection, of | {"new_state": state.value, "new_from_ms": from_ms})


def _log(
    connection: sqlite3.Connection, version: DeckVersion, action: str, *, author: str, at_ms: int, detail: str
) -> None:
    note_in_log(
        connection,
        tenant=version.tenant,
        at_ms=at_ms,
        author=author,
        action=action,
        subject=f"deck {version.deck}",
        detail=detail,
    )


def _log_mapping(connection: sqlite3.Connection, mapping: SheetMapping, action: str) -> None:
    note_in_log(
        connection,
        tenant=mapping.tenant,
        at_ms=mapping.at_ms,
        author=mapping.author,
        action=action,
        subject=f"mapping {mapping.name} of {mapping.party}",
        detail="",
    )
