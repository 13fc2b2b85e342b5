"""What a thermal printer is sent, decoded as it would: letters in the right code page, else dots, and a cut."""

import random
import re

import pytest
from PIL import ImageChops

from sipshop.console.pages.slips import slip_of
from sipshop.printing.raster import raster_of
from sipshop.printing.slip import Row, Rule, Slip, Text
from sipshop.printing.thermal import UnknownProfile, esc_pos
from tests.printing.examples import Paper, Printer, a_receipt


def printed(slip: Slip, columns: int = 42, *, only_dots: bool = False) -> Paper:
    paper = Printer().read(esc_pos(slip, columns=columns, only_dots=only_dots))
    assert paper.is_cut
    return paper


def a_slip(*texts: str) -> Slip:
    return Slip(language="en", is_rtl=False, title="t", blocks=tuple(Text(text=text) for text in texts))


def test_a_receipt_is_all_letters_where_the_printer_has_them() -> None:
    paper = printed(slip_of(a_receipt()))
    assert not paper.pictures
    assert paper.text.splitlines()[-18:] == [
        "Café                                  3,00",
        "  2 x 1,50",
        "Remise : bad line                    -0,30",
        "Annulé : wrong number                -0,29",
        "------------------------------------------",
        "Somme                                 3,96",
        "Arrondi des espèces                  -0,01",
        "Total          3,95 €",
        "Acompte déjà versé                    1,00",
        "Carte                                 1,00",
        "Espèces                               5,00",
        "Monnaie rendue                        3,05",
        "------------------------------------------",
        "                            HT  Taxe   TTC",
        "TVA 20 %                  0,80  0,16  0,96",
        "TVA 5,5 %                 2,84  0,16  3,00",
        "------------------------------------------",
        "                  Merci",
    ]


@pytest.mark.parametrize("columns", [32, 42, 48])
@pytest.mark.parametrize("language", ["en", "fr", "es", "it", "pt", "pl"])
def test_every_line_fits_and_every_amount_is_there(columns: int, language: str) -> None:
    paper = printed(slip_of(a_receipt(language=language)), columns)
    assert not paper.pictures
    for line in paper.lines:
        assert len(line.text) * line.size[0] <= columns
    point = "." if language == "en" else ","
    amounts = ("1.26", "0.29", "3.00", "-0.30", "3.96", "-0.01", "5.00", "3.05", "0.16")
    for amount in amounts:
        assert re.search(rf"(?<!\d){re.escape(amount.replace('.', point))}(?!\d)", paper.text), amount


def test_the_total_is_big_and_what_is_bold_is_bold() -> None:
    lines = {line.text.split()[0]: line for line in printed(slip_of(a_receipt())).lines if line.text.strip()}
    assert (lines["Total"].size, lines["Total"].bold) == ((2, 2), True)
    assert (lines["Café"].size, lines["Café"].bold) == ((1, 1), False)


def test_letters_of_another_page_are_told_in_it() -> None:
    assert printed(a_slip("Łódź", "café", "12 €")).text == "Łódź\ncafé\n12 €"


def test_what_the_printer_has_no_letters_for_is_drawn() -> None:
    paper = printed(a_slip("before", "\u0634\u0643\u0631\u0627", "after"))
    assert [line.text for line in paper.lines] == ["before", "", "after"]
    (picture,) = paper.pictures
    drawn = raster_of(a_slip("\u0634\u0643\u0631\u0627"), 504)
    assert ImageChops.difference(picture.convert("L"), drawn.convert("L")).getbbox() is None


def test_an_arabic_receipt_is_drawn_as_it_is_laid_out() -> None:
    slip = slip_of(a_receipt(language="ar"), copy=1)
    paper = printed(slip, 48)
    assert not paper.text
    heights = [picture.height for picture in paper.pictures]
    assert {picture.width for picture in paper.pictures} == {576}
    assert max(heights) <= 240, "printers with little memory take no more at once"
    whole = raster_of(slip, 576)
    assert sum(heights) == whole.height
    top = 0
    for picture in paper.pictures:
        part = whole.crop((0, top, 576, top + picture.height))
        assert ImageChops.difference(picture.convert("L"), part.convert("L")).getbbox() is None
        top += picture.height


def test_a_printer_that_prints_wrong_letters_gets_none() -> None:
    assert not printed(slip_of(a_receipt()), only_dots=True).text


def test_what_people_have_named_is_no_command() -> None:
    slip = Slip(
        language="en", is_rtl=False, title="t", blocks=(Row(label="a\x1bp0\x1dV\x00b\x07", amount="1\n2"), Rule())
    )
    paper = printed(slip)
    assert re.fullmatch(r"a p0 V b +1 2\n-{42}", paper.text)


def test_a_profile_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownProfile, match=r"there is no printer profile 'x': there are .*TM-T88"):
        esc_pos(a_slip("x"), columns=42, profile="x")


@pytest.mark.parametrize("profile", ["default", "TM-T88V", "simple", "TM-T20II"])
def test_any_text_comes_out_as_letters_or_dots(profile: str) -> None:
    source = random.Random(7)
    texts = ["".join(source.choices("aé€ŁЖΩ中\u0634\u05d0\u20b9", k=5)) for _ in range(20)]
    data = esc_pos(a_slip(*texts), columns=32, profile=profile)
    pages = dict.fromkeys(range(256), "latin-1")  # which page is which, is the profile's to say
    paper = Printer(pages).read(data)
    assert sum(picture.height for picture in paper.pictures) // 30 + len(paper.text.splitlines()) >= len(texts)
