"""The store: one SQLite file, one writer, and what a start needs to know.

At the start everything is read synchronously, once, and the switch then works from memory. From then on the journal
writes, on its thread, and the desk's questions are read asynchronously on short-lived connections: they are asked by
people, a few times a minute, and a connection that is opened for the question sees the file as it is, whatever became
of the disk since.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.deck import RateDeck
from sipshop.billing.desk import Bill, BoothSession
from sipshop.billing.errors import UnknownAccount
from sipshop.billing.fx import Pair
from sipshop.billing.receipt import Receipt
from sipshop.billing.shift import Shift
from sipshop.proxy.routing import Trunk
from sipshop.store import bindings, farewells, limits, queries, rows
from sipshop.store.audit import LARGE_BYTES, Violation, audit_file
from sipshop.store.bindings import Kept, kept
from sipshop.store.checkout import ITEMS, RECEIPT, RECEIPTS, open_bills, read_bill, read_receipt
from sipshop.store.connect import InstanceLock, connect_reader, connect_writer, secret_of
from sipshop.store.decks import (
    HAS_RATES,
    MAPPINGS,
    MOST_RATES,
    SCHEDULED,
    VERSIONS,
    DeckVersion,
    RatesRemoved,
    SheetMapping,
    given_versions,
    mapping_of,
    publish_due,
    read_deck,
    version_of,
)
from sipshop.store.errors import (
    OlderSchema,
    StoreError,
    UnknownAlert,
    UnknownBooth,
    UnknownPlace,
    UnknownPrintJob,
    Unusable,
    Unwritable,
)
from sipshop.store.farewells import Owed
from sipshop.store.floor import NOTES, OPEN_ALARMS, Alarm, alarm_of
from sipshop.store.journal import Done, Journal, Write
from sipshop.store.limits import Alert, KeptLimits, PastCall
from sipshop.store.logins import LOGINS, WEB_SESSIONS, Login, WebSession, login_of, web_session_of
from sipshop.store.migrations import upgrade
from sipshop.store.printing import JOB, JOBS, TIMES_PRINTED, PrintJob, print_job_of
from sipshop.store.rows import AccountState, CdrPlace, LiveCall, Row, Token
from sipshop.store.schema import (
    SCHEMA_VERSION,
    Statement,
    alembic_version,
    schema_statements,
)
from sipshop.store.screens import SCREENS, Screen, screen_of
from sipshop.store.till import OPEN_SHIFTS, shift_of
from sipshop.store.verify import Verified, verify_file
from sipshop.store.worlds import (
    RATES_AT_ONCE,
    Applied,
    DeckStaged,
    DeckUnstaged,
    WorldApplied,
    load_world,
    read_history,
    read_world,
    staged_decks,
)
from sipshop.store.writes import (
    NOTE,
    ProcessStarted,
    TokenAdded,
    account_name,
)
from sipshop.world import History, Plan, World

logger = logging.getLogger(__name__)

_SECRET_BYTES: Final = 32
_ROWS_AT_A_TIME: Final = 64
_NOTE_ALEMBICS_VERSION: Final = Statement(insert(alembic_version))

#: The largest integer of SQLite: later than every instant, and behind every row.
_LATEST: Final = 2**63 - 1
_BEFORE_ALL_CDRS: Final = CdrPlace(_LATEST, "", 0)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The filesystem that a database is on, what is free of it for us, and what the database and its log take."""

    size_bytes: int
    free_bytes: int
    database_bytes: int
    log_bytes: int


