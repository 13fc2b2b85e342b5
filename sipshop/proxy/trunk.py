"""What is agreed with a carrier: who we are to him, how numbers are written, whom he is shown, what he is asked for.

Values and what follows from them alone; the machines that live on them are `sipshop.proxy.registration` and
`sipshop.proxy.health`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final, Generic, TypeVar

from sipshop.proxy.numbers import BadNumber, NumberRules
from sipshop.sip.flow import Address
from sipshop.sip.message import NameAddr, Uri

T = TypeVar("T")

#: Statuses that say what the callee wants or does. No agreement makes another carrier try them again: he would ring
#: the same telephone (RFC 3261 section 21.6 for 6xx).
CALLEES_WORD: Final = frozenset({486, 487, *range(600, 700)})


@dataclass(frozen=True, slots=True)
class Login:
    """Whom a carrier knows us as; no `username` means that he knows us by our address alone.

    `password` is the password itself, or where it is kept: `env:NAME` or `file:PATH`. With a `realm` no challenge of
    another one is answered.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    realm: str = ""


@dataclass(frozen=True, slots=True)
class Registering:
    """How we register with a carrier: `expires_s` is what we ask for, 0 is not at all.

    `registrars` are (host, port), tried in order; none means the trunk's own host, and a port None what DNS says.
    """

    expires_s: int = 0
    registrars: tuple[tuple[str, int | None], ...] = ()


@dataclass(frozen=True, slots=True)
class Probing:
    """How a carrier is watched: OPTIONS every `every_s` (0 is never), down after `misses` in a row.

    One that is down is left alone for `rest_s`, and then tried again by one call or one OPTIONS. A probe counts as
    missed when nothing has come for `patience_s`.
    """

    every_s: int = 0
    misses: int = 3
    rest_s: int = 30
    patience_s: int = 4


class Format(StrEnum):
    """How a carrier writes telephone numbers."""

    PLUS = "plus"  # +49301234567
    DIGITS = "digits"  # 49301234567
    INTERNATIONAL = "international"  # 0049301234567
    NATIONAL = "national"  # 0301234567 in his own country, 0044201234567 elsewhere


@dataclass(frozen=True, slots=True)
class Rewrite:
    """E.164 digits that begin with `prefix` lose their first `strip` digits and get `add` before them."""

    prefix: str
    strip: int
    add: str

    def __str__(self) -> str:
        return f"{self.prefix} (strip {self.strip}, add {self.add!r})"


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """How numbers are written to a carrier, and read from him.

    `country_code` and `national_prefix` are for the national format; `tech_prefix` stands before every number that is
    called. Of `rewrites` the longest prefix holds, and what it makes is not formatted again.
    """

    format: Format = Format.PLUS
    country_code: str = ""
    international_prefix: str = "00"
    national_prefix: str = "0"
    tech_prefix: str = ""
    rewrites: tuple[Rewrite, ...] = ()

    def called(self, e164: str) -> str:
        """The user part that calls a number of E.164 digits.

        >>> NumberFormat(Format.NATIONAL, country_code="49", tech_prefix="77").called("49301234567")
        '770301234567'
        """
        found = [rewrite for rewrite in self.rewrites if e164.startswith(rewrite.prefix)]
        if not found:
            return self.tech_prefix + self.shown(e164)
        rewrite = max(found, key=lambda each: len(each.prefix))
        return f"{self.tech_prefix}{rewrite.add}{e164[rewrite.strip :]}"

    def shown(self, e164: str) -> str:
        """A number of E.164 digits as the carrier writes it, for a caller's number."""
        match self.format:
            case Format.PLUS:
                return f"+{e164}"
            case Format.DIGITS:
                return e164
            case Format.NATIONAL if e164.startswith(self.country_code):
                return self.national_prefix + e164[len(self.country_code) :]
            case _:
                return self.international_prefix + e164

    def read(self, user: str) -> str:
        """The E.164 digits of a number that the carrier wrote in this format, or with a plus.

        Raises:
            BadNumber: it is no such number.
        """
        rules = NumberRules(
            country_code=self.country_code if self.format is Format.NATIONAL else "",
            international_prefix=self.international_prefix,
            national_prefix=self.national_prefix if self.format is Format.NATIONAL else "",
        )
        digits = user.removeprefix(self.tech_prefix)
        if self.format is Format.PLUS and not digits.startswith("+"):
            raise BadNumber("a number that begins with no plus")
        if self.format is Format.INTERNATIONAL and not digits.startswith(("+", self.international_prefix)):
            raise BadNumber(f"a number that begins with neither a plus nor {self.international_prefix}")
        # E.164 digits hold no trunk prefix: as they stand they would be read by the rules of a country
        return rules.to_e164(f"+{digits.removeprefix('+')}" if self.format is Format.DIGITS else digits)


