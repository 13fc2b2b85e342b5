"""REGISTER: who may, for which booth, and what the phone is told."""

from __future__ import annotations

from collections.abc import Callable

from sipshop.facts import Fact, RegistrationChanged, RequestRefused
from sipshop.proxy.admission import Auth, Booth
from sipshop.proxy.registrar import Location, Refusal
from sipshop.sip.timers import Timer
from sipshop.sip.transaction import ServerTransaction
from sipshop.sip.useragent import UserAgent
from sipshop.switch.directory import Directory


class Registrations:
    """The bindings of every booth's phone, kept in memory and renewed by the phones themselves."""

    def __init__(
        self, agent: UserAgent, directory: Directory, tell: Callable[[Fact], None], location: Location
    ) -> None:
        self._agent = agent
        self._directory = directory
        self._tell = tell
        self._location = location
        self._booths: dict[str, Booth] = {}  # by address of record, of those that have registered
        self._timer: Timer | None = None

    def count(self, booth: Booth) -> int:
        """How many bindings a booth's phone has."""
        return self._location.count(_aor(booth))

    @property
    def size(self) -> int:
        """All bindings."""
        return self._location.size

    def hear(self, transaction: ServerTransaction, booth: Booth, now: float) -> None:
        """Do a REGISTER that `booth` has proved to have sent; it may speak for its own address of record only."""
        request = transaction.request
        if request.to.uri.user != booth.name and booth.auth is Auth.DIGEST:
            self._refuse(transaction, booth, Refusal(403, cause="another booth's address"), "wrong_aor", now)
            return
        done = self._location.register(_aor(booth), request, transaction.flow, now)
        if isinstance(done, Refusal):
            self._refuse(transaction, booth, done, "registrar", now)
            return
        self._agent.respond(transaction, request.reply(200, to_tag=self._agent.token(), headers=done.headers), now)
        self._booths[_aor(booth)] = booth
        self._changed(booth)
        self._arm(now)

    def _refuse(self, transaction: ServerTransaction, booth: Booth, refusal: Refusal, cause: str, now: float) -> None:
        self._agent.refuse(transaction, refusal.status, now, headers=refusal.headers)
        self._tell(RequestRefused(status=refusal.status, cause=cause, shop=booth.shop))

    def _arm(self, now: float) -> None:
        deadline = self._location.deadline
        if self._timer is not None:
            self._timer.stop()
        self._timer = None
        if deadline is not None:
            self._timer = self._agent.timers.start(max(deadline, now), self._tick)

    def _tick(self, now: float) -> None:
        self._timer = None
        for aor in self._location.tick(now):
            self._changed(self._booths[aor])
        self._arm(now)

    def _changed(self, booth: Booth) -> None:
        self._tell(
            RegistrationChanged(tenant=booth.tenant, shop=booth.shop, booth=booth.name, bindings=self.count(booth))
        )


def _aor(booth: Booth) -> str:
    """One address of record a booth, whatever host its phone names: names hold no slash."""
    return f"{booth.tenant}/{booth.name}"
