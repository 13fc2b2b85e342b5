import re
from collections.abc import Iterator

import pytest

from sipshop.console.reference import page
from tests.console.memory import Caller, MemoryDesk, memory_api


@pytest.fixture
def anyone() -> Iterator[Caller]:
    with Caller(memory_api(MemoryDesk("b1")), token=None) as caller:
        yield caller


def test_the_reference_names_every_path_and_shape(anyone: Caller) -> None:
    schema = anyone.get("/openapi.json").json()
    answer = anyone.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for path, methods in schema["paths"].items():
        assert all(f"<h3>{method.upper()} {path}</h3>" in answer.text for method in methods)
    links = set(re.findall(r'href="#(\w+)"', answer.text))
    assert links <= set(re.findall(r'id="(\w+)"', answer.text))


def test_the_reference_needs_no_net_and_runs_nothing(anyone: Caller) -> None:
    answer = anyone.get("/docs")
    assert "<script" not in answer.text
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', answer.text) == ["/openapi.json"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_text_is_only_a_text() -> None:
    schema = {
        "info": {"title": "<b>", "version": "1"},
        "paths": {"/a": {"get": {"description": "<i>", "responses": {"200": {"description": "<u>"}}}}},
        "components": {"schemas": {}},
    }
    assert not {"<b>", "<i>", "<u>"} & set(re.findall(r"<\w+>", page(schema)))
