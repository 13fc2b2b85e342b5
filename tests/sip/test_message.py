"""Bytes to messages and back: what survives, what is refused, and that nothing foreign raises anything else."""

from __future__ import annotations

import contextlib
import string
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sipshop.sip.message import (
    MalformedMessage,
    NameAddr,
    Request,
    Response,
    Uri,
    _parse_any_uri,
    escape_user,
    parse,
    parse_address,
    parse_parameters,
    parse_uri,
    parse_via,
    pretty,
    printable,
    split_commas,
    unescape,
)

TOKEN = st.text(string.ascii_letters + string.digits + "-.!%*_+`'~", min_size=1, max_size=12)
HOSTS = st.sampled_from(["example.org", "192.0.2.1", "[2001:db8::1]", "booth-1", "a.b.c."])
#: What may stand in a header value: no line end, no NUL, and no white space at its ends, which is not part of it.
VALUE = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=40).map(str.strip)
NAMES = TOKEN.map(str.lower).filter(lambda name: len(name) > 1 and name != "content-length")
PARAMS = st.dictionaries(
    TOKEN.map(str.lower),
    st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12),
    max_size=4,
)
#: URI parameters are never quoted, so they hold no more than RFC 3261's `paramchar` without escapes.
URI_PARAMS = st.dictionaries(TOKEN.map(str.lower), st.none() | TOKEN, max_size=4)
URIS = st.builds(
    Uri,
    st.sampled_from(["sip", "sips"]),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=12),
    HOSTS,
    st.none() | st.integers(1, 65535),
    URI_PARAMS,
)


def request(*lines: str, body: str = "") -> bytes:
    return "\r\n".join(["INVITE sip:b@h SIP/2.0", *lines, "", body]).encode()


@given(TOKEN, st.lists(st.tuples(NAMES, VALUE), max_size=6), st.binary(max_size=60))
def test_a_request_is_read_back_as_it_was_written(method: str, headers: list[tuple[str, str]], body: bytes) -> None:
    read = parse(Request(method, "sip:b@h", headers, body).encode())
    assert isinstance(read, Request)
    assert (read.method, read.target, read.body) == (method, "sip:b@h", body)
    assert read.headers == [*headers, ("content-length", str(len(body)))]


@given(st.integers(100, 699), VALUE, st.lists(st.tuples(NAMES, VALUE), max_size=6), st.binary(max_size=60))
def test_a_response_is_read_back_as_it_was_written(
    status: int, reason: str, headers: list[tuple[str, str]], body: bytes
) -> None:
    read = parse(Response(status, reason, headers, body).encode())
    assert isinstance(read, Response)
    assert (read.status, read.reason, read.body) == (status, reason, body)
    assert read.headers == [*headers, ("content-length", str(len(body)))]


@given(
    st.binary(max_size=200)
    | st.binary(max_size=120).map(lambda tail: b"OPTIONS sip:h SIP/2.0\r\n" + tail + b"\r\n\r\n")
)
@example(b"SIP/2.0 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n")
@example(b"INVITE sip:h:" + b"9" * 5000 + b" SIP/2.0\r\nCSeq: " + b"9" * 5000 + b" X\r\n\r\n")
def test_no_bytes_raise_anything_but_malformed_message(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        message = parse(data)
        message.encode()
        for view in ("via", "from_", "to", "contacts", "cseq", "call_id", "uri"):
            with contextlib.suppress(MalformedMessage, AttributeError):
                getattr(message, view)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"INVITE sip:b@h SIP/2.0\r\n", id="a header without an end"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", id="HTTP"),
        pytest.param(b"INVITE sip:b@h\r\n\r\n", id="a request line without a version"),
        pytest.param(b"INV(ITE sip:b@h SIP/2.0\r\n\r\n", id="a method that is no token"),
        pytest.param(b"SIP/2.0 4294967301 better not\r\n\r\n", id="a status of ten digits"),
        pytest.param(b"SIP/2.0 099 low\r\n\r\n", id="a status below 100"),
        pytest.param(b"INVITE sip:b@h SIP/2.0\r\nNo colon here\r\n\r\n", id="a header line without a colon"),
        pytest.param(b"INVITE sip:b@h SIP/2.0\r\n folded: nothing\r\n\r\n", id="a folded first header line"),
        pytest.param(b"INVITE sip:b@h SIP/2.0\r\nX: a\nVia: b\r\n\r\n", id="a line feed that would be a header line"),
        pytest.param(b"INVITE sip:b@h\nX: y SIP/2.0\r\n\r\n", id="a line feed in the request line"),
        pytest.param(b"SIP/2.0 486 Busy\nX: y\r\n\r\n", id="a line feed in the reason phrase"),
        pytest.param(b"INVITE sip:b@h SIP/2.0\r\nX: a\0b\r\n\r\n", id="a NUL"),
    ],
)
def test_what_is_no_message_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        parse(data)


