"""Every level pays, and nobody overspends: provider, reseller, owner and booth on the wire, with money that runs out.

One server has all the stories on booths of their own, started together and looked at one by one; its carriers are SIPp
processes whose logs say what reached them. Every price is by the second: a booth's customer pays 0.20, the owner 0.16,
the reseller 0.10, and the provider 0.05 to the first carrier or 0.06 to the second.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from .chaos import checks
from .chaos.scenarios import booth_scenario, carrier_scenario
from .chaos.scene import Booth, Foreigner, Line, crowd
from .harness import HOST, ROOT, Server, Sipp, free_port, password, until

pytestmark = pytest.mark.wire

FOR_EVER_MS: Final = 60_000
SHORT_MS: Final = 1_300  # is charged as 2 s
#: Countries, as dialled abroad, by what is special about them.
GERMANY, FIRST_REFUSES, FIRST_IS_SILENT = "0049301", "0044201", "0034911"
FIRST_IS_CAPPED, FIRST_IS_PACED, FIRST_LOSES, ONLY_LOSES = "0033101", "0039061", "0031201", "0045331"
OWNER_LOSES, NOT_SOLD_ABOVE, FORBIDDEN_ABOVE, RINGS = "0032101", "0043101", "0041441", "0047221"

POOR: Final = [f"poor{n:02}" for n in range(50)]
#: Booths by owner; those of `POOR` are for many calls at once, the others for one story each.
BOOTHS: Final = {
    "Ann": (
        *("plain", "short", "topped", "change", "rest", "not_sold", "forbidden", "refused_first", "silent_first"),
        *("capped0", "capped1", "paced0", "paced1", "reroute", "no_other", "warned"),
        *("ringing", "ending", "twice", "between", "landing"),
    ),
    "Poor": POOR,
    "Broke": ("broke",),
    "Careful": ("careful",),
    "Cutter": ("cutter",),
    "Finisher": ("finisher",),
    "Susan": ("below_suspended",),
}


def world(ports: dict[str, int]) -> str:
    dear = 'first_s: 1, first_price: "{}", next_s: 1'.format

    def deck(name: str, price: str, **others: str) -> str:
        """A deck with one price a minute, by the second, but for some countries; an empty text is no rate."""
        countries = ("49", "44", "34", "33", "39", "31", "45", "32", "43", "41", "47")
        prices = {country: others.get(f"to_{country}", dear(price)) for country in countries}
        rates = (
            f'{{prefix: "{country}", destination: C{country}, {text}}}' for country, text in prices.items() if text
        )
        return f"  - {{name: {name}, currency: EUR, round: {{places: 6}}, rates: [{', '.join(rates)}]}}\n"

    def shop(owner: str, name: str, booths: Sequence[str]) -> str:
        head = f'  - {{name: {name}, owner: {owner}, deck: shop-sell, country_code: "49", emergency: [], booths: ['
        return (
            head
            + ", ".join(f"{{name: {booth}, password: {password(booth.split(',')[0])}}}" for booth in booths)
            + "]}\n"
        )

    return "".join(
        (
            "provider: {name: Tel, loss_guard: {action: reroute}}\n",
            "resellers:\n",
            '  - {name: Rhea, deck: tel-sell, opening: "10000.00"}\n',
            '  - {name: Sue, deck: tel-sell, opening: "100.00"}\n',
            "owners:\n",
            '  - {name: Ann, parent: Rhea, deck: rhea-sell, opening: "1000.00"}\n',
            '  - {name: Poor, parent: Rhea, deck: rhea-sell, opening: "10.00"}\n',
            "  - {name: Broke, parent: Rhea, deck: rhea-sell}\n",
            '  - {name: Careful, parent: Rhea, deck: rhea-sell, opening: "100.00", loss_guard: {action: refuse}}\n',
            '  - {name: Cutter, parent: Rhea, deck: rhea-sell, opening: "100.00"}\n',
            '  - {name: Finisher, parent: Rhea, deck: rhea-sell, opening: "100.00"}\n',
            '  - {name: Susan, parent: Sue, deck: rhea-sell, opening: "100.00"}\n',
            "decks:\n",
            deck("shop-sell", "12.00"),
            deck("rhea-sell", "9.60", to_32=dear("15.00"), to_43="", to_41="forbidden: true"),
            deck("tel-sell", "6.00", to_32=dear("9.00")),
            deck("first-sell", "3.00", to_31=dear("7.20"), to_45=dear("7.20")),
            deck("second-sell", "3.60"),
            "trunks:\n",
            f"  - {{name: first, carrier: First, deck: first-sell, host: {HOST}, port: {ports['first']}}}\n",
            f"  - {{name: second, carrier: Second, deck: second-sell, host: {HOST}, port: {ports['second']}}}\n",
            f"  - {{name: refusing, deck: first-sell, host: {HOST}, port: {ports['refusing']}}}\n",
            f"  - {{name: silent, deck: first-sell, host: {HOST}, port: {ports['silent']}",
            ", first_response_timeout_s: 1}\n",
            f"  - {{name: capped, deck: first-sell, host: {HOST}, port: {ports['first']}, max_calls: 1}}\n",
            f"  - {{name: paced, deck: first-sell, host: {HOST}, port: {ports['first']}, cps: 1}}\n",
            f"  - {{name: bells, deck: first-sell, host: {HOST}, port: {ports['bells']}}}\n",
            "routes:\n",
            '  - {prefix: "", trunks: [first]}\n',
            '  - {prefix: "44", trunks: [refusing, second]}\n',
            '  - {prefix: "34", trunks: [silent, second]}\n',
            '  - {prefix: "33", trunks: [capped, second]}\n',
            '  - {prefix: "39", trunks: [paced, second]}\n',
            '  - {prefix: "31", trunks: [first, second]}\n',
            '  - {prefix: "47", trunks: [bells]}\n',
            "shops:\n",
            *(shop(owner, f"Shop of {owner}", booths) for owner, booths in BOOTHS.items()),
            shop("Ann", "Minutes", ["minutes, calls: 6"]),
        )
    )


@dataclass(slots=True)
class Chain:
    """The running server with its carriers, and every story that was begun."""

    server: Server
    folder: Path
    stack: ExitStack
    carriers: dict[str, Sipp] = field(default_factory=dict)
    calls: dict[str, Foreigner] = field(default_factory=dict)  # the latest of each name
    begun: int = 0

    def call(self, name: str, number: str, talk_ms: int = FOR_EVER_MS, *, booths: tuple[str, ...] = ()) -> Foreigner:
        """Have a booth call a number, or several booths at once, or one booth several times."""
        there = [Booth(booth, password(booth)) for booth in booths or (name,)]
        count = len(there)
        self.begun += 1
        people = crowd(
            f"{name}-{self.begun}",
            *(booth_scenario(talk_ms), self.folder, there),
            to=self.server.sip,
            calls=count,
            rate=max(10, 2 * count),
            number=number,
            total=count,
        )
        self.calls[name] = self.stack.enter_context(people)
        return people

    def over(self, name: str) -> list[Line]:
        """What the booths of a story saw, when all of it is over."""
        self.calls[name].wait(40)
        return list(self.calls[name].lines())

    def cdr(self, booth: str) -> dict[str, Any]:
        """The CDR of a booth's one call, which is over."""
        self.over(booth)
        return self.server.cdr(booth)

    def reached(self, number: str) -> list[str]:
        """The carriers that were sent an INVITE to a number, by the name of their process."""
        digits = f"INVITE sip:+{number.removeprefix('00')}@"
        return [name for name, carrier in self.carriers.items() if digits in carrier.text]

    def wait_for_answer(self, booth: str) -> None:
        """Wait until a booth talks."""
        until(lambda: self.server.booth(booth)["seconds"] is not None, f"the answer of {booth}")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Everything that takes its time is begun here, at once."""
    folder = tmp_path_factory.mktemp("chain")
    ports = {name: free_port() for name in ("first", "second", "refusing", "silent", "bells")}
    answers, rings = folder / "answers.xml", folder / "rings.xml"
    answers.write_text(carrier_scenario(ring_ms=20))
    rings.write_text(carrier_scenario(ring_ms=3_600_000))
    scenarios: dict[str, str | Path] = {
        "first": answers,
        "second": answers,
        "refusing": "uas_503",
        "silent": "uas_silent",
        "bells": rings,
    }
    with ExitStack() as stack:
        carriers = {
            name: stack.enter_context(Sipp(scenario, folder / name, listen=ports[name], calls=100_000, within_s=3600))
            for name, scenario in scenarios.items()
        }
        server = stack.enter_context(Server(folder, world(ports))).ready()
        chain = Chain(server, folder, stack, carriers)
        for booth in (booth for booths in BOOTHS.values() for booth in booths):
            terms = {"short": {"deposit": "1.00"}, "topped": {"deposit": "0.60"}, "change": {"deposit": "5.00"}}
            server.command(
                f"/booths/{booth}/unlock", terms.get(booth) or ({"limit": "1.00"} if booth == "rest" else None)
            )
        server.command("/booths/minutes/unlock", {"minutes": 1})
        server.command("/parties/Sue/suspend")
        chain.call("minutes", GERMANY, booths=("minutes",) * 6)
        chain.call("stay", GERMANY, booths=tuple(POOR[0::2]))
        chain.call("leave", GERMANY, 2_300, booths=tuple(POOR[1::2]))
        chain.call("short", GERMANY)
        for booth in ("plain", "change", "rest"):
            chain.call(booth, GERMANY, SHORT_MS)
        for case in REFUSALS:
            chain.call(case.booth, case.number)
        for booth, number in (
            *(("refused_first", FIRST_REFUSES), ("silent_first", FIRST_IS_SILENT), ("reroute", FIRST_LOSES)),
            *(("warned", OWNER_LOSES), ("capped0", FIRST_IS_CAPPED), ("capped1", FIRST_IS_CAPPED)),
            *(("paced0", FIRST_IS_PACED), ("paced1", FIRST_IS_PACED)),
        ):
            chain.call(booth, number, SHORT_MS)
        yield chain


# The price of a call at every level.


def test_every_level_pays_by_its_own_deck_and_keeps_its_margin(chain: Chain) -> None:
    cdr = chain.cdr("plain")
    assert [(c["buyer"], c["seller"], c["billed_s"], Decimal(c["amount"])) for c in cdr["charges"]] == [
        ("plain", "Ann", 2, Decimal("0.40")),
        ("Ann", "Rhea", 2, Decimal("0.32")),
        ("Rhea", "Tel", 2, Decimal("0.20")),
        ("Tel", "First", 2, Decimal("0.10")),
    ]
    margins = [None if c["margin"] is None else Decimal(c["margin"]) for c in cdr["charges"]]
    assert margins == [None, Decimal("0.08"), Decimal("0.12"), Decimal("0.10")]
    shown = chain.server.cli("cdr", "show", cdr["call_id"])
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in ("Ann", "Rhea", "Tel", "First"))


# Money that runs out.


def test_fifty_booths_at_once_never_spend_more_than_their_owner_has(chain: Chain) -> None:
    lines = chain.over("stay") + chain.over("leave")
    server = chain.server
    until(lambda: server.party("Poor")["live_calls"] == 0, "the end of all calls of Poor")
    cdrs = until(lambda: found if len(found := poor_cdrs(server)) == 50 else None, "50 CDRs")

    spent = [cdr_amount(cdr, 1) for cdr in cdrs]
    assert Decimal("9.50") < sum(spent) <= 10
    charges = [Decimal(t["amount"]) for t in server.transfers("Poor") if t["kind"] == "charge"]
    assert -sum(charges) == sum(spent)
    poor = server.party("Poor")
    assert Decimal(poor["balance"]) == 10 - sum(spent)
    assert Decimal(poor["held"]) == 0
    assert poor["available"] == poor["balance"]

    refused = [cdr for cdr in cdrs if cdr["result"] == "refused"]
    assert {cdr["sip_status"] for cdr in refused} == {402}
    cut = [cdr for cdr in cdrs if cdr["result"] == "answered" and cdr["hung_up_by"] == "switch"]
    left = [cdr for cdr in cdrs if cdr["result"] == "answered" and cdr["hung_up_by"] == "caller"]
    assert len(refused) + len(cut) + len(left) == 50
    assert min(map(len, (refused, cut, left))) > 0
    seen = checks.heard(lines, by_booth=True)
    assert set(seen.answered_at) == {cdr["leg_a_call_id"] for cdr in cut + left}
    for cdr in cut:
        assert cdr["talk_ms"] % 1000 == 0
        assert cdr["charges"][0]["billed_s"] * 1000 == cdr["talk_ms"]
        assert seen_s(seen, cdr) == pytest.approx(cdr["talk_ms"] / 1000, abs=0.3)
        assert cdr["leg_a_call_id"] in seen.ended_by_us
    for cdr in left:
        assert seen_s(seen, cdr) == pytest.approx(cdr["talk_ms"] / 1000, abs=0.3)


def test_who_was_refused_for_want_of_money_reached_no_carrier(chain: Chain) -> None:
    """As many INVITEs left for Germany's carrier as calls were let through."""
    for name in list(chain.calls):
        chain.over(name)
    through = [cdr for booths in BOOTHS.values() for b in booths for cdr in chain.server.cdrs(b)]
    through += chain.server.cdrs("minutes")
    dialled = {cdr["leg_b_call_id"] for cdr in through if cdr["dialled"] == GERMANY and cdr["attempts"]}
    digits = f"INVITE sip:+{GERMANY.removeprefix('00')}@"
    sent = {m.call_id for m in chain.carriers["first"].messages if not m.sent and m.text.startswith(digits)}
    assert sent == dialled
    assert all(cdr["leg_b_call_id"] is None for cdr in through if cdr["sip_status"] == 402)


