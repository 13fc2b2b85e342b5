"""Offers to carriers to whom not every codec is to be offered (RFC 3264, RFC 4566)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.media.sdp import NoCommonMedia, answer, audio_of, only


def sdp(text: str) -> bytes:
    return "".join(f"{line.strip()}\r\n" for line in text.strip().splitlines()).encode()


BARESIP = sdp("""
    v=0
    o=- 3839477232 1906735364 IN IP4 192.0.2.10
    s=-
    c=IN IP4 192.0.2.10
    t=0 0
    a=tool:baresip 1.0.0
    m=audio 10436 RTP/AVP 96 97 9 8 0 101
    b=AS:125
    a=rtpmap:96 opus/48000/2
    a=fmtp:96 stereo=1;sprop-stereo=1
    a=rtpmap:97 G7221/16000
    a=fmtp:97 bitrate=24000
    a=rtpmap:9 G722/8000
    a=rtpmap:8 PCMA/8000
    a=rtpmap:0 PCMU/8000
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-15
    a=rtcp:10437
    a=sendrecv
    a=ptime:20
""")
#: A desk phone: no rtpmap for what RFC 3551 knows, two telephone-events, video and feedback.
DESK_PHONE = sdp("""
    v=0
    o=phone 1 1 IN IP6 2001:db8::10
    s=call
    c=IN IP6 2001:db8::10
    t=0 0
    m=audio 16384/2 RTP/AVPF 114 18 0 8 13 101 102
    a=rtpmap:114 opus/48000/2
    a=fmtp:18 annexb=no
    a=rtcp-fb:114 nack
    a=rtcp-fb:* transport-cc
    a=rtpmap:101 telephone-event/8000
    a=fmtp:101 0-16
    a=rtpmap:102 telephone-event/48000
    a=fmtp:102 0-16
    a=maxptime:40
    m=video 16386 RTP/AVP 99
    a=rtpmap:99 H264/90000
    a=fmtp:99 profile-level-id=42801F
""")


def formats(description: bytes) -> str:
    return next(line for line in description.decode().splitlines() if line.startswith("m=audio"))


def attributes(description: bytes) -> list[str]:
    return [line for line in description.decode().splitlines() if line.startswith(("a=rtpmap", "a=fmtp", "a=rtcp-fb"))]


@pytest.mark.parametrize(
    ("offered", "codecs", "audio"),
    [
        pytest.param(BARESIP, ["PCMA"], "m=audio 10436 RTP/AVP 8 101", id="one, with its events"),
        pytest.param(BARESIP, ["PCMU", "PCMA"], "m=audio 10436 RTP/AVP 0 8 101", id="in our order, not the phone's"),
        pytest.param(BARESIP, ["g722", "pcma"], "m=audio 10436 RTP/AVP 9 8 101", id="names in any case"),
        pytest.param(BARESIP, ["G729", "PCMA"], "m=audio 10436 RTP/AVP 8 101", id="what the phone has not is not made"),
        pytest.param(BARESIP, ["opus"], "m=audio 10436 RTP/AVP 96", id="no events of another clock"),
        pytest.param(DESK_PHONE, ["PCMA", "G729"], "m=audio 16384/2 RTP/AVPF 8 18 13 101", id="without rtpmap"),
        pytest.param(DESK_PHONE, ["opus", "PCMA"], "m=audio 16384/2 RTP/AVPF 114 8 13 101 102", id="both clocks"),
    ],
)
def test_only_what_a_carrier_is_to_be_offered(offered: bytes, codecs: list[str], audio: str) -> None:
    assert formats(only(offered, codecs)) == audio


def test_lines_of_what_is_gone_are_gone_and_all_others_stay_byte_for_byte() -> None:
    gone = {b"a=rtpmap:96", b"a=fmtp:96", b"a=rtpmap:97", b"a=fmtp:97", b"a=rtpmap:9 ", b"a=rtpmap:0 "}
    expected = b"".join(
        line for line in BARESIP.splitlines(keepends=True) if not any(line.startswith(prefix) for prefix in gone)
    ).replace(b"AVP 96 97 9 8 0 101", b"AVP 8 101")
    assert only(BARESIP, ["PCMA"]) == expected


def test_feedback_and_parameters_go_with_their_format_alone() -> None:
    assert attributes(only(DESK_PHONE, ["G729"])) == [
        *("a=fmtp:18 annexb=no", "a=rtcp-fb:* transport-cc", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16"),
        *("a=rtpmap:99 H264/90000", "a=fmtp:99 profile-level-id=42801F"),
    ]


def test_an_offer_that_is_fit_already_is_not_touched() -> None:
    fit = only(BARESIP, ["PCMA", "PCMU"])
    assert only(fit, ["PCMA", "PCMU"]) == fit


def test_sound_of_which_nothing_is_left_is_no_offer() -> None:
    with pytest.raises(NoCommonMedia, match="G729, iLBC"):
        only(BARESIP, ["G729", "iLBC"])


def test_a_second_stream_of_which_nothing_is_left_keeps_its_place() -> None:
    second = b"m=audio 20000 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"
    done = only(BARESIP + second, ["PCMA"])
    assert done.endswith(b"m=audio 0 RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n")


@pytest.mark.parametrize(
    "description",
    [
        pytest.param(sdp("v=0\ns=-\nm=image 5000 udptl t38\na=T38FaxVersion:0"), id="a fax"),
        pytest.param(b"", id="nothing"),
        pytest.param(b"\xff\x00 no description", id="no description"),
        pytest.param(b"m=audio 1\r\n", id="no formats"),
    ],
)
def test_what_is_no_sound_is_left_alone(description: bytes) -> None:
    assert only(description, ["PCMA"]) == description


def test_lines_may_end_in_a_line_feed_alone() -> None:
    assert b"\r" not in only(BARESIP.replace(b"\r\n", b"\n"), ["PCMA"])


def test_an_answer_to_what_was_offered_answers_the_whole_offer_too() -> None:
    offered = only(BARESIP, ["PCMU"])
    chosen = audio_of(answer(offered, ("192.0.2.20", 4000), 1), 4)
    assert chosen.payload_type == 0
    assert str(chosen.payload_type) in formats(BARESIP).split()


@given(st.lists(st.sampled_from(["PCMA", "PCMU", "opus", "G722", "G729", "GSM"]), min_size=1, unique=True))
def test_nothing_is_offered_that_is_not_in_the_list(codecs: list[str]) -> None:
    names = {"96": "opus", "9": "G722", "8": "PCMA", "0": "PCMU"}
    try:
        offered = formats(only(BARESIP, codecs)).split()[3:]
    except NoCommonMedia:
        assert not set(codecs) & set(names.values())
        return
    assert [names[each] for each in offered if each != "101"] == [each for each in codecs if each in names.values()]
