"""What nobody may see: every path of the API, the events and the traces, asked by strangers and by neighbours.

Two providers share an installation, on a real database. Under Alpha are the reseller Arhea and her owners Aann, with
two shops, and Abob. Whoever asks is told nothing that is not his, whatever he asks by; and nobody what those above him
pay.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from fastapi import FastAPI

from sipshop.billing.cdr import CallKind, Cdr, Charge, HungUpBy, Result
from sipshop.billing.deck import Rate, RateDeck
from sipshop.billing.invoice import Letterhead, Period
from sipshop.billing.money import Money
from sipshop.billing.rating import cost
from sipshop.console.api import make_api
from sipshop.console.events import Hub, stream
from sipshop.console.tokens import Identity, hash_token
from sipshop.export.couriers import Couriers
from sipshop.facts import AlertRaised, CallAnswered, CallAttempted, RegistrationChanged
from sipshop.metrics import Metrics
from sipshop.settings import ExportSettings, TargetSettings
from sipshop.store import Alert, AlertNoted, CallSettled, ShiftOpened, Store, Token, TokenAdded, UnknownOperator
from sipshop.store.invoices import PeriodClosed, statement_of
from sipshop.world import parse_world
from tests.store.examples import opened
from tests.switch.house import GATE, NOON_MS, SWITCH, House

WORLD: Final = """\
provider: {{name: {A}lpha}}
resellers: [{{name: {A}rhea, deck: {a}to-rhea, unlimited: true}}]
owners:
  - {{name: {A}ann, parent: {A}rhea, deck: {a}to-ann, unlimited: true}}
  - {{name: {A}bob, parent: {A}rhea, deck: {a}to-bob, unlimited: true}}
decks:
{decks}
trunks: [{{name: {a}trunk, carrier: {A}carrier, deck: {a}buy, host: 192.0.2.20, emergency: true}}]
routes: [{{prefix: "", trunks: [{a}trunk]}}]
shops:
  - {{name: {A}corner, owner: {A}ann, deck: {a}sell, country_code: "49", emergency: [], realm: {a}.example, booths: [
      {{name: {a}booth, password: x, limits: [{{name: once, live_calls: 1, action: hold}}]}},
      {{name: {a}gate, auth: ip, ip: {ip}}}]}}
  - {{name: {A}kiosk, owner: {A}ann, deck: {a}sell, country_code: "49", emergency: [], realm: {a}.example,
     booths: [{{name: {a}kiosk-booth, password: x}}]}}
  - {{name: {A}bar, owner: {A}bob, deck: {a}sell, country_code: "49", emergency: [], realm: {a}.example,
     booths: [{{name: {a}bar-booth, password: x}}]}}
operators:
  - {{name: {a}otto, shop: {A}kiosk}}
  - {{name: {a}berta, shop: {A}bar}}
  - {{name: {a}boss, role: provider, party: {A}lpha}}
"""
#: What the 49 costs a minute by each deck, from the customer's down to the carrier's.
PRICES: Final = {"sell": "0.911", "to-ann": "0.822", "to-bob": "0.822", "to-rhea": "0.733", "buy": "0.644"}


def world_text(letter: str, ip: str) -> str:
    """A provider's world; all its names begin with the letter."""
    decks = "\n".join(
        f"  - {{name: {letter}{name}, currency: EUR, round: {{places: 6}}, rates: "
        f'[{{prefix: "49", destination: X, first_s: 60, first_price: "{price}", next_s: 60}}]}}'
        for name, price in PRICES.items()
    )
    return WORLD.format(A=letter.upper(), a=letter, ip=ip, decks=decks)


