"""Real phones through the switch, over UDP, TCP and TLS: two of pjsua2 that hear each other, and baresip.

Where a connection is needed each phone opens one, and all that is said to it comes on that.
"""

from __future__ import annotations

import json
import math
import struct
import sys
import time
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from .harness import CERTIFICATES, HOST, SIPSHOP, Program, Server, Sipp, World, free_port, password, until
from .phones.baresip import TONE_HZ, Baresip

pytestmark = pytest.mark.wire

PHONE: Final = Path(__file__).parent / "phones" / "pjsua_phone.py"
needs_pjsua: Final = pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no pjsua2 for Python 3.13")
BOOTH_HZ: Final = 600
FAR_HZ: Final = 1000
TRANSPORTS: Final = ("udp", "tcp", "tls")
#: Where carriers live who are phones of pjsua2: by his address alone one is known who calls over a connection.
FAR: Final = {"udp": "127.0.0.3", "tcp": "127.0.0.4", "tls": "127.0.0.5"}
#: A number that leads to each of them.
FAR_NUMBERS: Final = dict(zip(TRANSPORTS, ("0039123", "0034123", "0033123"), strict=True))
BOOTHS: Final = tuple(f"{phone}_{transport}" for phone in ("pjsua", "baresip") for transport in TRANSPORTS)
#: What carriers call a booth by.
NUMBERS: Final = {booth: f"+4930555{place:02}" for place, booth in enumerate((*BOOTHS, "doubting"))}


@dataclass(frozen=True, slots=True)
class Exchange:
    """A switch, with the ports that it and its carriers listen on."""

    server: Server
    tls: int
    far: dict[str, int]  # by transport
    sipp: int

    def port(self, transport: str) -> int:
        """Where a phone reaches the switch."""
        return self.tls if transport == "tls" else self.server.sip


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchange]:
    folder = tmp_path_factory.mktemp("exchange")
    tls, echo, sipp = free_port(), free_port(), free_port()
    far = {transport: free_port() for transport in TRANSPORTS}
    text = World(
        booths={booth: f'inbound_numbers: ["{number}"]' for booth, number in NUMBERS.items()},
        trunks={
            "echo": f"port: {echo}, emergency: true",
            "sipp": f"port: {sipp}",
            # their certificate is for their domain, and not for where they are
            **{
                transport: f"host: {FAR[transport]}, port: {port}, transport: {transport}, "
                f"domain: carrier.example, sources: [{FAR[transport]}]"
                for transport, port in far.items()
            },
        },
        routes={"": ["echo"]} | {number[2:4]: [transport] for transport, number in FAR_NUMBERS.items()},
    ).yaml()
    text = text.replace("    booths:", "    inbound: open\n    booths:", 1)
    with (
        Program([*SIPSHOP, "carrier", "--listen", f"{HOST}:{echo}"], folder / "carrier.log") as carrier,
        Server(folder, text, tls_port=tls) as server,
    ):
        carrier.saw("SIP on")
        server.ready().unlock(*NUMBERS)
        yield Exchange(server, tls, far, sipp)


def pjsua(folder: Path, name: str, *errands: str, **options: object) -> Program:
    """A phone of pjsua2 that does these errands, and records what it hears."""
    command: list[object] = [sys.executable, PHONE, "--record", folder / f"{name}.wav"]
    for option, value in options.items():
        command += [f"--{option.replace('_', '-')}", value]
    return Program([str(word) for word in (*command, *errands)], folder / f"{name}.log")


def login(booth: str, port: int) -> dict[str, object]:
    """The options of a phone of a booth."""
    return {"port": free_port(), "server": f"{HOST}:{port}", "user": booth, "password": password(booth)}


def speaking(transport: str, certificate: str, authority: str = "authority") -> dict[str, object]:
    """The options of a phone that speaks a transport; by TLS it has a certificate, and believes an authority's."""
    files = {"certificate": certificate, "authority": authority}
    return {"transport": transport, **{option: CERTIFICATES / f"{name}.pem" for option, name in files.items()}}


