"""The tone, decoded again: the right pitch, no click where it repeats, and RTP as a listener counts it."""

import math
import struct
from collections.abc import Callable

import pytest

from sipshop.demo.tone import FRAME, SAMPLE_HZ, TONE_HZ, Stream, alaw, tone, ulaw


def from_ulaw(code: int) -> int:
    """ITU-T G.711 table 2a, the other way."""
    code = ~code & 0xFF
    magnitude = ((code & 0x0F) << 3 | 0x84) << (code >> 4 & 0x07)
    return 0x84 - magnitude if code & 0x80 else magnitude - 0x84


def from_alaw(code: int) -> int:
    """ITU-T G.711 table 1a, the other way."""
    code ^= 0x55
    exponent, mantissa = code >> 4 & 0x07, code & 0x0F
    magnitude = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return magnitude if code & 0x80 else -magnitude


@pytest.mark.parametrize(("encode", "decode"), [(ulaw, from_ulaw), (alaw, from_alaw)])
def test_a_sample_comes_back_within_a_step(encode: Callable[[int], int], decode: Callable[[int], int]) -> None:
    for sample in range(-32768, 32768, 7):
        assert abs(decode(encode(sample)) - sample) <= max(16, abs(sample) // 16)


@pytest.mark.parametrize(
    ("encode", "sample", "code"),
    [
        (ulaw, 0, 0xFF),
        (ulaw, 32767, 0x80),
        (ulaw, -32768, 0x00),
        (alaw, 0, 0xD5),
        (alaw, 32767, 0xAA),
        (alaw, -32768, 0x2A),
    ],
)
def test_the_ends_of_the_tables(encode: Callable[[int], int], sample: int, code: int) -> None:
    assert encode(sample) == code


@pytest.mark.parametrize(("payload_type", "decode"), [(0, from_ulaw), (8, from_alaw)])
def test_the_tone_has_its_pitch(payload_type: int, decode: Callable[[int], int]) -> None:
    frames = tone(payload_type)
    assert {len(frame) for frame in frames} == {FRAME}
    samples = [decode(code) for code in b"".join(frames)]
    real = sum(sample * math.cos(math.tau * TONE_HZ * n / SAMPLE_HZ) for n, sample in enumerate(samples))
    imaginary = sum(sample * math.sin(math.tau * TONE_HZ * n / SAMPLE_HZ) for n, sample in enumerate(samples))
    power = sum(sample * sample for sample in samples) / len(samples)
    of_the_tone = 2 * (real * real + imaginary * imaginary) / len(samples) ** 2
    assert of_the_tone > 0.99 * power


def test_packets_count_up_and_the_first_is_marked() -> None:
    stream = Stream(("127.0.0.1", 4000), 8, ssrc=7, sequence=0xFFFF, timestamp=0xFFFFFFFF)
    frames = tone(8)
    heads = [struct.unpack("!BBHII", stream.packet(frames)[:12]) for _ in range(3)]
    assert heads == [
        (0x80, 0x88, 0xFFFF, 0xFFFFFFFF, 7),
        (0x80, 0x08, 0, FRAME - 1, 7),
        (0x80, 0x08, 1, 2 * FRAME - 1, 7),
    ]
