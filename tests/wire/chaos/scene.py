"""The scene of a chaos run: a world of three levels with tiny balances, its carriers, and crowds of booths."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from tests.wire.harness import HOST, Program, free_port

TENANT: Final = "Tel"
RESELLERS: Final = ("North", "South")
#: Owners by their reseller.
OWNERS: Final = {"Nora": "North", "Nils": "North", "Susan": "South", "Sam": "South"}
#: How long booths talk who are not cut, in milliseconds: one crowd each.
TALKS_MS: Final = (900, 3_000, 9_000)
#: How long carriers ring, and how long their callees talk, in milliseconds.
CARRIERS: Final = {"quick": (20, 3_600_000), "slow": (500, 3_600_000), "talkative": (150, 2_500)}
EMERGENCY: Final = "112"


@dataclass(frozen=True, slots=True)
class Booth:
    """A booth of the world; its owner is named where that matters."""

    name: str
    password: str
    owner: str = ""


def booths(count: int) -> list[Booth]:
    """As many booths, dealt to the owners in turn."""
    owners = list(OWNERS)
    return [Booth(f"b{n:03}", f"pw{n:03}", owners[n % len(owners)]) for n in range(count)]


def world(there: Sequence[Booth], ports: Mapping[str, int], opening: Decimal) -> str:
    """The world as YAML, with a trunk to each carrier by its name and port.

    Owners begin with the amount `opening` and a fourth of it as credit, resellers with three times as much.
    """

    def deck(name: str, places: int, rate: str) -> str:
        head = f"  - name: {name}\n    currency: EUR\n    round: {{mode: half_up, places: {places}}}\n    rates:\n"
        return head + f'      - {{prefix: "49", destination: Germany, {rate}}}\n'

    def shop(owner: str) -> str:
        return "".join(
            (
                f"  - name: Shop of {owner}\n    owner: {owner}\n    deck: shop-sell\n",
                '    country_code: "49"\n    emergency: ["112"]\n    booths:\n',
                *(f"      - {{name: {b.name}, password: {b.password}}}\n" for b in there if b.owner == owner),
            )
        )

    return "".join(
        (
            f"provider: {{name: {TENANT}}}\nresellers:\n",
            *(f'  - {{name: {name}, deck: tel-sell, opening: "{3 * opening}"}}\n' for name in RESELLERS),
            "owners:\n",
            *(
                f"  - {{name: {name}, parent: {parent}, deck: reseller-sell, "
                f'opening: "{opening}", credit_limit: "{opening / 4}"}}\n'
                for name, parent in OWNERS.items()
            ),
            "decks:\n",
            deck("shop-sell", 2, 'connect_fee: "0.01", first_s: 1, first_price: "0.60", next_s: 1'),
            deck("reseller-sell", 6, 'first_s: 6, first_price: "0.48", next_s: 6'),
            deck("tel-sell", 6, 'first_s: 1, first_price: "0.36", next_s: 1'),
            deck("carrier-sell", 4, 'first_s: 1, first_price: "0.24", next_s: 1'),
            "trunks:\n",
            *(
                f"  - {{name: {name}, deck: carrier-sell, host: {HOST}, port: {port}, emergency: true}}\n"
                for name, port in ports.items()
            ),
            'routes:\n  - prefix: ""\n    trunks:\n',
            *(f"      - {{trunk: {name}, priority: 1, weight: 1}}\n" for name in ports),
            "shops:\n",
            *(shop(owner) for owner in OWNERS),
        )
    )


class Foreigner(Program):
    """A SIPp of this run; of each message it logs the time, the way, the Call-ID, the CSeq and the first line."""

    def __init__(self, name: str, scenario: str, folder: Path, *words: str) -> None:
        file = folder / f"{name}.xml"
        file.write_text(scenario)
        self.messages = folder / f"{name}.messages"
        command: list[str | Path] = ["sipp", "-sf", file, "-i", HOST, "-t", "u1", "-nostdin", *words]
        command += ["-trace_shortmsg", "-shortmessage_file", self.messages]
        command += ["-trace_err", "-error_file", folder / f"{name}.errors"]
        super().__init__(command, folder / f"{name}.screen")

    def begin_no_more(self) -> None:
        """Let the calls that there are come to their end, and begin no more."""
        self.process.send_signal(signal.SIGUSR1)

    def lines(self) -> Iterator[Line]:
        """What it logged so far."""
        with self.messages.open(encoding="utf-8", errors="replace") as log:
            for line in log:
                words = line.rstrip("\n").split("\t")
                if len(words) == 7:  # the last one may be half a line
                    at, way, call_id, cseq, first = words[2:]
                    yield Line(float(at), way == "S", call_id, cseq.rpartition(" ")[2], first)


@dataclass(frozen=True, slots=True)
class Line:
    """One message: when (seconds since the epoch), which way, its call, the method of its CSeq and its first line."""

    at: float
    sent: bool
    call_id: str
    method: str
    first: str

    @property
    def is_answer(self) -> bool:
        """Whether it answers a call."""
        return self.method == "INVITE" and self.first.startswith("SIP/2.0 200 ")

    @property
    def is_emergency(self) -> bool:
        """Whether it is the beginning of an emergency call."""
        return self.first.startswith((f"INVITE sip:{EMERGENCY}@", f"INVITE sip:+{EMERGENCY}@"))

    @property
    def is_bye(self) -> bool:
        """Whether it hangs up."""
        return self.first.startswith("BYE ")


def crowd(
    name: str,
    scenario: str,
    folder: Path,
    there: Sequence[Booth],
    *,
    to: int,
    calls: int,
    rate: int,
    number: str,
    total: int = 10_000_000,
) -> Foreigner:
    """Booths that call in turn, `rate` a second but no more than `calls` at once, until they are told to end.

    Or until there were `total` calls.
    """
    fields = folder / f"{name}.csv"
    lines = (f"{b.name};[authentication username={b.name} password={b.password}];{number}\n" for b in there)
    fields.write_text("".join(("SEQUENTIAL\n", *lines)))
    words = ("-p", str(free_port()), "-inf", str(fields), "-l", str(calls), "-r", str(rate), "-m", str(total))
    return Foreigner(name, scenario, folder, *words, f"{HOST}:{to}")
