"""Looks at the machine and the carriers before they are needed: what is wrong, and what to do about it (IO).

It changes nothing, and may be asked while the server runs. What is looked at stands in `examine_all`, in its order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sipshop.doctor import carriers, machine, rates, server
from sipshop.doctor.finding import Finding, Verdict
from sipshop.settings import Settings

__all__ = ["Finding", "Verdict", "examine_all"]

#: How long anybody may take to answer.
PATIENCE_S: Final = 2.0
_RESOLVERS: Final = Path("/etc/resolv.conf")


def examine_all(settings: Settings, resolvers: Path = _RESOLVERS, *, patience_s: float = PATIENCE_S) -> list[Finding]:
    """Look at everything that a server of these settings needs; the file `resolvers` names the name servers."""
    health = server.health(settings, patience_s)
    return [
        *server.running(health, settings),
        *machine.ports(settings, is_running=health is not None),
        *server.database(settings),
        *machine.disk(Path(settings.database.path)),
        *machine.certificate(settings),
        *machine.sip_certificate(settings),
        *machine.token(Path(settings.http.token_file)),
        *machine.clock(),
        *machine.file_limit(settings),
        *rates.exchange(settings),
        *carriers.examine(settings, resolvers, patience_s),
    ]
