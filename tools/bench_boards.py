"""Measure a full shop: calls in sixty booths while twenty boards look on, and the same calls with nobody looking.

    .venv/bin/python -m tools.bench_boards                        what `make boards` does; six minutes
    .venv/bin/python -m tools.bench_boards --rounds 1 --seconds 20

A real server, a booth's phone and a carrier by SIPp, and boards that are signed in and read their streams as
`static/feed.js` does. Rounds with and without boards take turns. Of each it prints how long a call takes from the
INVITE to its 200, at the phone; and how long after the phone has sent or heard something the boards show it. At last
boards stay open over a thousand short calls and a restart of the server, and are held against the database.

The machine makes the calls and reads the boards too: take a quiet one. Exit status 1 where a call failed or a board
missed one, where a board is later than 300 ms in one of a hundred cases, where boards make the setup of a call a fifth
longer, or where a board shows what the database has not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from sipshop.console.pages.words import LANGUAGES, words
from sipshop.greeting import DEMO_PASSWORD
from tests.wire.harness import HOST, SCENARIOS, Server, Sipp, World, free_port, password, until

#: What may pass between an event at the switch and the boards, and how much longer calls may take with boards.
LATEST_MS: Final = 300.0
SLOWER: Final = 1.2
SHOP: Final = "Corner"
OPERATOR: Final = "ana"
#: By the second, by the minute, and by the minute after a fee: the first changes its figure each second.
NUMBERS: Final = ("00442071234567", "0033123456789", "00493012345678")

DEPOSIT_MICROS: Final = 500_000_000
CURRENCY: Final = "EUR"

#: How far a call has come, by the state of its booth's tile.
RANKS: Final = {"open": 0, "locked": 0, "unpaid": 0, "dialling": 1, "ringing": 2, "talking": 3}
#: How far a booth has come by what its phone sends and hears, in this order.
EVENTS: Final = {"dialled": 1, "rang": 2, "answered": 3, "ended": 0}
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CSRF: Final = re.compile(r'name="csrf" content="([^"]+)"')
_BOOTH: Final = re.compile(r"^From:\s*<sip:([^@]+)@", re.MULTILINE)
_BOOKS: Final = """\
select booth, count(*), sum(amount_micros) from cdrs join charges using (tenant, call_id, revision)
where level = 0 group by booth
"""


# Boards.


@dataclass(frozen=True, slots=True)
class Shown:
    """What a card says: the state of the booth, its session's total, and what is left of a deposit."""

    state: str
    total: str
    left: str


@dataclass
class Board:
    """One board as a browser has it: the newest tile of each booth, what ended, and when each state came."""

    language: str
    cookies: dict[str, str]
    tiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard_s: dict[str, float] = field(default_factory=dict)
    states: dict[str, list[tuple[float, str]]] = field(default_factory=lambda: defaultdict(list))
    ended: Counter[str] = field(default_factory=Counter)
    misses: int = 0
    losses: int = 0
    begun: int = 0
    size: int = 0
    place: str = ""

    async def listen(self, base_url: str, shop: str) -> None:
        """Read the stream, and come back as often as it is lost, until cancelled."""
        async with httpx.AsyncClient(base_url=base_url, cookies=self.cookies, timeout=12.0) as client:
            while True:
                try:
                    async with client.stream("GET", f"/board/{shop}/events", params={"after": self.place}) as answer:
                        answer.raise_for_status()
                        await self._read(answer)
                except httpx.TransportError:
                    self.losses += 1
                await asyncio.sleep(0.3)

    async def _read(self, answer: httpx.Response) -> None:
        rest = ""
        async for text in answer.aiter_text():
            at_s = time.time()
            self.size += len(text)
            *events, rest = (rest + text).split("\n\n")
            for event in events:
                fields = dict(line.split(": ", 1) for line in event.split("\n"))
                self.place = fields.get("id", self.place)
                self._hear(fields["event"], json.loads(fields["data"]), at_s)

    def _hear(self, kind: str, data: dict[str, Any], at_s: float) -> None:
        if kind == "tiles":
            self.begun += data["whole"]
            if data["whole"]:
                self.tiles.clear()
            for tile in data["tiles"]:
                self.tiles[tile["booth"]] = tile
                self.heard_s[tile["booth"]] = at_s - tile["age"] / 1000
                self.states[tile["booth"]].append((at_s, tile["state"]))
        elif kind == "ended":
            self.ended[data["booth"]] += 1
        elif kind == "missed":
            self.misses += 1

    def shown(self, booth: str) -> Shown:
        """What a booth's card says now."""
        passed_ms = (time.time() - self.heard_s[booth]) * 1000
        tile = self.tiles[booth]
        _, _, total, left, _ = [each for each in tile["figures"] if each[0] <= passed_ms][-1]
        return Shown(tile["state"], total, left)


