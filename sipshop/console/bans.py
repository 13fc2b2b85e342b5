"""Who is not heard for a while, over HTTP, for the provider who runs the server: it has one shield for them all."""

from __future__ import annotations

from typing import Annotated, Final, Protocol

from fastapi import APIRouter, HTTPException, Query

from sipshop.billing.cdr import utc_text
from sipshop.console.scope import Sender, problems
from sipshop.console.views import BanList, BanView, LiftedView
from sipshop.switch import BanStatus

_PROBLEMS: Final = problems(
    _403="forbidden: the token is not of the provider who runs the server", _422="invalid_request"
)


class Bans(Protocol):
    """Who keeps the bans; the switch's gate does."""

    def bans(self) -> list[BanStatus]:
        """Every ban that stands, the newest last."""
        ...

    def lift(self, source: str, account: str | None = None) -> int:
        """End the bans of a source, or only that of one account there; how many there were."""
        ...


def add_bans(router: APIRouter, bans: Bans, host: str | None) -> None:
    """Add the endpoints of bans; `host` is the tenant who may use them, None where there is but one."""

    def only_host(sender: Sender) -> None:
        sender.only_provider()
        if host not in {None, sender.tenant}:  # the accounts that were tried may be another provider's
            raise HTTPException(403, "this takes a token of the provider who runs the server")

    @router.get("/bans", tags=["server"], responses=_PROBLEMS)
    async def list_bans(sender: Sender) -> BanList:
        """List the addresses that are not heard after too many wrong passwords, or not for one account."""
        only_host(sender)
        return BanList(
            bans=[BanView(source=ban.source, account=ban.account, until=utc_text(ban.until_ms)) for ban in bans.bans()]
        )

    @router.delete("/bans/{source:path}", tags=["server"], responses=_PROBLEMS)
    async def lift_ban(
        sender: Sender,
        source: str,
        account: Annotated[str | None, Query(description="only the ban of this account there")] = None,
    ) -> LiftedView:
        """Hear an address again at once, its failures forgotten; `lifted` is how many bans that ended."""
        only_host(sender)
        return LiftedView(lifted=bans.lift(source, account))
