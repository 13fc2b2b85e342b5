"""What is refused ahead of everything else: the cases of RFC 4475, each as an edit of one ordinary INVITE."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.sip.message import MalformedMessage, Request, Response, parse
from sipshop.sip.validate import Rejection, check, check_response

METHODS = frozenset({"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER"})
ALLOW = ", ".join(sorted(METHODS))
EXTENSIONS = frozenset({"100rel", "timer"})
INVITE = {
    "Via": "SIP/2.0/UDP 192.0.2.5:5060;rport;branch=z9hG4bK1",
    "Max-Forwards": "70",
    "From": '"Booth 1" <sip:b1@shop>;tag=a',
    "To": "<sip:0049@shop>",
    "Contact": "<sip:b1@192.0.2.5:5060;ob>",
    "Call-ID": "1@192.0.2.5",
    "CSeq": "1 INVITE",
    "Content-Type": "application/sdp",
}


def message(start: str, changes: dict[str, str | None], body: str) -> bytes:
    """The INVITE's header with some fields written anew, left out (None), or added below."""
    fields = {**INVITE, **changes}
    lines = [f"{name.rstrip('+')}: {value}" for name, value in fields.items() if value is not None]
    return "\r\n".join([start, *lines, "", body]).encode("utf-8", "surrogateescape")


def request(
    changes: dict[str, str | None], *, method: str = "INVITE", target: str = "sip:0049@shop", body: str = "v=0\r\n"
) -> Request:
    read = parse(message(f"{method} {target} SIP/2.0", {"CSeq": f"1 {method}", **changes}, body))
    assert isinstance(read, Request)
    return read


def refusal(read: Request) -> Rejection | None:
    return check(read, methods=METHODS, extensions=EXTENSIONS)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="an ordinary one"),
        pytest.param({"Content-Length": "5"}, id="a length that is right"),
        pytest.param({"Content-Length": "2"}, id="a length that cuts the body"),
        pytest.param({"Max-Forwards": None}, id="no Max-Forwards, as before RFC 3261"),
        pytest.param({"Max-Forwards": "0", "To": "<sip:0049@shop>;tag=t"}, id="the last hop inside a dialog"),
        pytest.param({"Require": "100rel, Timer"}, id="extensions that we have"),
        pytest.param({"Proxy-Require": "nobody"}, id="a wish to proxies, of which we are none"),
        pytest.param({"Content-Type": 'multipart/mixed; boundary="x"'}, id="a body of several parts"),
        pytest.param({"Content-Type": "Application/SDP ; charset=utf-8"}, id="a media type in capitals"),
        pytest.param({"Content-Type": "x/y", "Content-Disposition": "render;Handling=Optional"}, id="an optional body"),
        pytest.param({"Content-Encoding": "Identity"}, id="a body that is not encoded"),
        pytest.param({"Accept": "text/plain, application/*;q=0.5"}, id="a range that takes in SDP"),
        pytest.param({"Via": "SIP / 2.0 / udp h;branch=z9hG4bK1, SIP/2.0/TCP g"}, id="two Vias in a line"),
        pytest.param({"Route": "<sip:p;lr>, <sip:q;lr>", "Record-Route": "<sip:r;lr>"}, id="routes"),
        pytest.param({"Date": "Fri, 01 Jan 2010 16:00:00 EST"}, id="a time zone that nobody asked for"),
        pytest.param({"Authorization": "NoOneKnowsThisScheme opaque"}, id="a scheme that nobody knows"),
        pytest.param({"Expires": "1" * 99}, id="an expiry beyond all numbers"),
    ],
)
def test_what_is_taken(changes: dict[str, str | None]) -> None:
    assert refusal(request(changes)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        *(
            pytest.param({name: None}, f"{name} is missing", id=f"no {name}")
            for name in ("Via", "From", "To", "Call-ID", "CSeq")
        ),
        *(
            pytest.param({f"{name}+": INVITE[name]}, f"{name} stands twice", id=f"two {name}")
            for name in ("From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Type")
        ),
        pytest.param({"Content-Length": "5", "l": "5"}, "Content-Length stands twice", id="two lengths"),
        pytest.param({"Content-Length": "9"}, "Content-Length is not the length of the body", id="a short body"),
        pytest.param({"Content-Length": "-5"}, "Content-Length is not the length of the body", id="a negative length"),
        pytest.param(
            {"Content-Length": "9" * 5000}, "Content-Length is not the length of the body", id="a vast length"
        ),
        pytest.param({"Via": "SIP/2.0/UDP h;;,;,,"}, "Via has an empty parameter", id="separators without content"),
        pytest.param({"Via": "nonsense"}, None, id="a Via that is none"),
        pytest.param({"From": "<sip:b1@shop>"}, "From has no tag", id="no From tag"),
        pytest.param({"From": "<http://b1@shop>;tag=a"}, None, id="a From of another scheme"),
        pytest.param({"To": '"Mr. J. User <sip:j@h>'}, None, id="an open quote in To"),
        pytest.param({"To": "<sip:0049@shop"}, None, id="an open bracket in To"),
        pytest.param({"Contact": "< sip:b1@h >"}, None, id="white space inside a Contact's brackets"),
        pytest.param({"Contact": "<sip:b1@h>, <sip:b1@g>"}, "INVITE needs exactly one Contact", id="two Contacts"),
        pytest.param({"Contact": "*"}, "INVITE needs exactly one Contact", id="the star that only REGISTER may send"),
        pytest.param({"Contact": None}, "INVITE needs exactly one Contact", id="no Contact"),
        pytest.param({"Record-Route": "nonsense"}, None, id="a Record-Route that is none"),
        pytest.param({"Call-ID": ""}, "Call-ID is empty or holds white space", id="an empty Call-ID"),
        pytest.param({"CSeq": "1 BYE"}, "CSeq names another method", id="another method in CSeq"),
        pytest.param({"CSeq": "36893488147419103232 INVITE"}, None, id="a CSeq beyond 2**31"),
        pytest.param({"Max-Forwards": "300"}, "Max-Forwards is not a number up to 255", id="too many hops left"),
        pytest.param({"Max-Forwards": "ten"}, "Max-Forwards is not a number up to 255", id="hops in words"),
        pytest.param({"Require": "a b"}, "Require is no list of option tags", id="a Require that is no list"),
    ],
)
def test_what_is_a_bad_request(changes: dict[str, str | None], reason: str | None) -> None:
    refused = refusal(request(changes))
    assert refused is not None
    assert (refused.status, refused.headers) == (400, ())
    assert reason in {None, refused.reason}
    assert refused.reason.isascii()
    assert refused.reason.isprintable()