def test_a_deposit_ends_the_call_at_its_very_second(chain: Chain) -> None:
    """1.00 at 0.20 a second are 5 s."""
    cdr = chain.cdr("short")
    assert (cdr["talk_ms"], cdr["hung_up_by"], cdr_amount(cdr, 0)) == (5_000, "switch", Decimal("1.00"))
    bill = chain.server.look("/booths/short/bill")
    assert [Decimal(bill[name]) for name in ("total", "deposit", "due")] == [1, 1, 0]
    paid = chain.server.command("/booths/short/pay", {"version": bill["version"], "tendered": "0.00"})
    assert Decimal(paid["change"]) == 0


def test_a_top_up_extends_the_running_call(chain: Chain) -> None:
    """0.60 are 3 s; with 0.40 more in mid-call they are 5 s."""
    chain.call("topped", GERMANY)
    chain.wait_for_answer("topped")
    assert chain.server.cli("session", "topup", "topped", "0.40").returncode == 0
    cdr = chain.cdr("topped")
    assert (cdr["talk_ms"], cdr["hung_up_by"], cdr_amount(cdr, 0)) == (5_000, "switch", Decimal("1.00"))
    seen = checks.heard(chain.over("topped"), by_booth=True)
    assert seen_s(seen, cdr) == pytest.approx(5, abs=0.3)


