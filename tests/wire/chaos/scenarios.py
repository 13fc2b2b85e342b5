"""SIPp scenarios for bad weather: booths and carriers that take whatever comes, and wait for nothing for ever.

Those of `sipp-scenarios/` check that what happens is what has to happen. These are for calls that may be refused, cut,
forgotten or answered twice, and go on with the next call; what happened is read from SIPp's logs afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

#: How long a booth waits for any response, and for the answer of who rings.
PATIENCE_MS: Final = 10_000
_REFUSALS: Final = (402, 403, 404, 408, 480, 481, 484, 486, 487, 500, 503)
_GONE: Final = "gone"
_SDP: Final = """\
v=0
o=x 1 1 IN IP[local_ip_type] [local_ip]
s=-
c=IN IP[media_ip_type] [media_ip]
t=0 0
m=audio [auto_media_port] RTP/AVP 8
a=rtpmap:8 PCMA/8000
"""


@dataclass(slots=True)
class _Scenario:
    """Writes a scenario down step by step."""

    name: str
    steps: int = 0
    lines: list[str] = field(default_factory=list)

    def send(self, message: str, *, body: str = "", again: bool = False, then: str | None = None) -> int:
        """Send a message, `again` until something comes back, and go to the label `then`; gives the step's number."""
        head = message + ("Content-Type: application/sdp\n" if body else "") + "Content-Length: [len]\n"
        attributes = (' retrans="500"' if again else "") + _then(then)
        self.lines.append(f"  <send{attributes}>\n    <![CDATA[\n{head}\n{body}\n    ]]>\n  </send>")
        self.steps += 1
        return self.steps - 1

    def hear(
        self,
        what: int | str,
        *,
        within_ms: int = PATIENCE_MS,
        otherwise: str = _GONE,
        maybe: bool = False,
        then: str | None = None,
        more: str = "",
        action: str = "",
    ) -> None:
        """Wait for a response or a request; if none comes `within_ms`, go to the label `otherwise`.

        `maybe`: or for one of those that are heard next.
        """
        kind = "response" if isinstance(what, int) else "request"
        attributes = f' timeout="{within_ms}" ontimeout="{otherwise}"' + (' optional="true"' if maybe else "")
        attributes += _then(then) + more
        self.lines.append(f'  <recv {kind}="{what}"{attributes}>{action}</recv>')
        self.steps += 1

    def label(self, name: str) -> None:
        """Name the next step."""
        self.lines.append(f'  <label id="{name}"/>')

    def text(self) -> str:
        """The scenario; at its end is the label where whoever waits in vain goes to."""
        self.label(_GONE)
        self.lines.append("  <nop/>")
        steps = "\n\n".join(self.lines)
        head = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        return f'{head}<scenario name="{self.name}">\n{steps}\n</scenario>\n'


def _then(label: str | None) -> str:
    return f' next="{label}"' if label is not None else ""


def _back(steps: int) -> str:
    return f"[branch-{steps}]"


_VIA: Final = "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch};rport\nMax-Forwards: 70\n"
_REPLY: Final = "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n"


