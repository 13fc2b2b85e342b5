"""What the wire tests share: one shop with its carriers for the tests that leave no trace on each other."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .harness import PATIENCE_S, Server, World, free_port


@dataclass(frozen=True, slots=True)
class Shop:
    """A running server with the demo carrier, and the ports of trunks where a test may put a carrier of its own."""

    server: Server
    folder: Path
    no_circuit: int  # tried first for France
    silent: int  # tried first for Spain


#: A booth for each test, named after it, so that the tests can run side by side on one server.
BOOTHS = {
    **dict.fromkeys(
        (
            *("register", "wrong_password", "locked", "call", "mobile", "busy", "no_circuit_anywhere", "not_found"),
            *("no_rate", "bad_number", "no_answer", "cancel", "hold", "callee_hangs_up", "early_media", "inside"),
            *("register_and_call", "tcp", "emergency", "second_trunk", "silent_trunk", "desk", "cut", "busy_booth"),
            *("options", "trace", "reliable"),
            *("late_offer", "cancel_too_late", "bye_before_ack", "to_tag", "stray_ack"),
        ),
        "",
    ),
    "by_address": "auth: ip, ip: 127.0.0.2",
    "crowd": "calls: 20",
}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    carrier, no_circuit, silent = (free_port() for _ in range(3))
    world = World(
        booths=BOOTHS,
        other_booths=("suspended",),
        trunks={
            "carrier": f"port: {carrier}, emergency: true",
            "impatient": f"port: {carrier}, answer_timeout_s: 2",
            "no_circuit": f"port: {no_circuit}",
            "silent": f"port: {silent}, first_response_timeout_s: 1",
        },
        routes={
            "": ["carrier"],
            "43": ["impatient"],
            "33": ["no_circuit", "carrier"],
            "34": ["silent", "carrier"],
        },
    )
    with Server(folder, world.yaml(), carrier_port=carrier) as server:
        yield Shop(server.ready(), folder, no_circuit, silent)


@pytest.fixture
def do() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Run something on an event loop of its own, beside the test."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield lambda work: asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(asyncio.sleep(0))  # what was closed is gone a turn later
    loop.close()