def a_call(call_id: str, shop: str, booth: str, owner: str, session_id: int) -> Cdr:
    """A minute's call from a booth of Alpha's, as it was charged at every level."""

    def charge(seller: str, buyer: str, deck: str) -> Charge:
        nanos = round(float(PRICES[deck]) * 1000) * 1_000_000
        rate = Rate(
            prefix="49",
            destination="X",
            connect_fee_nanos=0,
            first_s=60,
            first_price_nanos=nanos,
            next_s=60,
            next_price_nanos=nanos,
        )
        tariff = RateDeck(f"a{deck}", "EUR", (rate,)).match("49301234567", 0)
        assert tariff is not None
        return Charge(seller=seller, buyer=buyer, tariff=tariff, cost=cost(tariff, 0, 60_000))

    charges = (
        charge(owner, booth, "sell"),
        charge("Arhea", owner, "to-ann"),
        charge("Alpha", "Arhea", "to-rhea"),
        charge("Acarrier", "Alpha", "buy"),
    )
    return Cdr(
        call_id=call_id,
        kind=CallKind.CALL,
        tenant="Alpha",
        shop=shop,
        booth=booth,
        session_id=session_id,
        dialled="0301234567",
        e164="49301234567",
        destination="X",
        setup_at_ms=NOON_MS,
        answered_at_ms=NOON_MS + 1,
        ended_at_ms=NOON_MS + 60_001,
        pdd_ms=1,
        talk_ms=60_000,
        result=Result.ANSWERED,
        sip_status=200,
        q850=16,
        hung_up_by=HungUpBy.CALLER,
        trunk="atrunk",
        leg_a_call_id=f"{call_id}-a",
        leg_b_call_id=f"{call_id}-b",
        charges=charges,
    )


def token(secret: str, role: str, party: str, shop: str | None = None, *, tenant: str = "Alpha") -> Token:
    return Token(
        tenant=tenant,
        sha256=hash_token(secret),
        role=role,
        party=party,
        shop=shop,
        label=f"label of {secret}",
        created_at_ms=NOON_MS,
        expires_at_ms=None,
    )


NOVEMBER: Final = Period.month("2023-11", "UTC")
TOKENS: Final = {
    "alpha": token("alpha", "provider", "Alpha"),
    "blpha": token("blpha", "provider", "Blpha", tenant="Blpha"),
    "rhea": token("rhea", "reseller", "Arhea"),
    "ann": token("ann", "owner", "Aann"),
    "bob": token("bob", "owner", "Abob"),
    "corner": token("corner", "operator", "Aann", "Acorner"),
    "kiosk": token("kiosk", "operator", "Aann", "Akiosk"),
}


@dataclass
class Installation:
    """An API over a switch, after a day's work of Alpha's people."""

    api: FastAPI
    house: House
    hub: Hub
    trace_id: str = ""
    import_id: str = ""
    screen_ids: dict[str, str] = field(default_factory=dict)

    async def ask(self, who: str, method: str, path: str, body: object = None) -> tuple[int, str]:
        transport = httpx.ASGITransport(self.api)
        async with httpx.AsyncClient(transport=transport, base_url="http://api/api/v1") as client:
            headers = {"Authorization": f"Bearer {who}"}
            answer = await client.request(method, path, json=body, headers=headers)
        return answer.status_code, answer.text


@asynccontextmanager
async def installation(path: Path) -> AsyncIterator[Installation]:
    store: Store = opened(path)
    worlds = [parse_world(world_text(letter, ip), letter) for letter, ip in (("a", GATE[0]), ("b", "192.0.2.99"))]
    for world in worlds:
        store.load(world, at_ms=NOON_MS)
    for made in TOKENS.values():
        store.add_token(made.tenant, made, "start", NOON_MS)
    store.start(asyncio.get_running_loop())
    try:
        house = House(lambda _network, _worlds: store, world=worlds[0], more=worlds[1:])
        hub = Hub(lambda: NOON_MS)
        desk, tracer = house.switch.desk, house.switch.tracer
        gate = house.switch.gate
        couriers = Couriers(
            store, "Blpha", clock=lambda: 0.0, utc_ms=lambda: NOON_MS, chance=lambda: 0.5, environment={}
        )
        books = TargetSettings(name="abooks", provider="Alpha", file=str(path.with_name("abooks.jsonl")))
        couriers.change(ExportSettings(targets=(books,)))
        api = make_api(
            *(desk, Metrics(version="1"), hub, tracer),
            bans=gate,
            version="1",
            outbox=couriers,
            host="Alpha",
            utc_ms=lambda: NOON_MS,
        )
        try:
            yield await a_day(Installation(api, house, hub), store)
        finally:
            await couriers.stop()
    finally:
        store.close()