class Store:
    """The database of one installation, held by this process alone; made by `open`.

    `secret` is 32 bytes that were drawn when the database was made, the same after every restart.
    """

    def __init__(self, path: Path, *, secret: bytes, lock: InstanceLock, journal: Journal) -> None:
        self.path = path
        self.secret = secret
        self._lock = lock
        self._journal = journal

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        process: str,
        on_commit: Callable[[float, int], None],
        on_health: Callable[[bool, str], None],
        connect: Callable[[Path], sqlite3.Connection] = connect_writer,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> Store:
        """Open a database, or make it and its folder.

        `process` names this run and no other. `on_commit(seconds, writes)` and `on_health(writable, why)` are called
        on the event loop (see `Journal`). `connect` opens every connection for writing, `random_bytes` draws the
        secret.

        A database that is there but cannot be written opens all the same, and `writable` is False: what needs no write
        (an emergency call) must not wait for a disk.

        Raises:
            AlreadyRunning: another process holds it.
            Unwritable: it is not there and cannot be made.
            NewerSchema: a newer sipshop made it.
            OlderSchema: one made it whose databases cannot be brought forward; all others are, now.
            Unusable: it is no database of ours, or damaged.
        """
        path = path.absolute()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Unwritable(f"the folder {path.parent} cannot be made: {error.strerror}") from error
        if path.is_dir():
            raise Unusable(path, "it is a folder")
        lock = InstanceLock.taken(path)
        try:
            if not path.exists():
                _create(path, random_bytes)
            secret = _checked(path, random_bytes)
            writable = _is_writable(path, connect, process)
        except BaseException:
            lock.release()
            raise
        journal = Journal(partial(connect, path), on_commit=on_commit, on_health=on_health, writable=writable)
        return cls(path, secret=secret, lock=lock, journal=journal)

    def close(self) -> None:
        """Write what is queued, fold the log into the database, and let the next process in; blocks until then.

        The last `done`s are left with the event loop, for its next turn.
        """
        self._journal.close()
        self._lock.release()

    # Writing.

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded; before any, whether the one at opening did."""
        return self._journal.writable

    @property
    def pending(self) -> int:
        """Writes that were submitted and are not yet known to be on the disk."""
        return self._journal.pending

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the journal; every outcome is reported on this loop."""
        self._journal.start(loop)

    def submit(self, write: Write[object], done: Done | None = None) -> None:
        """Have something written; `done` gets its result, or the exception that says why not. Never raises.

        The exception is `Unwritable` where the disk failed, and then the write may be submitted again.
        """
        self._journal.submit(write, done)

    def flush(self) -> None:
        """Have what was submitted committed now, and not wait for company."""
        self._journal.flush()

    async def commit(self, write: Write[Result]) -> Result:
        """Write something and wait until it is on the disk.

        Raises:
            StoreError, BillingError: whatever the write was refused with.
        """
        outcome: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._journal.submit(write, partial(_resolve, outcome))
        result: Result = await outcome
        return result

    # The start, synchronous.

    def is_empty(self) -> bool:
        """Say whether no world was ever loaded."""
        return not self._read(queries.TENANTS)

    def load(self, world: World, *, at_ms: int) -> None:
        """Write a new tenant's world and accounts, and open the booth sessions it asks for, in one transaction.

        Raises:
            NotEmpty: the tenant is there already; nothing is changed.
            Conflict: a booth of it could not be told from another tenant's.
            Unwritable: the disk does not let us.
        """
        with self._writing() as connection:
            load_world(connection, world, at_ms=at_ms)

    def worlds(self) -> tuple[World, ...]:
        """Return every tenant's world as it is now; `open_booths` are those with an open booth session.

        The `openings` tell what was posted when an account was opened, and its credit limit of now: see `accounts`.
        """
        open_booths = {(session.tenant, session.booth) for session in self.open_sessions()}
        try:
            with closing(connect_reader(self.path)) as connection:
                found = [read_world(connection, row["tenant"]) for row in queries.TENANTS.run(connection, {})]
        except sqlite3.Error as error:
            raise Unusable(self.path, str(error)) from error
        return tuple(
            replace(world, open_booths=frozenset(booth for owner, booth in open_booths if owner == world.tenant))
            for world in found
        )

    def open_sessions(self) -> list[BoothSession]:
        """Return every tenant's booth sessions that are neither locked nor paid."""
        return [rows.booth_session(row) for row in self._read(queries.OPEN_SESSIONS)]

    def unpaid_sessions(self) -> list[tuple[BoothSession, int]]:
        """Return every tenant's booth sessions that are not paid, open or locked, with the talk time of their calls."""
        return [(rows.booth_session(row), row["talked_ms"]) for row in self._read(queries.UNPAID_SESSIONS)]

    def accounts(self) -> list[tuple[str, AccountState]]:
        """Return the accounts that calls are charged on, with their tenants: of parties and of unpaid sessions."""
        found = [*self._read(queries.PARTY_ACCOUNTS), *self._read(queries.SESSION_ACCOUNTS)]
        return [(row["tenant"], rows.account_state(row)) for row in found]

    def dead_calls(self, process: str) -> list[tuple[LiveCall, int | None]]:
        """Return the calls that other processes left without a CDR, of every tenant, the oldest first.

        With each comes the last heartbeat of its process, in that process's monotonic ms; None if it never had one.
        """
        found = self._read(queries.DEAD_CALLS, {"process": process})
        return [(rows.live_call(row), row["mono_ms"]) for row in found]

    def farewells(self) -> list[Owed]:
        """Return the BYEs that earlier processes owed."""
        return [farewells.owed(row) for row in self._read(farewells.ALL)]

    def limits(self) -> KeptLimits:
        """Return how the rules of every tenant stand, what its shops have called, and where its alerts are."""
        return KeptLimits(
            stands=[(row["tenant"], limits.stand_of(row)) for row in self._read(limits.STANDS)],
            called=[(row["tenant"], row["shop"], row["digits"], row["at_ms"]) for row in self._read(limits.CALLED)],
            alerts={row["tenant"]: (row["last"], row["open"]) for row in self._read(limits.ALERT_STATE)},
            unhealed=[(row["tenant"], limits.alert_of(row)) for row in self._read(limits.UNHEALED)],
        )

    def recent_calls(self, tenant: str, since_ms: int) -> Iterable[PastCall]:
        """Return the calls of a tenant that were set up since an instant and are over, the newest first."""
        return limits.past_calls(self._read(limits.RECENT, {"tenant": tenant, "since_ms": since_ms}))

    async def recently_called(self, tenant: str, since_ms: int) -> list[PastCall]:
        """Return them as `recent_calls` does, with all in it that was submitted before."""
        async with self._reading() as connection:
            found = await _fetch(connection, limits.RECENT, {"tenant": tenant, "since_ms": since_ms})
        return list(limits.past_calls(found))

    async def alerts(
        self,
        tenant: str,
        *,
        limit: int,
        parties: Collection[str],
        shops: Collection[str],
        before_id: int | None = None,
        only_open: bool = False,
    ) -> list[Alert]:
        """Return the newest alerts first that are of some parties or about some shops."""
        values = {
            "tenant": tenant,
            "limit": limit,
            "parties": rows.to_json(sorted(parties)),
            "shops": rows.to_json(sorted(shops)),
            "before_id": _LATEST if before_id is None else before_id,
            "all": 0 if only_open else 1,
        }
        async with self._reading() as connection:
            return [limits.alert_of(row) for row in await _fetch(connection, limits.ALERTS, values)]

    async def alert(self, tenant: str, alert_id: int) -> Alert:
        """Return one alert; raises UnknownAlert."""
        async with self._reading() as connection:
            for row in await _fetch(connection, limits.ALERT, {"tenant": tenant, "id": alert_id}):
                return limits.alert_of(row)
        raise UnknownAlert(f"there is no alert {alert_id}")

    def bindings(self) -> list[Kept]:
        """Return where the phones of every tenant's booths are reached, those included that have expired."""
        return [kept(row) for row in self._read(bindings.ALL)]

    def add_token(self, tenant: str, token: Token, author: str, at_ms: int) -> None:
        """Add an API token, at a start; once it is there this does nothing. Raises Unwritable."""
        with self._writing() as connection:
            TokenAdded(tenant=tenant, token=token, author=author, at_ms=at_ms).apply(connection)

    def token(self, sha256: str) -> Token | None:
        """Return the API token with this SHA-256 in hexadecimal, revoked and expired ones too, or None."""
        for row in self._read(queries.TOKEN, {"sha256": sha256}):
            return rows.token(row)
        return None

    def valid_tokens(self) -> list[Token]:
        """Return every tenant's API tokens that were not revoked; some may have expired."""
        return [rows.token(row) for row in self._read(queries.VALID_TOKENS)]

    def logins(self) -> list[Login]:
        """Return how the people of every tenant come in, those who are gone from their world too."""
        return [login_of(row) for row in self._read(LOGINS)]

    def web_sessions(self) -> list[WebSession]:
        """Return the sessions of every tenant's browsers; some may be past their end."""
        return [web_session_of(row) for row in self._read(WEB_SESSIONS)]

    def screens(self) -> list[Screen]:
        """Return the screens for customers of every tenant, the oldest first."""
        return [screen_of(row) for row in self._read(SCREENS)]

    def notes(self) -> list[tuple[str, int, str]]:
        """Return what was written down about unpaid sessions: tenant, number of the session, note."""
        return [(row["tenant"], row["session_id"], row["note"]) for row in self._read(NOTES)]

    def open_bills(self) -> list[Bill]:
        """Return the bills of every tenant's unpaid sessions on which something stands besides calls."""
        return open_bills(self._read)

    def open_alarms(self) -> list[Alarm]:
        """Return every tenant's emergency calls that nobody has acknowledged, the oldest first."""
        return [alarm_of(row) for row in self._read(OPEN_ALARMS)]

    def open_shifts(self) -> list[Shift]:
        """Return every tenant's shifts that are open."""
        return [shift_of(row) for row in self._read(OPEN_SHIFTS)]

    # The desk, asynchronous. Each answer is of one instant: all of its statements see the same commit.

    async def session(self, tenant: str, booth: str) -> BoothSession | None:
        """Return a booth's unpaid session, open or locked; None if it has none.

        Raises:
            UnknownBooth: the tenant has no such booth.
        """
        async with self._reading() as connection:
            return (await _session(connection, tenant, booth))[0]

    async def bill(self, tenant: str, booth: str) -> Bill | None:
        """Return the bill of a booth's unpaid session, open or locked; None if it has none.

        Raises:
            UnknownBooth: the tenant has no such booth.
        """
        async with self._reading() as connection:
            session, currency = await _session(connection, tenant, booth)
            if session is None:
                return None
            values = {"tenant": tenant, "session_id": session.id}
            lines = await _fetch(connection, queries.BILL_LINES, values)
            return read_bill(session, currency, lines, await _fetch(connection, ITEMS, values))

    async def receipts(
        self, tenant: str, shop: str, *, limit: int, before: int | None, since_ms: int, until_ms: int
    ) -> list[Receipt]:
        """Return a shop's receipts of a time, from `since_ms` to before `until_ms`, the newest first.

        So many at most, and none but those numbered below `before` if that is given.
        """
        of = {"tenant": tenant, "shop": shop, "limit": limit, "before": _LATEST if before is None else before}
        async with self._reading() as connection:
            found = await _fetch(connection, RECEIPTS, of | {"since_ms": since_ms, "until_ms": until_ms})
            return [read_receipt(row["receipt"]) for row in found]

    async def receipt(self, tenant: str, shop: str, number: int) -> Receipt | None:
        """Return a receipt by its number; None if the shop has drawn none of it."""
        async with self._reading() as connection:
            found = await _fetch(connection, RECEIPT, {"tenant": tenant, "shop": shop, "number": number})
            return read_receipt(found[0]["receipt"]) if found else None

    async def tokens(self, tenant: str) -> list[Token]:
        """Return every API token, the oldest first."""
        async with self._reading() as connection:
            return [rows.token(row) for row in await _fetch(connection, queries.TOKENS, {"tenant": tenant})]

    async def cdrs(
        self,
        tenant: str,
        *,
        limit: int,
        booth: str | None = None,
        shops: Collection[str] | None = None,
        since_ms: int = 0,
        after: CdrPlace | None = None,
        latest: bool = False,
    ) -> list[dict[str, Any]]:
        """Return the newest CDRs first, as `Cdr.to_json` gives them; of one booth, or of some shops, where named.

        Those that were set up before `since_ms` (UTC) are left out. `after` goes on where an earlier answer ended. With
        `latest` revisions are left out that another one has replaced.
        """
        place = after or _BEFORE_ALL_CDRS
        values = {
            "tenant": tenant,
            "limit": limit,
            "booth": booth,
            "shops": None if shops is None else rows.to_json(sorted(shops)),
            "since_ms": since_ms,
            "before_ms": place.setup_at_ms,
            "after_id": place.call_id,
            "before_revision": place.revision,
            "latest": int(latest),
        }
        async with self._reading() as connection:
            return _cdrs(await _fetch(connection, queries.CDR_PAGE, values))

    async def cdr(self, tenant: str, call_id: str) -> dict[str, Any] | None:
        """Return the latest revision of a call's CDR, as `Cdr.to_json` gives it; None if it has none."""
        async with self._reading() as connection:
            found = _cdrs(await _fetch(connection, queries.CDR, {"tenant": tenant, "call_id": call_id}))
        return found[0] if found else None

    async def print_jobs(self, tenant: str, shop: str, *, limit: int, before_id: int | None = None) -> list[PrintJob]:
        """Return the newest print jobs of a shop first."""
        values = {
            "tenant": tenant,
            "shop": shop,
            "limit": limit,
            "before_id": _LATEST if before_id is None else before_id,
        }
        async with self._reading() as connection:
            return [print_job_of(row) for row in await _fetch(connection, JOBS, values)]

    async def print_job(self, tenant: str, shop: str, job_id: int) -> PrintJob:
        """Return one print job; raises UnknownPrintJob."""
        async with self._reading() as connection:
            for row in await _fetch(connection, JOB, {"tenant": tenant, "shop": shop, "id": job_id}):
                return print_job_of(row)
        raise UnknownPrintJob(f"the shop {shop} has no print job {job_id}")

    async def times_printed(self, tenant: str, shop: str, number: int) -> int:
        """Return how often a receipt may be on paper."""
        async with self._reading() as connection:
            of = {"tenant": tenant, "shop": shop, "number": number}
            return int((await _fetch(connection, TIMES_PRINTED, of))[0]["printed"])

    async def has_moved(self, tenant: str, key: str) -> bool:
        """Say whether money was moved under this key, so that a repeated command needs none set aside."""
        async with self._reading() as connection:
            return bool(await _fetch(connection, queries.TRANSFER, {"tenant": tenant, "key": key}))

    async def account(self, tenant: str, party: str) -> AccountState:
        """Return the account that a party is charged on.

        Raises:
            UnknownParty: the tenant has no such party.
            UnknownAccount: it is the provider.
        """
        async with self._reading() as connection:
            parties = await _fetch(connection, queries.PARTY, {"tenant": tenant, "party": party})
            name = account_name(parties[0] if parties else None, party)
            for row in await _fetch(connection, queries.ACCOUNT, {"tenant": tenant, "account": name}):
                return rows.account_state(row)
        raise UnknownAccount(f"there is no account named {name!r}")

    async def transfers(self, tenant: str, account: str, limit: int, after: str | None = None) -> list[dict[str, Any]]:
        """Return the newest transfers of an account first, in plain JSON types and signed as it sees them.

        Raises:
            UnknownPlace: the list is to go on `after` a key that is not in it.
        """
        values = {"tenant": tenant, "account": account, "limit": limit, "before_ms": _LATEST, "before_number": _LATEST}
        async with self._reading() as connection:
            if after is not None:
                of_key = {"tenant": tenant, "account": account, "key": after}
                places = await _fetch(connection, queries.TRANSFER_PLACE, of_key)
                if not places:
                    raise UnknownPlace(f"no transfer of this account has the key {after!r}")
                values |= {"before_ms": places[0]["at_ms"], "before_number": places[0]["number"]}
            return [rows.transfer_view(row, account) for row in await _fetch(connection, queries.TRANSFERS, values)]

    async def ask(self, tenant: str, question: Callable[[sqlite3.Connection, str], Result]) -> Result:
        """Return what a question about a tenant finds, on a thread of its own: one that reads a good part of the books.

        All that it reads is of one commit, with all in it that was submitted before. Raises whatever `question` raises.
        """
        await self._caught_up()
        return await asyncio.to_thread(self._asked, tenant, question)

    # The world.

    async def with_world(
        self, tenant: str, decks: Sequence[RateDeck], use: Callable[[World, History], Result]
    ) -> Result:
        """Return what `use` makes, on a thread of its own, of a world as it is on the disk, and of its history.

        `decks` are its decks as the reader has them, who alone changes them: the rest is read, but for the booths that
        are open. Raises whatever `use` raises.
        """
        await self._caught_up()
        return await asyncio.to_thread(self._used, tenant, decks, use)

    async def apply_world(
        self, tenant: str, plan: Plan, history: History | None, *, author: str, at_ms: int
    ) -> Applied:
        """Make a world another one, all of it or nothing, as `WorldApplied` says; long decks are written before it.

        Raises:
            StoreError, BillingError: whatever that was refused with.
        """
        assert plan.after.tenant == tenant, "a plan is a tenant's"
        staged = staged_decks(plan)
        try:
            for deck in staged:
                for first in range(0, len(deck.rates), RATES_AT_ONCE):
                    await self.commit(DeckStaged(tenant=tenant, deck=deck, first=first))
            return await self.commit(WorldApplied(plan=plan, history=history, author=author, at_ms=at_ms))
        except BaseException:
            for deck in staged:
                self.submit(DeckUnstaged(tenant=tenant, deck=deck))
            raise

    # Versions of decks.

    def publish_due(self, *, at_ms: int) -> list[DeckVersion]:
        """Put in force what was to come into force while nobody ran, before the worlds are read. Raises Unwritable."""
        with self._writing() as connection:
            return publish_due(connection, at_ms=at_ms)

    def scheduled_versions(self) -> list[DeckVersion]:
        """Return every tenant's versions that are to come into force."""
        return [version_of(row) for row in self._read(SCHEDULED)]

    async def deck_versions(self, tenant: str, deck: str) -> list[DeckVersion]:
        """Return who made the versions of a deck, the newest first."""
        async with self._reading() as connection:
            of = {"tenant": tenant, "deck": deck}
            return [version_of(row) for row in await _fetch(connection, VERSIONS, of)]

    async def deck_version(self, tenant: str, deck: str, version: int) -> RateDeck:
        """Read a version of a deck with its rates, on a thread of its own.

        Raises:
            UnknownVersion: there is none, or its rates are gone.
        """
        await self._caught_up()
        return await asyncio.to_thread(self._deck_version, tenant, deck, version)

    async def given_version(self, tenant: str, deck: str) -> int:
        """Return the greatest number that a version of a deck was ever given, 0 where there was none."""
        await self._caught_up()
        with closing(connect_reader(self.path)) as connection:
            return given_versions(connection, tenant).get(deck, 0)

    async def stage_deck(self, tenant: str, deck: RateDeck, tell: Callable[[int], None]) -> None:
        """Write the rates of a version that is not in force, so many at a time; `tell` hears how many are written."""
        try:
            for first in range(0, max(1, len(deck.rates)), RATES_AT_ONCE):
                await self.commit(DeckStaged(tenant=tenant, deck=deck, first=first))
                tell(min(first + RATES_AT_ONCE, len(deck.rates)))
        except BaseException:
            self.submit(DeckUnstaged(tenant=tenant, deck=deck))
            raise

    async def remove_rates(self, tenant: str, deck: str, version: int) -> None:
        """Let the rates of a version go that never was in force, so many at a time; calls do not wait for it."""
        for before in range(RATES_AT_ONCE, MOST_RATES + RATES_AT_ONCE, RATES_AT_ONCE):
            is_last = not await self._has_rates(tenant, deck, version, before)
            part = RatesRemoved(tenant=tenant, deck=deck, version=version, before=before, is_last=is_last)
            await self.commit(part)
            if is_last:
                break

    async def mappings(self, tenant: str, party: str) -> list[SheetMapping]:
        """Return the mappings of a party."""
        async with self._reading() as connection:
            return [mapping_of(row) for row in await _fetch(connection, MAPPINGS, {"tenant": tenant, "party": party})]

    # The disk.

    def disk(self) -> Disk:
        """How much room there is, and how much of it the database takes."""
        try:
            room = os.statvfs(self.path.parent)
        except OSError:  # the folder is gone: nothing can be written, and that is what 0 says
            return Disk(size_bytes=0, free_bytes=0, database_bytes=0, log_bytes=0)
        return Disk(
            size_bytes=room.f_blocks * room.f_frsize,
            free_bytes=room.f_bavail * room.f_frsize,
            database_bytes=_size(self.path),
            log_bytes=_size(self.path.with_name(f"{self.path.name}-wal")),
        )

    # The books.

    async def audit(self) -> list[Violation]:
        """Return every breach of the laws of the books, of all tenants, in all that was submitted before.

        Much is read by another process: a thread of ours would have the event loop wait for each turn.
        """
        await self._caught_up()
        others = int(_size(self.path) >= LARGE_BYTES)
        return await asyncio.to_thread(audit_file, self.path, others=others)

    async def verify(
        self, tenant: str, *, since_ms: int = 0, until_ms: int | None = None, party: str | None = None
    ) -> Verified:
        """Work out once more what the charges of calls come to that were set up in a time, as `verify_file` does."""
        await self._caught_up()
        verify = partial(verify_file, self.path, tenant, since_ms=since_ms, until_ms=until_ms, party=party)
        return await asyncio.to_thread(verify)

    # Helpers.

    def _asked(self, tenant: str, question: Callable[[sqlite3.Connection, str], Result]) -> Result:
        try:
            with closing(connect_reader(self.path)) as connection:
                connection.execute("BEGIN")
                return question(connection, tenant)
        except sqlite3.Error as error:
            raise Unusable(self.path, str(error)) from error

    def _used(self, tenant: str, decks: Sequence[RateDeck], use: Callable[[World, History], Result]) -> Result:
        try:
            with closing(connect_reader(self.path)) as connection:
                connection.execute("BEGIN")
                world = read_world(connection, tenant, known_decks=decks)
                history = read_history(connection, tenant)
        except sqlite3.Error as error:
            raise Unusable(self.path, str(error)) from error
        return use(world, history)

    def _deck_version(self, tenant: str, deck: str, version: int) -> RateDeck:
        try:
            with closing(connect_reader(self.path)) as connection:
                return read_deck(connection, tenant, deck, version)
        except sqlite3.Error as error:
            raise Unusable(self.path, str(error)) from error

    async def _has_rates(self, tenant: str, deck: str, version: int, after: int) -> bool:
        async with self._reading() as connection:
            of = {"tenant": tenant, "deck": deck, "version": version, "after": after}
            return bool(await _fetch(connection, HAS_RATES, of))

    def _read(self, query: Statement, values: Mapping[str, Any] = {}) -> list[sqlite3.Row]:
        try:
            with closing(connect_reader(self.path)) as connection:
                return query.run(connection, values).fetchall()
        except sqlite3.Error as error:
            raise Unusable(self.path, str(error)) from error

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction beside the journal's."""
        try:
            with closing(connect_writer(self.path)) as connection, _transaction(connection):
                yield connection
        except sqlite3.Error as error:
            raise Unwritable(f"{self.path} cannot be written: {error}") from error

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[aiosqlite.Connection]:
        """A connection on which every statement sees the same commit, with all in it that was submitted before."""
        await self._caught_up()
        try:
            async with aiosqlite.Connection(partial(connect_reader, self.path), _ROWS_AT_A_TIME) as connection:
                await connection.execute("BEGIN")
                yield connection
        except sqlite3.Error as error:
            raise Unusable(self.path, str(error)) from error

    async def _caught_up(self) -> None:
        """Wait for the writes that are under way: who hangs up and asks for the bill finds the call on it."""
        if not self._journal.pending:
            return
        try:
            await self.commit(_Nothing())
        except StoreError as error:
            logger.info("read without the writes that are still to come: %s", error)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def stored_trunks(path: Path) -> list[Trunk]:
    """Return the trunks of every tenant in a database, whether a server runs on it or not; raises as `_stored`."""
    return [rows.trunk(row) for row in _stored(path, queries.TRUNKS)]


