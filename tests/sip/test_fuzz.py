"""The fuzzer's targets over its corpus, and over what hypothesis makes of it; `make fuzz` goes on for longer."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sip.fuzz import NEXT, TARGETS, corpus

SEEDS = {name: [path.read_bytes() for path in corpus(name)] for name in TARGETS}


@pytest.mark.parametrize(
    ("name", "data"),
    [pytest.param(name, path.read_bytes(), id=f"{name}-{path.stem}") for name in TARGETS for path in corpus(name)],
)
def test_the_corpus(name: str, data: bytes) -> None:
    TARGETS[name](data)


@st.composite
def mutations(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One or two inputs of the corpus, with some pieces cut out, put twice, or written over."""
    data = draw(st.sampled_from(seeds))
    if draw(st.booleans()):
        data += draw(st.sampled_from([b"", NEXT])) + draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        piece = draw(st.one_of(st.binary(max_size=8), st.sampled_from(PIECES), st.just(data[start:end] * 2)))
        data = data[:start] + piece + data[end:]
    return data


PIECES = [b"\r\n", b"\r\n ", b"\r", b"\n", b"\0", b"\\\0", b'"', b"<", b">", b",", b";", b":", b"@", b"%00", b"%0d%0a"]
PIECES += [
    b"\xff",
    b"SIP/2.0",
    b"SIP/2.0 200 ",
    b"ACK",
    b"CANCEL",
    b"BYE",
    b"99999999999999999999",
    b"-1",
    b";tag=",
    b"*",
]


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_of_the_corpus(name: str) -> None:
    @settings(max_examples=300)
    @given(mutations(SEEDS[name]))
    def holds(data: bytes) -> None:
        TARGETS[name](data)

    holds()
