"""A world: everything that a provider sets up. Read from a YAML text, compared with the one that runs, written back."""

from sipshop.world.diff import Action, Change, History, Kind, Plan, plan_world
from sipshop.world.export import export_world
from sipshop.world.model import MASK, Opening, Operator, Role, Sold, TaxTerms, World, WorldError, WorldErrors
from sipshop.world.read import parse_world

__all__ = [
    "MASK",
    "Action",
    "Change",
    "History",
    "Kind",
    "Opening",
    "Operator",
    "Plan",
    "Role",
    "Sold",
    "TaxTerms",
    "World",
    "WorldError",
    "WorldErrors",
    "export_world",
    "parse_world",
    "plan_world",
]
