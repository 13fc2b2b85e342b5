"""What the API shows and takes, as JSON: amounts as decimal strings, instants as ISO 8601 in UTC with milliseconds.

The classes are the schema that /openapi.json publishes; each is built from the value of the room that owns it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sipshop.billing.cdr import utc_text
from sipshop.billing.money import amount_text
from sipshop.billing.parties import Kind
from sipshop.billing.tax import Tax, TaxSum
from sipshop.export.couriers import TargetStatus
from sipshop.settings import Change, Reloaded
from sipshop.store import Token
from sipshop.store.audit import LAWS, Violation
from sipshop.store.verify import Verified
from sipshop.switch import BoothStatus, CallStatus, PartyStatus, RegistrationStatus

MAX_MINUTES: Final = 44_640  # of a month
MAX_ROWS: Final = 1000


def one_line(text: str) -> str:
    """Return a text without the space around it; raises ValueError for one with other than printable characters."""
    if not text.isprintable() or not text.strip():
        raise ValueError("it has to be one line of printable characters")
    return text.strip()


AmountText = Annotated[
    str, Field(max_length=40, description='a decimal string such as "5.00"; as many places as the currency has suffice')
]
Reason = Annotated[
    str, Field(min_length=1, max_length=200, description="why, for whoever reads the books"), AfterValidator(one_line)
]

Label = Annotated[
    str, Field(min_length=1, max_length=80, description="whose it is, or what for"), AfterValidator(one_line)
]
Next = Annotated[str | None, Field(description="the `cursor` of what comes after this page; null: this is all")]


class Command(BaseModel):
    """The body of a command: exactly what is documented, of exactly these types."""

    model_config = ConfigDict(extra="forbid", strict=True)


class UnlockCommand(Command):
    """Unlock a booth for a deposit that was paid, up to a limit, for minutes of talk, or, without any, without end."""

    deposit: AmountText | None = None
    limit: AmountText | None = None
    minutes: int | None = Field(default=None, ge=1, le=MAX_MINUTES)


class LockCommand(Command):
    """Lock a booth; `cut` also hangs up the call that it has."""

    cut: bool = False


class TopUpCommand(Command):
    """Add to the deposit of a booth's session."""

    amount: AmountText


class SuspendCommand(Command):
    """Suspend a party; `cut` also hangs up the calls below it."""

    cut: bool = False


class MoveCommand(Command):
    """Move money between a party's account and the world outside; an amount below zero goes out."""

    amount: AmountText
    reason: Reason


class LimitCommand(Command):
    """Set a party's credit limit, or say that it has none."""

    credit_limit: AmountText | None = None
    unlimited: bool = False
    reason: Reason

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.credit_limit is not None) == self.unlimited:
            raise ValueError("give either a credit_limit or unlimited")
        return self


class TokenCommand(Command):
    """Make a token for a party (it sees itself and all below it), for one shop, or for a person of the world."""

    label: Label
    party: str | None = None
    shop: str | None = None
    operator: str | None = Field(
        default=None, description="a person: the token has his role and shop, and ends with him"
    )
    days: int | None = Field(default=365, ge=1, le=3650, description="how long it is valid; null: without end")

    @model_validator(mode="after")
    def _either(self) -> Self:
        if sum(whose is not None for whose in (self.party, self.shop, self.operator)) != 1:
            raise ValueError("give a party, a shop or an operator, and one of them only")
        return self


class TraceCommand(Command):
    """Trace SIP messages: of a booth, of a call (by our name for it or a SIP Call-ID), or to a number."""

    booth: str | None = Field(default=None, min_length=1, max_length=100)
    call_id: str | None = Field(default=None, min_length=1, max_length=300)
    number: str | None = Field(default=None, max_length=40, pattern=r"^[+0-9 ()./-]*([0-9][ ()./-]*){3,}$")
    seconds: int = Field(default=60, ge=1, le=3600, description="when it ends by itself")
    messages: int = Field(default=1000, ge=1, le=5000, description="how many are kept, the newest")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(wanted is not None for wanted in (self.booth, self.call_id, self.number)) != 1:
            raise ValueError("give a booth, a call_id or a number, and one of them only")
        return self


def _amount(micros: int | None, currency: str | None) -> str | None:
    return None if micros is None or currency is None else amount_text(micros, currency)


def _instant(at_ms: int | None) -> str | None:
    return None if at_ms is None else utc_text(at_ms)