async def a_day(day: Installation, store: Store) -> Installation:
    """Alpha's booths are unlocked and called from, her parties pay, and a trace of hers runs."""
    for booth in ("abooth", "akiosk-booth", "abar-booth"):
        status, _ = await day.ask("alpha", "POST", f"/booths/{booth}/unlock", {"deposit": "5.00"})
        assert status == 200
    for number, (shop, booth, owner) in enumerate(
        [("Acorner", "abooth", "Aann"), ("Akiosk", "akiosk-booth", "Aann"), ("Abar", "abar-booth", "Abob")], 1
    ):
        await store.commit(CallSettled(a_call(f"call-{booth}", shop, booth, owner, number)))
    for command, body in (("unlock", None), ("pay", {"version": 0, "tendered": "0.00"})):
        status, text = await day.ask("alpha", "POST", f"/booths/agate/{command}", body)
        assert status == 200, text
    for party in ("Arhea", "Aann", "Abob"):
        payment = {"amount": "7.00", "reason": f"secret of {party}"}
        status, _ = await day.ask("alpha", "POST", f"/parties/{party}/payments", payment)
        assert status == 200
    await store.commit(
        ShiftOpened(tenant="Alpha", shop="Acorner", operator="acora", opening=Money(0, "EUR"), key="s", at_ms=NOON_MS)
    )
    for number, (booth, shop, party) in enumerate(
        [("abooth", "Acorner", "Aann"), ("abar-booth", "Abar", "Abob")], 1001
    ):
        await store.commit(AlertNoted("Alpha", an_alert(number, booth, shop, party)))
    await store.commit(AlertNoted("Alpha", an_alert(1003, None, None, "Alpha")))
    for party, seller in (("Arhea", "Alpha"), ("Aann", "Arhea"), ("Abob", "Arhea")):
        await store.commit(
            PeriodClosed(
                tenant="Alpha",
                statement=await store.ask("Alpha", partial(statement_of, buyer=party, seller=seller, period=NOVEMBER)),
                seller=Letterhead(tenant="Alpha", party=seller, name=seller),
                buyer=Letterhead(tenant="Alpha", party=party, name=party),
                tax=None,
                held={},
                author="alpha",
                at_ms=NOVEMBER.until_ms,
            )
        )
    for shop in ("Acorner", "Abar"):
        status, text = await day.ask("alpha", "POST", f"/shops/{shop}/screens", {"label": f"screen of {shop}"})
        assert status == 201, text
        day.screen_ids[shop] = json.loads(text)["id"]
    status, text = await day.ask("alpha", "POST", "/traces", {"number": "0301234567"})
    day.trace_id = json.loads(text)["id"]
    status, text = await day.ask("alpha", "POST", "/decks/asell/diff", {"old": 1, "new": 1})
    assert status == 200, text
    day.import_id = json.loads(text)["id"]
    return day


def an_alert(number: int, booth: str | None, shop: str | None, party: str) -> Alert:
    return Alert(
        id=number,
        raised_at_ms=NOON_MS,
        kind="live_calls",
        action="hold",
        place="party" if booth is None else "booth",
        name=booth or party,
        party=party,
        shop=shop,
        rule="once",
        prefix="",
        detail=f"calls of {booth or party}",
    )


#: What is a word of a path, or a number that everybody has.
NO_NAMES: Final = {"place", "item", "receipt", "job_id"}
#: What everybody has of his own, or is the same everywhere.
OWN: Final = {"carrier": "mine", "version": "1", "shift": "1", "z": "1"}
BODIES: Final[Mapping[str, object]] = {
    "/booths/{booth}/topup": {"amount": "1.00"},
    "/booths/{booth}/pay": {"version": 1, "tendered": "1.00"},
    "/booths/{booth}/bill/goods": {"name": "Coffee", "price": "1.00"},
    "/booths/{booth}/bill/discounts": {"amount": "0.01", "reason": "r"},
    "/booths/{booth}/bill/voids": {"item": 1, "reason": "r"},
    "/booths/{booth}/bill/reckon": {"tenders": []},
    "/booths/{booth}/move": {"to": "agate"},
    "/booths/{booth}/note": {"note": "secret of nobody"},
    "/operators/{operator}/password": {"password": "a long password"},
    "/parties/{party}/payments": {"amount": "1.00", "reason": "r"},
    "/parties/{party}/adjustments": {"amount": "1.00", "reason": "r"},
    "/parties/{party}/limit": {"unlimited": True, "reason": "r"},
    "/parties/{party}/invoices": {"month": "2023-11"},
    "/rerates": {"deck": "asell", "version": 1, "since": "2023-11-01", "until": "2023-12-01"},
    "/decks/{deck}/versions/{version}/schedule": {"at": "2030-01-01"},
    "/decks/{deck}/diff": {"old": 1, "new": 1},
    "/traces": {"number": "0301234567", "seconds": 1},
    "/limits/{place}/{name}/{rule}/release": {"reason": "r"},
    "/outbox/{target}/skip": {"number": 1},
    "/shops/{shop}/shifts": {"opening": "1.00"},
    "/shops/{shop}/shifts/{shift}/in": {"amount": "1.00", "reason": "r"},
    "/shops/{shop}/shifts/{shift}/out": {"amount": "1.00", "reason": "r"},
    "/shops/{shop}/shifts/{shift}/count": {"pieces": {"50": 1}},
    "/shops/{shop}/shifts/{shift}/close": {"pieces": {"50": 1}},
    "/shops/{shop}/prints/claim": {"printer": "p"},
    "/shops/{shop}/prints/{job_id}/done": {"claim": "c"},
    "/shops/{shop}/prints/{job_id}/failed": {"claim": "c", "why": "w", "may_be_on_paper": True},
}


