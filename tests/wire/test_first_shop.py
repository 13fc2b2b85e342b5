"""docs/first-shop.md as a new provider follows it: its files are written, its commands typed, its words compared."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from .harness import HOST, ROOT, Program, free_port

pytestmark = pytest.mark.wire

PAGE: Final = (ROOT / "docs" / "first-shop.md").read_text(encoding="utf-8")
FILE: Final = re.compile(r"<!-- file: (\S+) -->\n```yaml\n(.*?)^```$", re.DOTALL | re.MULTILINE)
BLOCK: Final = re.compile(r"(<!-- stays -->\n)?```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COMMAND: Final = re.compile(r"^\$ ((?:.*\\\n)*.*)\n", re.MULTILINE)
#: What is different each time: ids, tokens, when, how long, and what hangs on that; amounts of the desk do not.
MEASURED: Final = ("session bill", "cdr list", "cdr show", "party list", "token create")
SOON_S: Final = 30


@dataclass(frozen=True, slots=True)
class Typed:
    """A command of the page, what the page says that it answers, and whether it goes on until it is stopped."""

    command: str
    answer: str
    stays: bool


def typed() -> Iterator[Typed]:
    """The commands of the page, from the top."""
    for block in BLOCK.finditer(PAGE):
        _, *parts = COMMAND.split(block[2])
        for command, answer in zip(parts[::2], parts[1::2], strict=True):
            yield Typed(command, answer, stays=block[1] is not None)


def words(said: str, *, measured: bool) -> list[str]:
    """The lines without the blanks and lines that make a table; without figures and ids where they are `measured`."""
    said = re.sub(r"\d{4}-\d\d-\d\d", "DATE", said)
    if measured:
        said = re.sub(r"\b[0-9a-f]{16}\b", "ID", re.sub(r"sipshop_[\w…-]+", "TOKEN", said))
        said = re.sub(r"\d+(?:[.:]\d+)*", "0", said)
    return [" ".join(line.split()) for line in re.sub("─+", "", said).splitlines() if line.strip(" ─")]


class Reader:
    """Somebody who does what the page says, in a folder of his own and on ports that are free."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = {port: str(free_port()) for port in ("5060", "8080", "5070")}
        programs = folder / "programs"
        programs.mkdir()
        ours = programs / "sipshop"
        ours.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m sipshop "$@"\n')
        ours.chmod(0o755)
        self._environment: Mapping[str, str] = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "SIPSHOP": str(ROOT),
            "SIPSHOP_URL": f"http://{HOST}:{self._ports['8080']}",
        }
        self._kept = ""  # what commands have set in the shell

    def here(self, text: str) -> str:
        """A text of the page with the ports that are used here."""
        return re.sub(r"\b(?:5060|8080|5070)\b", lambda port: self._ports[port[0]], text)

    def write_files(self) -> None:
        """Write down every file of the page."""
        for name, content in FILE.findall(PAGE):
            (self.folder / name).write_text(self.here(content))

    def start(self, step: Typed) -> Program:
        """Give a command a window of its own, and wait for what it says last."""
        name = step.command.split()[1]
        program = Program(["bash", "-c", f"exec {self.here(step.command)}"], self.folder / name, env=self._environment)
        program.saw("is up" if name == "serve" else self.here(step.answer).strip())
        return program

    def answer(self, step: Typed) -> str:
        """Type a command and read its answer. A call is as brief as its price allows, and its phone shows nothing."""
        command = self.here(step.command)
        if command.startswith("sipp "):
            command = f"{command} -d 300 -p {free_port()} -nostdin >sipp.log 2>&1 || cat sipp.log"
        if re.match(r"\w+=", command):
            self._kept += f"{command}\n"
        done = subprocess.run(
            ["bash", "-c", f"{self._kept}{command}"],
            cwd=self.folder,
            env={**os.environ, **self._environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SOON_S,
            check=False,
        )
        return done.stdout


def test_a_first_shop_as_the_page_says_it(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    reader.write_files()
    said = {}
    with ExitStack() as windows:
        for step in typed():
            if step.stays:
                windows.enter_context(reader.start(step))
                continue
            answer = said[step.command] = reader.answer(step)
            measured = any(name in step.command for name in MEASURED)
            assert words(answer, measured=measured) == words(reader.here(step.answer), measured=measured), step.command
    assert "0.05 + 60 s at 0.12/min = 0.17" in said["sipshop session bill harbour1"]
    assert "  answered   200   northline" in said["sipshop cdr list"]
