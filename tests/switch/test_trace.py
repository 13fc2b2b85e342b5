"""SIP traces: which messages are kept, how many, and for how long."""

import pytest

from sipshop.switch import CommandRefused, Trace, UnknownTrace, Wanted
from sipshop.switch.trace import MAX_TRACES
from tests.switch.house import BERLIN, BOOTH, SWITCH, TENANT, BoothPhone, House

CALL = [
    "INVITE 0301234567",
    "100 Trying (INVITE)",
    "INVITE +49301234567",
    "100 Trying (INVITE)",
    "180 Ringing (INVITE)",
    "180 Ringing (INVITE)",
    "200 OK (INVITE)",
    "200 OK (INVITE)",
    "ACK",
    "ACK",
]


def traced(house: House, wanted: Wanted, *, messages: int = 100, tenant: str = TENANT) -> Trace:
    return house.switch.tracer.begin(tenant, wanted, seconds=60, messages=messages)


def said(trace: Trace) -> list[str]:
    """What was kept; where an ACK goes to is the phone's business."""
    return ["ACK" if message.says.startswith("ACK ") else message.says for message in trace.messages]


@pytest.mark.parametrize(
    "wanted",
    [
        pytest.param(Wanted(booth="gate"), id="a booth"),
        pytest.param(Wanted(number=BERLIN), id="a number as it is dialled"),
        pytest.param(Wanted(number="+49 30 1234567"), id="a number with its country, which leg A does not tell"),
        pytest.param(Wanted(number="1234567"), id="the end of a number"),
    ],
)
def test_both_legs_of_a_call_are_kept_in_order(wanted: Wanted) -> None:
    house = House()
    house.unlock()
    trace = traced(house, wanted)
    house.talking()
    expected = CALL if wanted.number != "+49 30 1234567" else CALL[1:]
    assert said(trace) == expected


@pytest.mark.parametrize(
    ("wanted", "tenant"),
    [
        (Wanted(booth="booth1"), TENANT),
        (Wanted(number="0301234568"), TENANT),
        (Wanted(call_id="another"), TENANT),
        (Wanted(booth="gate"), "another provider"),
    ],
)
def test_nothing_else_is_kept(wanted: Wanted, tenant: str) -> None:
    house = House()
    house.unlock()
    trace = traced(house, wanted, tenant=tenant)
    house.talking()
    assert said(trace) == []


def test_a_live_call_is_followed_from_now_on() -> None:
    house = House()
    house.unlock()
    leg, _ = house.talking()
    (call,) = house.switch.desk.calls(TENANT)
    trace = traced(house, Wanted(call_id=call.call_id))
    house.phone.hang_up(leg)
    house.advance()
    assert [says.split()[0] for says in said(trace)] == ["BYE", "200", "BYE", "200"]


def test_the_newest_messages_are_kept_and_all_are_counted() -> None:
    house = House()
    house.unlock()
    trace = traced(house, Wanted(booth="gate"), messages=3)
    house.talking()
    assert (said(trace), trace.count) == (CALL[-3:], len(CALL))
    assert [message.number for message in trace.messages] == [8, 9, 10]


def test_a_trace_ends_by_itself_and_the_endpoint_is_left_alone() -> None:
    house = House()
    house.unlock()
    trace = traced(house, Wanted(booth="gate"))
    assert house.network.taps
    house.advance(60)
    house.talking()
    assert (said(trace), trace.is_running, house.network.taps) == ([], False, {})
    assert house.switch.tracer.read(TENANT, trace.id) is trace


def test_a_trace_is_stopped_and_can_still_be_read() -> None:
    house = House()
    house.unlock()
    trace = traced(house, Wanted(booth="gate"))
    house.talking()
    house.switch.tracer.end(TENANT, trace.id)
    assert house.network.taps == {}
    assert said(house.switch.tracer.read(TENANT, trace.id)) == CALL


def test_what_proves_a_password_is_blotted_out() -> None:
    house = House()
    phone = BoothPhone(house.network, BOOTH)
    trace = traced(house, Wanted(booth="booth1"))
    phone.register()
    house.advance()
    credentials = phone.credentials(phone.challenge(), "REGISTER", f"sip:{SWITCH[0]}")
    phone.register([credentials])
    house.advance()
    kept = b"".join(message.packet.data for message in trace.messages)
    assert [says.split()[0] for says in said(trace)] == ["REGISTER", "401", "REGISTER", "200"]
    assert b'response="xxxx' in kept
    assert credentials[1].partition('response="')[2][:32].encode() not in kept


def test_another_tenants_trace_is_not_there() -> None:
    house = House()
    trace = traced(house, Wanted(booth="gate"))
    with pytest.raises(UnknownTrace):
        house.switch.tracer.read("another provider", trace.id)


def test_there_is_an_end_of_traces() -> None:
    house = House()
    running = [traced(house, Wanted(booth="gate")) for _ in range(MAX_TRACES)]
    with pytest.raises(CommandRefused, match="4 traces run already"):
        traced(house, Wanted(booth="gate"))
    house.switch.tracer.end(TENANT, running[3].id)
    traced(house, Wanted(booth="gate"))
    with pytest.raises(UnknownTrace):
        house.switch.tracer.read(TENANT, running[3].id)
