"""The command line beside a server with calls on it: a world applied, and calls followed on a terminal."""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from .harness import HOST, Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

GERMANY: Final = "0049301234567"
_STEERING: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-Z\\-_])")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    carrier = free_port()
    with Server(tmp_path, world(carrier).yaml(), carrier_port=carrier) as server:
        yield server.ready()


def world(carrier: int, *more: str) -> World:
    """A shop with a booth, and with more of them."""
    booths = dict.fromkeys(("first", *more), "")
    return World(booths=booths, trunks={"carrier": f"port: {carrier}, emergency: true"}, routes={"": ["carrier"]})


def calling(server: Server, folder: Path, booth: str, pause_ms: int) -> Sipp:
    """A call from a booth that has been answered."""
    sipp = Sipp(
        "call",
        folder / "sipp",
        to=server.sip,
        booth=booth,
        password=password(booth),
        number=GERMANY,
        pause_ms=pause_ms,
    )
    until(lambda: [call for call in server.look("/calls")["calls"] if call["answered_at"]], "a talk")
    return sipp


def test_a_world_arrives_during_a_call(server: Server, tmp_path: Path) -> None:
    """The call that runs keeps its price, the next has the new one; the new booth calls."""
    server.unlock("first")
    old = server.cli("export-world").stdout
    dearer = tmp_path / "dearer.yaml"
    port = re.findall(r"port: (\d+)", (tmp_path / "world.yaml").read_text())[0]
    text = world(int(port), "second").yaml().replace('first_price: "0.12"', 'first_price: "0.40"')
    running = calling(server, tmp_path, "first", pause_ms=2500)

    dearer.write_text(text.replace("owner: Good Payer", "owner: Nobody"))
    broken = server.cli("apply", str(dearer))
    assert (broken.returncode, broken.stdout) == (2, "")
    assert "there is no owner named 'Nobody'" in broken.stderr
    assert server.cli("export-world").stdout == old, "nothing is half applied"

    dearer.write_text(text)
    applied = server.cli("apply", str(dearer))
    assert (applied.returncode, applied.stderr) == (0, "")
    assert "version 1 -> 2" in applied.stdout
    assert "+ booth second" in applied.stdout
    assert server.look("/calls")["calls"] != [], "the call went on"
    running.passed()
    assert server.cdr("first")["charges"][0]["amount"] == "0.17"

    server.unlock("second")
    calling(server, tmp_path, "second", pause_ms=300).passed()
    assert server.cdr("second")["charges"][0]["amount"] == "0.45"


class Terminal:
    """A program on a terminal of its own, as a person sees it."""

    def __init__(self, command: list[str], env: dict[str, str], *, columns: int) -> None:
        self.master, self._slave = os.openpty()
        self.resize(columns)
        self._before = termios.tcgetattr(self._slave)
        self._said = ""
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**os.environ, "TERM": "xterm", **env},
        )

    def resize(self, columns: int) -> None:
        """Make the window as wide as that; the program is told by the kernel."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def saw(self, pattern: str) -> str:
        """Wait until this is drawn, and return all that was since the last time, without what steers the screen."""

        def look() -> str | None:
            drawn = _STEERING.sub("", self.said)
            return drawn if re.search(pattern, drawn) else None

        drawn = until(look, f"{pattern!r} on the terminal")
        self._said = ""
        return drawn

    @property
    def said(self) -> str:
        """All that was written since the last look that found something."""
        while select.select([self.master], [], [], 0)[0]:
            self._said += os.read(self.master, 65_536).decode()
        return self._said

    def is_as_before(self) -> bool:
        """Whether the terminal's modes are what they were."""
        return termios.tcgetattr(self._slave) == self._before

    def close(self) -> None:
        """End the program if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self._slave)


@contextmanager
def followed(server: Server, *, columns: int) -> Iterator[Terminal]:
    """`sipshop calls` on a terminal."""
    env = {"SIPSHOP_URL": str(server.client.base_url), "SIPSHOP_TOKEN_FILE": str(server.data / "token")}
    terminal = Terminal([sys.executable, "-m", "sipshop", "calls"], env, columns=columns)
    try:
        yield terminal
    finally:
        terminal.close()


def test_calls_are_followed_on_a_terminal(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    server.unlock("first")
    with followed(server, columns=120) as terminal:
        terminal.saw("0 live; Ctrl-C ends it")
        call = calling(server, tmp_path, "first", pause_ms=4000)
        drawn = terminal.saw(rf"1 live; [\s\S]*Corner +first +answered +{GERMANY} +Germany +carrier +0:0\d +0.17 EUR")
        assert "Not shown" not in drawn
        terminal.resize(60)
        drawn = terminal.saw(rf"first +answered +{GERMANY}[\s\S]*Not shown in so narrow a window: Shop, Trunk")
        call.passed()
        terminal.saw("0 live; ")

        os.kill(server.process.pid, signal.SIGKILL)
        server.wait()
        terminal.saw(f"0 live; no server at http://{HOST}:{server.http}")
        text = (tmp_path / "world.yaml").read_text()
        with Server(tmp_path, text, sip_port=server.sip, http_port=server.http) as again:
            again.ready()
            terminal.saw("0 live; Ctrl-C ends it")
            os.write(terminal.master, b"\x03")
            assert terminal.process.wait(10) == 0
        assert terminal.is_as_before()
        assert terminal.said.endswith("\x1b[?25h\x1b[?1049l"), "the cursor, and the screen that was there before"