def test_header_names_have_short_forms_any_case_and_folded_values() -> None:
    read = parse(request("v: SIP/2.0/UDP h", "CALL-id : x", "Subject: one", "\t two", " three"))
    assert read.headers == [("via", "SIP/2.0/UDP h"), ("call-id", "x"), ("subject", "one two three")]


def test_a_list_is_taken_apart_at_its_commas_and_one_value_headers_are_not() -> None:
    read = parse(request("Route: <sip:a;lr>, <sip:b,c>", "Route: <sip:d>", "Subject: a, b"))
    assert read.all("route") == ["<sip:a;lr>", "<sip:b,c>", "<sip:d>"]
    assert read.all("subject") == ["a, b"]


def test_what_follows_the_content_length_is_cut_off_and_a_short_body_stays() -> None:
    assert parse(request("Content-Length: 2", body="abcd")).body == b"ab"
    assert parse(request("Content-Length: 9", body="abcd")).body == b"abcd"
    assert parse(request("Content-Length: -1", body="abcd")).body == b"abcd"


def test_empty_lines_ahead_of_a_message_are_passed_over() -> None:
    assert parse(b"\r\n\r\n" + request("Subject: y")).get("subject") == "y"


def test_another_version_is_kept_for_the_505() -> None:
    read = parse(b"OPTIONS sip:h SIP/7.0\r\n\r\n")
    assert isinstance(read, Request)
    assert read.version == "SIP/7.0"


def test_set_replaces_every_field_of_a_name_where_the_first_stood() -> None:
    read = parse(request("To: <sip:a@h>", "X-One: 1", "X-Two: 2", "X-One: 3"))
    assert read.to.uri.user == "a"
    read.set("x-one", "4")
    read.set("to", "<sip:b@h>")
    read.set("x-three", "5")
    assert read.headers == [("to", "<sip:b@h>"), ("x-one", "4"), ("x-two", "2"), ("x-three", "5")]
    assert read.to.uri.user == "b"


def test_a_reply_copies_what_makes_the_transaction_byte_for_byte() -> None:
    read = parse(
        request("v: SIP/2.0/UDP a", "v:SIP/2.0/UDP  b", "f: <sip:x@y>;tag=1", "t: sip:b@h", "i: q", "CSeq: 1  INVITE")
    )
    assert isinstance(read, Request)
    assert read.reply(486, to_tag="us").encode() == (
        b"SIP/2.0 486 Busy Here\r\nVia: SIP/2.0/UDP a\r\nVia: SIP/2.0/UDP  b\r\nFrom: <sip:x@y>;tag=1\r\n"
        b"To: sip:b@h;tag=us\r\nCall-ID: q\r\nCSeq: 1  INVITE\r\nContent-Length: 0\r\n\r\n"
    )


