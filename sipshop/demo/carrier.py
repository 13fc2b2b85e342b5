"""The demo carrier: a SIP endpoint that takes calls and does what the end of the number says (IO).

`sipshop.demo.numbers` is the table. It runs as a process of its own, answers every call by itself, checks no
credentials and keeps nothing: for demos and tests on one's own machine.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
import signal
import sys
from collections.abc import Callable
from typing import Final

from sipshop.demo.numbers import NUMBERS, Script, script_for
from sipshop.demo.tone import Echo, Player, Stream
from sipshop.media import sdp
from sipshop.sip.endpoint import Endpoint
from sipshop.sip.events import Acknowledged, Ask, Asked, Cancelled, Content, HungUp, Lost, Withdrawn
from sipshop.sip.flow import Address
from sipshop.sip.incoming import IncomingLeg
from sipshop.sip.leg import Leg
from sipshop.sip.timers import Timer, Timers
from sipshop.sip.useragent import ALLOW, Happened, Invited, Output, Requested, UserAgent

__all__ = ["NUMBERS", "Carrier", "main"]

#: A caller that vanished without a BYE is not played to for ever.
LONGEST_CALL_S: Final = 3600.0
_SDP: Final = "application/sdp"


def main(listen: Address, *, watch_stdin: bool = False) -> int:
    """Run the carrier until SIGINT or SIGTERM and return the exit status.

    With `watch_stdin` it belongs to the process at the other end of that pipe: it ends with it, however that dies,
    and leaves Ctrl-C to it.
    """
    if ipaddress.ip_address(listen[0]).is_unspecified:
        return _fail(f"the carrier puts its address into session descriptions: name one, not {listen[0]}")
    try:
        asyncio.run(_run(listen, watch_stdin))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _fail(f"port {listen[1]} of {listen[0]} is taken (another carrier?): give the carrier another")
        return _fail(f"the carrier cannot listen on {listen[0]} port {listen[1]}: {error.strerror}")
    return 0


def _fail(why: str) -> int:
    sys.stderr.write(f"sipshop: {why}\n")
    return 1


async def _run(listen: Address, watch_stdin: bool) -> None:
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    if watch_stdin:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        await loop.connect_read_pipe(lambda: _UntilEof(ended), sys.stdin)
    else:
        loop.add_signal_handler(signal.SIGINT, ended.set)
    player = Player(loop, listen[0])
    try:
        agent = UserAgent(
            timers=Timers(),
            token=lambda: secrets.token_hex(8),
            pick=secrets.randbelow,
            advertise=listen,
            product="sipshop demo carrier",
        )
        endpoint = Endpoint(loop, agent, Carrier(agent, player).handle)
        try:
            await endpoint.listen(*listen)
            await endpoint.serve()
            sys.stdout.write(f"carrier: SIP on {listen[0]} port {listen[1]}, UDP and TCP\n")
            sys.stdout.flush()
            await ended.wait()
        finally:
            endpoint.close()
    finally:
        player.close()


class _UntilEof(asyncio.Protocol):
    """Reads and forgets, until there is nothing more to come."""

    def __init__(self, ended: asyncio.Event) -> None:
        self._ended = ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended.set()


class Carrier:
    """Makes a call of every INVITE and runs its script; `handle` takes what the user agent puts out."""

    def __init__(self, agent: UserAgent, player: Player) -> None:
        self.agent = agent
        self.player = player
        self.calls: dict[Leg, Call] = {}

    def handle(self, output: Output, now: float) -> None:
        """Do what one output of the user agent asks for."""
        match output:
            case Invited(transaction):
                number = transaction.request.uri.user or ""
                leg = self.agent.accept(transaction, now)
                self.calls[leg] = Call(self, leg, script_for(number))
                self.calls[leg].begin(now)
            case Requested(transaction) if transaction.request.method == "OPTIONS":
                self.agent.refuse(transaction, 200, now, headers=[("allow", ALLOW), ("accept", _SDP)])
            case Requested(transaction):
                self.agent.refuse(transaction, 403, now, reason="No Registrations Here")
            case Happened(leg, event) if leg in self.calls:
                self.calls[leg].hear(event, now)
            case _:
                pass  # what was dropped or refused below, and the last words of a call that is over


class Call:
    """One call and its script: a timer for what comes next, a tone or an echo for its sound."""

    def __init__(self, carrier: Carrier, leg: IncomingLeg, script: Script) -> None:
        self.carrier = carrier
        self.leg = leg
        self.script = script
        self._next: Timer | None = None
        self._version = 0
        self._audio: sdp.Audio | None = None
        self._tone: Stream | None = None
        self._echo: Echo | None = None

    def begin(self, now: float) -> None:
        """Refuse, or ring."""
        script = self.script
        if script.refuse is not None:
            self._reject(script.refuse, now)
            return
        if script.echo:
            self._echo = self.carrier.player.echo()
        try:
            description = self._describe(self.leg.offer)
        except sdp.NoCommonMedia:
            self._reject(488, now)
            return
        if script.early_media:
            self.leg.progress(183, description, now)
            self._play()
        else:
            self.leg.progress(180, None, now)
        if script.answer_after_s is not None:
            self._after(script.answer_after_s, lambda at_s: self._answer(description, at_s), now)

    def hear(self, event: object, now: float) -> None:
        """Take an event of the leg."""
        match event:
            case Acknowledged(content, ask):
                if content is not None:
                    self._learn(content)  # the answer to our own offer
                    self._play()
                if ask is None:
                    talk_s = self.script.talk_s if self.script.talk_s is not None else LONGEST_CALL_S
                    self._after(talk_s, self._hang_up, now)
            case Asked(ask):
                self._reply(ask, now)
            case Withdrawn(ask):
                self.leg.reply(ask, 487, None, now)
            case Cancelled():
                self.leg.reject(487, None, [], now)
                self._end()
            case HungUp() | Lost():
                self._end()
            case _:
                raise AssertionError(f"{event} is not of a call that came in")

    def _answer(self, description: Content, now: float) -> None:
        self.leg.answer(description, now)
        self._play()

    def _hang_up(self, now: float) -> None:
        self.leg.hang_up('Q.850;cause=16;text="Normal call clearing"', now)
        self._end()

    def _reject(self, status: int, now: float) -> None:
        cause = self.script.cause
        self.leg.reject(status, None, [] if cause is None else [("reason", f"Q.850;cause={cause}")], now)
        self._end()

    def _reply(self, ask: Ask, now: float) -> None:
        """Answer a request inside the dialog; a re-INVITE moves the sound, or stops it (RFC 3264 section 8)."""
        if ask.method != "INVITE":
            self.leg.reply(ask, 200, None, now)
            return
        try:
            description = self._describe(ask.content)
        except sdp.NoCommonMedia:
            self.leg.reply(ask, 488, None, now)
            return
        self.leg.reply(ask, 200, description, now)
        self._play()

    def _describe(self, offered: Content | None) -> Content:
        """Our answer to an offer, or our own offer where there is none."""
        self._version += 1
        local = (self._echo or self.carrier.player).local
        if offered is None:
            return Content(_SDP, sdp.offer(local, self._version))
        description = sdp.answer(offered.data, local, self._version)
        self._learn(offered)
        return Content(_SDP, description)

    def _learn(self, content: Content) -> None:
        """Take the peer's address and direction from its description; one that we cannot read changes nothing."""
        family = ipaddress.ip_address(self.carrier.player.local[0]).version
        try:
            self._audio = sdp.audio_of(content.data, family)
        except sdp.NoCommonMedia:
            return

    def _play(self) -> None:
        """Make sound as the peer last described it."""
        self._silence()
        audio = self._audio
        if audio is None or audio.remote is None or not audio.hears:
            return
        if self._echo is not None:
            self._echo.sounding = True
        else:
            self._tone = self.carrier.player.play(audio.remote, audio.payload_type)

    def _silence(self) -> None:
        if self._echo is not None:
            self._echo.sounding = False
        if self._tone is not None:
            self.carrier.player.stop(self._tone)
            self._tone = None

    def _after(self, wait_s: float, do: Callable[[float], None], now: float) -> None:
        self._stop_waiting()
        self._next = self.carrier.agent.timers.start(now + wait_s, do)

    def _stop_waiting(self) -> None:
        if self._next is not None:
            self._next.stop()
            self._next = None

    def _end(self) -> None:
        self._stop_waiting()
        self._silence()
        if self._echo is not None:
            self.carrier.player.stop_echo(self._echo)
        self.carrier.calls.pop(self.leg, None)
