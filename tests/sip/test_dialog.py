"""A dialog: what the two sides take from the INVITE and its answer, and where requests inside it go."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from sipshop.sip.dialog import Dialog
from sipshop.sip.flow import Address, Flow
from sipshop.sip.message import MalformedMessage, Request, Response, parse

HERE, PEER = ("192.0.2.1", 5060), ("192.0.2.2", 5070)
FLOW = Flow("UDP", HERE, PEER)

INVITE = b"""\
INVITE sip:0301234567@192.0.2.1 SIP/2.0\r
Via: SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bKone\r
Record-Route: <sip:192.0.2.11;lr>, <sip:192.0.2.12;lr>\r
From: "Booth 1" <sip:booth1@shop>;tag=caller\r
To: <sip:0301234567@shop>\r
Call-ID: call\r
CSeq: 41 INVITE\r
Contact: <sip:booth1@10.0.0.5:5060>\r
\r
"""
DIALOG = Dialog(
    call_id="call",
    local="<sip:we@192.0.2.1>",
    local_tag="we",
    remote="<sip:peer@192.0.2.2>",
    remote_tag="peer",
    target="sip:peer@192.0.2.2:5070",
    routes=(),
    local_cseq=7,
    remote_cseq=None,
    flow=FLOW,
    symmetric=False,
)


def invite(data: bytes = INVITE) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def answer_to(request: Request, *headers: tuple[str, str]) -> Response:
    return request.reply(200, to_tag="callee", headers=headers)


def test_the_callee_takes_the_dialog_from_the_invite() -> None:
    # RFC 3261 section 12.1.1
    dialog = Dialog.of_server(invite(), "callee", FLOW)
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("call", "callee", "caller")
    assert (dialog.local, dialog.remote) == ("<sip:0301234567@shop>", '"Booth 1" <sip:booth1@shop>')
    assert dialog.target == "sip:booth1@10.0.0.5:5060"
    assert dialog.routes == ("<sip:192.0.2.11;lr>", "<sip:192.0.2.12;lr>")
    assert (dialog.local_cseq, dialog.remote_cseq) == (0, 41)


def test_the_caller_takes_the_dialog_from_the_answer_with_the_routes_turned_round() -> None:
    # RFC 3261 section 12.1.2
    request = invite()
    dialog = Dialog.of_client(request, answer_to(request, ("contact", "<sip:x@192.0.2.99:5090>")), FLOW)
    assert (dialog.call_id, dialog.local_tag, dialog.remote_tag) == ("call", "caller", "callee")
    assert (dialog.local, dialog.remote) == ('"Booth 1" <sip:booth1@shop>', "<sip:0301234567@shop>")
    assert dialog.target == "sip:x@192.0.2.99:5090"
    assert dialog.routes == ("<sip:192.0.2.12;lr>", "<sip:192.0.2.11;lr>")
    assert (dialog.local_cseq, dialog.remote_cseq) == (41, None)


def test_an_invite_without_contact_makes_no_dialog() -> None:
    with pytest.raises(MalformedMessage, match="Contact"):
        Dialog.of_server(invite(INVITE.replace(b"Contact: <sip:booth1@10.0.0.5:5060>\r\n", b"")), "callee", FLOW)


def test_an_answer_without_contact_leaves_the_peer_where_the_invite_went() -> None:
    request = invite()
    assert Dialog.of_client(request, answer_to(request), FLOW).target == request.target


def test_an_answer_without_a_tag_makes_a_dialog_whose_requests_have_none() -> None:
    dialog = replace(DIALOG, remote_tag="")
    assert dialog.request("BYE", via="SIP/2.0/UDP h").get("to") == "<sip:peer@192.0.2.2>"


def test_requests_count_up_and_an_ack_repeats_its_invite() -> None:
    dialog = replace(DIALOG)
    made = [dialog.request("INFO", via="SIP/2.0/UDP h"), dialog.request("ACK", via="SIP/2.0/UDP h", cseq=7)]
    made.append(dialog.request("BYE", via="SIP/2.0/UDP h", headers=[("reason", "Q.850;cause=16")]))
    assert [request.cseq for request in made] == [(8, "INFO"), (7, "ACK"), (9, "BYE")]
    bye = made[-1]
    assert (bye.target, bye.from_.tag, bye.to.tag, bye.call_id) == (DIALOG.target, "we", "peer", "call")
    assert (bye.get("max-forwards"), bye.get("reason")) == ("70", "Q.850;cause=16")


@pytest.mark.parametrize(
    ("routes", "target", "sent_routes"),
    [
        pytest.param((), "sip:peer@192.0.2.2:5070", [], id="no routes"),
        pytest.param(
            ("<sip:192.0.2.11;lr>", "<sip:192.0.2.12;lr>"),
            "sip:peer@192.0.2.2:5070",
            ["<sip:192.0.2.11;lr>", "<sip:192.0.2.12;lr>"],
            id="loose routers",
        ),
        pytest.param(
            ("<sip:192.0.2.11>", "<sip:192.0.2.12;lr>"),
            "sip:192.0.2.11",
            ["<sip:192.0.2.12;lr>", "<sip:peer@192.0.2.2:5070>"],
            id="a strict router first: RFC 3261 section 12.2.1.1",
        ),
    ],
)
def test_the_way_of_a_request(routes: tuple[str, ...], target: str, sent_routes: list[str]) -> None:
    request = replace(DIALOG, routes=routes).request("BYE", via="SIP/2.0/UDP h")
    assert (request.target, request.all("route")) == (target, sent_routes)


@pytest.mark.parametrize(
    ("target", "routes", "transport", "remote"),
    [
        pytest.param("sip:p@192.0.2.2:5070", (), "UDP", PEER, id="where it is already"),
        pytest.param("sip:p@192.0.2.9:5080", (), "UDP", ("192.0.2.9", 5080), id="another address"),
        pytest.param("sip:p@192.0.2.9", (), "UDP", ("192.0.2.9", 5060), id="the default port"),
        pytest.param("sip:p@192.0.2.9;transport=TCP", (), "TCP", ("192.0.2.9", 5060), id="transport in capitals"),
        pytest.param("sip:p@192.0.2.9;transport=ws", (), "UDP", ("192.0.2.9", 5060), id="a transport that we lack"),
        pytest.param("sip:p@[2001:db8::1]:5080", (), "UDP", ("2001:db8::1", 5080), id="IPv6"),
        pytest.param("sip:p@carrier.example", (), "UDP", PEER, id="a name is not looked up inside a call"),
        pytest.param("sip:p@192.0.2.9", ("<sip:192.0.2.11;lr>",), "UDP", ("192.0.2.11", 5060), id="the first route"),
    ],
)
def test_where_a_request_to_a_carrier_goes(
    target: str, routes: tuple[str, ...], transport: str, remote: Address
) -> None:
    flow = replace(DIALOG, target=target, routes=routes).next_hop()
    assert flow == Flow(transport, HERE, remote)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("sip:p@192.0.2.2:5061;transport=TLS", None, id="where it is already"),
        pytest.param("sips:p@192.0.2.2", None, id="sips has TLS's own port"),
        pytest.param("sip:p@192.0.2.9;transport=tls", ("TLS", ("192.0.2.9", 5061)), id="another of the same name"),
        pytest.param("sips:p@192.0.2.9:5071;transport=tcp", ("TLS", ("192.0.2.9", 5071)), id="sips by whatever"),
        pytest.param("sip:p@192.0.2.2:5061;transport=tcp", ("TCP", ("192.0.2.2", 5061)), id="another transport"),
    ],
)
def test_a_dialog_over_tls_stays_with_whoever_has_the_certificate(
    target: str, expected: tuple[str, Address] | None
) -> None:
    flow = Flow("TLS", HERE, ("192.0.2.2", 5061), name="carrier.example")
    found = replace(DIALOG, flow=flow, target=target).next_hop()
    if expected is None:
        assert found is flow
    else:
        assert found == Flow(expected[0], HERE, expected[1], name="carrier.example" if expected[0] == "TLS" else "")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        pytest.param("sip:p@192.0.2.2:5070;transport=tls", None, id="where he called from: on his connection"),
        pytest.param("sip:p@carrier.example;transport=tls", None, id="a name is not looked up inside a call"),
        pytest.param("sip:p@192.0.2.2:5061;transport=tls", ("TLS", ("192.0.2.2", 5061)), id="where he listens"),
        pytest.param("sip:p@192.0.2.9:5061;transport=tls", ("TLS", ("192.0.2.9", 5061)), id="another host of his"),
        pytest.param("sip:p@192.0.2.2:5060;transport=tcp", ("TCP", ("192.0.2.2", 5060)), id="another transport"),
    ],
)
def test_who_called_over_tls_has_to_have_the_certificate_wherever_he_is_reached_then(
    target: str, expected: tuple[str, Address] | None
) -> None:
    dialog = replace(DIALOG, flow=Flow("TLS", HERE, PEER, 12), target=target, domain="carrier.example")
    if expected is None:
        assert dialog.next_hop() is dialog.flow
    else:
        way = Flow(expected[0], HERE, expected[1], name="carrier.example" if expected[0] == "TLS" else "")
        assert dialog.next_hop() == way
        assert Dialog.from_json(json.loads(json.dumps(dialog.to_json()))).next_hop() == way


@pytest.mark.rfc("3261", "12.1.1")
@pytest.mark.parametrize(
    ("scheme", "transport", "secure"),
    [("sips", "TLS", True), ("SIPS", "TLS", True), ("sip", "TLS", False), ("sips", "UDP", False)],
)
def test_a_dialog_is_secure_that_sips_began_over_tls(scheme: str, transport: str, *, secure: bool) -> None:
    flow = Flow(transport, HERE, PEER)
    request = invite(INVITE.replace(b"INVITE sip:", f"INVITE {scheme}:".encode(), 1))
    assert Dialog.of_server(request, "callee", flow).secure is secure
    assert Dialog.of_client(request, request.reply(200, to_tag="b"), flow).secure is secure


def test_what_an_older_version_has_written_down_is_read() -> None:
    stored = Dialog.of_server(invite(), "callee", FLOW).to_json()
    del stored["secure"], stored["domain"]
    stored["flow"] = stored["flow"][:5]
    assert Dialog.from_json(stored) == Dialog.of_server(invite(), "callee", FLOW)


def test_a_phone_behind_nat_is_reached_where_its_requests_came_from() -> None:
    dialog = replace(DIALOG, symmetric=True, target="sip:booth1@10.0.0.5", routes=("<sip:10.0.0.1;lr>",))
    assert dialog.next_hop() is FLOW


@pytest.mark.parametrize(
    ("last", "number", "newer"),
    [(None, 1, True), (41, 42, True), (41, 50, True), (41, 41, False), (41, 40, False)],
)
def test_requests_of_the_peer_have_to_count_up(last: int | None, number: int, newer: bool) -> None:
    dialog = replace(DIALOG, remote_cseq=last)
    request = invite(INVITE.replace(b"41 INVITE", f"{number} INVITE".encode()))
    assert dialog.in_order(request) is newer
    assert dialog.remote_cseq == (number if newer else last)


def test_the_peer_moves_by_the_contact_of_a_reinvite() -> None:
    dialog = replace(DIALOG)
    dialog.refresh_target(invite())
    assert dialog.target == "sip:booth1@10.0.0.5:5060"
    dialog.refresh_target(invite(INVITE.replace(b"Contact: <sip:booth1@10.0.0.5:5060>\r\n", b"")))
    assert dialog.target == "sip:booth1@10.0.0.5:5060"


@pytest.mark.parametrize("symmetric", [True, False])
def test_a_dialog_can_be_written_down_and_another_process_can_end_it(symmetric: bool) -> None:
    dialog = Dialog.of_server(invite(), "callee", Flow("TCP", HERE, PEER, 12))
    dialog.symmetric = symmetric
    read = Dialog.from_json(json.loads(json.dumps(dialog.to_json())))
    assert read == replace(dialog, flow=Flow("TCP", HERE, PEER))  # no connection outlives its process
    assert read.request("BYE", via="SIP/2.0/TCP h").encode() == dialog.request("BYE", via="SIP/2.0/TCP h").encode()
