"""What an earlier process left behind: its calls are ended, and settled up to its last sign of life (IO)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from sipshop.sip.dialog import Dialog
from sipshop.sip.timers import GIVE_UP_S, Timers
from sipshop.store import Store
from sipshop.switch.accounts import Accounts
from sipshop.switch.farewells import Farewells
from sipshop.switch.limits import Limiter
from sipshop.switch.records import cdr_of_dead, charged_accounts
from sipshop.switch.settler import Settler

log: Final = logging.getLogger("sipshop.switch")


class Recovery:
    """The calls of a process that died: `left` of them have no CDR on disk yet.

    `interrupted` has the Call-IDs of their callers, as long as their INVITEs may still be repeated.
    """

    def __init__(
        self,
        *,
        store: Store,
        accounts: Accounts,
        limits: Limiter,
        settler: Settler,
        farewells: Farewells,
        timers: Timers,
        utc_ms: Callable[[], int],
        process: str,
    ) -> None:
        self._store = store
        self._accounts = accounts
        self._limits = limits
        self._settler = settler
        self._farewells = farewells
        self._timers = timers
        self._utc_ms = utc_ms
        self._process = process
        self.left = 0
        self.interrupted: set[str] = set()

    def begin(self, now: float) -> None:
        """End the calls of a process that died: BYE on both legs, and a CDR up to its last sign of life."""
        self._farewells.recover(now)
        left = self._store.dead_calls(self._process)
        if left:
            log.warning("%d calls of an earlier run are ended and settled", len(left))
        self.left = len(left)
        now_ms = self._utc_ms()
        for row, last_heartbeat_ms in left:
            self.interrupted.add(row.leg_a_call_id)
            dialogs = [Dialog.from_json(stored) for stored in (row.dialog_a, row.dialog_b) if stored is not None]
            owed = tuple(self._farewells.end(dialog, now) for dialog in dialogs)
            cdr = cdr_of_dead(row, last_heartbeat_ms, now_ms)
            if row.session_id is not None:
                self._settler.expect((row.tenant, row.booth), row.call_id)
                self._accounts.settle(row.tenant, row.call_id, row.session_id, charged_accounts(cdr), cdr.talk_ms)
            self._limits.remember(cdr)
            self._settler.write(cdr, owed, self._recovered)
        if left:
            # an INVITE that is still repeated must not place the call a second time
            self._timers.start(now + GIVE_UP_S, lambda _now: self.interrupted.clear())

    def _recovered(self) -> None:
        self.left -= 1