def stored_fx(path: Path) -> list[Pair]:
    """Return the rates of exchange of every tenant in a database in the same way."""
    return [rows.fx_pair(row) for row in _stored(path, queries.FX_PAIRS)]


def _stored(path: Path, query: Statement) -> list[rows.Row]:
    """Return the rows of every tenant.

    Raises:
        NewerSchema, OlderSchema: another sipshop made the database.
        Unusable: it is not there, damaged, or no database of ours.
    """
    try:
        with closing(connect_reader(path)) as connection:
            if secret_of(connection, path) is None:
                return []
            tenants = [row["tenant"] for row in queries.TENANTS.run(connection, {})]
            return [row for tenant in tenants for row in query.run(connection, {"tenant": tenant})]
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error


class _Nothing:
    """A write of nothing: it is done when all before it are."""

    waited_for: Final = True

    def apply(self, connection: sqlite3.Connection) -> None:
        """Do nothing."""


def _resolve(outcome: asyncio.Future[Any], result: object) -> None:
    if outcome.done():  # whoever waited has gone
        return
    if isinstance(result, Exception):
        outcome.set_exception(result)
    else:
        outcome.set_result(result)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create(path: Path, random_bytes: Callable[[int], bytes]) -> None:
    """Make the tables and draw the secret, all or nothing."""
    try:
        with closing(connect_writer(path, create=True)) as connection, _transaction(connection):
            for statement in schema_statements():
                connection.execute(statement)
            NOTE.run(connection, {"key": "schema_version", "value": str(SCHEMA_VERSION).encode()})
            _NOTE_ALEMBICS_VERSION.run(connection, {"version_num": str(SCHEMA_VERSION)})
            NOTE.run(connection, {"key": "secret", "value": random_bytes(_SECRET_BYTES)})
    except sqlite3.Error as error:
        raise Unwritable(f"{path} cannot be made: {error}") from error


