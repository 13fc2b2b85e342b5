"""The chaos run itself: one life of the server after the other, each ended by a SIGKILL, with calls all the time."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

import httpx

from tests.wire.chaos import checks
from tests.wire.chaos.people import Desk, Watcher
from tests.wire.chaos.plan import Plan, Weather
from tests.wire.chaos.scenarios import booth_scenario, carrier_scenario
from tests.wire.chaos.scene import (
    CARRIERS,
    EMERGENCY,
    OWNERS,
    RESELLERS,
    TALKS_MS,
    Booth,
    Foreigner,
    booths,
    crowd,
    world,
)
from tests.wire.harness import SIPSHOP, Server, free_port, strace, until
from tests.wire.nursery import run
from tests.wire.test_durability import read_only

_SABOTEUR: Final = Path(__file__).with_name("saboteur.py")
_BUSINESS_EVERY_S: Final = 0.1
_AUDIT_S: Final = 60.0
_NUMBER: Final = "030123456"
Say = Callable[[str], None]

#: What strace does to which calls of the kernel.
_DISK_FAULTS: Final[Mapping[Weather, tuple[str, str]]] = {
    Weather.FULL: ("error=ENOSPC", "pwrite64"),
    Weather.BROKEN: ("error=EIO", "fdatasync,fsync"),
}


@dataclass(slots=True)
class Outcome:
    """What came of a run: figures to print, and what is wrong by check."""

    figures: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, list[str]] = field(default_factory=dict)

    @property
    def failures(self) -> list[str]:
        """Everything that is wrong."""
        return [f"{check}: {text}" for check, texts in self.wrong.items() for text in texts]


class Run:
    """A run on a folder of its own; `say` is told of every life."""

    def __init__(self, plan: Plan, folder: Path, say: Say) -> None:
        self.plan = plan
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.say = say
        self.dice = random.Random(plan.seed)
        self.desk = Desk(random.Random(plan.seed))
        self.sip, self.http = free_port(), free_port()
        self.booths = booths(2 * plan.calls + len(OWNERS))
        self.carriers: list[Foreigner] = []
        self.crowds: list[Foreigner] = []
        self.world = ""
        self.kills: Counter[Weather] = Counter()
        self.audits = 0
        self.outcome = Outcome()

    @property
    def database(self) -> Path:
        """The server's."""
        return self.folder / "data" / "sipshop.db"

    @property
    def note(self) -> Path:
        """Where the saboteur writes down where it struck."""
        return self.folder / "saboteur.json"

    def made(self) -> Outcome:
        """Run it all, and look at what is left."""
        began = time.monotonic()
        with ExitStack() as stack:
            self._raise_carriers(stack)
            with self._server() as server:
                self._open_all(server.ready())
                server.stop()
            watcher = Watcher(self.http, server.data / "token")
            watcher.start()
            stack.callback(watcher.stop)
            self._raise_crowds(stack)
            for number, weather in enumerate(self.plan.weathers, start=1):
                self._live(number, weather)
                if number % self.plan.audits_every == 0:
                    self._audit_dead(number)
            self._end()
            watcher.stop()
            with self._server() as last:
                self._look(last.ready(), watcher)
                last.stop()
        self.outcome.figures["wall time"] = f"{time.monotonic() - began:.0f} s"
        return self.outcome

    # The scene.

    def _raise_carriers(self, stack: ExitStack) -> None:
        ports = {name: free_port() for name in CARRIERS}
        for name, (ring_ms, talk_ms) in CARRIERS.items():
            carrier = Foreigner(
                f"carrier-{name}", carrier_scenario(ring_ms, talk_ms), self.folder, "-p", f"{ports[name]}"
            )
            self.carriers.append(stack.enter_context(carrier))
        self.world = world(self.booths, ports, self.plan.opening)

    def _raise_crowds(self, stack: ExitStack) -> None:
        """The booths are dealt to crowds, one for each length of a talk; a small one calls 112 again and again.

        They call half as often again as is planned: some wait for answers that a crash has swallowed.
        """
        emergency, others = self.booths[: len(OWNERS)], self.booths[len(OWNERS) :]
        share = -(-3 * self.plan.calls // (2 * len(TALKS_MS)))
        for number, talk_ms in enumerate(TALKS_MS):
            there = others[number :: len(TALKS_MS)]
            self._raise_crowd(stack, f"booths-{talk_ms}", there, talk_ms, share, max(10, share // 2), _NUMBER)
        self._raise_crowd(stack, "emergencies", emergency, TALKS_MS[0], len(emergency), 2, EMERGENCY)

    def _raise_crowd(
        self, stack: ExitStack, name: str, there: Sequence[Booth], talk_ms: int, calls: int, rate: int, number: str
    ) -> None:
        people = crowd(
            *(name, booth_scenario(talk_ms), self.folder, there),
            to=self.sip,
            calls=calls,
            rate=rate,
            number=number,
        )
        self.crowds.append(stack.enter_context(people))

    def _open_all(self, server: Server) -> None:
        for booth in self.booths[len(OWNERS) :]:  # 112 is called from locked ones
            self.desk.opens(server, booth)

    @contextmanager
    def _server(self, *trap: str, fresh: bool = False) -> Iterator[Server]:
        """The server on the ports and the data of all lives, sabotaged if a `trap` is set.

        Who is killed as it starts is to take as long as `fresh` ones do.
        """
        program: tuple[str | Path, ...] = (sys.executable, _SABOTEUR, *trap, "--") if trap else SIPSHOP
        server = Server(self.folder, self.world, sip_port=self.sip, http_port=self.http, program=program, fresh=fresh)
        try:
            yield server
        finally:
            server.client.close()
            server.kill()

    # The lives.

    def _live(self, number: int, weather: Weather) -> None:
        """One life of the server, to its violent end."""
        with ExitStack() as stack:
            if weather is Weather.READ_ONLY:
                stack.enter_context(read_only(self.folder / "data"))
            server = stack.enter_context(self._server(*self._trap(weather), fresh=weather is Weather.EARLY))
            if weather is Weather.EARLY:
                self._wait(server, self.dice.uniform(0.2, 2.0))
            elif self._is_up(server, path="/healthz" if weather is Weather.READ_ONLY else "/readyz"):
                self._suffer(weather, server)
            server.process.send_signal(signal.SIGKILL)
            is_killed = server.process.wait() == -signal.SIGKILL
        self.kills[weather] += is_killed
        if not is_killed:
            self._wrong("every life ends by SIGKILL", [f"life {number}: {weather}: status {server.process.returncode}"])
        self.say(f"{number:4}/{len(self.plan.weathers)}  {weather}")

    def _trap(self, weather: Weather) -> tuple[str, ...]:
        match weather:
            case Weather.SETTLING:
                at, after = self._next_statement(), self.dice.randrange(10)
                return ("--die-at", f"{at}", "--die-after", f"{after}", "--note", str(self.note))
            case Weather.JUMPY:
                return ("--jump", str(self.dice.randrange(1_000_000)))
            case _:
                return ()

    def _next_statement(self) -> int:
        """The statement of a settlement to die before: each in turn, and again from the first after the last."""
        stops = checks.stops_of(self.note)
        if not stops:
            return self.plan.first_statement
        return 1 if stops[-1].before is None else stops[-1].at + 1

    def _suffer(self, weather: Weather, server: Server) -> None:
        """Let the weather come over a server that is up."""
        lasts_s = self.dice.uniform(0.2, self.plan.longest_s)
        match weather:
            case Weather.SETTLING:
                self._wait(server, 4 * self.plan.longest_s, doing=self._business)
            case Weather.FULL | Weather.BROKEN:
                self._wait(server, 0.5, doing=self._business)
                with strace(server, self.folder, *_DISK_FAULTS[weather]):
                    self._wait(server, min(lasts_s, 2.0), doing=self._business)
                    if self.dice.random() < 0.5:
                        server.kill()  # before the disk is well again
                        return
                self._is_up(server)
                self._wait(server, 1.0, doing=self._business)
            case _:
                self._wait(server, lasts_s, doing=self._business)

    def _is_up(self, server: Server, path: str = "/readyz") -> bool:
        """Wait until it takes work; False if it died of a trap."""

        def look() -> str | None:
            if server.process.poll() is not None:
                return "dead"
            with suppress(httpx.TransportError):
                return "up" if server.client.get(path).status_code == httpx.codes.OK else None
            return None

        return until(look, f"200 from {path}") == "up"

    def _wait(self, server: Server, seconds: float, doing: Callable[[Server], None] = lambda _server: None) -> None:
        """Let a time pass while the server lives, and business go on."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and server.process.poll() is None:
            with suppress(httpx.TransportError):
                doing(server)
            time.sleep(min(_BUSINESS_EVERY_S, max(0.0, end - time.monotonic())))

    def _business(self, server: Server) -> None:
        """Somebody pays, tops up or checks out."""
        self.desk.asks_again(server)
        booth = self.dice.choice(self.booths[len(OWNERS) :])
        match self.dice.randrange(6):
            case 0 | 1:
                self.desk.pays_in(server, self.plan.payment_micros, self.dice.choice(list(OWNERS)))
            case 2:
                self.desk.pays_in(server, 2 * self.plan.payment_micros, self.dice.choice(RESELLERS))
            case 3:
                self.desk.tops_up(server, booth, 50_000)
            case _:
                self.desk.checks_out(server, booth)

    def _audit_dead(self, number: int) -> None:
        """Audit a copy of the database as the kill has left it."""
        copy = self.folder / "copy"
        copy.mkdir(exist_ok=True)
        for file in self.database.parent.glob("sipshop.db*"):
            shutil.copy(file, copy)
        self._note_audit(f"after life {number}", _audit(copy / self.database.name))
        shutil.rmtree(copy)

    def _note_audit(self, when: str, done: subprocess.CompletedProcess[str]) -> None:
        self.audits += 1
        self._wrong("the books audit clean", [] if done.returncode == 0 else [f"{when}: {done.stdout}{done.stderr}"])

    def _end(self) -> None:
        """Let all calls come to their end in peace."""
        with self._server() as server:
            server.ready()
            for people in self.crowds:
                people.begin_no_more()
            for people in self.crowds:
                people.wait(60)
            until(lambda: _idle(server), "the end of all calls", 60)
            self.desk.asks_again(server)
            status = server.stop()
            self._wrong("the last server ends well", [f"status {status}"] if status else [])

    # The account of it.

    def _wrong(self, check: str, texts: Iterable[str]) -> None:
        self.outcome.wrong.setdefault(check, []).extend(texts)

    def _look(self, server: Server, watcher: Watcher) -> None:
        """Ask the last server, read the books and the logs, and compare."""
        parties, there_now = server.parties(), server.look("/booths")["booths"]
        holds = server.metrics()['sipshop_table_size{table="holds"}']
        self._note_audit("by the last server", server.cli("audit"))
        self._note_audit("of the database", _audit(self.database))
        for carrier in self.carriers:
            carrier.stop()
        books = checks.read_books(self.database)
        *people, emergencies = self.crowds
        there = checks.heard(chain.from_iterable(each.lines() for each in people), by_booth=True)
        saved = checks.heard(emergencies.lines(), by_booth=True)
        carriers = checks.heard(chain.from_iterable(each.lines() for each in self.carriers), by_booth=False)
        self._wrong("every 200 has one CDR", checks.answers_have_one_cdr(there, books))
        self._wrong("no attempt has two CDRs", checks.attempts_have_one_cdr_at_most(books))
        self._wrong("every answer of a carrier has a CDR or our BYE", checks.carriers_are_told(carriers, books))
        self._wrong("nobody pays for more than the talk", checks.nobody_pays_too_much(there, books))
        self._wrong(
            "emergency calls are answered, and free", checks.emergencies_are_free(books, len(saved.answered_at))
        )
        self._wrong("no limit was passed", [*watcher.wrong, *checks.no_limit_was_passed(books)])
        self._wrong("the books are balanced", checks.books_are_balanced(books))
        self._wrong("every level paid once", checks.every_level_paid_once(books))
        self._wrong("what was acknowledged is there", checks.acknowledged_money_is_there(self.desk.acknowledged, books))
        self._wrong("paid sessions are paid", checks.paid_sessions_are_paid(self.desk.paid, books))
        self._wrong("booths stand as was acknowledged", checks.booths_stand(self.desk.is_open, there_now))
        self._wrong("nothing is held", checks.nothing_is_held(parties, holds, books))
        log = server.said
        self._wrong("no exception was left alone", [text for text in ("Traceback", "not handled") if text in log])
        self._count(books, there, saved, carriers, watcher)

    def _count(
        self,
        books: checks.Books,
        there: checks.Heard,
        saved: checks.Heard,
        carriers: checks.Heard,
        watcher: Watcher,
    ) -> None:
        figures = self.outcome.figures
        figures["seed"] = str(self.plan.seed)
        figures["lives ended by SIGKILL"] = str(self.kills.total())
        for weather, count in sorted(self.kills.items()):
            figures[f"  {weather}"] = str(count)
        stops = checks.stops_of(self.note)
        struck = sorted({stop.at for stop in stops if stop.before is not None})
        figures["statements of a settlement that it died before"] = ", ".join(map(str, struck)) or "none"
        figures["  settlements that it died in before their COMMIT"] = str(sum(stop.before is None for stop in stops))
        figures["calls of the booths"] = str(there.calls)
        figures["  at once, at most"] = str(watcher.most_calls)
        figures["  answered (200 in their logs)"] = str(len(there.answered_at))
        figures["  refused"] = ", ".join(f"{count} with {status}" for status, count in sorted(there.refusals.items()))
        figures["  emergency calls answered"] = f"{len(saved.answered_at)} of {saved.calls}"
        figures["calls that carriers answered"] = str(len(carriers.answered_at))
        figures["CDRs"] = str(len(books.cdrs))
        recovered = [cdr for cdr in books.cdrs if cdr.recovered]
        figures["  recovered after a crash"] = str(len(recovered))
        billed_s = sum(cdr.talk_ms for cdr in books.cdrs if cdr.charges) / 1000
        lost = checks.given_away_s(there, books)
        figures["seconds billed"] = f"{billed_s:.0f}"
        figures["  given away by crashes"] = f"{sum(lost):.0f}, {max(lost, default=0):.1f} in one call at most"
        figures["transfers"] = str(len(books.transfers))
        figures["  payments and top-ups acknowledged"] = str(len(self.desk.acknowledged))
        figures["  sessions checked out"] = str(len(self.desk.paid))
        figures["looks at every account"] = str(watcher.looks)
        figures["audits"] = str(self.audits)


def _audit(database: Path) -> subprocess.CompletedProcess[str]:
    """Audit a database that no server needs to run on."""
    return run(["audit", "--database", database], _AUDIT_S)


def _idle(server: Server) -> bool:
    """Whether no call is live or without its CDR."""
    sizes = server.metrics()
    return not any(sizes[f'sipshop_table_size{{table="{table}"}}'] for table in ("calls", "unsettled_calls"))
