"""SIPVicious against a running server: what every server on the internet meets within its first hour."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import HOST, Server, World, free_port, password

pytestmark = pytest.mark.wire

#: Its User-Agent is a default argument; a thief changes it.
_RUN = """
import sys
from sipvicious.libs import svhelper
from sipvicious import {tool}
if {agent!r}:
    defaults = svhelper.makeRequest.__defaults__
    assert "friendly-scanner" in defaults
    svhelper.makeRequest.__defaults__ = tuple({agent!r} if x == "friendly-scanner" else x for x in defaults)
sys.argv[0] = {tool!r}
sys.exit({tool}.main())
"""
PHONE = "Yealink SIP-T42S 66.85.0.5"
WITHIN_S = 60.0


class Thief:
    """Runs the tools side by side, and gives what each has printed."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self.folder = folder

    def run(self, *tools: tuple[str, str | None, tuple[str, ...]]) -> list[str]:
        running = [
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", _RUN.format(tool=tool, agent=agent), *words],
                env={**os.environ, "HOME": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for tool, agent, words in tools
        ]
        try:
            said = [program.communicate(timeout=WITHIN_S)[0] for program in running]
        finally:
            for program in running:
                program.kill()
        for text in said:
            assert "Traceback" not in text, text
        return said

    def map(self, agent: str | None) -> tuple[str, str | None, tuple[str, ...]]:
        return "svmap", agent, ("-p", str(self.server.sip), HOST)

    def war(self, agent: str | None, method: str) -> tuple[str, str | None, tuple[str, ...]]:
        port = str(self.server.sip)
        words = ("-e", "100-105", "-m", method, "-p", port, "--force", "--maximumtime", "3", HOST)
        return "svwar", agent, words

    def crack(self, agent: str | None, user: str, *more: str) -> tuple[str, str | None, tuple[str, ...]]:
        """Guess, with the right password as the tenth and the fortieth guess."""
        words = [*(f"guess{number}" for number in range(9)), password(user)]
        words += [*(f"another{number}" for number in range(29)), password(user)]
        dictionary = self.folder / f"words-{user}"
        dictionary.write_text("".join(f"{word}\n" for word in words))
        port = str(self.server.sip)
        return "svcrack", agent, ("-u", user, "-d", str(dictionary), "-p", port, "--maximumtime", "3", *more, HOST)


@pytest.fixture
def thief(tmp_path: Path) -> Iterator[Thief]:
    """The carrier has another address than the thief: where a carrier of ours is, nobody is banned."""
    world = World(
        booths={"101": "", "102": "", "103": ""},
        trunks={"one": f"port: {free_port()}, emergency: true"},
        routes={"": ["one"]},
    )
    with Server(tmp_path, world.yaml().replace(f"host: {HOST}", "host: 127.0.0.9")) as server:
        yield Thief(server.ready(), tmp_path)


def test_sipvicious_finds_no_server_no_account_and_no_password(thief: Thief) -> None:
    own_map, map_as_phone, own_war, *wars = thief.run(
        thief.map(None),
        thief.map(PHONE),
        thief.war(None, "REGISTER"),
        *(thief.war(PHONE, method) for method in ("REGISTER", "INVITE", "OPTIONS")),
    )
    assert "found nothing" in own_map
    assert f"{HOST}:{thief.server.sip}" in map_as_phone, "who asks like a phone is answered: the port is no secret"
    for said in (own_war, *wars):
        assert "found nothing" in said
        assert "| Extension" not in said
    assert thief.server.look("/bans")["bans"] == [], "who only asks is not banned"

    own_crack, crack, crack_again = thief.run(
        thief.crack(None, "101"), thief.crack(PHONE, "102"), thief.crack(PHONE, "103", "-n")
    )
    for said in (own_crack, crack, crack_again):
        assert "found nothing" in said
        assert "secret" not in said
    bans = thief.server.look("/bans")["bans"]
    assert {ban["account"] for ban in bans} == {"102", "103"}
    assert {ban["source"] for ban in bans} == {HOST}
    dropped = thief.server.metrics()
    assert dropped['sipshop_dropped_total{reason="scanner"}'] >= 3
    assert dropped['sipshop_dropped_total{reason="banned"}'] >= 2

    assert thief.server.api("DELETE", f"/bans/{HOST}?account=102").json() == {"lifted": 1}
    assert [ban["account"] for ban in thief.server.look("/bans")["bans"]] == ["103"]
    listed = thief.server.cli("ban", "list")
    assert "103" in listed.stdout, listed
    assert "1 bans of 127.0.0.1 are lifted" in thief.server.cli("ban", "lift", HOST, "--account", "103").stdout
    assert thief.server.look("/bans")["bans"] == []