@pytest.mark.parametrize(
    ("status", "to", "expected"),
    [
        pytest.param(200, "<sip:b@h>", {"to": "<sip:b@h>;tag=us", "record-route": "<sip:p;lr>"}, id="makes a dialog"),
        pytest.param(200, "<sip:b@h>;tag=t", {"to": "<sip:b@h>;tag=t", "record-route": "<sip:p;lr>"}, id="is in one"),
        pytest.param(404, "<sip:b@h>", {"to": "<sip:b@h>;tag=us"}, id="makes none"),
        pytest.param(100, "<sip:b@h>", {"to": "<sip:b@h>;tag=us", "timestamp": "54"}, id="tells how long we took"),
        pytest.param(400, '"un <sip:b@h>', {"to": '"un <sip:b@h>'}, id="a To that cannot be read is left alone"),
    ],
)
def test_what_a_reply_copies_beside_that(status: int, to: str, expected: dict[str, str]) -> None:
    asked = Request("INVITE", "sip:b@h", [("to", to), ("record-route", "<sip:p;lr>"), ("timestamp", "54"), ("x", "y")])
    assert dict(asked.reply(status, to_tag="us").headers) == expected


@given(URIS)
def test_a_uri_is_read_back_as_it_was_written(uri: Uri) -> None:
    assert parse_uri(str(uri)) == uri


@given(
    URIS.map(str)
    | st.text('sipSIPS:@;=?%&[]<>.,"-_ab1 09\t', max_size=30)
    | st.text("a1:@;=?.[]", max_size=20).map("sip:".__add__)
)
def test_the_short_way_to_a_uri_finds_what_the_long_one_does(text: str) -> None:
    try:
        expected = _parse_any_uri(text)
    except MalformedMessage:
        with pytest.raises(MalformedMessage):
            parse_uri(text)
    else:
        assert parse_uri(text) == expected


@given(URIS, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12).map(str.strip), PARAMS)
def test_an_address_is_read_back_as_it_was_written(uri: Uri, display: str, params: dict[str, str | None]) -> None:
    address = NameAddr(uri, display, params)
    assert parse_address(str(address)) == address


@pytest.mark.scenario(35)
@given(st.text(st.characters(codec="utf-8"), max_size=20))
def test_a_user_part_never_carries_a_line_end_and_comes_back(user: str) -> None:
    escaped = escape_user(user)
    assert escaped.isascii()
    assert escaped.isprintable()
    assert unescape(escaped) == user


@given(st.lists(st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters='",<>\\'), min_size=1)))
def test_commas_cut_what_they_join(parts: list[str]) -> None:
    assert split_commas(", ".join(parts)) == (parts or [""])


@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param("tel:+4930", 416, id="another scheme"),
        pytest.param("nonsense", 400, id="no scheme"),
        pytest.param("<sip:b@h>", 400, id="brackets around a Request-URI"),
        pytest.param("sip:b@h; lr", 400, id="white space"),
        pytest.param("sip:b@", 400, id="no host"),
        pytest.param("sip:b@h:0", 400, id="port 0"),
        pytest.param("sip:b@h:65536", 400, id="a port above 65535"),
        pytest.param("sip:b@h:" + "9" * 5000, 400, id="a port of 5000 digits"),
        pytest.param("sip:b@h:x", 400, id="a port that is no number"),
        pytest.param("sip:b@h\tx", 400, id="a control character"),
    ],
)
def test_what_is_no_sip_uri(text: str, status: int) -> None:
    with pytest.raises(MalformedMessage) as caught:
        parse_uri(text)
    assert caught.value.status == status


@pytest.mark.scenario(38)
def test_a_transport_is_understood_in_capitals() -> None:
    assert parse_uri("sip:h;TRANSPORT=UDP").transport == "udp"
    assert parse_uri("sip:h").transport is None


