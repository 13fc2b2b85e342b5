"""What a target is to its courier: it is given a batch, and says what became of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Protocol

from sipshop.export.delivery import Failed, Refused, Taken
from sipshop.export.layout import json_line

Outcome = Taken | Failed | Refused


@dataclass(frozen=True, slots=True)
class Parcel:
    """A batch as it leaves: the same records under the same name have the same `id`, however often they are sent."""

    id: str
    records: tuple[dict[str, Any], ...]

    @classmethod
    def of(cls, tenant: str, target: str, first: int, last: int, records: tuple[dict[str, Any], ...]) -> Parcel:
        """Name a batch; nobody learns from the name whose it is."""
        name = hashlib.sha256("\n".join((tenant, target, str(first), str(last))).encode()).hexdigest()
        return cls(f"msg_{name[:32]}", records)

    @property
    def lines(self) -> bytes:
        """The records as JSON Lines."""
        return "".join(map(json_line, self.records)).encode()


class Target(Protocol):
    """Somebody who gets records; all of it is called on the courier's thread, but for `stop`."""

    def deliver(self, parcel: Parcel, utc_ms: int) -> Outcome:
        """Give it a batch and wait until it has it; never raises for what the world does."""
        ...

    def stop(self) -> None:
        """Have a delivery that is under way end soon, from another thread."""
        ...
