"""SIP messages: bytes to lazy values and back (RFC 3261 section 7 and 25).

`parse` cuts a message into its start line, header fields and body and no more; `Via`, `NameAddr`, `Uri` and the
others are made when they are first asked for. A reply copies the header values of its request as they came, so a peer
finds its own bytes again. What cannot be represented raises `MalformedMessage`; what is well-formed and still wrong is
for `sipshop.sip.validate`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Final, TypeVar

#: Reason phrases of RFC 3261 section 21 and its extensions, for the statuses that this engine sends.
REASONS: Final[dict[int, str]] = {
    100: "Trying",
    180: "Ringing",
    181: "Call Is Being Forwarded",
    182: "Queued",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    421: "Extension Required",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    505: "Version Not Supported",
    513: "Message Too Large",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}

_COMPACT: Final = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "d": "request-disposition",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "j": "reject-contact",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
    "y": "identity",
}
_PRETTY: Final = {
    "call-id": "Call-ID",
    "cseq": "CSeq",
    "www-authenticate": "WWW-Authenticate",
    "mime-version": "MIME-Version",
    "min-se": "Min-SE",
    "rack": "RAck",
    "rseq": "RSeq",
    "sip-etag": "SIP-ETag",
    "sip-if-match": "SIP-If-Match",
}
#: Header fields whose grammar is a comma-separated list (RFC 3261 section 7.3.1); the rest are one value a line.
_LISTS: Final = frozenset(
    {
        "accept",
        "accept-encoding",
        "accept-language",
        "alert-info",
        "allow",
        "call-info",
        "contact",
        "content-encoding",
        "content-language",
        "error-info",
        "in-reply-to",
        "path",
        "proxy-require",
        "record-route",
        "require",
        "route",
        "supported",
        "unsupported",
        "via",
        "warning",
    }
)
#: What a response copies from its request; 100 and what can make a dialog copy one field more.
_COPIED: Final = frozenset({"via", "from", "to", "call-id", "cseq"})
_COPIED_INTO_100: Final = _COPIED | {"timestamp"}
_COPIED_INTO_DIALOGS: Final = _COPIED | {"record-route"}
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+\Z")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
#: A NUL may stand in a quoted string behind a backslash (RFC 3261 section 25.1), and nowhere else.
_BARE_NUL: Final = re.compile(r"(?<!\\)\0")
_HOST: Final = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9](?:[A-Za-z0-9.\-_]*[A-Za-z0-9.])?)\Z")
#: A Via up to its parameters, of any version: that of the request is what 505 is for (RFC 4475 section 3.1.2.16).
_SENT_BY: Final = re.compile(
    r"SIP[ \t]*/[ \t]*[0-9]+\.[0-9]+[ \t]*/[ \t]*([A-Za-z0-9\-.!%*_+`'~]+)[ \t]+(\[[0-9A-Fa-f:.]+\]|[^\s:;,]+)"
    r"(?:[ \t]*:[ \t]*([0-9]{1,5}))?[ \t]*\Z",
    re.IGNORECASE,
)
#: What nearly every URI looks like; the others (escapes, passwords, headers, capitals, errors) take the longer way.
_PLAIN_URI: Final = re.compile(
    r"(sips?):(?:([A-Za-z0-9\-_.!~*'()&=+$,/]++)@)?"
    r"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9][A-Za-z0-9.\-_]*+(?<=[A-Za-z0-9.]))(?::([0-9]{1,5}))?"
    r"((?:;[A-Za-z0-9\-.!%*_+`'~]++(?:=[A-Za-z0-9\-.!%*_+`'~\[\]:/&$]++)?)++)?\Z"
)
#: A quoted display name and the bracket that has to follow it.
_QUOTED: Final = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"\s*<')
_ESCAPED: Final = re.compile(r"\\(.)")
#: A quote that never ends takes the rest with it: looked for again at each, 60 kB of them would cost half a minute.
_BETWEEN_SEMICOLONS: Final = re.compile(r'(?:[^;"]++|"(?:[^"\\]|\\.)*+(?:"|\\?\Z))++')
_CSEQ: Final = re.compile(r"([0-9]{1,10})[ \t]+([A-Za-z0-9\-.!%*_+`'~]+)\Z")


#: Addresses that are kept taken apart: those of the calls going on, at a few each.
_REMEMBERED: Final = 8192
#: Header lines and Vias that are kept: those of the calls being set up, at a dozen each.
_REMEMBERED_LINES: Final = 2048
#: Nothing that is longer is kept, nor a line of a longer head, so that nobody can fill our memory (characters).
_LONGEST_REMEMBERED: Final = 512
_LONGEST_HEAD_REMEMBERED: Final = 4096

_Read = TypeVar("_Read")


class SipError(Exception):
    """The root of this room's errors; `status` hints the SIP status to answer with."""

    status: int = 400


