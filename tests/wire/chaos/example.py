"""The example of 137 s on the wire: one call on a quiet server, and what each of four levels pays for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.wire.harness import ROOT, Server, Sipp, free_port

#: In the middle of the 137th second: what the way of the BYE takes does not matter.
TALK_MS: Final = 136_500
AMOUNTS: Final = ("0.87", "0.414", "0.319667", "0.2512")
MARGINS: Final = (None, "0.456", "0.094333", "0.068467")


def example(folder: Path) -> list[str]:
    """Make the call, which takes 137 s, and say what is wrong about its CDR."""
    carrier = free_port()
    world = (ROOT / "tests" / "worlds" / "chain.yaml").read_text().replace("port: 5070", f"port: {carrier}")
    with Server(folder, world, carrier_port=carrier) as server:
        server.ready().unlock("b00")
        with Sipp(
            *("call", folder),
            to=server.sip,
            booth="b00",
            password="pw00",
            number="030123456",
            pause_ms=TALK_MS,
            within_s=TALK_MS // 1000 + 30,
        ) as booth:
            booth.passed()
        charges = server.cdr("b00")["charges"]
    found = {
        "amounts": tuple(_plain(charge["amount"]) for charge in charges),
        "margins": tuple(_plain(charge["margin"]) for charge in charges),
    }
    return [
        f"{name} are {found[name]} and not {expected}"
        for name, expected in (("amounts", AMOUNTS), ("margins", MARGINS))
        if found[name] != expected
    ]


def _plain(amount: str | None) -> str | None:
    """An amount without zeros at its end."""
    return None if amount is None else re.sub(r"\.?0+$", "", amount)
