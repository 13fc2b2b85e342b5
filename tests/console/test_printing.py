"""Receipts on paper over HTTP: who gets the original, what agents are told, and the pages of people."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pypdf
import pytest
from typer.testing import CliRunner

from sipshop import cli
from sipshop.printing.slip import Slip
from sipshop.switch.printing import GONE_AFTER_MS
from tests.console.memory import OPENED_AT_MS, TENANT, TOKEN, Caller, MemoryDesk, Stage, memory_api, serving
from tests.console.test_pages import HERE, SCRIPT, Browser
from tests.printing.examples import Printer, a_receipt

PLACE: Final = "/api/v1/shops/center"
ASK: Final = f"{PLACE}/receipts/1/print"
CLAIM: Final = f"{PLACE}/prints/claim"


@pytest.fixture
def desk() -> MemoryDesk:
    """A desk at which one receipt was drawn."""
    desk = MemoryDesk("b1", "b2")
    desk.checkout.drawn.append((1, a_receipt(number=1, tenant=TENANT)))
    return desk


@pytest.fixture
def client(desk: MemoryDesk) -> Iterator[Caller]:
    with Caller(memory_api(desk)) as client:
        yield client


def claimed(client: Caller, **more: Any) -> dict[str, Any]:
    answer = client.post(CLAIM, json={"printer": "lp0"} | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_job_goes_from_asked_to_printed(client: Caller) -> None:
    asked = client.post(ASK, headers={"Idempotency-Key": "k"}).json()
    assert (asked["id"], asked["receipt"], asked["state"], asked["copy_number"]) == (1, 1, "waiting", None)
    assert client.post(ASK, headers={"Idempotency-Key": "k"}).json()["id"] == 1
    got = claimed(client)
    assert (got["job"]["state"], got["job"]["copy_number"], got["job"]["language"]) == ("claimed", 0, "fr")
    slip = Slip.from_json(got["slip"])
    assert (slip.title, slip.language) == ("Reçu 1", "fr")
    assert claimed(client) == {"job": None, "claim": None, "slip": None}
    done = client.post(f"{PLACE}/prints/1/done", json={"claim": got["claim"]}).json()
    assert done["state"] == "done"
    listed = client.get(f"{PLACE}/prints").json()
    assert [(job["id"], job["state"], job["printer"]) for job in listed["prints"]] == [(1, "done", "lp0")]
    assert listed["printers"] == [{"name": "lp0", "is_there": True, "fault": "", "seen_at": "2025-12-31T23:59:59.007Z"}]


def test_a_second_print_is_a_reprint_in_the_language_that_was_asked_for(client: Caller) -> None:
    client.post(ASK)
    client.post(f"{PLACE}/prints/1/done", json={"claim": claimed(client)["claim"]})
    client.post(ASK, json={"language": "es"})
    got = claimed(client)
    assert got["job"]["copy_number"] == 1
    assert "DUPLICADO" in json.dumps(got["slip"])


def test_what_an_agent_could_not_print_waits_and_says_why(client: Caller) -> None:
    client.post(ASK)
    got = claimed(client)
    body = {"claim": got["claim"], "why": "cable", "may_be_on_paper": True}
    failed = client.post(f"{PLACE}/prints/1/failed", json=body).json()
    assert (failed["state"], failed["why"]) == ("waiting", "cable")
    assert client.get(f"{PLACE}/prints").json()["printers"][0]["fault"] == "cable"
    assert claimed(client, fault="no paper")["job"] is None, "who cannot print gets no job"
    assert claimed(client)["job"]["copy_number"] == 1


def test_only_what_was_counted_is_an_original(client: Caller) -> None:
    page = f"{PLACE}/receipts/1/html"
    assert "DUPLICATA" in client.get(page).text
    job = client.post(ASK, json={"goes_to": "browser"}).json()
    assert (job["state"], job["copy_number"]) == ("done", 0)
    assert "DUPLICATA" not in client.get(f"{page}?job=1").text
    assert "DUPLICATA" in client.get(page).text
    client.post(ASK, json={"goes_to": "browser"})
    assert "Copie 1" in client.get(f"{page}?job=2").text
    answer = client.get(f"{PLACE}/receipts/1/pdf?job=1&paper=80mm&language=en")
    assert answer.headers["content-type"] == "application/pdf"
    assert "REPRINT" not in pypdf.PdfReader(io.BytesIO(answer.content)).pages[0].extract_text()


REFUSED: Final[list[tuple[str, str, object, int, str]]] = [
    ("POST", f"{PLACE}/receipts/2/print", None, 404, "unknown_receipt"),
    ("POST", "/api/v1/shops/none/receipts/1/print", None, 404, "unknown_shop"),
    ("POST", ASK, {"language": "xx"}, 422, "invalid_request"),
    ("GET", f"{PLACE}/receipts/1/html?job=9", None, 404, "unknown_print_job"),
    ("GET", f"{PLACE}/receipts/{10**30}/html", None, 404, "unknown_receipt"),
    ("POST", f"{PLACE}/prints/9/done", {"claim": "x"}, 404, "unknown_print_job"),
    ("POST", CLAIM, {"printer": "a\nb"}, 422, "invalid_request"),
    ("GET", f"{PLACE}/prints?cursor=x", None, 422, "bad_cursor"),
]


def test_what_is_not_there_is_refused(client: Caller) -> None:
    for method, path, body, status, code in REFUSED:
        answer = client.request(method, path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


def test_an_agent_that_waits_hears_of_a_job_at_once(desk: MemoryDesk) -> None:
    async def main() -> tuple[int, float]:
        async def is_gone() -> bool:
            return False

        async def later() -> None:
            await asyncio.sleep(0)
            await desk.printing.ask(TENANT, "center", 1, author="ana", key="k")

        waits = desk.printing.claim(TENANT, "center", printer="p", fault="", wait_s=20, is_gone=is_gone)
        began_s = asyncio.get_running_loop().time()
        found, _ = await asyncio.gather(waits, later())
        assert found is not None
        return found[0].number, asyncio.get_running_loop().time() - began_s

    number, waited_s = asyncio.run(main())
    assert number == 1
    assert waited_s < 5


def test_an_agent_that_has_hung_up_gets_no_job(desk: MemoryDesk) -> None:
    async def main() -> None:
        async def is_gone() -> bool:
            return True

        await desk.printing.ask(TENANT, "center", 1, author="ana", key="k")
        claim = desk.printing.claim(TENANT, "center", printer="p", fault="", wait_s=20, is_gone=is_gone)
        assert await claim is None

    asyncio.run(main())


# For people.


@pytest.fixture
def browser(desk: MemoryDesk) -> Iterator[Browser]:
    with Browser(desk) as browser:
        browser.sign_in()
        yield browser


def test_a_receipt_is_printed_from_a_page(browser: Browser, desk: MemoryDesk) -> None:
    answer = browser.send("/receipts/center/1/print", SCRIPT, to="printer", key="key-1234")
    assert (answer.status_code, answer.json()) == (200, {"done": True, "job": 1, "paper": ""})
    answer = browser.send("/receipts/center/1/print", HERE, to="browser", key="key-5678")
    assert (answer.status_code, answer.headers["location"]) == (303, "/receipts/center/1/paper?job=2")
    page = browser.see("/receipts/center/1/paper?job=2")
    assert '<html lang="fr" dir="ltr">' in page.text
    assert "DUPLICATA" not in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "DUPLICATA" in browser.see("/receipts/center/1/paper").text
    assert browser.see("/receipts/center/1/pdf").content.startswith(b"%PDF")
    assert browser.see("/receipts/center/2/paper").status_code == 404
    assert browser.see("/receipts/center/1/paper?job=x").status_code == 404


def test_a_page_tells_whether_the_printer_lives(browser: Browser, client: Caller, desk: MemoryDesk) -> None:
    def seen() -> Any:
        return browser.see("/receipts/center/printers").json()

    assert seen() == {"works": False, "text": "No printer at the desk: receipts are printed from this browser."}
    claimed(client)
    assert seen() == {"works": True, "text": "The printer is ready."}
    claimed(client, fault="no paper")
    assert seen()["text"] == "The printer does not print: look at its paper and its cable."
    (status,) = desk.printing.printers(TENANT, "center")
    assert (status.is_there, status.works, status.seen_at_ms) == (True, False, OPENED_AT_MS)
    assert GONE_AFTER_MS > 2 * 20_000, "a question that waits is no silence"


# The command line.


@pytest.fixture
def run(desk: MemoryDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    stage = Stage()
    stage.api = memory_api(desk)
    with serving(stage) as url:
        monkeypatch.setenv("SIPSHOP_URL", url)
        monkeypatch.setenv("SIPSHOP_TOKEN", TOKEN)
        monkeypatch.chdir(tmp_path)
        yield lambda *words: CliRunner().invoke(cli.app, words)


def test_the_agent_prints_what_was_asked_for(run: Any) -> None:
    assert run("print", "receipt", "center", "1").stdout == "receipt 1 of center waits for the printer: job 1\n"
    agent = run("print-agent", "--printer", "file:lp0", "--columns", "48", "--once")
    assert agent.exit_code == 0
    assert agent.stdout == "Printing the receipts of center on file:lp0\nreceipt 1 is printed\n"
    paper = Printer().read(Path("lp0").read_bytes())
    assert "Taxe" in paper.text
    assert "DUPLICATA" not in paper.text
    run("print", "receipt", "center", "1", "--language", "ar")
    Path("lp0").unlink()
    run("print-agent", "--printer", "file:lp0", "--once", "--name", "till")
    assert Printer().read(Path("lp0").read_bytes()).pictures
    listed = run("print", "list", "center").stdout
    assert "printer till: ready" in listed
    assert run("print", "pdf", "center", "1", "--to", "r.pdf").stdout == "receipt 1 of center is in r.pdf\n"
    assert Path("r.pdf").read_bytes().startswith(b"%PDF")


def test_an_agent_that_cannot_print_does_not_start(run: Any) -> None:
    for words, why in (
        (("--printer", "lpt1"), "sipshop: --printer: 'lpt1' is no printer"),
        (("--printer", "file:x", "--columns", "40"), "sipshop: --columns 40: a printer has 32, 42 or 48"),
        (("--printer", "file:x", "--profile", "x"), "sipshop: --profile: there is no printer profile 'x'"),
    ):
        result = run("print-agent", *words)
        assert result.exit_code == 2
        assert result.stderr.startswith(why)
