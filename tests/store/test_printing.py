"""A receipt that is to be printed is printed at least once, and never a second time without saying so."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sipshop.billing.errors import BadTerms
from sipshop.store import GoesTo, PrintAsked, PrintClaimed, PrintEnded, PrintJob, PrintState, UnknownPrintJob
from sipshop.store.printing import LEASE_MS, MOST_ATTEMPTS
from sipshop.store.schema import desk_log, print_jobs, table_statements
from tests.store.examples import TENANT

SHOP: Final = "center"


class Queue:
    """The jobs of a shop, with a clock of their own."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.row_factory = sqlite3.Row
        for statement in (*table_statements(print_jobs), *table_statements(desk_log)):
            self.connection.execute(statement)
        self.at_ms = 1_000_000
        self.claims = 0

    def ask(self, number: int = 1, key: str = "", **more: Any) -> PrintJob:
        self.at_ms += 1
        terms: dict[str, Any] = {"language": "fr", "goes_to": GoesTo.PRINTER, "author": "ana"} | more
        key = key or f"k{self.at_ms}"
        asked = PrintAsked(tenant=TENANT, shop=SHOP, number=number, key=key, at_ms=self.at_ms, **terms)
        return asked.apply(self.connection)

    def claim(self, shop: str = SHOP) -> PrintJob | None:
        self.claims += 1
        claimed = PrintClaimed(tenant=TENANT, shop=shop, printer="p", claim=f"c{self.claims}", at_ms=self.at_ms)
        return claimed.apply(self.connection)

    def take(self) -> PrintJob:
        job = self.claim()
        assert job is not None
        return job

    def end(
        self, job: PrintJob, why: str | None = None, *, on_paper: bool = True, claim: str | None = None
    ) -> PrintJob:
        ended = PrintEnded(
            tenant=TENANT,
            shop=SHOP,
            id=job.id,
            claim=claim or job.claim or "",
            why=why,
            may_be_on_paper=on_paper,
            at_ms=self.at_ms,
        )
        return ended.apply(self.connection)


@pytest.fixture
def queue() -> Queue:
    return Queue()


def test_the_oldest_job_comes_first_and_the_first_print_is_the_original(queue: Queue) -> None:
    first, second = queue.ask(1), queue.ask(2)
    assert [(job.id, job.number, job.copy) for job in (queue.take(), queue.take())] == [
        (first.id, 1, 0),
        (second.id, 2, 0),
    ]
    assert queue.claim() is None


def test_whoever_prints_again_prints_a_copy(queue: Queue) -> None:
    queue.ask()
    queue.end(queue.take())
    queue.ask()
    queue.ask(goes_to=GoesTo.BROWSER)
    assert queue.take().copy == 2
    assert queue.ask(goes_to=GoesTo.BROWSER).copy == 3


def test_what_a_browser_prints_is_printed_when_it_is_asked_for(queue: Queue) -> None:
    job = queue.ask(goes_to=GoesTo.BROWSER)
    assert (job.state, job.copy, job.attempts) == (PrintState.DONE, 0, 1)
    assert queue.claim() is None


def test_an_agent_that_dies_gives_its_job_back_and_the_next_prints_a_copy(queue: Queue) -> None:
    queue.ask()
    dead = queue.take()
    queue.at_ms += LEASE_MS - 1
    assert queue.claim() is None
    queue.at_ms += 1
    job = queue.take()
    assert (job.id, job.copy, job.why) == (dead.id, 1, "p never said what came of it")
    with pytest.raises(UnknownPrintJob, match="print job 1 is not this agent's, or not any more"):
        queue.end(dead)
    assert queue.end(job).state is PrintState.DONE


def test_a_job_of_which_nothing_came_out_was_never_tried(queue: Queue) -> None:
    queue.ask()
    for _ in range(2 * MOST_ATTEMPTS):
        job = queue.end(queue.take(), "no paper", on_paper=False)
        assert (job.state, job.attempts, job.why) == (PrintState.WAITING, 0, "no paper")
    assert queue.take().copy == 0


def test_a_job_that_spoils_paper_is_given_up(queue: Queue) -> None:
    queue.ask()
    copies = []
    for _ in range(MOST_ATTEMPTS):
        copies.append(queue.take())
        ended = queue.end(copies[-1], "cable")
    assert [job.copy for job in copies] == list(range(MOST_ATTEMPTS))
    assert (ended.state, ended.why) == (PrintState.FAILED, "cable")
    assert queue.claim() is None


def test_what_is_said_twice_is_heard_once(queue: Queue) -> None:
    queue.ask()
    job = queue.take()
    done = queue.end(job)
    queue.at_ms += 5
    assert queue.end(job) == done
    assert queue.end(job, "too late") == done


def test_a_command_that_is_repeated_is_done_once_and_its_key_is_its_own(queue: Queue) -> None:
    assert queue.ask(1, key="k") == queue.ask(1, key="k")
    with pytest.raises(BadTerms, match="the key of this command is that of another one, for receipt 1"):
        queue.ask(2, key="k")
    queue.take()
    assert queue.claim() is None


def test_nobody_ends_a_job_with_the_claim_of_another(queue: Queue) -> None:
    queue.ask()
    job = queue.take()
    with pytest.raises(UnknownPrintJob):
        queue.end(job, claim="guessed")


def test_an_agent_gets_the_jobs_of_its_own_shop(queue: Queue) -> None:
    queue.ask()
    assert queue.claim("corner") is None


def test_who_wanted_something_printed_stands_in_the_log(queue: Queue) -> None:
    queue.ask(7)
    row = queue.connection.execute("SELECT author, action, subject, detail FROM desk_log").fetchone()
    assert tuple(row) == ("ana", "print", SHOP, "receipt 7, by the printer")


@given(st.lists(st.sampled_from(["ask", "browser", "claim", "done", "spoilt", "nothing", "later"]), max_size=25))
@settings(max_examples=60, deadline=None)
@example(["ask", "ask", "claim", "claim", "nothing", "claim", "done", "done"])
def test_every_paper_of_a_receipt_tells_another_number(steps: list[str]) -> None:
    """However agents die and printers fail: whatever may be on paper has a mark that no other paper of it has."""
    queue, held, papers = Queue(), list[PrintJob](), list[int]()
    for step in steps:
        if step in {"ask", "browser"}:
            job = queue.ask(goes_to=GoesTo.BROWSER if step == "browser" else GoesTo.PRINTER)
            papers += [job.copy] if job.copy is not None else []
        elif step == "claim":
            claimed = queue.claim()
            held += [claimed] if claimed is not None else []
        elif step == "later":
            queue.at_ms += LEASE_MS
        elif held:
            job = held.pop(0)
            with suppress(UnknownPrintJob):  # it may be too late: another has it
                queue.end(job, None if step == "done" else step, on_paper=step != "nothing")
            if step != "nothing":
                assert job.copy is not None
                papers.append(job.copy)
    assert len(papers) == len(set(papers))
