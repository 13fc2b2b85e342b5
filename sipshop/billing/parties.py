"""Who sells to whom: the tree of parties of one tenant, from the provider down to the owners of shops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from sipshop.billing.errors import PartyError, SuspendedAbove, UnknownParty
from sipshop.billing.guard import WARN_OF_LOSSES, LossGuard


class Kind(StrEnum):
    """What a party does: own the system, sell to others, or own shops."""

    PROVIDER = "provider"
    RESELLER = "reseller"
    OWNER = "owner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A buyer and seller of calls; `parent` is who sells to it by `deck`; both are None for the provider alone.

    `suspender` is who suspended it, a party above it or the provider himself; None while nobody did. `guard` watches
    what it sells by against what it buys by.
    """

    tenant: str
    name: str
    kind: Kind
    parent: str | None
    deck: str | None = None
    suspender: str | None = None
    guard: LossGuard = WARN_OF_LOSSES

    @property
    def suspended(self) -> bool:
        """Whether somebody has suspended it; one above it may be suspended all the same."""
        return self.suspender is not None


class PartyTree:
    """The parties of one tenant; immutable, swapped by reference.

    Raises:
        PartyError: the parties are no tree under one provider; the text tells every fault.
    """

    __slots__ = ("_by_name",)

    def __init__(self, parties: Iterable[Party]) -> None:
        listed = tuple(parties)
        faults = [f"{name}: {fault}" if name else fault for name, fault in party_faults(listed)]
        if faults:
            raise PartyError("; ".join(faults))
        self._by_name: Mapping[str, Party] = {party.name: party for party in listed}

    def __iter__(self) -> Iterator[Party]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> Party:
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownParty(f"there is no party named {name!r}") from None

    def chain(self, name: str) -> tuple[Party, ...]:
        """Return the party and everyone above it, the provider last; raises UnknownParty."""
        return tuple(_climb(self[name], self._by_name))

    def below(self, name: str) -> frozenset[str]:
        """Return the names of the party and of everyone below it; raises UnknownParty."""
        found = {self[name].name}
        while more := {p.name for p in self if p.parent in found} - found:
            found |= more
        return frozenset(found)

    def suspended(self, name: str) -> Party | None:
        """Return the nearest suspended party, itself or above, or None; raises UnknownParty.

        Suspension cascades: whoever is below a suspended party sells nothing.
        """
        return next((party for party in self.chain(name) if party.suspended), None)

    def suspend(self, name: str, by: str) -> Party:
        """Return the party as `by` has suspended it, and of two who did, the higher one; raises UnknownParty."""
        party = self[name]
        is_kept = party.suspender is not None and not self._is_above(by, party.suspender)
        return party if is_kept else replace(party, suspender=by)

    def resume(self, name: str, by: str) -> Party:
        """Return the party as it is when `by` has ended its suspension.

        Raises:
            UnknownParty: there is none.
            SuspendedAbove: it was suspended by somebody who stands higher than `by`.
        """
        party = self[name]
        if party.suspender is not None and party.suspender != by and not self._is_above(by, party.suspender):
            raise SuspendedAbove(name, party.suspender)
        return replace(party, suspender=None)

    def replaced(self, changed: Party) -> PartyTree:
        """Return a tree in which this party alone is another."""
        return PartyTree({**self._by_name, changed.name: changed}.values())

    def _is_above(self, one: str, other: str) -> bool:
        return any(party.name == one for party in self.chain(other)[1:])


def party_faults(parties: Iterable[Party]) -> tuple[tuple[str, str], ...]:
    """Return every reason why these parties are no tree, as (party, fault); the party is "" where it is all of them."""
    listed = tuple(parties)
    by_name = {party.name: party for party in listed}
    roots = [party.name for party in listed if party.kind is Kind.PROVIDER]
    faults: list[tuple[str, str]] = []
    if len(roots) != 1:
        faults.append(("", f"there must be one provider, not {len(roots)}"))
    if len({party.tenant for party in listed}) > 1:
        faults.append(("", "parties of two tenants are mixed"))
    faults += [(name, "is named twice") for name, times in Counter(p.name for p in listed).items() if times > 1]
    for party in listed:
        faults += [(party.name, fault) for fault in _faults_of(party, by_name)]
    return tuple(faults)


def _faults_of(party: Party, by_name: Mapping[str, Party]) -> Iterator[str]:
    if party.kind is Kind.PROVIDER:
        if party.parent is not None:
            yield "is the provider, so nobody is above it"
        return
    if party.parent is None:
        yield "has nobody above it: only the provider has no parent"
        return
    parent = by_name.get(party.parent)
    if parent is None:
        yield f"its parent {party.parent!r} is not there"
    elif parent.kind is Kind.OWNER:
        yield f"its parent {parent.name!r} is an owner, who has only shops below him"
    if _goes_in_a_circle(party, by_name):
        yield "is above itself"


def _goes_in_a_circle(party: Party, by_name: Mapping[str, Party]) -> bool:
    above = _climb(party, by_name)
    next(above)
    for steps, other in enumerate(above):
        if other.name == party.name:
            return True
        if steps > len(by_name):  # a circle further up, which is told of the parties that are in it
            return False
    return False


def _climb(party: Party, by_name: Mapping[str, Party]) -> Iterator[Party]:
    step: Party | None = party
    while step is not None:
        yield step
        step = by_name.get(step.parent) if step.parent is not None else None
