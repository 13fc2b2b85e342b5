"""Real phones through the switch: two of pjsua2 that hear each other, and baresip."""

from __future__ import annotations

import json
import math
import socket
import struct
import sys
import wave
from pathlib import Path
from typing import Any, Final

import pytest

from .conftest import Shop
from .harness import HOST, Program, free_port, password, until

pytestmark = pytest.mark.wire

PHONE: Final = Path(__file__).parent / "phones" / "pjsua_phone.py"
BARESIP_MODULES: Final = Path("/usr/lib/baresip/modules")
BOOTH_HZ: Final = 600
FAR_HZ: Final = 1000


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="there is no pjsua2 for Python 3.13")
def test_two_phones_hear_each_other(shop: Shop, tmp_path: Path) -> None:
    """Each plays a tone of its own and records the other: the pitch that is heard is the one that was played."""
    server = shop.server
    server.unlock("pjsua")
    far_wav, booth_wav = tmp_path / "far.wav", tmp_path / "booth.wav"
    listen: list[str | Path] = [
        sys.executable,
        PHONE,
        "--port",
        str(shop.phone),
        "--tone-hz",
        str(FAR_HZ),
        "--record",
        str(far_wav),
    ]
    dial: list[str | Path] = [
        sys.executable,
        PHONE,
        "--port",
        str(free_port()),
        "--tone-hz",
        str(BOOTH_HZ),
        "--record",
        str(booth_wav),
    ]
    dial += [
        "--server",
        f"{HOST}:{server.sip}",
        "--user",
        "pjsua",
        "--password",
        password("pjsua"),
        "--dial",
        "0039123",
    ]
    with Program(listen, tmp_path / "far.log") as far:
        far.saw('"ready"')
        with Program(dial, tmp_path / "booth.log") as booth:
            booth.saw('"answered"')
            assert server.booth("pjsua")["registered"] == 1
            assert booth.wait() == 0, booth.said
            assert far.wait() == 0, far.said
    for phone in (booth, far):
        sound = told(phone, "sound")
        assert sound["sent"] >= 90
        assert sound["received"] >= 90
    for recording, played, other in ((booth_wav, FAR_HZ, BOOTH_HZ), (far_wav, BOOTH_HZ, FAR_HZ)):
        samples = samples_of(recording)
        assert share(samples, played) > 0.9
        assert share(samples, other) < 0.01
    cdr = server.cdr("pjsua")
    assert (cdr["result"], cdr["hung_up_by"], cdr["trunk"], cdr["e164"]) == ("answered", "caller", "phone", "39123")
    assert [charge["amount"] for charge in cdr["charges"]] == ["0.10"] * 3  # everybody sells by one deck
    until(lambda: server.booth("pjsua")["registered"] == 0, "the end of the registration")


def test_baresip_registers_and_calls(shop: Shop, tmp_path: Path) -> None:
    server = shop.server
    server.unlock("baresip")
    address, control = f"{HOST}:{server.sip}", free_port()
    (tmp_path / "config").write_text(
        f"""
        module_path {BARESIP_MODULES}
        module g711.so
        module ausine.so
        module sndfile.so
        module uuid.so
        module_app account.so
        module_app menu.so
        module_app ctrl_tcp.so
        sip_listen {HOST}:{free_port()}
        ctrl_tcp_listen {HOST}:{control}
        audio_source ausine,440
        snd_path {tmp_path}
        ausrc_srate 48000
        ausrc_channels 2
        """.replace("        ", "")
    )
    account = f"<sip:baresip@{address};transport=udp>;auth_user=baresip;auth_pass={password('baresip')};regint=60"
    (tmp_path / "accounts").write_text(f"{account}\n")
    (tmp_path / "contacts").write_text("")
    with Program(["baresip", "-4", "-f", tmp_path, "-e", f"/dial 030777@{address}"], tmp_path / "baresip.log") as phone:
        phone.saw("200 OK")
        until(lambda: server.booth("baresip")["registered"] == 1, "its binding")
        phone.saw("Call established")
        until(lambda: (server.booth("baresip")["seconds"] or 0) >= 2, "a call of two seconds")
        with socket.create_connection((HOST, control)) as command:
            command.sendall(b'18:{"command":"quit"},')  # a netstring
            assert phone.wait() == 0, phone.said
    cdr = server.cdr("baresip")
    assert (cdr["result"], cdr["hung_up_by"], cdr["e164"]) == ("answered", "caller", "4930777")
    assert [charge["amount"] for charge in cdr["charges"]] == ["0.17"] * 3  # everybody sells by one deck
    # the far end echoes: what it hears is the tone that it plays
    (heard,) = tmp_path.glob("*dec*.wav")
    assert share(samples_of(heard), 440) > 0.9


def told(phone: Program, event: str) -> dict[str, Any]:
    """The last event of that name that a phone told."""
    lines = [json.loads(line) for line in phone.said.splitlines() if line.startswith("{")]
    found: dict[str, Any] = [line for line in lines if line["event"] == event][-1]
    return found


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
