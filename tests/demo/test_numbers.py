"""The end of a number says what the demo carrier does."""

import pytest

from sipshop.demo import numbers
from sipshop.demo.numbers import NUMBERS, Script, script_for


@pytest.mark.parametrize(
    ("number", "ending"),
    [
        pytest.param("4930123486", "486", id="an ending decides"),
        pytest.param("+4930123486", "486", id="a plus in front changes nothing"),
        pytest.param("112", "112", id="an emergency number as dialled"),
        pytest.param("110", "110", id="the other one"),
        pytest.param("486486777", "777", id="only the end counts"),
        pytest.param("4930123456", "", id="everything else answers with the tone"),
        pytest.param("", "", id="no number at all answers too"),
    ],
)
def test_a_number_chooses_its_script(number: str, ending: str) -> None:
    assert script_for(number).ending == ending


@pytest.mark.parametrize("script", [pytest.param(script, id=script.ending or "else") for script in NUMBERS])
def test_each_script_can_be_reached(script: Script) -> None:
    assert script_for(f"4930{script.ending}") is script


@pytest.mark.parametrize("script", [script for script in NUMBERS if script.ending])
def test_the_module_tells_of_every_number(script: Script) -> None:
    assert numbers.__doc__ is not None
    assert script.ending in numbers.__doc__


def test_a_script_refuses_or_answers_but_not_both() -> None:
    refusing = [script for script in NUMBERS if script.refuse is not None]
    assert {script.refuse for script in refusing} == {404, 486, 503}
    assert not any(script.early_media or script.echo or script.talk_s for script in refusing)
