"""`python -m tests.wire.flood`: calls at a steady rate while strangers flood, as `make flood` starts it.

Four phases, each with the same calls: nobody else; a flood from another address; one that writes the booth's address
and another port; and one that writes the booth's address and its very port (for root alone, by a raw socket). It prints
what was sent, what became of the calls, what was dropped, and what the server's processor had to do for it; exit status
1 if a call failed. Everything stays on the loopback.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.wire.harness import HOST, Server, Sipp, World, free_port, password

CARRIER: Final = "127.0.0.9"
BOOTH: Final = "127.0.0.10"
FLOODER: Final = "127.0.0.66"
_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: What one batch may take; so many a second are sent in bursts, as a flood comes.
_BATCH_S: Final = 0.01
_INVITE: Final = (
    b"INVITE sip:0049301234@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP %(host)s:%(port)d;branch=z9hG4bKf%(number)d;rport\r\n"
    b"Max-Forwards: 70\r\nFrom: <sip:crowd@127.0.0.1>;tag=f%(number)d\r\nTo: <sip:0049301234@127.0.0.1>\r\n"
    b"Call-ID: f%(number)d@flood\r\nCSeq: 1 INVITE\r\nContact: <sip:crowd@%(host)s:%(port)d>\r\n"
    b"Content-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
)


@dataclass(frozen=True, slots=True)
class Flood:
    """Who floods: the address and port that he writes; `raw` where the port is somebody else's."""

    name: str
    host: str
    port: int
    raw: bool = False


@dataclass(frozen=True, slots=True)
class Phase:
    """What became of the calls of a phase, and what the server did meanwhile."""

    name: str
    calls: int
    failed: int
    seconds: float
    flood_per_s: float
    dropped: int
    answered: int
    cpu_s: float

    def __str__(self) -> str:
        return (
            f"{self.name:<28} {self.calls} calls, {self.failed} failed; flood {self.flood_per_s:.0f}/s: "
            f"{self.dropped} dropped, {self.answered} answered 401; server {self.cpu_s / self.seconds:.0%} of a core"
        )