def names_of(letter: str) -> set[str]:
    """Every name in a provider's world that is not a word of YAML."""
    return set(re.findall(rf"(?:name|carrier|realm): ({letter}[a-z-]+)", world_text(letter, "0"), re.IGNORECASE))


def asked_by(day: Installation, ids: Mapping[str, str]) -> list[tuple[str, str, object]]:
    """Every path of the API, with these names in it and in what it may be asked by."""
    asked: list[tuple[str, str, object]] = []
    for path, methods in day.api.openapi()["paths"].items():
        if not path.startswith("/api/v1/") or path == "/api/v1/events":
            continue
        short = path.removeprefix("/api/v1")
        filled = re.sub(r"{(\w+)}", lambda found: {**OWN, **ids}[found[1]].replace("/", "%2F"), short)
        for method, operation in methods.items():
            queries = {each["name"] for each in operation.get("parameters", []) if each["in"] == "query"}
            number = "?number=0301234567&" if "number" in queries else "?"
            number += f"carrier={OWN['carrier']}&" if "carrier" in queries else ""
            asked.append((method.upper(), filled + number, BODIES.get(short)))
            asked += [
                (method.upper(), f"{filled}{number}{name}={ids[name]}", BODIES.get(short))
                for name in ("booth", "party")
                if name in queries
            ]
    for what in ("party", "shop", "operator"):
        asked.append(("POST", "/tokens", {"label": "mine", what: ids[what]}))
    return asked


def ids_of(shop: str, booth: str, party: str, operator: str, day: Installation, deck: str = "asell") -> dict[str, str]:
    return {
        "shop": shop,
        "booth": booth,
        "party": party,
        "operator": operator,
        "deck": deck,
        "trunk": "atrunk",
        "call_id": f"call-{booth}",
        "token_id": next(
            made.id for made in TOKENS.values() if (made.party, made.shop) in {(party, None), (party, shop)}
        ),
        "trace_id": day.trace_id,
        "import_id": day.import_id,
        "screen": day.screen_ids[shop],
        "source": "192.0.2.66",
        "place": "booth",
        "name": booth,
        "rule": "once",
        "alert_id": "1001" if booth == "abooth" else "1002",
        "number": "2023-0001" if party == "Aann" else "2023-0002",
        "target": "abooks",
        "item": "1",
        "receipt": "1",
        "job_id": "1",
    }


Ids = Callable[[Installation], dict[str, str]]
ANNS: Final[Ids] = lambda day: ids_of("Acorner", "abooth", "Aann", "aotto", day)  # noqa: E731 - a row of a table
BOBS: Final[Ids] = lambda day: ids_of("Abar", "abar-booth", "Abob", "aberta", day)  # noqa: E731 - likewise
ABOVE: Final = {"Alpha", "Acarrier", "atrunk", "abuy", "ato-rhea", "aboss", "0.733", "0.644", "secret of Arhea"}
OF_ANN: Final = {"acora", "Aann", "Acorner", "Akiosk", "abooth", "agate", "akiosk-booth", "aotto", "secret of Aann"}
OF_BOB: Final = {"Abob", "Abar", "abar-booth", "aberta", "ato-bob", "secret of Abob"}
OF_CORNER: Final = {"acora", "Acorner", "abooth", "agate"}