class Show(StrEnum):
    """Whose number a carrier is shown as the caller's; who has none falls back to the one that is named before him."""

    FIXED = "fixed"
    SHOP = "shop"
    BOOTH = "booth"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class CallerId:
    """Who is shown as the caller. `number` is the trunk's own, in E.164 digits.

    `from_user` stands in From instead of the number, for carriers that want the account there. `asserted` puts the
    number into P-Asserted-Identity too (RFC 3325), which is for carriers that trust us and whom we trust.
    """

    show: Show = Show.SHOP
    number: str = ""
    from_user: str = ""
    asserted: bool = False


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the numbers of his shop and booth in E.164 digits, empty where there is none.

    `withheld`: he asked that nobody be shown his number (RFC 3323).
    """

    shop: str = ""
    booth: str = ""
    withheld: bool = False
    is_emergency: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """What an INVITE says of the caller: From without its tag, and the header fields that go with it."""

    from_: str
    headers: tuple[tuple[str, str], ...]


ANONYMOUS: Final = '"Anonymous" <sip:anonymous@anonymous.invalid>'
"""RFC 3323 section 4.1.1.3."""


def identity(policy: CallerId, caller: Caller, numbers: NumberFormat, host: str) -> Identity:
    """Whom a carrier is shown as the caller; `host` stands behind the @.

    Nothing that a phone wrote gets out, and no name of a booth or shop: a number that was set up, or nobody. Who calls
    for help is never withheld, for he may have to be called back.
    """
    number = _number(policy, caller)
    hidden = (caller.withheld or policy.show is Show.ANONYMOUS) and not caller.is_emergency
    headers: list[tuple[str, str]] = []
    shown = numbers.shown(number) if number else ""
    if policy.asserted and number:
        headers.append(("p-asserted-identity", str(NameAddr(Uri("sip", shown, host)))))
    if hidden:
        headers.append(("privacy", "id"))
    user = policy.from_user or shown
    if hidden or not user:
        return Identity(ANONYMOUS, tuple(headers))
    return Identity(str(NameAddr(Uri("sip", user, host))), tuple(headers))


def _number(policy: CallerId, caller: Caller) -> str:
    """The number of the caller: with a number withheld it is still the one that the carrier may trust."""
    is_booths = policy.show is Show.BOOTH or caller.is_emergency
    is_shops = policy.show in {Show.BOOTH, Show.SHOP} or caller.is_emergency
    return (caller.booth if is_booths else "") or (caller.shop if is_shops else "") or policy.number


def is_withheld(privacy: str | None) -> bool:
    """Whether a caller's Privacy header asks to hide who he is (RFC 3323 section 4.2).

    >>> is_withheld("id;critical"), is_withheld("none"), is_withheld(None)
    (True, False, False)
    """
    asked = {part.strip().lower() for part in (privacy or "").split(";")}
    return bool(asked & {"id", "user", "header"})


#: What holds where nothing was agreed on.
BY_ADDRESS: Final = Login()
NOT_REGISTERED: Final = Registering()
NOT_PROBED: Final = Probing()
WITH_PLUS: Final = NumberFormat()
SHOPS_NUMBER: Final = CallerId()


class Verdict(StrEnum):
    """What a carrier's refusal means for the call."""

    NEXT = "next"  # he cannot take it: the next trunk is tried
    STOP = "stop"  # the call cannot be made, by nobody


@dataclass(frozen=True, slots=True)
class FailOver:
    """Where an agreement differs from `MEANS`: statuses after which the next trunk is tried, and those that stop."""

    next: tuple[int, ...] = ()
    stop: tuple[int, ...] = ()


AS_USUAL: Final = FailOver()

#: What refusals mean by their first digit. 3xx sends us where no contract is.
_MEANS_BY_CLASS: Final[Mapping[int, Verdict]] = {
    3: Verdict.NEXT,
    4: Verdict.STOP,
    5: Verdict.NEXT,
    6: Verdict.STOP,
}
#: And where that is not so: the carrier's quarrel with us (401, 407), his silence (408), his protocol (420, 421),
#: a flow of his that is gone (430).
MEANS: Final[Mapping[int, Verdict]] = dict.fromkeys((401, 407, 408, 420, 421, 430), Verdict.NEXT)


def verdict(status: int, agreed: FailOver = AS_USUAL) -> Verdict:
    """What a carrier's final response other than 2xx means for the call.

    >>> verdict(403).value, verdict(403, FailOver(next=(403,))).value, verdict(486, FailOver(next=(486,))).value
    ('stop', 'next', 'stop')
    """
    if status in CALLEES_WORD:
        return Verdict.STOP
    if status in agreed.next:
        return Verdict.NEXT
    if status in agreed.stop:
        return Verdict.STOP
    return MEANS.get(status) or _MEANS_BY_CLASS[status // 100]


class Sources(Generic[T]):
    """Which carrier sends from an address: the one whose host and port it is, or one of whose networks it is in.

    His own names a port because others may live at that host: an edge proxy, or the phones of a test.
    """

    __slots__ = ("_hosts", "_networks")

    def __init__(self) -> None:
        self._hosts: dict[Address, list[T]] = {}
        self._networks: list[tuple[IPv4Network | IPv6Network, T]] = []

    def add(self, carrier: T, addresses: Iterable[Address], networks: Iterable[str]) -> None:
        """Know a carrier by his addresses and his networks; who was added first goes first."""
        for host, port in addresses:
            self._hosts.setdefault((ip_address(host).compressed, port), []).append(carrier)
        self._networks += [(ip_network(network), carrier) for network in networks]

    def find(self, source: Address) -> Sequence[T]:
        """The carriers who send from an address; more than one where providers share a carrier."""
        known = self._hosts.get(source, ())
        if known or not self._networks:
            return known
        address = ip_address(source[0])
        return [carrier for network, carrier in self._networks if address in network]
