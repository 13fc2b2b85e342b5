"""Whose certificate it is, by the rules of SIP."""

from __future__ import annotations

import pytest

from sipshop.sip.identity import is_of


@pytest.mark.rfc("5922", "7.2")
@pytest.mark.parametrize(
    ("names", "name", "expected"),
    [
        pytest.param([("URI", "sip:carrier.example")], "carrier.example", True, id="a SIP URI"),
        pytest.param([("URI", "sip:Carrier.EXAMPLE")], "carrier.example.", True, id="in any case"),
        pytest.param([("DNS", "carrier.example")], "carrier.example", True, id="a DNS name"),
        pytest.param(
            [("URI", "sip:other.example"), ("DNS", "carrier.example")],
            "carrier.example",
            False,
            id="a URI counts first",
        ),
        pytest.param(
            [("URI", "https://other.example"), ("DNS", "carrier.example")],
            "carrier.example",
            True,
            id="a web page's URI",
        ),
        pytest.param([("URI", "sip:boss@carrier.example")], "carrier.example", False, id="a person is not his domain"),
        pytest.param([("URI", "sips:carrier.example")], "carrier.example", False, id="the scheme is sip"),
        pytest.param([("DNS", "*.example")], "carrier.example", False, id="no wildcards"),
        pytest.param([("DNS", "*")], "*", True, id="but as a name of its own it is harmless"),
        pytest.param([("DNS", "example")], "carrier.example", False, id="the domain above"),
        pytest.param([("DNS", "a.carrier.example")], "carrier.example", False, id="a host below"),
        pytest.param([], "carrier.example", False, id="a common name alone"),
        pytest.param([("IP Address", "192.0.2.7")], "192.0.2.7", True, id="an address"),
        pytest.param([("IP Address", "2001:DB8:0:0:0:0:0:7")], "2001:db8::7", True, id="an address of IPv6"),
        pytest.param([("DNS", "192.0.2.7")], "192.0.2.7", False, id="an address that calls itself a name"),
        pytest.param([("IP Address", "192.0.2.8")], "192.0.2.7", False, id="another address"),
        pytest.param([("URI", "sip:%"), ("email", "x")], "carrier.example", False, id="nonsense"),
    ],
)
def test_whose_certificate_it_is(names: list[tuple[str, str]], name: str, *, expected: bool) -> None:
    certificate = {"subject": ((("commonName", "carrier.example"),),), "subjectAltName": tuple(names)}
    assert is_of(certificate, name) is expected


def test_a_certificate_without_names_is_nobodys() -> None:
    assert not is_of({}, "carrier.example")