def told(body: str, request: tuple[str, str, object], secrets: set[str]) -> set[str]:
    """Which secrets are in a body, but for those that whoever asks has said himself."""
    said = f"{request[1]} {json.dumps(request[2])}"
    return {secret for secret in secrets if re.search(rf"\b{re.escape(secret)}\b", body) and secret not in said}


@pytest.mark.parametrize(
    ("who", "ids", "secrets"),
    [
        pytest.param("blpha", ANNS, names_of("a") | {"secret of Aann", "abooks"}, id="another provider"),
        pytest.param("bob", ANNS, OF_ANN | ABOVE, id="a neighbour"),
        pytest.param("ann", BOBS, OF_BOB | ABOVE, id="the other neighbour"),
        pytest.param("kiosk", ANNS, OF_CORNER | OF_BOB | ABOVE | {"0.822"}, id="an operator of another shop"),
    ],
)
def test_what_is_anothers_is_not_there_by_any_path(tmp_path: Path, who: str, ids: Ids, secrets: set[str]) -> None:
    async def main() -> None:
        async with installation(tmp_path / "db") as day:
            for request in asked_by(day, ids(day)):
                status, body = await day.ask(who, *request)
                names = [value for what, value in ids(day).items() if what not in NO_NAMES]
                named = any(name in request[1] or name in str(request[2]) for name in names)
                assert not named or status in {403, 404}, (request, status, body)
                assert not told(body, request, secrets), (request, body)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("who", "ids", "secrets"),
    [
        pytest.param("rhea", ANNS, {"Acarrier", "atrunk", "abuy", "aboss", "0.644"}, id="a reseller"),
        pytest.param("ann", ANNS, OF_BOB | ABOVE, id="an owner"),
        pytest.param("corner", ANNS, OF_BOB | ABOVE | {"Akiosk", "akiosk-booth", "0.822"}, id="an operator"),
    ],
)
def test_nobody_sees_what_those_above_him_pay(tmp_path: Path, who: str, ids: Ids, secrets: set[str]) -> None:
    async def main() -> None:
        async with installation(tmp_path / "db") as day:
            seen = 0
            assert (await day.ask("alpha", "POST", "/parties/Arhea/suspend"))[0] == 200  # its name stays above Rhea
            for request in asked_by(day, ids(day)):
                status, body = await day.ask(who, *request)
                seen += status in {200, 201}
                assert not told(body, request, secrets), (request, body)
            assert seen > 10, "he sees what is his"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("who", "calls"), [("alpha", 4), ("rhea", 4), ("ann", 3), ("kiosk", 0), ("corner", 3), ("bob", 0), ("blpha", 0)]
)
def test_events_are_told_to_whom_they_concern(tmp_path: Path, who: str, calls: int) -> None:
    corner = {"tenant": "Alpha", "shop": "Acorner", "booth": "abooth"}
    bar = {"tenant": "Alpha", "shop": "Abar", "booth": "abar-booth"}

    async def main() -> str:
        async with installation(tmp_path / "db") as day:
            for fact in (
                CallAttempted(**corner, call_id="c", kind="call", direction="outbound", at_ms=NOON_MS),
                CallAnswered(**corner, call_id="c", trunk="atrunk", relayed_at_ms=NOON_MS, after_ms=1, added_us=1),
                RegistrationChanged(**corner, bindings=1, reachable=1),
            ):
                day.hub.publish(fact)
            if who in {"alpha", "rhea"}:
                day.hub.publish(CallAttempted(**bar, call_id="d", kind="call", direction="outbound", at_ms=NOON_MS))
            identity, desk = Identity(TOKENS[who], "me"), day.house.switch.desk
            found = ""
            events = stream(day.hub, identity, desk, lambda: True, after=NOON_MS * 1000, gather_s=0, ping_s=0)
            async with aclosing(events):
                async for text in events:
                    found += text
                    if text.startswith(":"):
                        break
            return found

    found = asyncio.run(main())
    assert len(re.findall("event: (?:call|registration)", found)) == calls
    names = {"blpha": names_of("a"), "bob": OF_ANN | ABOVE, "ann": OF_BOB | ABOVE, "rhea": {"atrunk"}}
    secrets = names.get(who, OF_BOB | ABOVE if who in {"kiosk", "corner"} else names_of("b"))
    assert not told(found, ("", "", None), secrets)


