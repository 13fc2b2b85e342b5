"""The switch: holds the live calls, asks the pure rooms, does what they say; the one door for the desk's commands."""

from sipshop.switch.clock import steady_s, utc_ms
from sipshop.switch.decks import Decks
from sipshop.switch.desk import Desk
from sipshop.switch.directory import Directory
from sipshop.switch.errors import (
    BadInstant,
    BadQuote,
    BadRelease,
    CommandRefused,
    SwitchError,
    TooManyImports,
    UnknownBooth,
    UnknownCall,
    UnknownDeck,
    UnknownImport,
    UnknownLimit,
    UnknownReceipt,
    UnknownShop,
    UnknownTrace,
    UnknownTrunk,
)
from sipshop.switch.floor import Floor
from sipshop.switch.gate import BanStatus, Gate
from sipshop.switch.imports import Import
from sipshop.switch.limits import LimitStatus
from sipshop.switch.logins import Logins
from sipshop.switch.options import Options
from sipshop.switch.printing import MOST_WAIT_S, PrinterStatus, Printing
from sipshop.switch.rates import PriceList, Rates
from sipshop.switch.refusals import DROP_REASONS, REFUSALS, refusal_series
from sipshop.switch.screens import Screens
from sipshop.switch.sheets import SheetFile
from sipshop.switch.status import (
    BoothStatus,
    CallStatus,
    Card,
    Health,
    PartyMoney,
    PartyStatus,
    Reach,
    RegistrationStatus,
    Running,
)
from sipshop.switch.switch import Switch
from sipshop.switch.trace import Trace, Tracer, Wanted
from sipshop.switch.trunks import Condition
from sipshop.switch.worlds import Chain, ChainStep, DeckStatus, TrunkStatus, Worlds

__all__ = [
    "DROP_REASONS",
    "MOST_WAIT_S",
    "REFUSALS",
    "BadInstant",
    "BadQuote",
    "BadRelease",
    "BanStatus",
    "BoothStatus",
    "CallStatus",
    "Card",
    "Chain",
    "ChainStep",
    "CommandRefused",
    "Condition",
    "DeckStatus",
    "Decks",
    "Desk",
    "Directory",
    "Floor",
    "Gate",
    "Health",
    "Import",
    "LimitStatus",
    "Logins",
    "Options",
    "PartyMoney",
    "PartyStatus",
    "PriceList",
    "PrinterStatus",
    "Printing",
    "Rates",
    "Reach",
    "RegistrationStatus",
    "Running",
    "Screens",
    "SheetFile",
    "Switch",
    "SwitchError",
    "TooManyImports",
    "Trace",
    "Tracer",
    "TrunkStatus",
    "UnknownBooth",
    "UnknownCall",
    "UnknownDeck",
    "UnknownImport",
    "UnknownLimit",
    "UnknownReceipt",
    "UnknownShop",
    "UnknownTrace",
    "UnknownTrunk",
    "Wanted",
    "Worlds",
    "refusal_series",
    "steady_s",
    "utc_ms",
]
