"""What is written of receipts on their way to paper: who wants one printed, who prints it, and what came of it.

Every job is printed at least once, and nothing twice unseen: a receipt that may have been on paper before is a copy,
and says which one. What an agent claims and never ends is given to the next, who prints a copy.
"""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import ClassVar, Final

from sqlalchemy import bindparam, case, func, select, update
from sqlalchemy.dialects.sqlite import insert

from sipshop.billing.errors import BadTerms
from sipshop.store.errors import UnknownPrintJob
from sipshop.store.rows import Row
from sipshop.store.schema import Statement, print_jobs
from sipshop.store.writes import note_in_log

#: After so long an agent that has not ended its job is taken to be gone.
LEASE_MS: Final = 120_000
#: So often a job is printed that breaks off half-way each time.
MOST_ATTEMPTS: Final = 3


class PrintState(StrEnum):
    """How far a job is."""

    WAITING = "waiting"
    CLAIMED = "claimed"  # by an agent, which prints it
    DONE = "done"
    FAILED = "failed"  # for good: a person may have it printed again


class GoesTo(StrEnum):
    """Where a receipt is printed."""

    PRINTER = "printer"  # that of the desk, which an agent feeds
    BROWSER = "browser"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintJob:
    """A receipt that is to be printed, or was.

    `copy` says how often it may have been on paper before this job: 0 is the original; None until an agent has claimed
    the job. `attempts` counts how often something of it may have come out. `why` says what went wrong last. Instants
    are UTC.
    """

    tenant: str
    shop: str
    id: int
    number: int
    language: str
    goes_to: GoesTo
    state: PrintState
    copy: int | None
    attempts: int
    claim: str | None
    claimed_at_ms: int | None
    printer: str | None
    why: str | None
    at_ms: int
    author: str
    key: str
    ended_at_ms: int | None


