"""Run the SIPp scenarios of sipp-scenarios/ against a running demo (`make run`), one line each: `make sipp` does it.

It takes the booths of conf/demo.yaml that stand locked and without a bill, as many scenarios at a time as there are
such booths. It unlocks and locks them through the HTTP API as a scenario needs it, pays their bills when all is done
and leaves them locked. Exit status: 0 if everything passed, 1 if a scenario failed, 2 if nothing could be run.
"""

from __future__ import annotations

import argparse
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

SCENARIOS = Path(__file__).parent.parent / "sipp-scenarios"
TIMEOUT_S = 30
#: Scenarios that need what the demo does not have: a booth without a password, a carrier of their own, a broken disk,
#: proxies, half a minute.
ELSEWHERE = frozenset(
    {"call_by_address", "unwritable", "uas", "uas_503", "uas_busy", "uas_silent", "uas_routed", "routed_call", "no_ack"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A scenario and what it needs; numbers by their ends as the demo carrier reads them (`sipshop carrier`)."""

    scenario: str
    number: str = "030123456"
    unlocked: bool = True
    password: str | None = None
    transport: str = "u1"
    says: str


CASES = [
    Case(scenario="options", says="OPTIONS are answered without a challenge"),
    Case(scenario="register", says="a phone registers and leaves"),
    Case(scenario="register_and_call", transport="t1", says="a phone registers and calls over TCP"),
    Case(scenario="wrong_password", password="wrong", says="a wrong password is refused"),
    Case(scenario="locked", unlocked=False, says="a locked booth is refused"),
    Case(scenario="call", unlocked=False, number="112", says="112 is answered from a locked booth"),
    Case(scenario="call", says="a call"),
    Case(scenario="early_media", number="030183", says="sound before the answer"),
    Case(scenario="reliable", number="030183", says="100rel, UPDATE and a session timer"),
    Case(scenario="hold", says="on hold and back"),
    Case(scenario="inside", says="INFO and OPTIONS inside a call"),
    Case(scenario="callee_hangs_up", number="030800", says="the callee hangs up"),
    Case(scenario="busy", number="030486", says="a busy number"),
    Case(scenario="cancel", number="030408", says="nobody answers, and the caller gives up"),
    Case(scenario="unavailable", number="030503", says="no carrier takes the call"),
    Case(scenario="not_found", number="030404", says="the carrier does not know the number"),
    Case(scenario="late_offer", says="an offer in the 200, the answer in the ACK"),
    Case(scenario="cancel_too_late", says="a CANCEL after the answer changes nothing"),
    Case(scenario="bye_before_ack", says="a BYE that overtakes the ACK"),
    Case(scenario="to_tag", says="a To-tag is no proof of a call"),
    Case(scenario="stray_ack", says="an ACK for nothing is not answered"),
    Case(scenario="not_found", number="00999123", says="a number without a rate"),
]


class Demo:
    """The running server, by its HTTP API and its SIP address."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.sip: str = options.sip
        self.password: str = options.password
        headers = {"authorization": f"Bearer {Path(options.token).read_text(encoding='ascii').strip()}"}
        self._client = httpx.Client(base_url=f"{options.http}/api/v1", headers=headers, timeout=TIMEOUT_S)

    def free_booths(self) -> list[str]:
        """The booths that nobody uses: locked, without a session, without a call."""
        return [
            booth["booth"]
            for booth in self._ask("GET", "/booths")["booths"]
            if booth["state"] == "locked" and booth["session_id"] is None and not booth["suspended"]
        ]

    def set_locked(self, booth: str, *, locked: bool) -> None:
        """Lock or unlock a booth."""
        self._ask("POST", f"/booths/{booth}/{'lock' if locked else 'unlock'}")

    def check_out(self, booth: str) -> str | None:
        """Pay and lock a booth that was opened; its total with the currency, None where there was nothing to pay.

        A call whose record is still being written makes the server refuse: it is asked again for a while.
        """
        give_up = time.monotonic() + TIMEOUT_S
        while True:
            answer = self._client.get(f"/booths/{booth}/bill")
            if answer.status_code == httpx.codes.NOT_FOUND:
                return None
            bill = answer.raise_for_status().json()
            tender = {"version": bill["version"], "tendered": bill["due_in_cash"]}
            answer = self._client.post(f"/booths/{booth}/pay", json=tender)
            if answer.status_code != httpx.codes.CONFLICT or time.monotonic() > give_up:
                answer.raise_for_status()
                return f"{bill['total']} {bill['currency']}"
            time.sleep(0.1)

    def _ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer: dict[str, Any] = self._client.request(method, path, json=body).raise_for_status().json()
        return answer


def main(arguments: Sequence[str]) -> int:
    """Run every case, or those whose scenario is named; return the exit status."""
    parser = argparse.ArgumentParser(description="Run the SIPp scenarios against a running demo.")
    parser.add_argument("scenarios", nargs="*", help="names of scenarios; all if none is named")
    parser.add_argument("--sip", default="127.0.0.1:5060", help="the demo's SIP address")
    parser.add_argument("--http", default="http://127.0.0.1:8080", help="the demo's HTTP API")
    parser.add_argument("--token", default="data/token", help="the file with the API token")
    parser.add_argument("--password", default="demo-{booth}", help="the booths' passwords")
    options = parser.parse_args(arguments)
    known = {case.scenario for case in CASES}
    unknown = sorted(set(options.scenarios) - known)
    if unknown:
        print(
            f"sipshop: there is no scenario {', '.join(unknown)}; there are {', '.join(sorted(known))}", file=sys.stderr
        )
        return 2
    try:
        demo = Demo(options)
        booths = demo.free_booths()
    except OSError as error:
        print(f"sipshop: no token in {options.token} ({error.strerror}): is `make run` up?", file=sys.stderr)
        return 2
    except httpx.HTTPError as error:
        print(f"sipshop: no demo at {options.http} ({error}): start it with `make run`", file=sys.stderr)
        return 2
    if not booths:
        print("sipshop: no booth is locked and paid: lock and pay one first (sipshop booth list)", file=sys.stderr)
        return 2
    return run(demo, booths, [case for case in CASES if not options.scenarios or case.scenario in options.scenarios])


def run(demo: Demo, booths: Sequence[str], cases: Sequence[Case]) -> int:
    """Run the cases on these booths and say how each went; return the exit status."""
    began = time.monotonic()
    idle: queue.Queue[str] = queue.Queue()
    for booth in booths:
        idle.put(booth)

    def take(case: Case) -> tuple[str, str]:
        booth = idle.get()
        try:
            return booth, run_one(demo, booth, case)
        finally:
            idle.put(booth)

    failed = 0
    with ThreadPoolExecutor(len(booths)) as pool:
        for case, (booth, wrong) in zip(cases, pool.map(take, cases), strict=True):
            failed += bool(wrong)
            print(f"{'FAILED' if wrong else 'passed'}  {case.scenario:<18} {booth:<8} {case.says}")
            for line in wrong.splitlines():
                print(f"        {line}")
    for booth in booths:
        try:
            paid = demo.check_out(booth)
        except httpx.HTTPError as error:
            failed += 1
            print(f"FAILED  {booth} could not be paid and stays open: {error}")
            continue
        if paid is not None:
            print(f"paid    {booth}: {paid}")
    print(f"{len(cases)} scenarios, {failed or 'none'} failed, in {time.monotonic() - began:.1f} s")
    return 1 if failed else 0


def run_one(demo: Demo, booth: str, case: Case) -> str:
    """Run one case on a booth; what went wrong, or the empty text."""
    try:
        demo.set_locked(booth, locked=not case.unlocked)
    except httpx.HTTPError as error:
        return str(error)
    with tempfile.TemporaryDirectory() as folder:
        errors = Path(folder, "errors")
        password = case.password or demo.password.format(booth=booth)
        host = demo.sip.rpartition(":")[0]
        command = ["sipp", demo.sip, "-sf", str(SCENARIOS / f"{case.scenario}.xml"), "-t", case.transport]
        command += ["-s", case.number, "-key", "booth", booth, "-au", booth, "-ap", password, "-d", "500", "-m", "1"]
        command += ["-timeout", f"{TIMEOUT_S}", "-timeout_error", "-recv_timeout", "15000", "-nostdin"]
        command += ["-trace_err", "-error_file", str(errors)]
        if host == "127.0.0.1":
            command += ["-i", host]
        done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode == 0:
            return ""
        said = errors.read_text(errors="replace") if errors.exists() else done.stderr.decode(errors="replace")
        return f"SIPp ended with status {done.returncode}\n{said.strip()}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
