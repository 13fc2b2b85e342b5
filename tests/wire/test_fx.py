"""A shop with tax on top and a carrier who is paid in another currency, by the command line and on the wire."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from .harness import HOST, Server, Sipp, free_port, password, until

pytestmark = pytest.mark.wire

#: A customer pays euros and 20 % on top, Ann dollars, and Tel the carrier francs, of which a euro has 655.957.
WORLD: Final = """\
provider: {name: Tel}
owners:
  - {name: Ann, deck: tel-sell, currency: USD, opening: "50.00"}
decks:
  - {name: ann-sell, currency: EUR, rates: [RATE, connect_fee: "0.05", first_s: 60, first_price: "0.12", next_s: 60}]}
  - {name: tel-sell, currency: EUR, round: {places: 4}, rates: [RATE, first_s: 60, first_price: "0.10", next_s: 60}]}
  - {name: far-sell, currency: XOF, rates: [RATE, first_s: 60, first_price: "30", next_s: 60}]}
trunks:
  - {name: far, carrier: Far, deck: far-sell, host: HOST, port: PORT}
routes:
  - {prefix: "", trunks: [far]}
shops:
  - name: Corner
    owner: Ann
    deck: ann-sell
    tax: {percent: "20", mode: added, name: TVA}
    country_code: "49"
    emergency: []
    booths: [{name: fx, password: PASSWORD}]
fx:
  - {pair: EUR/USD, margin: "2", holds_days: 36525, rates: {"2020-01-01": "1.10"}}
  - {pair: USD/XOF, holds_days: 36525, rates: {"2020-01-01": "600"}}
"""


def test_a_taxed_shop_and_a_carrier_of_another_currency(tmp_path: Path) -> None:
    port = free_port()
    text = WORLD.replace("RATE", '{prefix: "49", destination: Germany').replace("HOST", HOST)
    text = text.replace("PORT", str(port)).replace("PASSWORD", password("fx"))
    with Server(tmp_path, text, carrier_port=port) as running:
        server = running.ready()
        assert server.cli("booth", "unlock", "fx", "--deposit", "5.00").returncode == 0
        secret, number = password("fx"), "030123456"
        with Sipp("call", tmp_path / "call", to=server.sip, booth="fx", password=secret, number=number) as call:
            call.passed()
        cdr = until(lambda: server.cdr("fx"), "its CDR")
        told = [(each["amount"], each["currency"], each["margin"], each["margin_currency"]) for each in cdr["charges"]]
        assert told == [
            ("0.20", "EUR", None, None),  # 0.17, and 20 %
            ("0.1122", "USD", "0.071134", "USD"),  # 0.10 EUR at 1.10, and 2 %; 0.166667 EUR are 0.183334
            ("30", "XOF", "0.0622", "USD"),  # 0.05 USD
        ]
        assert cdr["charges"][1]["fx"]["day"] == "2020-01-01"

        bill = json.loads(server.cli("session", "bill", "fx", "--json").stdout)
        assert (bill["net"], bill["tax"], bill["total"], bill["due"]) == ("0.17", "0.03", "0.20", "0.00")
        assert bill["lines"][0]["explanation"].endswith("= 0.17 x 120% -> 0.20")
        assert "Net 0.17, TVA 20% 0.03, gross 0.20 EUR" in server.cli("session", "bill", "fx").stdout
        paid = server.cli("session", "pay", "fx", "--version", str(bill["version"]), "--tendered", "0").stdout
        assert "paid 0.20 EUR, deposit 5.00, tendered 0.00, change 4.80 EUR. Net 0.17, TVA 20% 0.03" in paid

        assert server.party("Ann")["balance"] == "49.8878"
        shown = server.cli("cdr", "show", "--last").stdout
        assert "0.071134 USD" in shown
        assert "Ann pays EUR in USD: 1 EUR = 1.1 USD on 2020-01-01, and 2% more" in shown
        chain = server.cli("quote", "030123456", "--chain", "fx").stdout
        assert "30 XOF" in chain
        assert "0.0622 USD" in chain
        audited = server.cli("audit")
        assert audited.returncode == 0, audited.stdout