_of_shop = (print_jobs.c.tenant == bindparam("tenant"), print_jobs.c.shop == bindparam("shop"))
_ADD: Final = Statement(insert(print_jobs))
_CHANGE: Final = Statement(
    update(print_jobs)
    .where(
        print_jobs.c.tenant == bindparam("key_tenant"),
        print_jobs.c.shop == bindparam("key_shop"),
        print_jobs.c.id == bindparam("key_id"),
    )
    .values(
        {
            name: bindparam(name)
            for name in ("state", "copy", "attempts", "claim", "claimed_at_ms", "printer", "why", "ended_at_ms")
        }
    )
)
_OF_KEY: Final = Statement(
    select(print_jobs).where(print_jobs.c.tenant == bindparam("tenant"), print_jobs.c.key == bindparam("key"))
)
_LAST_ID: Final = Statement(select(func.coalesce(func.max(print_jobs.c.id), 0).label("last")).where(*_of_shop))
#: And no less than the number of the next copy: one of two that were under way may have come to nothing.
TIMES_PRINTED: Final = Statement(
    select(
        func.max(
            func.coalesce(func.sum(print_jobs.c.attempts), 0),
            func.coalesce(func.max(case((print_jobs.c.attempts > 0, print_jobs.c.copy + 1))), 0),
        ).label("printed")
    ).where(*_of_shop, print_jobs.c.number == bindparam("number"))
)
_OPEN: Final = Statement(
    select(print_jobs).where(*_of_shop, print_jobs.c.ended_at_ms.is_(None)).order_by(print_jobs.c.id)
)
JOB: Final = Statement(select(print_jobs).where(*_of_shop, print_jobs.c.id == bindparam("id")))
#: The newest jobs of a shop first.
JOBS: Final = Statement(
    select(print_jobs)
    .where(*_of_shop, print_jobs.c.id < bindparam("before_id"))
    .order_by(print_jobs.c.id.desc())
    .limit(bindparam("limit"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintAsked:
    """Somebody wants a receipt printed: by the printer of the desk, or by his browser, where it is on paper at once.

    `key` names the command: given again alike, it is found done.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    number: int
    language: str
    goes_to: GoesTo
    author: str
    at_ms: int
    key: str

    def apply(self, connection: sqlite3.Connection) -> PrintJob:
        """Return the job; raises BadTerms where the key is that of another one."""
        row = _OF_KEY.run(connection, {"tenant": self.tenant, "key": self.key}).fetchone()
        if row is not None:
            job = print_job_of(row)
            if (job.shop, job.number, job.goes_to) != (self.shop, self.number, self.goes_to):
                raise BadTerms(f"the key of this command is that of another one, for receipt {job.number}")
            return job
        of = {"tenant": self.tenant, "shop": self.shop}
        is_done = self.goes_to is GoesTo.BROWSER
        job = PrintJob(
            tenant=self.tenant,
            shop=self.shop,
            id=_LAST_ID.run(connection, of).fetchone()["last"] + 1,
            number=self.number,
            language=self.language,
            goes_to=self.goes_to,
            state=PrintState.DONE if is_done else PrintState.WAITING,
            copy=_printed(connection, self) if is_done else None,
            attempts=int(is_done),
            claim=None,
            claimed_at_ms=None,
            printer=None,
            why=None,
            at_ms=self.at_ms,
            author=self.author,
            key=self.key,
            ended_at_ms=self.at_ms if is_done else None,
        )
        _ADD.run(connection, asdict(job))
        note_in_log(
            connection,
            tenant=self.tenant,
            at_ms=self.at_ms,
            author=self.author,
            action="print",
            subject=self.shop,
            detail=f"receipt {self.number}, by the {self.goes_to}",
        )
        return job


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintClaimed:
    """An agent asks for the next job of a shop; `claim` is what it may end it by. Those that others left come first."""

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    printer: str
    claim: str
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> PrintJob | None:
        """Return the job, None where nobody wants anything printed."""
        for row in _OPEN.run(connection, {"tenant": self.tenant, "shop": self.shop}).fetchall():
            job = print_job_of(row)
            if job.state is PrintState.CLAIMED:
                if (job.claimed_at_ms or 0) > self.at_ms - LEASE_MS:
                    continue  # somebody is at it
                job = _given_back(connection, job, f"{job.printer} never said what came of it", self.at_ms)
                if job.state is PrintState.FAILED:
                    continue
            claimed = replace(
                job,
                state=PrintState.CLAIMED,
                copy=_printed(connection, job),
                attempts=job.attempts + 1,
                claim=self.claim,
                claimed_at_ms=self.at_ms,
                printer=self.printer,
            )
            _change(connection, claimed)
            return claimed
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintEnded:
    """An agent says what came of the job that it has: printed, or why not.

    Without `may_be_on_paper` nothing of it came out, so it is as if it had never been tried.
    """

    waited_for: ClassVar[bool] = True
    tenant: str
    shop: str
    id: int
    claim: str
    why: str | None
    may_be_on_paper: bool
    at_ms: int

    def apply(self, connection: sqlite3.Connection) -> PrintJob:
        """Return the job; raises UnknownPrintJob where the agent has it no more, or never had."""
        row = JOB.run(connection, {"tenant": self.tenant, "shop": self.shop, "id": self.id}).fetchone()
        job = None if row is None else print_job_of(row)
        if job is None or job.claim != self.claim:
            raise UnknownPrintJob(f"print job {self.id} is not this agent's, or not any more")
        if job.state is not PrintState.CLAIMED:
            return job  # said again
        if self.why is None:
            ended = replace(job, state=PrintState.DONE, why=None, ended_at_ms=self.at_ms)
            _change(connection, ended)
            return ended
        if not self.may_be_on_paper:
            job = replace(job, attempts=job.attempts - 1)
        return _given_back(connection, job, self.why, self.at_ms)


def _given_back(connection: sqlite3.Connection, job: PrintJob, why: str, at_ms: int) -> PrintJob:
    """Let the next agent have a job, unless it has spoiled enough paper."""
    is_over = job.attempts >= MOST_ATTEMPTS
    job = replace(
        job,
        state=PrintState.FAILED if is_over else PrintState.WAITING,
        why=why,
        ended_at_ms=at_ms if is_over else None,
    )
    _change(connection, job)
    return job


def _printed(connection: sqlite3.Connection, job: PrintJob | PrintAsked) -> int:
    """How often a receipt may be on paper already."""
    of = {"tenant": job.tenant, "shop": job.shop, "number": job.number}
    return int(TIMES_PRINTED.run(connection, of).fetchone()["printed"])


def _change(connection: sqlite3.Connection, job: PrintJob) -> None:
    key = {"key_tenant": job.tenant, "key_shop": job.shop, "key_id": job.id}
    _CHANGE.run(connection, {**asdict(job), **key})


def print_job_of(row: Row) -> PrintJob:
    """Read a job back."""
    values = {field.name: row[field.name] for field in fields(PrintJob)}
    return PrintJob(**values | {"goes_to": GoesTo(row["goes_to"]), "state": PrintState(row["state"])})
