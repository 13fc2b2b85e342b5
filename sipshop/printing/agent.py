"""An agent at a shop's desk: it asks the server for receipts, prints them, and says what came of each (IO).

A central server cannot reach into a shop, so the shop asks. What was printed here and could not be told is never
printed a second time here: it is told when the server answers again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, Protocol

from sipshop.printing.devices import NotPrinted, Printer
from sipshop.printing.slip import Slip

#: So long the server may let a question wait for work.
WAIT_S: Final = 20
#: Between tries, where something is wrong: a little longer each time.
PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0)


class Queue(Protocol):
    """The print jobs of a shop, as the API has them."""

    def claim(self, fault: str, wait_s: int) -> dict[str, Any]:
        """Ask for work; raises ConnectionError where the server does not answer."""
        ...

    def done(self, job_id: int, claim: str) -> None:
        """Say that a job is printed; raises ConnectionError, or LookupError where it is another agent's by now."""
        ...

    def failed(self, job_id: int, claim: str, why: str, *, may_be_on_paper: bool) -> None:
        """Say why it is not; raises likewise."""
        ...


class Agent:
    """Prints what a queue has; `encoded` makes a slip what the printer is sent.

    `pause` waits so many seconds, `say` tells whoever stands beside it what happens.
    """

    def __init__(
        self,
        queue: Queue,
        printer: Printer,
        *,
        encoded: Callable[[Slip], bytes],
        pause: Callable[[float], None],
        say: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._printer = printer
        self._encoded = encoded
        self._pause = pause
        self._say = say
        self._printed: set[int] = set()  # and not told yet, or so that the server has not heard it
        self._failures = 0

    def step(self) -> bool:
        """Ask once, and print what there is; say whether something was printed."""
        fault = self._fault()
        try:
            answer = self._queue.claim(fault, 0 if fault else WAIT_S)
        except ConnectionError as error:
            self._say(str(error))
            self._rest()
            return False
        if fault:
            self._rest()
        if answer["job"] is None:
            return False
        return self._print(answer["job"], answer["claim"], answer["slip"])

    def _fault(self) -> str:
        try:
            self._printer.check()
        except NotPrinted as error:
            if not self._failures:
                self._say(str(error))
            return str(error)
        return ""

    def _print(self, job: dict[str, Any], claim: str, slip: dict[str, Any]) -> bool:
        job_id: int = job["id"]
        if job_id not in self._printed:
            try:
                self._printer.send(self._encoded(Slip.from_json(slip)))
            except NotPrinted as error:
                self._say(f"receipt {job['receipt']} is not printed: {error}")
                self._tell(partial(self._failed, job_id, claim, error))
                self._rest()
                return False
            self._printed.add(job_id)
            copy = f", copy {job['copy_number']}" if job["copy_number"] else ""
            self._say(f"receipt {job['receipt']} is printed{copy}")
        if self._tell(partial(self._queue.done, job_id, claim)):
            self._printed.discard(job_id)
        self._failures = 0
        return True

    def _failed(self, job_id: int, claim: str, error: NotPrinted) -> None:
        self._queue.failed(job_id, claim, str(error), may_be_on_paper=error.may_be_on_paper)

    def _tell(self, tell: Callable[[], None]) -> bool:
        """Tell the server, a few times where it does not answer; say whether it knows."""
        for pause_s in (*PAUSES_S, 0.0):
            try:
                tell()
            except LookupError as error:  # it was given to another, who prints a copy
                self._say(str(error))
                return True
            except ConnectionError as error:
                self._say(str(error))
                self._pause(pause_s)
            else:
                return True
        return False

    def _rest(self) -> None:
        self._pause(PAUSES_S[min(self._failures, len(PAUSES_S) - 1)])
        self._failures += 1
