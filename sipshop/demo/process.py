"""The demo carrier as a process of its own, which ends when we do, however that is (IO)."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sipshop.sip.flow import Address

log: Final = logging.getLogger("sipshop.demo")


class NoAddress(Exception):
    """The carrier cannot be told to listen there; the text says why."""


@contextmanager
def running_carrier(listen: Address, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
    """Run the carrier for the block, and say on stdout that it listens.

    Raises:
        NoAddress: `listen` is every address and none.
        OSError: it is taken or is not ours.
    """
    _probe(listen)
    child = subprocess.Popen(  # noqa: S603  # our own interpreter and our own module
        [sys.executable, "-m", "sipshop.demo", listen[0], str(listen[1])], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None, "it was opened as a pipe"
    assert child.stdout is not None, "it was opened as a pipe"
    sys.stdout.write(child.stdout.readline().decode())  # that it listens
    watch = os.pidfd_open(child.pid)

    def ended() -> None:
        loop.remove_reader(watch)
        log.error("the demo carrier ended by itself: calls will find no carrier until the demo is started again")

    loop.add_reader(watch, ended)
    try:
        yield
    finally:
        loop.remove_reader(watch)
        os.close(watch)
        child.stdin.close()
        try:
            child.wait(2)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        child.stdout.close()


def _probe(listen: Address) -> None:
    host, port = listen
    if ipaddress.ip_address(host).is_unspecified:
        raise NoAddress(f"the demo carrier names its address to phones, and {host} is none")
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind is socket.SOCK_STREAM))
            probe.bind((host, port))
