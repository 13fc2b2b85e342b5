"""What must be true after a chaos run, counted from outside: logs of foreigners, API, database (read only).

Every check gives the sentences that say what is wrong; none is good.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tests.wire.chaos.scene import Line

#: A call may be billed this much longer than the booth's log shows it, for what a log and a clock are apart.
TOLERANCE_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cdr:
    """A CDR, as far as it is looked at here."""

    call_id: str
    leg_a: str | None
    leg_b: str | None
    answered: bool
    talk_ms: int
    recovered: bool
    kind: str
    sip_status: int | None
    charges: tuple[int, ...]  # micro-units, by level


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Money that moved."""

    key: str
    debit: str
    credit: str
    micros: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What the database says after the run."""

    cdrs: tuple[Cdr, ...]
    transfers: tuple[Transfer, ...]  # in the order in which they were committed
    balances: Mapping[str, tuple[int, int | None]]  # of each account: balance and credit limit, in micro-units
    sums: Mapping[str, int]  # of all balances, by currency
    live_rows: int
    payments: Mapping[int, int]  # what each paid session paid
    session_charges: Mapping[int, int]  # what the calls of each session cost


def read_books(database: Path) -> Books:
    """Read the database; nothing is changed, a server may run on it."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        charges: defaultdict[str, list[int]] = defaultdict(list)
        for call_id, micros in db.execute("SELECT call_id, amount_micros FROM charges ORDER BY call_id, level"):
            charges[call_id].append(micros)
        cdrs = db.execute(
            "SELECT call_id, leg_a_call_id, leg_b_call_id, answered_at_ms IS NOT NULL, talk_ms, recovered, kind,"
            " sip_status FROM cdrs"
        )
        return Books(
            cdrs=tuple(
                Cdr(
                    call_id=call_id,
                    leg_a=leg_a,
                    leg_b=leg_b,
                    answered=bool(answered),
                    talk_ms=talk_ms,
                    recovered=bool(recovered),
                    kind=kind,
                    sip_status=status,
                    charges=tuple(charges[call_id]),
                )
                for call_id, leg_a, leg_b, answered, talk_ms, recovered, kind, status in cdrs
            ),
            transfers=tuple(
                Transfer(key=key, debit=debit, credit=credit, micros=micros)
                for key, debit, credit, micros in db.execute(
                    "SELECT key, debit, credit, amount_micros FROM transfers ORDER BY rowid"
                )
            ),
            balances={
                name: (balance, limit)
                for name, balance, limit in db.execute("SELECT name, balance_micros, credit_limit_micros FROM accounts")
            },
            sums=dict(db.execute("SELECT currency, sum(balance_micros) FROM accounts GROUP BY currency")),
            live_rows=db.execute("SELECT count(*) FROM calls").fetchone()[0],
            payments=dict(db.execute("SELECT session_id, total_micros FROM payments")),
            session_charges=dict(
                db.execute(
                    "SELECT cdrs.session_id, sum(charges.amount_micros) FROM charges JOIN cdrs USING (call_id)"
                    " WHERE charges.level = 0 GROUP BY cdrs.session_id"
                )
            ),
        )


@dataclass(slots=True)
class Heard:
    """What the foreigners' logs say of each Call-ID: seconds since the epoch."""

    answered_at: dict[str, float]  # when the first 200 of an INVITE came, or was sent by a carrier
    ended_at: dict[str, float]  # when the first BYE came or went
    ended_by_us: frozenset[str]  # to whom the server sent a BYE
    calls: int  # that were begun
    refusals: Counter[str]  # the first line's status, of what the booths' INVITEs were refused with


def heard(lines: Iterable[Line], *, by_booth: bool) -> Heard:
    """Read the logs of booths, to whom answers come, or of carriers, who send them.

    A carrier's emergency calls are left out: they wait for no disk, so that a crash may forget them.
    """
    answered: dict[str, float] = {}
    ended: dict[str, float] = {}
    by_us: set[str] = set()
    begun: set[str] = set()
    emergencies: set[str] = set()
    refusals: Counter[str] = Counter()
    for line in lines:
        if line.first.startswith("INVITE "):
            begun.add(line.call_id)
            if line.is_emergency and not by_booth:
                emergencies.add(line.call_id)
        elif line.method == "INVITE" and line.first[8:9] in "3456" and line.first[8:11] != "401" and not line.sent:
            refusals[line.first[8:11]] += 1
        if line.call_id in emergencies:
            continue
        if line.is_answer and line.sent is not by_booth:
            answered.setdefault(line.call_id, line.at)
        elif line.is_bye:
            ended.setdefault(line.call_id, line.at)
            if not line.sent:
                by_us.add(line.call_id)
    return Heard(answered, ended, frozenset(by_us), len(begun), refusals)


def answers_have_one_cdr(booths: Heard, books: Books) -> list[str]:
    """Every 200 that a booth saw has exactly one CDR, by its Call-ID."""
    counted = Counter(cdr.leg_a for cdr in books.cdrs)
    return [f"{call} was answered and has {counted[call]} CDRs" for call in booths.answered_at if counted[call] != 1]


def attempts_have_one_cdr_at_most(books: Books) -> list[str]:
    """No Call-ID of a booth has two CDRs, answered or not."""
    counted = Counter(cdr.leg_a for cdr in books.cdrs)
    return [f"{call} has {count} CDRs" for call, count in counted.items() if count > 1]


def carriers_are_told(carriers: Heard, books: Books) -> list[str]:
    """Every call that a carrier answered has a CDR or got our BYE."""
    known = {cdr.leg_b for cdr in books.cdrs} | carriers.ended_by_us
    return [f"{call} was answered by a carrier: no CDR, no BYE" for call in carriers.answered_at if call not in known]


