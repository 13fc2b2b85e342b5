"""What is acknowledged is on the disk: the server is slowed down, lied to, killed and locked out, and asked afterwards.

Each test has a server of its own, and a far end that outlives it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from .harness import HOST, Program, Server, Sipp, World, free_port, password, strace, until

pytestmark = pytest.mark.wire

NUMBER: Final = "030123456"
DELAY_S: Final = 0.3


def world(trunk: int) -> str:
    return World(
        booths={"one": "", "two": "", "crowd": "calls: 100"},
        other_booths=("suspended",),
        trunks={"carrier": f"port: {trunk}, emergency: true"},
        routes={"": ["carrier"]},
    ).yaml()


@contextmanager
def demo_carrier(folder: Path) -> Iterator[int]:
    """A demo carrier that belongs to the test and not to the server; gives its port."""
    port = free_port()
    command = [sys.executable, "-m", "sipshop", "carrier", "--listen", f"{HOST}:{port}"]
    with Program(command, folder / "carrier.log") as carrier:
        carrier.saw("carrier: SIP on")
        yield port


def test_the_booth_is_not_told_before_the_disk_has_it(tmp_path: Path) -> None:
    """Every fsync takes 0.3 s: the 200 that the carrier sent is passed on 0.3 s later or more."""
    trunk = free_port()
    with Server(tmp_path, world(trunk)) as server:
        server.ready().unlock("one")
        with (
            strace(server, tmp_path, f"delay_enter={int(DELAY_S * 1_000_000)}"),
            Sipp("uas", tmp_path, listen=trunk) as carrier,
            Sipp("call", tmp_path, to=server.sip, booth="one", password=password("one"), number=NUMBER) as booth,
        ):
            booth.passed()
            carrier.passed()
        sent = next(message.at for message in carrier.messages if message.sent and message.is_response(200, "INVITE"))
        passed_on = next(message.at for message in booth.messages if message.is_response(200, "INVITE"))
        assert DELAY_S <= (passed_on - sent).total_seconds() < 2.0
        assert server.cdr("one")["result"] == "answered"


def test_an_answer_that_the_disk_refuses_is_no_answer(tmp_path: Path) -> None:
    """Every fsync fails: the carrier that answered gets BYE, the booth 503; when the disk is well again, so are we."""
    trunk = free_port()
    with Server(tmp_path, world(trunk)) as server:
        server.ready().unlock("one", "two")
        with (
            strace(server, tmp_path, "error=EIO"),
            Sipp("uas", tmp_path, listen=trunk) as carrier,
            Sipp("unwritable", tmp_path, to=server.sip, booth="one", password=password("one"), number=NUMBER) as booth,
        ):
            booth.passed()
            carrier.passed()
            assert server.client.get("/readyz").status_code == 503
        server.ready()
        cdr = server.cdr("one")
        assert (cdr["sip_status"], cdr["talk_ms"], cdr["charges"]) == (503, 0, [])
        with (
            Sipp("uas", tmp_path, listen=trunk) as carrier,
            Sipp("call", tmp_path, to=server.sip, booth="two", password=password("two"), number=NUMBER) as booth,
        ):
            booth.passed()
            carrier.passed()
        assert [charge["amount"] for charge in server.cdr("two")["charges"]] == [
            "0.17"
        ] * 3  # everybody sells by one deck


@pytest.mark.scenario(27)
def test_every_answered_call_has_one_record_whatever_dies(tmp_path: Path) -> None:
    """SIGKILL under calls: what the booths' logs say was answered is what the CDRs say after the restart."""
    with demo_carrier(tmp_path) as trunk, Server(tmp_path, world(trunk)) as server:
        server.ready().unlock("one", "crowd")
        with (
            caller(server, tmp_path, "one", calls=1) as early,
            caller(server, tmp_path, "crowd", calls=60) as crowd,
        ):
            until(lambda: len(answered(early)) == 1, "the first answer")
            # the calls come at 30/s and are answered after 1 s: some talk, some ring, some have yet to come
            until(lambda: len(answered(crowd)) >= 15, "15 answers")
            server.kill()
            seen = answered(early) | answered(crowd)
            assert 16 <= len(seen) < 61
            with Server(tmp_path, world(trunk), sip_port=server.sip) as restarted:
                restarted.ready()
                until(lambda: seen <= ended(early) | ended(crowd), "a BYE for each call that was answered")
                early.kill()
                crowd.kill()
                cdrs = [*restarted.cdrs("one"), *restarted.cdrs("crowd")]
                counted = [cdr["leg_a_call_id"] for cdr in cdrs]
                assert len(counted) == len(set(counted))
                # phones that had not been answered try again, and may be in new calls by now
                found = [cdr for cdr in cdrs if cdr["recovered"]]
                assert seen <= {cdr["leg_a_call_id"] for cdr in found}
                for cdr in found:
                    # whose answer was on the disk, but not yet when it was passed on, pays nothing
                    assert (cdr["result"] == "answered") == (cdr["answered_at"] is not None)
                    assert (cdr["talk_ms"] > 0) <= (cdr["leg_a_call_id"] in seen)
                    assert {charge["amount"] for charge in cdr["charges"]} <= {"0.17" if cdr["talk_ms"] else "0.00"}
                assert sum(cdr["result"] == "answered" for cdr in found) >= len(seen) - 3
                assert restarted.booth("one")["state"] == "open"
                assert restarted.booth("two")["state"] == "locked"