class TaxView(BaseModel):
    """A tax: its rate in percent, and whether prices have it in them or it is added to them."""

    name: str
    percent: str
    mode: Literal["included", "added"]

    @classmethod
    def of(cls, tax: Tax | None) -> Self | None:
        """The view of a tax; null where there is none."""
        return None if tax is None else cls.model_validate(tax.to_json())


class BoothView(BaseModel):
    """A booth as the desk sees it; what a booth without a session or without a call cannot have is null."""

    booth: str
    shop: str
    state: Literal["disabled", "locked", "open", "in call"]
    suspended: bool
    registered: int = Field(description="phones that are registered for the booth")
    reachable: int = Field(description="those of them that answer, as far as is known")
    currency: str
    session_id: int | None
    opened_at: str | None
    opened_by: str | None
    dialled: str | None
    seconds: int | None = Field(description="how long its call has been going on")
    live_calls: int
    deposit: str = Field(description="what was paid in beforehand")
    credit_limit: str | None = Field(description="what may be spent beyond the deposit; null: no end")
    talk_limit_ms: int | None = Field(description="how long all calls of the session may talk; null: no end")
    available: str | None = Field(description="what is left of deposit and limit; live calls hold the rest")
    left_ms: int | None = Field(description="what is left of the talk time; live calls hold the rest")
    tax: TaxView | None = Field(description="what the shop's customers are taxed at; null: nothing")

    @classmethod
    def of(cls, status: BoothStatus) -> Self:
        """The view of a booth's status."""
        return cls(
            booth=status.booth,
            shop=status.shop,
            state=status.state,
            suspended=status.suspended,
            registered=status.registered,
            reachable=status.reachable,
            currency=status.currency,
            session_id=status.session_id,
            opened_at=_instant(status.opened_at_ms),
            opened_by=status.opened_by,
            dialled=status.dialled,
            seconds=status.seconds,
            live_calls=status.live_calls,
            deposit=amount_text(status.deposit_micros, status.currency),
            credit_limit=_amount(status.credit_limit_micros, status.currency),
            talk_limit_ms=status.talk_limit_ms,
            available=_amount(status.available_micros, status.currency),
            left_ms=status.left_ms,
            tax=TaxView.of(status.tax),
        )


class BoothList(BaseModel):
    """The booths that the token sees, in the order of their world."""

    booths: list[BoothView]
    next: Next


class RegistrationView(BaseModel):
    """A phone that is registered for a booth; what it says of itself is not to be trusted."""

    booth: str
    shop: str
    contact: str = Field(description="what the phone calls itself")
    address: str = Field(description="where it was heard, and is reached: of a phone behind a NAT, the NAT's")
    transport: str
    user_agent: str
    reachable: bool = Field(description="false: its connection is gone, or it missed three questions in a row")
    expires_at: str
    seen_at: str | None = Field(description="when it was last heard; null: not since the server was started")
    rtt_ms: float | None = Field(description="how long its last answer to a question of ours took; null: none yet")

    @classmethod
    def of(cls, status: RegistrationStatus) -> Self:
        """The view of a phone's status."""
        return cls(
            booth=status.booth,
            shop=status.shop,
            contact=status.contact,
            address=status.address,
            transport=status.transport,
            user_agent=status.user_agent,
            reachable=status.reachable,
            expires_at=utc_text(status.expires_at_ms),
            seen_at=_instant(status.seen_at_ms),
            rtt_ms=status.rtt_ms,
        )


class RegistrationList(BaseModel):
    """The phones that are registered for the booths that the token sees, in the order of their world."""

    registrations: list[RegistrationView]
    next: Next


class TaxSumView(TaxView):
    """What is taxed at one rate in a total: net and tax are the gross."""

    net: str
    tax: str
    gross: str

    @classmethod
    def of_sum(cls, found: TaxSum) -> Self:
        """The view of a tax in a total."""
        parts = {"net": found.parts.net.text, "tax": found.parts.tax.text, "gross": found.parts.gross.text}
        return cls.model_validate(found.tax.to_json() | parts)


