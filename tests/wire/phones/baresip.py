"""baresip as a phone of a booth: registers, plays a tone of 440 Hz into its calls, and records what it hears."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Final

from tests.wire.harness import CERTIFICATES, HOST, PATIENCE_S, Program, free_port, password

MODULES: Final = Path("/usr/lib/baresip/modules")
TONE_HZ: Final = 440


class Baresip(Program):
    """baresip in a folder of its own, which takes every call that comes, and dials `number` if there is one."""

    def __init__(self, folder: Path, booth: str, port: int, *, transport: str = "udp", number: str = "") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self._control = free_port()
        (folder / "config").write_text(
            f"""
            module_path {MODULES}
            module g711.so
            module ausine.so
            module sndfile.so
            module uuid.so
            module_app account.so
            module_app menu.so
            module_app ctrl_tcp.so
            sip_listen {HOST}:{free_port()}
            sip_cafile {CERTIFICATES / "authority.pem"}
            ctrl_tcp_listen {HOST}:{self._control}
            audio_source ausine,{TONE_HZ}
            snd_path {folder}
            ausrc_srate 48000
            ausrc_channels 2
            """.replace("            ", "")
        )
        server = f"{HOST}:{port};transport={transport}"
        account = f"<sip:{booth}@{server}>;auth_user={booth};auth_pass={password(booth)};regint=600;answermode=auto"
        (folder / "accounts").write_text(f"{account}\n")
        (folder / "contacts").write_text("")
        dial = ["-e", f"/dial sip:{number}@{server}"] if number else []
        super().__init__(["baresip", "-4", "-f", folder, *dial], folder / "baresip.log")

    def command(self, name: str) -> None:
        """Have it do something, by the long name that its menu has for that."""
        text = json.dumps({"command": name})
        with socket.create_connection((HOST, self._control), PATIENCE_S) as connection:
            connection.sendall(f"{len(text)}:{text},".encode())  # a netstring
            connection.recv(1)  # it has done it

    def quit(self) -> None:
        """Have it hang up, take its registration back, and end."""
        self.command("quit")
        assert self.wait() == 0, self.said

    @property
    def heard(self) -> Path:
        """The recording of its only call."""
        (recording,) = self.folder.glob("*dec*.wav")
        return recording