def test_a_call_that_died_with_us_is_charged_to_the_last_heartbeat(tmp_path: Path) -> None:
    """A call that outlived a heartbeat pays its first minute, though nobody could write down its end."""
    with demo_carrier(tmp_path) as trunk, Server(tmp_path, world(trunk)) as server:
        server.ready().unlock("one")
        with caller(server, tmp_path, "one", calls=1) as call:
            until(lambda: (server.booth("one")["seconds"] or 0) >= 6, "a call of 6 s, and a heartbeat in it")
            server.kill()
            with Server(tmp_path, world(trunk), sip_port=server.sip) as restarted:
                cdr = restarted.ready().cdr("one")
                assert (cdr["result"], cdr["recovered"], cdr["hung_up_by"]) == ("answered", True, "switch")
                assert 0 < cdr["talk_ms"] < 10_000
                assert [charge["amount"] for charge in cdr["charges"]] == ["0.17"] * 3  # everybody sells by one deck
                assert restarted.api("GET", "/booths/one/bill").json()["total"] == "0.17"
                until(lambda: ended(call), "its BYE")


def caller(server: Server, folder: Path, booth: str, *, calls: int) -> Sipp:
    """Calls that do not end by themselves."""
    known = password(booth)
    return Sipp(
        *("call", folder),
        to=server.sip,
        booth=booth,
        password=known,
        number=NUMBER,
        pause_ms=60_000,
        calls=calls,
        rate=30,
    )


def answered(run: Sipp) -> set[str]:
    """The calls whose 200 is in the log."""
    return {m.call_id for m in run.messages if not m.sent and m.is_response(200, "INVITE")}


def ended(run: Sipp) -> set[str]:
    """The calls that somebody else ended."""
    return {m.call_id for m in run.messages if not m.sent and m.is_request("BYE")}


def test_112_reaches_the_carrier_whatever_is_wrong_with_us(tmp_path: Path) -> None:
    """From a locked booth of a suspended owner, on a database that cannot be written: 112 is answered."""
    with demo_carrier(tmp_path) as trunk:
        with Server(tmp_path, world(trunk)) as server:
            server.ready().unlock("one")
            server.command("/parties/Bad Payer/suspend")
            server.stop()
        with ExitStack() as disk:
            disk.enter_context(read_only(server.data))
            with Server(tmp_path, world(trunk)) as server:
                server.ready(path="/healthz")
                assert server.client.get("/readyz").status_code == 503
                assert server.booth("suspended")["suspended"]
                assert server.booth("suspended")["state"] == "locked"
                known = password("suspended")
                with Sipp("call", tmp_path, to=server.sip, booth="suspended", password=known, number="112") as booth:
                    booth.passed()
                assert (
                    server.metrics()['sipshop_calls_total{carrier="carrier",result="answered",tenant="Wire Telecom"}']
                    == 1
                )
                # what has to be paid for cannot be answered now, but is not refused beforehand either
                known = password("one")
                with Sipp("unwritable", tmp_path, to=server.sip, booth="one", password=known, number=NUMBER) as booth:
                    booth.passed()
                assert server.api("POST", "/booths/two/unlock").status_code == 503
                disk.close()  # the disk is well again: what was kept in memory is written down
                emergency = server.ready().cdr("suspended")
                assert (emergency["kind"], emergency["result"], emergency["charges"]) == ("emergency", "answered", [])
                assert server.cdr("one")["sip_status"] == 503


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder and its files unwritable, for root too: by the file system's own flag, or by a mount over it."""
    if os.geteuid() != 0:
        lock, unlock = (["chmod", "-R", mode, str(folder)] for mode in ("a-w", "u+w"))
    elif subprocess.run(["chattr", "+i", *files(folder)], capture_output=True, check=False).returncode == 0:
        lock, unlock = (["chattr", flag, *files(folder)] for flag in ("+i", "-i"))
    else:
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        lock, unlock = ["mount", "-o", "remount,bind,ro", str(folder)], ["umount", str(folder)]
    subprocess.run(lock, check=True)
    try:
        yield
    finally:
        subprocess.run(unlock, check=True)


def files(folder: Path) -> list[str]:
    """A folder and all that is in it."""
    return [str(folder), *(str(path) for path in folder.iterdir())]


def test_a_server_that_is_told_to_stop_ends_its_calls_first(tmp_path: Path) -> None:
    with demo_carrier(tmp_path) as trunk, Server(tmp_path, world(trunk)) as server:
        server.ready().unlock("one")
        with Sipp(
            "callee_hangs_up", tmp_path, to=server.sip, booth="one", password=password("one"), number=NUMBER
        ) as booth:
            until(lambda: server.booth("one")["seconds"] is not None, "the answer")
            assert server.stop(signal.SIGINT) == 0
            booth.passed()
        with Server(tmp_path, world(trunk)) as again:
            cdr = again.ready().cdr("one")
            assert (cdr["result"], cdr["hung_up_by"], cdr["recovered"]) == ("answered", "switch", False)
