"""The shield by itself: who is dropped, when he is heard again, and what no forger can bring about."""

from __future__ import annotations

import pytest

from sipshop.sip.flow import Flow
from sipshop.sip.message import Request, parse
from sipshop.sip.shield import SCANNERS, Rules, Shield

HERE = ("192.0.2.1", 5060)
BOOTH = Flow("UDP", HERE, ("192.0.2.10", 5060))
FORGER = Flow("UDP", HERE, ("192.0.2.10", 6666))  # somebody who writes the booth's address on his datagrams
STRANGER = Flow("UDP", HERE, ("192.0.2.66", 5060))
RULES = Rules(failures=3, source_failures=5, window_s=100, ban_s=1000, source_per_s=16, total_per_s=64, known_per_s=256)
NONCE = "5" * 60
#: Two seconds of the rate of strangers, and the one that goes beyond; all rates are sums of powers of two, so exact.
BURST = 33


def shield(rules: Rules = RULES) -> Shield:
    return Shield(rules, lambda nonce, host, _now: (nonce, host) == (NONCE, STRANGER.remote[0]))


def heard(of: Shield, flow: Flow, times: int, now: float, data: bytes = b"INVITE ...") -> int:
    """How many of so many messages at once are read, each of which is then challenged."""
    count = 0
    for _ in range(times):
        if of.admit(data, flow, now):
            of.charge(flow, now)
            count += 1
    return count


def request(user_agent: str = "phone", user: str = "booth1", authorization: str | None = None) -> Request:
    lines = [
        "REGISTER sip:shop SIP/2.0",
        f"From: <sip:{user}@shop>;tag=x",
        f"To: <sip:{user}@shop>",
        f"User-Agent: {user_agent}",
        *([f"Authorization: {authorization}"] if authorization else []),
    ]
    made = parse("\r\n".join([*lines, "", ""]).encode())
    assert isinstance(made, Request)
    return made


# Floods.


def test_a_stranger_gets_a_burst_and_then_his_rate() -> None:
    guard = shield()
    assert heard(guard, STRANGER, 1000, 0.0) == BURST
    assert heard(guard, STRANGER, 1000, 1.0) == 16
    assert guard.take_dropped() == {"rate_limited": 2000 - BURST - 16}
    assert guard.take_dropped() == {}


def test_another_address_has_a_limit_of_its_own_until_all_together_are_too_many() -> None:
    guard = shield()
    counts = [heard(guard, Flow("UDP", HERE, (f"198.51.100.{host}", 5060)), 1000, 0.0) for host in range(1, 10)]
    assert counts[:3] == [BURST] * 3
    assert sum(counts) == 129


def test_what_is_of_ipv6_is_limited_by_the_network_that_somebody_has() -> None:
    guard = shield()
    hosts = [Flow("UDP", HERE, (f"2001:db8::{host:x}", 5060)) for host in range(1, 100)]
    assert sum(heard(guard, host, 1, 0.0) for host in hosts) == BURST
    assert heard(guard, Flow("UDP", HERE, ("2001:db8:0:1::1", 5060)), 100, 0.0) == BURST


def test_a_phone_that_is_known_is_heard_while_its_address_is_forged() -> None:
    guard = shield()
    guard.succeeded(BOOTH, "booth1", 0.0)
    assert heard(guard, FORGER, 5000, 0.0) == BURST
    assert heard(guard, BOOTH, 512, 0.0) == 512
    assert heard(guard, BOOTH, 512, 0.0) == 1, "it has a limit too: its port may be forged"
    assert heard(guard, BOOTH, 1000, 1.0) == 256


def test_who_is_known_by_his_address_has_the_limit_of_the_known() -> None:
    guard = shield()
    guard.know([STRANGER.remote[0]])
    assert heard(guard, STRANGER, 5000, 0.0) == 513
    guard.know([])
    assert heard(guard, STRANGER, 5000, 0.0) == 0


def test_an_answer_to_a_challenge_that_was_sent_there_is_read_all_the_same() -> None:
    guard = shield()
    heard(guard, STRANGER, 1000, 0.0)
    answer = f'REGISTER ...\r\nAuthorization: Digest nonce="{NONCE}"'.encode()
    assert heard(guard, FORGER, 1000, 0.0, answer) == BURST, "it was not sent there"
    assert heard(guard, STRANGER, 1000, 0.0, answer) == BURST - 1, "there is a limit of these, too"
    assert heard(guard, STRANGER, 1000, 0.0) == 0


def test_without_limits_everybody_is_heard() -> None:
    guard = shield(Rules(source_per_s=0, total_per_s=0, known_per_s=0))
    assert heard(guard, STRANGER, 10_000, 0.0) == 10_000
    guard.succeeded(BOOTH, "booth1", 0.0)
    assert heard(guard, BOOTH, 10_000, 0.0) == 10_000


def test_other_limits_hold_at_once() -> None:
    guard = shield()
    guard.change(Rules(source_per_s=1))
    assert heard(guard, STRANGER, 100, 0.0) == 3