@pytest.mark.parametrize(
    ("refused", "status", "headers"),
    [
        pytest.param(request({}, target="tel:+4930"), 416, (), id="a telephone number as Request-URI"),
        pytest.param(request({}, target="nobodyKnowsThisScheme:totallyopaque"), 416, (), id="an unknown scheme"),
        pytest.param(request({}, target="<sip:0049@shop>"), 400, (), id="brackets around the Request-URI"),
        pytest.param(request({}, target="sip:0049@shop; lr"), 400, (), id="white space in the Request-URI"),
        pytest.param(request({}, target="sip:0049@shop "), 400, (), id="two spaces before the version"),
        pytest.param(
            request({}, method="MESSAGE"),
            405,
            (("allow", ALLOW),),
            id="a method that we do not take",
        ),
        pytest.param(request({}, method="invite"), 501, (("allow", ALLOW),), id="a method that nobody knows"),
        pytest.param(
            request({"CSeq": "1 INVITE"}, method="NEWMETHOD"),
            *(501, (("allow", ALLOW),)),
            id="an unknown method that CSeq denies",
        ),
        pytest.param(request({"Max-Forwards": "0"}), 483, (), id="no hops left"),
        pytest.param(
            request({"Require": "100rel, nothingSupportsThis", "Require+": "norThis"}),
            420,
            (("unsupported", "nothingSupportsThis, norThis"),),
            id="extensions that we do not have",
        ),
        pytest.param(
            request({"Content-Type": "x/y"}), 415, (("accept", "application/sdp"),), id="another kind of body"
        ),
        pytest.param(request({"Content-Type": None}), 415, (("accept", "application/sdp"),), id="a body of no kind"),
        pytest.param(
            request({"Content-Encoding": "gzip"}),
            415,
            (("accept", "application/sdp"), ("accept-encoding", "identity")),
            id="an encoded body",
        ),
        pytest.param(request({"Accept": "text/nobodyKnowsThis"}), 406, (), id="an answer of another kind wanted"),
    ],
)
def test_what_is_refused_for_what_it_wants(refused: Request, status: int, headers: tuple[tuple[str, str], ...]) -> None:
    found = refusal(refused)
    assert found is not None
    assert (found.status, found.headers) == (status, headers)


