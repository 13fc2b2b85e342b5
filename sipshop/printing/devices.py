"""Where printers are: by USB, by TCP, or a file that is one (IO)."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

CONNECT_S: Final = 5.0
SEND_S: Final = 60.0  # a printer takes its time, and some paper
_ANSWER_S: Final = 0.5
#: DLE EOT 4: how is the paper? Bits 5 and 6 of the answer say that there is none; bits 1 and 4 are in every answer.
_HOW_IS_THE_PAPER: Final = b"\x10\x04\x04"
_NO_PAPER: Final = 0b0110_0000
_IS_ANSWER: Final = 0b0001_0010


class BadPrinter(ValueError):
    """This names no printer."""


class NotPrinted(Exception):
    """A printer did not take a slip; `may_be_on_paper` says that a part of it, or all, may have come out."""

    def __init__(self, why: str, *, may_be_on_paper: bool) -> None:
        self.may_be_on_paper = may_be_on_paper
        super().__init__(why)


class Printer(Protocol):
    """A printer that can be sent bytes."""

    def check(self) -> None:
        """Look whether it would take something; raises NotPrinted."""
        ...

    def send(self, data: bytes) -> None:
        """Send all; raises NotPrinted."""
        ...


def printer_at(place: str) -> Printer:
    """Return the printer that usb:VID:PID, tcp:HOST:PORT or file:PATH names; raises BadPrinter.

    >>> printer_at("tcp:192.0.2.9:9100")
    TcpPrinter(host='192.0.2.9', port=9100)
    """
    kind, _, where = place.partition(":")
    if kind == "file" and where:
        return FilePrinter(Path(where))
    if kind == "tcp" and (found := re.fullmatch(r"(.+):([0-9]{1,5})", where)) and 0 < int(found[2]) < 65_536:
        return TcpPrinter(found[1].strip("[]"), int(found[2]))
    if kind == "usb" and (found := re.fullmatch(r"([0-9A-Fa-f]{4}):([0-9A-Fa-f]{4})", where)):
        return UsbPrinter(int(found[1], 16), int(found[2], 16))
    raise BadPrinter(f"{place!r} is no printer: usb:04b8:0e15, tcp:192.0.2.9:9100 or file:/dev/usb/lp0 is one")


@dataclass(frozen=True, slots=True)
class FilePrinter:
    """A device such as /dev/usb/lp0, or a file that is written on at its end."""

    path: Path

    def check(self) -> None:
        """Look whether it is there, or could be; raises NotPrinted."""
        there = self.path if self.path.exists() else self.path.parent
        if self.path.is_dir() or not os.access(there, os.W_OK):
            raise NotPrinted(f"{self.path} cannot be written", may_be_on_paper=False)

    def send(self, data: bytes) -> None:
        """Write all; raises NotPrinted."""
        try:
            device = self.path.open("ab", buffering=0)
        except OSError as error:
            raise NotPrinted(f"{self.path} cannot be opened: {error.strerror}", may_be_on_paper=False) from error
        try:
            with device:
                while data:
                    data = data[device.write(data) :]
        except OSError as error:
            raise NotPrinted(f"{self.path} cannot be written: {error.strerror}", may_be_on_paper=True) from error


@dataclass(frozen=True, slots=True)
class TcpPrinter:
    """A printer in the network, at its port for raw data, mostly 9100."""

    host: str
    port: int

    def check(self) -> None:
        """Look whether it answers and has paper; raises NotPrinted."""
        self._connected().close()

    def send(self, data: bytes) -> None:
        """Send all; raises NotPrinted."""
        with self._connected() as connection:
            try:
                connection.settimeout(SEND_S)
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            except OSError as error:
                why = f"the printer at {self.host}:{self.port} broke off: {error.strerror or error}"
                raise NotPrinted(why, may_be_on_paper=True) from error

    def _connected(self) -> socket.socket:
        """A connection to the printer, which has paper; one that does not tell is taken to have some."""
        place = f"{self.host}:{self.port}"
        try:
            connection = socket.create_connection((self.host, self.port), CONNECT_S)
        except OSError as error:
            why = f"the printer at {place} does not answer: {error.strerror or error}"
            raise NotPrinted(why, may_be_on_paper=False) from error
        if not _has_paper(connection):
            connection.close()
            raise NotPrinted(f"the printer at {place} has no paper", may_be_on_paper=False)
        return connection


def _has_paper(connection: socket.socket) -> bool:
    try:
        connection.settimeout(_ANSWER_S)
        connection.sendall(_HOW_IS_THE_PAPER)
        answer = connection.recv(1)
    except OSError:
        return True
    return not (answer and answer[0] & _IS_ANSWER == _IS_ANSWER and answer[0] & _NO_PAPER)


@dataclass(frozen=True, slots=True)
class UsbPrinter:
    """A printer on a cable, by the numbers of its maker and its model; it takes sipshop[print] and libusb."""

    vendor: int
    product: int

    def check(self) -> None:
        """Look whether it is plugged in; raises NotPrinted."""
        from usb.core import NoBackendError, find  # noqa: PLC0415 - only whose printer is there needs it

        try:
            is_there = find(idVendor=self.vendor, idProduct=self.product) is not None
        except NoBackendError as error:
            raise NotPrinted("there is no libusb: apt-get install libusb-1.0-0", may_be_on_paper=False) from error
        if not is_there:
            raise NotPrinted(f"the printer {self.vendor:04x}:{self.product:04x} is not there", may_be_on_paper=False)

    def send(self, data: bytes) -> None:
        """Send all; raises NotPrinted."""
        from escpos.exceptions import Error  # noqa: PLC0415 - only whose printer is there needs it
        from escpos.printer import Usb  # noqa: PLC0415 - likewise
        from usb.core import USBError  # noqa: PLC0415 - likewise

        self.check()
        place = f"{self.vendor:04x}:{self.product:04x}"
        printer = Usb(self.vendor, self.product, timeout=round(SEND_S * 1000))
        try:
            printer.open()
        except (Error, USBError, RuntimeError) as error:
            why = f"the printer {place} is not there: {' '.join(str(error).split())}"
            raise NotPrinted(why, may_be_on_paper=False) from error
        try:
            printer._raw(data)  # python-escpos has no other door for bytes that are made
        except USBError as error:
            raise NotPrinted(f"the printer {place} broke off: {error}", may_be_on_paper=True) from error
        finally:
            printer.close()