class Field:
    """A server, a carrier and a booth's phone that calls; floods come and go."""

    def __init__(self, stack: ExitStack, folder: Path, *, rate: int, seconds: int, flood_per_s: int) -> None:
        self.folder = folder
        self.rate = rate
        self.seconds = seconds
        self.flood_per_s = flood_per_s
        self.port = free_port()
        carrier = free_port()
        world = World(
            booths={"crowd": "calls: 500"},
            trunks={"one": f"port: {carrier}, emergency: true"},
            routes={"": ["one"]},
        )
        text = world.yaml().replace(f"host: {HOST}", f"host: {CARRIER}")
        self.server = stack.enter_context(Server(folder / "server", text)).ready()
        stack.enter_context(Sipp("uas", folder / "carrier", listen=carrier, host=CARRIER, calls=100_000, within_s=3600))
        self.server.unlock("crowd")

    def floods(self) -> list[Flood | None]:
        """The phases: nobody, and whoever can flood on this machine."""
        found: list[Flood | None] = [
            None,
            Flood("from another address", FLOODER, free_port()),
            Flood("with the booth's address", BOOTH, free_port()),
        ]
        if os.geteuid() == 0:
            found.append(Flood("with its address and port", BOOTH, self.port, raw=True))
        return found

    def phase(self, flood: Flood | None) -> Phase:
        """Make the calls of a phase, while somebody floods or nobody does."""
        before, cpu_s, began_s = self._metrics(), self._cpu_s(), time.monotonic()
        calls = self.rate * self.seconds
        with self._flooding(flood) as sent:
            phone = Sipp(
                "call",
                self.folder / f"phone-{flood.name if flood else 'alone'}",
                to=self.server.sip,
                host=BOOTH,
                listen=self.port,
                booth="crowd",
                password=password("crowd"),
                number="0049301234",
                calls=calls,
                rate=self.rate,
                within_s=self.seconds + 30,
            )
            with phone:
                phone.wait(self.seconds + 40)
        seconds = time.monotonic() - began_s
        after, cpu_s = self._metrics(), self._cpu_s() - cpu_s
        return Phase(
            name=flood.name if flood else "nobody floods",
            calls=calls,
            failed=calls - self._answered(after) + self._answered(before),
            seconds=seconds,
            flood_per_s=sent[0] / sent[1] if sent else 0.0,
            dropped=int(sum(after[name] - before[name] for name in _DROPS)),
            answered=int(after[_CHALLENGED] - before[_CHALLENGED]),
            cpu_s=cpu_s,
        )

    @contextmanager
    def _flooding(self, flood: Flood | None) -> Iterator[list[float]]:
        """A process that floods for the block; how many it has sent, and in how many seconds, is there afterwards."""
        sent: list[float] = []
        if flood is None:
            yield sent
            return
        words = [flood.host, str(flood.port), str(int(flood.raw)), str(self.server.sip), str(self.flood_per_s)]
        program = subprocess.Popen(
            [sys.executable, "-c", "from tests.wire.flood import pour; pour()", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        try:
            yield sent
            said, _ = program.communicate(b"stop", timeout=20)
            count, seconds = said.split()
            sent += [int(count), float(seconds)]
        finally:
            program.kill()

    def _metrics(self) -> dict[str, float]:
        time.sleep(0.6)  # drops are told twice a second
        return self.server.metrics()

    @staticmethod
    def _answered(metrics: dict[str, float]) -> int:
        return int(
            sum(
                value
                for name, value in metrics.items()
                if name.startswith("sipshop_calls_total{") and 'result="answered"' in name
            )
        )

    def _cpu_s(self) -> float:
        fields = Path(f"/proc/{self.server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


_DROPS: Final = {f'sipshop_dropped_total{{reason="{reason}"}}' for reason in ("rate_limited", "banned", "scanner")}
_CHALLENGED: Final = 'sipshop_refused_total{cause="unauthenticated",status="401"}'


def pour() -> None:
    """Flood until somebody writes to our standard input or hangs up, then print how many were sent (a process)."""
    host, port, raw, to, per_s = sys.argv[1], *(int(word) for word in sys.argv[2:])
    os.set_blocking(0, False)
    kind, protocol = (socket.SOCK_RAW, socket.IPPROTO_UDP) if raw else (socket.SOCK_DGRAM, 0)
    with socket.socket(socket.AF_INET, kind, protocol) as sender:
        sender.bind((host, 0 if raw else port))
        sender.setblocking(False)
        began_s, number = time.monotonic(), 0
        while number < 10_000_000:
            due = int((time.monotonic() - began_s + _BATCH_S) * per_s)
            while number < due:
                number += 1
                data = _INVITE % {b"host": host.encode(), b"port": port, b"number": number}
                if raw:
                    data = struct.pack("!HHHH", port, to, 8 + len(data), 0) + data
                try:
                    sender.sendto(data, (HOST, 0 if raw else to))
                except BlockingIOError:
                    break
            with suppress(BlockingIOError):
                if os.read(0, 1) is not None:
                    break
            time.sleep(_BATCH_S)
    print(number, time.monotonic() - began_s)


def run(
    folder: Path, *, rate: int = 20, seconds: int = 20, flood_per_s: int = 5000, short: bool = False
) -> list[Phase]:
    """Make every phase, or only the first and the last flood; their figures."""
    with ExitStack() as stack:
        field = Field(stack, folder, rate=rate, seconds=seconds, flood_per_s=flood_per_s)
        floods = field.floods()
        return [field.phase(flood) for flood in ([floods[1], floods[-1]] if short else floods)]


def main(arguments: Sequence[str]) -> int:
    """Flood, and print the figures."""
    parser = argparse.ArgumentParser(prog="make flood", description="Calls at a steady rate while strangers flood.")
    parser.add_argument("--rate", type=int, default=20, help="calls a second (20)")
    parser.add_argument("--seconds", type=int, default=20, help="of each phase (20)")
    parser.add_argument("--flood", type=int, default=5000, help="datagrams a second (5000)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="flood-") as folder:
        phases = run(Path(folder), rate=options.rate, seconds=options.seconds, flood_per_s=options.flood)
    for phase in phases:
        print(phase)
    return 1 if any(phase.failed for phase in phases) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
