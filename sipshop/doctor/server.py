"""The server itself: whether it runs, where it is reached, and whether its database is whole."""

from __future__ import annotations

import ipaddress
import json
import os
import ssl
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final

from sipshop.doctor.finding import Finding, doubtful, good, wrong
from sipshop.doctor.machine import nearest
from sipshop.settings import Settings
from sipshop.store import OlderSchema, StoreError, stored_trunks
from sipshop.store.backup import check
from sipshop.store.schema import SCHEMA_VERSION

_QUICKLY_READ_BYTES: Final = 2_000_000_000


def health(settings: Settings, patience_s: float) -> dict[str, Any] | None:
    """What the running server says of itself, None where none runs."""
    host, port = settings.metrics.listen or settings.http.listen
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not listened on
    if settings.is_https and settings.metrics.listen is None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # it is asked by its address, and believed only that it is there
        context.verify_mode = ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(host, port, timeout=patience_s, context=context)
    else:
        connection = HTTPConnection(host, port, timeout=patience_s)
    try:
        with closing(connection):
            connection.request("GET", "/readyz")
            said = json.loads(connection.getresponse().read(65_536))
    except (OSError, HTTPException, ValueError):
        return None
    return said if isinstance(said, dict) and "ready" in said else None


def running(health: dict[str, Any] | None, settings: Settings) -> Iterator[Finding]:
    """Whether it runs, and whether phones reach it where they are told to."""
    if health is None:
        yield good("server", "none runs by this configuration, so its ports are tried")
    elif health["ready"]:
        yield good("server", "runs and takes calls")
    else:
        yield wrong("server", f"runs but takes no calls: {health.get('why')}", "see its log")
    host = ipaddress.ip_address(settings.advertised[0])
    listens_here = ipaddress.ip_address(settings.sip.listen[0]).is_loopback
    if listens_here and not host.is_loopback:
        yield wrong(
            "sip.advertise",
            f"{host} is told to phones, but the server listens on {settings.sip.listen[0]} only",
            "set sip.listen to an address that phones reach",
        )
    elif host.is_loopback:
        yield doubtful(
            "sip.listen",
            f"{host}: only phones on this machine reach it",
            "set sip.listen, if others shall",
        )


def database(settings: Settings) -> Iterator[Finding]:
    """Whether it is there, whole, of this version, and can be written."""
    path = Path(settings.database.path)
    if not path.exists():
        if settings.worlds:
            yield good("database", f"{path} is not there yet: the first start makes it from {settings.worlds[0]}")
        else:
            yield doubtful("database", f"{path} is not there, and no world to make it from", "name a world in `worlds`")
        folder = nearest(path)
        if not os.access(folder, os.W_OK):
            yield wrong("database", f"you may not write to the folder {folder}", "chown it to who runs sipshop")
        return
    yield _content(path, has_worlds=bool(settings.worlds))
    if not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        yield wrong("database", f"you may not write to {path} or its folder", "chown both to who runs sipshop")


def _content(path: Path, *, has_worlds: bool) -> Finding:
    """Whether a database is one of ours, of our version, and whole."""
    is_small = path.stat().st_size <= _QUICKLY_READ_BYTES
    try:
        trunks = stored_trunks(path)
        check(path, whole=is_small)
    except StoreError as error:
        if isinstance(error, OlderSchema) and error.can_upgrade:
            return doubtful("database", str(error), "`sipshop backup` first; the upgrade keeps a copy too")
        return wrong("database", str(error), "`sipshop restore` puts a backup in its place")
    if not trunks and not has_worlds:
        return doubtful("database", f"{path} has no trunk, perhaps no world at all", "name a world in `worlds`")
    if is_small:
        return good("database", f"{path} is whole, schema version {SCHEMA_VERSION}")
    return good(
        "database", f"{path}, schema version {SCHEMA_VERSION}, is too large to read here: `sipshop backup` does"
    )