def nobody_pays_too_much(booths: Heard, books: Books) -> list[str]:
    """No call is billed longer than it was, by the log of its booth, or without one."""
    wrong = []
    for cdr in books.cdrs:
        if cdr.kind == "emergency":
            continue
        if cdr.talk_ms == 0:
            if any(cdr.charges):
                wrong.append(f"{cdr.call_id} did not talk and pays {cdr.charges}")
            continue
        began = booths.answered_at.get(cdr.leg_a or "")
        if began is None:
            wrong.append(f"{cdr.call_id} talked for {cdr.talk_ms} ms, and its booth {cdr.leg_a} saw no answer")
            continue
        ended = booths.ended_at.get(cdr.leg_a or "")
        if ended is not None and cdr.talk_ms / 1000 > ended - began + TOLERANCE_S:
            wrong.append(f"{cdr.call_id} talked for {ended - began:.3f} s and is billed {cdr.talk_ms} ms")
    return wrong


def emergencies_are_free(books: Books, answered: int) -> list[str]:
    """Nobody pays for an emergency call, and some were answered."""
    wrong = [f"{cdr.call_id} is an emergency and pays" for cdr in books.cdrs if cdr.kind == "emergency" and cdr.charges]
    return wrong if answered else [*wrong, "no emergency call was answered"]


def no_limit_was_passed(books: Books) -> list[str]:
    """No account was ever below its limit, when its transfers are done again one by one."""
    wrong = []
    balances: defaultdict[str, int] = defaultdict(int)
    for transfer in books.transfers:
        balances[transfer.debit] -= transfer.micros
        balances[transfer.credit] += transfer.micros
        limit = books.balances.get(transfer.debit, (0, None))[1]
        if limit is not None and balances[transfer.debit] < -limit:
            wrong.append(f"{transfer.debit} stood at {balances[transfer.debit]} after {transfer.key}")
    wrong += [
        f"{name} has {balance}, its transfers come to {balances[name]}"
        for name, (balance, _) in books.balances.items()
        if balance != balances[name]
    ]
    return wrong


def books_are_balanced(books: Books) -> list[str]:
    """All balances of a currency come to nothing."""
    return [f"the balances in {currency} come to {micros}" for currency, micros in books.sums.items() if micros]


def every_level_paid_once(books: Books) -> list[str]:
    """Each charge of each CDR has moved its amount once."""
    moved = Counter(transfer.key for transfer in books.transfers)
    amounts = {transfer.key: transfer.micros for transfer in books.transfers}
    wrong = [f"{key} moved {count} times" for key, count in moved.items() if count > 1]
    for cdr in books.cdrs:
        for level, micros in enumerate(cdr.charges):
            if micros != amounts.get(f"{cdr.call_id}:{level}:0", 0):
                wrong.append(f"level {level} of {cdr.call_id} is charged {micros} and moved otherwise")
    return wrong


def acknowledged_money_is_there(acknowledged: Mapping[str, int], books: Books) -> list[str]:
    """What the API said was done is in the books: keys of transfers, with their micro-units.

    In the books a key has the name of the token that sent it in its middle.
    """
    amounts = {f"{kind}:{key}": moved.micros for moved in books.transfers for kind, *_, key in [moved.key.split(":")]}
    return [
        f"{key} over {micros} was acknowledged, the books have {amounts.get(key)}"
        for key, micros in acknowledged.items()
        if amounts.get(key) != micros
    ]


def paid_sessions_are_paid(acknowledged: Mapping[int, int], books: Books) -> list[str]:
    """A session that was paid has paid for all its calls, and what was acknowledged is what was written."""
    wrong = [
        f"session {session} paid {total}, its calls cost {books.session_charges.get(session, 0)}"
        for session, total in books.payments.items()
        if total != books.session_charges.get(session, 0)
    ]
    wrong += [
        f"session {session} was acknowledged as paid with {total}, the books have {books.payments.get(session)}"
        for session, total in acknowledged.items()
        if books.payments.get(session) != total
    ]
    return wrong


def booths_stand(acknowledged: Mapping[str, bool], booths: Sequence[Mapping[str, Any]]) -> list[str]:
    """Every booth is open or locked as the last command that was acknowledged has left it."""
    return [
        f"{booth['booth']} is {booth['state']}"
        for booth in booths
        if acknowledged.get(booth["booth"], booth["state"] == "open") != (booth["state"] == "open")
    ]


def nothing_is_held(parties: Sequence[Mapping[str, Any]], holds: float, books: Books) -> list[str]:
    """Nothing is held when no call is live, and no row of a live call is left."""
    wrong = [
        f"{party['party']} holds {party['held']}"
        for party in parties
        if (party["held"] is not None and Decimal(party["held"])) or party["live_calls"]
    ]
    if holds:
        wrong.append(f"{holds:.0f} holds are left")
    if books.live_rows:
        wrong.append(f"{books.live_rows} rows of live calls are left")
    return wrong


def given_away_s(booths: Heard, books: Books) -> list[float]:
    """The seconds that each call cut by a crash has talked and not paid for."""
    lost = []
    for cdr in books.cdrs:
        began, ended = (instants.get(cdr.leg_a or "") for instants in (booths.answered_at, booths.ended_at))
        if cdr.recovered and began is not None and ended is not None:
            lost.append(max(0.0, ended - began - cdr.talk_ms / 1000))
    return lost


@dataclass(frozen=True, slots=True)
class Stop:
    """Where the saboteur killed its process: before the statement `at` of a settlement, None: before its COMMIT."""

    at: int
    before: str | None


def stops_of(note: Path) -> list[Stop]:
    """What the saboteur wrote down."""
    lines = note.read_text().splitlines() if note.exists() else []
    return [Stop(found["at"], found["before"]) for found in map(json.loads, lines)]