class MalformedMessage(SipError):
    """Bytes that are no SIP message, or a header field that is not what its name promises."""


class UnanswerableChallenge(SipError):
    """A 401 or 407 whose challenge we cannot answer: no Digest, or an algorithm or protection that we do not have."""


class FramingError(SipError):
    """A stream on which the next message cannot be found: nothing after this point can be trusted."""


class MissingContentLength(FramingError):
    """A message on a stream says nowhere, or not in one number, where it ends (RFC 3261 section 18.3)."""


class TooLarge(FramingError):
    """A message on a stream is longer than any that we take."""

    status = 513


@dataclass(slots=True)
class Uri:
    """A SIP or SIPS URI (RFC 3261 section 19.1), its user part unescaped, its parameters with lower-case names.

    Nobody may change one: equal texts share it, and it remembers its own.

    `port` is None where the URI names none, which is not the same as 5060 (RFC 3261 section 19.1.4).
    """

    scheme: str
    user: str | None
    host: str
    port: int | None = None
    params: dict[str, str | None] = field(default_factory=dict)
    headers: str = ""
    _text: str | None = field(default=None, init=False, repr=False, compare=False)

    def __str__(self) -> str:
        if self._text is None:
            self._text = self._format()
        return self._text

    def _format(self) -> str:
        user = f"{escape_user(self.user)}@" if self.user is not None else ""
        port = f":{self.port}" if self.port is not None else ""
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{self.host}{port}{_format_params(self.params)}{headers}"

    @property
    def transport(self) -> str | None:
        """The `transport` parameter in lower case (transports compare without case), or None."""
        value = self.params.get("transport")
        return value.lower() if value else None


@dataclass(slots=True)
class NameAddr:
    """A From, To, Contact, Route or Record-Route value: display name, URI and the header's own parameters.

    `tag` is the one that makes this end of a dialog, or None.
    """

    uri: Uri
    display: str = ""
    params: dict[str, str | None] = field(default_factory=dict)
    tag: str | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.tag = self.params.get("tag")

    def __str__(self) -> str:
        display = f'"{_quote(self.display)}" ' if self.display else ""
        return f"{display}<{self.uri}>{_format_params(self.params)}"


@dataclass(slots=True)
class Via:
    """One Via value: `sent-by` and its parameters; the transport in upper case.

    `branch` is empty where a peer sent none. `sent_by` is host and port as one key, in lower case, as transaction
    matching compares them (section 17.2.3).
    """

    transport: str
    host: str
    port: int | None
    params: dict[str, str | None]
    branch: str
    sent_by: str

    def __str__(self) -> str:
        port = f":{self.port}" if self.port is not None else ""
        return f"SIP/2.0/{self.transport} {self.host}{port}{_format_params(self.params)}"