def booth_scenario(talk_ms: int) -> str:
    """A booth that calls and hangs up after `talk_ms`, if nobody did before.

    Its name, its credentials (`[authentication ...]`) and the number are the fields of SIPp's `-inf` file.
    """
    scenario = _Scenario("a booth in bad weather")
    dialog = (
        "From: <sip:[field0]@[remote_ip]>;tag=[pid]-[call_number]\n"
        "To: <sip:[field2]@[remote_ip]>{tag}\n"
        "Call-ID: [call_id]\n"
        "CSeq: [cseq] {method}\n"
    )
    target = "sip:[field2]@[remote_ip]:[remote_port]"
    contact = "Contact: <sip:[field0]@[local_ip]:[local_port];transport=[transport]>\n"

    def request(method: str, uri: str, branch: str = "[branch]", more: str = "") -> str:
        tag = "" if method == "INVITE" else "[peer_tag_param]"
        return f"{method} {uri} SIP/2.0\n" + _VIA.format(branch=branch) + dialog.format(method=method, tag=tag) + more

    def refuse(invite: int) -> None:
        scenario.send(request("ACK", target, _back(scenario.steps - invite)), then=_GONE)

    first = scenario.send(request("INVITE", target, more=contact), body=_SDP, again=True)
    scenario.hear(100, maybe=True)
    for status in _REFUSALS:
        scenario.hear(status, maybe=True, then="not_challenged")
    scenario.hear(401, more=' auth="true"')
    scenario.send(request("ACK", target, _back(scenario.steps - first)))
    second = scenario.send(request("INVITE", target, more=f"{contact}[field1]\n"), body=_SDP, again=True)
    for status in (100, 180, 183):
        scenario.hear(status, maybe=True)
    for status in (401, *_REFUSALS):
        scenario.hear(status, maybe=True, then="refused")
    scenario.hear("BYE", maybe=True, then="hung_up_on")  # of an answer that a crash kept from us
    scenario.hear(200, more=' rrs="true"')
    scenario.send(request("ACK", "[next_url]"))
    scenario.hear("BYE", within_ms=talk_ms, otherwise="hang_up", then="hung_up_on")
    scenario.label("hang_up")
    scenario.send(request("BYE", "[next_url]"), again=True)
    scenario.hear("BYE", maybe=True, then="hung_up_on")
    for status in (408, 481, 503):
        scenario.hear(status, maybe=True, then=_GONE)
    scenario.hear(200, then=_GONE)
    scenario.label("hung_up_on")
    scenario.send("SIP/2.0 200 OK\n" + _REPLY, then=_GONE)
    scenario.label("not_challenged")
    refuse(first)
    scenario.label("refused")
    refuse(second)
    return scenario.text()


def carrier_scenario(ring_ms: int, talk_ms: int = 3_600_000) -> str:
    """A carrier that rings for `ring_ms`, answers, and hangs up after `talk_ms` if nobody did before."""
    scenario = _Scenario("a carrier in bad weather")
    to = "To: [$to];tag=[pid]-[call_number]\n"
    ours = "[last_Via:]\nFrom: [$from]\n" + to + "Call-ID: [call_id]\nCSeq: [$cseq]\n"
    contact = "Contact: <sip:[local_ip]:[local_port];transport=[transport]>\n"
    kept = "".join(
        f'<ereg regexp=".*" search_in="hdr" header="{name}:" assign_to="{variable}"/>'
        for name, variable in (("From", "from"), ("To", "to"), ("CSeq", "cseq"))
    )
    scenario.hear("INVITE", within_ms=3_600_000, more=' rrs="true"', action=f"<action>{kept}</action>")
    scenario.send("SIP/2.0 180 Ringing\n" + ours + contact)
    # A switch that was too slow to read the 180 repeats its INVITE; SIPp would give the call up, without a word.
    scenario.hear("INVITE", within_ms=max(1, ring_ms), otherwise="answer", maybe=True, then="answer")
    scenario.hear("CANCEL", within_ms=max(1, ring_ms), otherwise="answer", then="cancelled")
    scenario.label("answer")
    scenario.send("SIP/2.0 200 OK\n" + ours + contact, body=_SDP, again=True)
    scenario.label("answered")
    scenario.hear("INVITE", within_ms=40_000, maybe=True, then="answer")
    scenario.hear("CANCEL", within_ms=40_000, maybe=True, then="too_late")
    scenario.hear("ACK", within_ms=40_000)
    scenario.hear("BYE", within_ms=talk_ms, otherwise="hang_up", then="hung_up_on")
    scenario.label("hang_up")
    bye = "BYE [next_url] SIP/2.0\n" + _VIA.format(branch="[branch]")
    bye += "From: [$to];tag=[pid]-[call_number]\nTo: [$from]\nCall-ID: [call_id]\nCSeq: 1 BYE\n"
    scenario.send(bye, again=True)
    scenario.hear("BYE", maybe=True, then="hung_up_on")
    for status in (408, 481, 503):
        scenario.hear(status, maybe=True, then=_GONE)
    scenario.hear(200, then=_GONE)
    scenario.label("hung_up_on")
    scenario.send("SIP/2.0 200 OK\n" + _REPLY, then=_GONE)
    scenario.label("too_late")
    scenario.send("SIP/2.0 200 OK\n" + _REPLY, then="answered")
    scenario.label("cancelled")
    scenario.send("SIP/2.0 200 OK\n" + _REPLY)
    scenario.send("SIP/2.0 487 Request Terminated\n" + ours, again=True)
    scenario.hear("ACK")
    return scenario.text()
