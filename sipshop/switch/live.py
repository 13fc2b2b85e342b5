"""The live calls of one process, found by what is asked for."""

from __future__ import annotations

from collections.abc import Iterator

from sipshop.proxy.call import Side
from sipshop.sip.leg import Leg
from sipshop.switch.directory import Directory
from sipshop.switch.records import Live

BoothKey = tuple[str, str]
"""(tenant, booth)"""


class LiveCalls:
    """Every call that has not ended, by its name, its booth and its legs."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._by_id: dict[str, Live] = {}
        self._by_leg: dict[Leg, tuple[Live, Side]] = {}
        self._by_booth: dict[BoothKey, dict[str, Live]] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Live]:
        """Every call; they may end meanwhile."""
        return iter(list(self._by_id.values()))

    @property
    def legs(self) -> int:
        """How many legs are listened to."""
        return len(self._by_leg)

    def add(self, live: Live) -> None:
        """A call has begun, with leg A."""
        booth = live.offer.booth
        self._by_id[live.call_id] = live
        self._by_booth.setdefault((booth.tenant, booth.name), {})[live.call_id] = live
        self._by_leg[live.leg_a] = (live, Side.CALLER)

    def remove(self, live: Live) -> None:
        """A call is over; its legs finish their own business."""
        del self._by_id[live.call_id]
        key = live.offer.booth.tenant, live.offer.booth.name
        others = self._by_booth[key]
        del others[live.call_id]
        if not others:
            del self._by_booth[key]
        for leg in (live.leg_a, live.leg_b):
            if leg is not None:
                self._by_leg.pop(leg, None)

    def listen(self, leg: Leg, live: Live) -> None:
        """Hear leg B of a call."""
        self._by_leg[leg] = (live, Side.CALLEE)

    def let_go(self, leg: Leg) -> None:
        """Hear a leg no more."""
        self._by_leg.pop(leg, None)

    def of_leg(self, leg: Leg) -> tuple[Live, Side] | None:
        """The call of a leg and whose it is, None for one that was let go."""
        return self._by_leg.get(leg)

    def of_booth(self, booth: BoothKey) -> list[Live]:
        """The calls of a booth, the oldest first."""
        return list(self._by_booth.get(booth, {}).values())

    def count(self, booth: BoothKey) -> int:
        """How many calls a booth has."""
        return len(self._by_booth.get(booth, ()))

    def below(self, tenant: str, party: str) -> list[Live]:
        """The calls of every booth below a party; a shop that was removed from its world is below nobody."""
        return [
            live
            for live in self._by_id.values()
            if live.tenant == tenant
            and (tenant, live.offer.shop.name) in self._directory.shops
            and any(above.name == party for above in self._directory.chain(live.offer.shop))
        ]
