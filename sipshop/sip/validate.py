"""What is well-formed and still wrong: the status that refuses a request, the reason to drop a response (RFC 4475).

One check for everything that can be told from a message alone, ahead of any challenge and of any state: after it the
views of a request (`via`, `from_`, `to`, `cseq`, `uri`, `contacts`) can be read without fear of `MalformedMessage`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sipshop.sip.message import (
    REASONS,
    MalformedMessage,
    Message,
    Request,
    Response,
    is_number,
    parse_address,
    pretty,
    printable,
)
from sipshop.sip.replaces import parse_replaces

#: Methods that somebody has registered; any other is answered 501 (RFC 3261 section 8.2.1, RFC 4475 section 3.1.2.18).
KNOWN_METHODS: Final = frozenset(
    [
        *("ACK", "BYE", "CANCEL", "INFO", "INVITE", "MESSAGE", "NOTIFY"),
        *("OPTIONS", "PRACK", "PUBLISH", "REFER", "REGISTER", "SUBSCRIBE", "UPDATE"),
    ]
)
_MANDATORY: Final = frozenset({"via", "from", "to", "call-id", "cseq"})
_SINGLE: Final = frozenset(
    [
        *("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires"),
        *("rack", "rseq", "replaces"),
    ]
)
#: Requests whose body is an offer or an answer, which we have to understand.
_CARRIES_SDP: Final = frozenset({"INVITE", "UPDATE", "PRACK"})
_ACCEPT: Final = ("accept", "application/sdp")
_OPTION_TAG: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_LONGEST_REASON: Final = 120


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a request is answered; nobody may answer an ACK, so a rejected one is dropped."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


def check(request: Request, *, methods: frozenset[str], extensions: frozenset[str]) -> Rejection | None:
    """The first reason to refuse a request, or None where there is none.

    `methods` are those we take, `extensions` the option tags that a Require may name. In this order: 505 for another
    version; 400 for what cannot be read, is missing or stands twice; 416 for a Request-URI of another scheme; 501 or
    405; 483; 420; 415 and 406 where a body carries the session.
    """
    if request.version != "SIP/2.0":
        return _rejection(505)
    try:
        fields = _first_of_each(request)
        _read_views(request, fields)
    except MalformedMessage as error:
        return _bad(str(error))
    try:
        # the view is made here, as those above, so that its reader cannot be surprised
        if request.uri.headers:
            return _bad("Request-URI holds header fields")
    except MalformedMessage as error:
        return _rejection(416) if error.status == 416 else _bad(str(error))
    method = request.method
    if method not in methods:
        return _rejection(405 if method in KNOWN_METHODS else 501, ("allow", ", ".join(sorted(methods))))
    if "max-forwards" in fields and (refused := _check_hops(request, fields["max-forwards"])):
        return refused
    if "require" in fields and method not in {"ACK", "CANCEL"} and (refused := _check_require(request, extensions)):
        return refused
    return _check_session(request, fields) if method in _CARRIES_SDP else None


def check_response(response: Response) -> str | None:
    """Why a response is to be dropped, as a label to count by, or None.

    `malformed_response`, or `foreign_response` for one with several Vias, which went astray (RFC 3261 section
    8.1.3.3). The Contact is looked at only where it can make a dialog: a redirection's may name any scheme.
    """
    try:
        fields = _first_of_each(response)
        response.via, response.from_, response.to  # noqa: B018  # see check
        _, method = response.cseq
        if not _is_call_id(fields["call-id"]):
            return "malformed_response"
        if method == "INVITE" and 101 <= response.status < 300:
            response.contacts  # noqa: B018  # see check
            _read_routes(response, fields)
    except MalformedMessage:
        return "malformed_response"
    is_alone = len(fields) == len(response.headers) and "," not in fields["via"]
    return "foreign_response" if not is_alone and len(response.all("via")) > 1 else None


def _first_of_each(message: Message) -> Mapping[str, str]:
    """The first value of every header field by name; raises `MalformedMessage` for missing and repeated ones."""
    fields = message.first()
    if len(fields) != len(message.headers):
        names = [name for name, _ in message.headers]
        twice = next((name for name in _SINGLE if names.count(name) > 1), None)
        if twice is not None:
            raise MalformedMessage(f"{pretty(twice)} stands twice")
    if not fields.keys() >= _MANDATORY:
        raise MalformedMessage(f"{pretty(min(_MANDATORY.difference(fields)))} is missing")
    length = fields.get("content-length")
    # `parse` has cut off what follows the length, so that a right one is the body's.
    size = len(message.body)
    if length is not None and length != str(size) and not (is_number(length, 9) and int(length) == size):
        raise MalformedMessage("Content-Length is not the length of the body")
    return fields


def _read_views(request: Request, fields: Mapping[str, str]) -> None:
    """Read what transactions and dialogs are made of; raises `MalformedMessage` where it is not what it has to be."""
    method = request.method
    request.via, request.to  # noqa: B018  # see check
    if _has_empty_parameter(fields["via"]):
        raise MalformedMessage("Via has an empty parameter")
    if not request.from_.tag:
        raise MalformedMessage("From has no tag")
    if not _is_call_id(fields["call-id"]):
        raise MalformedMessage("Call-ID is empty or holds white space")
    if request.cseq[1] != method and method in KNOWN_METHODS:  # else 501 says more (RFC 4475 section 3.1.2.18)
        raise MalformedMessage("CSeq names another method")
    if len(request.contacts if "contact" in fields else ()) != 1 and method == "INVITE":
        raise MalformedMessage("INVITE needs exactly one Contact")
    if "replaces" in fields:
        if method != "INVITE" or "join" in fields:
            raise MalformedMessage("Replaces belongs into an INVITE, and without Join")
        parse_replaces(fields["replaces"])
    _read_routes(request, fields)


def _read_routes(message: Message, fields: Mapping[str, str]) -> None:
    for name in ("route", "record-route"):
        if name in fields:
            for hop in message.all(name):
                parse_address(hop)


def _has_empty_parameter(via: str) -> bool:
    """Whether nothing but blanks stands between two separators, or after the last one."""
    text = via.replace(" ", "").replace("\t", "").replace(",", ";")
    return ";;" in text or text.endswith(";")


def _is_call_id(text: str) -> bool:
    """Whether a text is there and holds neither white space nor a comma nor a NUL."""
    return "," not in text and "\0" not in text and text.split() == [text]


def _check_hops(request: Request, hops: str) -> Rejection | None:
    if not is_number(hops, 9) or int(hops) > 255:
        return _bad("Max-Forwards is not a number up to 255")
    # Only a new call is passed on and could go round in a loop; all else ends here (RFC 4475 section 3.3.11).
    if int(hops) == 0 and request.method == "INVITE" and request.to.tag is None:
        return _rejection(483)
    return None


def _check_require(request: Request, extensions: frozenset[str]) -> Rejection | None:
    required = request.all("require")
    if not all(map(_OPTION_TAG.match, required)):
        return _bad("Require is no list of option tags")
    unknown = [tag for tag in required if tag.lower() not in extensions]
    return _rejection(420, ("unsupported", ", ".join(unknown))) if unknown else None


def _check_session(request: Request, fields: Mapping[str, str]) -> Rejection | None:
    if request.body and "handling=optional" not in fields.get("content-disposition", "").lower():
        media_type = fields.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != "application/sdp" and not media_type.startswith("multipart/"):
            return _rejection(415, _ACCEPT)
        if "content-encoding" in fields and any(x.lower() != "identity" for x in request.all("content-encoding")):
            return _rejection(415, _ACCEPT, ("accept-encoding", "identity"))
    if "accept" in fields:
        taken = {value.partition(";")[0].strip().lower() for value in request.all("accept")}
        if taken.isdisjoint({"application/sdp", "application/*", "*/*"}):
            return _rejection(406)
    return None


def _bad(reason: str) -> Rejection:
    return Rejection(400, printable(reason)[:_LONGEST_REASON])


def _rejection(status: int, *headers: tuple[str, str]) -> Rejection:
    return Rejection(status, REASONS[status], headers)
