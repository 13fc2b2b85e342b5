"""Framing: the same frames however the bytes arrive, and an end of it where nobody can tell what is what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.sip.message import FramingError, MissingContentLength, TooLarge
from sipshop.sip.stream import LONGEST_MESSAGE, Frame, Framer, Ping

PING = b"\r\n\r\n"
OPTIONS = b"OPTIONS sip:h SIP/2.0\r\nSubject: x\r\nContent-Length: 0\r\n\r\n"
SHORT = b"BYE sip:h SIP/2.0\r\nl : 7\r\nX: y\r\n\r\na\r\n\r\nbc"
FOLDED = b"BYE sip:h SIP/2.0\r\ncontent-LENGTH:\r\n\t2\r\n\r\nhi"
TWICE = b"BYE sip:h SIP/2.0\r\nl: 2\r\nContent-Length: 2\r\n\r\nhi"
HTTP = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
SMUGGLED = b"BYE sip:h SIP/2.0\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n"


def plain(frames: list[Frame]) -> list[bytes | type]:
    """Frames that compare: messages as they are, the rest by what it is."""
    return [frame if isinstance(frame, bytes) else type(frame) for frame in frames]


def feed(*pieces: bytes) -> list[bytes | type]:
    framer = Framer()
    return [frame for piece in pieces for frame in plain(framer.feed(piece))]


@pytest.mark.scenario(37)
@pytest.mark.rfc("3261", "18.3")
@pytest.mark.parametrize(
    ("stream", "frames"),
    [
        pytest.param(OPTIONS, [OPTIONS], id="one message"),
        pytest.param(OPTIONS + SHORT + FOLDED, [OPTIONS, SHORT, FOLDED], id="several in a segment"),
        pytest.param(TWICE, [TWICE], id="the same length twice is the validator's business"),
        pytest.param(PING + OPTIONS + PING, [Ping, OPTIONS, Ping], id="pings around a message"),
        pytest.param(b"\r\n" + OPTIONS, [OPTIONS], id="the answer to a ping"),
        pytest.param(b"\r\n\r\n\r\n" + OPTIONS, [Ping, OPTIONS], id="a ping and an answer"),
        pytest.param(OPTIONS + HTTP + OPTIONS, [OPTIONS, MissingContentLength], id="HTTP on the SIP port"),
        pytest.param(SMUGGLED + OPTIONS, [MissingContentLength], id="two lengths that differ"),
        pytest.param(b"X\r\nContent-Length: -1\r\n\r\n", [MissingContentLength], id="a negative length"),
        pytest.param(b"X\r\nContent-Length: 1 1\r\n\r\n", [MissingContentLength], id="a length that is two"),
        pytest.param(b"X\r\nContent-Length:\r\n\r\n", [MissingContentLength], id="a length that is none"),
        pytest.param(b"X\r\nl: " + b"9" * 5000 + b"\r\n\r\n", [MissingContentLength], id="a length of 5000 digits"),
        pytest.param(b"X\r\nA: b\r\n l: 5\r\n\r\n", [MissingContentLength], id="a length inside a folded value"),
        pytest.param(b"X\r\nContent-Length: 65536\r\n\r\n", [TooLarge], id="a body that is too long"),
    ],
)
def test_the_same_frames_at_once_and_byte_by_byte(stream: bytes, frames: list[bytes | type]) -> None:
    assert feed(stream) == frames
    assert feed(*(stream[place : place + 1] for place in range(len(stream)))) == frames


@pytest.mark.scenario(37)
@pytest.mark.parametrize("stream", [PING + OPTIONS + SHORT + PING + OPTIONS, SHORT + HTTP, b"\r\n" + SHORT + SMUGGLED])
def test_the_same_frames_wherever_the_stream_is_split(stream: bytes) -> None:
    whole = feed(stream)
    for place in range(len(stream) + 1):
        assert feed(stream[:place], stream[place:]) == whole


@pytest.mark.scenario(37)
@given(st.lists(st.sampled_from([PING, OPTIONS, SHORT, FOLDED, HTTP, SMUGGLED, b"\r", b"\n", b"junk"])), st.data())
def test_the_same_frames_in_any_pieces(parts: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(parts)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    frames = feed(*pieces)
    assert frames == feed(stream)
    assert not any(isinstance(frame, type) and issubclass(frame, FramingError) for frame in frames[:-1])


@given(st.binary(max_size=300))
def test_no_bytes_raise(data: bytes) -> None:
    assert all(isinstance(frame, bytes | Ping | FramingError) for frame in Framer().feed(data))


@pytest.mark.parametrize("piece", [1 << 20, 1000, 7])
def test_the_longest_message_is_taken_and_one_byte_more_is_not(piece: int) -> None:
    for extra, expected in ((0, bytes), (1, TooLarge)):
        head = b"INFO sip:h SIP/2.0\r\nContent-Length: 60000\r\nX: "
        stream = head + b"x" * (LONGEST_MESSAGE - 60_000 - len(head) - 4 + extra) + b"\r\n\r\n" + b"b" * 60_000
        frames = feed(*(stream[place : place + piece] for place in range(0, len(stream), piece)))
        assert [frame if isinstance(frame, type) else type(frame) for frame in frames] == [expected]


@pytest.mark.parametrize("piece", [1 << 20, 1000])
def test_a_head_without_an_end_is_given_up(piece: int) -> None:
    stream = b"x" * LONGEST_MESSAGE
    assert feed(*(stream[place : place + piece] for place in range(0, len(stream), piece))) == [TooLarge]
    assert feed(stream[:-1]) == []


def test_nothing_follows_an_error() -> None:
    framer = Framer()
    assert plain(framer.feed(OPTIONS + HTTP)) == [OPTIONS, MissingContentLength]
    assert framer.feed(OPTIONS) == []
