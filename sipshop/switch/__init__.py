"""The switch: holds the live calls, asks the pure rooms, does what they say; the one door for the desk's commands."""

from sipshop.switch.clock import utc_ms
from sipshop.switch.desk import Desk
from sipshop.switch.directory import Directory
from sipshop.switch.errors import CommandRefused, SwitchError, UnknownBooth, UnknownCall, UnknownDeck
from sipshop.switch.refusals import DROP_REASONS, REFUSALS, refusal_series
from sipshop.switch.status import BoothStatus, Health, PartyMoney, PartyStatus
from sipshop.switch.switch import Options, Switch
from sipshop.switch.worlds import DeckStatus, TrunkStatus, Worlds

__all__ = [
    "DROP_REASONS",
    "REFUSALS",
    "BoothStatus",
    "CommandRefused",
    "DeckStatus",
    "Desk",
    "Directory",
    "Health",
    "Options",
    "PartyMoney",
    "PartyStatus",
    "Switch",
    "SwitchError",
    "TrunkStatus",
    "UnknownBooth",
    "UnknownCall",
    "UnknownDeck",
    "Worlds",
    "refusal_series",
    "utc_ms",
]
