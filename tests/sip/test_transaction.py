"""The four transaction machines, arrow by arrow, their timers to the instant, and how messages find them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest

from sipshop.sip.flow import Flow
from sipshop.sip.message import Request, Response, parse
from sipshop.sip.timers import Timers
from sipshop.sip.transaction import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    TCP_KNOWN_PEERS,
    ClientTransaction,
    Input,
    ServerTransaction,
    State,
    Table,
    TcpPeers,
    TransactionMisused,
    Transactions,
    Unheard,
)
from tests.sip.peers import summary

UDP = Flow("UDP", ("192.0.2.1", 5060), ("192.0.2.2", 5060))
TCP = Flow("TCP", ("192.0.2.1", 5060), ("192.0.2.2", 5060), 3)

# The figures, as their RFCs draw them: state, what happens, next state, what is sent and what the user is told.
# RFC 3261 figure 5 with RFC 6026 section 7.2 (figure 8 there), and section 9.1 for a request that was cancelled.
FIGURE_5 = """
    CALLING     TIMER_A           CALLING     sends INVITE
    CALLING     TIMER_B           TERMINATED  tells timeout
    CALLING     TRANSPORT_FAILED  TERMINATED  tells transport
    CALLING     TCP_FAILED        CALLING     sends INVITE
    CALLING     GOT_1XX           PROCEEDING  tells 180
    CALLING     GOT_2XX           ACCEPTED    tells 200
    CALLING     GOT_FAILURE       COMPLETED   sends ACK, tells 486
    PROCEEDING  GOT_1XX           PROCEEDING  tells 180
    PROCEEDING  GOT_2XX           ACCEPTED    tells 200
    PROCEEDING  GOT_FAILURE       COMPLETED   sends ACK, tells 486
    PROCEEDING  TRANSPORT_FAILED  PROCEEDING
    PROCEEDING  ABANDONED         TERMINATED
    ACCEPTED    GOT_1XX           ACCEPTED
    ACCEPTED    GOT_2XX           ACCEPTED    tells 200
    ACCEPTED    GOT_FAILURE       ACCEPTED
    ACCEPTED    TIMER_M           TERMINATED
    ACCEPTED    TRANSPORT_FAILED  ACCEPTED
    COMPLETED   GOT_1XX           COMPLETED
    COMPLETED   GOT_2XX           COMPLETED
    COMPLETED   GOT_FAILURE       COMPLETED   sends ACK
    COMPLETED   TIMER_D           TERMINATED
    COMPLETED   TRANSPORT_FAILED  TERMINATED
"""
# RFC 3261 figure 6.
FIGURE_6 = """
    TRYING      TIMER_E           TRYING      sends INFO
    TRYING      TIMER_F           TERMINATED  tells timeout
    TRYING      TRANSPORT_FAILED  TERMINATED  tells transport
    TRYING      TCP_FAILED        TRYING      sends INFO
    TRYING      GOT_1XX           PROCEEDING  tells 180
    TRYING      GOT_2XX           COMPLETED   tells 200
    TRYING      GOT_FAILURE       COMPLETED   tells 486
    PROCEEDING  TIMER_E           PROCEEDING  sends INFO
    PROCEEDING  TIMER_F           TERMINATED  tells timeout
    PROCEEDING  TRANSPORT_FAILED  TERMINATED  tells transport
    PROCEEDING  GOT_1XX           PROCEEDING  tells 180
    PROCEEDING  GOT_2XX           COMPLETED   tells 200
    PROCEEDING  GOT_FAILURE       COMPLETED   tells 486
    COMPLETED   GOT_1XX           COMPLETED
    COMPLETED   GOT_2XX           COMPLETED
    COMPLETED   GOT_FAILURE       COMPLETED
    COMPLETED   TRANSPORT_FAILED  COMPLETED
    COMPLETED   TIMER_K           TERMINATED
