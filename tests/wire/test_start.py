"""Starting: what is taken or in the way is said in one line that says what to do; and `make sipp` against the demo."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wire.nursery import run

from .conftest import Shop
from .harness import HOST, PATIENCE_S, ROOT, Program, Server, free_port, until

pytestmark = pytest.mark.wire


def test_what_is_taken_is_said_in_one_line(shop: Shop, tmp_path: Path) -> None:
    server, world = shop.server, shop.folder / "world.yaml"
    free = [f"{HOST}:{free_port()}" for _ in range(3)]
    sip, http = f"{HOST}:{server.sip}", f"{HOST}:{server.http}"
    starts: dict[str, tuple[str | Path, ...]] = {
        "SIP port": (tmp_path / "a", "--listen", sip, "--http", free[0], "--no-carrier"),
        "HTTP port": (tmp_path / "b", "--listen", free[0], "--http", http, "--no-carrier"),
        "database": (server.data, "--listen", free[0], "--http", free[1], "--no-carrier"),
        "carrier": (tmp_path / "c", "--listen", free[0], "--http", free[1], "--carrier-listen", sip),
        "folder": ("/proc/nothing", "--listen", free[0], "--http", free[1], "--no-carrier"),
    }
    said = {}
    for what, words in starts.items():
        done = run(("demo", "--world", world, "--data", *words), PATIENCE_S, folder=tmp_path)
        assert done.returncode == 2, f"{what}: {done}"
        assert done.stderr.count("\n") == 1, f"{what}: {done.stderr}"
        assert done.stderr.startswith("sipshop: ")
        said[what] = done.stderr
    assert str(server.sip) in said["SIP port"]
    assert "--listen" in said["SIP port"]
    assert "--http" in said["HTTP port"]


def test_a_carrier_on_a_taken_port_says_so(shop: Shop, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sipshop", "carrier", "--listen", f"{HOST}:{shop.server.sip}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1
    assert str(shop.server.sip) in done.stderr


def test_the_demo_s_carrier_dies_with_the_demo(tmp_path: Path) -> None:
    port = free_port()
    world = (ROOT / "conf" / "demo.yaml").read_text().replace("port: 5070", f"port: {port}")
    with Server(tmp_path, world, carrier_port=port, fresh=True) as server:
        server.ready()
        assert not bindable(port)
        server.kill()  # no chance to say goodbye
        until(lambda: bindable(port), "the end of the carrier")


def test_the_demo_ends_with_its_terminal(tmp_path: Path) -> None:
    with Server(tmp_path, (ROOT / "conf" / "demo.yaml").read_text(), fresh=True) as server:
        assert server.ready().stop(signal.SIGHUP) == -signal.SIGHUP


def bindable(port: int) -> bool:
    """Whether nobody listens for UDP on a port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def test_make_sipp_passes_against_the_demo(tmp_path: Path) -> None:
    port = free_port()
    world = (ROOT / "conf" / "demo.yaml").read_text().replace("port: 5070", f"port: {port}")
    with Server(tmp_path, world, carrier_port=port) as server:
        server.ready()
        command: list[str | Path] = [sys.executable, ROOT / "tools" / "sipp_run.py", "--sip", f"{HOST}:{server.sip}"]
        command += ["--http", str(server.client.base_url), "--token", server.data / "token"]
        with Program(command, tmp_path / "sipp_run.log") as tool:
            assert tool.wait(60) == 0, tool.said
            assert re.search(r"^22 scenarios, none failed", tool.said, re.MULTILINE)
        assert {server.booth(f"booth{n}")["state"] for n in range(1, 7)} == {"locked"}
        assert server.stop(signal.SIGTERM) == 0