class PartyView(BaseModel):
    """A party, and its account with the one above it, its parent; the provider has no account, only nulls."""

    party: str
    kind: Kind
    parent: str | None
    suspended: bool
    suspended_by: str | None = Field(description="the nearest suspended party, itself or above; null: it may call")
    suspender: str | None = Field(
        description="who suspended it, and alone ends that, or who is above; null: nobody did"
    )
    currency: str | None
    balance: str | None
    credit_limit: str | None = Field(description="what it may owe; null without end or without an account")
    unlimited: bool
    held: str | None = Field(description="what its live calls may still cost")
    available: str | None = Field(description="balance and credit limit less what is held")
    overdrawn: bool = Field(description="an adjustment took more than there was: no new calls")
    live_calls: int
    tax: TaxView | None = Field(description="what is added on its invoices; null: nothing")
    granted: str | None = Field(description="what those below it may spend; null where that is without end")
    grants_without_end: bool

    @classmethod
    def of(cls, status: PartyStatus) -> Self:
        """The view of a party's status."""
        return cls(
            party=status.party,
            kind=Kind(status.kind),
            parent=status.parent,
            suspended=status.suspended,
            suspended_by=status.suspended_by,
            suspender=status.suspender,
            currency=status.currency,
            balance=_amount(status.balance_micros, status.currency),
            credit_limit=_amount(status.credit_limit_micros, status.currency),
            unlimited=status.unlimited,
            held=_amount(status.held_micros, status.currency),
            available=_amount(status.available_micros, status.currency),
            overdrawn=status.overdrawn,
            live_calls=status.live_calls,
            tax=TaxView.of(status.tax),
            granted=_amount(status.granted_micros, status.currency),
            grants_without_end=status.grants_without_end,
        )


class PartyList(BaseModel):
    """The parties that the token sees, in the order of their world."""

    parties: list[PartyView]
    next: Next


class TransferList(BaseModel):
    """What moved on a party's account, the newest first; an amount below zero left it."""

    party: str
    transfers: list[dict[str, Any]]
    next: Next


class CdrList(BaseModel):
    """Call detail records, the newest first, each with the columns of `sipshop.billing.cdr.Cdr`.

    Charges above the token's own party are left out; who is not the provider sees no carriers.
    """

    cdrs: list[dict[str, Any]]
    next: Next


class CallView(BaseModel):
    """A live call: what the customer owes for it so far, and, for the provider, the trunk that it is on."""

    call_id: str
    shop: str
    booth: str
    kind: str
    direction: Literal["outbound", "inbound"]
    state: Literal["setting up", "ringing", "answered"]
    dialled: str
    e164: str | None
    destination: str | None
    setup_at: str
    answered_at: str | None
    talk_ms: int
    amount: str
    currency: str
    trunk: str | None

    @classmethod
    def of(cls, status: CallStatus, *, with_trunk: bool) -> Self:
        """The view of a live call."""
        return cls(
            call_id=status.call_id,
            shop=status.shop,
            booth=status.booth,
            kind=status.kind,
            direction=status.direction,
            state=status.state,
            dialled=status.dialled,
            e164=status.e164,
            destination=status.destination,
            setup_at=utc_text(status.setup_at_ms),
            answered_at=_instant(status.answered_at_ms),
            talk_ms=status.talk_ms,
            amount=amount_text(status.amount_micros, status.currency),
            currency=status.currency,
            trunk=status.trunk if with_trunk else None,
        )


class CallList(BaseModel):
    """The live calls that the token sees, the oldest first."""

    calls: list[CallView]


class TokenView(BaseModel):
    """An API token, but for what it is: that was told once, when it was made."""

    id: str
    label: str
    role: Literal["provider", "reseller", "owner", "operator"]
    party: str
    shop: str | None = Field(description="the one shop that an operator sees")
    operator: str | None = Field(description="the person whose it is, whom records name; null: a program's")
    created_at: str
    expires_at: str | None
    revoked_at: str | None

    @classmethod
    def of(cls, token: Token, *, secret: str | None = None) -> Self:
        """The view of a token; of a new one with the token itself, its `secret`."""
        return cls.model_validate(
            {
                "id": token.id,
                "label": token.label,
                "role": token.role,
                "party": token.party,
                "shop": token.shop,
                "operator": token.operator,
                "created_at": utc_text(token.created_at_ms),
                "expires_at": _instant(token.expires_at_ms),
                "revoked_at": _instant(token.revoked_at_ms),
            }
            | ({} if secret is None else {"token": secret})
        )


class NewTokenView(TokenView):
    """A token that was made now, with the token itself: it is kept nowhere, and told this once."""

    token: str


class TokenList(BaseModel):
    """The tokens of the parties that the token sees, the oldest first, the revoked ones too."""

    tokens: list[TokenView]


class MessageView(BaseModel):
    """A SIP message of a trace; what proves a password is blotted out in its text."""

    number: int
    at: str
    transport: str
    source: str
    destination: str
    sent: bool = Field(description="by this switch")
    says: str
    text: str


