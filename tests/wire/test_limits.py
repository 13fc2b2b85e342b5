"""Limits against fraud on the wire: a call that is only told of, one that is held back, and one after its release."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

LIMITS = """\
    limits:
      - {name: new, unused_days: 30, set_by: own, action: alert}
      - {name: dear, price_a_minute: "0.15", action: hold}
"""


def test_a_call_is_told_of_held_back_and_released(tmp_path: Path) -> None:
    carrier = free_port()
    world = World(booths={"b1": ""}, trunks={"carrier": f"port: {carrier}, emergency: true"}, routes={"": ["carrier"]})
    text = world.yaml().replace("    owner: Good Payer\n", f"    owner: Good Payer\n{LIMITS}")
    with Server(tmp_path, text, carrier_port=carrier).ready() as server:
        server.unlock("b1")

        def called(scenario: str, number: str) -> Sipp:
            with Sipp(scenario, tmp_path, to=server.sip, booth="b1", password=password("b1"), number=number) as sipp:
                sipp.passed()
            return sipp

        refused = called("locked", "030123456")  # 0.17 for a first minute with its fee
        assert any(
            message.is_response(403, "INVITE") and "Held back, please ask at the desk" in message.text
            for message in refused.messages
        )
        called("call", "0033123456")  # 0.10, in France, where nobody called so far
        alerts = until(
            lambda: found if len(found := server.look("/alerts")["alerts"]) == 3 else None,
            "two new countries, one held",
        )
        assert [(alert["rule"], alert["action"], alert["shop"]) for alert in alerts] == [
            ("new", "alert", "Corner"),
            ("dear", "hold", "Corner"),
            ("new", "alert", "Corner"),
        ]
        release = ("limit", "release", "shop", "Corner", "dear")
        assert server.cli(*release, "--reason", "x").returncode == 1
        done = server.cli(*release, "--destination", "49", "--reason", "known customer")
        assert (done.returncode, done.stdout) == (0, "dear of shop Corner: 49 released\n")
        called("call", "030123456")
        noted = server.cli("alert", "ack", str(alerts[1]["id"]))
        assert noted.stdout.startswith(f"alert {alerts[1]['id']}: noted by ")
        listed = json.loads(server.cli("alert", "list", "--json").stdout)["alerts"]
        assert [alert["rule"] for alert in listed] == ["new", "new"]
        assert server.metrics()['sipshop_alerts_open{tenant="Wire Telecom"}'] == 2
        assert server.metrics()['sipshop_alerts_total{kind="price_a_minute",tenant="Wire Telecom"}'] == 1
