"""What the demo says when it is up: where it listens, and how to make a first call."""

from __future__ import annotations

import ipaddress
import textwrap
from typing import Final

from sipshop import __version__
from sipshop.config import Problems, read_yaml
from sipshop.demo.numbers import NUMBERS
from sipshop.proxy.admission import Auth
from sipshop.settings import Address, Settings, address_text
from sipshop.sip.digest import Algorithm, ha1
from sipshop.switch import Directory

#: Whoever is in the world of a demo comes in by it, until he changes it.
DEMO_PASSWORD: Final = "demo-password"  # noqa: S105 - it is published


def banner(
    settings: Settings, directory: Directory, *, world_text: str, token_file: str, carrier: Address | None
) -> str:
    """The lines that the demo begins with; `carrier` is where its carrier listens, if it runs one."""
    listen, advertised = settings.sip.listen, settings.advertised
    lines = [
        "",
        f"sipshop {__version__} is up",
        f"  SIP      {address_text(listen)}  UDP and TCP"
        + ("" if advertised == listen else f", advertised as {address_text(advertised)}"),
        f"  HTTP     http://{address_text(settings.http.listen)}  (API /api/v1, /metrics, /healthz, /readyz)",
        f"  data     {settings.database.path}, API token in {token_file}",
    ]
    if carrier is not None:
        lines.append(f"  carrier  {address_text(carrier)}  a tone, but for numbers that end in")
        endings = "; ".join(f"{script.ending} {script.says.split(',')[0].split(' (')[0]}" for script in NUMBERS[:8])
        lines += textwrap.wrap(endings, 100, initial_indent=" " * 11, subsequent_indent=" " * 11)
    lines += ["", *_softphone(directory, world_text, advertised), "", *_logins(settings, directory), ""]
    if not ipaddress.ip_address(listen[0]).is_loopback:
        lines += ["WARNING: the demo's passwords are published; do not let strangers reach this address."]
        if carrier is not None and ipaddress.ip_address(carrier[0]).is_loopback:
            lines += ["NOTE: other machines will not hear the demo carrier from here: docs/demo.md says how they do."]
        lines += [""]
    return "\n".join(lines) + "\n"


def _logins(settings: Settings, directory: Directory) -> list[str]:
    """Who may come in by the pages: the first of each role."""
    first: dict[str, str] = {}
    for world in directory.worlds:
        for person in world.operators:
            if not person.suspended:
                first.setdefault(person.role.value, person.name)
    if not first:
        return ["Pages: the world has no operators, so nobody can come in."]
    return [
        f"Pages: http://{address_text(settings.http.listen)}/",
        "  " + ", ".join(f"{name} ({role})" for role, name in first.items()) + f"; password {DEMO_PASSWORD}",
    ]


def _softphone(directory: Directory, world_text: str, server: Address) -> list[str]:
    """How to make a first call, with the first booth whose password the world's file still tells."""
    passwords = _passwords(world_text)
    for booth in directory.booths.values():
        password = passwords.get(booth.name)
        realm = directory.shop_of(booth).realm
        if booth.auth is Auth.DIGEST and password is not None:
            known = booth.ha1.get(Algorithm.MD5)
            if known == ha1(Algorithm.MD5, booth.name, realm, password):
                break
    else:
        return ["Booths and passwords are those of the world that was loaded first."]
    return [
        f"Softphone: user {booth.name}, password {password}, server (domain, registrar) {address_text(server)}, UDP",
        "Try next, in another terminal:",
        f"  .venv/bin/sipshop booth unlock {booth.name}      then dial 0049 30 555 1234",
        "  .venv/bin/sipshop booth list",
        f"  .venv/bin/sipshop session bill {booth.name}",
    ]


def _passwords(world_text: str) -> dict[str, str]:
    """The passwords in a world's text by booth, for the people who try the demo; they are stored nowhere."""
    top = read_yaml(world_text, Problems("the world"))
    booths = [booth for shop in top.sections("shops") for booth in shop.sections("booths")] if top is not None else []
    first = {booth.text("name", ""): booth.text("password", "") for booth in booths}
    return {name.partition("..")[0]: password.partition("..")[0] for name, password in first.items() if password}