def test_another_version_is_refused_before_anything_else() -> None:
    read = parse(message("INVITE sip:0049@shop SIP/7.0", {"To": None}, ""))
    assert isinstance(read, Request)
    assert refusal(read) == Rejection(505, "Version Not Supported")


@pytest.mark.parametrize("method", ["ACK", "CANCEL"])
def test_what_cannot_be_refused_for_an_extension(method: str) -> None:
    assert refusal(request({"Require": "nothingSupportsThis"}, method=method)) is None


def test_a_cancel_is_heard_on_its_last_hop() -> None:
    assert refusal(request({"Max-Forwards": "0"}, method="CANCEL")) is None


def test_a_body_matters_only_where_it_carries_the_session() -> None:
    assert refusal(request({"Content-Type": "application/dtmf-relay", "Contact": None}, method="BYE")) is None
    assert refusal(request({"Content-Type": None}, body="")) is None


@pytest.mark.scenario(31)
def test_a_register_may_have_any_number_of_contacts_but_no_bad_one() -> None:
    assert refusal(request({"Contact": "<sip:a@h>, <sip:b@h>"}, method="REGISTER")) is None
    assert refusal(request({"Contact": "*"}, method="REGISTER")) is None
    assert refusal(request({"Contact": None}, method="REGISTER")) is None
    refused = refusal(request({"Contact": "<sip:a@h>, <sip:b@h"}, method="REGISTER"))
    assert refused is not None
    assert refused.status == 400


def response(changes: dict[str, str | None], *, status: str = "200 OK", body: str = "v=0\r\n") -> Response:
    read = parse(message(f"SIP/2.0 {status}", changes, body))
    assert isinstance(read, Response)
    return read


@pytest.mark.parametrize(
    ("heard", "reason"),
    [
        pytest.param(response({}), None, id="an ordinary answer"),
        pytest.param(response({"Contact": "<tel:1>"}, status="302 Moved"), None, id="a redirection to a telephone"),
        pytest.param(response({"Contact": "<tel:1>"}), "malformed_response", id="a dialog with a telephone"),
        pytest.param(response({"Record-Route": "x"}), "malformed_response", id="a route that is none"),
        pytest.param(response({"To": None}), "malformed_response", id="no To"),
        pytest.param(response({"To": "<sip:x"}), "malformed_response", id="a To that is none"),
        pytest.param(response({"CSeq+": "1 INVITE"}), "malformed_response", id="two CSeqs"),
        pytest.param(response({"CSeq": "x"}), "malformed_response", id="a CSeq that is none"),
        pytest.param(response({"Call-ID": "a b"}), "malformed_response", id="a Call-ID with white space"),
        pytest.param(response({"Content-Length": "99"}), "malformed_response", id="a short body"),
        pytest.param(response({"Via+": "SIP/2.0/UDP g"}), "foreign_response", id="two Vias"),
        pytest.param(response({"Via": "SIP/2.0/UDP h, SIP/2.0/UDP g"}), "foreign_response", id="two Vias in a line"),
    ],
)
def test_responses(heard: Response, reason: str | None) -> None:
    assert check_response(heard) == reason


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=20) | st.sampled_from(
    [*INVITE.values(), "", "*", "0", "<sip:a@h>, <sip:b@h>;tag=x", "sip:a@h:1;x", '"a', "1 BYE", "9" * 5000]
)


@given(st.dictionaries(st.sampled_from([*INVITE, "Require", "Accept", "Route", "Content-Length"]), st.none() | VALUES))
def test_what_was_taken_can_be_read_without_fear(changes: dict[str, str | None]) -> None:
    read = request({})
    with contextlib.suppress(MalformedMessage):
        read = request(changes)
    if refusal(read) is None:
        assert all(hasattr(read, view) for view in ("via", "from_", "to", "cseq", "uri", "contacts", "call_id"))
        assert read.reply(200, to_tag="t").to.tag is not None
    heard = response({})
    with contextlib.suppress(MalformedMessage):
        heard = response(changes)
    if check_response(heard) is None:
        assert all(hasattr(heard, view) for view in ("via", "from_", "to", "cseq", "call_id"))
