"""What parties and customers have left, and what parties grant those below them: who is told in time (IO)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from sipshop.billing.desk import BoothSession
from sipshop.billing.errors import Overcommitted
from sipshop.billing.fx import FxTable
from sipshop.billing.ledger import Account, customer
from sipshop.billing.limits import (
    ALLOW,
    HOUR_MS,
    Limits,
    LowBalance,
    Overcommit,
    OvercommitAction,
    Place,
    Subject,
)
from sipshop.billing.money import Money, format_micros
from sipshop.billing.parties import PartyTree
from sipshop.billing.watch import Spent
from sipshop.store import Alert, KeptLimits, Store
from sipshop.switch.accounts import Accounts
from sipshop.switch.alerts import Alerts, Cause
from sipshop.switch.directory import Directory
from sipshop.switch.limits import LOOK_BACK_MS
from sipshop.switch.records import Live
from sipshop.world import Plan


@dataclass(frozen=True, slots=True)
class Grants:
    """What those below a party may spend, and what it may spend itself, in micro-units; None is without end."""

    granted: int | None
    own: int | None


class Balances:
    """Who is told when an account or a deposit runs out, and when a party grants more than it has."""

    def __init__(
        self,
        *,
        directory: Directory,
        store: Store,
        accounts: Accounts,
        alerts: Alerts,
        utc_ms: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._store = store
        self._accounts = accounts
        self._alerts = alerts
        self._utc_ms = utc_ms
        self._limits: dict[tuple[str, Subject], Limits] = {}
        self._paces: dict[tuple[str, Subject], Spent] = {}
        self._low: dict[tuple[str, Subject], Alert] = {}
        self._children: dict[str, tuple[PartyTree, Mapping[str, list[str]]]] = {}

    def begin(self, kept: KeptLimits) -> None:
        """Know who was told already, and has not got more since."""
        self._low = {(tenant, Subject(Place(low.place), low.name)): low for tenant, low in kept.unhealed}
        self.know()
        now_ms = self._utc_ms()
        lasting = {
            tenant for (tenant, _), each in self._limits.items() if each.low_balance and each.low_balance.lasts_ms
        }
        for tenant in lasting:
            for call in self._store.recent_calls(tenant, now_ms - LOOK_BACK_MS):
                for buyer, amount in call.amounts.items():
                    subject = Subject(Place.PARTY, buyer) if buyer else Subject(Place.BOOTH, call.booth)
                    self._spend(tenant, subject, amount, call.answered_at_ms or 0, call.talk_ms)

    def know(self) -> None:
        """Take the policies of the worlds as they are now."""
        self._limits = {(world.tenant, each.subject): each for world in self._directory.worlds for each in world.limits}
        self._paces = {key: pace for key, pace in self._paces.items() if self._policy(*key) is not None}

    # Little left.

    def check_call(self, live: Live) -> None:
        """Look at everybody who pays for a call."""
        passage = live.offer.passage
        if passage is None or not self._limits:
            return
        for level in passage.levels[1:]:
            self.check_party(live.tenant, level.buyer)
        session = self._accounts.unpaid_of((live.tenant, live.offer.booth.name))
        if session is not None:
            self.check_session(session)

    def note(self, live: Live, talk_ms: int) -> None:
        """Count what a call has cost that is over, for the pace at which its payers spend."""
        passage = live.offer.passage
        if passage is None or not self._limits:
            return
        customers, *above = passage.levels
        payers = [(Subject(Place.BOOTH, live.offer.booth.name), customers)]
        payers += [(Subject(Place.PARTY, level.buyer), level) for level in above]
        for subject, level in payers:
            if talk_ms and self._policy(live.tenant, subject) is not None:
                amount = level.price(talk_ms, live.priced_at_ms)
                self._spend(live.tenant, subject, amount, live.priced_at_ms, talk_ms)

    def _spend(self, tenant: str, subject: Subject, amount: int, start_ms: int, talk_ms: int) -> None:
        policy = self._policy(tenant, subject)
        if policy is not None and policy.lasts_ms:
            pace = self._paces.setdefault((tenant, subject), Spent(HOUR_MS))
            pace.add(amount, start_ms, start_ms + talk_ms, self._utc_ms())

    def check_party(self, tenant: str, name: str) -> None:
        """Look at the account of a party."""
        parent = self._directory.parties[tenant][name].parent
        if parent is not None:
            left = self._accounts.ledger(tenant)[customer(name, parent)].available
            self._check(tenant, Subject(Place.PARTY, name), left)

    def check_session(self, session: BoothSession) -> None:
        """Look at what a booth's customer has left."""
        left, _ = self._accounts.free(session)
        self._check(session.tenant, Subject(Place.BOOTH, session.booth), left)

    def check_booth(self, tenant: str, booth: str) -> None:
        """A booth's customer has paid, or another came."""
        session = self._accounts.unpaid_of((tenant, booth))
        if session is None:
            self._check(tenant, Subject(Place.BOOTH, booth), None)
        else:
            self.check_session(session)

    def _check(self, tenant: str, subject: Subject, left: int | None) -> None:
        policy, low = self._policy(tenant, subject), self._low.get((tenant, subject))
        if policy is None and low is None:
            return
        pace = self._paces.get((tenant, subject))
        spent = pace.total(self._utc_ms()) if pace is not None else 0
        if low is not None and (policy is None or left is None or policy.is_well(left, spent)):
            del self._low[tenant, subject]
            self._alerts.mend(tenant, low)
        elif low is None and policy is not None and left is not None and policy.is_low(left, spent):
            detail = f"{format_micros(left)} is left, and {format_micros(spent)} was spent in the last hour"
            why = Cause(kind="low_balance", action="alert", subject=subject, detail=detail)
            self._low[tenant, subject] = self._alerts.raise_(tenant, why)

    def _policy(self, tenant: str, subject: Subject) -> LowBalance | None:
        """When somebody has little left: a booth's customer when its shop says so."""
        if subject.place is Place.BOOTH:
            booth = self._directory.booths.get((tenant, subject.name))
            if booth is None:
                return None
            subject = Subject(Place.SHOP, booth.shop)
        limits = self._limits.get((tenant, subject))
        return limits.low_balance if limits is not None else None

    # Too much granted.

    def grants(self, tenant: str, party: str) -> Grants:
        """What a party grants those below it, in the currency of its own account, by today's rates.

        What no rate of exchange holds for today is left out, but for credit without end.
        """
        return self._grants(tenant, self._directory.parties[tenant], party, self._change(tenant))

    def check_grant(self, tenant: str, child: str, *, limits: Mapping[str, int | None] = {}, paid: int = 0) -> None:
        """Look at what the seller of a party would grant with another credit limit, or an amount that is paid in.

        Raises:
            UnknownParty: there is no such party.
            Overcommitted: that is more than the seller's policy lets.
        """
        tree, change = self._directory.parties[tenant], replace(self._change(tenant), limits=limits, paid={child: paid})
        seller = tree[child].parent
        if seller is not None and self._raises(tenant, seller, child, change):
            policy = self._overcommit(self._limits.get((tenant, Subject(Place.PARTY, seller))))
            self._judge(seller, policy, self._grants(tenant, tree, seller, change))

    def check_plan(self, plan: Plan) -> tuple[str, ...]:
        """Look at every seller to whose customers a world gives more, and return them; raises `Overcommitted`."""
        tenant, tree = plan.after.tenant, PartyTree(plan.after.parties)
        change = _Change(
            fx=FxTable(plan.after.fx),
            limits={opening.party: opening.credit_limit_micros for opening in plan.after.openings},
            paid={opening.party: opening.opening_micros for opening in plan.postings},
            currencies={opening.party: opening.currency for opening in plan.after.openings},
        )
        parents = {party.name: party.parent for party in tree if party.parent is not None}
        raised = {seller: None for name, seller in parents.items() if self._raises(tenant, seller, name, change)}
        limits = {each.subject: each for each in plan.after.limits}
        for seller in raised:
            policy = self._overcommit(limits.get(Subject(Place.PARTY, seller)))
            self._judge(seller, policy, self._grants(tenant, tree, seller, change))
        return tuple(raised)

    def warn(self, tenant: str, sellers: Iterable[str]) -> None:
        """Tell of those who now grant more than they are to, and want to be warned."""
        for seller in sellers:
            subject = Subject(Place.PARTY, seller)
            policy, grants = self._overcommit(self._limits.get((tenant, subject))), self.grants(tenant, seller)
            if policy.action is OvercommitAction.WARN and policy.is_beyond(grants.granted, grants.own):
                why = Cause(kind="overcommit", action="alert", subject=subject, detail=_granted_text(seller, grants))
                self._alerts.raise_(tenant, why)

    def _raises(self, tenant: str, seller: str, party: str, change: _Change) -> bool:
        """Whether a change lets a party spend more."""
        before, _ = self._potential(tenant, party, seller, self._change(tenant))
        after, _ = self._potential(tenant, party, seller, change)
        return before is not None and (after is None or after > before)

    def _grants(self, tenant: str, tree: PartyTree, party: str, change: _Change) -> Grants:
        parent = tree[party].parent
        own, currency = (None, "") if parent is None else self._potential(tenant, party, parent, change)
        total = 0
        for child in self._below(tenant, tree, party):
            may_spend, of = self._potential(tenant, child, party, change)
            if may_spend is None:
                return Grants(None, own)
            if currency and of != currency:
                booking = change.fx.booking(of, currency, self._utc_ms())
                may_spend = booking.convert(Money(may_spend, of)).micros if booking is not None else 0
            total += max(0, may_spend)
        return Grants(total, own)

    def _change(self, tenant: str) -> _Change:
        """Nothing changes."""
        return _Change(fx=self._directory.fx(tenant))

    def _below(self, tenant: str, tree: PartyTree, party: str) -> Iterable[str]:
        """Those to whom a party sells; who sells to whom is looked up once in a tree."""
        known, children = self._children.get(tenant, (None, {}))
        if known is not tree:
            found: dict[str, list[str]] = {}
            for each in tree:
                if each.parent is not None:
                    found.setdefault(each.parent, []).append(each.name)
            self._children[tenant], children = (tree, found), found
        return children.get(party, ())

    def _potential(self, tenant: str, party: str, parent: str, change: _Change) -> tuple[int | None, str]:
        """What a party may spend once something has changed, and in which currency; a new one begins with nothing."""
        account = self._accounts.ledger(tenant).accounts.get(customer(party, parent))
        balance, limit, currency = (0, 0, change.currencies.get(party, "")) if account is None else _of(account)
        limit = change.limits.get(party, limit)
        return None if limit is None else balance + limit + change.paid.get(party, 0), currency

    @staticmethod
    def _overcommit(limits: Limits | None) -> Overcommit:
        return limits.overcommit if limits is not None else ALLOW

    @staticmethod
    def _judge(seller: str, policy: Overcommit, grants: Grants) -> None:
        if policy.action is OvercommitAction.REFUSE and policy.is_beyond(grants.granted, grants.own):
            raise Overcommitted(_granted_text(seller, grants))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Change:
    """Rates of exchange; credit limits that are to be others, what is paid in, currencies of new accounts, by party."""

    fx: FxTable
    limits: Mapping[str, int | None] = field(default_factory=dict)
    paid: Mapping[str, int] = field(default_factory=dict)
    currencies: Mapping[str, str] = field(default_factory=dict)


def _of(account: Account) -> tuple[int, int | None, str]:
    return account.balance, account.credit_limit, account.currency


def _granted_text(seller: str, grants: Grants) -> str:
    granted = "credit without end" if grants.granted is None else format_micros(grants.granted)
    return f"{seller} grants {granted} to those below it, and has {format_micros(grants.own or 0)} itself"
