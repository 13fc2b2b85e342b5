"""The files of a configuration: the YAML, the secrets that it points at, and what else it names (IO)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from sipshop.config import MAX_BYTES, Problem, top_keys
from sipshop.settings import Settings, SettingsErrors, parse_settings
from sipshop.tls import make_sip_tls
from sipshop.web import BadCertificate, make_tls
from sipshop.world import World, WorldErrors, parse_world

_LONGEST_SECRET: Final = 4096


def load_settings(path: Path) -> Settings:
    """Return the settings of a file, its secrets fetched; raises SettingsErrors."""
    return parse_settings(read_file(path), str(path), fetch_secret)


def load_world(path: Path) -> World:
    """Return the world of a file; raises SettingsErrors where it cannot be read, WorldErrors where it is wrong."""
    return parse_world(read_file(path), str(path))


def check_file(path: Path) -> tuple[str, tuple[Problem, ...]]:
    """Say what a file is, a configuration or a world, and everything that is wrong with it; changes nothing.

    Of a configuration the certificate and the worlds that it names are read too.
    """
    try:
        text = read_file(path)
        if _is_world(text):
            parse_world(text, str(path))
            return "world", ()
        settings = parse_settings(text, str(path), fetch_secret)
    except WorldErrors as errors:
        return "world", errors.errors
    except SettingsErrors as errors:
        return "configuration", errors.errors
    found: list[Problem] = []
    if settings.is_https:
        try:
            make_tls(settings.http)
        except BadCertificate as error:
            found.append(Problem(str(path), 0, "http", str(error)))
    try:
        make_sip_tls(settings.sip.tls)
    except BadCertificate as error:
        found.append(Problem(str(path), 0, "sip.tls", str(error)))
    for world in settings.worlds:
        try:
            load_world(Path(world))
        except (SettingsErrors, WorldErrors) as errors:
            found += errors.errors
    return "configuration", tuple(found)


def fetch_secret(reference: str) -> str:
    """Return the secret that `env:NAME` or `file:PATH` leads to; raises ValueError where there is none."""
    kind, _, place = reference.partition(":")
    if kind == "env":
        secret, source = os.environ.get(place, ""), f"the environment variable {place}"
    else:
        source = f"the first line of {place}"
        try:
            with Path(place).open("rb") as file:
                secret = file.readline(_LONGEST_SECRET + 1).decode().rstrip("\r\n")
        except OSError as error:
            raise ValueError(f"{place} cannot be read: {error.strerror}") from None
        except UnicodeDecodeError:
            raise ValueError(f"{source} is no UTF-8 text") from None
    if not secret:
        raise ValueError(f"{source} is empty or not there")
    if len(secret) > _LONGEST_SECRET or not secret.isprintable():
        raise ValueError(f"{source} is no secret: at most {_LONGEST_SECRET} printable characters")
    return secret


def read_file(path: Path) -> str:
    """Return the text of a file that people wrote; raises SettingsErrors."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        # A file that is too large is refused as such by whoever reads it on, wherever the cut fell.
        return text.decode(errors="strict" if len(text) <= MAX_BYTES else "replace")
    except OSError as error:
        raise SettingsErrors([Problem(str(path), 0, "", f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SettingsErrors([Problem(str(path), line, "", "is not UTF-8 text")]) from error


def _is_world(text: str) -> bool:
    """Whether a text is meant as a world: only those name a provider or shops."""
    return any(key in {"provider", "shops"} for key in top_keys(text))
