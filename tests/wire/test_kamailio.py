"""Kamailio as an edge before the switch and as a carrier behind it: route sets, twice where transports change.

The one by TLS is believed because its certificate is, and answered by Kamailio because it believes ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from .harness import CERTIFICATES, Program, Server, Sipp, World, free_port, password, until

pytestmark = pytest.mark.wire

PORTS: Final = (
    *("edge", "edge_turn", "edge_tls", "carrier", "carrier_turn", "carrier_tls"),
    *("switch", "switch_tls", "callee"),
)
CONFIGURATION: Final = Path(__file__).parent / "kamailio" / "kamailio.cfg"
#: Trunks by what they lead through, and the numbers that lead to them.
NUMBERS: Final = {"udp": "00331", "tcp": "00341", "udp_turn": "00391", "tcp_turn": "00431", "tls": "00491"}


@dataclass(frozen=True, slots=True)
class Network:
    """A switch between two proxies, which are one process, and where its phones and its callee are."""

    server: Server
    ports: dict[str, int]
    folder: Path
    proxy: Program


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("kamailio")
    ports = {name: free_port() for name in PORTS}
    text = CONFIGURATION.read_text()
    for name, value in {**ports, "certificates": CERTIFICATES}.items():
        text = text.replace(f"@{name}@", str(value))
    (folder / "kamailio.cfg").write_text(text)
    world = World(
        booths=dict.fromkeys((*PATHS, *(f"{path}_far" for path in PATHS)), ""),
        trunks={
            "udp": f"port: {ports['carrier']}, emergency: true",
            "tcp": f"port: {ports['carrier']}, transport: tcp",
            "udp_turn": f"port: {ports['carrier_turn']}",
            "tcp_turn": f"port: {ports['carrier_turn']}, transport: tcp",
            "tls": f"port: {ports['carrier_tls']}, transport: tls",
        },
        routes={number.removeprefix("00")[:2]: [trunk] for trunk, number in NUMBERS.items()},
    )
    # -DD: it stays our child
    command: list[str | Path] = ["kamailio", "-DD", "-E", "-m", "16", "-M", "4"]
    command += ["-Y", folder, "-w", folder, "-f", folder / "kamailio.cfg"]
    with (
        Program(command, folder / "kamailio.log") as proxy,
        Server(folder / "server", world.yaml(), sip_port=ports["switch"], tls_port=ports["switch_tls"]) as server,
    ):
        until(
            lambda: all(is_taken(port) for name, port in ports.items() if name != "callee"),
            "the ports of Kamailio and the switch",
        )
        yield Network(server.ready(), ports, folder, proxy)
        proxy.stop()


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port, by UDP or TCP."""
    return any(f":{port:04X} " in Path(f"/proc/net/{transport}").read_text() for transport in ("udp", "tcp"))


#: A call's way, by name: the phone's transport and the port of the edge, the trunk, and the callee's transport.
PATHS: Final = {
    "udp_all_the_way": ("u1", "edge", "udp", "u1"),
    "tcp_all_the_way": ("t1", "edge", "tcp", "t1"),
    "udp_then_tcp_then_udp_then_tcp": ("u1", "edge_turn", "udp_turn", "t1"),
    "udp_then_tls_then_tls_then_udp": ("u1", "edge_tls", "tls", "u1"),
    "tcp_then_udp_then_tcp_then_udp": ("t1", "edge_turn", "tcp_turn", "u1"),
}


@pytest.mark.parametrize("far_end", [False, True], ids=["the booth hangs up", "the far end hangs up"])
@pytest.mark.parametrize("path", PATHS)
def test_a_call_through_proxies_that_record_themselves(network: Network, path: str, far_end: bool) -> None:
    transport, edge, trunk, callee = PATHS[path]
    server, booth = network.server, f"{path}_far" if far_end else path
    server.unlock(booth)
    hangs_up = ("-set", "hangs_up", "carrier" if far_end else "booth")
    folder, callee_port = network.folder / booth, network.ports["callee"]
    with Sipp("uas_routed", folder, listen=callee_port, transport=callee, more=hangs_up) as uas:
        until(lambda: is_taken(callee_port), "the callee's port")
        phone = Sipp(
            "routed_call",
            folder,
            to=network.ports[edge],
            booth=booth,
            password=password(booth),
            number=NUMBERS[trunk] + "23456789",
            transport=transport,
            more=hangs_up,
        )
        with phone:
            phone.passed()
            uas.passed()
    cdr = server.cdr(booth)
    assert (cdr["result"], cdr["trunk"], cdr["hung_up_by"]) == ("answered", trunk, "callee" if far_end else "caller")
    price = "0.17" if trunk == "tls" else "0.10"
    assert [charge["amount"] for charge in cdr["charges"]] == [price] * 3  # everybody sells by one deck
    recorded = [message.text.count("Record-Route:") for message in uas.messages if message.is_request("INVITE")]
    assert recorded[0] >= (1 if trunk in {"udp", "tcp"} else 2)
