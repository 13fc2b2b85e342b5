"""The demo carrier's half of offer and answer (RFC 3264)."""

import pytest

from sipshop.media.sdp import Audio, NoCommonMedia, answer, audio_of, offer

LOCAL = ("127.0.0.1", 40000)


def description(*lines: str) -> bytes:
    head = ("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0")
    return "".join(f"{line}\r\n" for line in (*head, *lines)).encode()


def lines(body: bytes, kind: str) -> list[str]:
    return [line[2:] for line in body.decode().splitlines() if line.startswith(f"{kind}=")]


@pytest.mark.parametrize(
    ("offered", "media"),
    [
        pytest.param(["m=audio 4000 RTP/AVP 8 0"], ["audio 40000 RTP/AVP 8"], id="PCMA first"),
        pytest.param(["m=audio 4000 RTP/AVP 0 8"], ["audio 40000 RTP/AVP 0"], id="PCMU first"),
        pytest.param(["m=audio 4000 RTP/AVP 18 0"], ["audio 40000 RTP/AVP 0"], id="what we have not is passed over"),
        pytest.param(
            ["m=audio 4000 RTP/AVP 8 96", "a=rtpmap:96 telephone-event/8000"],
            ["audio 40000 RTP/AVP 8 96"],
            id="keys are taken under the number they were offered",
        ),
        pytest.param(
            ["m=audio 4000 RTP/AVP 8", "m=video 4002 RTP/AVP 99 100"],
            ["audio 40000 RTP/AVP 8", "video 0 RTP/AVP 99 100"],
            id="video is declined in its place",
        ),
        pytest.param(
            ["m=audio 0 RTP/AVP 8", "m=audio 4000 RTP/AVP 8", "m=audio 4002 RTP/AVP 8"],
            ["audio 0 RTP/AVP 8", "audio 40000 RTP/AVP 8", "audio 0 RTP/AVP 8"],
            id="the first live audio stream is the one",
        ),
        pytest.param(
            ["m=audio 4000 RTP/SAVP 8", "m=audio 4002 RTP/AVP 8"],
            ["audio 0 RTP/SAVP 8", "audio 40000 RTP/AVP 8"],
            id="SRTP is declined",
        ),
    ],
)
def test_an_answer_has_a_line_for_each_of_the_offer(offered: list[str], media: list[str]) -> None:
    assert lines(answer(description(*offered), LOCAL, 1), "m") == media


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
def test_a_direction_is_mirrored(offered: str, answered: str) -> None:
    stream = "m=audio 4000 RTP/AVP 8"
    for body in (description(stream, f"a={offered}"), description(f"a={offered}", stream)):
        assert lines(answer(body, LOCAL, 1), "a")[-1] == answered


@pytest.mark.parametrize(
    ("offered", "audio", "hears"),
    [
        pytest.param(["m=audio 4000 RTP/AVP 8"], Audio(("192.0.2.1", 4000), 8, "sendrecv"), True, id="the session's"),
        pytest.param(
            ["m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.9"],
            Audio(("192.0.2.9", 4000), 0, "sendrecv"),
            True,
            id="the stream's own address is nearer",
        ),
        pytest.param(
            ["m=audio 4000 RTP/AVP 8", "a=sendonly"],
            Audio(("192.0.2.1", 4000), 8, "sendonly"),
            False,
            id="who holds us hears nothing",
        ),
        pytest.param(
            ["m=audio 4000 RTP/AVP 8", "c=IN IP4 0.0.0.0"],
            Audio(None, 8, "sendrecv"),
            False,
            id="on hold as old phones say it",
        ),
        pytest.param(
            ["m=audio 4000 RTP/AVP 8", "c=IN IP6 2001:db8::1"],
            Audio(None, 8, "sendrecv"),
            False,
            id="an address of the other family cannot be reached",
        ),
        pytest.param(
            ["m=audio 4000 RTP/AVP 8", "c=IN IP4 phone.example"],
            Audio(None, 8, "sendrecv"),
            False,
            id="a name is not looked up",
        ),
    ],
)
def test_the_peer_is_heard_where_it_says(offered: list[str], audio: Audio, hears: bool) -> None:
    found = audio_of(description(*offered), 4)
    assert found == audio
    assert found.hears is hears


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(description(), id="no media"),
        pytest.param(description("m=audio 4000 RTP/AVP 18"), id="no codec of ours"),
        pytest.param(description("m=audio 0 RTP/AVP 8"), id="a stream that was declined"),
        pytest.param(description("m=video 4000 RTP/AVP 8"), id="no audio"),
        pytest.param(description("m=audio"), id="half a line"),
        pytest.param(description("m=audio none RTP/AVP 8"), id="no port"),
        pytest.param(description("m=audio 70000 RTP/AVP 8"), id="no such port"),
        pytest.param(b"\xff\xfe\x00", id="no description"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_what_we_cannot_take_is_refused(body: bytes) -> None:
    with pytest.raises(NoCommonMedia):
        audio_of(body, 4)
    with pytest.raises(NoCommonMedia):
        answer(body, LOCAL, 1)


def test_our_own_offer_can_be_answered() -> None:
    made = offer(LOCAL, 1)
    assert audio_of(made, 4) == Audio(LOCAL, 8, "sendrecv")
    assert lines(answer(made, ("127.0.0.1", 5000), 1), "m") == ["audio 5000 RTP/AVP 8 101"]
