"""A phone made of pjsua2, as a process: plays a tone into its calls and records what it hears.

It does its errands one after the other and ends, with 1 if one of them could not be done in time. What happens it tells
as one JSON object a line. The errands are:

    dial=NUMBER             call a number of the server's, and talk until the other leaves
    answer                  wait to be called, and talk until the other leaves
    dial-and-leave=NUMBER   the same, but it leaves itself once it has heard enough
    answer-and-leave
    register                register again
    join=NUMBER,NUMBER      call one, hold him, call the other, and have the two talk (REFER with Replaces)

With a password it registers before its errands and takes that back after them. By TLS it believes a certificate of its
authority that is for the host it calls, shows its own, and wants one of whoever connects to it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pjsua2 as pj

#: RTP packets of 20 ms that must have come before somebody leaves, unless it is told how many.
ENOUGH_PACKETS = 100
#: What shows that two hear each other.
FEW_PACKETS = 20
PATIENCE_S = 30.0
TRANSPORTS = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP, "tls": pj.PJSIP_TRANSPORT_TLS}


def tell(event: str, **facts: object) -> None:
    """Print one line for the test that started us."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Library(pj.Endpoint):
    """The library with one transport, no sound card and one codec, driven by this thread alone."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__()
        self.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.medConfig.noVad = True  # a steady tone passes for silence, and silence is not sent
        config.logConfig.level = config.logConfig.consoleLevel = 0
        self.libInit(config)
        transport = pj.TransportConfig()
        transport.boundAddress, transport.port = options.host, options.port
        if options.transport == "tls":
            tls = transport.tlsConfig
            tls.CaListFile = str(options.authority)
            tls.certFile, tls.privKeyFile = str(options.certificate), str(options.certificate.with_suffix(".key"))
            tls.verifyServer = tls.verifyClient = tls.requireClientCert = True
        self.transportCreate(TRANSPORTS[options.transport], transport)
        self.libStart()
        self.audDevManager().setNullDev()
        for codec in self.codecEnum2():
            self.codecSetPriority(codec.codecId, 255 if codec.codecId.startswith("PCMA") else 0)

    def onTransportState(self, prm: Any) -> None:
        """Tell of connections, whoever opened them."""
        states = {pj.PJSIP_TP_STATE_CONNECTED: "connected", pj.PJSIP_TP_STATE_DISCONNECTED: "disconnected"}
        state = prm.state
        if state in states:
            tell(states[state], by=prm.type, error=prm.lastError)


class Call(pj.Call):
    """A call whose two ends are a tone generator and a recorder."""

    def __init__(self, phone: Phone, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone, call_id)
        self.phone = phone
        self.is_over = False
        self.sent = self.received = 0  # RTP packets
        phone.calls.append(self)

    def onCallState(self, _prm: Any) -> None:
        """Tell the states that matter."""
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            tell("answered")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            tell("ended", status=info.lastStatusCode, reason=info.lastReason)
            tell("sound", sent=self.sent, received=self.received)
            self.is_over = True

    def onCallMediaState(self, _prm: Any) -> None:
        """Plug the tone and the recorder in as soon as sound can flow."""
        info = self.getInfo()  # held by a name: what it contains goes with it
        if info.media[0].status == pj.PJSUA_CALL_MEDIA_ACTIVE:
            sound = self.getAudioMedia(0)
            self.phone.tone.startTransmit(sound)
            sound.startTransmit(self.phone.recorder)

    def onCallTransferStatus(self, prm: Any) -> None:
        """Tell what NOTIFY says of a transfer."""
        tell("transfer", status=prm.statusCode, final=prm.finalNotify)

    def count(self) -> None:
        """Look how many packets there were; a call that has ended cannot be asked any more."""
        if not self.is_over and self.isActive() and self.hasMedia():
            stream = self.getStreamStat(0)
            self.sent, self.received = stream.rtcp.txStat.pkt, stream.rtcp.rxStat.pkt


class Phone(pj.Account):
    """The account, its calls, and its sound."""

    def __init__(self, options: argparse.Namespace, library: Library) -> None:
        super().__init__()
        self.options = options
        self.library = library
        self.give_up_s = time.monotonic() + PATIENCE_S
        self.calls: list[Call] = []
        self.answered = 0
        self.registered = False
        self.registrations = 0
        self.tone = pj.ToneGenerator()
        self.tone.createToneGenerator(8000, 1)
        forever = pj.ToneDesc()
        forever.freq1, forever.freq2, forever.on_msec, forever.off_msec = options.tone_hz, 0, 1000, 0
        self.tone.play(pj.ToneDescVector([forever]), True)
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(options.record)
        self.create(self.account())

    def account(self) -> pj.AccountConfig:
        """Who we are: a booth of a server, or somebody at an address."""
        options, config = self.options, pj.AccountConfig()
        config.mediaConfig.transportConfig.boundAddress = options.host
        if options.password is None:
            # of several addresses of this machine it would tell another one than it listens on
            config.idUri = config.sipConfig.contactForced = self.uri("far", f"{options.host}:{options.port}")
        else:
            config.idUri = self.uri(options.user)
            config.regConfig.registrarUri = self.uri()
            config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", options.user, 0, options.password))
        return config

    def uri(self, user: str = "", host: str = "") -> str:
        """Somebody at the server, or at another host, by our transport."""
        return f"sip:{user}{'@' if user else ''}{host or self.options.server};transport={self.options.transport}"

    def onRegState(self, prm: Any) -> None:
        """Tell how the registration went."""
        info = self.getInfo()
        outbound = "\nRequire: outbound\r" in prm.rdata.wholeMsg
        reason = prm.reason
        tell("registration", active=info.regIsActive, status=info.regStatus, reason=reason, outbound=outbound)
        self.registered = info.regIsActive
        self.registrations += 1

    def onIncomingCall(self, prm: Any) -> None:
        """Answer whoever calls."""
        call = Call(self, prm.callId)
        for status in (180, 200):
            parameters = pj.CallOpParam()
            parameters.statusCode = status
            call.answer(parameters)

    def wait(self, until: Callable[[], bool]) -> None:
        """Let the library work until something has happened.

        Raises:
            TimeoutError: it has not, and the phone's time is over.
        """
        while not until():
            if time.monotonic() > self.give_up_s:
                raise TimeoutError
            self.library.libHandleEvents(10)
            for call in self.calls:
                call.count()

    def do(self, errand: str) -> None:
        """Do one errand, as the module says."""
        kind, _, numbers = errand.partition("=")
        match kind:
            case "dial" | "dial-and-leave":
                self.talk(self.dial(numbers), leave=kind.endswith("leave"))
            case "answer" | "answer-and-leave":
                self.talk(self.next_caller(), leave=kind.endswith("leave"))
            case "register":
                self.register(is_on=True)
            case "join":
                self.join(*map(self.dial, numbers.split(",")))
            case _:
                raise ValueError(f"no errand: {errand}")

    def dial(self, number: str) -> Call:
        """Call a number, and hear somebody there; who was called before is held."""
        for call in self.calls:
            if not call.is_over:
                call.setHold(pj.CallOpParam(True))
        call = Call(self)
        call.makeCall(self.uri(number), pj.CallOpParam(True))
        self.wait(lambda: call.received >= FEW_PACKETS or call.is_over)
        return call

    def next_caller(self) -> Call:
        """The next call that comes, or the one that came while something else was done."""
        self.wait(lambda: any(not call.is_over for call in self.calls))
        return self.calls[-1]

    def talk(self, call: Call, *, leave: bool) -> None:
        """Be in a call until it is over."""
        if leave:
            self.wait(lambda: call.received >= self.options.enough or call.is_over)
            call.hangup(pj.CallOpParam(True))
        self.wait(lambda: call.is_over)

    def join(self, held: Call, asked: Call) -> None:
        """Have the two whom it talks with talk with each other."""
        held.xferReplaces(asked, pj.CallOpParam(True))
        self.wait(lambda: held.is_over and asked.is_over)

    def register(self, *, is_on: bool) -> None:
        """Register, or take that back, and wait for the answer."""
        before = self.registrations
        self.setRegistration(is_on)
        self.wait(lambda: self.registrations > before)


def main() -> None:
    """Be a phone until its errands are done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--transport", choices=TRANSPORTS, default="udp")
    parser.add_argument("--authority", type=Path)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--tone-hz", type=int, required=True)
    parser.add_argument("--record", required=True)
    parser.add_argument("--enough", type=int, default=ENOUGH_PACKETS)
    parser.add_argument("--server")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("errands", nargs="+")
    options = parser.parse_args()

    library = Library(options)
    try:
        phone = Phone(options, library)
        phone.wait(lambda: options.password is None or phone.registrations > 0)
        tell("ready")
        for errand in options.errands:
            phone.do(errand)
        if options.password is not None:
            phone.register(is_on=False)
        status = 0
    except Exception:  # whatever it is: no errand was done, and this process has to be told to end
        traceback.print_exc()
        status = 1
    library.libDestroy(pj.PJSUA_DESTROY_NO_NETWORK)  # closes the recording; nobody is waited for, all are gone
    # pjsua2's destructors and Python's garbage collector do not agree on an order: the process ends without them
    os._exit(status)


if __name__ == "__main__":
    main()
