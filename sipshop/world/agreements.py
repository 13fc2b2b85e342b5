"""What is agreed with a carrier, as a world says it: from the keys of a trunk to values and back.

Passwords may stand in the text, or where they are kept: `env:NAME` or `file:PATH`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields, replace
from enum import StrEnum
from ipaddress import ip_address, ip_network
from typing import Any, Final

from sipshop.config import Section, shown
from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import (
    AS_USUAL,
    CALLEES_WORD,
    NOT_PROBED,
    SHOPS_NUMBER,
    WITH_PLUS,
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
from sipshop.sip.resolve import is_ip
from sipshop.world.model import MASK

#: What a registration asks for where nothing else is written.
REGISTER_S: Final = 600
#: Where a password is kept: only variables that are meant for us, and files by their whole path.
_REFERENCE: Final = re.compile(r"env:SIPSHOP_[A-Z0-9_]{1,64}|file:/[^\x00-\x1f\x7f]{1,255}")
_HOSTNAME: Final = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]{1,63})*")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?")
_LONGEST_NAME: Final = 253
#: What a user part may hold without an escape, and no more of it: RFC 3261 section 25.1.
_USER: Final = re.compile(r"[A-Za-z0-9+_.!~*'()&=$,;?/-]{1,64}")
_TECH_PREFIX: Final = re.compile(r"[0-9*#]{1,16}")
_CODEC: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")


class _Auth(StrEnum):
    IP = "ip"
    DIGEST = "digest"


def with_agreement(trunk: Trunk, section: Section, known: Trunk | None) -> Trunk:
    """A trunk with what its section says was agreed on; what cannot be used is a problem of the section.

    `known` is the trunk of that name which is there already: a password that is masked or left out stays as it is.
    """
    login = _login(section, known)
    numbers = _numbers(section.section("numbers", required=False), WITH_PLUS)
    read_as_written = replace(numbers, tech_prefix="", rewrites=())
    return replace(
        trunk,
        domain=section.text("domain", "", check=_host),
        login=login,
        registering=_registering(section, login, trunk.transport),
        probing=_probing(section),
        sources=section.texts("sources", (), check=_network),
        numbers=numbers,
        numbers_in=_numbers(section.section("numbers_in", required=False), read_as_written),
        caller_id=_caller_id(section),
        fail_over=_fail_over(section),
        codecs=section.texts("codecs", (), check=_codec),
        max_call_s=section.integer("max_call_s", 0, low=1, high=86_400) or None,
    )


def _login(section: Section, known: Trunk | None) -> Login:
    username = section.text("username", "", check=_user)
    auth = section.choice("auth", _Auth, _Auth.DIGEST if username else _Auth.IP)
    realm = section.text("realm", "", check=_realm)
    kept = known.login.password if known is not None and known.login.username == username else ""
    password = section.text("password", MASK if kept else "", check=_password)
    if auth is _Auth.IP:
        for key, written in (("username", username), ("password", password), ("realm", realm)):
            if written:
                section.fault(key, "is only for `auth: digest`")
        return Login()
    if not username:
        section.fault("username", "is missing: it is what the carrier calls us")
    if password == MASK and not kept:
        section.fault("password", "is only a mask: give the password of a trunk that is new or has another username")
    if not password and section.sound:
        section.fault("password", "is missing")
    return Login(username, kept if password == MASK else password, realm)


def _registering(section: Section, login: Login, transport: str) -> Registering:
    is_wanted = section.flag("register", default=False)
    expires_s = section.integer("register_s", REGISTER_S, low=30, high=86_400)
    written = filter(None, section.texts("registrars", (), check=_registrar))
    registrars = tuple((host, port or _usual_port(host, transport)) for host, port in map(_place, written))
    if not is_wanted:
        for key in ("register_s", "registrars"):
            if section.has(key):
                section.fault(key, "is only for `register: true`")
        return Registering()
    if not login.username:
        section.fault("register", "needs a username and a password")
    return Registering(expires_s, registrars)


def _probing(section: Section) -> Probing:
    return Probing(
        every_s=section.integer("options_s", NOT_PROBED.every_s, low=0, high=3600),
        misses=section.integer("misses", NOT_PROBED.misses, low=1, high=100),
        rest_s=section.integer("rest_s", NOT_PROBED.rest_s, low=1, high=3600),
        patience_s=section.integer("options_timeout_s", NOT_PROBED.patience_s, low=1, high=32),
    )


def _numbers(section: Section | None, default: NumberFormat) -> NumberFormat:
    """Read how numbers are written, or take `default` where nothing is said."""
    if section is None:
        return default
    wanted = section.choice("format", Format, default.format)
    numbers = NumberFormat(
        format=wanted,
        country_code=section.text("country_code", "", check=_country_code),
        international_prefix=section.text("international_prefix", "00", check=_dial_prefix),
        national_prefix=section.text("national_prefix", "0", check=_dial_prefix_or_none),
        tech_prefix=section.text("tech_prefix", "", check=_tech_prefix),
        rewrites=tuple(_rewrites(section)),
    )
    section.end()
    if wanted is Format.NATIONAL and not numbers.country_code:
        section.fault("country_code", "is missing: national numbers belong to a country")
    if wanted is not Format.NATIONAL and numbers.country_code:
        section.fault("country_code", "is only for `format: national`")
    return numbers


def _rewrites(section: Section) -> Iterator[Rewrite]:
    prefixes: set[str] = set()
    for each in section.sections("rewrite", required=False):
        prefix = each.text("prefix", check=_e164_prefix)
        if prefix in prefixes:
            each.fault("prefix", f"there is a rewrite for prefix {shown(prefix)} already")
        prefixes.add(prefix)
        strip = each.integer("strip", 0, low=0, high=15)
        if strip > len(prefix) and each.sound:
            each.fault("strip", f"is more than prefix {shown(prefix)} has digits")
        yield Rewrite(prefix, strip, each.text("add", "", check=_added))
        each.end()


def _caller_id(section: Section) -> CallerId:
    policy = section.section("caller_id", required=False)
    if policy is None:
        return SHOPS_NUMBER
    found = CallerId(
        show=policy.choice("show", Show, SHOPS_NUMBER.show),
        number=policy.text("number", "", check=telephone_number),
        from_user=policy.text("from_user", "", check=_user),
        asserted=policy.flag("asserted", default=False),
    )
    if found.show is Show.FIXED and not found.number and policy.sound:
        policy.fault("number", "is missing: `show: fixed` shows it")
    policy.end()
    return found


def _fail_over(section: Section) -> FailOver:
    part = section.section("fail_over", required=False)
    if part is None:
        return AS_USUAL
    found = FailOver(
        next=tuple(int(text) for text in part.texts("next", (), check=_next_status) if text),
        stop=tuple(int(text) for text in part.texts("stop", (), check=_status) if text),
    )
    if both := set(found.next) & set(found.stop):
        part.fault("stop", f"{min(both)} stands in `next` too")
    part.end()
    return found


def agreement(trunk: Trunk) -> dict[str, Any]:
    """What `with_agreement` reads, without what goes without saying; passwords are masked, and references stay."""
    login, registering, probing = trunk.login, trunk.registering, trunk.probing
    is_reference = _REFERENCE.fullmatch(login.password) is not None
    read_as_written = replace(trunk.numbers, tech_prefix="", rewrites=())
    said: dict[str, Any] = {
        "domain": trunk.domain,
        "username": login.username,
        "password": login.password if is_reference or not login.password else MASK,
        "realm": login.realm,
        "register": registering.expires_s > 0,
        "register_s": registering.expires_s,
        "registrars": [_placed(host, port) for host, port in registering.registrars],
        "options_s": probing.every_s,
        "misses": probing.misses if probing.misses != NOT_PROBED.misses else None,
        "rest_s": probing.rest_s if probing.rest_s != NOT_PROBED.rest_s else None,
        "options_timeout_s": probing.patience_s if probing.patience_s != NOT_PROBED.patience_s else None,
        "sources": list(trunk.sources),
        "numbers": _said(trunk.numbers, WITH_PLUS),
        "numbers_in": _said(trunk.numbers_in, None) if trunk.numbers_in != read_as_written else None,
        "caller_id": _said(trunk.caller_id, SHOPS_NUMBER),
        "fail_over": {key: list(map(str, codes)) for key, codes in _said(trunk.fail_over, AS_USUAL).items()},
        "codecs": list(trunk.codecs),
        "max_call_s": trunk.max_call_s,
    }
    return {key: value for key, value in said.items() if value}


def _said(value: NumberFormat | CallerId | FailOver, default: object) -> dict[str, Any]:
    """The fields of a value that are not as usual; without a `default` its format in any case."""
    told: dict[str, Any] = {}
    for each in fields(value):
        field = getattr(value, each.name)
        if field == getattr(default or WITH_PLUS, each.name) and (default is not None or each.name != "format"):
            continue
        if each.name == "rewrites":
            told["rewrite"] = [{"prefix": one.prefix, "strip": one.strip, "add": one.add} for one in field]
        else:
            told[each.name] = field.value if isinstance(field, StrEnum) else field
    return told


# What a text must be.


def _matching(text: str, pattern: re.Pattern[str], what: str) -> str:
    if pattern.fullmatch(text) is None:
        raise ValueError(f"{shown(text)} is not {what}")
    return text


def telephone_number(text: str) -> str:
    """The digits of a telephone number in E.164, with or without a plus."""
    digits = text.removeprefix("+")
    if re.fullmatch("[1-9][0-9]{4,14}", digits) is None:
        raise ValueError(f"{shown(text)} is not a telephone number: 5 to 15 digits with the country code, no 0 first")
    return digits


def _host(text: str) -> str:
    try:
        address = ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return _matching(text, _HOSTNAME, "a domain or an address")
    return f"[{address.compressed}]" if address.version == 6 else address.compressed


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise ValueError(f"{shown(text)} is not an address or a network: {error}") from error


def address_or_name(text: str) -> str:
    """An IP address, or a name that DNS may know, in lower case and without the dot at its end."""
    with suppress(ValueError):
        return ip_address(text).compressed
    name = text.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > _LONGEST_NAME or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{shown(text)} is neither an IPv4 or IPv6 address nor a name such as sip.example.com")
    if labels[-1].isdigit():
        raise ValueError(f"{shown(text)} is not an address, and no name ends with a number")
    return name


def _registrar(text: str) -> str:
    host, port = _place(text)
    address_or_name(host)
    if port is not None and not 0 < port < 65536:
        raise ValueError(f"{shown(text)} has a port that is not between 1 and 65535")
    return text


def _place(text: str) -> tuple[str, int | None]:
    """Host and port of a text such as 192.0.2.1:5070, [2001:db8::1] or sip.example.com."""
    found = re.fullmatch(r"\[([^\]]*)\](?::([0-9]{1,5}))?|([^:]*)(?::([0-9]{1,5}))?", text)
    if found is None:
        return _canonical(text), None
    port = found[2] or found[4]
    return _canonical(found[1] or found[3] or ""), int(port) if port else None


def _usual_port(host: str, transport: str) -> int | None:
    """The port of an address where none is said; a name's is for DNS to say."""
    return (5061 if transport == "tls" else 5060) if is_ip(host) else None


