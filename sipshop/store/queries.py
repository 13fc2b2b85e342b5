"""What is read, as statements of SQLAlchemy Core: the same text for the journal's sqlite3 and for the async readers.

Every statement takes the tenant first; those of the start, which builds all tenants, take none and say so.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    union_all,
)

from sipshop.store.rows import TOKEN_ID_DIGITS
from sipshop.store.schema import (
    Statement,
    accounts,
    booth_sessions,
    booths,
    calls,
    cdrs,
    charges,
    counters,
    decks,
    desk_log,
    fx_pairs,
    letterheads,
    meta,
    operators,
    parties,
    processes,
    rates,
    routes,
    shifts,
    shops,
    taxes,
    tokens,
    transfers,
    trunks,
)

# The desk.

BOOTH_SHOP: Final = Statement(
    select(shops.c.name, shops.c.owner, shops.c.currency, booths.c.disabled)
    .join(booths, and_(booths.c.tenant == shops.c.tenant, booths.c.shop == shops.c.name))
    .where(booths.c.tenant == bindparam("tenant"), booths.c.name == bindparam("booth"))
)

UNPAID_SESSION: Final = Statement(
    select(booth_sessions).where(
        booth_sessions.c.tenant == bindparam("tenant"),
        booth_sessions.c.booth == bindparam("booth"),
        booth_sessions.c.paid == 0,
    )
)

SESSION_VERSION: Final = Statement(
    select(booth_sessions.c.version).where(
        booth_sessions.c.tenant == bindparam("tenant"), booth_sessions.c.id == bindparam("session_id")
    )
)

LAST_SESSION: Final = Statement(
    select(booth_sessions)
    .where(booth_sessions.c.tenant == bindparam("tenant"), booth_sessions.c.booth == bindparam("booth"))
    .order_by(booth_sessions.c.id.desc())
    .limit(1)
)

NEXT_SESSION_ID: Final = Statement(
    select((func.coalesce(func.max(booth_sessions.c.id), 0) + 1).label("id")).where(
        booth_sessions.c.tenant == bindparam("tenant")
    )
)

LIVE_CALLS: Final = Statement(
    select(func.count().label("live")).where(
        calls.c.tenant == bindparam("tenant"), calls.c.session_id == bindparam("session_id")
    )
)

_later = cdrs.alias("later")
_IS_LATEST: Final = (
    ~select(_later.c.revision)
    .where(
        _later.c.tenant == cdrs.c.tenant,
        _later.c.call_id == cdrs.c.call_id,
        _later.c.revision > cdrs.c.revision,
    )
    .exists()
)

# A rerating puts a new price on a line, and the line stays where it was.
_first = charges.alias("first")
_FIRST_CHARGED: Final = (
    select(func.min(_first.c.bill_version))
    .where(_first.c.tenant == cdrs.c.tenant, _first.c.call_id == cdrs.c.call_id, _first.c.level == 0)
    .scalar_subquery()
)

BILL_LINES: Final = Statement(
    select(
        cdrs.c.call_id,
        cdrs.c.answered_at_ms,
        cdrs.c.dialled,
        cdrs.c.e164,
        cdrs.c.destination,
        cdrs.c.talk_ms,
        charges.c.currency,
        charges.c.amount_micros,
        charges.c.duration_s,
        charges.c.billed_s,
        charges.c.lines,
        charges.c.tariff,
        charges.c.bill_version,
        _FIRST_CHARGED.label("added"),
    )
    .join(
        charges,
        and_(
            charges.c.tenant == cdrs.c.tenant,
            charges.c.call_id == cdrs.c.call_id,
            charges.c.revision == cdrs.c.revision,
            charges.c.level == 0,
        ),
    )
    .where(cdrs.c.tenant == bindparam("tenant"), cdrs.c.session_id == bindparam("session_id"), _IS_LATEST)
    .order_by(_FIRST_CHARGED)
)

LOGGED: Final = Statement(
    select(desk_log.c.id).where(
        *(desk_log.c[name] == bindparam(name) for name in ("tenant", "at_ms", "author", "action", "subject", "detail"))
    )
)

# Money.

PARTY: Final = Statement(
    select(parties).where(parties.c.tenant == bindparam("tenant"), parties.c.name == bindparam("party"))
)

ACCOUNT: Final = Statement(
    select(accounts).where(accounts.c.tenant == bindparam("tenant"), accounts.c.name == bindparam("account"))
)

TRANSFER: Final = Statement(
    select(transfers).where(transfers.c.tenant == bindparam("tenant"), transfers.c.key == bindparam("key"))
)

KEYS: Final = Statement(
    select(func.count().label("made")).where(
        transfers.c.tenant == bindparam("tenant"),
        transfers.c.key >= bindparam("first"),
        transfers.c.key < bindparam("beyond"),
    )
)

# The newest of each direction by its index, and of these the newest.
_number = literal_column("transfers.rowid", Integer).label("number")


def _newest(side: ColumnElement[str]) -> Select[*tuple[Any, ...]]:
    newest = (
        select(transfers, _number)
        .where(
            transfers.c.tenant == bindparam("tenant"),
            side == bindparam("account"),
            transfers.c.at_ms <= bindparam("before_ms"),
            or_(transfers.c.at_ms < bindparam("before_ms"), _number < bindparam("before_number")),
        )
        .order_by(transfers.c.at_ms.desc(), _number.desc())
        .limit(bindparam("limit"))
    )
    return select(newest.subquery())


_both = union_all(_newest(transfers.c.debit), _newest(transfers.c.credit)).subquery("both")

TRANSFERS: Final = Statement(
    select(_both).order_by(_both.c.at_ms.desc(), _both.c.number.desc()).limit(bindparam("limit"))
)

TRANSFER_PLACE: Final = Statement(
    select(transfers.c.at_ms, _number).where(
        transfers.c.tenant == bindparam("tenant"),
        transfers.c.key == bindparam("key"),
        or_(transfers.c.debit == bindparam("account"), transfers.c.credit == bindparam("account")),
    )
)

# CDRs. A page of them joined with their charges: as many rows as charges, one for a CDR without any.

_among = func.json_each(bindparam("shops")).table_valued("value")

_page = (
    select(cdrs)
    .where(
        cdrs.c.tenant == bindparam("tenant"),
        or_(bindparam("booth").is_(None), cdrs.c.booth == bindparam("booth")),
        or_(bindparam("shops").is_(None), cdrs.c.shop.in_(select(_among.c.value))),
        cdrs.c.setup_at_ms >= bindparam("since_ms"),
        cdrs.c.setup_at_ms <= bindparam("before_ms"),
        or_(
            cdrs.c.setup_at_ms < bindparam("before_ms"),
            cdrs.c.call_id > bindparam("after_id"),
            and_(cdrs.c.call_id == bindparam("after_id"), cdrs.c.revision < bindparam("before_revision")),
        ),
        or_(bindparam("latest") == 0, _IS_LATEST),
    )
    .order_by(cdrs.c.setup_at_ms.desc(), cdrs.c.call_id, cdrs.c.revision.desc())
    .limit(bindparam("limit"))
    .subquery("page")
)

CDR_PAGE: Final = Statement(
    select(
        _page,
        *(column for column in charges.c if column.name not in _page.c),
    )
    .join(
        charges,
        and_(
            charges.c.tenant == _page.c.tenant,
            charges.c.call_id == _page.c.call_id,
            charges.c.revision == _page.c.revision,
        ),
        isouter=True,
    )
    .order_by(_page.c.setup_at_ms.desc(), _page.c.call_id, _page.c.revision.desc(), charges.c.level)
)

CDR: Final = Statement(
    select(cdrs, *(column for column in charges.c if column.name not in cdrs.c))
    .join(
        charges,
        and_(
            charges.c.tenant == cdrs.c.tenant,
            charges.c.call_id == cdrs.c.call_id,
            charges.c.revision == cdrs.c.revision,
        ),
        isouter=True,
    )
    .where(cdrs.c.tenant == bindparam("tenant"), cdrs.c.call_id == bindparam("call_id"), _IS_LATEST)
    .order_by(charges.c.level)
)

# The start: all tenants at once.

META: Final = Statement(select(meta.c.value).where(meta.c.key == bindparam("key")))

TENANTS: Final = Statement(select(parties.c.tenant).distinct().order_by(parties.c.tenant))

OPEN_SESSIONS: Final = Statement(
    select(booth_sessions)
    .where(booth_sessions.c.paid == 0, booth_sessions.c.closed_at_ms.is_(None))
    .order_by(booth_sessions.c.tenant, booth_sessions.c.id)
)

_talked = (
    select(func.coalesce(func.sum(cdrs.c.talk_ms), 0))
    .where(cdrs.c.tenant == booth_sessions.c.tenant, cdrs.c.session_id == booth_sessions.c.id, _IS_LATEST)
    .scalar_subquery()
)

UNPAID_SESSIONS: Final = Statement(
    select(booth_sessions, _talked.label("talked_ms"))
    .where(booth_sessions.c.paid == 0)
    .order_by(booth_sessions.c.tenant, booth_sessions.c.id)
)

# The accounts that can run dry, by the names that `billing.ledger` gives them: customer() and session_account().

PARTY_ACCOUNTS: Final = Statement(
    select(accounts)
    .join(
        parties,
        and_(
            accounts.c.tenant == parties.c.tenant,
            accounts.c.name == literal("customer:") + parties.c.name + "@" + parties.c.parent,
        ),
    )
    .order_by(parties.c.tenant, parties.c.position)
)

SESSION_ACCOUNTS: Final = Statement(
    select(accounts)
    .join(
        booth_sessions,
        and_(
            accounts.c.tenant == booth_sessions.c.tenant,
            accounts.c.name == literal("session:") + cast(booth_sessions.c.id, Text) + "@" + booth_sessions.c.owner,
        ),
    )
    .where(booth_sessions.c.paid == 0)
    .order_by(booth_sessions.c.tenant, booth_sessions.c.id)
)

# Whose booths a phone could take for another tenant's.
OTHERS_BOOTHS: Final = Statement(
    select(booths.c.tenant, booths.c.name, booths.c.auth, booths.c.ip, shops.c.realm, shops.c.digest)
    .join(shops, and_(shops.c.tenant == booths.c.tenant, shops.c.name == booths.c.shop))
    .where(booths.c.tenant != bindparam("tenant"))
)

DEAD_CALLS: Final = Statement(
    select(calls, processes.c.mono_ms)
    .join(processes, processes.c.process == calls.c.process, isouter=True)
    .where(calls.c.process != bindparam("process"))
    .order_by(calls.c.tenant, calls.c.setup_at_ms, calls.c.call_id)
)

# A token is what names the tenant.
TOKEN: Final = Statement(select(tokens).where(tokens.c.sha256 == bindparam("sha256")))

VALID_TOKENS: Final = Statement(select(tokens).where(tokens.c.revoked_at_ms.is_(None)))

TOKENS: Final = Statement(
    select(tokens).where(tokens.c.tenant == bindparam("tenant")).order_by(tokens.c.created_at_ms, tokens.c.sha256)
)

TOKEN_OF_ID: Final = Statement(
    select(tokens).where(
        tokens.c.tenant == bindparam("tenant"),
        func.substr(tokens.c.sha256, 1, literal(TOKEN_ID_DIGITS)) == bindparam("id"),
    )
)

# The world of one tenant, in the order of its file.


def _world(table: Table) -> Statement:
    return Statement(select(table).where(table.c.tenant == bindparam("tenant")).order_by(table.c.position))


PARTIES: Final = _world(parties)
SHOPS: Final = _world(shops)
BOOTHS: Final = _world(booths)
TRUNKS: Final = _world(trunks)
ROUTES: Final = _world(routes)
OPERATORS: Final = _world(operators)
TAXES: Final = _world(taxes)
FX_PAIRS: Final = _world(fx_pairs)
LETTERHEADS: Final = _world(letterheads)
COUNTERS: Final = _world(counters)

# A deck has every version that it ever had; the latest is in force, but for one without a place, whose rates are still
# being written.
LATEST: Final = (
    select(decks.c.tenant, decks.c.name, func.max(decks.c.version).label("version"))
    .where(decks.c.tenant == bindparam("tenant"), decks.c.position >= 0)
    .group_by(decks.c.tenant, decks.c.name)
    .subquery("latest")
)

DECKS: Final = Statement(
    select(decks)
    .join(LATEST, and_(decks.c.name == LATEST.c.name, decks.c.version == LATEST.c.version))
    .where(decks.c.tenant == bindparam("tenant"))
    .order_by(decks.c.position)
)

RATES: Final = Statement(
    select(rates)
    .join(LATEST, and_(rates.c.deck == LATEST.c.name, rates.c.version == LATEST.c.version))
    .where(rates.c.tenant == bindparam("tenant"))
    .order_by(rates.c.deck, rates.c.position)
)

# How the accounts of parties began: what was paid in beforehand, and the credit limit of now.
_account = literal("customer:") + parties.c.name + "@" + parties.c.parent

OPENINGS: Final = Statement(
    select(
        parties.c.name.label("party"),
        accounts.c.currency,
        accounts.c.credit_limit_micros,
        func.coalesce(transfers.c.amount_micros, 0).label("opening_micros"),
    )
    .join(accounts, and_(accounts.c.tenant == parties.c.tenant, accounts.c.name == _account))
    .join(
        transfers,
        and_(transfers.c.tenant == parties.c.tenant, transfers.c.key == literal("opening:") + _account),
        isouter=True,
    )
    .where(parties.c.tenant == bindparam("tenant"))
    .order_by(parties.c.position)
)

# What of a world is in the books: it can no longer be removed from it.


def _moved_on(account: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether money was ever moved on an account."""
    of_tenant = transfers.c.tenant == bindparam("tenant")
    return or_(
        select(transfers.c.key).where(of_tenant, transfers.c.debit == account).exists(),
        select(transfers.c.key).where(of_tenant, transfers.c.credit == account).exists(),
    )


_served = select(booth_sessions.c.booth).where(booth_sessions.c.tenant == bindparam("tenant"))
_owners = select(booth_sessions.c.owner).where(booth_sessions.c.tenant == bindparam("tenant"))

USED_PARTIES: Final = Statement(
    select(parties.c.name).where(
        parties.c.tenant == bindparam("tenant"),
        or_(
            parties.c.name.in_(_owners),
            _moved_on(_account),
            _moved_on(literal("revenue:") + parties.c.name),
        ),
    )
)
_turns = select(shifts.c.shop).where(shifts.c.tenant == bindparam("tenant"))
USED_SHOPS: Final = Statement(
    select(shops.c.name).where(
        shops.c.tenant == bindparam("tenant"),
        or_(_moved_on(literal("till:") + shops.c.name), shops.c.name.in_(_turns)),
    )
)
USED_BOOTHS: Final = Statement(
    select(booths.c.name).where(booths.c.tenant == bindparam("tenant"), booths.c.name.in_(_served))
)
USED_TRUNKS: Final = Statement(
    select(trunks.c.name).where(
        trunks.c.tenant == bindparam("tenant"), _moved_on(literal("payable:") + trunks.c.carrier)
    )
)
