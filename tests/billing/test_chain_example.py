"""The world of the plan's example: what a talk of 137 s costs each of its levels, and what each of them keeps."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Final

from sipshop.billing.cdr import CallKind, Cdr, Charge, Result
from sipshop.billing.deck import Tariff
from sipshop.billing.guard import losing_at
from sipshop.billing.ledger import charge_transfers
from sipshop.billing.money import Money
from sipshop.billing.parties import Kind, PartyTree
from sipshop.billing.rating import cost
from sipshop.proxy.routing import Routing
from sipshop.world import Opening, World, parse_world

FILE: Final = Path(__file__).parent.parent / "worlds" / "chain.yaml"
BERLIN: Final = "49301234567"
TALK_MS: Final = 137_000


def world() -> World:
    return parse_world(FILE.read_text(encoding="utf-8"), FILE.name)


def levels(made: World) -> list[tuple[str, str, Tariff]]:
    """Seller, buyer and tariff of every level of a call from the first booth to Berlin, the carrier's last."""
    decks = {deck.name: deck for deck in made.decks}
    (shop,) = made.shops
    chain = PartyTree(made.parties).chain(shop.owner)
    (choice,) = Routing(made.trunks, made.routes).route([party.name for party in chain[1:]], BERLIN)
    sellers = [*(party.name for party in chain), choice.trunk.carrier]
    buyers = [made.booths[0].name, *(party.name for party in chain)]
    names = [shop.deck, *(party.deck for party in chain if party.deck is not None), choice.trunk.deck]
    tariffs = [decks[name].match(BERLIN, 0) for name in names]
    return [
        (seller, buyer, tariff)
        for seller, buyer, tariff in zip(sellers, buyers, tariffs, strict=True)
        if tariff is not None
    ]


def settled(made: World) -> Cdr:
    """The CDR of a talk of 137 s."""
    return Cdr(
        call_id="c1",
        kind=CallKind.CALL,
        tenant=made.tenant,
        shop="Corner",
        booth="b00",
        session_id=1,
        dialled="0301234567",
        e164=BERLIN,
        destination="Germany",
        setup_at_ms=0,
        answered_at_ms=1000,
        ended_at_ms=1000 + TALK_MS,
        pdd_ms=None,
        talk_ms=TALK_MS,
        result=Result.ANSWERED,
        sip_status=200,
        q850=16,
        hung_up_by=None,
        trunk="demo",
        leg_a_call_id=None,
        leg_b_call_id=None,
        charges=tuple(
            Charge(seller=seller, buyer=buyer, tariff=tariff, cost=cost(tariff, 0, TALK_MS))
            for seller, buyer, tariff in levels(made)
        ),
    )


def test_every_level_pays_to_the_last_micro_unit() -> None:
    cdr = settled(world())
    assert [(charge.buyer, charge.seller, charge.cost.amount.micros) for charge in cdr.charges] == [
        ("b00", "Ann", 870_000),
        ("Ann", "Rhea", 414_000),
        ("Rhea", "Tel", 319_667),
        ("Tel", "Demo Carrier", 251_200),
    ]
    assert [charge.cost.billed_s for charge in cdr.charges] == [180, 138, 137, 137]


def test_the_margins_are_what_the_booth_pays_less_the_carrier() -> None:
    cdr = settled(world())
    assert sum(margin.micros for margin in cdr.margins if margin is not None) == 870_000 - 251_200 == 618_800
    assert cdr.margins == (None, *(Money(micros, "EUR") for micros in (456_000, 94_333, 68_467)))


def test_the_amounts_and_margins_are_written_as_decimals() -> None:
    charges = settled(world()).to_json()["charges"]
    assert [(charge["amount"], charge["margin"]) for charge in charges] == [
        ("0.87", None),
        ("0.414", "0.456"),
        ("0.319667", "0.094333"),
        ("0.2512", "0.068467"),
    ]


def test_four_transfers_settle_it() -> None:
    transfers = charge_transfers(settled(world()))
    assert [(each.key, each.debit, each.credit, str(each.amount)) for each in transfers] == [
        ("c1:0:0", "session:1@Ann", "revenue:Ann", "0.87 EUR"),
        ("c1:1:0", "customer:Ann@Rhea", "revenue:Rhea", "0.414 EUR"),
        ("c1:2:0", "customer:Rhea@Tel", "revenue:Tel", "0.319667 EUR"),
        ("c1:3:0", "carrier_cost:Tel", "payable:Demo Carrier", "0.2512 EUR"),
    ]


def test_nobody_in_it_loses_at_any_length() -> None:
    made = world()
    tree = PartyTree(made.parties)
    for (seller, _, sell), (_, _, buy) in pairwise(levels(made)):
        assert losing_at(sell, buy, tree[seller].guard) is None


def test_its_owner_has_ten_euros_for_fifty_booths() -> None:
    made = world()
    assert [booth.name for booth in made.booths] == [f"b{number:02}" for number in range(50)]
    assert {booth.calls for booth in made.booths} == {1}
    assert made.open_booths == frozenset()
    assert [(party.name, party.kind, party.parent) for party in made.parties] == [
        ("Tel", Kind.PROVIDER, None),
        ("Rhea", Kind.RESELLER, "Tel"),
        ("Ann", Kind.OWNER, "Rhea"),
    ]
    assert made.openings == (
        Opening(party="Rhea", currency="EUR", credit_limit_micros=0, opening_micros=1_000_000_000),
        Opening(party="Ann", currency="EUR", credit_limit_micros=0, opening_micros=10_000_000),
    )
