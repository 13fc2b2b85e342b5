"""The pages speak seven languages: nothing that they say is left out in one, or stands in a template by itself."""

import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Final

import pytest
from babel import Locale
from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po
from babel.numbers import format_currency
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.errors import BadAmount
from sipshop.console.pages.frame import TEMPLATES
from sipshop.console.pages.words import FOLDER, LANGUAGES, SOURCE, amount_text, chosen, words
from tools.write_words import messages, renewed, text_of

TRANSLATED: Final = [language for language in LANGUAGES if language != SOURCE]
PLACE: Final = re.compile(r"%\(\w+\)s|%")
#: Attributes that people read or hear.
READ: Final = {"alt", "aria-label", "placeholder", "title", "value"}
#: What is no word of any language: names, signs, keys.
NO_WORDS: Final = re.compile(r"sipshop|Esc|[\W\d_]")


def catalogue(language: str) -> Catalog:
    with (FOLDER / f"{language}.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_has_every_message_and_no_other(language: str) -> None:
    path = FOLDER / f"{language}.po"
    assert path.read_bytes() == text_of(renewed(path, language)), "run tools/write_words.py"


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_message_is_translated_with_what_it_is_filled_with(language: str) -> None:
    found = catalogue(language)
    for message in found:
        if not message.id:
            continue
        texts = [message.string] if isinstance(message.string, str) else list(message.string or ())
        assert len(texts) == (1 if isinstance(message.id, str) else found.num_plurals), message.id
        source = message.id if isinstance(message.id, str) else message.id[1]
        for text in map(str, texts):
            assert text, message.id
            left_out = set(PLACE.findall(source)) - set(PLACE.findall(text))
            assert not left_out - ({"%(number)s"} if isinstance(message.id, tuple) else set()), message.id
            assert set(PLACE.findall(text)) <= set(PLACE.findall(source)), message.id


def test_there_are_messages() -> None:
    assert len({message for _, message in messages()}) > 100


@pytest.mark.parametrize("language", list(LANGUAGES))
def test_a_number_of_things_is_said_rightly(language: str) -> None:
    told = {words(language).many("%(number)s minute", "%(number)s minutes", number) for number in range(120)}
    assert len(told) > 100
    assert not any("%" in text for text in told)


class Bare(HTMLParser):
    """Collects what stands in a template as it is."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self._note(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in READ and (tag, name) != ("input", "value"):
                self._note(value or "")

    def _note(self, text: str) -> None:
        if len(NO_WORDS.sub("", text)) > 1:  # a key is a letter
            self.found.append(text)


def bare(template: str) -> list[str]:
    """The words of a template that are in no message; its `kind` is a class of the style."""
    reader = Bare()
    reader.feed(re.sub(r"{% block kind %}.*?%}|{#.*?#}|{%.*?%}|{{.*?}}", "", template, flags=re.DOTALL))
    return reader.found


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_a_template_holds_no_text_of_its_own(template: Path) -> None:
    found = [text for text in bare(template.read_text(encoding="utf-8")) if text not in VALUES]
    assert found == []


#: Values of buttons and radios: for the server, not for people.
VALUES: Final = {"postpaid", "deposit", "limit", "minutes", "finish", "cut", "again", "check", "close"}


@pytest.mark.parametrize(
    "template", ["<p>Hello</p>", '<p title="Hello">{{ _("x") }}</p>', "{% if x %}Hello{% endif %}"]
)
def test_a_text_of_its_own_is_seen(template: str) -> None:
    assert bare(template) == ["Hello"]


@pytest.mark.parametrize(
    ("language", "micros", "currency", "text"),
    [
        ("en", 1_230_000, "EUR", "€1.23"),
        ("fr", 1_230_000, "EUR", "1,23\N{NO-BREAK SPACE}€"),
        ("en", 5_000_000, "JPY", "¥5"),
        ("en", 1_234_000, "TND", "TND1.234"),
        pytest.param("en", 83_333, "EUR", "€0.083333", id="no digit of an amount is left out"),
    ],
)
def test_an_amount_has_the_places_of_its_currency(language: str, micros: int, currency: str, text: str) -> None:
    assert words(language).money(micros, currency) == text


@given(
    st.sampled_from([*LANGUAGES]),
    st.sampled_from(["EUR", "XOF", "JPY", "TND", "PLN", "MAD"]),
    st.integers(-(10**7), 10**12) | st.integers(-100, 10**6).map(lambda cents: cents * 10_000),
)
def test_an_amount_is_written_as_babel_writes_it(language: str, currency: str, micros: int) -> None:
    amount = Decimal(micros).scaleb(-6)
    babel = format_currency(amount, currency, locale=language, decimal_quantization=False)
    assert words(language).money(micros, currency) == babel


@pytest.mark.parametrize(
    ("typed", "text"),
    [("5", "5"), ("5,50", "5.50"), ("5.50", "5.50"), (" 1 200,00 ", "1200.00"), ("\u0665\u066b\u0665", "5.5")],
)
def test_an_amount_is_read_as_it_is_typed(typed: str, text: str) -> None:
    assert amount_text(typed) == text


@pytest.mark.parametrize("typed", ["", "1.200,50", "1,200.50", "-5", "5 EUR", "1e3", "\u00b2", "5."])
def test_what_could_mean_two_things_is_no_amount(typed: str) -> None:
    with pytest.raises(BadAmount):
        amount_text(typed)


@pytest.mark.parametrize(
    ("wishes", "accepted", "language"),
    [
        (["fr"], "pl", "fr"),
        ([None, "xx"], "pl, en;q=0.5", "pl"),
        ([], "de-AT, pt-BR;q=0.8, fr;q=0.4", "pt"),
        ([], "ar-EG", "ar"),
        ([], "zz;q=x, \x00", "en"),
    ],
)
def test_the_language_of_a_page(wishes: list[str | None], accepted: str, language: str) -> None:
    assert chosen(wishes, accepted) == language


def test_arabic_is_written_from_the_right() -> None:
    assert {language for language in LANGUAGES if words(language).direction == "rtl"} == {"ar"}
    assert all(Locale.parse(language) for language in LANGUAGES)
