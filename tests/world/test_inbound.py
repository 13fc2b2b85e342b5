"""What a world says of calls from outside: which numbers ring whom, and when."""

from __future__ import annotations

from typing import Final

import pytest

from sipshop.proxy.admission import Inbound
from sipshop.world import History, World, WorldErrors, export_world, parse_world, plan_world

TEXT: Final = """\
provider: {name: Tel}
owners:
  - {name: Ann, deck: sell, unlimited: true}
decks:
  - name: sell
    currency: EUR
    rates:
      - {prefix: "49", destination: Germany, first_s: 60, first_price: "0.10", next_s: 60}
trunks:
  - {name: one, deck: sell, host: 192.0.2.20}
routes:
  - {prefix: "", trunks: [one]}
shops:
  - name: Corner
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: []
    inbound: open
    inbound_numbers: ["+493055500", "493055509"]
    booths:
      - {name: booth1, password: secret, inbound_numbers: ["+493055501"]}
      - {name: "b2..b3", password: "p2..p3"}
  - name: Side
    owner: Ann
    deck: sell
    country_code: "49"
    emergency: []
    booths:
      - {name: side1, password: secret}
"""
WORLD: Final = parse_world(TEXT, "w")


def test_numbers_ring_booths_and_shops() -> None:
    corner, side = WORLD.shops
    assert (corner.inbound, corner.inbound_numbers) == (Inbound.OPEN, ("493055500", "493055509"))
    assert (side.inbound, side.inbound_numbers) == (Inbound.NEVER, ())
    assert [booth.inbound_numbers for booth in WORLD.booths] == [("493055501",), (), (), ()]


def test_what_is_exported_is_read_back() -> None:
    again = parse_world(export_world(WORLD), "w", WORLD)
    assert (again.shops, again.booths) == (WORLD.shops, WORLD.booths)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        pytest.param("inbound: open", "inbound: opne", "shops[0].inbound: must be one of never, open", id="a slip"),
        pytest.param("    inbound: open\n", "", "shops[0].inbound_numbers: ring nobody", id="numbers that ring nobody"),
        pytest.param("493055509", "030555", "shops[0].inbound_numbers[1]: '030555' is not", id="no E.164"),
        pytest.param("493055509", "493055501", "inbound_numbers: inbound number '493055501' is already", id="two"),
        pytest.param('p3"}', 'p3", inbound_numbers: ["+493055502"]}', "inbound_numbers: ring one booth", id="a range"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(old: str, new: str, error: str) -> None:
    with pytest.raises(WorldErrors, match="inbound") as caught:
        parse_world(TEXT.replace(old, new), "w")
    assert any(error in str(each) for each in caught.value.errors), caught.value.errors


def test_a_number_that_rings_somebody_who_is_not_in_the_text_is_refused() -> None:
    """The shop Side is not in the text, and stays."""
    text = TEXT.replace("493055509", "493055508")
    rings = '{name: side1, password: secret, inbound_numbers: ["493055508"]}'
    ringing: World = parse_world(TEXT.replace("{name: side1, password: secret}", rings), "w")
    alone = text[: text.index("  - name: Side")]
    with pytest.raises(WorldErrors, match="inbound number 493055508 would ring shop Corner and booth side1"):
        plan_world(alone, "w", ringing, history=History(), prune=False)