def _checked(path: Path, random_bytes: Callable[[int], bytes]) -> bytes:
    """Return the secret of a database that we can read; one whose making was cut off is made now.

    One that an older sipshop made is brought forward, with a copy of it as it was beside it.
    """
    try:
        with closing(connect_reader(path)) as connection:
            secret = secret_of(connection, path)
    except OlderSchema as error:
        if not error.can_upgrade:
            raise
        upgrade(path, error.found)
        return _checked(path, random_bytes)
    except sqlite3.Error as error:
        raise Unusable(path, str(error)) from error
    if secret is not None:
        return secret
    _create(path, random_bytes)
    return _checked(path, random_bytes)


def _is_writable(path: Path, connect: Callable[[Path], sqlite3.Connection], process: str) -> bool:
    """Find out by a first write, which is the only way to know."""
    try:
        with closing(connect(path)) as connection, _transaction(connection):
            ProcessStarted(process).apply(connection)
    except sqlite3.Error as error:
        logger.warning("%s cannot be written: %s", path, error)
        return False
    return True


def _cdrs(found: Iterable[Row]) -> list[dict[str, Any]]:
    """Read CDRs that are joined with their charges, each one's rows together."""
    return [
        rows.cdr(joined[0], (rows.charge(row) for row in joined if row["level"] is not None)).to_json()
        for joined in (list(group) for _, group in groupby(found, key=lambda row: (row["call_id"], row["revision"])))
    ]


async def _session(connection: aiosqlite.Connection, tenant: str, booth: str) -> tuple[BoothSession | None, str]:
    """Return a booth's unpaid session and the currency of its bills."""
    values = {"tenant": tenant, "booth": booth}
    found = await _fetch(connection, queries.BOOTH_SHOP, values)
    if not found:
        raise UnknownBooth(f"there is no booth named {booth!r}")
    for row in await _fetch(connection, queries.UNPAID_SESSION, values):
        return rows.booth_session(row), found[0]["currency"]
    return None, found[0]["currency"]


async def _fetch(connection: aiosqlite.Connection, query: Statement, values: Mapping[str, Any]) -> list[sqlite3.Row]:
    return list(await connection.execute_fetchall(query.text, query.bound(values)))
