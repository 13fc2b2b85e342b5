"""A process that writes as it is told on its standard input, and says what became of it: for tests that kill it.

`python -m tests.store.writer DATABASE`, then lines: a call id to settle that call, or `flood` to settle calls without
end. Each answer is a line: the call id and `ok`, or the id and the error's name.
"""

import asyncio
import sys
from functools import partial
from pathlib import Path

from sipshop.store import CallSettled, Store
from tests.store.examples import cdr, opened


def main(path: Path) -> None:
    """Serve until the end of the input."""
    store = opened(path, process=f"writer of {path.name}")
    print("ready", flush=True)
    asyncio.run(_serve(store))


async def _serve(store: Store) -> None:
    loop = asyncio.get_running_loop()
    store.start(loop)
    while line := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if line == "flood":
            _flood(store, 0)
        else:
            outcome = loop.create_future()
            store.submit(CallSettled(cdr(line, session_id=7)), outcome.set_result)
            _say(line, await outcome)
    store.close()


def _flood(store: Store, number: int) -> None:
    """Settle a call, and another one when it is written; some at once, so that commits have groups."""
    for step in range(5):
        call_id = f"c{number + step}"
        store.submit(CallSettled(cdr(call_id, session_id=7)), partial(_say, call_id))
    store.submit(CallSettled(cdr(f"c{number + 5}", session_id=7)), lambda _: _flood(store, number + 6))
    store.flush()


def _say(call_id: str, outcome: object) -> None:
    sys.stdout.write(f"{call_id} {type(outcome).__name__ if isinstance(outcome, Exception) else 'ok'}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