@needs_pjsua
@pytest.mark.parametrize("transport", TRANSPORTS)
def test_two_phones_call_each_other_and_hear(exchange: Exchange, transport: str, tmp_path: Path) -> None:
    """Each plays a tone of its own and records the other: the pitch that is heard is the one that was played.

    Either calls twice; the first of the two calls is ended by who is called, the second by the caller. In between the
    booth registers once more. Over TCP and TLS one connection does for all of that, and it is the booth's.
    """
    server, booth, port = exchange.server, f"pjsua_{transport}", exchange.port(transport)
    number, far_number = NUMBERS[booth], FAR_NUMBERS[transport]
    with pjsua(
        tmp_path,
        "far",
        *("answer-and-leave", "answer", f"dial={number}", f"dial-and-leave={number}"),
        host=FAR[transport],
        port=exchange.far[transport],
        server=f"{HOST}:{port}",
        **speaking(transport, "carrier"),
        tone_hz=FAR_HZ,
        enough=30,
    ) as far:
        far.saw('"ready"')
        with pjsua(
            tmp_path,
            "booth",
            *(f"dial={far_number}", f"dial-and-leave={far_number}", "register", "answer-and-leave", "answer"),
            **login(booth, port),
            **speaking(transport, "phone"),
            tone_hz=BOOTH_HZ,
            enough=30,
        ) as phone:
            phone.saw('"answered"')
            [registered] = server.look(f"/registrations?booth={booth}")["registrations"]
            assert (registered["transport"], registered["reachable"]) == (transport.upper(), True)
            assert phone.wait() == 0, phone.said
            assert far.wait() == 0, far.said
    outbound = transport != "udp"  # it keeps its connection alive, and leaves at last
    registrations = [(event["status"], event["outbound"]) for event in told(phone, "registration")]
    assert registrations == [(200, outbound), (200, outbound), (200, False)]
    assert [event["error"] for event in told(phone, "connected")] == ([] if transport == "udp" else [0])
    assert told(phone, "disconnected") == []
    assert [min(sound["sent"], sound["received"]) >= 20 for sound in told(phone, "sound")] == [True] * 4
    for name, played, other in (("booth", FAR_HZ, BOOTH_HZ), ("far", BOOTH_HZ, FAR_HZ)):
        samples = samples_of(tmp_path / f"{name}.wav")
        assert share(samples, played) > 0.9
        assert share(samples, other) < 0.01
    cdrs = until(lambda: found if len(found := server.cdrs(booth)) == 4 else None, "four records")
    assert [(cdr["direction"], cdr["result"], cdr["trunk"], cdr["hung_up_by"]) for cdr in reversed(cdrs)] == [
        ("outbound", "answered", transport, "callee"),
        ("outbound", "answered", transport, "caller"),
        ("inbound", "answered", transport, "callee"),
        ("inbound", "answered", transport, "caller"),
    ]
    # everybody sells by one deck, and who is called pays nothing
    assert [[charge["amount"] for charge in cdr["charges"]] for cdr in reversed(cdrs)] == [["0.10"] * 3] * 2 + [[]] * 2
    until(lambda: server.booth(booth)["registered"] == 0, "the end of the registration")


def refusals(server: Server) -> dict[str, float]:
    """What was refused so far, and how often."""
    return {name: count for name, count in server.metrics().items() if name.startswith("sipshop_refused_total")}


@needs_pjsua
def test_a_phone_that_does_not_believe_our_certificate_tells_us_nothing(exchange: Exchange, tmp_path: Path) -> None:
    server = exchange.server
    challenged = refusals(server)
    doubting = {**login("doubting", exchange.tls), **speaking("tls", "phone", authority="desk"), "tone_hz": BOOTH_HZ}
    with pjsua(tmp_path, "doubting", "register", **doubting) as phone:
        phone.saw('"registration"')
        event, *_ = told(phone, "registration")
        assert (event["active"], "PJSIP_TLS_ECERTVERIF" in event["reason"]) == (False, True)
    assert refusals(server) == challenged  # whoever registers is challenged first


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_baresip_registers_calls_and_is_called(exchange: Exchange, transport: str, tmp_path: Path) -> None:
    server, booth = exchange.server, f"baresip_{transport}"
    with Baresip(tmp_path / "phone", booth, exchange.port(transport), transport=transport, number="030777") as phone:
        phone.saw("Call established")
        [registered] = server.look(f"/registrations?booth={booth}")["registrations"]
        assert registered["transport"] == transport.upper()
        began = time.monotonic()
        until(lambda: time.monotonic() - began > 1.4, "a talk of more than a second")
        phone.command("hangup")
        cdr = server.cdr(booth)
        assert (cdr["result"], cdr["hung_up_by"], cdr["e164"]) == ("answered", "caller", "4930777")
        assert [charge["amount"] for charge in cdr["charges"]] == ["0.17"] * 3  # everybody sells by one deck
        # the far end echoes: what it hears is the tone that it plays
        assert share(samples_of(phone.heard), TONE_HZ) > 0.9
        folder, number = tmp_path / "carrier", NUMBERS[booth]
        with Sipp("call_by_address", folder, to=server.sip, listen=exchange.sipp, number=number, booth="+4940") as call:
            call.passed()
        phone.quit()
    called, _ = until(lambda: found if len(found := server.cdrs(booth)) == 2 else None, "its second record")
    assert (called["direction"], called["result"], called["hung_up_by"]) == ("inbound", "answered", "caller")
    until(lambda: server.booth(booth)["registered"] == 0, "the end of the registration")


def told(phone: Program, event: str) -> list[dict[str, Any]]:
    """The events of that name that a phone of pjsua2 told, in order."""
    lines = [json.loads(line) for line in phone.said.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def samples_of(recording: Path) -> tuple[list[int], int]:
    """The 16-bit samples of a WAV file and how many there are a second, silence at both ends cut off."""
    with wave.open(str(recording)) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        data = file.readframes(file.getnframes())
        rate = file.getframerate()
    samples = list(struct.unpack(f"<{len(data) // 2}h", data))
    loud = [n for n, sample in enumerate(samples) if abs(sample) > 500]
    assert loud, f"{recording.name} is silent"
    return samples[loud[0] : loud[-1] + 1], rate


def share(sound: tuple[list[int], int], hz: int) -> float:
    """How much of a sound's power is at one frequency (Goertzel), by windows of 0.1 s that need not be in phase."""
    samples, rate = sound
    size = rate // 10
    windows = [samples[start : start + size] for start in range(0, len(samples) - size + 1, size)]
    assert len(windows) >= 10, "less than a second of sound"
    turn = 2 * math.cos(math.tau * hz / rate)
    at_the_tone = total = 0.0
    for window in windows:
        before = last = 0.0
        for sample in window:
            before, last = last, sample + turn * last - before
        at_the_tone += 2 * (before * before + last * last - turn * before * last) / size
        total += sum(sample * sample for sample in window)
    return at_the_tone / total
