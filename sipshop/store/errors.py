"""The errors of the store, drawn in one place.

A `StoreError` is the world's doing (a disk, a second instance, a name that is not there) and carries a text that can be
shown to whoever runs the switch: it says what to do. A write may also be refused by a `BillingError` (a stale bill, an
unknown party): those are the business of `sipshop.billing`.
"""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """Base of everything the store raises on purpose."""


class AlreadyRunning(StoreError):
    """Another process holds this database; `pid` is the one that its lock file names, None if it names none."""

    def __init__(self, path: Path, pid: int | None) -> None:
        self.path = path
        self.pid = pid
        holder = "another process" if pid is None else f"process {pid}"
        super().__init__(f"{path} is in use by {holder}: stop that one first, or run this one on another database")


class Unwritable(StoreError):
    """Nothing was written: the disk is full, broken or read-only. What was refused may be tried again."""


class Unusable(StoreError):
    """The file is there but cannot be read as a database of ours: damaged, encrypted, or somebody else's."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} cannot be used as a sipshop database: {why}")


class NewerSchema(StoreError):
    """A newer sipshop made this database; this one would misread it."""

    def __init__(self, path: Path, found: int, known: int) -> None:
        self.path = path
        self.found = found
        super().__init__(
            f"{path} has schema version {found}, this sipshop knows up to {known}: run the newer sipshop, "
            "or restore a backup made before the upgrade"
        )


class OlderSchema(StoreError):
    """An older sipshop made this database; a server that starts on it brings it forward where `can_upgrade`."""

    def __init__(self, path: Path, found: int, known: int, *, oldest: int) -> None:
        self.path = path
        self.found = found
        self.can_upgrade = found >= oldest
        todo = "start this one's server on it, which upgrades it" if self.can_upgrade else "start with an empty folder"
        super().__init__(f"{path} was made by an older sipshop (schema version {found}, this one's is {known}): {todo}")


class InTheWay(StoreError):
    """A file is there that a backup or a restore would overwrite."""


class StoreClosed(StoreError):
    """A write came after `close`: it is not on disk and never will be."""


class NotEmpty(StoreError):
    """A world was loaded into a tenant that is already there."""


class UnknownOperator(StoreError):
    """The tenant's world has no such person, or none who may come in."""


class Conflict(StoreError):
    """A world would take what is another tenant's already: a phone could not tell whose it is."""


class WorldChanged(StoreError):
    """A world is not any more what the change of it was made from."""


class UnknownBooth(StoreError):
    """The tenant has no booth of this name."""


class NothingToPay(StoreError):
    """The booth has no unpaid session, and its last payment is not the one that is being repeated."""


class UnknownAlert(StoreError):
    """The tenant has no alert of this number, or has it no more."""


class UnknownToken(StoreError):
    """The tenant has no API token of this id."""


class UnknownScreen(StoreError):
    """The tenant has no screen for customers of this id."""


class UnknownAlarm(StoreError):
    """The tenant has no emergency call of this name."""


class UnknownPlace(StoreError):
    """A list was to go on after a row that is not in it."""


class UnknownPrintJob(StoreError):
    """The shop has no such print job, or it is another agent's by now."""


class UnknownTarget(StoreError):
    """The tenant has no target of the export of this name."""


class NotInTheOutbox(StoreError):
    """A target has no such record that could be skipped."""


class UnknownVersion(StoreError):
    """A deck has no such version, or its rates are gone."""

    def __init__(self, deck: str, version: int) -> None:
        super().__init__(f"deck {deck!r} has no version {version}")


class StaleVersion(StoreError):
    """A version of a deck cannot become this any more, or not before something else."""


class UnknownMapping(StoreError):
    """There is no such mapping."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no mapping named {name!r}")
