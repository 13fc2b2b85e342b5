"""The call controller: every input in every state, its alarms, and how each way out comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.proxy.admission import Cause
from sipshop.proxy.call import COMMIT_LIMIT_S, SEARCH_LIMIT_S, Call
from sipshop.proxy.course import CALL, Input, Side, State
from sipshop.proxy.fate import Fate, Outcome, fails_over, q850_of
from sipshop.proxy.news import (
    Blocked,
    Committed,
    Cut,
    Denied,
    Extended,
    Granted,
    Heard,
    NotCommitted,
    Proved,
    Searching,
    Sent,
    TransferBegun,
    TransferFailed,
    Transferred,
    Vanished,
    Written,
)
from sipshop.proxy.orders import (
    Acknowledge,
    Answer,
    Authorise,
    AwaitProof,
    Command,
    Commit,
    Dial,
    DialOn,
    GiveUp,
    HangUp,
    PassAsk,
    PassAskAcknowledgement,
    PassReply,
    PassWithdrawal,
    Progress,
    Reject,
    Settle,
)
from sipshop.proxy.routing import Trunk
from sipshop.proxy.trunk import FailOver
from sipshop.sip.events import (
    Acknowledged,
    Answered,
    Ask,
    Asked,
    Cancelled,
    Content,
    Failed,
    HungUp,
    Lost,
    ProgressAcknowledged,
    Progressed,
    Replied,
    Withdrawn,
)
from tests.sip.peers import unanswered

OFFER, EARLY, SDP = (Content("application/sdp", text) for text in (b"offer", b"early", b"answer"))
REINVITE, INFO = Ask("INVITE", OFFER, unanswered()), Ask("INFO", None, unanswered())


def trunk(name: str) -> Trunk:
    return Trunk(
        tenant="t",
        name=name,
        host="192.0.2.1",
        port=5060,
        transport="udp",
        carrier=name,
        deck="buy",
        emergency=True,
        answer_timeout_s=60,
        first_response_timeout_s=4,
    )


ONE, TWO = trunk("one"), trunk("two")

# State, what happens, next state, and the commands, in order.
TABLE = """
    AUTHORISING  GRANTED              DIALLING   Dial
    AUTHORISING  DENIED               ENDED      Reject Settle
    AUTHORISING  CALLER_CANCELLED     ENDED      Reject Settle
    AUTHORISING  CUT                  ENDED      Reject Settle
    DIALLING     BLOCKED_OVER         DIALLING   Dial
    DIALLING     BLOCKED              ENDED      Reject Settle
    DIALLING     SEARCHING            DIALLING
    DIALLING     SENT                 DIALLING
    DIALLING     FAILED_HERE          DIALLING   DialOn
    DIALLING     SILENT_HERE          DIALLING   GiveUp DialOn
    DIALLING     TRYING               DIALLING
    DIALLING     PROGRESSED           RINGING    Progress
    DIALLING     ANSWERED             ANSWERING  Commit
    DIALLING     ANSWERED_EMERGENCY   TALKING    Answer Acknowledge
    DIALLING     FAILED_OVER          DIALLING   Dial
    DIALLING     FAILED               ENDED      Reject Settle
    DIALLING     SILENT_OVER          DIALLING   GiveUp Dial
    DIALLING     SILENT               ENDED      GiveUp Reject Settle
    DIALLING     RANG_OUT             ENDED      GiveUp Reject Settle
    DIALLING     CALLER_CANCELLED     ENDED      GiveUp Reject Settle
    DIALLING     CUT                  ENDED      GiveUp Reject Settle
    DIALLING     CALLER_GONE          ENDED      GiveUp Reject Settle
    DIALLING     ASKED                DIALLING   PassReply
    DIALLING     REPLIED              DIALLING   PassReply
    RINGING      CALLER_GONE          ENDED      GiveUp Reject Settle
    RINGING      PROGRESS_ACKNOWLEDGED RINGING   AcknowledgeProgress
    RINGING      ASKED                RINGING    PassAsk
    RINGING      REPLIED              RINGING    PassReply
    RINGING      TRYING               RINGING
    RINGING      PROGRESSED           RINGING    Progress
    RINGING      ANSWERED             ANSWERING  Commit
    RINGING      ANSWERED_EMERGENCY   TALKING    Answer Acknowledge
    RINGING      FAILED_HERE          DIALLING   DialOn
    RINGING      SILENT_HERE          DIALLING   GiveUp DialOn
    RINGING      FAILED_OVER          DIALLING   Dial
    RINGING      FAILED               ENDED      Reject Settle
    RINGING      SILENT_OVER          DIALLING   GiveUp Dial
    RINGING      SILENT               ENDED      GiveUp Reject Settle
    RINGING      RANG_OUT             ENDED      GiveUp Reject Settle
    RINGING      CALLER_CANCELLED     ENDED      GiveUp Reject Settle
    RINGING      CUT                  ENDED      GiveUp Reject Settle
    ANSWERING    WRITTEN              ANSWERING
    ANSWERING    COMMITTED            TALKING    Answer Acknowledge
    ANSWERING    NOT_COMMITTED        ENDED      HangUp:callee Reject Settle
    ANSWERING    CALLER_CANCELLED     ENDED      HangUp:callee Reject Settle
    ANSWERING    CALLEE_GONE          ENDED      Reject Settle
    ANSWERING    CALLER_GONE          ENDED      HangUp:callee Reject Settle
    ANSWERING    REPLIED              ANSWERING  PassReply
    ANSWERING    CUT                  ENDED      HangUp:callee Reject Settle
    ANSWERING    ASKED                ANSWERING  PassReply
    TALKING      EXTENDED             TALKING
    TALKING      CALLER_ACKNOWLEDGED  TALKING
    TALKING      CALLER_GONE          ENDED      HangUp:callee Settle
    TALKING      CALLEE_GONE          ENDED      HangUp:caller Settle
    TALKING      CALLER_VANISHED      PROVING    HangUp:callee AwaitProof
    TALKING      CALLEE_VANISHED      PROVING    HangUp:caller AwaitProof
    PROVING      PROVED               ENDED      Settle
    PROVING      CUT                  ENDED      Settle
    TALKING      CUT_OFF              ENDED      HangUp:caller HangUp:callee Settle
    TALKING      CUT                  ENDED      HangUp:caller HangUp:callee Settle
    TALKING      ASKED                TALKING    PassAsk
    TALKING      REPLIED              TALKING    PassReply
    TALKING      WITHDRAWN            TALKING    PassReply PassWithdrawal
    TALKING      ASK_ACKNOWLEDGED     TALKING    PassAskAcknowledgement
    TALKING      TRANSFER_BEGUN       TRANSFERRING
    TRANSFERRING EXTENDED             TRANSFERRING
    TRANSFERRING CALLER_ACKNOWLEDGED  TRANSFERRING
    TRANSFERRING CALLER_GONE          WAITING
    TRANSFERRING CALLEE_GONE          ENDED      HangUp:caller Settle
    TRANSFERRING CUT_OFF              ENDED      HangUp:caller HangUp:callee Settle
    TRANSFERRING CUT                  ENDED      HangUp:caller HangUp:callee Settle
    TRANSFERRING ASKED                TRANSFERRING PassAsk
    TRANSFERRING REPLIED              TRANSFERRING PassReply
    TRANSFERRING WITHDRAWN            TRANSFERRING PassReply PassWithdrawal
    TRANSFERRING ASK_ACKNOWLEDGED     TRANSFERRING PassAskAcknowledgement
    TRANSFERRING TRANSFER_FAILED      TALKING
    TRANSFERRING TRANSFERRED          TALKING    HangUp:caller
    WAITING      EXTENDED             WAITING
    WAITING      CALLEE_GONE          ENDED      Settle
    WAITING      CUT_OFF              ENDED      HangUp:callee Settle
    WAITING      CUT                  ENDED      HangUp:callee Settle
    WAITING      ASKED                WAITING    PassReply
    WAITING      TRANSFER_FAILED      ENDED      HangUp:callee Settle
    WAITING      TRANSFERRED          TALKING
