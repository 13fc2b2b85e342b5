"""What each message of RFC 4475 and RFC 5118 is answered by a switch that does not know its sender, and why."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
#: Over TCP: the connection is closed, because nobody can tell where the next message begins.
CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True)
class Case:
    """A message: the statuses that it is answered, none where it is dropped.

    `is_sound` is the word of parser and validator. `tcp` is there where TCP is answered otherwise than UDP.
    """

    rfc: int
    section: str
    name: str
    title: str
    is_sound: bool
    udp: int | None
    why: str
    tcp: tuple[int | str, ...] | None = None

    @property
    def data(self) -> bytes:
        """Its bytes."""
        folder = HERE / f"rfc{self.rfc}" if self.rfc else HERE
        return (folder / f"{self.name}.dat").read_bytes()

    @property
    def over_tcp(self) -> tuple[int | str, ...]:
        """What TCP is answered."""
        return self.tcp if self.tcp is not None else () if self.udp is None else (self.udp,)

    @property
    def id(self) -> str:
        """How the test is called."""
        return f"{self.rfc or 'other'}-{self.section}-{self.name}"


def _sound(section: str, name: str, title: str, udp: int | None, why: str, **more: tuple[int | str, ...]) -> Case:
    return Case(4475, section, name, title, True, udp, why, more.get("tcp"))


def _unsound(section: str, name: str, title: str, udp: int | None, why: str, **more: tuple[int | str, ...]) -> Case:
    return Case(4475, section, name, title, False, udp, why, more.get("tcp"))


def _ipv6(section: str, name: str, title: str, udp: int | None, why: str) -> Case:
    return Case(5118, section, name, title, udp != 400, udp, why)


_CHALLENGED: Final = "a request as any other, and we do not know its sender"
_STRAY: Final = "a response as any other, to a request that we never sent"

CASES: Final = (
    _sound("3.1.1.1", "wsinv", "A short tortuous INVITE", 481, "well-formed, and its To-tag names no dialog of ours"),
    _unsound("3.1.1.2", "intmeth", "Wide range of valid characters", 501, "an unknown method, and nothing else wrong"),
    _sound("3.1.1.3", "esc01", "Valid use of the % escaping mechanism", 401, _CHALLENGED),
    _sound("3.1.1.4", "escnull", "Escaped nulls in URIs", 401, _CHALLENGED),
    _unsound("3.1.1.5", "esc02", "Use of % when it is not an escape", 501, "RE%47IST%45R is not REGISTER"),
    _sound("3.1.1.6", "lwsdisp", "No LWS between display name and <", 200, "an OPTIONS as any other"),
    _sound("3.1.1.7", "longreq", "Long values in header fields", 401, _CHALLENGED),
    _sound(
        *("3.1.1.8", "dblreq", "Extra trailing octets in a UDP datagram", 401),
        "what follows Content-Length is thrown away; over TCP it is an INVITE without Contact, and no message after it",
        tcp=(401, 400, CLOSED),
    ),
    _sound("3.1.1.9", "semiuri", "Semicolon-separated parameters in URI user part", 200, "an OPTIONS as any other"),
    _sound("3.1.1.10", "transports", "Varied and unknown transport types", 200, "only the topmost Via is ours to read"),
    _unsound("3.1.1.11", "mpart01", "Multipart MIME message", 405, "well-formed; MESSAGE is not taken"),
    _sound("3.1.1.12", "unreason", "Unusual reason phrase", None, _STRAY),
    _sound("3.1.1.13", "noreason", "Empty reason phrase", None, _STRAY),
    _unsound("3.1.2.1", "badinv01", "Extraneous header field separators", 400, "an empty parameter in Via"),
    _unsound(
        *("3.1.2.2", "clerr", "Content-Length larger than message", 400),
        "a datagram is all there is; on a connection the rest may still come, until it has idled for too long",
        tcp=(),
    ),
    _unsound(
        "3.1.2.3", "ncl", "Negative Content-Length", 400, "no length; a stream cannot go on after it", tcp=(CLOSED,)
    ),
    _unsound("3.1.2.4", "scalar02", "Request scalar fields with overlarge values", 400, "CSeq of 2**31 and above"),
    _unsound("3.1.2.5", "scalarlg", "Response scalar fields with overlarge values", None, "a response is not answered"),
    _unsound(
        *("3.1.2.6", "quotbal", "Unterminated quoted string in display name", 400),
        "the RFC lets us guess the quote or refuse; who guesses may read another name than the next hop",
    ),
    _unsound(
        "3.1.2.7", "ltgtruri", "<> enclosing Request-URI", 400, "the RFC lets us guess; a phone that errs is told"
    ),
    _unsound("3.1.2.8", "lwsruri", "Malformed SIP Request-URI (embedded LWS)", 400, "as above"),
    _unsound("3.1.2.9", "lwsstart", "Multiple SP separating Request-Line elements", 400, "as above"),
    _sound(
        *("3.1.2.10", "trws", "SP characters at end of Request-Line", 200),
        "the RFC lets us ignore them, as at the end of every other line: nothing else can be meant",
    ),
    _unsound(
        *("3.1.2.11", "escruri", "Escaped headers in SIP Request-URI", 400),
        "the RFC lets us ignore them; who sends a Route in there wants to go round our routes",
    ),
    _sound("3.1.2.12", "baddate", "Invalid time zone in Date header field", 401, "nobody here reads Date: ignored"),
    _unsound("3.1.2.13", "regbadct", "Failure to enclose name-addr URI in <>", 400, "what is a header of what?"),
    _unsound("3.1.2.14", "badaspec", "Spaces within addr-spec", 400, "the RFC lets us ignore them; a phone is told"),
    _sound(
        *("3.1.2.15", "baddn", "Non-token characters in display name", 200),
        "the RFC lets us infer the quotes, and no display name is passed on or believed",
    ),
    _unsound("3.1.2.16", "badvers", "Unknown protocol version", 505, "SIP/7.0"),
    _unsound("3.1.2.17", "mismatch01", "Start line and CSeq method mismatch", 400, "which method is it?"),
    _unsound("3.1.2.18", "mismatch02", "Unknown method with CSeq method mismatch", 501, "501 says more than 400"),
    _unsound("3.1.2.19", "bigcode", "Overlarge response code", None, "no status, so no response"),
    _sound(
        *("3.2.1", "badbranch", "Missing transaction identifier", 200),
        "the cookie alone names no transaction: matched as RFC 2543 has it, which the RFC allows",
    ),
    _unsound("3.3.1", "insuf", "Missing required header fields", 400, "no Call-ID, From and To: answered without them"),
    _unsound("3.3.2", "unkscm", "Request-URI with unknown scheme", 416, "neither sip nor sips"),
    _unsound("3.3.3", "novelsc", "Request-URI with known but atypical scheme", 416, "neither sip nor sips"),
    _unsound("3.3.4", "unksm2", "Unknown URI schemes in header fields", 400, "To is no address of record"),
    _unsound("3.3.5", "bext01", "Proxy-Require and Require", 420, "we have not even heard of nothingSupportsThis"),
    _unsound("3.3.6", "invut", "Unknown Content-Type", 415, "an offer that is not SDP"),
    _sound("3.3.7", "regaut01", "Unknown authorization scheme", 401, "as without credentials"),
    _unsound("3.3.8", "multi01", "Multiple values in single value required fields", 400, "which of them is it?"),
    _unsound("3.3.9", "mcl01", "Multiple Content-Length values", 400, "a stream cannot go on after it", tcp=(CLOSED,)),
    _unsound("3.3.10", "bcast", "200 OK response with broadcast Via header field value", None, "two Vias: gone astray"),
    _sound(
        "3.3.11", "zeromf", "Max-Forwards of zero", 200, "an endpoint ignores it; only what we pass on is refused 483"
    ),
    _sound("3.3.12", "cparam01", "REGISTER with a Contact header parameter", 401, _CHALLENGED),
    _sound("3.3.13", "cparam02", "REGISTER with a URL parameter", 401, _CHALLENGED),
    _sound("3.3.14", "regescrt", "REGISTER with a URL escaped header", 401, _CHALLENGED),
    _unsound("3.3.15", "sdp01", "Unacceptable Accept offering", 406, "nobody could answer the offer"),
    _unsound(
        *("3.4.1", "inv2543", "INVITE with RFC 2543 syntax", 400),
        "who wants to be compatible with 1999 takes it; no phone since sends a From without a tag",
        tcp=(CLOSED,),
    ),
    _ipv6("4.1", "ipv6-good", "Valid SIP message with an IPv6 reference", 401, _CHALLENGED),
    _ipv6("4.2", "ipv6-bad", "Invalid SIP message with an IPv6 reference", 400, "an address without its brackets"),
    _ipv6("4.3", "port-ambiguous", "Port ambiguous in a SIP URI", 401, "all of it is the address"),
    _ipv6("4.4", "port-unambiguous", "Port unambiguous in a SIP URI", 401, _CHALLENGED),
    _ipv6(
        "4.5", "via-received-param-with-delim", "IPv6 reference delimiters in Via", 481, "a BYE of no dialog of ours"
    ),
    _ipv6("4.5", "via-received-param-no-delim", "IPv6 reference delimiters in Via", 200, "an OPTIONS as any other"),
    _ipv6("4.6", "ipv6-in-sdp", "IPv6 addresses in SDP", 401, _CHALLENGED),
    _ipv6("4.7", "mult-ip-in-header", "Multiple IP addresses in SIP headers", 481, "a BYE of no dialog of ours"),
    _ipv6("4.8", "mult-ip-in-sdp", "Multiple IP addresses in SDP", 401, _CHALLENGED),
    _ipv6("4.9", "ipv4-mapped-ipv6", "IPv4-mapped IPv6 addresses", 401, _CHALLENGED),
    _ipv6("4.10", "ipv6-bug-abnf-3-colons", "IPv6 reference bug in RFC 3261 ABNF", 200, "both forms are to be taken"),
    _ipv6("4.10", "ipv6-correct-abnf-2-colons", "IPv6 reference bug in RFC 3261 ABNF", 200, "both are to be taken"),
    Case(0, "", "not-sip", "A request of another protocol", False, None, "no SIP: dropped, or closed", (CLOSED,)),
)
