"""Random bytes for the SIP engine: each target takes some and asserts what has to hold whatever they are.

The suite runs the targets over the committed corpus and over mutations of it by hypothesis; `make fuzz` has atheris
search for bytes that reach new code (`tests/sip/fuzz_on.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sipshop.media import sdp
from sipshop.sip.digest import Algorithm, DigestServer, Verified, answer, ha1
from sipshop.sip.flow import Flow
from sipshop.sip.message import MalformedMessage, Response, UnanswerableChallenge, parse
from sipshop.sip.shield import Rules, Shield
from sipshop.sip.stream import Framer
from sipshop.sip.timers import GIVE_UP_S, Timers
from sipshop.sip.useragent import EXTENSIONS, METHODS, Invited, Requested, Send, UserAgent
from sipshop.sip.validate import check, check_response

CORPUS: Final = Path(__file__).parent / "corpus"
TORTURE: Final = Path(__file__).parent / "torture"
#: Stands between the messages of one input to the agent, and between those of one stream.
NEXT: Final = b"\n--next--\n"
HERE: Final = ("192.0.2.1", 5060)
FUZZER: Final = Flow("UDP", HERE, ("192.0.2.66", 5060))
VICTIM: Final = Flow("UDP", HERE, ("192.0.2.10", 5060))
#: Of another peer's call: nobody else may ever be sent it.
SECRET: Final = b"the-victims-own-words"
_INVITE: Final = (
    b"INVITE sip:1@h SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKv\r\nFrom: <sip:%(s)s@h>;tag=v\r\n"
    b"To: <sip:1@h>\r\nCall-ID: %(s)s\r\nCSeq: 1 INVITE\r\nContact: <sip:%(s)s@192.0.2.10>\r\n"
    b"Content-Type: application/sdp\r\n\r\n%(s)s"
) % {b"s": SECRET}


def message(data: bytes) -> None:
    """What can be read can be judged, answered and written, and reads the same again."""
    try:
        read = parse(data)
    except MalformedMessage:
        return
    if isinstance(read, Response):
        check_response(read)
    else:
        rejection = check(read, methods=METHODS, extensions=EXTENSIONS)
        if rejection is None:
            read.via, read.from_, read.to, read.cseq, read.uri, read.contacts  # noqa: B018  # none of them may raise
        reply = read.reply(
            rejection.status if rejection else 200, to_tag="t", headers=rejection.headers if rejection else ()
        )
        assert isinstance(parse(reply.encode()), Response)
    again = parse(read.encode())
    assert [pair for pair in again.headers if pair[0] != "content-length"] == [
        pair for pair in read.headers if pair[0] != "content-length"
    ]
    assert again.body == read.body


def stream(data: bytes) -> None:
    """However bytes are cut into pieces, the frames are the same."""
    whole = Framer().feed(data)
    framer = Framer()
    single = [frame for byte in data for frame in framer.feed(bytes([byte]))]
    assert list(map(repr, single)) == list(map(repr, whole))


def description(data: bytes) -> None:
    """A description of sound can be answered, or says why not."""
    with suppress(ValueError):
        sdp.audio_of(data, 4)
    with suppress(ValueError):
        sdp.audio_of(sdp.answer(data, ("192.0.2.1", 4000), 1), 4)


def digest(data: bytes) -> None:
    """Nobody gets in by strange credentials, and a strange challenge does no harm."""
    text = data.decode("utf-8", "surrogateescape")
    server = DigestServer(bytes(32), bytes)
    secret = {algorithm: ha1(algorithm, "b", "r", "p") for algorithm in Algorithm}
    verdict = server.verify(
        "INVITE", text.split("\n"), "r", lambda user: secret if user == "b" else None, tuple(Algorithm), 1.0
    )
    assert not isinstance(verdict, Verified)
    with suppress(UnanswerableChallenge):
        answer(text, user="b", password="p", method="INVITE", uri="sip:x", cnonce="c")


def agent(data: bytes) -> None:
    """A user agent survives what a stranger sends beside somebody's call, tells him nothing and forgets him."""
    tokens = iter(range(1 << 30))
    timers = Timers()
    made = UserAgent(
        timers=timers,
        token=lambda: f"token{next(tokens)}",
        pick=lambda _below: 0,
        advertise=HERE,
        shield=Shield(Rules(source_per_s=0, total_per_s=0)),
    )
    made.hear(_INVITE, VICTIM, 0.0)
    invited = made.out.popleft()
    assert isinstance(invited, Invited)
    leg = made.accept(invited.transaction, 0.0)
    now = 0.0
    for part in data.split(NEXT):
        now += 0.25
        made.hear(part, FUZZER, now)
        _work(made, now, is_friendly=len(part) % 2 == 0, knows_it=SECRET in data)
    leg.reject(480, None, [], now)
    while (deadline := timers.deadline) is not None and now < 10 * GIVE_UP_S:
        now = max(now, deadline)
        timers.tick(now)
        _work(made, now, is_friendly=False, knows_it=SECRET in data)
    assert not any(made.tables().values()), made.tables()


def _work(made: UserAgent, now: float, *, is_friendly: bool, knows_it: bool) -> None:
    while made.out:
        output = made.out.popleft()
        if isinstance(output, Send):
            parse(output.data)
            assert output.flow.remote[0] == VICTIM.remote[0] or knows_it or SECRET not in output.data
        elif isinstance(output, Invited | Requested):
            if is_friendly and isinstance(output, Invited):
                made.accept(output.transaction, now).reject(486, None, [], now)
            else:
                made.turn_away(output.transaction, output.source, 401, now)


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "message": message,
    "stream": stream,
    "description": description,
    "digest": digest,
    "agent": agent,
}


def corpus(name: str) -> list[Path]:
    """The committed inputs of a target; messages are torture messages too."""
    found = sorted((CORPUS / name).iterdir())
    return found + sorted(TORTURE.rglob("*.dat")) if name in {"message", "stream", "agent"} else found
