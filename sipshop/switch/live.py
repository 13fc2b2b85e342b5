"""The live calls of one process, found by what is asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from sipshop.proxy.course import Side
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
        self._by_call_id: dict[str, Live] = {}
        self._call_ids: dict[str, list[str]] = {}
        self._in_shop: Counter[tuple[str, str]] = Counter()

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
        self._call_ids[live.call_id] = []
        if isinstance(live.leg_a, Leg):  # else he is the callee of another call, and heard as that
            self._by_leg[live.leg_a] = (live, Side.CALLER)
            self._index(live.leg_a, live)
        self._in_shop[booth.tenant, live.offer.shop.name] += 1

    def remove(self, live: Live) -> None:
        """A call is over; its legs finish their own business."""
        del self._by_id[live.call_id]
        key = live.offer.booth.tenant, live.offer.booth.name
        others = self._by_booth[key]
        del others[live.call_id]
        if not others:
            del self._by_booth[key]
        shop = live.tenant, live.offer.shop.name
        self._in_shop[shop] -= 1
        if not self._in_shop[shop]:
            del self._in_shop[shop]
        for call_id in self._call_ids.pop(live.call_id):
            if self._by_call_id.get(call_id) is live:
                del self._by_call_id[call_id]
        for leg in (live.leg_a, live.leg_b):
            if isinstance(leg, Leg):
                self._by_leg.pop(leg, None)

    def listen(self, leg: Leg, live: Live) -> None:
        """Hear leg B of a call."""
        self._by_leg[leg] = (live, Side.CALLEE)
        self._index(leg, live)

    def _index(self, leg: Leg, live: Live) -> None:
        self._by_call_id[leg.call_id] = live
        self._call_ids[live.call_id].append(leg.call_id)

    def let_go(self, leg: Leg) -> None:
        """Hear a leg no more."""
        self._by_leg.pop(leg, None)

    def of_leg(self, leg: Leg) -> tuple[Live, Side] | None:
        """The call of a leg and whose it is, None for one that was let go."""
        return self._by_leg.get(leg)

    def of_call_id(self, call_id: str) -> Live | None:
        """The call of a SIP Call-ID, of any leg that it has or had."""
        return self._by_call_id.get(call_id)

    def of_booth(self, booth: BoothKey) -> list[Live]:
        """The calls of a booth, the oldest first."""
        return list(self._by_booth.get(booth, {}).values())

    def count(self, booth: BoothKey) -> int:
        """How many calls a booth has."""
        return len(self._by_booth.get(booth, ()))

    def count_in(self, tenant: str, shops: Iterable[str]) -> int:
        """How many calls these shops have."""
        return sum(self._in_shop[tenant, shop] for shop in shops)

    def below(self, tenant: str, party: str) -> list[Live]:
        """The calls of every booth below a party; a shop that was removed from its world is below nobody."""
        _, shops = self._directory.below(tenant, party)
        return [live for live in self._by_id.values() if live.tenant == tenant and live.offer.shop.name in shops]