class Boards:
    """Boards that are open for a block, read on a thread of their own; each is signed in by itself."""

    def __init__(self, server: Server, count: int) -> None:
        self._url = f"http://{HOST}:{server.http}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._tasks: list[asyncio.Task[None]] = []
        languages = [[*LANGUAGES][number % len(LANGUAGES)] for number in range(count)]
        self.boards = [Board(language, sign_in(self._url, language)) for language in languages]

    def __enter__(self) -> Self:
        self._tasks = [self._loop.create_task(board.listen(self._url, SHOP)) for board in self.boards]
        self._thread.start()
        give_up = time.monotonic() + 20
        while not all(board.begun for board in self.boards):
            assert time.monotonic() < give_up, "a board was told nothing"
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            self._loop.call_soon_threadsafe(task.cancel)
        gathered = asyncio.gather(*self._tasks, return_exceptions=True)
        asyncio.run_coroutine_threadsafe(_awaited(gathered), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _awaited(future: asyncio.Future[list[BaseException | None]]) -> None:
    await future


def sign_in(url: str, language: str, who: str = OPERATOR) -> dict[str, str]:
    """Come in by the pages as a browser does, and return the cookies of it."""
    with httpx.Client(base_url=url, cookies={"sipshop-language": language}, headers={"origin": url}) as client:
        token = _CSRF.search(client.get("/login").text)
        assert token is not None, "a page has a token for its forms"
        fields = {"name": who, "password": DEMO_PASSWORD, "csrf": token[1]}
        answer = client.post("/login", data=fields)
        assert answer.status_code == 303, answer.text
        return {cookie.name: cookie.value or "" for cookie in client.cookies.jar}


# Calls.


@dataclass(frozen=True, slots=True)
class Made:
    """One call as its phone saw it: the instant of each of EVENTS that there was, in seconds since the epoch."""

    booth: str
    at_s: dict[str, float]

    @property
    def setup_ms(self) -> float:
        """From the INVITE with its credentials to the 200."""
        return (self.at_s["answered"] - self.at_s["dialled"]) * 1000


@dataclass
class Shop:
    """A server with one shop of many booths that are open, and a carrier that answers at once.

    Every third booth has a deposit of so much, in micro-units.
    """

    stack: ExitStack
    server: Server
    folder: Path
    booths: list[str]
    world: str

    def restart(self) -> None:
        """Stop the server, and start another one with the same data at the same place."""
        old = self.server
        old.stop()
        new = Server(self.folder / "server", self.world, sip_port=old.sip, http_port=old.http)
        self.server = self.stack.enter_context(new).ready()

    def funds(self, booth: str) -> int | None:
        """What the customer of a booth has paid in, in micro-units; None where he pays afterwards."""
        return None if self.booths.index(booth) % 3 else DEPOSIT_MICROS

    def books(self) -> dict[str, tuple[int, int]]:
        """How many calls the database has of each booth, and what they come to, in micro-units."""
        with closing(sqlite3.connect(f"file:{self.server.data / 'sipshop.db'}?mode=ro", uri=True)) as connection:
            rows = connection.execute(_BOOKS).fetchall()
        return {booth: (calls, micros) for booth, calls, micros in rows}

    def calls(self) -> dict[str, int]:
        """How many calls the database has of each booth."""
        return {booth: calls for booth, (calls, _) in self.books().items()}

    def call(self, name: str, *, calls: int, rate: int, pause_ms: int) -> Sipp:
        """Have the booths call one after the other, so many calls a second."""
        folder = self.folder / name
        folder.mkdir()
        rows = (
            f"{booth};[authentication username={booth} password={password(booth)}];{NUMBERS[place % 3]}"
            for place, booth in enumerate(self.booths)
        )
        (folder / "booths.csv").write_text("SEQUENTIAL\n" + "".join(f"{row}\n" for row in rows))
        scenario = (SCENARIOS / "call.xml").read_text()
        for word, by in {"[booth]": "[field0]", "[authentication]": "[field1]", "[service]": "[field2]"}.items():
            scenario = scenario.replace(word, by)
        (folder / "booths.xml").write_text(scenario)
        return Sipp(
            folder / "booths.xml",
            folder,
            to=self.server.sip,
            calls=calls,
            rate=rate,
            pause_ms=pause_ms,
            within_s=calls // rate + pause_ms // 1000 + 30,
            more=("-inf", str(folder / "booths.csv"), "-l", "1000"),
        )

    def cpu_s(self) -> float:
        """What the server's process has had of a processor so far."""
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


@contextmanager
def full_shop(folder: Path, booths: int = 60) -> Iterator[Shop]:
    """A shop with so many open booths: two of three pay afterwards, the others have a deposit."""
    carrier, names = free_port(), [f"b{number:02d}" for number in range(1, booths + 1)]
    world = World(
        booths=dict.fromkeys(names, ""),
        trunks={"carrier": f"port: {carrier}, emergency: true"},
        routes={"": ["carrier"]},
    )
    text = world.yaml() + f"operators:\n  - {{name: {OPERATOR}, shop: {SHOP}}}\n"
    with ExitStack() as stack:
        server = stack.enter_context(Server(folder / "server", text))
        stack.enter_context(Sipp("uas", folder / "carrier", listen=carrier, calls=1_000_000, within_s=36_000))
        server.ready()
        server.saw("Pages:")
        shop = Shop(stack, server, folder, names, text)
        for name in names:
            terms = None if shop.funds(name) is None else {"deposit": f"{DEPOSIT_MICROS // 10**6}.00"}
            server.command(f"/booths/{name}/unlock", terms)
        yield shop


def made(phone: Sipp) -> list[Made]:
    """What the calls of a run were, by its log, in the order of their INVITEs."""
    found: dict[str, Made] = {}
    for message in phone.messages:
        at_s, call_id = message.at.timestamp(), message.call_id
        if message.sent and message.is_request("INVITE"):
            booth = _BOOTH.search(message.text)
            assert booth is not None, message.text
            found[call_id] = Made(booth[1], {"dialled": at_s})  # the second one counts: it has the credentials
        elif message.sent and message.is_request("BYE"):
            found[call_id].at_s.setdefault("ended", at_s)
        elif not message.sent and message.is_response(180, "INVITE"):
            found[call_id].at_s.setdefault("rang", at_s)
        elif not message.sent and message.is_response(200, "INVITE"):
            found[call_id].at_s.setdefault("answered", at_s)
    return [*found.values()]


def late_ms(call: Made, board: Board) -> dict[str, float | None]:
    """How long after each event of a call a board showed it, or what comes after it; None where it never did.

    Less than nothing where the board was faster than the log of the phone.
    """
    begun_s = call.at_s["dialled"]
    found: dict[str, float | None] = {}
    for event, at_s in call.at_s.items():
        rank = EVENTS[event]
        since_s = call.at_s.get("answered", begun_s) if event == "ended" else begun_s
        shown = (
            seen_s
            for seen_s, state in board.states[call.booth]
            if seen_s >= since_s and (RANKS[state] >= rank if rank else RANKS[state] == 0)
        )
        seen_s = next(shown, None)
        found[event] = None if seen_s is None else (seen_s - at_s) * 1000
    return found


# Rounds.


@dataclass
class Round:
    """What came of the calls of some rounds, with boards or without."""

    name: str
    seconds: float = 0.0
    cpu_s: float = 0.0
    failed: int = 0
    size: int = 0
    missed: int = 0
    setup_ms: list[float] = field(default_factory=list)
    late_ms: dict[str, list[float]] = field(default_factory=lambda: {event: [] for event in EVENTS})

    @property
    def all_late_ms(self) -> list[float]:
        """Every event on every board."""
        return [each for late in self.late_ms.values() for each in late]

    def add(self, other: Self) -> None:
        """Take another round of the same kind in."""
        for name in ("seconds", "cpu_s", "failed", "size", "missed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.setup_ms += other.setup_ms
        for event, late in other.late_ms.items():
            self.late_ms[event] += late

    def __str__(self) -> str:
        """The figures of it, a line each."""
        calls = f"{len(self.setup_ms)} calls, {self.failed} failed"
        cpu = f"server {self.cpu_s / self.seconds:.0%} of a core"
        lines = [f"{self.name}: {calls}; INVITE to 200 {spread(self.setup_ms)}; {cpu}"]
        if self.all_late_ms or self.missed:
            lines[0] += f", {self.size / self.seconds / 1024:.0f} KiB/s to boards"
            lines.append(f"  on the boards {spread(self.all_late_ms)}; {self.missed} never")
            lines += [f"    {event:<9} {spread(late)}" for event, late in self.late_ms.items()]
        return "\n".join(lines)


def percentile(values: Iterable[float], percent: float) -> float:
    """The value that so many of a hundred do not exceed; not a number where there are none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


def spread(values: Sequence[float]) -> str:
    """Half of them, all but one of a hundred, and the last one of some durations in milliseconds."""
    half, most, last = (percentile(values, percent) for percent in (50, 99, 100))
    return f"p50 {half:.1f} ms, p99 {most:.1f} ms, longest {last:.1f} ms"


def play(shop: Shop, name: str, boards: Sequence[Board], *, calls: int, rate: int, pause_ms: int) -> Round:
    """Make the calls of a round while these boards look on."""
    played = Round("with boards" if boards else "without boards")
    began_s, cpu_s = time.monotonic(), shop.cpu_s()
    with shop.call(name, calls=calls, rate=rate, pause_ms=pause_ms) as phone:
        phone.wait(calls // rate + pause_ms // 1000 + 40)
    played.seconds, played.cpu_s = time.monotonic() - began_s, shop.cpu_s() - cpu_s
    time.sleep(LATEST_MS / 1000)
    answered = [call for call in made(phone) if len(call.at_s) == len(EVENTS)]
    played.failed = calls - len(answered)
    played.setup_ms = [call.setup_ms for call in answered]
    for board in boards:
        played.size += board.size
        for call in answered:
            for event, late in late_ms(call, board).items():
                if late is None:
                    played.missed += 1
                else:
                    played.late_ms[event].append(late)
    return played


def measure(
    folder: Path, *, rounds: int, seconds: int, boards: int, rate: int = 6, booths: int = 60
) -> tuple[Round, Round]:
    """Play rounds with and without boards by turns; what came of all of either kind."""
    pause_ms = booths * 1000 // rate - 800  # a booth is called anew some time after it was hung up
    totals = Round("with boards, all"), Round("without boards, all")
    with full_shop(folder, booths) as shop:
        play(shop, "warm-up", (), calls=booths, rate=4 * rate, pause_ms=2000)
        for number in range(rounds):
            for total, count in zip(totals, (boards, 0), strict=True):
                with Boards(shop.server, count) as watching:
                    name, calls = f"round-{number}-{count}", seconds * rate
                    played = play(shop, name, watching.boards, calls=calls, rate=rate, pause_ms=pause_ms)
                print(played, flush=True)
                total.add(played)
    return totals


# A board that stays open.


def differences(shop: Shop, shown: Mapping[str, Shown], language: str) -> list[str]:
    """Where cards say something else than the database: a sentence for each."""
    found, books, words_ = [], shop.books(), words(language)
    for booth in shop.booths:
        _, spent = books.get(booth, (0, 0))
        funds = shop.funds(booth)
        left = "" if funds is None else words_.money(funds - spent, CURRENCY)
        right = Shown("open", words_.money(spent, CURRENCY), left)
        if shown.get(booth) != right:
            found.append(f"{booth} ({language}): shown {shown.get(booth)}, by the books {right}")
    return found


def wrong(shop: Shop, boards: Iterable[Board]) -> list[str]:
    """Where boards say something else than the database, of a booth or of how many calls have ended in it."""
    found, ended = [], shop.calls()
    for board in boards:
        found += differences(shop, {booth: board.shown(booth) for booth in board.tiles}, board.language)
        if board.ended != ended:
            found.append(
                f"{board.language}: {board.ended.total()} calls were told to have ended: {sum(ended.values())}"
            )
    return found


def settled(shop: Shop, calls: int) -> None:
    """Wait until so many calls are in the database, and then as long as a board may take to show it."""
    until(lambda: sum(shop.calls().values()) == calls, f"{calls} calls in the database")
    time.sleep(LATEST_MS / 1000)


def stay_open(folder: Path, *, boards: int, calls: int, rate: int = 20) -> list[str]:
    """Leave boards open over so many short calls, a restart, and as many calls as there are booths; what is wrong."""
    with full_shop(folder) as shop, Boards(shop.server, boards) as watching:
        shop.call("short", calls=calls, rate=rate, pause_ms=200).passed()
        settled(shop, calls)
        found = wrong(shop, watching.boards)
        shop.restart()
        until(lambda: all(board.begun == 2 for board in watching.boards), "boards that came back")
        shop.call("again", calls=len(shop.booths), rate=rate, pause_ms=200).passed()
        settled(shop, calls + len(shop.booths))
        return found + wrong(shop, watching.boards)


def main(arguments: Sequence[str]) -> int:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(prog="make boards", description="Calls in sixty booths while boards look on.")
    parser.add_argument("--rounds", type=int, default=3, help="with boards and without, each (3)")
    parser.add_argument("--seconds", type=int, default=40, help="in which calls begin in a round (40)")
    parser.add_argument("--boards", type=int, default=20, help="that are open (20)")
    parser.add_argument("--booths", type=int, default=60, help="of the shop, all in use (60)")
    parser.add_argument("--rate", type=int, default=6, help="calls that begin in a second (6)")
    parser.add_argument("--calls", type=int, default=1000, help="over which boards stay open (1000)")
    options = vars(parser.parse_args(arguments))
    calls = options.pop("calls")
    with tempfile.TemporaryDirectory(prefix="boards-") as folder:
        watched, alone = measure(Path(folder, "measured"), **options)
        found = stay_open(Path(folder, "open"), boards=options["boards"], calls=calls)
    print(watched, alone, sep="\n")
    late_ms = percentile(watched.all_late_ms, 99)
    slower = percentile(watched.setup_ms, 99) / percentile(alone.setup_ms, 99)
    print(f"with boards the setup of a call takes {slower:.2f} times as long (p99)")
    print(*found, f"after {calls} calls and a restart boards were wrong in {len(found)} places", sep="\n")
    is_whole = not (watched.failed or alone.failed or watched.missed or found)
    return 0 if is_whole and late_ms < LATEST_MS and slower <= SLOWER else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
