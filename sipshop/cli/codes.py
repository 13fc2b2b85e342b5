"""The exit codes, and how the help of a command tells them; docs/cli.md explains each."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
REFUSED: Final = 1  # by the server
WRONG: Final = 1  # is what `audit` or `doctor` has looked at
USAGE: Final = 2  # or a bad configuration, world or file
UNPRICED: Final = 3  # what `quote` was asked about
UNREACHABLE: Final = 4  # no server, or it does not let us in
INTERRUPTED: Final = 130  # by Ctrl-C, as shells count it; typer's own

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 refused by the server; 2 wrong usage, configuration, world or file; 3 no price (quote, "
    "rates); 4 no server there, or not authorised; 130 Ctrl-C."
)
AUDIT_EXIT_CODES: Final = (
    "Exit codes: 0 every law holds; 1 one does not, or refused by the server; 2 wrong usage, or a file that cannot be "
    "read; 4 no server there, or not authorised; 130 Ctrl-C."
)
DOCTOR_EXIT_CODES: Final = (
    "Exit codes: 0 nothing is wrong, though something may be doubtful; 1 something is; 2 wrong usage or configuration; "
    "130 Ctrl-C."
)
FILE_EXIT_CODES: Final = (
    "Exit codes: 0 done; 2 wrong usage, or a file that cannot be read, written or replaced; 130 Ctrl-C."
)
