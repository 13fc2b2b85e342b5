"""The books' one door: reratings, statements and invoices, as the provider and the sellers ask for them (IO).

What reads a good part of the database does so on a thread of its own, and what is written is written in pieces, so that
calls do not wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial

from sipshop.billing.errors import UnknownAccount
from sipshop.billing.invoice import Letterhead, Period, Statement
from sipshop.billing.ledger import Transfer
from sipshop.billing.rerate import Rerating, Summary
from sipshop.facts import Fact, PartyChanged
from sipshop.store import Store
from sipshop.store.invoices import Closed, Invoice, PeriodClosed, invoice_of, invoices_of, statement_of
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
from sipshop.world import Sold


class Books:
    """The reratings, statements and invoices of all tenants.

    `moved` is told on which accounts of a tenant something was moved: calls that were short may go on, and somebody may
    have little left.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        moved: Callable[[str, Collection[str]], None],
        tell: Callable[[Fact], None],
        utc_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._moved = moved
        self._tell = tell
        self._utc_ms = utc_ms
        self._rerating = asyncio.Lock()
        self._closing = asyncio.Lock()

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

    # Statements and invoices.

    def period(
        self, tenant: str, party: str, *, month: str | None, first: str | None = None, beyond: str | None = None
    ) -> Period:
        """Read a period in the time zone of a party's seller: a month or two days, else the month of now.

        Raises:
            UnknownParty: there is no such party.
            UnknownAccount: it is the provider.
            BadPeriod: it cannot be read.
        """
        zone = self._letterhead(tenant, self._seller(tenant, party)).zone
        if first is not None and beyond is not None:
            return Period.days(first, beyond, zone)
        return Period.month(month, zone) if month is not None else Period.month_of(self._utc_ms(), zone)

    async def statement(self, tenant: str, party: str, period: Period) -> Statement:
        """What moved between a party and its seller in a period; raises UnknownParty or UnknownAccount."""
        of = partial(statement_of, buyer=party, seller=self._seller(tenant, party), period=period)
        return await self._store.ask(tenant, of)

    async def close(self, tenant: str, party: str, period: Period, author: str) -> Closed:
        """Close a period between a party and its seller, once; its invoice is durable when this returns.

        Raises:
            UnknownParty, UnknownAccount: as for a statement.
            NotToBeClosed: the period is not over, or another one has to be closed before it; the text says which.
            StoreError: nothing was written.
        """
        seller = self._seller(tenant, party)
        async with self._closing:
            statement = await self.statement(tenant, party, period)
            closed = await self._store.commit(
                PeriodClosed(
                    tenant=tenant,
                    statement=statement,
                    seller=self._letterhead(tenant, seller),
                    buyer=self._letterhead(tenant, party),
                    tax=self._directory.taxes.get((tenant, Sold.TO_PARTY, party)),
                    held=self._held(tenant),
                    author=author,
                    at_ms=self._utc_ms(),
                )
            )
        if closed.transfers:
            await self._take(tenant, closed.transfers)
            self._tell(PartyChanged(tenant=tenant, party=party))
        return closed

    async def invoice(self, tenant: str, party: str, number: str) -> Invoice:
        """An invoice of a party; raises UnknownInvoice."""
        return await self._store.ask(tenant, partial(invoice_of, buyer=party, name=number))

    async def invoices(
        self, tenant: str, parties: Collection[str], limit: int, after: tuple[str, str] | None = None
    ) -> list[Invoice]:
        """The newest invoices of some parties first, or those after the one of (party, number).

        Raises:
            UnknownPlace: there is none to go on after.
        """
        of = partial(invoices_of, buyers=frozenset(parties), limit=limit, after=after)
        return await self._store.ask(tenant, of)

    def _seller(self, tenant: str, party: str) -> str:
        parent = self._directory.parties[tenant][party].parent
        if parent is None:
            raise UnknownAccount(f"{party} is the provider: nobody sells to it, so it has no account here")
        return parent

    def _letterhead(self, tenant: str, party: str) -> Letterhead:
        """Who a party is on paper; one of whom the world says nothing has its name."""
        for known in self._directory.world(tenant).letterheads:
            if known.party == party:
                return known
        return Letterhead(tenant=tenant, party=party, name=party)

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
        self._moved(tenant, touched)
        accounts = (ledger.accounts[name] for name in touched if name in ledger.accounts)
        short = {account.name: account.currency for account in accounts if (account.available or 0) < 0}
        if short:
            await self._store.commit(AccountsJudged(tenant=tenant, accounts=short, held=self._held(tenant)))
