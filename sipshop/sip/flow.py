"""Where a message came from and where its answer goes: one UDP pair of addresses, or one connection."""

from __future__ import annotations

from dataclasses import dataclass

#: (IP literal without brackets, port)
Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Flow:
    """A transport, our address, the peer's address; `connection` numbers a TCP connection (0: none yet, or UDP).

    A message sent to a flow whose connection is gone, or was never there, opens a new one to `remote`.
    """

    transport: str  # "UDP" or "TCP"
    local: Address
    remote: Address
    connection: int = 0

    @property
    def reliable(self) -> bool:
        """Whether the transport itself repeats what was lost, so that no timer of ours has to."""
        return self.transport != "UDP"
