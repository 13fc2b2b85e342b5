"""What people see: booths, live calls, parties and their money, as they are at this moment (IO)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sipshop.billing.desk import BoothSession
from sipshop.billing.ledger import customer
from sipshop.billing.parties import Party
from sipshop.proxy.admission import Booth
from sipshop.switch.accounts import Accounts
from sipshop.switch.balances import Balances
from sipshop.switch.directory import Directory
from sipshop.switch.live import LiveCalls
from sipshop.switch.records import Live
from sipshop.switch.registrations import Registrations
from sipshop.switch.status import BoothStatus, CallStatus, PartyMoney, PartyStatus
from sipshop.world import Sold


class Board:
    """Makes the values of `switch/status` of whatever the desk is asked for; it changes nothing."""

    def __init__(
        self,
        *,
        directory: Directory,
        accounts: Accounts,
        calls: LiveCalls,
        registrations: Registrations,
        balances: Balances,
    ) -> None:
        self._directory = directory
        self._accounts = accounts
        self._calls = calls
        self._registrations = registrations
        self._balances = balances

    def booth(self, booth: Booth, session: BoothSession | None, now: float) -> BoothStatus:
        """One booth, with the `session` that is open in it."""
        key = booth.tenant, booth.name
        live = self._calls.of_booth(key)
        answered_at_s = live[0].call.answered_at_s if live else None
        unpaid = self._accounts.unpaid_of(key)
        available, left_ms = self._accounts.free(unpaid) if unpaid is not None else (None, None)
        return BoothStatus(
            booth=booth.name,
            shop=booth.shop,
            state=_state(booth, is_open=session is not None, is_live=bool(live)),
            suspended=self._directory.suspended_above(booth) is not None,
            registered=self._registrations.count(booth),
            reachable=self._registrations.reachable(booth),
            currency=self._directory.shop_of(booth).currency,
            session_id=session.id if session is not None else None,
            opened_at_ms=session.opened_at_ms if session is not None else None,
            opened_by=session.opened_by if session is not None else None,
            dialled=live[0].offer.dialled if live else None,
            seconds=int(now - answered_at_s) if answered_at_s is not None else None,
            live_calls=len(live),
            deposit_micros=unpaid.deposit_micros if unpaid is not None else 0,
            credit_limit_micros=unpaid.credit_limit_micros if unpaid is not None else None,
            talk_limit_ms=unpaid.talk_limit_ms if unpaid is not None else None,
            available_micros=available,
            left_ms=left_ms,
            tax=self._directory.taxes.get((booth.tenant, Sold.IN_SHOP, booth.shop)),
        )

    def call(self, live: Live, now: float) -> CallStatus:
        """One live call."""
        answered_at_s, passage = live.call.answered_at_s, live.offer.passage
        talk_ms = round(max(0.0, now - answered_at_s) * 1000) if answered_at_s is not None else 0
        return CallStatus(
            call_id=live.call_id,
            shop=live.offer.shop.name,
            booth=live.offer.booth.name,
            kind=live.offer.kind.value,
            direction="outbound" if live.offer.carrier is None else "inbound",
            state="answered" if answered_at_s is not None else "ringing" if live.rang else "setting up",
            dialled=live.offer.dialled,
            e164=live.offer.e164,
            destination=live.offer.destination,
            setup_at_ms=live.setup_at_ms,
            answered_at_ms=live.relayed_at_ms,
            talk_ms=talk_ms,
            amount_micros=0 if passage is None else passage.levels[0].price(talk_ms, live.priced_at_ms),
            currency=live.offer.shop.currency,
            trunk=live.trunk.name if live.trunk is not None else None,
        )

    def party(self, tenant: str, party: Party) -> PartyStatus:
        """One party, and its account with the one above it."""
        tree = self._directory.parties[tenant]
        account = None if party.parent is None else self._accounts.ledger(tenant)[customer(party.name, party.parent)]
        above = tree.suspended(party.name)
        grants = self._balances.grants(tenant, party.name) if account is not None else None
        return PartyStatus(
            party=party.name,
            kind=party.kind.value,
            parent=party.parent,
            suspended=party.suspended,
            suspender=party.suspender,
            suspended_by=above.name if above is not None else None,
            currency=account.currency if account is not None else None,
            balance_micros=account.balance if account is not None else None,
            credit_limit_micros=account.credit_limit if account is not None else None,
            unlimited=account is not None and account.credit_limit is None,
            held_micros=account.held if account is not None else 0,
            available_micros=account.available if account is not None else None,
            overdrawn=account is not None and (account.available or 0) < 0,
            live_calls=self._calls.count_in(tenant, self._directory.below(tenant, party.name)[1]),
            tax=self._directory.taxes.get((tenant, Sold.TO_PARTY, party.name)),
            granted_micros=grants.granted if grants is not None else None,
            grants_without_end=grants is not None and grants.granted is None,
        )

    def money(self) -> Iterator[PartyMoney]:
        """Every party's account with the one above it, of all tenants."""
        for tenant, tree in self._directory.parties.items():
            ledger = self._accounts.ledger(tenant)
            for party in tree:
                if party.parent is None:
                    continue
                account = ledger[customer(party.name, party.parent)]
                yield PartyMoney(
                    tenant=tenant,
                    party=party.name,
                    currency=account.currency,
                    balance_micros=account.balance,
                    held_micros=account.held,
                    available_micros=account.available,
                    charged_micros=account.charged,
                )


def _state(booth: Booth, *, is_open: bool, is_live: bool) -> Literal["disabled", "locked", "open", "in call"]:
    if is_live:
        return "in call"
    if is_open:
        return "open"
    return "disabled" if booth.disabled else "locked"