@pytest.mark.parametrize(
    ("who", "seen"),
    [
        ("alpha", ["booth abooth", "party Arhea", "party Alpha"]),
        ("rhea", ["booth abooth", "party Arhea"]),
        ("ann", ["booth abooth"]),
        ("corner", ["booth abooth"]),
        ("kiosk", []),
        ("bob", []),
        ("blpha", []),
    ],
)
def test_an_alert_is_told_to_whom_it_is_about_and_to_those_above(tmp_path: Path, who: str, seen: list[str]) -> None:
    def alert(number: int, place: str, name: str, party: str, shop: str | None = None) -> AlertRaised:
        about = {"place": place, "name": name, "party": party, "shop": shop, "kind": "night", "rule": "r"}
        return AlertRaised(tenant="Alpha", id=number, at_ms=NOON_MS, action="hold", detail="d", **about)  # type: ignore[arg-type]  # by name

    async def main() -> str:
        async with installation(tmp_path / "db") as day:
            day.hub.publish(alert(1, "booth", "abooth", "Aann", "Acorner"))
            day.hub.publish(alert(2, "party", "Arhea", "Arhea"))
            day.hub.publish(alert(3, "party", "Alpha", "Alpha"))
            identity, desk = Identity(TOKENS[who], "me"), day.house.switch.desk
            found = ""
            events = stream(day.hub, identity, desk, lambda: True, after=NOON_MS * 1000, gather_s=0, ping_s=0)
            async with aclosing(events):
                async for text in events:
                    found += text
                    if text.startswith(":"):
                        break
            return found

    found = re.findall(r"event: alert\ndata: (.*)", asyncio.run(main()))
    assert [f"{told['place']} {told['name']}" for told in map(json.loads, found)] == seen


def test_a_trace_hears_only_its_own_providers_phones(tmp_path: Path) -> None:
    async def main() -> None:
        async with installation(tmp_path / "db") as day:
            status, text = await day.ask("blpha", "POST", "/traces", {"number": "0301234567"})
            assert status == 201
            day.house.phone.call(SWITCH, "0301234567")
            day.house.advance()
            counts = [
                json.loads((await day.ask(who, "GET", f"/traces/{trace_id}"))[1])["count"]
                for who, trace_id in (("alpha", day.trace_id), ("blpha", json.loads(text)["id"]))
            ]
            assert counts[0] > 0
            assert counts[1] == 0

    asyncio.run(main())


def test_traces_of_one_provider_are_none_the_less_for_anothers(tmp_path: Path) -> None:
    async def main() -> list[int]:
        async with installation(tmp_path / "db") as day:
            began = [await day.ask("alpha", "POST", "/traces", {"booth": "abooth"}) for _ in range(4)]
            began.append(await day.ask("blpha", "POST", "/traces", {"booth": "bbooth"}))
            return [status for status, _ in began]

    assert asyncio.run(main()) == [201, 201, 201, 503, 201]


# Tokens of people


def with_desk(tmp_path: Path, work: Callable[[Installation], Awaitable[None]]) -> None:
    async def main() -> None:
        async with installation(tmp_path / "db") as day:
            await work(day)

    asyncio.run(main())


async def token_of(day: Installation, operator: str, who: str = "alpha") -> dict[str, Any]:
    status, text = await day.ask(who, "POST", "/tokens", {"label": "x", "operator": operator})
    assert status == 201, text
    made: dict[str, Any] = json.loads(text)
    return made


def test_a_person_acts_in_his_own_name_where_he_works(tmp_path: Path) -> None:
    async def work(day: Installation) -> None:
        otto = await token_of(day, "aotto", "ann")
        assert (otto["role"], otto["party"], otto["shop"], otto["operator"]) == ("operator", "Aann", "Akiosk", "aotto")
        await day.ask("alpha", "POST", "/booths/akiosk-booth/pay", {"version": 1, "tendered": "5.00"})
        status, text = await day.ask(otto["token"], "POST", "/booths/akiosk-booth/unlock")
        assert (status, json.loads(text)["opened_by"]) == (200, "aotto")
        boss = await token_of(day, "aboss")
        await day.ask(boss["token"], "POST", "/parties/Arhea/payments", {"amount": "1.00", "reason": "r"})
        _, text = await day.ask("alpha", "GET", "/parties/Arhea/transfers")
        assert "aboss" in {transfer["author"] for transfer in json.loads(text)["transfers"]}

    with_desk(tmp_path, work)


