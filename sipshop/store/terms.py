"""What is agreed with a carrier as one text in a trunk's row: JSON, a group of terms by its name.

A group or a term that is left out is as usual, so that a later version may know more of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import (
    CallerId,
    FailOver,
    Format,
    Login,
    NumberFormat,
    Probing,
    Registering,
    Rewrite,
    Show,
)

#: The fields of a trunk that stand here and not in columns of their own.
TERMS: Final = (
    *("domain", "login", "registering", "probing", "sources", "numbers", "numbers_in", "caller_id", "fail_over"),
    *("codecs", "max_call_s"),
)


def terms_text(trunk: Trunk) -> str:
    """The terms of a trunk as they are stored."""
    values = asdict(trunk)
    return json.dumps({name: values[name] for name in TERMS}, separators=(",", ":"), ensure_ascii=False)


def read_terms(text: str) -> dict[str, Any]:
    """The terms of a stored text, each a field of a trunk; what it does not name is left out."""
    stored: dict[str, Any] = json.loads(text)
    found: dict[str, Any] = {name: stored[name] for name in ("domain", "max_call_s") if name in stored}
    found |= {name: tuple(stored[name]) for name in ("sources", "codecs") if name in stored}
    made: Mapping[str, Callable[[dict[str, Any]], object]] = {
        "login": lambda group: Login(**group),
        "registering": _registering,
        "probing": lambda group: Probing(**group),
        "numbers": _numbers,
        "numbers_in": _numbers,
        "caller_id": lambda group: CallerId(**group | {"show": Show(group["show"])}),
        "fail_over": lambda group: FailOver(next=tuple(group["next"]), stop=tuple(group["stop"])),
    }
    return found | {name: make(stored[name]) for name, make in made.items() if name in stored}


def _registering(group: Mapping[str, Any]) -> Registering:
    return Registering(group["expires_s"], tuple((host, port) for host, port in group["registrars"]))


def _numbers(group: dict[str, Any]) -> NumberFormat:
    rewrites = tuple(Rewrite(**each) for each in group["rewrites"])
    return NumberFormat(**group | {"format": Format(group["format"]), "rewrites": rewrites})