"""
# RFC 3261 figure 7 with RFC 6026 section 7.1 (figure 7 there).
FIGURE_7 = """
    PROCEEDING  GOT_REQUEST       PROCEEDING  sends 180
    PROCEEDING  GOT_ACK           PROCEEDING
    PROCEEDING  SEND_1XX          PROCEEDING  sends 180
    PROCEEDING  SEND_2XX          ACCEPTED    sends 200
    PROCEEDING  SEND_FAILURE      COMPLETED   sends 486
    PROCEEDING  TRANSPORT_FAILED  PROCEEDING
    ACCEPTED    GOT_REQUEST       ACCEPTED
    ACCEPTED    GOT_ACK           ACCEPTED
    ACCEPTED    SEND_2XX          ACCEPTED    sends 200
    ACCEPTED    TIMER_L           TERMINATED
    ACCEPTED    TRANSPORT_FAILED  ACCEPTED
    COMPLETED   GOT_REQUEST       COMPLETED   sends 486
    COMPLETED   GOT_ACK           CONFIRMED
    COMPLETED   TIMER_G           COMPLETED   sends 486
    COMPLETED   TIMER_H           TERMINATED
    COMPLETED   TRANSPORT_FAILED  COMPLETED
    CONFIRMED   GOT_REQUEST       CONFIRMED
    CONFIRMED   GOT_ACK           CONFIRMED
    CONFIRMED   TIMER_I           TERMINATED
    CONFIRMED   TRANSPORT_FAILED  CONFIRMED
"""
# RFC 3261 figure 8.
FIGURE_8 = """
    TRYING      GOT_REQUEST       TRYING
    TRYING      SEND_1XX          PROCEEDING  sends 180
    TRYING      SEND_2XX          COMPLETED   sends 200
    TRYING      SEND_FAILURE      COMPLETED   sends 486
    TRYING      TRANSPORT_FAILED  TRYING
    PROCEEDING  GOT_REQUEST       PROCEEDING  sends 180
    PROCEEDING  SEND_1XX          PROCEEDING  sends 180
    PROCEEDING  SEND_2XX          COMPLETED   sends 200
    PROCEEDING  SEND_FAILURE      COMPLETED   sends 486
    PROCEEDING  TRANSPORT_FAILED  PROCEEDING
    COMPLETED   GOT_REQUEST       COMPLETED   sends 200
    COMPLETED   TIMER_J           TERMINATED
    COMPLETED   TRANSPORT_FAILED  COMPLETED
