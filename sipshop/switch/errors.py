"""Why a command to the switch is not done."""

from __future__ import annotations


class SwitchError(Exception):
    """The root of this room's errors; the text is for the one who gave the command."""


class UnknownBooth(SwitchError):
    """The tenant has no such booth."""


class UnknownDeck(SwitchError):
    """The tenant has no such deck."""


class UnknownTrunk(SwitchError):
    """The tenant has no such trunk in use."""


class BadQuote(SwitchError):
    """The number or the instant of a quote cannot be read."""


class UnknownCall(SwitchError):
    """The tenant has no call of this name that has ended."""


class CommandRefused(SwitchError):
    """The switch cannot take commands at this moment."""


class UnknownShop(SwitchError):
    """The tenant has no such shop."""


class UnknownReceipt(SwitchError):
    """The shop has drawn no receipt of this number."""


class UnknownTrace(SwitchError):
    """The tenant has no such trace, or has it no more."""


class UnknownLimit(SwitchError):
    """There is no limit of this name for this one."""


class BadRelease(SwitchError):
    """A limit cannot be released so; the text says how it can."""


class UnknownImport(SwitchError):
    """There is no such import, or not any more."""


class BadInstant(SwitchError):
    """The instant at which something is to happen cannot be read, or is over."""


class TooManyImports(SwitchError):
    """So many imports are under way that no other one is begun."""
