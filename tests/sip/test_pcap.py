"""Capture files, read by tshark: addresses, ports, times, checksums and every byte are as they were."""

import subprocess
from pathlib import Path

import pytest

from sipshop.sip.flow import Address
from sipshop.sip.pcap import Packet, pcap

NOON_US = 1_700_000_000_000_000
OPTIONS = (
    b"OPTIONS sip:a@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/%b 192.0.2.2;branch=z9hG4bKx\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@192.0.2.2>;tag=a\r\nTo: <sip:b@192.0.2.1>\r\nCall-ID: c%d\r\nCSeq: 2 OPTIONS\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
PHONE, SWITCH = ("192.0.2.2", 5060), ("192.0.2.1", 15060)
PHONE_6, SWITCH_6 = ("2001:db8::2", 5060), ("2001:db8::1", 15060)


def read(path: Path, *fields: str) -> list[list[str]]:
    """What tshark finds in a capture, with every checksum looked at."""
    options = [word for field in fields for word in ("-e", field)]
    for protocol in ("ip", "udp", "tcp"):
        options += ["-o", f"{protocol}.check_checksum:TRUE"]
    found = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", *options], capture_output=True, text=True, check=True, timeout=30
    )
    return [line.split("\t") for line in found.stdout.splitlines()]


@pytest.mark.wire
@pytest.mark.parametrize("transport", ["UDP", "TCP"])
@pytest.mark.parametrize(("source", "destination", "ip"), [(PHONE, SWITCH, "ip"), (PHONE_6, SWITCH_6, "ipv6")])
def test_tshark_reads_what_was_written(
    tmp_path: Path, transport: str, source: Address, destination: Address, ip: str
) -> None:
    bodies = [b"", b"x" * 1001, b""]
    messages = [OPTIONS % (transport.encode(), number, len(body), body) for number, body in enumerate(bodies)]
    path = tmp_path / "sip.pcap"
    ways = [(source, destination), (source, destination), (destination, source)]
    path.write_bytes(
        pcap(
            Packet(NOON_US + number, transport, *way, message)
            for number, (way, message) in enumerate(zip(ways, messages, strict=True))
        )
    )
    port = transport.lower()
    fields = [
        f"{ip}.src",
        f"{port}.srcport",
        "sip.Method",
        "sip.Call-ID",
        "frame.time_epoch",
        f"{port}.checksum.status",
    ]
    assert read(path, *fields) == [
        [host, str(number_of_port), "OPTIONS", f"c{number}", f"1700000000.00000{number}000", "1"]
        for number, ((host, number_of_port), _) in enumerate(ways)
    ]


def test_nothing_is_a_capture_too() -> None:
    assert len(pcap([])) == 24


def test_a_message_that_no_packet_holds_is_cut_into_several() -> None:
    assert pcap([Packet(0, "TCP", PHONE, SWITCH, b"x" * 150_000)]).count(b"x") == 150_000
