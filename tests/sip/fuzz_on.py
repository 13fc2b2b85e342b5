"""`python -m tests.sip.fuzz_on [TARGET] [OPTIONS OF LIBFUZZER]`: fuzz a target until stopped, as `make fuzz` starts it.

What reaches new code is kept in `.fuzz/TARGET`, where the next run goes on; what breaks a target is written beside it.
An input that broke something belongs into `tests/sip/corpus`, with the name of what it broke.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["sipshop"]):
    from tests.sip.fuzz import CORPUS, TARGETS, TORTURE


def main(arguments: Sequence[str]) -> None:
    """Fuzz; libFuzzer ends the process itself."""
    name = arguments[0] if arguments and not arguments[0].startswith("-") else "agent"
    if name not in TARGETS:
        sys.exit(f"there is no target {name!r}; there are: {', '.join(TARGETS)}")
    found = Path(".fuzz") / name
    found.mkdir(parents=True, exist_ok=True)
    folders = [found, CORPUS / name, TORTURE / "rfc4475", TORTURE / "rfc5118"]
    options = [word for word in arguments if word.startswith("-")]
    atheris.Setup(["fuzz", *map(str, folders), "-artifact_prefix=.fuzz/", *options], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