@pytest.mark.parametrize(
    ("text", "display", "user", "params"),
    [
        pytest.param("<sip:a@h>", "", "a", {}, id="an address alone"),
        pytest.param("Booth 1 <sip:a@h>;tag=x", "Booth 1", "a", {"tag": "x"}, id="a name of tokens"),
        pytest.param('"a\\"<b>, c" <sip:a@h>;Q=0.5;ob', 'a"<b>, c', "a", {"q": "0.5", "ob": None}, id="a quoted name"),
        pytest.param("sip:a@h;tag=x", "", "a", {"tag": "x"}, id="without brackets parameters are the header's"),
        pytest.param('<sip:a@h>;+sip.instance="<urn:x;y>"', "", "a", {"+sip.instance": "<urn:x;y>"}, id="quoted value"),
        pytest.param("<sip:a%20b@h>", "", "a b", {}, id="an escaped user"),
    ],
)
def test_addresses(text: str, display: str, user: str, params: dict[str, str | None]) -> None:
    address = parse_address(text)
    assert (address.display, address.uri.user, address.params) == (display, user, params)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        pytest.param('<sip:h>;a="x;\\"y";b', {"a": 'x;"y', "b": None}, id="semicolons and escapes in quotes"),
        pytest.param('<sip:h>;a="x;b', {"a": '"x;b'}, id="a quote without an end takes the rest"),
        pytest.param('<sip:h>;a="x\\', {"a": '"x\\'}, id="an escape without an end"),
        pytest.param("<sip:h>;;A=1;a=2;", {"a": "1"}, id="empty ones, and one that stands twice"),
    ],
)
def test_parameters(text: str, params: dict[str, str | None]) -> None:
    assert parse_address(text).params == params


HOSTILE = ('\\"', '"a\\', "; ", ";a", "a ", " ", '"', ';"', "<", "a,", ":1", "\t")


@pytest.mark.parametrize("piece", HOSTILE)
@pytest.mark.parametrize("start", ["", '"', "<sip:h>;a=", '<sip:h>;a="', "sip:h;", "SIP/2.0/UDP h;a="])
def test_sixty_kilobytes_of_anything_are_read_at_once(start: str, piece: str) -> None:
    value = (start + piece * 60_000)[:60_000]
    asked = Request("INVITE", value, [(name, value) for name in ("via", "from", "to", "contact", "cseq", "route")])
    began_s = time.process_time()
    for view in ("via", "from_", "to", "contacts", "cseq", "uri"):
        with contextlib.suppress(MalformedMessage):
            getattr(asked, view)
    asked.all("route")
    # Linear work takes some 50 ms; what is quadratic takes many seconds.
    assert time.process_time() - began_s < 2.0


@pytest.mark.parametrize("text", ['"open <sip:a@h>', '"a" sip:a@h', "<sip:a@h", "<sip:a@h> x", "<tel:1>", ""])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_address(text)


def test_a_via_is_understood_in_every_spelling() -> None:
    via = parse_via("SIP / 2.0 / udp  First.Example.COM : 5062 ;Branch=z9hG4bK1;rport")
    assert (via.transport, via.sent_by, via.branch) == ("UDP", "first.example.com:5062", "z9hG4bK1")
    assert str(via) == "SIP/2.0/UDP First.Example.COM:5062;branch=z9hG4bK1;rport"
    assert parse_via("SIP/2.0/TCP [2001:db8::9]").sent_by == "[2001:db8::9]:"


@pytest.mark.parametrize(
    "text", ["SIP/three/UDP h", "SIP/2.0/UDP", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:99999", "h", "SIP/2.0/UDP h:٣"]
)
def test_what_is_no_via(text: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_via(text)


@pytest.mark.parametrize("text", ["1INVITE", "x INVITE", "2147483648 INVITE", "1 IN VITE", "-1 INVITE", "٣ INVITE", ""])
def test_what_is_no_cseq(text: str) -> None:
    with pytest.raises(MalformedMessage):
        _ = Request("INVITE", "sip:h", [("cseq", text)]).cseq


def test_parameters_of_a_challenge() -> None:
    assert parse_parameters('Realm="a, \\"b\\"", nonce=x') == {"realm": 'a, "b"', "nonce": "x"}
    for text in ("realm", "a=1, A=2"):
        with pytest.raises(MalformedMessage):
            parse_parameters(text)


def test_foreign_text_is_printable_once_escaped() -> None:
    assert printable("b\r\n\x1b\\ü") == "b\\r\\n\\x1b\\\\\\xfc"
    assert printable("\udcff") == "\\udcff"
    assert printable("plain") == "plain"


def test_header_names_are_spelt_as_the_rfc_spells_them() -> None:
    assert [pretty(name) for name in ("cseq", "www-authenticate", "x-foo")] == ["CSeq", "WWW-Authenticate", "X-Foo"]