def test_checkout_gives_back_what_is_left_of_a_deposit(chain: Chain) -> None:
    chain.cdr("change")
    bill = json.loads(chain.server.cli("session", "bill", "change", "--json").stdout)
    version = str(bill["version"])
    words = ("session", "pay", "change", "--version", version, "--tendered", "0.00", "--json")
    paid = json.loads(chain.server.cli(*words).stdout)
    assert [Decimal(paid[name]) for name in ("total", "deposit", "change")] == [Decimal("0.40"), 5, Decimal("4.60")]


def test_checkout_takes_what_is_still_to_be_paid(chain: Chain) -> None:
    chain.cdr("rest")
    bill = chain.server.look("/booths/rest/bill")
    assert Decimal(bill["due"]) == Decimal("0.40")
    short = chain.server.api("POST", "/booths/rest/pay", {"version": bill["version"], "tendered": "0.39"})
    assert short.status_code == 422
    paid = chain.server.command("/booths/rest/pay", {"version": bill["version"], "tendered": "1.00"})
    assert Decimal(paid["change"]) == Decimal("0.60")


def test_calls_of_a_session_share_its_minutes(chain: Chain) -> None:
    """Six calls at once have one minute between them, and use all of it."""
    chain.over("minutes")
    cdrs = until(lambda: found if len(found := chain.server.cdrs("minutes")) == 6 else None, "6 CDRs")
    assert sum(cdr["talk_ms"] for cdr in cdrs) == 60_000
    assert {cdr["hung_up_by"] for cdr in cdrs} == {"switch"}
    assert all(cdr["talk_ms"] % 1000 == 0 for cdr in cdrs)
    assert chain.server.booth("minutes")["left_ms"] == 0