class TraceView(BaseModel):
    """A trace, and its messages; `count` is how many there were, the oldest of which may be gone."""

    id: str
    running: bool
    count: int
    messages: list[MessageView]


class ViolationView(BaseModel):
    """A law of the books that does not hold."""

    law: str
    tenant: str
    subject: str = Field(description="the call, account or transfer that it was found at")
    text: str


class AuditView(BaseModel):
    """What an audit of the books found: every law in a sentence, and each place where one does not hold."""

    clean: bool
    laws: dict[str, str]
    violations: list[ViolationView]

    @classmethod
    def of(cls, violations: Iterable[Violation]) -> Self:
        """The view of what an audit found."""
        found = [
            ViolationView(law=one.law, tenant=one.tenant, subject=one.subject, text=one.text) for one in violations
        ]
        return cls(clean=not found, laws=dict(LAWS), violations=found)


class ChangeView(BaseModel):
    """A key of the configuration with another value; of a secret neither is shown."""

    key: str
    old: str
    new: str

    @classmethod
    def of(cls, change: Change) -> Self:
        """Show a change."""
        return cls(key=change.key, old=change.old, new=change.new)


class ReloadedView(BaseModel):
    """A configuration that was read again: what holds from now on, and what waits for a restart."""

    changed: list[ChangeView]
    restart: list[ChangeView]

    @classmethod
    def of(cls, done: Reloaded) -> Self:
        """Show what a reload did."""
        return cls(
            changed=[ChangeView.of(change) for change in done.changed],
            restart=[ChangeView.of(change) for change in done.restart],
        )


class BanView(BaseModel):
    """An address from which nothing is heard, or nothing for one account, until an instant."""

    source: str
    account: str | None
    until: str


class BanList(BaseModel):
    """Every ban that stands, the newest last."""

    bans: list[BanView]


class LiftedView(BaseModel):
    """How many bans were ended."""

    lifted: int


class ProblemView(BaseModel):
    """A refusal (RFC 9457); some codes carry more members."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str


class DifferenceView(BaseModel):
    """A charge that is not what its talk costs by its own tariff, with the arithmetic as it stands and as is due."""

    call_id: str
    revision: int
    level: int
    seller: str
    buyer: str
    currency: str
    stands: str
    stands_lines: str
    due: str
    due_lines: str


class VerifiedView(BaseModel):
    """How many charges were worked out once more, and those that differ; `more` are not shown."""

    clean: bool
    charges: int
    differences: list[DifferenceView]
    more: int

    @classmethod
    def of(cls, verified: Verified) -> Self:
        """Show what was found."""
        return cls.model_validate(verified.to_json())


class ParkedView(BaseModel):
    """A record that a target refused by itself; `is_due` says that it will be tried once more."""

    number: int
    call_id: str
    revision: int
    why: str
    at: str
    is_due: bool


class TargetView(BaseModel):
    """A target of the export.

    `state` is looking, sending, keeping, idle or failing; `failures` are those in a row and `why` the last of them. The
    counts are null before it could begin. `parked` are the first hundred of `parked_count`.
    """

    target: str
    where: str
    state: str
    failures: int
    why: str
    next_try_s: float | None
    backlog: int | None
    age_s: float
    taken: int | None
    delivered: int | None
    skipped: int | None
    parked_count: int
    parked: list[ParkedView]

    @classmethod
    def of(cls, status: TargetStatus) -> Self:
        """Show how a target does."""
        seen = status.standing
        return cls(
            target=status.target,
            where=status.where,
            state=status.state,
            failures=status.failures,
            why=status.why,
            next_try_s=None if status.next_try_s is None else round(status.next_try_s, 1),
            backlog=None if seen is None else seen.backlog,
            age_s=round(status.age_s, 1),
            taken=None if seen is None else seen.taken,
            delivered=None if seen is None else seen.delivered,
            skipped=None if seen is None else seen.skipped,
            parked_count=0 if seen is None else seen.parked_count,
            parked=[] if seen is None else [ParkedView.model_validate(one.to_json()) for one in seen.parked],
        )


class OutboxView(BaseModel):
    """The targets of the export."""

    targets: list[TargetView]


class RetriedView(BaseModel):
    """How many records that a target refused are tried once more."""

    retried: int


class SkipCommand(Command):
    """Skip a record, by its number in the outbox."""

    number: int = Field(ge=1, le=2**53)
