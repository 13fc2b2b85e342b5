"""The store as a start and a desk see it: opening, the world, sessions, tokens, CDRs, and the errors on the way."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from sipshop.billing.desk import SessionTerms
from sipshop.billing.errors import UnknownAccount, UnknownParty
from sipshop.billing.ledger import TransferKind, customer, session_account
from sipshop.billing.money import Money
from sipshop.sip.digest import Algorithm
from sipshop.store import (
    AccountMoved,
    AccountState,
    AlreadyRunning,
    CallAnswered,
    CallRelayed,
    CallSettled,
    CallStarted,
    CdrPlace,
    Conflict,
    Heartbeat,
    LimitSet,
    NewerSchema,
    NotEmpty,
    OlderSchema,
    PartySuspended,
    SessionLocked,
    SessionOpened,
    SessionToppedUp,
    Store,
    StoreError,
    Token,
    TokenAdded,
    TokenRevoked,
    UnknownBooth,
    UnknownPlace,
    UnknownToken,
    Unusable,
    Unwritable,
)
from sipshop.world import World
from tests.store.examples import (
    BOOTH,
    NOON_MS,
    OTHER,
    OWNER,
    TENANT,
    cdr,
    filled,
    live_call,
    opened,
    paid,
    running,
    world,
)

OPENED = SessionOpened(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS)
LOADED = world()
FRONT_DESK = Token(
    tenant=TENANT,
    sha256="ab" * 32,
    role="operator",
    party=OWNER,
    shop="kiosk",
    label="front desk",
    created_at_ms=NOON_MS,
    expires_at_ms=NOON_MS + 9,
)
LOCKED = SessionLocked(tenant=TENANT, booth=BOOTH, author="ana", at_ms=NOON_MS + 5)


def sql(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


# Opening.


def test_a_new_database_makes_its_folder_and_keeps_its_secret(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "db"
    with filled(path, random_bytes=lambda count: b"s" * count) as store:
        assert store.writable
        assert store.secret == b"s" * 32
    with filled(path) as store:
        assert store.secret == b"s" * 32


def test_a_name_that_a_uri_would_read_otherwise_is_only_a_name(tmp_path: Path) -> None:
    path = tmp_path / "a db?mode=memory#1%20"
    opened(path).close()
    assert path.exists()


def test_a_database_whose_making_was_cut_off_is_made(tmp_path: Path) -> None:
    path = tmp_path / "db"
    path.touch()
    with filled(path) as store:
        assert len(store.secret) == 32


def _is_a_file(path: Path) -> None:
    path.parent.write_text("in the way")


def _is_a_folder(path: Path) -> None:
    path.mkdir(parents=True)


def _is_a_letter(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("Dear madam, " * 1000)


def _is_another_programs(path: Path) -> None:
    path.parent.mkdir()
    sql(path, "CREATE TABLE letters (text)")


def _lacks_its_secret(path: Path) -> None:
    opened(path).close()
    sql(path, "DELETE FROM meta WHERE key = 'secret'")


def _is_from_the_future(path: Path) -> None:
    opened(path).close()
    sql(path, "UPDATE meta SET value = CAST('99' AS BLOB) WHERE key = 'schema_version'")


def _is_of_old(path: Path) -> None:
    opened(path).close()
    sql(path, "UPDATE meta SET value = CAST('1' AS BLOB) WHERE key = 'schema_version'")


@pytest.mark.parametrize(
    ("spoil", "error", "text"),
    [
        pytest.param(_is_a_file, Unwritable, "folder .*/data cannot be made", id="the folder is a file"),
        pytest.param(_is_a_folder, Unusable, "it is a folder", id="the database is a folder"),
        pytest.param(_is_a_letter, Unusable, "not a database", id="the database is a letter"),
        pytest.param(_is_another_programs, Unusable, "another program", id="another program's database"),
        pytest.param(_lacks_its_secret, Unusable, "notes about itself", id="a database without its secret"),
        pytest.param(_is_from_the_future, NewerSchema, "version 99, this sipshop knows up to", id="a newer schema"),
        pytest.param(
            _is_of_old, OlderSchema, "made by an older sipshop .* start with an empty folder", id="an older schema"
        ),
    ],
)
def test_what_cannot_be_used_is_said_and_let_go(
    tmp_path: Path, spoil: Callable[[Path], None], error: type[StoreError], text: str
) -> None:
    path = tmp_path / "data" / "db"
    spoil(path)
    for _ in range(2):  # the second time it is the same error: the first one kept no lock
        with pytest.raises(error, match=text):
            opened(path)


def test_the_disk_is_told_with_what_we_take_of_it(tmp_path: Path) -> None:
    with filled(tmp_path / "data" / "db") as store:
        disk = store.disk()
        assert 0 < disk.free_bytes <= disk.size_bytes
        assert disk.database_bytes == (tmp_path / "data" / "db").stat().st_size
        (tmp_path / "data" / "db-wal").write_bytes(b"four")
        assert store.disk().log_bytes == 4
        (tmp_path / "data" / "db-wal").unlink()
        (tmp_path / "data").rename(tmp_path / "gone")
        assert store.disk().free_bytes == 0


def test_a_database_has_one_user(tmp_path: Path) -> None:
    path = tmp_path / "db"
    first = opened(path)
    with pytest.raises(AlreadyRunning, match="stop that one first, or run this one on another database"):
        opened(path)
    first.close()
    opened(path).close()


# The world.


def test_a_world_comes_back_as_it_was_opened_world(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:
        assert store.worlds() == (LOADED,)


def test_two_worlds_stay_apart(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:
        store.load(replace(world(OTHER), open_booths=frozenset({"gate"})), at_ms=NOON_MS)
        other = replace(world(OTHER), open_booths=frozenset({"gate"}))
        assert store.worlds() == (LOADED, other)
        (session,) = store.open_sessions()
        assert (session.tenant, session.id, session.opened_by) == (OTHER, 1, "world")


def test_a_world_is_loaded_once(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:
        with pytest.raises(NotEmpty, match=TENANT):
            store.load(world(), at_ms=NOON_MS)
        assert store.worlds() == (LOADED,)


def test_a_world_that_does_not_hold_together_leaves_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "db")
    with pytest.raises(Unwritable, match="FOREIGN KEY"):
        store.load(replace(world(), parties=()), at_ms=NOON_MS)
    assert store.is_empty()
    store.close()


def _of_the_same_realm(other: World) -> World:
    return replace(other, shops=(replace(other.shops[0], realm=world().shops[0].realm),))


def _of_the_same_realm_with_another_digest(other: World) -> World:
    shop = replace(_of_the_same_realm(other).shops[0], digest=(Algorithm.MD5,))
    return replace(other, shops=(shop,), booths=tuple(replace(booth, name=f"x{booth.name}") for booth in other.booths))


def _behind_the_same_address(other: World) -> World:
    return replace(other, booths=tuple(replace(booth, ip=booth.ip and "192.0.2.7") for booth in other.booths))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(
            _of_the_same_realm,
            "umbrella cannot be loaded: booth booth1 in realm corner.acme.example is another provider's already; booth",
            id="a user in a realm",
        ),
        pytest.param(
            _of_the_same_realm_with_another_digest,
            "realm corner.acme.example has another list of digest algorithms with another provider",
            id="the challenges of a realm",
        ),
        pytest.param(
            _behind_the_same_address, "address 192.0.2.7 lets in a booth of another provider already", id="an address"
        ),
    ],
)
def test_no_phone_can_be_taken_for_another_tenants(tmp_path: Path, change: Callable[[World], World], text: str) -> None:
    with filled(tmp_path / "db") as store:
        with pytest.raises(Conflict, match=text):
            store.load(change(world(OTHER)), at_ms=NOON_MS)
        assert store.worlds() == (LOADED,)
        store.load(world(OTHER), at_ms=NOON_MS)


# Money.

TOPPED_UP = SessionToppedUp(
    tenant=TENANT, booth=BOOTH, amount=Money(2_000_000, "EUR"), author="ana", at_ms=NOON_MS + 1, key="t1"
)


def test_a_start_finds_the_accounts_that_can_run_dry(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        deposit = SessionTerms(deposit=Money(5_000_000, "EUR"))
        for write in (
            replace(OPENED, booth="gate"),
            replace(OPENED, terms=deposit),
            LOCKED,
            CallSettled(cdr(session_id=2)),
        ):
            await store.commit(write)
        await store.commit(paid(0, Money(0, "EUR"), booth="gate"))

    with filled(tmp_path / "db") as store:
        running(store, work)
    with filled(tmp_path / "db") as store:
        store.load(world(OTHER), at_ms=NOON_MS)
        assert [
            (tenant, state.name, state.balance_micros, state.credit_limit_micros) for tenant, state in store.accounts()
        ] == [
            (TENANT, customer("zoe", "rhea"), 19_868_000, 5_000_000),
            (TENANT, customer("rhea", TENANT), 99_907_000, 0),
            (OTHER, customer("zoe", "rhea"), 20_000_000, 5_000_000),
            (OTHER, customer("rhea", OTHER), 100_000_000, 0),
            (TENANT, session_account(2, "zoe"), 4_710_000, 0),
        ]
        assert [(session.id, session.is_open, talked_ms) for session, talked_ms in store.unpaid_sessions()] == [
            (2, False, 62_000)
        ]


def test_talk_time_is_counted_once_whatever_was_corrected(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for write in (OPENED, CallSettled(cdr("c1")), CallSettled(cdr("c2", talk_ms=500))):
            await store.commit(write)
        await store.commit(CallSettled(replace(cdr("c1"), revision=1)))
        assert [talked_ms for _, talked_ms in store.unpaid_sessions()] == [62_500]

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_an_account_is_read_by_its_party(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        limit = LimitSet(tenant=TENANT, party="zoe", credit_limit=None, author="root", reason="trusted", at_ms=NOON_MS)
        assert (
            await store.commit(limit)
            == await store.account(TENANT, "zoe")
            == AccountState(
                name=OWNER, currency="EUR", balance_micros=20_000_000, credit_limit_micros=None, overdrawn=False
            )
        )
        with pytest.raises(UnknownParty):
            await store.account(TENANT, "nobody")
        with pytest.raises(UnknownAccount):
            await store.account(TENANT, TENANT)
        with pytest.raises(UnknownParty):
            await store.account(OTHER, "zoe")

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_transfers_come_newest_first_and_signed_as_their_account_sees_them(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for write in (OPENED, TOPPED_UP, replace(TOPPED_UP, key="t2"), CallSettled(cdr())):
            await store.commit(write)
        charged, *deposits = await store.transfers(TENANT, "session:1@zoe", 9)
        assert charged == {
            "key": "c1:0:0",
            "kind": "charge",
            "amount": "-0.29",
            "currency": "EUR",
            "other": "revenue:zoe",
            "author": "switch",
            "reason": "",
            "at": "2023-11-14T22:14:22.900Z",
        }
        assert [(row["key"], row["amount"], row["other"]) for row in deposits] == [
            ("topup:t2", "2.00", "till:corner"),
            ("topup:t1", "2.00", "till:corner"),
        ]
        assert [row["key"] for row in await store.transfers(TENANT, "session:1@zoe", 2)] == ["c1:0:0", "topup:t2"]
        assert [row["amount"] for row in await store.transfers(TENANT, "revenue:zoe", 9)] == ["0.29"]
        assert await store.transfers(OTHER, "session:1@zoe", 9) == []
        assert await store.transfers(TENANT, "' OR 1=1 --", 9) == []

    with filled(tmp_path / "db") as store:
        running(store, work)


# Across a restart.


def test_booths_are_as_last_acknowledged(tmp_path: Path) -> None:
    gate = replace(OPENED, booth="gate")

    async def work(store: Store) -> None:
        for write in (
            OPENED,
            gate,
            LOCKED,
            PartySuspended(tenant=TENANT, party="zoe", suspended=True, by=TENANT, author="root", at_ms=NOON_MS),
        ):
            await store.commit(write)

    with filled(tmp_path / "db") as store:
        running(store, work)
    with filled(tmp_path / "db") as store:
        assert [session.booth for session in store.open_sessions()] == ["gate"]
        (found,) = store.worlds()
        assert found.open_booths == {"gate"}
        assert [party.name for party in found.parties if party.suspended] == ["zoe"]


def test_dead_calls_come_with_the_last_heartbeat_of_their_process(tmp_path: Path) -> None:
    relayed = replace(live_call("c1", state="answered"), relayed_at_ms=NOON_MS, relayed_mono_ms=100)
    silent = replace(live_call("c2"), process="run-0", setup_at_ms=NOON_MS + 1)

    async def work(store: Store) -> None:
        store.submit(CallAnswered(TENANT, "c1", live_call("c1", state="answered")))
        store.submit(CallRelayed(TENANT, "c1", NOON_MS, 100))
        store.submit(CallStarted(TENANT, "c2", silent))
        await store.commit(Heartbeat("run-1", 5_000, NOON_MS + 4_900))

    with filled(tmp_path / "db") as store:
        running(store, work)
    with filled(tmp_path / "db", process="run-2") as store:
        assert store.dead_calls("run-2") == [(relayed, 5_000), (silent, None)]
        running(store, lambda store: store.commit(CallSettled(cdr("c1", session_id=7))))
    with filled(tmp_path / "db", process="run-3") as store:
        assert store.dead_calls("run-3") == [(silent, None)]


# The desk.


def test_a_token_is_found_by_its_hash(tmp_path: Path) -> None:
    with filled(tmp_path / "db") as store:
        for _ in range(2):
            store.add_token(TENANT, FRONT_DESK, "ana", NOON_MS)
        assert store.token("ab" * 32) == FRONT_DESK
        assert store.token("cd" * 32) is None


def test_a_revoked_token_stays_and_says_so(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.commit(TokenAdded(tenant=TENANT, token=FRONT_DESK, author="ana", at_ms=NOON_MS))
        for at_ms in (NOON_MS + 1, NOON_MS + 2):
            done = await store.commit(TokenRevoked(tenant=TENANT, id=FRONT_DESK.id, author="ana", at_ms=at_ms))
            assert done == replace(FRONT_DESK, revoked_at_ms=NOON_MS + 1)
        assert await store.tokens(TENANT) == [done]
        assert await store.tokens(OTHER) == []
        assert store.token("ab" * 32) == done
        with pytest.raises(UnknownToken, match="there is no token with the id 'abab'"):
            await store.commit(TokenRevoked(tenant=TENANT, id="abab", author="ana", at_ms=NOON_MS))

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_a_tenant_cannot_revoke_anothers_token(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        await store.commit(TokenAdded(tenant=TENANT, token=FRONT_DESK, author="ana", at_ms=NOON_MS))
        with pytest.raises(UnknownToken):
            await store.commit(TokenRevoked(tenant=OTHER, id=FRONT_DESK.id, author="eve", at_ms=NOON_MS))

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_a_booth_session_from_unlock_to_payment(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        assert await store.session(TENANT, BOOTH) is None
        assert await store.bill(TENANT, BOOTH) is None
        session = await store.commit(OPENED)
        assert await store.session(TENANT, BOOTH) == session
        for number, talk_ms in ((1, 62_000), (2, 0), (3, 1_000)):
            store.submit(CallSettled(cdr(f"c{number}", talk_ms=talk_ms)))
        store.submit(CallSettled(cdr("stranger", session_id=7)))
        bill = await store.bill(TENANT, BOOTH)
        assert bill is not None
        assert [line.call_id for line in bill.lines] == ["c1", "c3"]
        assert (bill.version, bill.total) == (2, Money(460_000, "EUR"))
        await store.commit(LOCKED)
        assert await store.bill(TENANT, BOOTH) == bill
        payment = await store.commit(paid(2, Money(500_000, "EUR")))
        assert payment.change == Money(40_000, "EUR")
        assert await store.session(TENANT, BOOTH) is None

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_the_bill_of_an_unknown_booth_is_no_bill(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for ask in (store.bill, store.session):
            with pytest.raises(UnknownBooth, match="b9"):
                await ask(TENANT, "b9")

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_cdrs_are_read_in_pages_while_more_come(tmp_path: Path) -> None:
    at_once = [replace(cdr(f"c{number}"), setup_at_ms=NOON_MS) for number in range(5)]

    async def work(store: Store) -> None:
        for settled in (*at_once, replace(at_once[2], revision=1)):
            store.submit(CallSettled(settled))
        seen: list[tuple[str, int]] = []
        after = None
        while found := await store.cdrs(TENANT, limit=2, after=after):
            seen += [(row["call_id"], row["revision"]) for row in found]
            after = CdrPlace(NOON_MS, *seen[-1])
            store.submit(CallSettled(replace(cdr(f"new{len(seen)}"), setup_at_ms=NOON_MS + 1)))
        assert seen == [("c0", 0), ("c1", 0), ("c2", 1), ("c2", 0), ("c3", 0), ("c4", 0)]
        assert [row["call_id"] for row in await store.cdrs(TENANT, limit=9, since_ms=NOON_MS + 1)] == [
            "new2",
            "new4",
            "new6",
        ]

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_transfers_are_read_in_pages(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        for key in "abc":  # all in one millisecond
            await store.commit(
                AccountMoved(
                    tenant=TENANT,
                    party="zoe",
                    kind=TransferKind.PAYMENT,
                    amount=Money(1_000_000, "EUR"),
                    author="ana",
                    reason="cash",
                    at_ms=NOON_MS,
                    key=key,
                    held_micros=0,
                )
            )
        everything = await store.transfers(TENANT, OWNER, 9)
        (first,) = await store.transfers(TENANT, OWNER, 1)
        rest = await store.transfers(TENANT, OWNER, 9, first["key"])
        assert [first, *rest] == everything
        with pytest.raises(UnknownPlace, match="no transfer of this account has the key 'nothing'"):
            await store.transfers(TENANT, OWNER, 9, "nothing")

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_cdrs_come_newest_first_and_as_they_were(tmp_path: Path) -> None:
    of_booth = [replace(cdr(f"c{number}"), setup_at_ms=NOON_MS + number) for number in (2, 0, 1)]
    of_gate = replace(cdr("g", talk_ms=0, booth="gate"), setup_at_ms=NOON_MS + 9, shop="kiosk")
    two_levels = replace(of_booth[0], charges=of_booth[0].charges * 2)

    async def work(store: Store) -> None:
        for settled in (two_levels, *of_booth[1:], of_gate, replace(of_booth[1], revision=1)):
            store.submit(CallSettled(settled))
        found = await store.cdrs(TENANT, limit=3)
        assert found == [of_gate.to_json(), two_levels.to_json(), of_booth[2].to_json()]
        assert [row["revision"] for row in await store.cdrs(TENANT, limit=9, booth=BOOTH)] == [0, 0, 1, 0]
        assert await store.cdrs(TENANT, limit=9, shops=["kiosk"]) == [of_gate.to_json()]
        assert await store.cdrs(TENANT, limit=9, shops={"kiosk"}, booth=BOOTH) == []
        assert await store.cdrs(OTHER, limit=9) == []

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_a_cdr_is_found_by_its_call_and_in_its_latest_revision(tmp_path: Path) -> None:
    async def work(store: Store) -> None:
        corrected = replace(cdr("c1", talk_ms=1_000), revision=1)
        for settled in (cdr("c1"), corrected, cdr("c2", talk_ms=0)):
            store.submit(CallSettled(settled))
        assert await store.cdr(TENANT, "c1") == corrected.to_json()
        assert await store.cdr(TENANT, "c2") == cdr("c2", talk_ms=0).to_json()
        assert await store.cdr(TENANT, "c3") is None
        assert await store.cdr(OTHER, "c1") is None

    with filled(tmp_path / "db") as store:
        running(store, work)


def test_a_name_is_never_sql(tmp_path: Path) -> None:
    name = "b'; DROP TABLE cdrs; --"

    async def work(store: Store) -> None:
        store.submit(CallSettled(cdr(booth=name)))
        assert [row["booth"] for row in await store.cdrs(TENANT, limit=9, booth=name)] == [name]
        assert await store.cdrs(TENANT, limit=9, booth="' OR 1=1 --") == []

    with filled(tmp_path / "db") as store:
        running(store, work)
