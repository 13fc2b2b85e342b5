"""How long for five euros to Bamako: what is found by which words, by the API, and who may ask."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import pytest
from pypdf import PdfReader

from sipshop.console.finding import MOST, Answer, Finder
from sipshop.console.pages.poster import MOST_LINES, poster_of
from sipshop.console.pages.words import LANGUAGES, words
from sipshop.console.paper.poster import Size
from sipshop.console.paper.poster_pdf import poster_pdf
from sipshop.console.places import cities, countries, plain
from sipshop.switch import Directory, PriceList, Rates
from sipshop.world import parse_world
from tests.console.memory import OPENED_AT_MS, OPERATOR, OWNER, RESELLER, STRANGER, Caller, MemoryDesk, memory_api
from tests.console.test_pages import Browser

DEMO: Final = Path(__file__).parent.parent.parent / "conf/demo.yaml"
AUSTRIA: Final = '{prefix: "43", destination: Austria, connect'
PATH: Final = "/api/v1/shops/center/rates"


@pytest.fixture(scope="module")
def prices() -> PriceList:
    world = parse_world(DEMO.read_text(encoding="utf-8"), "demo")
    directory = Directory([world], default_realm="sipshop")
    return Rates(directory, lambda: OPENED_AT_MS, 14_400).prices(world.tenant, "Corner")


@pytest.fixture(scope="module")
def finder() -> Finder:
    return Finder()


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk("b1", "b2")


@pytest.fixture
def browser(desk: MemoryDesk) -> Iterator[Browser]:
    with Browser(desk) as browser:
        browser.sign_in()
        yield browser


def first(answer: Answer) -> tuple[str | None, str, str]:
    found = answer.found[0]
    return found.country, found.city, found.fare.destination


@pytest.mark.parametrize(
    ("asked", "country", "city", "destination"),
    [
        pytest.param("Mali", "ML", "", "Mali", id="a country"),
        pytest.param("mal", "ML", "", "Mali", id="the beginning of one"),
        pytest.param("Allemagne", "DE", "", "Germany", id="in French"),
        pytest.param("Alemania", "DE", "", "Germany", id="in Spanish"),
        pytest.param("Niemcy", "DE", "", "Germany", id="in Polish"),
        pytest.param("ألمانيا", "DE", "", "Germany", id="in Arabic"),
        pytest.param("etats unis", "US", "", "USA and Canada", id="without an accent, nor its hyphen"),
        pytest.param("allemagne mobile", "DE", "", "Germany Mobile", id="a country in French, and a word of the deck"),
        pytest.param("Bamako", "ML", "Bamako", "Mali", id="a city"),
        pytest.param("Varsovie", None, "", "", id="a city of a country that nobody sells"),
        pytest.param("Londres", "GB", "Londres", "United Kingdom", id="a city in Spanish"),
        pytest.param("القاهرة", "EG", "القاهرة", "Egypt", id="a city in Arabic"),
        pytest.param("casabl", "MA", "Casablanca", "Morocco", id="the beginning of a city"),
        pytest.param("223", "ML", "", "Mali", id="a prefix"),
        pytest.param("+223 70", "ML", "", "Mali", id="more of it"),
        pytest.param("0022370123456", "ML", "", "Mali", id="a number as it is dialled"),
        pytest.param("030 1234567", "DE", "", "Germany", id="a number of the shop's own country"),
        pytest.param("4915", "DE", "", "Germany Mobile", id="the longer prefix"),
        pytest.param("٢٢٣", "ML", "", "Mali", id="in Arabic digits"),
        pytest.param("1900", "US", "", "USA Premium", id="what is barred is found"),
    ],
)
def test_what_is_asked_for_is_found(
    prices: PriceList, finder: Finder, asked: str, country: str | None, city: str, destination: str
) -> None:
    answer = finder.find(prices, asked)
    assert (first(answer) if answer.found else (None, "", "")) == (country, city, destination)


@pytest.mark.parametrize("asked", ["", "   ", "xyzzy", "'; DROP TABLE rates; --", "+", "000", "9" * 40, "%", "+0"])
def test_what_is_called_so_by_nobody_is_not_found(prices: PriceList, finder: Finder, asked: str) -> None:
    assert finder.find(prices, asked) == Answer()


def test_an_emergency_number_costs_nothing(prices: PriceList, finder: Finder) -> None:
    assert finder.find(prices, "1-1-2") == Answer(emergency=True)


def test_a_number_is_priced_as_it_will_be_billed(prices: PriceList, finder: Finder) -> None:
    """Every rate of the deck: what is found by its prefix is what the deck matches."""
    for rate in prices.deck.rates:
        found = finder.find(prices, f"+{rate.prefix}555").found[0]
        tariff = prices.deck.match(f"{rate.prefix}555", prices.at_ms)
        assert tariff is not None
        assert (found.fare.rate, found.e164) == (tariff.rate, f"{rate.prefix}555")
        if not tariff.rate.forbidden:
            assert found.fare.tariff == prices.charged(tariff)


def test_every_country_is_found_in_every_language() -> None:
    for language in LANGUAGES:
        for code in ("ML", "MA", "CI", "GB", "SA", "TD", "CV", "ST"):
            assert code in countries(words(language).country(code)), (language, code)


def test_the_largest_city_of_a_name_comes_first() -> None:
    assert [city.country for city in cities("London", 2)] == ["GB", "CA"]
    assert cities("ab", 9) == [], "so short a word begins the name of very many"
    assert plain("  Sāo-Tomé ") == "sao tome"


def test_more_than_one_can_read_is_said_to_be_more(prices: PriceList) -> None:
    towns = "".join(
        f'      - {{prefix: "49{number}", destination: Town {number}, first_s: 1, first_price: "0.1", next_s: 1}}\n'
        for number in range(300, 300 + MOST + 1)
    )
    text = DEMO.read_text(encoding="utf-8").replace(f"      - {AUSTRIA}", f"{towns}      - {AUSTRIA}", 1)
    world = parse_world(text, "demo")
    many = Rates(Directory([world], default_realm="x"), lambda: OPENED_AT_MS, 14_400).prices(world.tenant, "Corner")
    answer = Finder().find(many, "town")
    assert (len(answer.found), answer.more) == (MOST, True)
    assert not Finder().find(prices, "town").more


# By the API


def ask(token: str, **query: Any) -> Any:
    with Caller(memory_api(MemoryDesk("b1")), token) as caller:
        return caller.get(PATH, params=query)


def test_the_api_says_how_long_and_how_much() -> None:
    answer = ask(OPERATOR, q="bruxelles", money="5", minutes=10, language="fr").json()
    (rate, *_) = answer["rates"]
    assert (rate["city"], rate["country_name"], rate["destination"]) == ("Bruxelles", "Belgique", "Belgium")
    assert (rate["minimum"], rate["minimum_s"], rate["lasts_s"], rate["amount"]) == ("0.17", 60, 2460, "1.25")
    assert rate["explanation"] == "600 s = 0.05 + (60 + 540) s at 0.12/min = 1.25"
    assert rate["steps"] == [{"from_s": 0, "every_s": 60, "price": "0.12"}]
    barred = next(each for each in answer["rates"] if each["answer"] == "forbidden")
    assert (barred["destination"], barred["minimum"], barred["lasts_s"]) == ("Belgium Premium", None, None)


@pytest.mark.parametrize("token", [OPERATOR, OWNER])
def test_who_sees_the_shop_sees_its_prices(token: str) -> None:
    assert ask(token, q="32").status_code == 200


@pytest.mark.parametrize("token", [RESELLER, STRANGER])
def test_another_shop_is_not_there(token: str) -> None:
    assert ask(token, q="32").json()["code"] == "unknown_shop"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"money": "much"}, "bad_amount"),
        ({"money": "-1"}, "bad_amount"),
        ({"minutes": 0}, "invalid_request"),
        ({"minutes": 1441}, "invalid_request"),
        ({"language": "xx"}, "invalid_request"),
        ({"q": "x" * 101}, "invalid_request"),
    ],
)
def test_what_cannot_be_read_is_refused(query: dict[str, Any], code: str) -> None:
    answer = ask(OPERATOR, **query)
    assert (answer.status_code, answer.json()["code"]) == (422, code)


# By the page


def test_the_page_answers_with_and_without_a_script(browser: Browser) -> None:
    page = browser.see("/rates/center?q=belg&money=5,00&minutes=10").text
    assert "Belgium" in page
    assert "41:00" in page
    told = browser.get("/rates/center/found?q=belg&money=5,00&minutes=10").json()
    assert [line["place"] for line in told["lines"]] == ["Belgium", "Belgium"]
    assert (told["lasts"], told["costs"]) == ("€5.00 lasts", "10 minutes cost")
    assert (told["lines"][0]["least"], told["lines"][0]["cost"]) == ("€0.17", "€1.25")
    assert told["lines"][1]["why"] == "Calls there are barred."
    assert browser.get("/rates/center/found?q=112").json()["note"].startswith("An emergency number")
    assert browser.get("/rates/center/found?q=xyzzy").json()["note"] == "Nothing is called so, or no calls go there."


@pytest.mark.parametrize("query", ["money=much", "minutes=0", "minutes=x", "minutes=9999", "money=-5"])
def test_what_is_typed_wrongly_is_said_in_words(browser: Browser, query: str) -> None:
    answer = browser.get(
        f"/rates/center/found?q=32&{query}", headers={"Accept": "application/json", "X-CSRF-Token": "-"}
    )
    assert answer.status_code == 422
    assert answer.json()["message"]


def test_what_is_asked_stands_on_the_page_as_text(browser: Browser) -> None:
    page = browser.see('/rates/center?q="><script>alert(1)</script>').text
    assert "<script>alert" not in page


# The poster


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_the_poster_says_what_the_least_call_costs(prices: PriceList, language: str) -> None:
    told = words(language)
    poster = poster_of(prices, told, Size.A4)
    (mali,) = [group for group in poster.groups if group.country == told.country("ML")]
    assert mali.rows[0].cells[-1] == told.money(440_000, "EUR")
    assert mali.rows[0].cells[:2] == (told.money(50_000, "EUR"), told.money(390_000, "EUR"))
    assert poster.seller[0] == prices.seller.name
    assert "2026" in poster.about


def test_the_poster_has_all_that_is_sold_and_nothing_else(prices: PriceList) -> None:
    poster = poster_of(prices, words("en"), Size.A3)
    destinations = {row.destination or group.country for group in poster.groups for row in group.rows}
    sold = {rate.destination for rate in prices.deck.rates if not rate.forbidden}
    assert {plain(name) for name in sold} - {plain(name) for name in destinations} <= {"turkey"}  # CLDR: Türkiye
    assert "USA Premium" not in destinations


@pytest.mark.parametrize(("size", "width"), [(Size.A4, 595), (Size.A3, 842)])
def test_the_pdf_is_for_its_paper_and_the_same_each_time(prices: PriceList, size: Size, width: int) -> None:
    poster = poster_of(prices, words("fr"), size)
    made = poster_pdf(poster)
    assert made == poster_pdf(poster)
    reader = PdfReader(BytesIO(made))
    text = "\n".join(page.extract_text() for page in reader.pages)
    assert round(reader.pages[0].mediabox.width) == width
    assert "Tarifs des appels" in text
    assert text.count("Compté par") >= len(reader.pages), "the columns are named on each page"


def test_a_poster_that_would_be_a_book_is_refused(
    browser: Browser, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipshop.console.pages.poster.MOST_LINES", 0)
    assert MOST_LINES > 1000
    assert browser.see("/rates/center/poster").status_code == 422


def test_the_poster_is_a_page_and_a_pdf_in_any_language(browser: Browser) -> None:
    page = browser.see("/rates/center/poster?language=ar&size=a3")
    assert 'dir="rtl"' in page.text
    assert "أقل مكالمة" in page.text
    answer = browser.get("/rates/center/poster.pdf?language=pl")
    assert answer.headers["content-disposition"] == 'inline; filename="tariffs-pl-a4.pdf"'
    assert answer.content.startswith(b"%PDF")
    with Caller(memory_api(MemoryDesk("b1")), OPERATOR) as caller:
        assert caller.get("/api/v1/shops/center/poster.pdf?size=a3").content.startswith(b"%PDF")
        assert caller.get("/api/v1/shops/other/poster.pdf").status_code == 404