# Who is refused before anything leaves.


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that no carrier hears of."""

    booth: str
    number: str
    status: int


REFUSALS: Final = (
    Refusal("not_sold", NOT_SOLD_ABOVE, 403),
    Refusal("forbidden", FORBIDDEN_ABOVE, 403),
    Refusal("below_suspended", "0049302", 403),
    Refusal("broke", "0049303", 402),
    Refusal("careful", OWNER_LOSES.replace("01", "02"), 403),
    Refusal("no_other", ONLY_LOSES, 403),
)


@pytest.mark.parametrize("case", REFUSALS, ids=lambda case: case.booth)
def test_who_is_refused_reaches_no_carrier(chain: Chain, case: Refusal) -> None:
    lines = chain.over(case.booth)
    assert [line.first[8:11] for line in lines if not line.sent and line.first[8:11] not in {"100", "401"}] == [
        str(case.status)
    ]
    cdr = chain.cdr(case.booth)
    assert (cdr["result"], cdr["sip_status"], cdr["hung_up_by"]) == ("refused", case.status, "switch")
    assert (cdr["attempts"], cdr["charges"], cdr["leg_b_call_id"]) == ([], [], None)
    assert chain.reached(case.number) == []


# Carriers.


@pytest.mark.parametrize(
    ("booth", "number", "tried"),
    [
        pytest.param("refused_first", FIRST_REFUSES, [("refusing", 503), ("second", 200)], id="it refuses"),
        pytest.param("silent_first", FIRST_IS_SILENT, [("silent", None), ("second", 200)], id="it says nothing"),
        pytest.param("reroute", FIRST_LOSES, [("second", 200)], id="the provider would lose by it"),
    ],
)
def test_the_carrier_that_answers_is_named_and_paid(
    chain: Chain, booth: str, number: str, tried: list[tuple[str, int | None]]
) -> None:
    cdr = chain.cdr(booth)
    assert [(attempt["trunk"], attempt["status"]) for attempt in cdr["attempts"]] == tried
    assert (cdr["trunk"], cdr["charges"][-1]["seller"]) == ("second", "Second")
    assert cdr_amount(cdr, -1) == Decimal("0.06") * cdr["charges"][-1]["billed_s"]
    assert chain.reached(number) == [name for name in chain.carriers if name in dict(tried)]


@pytest.mark.parametrize("story", ["capped", "paced"])
def test_a_trunk_at_its_cap_leaves_the_next_call_to_another(chain: Chain, story: str) -> None:
    cdrs = [chain.cdr(f"{story}{n}") for n in range(2)]
    tried = [[(attempt["trunk"], attempt["status"]) for attempt in cdr["attempts"]] for cdr in cdrs]
    assert sorted(tried, key=len) == [[(story, 200)], [(story, None), ("second", 200)]]
    sellers = {cdr["charges"][-1]["seller"]: cdr_amount(cdr, -1) / cdr["charges"][-1]["billed_s"] for cdr in cdrs}
    assert sellers == {story: Decimal("0.05"), "Second": Decimal("0.06")}


def test_a_loss_that_is_only_warned_of_is_made(chain: Chain) -> None:
    cdr = chain.cdr("warned")
    assert cdr["result"] == "answered"
    assert Decimal(cdr["charges"][1]["margin"]) < 0


# Suspension.


def test_suspending_cuts_running_calls_only_if_told_to(chain: Chain) -> None:
    server = chain.server
    for booth in ("cutter", "finisher"):
        chain.call(booth, GERMANY, 3_000)
    for booth in ("cutter", "finisher"):
        chain.wait_for_answer(booth)
    assert server.cli("party", "suspend", "Finisher").returncode == 0
    assert server.cli("party", "suspend", "Cutter", "--cut").returncode == 0
    cut, finished = chain.cdr("cutter"), chain.cdr("finisher")
    assert (cut["hung_up_by"], finished["hung_up_by"]) == ("switch", "caller")
    assert finished["talk_ms"] == pytest.approx(3_000, abs=300)
    chain.call("cutter", "0049304")
    assert "SIP/2.0 403" in "".join(line.first for line in chain.over("cutter"))
    assert chain.reached("0049304") == []


# Races at the checkout.


def test_nobody_pays_while_it_rings(chain: Chain) -> None:
    server, booth = chain.server, "ringing"
    with Sipp(
        *("cancel", chain.folder / "races"), to=server.sip, booth=booth, password=password(booth), number=RINGS
    ) as call:
        until(lambda: server.booth(booth)["live_calls"], "the call")
        refused = pay(server, booth)
        assert (refused.status_code, refused.json()["code"]) == (409, "call_alive")
        call.passed()
    until(lambda: server.cdrs(booth), "its CDR")
    assert Decimal(pay(server, booth).raise_for_status().json()["total"]) == 0
    assert checked_out(chain, booth, [server.cdr(booth)["session_id"]]) == [Decimal(0)]


def test_paying_while_a_call_ends_takes_all_of_it_or_waits(chain: Chain) -> None:
    server, booth, sessions = chain.server, "ending", []
    for _ in range(5):
        session = server.command(f"/booths/{booth}/unlock")["session_id"]
        sessions.append(session)
        call = chain.call(booth, "0049305", 200)
        until(lambda: server.booth(booth)["live_calls"], "the call")
        with ThreadPoolExecutor(2) as desks:
            both = list(desks.map(lambda _: pay_until_paid(server, booth), range(2)))
        assert {paid["session_id"] for paid in both} - {None} == {session}
        call.wait()
    assert checked_out(chain, booth, sessions) == [Decimal("0.20")] * 5


def test_a_bill_that_is_paid_twice_at_once_is_paid_once(chain: Chain) -> None:
    server, booth, sessions = chain.server, "twice", []
    for _ in range(5):
        sessions.append(server.command(f"/booths/{booth}/unlock")["session_id"])
        chain.call(booth, "0049306", 100).wait()
        until(lambda: server.booth(booth)["live_calls"] == 0, "the end of the call")
        bill = until(lambda: billed(server, booth, "0.20"), "the bill")
        tender = {"version": bill["version"], "tendered": "1.00"}
        with ThreadPoolExecutor(4) as desks:
            asked = [desks.submit(server.api, "POST", f"/booths/{booth}/pay", tender) for _ in range(4)]
        answers = [desk.result() for desk in asked]
        assert Counter(answer.status_code for answer in answers)[200] >= 1
        done = [answer.json() for answer in answers if answer.status_code == 200]
        assert all(payment == done[0] for payment in done)
    assert checked_out(chain, booth, sessions) == [Decimal("0.20")] * 5


def test_a_call_that_lands_between_the_bill_and_the_payment_is_told(chain: Chain) -> None:
    server, booth = chain.server, "between"
    before = server.look(f"/booths/{booth}/bill")
    chain.call(booth, "0049307", SHORT_MS).wait()
    until(lambda: billed(server, booth, "0.40"), "the bill")
    stale = server.api("POST", f"/booths/{booth}/pay", {"version": before["version"], "tendered": "5.00"})
    assert stale.status_code == 409
    problem = stale.json()
    assert (problem["code"], problem["new_calls"], Decimal(problem["new_amount"])) == ("stale_bill", 1, Decimal("0.40"))
    assert Decimal(pay(server, booth).raise_for_status().json()["total"]) == Decimal("0.40")
    assert checked_out(chain, booth, [before["session_id"]]) == [Decimal("0.40")]


def test_a_call_and_a_payment_at_the_same_instant_lose_nothing(chain: Chain) -> None:
    """Whichever comes first: the call is refused, or the payment is; what was talked is on one bill."""
    server, booth, sessions = chain.server, "landing", []
    for number in range(8):
        sessions.append(server.command(f"/booths/{booth}/unlock")["session_id"])
        bill = server.look(f"/booths/{booth}/bill")
        call = chain.call(booth, "0049308", 100)
        time.sleep(0.02 * number)  # SIPp places its call some 50 to 100 ms after its start
        answer = server.api("POST", f"/booths/{booth}/pay", {"version": bill["version"], "tendered": bill["due"]})
        assert answer.status_code in {200, 409}
        call.wait()
        if answer.status_code != 200:
            pay_until_paid(server, booth)
    cdrs = server.cdrs(booth)
    talked = [cdr for cdr in cdrs if cdr["result"] == "answered"]
    assert len(cdrs) == 8
    assert {cdr["sip_status"] for cdr in cdrs} <= {200, 403}
    assert sum(checked_out(chain, booth, sessions)) == Decimal("0.20") * len(talked)


# And in the end.


def test_when_all_is_over_nothing_is_held_and_the_books_are_clean(chain: Chain) -> None:
    for name in list(chain.calls):
        chain.over(name)
    server = chain.server
    until(lambda: not any(party["live_calls"] for party in server.parties()), "the end of all calls")
    until(lambda: not server.metrics()['sipshop_table_size{table="unsettled_calls"}'], "all CDRs")
    assert {Decimal(party["held"]) for party in server.parties() if party["held"] is not None} == {0}
    assert server.metrics()['sipshop_table_size{table="holds"}'] == 0
    books = checks.read_books(server.data / "sipshop.db")
    assert checks.books_are_balanced(books) == []
    assert checks.no_limit_was_passed(books) == []
    assert checks.every_level_paid_once(books) == []
    assert checks.paid_sessions_are_paid({}, books) == []
    for words in (("audit",), ("audit", "--database", str(server.data / "sipshop.db"))):
        audit = server.cli(*words)
        assert audit.returncode == 0, audit.stdout + audit.stderr


# Two providers.


def test_two_providers_see_nothing_of_each_other(tmp_path: Path) -> None:
    """Parties and shops have the same names with both; the second one's booths are called c00 and so on."""
    one = (ROOT / "tests" / "worlds" / "chain.yaml").read_text()
    two = one.replace("name: Tel\n", "name: Other\n").replace("b00..b49", "c00..c49").replace('"10.00"', '"77.00"')
    with Server(tmp_path, one, two) as server:
        server.ready()
        tenants: dict[str, str | None] = {"b": None, "c": "Other"}
        call = crowd(
            *("stranger", booth_scenario(100), tmp_path, [Booth("c00", "pw00")]),
            to=server.sip,
            calls=1,
            rate=1,
            number="030123456",
            total=1,
        )
        with call:
            call.wait()
        until(lambda: server.api("GET", "/cdrs", tenant="Other").json()["cdrs"], "the CDR of a locked booth")

        def sees(tenant: str | None, path: str) -> Any:
            return server.api("GET", path, tenant=tenant).json()

        for letter, tenant in tenants.items():
            assert {booth["booth"][0] for booth in sees(tenant, "/booths")["booths"]} == {letter}
        assert [sees(tenant, "/parties/Ann")["balance"] for tenant in tenants.values()] == ["10.00", "77.00"]
        assert [len(sees(tenant, "/cdrs")["cdrs"]) for tenant in tenants.values()] == [0, 1]
        theirs = sees("Other", "/cdrs")["cdrs"][0]["call_id"]
        reason = {"reason": "none of my business", "amount": "1.00"}
        for method, path, body in (
            *(("GET", f"/cdrs/{theirs}", None), ("GET", "/parties/Other", None), ("GET", "/booths/c00/bill", None)),
            *(("POST", "/booths/c00/unlock", None), ("POST", "/parties/Other/suspend", None)),
            *(("POST", "/parties/Other/payments", reason), ("GET", "/cdrs?booth=c00", None)),
        ):
            assert server.api(method, path, body).status_code == 404, path
        server.command("/parties/Ann/payments", {"amount": "1.00", "reason": "only mine"})
        server.command("/parties/Ann/suspend")
        assert [sees(tenant, "/parties/Ann")["balance"] for tenant in tenants.values()] == ["11.00", "77.00"]
        assert [sees(tenant, "/parties/Ann")["suspended"] for tenant in tenants.values()] == [True, False]
        assert [len(sees(tenant, "/parties/Ann/transfers")["transfers"]) for tenant in tenants.values()] == [2, 1]