"""


@dataclass(frozen=True)
class Machine:
    """One of the four: its table, its figure, and how each state is reached from the first."""

    name: str
    table: Table
    figure: str
    method: str
    is_client: bool
    ways: dict[State, tuple[Input, ...]]

    @property
    def arrows(self) -> dict[tuple[State, Input], tuple[State, str]]:
        rows = (line.split(maxsplit=3) for line in self.figure.strip().splitlines())
        return {
            (State[state], Input[happened]): (State[after], effects[0].strip() if effects else "")
            for state, happened, after, *effects in rows
        }


MACHINES = (
    Machine(
        "INVITE client",
        INVITE_CLIENT,
        FIGURE_5,
        "INVITE",
        True,
        {
            State.CALLING: (),
            State.PROCEEDING: (Input.GOT_1XX,),
            State.ACCEPTED: (Input.GOT_2XX,),
            State.COMPLETED: (Input.GOT_FAILURE,),
            State.TERMINATED: (Input.TIMER_B,),
        },
    ),
    Machine(
        "client",
        CLIENT,
        FIGURE_6,
        "INFO",
        True,
        {
            State.TRYING: (),
            State.PROCEEDING: (Input.GOT_1XX,),
            State.COMPLETED: (Input.GOT_2XX,),
            State.TERMINATED: (Input.TIMER_F,),
        },
    ),
    Machine(
        "INVITE server",
        INVITE_SERVER,
        FIGURE_7,
        "INVITE",
        False,
        {
            State.PROCEEDING: (Input.SEND_1XX,),
            State.ACCEPTED: (Input.SEND_2XX,),
            State.COMPLETED: (Input.SEND_FAILURE,),
            State.CONFIRMED: (Input.SEND_FAILURE, Input.GOT_ACK),
            State.TERMINATED: (Input.SEND_FAILURE, Input.TIMER_H),
        },
    ),
    Machine(
        "server",
        SERVER,
        FIGURE_8,
        "INFO",
        False,
        {
            State.TRYING: (),
            State.PROCEEDING: (Input.SEND_1XX,),
            State.COMPLETED: (Input.SEND_2XX,),
            State.TERMINATED: (Input.SEND_2XX, Input.TIMER_J),
        },
    ),
)
NAMES = [machine.name for machine in MACHINES]


def request(method: str = "INVITE", *, branch: str = "z9hG4bKone", cseq: int = 1, **more: str) -> Request:
    headers = {
        "via": f"SIP/2.0/UDP 192.0.2.9:5060;branch={branch}",
        "max_forwards": "70",
        "from": "<sip:a@example.org>;tag=a",
        "to": "<sip:b@example.org>",
        "call_id": "call",
        "cseq": f"{cseq} {method}",
        "contact": "<sip:a@192.0.2.9>",
        **more,
    }
    head = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    message = parse(f"{method} sip:b@example.org SIP/2.0\r\n{head}\r\n".encode())
    assert isinstance(message, Request)
    return message


@dataclass
class Bench:
    """A transaction layer alone: what it sent and when, what its users were told and when."""

    timers: Timers = field(default_factory=Timers)
    now: float = 0.0
    sent: list[tuple[float, str]] = field(default_factory=list)
    told: list[tuple[float, str]] = field(default_factory=list)
    data: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.layer = Transactions(self.timers, self._send)

    def _send(self, data: bytes, _flow: Flow) -> None:
        self.data.append(data)
        message = parse(data)
        self.sent.append((self.now, summary(message).split()[0]))

    def on_response(self, _transaction: ClientTransaction, response: Response, now: float) -> None:
        assert now == self.now
        self.told.append((now, str(response.status)))

    def on_no_response(self, _transaction: ClientTransaction, why: str, now: float) -> None:
        assert now == self.now
        self.told.append((now, why))

    def open(self, machine: Machine, flow: Flow = UDP) -> ClientTransaction | ServerTransaction:
        message = request(machine.method)
        if machine.is_client:
            return self.layer.request(message, flow, self, self.now)
        return self.layer.serve(message, flow)

    def hear(self, transaction: ClientTransaction | ServerTransaction, happened: Input) -> bool:
        status = {"1XX": 180, "2XX": 200, "FAILURE": 486}.get(happened.name.rpartition("_")[2])
        message: Request | Response = transaction.request
        if status is not None:
            message = transaction.request.reply(status, to_tag="b")
        elif happened is Input.GOT_ACK:
            message = request("ACK")
        return transaction.hear(happened, self.now, message)

    def run(self, until_s: float) -> None:
        while (deadline := self.timers.deadline) is not None and deadline <= until_s:
            self.now = deadline
            self.timers.tick(deadline)
        self.now = until_s

    def sent_at(self, name: str) -> list[float]:
        return [at_s for at_s, what in self.sent if what == name]

    @property
    def size(self) -> int:
        return len(self.layer.clients) + len(self.layer.servers) + len(self.timers)


# Every state, every input.


@pytest.mark.parametrize("machine", MACHINES, ids=NAMES)
def test_the_table_has_the_arrows_of_its_figure_and_no_other(machine: Machine) -> None:
    assert {pair: after for pair, (after, _) in machine.table.items()} == {
        pair: after for pair, (after, _) in machine.arrows.items()
    }


@pytest.mark.parametrize(
    ("machine", "state", "happened"),
    [
        pytest.param(machine, state, happened, id=f"{machine.name}: {state.name} {happened.name}")
        for machine in MACHINES
        for state, happened in product(machine.ways, Input)
    ],
)
def test_every_input_in_every_state(machine: Machine, state: State, happened: Input) -> None:
    bench = Bench()
    transaction = bench.open(machine)
    for step in machine.ways[state]:
        assert bench.hear(transaction, step)
    assert transaction.state is state
    bench.sent.clear()
    bench.told.clear()
    timers = len(bench.timers)

    taken = bench.hear(transaction, happened)

    effects = [*(f"sends {name}" for _, name in bench.sent), *(f"tells {name}" for _, name in bench.told)]
    expected = machine.arrows.get((state, happened))
    if expected is None:
        assert (taken, transaction.state, effects, len(bench.timers)) == (False, state, [], timers)
    else:
        assert (taken, transaction.state, ", ".join(effects)) == (True, *expected)
        if transaction.state is State.TERMINATED:
            assert bench.size == 0


@pytest.mark.parametrize("machine", MACHINES, ids=NAMES)
def test_every_state_can_be_left(machine: Machine) -> None:
    for state in machine.ways:
        if state is not State.TERMINATED:
            assert any(before is state is not after for (before, _), (after, _) in machine.table.items()), state


# Timers, to the instant.

EVERY_T2 = [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


def test_timers_a_and_b_repeat_an_invite_at_doubling_intervals_and_give_up_after_64_t1() -> None:
    bench = Bench()
    bench.layer.request(request(), UDP, bench, 0.0)
    bench.run(100.0)
    assert bench.sent_at("INVITE") == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.told == [(32.0, "timeout")]
    assert bench.size == 0


def test_timers_e_and_f_repeat_a_request_at_intervals_up_to_t2_and_give_up_after_64_t1() -> None:
    bench = Bench()
    bench.layer.request(request("INFO"), UDP, bench, 0.0)
    bench.run(100.0)
    assert bench.sent_at("INFO") == [0.0, *EVERY_T2]
    assert bench.told == [(32.0, "timeout")]
    assert bench.size == 0


def test_timer_e_goes_by_t2_once_a_provisional_response_came() -> None:
    # RFC 3261 section 17.1.2.2: the timer that runs ends, the next ones take T2
    bench = Bench()
    transaction = bench.layer.request(request("INFO"), UDP, bench, 0.0)
    bench.hear(transaction, Input.GOT_1XX)
    bench.run(100.0)
    assert bench.sent_at("INFO") == [0.0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5]
    assert bench.told == [(0.0, "180"), (32.0, "timeout")]
    assert bench.size == 0


def test_a_provisional_response_stops_timers_a_and_b() -> None:
    bench = Bench()
    transaction = bench.layer.request(request(), UDP, bench, 0.0)
    bench.run(1.0)
    bench.hear(transaction, Input.GOT_1XX)
    bench.run(1000.0)
    assert bench.sent_at("INVITE") == [0.0, 0.5]
    assert (transaction.state, len(bench.timers)) == (State.PROCEEDING, 0)


def test_timers_g_and_h_repeat_a_refusal_until_its_ack_and_give_up_after_64_t1() -> None:
    bench = Bench()
    bench.hear(bench.open(MACHINES[2]), Input.SEND_FAILURE)
    bench.run(100.0)
    assert bench.sent_at("486") == [0.0, *EVERY_T2]
    assert bench.size == 0


def test_the_ack_stops_timer_g() -> None:
    bench = Bench()
    transaction = bench.open(MACHINES[2])
    bench.hear(transaction, Input.SEND_FAILURE)
    bench.run(2.0)
    bench.hear(transaction, Input.GOT_ACK)
    bench.run(100.0)
    assert bench.sent_at("486") == [0.0, 0.5, 1.5]
    assert bench.size == 0


@pytest.mark.parametrize(
    ("machine", "steps", "udp_s", "tcp_s"),
    [
        pytest.param(MACHINES[0], (Input.GOT_FAILURE,), 32.0, 0.0, id="D"),
        pytest.param(MACHINES[2], (Input.SEND_FAILURE,), 32.0, 32.0, id="H"),
        pytest.param(MACHINES[2], (Input.SEND_FAILURE, Input.GOT_ACK), 5.0, 0.0, id="I"),
        pytest.param(MACHINES[3], (Input.SEND_2XX,), 32.0, 0.0, id="J after success"),
        pytest.param(MACHINES[3], (Input.SEND_FAILURE,), 32.0, 0.0, id="J after failure"),
        pytest.param(MACHINES[1], (Input.GOT_2XX,), 5.0, 0.0, id="K after success"),
        pytest.param(MACHINES[1], (Input.GOT_1XX, Input.GOT_FAILURE), 5.0, 0.0, id="K after failure"),
        pytest.param(MACHINES[2], (Input.SEND_2XX,), 32.0, 32.0, id="L, which RFC 6026 keeps on every transport"),
        pytest.param(MACHINES[0], (Input.GOT_2XX,), 32.0, 32.0, id="M, which RFC 6026 keeps on every transport"),
        pytest.param(MACHINES[0], (), 32.0, 32.0, id="B"),
        pytest.param(MACHINES[1], (), 32.0, 32.0, id="F"),
    ],
)
def test_how_long_a_transaction_is_remembered(
    machine: Machine, steps: Sequence[Input], udp_s: float, tcp_s: float
) -> None:
    for flow, expected_s in ((UDP, udp_s), (TCP, tcp_s)):
        bench = Bench(now=100.0)
        transaction = bench.open(machine, flow)
        for step in steps:
            assert bench.hear(transaction, step)
        if expected_s:
            bench.run(100.0 + expected_s - 0.001)
            assert transaction.state is not State.TERMINATED
        bench.run(100.0 + expected_s)
        assert transaction.state is State.TERMINATED
        assert bench.size == 0


@pytest.mark.parametrize(
    ("machine", "steps", "name"),
    [
        pytest.param(MACHINES[0], (), "INVITE", id="A"),
        pytest.param(MACHINES[1], (), "INFO", id="E"),
        pytest.param(MACHINES[1], (Input.GOT_1XX,), "INFO", id="E in PROCEEDING"),
        pytest.param(MACHINES[2], (Input.SEND_FAILURE,), "486", id="G"),
    ],
)
def test_nothing_is_repeated_over_tcp(machine: Machine, steps: Sequence[Input], name: str) -> None:
    bench = Bench()
    transaction = bench.open(machine, TCP)
    for step in steps:
        assert bench.hear(transaction, step)
    bench.run(100.0)
    assert bench.sent_at(name) == [0.0]
    assert bench.size == 0


# What is sent.


@pytest.mark.scenario(9)
def test_the_ack_of_a_refusal_goes_the_way_of_the_invite() -> None:
    bench = Bench()
    invite = request(route="<sip:192.0.2.77;lr>", cseq=7)
    transaction = bench.layer.request(invite, UDP, bench, 0.0)
    answer = parse(invite.reply(486, to_tag="callee").encode())
    assert bench.layer.hear_response(answer, 0.0) if isinstance(answer, Response) else False
    ack = parse(bench.data[-1])
    assert isinstance(ack, Request)
    assert (ack.method, ack.target, ack.cseq) == ("ACK", invite.target, (7, "ACK"))
    assert (ack.via.branch, ack.all("via")) == (invite.via.branch, invite.all("via"))
    assert ack.all("route") == ["<sip:192.0.2.77;lr>"]
    assert (ack.from_.tag, ack.to.tag, ack.call_id) == ("a", "callee", "call")
    assert ack.body == b""
    assert transaction.state is State.COMPLETED


def test_every_repetition_is_the_same_bytes() -> None:
    bench = Bench()
    bench.layer.request(request(), UDP, bench, 0.0)
    bench.run(31.9)
    assert len(set(bench.data)) == 1


@pytest.mark.parametrize(
    ("method", "answered", "again"),
    [
        pytest.param("INVITE", 486, 480, id="two refusals"),
        pytest.param("INVITE", 486, 200, id="2xx after a refusal"),
        pytest.param("INVITE", 200, 486, id="refusal after a 2xx"),
        pytest.param("INVITE", 200, 180, id="180 after a 2xx"),
        pytest.param("INFO", 200, 200, id="two answers"),
        pytest.param("INFO", 481, 100, id="100 after the answer"),
    ],
)
def test_a_second_answer_is_our_own_mistake(method: str, answered: int, again: int) -> None:
    bench = Bench()
    transaction = bench.layer.serve(request(method), UDP)
    transaction.respond(transaction.request.reply(answered, to_tag="b"), 0.0)
    with pytest.raises(TransactionMisused, match=f"{method} was answered {answered}, {again} comes too late"):
        transaction.respond(transaction.request.reply(again, to_tag="b"), 0.0)
    assert transaction.final == answered
    assert len(bench.sent) == 1


# How a message finds its transaction (RFC 3261 section 17.1.3 and 17.2.3).


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"branch": "z9hG4bKtwo"}, False, id="another branch"),
        pytest.param({"via": "SIP/2.0/UDP 192.0.2.8:5060;branch=z9hG4bKone"}, False, id="another sent-by"),
        pytest.param({"via": "SIP/2.0/UDP 192.0.2.9:5060;rport;branch=z9hG4bKone"}, True, id="other Via parameters"),
        pytest.param({"cseq": 2}, True, id="the branch alone counts, not CSeq"),
    ],
)
def test_a_request_is_a_retransmission_by_branch_and_sent_by(change: dict[str, Any], found: bool) -> None:
    bench = Bench()
    bench.layer.serve(request(), UDP)
    assert bench.layer.hear_request(request(**change), 0.0) is found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"cseq": 2}, False, id="another CSeq"),
        pytest.param({"call_id": "other"}, False, id="another Call-ID"),
        pytest.param({"from": "<sip:a@example.org>;tag=x"}, False, id="another From tag"),
    ],
)
def test_a_branch_without_the_cookie_is_matched_by_the_old_rules(change: dict[str, Any], found: bool) -> None:
    bench = Bench()
    bench.layer.serve(request(branch="1"), UDP)
    again = request(**{"branch": "1", **change})
    assert bench.layer.hear_request(again, 0.0) is found


def test_an_ack_of_a_refusal_stops_here_and_an_ack_of_a_2xx_goes_up() -> None:
    for status, stops in ((486, True), (200, False)):
        bench = Bench()
        transaction = bench.layer.serve(request(), UDP)
        transaction.respond(transaction.request.reply(status, to_tag="b"), 0.0)
        assert bench.layer.hear_request(request("ACK"), 0.0) is stops


def test_a_cancel_finds_its_invite_and_is_a_transaction_of_its_own() -> None:
    bench = Bench()
    invite = bench.layer.serve(request(), UDP)
    cancel = request("CANCEL")
    assert not bench.layer.hear_request(cancel, 0.0)
    assert bench.layer.serve(cancel, UDP) is not invite
    assert bench.layer.cancelled_by(cancel) is invite
    assert bench.layer.cancelled_by(request("CANCEL", branch="z9hG4bKtwo")) is None


@pytest.mark.parametrize(
    ("branch", "cseq_method", "found"),
    [
        pytest.param("z9hG4bKone", "INVITE", True, id="ours"),
        pytest.param("z9hG4bKtwo", "INVITE", False, id="another branch"),
        pytest.param("z9hG4bKone", "CANCEL", False, id="of the CANCEL with the same branch"),
    ],
)
def test_a_response_finds_its_request_by_branch_and_method(branch: str, cseq_method: str, found: bool) -> None:
    bench = Bench()
    bench.layer.request(request(), UDP, bench, 0.0)
    response = request(cseq_method, branch=branch).reply(200, to_tag="b")
    assert bench.layer.hear_response(response, 0.0) is found
    assert bench.told == ([(0.0, "200")] if found else [])


def test_one_request_by_two_paths_is_merged_and_another_is_not() -> None:
    bench = Bench()
    first = bench.layer.serve(request(), UDP)
    assert not bench.layer.merging(first)
    assert bench.layer.merging(bench.layer.serve(request(branch="z9hG4bKtwo"), UDP))
    assert not bench.layer.merging(bench.layer.serve(request(branch="z9hG4bKthree", cseq=2), UDP))
    inside = bench.layer.serve(request(branch="z9hG4bKfour", to="<sip:b@example.org>;tag=b"), UDP)
    assert not bench.layer.merging(inside)


def test_what_was_merged_is_forgotten_with_the_first() -> None:
    bench = Bench()
    first = bench.layer.serve(request(), UDP)
    first.respond(request().reply(486, to_tag="b"), 0.0)
    bench.run(32.0)
    assert not bench.layer.merging(bench.layer.serve(request(branch="z9hG4bKtwo"), UDP))


# Connections that break.


def test_a_lost_connection_fails_what_waits_on_it_and_nothing_else() -> None:
    bench = Bench()
    other = Flow("TCP", UDP.local, ("192.0.2.3", 5060), 4)
    bench.layer.request(request("INFO", branch="z9hG4bKone"), TCP, bench, 0.0)
    bench.layer.request(request("INFO", branch="z9hG4bKtwo"), other, bench, 0.0)
    bench.layer.request(request("INFO", branch="z9hG4bKthree"), UDP, bench, 0.0)
    bench.layer.hear_lost(TCP, 0.0)
    assert bench.told == [(0.0, "transport")]
    assert len(bench.layer.clients) == 2


def test_a_connection_that_was_opened_for_a_request_fails_it_though_the_request_did_not_know_its_number() -> None:
    bench = Bench()
    unconnected = Flow("TCP", TCP.local, TCP.remote)
    bench.layer.request(request(), unconnected, bench, 0.0)
    bench.layer.hear_lost(TCP, 0.0)
    assert bench.told == [(0.0, "transport")]
    assert bench.size == 0


def test_an_answer_that_is_not_wanted_has_a_user_all_the_same() -> None:
    bench = Bench()
    transaction = bench.layer.request(request("CANCEL"), UDP, Unheard(), 0.0)
    bench.hear(transaction, Input.GOT_2XX)
    bench.layer.request(request("CANCEL", branch="z9hG4bKtwo"), UDP, Unheard(), 0.0)
    bench.run(100.0)
    assert bench.size == 0


# Large requests, RFC 3261 section 18.1.1.

LARGE = b"v=0\r\n" + b"a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\n" * 30


@dataclass
class Ways(Bench):
    """Notes by which transport each message went, and what its Via says of that."""

    ways: list[str] = field(default_factory=list)
    asked: int = 0

    def _send(self, data: bytes, flow: Flow) -> None:
        super()._send(data, flow)
        message = parse(data)
        assert message.via.transport == flow.transport
        self.ways.append(f"{summary(message).split()[0]} {flow.transport}")

    def ask(self, method: str = "INVITE", body: bytes = LARGE) -> ClientTransaction:
        message = request(method)
        message.body = body
        self.asked += 1
        message.set("via", f"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK{self.asked};rport")
        return self.layer.request(message, UDP, self, self.now)

    def answer(self, transaction: ClientTransaction, status: int) -> None:
        assert self.layer.hear_response(transaction.request.reply(status, to_tag="b"), self.now)


@pytest.mark.scenario(36)
@pytest.mark.rfc("3261", "18.1.1")
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_large_request_goes_by_tcp_to_a_peer_who_takes_it(method: str) -> None:
    bench = Ways()
    asked = bench.ask(method)
    assert bench.ways == [f"{method} TCP"]
    bench.answer(asked, 486)
    bench.run(100.0)
    assert bench.ways == [f"{method} TCP", *(["ACK TCP"] if method == "INVITE" else [])]
    assert bench.told == [(0.0, "486")]
    assert bench.size == 0


@pytest.mark.scenario(36)
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_large_request_falls_back_to_udp_at_once_where_tcp_is_refused_and_the_peer_is_remembered(method: str) -> None:
    bench = Ways()
    asked = bench.ask(method)
    bench.layer.hear_lost(Flow("TCP", UDP.local, UDP.remote, 7), bench.now)
    assert bench.ways == [f"{method} TCP", f"{method} UDP"]
    bench.run(0.6)
    assert bench.ways[2:] == [f"{method} UDP"], "it is repeated as on UDP from the start"
    bench.answer(asked, 200)
    bench.ways.clear()
    bench.ask(method)
    assert bench.ways == [f"{method} UDP"], "that peer takes no TCP"
    bench.run(700.0)
    bench.ways.clear()
    bench.ask(method)
    assert bench.ways == [f"{method} TCP"], "by now he may"


@pytest.mark.scenario(36)
@pytest.mark.parametrize("method", ["INVITE", "OPTIONS"])
def test_a_large_request_that_tcp_swallows_goes_by_udp_too_and_ends_in_time(method: str) -> None:
    bench = Ways()
    bench.ask(method)
    bench.run(0.99)
    assert bench.ways == [f"{method} TCP"]
    bench.run(1.0)
    assert bench.ways == [f"{method} TCP", f"{method} UDP"]
    bench.run(33.0)
    assert bench.told == [(33.0, "timeout")]
    assert bench.size == 0


def test_a_connection_that_breaks_after_the_peer_has_spoken_is_no_reason_to_ask_him_again() -> None:
    bench = Ways()
    asked = bench.ask()
    bench.answer(asked, 100)
    bench.layer.hear_lost(Flow("TCP", UDP.local, UDP.remote, 7), bench.now)
    bench.run(5.0)
    assert bench.ways == ["INVITE TCP"]


def test_what_fits_into_a_datagram_goes_as_it_was_asked_and_so_does_an_ack_to_who_is_not_known() -> None:
    bench = Ways()
    bench.ask(body=b"")
    assert bench.ways == ["INVITE UDP"]
    ack = request("ACK")
    ack.body = LARGE
    assert bench.layer.without_state(ack, UDP)[1] is UDP
    bench.answer(bench.ask(), 200)
    assert bench.layer.without_state(ack, UDP)[1].transport == "TCP"
    assert ack.via.transport == "TCP"


def test_peers_who_were_tried_are_forgotten_the_oldest_first() -> None:
    peers = TcpPeers()
    for port in range(TCP_KNOWN_PEERS + 1):
        peers.note(Flow("UDP", UDP.local, ("192.0.2.2", port)), 0.0, works=True)
    known = [peers.get(Flow("UDP", UDP.local, ("192.0.2.2", port)), 1.0) for port in (0, 1, TCP_KNOWN_PEERS)]
    assert known == [None, True, True]
