"""Whether a certificate is a SIP domain's, or an address's (RFC 5922 sections 7.1 and 7.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from sipshop.sip.message import MalformedMessage, parse_uri


def is_of(certificate: Mapping[str, object], name: str) -> bool:
    """Whether a certificate, as `ssl.SSLSocket.getpeercert` tells it, was issued for a domain or an IP address.

    Its SIP URIs count; only where it has none do its DNS names. Nothing is matched but the whole name: the RFC forbids
    wildcards, and a subject's common name is no name of a host.

    >>> is_of({"subjectAltName": (("URI", "sip:carrier.example"), ("DNS", "www.carrier.example"))}, "Carrier.Example")
    True
    """
    others = certificate.get("subjectAltName", ())
    assert isinstance(others, tuple), "so does the ssl module make it"
    ip = _ip(name)
    if ip is not None:
        return any(_ip(value) == ip for kind, value in others if kind == "IP Address")
    wanted = _domain(name)
    return any(_domain(found) == wanted for found in _domains(others))


def _domains(others: Iterable[tuple[str, str]]) -> list[str]:
    uris = [host for kind, value in others if kind == "URI" and (host := _host_of_sip(value))]
    return uris or [value for kind, value in others if kind == "DNS"]


def _host_of_sip(value: str) -> str | None:
    """The host of a SIP URI without a user: one with a user names a person, and not his domain (section 7.1)."""
    try:
        uri = parse_uri(value)
    except MalformedMessage:
        return None
    return uri.host if uri.scheme == "sip" and uri.user is None else None


def _ip(text: str) -> object:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _domain(name: str) -> str:
    return name.rstrip(".").lower()