APPLIED: Final = [
    pytest.param(("  - {name: aotto, shop: Akiosk}\n", ""), True, id="who is gone"),
    pytest.param(("aotto, shop: Akiosk", "aotto, shop: Akiosk, suspended: true"), False, id="who is suspended"),
    pytest.param(("aotto, shop: Akiosk", "aotto, shop: Acorner"), False, id="who works elsewhere now"),
]


@pytest.mark.parametrize(("change", "prune"), APPLIED)
def test_a_persons_token_ends_with_him_and_does_not_come_back(
    tmp_path: Path, change: tuple[str, str], prune: bool
) -> None:
    async def work(day: Installation) -> None:
        otto = await token_of(day, "aotto")
        text = world_text("a", GATE[0])
        worlds = day.house.switch.desk.worlds
        await worlds.apply("Alpha", text.replace(*change), "w", author="a", prune=prune)
        assert (await day.ask(otto["token"], "GET", "/booths"))[0] == 401
        back = text.replace("aotto, shop: Akiosk", "aotto, shop: Akiosk, suspended: false")
        await worlds.apply("Alpha", back, "w", author="a")
        assert (await day.ask(otto["token"], "GET", "/booths"))[0] == 401
        assert (await day.ask("kiosk", "GET", "/booths"))[0] == 200  # a till's token is nobody's
        again = await token_of(day, "aotto")
        assert (await day.ask(again["token"], "GET", "/booths"))[0] == 200

    with_desk(tmp_path, work)


def test_a_token_of_a_party_that_went_opens_nothing_of_who_has_its_name_later(tmp_path: Path) -> None:
    async def work(day: Installation) -> None:
        worlds = day.house.switch.desk.worlds
        text = world_text("a", GATE[0])
        more = text.replace("decks:", "  - {name: Anew, parent: Arhea, deck: ato-ann, unlimited: true}\ndecks:", 1)
        await worlds.apply("Alpha", more, "w", author="a")
        _, made = await day.ask("rhea", "POST", "/tokens", {"label": "x", "party": "Anew"})
        secret = json.loads(made)["token"]
        assert (await day.ask(secret, "GET", "/parties"))[0] == 200
        await worlds.apply("Alpha", text, "w", author="a", prune=True)
        await worlds.apply("Alpha", more, "w", author="a")
        assert (await day.ask(secret, "GET", "/parties"))[0] == 401

    with_desk(tmp_path, work)


@pytest.mark.parametrize(
    ("who", "operator"), [("bob", "aotto"), ("ann", "aberta"), ("ann", "aboss"), ("blpha", "aboss")]
)
def test_nobody_makes_a_token_for_a_person_whom_he_does_not_reach(tmp_path: Path, who: str, operator: str) -> None:
    async def work(day: Installation) -> None:
        status, text = await day.ask(who, "POST", "/tokens", {"label": "x", "operator": operator})
        assert (status, json.loads(text)["code"]) == (404, "unknown_operator")

    with_desk(tmp_path, work)


def test_a_token_that_comes_after_its_person_went_is_not_let_in(tmp_path: Path) -> None:
    late = token("late", "operator", "Aann", "Abar")

    async def work(day: Installation) -> None:
        write = TokenAdded(
            tenant="Alpha",
            token=replace(late, operator="aotto"),
            author="a",
            at_ms=NOON_MS,
        )
        with pytest.raises(UnknownOperator, match="no operator named 'aotto' who may come in so"):
            await day.house.store.commit(write)

    with_desk(tmp_path, work)


# Suspensions, and keys of commands


def test_nobody_below_resumes_what_was_suspended_from_above(tmp_path: Path) -> None:
    async def work(day: Installation) -> None:
        assert (await day.ask("alpha", "POST", "/parties/Aann/suspend"))[0] == 200
        status, text = await day.ask("rhea", "POST", "/parties/Aann/resume")
        problem = json.loads(text)
        assert (status, problem["code"]) == (403, "suspended_above")
        assert problem["detail"] == "Aann was suspended by Alpha: only Alpha, or who is above, resumes it"
        _, text = await day.ask("ann", "GET", "/parties/Aann")
        assert json.loads(text)["suspender"] == "Arhea"  # of whom she buys; she knows nobody above
        await day.ask("rhea", "POST", "/parties/Aann/suspend")  # takes nothing from the higher one
        assert (await day.ask("rhea", "POST", "/parties/Aann/resume"))[0] == 403
        assert json.loads((await day.ask("alpha", "POST", "/parties/Aann/resume"))[1])["suspender"] is None
        await day.ask("rhea", "POST", "/parties/Aann/suspend")
        assert (await day.ask("alpha", "POST", "/parties/Aann/resume"))[0] == 200

    with_desk(tmp_path, work)


