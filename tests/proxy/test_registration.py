"""Our registration with a carrier: refreshed, retried, moved to another registrar, taken back; time is a number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.registration import (
    BASE_WAIT_S,
    MOST_WAIT_S,
    Accepted,
    Heard,
    Registration,
    Rejected,
    Send,
    State,
    Unanswered,
    contact_uri,
    granted_s,
    refresh_after_s,
    wait_s,
)
from sipshop.sip.message import Response, parse_uri


def never(_n: int) -> int:
    return 0


def registration(*, expires_s: int = 600, registrars: int = 1) -> Registration:
    return Registration(expires_s, registrars, never, 0.0)


def registered(*, expires_s: int = 600, registrars: int = 1) -> Registration:
    ours = registration(expires_s=expires_s, registrars=registrars)
    ours.begin(0.0)
    ours.hear(Accepted(1, expires_s), 0.0)
    assert ours.is_registered(0.0)
    return ours


def test_it_registers_and_is_refreshed_before_it_expires() -> None:
    ours = registration()
    assert ours.begin(0.0) == [Send(1, 0, 600)]
    assert ours.hear(Accepted(1, 600), 0.1) == []
    assert ours.deadline == pytest.approx(0.1 + 536)  # 64 s before the end
    assert ours.tick(500.0) == []
    assert ours.tick(537.0) == [Send(2, 0, 600)]
    assert (ours.state, ours.is_registered(537.0)) == (State.REFRESHING, True)


def test_what_the_carrier_grants_counts_and_not_what_was_asked() -> None:
    ours = registration(expires_s=3600)
    ours.begin(0.0)
    ours.hear(Accepted(1, 60), 0.0)
    assert ours.deadline == 30.0
    assert not ours.is_registered(60.0)


@given(st.integers(1, 100_000), st.integers(0, 999))
def test_a_refresh_leaves_time_to_fail_and_ask_another(expires_s: int, drawn: int) -> None:
    after_s = refresh_after_s(expires_s, lambda n: drawn % n)
    assert 0 < after_s < expires_s
    assert expires_s - after_s >= min(64, expires_s / 2)


@given(st.integers(1, 100), st.integers(0, 1000))
@pytest.mark.rfc("5626", "4.5")
def test_patience_grows_to_a_bound(failures: int, drawn: int) -> None:
    bound_s = min(MOST_WAIT_S, BASE_WAIT_S * 2.0 ** (failures - 1))
    assert bound_s / 2 <= wait_s(failures, lambda _n: drawn) <= bound_s


@pytest.mark.parametrize("happened", [Unanswered(1), Rejected(1, 408), Rejected(1, 500), Rejected(1, 503)], ids=repr)
def test_a_failure_is_tried_again_after_a_while(happened: Heard) -> None:
    ours = registration()
    ours.begin(0.0)
    assert ours.hear(happened, 32.0) == []
    assert (ours.state, ours.deadline) == (State.WAITING, 32.0 + BASE_WAIT_S / 2)
    assert ours.tick(47.0) == [Send(2, 0, 600)]


def test_each_failure_makes_it_wait_longer_and_a_success_begins_anew() -> None:
    ours = registration()
    ours.begin(0.0)
    now, waits = 0.0, []
    for _ in range(8):
        ours.hear(Unanswered(ours._number), now)
        assert ours.deadline is not None
        waits.append(ours.deadline - now)
        now = ours.deadline
        ours.tick(now)
    assert waits == [15, 30, 60, 120, 240, 480, 900, 900]
    ours.hear(Accepted(ours._number, 600), now)
    assert ours.deadline is not None
    ours.tick(ours.deadline)
    ours.hear(Unanswered(ours._number), now + 600)
    assert ours.deadline == now + 600 + 15


@pytest.mark.parametrize("status", [401, 403, 404, 405, 407, 416, 603], ids=str)
def test_who_is_not_wanted_does_not_knock_again_soon(status: int) -> None:
    ours = registration()
    ours.begin(0.0)
    assert ours.hear(Rejected(1, status), 1.0) == []
    assert (ours.deadline, ours.last_status) == (1.0 + MOST_WAIT_S / 2, status)


def test_retry_after_is_waited_for() -> None:
    ours = registration()
    ours.begin(0.0)
    ours.hear(Rejected(1, 503, retry_after_s=120), 0.0)
    assert ours.deadline == 120.0


def test_an_absurd_retry_after_is_not() -> None:
    ours = registration()
    ours.begin(0.0)
    ours.hear(Rejected(1, 503, retry_after_s=10**8), 0.0)
    assert ours.deadline == MOST_WAIT_S


@pytest.mark.rfc("3261", "10.2.8")
def test_too_brief_is_asked_again_at_once_with_what_he_wants() -> None:
    ours = registration(expires_s=60)
    ours.begin(0.0)
    assert ours.hear(Rejected(1, 423, min_expires_s=1800), 0.1) == [Send(2, 0, 1800)]
    ours.hear(Accepted(2, 1800), 0.2)
    assert ours.deadline is not None
    assert ours.tick(ours.deadline) == [Send(3, 0, 1800)]


@pytest.mark.parametrize(
    "least_s",
    [pytest.param(None, id="none"), pytest.param(60, id="what was asked for"), pytest.param(10**6, id="absurd")],
)
def test_a_423_that_cannot_be_met_is_a_refusal_and_no_loop(least_s: int | None) -> None:
    ours = registration(expires_s=60)
    ours.begin(0.0)
    assert ours.hear(Rejected(1, 423, min_expires_s=least_s), 0.1) == []
    assert ours.state is State.WAITING


def test_the_next_registrar_is_asked_at_once() -> None:
    ours = registration(registrars=2)
    ours.begin(0.0)
    assert ours.hear(Unanswered(1), 32.0) == [Send(2, 1, 600)]
    ours.hear(Accepted(2, 600), 32.1)
    assert ours.registrar == 1
    assert ours.deadline is not None
    assert ours.tick(ours.deadline) == [Send(3, 1, 600)]  # and it stays with him while he answers


def test_a_refresh_that_fails_moves_on_while_the_old_binding_still_holds() -> None:
    ours = registered(registrars=2)
    ours.tick(536.0)
    assert ours.hear(Unanswered(2), 568.0) == [Send(3, 1, 600)]
    assert ours.is_registered(568.0)
    ours.hear(Accepted(3, 600), 568.1)
    assert ours.is_registered(1168.0)


def test_it_waits_only_when_every_registrar_failed() -> None:
    ours = registration(registrars=3)
    ours.begin(0.0)
    asked = [0]
    for number in (1, 2):
        (send,) = ours.hear(Unanswered(number), 1.0)
        asked.append(send.registrar)
    assert ours.hear(Unanswered(3), 2.0) == []
    assert asked == [0, 1, 2]
    (send,) = ours.tick(2.0 + BASE_WAIT_S / 2)
    assert send.registrar == 0


def test_an_answer_to_what_was_given_up_changes_nothing() -> None:
    ours = registration(registrars=2)
    ours.begin(0.0)
    ours.hear(Unanswered(1), 1.0)
    assert ours.hear(Accepted(1, 600), 1.1) == []
    assert not ours.is_registered(1.1)


def test_a_200_that_has_dropped_us_is_no_registration() -> None:
    ours = registration()
    ours.begin(0.0)
    ours.hear(Accepted(1, 0), 0.0)
    assert (ours.state, ours.is_registered(0.0)) == (State.WAITING, False)


def test_in_the_end_the_binding_is_taken_back() -> None:
    ours = registered()
    assert ours.end(10.0) == [Send(2, 0, 0)]
    ours.hear(Accepted(2, 0), 10.1)
    assert ours.ended
    assert (ours.deadline, ours.is_registered(10.1)) == (None, False)


@pytest.mark.parametrize("happened", [Unanswered(2), Rejected(2, 403), Rejected(2, 503, retry_after_s=9)], ids=repr)
def test_an_end_that_is_not_answered_is_an_end_all_the_same(happened: Heard) -> None:
    ours = registered(registrars=2)
    ours.end(10.0)
    assert ours.hear(happened, 42.0) == []
    assert ours.ended


def test_what_never_registered_has_nothing_to_take_back() -> None:
    ours = registration()
    assert ours.end(0.0) == []
    assert ours.ended
    waiting = registration()
    waiting.begin(0.0)
    waiting.hear(Unanswered(1), 1.0)
    assert waiting.end(2.0) == []
    assert waiting.ended


def test_somebody_may_have_it_refreshed_now() -> None:
    ours = registered()
    assert ours.begin(5.0) == [Send(2, 0, 600)]


ANSWERS = st.one_of(
    st.builds(lambda s: ("accepted", s, None, None), st.integers(0, 7200)),
    st.builds(
        lambda status, least, after: ("rejected", status, least, after),
        st.integers(300, 699),
        st.one_of(st.none(), st.integers(0, 200_000)),
        st.one_of(st.none(), st.integers(0, 200_000)),
    ),
    st.just(("silent", 0, None, None)),
)


@given(st.integers(1, 3), st.lists(ANSWERS, max_size=60))
def test_whatever_the_registrars_say_it_never_stops_trying_and_never_storms(
    registrars: int, story: list[tuple[str, int, int | None, int | None]]
) -> None:
    """After every answer there is either one REGISTER out or an alarm; between two alarms each registrar is asked
    once, and one of them twice."""
    ours = registration(registrars=registrars)
    out = ours.begin(0.0)
    now, sent = 0.0, 1
    for kind, value, least_s, after_s in story:
        if not out:
            assert ours.deadline is not None
            assert ours.deadline > now
            now = ours.deadline
            out = ours.tick(now)
            sent = len(out)
        (send,) = out
        match kind:
            case "accepted":
                out = ours.hear(Accepted(send.number, value), now)
            case "rejected":
                out = ours.hear(Rejected(send.number, value, least_s, after_s), now)
            case _:
                out = ours.hear(Unanswered(send.number), now)
        sent += len(out)
        assert len(out) + (ours.deadline is not None) == 1
        assert sent <= registrars + 1


# What his 200 says


OURS = parse_uri("sip:we@192.0.2.1:5060")


def granted(*contacts: str, expires: str | None = None) -> int:
    headers = [("contact", contact) for contact in contacts] + ([("expires", expires)] if expires is not None else [])
    return granted_s(Response(200, "OK", headers), OURS, 600)


@pytest.mark.parametrize(
    ("contacts", "expires", "seconds"),
    [
        pytest.param(["<sip:we@192.0.2.1:5060>;expires=300"], None, 300, id="our Contact's own"),
        pytest.param(["<sip:we@192.0.2.1:5060>;expires=300"], "900", 300, id="it goes before Expires"),
        pytest.param(["<sip:we@192.0.2.1:5060>"], "900", 900, id="Expires"),
        pytest.param(["<sip:we@192.0.2.1>"], None, 600, id="5060 is left out, and nothing is said"),
        pytest.param(["<sip:we@198.51.100.1:5060>;expires=30, <sip:we@192.0.2.1:5060>;expires=90"], None, 90, id="two"),
        pytest.param(["<sip:we@192.0.2.1:5060;transport=UDP>;expires=77"], None, 77, id="a transport in capitals"),
        pytest.param([], "900", 900, id="no Contact at all"),
        pytest.param([], None, 600, id="nothing at all"),
        pytest.param(["<sip:other@198.51.100.1:5060>;expires=300"], None, 0, id="somebody else's alone"),
        pytest.param(["<sip:we@192.0.2.1:5060>;expires=soon"], None, 600, id="no number"),
        pytest.param(["<sip:we@192.0.2.1:5060"], "900", 900, id="a Contact that cannot be read"),
        pytest.param(["<sip:we@192.0.2.1:5060;transport=tcp>;expires=77"], None, 0, id="another transport"),
    ],
)
@pytest.mark.rfc("3261", "10.2.4")
def test_how_long_a_200_keeps_us(contacts: list[str], expires: str | None, seconds: int) -> None:
    assert granted(*contacts, expires=expires) == seconds


def test_the_uri_of_a_contact() -> None:
    assert contact_uri("<sip:we@192.0.2.1:5060;transport=tcp>;x=1").transport == "tcp"