"""
ARROWS = {
    (State[state], Input[happened]): (State[after], " ".join(commands))
    for state, happened, after, *commands in map(str.split, TABLE.strip().splitlines())
}
EVENTS: dict[Input, tuple[Heard | None, Side]] = {
    Input.GRANTED: (Granted(60_000), Side.CALLER),
    Input.EXTENDED: (Extended(90_000), Side.CALLER),
    Input.BLOCKED_OVER: (Blocked(), Side.CALLER),
    Input.BLOCKED: (Blocked(), Side.CALLER),
    Input.SEARCHING: (Searching(), Side.CALLER),
    Input.SENT: (Sent(), Side.CALLER),
    Input.FAILED_HERE: (Failed(408, None, None, responded=False, why="timeout"), Side.CALLEE),
    Input.DENIED: (Denied(Cause.NO_RATE, "no rate"), Side.CALLER),
    Input.TRYING: (Progressed(100, None), Side.CALLEE),
    Input.PROGRESSED: (Progressed(183, EARLY), Side.CALLEE),
    Input.ANSWERED: (Answered(SDP, late_offer=False), Side.CALLEE),
    Input.ANSWERED_EMERGENCY: (Answered(SDP, late_offer=False), Side.CALLEE),
    Input.FAILED_OVER: (Failed(503, None, None, responded=True), Side.CALLEE),
    Input.FAILED: (Failed(486, None, None, responded=True), Side.CALLEE),
    Input.CALLER_CANCELLED: (Cancelled(), Side.CALLER),
    Input.CALLER_ACKNOWLEDGED: (Acknowledged(SDP, None), Side.CALLER),
    Input.PROGRESS_ACKNOWLEDGED: (ProgressAcknowledged(SDP), Side.CALLER),
    Input.CALLER_GONE: (HungUp(None), Side.CALLER),
    Input.CALLEE_GONE: (HungUp(None), Side.CALLEE),
    Input.CALLER_VANISHED: (Vanished("silent", 0.5), Side.CALLER),
    Input.CALLEE_VANISHED: (Vanished("silent", 0.5), Side.CALLEE),
    Input.PROVED: (Proved(lived=True), Side.CALLER),
    Input.WRITTEN: (Written(), Side.CALLER),
    Input.COMMITTED: (Committed(), Side.CALLER),
    Input.NOT_COMMITTED: (NotCommitted("disk"), Side.CALLER),
    Input.CUT: (Cut("by the desk"), Side.CALLER),
    Input.ASKED: (Asked(REINVITE), Side.CALLEE),
    Input.REPLIED: (Replied(REINVITE, 200, SDP, late_offer=False), Side.CALLEE),
    Input.WITHDRAWN: (Withdrawn(REINVITE), Side.CALLEE),
    Input.ASK_ACKNOWLEDGED: (Acknowledged(SDP, REINVITE), Side.CALLER),
    Input.TRANSFER_BEGUN: (TransferBegun(), Side.CALLER),
    Input.TRANSFER_FAILED: (TransferFailed(), Side.CALLER),
    Input.TRANSFERRED: (Transferred(), Side.CALLER),
}
CLOCK = (Input.SILENT, Input.SILENT_OVER, Input.SILENT_HERE, Input.RANG_OUT, Input.CUT_OFF)
WAYS: dict[State, tuple[Input, ...]] = {
    State.AUTHORISING: (),
    State.DIALLING: (Input.GRANTED,),
    State.RINGING: (Input.GRANTED, Input.PROGRESSED),
    State.ANSWERING: (Input.GRANTED, Input.ANSWERED),
    State.TALKING: (Input.GRANTED, Input.ANSWERED, Input.COMMITTED),
    State.TRANSFERRING: (Input.GRANTED, Input.ANSWERED, Input.COMMITTED, Input.TRANSFER_BEGUN),
    State.WAITING: (Input.GRANTED, Input.ANSWERED, Input.COMMITTED, Input.TRANSFER_BEGUN, Input.CALLER_GONE),
    State.PROVING: (Input.GRANTED, Input.ANSWERED, Input.COMMITTED, Input.CALLEE_VANISHED),
    State.ENDED: (Input.DENIED,),
}


def a_call(*way: Input, targets: tuple[Trunk, ...] = (ONE, TWO), now: float = 0.0) -> Call:
    call = Call("c", targets)
    assert call.begin(now) == [Authorise()]
    for step in way:
        event, side = EVENTS[step]
        assert event is not None
        call.hear(event, now, side)
    return call


def named(commands: list[Command]) -> str:
    return " ".join(
        f"{type(command).__name__}:{command.side}" if isinstance(command, HangUp) else type(command).__name__
        for command in commands
    )


def fate_of(commands: list[Command]) -> Fate:
    return next(command.fate for command in commands if isinstance(command, Settle))


def test_the_table_has_these_arrows_and_no_other() -> None:
    assert {pair: after for pair, (after, _) in CALL.items()} == {pair: after for pair, (after, _) in ARROWS.items()}
    assert set(EVENTS) | set(CLOCK) == set(Input)


@pytest.mark.parametrize(
    ("state", "happened"), [pytest.param(s, i, id=f"{s.name} {i.name}") for s, i in product(WAYS, Input)]
)
def test_every_input_in_every_state(state: State, happened: Input) -> None:
    call = a_call(*WAYS[state])
    assert call.state is state
    event, side = EVENTS.get(happened, (None, Side.CALLER))
    commands = call._step(happened, event, side, 1.0)
    assert (call.state, named(commands)) == ARROWS.get((state, happened), (state, ""))


@pytest.mark.parametrize(
    ("state", "happened"),
    [pytest.param(s, i, id=f"{s.name} {i.name}") for s, i in ARROWS if i not in CLOCK],
)
def test_every_event_is_sorted_to_its_input(state: State, happened: Input) -> None:
    call = a_call(*WAYS[state], targets=(ONE,) if happened is Input.BLOCKED else (ONE, TWO))
    call.emergency = happened is Input.ANSWERED_EMERGENCY
    if happened is Input.FAILED_HERE:
        call.hear(Sent(others=1), 0.0)
    event, side = EVENTS[happened]
    assert event is not None
    commands = call.hear(event, 1.0, side)
    assert (call.state, named(commands)) == ARROWS[state, happened]


@given(st.lists(st.sampled_from(list(EVENTS)), max_size=12), st.booleans())
def test_a_call_is_settled_once_and_nothing_follows(happened: list[Input], emergency: bool) -> None:
    call = Call("c", (ONE, TWO), emergency=emergency)
    commands = call.begin(0.0)
    for number, name in enumerate(happened):
        event, side = EVENTS[name]
        assert event is not None
        commands += call.hear(event, number, side)
    settled = [command for command in commands if isinstance(command, Settle)]
    assert len(settled) == (1 if call.ended else 0)
    if settled:
        assert commands[-1] is settled[0]
        assert call.deadline is None
    # who was given his 2xx is hung up on, who was not is refused, and never both
    answered = any(isinstance(command, Answer) for command in commands)
    assert not (answered and any(isinstance(command, Reject) for command in commands))
    # nothing is dialled before it was granted, nobody is answered before it is durable
    if not emergency:
        names = [type(command) for command in commands]
        assert names.count(Answer) <= names.count(Commit)


# The way of an ordinary call.


def test_an_ordinary_call() -> None:
    call = Call("c", (ONE, TWO))
    assert call.begin(10.0) == [Authorise()]
    assert call.hear(Granted(7_200_000), 10.0) == [Dial(ONE, 1)]
    assert call.hear(Progressed(100, None), 10.5, Side.CALLEE) == []
    assert call.hear(Progressed(180, None), 12.0, Side.CALLEE) == [Progress(180, None)]
    assert call.hear(Answered(SDP, late_offer=False), 15.0, Side.CALLEE) == [Commit()]
    assert call.hear(Committed(), 15.25) == [Answer(SDP), Acknowledge(None)]
    assert call.hear(Acknowledged(None, None), 15.5) == []
    fate = Fate(outcome=Outcome.ANSWERED, status=200, q850=16, hung_up_by="caller")
    assert call.hear(HungUp(None), 77.25) == [HangUp(Side.CALLEE, 16, ""), Settle(fate, 62_000)]
    assert [(a.target, a.status, a.q850, a.pdd_ms) for a in call.attempts] == [(ONE, 200, None, 2_000)]


def test_the_callee_who_made_the_offer_waits_for_the_callers_answer() -> None:
    call = a_call(Input.GRANTED)
    call.hear(Answered(OFFER, late_offer=True), 1.0, Side.CALLEE)
    assert call.hear(Committed(), 1.0) == [Answer(OFFER)]
    assert call.hear(Acknowledged(SDP, None), 1.5) == [Acknowledge(SDP)]


def test_an_emergency_call_asks_nobody_and_waits_for_no_disk_and_has_no_end() -> None:
    call = Call("c", (ONE,), emergency=True)
    assert call.begin(0.0) == [Dial(ONE, 1)]
    assert call.hear(Answered(SDP, late_offer=False), 1.0, Side.CALLEE) == [Answer(SDP), Acknowledge(None)]
    assert call.deadline is None


def test_an_emergency_call_tries_every_trunk_whatever_the_first_one_says() -> None:
    call = Call("c", (ONE, TWO), emergency=True)
    call.begin(0.0)
    assert call.hear(Failed(486, None, None, responded=True), 1.0, Side.CALLEE) == [Dial(TWO, 2)]


def test_the_answer_of_a_call_with_early_media_may_lie_in_the_183() -> None:
    call = a_call(Input.GRANTED, Input.PROGRESSED)
    call.hear(Answered(None, late_offer=False), 1.0, Side.CALLEE)
    assert call.hear(Committed(), 1.0) == [Answer(EARLY), Acknowledge(None)]


def test_what_a_failed_trunk_played_is_not_the_next_ones_answer() -> None:
    call = a_call(Input.GRANTED, Input.PROGRESSED, Input.FAILED_OVER)
    call.hear(Answered(None, late_offer=False), 1.0, Side.CALLEE)
    assert call.hear(Committed(), 1.0) == [Answer(None), Acknowledge(None)]


# Alarms.


@pytest.mark.parametrize(
    ("way", "deadline_s"),
    [
        pytest.param((), None, id="authorising waits for ever: the answer comes in the same turn"),
        pytest.param((Input.GRANTED,), 4.0, id="silent trunk"),
        pytest.param((Input.GRANTED, Input.TRYING), 60.0, id="it is there and does not ring"),
        pytest.param((Input.GRANTED, Input.PROGRESSED), 60.0, id="it rings"),
        pytest.param((Input.GRANTED, Input.ANSWERED), COMMIT_LIMIT_S, id="the disk"),
        pytest.param((Input.GRANTED, Input.ANSWERED, Input.COMMITTED), 60.0, id="what was granted, a minute"),
    ],
)
def test_when_a_call_wants_to_be_woken(way: tuple[Input, ...], deadline_s: float | None) -> None:
    call = a_call(*way)
    assert call.deadline == deadline_s
    if deadline_s is not None:
        assert call.tick(deadline_s - 0.001) == []
        assert call.tick(deadline_s) != []


def test_a_silent_trunk_is_given_up_for_the_next_and_the_last_one_for_good() -> None:
    call = a_call(Input.GRANTED)
    assert call.tick(4.0) == [GiveUp(), Dial(TWO, 2)]
    assert call.deadline == 8.0
    commands = call.tick(8.0)
    assert named(commands) == "GiveUp Reject Settle"
    assert fate_of(commands).cause is Cause.TRUNKS_FAILED


def test_each_address_of_a_trunk_has_its_own_time_and_the_trunk_one_attempt() -> None:
    call = a_call(Input.GRANTED)
    call.hear(Searching(), 0.0)
    assert call.deadline == SEARCH_LIMIT_S
    call.hear(Sent(others=1), 3.0)
    assert call.tick(7.0) == [GiveUp(), DialOn(1)]
    call.hear(Sent(others=0), 7.0)
    assert call.hear(refused(503), 8.0, Side.CALLEE) == [Dial(TWO, 2)]
    assert [(attempt.target, attempt.status) for attempt in call.attempts] == [(ONE, 503), (TWO, None)]


@pytest.mark.parametrize("status", [486, 500, 408])
def test_what_a_carrier_says_himself_but_503_is_true_of_all_his_addresses(status: int) -> None:
    call = a_call(Input.GRANTED)
    call.hear(Sent(others=1), 0.0)
    assert DialOn(1) not in call.hear(refused(status), 1.0, Side.CALLEE)


def test_ringing_out_ends_the_call_though_there_is_another_trunk() -> None:
    call = a_call(Input.GRANTED, Input.PROGRESSED)
    commands = call.tick(60.0)
    assert named(commands) == "GiveUp Reject Settle"
    assert fate_of(commands) == Fate(
        outcome=Outcome.NO_ANSWER, status=480, q850=19, hung_up_by="switch", detail="nobody answered"
    )


def test_the_time_to_ring_counts_from_our_invite_to_each_trunk() -> None:
    call = a_call(Input.GRANTED)
    call.hear(Failed(503, None, None, responded=True), 30.0, Side.CALLEE)
    call.hear(Progressed(180, None), 31.0, Side.CALLEE)
    assert call.deadline == 90.0


def test_what_is_on_disk_waits_for_the_caller_without_a_limit_of_the_disk() -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED)
    assert call.hear(Written(), 1.0) == []
    assert call.deadline is None
    assert named(call.hear(Committed(), 30.0)) == "Answer Acknowledge"


def test_a_disk_that_is_too_slow_ends_the_call() -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED)
    commands = call.tick(COMMIT_LIMIT_S)
    assert named(commands) == "HangUp:callee Reject Settle"
    assert (fate_of(commands).cause, fate_of(commands).detail) == (Cause.NOT_DURABLE, "no commit within 2 s")
    assert call.hear(Committed(), 3.0) == []  # it comes, but too late


def test_the_granted_time_is_cut_off_and_no_more_of_it_is_billed() -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED, Input.COMMITTED)
    commands = call.tick(60.75)  # late by the lag of a busy machine
    assert commands[-1] == Settle(fate_of(commands), 60_000)
    assert fate_of(commands).hung_up_by == "switch"


def test_what_is_granted_later_moves_the_cut_off() -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED, Input.COMMITTED)
    assert call.hear(Extended(90_000), 50.0) == []
    assert (call.deadline, call.tick(60.75)) == (90.0, [])
    commands = call.tick(90.5)
    assert commands[-1] == Settle(fate_of(commands), 90_000)


def test_a_trunk_without_a_line_is_an_attempt_without_an_answer() -> None:
    call = a_call(Input.GRANTED, targets=(ONE, TWO))
    assert named(call.hear(Blocked(), 0.0)) == "Dial"
    commands = call.hear(Blocked(), 0.0)
    assert named(commands) == "Reject Settle"
    assert (fate_of(commands).cause, fate_of(commands).q850) == (Cause.TRUNKS_FAILED, 34)
    assert [(attempt.target, attempt.status, attempt.q850) for attempt in call.attempts] == [
        (ONE, None, 34),
        (TWO, None, 34),
    ]


@pytest.mark.scenario(26)
@pytest.mark.parametrize(
    ("way", "talk_ms"),
    [
        pytest.param((Input.GRANTED,), 0, id="dialling"),
        pytest.param((Input.GRANTED, Input.PROGRESSED), 0, id="ringing"),
        pytest.param((Input.GRANTED, Input.ANSWERED), 0, id="answered by the callee, but not to the caller"),
        pytest.param((Input.GRANTED, Input.ANSWERED, Input.COMMITTED), 12_500, id="talking"),
    ],
)
def test_talk_time_starts_when_the_caller_gets_his_answer(way: tuple[Input, ...], talk_ms: int) -> None:
    commands = a_call(*way).hear(Cut("by the desk"), 12.5)
    assert commands[-1] == Settle(fate_of(commands), talk_ms)


@pytest.mark.scenario(26)
def test_talk_time_is_never_negative() -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED, Input.COMMITTED, now=100.0)
    assert call.hear(HungUp(None), 99.0)[-1] == Settle(
        Fate(outcome=Outcome.ANSWERED, status=200, q850=16, hung_up_by="caller"), 0
    )


# Trunks.


@pytest.mark.parametrize("status", [301, 302, 401, 407, 408, 500, 502, 503, 504, 580])
def test_a_trunk_that_failed_is_followed_by_the_next(status: int) -> None:
    assert fails_over(status)
    call = a_call(Input.GRANTED)
    assert call.hear(Failed(status, None, None, responded=True), 1.0, Side.CALLEE) == [Dial(TWO, 2)]
    assert [(attempt.target, attempt.status) for attempt in call.attempts] == [(ONE, status), (TWO, None)]


@pytest.mark.parametrize("status", [403, 404, 410, 480, 484, 486, 487, 488, 600, 603, 604])
def test_a_callee_who_cannot_be_had_is_not_sought_elsewhere(status: int) -> None:
    assert not fails_over(status)
    call = a_call(Input.GRANTED)
    assert named(call.hear(Failed(status, None, None, responded=True), 1.0, Side.CALLEE)) == "Reject Settle"


@pytest.mark.scenario(4)
def test_a_cancelled_call_does_not_dial_the_next_trunk() -> None:
    call = a_call(Input.GRANTED, Input.CALLER_CANCELLED)
    assert call.hear(Failed(503, None, None, responded=True), 1.0, Side.CALLEE) == []
    assert call.attempts[0].status is None


# How it comes out.


@pytest.mark.parametrize(
    ("failed", "expected"),
    [
        pytest.param(
            Failed(486, None, None, responded=True),
            Fate(outcome=Outcome.BUSY, status=486, q850=17),
            id="busy",
        ),
        pytest.param(
            Failed(600, None, None, responded=True),
            Fate(outcome=Outcome.BUSY, status=486, q850=17),
            id="busy everywhere",
        ),
        pytest.param(
            Failed(480, "Q.850;cause=19", None, responded=True),
            Fate(outcome=Outcome.NO_ANSWER, status=480, q850=19),
            id="not there, with the carrier's own reason",
        ),
        pytest.param(
            Failed(404, None, None, responded=True),
            Fate(outcome=Outcome.FAILED, status=404, q850=1, detail="carrier answered 404"),
            id="no such number",
        ),
        pytest.param(
            Failed(402, None, None, responded=True),
            Fate(outcome=Outcome.FAILED, status=480, detail="carrier answered 402"),
            id="the carrier's bill is none of the caller's business",
        ),
        pytest.param(
            Failed(503, None, 120, responded=True),
            Fate(outcome=Outcome.FAILED, cause=Cause.TRUNKS_FAILED, q850=41, detail="carrier answered 503"),
            id="the last trunk failed",
        ),
        pytest.param(
            Failed(408, None, None, responded=False),
            Fate(outcome=Outcome.FAILED, cause=Cause.TRUNKS_FAILED, q850=102, detail="no carrier responded"),
            id="the last trunk never responded",
        ),
    ],
)
def test_what_the_last_trunks_failure_means(failed: Failed, expected: Fate) -> None:
    call = a_call(Input.GRANTED, targets=(ONE,))
    assert call.hear(failed, 1.0, Side.CALLEE) == [Reject(expected), Settle(expected, 0)]


@pytest.mark.parametrize(
    ("way", "event", "side", "expected"),
    [
        pytest.param(
            (),
            Denied(Cause.NO_RATE, "no rate"),
            Side.CALLER,
            Fate(outcome=Outcome.REFUSED, cause=Cause.NO_RATE, hung_up_by="switch", detail="no rate"),
            id="denied",
        ),
        pytest.param(
            (Input.GRANTED,),
            Cancelled(),
            Side.CALLER,
            Fate(outcome=Outcome.CANCELLED, status=487, q850=16, hung_up_by="caller"),
            id="cancelled",
        ),
        pytest.param(
            (Input.GRANTED, Input.ANSWERED),
            Cancelled(),
            Side.CALLER,
            Fate(outcome=Outcome.CANCELLED, status=487, q850=16, hung_up_by="caller"),
            id="cancelled while the answer was being written",
        ),
        pytest.param(
            (Input.GRANTED, Input.ANSWERED),
            HungUp(None),
            Side.CALLEE,
            Fate(outcome=Outcome.FAILED, status=480, q850=16, hung_up_by="callee", detail="hung up while answering"),
            id="the callee went before the caller knew",
        ),
        pytest.param(
            (Input.GRANTED, Input.ANSWERED),
            NotCommitted("disk I/O error"),
            Side.CALLER,
            Fate(
                outcome=Outcome.FAILED,
                cause=Cause.NOT_DURABLE,
                q850=41,
                hung_up_by="switch",
                detail="disk I/O error",
            ),
            id="the disk failed",
        ),
        pytest.param(
            (Input.GRANTED, Input.PROGRESSED),
            Cut("cut by ana"),
            Side.CALLER,
            Fate(outcome=Outcome.CANCELLED, q850=31, hung_up_by="switch", detail="cut by ana"),
            id="cut while ringing",
        ),
        pytest.param(
            (Input.GRANTED, Input.ANSWERED, Input.COMMITTED),
            Cut("cut by ana"),
            Side.CALLER,
            Fate(outcome=Outcome.ANSWERED, status=200, q850=31, hung_up_by="switch", detail="cut by ana"),
            id="cut while talking",
        ),
        pytest.param(
            (Input.GRANTED, Input.ANSWERED, Input.COMMITTED),
            HungUp("Q.850;cause=31"),
            Side.CALLEE,
            Fate(outcome=Outcome.ANSWERED, status=200, q850=31, hung_up_by="callee"),
            id="the callee hung up and said why",
        ),
        pytest.param(
            (Input.GRANTED, Input.ANSWERED, Input.COMMITTED),
            Lost("no ACK"),
            Side.CALLER,
            Fate(outcome=Outcome.ANSWERED, status=200, q850=27, hung_up_by="switch", detail="caller lost: no ACK"),
            id="the caller is gone",
        ),
    ],
)
def test_how_a_call_comes_out(way: tuple[Input, ...], event: Heard, side: Side, expected: Fate) -> None:
    assert fate_of(a_call(*way).hear(event, 1.0, side)) == expected


LOST = "caller lost: gone inside the dialog"
DEAF = "caller answers BYE, and was silent before: gone inside the dialog"


@pytest.mark.parametrize(
    ("event", "after_s", "q850", "detail", "talk_ms"),
    [
        pytest.param(Proved(lived=True), 0.5, 102, DEAF, 50_000, id="he answers BYE"),
        pytest.param(Proved(lived=False), 0.5, 27, LOST, 25_000, id="he does not know the call"),
        pytest.param(None, 8.0, 27, LOST, 25_000, id="he says nothing"),
        pytest.param(Cut("the switch goes down"), 2.0, 27, LOST, 25_000, id="nobody can wait for him"),
    ],
)
def test_who_was_silent_pays_up_to_the_bye_that_he_answers_or_to_his_last_sign_of_life(
    event: Heard | None, after_s: float, q850: int, detail: str, talk_ms: int
) -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED, Input.COMMITTED)
    vanished = Vanished("gone inside the dialog", 25.0)
    assert call.hear(vanished, 50.0) == [HangUp(Side.CALLEE, 27, LOST), AwaitProof(Side.CALLER, 25_000)]
    assert not call.talks
    now = 50.0 + after_s
    fate = Fate(outcome=Outcome.ANSWERED, status=200, q850=q850, hung_up_by="switch", detail=detail)
    assert (call.tick(now) if event is None else call.hear(event, now)) == [Settle(fate, talk_ms)]


@pytest.mark.parametrize(
    ("reason", "status", "expected"),
    [
        pytest.param(None, 486, 17, id="by the status"),
        pytest.param(None, 499, None, id="a status that says nothing"),
        pytest.param("Q.850;cause=19", 486, 19, id="the header beats the status"),
        pytest.param('Q.850 ; cause=16 ;text="a, b"', 480, 16, id="a text with a comma"),
        pytest.param("SIP;cause=486, q.850;CAUSE=21", 480, 21, id="the second of two, without case"),
        pytest.param("SIP;cause=600", 480, 18, id="a SIP cause is not Q.850's"),
        pytest.param("Q.850;cause=many", 480, 18, id="no number"),
        pytest.param("Q.850;cause=999", 480, 18, id="no cause has three such digits"),
        pytest.param("", 404, 1, id="empty"),
    ],
)
def test_the_q850_cause_of_a_response(reason: str | None, status: int, expected: int | None) -> None:
    assert q850_of(reason, status) == expected


# Requests inside the dialogs.


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    ("event", "expected"),
    [
        pytest.param(Asked(INFO), lambda to: [PassAsk(to, INFO)], id="asked"),
        pytest.param(
            Replied(INFO, 415, None, late_offer=False), lambda to: [PassReply(to, INFO, 415, None)], id="replied"
        ),
        pytest.param(Acknowledged(SDP, REINVITE), lambda to: [PassAskAcknowledgement(to, REINVITE, SDP)], id="its ACK"),
        pytest.param(
            Withdrawn(REINVITE),
            lambda to: [PassReply(to.other, REINVITE, 487, None), PassWithdrawal(to, REINVITE)],
            id="withdrawn",
        ),
    ],
)
def test_a_request_inside_goes_to_the_other_leg(
    side: Side,
    event: Heard,
    expected: Callable[[Side], list[Command]],
) -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED, Input.COMMITTED)
    assert call.hear(event, 1.0, side) == expected(side.other)


@pytest.mark.parametrize(("ask", "status"), [(REINVITE, 491), (INFO, 480)])
def test_a_callee_who_asks_before_the_caller_knows_has_to_ask_again(ask: Ask, status: int) -> None:
    call = a_call(Input.GRANTED, Input.ANSWERED)
    assert call.hear(Asked(ask), 1.0, Side.CALLEE) == [PassReply(Side.CALLEE, ask, status, None)]


# What is agreed on with a carrier.


def with_trunks(*trunks: Trunk, emergency: bool = False) -> Call:
    call = Call("id", trunks, emergency=emergency)
    call.begin(0.0)
    if not emergency:
        call.hear(Granted(7_200_000), 0.0)
    return call


def refused(status: int) -> Failed:
    return Failed(status, None, None, responded=True)


def test_an_agreement_makes_a_404_lead_to_the_next_trunk() -> None:
    call = with_trunks(replace(ONE, fail_over=FailOver(next=(404,))), TWO)
    assert call.hear(refused(404), 1.0, Side.CALLEE) == [Dial(TWO, 2)]


def test_an_agreement_makes_a_500_stop_the_call() -> None:
    call = with_trunks(replace(ONE, fail_over=FailOver(stop=(500,))), TWO)
    assert named(call.hear(refused(500), 1.0, Side.CALLEE)) == "Reject Settle"


@pytest.mark.scenario(25)
@pytest.mark.parametrize("last", ["rings out", "is silent", "fails"])
def test_busy_at_one_carrier_is_told_whatever_the_next_one_does(last: str) -> None:
    call = with_trunks(ONE, TWO, emergency=True)  # which alone goes on after a busy
    call.hear(refused(486), 1.0, Side.CALLEE)
    match last:
        case "rings out":
            call.hear(Progressed(180, None), 2.0, Side.CALLEE)
            commands = call.tick(1.0 + TWO.answer_timeout_s)
        case "is silent":
            commands = call.tick(1.0 + TWO.first_response_timeout_s)
        case _:
            commands = call.hear(refused(503), 2.0, Side.CALLEE)
    fate = fate_of(commands)
    assert (fate.outcome, fate.status, fate.q850) == (Outcome.BUSY, 486, 17)


def test_a_number_that_one_carrier_does_not_know_is_told_when_the_next_one_fails() -> None:
    call = with_trunks(replace(ONE, fail_over=FailOver(next=(404,))), TWO)
    call.hear(refused(404), 1.0, Side.CALLEE)
    fate = fate_of(call.hear(refused(503), 2.0, Side.CALLEE))
    assert (fate.cause, fate.status, fate.q850) == (None, 404, 1)


def test_a_talk_ends_when_its_trunk_carries_it_no_longer() -> None:
    call = with_trunks(replace(ONE, max_call_s=600))
    call.hear(Answered(SDP, late_offer=False), 1.0, Side.CALLEE)
    call.hear(Committed(), 1.0)
    assert call.deadline == 601.0
    assert named(call.tick(601.0)) == "HangUp:caller HangUp:callee Settle"


def test_more_money_makes_no_trunk_carry_a_talk_for_longer() -> None:
    call = with_trunks(replace(ONE, max_call_s=600))
    call.hear(Answered(SDP, late_offer=False), 1.0, Side.CALLEE)
    call.hear(Committed(), 1.0)
    call.hear(Extended(7_200_000), 300.0)
    assert call.deadline == 601.0
    assert call.hear(HungUp(None), 700.0, Side.CALLER)[-1] == Settle(
        Fate(outcome=Outcome.ANSWERED, status=200, q850=16, hung_up_by="caller"), 600_000
    )


def test_a_call_for_help_is_cut_by_no_trunk() -> None:
    call = with_trunks(replace(ONE, max_call_s=600), emergency=True)
    call.hear(Answered(SDP, late_offer=False), 1.0, Side.CALLEE)
    assert call.deadline is None