def test_no_table_grows_without_end() -> None:
    guard = shield(Rules(total_per_s=0, failures=1))
    for number in range(50_000):
        flow = Flow("UDP", HERE, (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5060))
        guard.charge(flow, 0.0)
        guard.succeeded(flow, "booth1", 0.0)
        guard.failed(Flow("UDP", HERE, (f"11.0.{number >> 8}.{number & 255}", 1)), "x" * 100, proven=True, now=0.0)
    assert guard.tables() == {"known_flows": 20_000, "sources": 20_000, "failures": 20_000}
    assert len(guard.bans(0.0)) <= 20_000


# Guessed passwords.


def guess(of: Shield, times: int, account: str = "booth1", flow: Flow = STRANGER, *, proven: bool = False) -> None:
    for _ in range(times):
        of.failed(flow, account, proven=proven, now=0.0)


def test_some_wrong_passwords_ban_the_pair_and_nobody_else() -> None:
    guard = shield()
    guess(guard, 2)
    assert guard.screen(request(), STRANGER, 0.0)
    guess(guard, 1)
    assert not guard.screen(request(), STRANGER, 0.0)
    assert not guard.screen(request(user="x", authorization='Digest username="booth1"'), STRANGER, 0.0)
    for spelt in ('USERNAME="booth1"', 'username = "booth1"', 'username="b\\ooth1"', "username=booth1"):
        assert not guard.screen(request(user="x", authorization=f'Digest realm="x", {spelt}'), STRANGER, 0.0), spelt
    assert guard.screen(request(user="booth2"), STRANGER, 0.0)
    assert guard.screen(request(), Flow("UDP", HERE, ("192.0.2.67", 5060)), 0.0)
    assert guard.admit(b"", STRANGER, 0.0), "the source is heard for others"
    assert [(ban.source, ban.account) for ban in guard.bans(0.0)] == [("192.0.2.66", "booth1")]
    assert guard.screen(request(), STRANGER, 1001.0), "a ban ends"
    assert guard.bans(1001.0) == []


def test_failures_that_could_be_forged_never_ban_a_whole_source() -> None:
    guard = shield()
    for number in range(1000):
        guess(guard, 1, f"account{number}")
    assert guard.admit(b"", STRANGER, 0.0)
    for number in range(5):
        guess(guard, 1, f"another{number}", proven=True)
    assert not guard.admit(b"", STRANGER, 0.0)
    assert guard.take_dropped() == {"banned": 1}


def test_where_a_phone_is_known_nothing_is_banned() -> None:
    guard = shield()
    guard.succeeded(BOOTH, "booth1", 0.0)
    guess(guard, 100, flow=FORGER, proven=True)
    assert guard.bans(0.0) == []
    assert guard.admit(b"", FORGER, 0.0)
    assert guard.screen(request(), FORGER, 0.0)
    later = Flow("UDP", HERE, ("192.0.2.10", 7777))
    for _ in range(5):
        guard.failed(later, "booth1", proven=True, now=3901.0)
    assert guard.bans(3901.0) != [], "but not for ever"


def test_a_phone_that_becomes_known_ends_the_ban_of_its_account() -> None:
    guard = shield()
    guess(guard, 3, flow=FORGER)
    assert not guard.screen(request(), BOOTH, 0.0)
    guard.succeeded(BOOTH, "booth1", 1.0)
    assert guard.screen(request(), BOOTH, 1.0)
    assert guard.bans(1.0) == []


def test_slow_mistakes_ban_nobody() -> None:
    guard = shield()
    for minute in range(20):
        guard.failed(STRANGER, "booth1", proven=True, now=minute * 60.0)
    assert guard.bans(1200.0) == []


def test_a_ban_can_be_lifted() -> None:
    guard = shield()
    guess(guard, 3, "a")
    guess(guard, 3, "b")
    assert guard.lift("192.0.2.66", "a") == 1
    assert guard.screen(request(user="a"), STRANGER, 0.0)
    assert not guard.screen(request(user="b"), STRANGER, 0.0)
    assert guard.lift("192.0.2.66") == 1
    assert guard.lift("192.0.2.66") == 0


# Scanners.


@pytest.mark.parametrize("name", [*SCANNERS, "friendly-scanner", "SIPVicious 0.3", "VaxSIPUserAgent/3.1", "pplsip"])
def test_scanners_are_not_answered(name: str) -> None:
    guard = shield()
    assert not guard.screen(request(name), STRANGER, 0.0)
    assert guard.take_dropped() == {"scanner": 1}


@pytest.mark.parametrize("name", ["Yealink SIP-T42S", "baresip v1.0.0", "Linphone/5.2", "PJSUA", "Asterisk PBX 20", ""])
def test_phones_are(name: str) -> None:
    assert shield().screen(request(name), STRANGER, 0.0)


def test_the_list_of_scanners_can_be_another() -> None:
    guard = shield(Rules(scanners=("evil phone",)))
    assert guard.screen(request("friendly-scanner"), STRANGER, 0.0)
    assert not guard.screen(request("The EVIL phone"), STRANGER, 0.0)
