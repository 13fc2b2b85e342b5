"""Measure imports: how long a sheet of 300,000 rates takes, in how much memory, and whether the switch stops for it.

A real server is asked by OPTIONS a hundred times a second while it reads, compares and writes; the longest answer is
the longest time for which it did nothing else.
"""

from __future__ import annotations

import csv
import json
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import date
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final, Self

from tools.workbooks import Cell, Sheet, write_workbook

ROWS: Final = int(os.environ.get("ROWS", "300000"))
RATES_OF_A_DESTINATION: Final = 100
HOST: Final = "127.0.0.1"
SIP, HTTP = 25060, 28080
EVERY_S: Final = 0.01
MAPPING: Final = """\
columns: {prefix: Code, destination: Destination, price: Price, increments: Increment, effective_from: Effective}
"""
TITLES: Final = ("Code", "Destination", "Price", "Increment", "Effective")


def main() -> None:
    """Print a line for each figure."""
    with tempfile.TemporaryDirectory() as name, Server(Path(name)) as server:
        folder = Path(name)
        server.ask("PUT", "/mappings/bench", MAPPING.encode())
        write_csv(folder / "rates.csv", dearer=0)
        write_workbook(folder / "rates.xlsx", [Sheet("Rates", rows(dearer=1))])
        print(f"the server holds {server.memory_mb('VmRSS')} MB, and answers in {server.quiet_ms():.1f} ms at most")
        tell(server, "CSV, all of it new", folder / "rates.csv")
        tell(server, "XLSX, all of it dearer", folder / "rates.xlsx")
        tell(server, "CSV, nothing changes but the price back", folder / "rates.csv")


def tell(server: Server, what: str, sheet: Path) -> None:
    """Import a sheet, and print what that took."""
    with Pings() as pings:
        begun, busy = time.perf_counter(), server.cpu_s()
        job = server.ask(
            "POST", f"/decks/carrier-sell/imports?carrier=bench&publish=true&file={sheet.name}", sheet.read_bytes()
        )
        stages: dict[str, float] = {}
        while job["state"] in {"reading", "comparing", "writing"}:
            since = time.perf_counter()
            time.sleep(0.05)
            stages[job["state"]] = stages.get(job["state"], 0.0) + time.perf_counter() - since
            job = server.ask("GET", f"/imports/{job['id']}")
        seconds = time.perf_counter() - begun
    assert job["state"] == "done", job
    shown = ", ".join(f"{stage} {spent:.1f} s" for stage, spent in stages.items())
    print(f"{what}: {job['prefixes']} rates in {seconds:.1f} s ({shown}; {server.cpu_s() - busy:.1f} s of a processor)")
    print(f"  counts {job['counts']}, version {job['version']}; the server had {server.memory_mb('VmHWM')} MB at most")
    print(f"  OPTIONS: {pings.told()}")


def rows(*, dearer: int) -> Iterator[list[Cell]]:
    """The rows of a sheet: prefixes of 7 digits, a hundred to a destination with one price."""
    chosen = random.Random(1)
    yield list(TITLES)
    price = 0.0
    for number in range(ROWS):
        if number % RATES_OF_A_DESTINATION == 0:
            price = chosen.randint(100, 9_999) / 10_000
        destination = f"Country {number // 10_000} Network {number // RATES_OF_A_DESTINATION}"
        yield [float(2_000_000 + number), destination, round(price + dearer / 1000, 4), "60/1", date(2026, 1, 1)]


def write_csv(path: Path, *, dearer: int) -> None:
    """Write the sheet as text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        for number, cells in enumerate(rows(dearer=dearer)):
            writer.writerow(cells if not number else [int(str(cells[0])[:-2]), *cells[1:]])


class Server:
    """`sipshop demo` with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        listen = [
            "--listen",
            f"{HOST}:{SIP}",
            "--http",
            f"{HOST}:{HTTP}",
            "--no-carrier",
            "--data",
            str(folder / "data"),
        ]
        self._token = folder / "data" / "token"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "sipshop", "demo", *listen], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def __enter__(self) -> Self:
        for _ in range(600):
            time.sleep(0.1)
            try:
                self.ask("GET", "/decks")
            except OSError:
                continue
            return self
        raise SystemExit("the server does not start")

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def ask(self, method: str, path: str, body: bytes | None = None) -> Any:
        """A command, and its answer."""
        connection = HTTPConnection(HOST, HTTP, timeout=120)
        try:
            headers = {"Authorization": f"Bearer {self._token.read_text().strip()}"}
            connection.request(method, f"/api/v1{path}", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise SystemExit(f"{method} {path}: {answer.status} {text.decode()}")
            return json.loads(text)
        finally:
            connection.close()

    def memory_mb(self, which: str) -> int:
        """What the process has now (VmRSS), or had at most (VmHWM)."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(which))
        return int(line.split()[1]) // 1024

    def cpu_s(self) -> float:
        """What it has used of a processor, with the processes that it has waited for."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(") ")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def quiet_ms(self) -> float:
        """The longest answer when nothing else is done."""
        with Pings() as pings:
            time.sleep(2)
        return max(pings.answered_ms)


class Pings:
    """OPTIONS, one every so often, until it is left."""

    def __init__(self) -> None:
        self.answered_ms: list[float] = []
        self.lost = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
            phone.connect((HOST, SIP))
            phone.settimeout(5.0)
            port = phone.getsockname()[1]
            for number in range(10**9):
                if self._stop.wait(EVERY_S):
                    return
                begun = time.perf_counter()
                phone.send(_options(number, port))
                try:
                    while f"z9hG4bK-{number};".encode() not in phone.recv(65_535):
                        pass
                except TimeoutError:
                    self.lost += 1
                    continue
                self.answered_ms.append((time.perf_counter() - begun) * 1000)

    def told(self) -> str:
        """The figures in a line."""
        found = sorted(self.answered_ms)
        late = found[int(len(found) * 0.99)]
        return (
            f"{len(found)} answered, {self.lost} lost; half of them in {statistics.median(found):.1f} ms, "
            f"99 of 100 in {late:.1f} ms, the longest in {found[-1]:.1f} ms"
        )


def _options(number: int, port: int) -> bytes:
    lines = (
        f"OPTIONS sip:{HOST}:{SIP} SIP/2.0",
        f"Via: SIP/2.0/UDP {HOST}:{port};branch=z9hG4bK-{number};rport",
        "Max-Forwards: 70",
        f"From: <sip:bench@{HOST}>;tag={number}",
        f"To: <sip:{HOST}>",
        f"Call-ID: bench-{number}",
        "CSeq: 1 OPTIONS",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()


if __name__ == "__main__":
    main()
