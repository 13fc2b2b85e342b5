"""Replaces (RFC 3891): the dialog that a new call is to take the place of."""

from __future__ import annotations

from dataclasses import dataclass

from sipshop.sip.message import MalformedMessage, unescape


@dataclass(frozen=True, slots=True)
class Replaces:
    """A dialog as whoever is asked has it: `to_tag` is his own, `from_tag` that of his peer.

    `early_only` says that it is to be replaced only if it was not answered yet.
    """

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False


def parse_replaces(text: str) -> Replaces:
    """Read the value of a Replaces header field (section 6.1).

    >>> parse_replaces("7@x;to-tag=a;from-tag=b;early-only")
    Replaces(call_id='7@x', to_tag='a', from_tag='b', early_only=True)

    Raises:
        MalformedMessage: it does not name one Call-ID and one of each tag.
    """
    call_id, *fields = (field.strip() for field in text.split(";"))
    params = [(name.strip().lower(), value.strip()) for name, _, value in (field.partition("=") for field in fields)]
    tags = {name: value for name, value in params if name in {"to-tag", "from-tag"} and value}
    if call_id.split() != [call_id] or len(tags) != 2 or sum(name in tags for name, _ in params) != 2:
        raise MalformedMessage("Replaces needs a Call-ID, one to-tag and one from-tag")
    return Replaces(call_id, tags["to-tag"], tags["from-tag"], ("early-only", "") in params)


def replaces_in(headers: str) -> Replaces | None:
    """The Replaces among the header fields of a URI, or None; raises `MalformedMessage` as `parse_replaces` does."""
    fields = (field.partition("=") for field in headers.split("&"))
    found = [unescape(value) for name, _, value in fields if unescape(name).lower() == "replaces"]
    if len(found) > 1:
        raise MalformedMessage("Replaces stands twice")
    return parse_replaces(found[0]) if found else None
