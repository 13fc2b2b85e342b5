"""Rate sheets of carriers: rows by a mapping to what they want of a deck, what that changes, and who loses by it."""

from sipshop.sheets.cells import Cell
from sipshop.sheets.changes import Change, Kind, changes
from sipshop.sheets.guess import guess_mapping
from sipshop.sheets.losses import Charged, Loss, Losses, Paid, Sale
from sipshop.sheets.mapping import BadMapping, Mapping, parse_mapping
from sipshop.sheets.merge import Merged, merged
from sipshop.sheets.read import Reading, Reject, read_lines
from sipshop.sheets.table import MAX_CELL, MAX_COLUMNS, MAX_ROWS, BadSheet, Row, rows_of

__all__ = [
    "MAX_CELL",
    "MAX_COLUMNS",
    "MAX_ROWS",
    "BadMapping",
    "BadSheet",
    "Cell",
    "Change",
    "Charged",
    "Kind",
    "Loss",
    "Losses",
    "Mapping",
    "Merged",
    "Paid",
    "Reading",
    "Reject",
    "Row",
    "Sale",
    "changes",
    "guess_mapping",
    "merged",
    "parse_mapping",
    "read_lines",
    "rows_of",
]