def _canonical(host: str) -> str:
    try:
        return address_or_name(host)
    except ValueError:
        return host  # which is told by whoever checks it


def _placed(host: str, port: int | None) -> str:
    """What `_place` reads."""
    host = f"[{host}]" if ":" in host else host
    return host if port is None else f"{host}:{port}"


def _user(text: str) -> str:
    return _matching(text, _USER, "a user name: 1 to 64 letters, digits and signs that a SIP URI takes as they are")


def _realm(text: str) -> str:
    return _matching(text, re.compile(r"[ !#-\[\]-~]{1,64}"), "a realm: 1 to 64 ASCII characters without quotes")


def _password(text: str) -> str:
    """A password is never repeated in an error; where it is kept is no secret."""
    if text.startswith(("env:", "file:")) and _REFERENCE.fullmatch(text) is None:
        raise ValueError("is kept in env:SIPSHOP_NAME or in file:/a/whole/path, and nowhere else")
    if not text or not text.isprintable() or len(text) > 256:
        raise ValueError("must have 1 to 256 characters, all of them printable")
    return text


def _country_code(text: str) -> str:
    return _matching(text, re.compile("[1-9][0-9]{0,2}"), "a country code: 1 to 3 digits, no 0 or + first")


def _dial_prefix(text: str) -> str:
    return _matching(text, re.compile("[0-9]{1,5}"), "a prefix to dial: 1 to 5 digits")


def _dial_prefix_or_none(text: str) -> str:
    return _matching(text, re.compile("[0-9]{0,5}"), 'a prefix to dial: up to 5 digits, or "" for none')


def _tech_prefix(text: str) -> str:
    return _matching(text, _TECH_PREFIX, "a tech prefix: 1 to 16 of 0-9, * and #")


def _e164_prefix(text: str) -> str:
    return _matching(text, re.compile("[1-9][0-9]{0,14}"), "a prefix: 1 to 15 digits with the country code")


def _added(text: str) -> str:
    return _matching(
        text, re.compile("[+]?[0-9*#]{0,16}"), "what stands before a number: + and up to 16 of 0-9, * and #"
    )


def _codec(text: str) -> str:
    return _matching(text, _CODEC, "the name of a codec, such as PCMA or opus")


def _status(text: str) -> str:
    return _matching(text, re.compile("[3-6][0-9][0-9]"), "a final SIP status that refuses: 300 to 699")


def _next_status(text: str) -> str:
    if int(_status(text)) in CALLEES_WORD:
        raise ValueError(f"{text} is the callee's own word: another carrier would ring the same telephone")
    return text