class Message:
    """What requests and responses share: header fields in their order, and a body.

    `headers` holds (lower-case full name, unfolded value) pairs. Values are text decoded as UTF-8 with surrogate
    escapes, so that any byte survives a round trip; the body is never decoded.
    """

    __slots__ = ("_contacts", "_cseq", "_first", "_from", "_to", "_via", "body", "headers")

    def __init__(self, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        self.headers = headers
        self.body = body
        self._first: dict[str, str] | None = None
        self._via: Via | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._cseq: tuple[int, str] | None = None
        self._contacts: list[NameAddr] | None = None

    def get(self, name: str) -> str | None:
        """The first value of a header field by its lower-case name, or None."""
        return (self._first or self.first()).get(name)

    def first(self) -> dict[str, str]:
        """The first value of every header field by its lower-case name; only `set` and `set_first` may change it."""
        if self._first is None:
            self._first = dict(reversed(self.headers))
        return self._first

    def all(self, name: str) -> list[str]:
        """Every value of a header field, list-valued fields taken apart at their commas."""
        first = self.first()
        if name not in first:
            return []
        if len(first) == len(self.headers):
            found = [first[name]]
        else:
            found = [value for key, value in self.headers if key == name]
        if name not in _LISTS:
            return found
        return [part for value in found for part in (split_commas(value) if "," in value else (value,)) if part]

    def set(self, name: str, value: str) -> None:
        """Replace every field of that name by one (kept at the place of the first), or append it."""
        Message.__init__(self, self.headers, self.body)  # what was read is to be read anew
        place = next((i for i, (key, _) in enumerate(self.headers) if key == name), None)
        if place is None:
            self.headers.append((name, value))
        else:
            self.headers[place] = (name, value)
            self.headers[place + 1 :] = [pair for pair in self.headers[place + 1 :] if pair[0] != name]

    def set_first(self, name: str, value: str) -> None:
        """Replace the first field of that name, which must be there, and leave the others as they are."""
        first = self.first()
        self.headers[self.headers.index((name, first[name]))] = (name, value)
        first[name] = value

    @property
    def call_id(self) -> str:
        """The Call-ID.

        Raises:
            MalformedMessage: where there is none.
        """
        return self._required("call-id")

    @property
    def cseq(self) -> tuple[int, str]:
        """CSeq as (number, method).

        Raises:
            MalformedMessage: where it is missing, not of that form, or 2**31 and above (section 8.1.1.5).
        """
        view = self._cseq
        if view is None:
            view = self._cseq = _parse_cseq(self._required("cseq"))
        return view

    @property
    def via(self) -> Via:
        """The topmost Via.

        Raises:
            MalformedMessage: where it is missing or is not one.
        """
        view = self._via
        if view is None:
            value = self._required("via")
            view = self._via = parse_via(split_commas(value)[0] if "," in value else value)
        return view

    @property
    def from_(self) -> NameAddr:
        """The From header; raises `MalformedMessage` where it is missing or is not one."""
        view = self._from
        if view is None:
            view = self._from = parse_address(self._required("from"))
        return view

    @property
    def to(self) -> NameAddr:
        """The To header; raises `MalformedMessage` where it is missing or is not one."""
        view = self._to
        if view is None:
            view = self._to = parse_address(self._required("to"))
        return view

    @property
    def contacts(self) -> list[NameAddr]:
        """Every Contact but `*`; raises `MalformedMessage` for one that is no address."""
        view = self._contacts
        if view is None:
            view = self._contacts = [parse_address(v) for v in self.all("contact") if v.strip() != "*"]
        return view

    @property
    def content_type(self) -> str | None:
        """The media type of the body in lower case without parameters, or None."""
        value = self.get("content-type")
        return value.partition(";")[0].strip().lower() if value is not None else None

    def encode(self) -> bytes:
        """The message as it goes on the wire, Content-Length made from the body."""
        start_of = _LINE_STARTS.get
        fields = "".join(
            [
                (start_of(name) or f"\r\n{pretty(name)}: ") + value
                for name, value in self.headers
                if name != "content-length"
            ]
        )
        head = f"{self._start_line()}{fields}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        return head.encode("utf-8", "surrogateescape") + self.body

    def _start_line(self) -> str:
        raise AssertionError("only requests and responses are sent")

    def _required(self, name: str) -> str:
        value = (self._first or self.first()).get(name)
        if value is None:
            raise MalformedMessage(f"{pretty(name)} is missing")
        return value


class Request(Message):
    """A request: method (case-sensitive), Request-URI as received, header fields, body.

    `version` is the one that the request line names, `SIP/2.0` for all but those to be answered 505.
    """

    __slots__ = ("_uri", "method", "target", "version")

    def __init__(self, method: str, target: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        Message.__init__(self, headers, body)
        self.method = method
        self.target = target
        self.version = "SIP/2.0"
        self._uri: Uri | None = None

    @property
    def uri(self) -> Uri:
        """The Request-URI taken apart; raises `MalformedMessage` where it is no SIP URI."""
        view = self._uri
        if view is None:
            view = self._uri = parse_uri(self.target)
        return view

    def reply(
        self,
        status: int,
        reason: str | None = None,
        *,
        to_tag: str | None = None,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> Response:
        """The response to this request (RFC 3261 section 8.2.6): Via, From, To, Call-ID and CSeq as they came.

        `to_tag` is added to a To that has none; Record-Route is copied into responses that can make a dialog.
        """
        if status == 100:
            names = _COPIED_INTO_100
        elif self.method == "INVITE" and status < 300:
            names = _COPIED_INTO_DIALOGS
        else:
            names = _COPIED
        copied = [field for field in self.headers if field[0] in names]
        if to_tag is not None:
            for place, (name, value) in enumerate(copied):
                if name == "to" and not _has_tag(value):
                    copied[place] = (name, f"{value};tag={to_tag}")
        copied += headers
        return Response(status, reason or REASONS.get(status, "Unknown"), copied, body)

    def _start_line(self) -> str:
        return f"{self.method} {self.target} SIP/2.0"

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.target!r}>"


class Response(Message):
    """A response: status, reason phrase, header fields, body."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str, headers: list[tuple[str, str]], body: bytes = b"") -> None:
        Message.__init__(self, headers, body)
        self.status = status
        self.reason = reason

    def _start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason!r}>"


def parse(data: bytes) -> Request | Response:
    """A datagram, or one framed message of a stream, as a request or a response.

    What follows Content-Length is cut off (RFC 3261 section 18.3). A body that is shorter stays as it is:
    `sipshop.sip.validate` refuses it, since only a request can be answered.

    Raises:
        MalformedMessage: no start line, no end of the header, a header line without a name, a control character.
    """
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise MalformedMessage("the header has no end")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    text = "".join(lines)
    if "\r" in text or "\n" in text or ("\0" in text and _BARE_NUL.search(text)):
        # it would become a header line of its own on the other leg
        raise MalformedMessage("the header holds a bare CR, a bare LF or a NUL")
    start = lines.pop(0)
    headers = _parse_headers(lines, remember=len(head) < _LONGEST_HEAD_REMEMBERED)
    message: Request | Response
    if start[:8].upper() == "SIP/2.0 ":
        message = _parse_status_line(start, headers)
    else:
        message = _parse_request_line(start, headers)
    length = message.get("content-length")
    if length is not None and length != str(len(body)) and is_number(length, 10):
        body = body[: int(length)]
    message.body = body
    return message


def _remembered(most: int) -> Callable[[Callable[[str], _Read]], Callable[[str], _Read]]:
    """Keep what was read of so many texts, the latest; of a long text never, so that nobody can fill our memory."""

    def remember(read: Callable[[str], _Read]) -> Callable[[str], _Read]:
        known = lru_cache(maxsize=most)(read)

        @wraps(read)
        def read_or_known(text: str) -> _Read:
            return known(text) if len(text) <= _LONGEST_REMEMBERED else read(text)

        return read_or_known

    return remember


@_remembered(_REMEMBERED)
def parse_uri(text: str) -> Uri:
    """A `sip:` or `sips:` URI; equal texts give one shared value, which nobody may change.

    >>> parse_uri("sip:+49%2030@example.org:5070;transport=TCP").user
    '+49 30'

    Raises:
        MalformedMessage: another scheme (status 416), or no such URI (status 400).
    """
    match = _PLAIN_URI.match(text)
    if match is not None and (match[4] is None or 0 < int(match[4]) < 65536):
        scheme, user, host, number, tail = match.groups()
        return Uri(scheme, user, host, int(number) if number else None, _parse_params(tail[1:]) if tail else {})
    return _parse_any_uri(text)


def _parse_any_uri(text: str) -> Uri:
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in {"sip", "sips"}:
        error = MalformedMessage(f"URI {text!r} has a scheme that is not sip or sips")
        error.status = 416 if colon and _TOKEN.match(scheme) else 400
        raise error
    if _CONTROL.search(rest) or " " in rest or "<" in rest or ">" in rest:
        raise MalformedMessage(f"URI {text!r} has a character that must be escaped")
    userinfo, at, hostpart = rest.rpartition("@")
    hostpart, _, headers = hostpart.partition("?")
    hostport, _, tail = hostpart.partition(";")
    host, port = _parse_hostport(hostport, text)
    user = unescape(userinfo.partition(":")[0]) if at else None
    return Uri(scheme, user, host, port, _parse_params(tail) if tail else {}, headers)


@_remembered(_REMEMBERED)
def parse_address(text: str) -> NameAddr:
    r"""A name-addr or addr-spec with header parameters (RFC 3261 section 20.10).

    Equal texts give one shared value, which nobody may change: a dialog repeats its From and To in every message.

    >>> parse_address('"Booth \\"1\\"" <sip:b1@shop>;tag=x').display
    'Booth "1"'

    Raises:
        MalformedMessage: unclosed quotes or brackets, none around a URI that needs them, or no SIP URI.
    """
    text = text.strip()
    display = ""
    if text.startswith('"'):
        quoted = _QUOTED.match(text)
        if quoted is None:
            raise MalformedMessage("a display name has no closing quote, or is followed by no <URI>")
        display = _unescape_quoted(quoted[1])
        opening = quoted.end() - 1
    else:
        opening = text.find("<")
    if opening < 0:
        # addr-spec: its parameters belong to the header (RFC 3261 section 20.10)
        spec, _, tail = text.partition(";")
        if "?" in spec:
            raise MalformedMessage("a URI with header fields stands outside brackets")
        return NameAddr(parse_uri(spec.strip()), "", _parse_params(tail) if tail else {})
    closing = text.find(">", opening)
    if closing < 0:
        raise MalformedMessage("a URI has no closing bracket")
    if opening and text[0] != '"':
        display = text[:opening].rstrip()
    tail = text[closing + 1 :].strip()
    if tail and not tail.startswith(";"):
        raise MalformedMessage("what follows a bracketed URI is no parameter")
    return NameAddr(parse_uri(text[opening + 1 : closing]), display, _parse_params(tail[1:]) if tail else {})


@_remembered(_REMEMBERED_LINES)
def parse_via(text: str) -> Via:
    """One Via value, shared by equal texts, so nobody may change it; raises `MalformedMessage` where it is none."""
    head, _, tail = text.strip().partition(";")
    found = _parse_sent_by(head)
    if found is None:
        raise MalformedMessage(f"Via {text!r} is not of the form SIP/2.0/TRANSPORT HOST:PORT;PARAMETERS")
    params = _parse_params(tail) if tail else {}
    transport, host, port, sent_by = found
    return Via(transport, host, port, params, params.get("branch") or "", sent_by)


@_remembered(_REMEMBERED)
def _parse_sent_by(text: str) -> tuple[str, str, int | None, str] | None:
    """Transport, host, port and `sent_by` of a Via: the same in all messages of a peer, while its branches are new."""
    match = _SENT_BY.match(text)
    if match is None:
        return None
    port = int(match[3]) if match[3] else None
    if port is not None and not 0 < port < 65536:
        raise MalformedMessage(f"Via port {port} is not between 1 and 65535")
    return match[1].upper(), match[2], port, f"{match[2].lower()}:{port or ''}"


@_remembered(256)
def _parse_cseq(text: str) -> tuple[int, str]:
    """Number and method of a CSeq; most calls use the same few."""
    match = _CSEQ.match(text)
    if match is None or int(match[1]) >= 2**31:
        raise MalformedMessage(f"CSeq {text!r} is not a number below 2**31 and a method")
    return int(match[1]), match[2]


def parse_parameters(text: str) -> dict[str, str]:
    """The `name=value` list of a challenge or of credentials, quotes taken off, names in lower case.

    Raises:
        MalformedMessage: an entry without a value, or a name that stands twice.
    """
    found: dict[str, str] = {}
    for part in split_commas(text):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if not equals or name in found:
            raise MalformedMessage(f"parameter {name!r} has no value or stands twice")
        found[name] = unquote(value.strip())
    return found


def is_number(text: str, most_digits: int) -> bool:
    """Whether a text is digits and no more of them: int() refuses thousands with an error of its own."""
    return len(text) <= most_digits and text.isascii() and text.isdigit()


def split_commas(text: str) -> list[str]:
    """Cut at the commas that stand outside quotes and angle brackets, white space taken off.

    >>> split_commas('"a, b" <sip:x@y,z>, <sip:c@d>')
    ['"a, b" <sip:x@y,z>', '<sip:c@d>']
    """
    if '"' not in text and "<" not in text:
        return [part.strip() for part in text.split(",")]
    parts: list[str] = []
    start, position, quoted, bracketed = 0, 0, False, False
    while position < len(text):
        character = text[position]
        if quoted:
            if character == "\\":
                position += 1
            elif character == '"':
                quoted = False
        elif character == '"':
            quoted = True
        elif character == "<":
            bracketed = True
        elif character == ">":
            bracketed = False
        elif character == "," and not bracketed:
            parts.append(text[start:position].strip())
            start = position + 1
        position += 1
    parts.append(text[start:].strip())
    return parts


def unquote(text: str) -> str:
    """A quoted string without its quotes and escapes; a token as it is."""
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return _unescape_quoted(text[1:-1])
    return text


def unescape(text: str) -> str:
    """Undo %-escapes; bytes that are no UTF-8 become surrogates and escape again to themselves."""
    if "%" not in text:
        return text
    raw = text.encode("utf-8", "surrogateescape")
    plain = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes((int(match[1], 16),)), raw)
    return plain.decode("utf-8", "surrogateescape")


def escape_user(text: str) -> str:
    """Escape a user part for a URI (RFC 3261 section 25.1, `user`), so that no control character reaches the wire."""
    if _PLAIN_USER.match(text):
        return text
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if chr(byte) in _USER_CHARACTERS else f"%{byte:02X}" for byte in raw)


def printable(text: str) -> str:
    """Foreign text made safe for a log or a reason phrase: control and non-ASCII characters are escaped."""
    return text.encode("unicode_escape", "backslashreplace").decode("ascii") if not _PRINTABLE.match(text) else text


def pretty(name: str) -> str:
    """A header's name as RFC 3261 spells it.

    >>> pretty("call-id"), pretty("max-forwards")
    ('Call-ID', 'Max-Forwards')
    """
    return _SPELT[name]


class _Spelt(dict[str, str]):
    """Names as RFC 3261 spells them; the others word by word."""

    def __missing__(self, name: str) -> str:
        return "-".join(word.capitalize() for word in name.split("-"))


_SPELT: Final = _Spelt(
    {
        **{
            name: "-".join(word.capitalize() for word in name.split("-"))
            for name in (
                *_COMPACT.values(),
                *_LISTS,
                *("authorization", "expires", "max-forwards", "min-expires", "p-asserted-identity"),
                *("proxy-authenticate", "proxy-authorization", "rack", "reason", "retry-after", "server", "user-agent"),
            )
        },
        **_PRETTY,
    }
)
#: How the line of a header field begins, after the end of the line before. Not a `_Spelt`: that is slow to look up in.
_LINE_STARTS: Final = {name: f"\r\n{spelt}: " for name, spelt in _SPELT.items()}
#: How most messages spell the names, to the names that we use.
_NAMES: Final = {spelling: name for name, spelt in _SPELT.items() for spelling in (spelt, name)} | {
    letter: name for compact, name in _COMPACT.items() for letter in (compact, compact.upper())
}
_USER_CHARACTERS: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.!~*'()&=+$,;?/")
_PLAIN_USER: Final = re.compile(r"[A-Za-z0-9\-_.!~*'()&=+$,;?/]*\Z")
_PRINTABLE: Final = re.compile(r"[\x20-\x5b\x5d-\x7e]*\Z")


class _FoldedLine(MalformedMessage):
    """A line that goes on with the header field of the line before it (RFC 3261 section 7.3.1), if there is one."""


def _parse_line(line: str) -> tuple[str, str]:
    """A header line as (name, value); raises `_FoldedLine` and `MalformedMessage`."""
    name, colon, value = line.partition(":")
    known = _NAMES.get(name)
    if known is None or not colon:
        if line[:1] in {" ", "\t"}:
            raise _FoldedLine(f"header line {line[:60]!r} has no name of its own")
        if not colon:
            raise MalformedMessage(f"header line {line[:60]!r} has no name")
        known = _name_of(name)
    return known, value.strip(" \t")


#: Most lines of a message stood in an earlier one of its call, or stand in each: equal ones give one shared pair.
_parse_known_line: Final = lru_cache(maxsize=_REMEMBERED_LINES)(_parse_line)


def _parse_headers(lines: list[str], *, remember: bool) -> list[tuple[str, str]]:
    try:
        return list(map(_parse_known_line if remember else _parse_line, lines))
    except _FoldedLine:
        return _parse_folded_headers(lines)


def _parse_folded_headers(lines: list[str]) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[:1] in {" ", "\t"} and headers:
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}".strip())
        else:
            headers.append(_parse_line(line))
    return headers


def _name_of(name: str) -> str:
    """The lower-case full name of a header that is not spelt as most are."""
    known = _NAMES.get(name)
    if known is None:
        known = name.rstrip(" \t").lower()
        if not _TOKEN.match(known):
            raise MalformedMessage(f"header name {name[:60]!r} is no token")
    return _COMPACT.get(known, known)


def _parse_status_line(line: str, headers: list[tuple[str, str]]) -> Response:
    status, _, reason = line[8:].partition(" ")
    if len(status) != 3 or not status.isascii() or not status.isdigit() or not 100 <= int(status) <= 699:
        raise MalformedMessage(f"status {status[:20]!r} is not between 100 and 699")
    return Response(int(status), reason, headers)


def _parse_request_line(line: str, headers: list[tuple[str, str]]) -> Request:
    method, space, rest = line.partition(" ")
    target, last, version = rest.rstrip(" ").rpartition(" ")  # RFC 4475 section 3.1.2.10
    is_ours = version.upper() == "SIP/2.0"
    is_sip = is_ours or version.upper().startswith("SIP/")
    is_token = (method.isascii() and method.isalpha()) or _TOKEN.match(method)
    if not is_sip or not space or not last or not target or not is_token:
        raise MalformedMessage(f"start line {line[:60]!r} is neither a request's nor a response's")
    request = Request(method, target, headers)
    if not is_ours:
        request.version = version
    return request


def _unescape_quoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _has_tag(value: str) -> bool:
    """Whether a To has a tag; one that cannot be read is left alone as if it had, since its 400 must go out too."""
    try:
        return "tag" in parse_address(value).params
    except MalformedMessage:
        return True


def _parse_hostport(text: str, uri: str) -> tuple[str, int | None]:
    host, colon, port = text, "", ""
    if text.startswith("["):
        end = text.find("]")
        host, tail = text[: end + 1], text[end + 1 :]
        if tail:
            colon, port = tail[0], tail[1:]
    elif ":" in text:
        host, colon, port = text.partition(":")
    if not _HOST.match(host) or colon not in {"", ":"} or (colon and not (port.isascii() and port.isdigit())):
        raise MalformedMessage(f"URI {uri!r} has no valid host and port")
    if port and (len(port) > 9 or not 0 < int(port) < 65536):
        raise MalformedMessage(f"URI {uri!r} has a port that is not between 1 and 65535")
    return host, int(port) if port else None


def _parse_params(text: str) -> dict[str, str | None]:
    params: dict[str, str | None] = {}
    is_quoted = '"' in text
    for part in _BETWEEN_SEMICOLONS.findall(text) if is_quoted else text.split(";"):
        name, equals, value = part.partition("=")
        name = name.strip().lower()
        if name and name not in params:
            value = value.strip()
            params[name] = (unquote(value) if is_quoted else value) if equals else None
    return params


def _format_params(params: dict[str, str | None]) -> str:
    if not params:
        return ""
    return "".join(
        f";{name}" if value is None else f";{name}={_token_or_quoted(value)}" for name, value in params.items()
    )


def _token_or_quoted(value: str) -> str:
    return value if _PARAM_VALUE.match(value) else f'"{_quote(value)}"'


#: A token, or a host with brackets, or the unreserved characters that URI parameters may hold.
_PARAM_VALUE: Final = re.compile(r"[A-Za-z0-9\-.!%*_+`'~\[\]:/&$]+\Z")


def _quote(text: str) -> str:
    return _CONTROL.sub(" ", text).replace("\\", "\\\\").replace('"', '\\"')
