"""The tables, once: everything that writes or reads SQL takes its names from here.

Money is INTEGER micro-units, a price INTEGER nano-units a minute, an instant INTEGER milliseconds since the Unix epoch
in UTC; a flag is 0 or 1. What only travels through the store (dialogs, tariffs, attempts) is JSON in TEXT.

`tenant` is the first column of every primary key, so that no statement can find a row without naming whose it is;
only those that belong to the installation (`meta`, `processes`, `farewells`, Alembic's own) have none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final

from sqlalchemy import (
    CheckConstraint,
    ClauseElement,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable, SchemaItem
from sqlalchemy.sql.compiler import SQLCompiler

SCHEMA_VERSION: Final = 9
"""What `meta` says of a database with the tables below; each version has its step in `migrations`."""
OLDEST_SCHEMA: Final = 2
"""The first version that is brought forward; what came before it is refused."""

DIALECT: Final = sqlite.dialect(paramstyle="qmark")
METADATA: Final = MetaData()


def _table(name: str, *parts: SchemaItem, is_rowid_table: bool = True) -> Table:
    # STRICT: without it SQLite would keep a float that was written into an INTEGER column, and money has none.
    return Table(name, METADATA, *parts, sqlite_strict=True, sqlite_with_rowid=is_rowid_table)


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _int(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, Integer, nullable=null)


def _flag(name: str) -> Column[int]:
    return Column(name, Integer, CheckConstraint(f"{name} IN (0, 1)"), nullable=False)


def _key(*columns: str) -> PrimaryKeyConstraint:
    return PrimaryKeyConstraint(*columns)


def _refers(columns: str, table: str, keys: str) -> ForeignKeyConstraint:
    return ForeignKeyConstraint(columns.split(), [f"{table}.{key}" for key in keys.split()])


def _refers_at_last(columns: str, table: str, keys: str) -> ForeignKeyConstraint:
    """A foreign key that is looked at when the transaction ends, so that parties load in the order of their file.

    For the world's tables alone: in the journal it would fail the COMMIT of a whole group.
    """
    there = [f"{table}.{key}" for key in keys.split()]
    return ForeignKeyConstraint(columns.split(), there, deferrable=True, initially="DEFERRED")


# The installation.

meta: Final = _table("meta", _text("key"), Column("value", LargeBinary, nullable=False), _key("key"))

# Alembic's own: the last migration that was run. What programs of every age compare is the version in `meta`.
alembic_version: Final = _table("alembic_version", _text("version_num"), _key("version_num"))

# One row a process that ran: its last heartbeat, on its own monotonic clock and in UTC.
processes: Final = _table("processes", _text("process"), _int("mono_ms"), _int("utc_ms"), _key("process"))

# One row a dialog of a call that is over, or was never wanted, whose BYE has no answer yet, and how many starts have
# found it.
farewells: Final = _table(
    "farewells",
    _text("call_id"),
    _text("local_tag"),
    _text("remote_tag"),
    _text("dialog"),
    _int("starts"),
    _key("call_id", "local_tag", "remote_tag"),
)

# The world: who sells to whom, where, by which prices and through whom. `position` keeps the order of the world's file.

parties: Final = _table(
    "parties",
    _text("tenant"),
    _text("name"),
    _int("position"),
    _text("kind"),
    _text("parent", null=True),
    _text("deck", null=True),
    _text("guard"),
    _text("suspender", null=True),
    _key("tenant", "name"),
    _refers_at_last("tenant parent", "parties", "tenant name"),
)

shops: Final = _table(
    "shops",
    _text("tenant"),
    _text("name"),
    _int("position"),
    _text("owner"),
    _text("deck"),
    _text("currency"),
    _text("realm"),
    _text("digest"),
    _text("numbers"),
    _text("caller_id"),
    _text("inbound"),
    _text("inbound_numbers"),
    _int("transfer"),
    _key("tenant", "name"),
    _refers("tenant owner", "parties", "tenant name"),
)

# A booth's name is its SIP user and one in the tenant.
booths: Final = _table(
    "booths",
    _text("tenant"),
    _text("name"),
    _int("position"),
    _text("shop"),
    _int("calls"),
    _text("auth"),
    _text("ip", null=True),
    _text("ha1"),
    _flag("disabled"),
    _text("caller_id"),
    _text("inbound_numbers"),
    _key("tenant", "name"),
    _refers("tenant shop", "shops", "tenant name"),
)

# The people of a party; an operator at the counter has a shop.
operators: Final = _table(
    "operators",
    _text("tenant"),
    _text("name"),
    _int("position"),
    _text("role"),
    _text("party"),
    _text("shop", null=True),
    _flag("suspended"),
    _key("tenant", "name"),
    _refers("tenant party", "parties", "tenant name"),
    _refers("tenant shop", "shops", "tenant name"),
)

# The tax on what a shop sells, or on what is sold to a party (`sold`: shop or party); what is not taxed has no row.
taxes: Final = _table(
    "taxes",
    _text("tenant"),
    _text("sold"),
    _text("place"),
    _int("position"),
    _text("terms"),
    _key("tenant", "sold", "place"),
)

# How the desk of a shop works (`desk:` of the world); one that says nothing has no row.
counters: Final = _table(
    "counters", _text("tenant"), _text("shop"), _int("position"), _text("terms"), _key("tenant", "shop")
)

# What one currency is in another, by day.
fx_pairs: Final = _table(
    "fx_pairs", _text("tenant"), _text("pair"), _int("position"), _text("terms"), _key("tenant", "pair")
)

# Every version that a deck ever had; the latest one is in force. A prefix may have several rates, for other times.

decks: Final = _table(
    "decks",
    _text("tenant"),
    _text("name"),
    _int("version"),
    _int("position"),
    _text("header"),
    _key("tenant", "name", "version"),
)

rates: Final = _table(
    "rates",
    _text("tenant"),
    _text("deck"),
    _int("version"),
    _text("prefix"),
    _int("position"),
    _text("destination"),
    _int("connect_fee_nanos"),
    _int("first_s"),
    _int("first_price_nanos"),
    _int("next_s"),
    _int("next_price_nanos"),
    _flag("forbidden"),
    _text("extras"),
    _key("tenant", "deck", "version", "position"),
    _refers("tenant deck version", "decks", "tenant name version"),
)

# Who made which version of a deck, by what and from which one (`base`), and since when it is in force, or is to be; one
# that was applied before there was this table has no row. `imported` says that no world's file has its rates.
deck_versions: Final = _table(
    "deck_versions",
    _text("tenant"),
    _text("deck"),
    _int("version"),
    _text("state"),
    _text("origin"),
    _int("base", null=True),
    _flag("imported"),
    _text("author"),
    _text("party"),
    _text("reason"),
    _text("source"),
    _int("made_at_ms"),
    _int("from_ms", null=True),
    _key("tenant", "deck", "version"),
)

# How the rate sheets of a carrier are read, a text in YAML; each party has its own.
sheet_mappings: Final = _table(
    "sheet_mappings",
    _text("tenant"),
    _text("party"),
    _text("name"),
    _text("mapping"),
    _text("author"),
    _int("at_ms"),
    _key("tenant", "party", "name"),
)

trunks: Final = _table(
    "trunks",
    _text("tenant"),
    _text("name"),
    _int("position"),
    _text("host"),
    _int("port"),
    _text("transport"),
    _flag("emergency"),
    _int("answer_timeout_s"),
    _int("first_response_timeout_s"),
    _text("carrier"),
    _text("deck"),
    _int("max_calls", null=True),
    _int("cps", null=True),
    _flag("disabled"),
    _text("terms"),
    _key("tenant", "name"),
)

routes: Final = _table(
    "routes",
    _text("tenant"),
    _text("party"),
    _text("prefix"),
    _int("position"),
    _text("choices"),
    _key("tenant", "party", "prefix"),
    _refers("tenant party", "parties", "tenant name"),
)

# What is watched of a party, a shop or a booth; how a rule of it stands by a call or a person; and when a shop has last
# called what begins with some digits.
limits: Final = _table(
    "limits",
    _text("tenant"),
    _text("place"),
    _text("name"),
    _int("position"),
    _text("terms"),
    _key("tenant", "place", "name"),
)

limit_stands: Final = _table(
    "limit_stands",
    _text("tenant"),
    _text("place"),
    _text("name"),
    _text("rule"),
    _text("prefix"),
    _text("standing"),
    _int("since_ms"),
    _int("until_ms", null=True),
    _key("tenant", "place", "name", "rule", "prefix"),
)

called: Final = _table(
    "called", _text("tenant"), _text("shop"), _text("digits"), _int("at_ms"), _key("tenant", "shop", "digits")
)

# What people were told of; `party` and, where it is about one, `shop` say who sees it. The newest are kept.
alerts: Final = _table(
    "alerts",
    _text("tenant"),
    _int("id"),
    _int("raised_at_ms"),
    _text("kind"),
    _text("action"),
    _text("place"),
    _text("name"),
    _text("party"),
    _text("shop", null=True),
    _text("rule"),
    _text("prefix"),
    _text("detail"),
    _int("healed_at_ms", null=True),
    _int("acked_at_ms", null=True),
    _text("acked_by", null=True),
    _key("tenant", "id"),
)

# Money. An account has no row until something is posted to it, unless it has a limit; a missing limit is no limit.
# `overdrawn` says that an adjustment took more than there was. Transfers are appended and never touched: see TRIGGERS.

accounts: Final = _table(
    "accounts",
    _text("tenant"),
    _text("name"),
    _text("currency"),
    _int("balance_micros"),
    _int("credit_limit_micros", null=True),
    _flag("overdrawn"),
    _key("tenant", "name", "currency"),
)

transfers: Final = _table(
    "transfers",
    _text("tenant"),
    _text("key"),
    _text("kind"),
    _text("debit"),
    _text("credit"),
    _text("currency"),
    Column("amount_micros", Integer, CheckConstraint("amount_micros >= 0"), nullable=False),
    _text("author"),
    _text("reason"),
    _int("at_ms"),
    _key("tenant", "key"),
    Index("transfers_by_debit", "tenant", "debit", "at_ms"),
    Index("transfers_by_credit", "tenant", "credit", "at_ms"),
)

# The desk.

# A token is found by its hash alone, and the row tells the tenant. It opens what is below its party, or one shop of it.
# Those that were revoked stay: the log names them. One of a person (`operator`) ends with what he is in the world.
tokens: Final = _table(
    "tokens",
    _text("tenant"),
    _text("sha256"),
    _text("role"),
    _text("party"),
    _text("shop", null=True),
    _text("label"),
    _int("created_at_ms"),
    _int("expires_at_ms", null=True),
    _int("revoked_at_ms", null=True),
    _text("operator", null=True),
    _key("tenant", "sha256"),
    UniqueConstraint("sha256"),
)

# How a person of the world comes in by the pages. It refers to no operator: who is gone from his world is not let in,
# and who comes back to it has his password still. `totp_step` is the last one whose code was used.
logins: Final = _table(
    "logins",
    _text("tenant"),
    _text("operator"),
    _text("password"),
    _text("totp", null=True),
    _int("totp_step"),
    _text("language"),
    _int("changed_at_ms"),
    _key("tenant", "operator"),
)

# Who is in: found by the hash of his cookie alone, and the row tells the tenant. One that has ended has no row.
web_sessions: Final = _table(
    "web_sessions",
    _text("tenant"),
    _text("sha256"),
    _text("operator"),
    _int("created_at_ms"),
    _int("seen_at_ms"),
    _key("tenant", "sha256"),
    UniqueConstraint("sha256"),
)

# A screen for customers: found by the hash of its link's key alone, and the row tells what it shows: a booth of a shop,
# or all of them. One that was taken away has no row. It refers to no shop: one that comes back has its screens still.
screens: Final = _table(
    "screens",
    _text("tenant"),
    _text("sha256"),
    _text("shop"),
    _text("booth", null=True),
    _text("language"),
    _text("label"),
    _text("author"),
    _int("created_at_ms"),
    _key("tenant", "sha256"),
    UniqueConstraint("sha256"),
)

booth_sessions: Final = _table(
    "booth_sessions",
    _text("tenant"),
    _int("id"),
    _text("booth"),
    _text("owner"),
    _int("opened_at_ms"),
    _text("opened_by"),
    _int("version"),
    _int("closed_at_ms", null=True),
    _flag("paid"),
    _int("deposit_micros"),
    _int("credit_limit_micros", null=True),
    _int("talk_limit_ms", null=True),
    _key("tenant", "id"),
    _refers("tenant booth", "booths", "tenant name"),
    # A booth has one session that is not paid, open or locked; the second would hide the first one's calls.
    Index("one_unpaid_session", "tenant", "booth", unique=True, sqlite_where=text("paid = 0")),
)

# What the operator wrote down about a booth session.
session_notes: Final = _table(
    "session_notes",
    _text("tenant"),
    _int("session_id"),
    _text("note"),
    _text("author"),
    _int("at_ms"),
    _key("tenant", "session_id"),
    _refers("tenant session_id", "booth_sessions", "tenant id"),
)

# Emergency calls, each until somebody at the desk says that he has seen it. They refer to nothing, as calls do.
alarms: Final = _table(
    "alarms",
    _text("tenant"),
    _text("call_id"),
    _text("shop"),
    _text("booth"),
    _text("dialled"),
    _int("at_ms"),
    _int("acknowledged_at_ms", null=True),
    _text("acknowledged_by", null=True),
    _key("tenant", "call_id"),
    Index("open_alarms", "tenant", "at_ms", sqlite_where=text("acknowledged_at_ms IS NULL")),
)

payments: Final = _table(
    "payments",
    _text("tenant"),
    _int("session_id"),
    _int("version"),
    _text("currency"),
    _int("total_micros"),
    _int("deposit_micros"),
    _int("tendered_micros"),
    _int("change_micros"),
    _text("author"),
    _int("at_ms"),
    _key("tenant", "session_id"),
    _refers("tenant session_id", "booth_sessions", "tenant id"),
)

# What a payment was taxed at, one row for each rate.
payment_taxes: Final = _table(
    "payment_taxes",
    _text("tenant"),
    _int("session_id"),
    _int("number"),
    _text("tax"),
    _text("currency"),
    _int("net_micros"),
    _int("tax_micros"),
    _int("gross_micros"),
    _key("tenant", "session_id", "number"),
    _refers("tenant session_id", "payments", "tenant session_id"),
)

# What came on the bill of a booth session besides calls, and when it went, by the versions of the bill. `key` names the
# command; what an item came to stands there when the bill is paid.
bill_items: Final = _table(
    "bill_items",
    _text("tenant"),
    _int("session_id"),
    _int("number"),
    _text("kind"),
    _text("text"),
    _text("currency"),
    _int("quantity"),
    _int("unit_micros", null=True),
    _text("tax", null=True),
    _int("amount_micros", null=True),
    _int("percent_ppm", null=True),
    _int("most_ppm", null=True),
    _text("call_id", null=True),
    _int("item", null=True),
    _text("author"),
    _int("at_ms"),
    _text("key"),
    _int("added"),
    _int("removed", null=True),
    _text("removed_by", null=True),
    _int("removed_at_ms", null=True),
    _int("came_to_micros", null=True),
    _key("tenant", "session_id", "number"),
    UniqueConstraint("tenant", "key"),
    _refers("tenant session_id", "booth_sessions", "tenant id"),
)

# The receipts of a shop, numbered in the order in which its bills were paid; append-only. `receipt` is all of it, as
# JSON.
receipts: Final = _table(
    "receipts",
    _text("tenant"),
    _text("shop"),
    _int("number"),
    _int("session_id"),
    _int("at_ms"),
    _text("author"),
    _text("receipt"),
    _text("sha256"),
    _key("tenant", "shop", "number"),
    UniqueConstraint("tenant", "session_id"),
    _refers("tenant session_id", "payments", "tenant session_id"),
)

# The till. A shift is one person's turn at the drawer of a shop; a shop's are numbered from 1 on, without a gap. `key`
# names the command that opened it. A person has one that is open in a shop, at most.
shifts: Final = _table(
    "shifts",
    _text("tenant"),
    _text("shop"),
    _int("number"),
    _text("operator"),
    _text("currency"),
    _int("float_micros"),
    _int("opened_at_ms"),
    _int("closed_at_ms", null=True),
    _text("key"),
    _key("tenant", "shop", "number"),
    UniqueConstraint("tenant", "key"),
    Index("one_open_shift", "tenant", "shop", "operator", unique=True, sqlite_where=text("closed_at_ms IS NULL")),
)

# All that moved at the till of a shop, in order from 1 on and without a gap; append-only. What a transfer moved there
# has its key. `shift` is that of whoever moved it, null where he had none; an amount below zero went out.
till_moves: Final = _table(
    "till_moves",
    _text("tenant"),
    _text("shop"),
    _int("number"),
    _text("key"),
    _text("method"),
    _int("shift", null=True),
    _text("kind"),
    _text("currency"),
    _int("amount_micros"),
    _text("author"),
    _text("reason"),
    _int("at_ms"),
    _key("tenant", "shop", "number"),
    UniqueConstraint("tenant", "key", "method"),
    Index("till_moves_by_shift", "tenant", "shop", "shift"),
)

# Counts of a drawer in the middle of a shift, with what was expected in it; append-only.
till_counts: Final = _table(
    "till_counts",
    _text("tenant"),
    _text("shop"),
    _int("shift"),
    _int("number"),
    _text("key"),
    _text("pieces"),
    _int("counted_micros"),
    _int("expected_micros"),
    _text("author"),
    _int("at_ms"),
    _key("tenant", "shop", "shift", "number"),
    UniqueConstraint("tenant", "key"),
)

# The Z report of each shift that is closed, numbered in the order of closing; append-only. `document` is all of it,
# `last_move` the till's newest movement by then: what moved outside all shifts is in the next report.
z_reports: Final = _table(
    "z_reports",
    _text("tenant"),
    _text("shop"),
    _int("number"),
    _int("shift"),
    _text("operator"),
    _text("currency"),
    _int("expected_micros"),
    _int("counted_micros"),
    _int("outside_micros"),
    _int("last_move"),
    _text("author"),
    _int("at_ms"),
    _text("document"),
    _text("sha256"),
    _key("tenant", "shop", "number"),
    UniqueConstraint("tenant", "shop", "shift"),
)

# Who did what to which booth or party; append-only.
desk_log: Final = _table(
    "desk_log",
    _text("tenant"),
    _int("id"),
    _int("at_ms"),
    _text("author"),
    _text("action"),
    _text("subject"),
    _text("detail"),
    _key("tenant", "id"),
)

# Calls. Neither table refers to the world: what happened stays, whatever becomes of booths and decks.

# The journal of live calls: a row from the first INVITE until the CDR takes its place, in one transaction.
calls: Final = _table(
    "calls",
    _text("tenant"),
    _text("call_id"),
    _text("process"),
    _text("state"),
    _text("shop"),
    _text("booth"),
    _int("session_id", null=True),
    _text("kind"),
    _text("dialled"),
    _text("e164", null=True),
    _text("destination", null=True),
    _int("setup_at_ms"),
    _text("trunk", null=True),
    _text("attempts"),
    _text("leg_a_call_id"),
    _text("leg_b_call_id", null=True),
    _text("parties"),
    _text("dialog_a", null=True),
    _text("dialog_b", null=True),
    _int("pdd_ms", null=True),
    _int("relayed_at_ms", null=True),
    _int("relayed_mono_ms", null=True),
    _int("granted_ms", null=True),
    _text("direction"),
    _key("tenant", "call_id"),
)

# Rowid tables, as SQLite has them unless told otherwise: rows are appended, only the small index is hit at random.
cdrs: Final = _table(
    "cdrs",
    _text("tenant"),
    _text("call_id"),
    _int("revision"),
    _text("kind"),
    _text("direction"),
    _text("shop"),
    _text("booth"),
    _int("session_id", null=True),
    _text("dialled"),
    _text("e164", null=True),
    _text("destination", null=True),
    _int("setup_at_ms"),
    _int("answered_at_ms", null=True),
    _int("ended_at_ms"),
    _int("pdd_ms", null=True),
    _int("talk_ms"),
    _text("result"),
    _int("sip_status", null=True),
    _int("q850", null=True),
    _text("hung_up_by", null=True),
    _text("trunk", null=True),
    _text("attempts"),
    _text("leg_a_call_id", null=True),
    _text("leg_b_call_id", null=True),
    _flag("recovered"),
    _key("tenant", "call_id", "revision"),
    Index("cdrs_by_time", "tenant", "setup_at_ms"),
    Index("cdrs_by_session", "tenant", "session_id", sqlite_where=text("session_id IS NOT NULL")),
)

# Where the phones of a booth are reached. It refers to no booth: a booth that is gone must not fail a group's COMMIT.
bindings: Final = _table("bindings", _text("tenant"), _text("booth"), _text("held"), _key("tenant", "booth"))

# How far each work of the retention has come: all that was set up before `until_ms` is done.
retention: Final = _table("retention", _text("tenant"), _text("work"), _int("until_ms"), _key("tenant", "work"))

# What each relation pays for a CDR; level 0 is the booth's customer, the last one is what the carrier gets. `tariff` is
# all that the arithmetic needs again. `bill_version` is the version that the booth session's bill reached by it; the
# other levels are on no bill.
charges: Final = _table(
    "charges",
    _text("tenant"),
    _text("call_id"),
    _int("revision"),
    _int("level"),
    _text("seller"),
    _text("buyer"),
    _text("currency"),
    _int("amount_micros"),
    _int("duration_s"),
    _int("billed_s"),
    _text("tariff"),
    _text("lines"),
    _int("bill_version", null=True),
    _key("tenant", "call_id", "revision", "level"),
)

# Reratings that were begun, by the names that people gave them, and which of them made a revision of a call.
rerating_batches: Final = _table(
    "rerating_batches",
    _text("tenant"),
    _text("id"),
    _text("asked"),
    _text("author"),
    _text("reason"),
    _int("begun_at_ms"),
    _int("done_at_ms", null=True),
    _key("tenant", "id"),
)

rerated: Final = _table(
    "rerated",
    _text("tenant"),
    _text("call_id"),
    _int("revision"),
    _text("batch"),
    _key("tenant", "call_id", "revision"),
)

# Who a party is on paper, and how it numbers the invoices that it writes.
letterheads: Final = _table(
    "letterheads",
    _text("tenant"),
    _text("party"),
    _int("position"),
    _text("terms"),
    _key("tenant", "party"),
)

# Periods that are closed, each with the invoice that it was closed by; append-only. A transfer is in it that is dated
# before `until_ms`, was there when it was closed (its rowid is not above `last_transfer`), and is in none before it.
# `document` is all that is printed, as JSON.
invoices: Final = _table(
    "invoices",
    _text("tenant"),
    _text("seller"),
    _text("series"),
    _int("number"),
    _text("name"),
    _text("buyer"),
    _text("currency"),
    _int("from_ms"),
    _int("until_ms"),
    _int("last_transfer"),
    _int("opening_micros"),
    _int("net_micros"),
    _int("tax_micros"),
    _int("closing_micros"),
    _int("closed_at_ms"),
    _text("author"),
    _text("document"),
    _text("sha256"),
    _key("tenant", "seller", "series", "number"),
    UniqueConstraint("tenant", "seller", "name"),
    UniqueConstraint("tenant", "buyer", "seller", "until_ms"),
)

# The outbox: every revision of a CDR, numbered in the order in which they were written, in each tenant from 1 and
# without a gap. TRIGGERS fill it, in the transaction that writes the CDR, whoever that is. `gone` says that the CDR was
# removed since, when its time had come.
outbox: Final = _table(
    "outbox",
    _text("tenant"),
    _int("number"),
    _text("call_id"),
    _int("revision"),
    _flag("gone"),
    _key("tenant", "number"),
    UniqueConstraint("tenant", "call_id", "revision"),
    is_rowid_table=False,
)

# How far each target of the export is: all that is numbered after `first` and up to `taken` was delivered, skipped, or
# parked because it was refused.
export_targets: Final = _table(
    "export_targets",
    _text("tenant"),
    _text("target"),
    _int("first"),
    _int("taken"),
    _int("delivered"),
    _int("skipped"),
    _key("tenant", "target"),
)

# What a target refused by itself. `is_due` says that it shall be tried once more.
export_parked: Final = _table(
    "export_parked",
    _text("tenant"),
    _text("target"),
    _int("number"),
    _text("why"),
    _int("at_ms"),
    _flag("is_due"),
    _key("tenant", "target", "number"),
)

# One row a time that a receipt is to be printed: by the printer of its shop's desk, which an agent feeds (`printer`),
# or by a browser, which is done when it is written (`browser`). `copy` counts how often the receipt may have been
# printed before; None until it is known, when an agent claims the job. `claim` is what an agent that has it may end it
# by. `attempts` counts the times that something of it may have come out on paper.
print_jobs: Final = _table(
    "print_jobs",
    _text("tenant"),
    _text("shop"),
    _int("id"),
    _int("number"),
    _text("language"),
    _text("goes_to"),
    _text("state"),
    _int("copy", null=True),
    _int("attempts"),
    _text("claim", null=True),
    _int("claimed_at_ms", null=True),
    _text("printer", null=True),
    _text("why", null=True),
    _int("at_ms"),
    _text("author"),
    _text("key"),
    _int("ended_at_ms", null=True),
    _key("tenant", "shop", "id"),
    UniqueConstraint("tenant", "key"),
    Index("waiting_print_jobs", "tenant", "shop", "id", sqlite_where=text("ended_at_ms IS NULL")),
    Index("printed_receipts", "tenant", "shop", "number"),
)


#: What keeps a transfer, an invoice, a receipt and what a till tells as they were written, and a CDR's place in the
#: outbox, by the name of the trigger.
TRIGGERS: Final[Mapping[str, str]] = {
    "transfers_do_not_change": (
        "CREATE TRIGGER transfers_do_not_change BEFORE UPDATE ON transfers"
        " BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END"
    ),
    "transfers_do_not_go": (
        "CREATE TRIGGER transfers_do_not_go BEFORE DELETE ON transfers"
        " BEGIN SELECT RAISE(ABORT, 'transfers are append-only'); END"
    ),
    "invoices_do_not_change": (
        "CREATE TRIGGER invoices_do_not_change BEFORE UPDATE ON invoices"
        " BEGIN SELECT RAISE(ABORT, 'invoices are append-only'); END"
    ),
    "invoices_do_not_go": (
        "CREATE TRIGGER invoices_do_not_go BEFORE DELETE ON invoices"
        " BEGIN SELECT RAISE(ABORT, 'invoices are append-only'); END"
    ),
    "receipts_do_not_change": (
        "CREATE TRIGGER receipts_do_not_change BEFORE UPDATE ON receipts"
        " BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END"
    ),
    "receipts_do_not_go": (
        "CREATE TRIGGER receipts_do_not_go BEFORE DELETE ON receipts"
        " BEGIN SELECT RAISE(ABORT, 'receipts are append-only'); END"
    ),
    "till_moves_do_not_change": (
        "CREATE TRIGGER till_moves_do_not_change BEFORE UPDATE ON till_moves"
        " BEGIN SELECT RAISE(ABORT, 'movements of a till are append-only'); END"
    ),
    "till_moves_do_not_go": (
        "CREATE TRIGGER till_moves_do_not_go BEFORE DELETE ON till_moves"
        " BEGIN SELECT RAISE(ABORT, 'movements of a till are append-only'); END"
    ),
    "till_counts_do_not_change": (
        "CREATE TRIGGER till_counts_do_not_change BEFORE UPDATE ON till_counts"
        " BEGIN SELECT RAISE(ABORT, 'counts of a till are append-only'); END"
    ),
    "till_counts_do_not_go": (
        "CREATE TRIGGER till_counts_do_not_go BEFORE DELETE ON till_counts"
        " BEGIN SELECT RAISE(ABORT, 'counts of a till are append-only'); END"
    ),
    "z_reports_do_not_change": (
        "CREATE TRIGGER z_reports_do_not_change BEFORE UPDATE ON z_reports"
        " BEGIN SELECT RAISE(ABORT, 'Z reports are append-only'); END"
    ),
    "z_reports_do_not_go": (
        "CREATE TRIGGER z_reports_do_not_go BEFORE DELETE ON z_reports"
        " BEGIN SELECT RAISE(ABORT, 'Z reports are append-only'); END"
    ),
    "cdrs_are_numbered": (
        "CREATE TRIGGER cdrs_are_numbered AFTER INSERT ON cdrs BEGIN"
        " INSERT INTO outbox (tenant, number, call_id, revision, gone)"
        " SELECT NEW.tenant, coalesce(max(number), 0) + 1, NEW.call_id, NEW.revision, 0"
        " FROM outbox WHERE tenant = NEW.tenant; END"
    ),
    "cdrs_keep_their_number": (
        "CREATE TRIGGER cdrs_keep_their_number AFTER DELETE ON cdrs BEGIN"
        " UPDATE outbox SET gone = 1"
        " WHERE tenant = OLD.tenant AND call_id = OLD.call_id AND revision = OLD.revision; END"
    ),
}


class Statement:
    """A statement of SQLAlchemy Core, compiled once to the text that SQLite reads.

    Values are bound in the order of `text`'s question marks, those that the statement itself was built with among them;
    none is ever written into the text.
    """

    __slots__ = ("_constants", "_in_order", "text")

    def __init__(self, clause: ClauseElement) -> None:
        compiled = clause.compile(dialect=DIALECT)
        assert isinstance(compiled, SQLCompiler), "a statement, not a schema item"
        self.text = str(compiled)
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}
        self._in_order = _in_order(compiled.positiontup or [])

    def bound(self, values: Mapping[str, object]) -> tuple[object, ...]:
        """All that `text` needs, in order, from what changes with each use."""
        return self._in_order({**self._constants, **values} if self._constants else values)

    def run(self, connection: sqlite3.Connection, values: Mapping[str, Any]) -> sqlite3.Cursor:
        """Execute on a connection of the sqlite3 module."""
        return connection.execute(self.text, self.bound(values))

    def run_many(self, connection: sqlite3.Connection, rows: Iterable[Mapping[str, Any]]) -> None:
        """Execute once a row; prepared once."""
        connection.executemany(self.text, map(self.bound, rows))


def _in_order(names: Sequence[str]) -> Callable[[Mapping[str, object]], tuple[object, ...]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: tuple(values[name] for name in names)


def table_statements(table: Table) -> list[str]:
    """What makes a table and its indexes, in the order to run it."""
    indexes = sorted(table.indexes, key=str)
    return [
        str(CreateTable(table).compile(dialect=DIALECT)),
        *(str(CreateIndex(index).compile(dialect=DIALECT)) for index in indexes),
    ]


def schema_statements() -> list[str]:
    """What makes the tables and triggers in an empty database, in the order to run it."""
    made = [statement for table in METADATA.sorted_tables for statement in table_statements(table)]
    return [*made, *TRIGGERS.values()]
