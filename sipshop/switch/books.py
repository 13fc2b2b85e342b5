"""The books' one door: reratings, statements and invoices, as the provider and the sellers ask for them (IO).

What reads a good part of the database does so on a thread of its own, and what is written is written in pieces, so that
calls do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from sipshop.billing.ledger import Transfer
from sipshop.billing.rerate import Rerating, Summary
from sipshop.facts import Fact, PartyChanged
from sipshop.store import Store
from sipshop.store.rerating import (
    AccountsJudged,
    BatchBegun,
    BatchDone,
    CallsRerated,
    deck_and_calls,
    some_at_once,
    would_be,
)
from sipshop.switch.accounts import Accounts
from sipshop.switch.directory import Directory

#: How many rows of differences one answer has at most; the totals count all.
MOST_ROWS: Final = 100_000


class Books:
    """The reratings, statements and invoices of all tenants; `renew` lets calls below a party go on that were short."""

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        renew: Callable[[str, str], None],
        tell: Callable[[Fact], None],
        utc_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._renew = renew
        self._tell = tell
        self._utc_ms = utc_ms
        self._rerating = asyncio.Lock()

    # Reratings.

    async def preview(self, tenant: str, asked: Rerating, most: int) -> Summary:
        """What a rerating would come to, with at most so many rows; nothing is changed.

        Raises:
            UnknownParty: there is no such party.
            NoVersion: the deck has no such version.
        """
        self._check(tenant, asked)
        return await self._store.ask(tenant, lambda connection, of: would_be(connection, of, asked, most))

    async def rerate(self, tenant: str, asked: Rerating, *, batch: str, author: str, reason: str, most: int) -> Summary:
        """Rerate calls, once for a batch; durable when it returns, and what was done is told.

        One that was cut off goes on where it was; one that was done to its end does nothing.

        Raises:
            UnknownParty: there is no such party.
            NoVersion: the deck has no such version.
            OtherBatch: another rerating has this name.
            StoreError: the disk failed; run it again.
        """
        self._check(tenant, asked)
        summary = Summary(most)
        async with self._rerating:
            deck, calls = await self._store.ask(tenant, partial(deck_and_calls, asked=asked))
            begun = BatchBegun(tenant=tenant, id=batch, asked=asked, author=author, reason=reason, at_ms=self._utc_ms())
            if await self._store.commit(begun):
                return summary
            for some in some_at_once(calls):
                done = await self._store.commit(
                    CallsRerated(
                        tenant=tenant,
                        batch=batch,
                        asked=asked,
                        deck=deck,
                        calls=some,
                        held=self._held(tenant),
                        author=author,
                    )
                )
                await self._take(tenant, done.transfers)
                for told in done.told:
                    summary.add(told)
            await self._store.commit(BatchDone(tenant=tenant, id=batch, at_ms=self._utc_ms()))
        self._tell(PartyChanged(tenant=tenant, party=tenant))
        return summary

    def _check(self, tenant: str, asked: Rerating) -> None:
        if asked.party is not None:
            self._directory.parties[tenant][asked.party]

    # What both have in common.

    def _held(self, tenant: str) -> dict[str, int]:
        """What live calls hold, by account."""
        accounts = self._accounts.ledger(tenant).accounts
        return {name: account.held for name, account in accounts.items() if account.held}

    async def _take(self, tenant: str, transfers: Iterable[Transfer]) -> None:
        """Move in memory what the store has moved; who was short, and got something back, may go on.

        What calls were granted while the store wrote may be more than is left by now: that is flagged as well.
        """
        ledger = self._accounts.ledger(tenant)
        touched: dict[str, str] = {}
        for transfer in transfers:
            ledger.apply(transfer)
            touched |= dict.fromkeys((transfer.debit, transfer.credit), transfer.amount.currency)
        self._renew(tenant, tenant)
        accounts = (ledger.accounts[name] for name in touched if name in ledger.accounts)
        short = {account.name: account.currency for account in accounts if (account.available or 0) < 0}
        if short:
            await self._store.commit(AccountsJudged(tenant=tenant, accounts=short, held=self._held(tenant)))