def test_a_world_that_is_exported_and_applied_leaves_a_suspension_with_whose_it_is(tmp_path: Path) -> None:
    async def work(day: Installation) -> None:
        await day.ask("rhea", "POST", "/parties/Aann/suspend")
        worlds = day.house.switch.desk.worlds
        plan = await worlds.apply("Alpha", await worlds.export("Alpha"), "w", author="a")
        assert plan.changes == ()
        assert (await day.ask("rhea", "POST", "/parties/Aann/resume"))[0] == 200

    with_desk(tmp_path, work)


async def with_key(day: Installation, who: str, path: str, body: object, key: str = "k") -> tuple[int, Any]:
    transport = httpx.ASGITransport(day.api)
    async with httpx.AsyncClient(transport=transport, base_url="http://api/api/v1") as client:
        headers = {"Authorization": f"Bearer {who}", "Idempotency-Key": key}
        answer = await client.post(path, json=body, headers=headers)
    return answer.status_code, answer.json()


MONEY: Final = [
    pytest.param("/booths/abooth/topup", {"amount": "1.00"}, "deposit", id="a top-up"),
    pytest.param("/parties/Aann/payments", {"amount": "1.00", "reason": "r"}, "balance", id="a payment"),
    pytest.param("/parties/Aann/adjustments", {"amount": "1.00", "reason": "r"}, "balance", id="an adjustment"),
]


@pytest.mark.parametrize(("path", "body", "shows"), MONEY)
def test_a_key_names_one_command_of_one_token(tmp_path: Path, path: str, body: dict[str, str], shows: str) -> None:
    async def work(day: Installation) -> None:
        _, once = await with_key(day, "rhea", path, body)
        _, again = await with_key(day, "rhea", path, body)
        assert again[shows] == once[shows]
        status, problem = await with_key(day, "rhea", path, body | {"amount": "2.00"})
        assert (status, problem["code"]) == (409, "refused")
        _, by_another = await with_key(day, "alpha", path, body)
        assert float(by_another[shows]) == float(once[shows]) + 1

    with_desk(tmp_path, work)


def test_a_deposit_is_taken_once_whatever_became_of_the_booth(tmp_path: Path) -> None:
    async def work(day: Installation) -> None:
        path, body = "/booths/bbooth/unlock", {"deposit": "5.00"}
        _, first = await with_key(day, "blpha", path, body)
        await day.ask("blpha", "POST", "/booths/bbooth/lock")
        status, locked = await with_key(day, "blpha", path, body)
        assert (status, locked["state"], locked["deposit"]) == (200, "locked", first["deposit"])
        status, problem = await with_key(day, "blpha", path, {"deposit": "6.00"})
        assert (status, problem["code"]) == (409, "refused")
        _, more = await with_key(day, "blpha", path, body, key="another")
        assert (more["state"], more["deposit"]) == ("open", "10.00")

    with_desk(tmp_path, work)


def test_a_key_outlives_the_process(tmp_path: Path) -> None:
    path, body = "/parties/Bann/payments", {"amount": "1.00", "reason": "r"}
    seen: list[str] = []

    async def work(day: Installation) -> None:
        seen.append((await with_key(day, "blpha", path, body))[1]["balance"])

    with_desk(tmp_path, work)

    async def later() -> None:
        store = opened(tmp_path / "db", process="run-2")
        store.start(asyncio.get_running_loop())
        try:
            house = House(lambda _network, _worlds: store, world=store.worlds()[0], more=store.worlds()[1:])
            switch = house.switch
            api = make_api(switch.desk, Metrics(version="1"), Hub(), switch.tracer, bans=switch.gate, version="1")
            await work(Installation(api, house, Hub()))
        finally:
            store.close()

    asyncio.run(later())
    assert seen == ["1.00", "1.00"]


def test_only_who_runs_the_server_has_it_read_its_configuration(tmp_path: Path) -> None:
    async def work(day: Installation) -> None:
        assert (await day.ask("alpha", "POST", "/reload"))[0] == 422  # there is none to read
        assert (await day.ask("blpha", "POST", "/reload"))[0] == 403

    with_desk(tmp_path, work)