# Small things.


def poor_cdrs(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.look("/cdrs?limit=1000")["cdrs"]
    return [cdr for cdr in found if cdr["booth"] in POOR]


def cdr_amount(cdr: dict[str, Any], level: int) -> Decimal:
    return Decimal(cdr["charges"][level]["amount"]) if cdr["charges"] else Decimal(0)


def seen_s(seen: checks.Heard, cdr: dict[str, Any]) -> float:
    """How long a call was by the log of its booth."""
    return seen.ended_at[cdr["leg_a_call_id"]] - seen.answered_at[cdr["leg_a_call_id"]]


def pay(server: Server, booth: str) -> httpx.Response:
    """Pay the bill as it is now."""
    bill = server.look(f"/booths/{booth}/bill")
    return server.api("POST", f"/booths/{booth}/pay", {"version": bill["version"], "tendered": bill["due"]})


def pay_until_paid(server: Server, booth: str) -> dict[str, Any]:
    """Read the bill and pay it, again and again until it is paid, by us or by another desk (then it is empty)."""

    def look() -> dict[str, Any] | None:
        bill = server.api("GET", f"/booths/{booth}/bill")
        if bill.status_code == 404:
            return {"session_id": None}
        tender = {"version": bill.json()["version"], "tendered": bill.json()["due"]}
        answer = server.api("POST", f"/booths/{booth}/pay", tender)
        assert answer.status_code in {200, 404, 409}, answer.text
        paid: dict[str, Any] = answer.json()
        return paid if answer.status_code == 200 else None

    return until(look, f"the payment of {booth}")


def billed(server: Server, booth: str, total: str) -> dict[str, Any] | None:
    """The bill of a booth, if it comes to a total."""
    bill = server.look(f"/booths/{booth}/bill")
    return bill if Decimal(bill["total"]) == Decimal(total) else None


def checked_out(chain: Chain, booth: str, sessions: Sequence[int]) -> list[Decimal]:
    """What these sessions of a booth have paid, each for all of its calls and once; there are no other calls."""
    cdrs = chain.server.cdrs(booth)
    books = checks.read_books(chain.server.data / "sipshop.db")
    assert checks.paid_sessions_are_paid({}, books) == []
    assert len(set(sessions)) == len(sessions)
    assert {cdr["session_id"] for cdr in cdrs} <= {*sessions, None}  # None: the booth was locked by then
    for session in sessions:
        charged = sum(cdr_amount(cdr, 0) for cdr in cdrs if cdr["session_id"] == session)
        assert books.payments[session] == charged * 1_000_000
        assert sum(t.micros for t in books.transfers if t.key == f"checkout:{session}") == charged * 1_000_000
    return [Decimal(books.payments[session]) / 1_000_000 for session in sessions]
