"""The people of a chaos run: who pays and checks out at the desks, and who watches every account."""

from __future__ import annotations

import random
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

import httpx

from tests.wire.chaos.scene import Booth
from tests.wire.harness import HOST, Server

_LOOK_EVERY_S: Final = 0.25
_MICROS: Final = 1_000_000
#: What a customer of a booth may be unlocked for.
_TERMS: Final[Sequence[Mapping[str, object]]] = ({}, {"deposit": "0.08"}, {"limit": "0.30"}, {"minutes": 1})


@dataclass(slots=True)
class Desk:
    """The people at the desks and the parties who pay: what they asked for, and what they were told is done.

    Who gets no answer asks again with the same key, in the next life if need be.
    """

    dice: random.Random
    asked: dict[str, tuple[str, str, int]] = field(default_factory=dict)  # by key: path, whose transfer, micro-units
    acknowledged: dict[str, int] = field(default_factory=dict)  # by the key of the transfer
    paid: dict[int, int] = field(default_factory=dict)  # by session
    is_open: dict[str, bool] = field(default_factory=dict)  # by booth; who got no answer does not know
    serial: int = 0

    def opens(self, server: Server, booth: Booth) -> None:
        """Unlock a booth, for one kind of terms or another."""
        self.is_open.pop(booth.name, None)
        answer = server.api("POST", f"/booths/{booth.name}/unlock", self.dice.choice(_TERMS))
        if answer.status_code == httpx.codes.OK:
            self.is_open[booth.name] = True

    def pays_in(self, server: Server, micros: int, party: str) -> None:
        """A party pays."""
        self._ask(server, f"/parties/{party}/payments", "payment", micros)

    def tops_up(self, server: Server, booth: Booth, micros: int) -> None:
        """A customer pays more of a deposit."""
        self._ask(server, f"/booths/{booth.name}/topup", "topup", micros)

    def asks_again(self, server: Server) -> None:
        """Ask for everything again that nobody answered."""
        for key in list(self.asked):
            self._send(server, key)

    def checks_out(self, server: Server, booth: Booth) -> None:
        """A customer pays and leaves, if no call is going on, and the next one comes; also into a booth left locked."""
        bill = server.api("GET", f"/booths/{booth.name}/bill")
        if bill.status_code == httpx.codes.OK:
            tender = {"version": bill.json()["version"], "tendered": bill.json()["due"]}
            was_open = self.is_open.pop(booth.name, None)
            payment = server.api("POST", f"/booths/{booth.name}/pay", tender)
            if payment.status_code == httpx.codes.OK:
                self.is_open[booth.name] = False
                self.paid[payment.json()["session_id"]] = _micros(payment.json()["total"])
                self.opens(server, booth)
            elif was_open is not None and payment.status_code == httpx.codes.CONFLICT:
                self.is_open[booth.name] = was_open
        elif bill.status_code == httpx.codes.NOT_FOUND:
            self.opens(server, booth)

    def _ask(self, server: Server, path: str, kind: str, micros: int) -> None:
        self.serial += 1
        key = f"chaos-{self.serial}"
        self.asked[key] = path, f"{kind}:{key}", micros
        self._send(server, key)

    def _send(self, server: Server, key: str) -> None:
        path, transfer, micros = self.asked[key]
        body = {"amount": f"{Decimal(micros) / _MICROS:f}"} | ({"reason": "chaos"} if "/parties/" in path else {})
        answer = server.api("POST", path, body, key=key)
        if answer.status_code == httpx.codes.OK:
            self.acknowledged[transfer] = micros
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            del self.asked[key]


class Watcher(threading.Thread):
    """Looks at every account through the API, again and again, in all lives."""

    def __init__(self, http: int, token: Path) -> None:
        super().__init__(daemon=True)
        self.wrong: list[str] = []
        self.looks = 0
        self.most_calls = 0
        self._url = f"http://{HOST}:{http}/api/v1"
        self._token = token
        self._over = threading.Event()

    def run(self) -> None:
        """Look until told to stop; a server that is down is no news."""
        while not self._over.wait(_LOOK_EVERY_S):
            with suppress(httpx.HTTPError, OSError, KeyError):
                self._look()

    def stop(self) -> None:
        """Have the last look."""
        self._over.set()
        self.join()

    def _look(self) -> None:
        headers = {"authorization": f"Bearer {self._token.read_text().strip()}"}
        with httpx.Client(base_url=self._url, headers=headers, timeout=5) as client:
            parties = client.get("/parties").raise_for_status().json()["parties"]
            there = client.get("/booths").raise_for_status().json()["booths"]
        self.looks += 1
        self.most_calls = max(self.most_calls, sum(booth["live_calls"] for booth in there))
        for party in parties:
            if party["available"] is not None and Decimal(party["available"]) < 0:
                self.wrong.append(f"party {party['party']} has {party['available']} available")
        for booth in there:
            if booth["available"] is not None and Decimal(booth["available"]) < 0:
                self.wrong.append(f"the session of {booth['booth']} has {booth['available']} available")
            if booth["left_ms"] is not None and booth["left_ms"] < 0:
                self.wrong.append(f"the session of {booth['booth']} has {booth['left_ms']} ms left")


def _micros(amount: str) -> int:
    return int(Decimal(amount) * _MICROS)
