"""Draw docs/states.md from the tables that the code runs on: `.venv/bin/python tools/draw_states.py`.

A diagram that is drawn by hand is true on the day it is drawn. `tests/test_docs.py` fails when the file that is
committed is not the one that this script would write.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from textwrap import fill
from typing import Any, Final

from sipshop.proxy import course as calls
from sipshop.proxy import health, registration
from sipshop.sip import course as legs
from sipshop.sip import offer, pulse, reliable, transaction

STATES: Final = Path(__file__).parent.parent / "docs" / "states.md"

Table = Mapping[tuple[Enum, Enum], tuple[Enum, tuple[Enum, ...]]]

HEAD: Final = """\
# States

Drawn by `tools/draw_states.py` from the tables that the code runs on; do not edit. Names are those of the code. A
picture shows what leads from one state to another; the table below it has every step, those too that stay where they
are. A pair of state and input that stands in no row is a protocol error or comes too late to matter, and is ignored;
only a transaction that our own side misuses raises an error.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One table and what a reader has to know of it; `begins` is the state that it starts in."""

    title: str
    says: str
    name: str
    table: Mapping[Any, Any]  # each machine has enums of its own
    begins: Enum


MACHINES: Final = (
    Machine(
        title="The call",
        says=(
            "Two legs and their table. The caller gets his 2xx on the way into TALKING, and only COMMITTED leads "
            "there; a call to an emergency number waits for nobody. Each way into ENDED passes SETTLE once: that is "
            "the CDR."
        ),
        name="proxy/course.CALL",
        table=calls.CALL,
        begins=calls.State.AUTHORISING,
    ),
    Machine(
        title="A leg that came in",
        says="The caller's half, where we are the callee: RFC 3261 sections 13.3 and 15.",
        name="sip/course.INCOMING",
        table=legs.INCOMING,
        begins=legs.State.OFFERED,
    ),
    Machine(
        title="A leg that goes out",
        says="The carrier's half, where we are the caller: RFC 3261 sections 9.1, 13.2 and 15.",
        name="sip/course.OUTGOING",
        table=legs.OUTGOING,
        begins=legs.State.CALLING,
    ),
    Machine(
        title="Offer and answer",
        says=(
            "Whose turn it is to describe the session: RFC 3264 and RFC 6337. What it does is what it calls the "
            "description; a pair that stands in no row is a description that has no place."
        ),
        name="sip/offer.EXCHANGE",
        table=offer.EXCHANGE,
        begins=offer.State.STABLE,
    ),
    Machine(
        title="Reliable provisional responses",
        says="The callee's half: RFC 3262 section 3.",
        name="sip/reliable.RELIABLE",
        table=reliable.RELIABLE,
        begins=reliable.State.FREE,
    ),
    Machine(
        title="The probes of a peer",
        says=(
            "Whether it still lives, by OPTIONS. As long as it has answered none, they come soon and wait briefly, so "
            "that who answers none is gone after some 50 s."
        ),
        name="sip/pulse.PROBES",
        table=pulse.PROBES,
        begins=pulse.State.RESTING,
    ),
    Machine(
        title="The session timer of a peer",
        says="Whether it still lives, by refreshes of the session: RFC 4028.",
        name="sip/pulse.SESSION",
        table=pulse.SESSION,
        begins=pulse.State.RESTING,
    ),
    Machine(
        title="Our registration with a carrier",
        says="RFC 3261 section 10.2; FAILED is told while there is another registrar, FAILED_ALL when there is none.",
        name="proxy/registration.REGISTRATION",
        table=registration.REGISTRATION,
        begins=registration.State.IDLE,
    ),
    Machine(
        title="A carrier's health",
        says="A circuit breaker: in HALF_OPEN one call, or one OPTIONS, may try the carrier, and decides.",
        name="proxy/health.HEALTH",
        table=health.HEALTH,
        begins=health.State.UP,
    ),
    Machine(
        title="INVITE client transaction",
        says="RFC 3261 figure 5 as amended by RFC 6026 section 7.2.",
        name="sip/transaction.INVITE_CLIENT",
        table=transaction.INVITE_CLIENT,
        begins=transaction.State.CALLING,
    ),
    Machine(
        title="Client transaction of the other methods",
        says="RFC 3261 figure 6.",
        name="sip/transaction.CLIENT",
        table=transaction.CLIENT,
        begins=transaction.State.TRYING,
    ),
    Machine(
        title="INVITE server transaction",
        says="RFC 3261 figure 7 as amended by RFC 6026 section 7.1.",
        name="sip/transaction.INVITE_SERVER",
        table=transaction.INVITE_SERVER,
        begins=transaction.State.PROCEEDING,
    ),
    Machine(
        title="Server transaction of the other methods",
        says="RFC 3261 figure 8. It sends no 1xx but 100, and no 408 (RFC 4320 section 4).",
        name="sip/transaction.SERVER",
        table=transaction.SERVER,
        begins=transaction.State.TRYING,
    ),
)


def page() -> str:
    """The whole of docs/states.md."""
    return "\n".join([HEAD, *map(section, MACHINES)])


def section(machine: Machine) -> str:
    """A machine's title, its picture and its table."""
    says = fill(f"`{machine.name}`. {machine.says}", 118, break_on_hyphens=False)
    lines = [f"## {machine.title}", "", says, ""]
    lines += ["```mermaid", *picture(machine.table, machine.begins), "```", ""]
    lines += ["| in | hears | does | is then |", "|---|---|---|---|", *rows(machine.table), ""]
    return "\n".join(lines)


def picture(table: Table, begins: Enum) -> list[str]:
    """A Mermaid state diagram: one arrow for each pair of states, with all that leads from one to the other."""
    ways: dict[tuple[str, str], list[str]] = {}
    for (state, heard), (after, _) in table.items():
        if state is not after:
            ways.setdefault((state.name, after.name), []).append(heard.name)
    lines = ["stateDiagram-v2", f"    [*] --> {begins.name}"]
    lines += [f"    {before} --> {after} : {'<br/>'.join(heard)}" for (before, after), heard in ways.items()]
    return [*lines, *(f"    {name} --> [*]" for name in ends(table))]


def rows(table: Table) -> Iterator[str]:
    """The table's rows; inputs of a state that have the same effect share one."""
    same: dict[tuple[Enum, Enum, tuple[Enum, ...]], list[str]] = {}
    for (state, heard), (after, actions) in table.items():
        same.setdefault((state, after, actions), []).append(heard.name)
    for (state, after, actions), inputs in same.items():
        done = ", ".join(action.name for action in actions) or "nothing"
        then = "the same" if after is state else after.name
        yield f"| {state.name} | {', '.join(inputs)} | {done} | {then} |"


def ends(table: Table) -> list[str]:
    """The states that no step leads out of."""
    left = {state.name for state, _ in table}
    return sorted({after.name for after, _ in table.values()} - left)


if __name__ == "__main__":
    STATES.write_text(page(), encoding="utf-8")
    print(f"wrote {STATES}")
