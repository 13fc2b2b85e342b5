"""The example of 137 s on the wire: one call on a quiet server, and what each of four levels pays for it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.wire.harness import ROOT, SCENARIOS, Server, Sipp, free_port

#: In the middle of the 137th second: what the way of the BYE takes does not matter.
TALK_MS: Final = 136_500
#: In place of the pause of a scenario: it talks as long, and answers the OPTIONS that ask whether it is still there.
TALK: Final = f"""
  <nop><action><gettimeofday assign_to="from_s,from_us"/></action></nop>
  <label id="90"/>
  <recv request="OPTIONS" timeout="20" ontimeout="91"/>
  <send>
    <![CDATA[
      SIP/2.0 200 OK
      [last_Via:]
      [last_From:]
      [last_To:]
      [last_Call-ID:]
      [last_CSeq:]
      Content-Length: 0

    ]]>
  </send>
  <label id="91"/>
  <nop>
    <action>
      <gettimeofday assign_to="now_s,now_us"/>
      <subtract assign_to="now_s" variable="from_s"/>
      <multiply assign_to="now_s" value="1000000"/>
      <add assign_to="now_s" variable="now_us"/>
      <subtract assign_to="now_s" variable="from_us"/>
      <test assign_to="over" variable="now_s" compare="greater_than_equal" value="{TALK_MS * 1000}"/>
    </action>
  </nop>
  <nop next="92" test="over"/>
  <nop next="90"/>
  <label id="92"/>
"""
AMOUNTS: Final = ("0.87", "0.414", "0.319667", "0.2512")
MARGINS: Final = (None, "0.456", "0.094333", "0.068467")


def example(folder: Path) -> list[str]:
    """Make the call, which takes 137 s, and say what is wrong about its CDR."""
    carrier = free_port()
    folder.mkdir(parents=True, exist_ok=True)
    scenario = folder / "talk.xml"
    scenario.write_text((SCENARIOS / "call.xml").read_text().replace("<pause/>", TALK))
    world = (ROOT / "tests" / "worlds" / "chain.yaml").read_text().replace("port: 5070", f"port: {carrier}")
    with Server(folder, world, carrier_port=carrier) as server:
        server.ready().unlock("b00")
        with Sipp(
            *(scenario, folder),
            to=server.sip,
            booth="b00",
            password="pw00",
            number="030123456",
            within_s=TALK_MS // 1000 + 30,
        ) as booth:
            booth.passed()
        charges = server.cdr("b00")["charges"]
    found = {
        "amounts": tuple(_plain(charge["amount"]) for charge in charges),
        "margins": tuple(_plain(charge["margin"]) for charge in charges),
    }
    return [
        f"{name} are {found[name]} and not {expected}"
        for name, expected in (("amounts", AMOUNTS), ("margins", MARGINS))
        if found[name] != expected
    ]


def _plain(amount: str | None) -> str | None:
    """An amount without zeros at its end."""
    return None if amount is None else re.sub(r"\.?0+$", "", amount)
