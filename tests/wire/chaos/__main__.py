"""`python -m tests.wire.chaos`: the chaos run, as `make chaos` starts it. Exit status 1 if anything is wrong."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.wire.chaos.example import example
from tests.wire.chaos.plan import Plan
from tests.wire.chaos.run import Outcome, Run


def main(arguments: Sequence[str]) -> int:
    """Make a run and print its figures."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Kill the server under calls, and count.")
    parser.add_argument("--seed", type=int, help="what chance goes by; drawn and printed if left out")
    parser.add_argument("--kills", type=int, default=120, help="how often the server is killed (120)")
    parser.add_argument("--calls", type=int, default=200, help="calls at once (200)")
    parser.add_argument("--short", action="store_true", help="the short form, as the tests have it: 5 kills, 20 calls")
    parser.add_argument("--keep", type=Path, help="an empty folder for all logs and the database, which then stay")
    options = parser.parse_args(arguments)
    seed = secrets.randbelow(1_000_000) if options.seed is None else options.seed
    plan = Plan.short(seed) if options.short else Plan.full(seed, kills=options.kills, calls=options.calls)
    folder = Path(tempfile.mkdtemp(prefix="chaos-")) if options.keep is None else options.keep.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    print(f"chaos: seed {seed}, {len(plan.weathers)} lives, {plan.calls} calls at once, in {folder}", flush=True)
    with ThreadPoolExecutor() as pool:
        quiet = None if options.short else pool.submit(example, folder / "example")
        outcome = Run(plan, folder / "run", lambda line: print(line, flush=True)).made()
        if quiet is not None:
            outcome.wrong["the example of 137 s"] = quiet.result()
    show(outcome)
    if options.keep is None and not outcome.failures:
        shutil.rmtree(folder)
    return 1 if outcome.failures else 0


def show(outcome: Outcome) -> None:
    """Print the figures, and what was looked at with what is wrong."""
    width = max(map(len, outcome.figures))
    print()
    for name, figure in outcome.figures.items():
        print(f"{name:<{width}}  {figure}")
    print()
    for check, wrong in outcome.wrong.items():
        print(f"{'FAILED' if wrong else 'holds '}  {check}")
        for text in wrong[:20]:
            print(f"          {text}")
        if len(wrong) > 20:
            print(f"          and {len(wrong) - 20} more")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
