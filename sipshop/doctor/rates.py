"""The rates of exchange: whether they still hold, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Final

from sipshop.billing.fx import Pair, day_of
from sipshop.doctor.finding import Finding, doubtful, good, wrong
from sipshop.load import load_world
from sipshop.settings import Settings, SettingsErrors
from sipshop.store import StoreError, stored_fx
from sipshop.switch import utc_ms
from sipshop.world import WorldErrors

_SOON_DAYS: Final = 2


def exchange(settings: Settings, today: date | None = None) -> Iterator[Finding]:
    """Look at every pair of the database, or of the worlds that it will be made from."""
    try:
        pairs = _known(settings)
    except (StoreError, SettingsErrors, WorldErrors):
        return  # that is told elsewhere
    for pair in pairs:
        yield _judged(pair, today or day_of(utc_ms()))


def _known(settings: Settings) -> list[Pair]:
    path = Path(settings.database.path)
    if path.exists():
        return stored_fx(path)
    return [pair for world in settings.worlds for pair in load_world(Path(world)).fx]


def _judged(pair: Pair, today: date) -> Finding:
    what = f"exchange {pair.name}"
    dated = pair.on(today)
    remedy = "add a rate of today under `fx` in the world, and `sipshop apply` it"
    if dated is None:
        return wrong(what, "no rate holds today: calls that need it are refused", remedy)
    day, left = dated[0], (pair.ends - today).days
    found = f"the rate of {day} holds"
    if left > _SOON_DAYS:
        return good(what, f"{found}, the newest one until {pair.ends}")
    return doubtful(what, f"{found}, and no other comes: from {pair.ends} on calls that need it are refused", remedy)
