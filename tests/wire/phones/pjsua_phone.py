"""A phone made of pjsua2, as a process: plays a tone into its call and records what it hears.

It tells what happens as one JSON object a line, and ends with its call. With --server it registers there and dials;
without one it waits to be called and answers. With --consult it then holds its call, dials that number too, and has the
two talk with each other (REFER with Replaces).
"""

from __future__ import annotations

import argparse
import json
import os
import time

import pjsua2 as pj

#: RTP packets of 20 ms that must have come before the caller hangs up: two seconds of sound.
ENOUGH_PACKETS = 100
#: What shows that two hear each other.
FEW_PACKETS = 20
PATIENCE_S = 30.0


def tell(event: str, **facts: object) -> None:
    """Print one line for the test that started us."""
    print(json.dumps({"event": event, **facts}), flush=True)


class Call(pj.Call):  # type: ignore[misc]  # pjsua2 has no types
    """A call whose two ends are a tone generator and a recorder."""

    def __init__(self, phone: Phone, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone, call_id)
        self.phone = phone
        self.is_over = False

    def onCallState(self, _prm: object) -> None:  # noqa: N802  # pjsua2's name
        """Tell the states that matter."""
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            tell("answered")
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            tell("ended", status=info.lastStatusCode, reason=info.lastReason)
            self.is_over = True

    def onCallMediaState(self, _prm: object) -> None:  # noqa: N802  # pjsua2's name
        """Plug the tone and the recorder in as soon as sound can flow."""
        info = self.getInfo()  # held by a name: what it contains goes with it
        if info.media[0].status == pj.PJSUA_CALL_MEDIA_ACTIVE:
            sound = self.getAudioMedia(0)
            self.phone.tone.startTransmit(sound)
            sound.startTransmit(self.phone.recorder)

    def onCallTransferStatus(self, prm: object) -> None:  # noqa: N802  # pjsua2's name
        """Tell what NOTIFY says of a transfer."""
        tell("transfer", status=prm.statusCode, final=prm.finalNotify)  # type: ignore[attr-defined]  # no types

    def packets(self) -> tuple[int, int]:
        """RTP packets sent and received."""
        stream = self.getStreamStat(0)
        return stream.rtcp.txStat.pkt, stream.rtcp.rxStat.pkt


class Phone(pj.Account):  # type: ignore[misc]  # pjsua2 has no types
    """The account, its call and the one of a consultation, and its sound."""

    def __init__(self, tone_hz: int, record: str) -> None:
        super().__init__()
        self.call: Call | None = None
        self.consultation: Call | None = None
        self.registered = False
        self.tone = pj.ToneGenerator()
        self.tone.createToneGenerator(8000, 1)
        forever = pj.ToneDesc()
        forever.freq1, forever.freq2, forever.on_msec, forever.off_msec = tone_hz, 0, 1000, 0
        self.tone.play(pj.ToneDescVector([forever]), True)
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(record)

    def onRegState(self, prm: object) -> None:  # noqa: N802  # pjsua2's name
        """Tell how the registration went."""
        info = self.getInfo()
        tell("registration", active=info.regIsActive, status=prm.code)  # type: ignore[attr-defined]  # no types
        self.registered = info.regIsActive

    def onIncomingCall(self, prm: object) -> None:  # noqa: N802  # pjsua2's name
        """Answer whoever calls."""
        self.call = Call(self, prm.callId)  # type: ignore[attr-defined]  # pjsua2 has no types
        for status in (180, 200):
            parameters = pj.CallOpParam()
            parameters.statusCode = status
            self.call.answer(parameters)

    def dial(self, target: str) -> Call:
        """Call somebody."""
        call = Call(self)
        call.makeCall(target, pj.CallOpParam(True))
        return call

    @property
    def over(self) -> bool:
        """Whether it was in a call, and is in none any more."""
        calls = [call for call in (self.call, self.consultation) if call is not None]
        return bool(calls) and all(call.is_over for call in calls)

    def consult(self, target: str) -> None:
        """Put the call on hold and call somebody else."""
        assert self.call is not None
        self.call.setHold(pj.CallOpParam(True))
        self.consultation = self.dial(target)

    def transfer(self) -> None:
        """Have the two whom it talks with talk with each other."""
        assert self.call is not None
        self.call.xferReplaces(self.consultation, pj.CallOpParam(True))


def has_sound(call: Call, packets: int) -> bool:
    """Whether so many packets of sound have come in a call."""
    return bool(call.isActive() and call.hasMedia() and call.packets()[1] >= packets)


def start(port: int) -> pj.Endpoint:
    """The library with one UDP port, no sound card and one codec, driven by this thread alone."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.medConfig.noVad = True  # a steady tone passes for silence, and silence is not sent
    config.logConfig.level = config.logConfig.consoleLevel = 0
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.port = port
    transport.boundAddress = "127.0.0.1"
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    for codec in endpoint.codecEnum2():
        endpoint.codecSetPriority(codec.codecId, 255 if codec.codecId.startswith("PCMA") else 0)
    return endpoint


def account(options: argparse.Namespace) -> pj.AccountConfig:
    """Who we are: a booth of a server, or somebody at an address."""
    config = pj.AccountConfig()
    config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    if options.server is None:
        config.idUri = f"sip:far@127.0.0.1:{options.port}"
    else:
        config.idUri = f"sip:{options.user}@{options.server}"
        config.regConfig.registrarUri = f"sip:{options.server}"
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", options.user, 0, options.password))
    return config


def main() -> None:
    """Be a phone until the call is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tone-hz", type=int, required=True)
    parser.add_argument("--record", required=True)
    parser.add_argument("--server")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--dial")
    parser.add_argument("--consult")
    options = parser.parse_args()

    endpoint = start(options.port)
    phone = Phone(options.tone_hz, options.record)
    phone.create(account(options))
    tell("ready")
    give_up = time.monotonic() + PATIENCE_S
    counted = (0, 0)
    transferred = False
    while not phone.over and time.monotonic() < give_up:
        endpoint.libHandleEvents(10)
        if phone.call is None and options.dial and phone.registered:
            phone.call = phone.dial(f"sip:{options.dial}@{options.server}")
        if phone.call is not None and phone.call.isActive() and phone.call.hasMedia():
            counted = max(counted, phone.call.packets())
            if options.consult and phone.consultation is None and counted[1] >= FEW_PACKETS:
                phone.consult(f"sip:{options.consult}@{options.server}")
            elif options.dial and not options.consult and counted[1] >= ENOUGH_PACKETS:
                phone.call.hangup(pj.CallOpParam(True))
        if not transferred and phone.consultation is not None and has_sound(phone.consultation, FEW_PACKETS):
            transferred = True
            phone.transfer()
    tell("sound", sent=counted[0], received=counted[1])
    if options.server is not None:
        phone.setRegistration(False)
        while phone.registered and time.monotonic() < give_up:
            endpoint.libHandleEvents(10)
    endpoint.libDestroy()  # closes the recording
    # pjsua2's destructors and Python's garbage collector do not agree on an order: the process ends without them
    os._exit(0 if phone.over else 1)


if __name__ == "__main__":
    main()
