"""How numbers are written to carriers, who is shown as the caller, and what a refusal means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.numbers import BadNumber
from sipshop.proxy.trunk import (
    ANONYMOUS,
    CALLEES_WORD,
    Caller,
    CallerId,
    FailOver,
    Format,
    Login,
    NumberFormat,
    Rewrite,
    Show,
    Sources,
    Verdict,
    identity,
    is_withheld,
    verdict,
)
from sipshop.sip.flow import Address

BERLIN, LONDON = "49301234567", "442071234567"
NATIONAL = NumberFormat(Format.NATIONAL, country_code="49")
E164 = st.from_regex(r"[1-9][0-9]{4,14}", fullmatch=True)
FORMATS = st.sampled_from(
    [
        NumberFormat(),
        NumberFormat(Format.DIGITS),
        NumberFormat(Format.INTERNATIONAL),
        NumberFormat(Format.INTERNATIONAL, international_prefix="011"),
        NATIONAL,
        NumberFormat(Format.NATIONAL, country_code="1", international_prefix="011", national_prefix="1"),
        NumberFormat(Format.PLUS, tech_prefix="99#"),
        NumberFormat(Format.DIGITS, tech_prefix="*7*"),
    ]
)


# Numbers


@pytest.mark.parametrize(
    ("numbers", "e164", "user"),
    [
        pytest.param(NumberFormat(), BERLIN, "+49301234567", id="with a plus"),
        pytest.param(NumberFormat(Format.DIGITS), BERLIN, "49301234567", id="the digits alone"),
        pytest.param(NumberFormat(Format.INTERNATIONAL), BERLIN, "0049301234567", id="with 00"),
        pytest.param(
            NumberFormat(Format.INTERNATIONAL, international_prefix="011"), BERLIN, "01149301234567", id="from America"
        ),
        pytest.param(NATIONAL, BERLIN, "0301234567", id="national at home"),
        pytest.param(NATIONAL, LONDON, "00442071234567", id="national abroad"),
        pytest.param(NumberFormat(Format.DIGITS, tech_prefix="1234#"), BERLIN, "1234#49301234567", id="a tech prefix"),
        pytest.param(
            NumberFormat(rewrites=(Rewrite("49", 2, "0"),)), BERLIN, "0301234567", id="strip two, add one, no plus"
        ),
        pytest.param(
            NumberFormat(rewrites=(Rewrite("49", 2, "0"), Rewrite("4930", 4, ""))), BERLIN, "1234567", id="the longest"
        ),
        pytest.param(
            NumberFormat(rewrites=(Rewrite("44", 0, "9011"),)), BERLIN, "+49301234567", id="no rewrite for it"
        ),
        pytest.param(
            NumberFormat(tech_prefix="7", rewrites=(Rewrite("44", 0, "11"),)), LONDON, f"711{LONDON}", id="behind both"
        ),
    ],
)
def test_a_number_as_the_carrier_writes_it(numbers: NumberFormat, e164: str, user: str) -> None:
    assert numbers.called(e164) == user


def test_a_callers_number_has_no_tech_prefix() -> None:
    assert NumberFormat(Format.DIGITS, tech_prefix="99").shown(BERLIN) == BERLIN


@given(FORMATS, E164)
def test_what_is_written_is_read_again(numbers: NumberFormat, e164: str) -> None:
    if numbers.national_prefix and e164.startswith(numbers.country_code) and numbers.format is Format.NATIONAL:
        # a national number that begins with the prefix to dial abroad cannot be told from one abroad: none does
        national = numbers.national_prefix + e164[len(numbers.country_code) :]
        if national.startswith(numbers.international_prefix):
            return
    assert numbers.read(numbers.called(e164)) == e164


@pytest.mark.parametrize(
    ("numbers", "user"),
    [
        pytest.param(NumberFormat(), "0301234567", id="a plus was agreed on"),
        pytest.param(NumberFormat(Format.INTERNATIONAL), "0301234567", id="national, but 00 was agreed on"),
        pytest.param(NumberFormat(Format.DIGITS), "anonymous", id="no number"),
        pytest.param(NumberFormat(Format.DIGITS), "0301234567", id="no country code begins with 0"),
        pytest.param(NATIONAL, "301234567", id="neither prefix"),
        pytest.param(NumberFormat(), "+49", id="too short"),
        pytest.param(NumberFormat(), "+49301234567\r\nx", id="more than a number"),
    ],
)
def test_what_is_no_number_in_the_format_is_not_guessed_at(numbers: NumberFormat, user: str) -> None:
    with pytest.raises(BadNumber):
        numbers.read(user)


@pytest.mark.parametrize("numbers", [NumberFormat(), NumberFormat(Format.DIGITS), NATIONAL])
def test_a_plus_is_read_in_every_format(numbers: NumberFormat) -> None:
    assert numbers.read("+442071234567") == LONDON


# The caller


SHOP, BOOTH, OWN = "493011111", "493022222", "493033333"
HOST = "sip.example.com"


@pytest.mark.parametrize(
    ("policy", "caller", "from_"),
    [
        pytest.param(CallerId(), Caller(shop=SHOP, booth=BOOTH), f"<sip:+{SHOP}@{HOST}>", id="the shop's number"),
        pytest.param(CallerId(number=OWN), Caller(booth=BOOTH), f"<sip:+{OWN}@{HOST}>", id="the trunk's, without one"),
        pytest.param(CallerId(Show.BOOTH), Caller(shop=SHOP, booth=BOOTH), f"<sip:+{BOOTH}@{HOST}>", id="the booth's"),
        pytest.param(CallerId(Show.BOOTH), Caller(shop=SHOP), f"<sip:+{SHOP}@{HOST}>", id="the shop's, without one"),
        pytest.param(
            CallerId(Show.FIXED, OWN), Caller(shop=SHOP, booth=BOOTH), f"<sip:+{OWN}@{HOST}>", id="always the trunk's"
        ),
        pytest.param(CallerId(), Caller(), ANONYMOUS, id="nobody has a number"),
        pytest.param(CallerId(Show.ANONYMOUS, OWN), Caller(shop=SHOP), ANONYMOUS, id="nobody is shown"),
        pytest.param(CallerId(from_user="acct7"), Caller(shop=SHOP), f"<sip:acct7@{HOST}>", id="the account in From"),
        pytest.param(
            CallerId(from_user="acct7"), Caller(shop=SHOP, withheld=True), ANONYMOUS, id="withheld goes before it"
        ),
    ],
)
def test_from(policy: CallerId, caller: Caller, from_: str) -> None:
    assert identity(policy, caller, NumberFormat(), HOST).from_ == from_


@pytest.mark.parametrize(
    ("policy", "caller", "headers"),
    [
        pytest.param(CallerId(), Caller(shop=SHOP), {}, id="nothing is asserted unless it was agreed on"),
        pytest.param(
            CallerId(asserted=True),
            Caller(shop=SHOP),
            {"p-asserted-identity": f"<sip:+{SHOP}@{HOST}>"},
            id="the number is asserted",
        ),
        pytest.param(CallerId(asserted=True), Caller(), {}, id="there is nothing to assert"),
        pytest.param(
            CallerId(asserted=True),
            Caller(shop=SHOP, withheld=True),
            {"p-asserted-identity": f"<sip:+{SHOP}@{HOST}>", "privacy": "id"},
            id="withheld: he who is trusted learns it, and keeps it",
        ),
        pytest.param(CallerId(), Caller(shop=SHOP, withheld=True), {"privacy": "id"}, id="withheld, and not asserted"),
    ],
)
def test_what_is_asserted_and_what_is_private(policy: CallerId, caller: Caller, headers: dict[str, str]) -> None:
    assert dict(identity(policy, caller, NumberFormat(), HOST).headers) == headers


def test_who_calls_for_help_is_never_withheld() -> None:
    caller = Caller(shop=SHOP, booth=BOOTH, withheld=True, is_emergency=True)
    for show in Show:
        shown = identity(CallerId(show, OWN), caller, NumberFormat(), HOST)
        assert (shown.from_, shown.headers) == (f"<sip:+{BOOTH}@{HOST}>", ())


NUMBER = st.one_of(st.just(""), E164)


@given(
    st.builds(CallerId, st.sampled_from(Show), NUMBER, st.just(""), st.booleans()),
    st.builds(Caller, NUMBER, NUMBER, st.booleans()),
)
def test_nothing_goes_out_but_a_number_that_the_policy_allows(policy: CallerId, caller: Caller) -> None:
    allowed = {policy.number}
    allowed |= {caller.shop} if policy.show in {Show.SHOP, Show.BOOTH} else set()
    allowed |= {caller.booth} if policy.show is Show.BOOTH else set()
    shown = identity(policy, caller, NumberFormat(Format.DIGITS), HOST)
    values = [shown.from_, *(value for name, value in shown.headers if name == "p-asserted-identity")]
    assert set(values) <= {ANONYMOUS, *(f"<sip:{number}@{HOST}>" for number in allowed - {""})}
    if caller.withheld:
        assert shown.from_ == ANONYMOUS
        assert ("privacy", "id") in shown.headers


@pytest.mark.parametrize(
    ("privacy", "withheld"),
    [(None, False), ("none", False), ("critical", False), ("id", True), ("user ; ID", True), ("header", True)],
)
def test_privacy_as_a_phone_asks_for_it(privacy: str | None, withheld: bool) -> None:
    assert is_withheld(privacy) is withheld


def test_a_password_is_not_shown_by_accident() -> None:
    assert "secret" not in repr(Login("we", "secret")) + str(Login("we", "secret"))


# Refusals


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Verdict.NEXT) for status in (302, 401, 407, 408, 420, 430, 500, 502, 503, 504, 580)),
        *((status, Verdict.STOP) for status in (400, 403, 404, 410, 480, 484, 486, 487, 488, 600, 603, 604, 606)),
    ],
)
def test_which_refusals_lead_to_the_next_trunk(status: int, expected: Verdict) -> None:
    assert verdict(status) is expected


def test_an_agreement_may_differ() -> None:
    agreed = FailOver(next=(403, 404), stop=(500,))
    assert [verdict(status, agreed) for status in (403, 404, 500, 503)] == [
        *(Verdict.NEXT, Verdict.NEXT, Verdict.STOP, Verdict.NEXT)
    ]


@given(st.sampled_from(sorted(CALLEES_WORD)), st.lists(st.integers(300, 699)))
def test_nothing_that_is_agreed_rings_a_busy_telephone_again(status: int, agreed: list[int]) -> None:
    assert verdict(status, FailOver(next=(*agreed, status))) is Verdict.STOP


@given(st.integers(300, 699))
def test_every_refusal_means_something(status: int) -> None:
    assert verdict(status) in Verdict


# Addresses


SOURCES: Sources[str] = Sources()
SOURCES.add("east", [("192.0.2.20", 5060)], ["198.51.100.0/28", "2001:db8::/64"])
SOURCES.add("west", [("2001:0db8:1:0::20", 5062), ("192.0.2.30", 5060)], ["198.51.100.0/24"])
SOURCES.add("eastern", [("192.0.2.20", 5060)], [])


@pytest.mark.parametrize(
    ("source", "carriers"),
    [
        pytest.param(("192.0.2.20", 5060), ["east", "eastern"], id="his address and port, and another provider's"),
        pytest.param(("192.0.2.20", 5061), [], id="another port there"),
        pytest.param(("192.0.2.21", 5060), [], id="a stranger"),
        pytest.param(("198.51.100.15", 40_000), ["east", "west"], id="his network, any port"),
        pytest.param(("198.51.100.16", 5060), ["west"], id="the next one's network"),
        pytest.param(("2001:db8::1", 5060), ["east"], id="IPv6"),
        pytest.param(("2001:db8:1::20", 5062), ["west"], id="an address however it is spelt"),
        pytest.param(("203.0.113.1", 5060), [], id="nobody's"),
    ],
)
def test_whose_address_it_is(source: Address, carriers: list[str]) -> None:
    assert list(SOURCES.find(source)) == carriers
