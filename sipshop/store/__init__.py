"""The store: the only SQL. A journal that makes things durable, and readers for the start and for the desk."""

from sipshop.store.errors import (
    AlreadyRunning,
    NewerSchema,
    NotEmpty,
    NothingToPay,
    StoreClosed,
    StoreError,
    UnknownBooth,
    Unusable,
    Unwritable,
)
from sipshop.store.journal import Done, Write
from sipshop.store.rows import LiveCall
from sipshop.store.store import Store
from sipshop.store.writes import (
    CallAnswered,
    CallRelayed,
    CallSettled,
    CallStarted,
    Heartbeat,
    PartySuspended,
    SessionLocked,
    SessionOpened,
    SessionPaid,
    TokenAdded,
)

__all__ = [
    "AlreadyRunning",
    "CallAnswered",
    "CallRelayed",
    "CallSettled",
    "CallStarted",
    "Done",
    "Heartbeat",
    "LiveCall",
    "NewerSchema",
    "NotEmpty",
    "NothingToPay",
    "PartySuspended",
    "SessionLocked",
    "SessionOpened",
    "SessionPaid",
    "Store",
    "StoreClosed",
    "StoreError",
    "TokenAdded",
    "UnknownBooth",
    "Unusable",
    "Unwritable",
    "Write",
]
