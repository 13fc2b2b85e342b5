"""Worlds in the database: loading one, reading one, and making one another; all or nothing."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from sqlalchemy import Table, and_, bindparam, delete, select
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.deck import RateDeck
from sipshop.billing.desk import BoothSession
from sipshop.billing.ledger import WORLD, Transfer, TransferKind, customer, moved
from sipshop.billing.money import Money
from sipshop.billing.parties import Party
from sipshop.proxy.admission import Auth
from sipshop.store import limits as limits_room
from sipshop.store import queries, rows
from sipshop.store.decks import IMPORTED, WAITING, given_versions, note_applied
from sipshop.store.errors import Conflict, NotEmpty, WorldChanged
from sipshop.store.rows import Token, Values
from sipshop.store.schema import (
    Statement,
    booths,
    counters,
    decks,
    fx_pairs,
    letterheads,
    limits,
    operators,
    parties,
    rates,
    routes,
    shops,
    taxes,
    trunks,
)
from sipshop.store.writes import (
    LimitSet,
    SessionLocked,
    SessionOpened,
    TokenRevoked,
    limit_account,
    note_in_log,
    post,
)
from sipshop.world import History, Opening, Plan, World

#: In an order that satisfies the foreign keys; what is removed goes the other way round.
_TABLES: Final = (
    parties,
    shops,
    booths,
    decks,
    rates,
    trunks,
    routes,
    operators,
    taxes,
    fx_pairs,
    limits,
    letterheads,
    counters,
)


#: A deck with more rates than these is written beforehand, so many at a time, so that no call waits for it.
RATES_AT_ONCE: Final = 1_000
#: Where a deck stands whose version is not in force yet.
_STAGED: Final = -1


def _put(table: Table) -> Statement:
    put = insert(table)
    rest = {column.name: put.excluded[column.name] for column in table.c if not column.primary_key}
    return Statement(put.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest))


def _remove(table: Table) -> Statement:
    return Statement(delete(table).where(*(column == bindparam(f"key_{column.name}") for column in table.primary_key)))


_INSERT: Final = {table.name: Statement(insert(table)) for table in _TABLES}
_PUT: Final = {table.name: _put(table) for table in _TABLES}
_REMOVE: Final = {table.name: _remove(table) for table in _TABLES}
_KEYS: Final = {table.name: tuple(column.name for column in table.primary_key) for table in _TABLES}

_the_deck = and_(
    decks.c.tenant == bindparam("tenant"),
    decks.c.name == bindparam("deck"),
    decks.c.version == bindparam("version"),
)
_its_rates = and_(
    rates.c.tenant == bindparam("tenant"),
    rates.c.deck == bindparam("deck"),
    rates.c.version == bindparam("version"),
)
_IS_STAGED: Final = Statement(select(decks.c.name).where(_the_deck, decks.c.position == bindparam("staged")))
_REMOVE_DECK: Final = Statement(delete(decks).where(_the_deck))
_REMOVE_RATES: Final = Statement(delete(rates).where(_its_rates))


def read_world(connection: sqlite3.Connection, tenant: str, *, known_decks: Sequence[RateDeck] | None = None) -> World:
    """Return a tenant's world as it is now, but for the booths that are open.

    `known_decks` are its decks where somebody has them at hand: they are by far the most of it, and nobody but the
    process that asks changes them.
    """
    of = {"tenant": tenant}
    return World(
        tenant=tenant,
        parties=tuple(rows.party(row) for row in queries.PARTIES.run(connection, of)),
        shops=tuple(rows.shop(row) for row in queries.SHOPS.run(connection, of)),
        booths=tuple(rows.booth(row) for row in queries.BOOTHS.run(connection, of)),
        decks=_read_decks(connection, tenant) if known_decks is None else tuple(known_decks),
        trunks=tuple(rows.trunk(row) for row in queries.TRUNKS.run(connection, of)),
        routes=tuple(rows.route(row) for row in queries.ROUTES.run(connection, of)),
        openings=tuple(rows.opening(row) for row in queries.OPENINGS.run(connection, of)),
        operators=tuple(rows.operator(row) for row in queries.OPERATORS.run(connection, of)),
        taxes=tuple(rows.tax_terms(row) for row in queries.TAXES.run(connection, of)),
        fx=tuple(rows.fx_pair(row) for row in queries.FX_PAIRS.run(connection, of)),
        letterheads=tuple(rows.letterhead(row) for row in queries.LETTERHEADS.run(connection, of)),
        counters=tuple(rows.counter(row) for row in queries.COUNTERS.run(connection, of)),
        open_booths=frozenset(),
        limits=tuple(limits_room.limits_of(row) for row in limits_room.LIMITS.run(connection, of)),
        imported=frozenset(row["deck"] for row in IMPORTED.run(connection, of)),
    )


def _read_decks(connection: sqlite3.Connection, tenant: str) -> tuple[RateDeck, ...]:
    of = {"tenant": tenant}
    rates_of: dict[str, list[rows.Row]] = {}
    for row in queries.RATES.run(connection, of):
        rates_of.setdefault(row["deck"], []).append(row)
    return tuple(
        rows.deck(row, map(rows.rate, rates_of.get(row["name"], ()))) for row in queries.DECKS.run(connection, of)
    )


def read_history(connection: sqlite3.Connection, tenant: str) -> History:
    """Return what of a tenant's world is in the books."""

    def used(query: Statement) -> frozenset[str]:
        return frozenset(row["name"] for row in query.run(connection, {"tenant": tenant}))

    return History(
        parties=used(queries.USED_PARTIES),
        shops=used(queries.USED_SHOPS),
        booths=used(queries.USED_BOOTHS),
        trunks=used(queries.USED_TRUNKS),
        versions=given_versions(connection, tenant),
        scheduled={row["deck"]: row["from_ms"] for row in WAITING.run(connection, {"tenant": tenant})},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What came of a change of a world beside it: the sessions of new booths that are open from the start.

    And the tokens that ended, because what they opened is gone, or whose they were.
    """

    opened: tuple[BoothSession, ...] = ()
    ended: tuple[Token, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldApplied:
    """A tenant's world becomes another one.

    The plan was made from the world as it was read, and from its history where something is pruned; `history` is None
    where nothing is. The rates of its `staged_decks` are there already.
    """

    waited_for: ClassVar[bool] = True
    plan: Plan
    history: History | None
    author: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> Applied:
        """Write it.

        Raises:
            WorldChanged: the world, or its history, is not the one that the plan was made from.
            Conflict: a booth could not be told from another tenant's.
            BelowUsed: a credit limit is lowered under what is owed.
        """
        before, after, tenant = self.plan.before, self.plan.after, self.plan.after.tenant
        found = read_world(connection, tenant, known_decks=before.decks)
        is_history_new = self.history is not None and read_history(connection, tenant) != self.history
        if found != replace(before, open_booths=frozenset()) or is_history_new:
            raise WorldChanged("the world was changed meanwhile, and nothing of this was done: apply it again")
        _check_conflicts(connection, after)
        self._write_rows(connection)
        self._open_accounts(connection)
        for opening in self.plan.new_limits:
            self._set_limit(connection, opening)
        ended = tuple(self._end_tokens(connection))
        for booth in self.plan.disabled_booths:
            SessionLocked(tenant=tenant, booth=booth, author=self.author, at_ms=self.at_ms).apply(connection)
        for change in self.plan.changes:
            note_in_log(
                connection,
                tenant=tenant,
                at_ms=self.at_ms,
                author=self.author,
                action=f"apply: {change.action}",
                subject=f"{change.kind} {change.name}",
                detail="; ".join(change.details),
            )
        opened = tuple(
            SessionOpened(tenant=tenant, booth=booth, author=self.author, at_ms=self.at_ms).apply(connection)
            for booth in self.plan.opened_booths
        )
        return Applied(opened=opened, ended=ended)

    def _end_tokens(self, connection: sqlite3.Connection) -> Iterator[Token]:
        """Revoke what opens nothing in this world, so that nobody comes back with it who later bears an old name."""
        tenant = self.plan.after.tenant
        for row in queries.TOKENS.run(connection, {"tenant": tenant}).fetchall():
            token = rows.token(row)
            if token.revoked_at_ms is None and not _opens(token, self.plan):
                yield TokenRevoked(tenant=tenant, id=token.id, author=self.author, at_ms=self.at_ms).apply(connection)

    def _write_rows(self, connection: sqlite3.Connection) -> None:
        """Put the rows that are new or others, and then remove those that are gone, but for decks."""
        old, new = self.plan.before, self.plan.after
        gone: list[tuple[str, list[tuple[object, ...]]]] = []
        known_rows = dict(_rows_of(old))
        for table, values in _rows_of(new):
            known = {_key(table, row): row for row in known_rows[table]}
            put = {_key(table, row): row for row in values}
            _PUT[table].run_many(connection, (row for key, row in put.items() if known.get(key) != row))
            if table != decks.name:
                gone.append((table, [key for key in known if key not in put]))
        for deck in _new_decks(self.plan):
            if len(deck.rates) <= RATES_AT_ONCE:
                _insert_rates(connection, deck, new.tenant, 0)
        note_applied(
            connection,
            new.tenant,
            _new_decks(self.plan),
            new.imported,
            at_ms=self.at_ms,
            author=self.author,
            party=new.tenant,
        )
        for table, keys in reversed(gone):
            names = [f"key_{name}" for name in _KEYS[table]]
            _REMOVE[table].run_many(connection, (dict(zip(names, key, strict=True)) for key in keys))

    def _open_accounts(self, connection: sqlite3.Connection) -> None:
        tenant = self.plan.after.tenant
        for party, opening in self.plan.new_accounts:
            _limit_new(connection, tenant, party, opening)
        parents = {party.name: party for party in self.plan.after.parties}
        for opening in self.plan.postings:
            _pay_in(connection, tenant, parents[opening.party], opening, author=self.author, at_ms=self.at_ms)

    def _set_limit(self, connection: sqlite3.Connection, opening: Opening) -> None:
        LimitSet(
            tenant=self.plan.after.tenant,
            party=opening.party,
            credit_limit=opening.credit_limit_micros,
            author=self.author,
            reason="the world was applied",
            at_ms=self.at_ms,
        ).apply(connection)


def _opens(token: Token, plan: Plan) -> bool:
    """Whether a token opens something after a change: its party and shop are there, and its person is who he was."""
    before, after = ({one.name: one for one in world.operators} for world in (plan.before, plan.after))
    has_place = token.party in {party.name for party in plan.after.parties} and (
        token.shop is None or token.shop in {shop.name for shop in plan.after.shops}
    )
    if token.operator is None or not has_place:
        return has_place
    person = after.get(token.operator)
    return person is not None and not person.suspended and person == before.get(token.operator)


def _new_decks(plan: Plan) -> list[RateDeck]:
    """The decks of a plan whose version is a new one."""
    kept = {(deck.name, deck.version) for deck in plan.before.decks}
    return [deck for deck in plan.after.decks if (deck.name, deck.version) not in kept]


def staged_decks(plan: Plan) -> list[RateDeck]:
    """The new decks of a plan that are so long that they are written before it."""
    return [deck for deck in _new_decks(plan) if len(deck.rates) > RATES_AT_ONCE]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckStaged:
    """Some rates of a deck whose version is in force only when the world is applied that has it: those from `first` on.

    The first ones take the place of what an apply may have left that was not finished.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    deck: RateDeck
    first: int

    def apply(self, connection: sqlite3.Connection) -> None:
        """Write them."""
        if not self.first:
            _unstage(connection, self.tenant, self.deck)
            row = rows.deck_values(self.tenant, self.deck) | {"position": _STAGED}
            _INSERT[decks.name].run(connection, row)
        _insert_rates(connection, self.deck, self.tenant, self.first)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeckUnstaged:
    """A deck that was written beforehand and is not applied after all goes; one that is in force stays."""

    waited_for: ClassVar[bool] = False
    tenant: str
    deck: RateDeck

    def apply(self, connection: sqlite3.Connection) -> None:
        """Remove it."""
        _unstage(connection, self.tenant, self.deck)


def _unstage(connection: sqlite3.Connection, tenant: str, deck: RateDeck) -> None:
    of = {"tenant": tenant, "deck": deck.name, "version": deck.version, "staged": _STAGED}
    if _IS_STAGED.run(connection, of).fetchone() is not None:
        _REMOVE_RATES.run(connection, of)
        _REMOVE_DECK.run(connection, of)


def _insert_rates(connection: sqlite3.Connection, deck: RateDeck, tenant: str, first: int) -> None:
    some = enumerate(deck.rates[first : first + RATES_AT_ONCE], start=first)
    values = (rows.rate_values(tenant, deck, rate) | {"position": position} for position, rate in some)
    _INSERT[rates.name].run_many(connection, values)


def load_world(connection: sqlite3.Connection, world: World, *, at_ms: int) -> None:
    """Insert a new tenant's world, inside a transaction; see `Store.load`."""
    if any(row["tenant"] == world.tenant for row in queries.TENANTS.run(connection, {})):
        raise NotEmpty(f"{world.tenant} has a world already: load another one into an empty database")
    _check_conflicts(connection, world)
    for table, values in _rows_of(world):
        _INSERT[table].run_many(connection, values)
    for deck in world.decks:
        for first in range(0, len(deck.rates), RATES_AT_ONCE):
            _insert_rates(connection, deck, world.tenant, first)
    note_applied(connection, world.tenant, world.decks, world.imported, at_ms=at_ms, author="world", party=world.tenant)
    openings = {opening.party: opening for opening in world.openings}
    for party in world.parties:
        if party.parent is not None:
            _limit_new(connection, world.tenant, party, openings[party.name])
            if openings[party.name].opening_micros:
                _pay_in(connection, world.tenant, party, openings[party.name], author="world", at_ms=at_ms)
    for booth in sorted(world.open_booths):
        SessionOpened(tenant=world.tenant, booth=booth, author="world", at_ms=at_ms).apply(connection)


def _check_conflicts(connection: sqlite3.Connection, world: World) -> None:
    """Refuse what would let a phone be taken for another tenant's.

    Raises:
        Conflict: a user of a realm, or an address that is let in without a password, or a realm's list of algorithms.
    """
    shops = {shop.name: shop for shop in world.shops}
    users = {(shops[booth.shop].realm, booth.name) for booth in world.booths if booth.auth is Auth.DIGEST}
    addresses = {booth.ip for booth in world.booths if booth.auth is Auth.IP}
    digests = {shop.realm: rows.to_json([algorithm.value for algorithm in shop.digest]) for shop in world.shops}
    faults: set[str] = set()
    for row in queries.OTHERS_BOOTHS.run(connection, {"tenant": world.tenant}):
        realm = row["realm"]  # whose it is, is not told: providers know nothing of each other
        if row["auth"] == Auth.DIGEST and (realm, row["name"]) in users:
            faults.add(f"booth {row['name']} in realm {realm} is another provider's already")
        if row["auth"] == Auth.IP and row["ip"] in addresses:
            faults.add(f"address {row['ip']} lets in a booth of another provider already")
        if digests.get(realm, row["digest"]) != row["digest"]:
            faults.add(f"realm {realm} has another list of digest algorithms with another provider")
    if faults:
        raise Conflict(f"{world.tenant} cannot be loaded: {'; '.join(sorted(faults))}")


def _limit_new(connection: sqlite3.Connection, tenant: str, party: Party, opening: Opening) -> None:
    """Open the account of a party with the one above it."""
    assert party.parent is not None, "the provider has no account"
    name = customer(party.name, party.parent)
    limit_account(connection, tenant, name, opening.currency, opening.credit_limit_micros)


def _pay_in(
    connection: sqlite3.Connection, tenant: str, party: Party, opening: Opening, *, author: str, at_ms: int
) -> None:
    """Post what a party has paid in beforehand."""
    post(connection, tenant, (opening_transfer(party, opening),), author=author, reason="", at_ms=at_ms)


def opening_transfer(party: Party, opening: Opening) -> Transfer:
    """Return the transfer of what a party has paid in beforehand; its key lets it be made once."""
    assert party.parent is not None, "the provider has no account"
    name = customer(party.name, party.parent)
    amount = Money(opening.opening_micros, opening.currency)
    return moved(f"opening:{name}", TransferKind.OPENING, source=WORLD, account=name, amount=amount)


def _rows_of(world: World) -> Iterator[tuple[str, list[Values]]]:
    """Give the rows of a world by table, in an order that satisfies the foreign keys, but for the rates of decks."""
    tenant = world.tenant
    yield parties.name, _numbered(map(rows.party_values, world.parties))
    yield shops.name, _numbered(map(rows.shop_values, world.shops))
    yield booths.name, _numbered(map(rows.booth_values, world.booths))
    yield decks.name, _numbered(rows.deck_values(tenant, deck) for deck in world.decks)
    yield trunks.name, _numbered(map(rows.trunk_values, world.trunks))
    yield routes.name, _numbered(map(rows.route_values, world.routes))
    yield operators.name, _numbered(map(rows.operator_values, world.operators))
    yield taxes.name, _numbered(rows.tax_values(tenant, terms) for terms in world.taxes)
    yield fx_pairs.name, _numbered(rows.fx_values(tenant, pair) for pair in world.fx)
    yield limits.name, _numbered(limits_room.limit_values(tenant, each) for each in world.limits)
    yield letterheads.name, _numbered(map(rows.letterhead_values, world.letterheads))
    yield counters.name, _numbered(map(rows.counter_values, world.counters))


def _numbered(values: Iterable[Values]) -> list[Values]:
    return [row | {"position": position} for position, row in enumerate(values)]


def _key(table: str, row: Values) -> tuple[object, ...]:
    return tuple(row[name] for name in _KEYS[table])
