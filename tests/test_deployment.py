"""The systemd unit and the Dockerfile, held against the program that they start."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
import typer.main

from sipshop import cli
from sipshop.settings import Settings

ROOT: Final = Path(__file__).parent.parent
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text("utf-8")


def unit() -> dict[str, list[str]]:
    """Every key of the unit with its values, in order."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "conf" / "systemd" / "sipshop.service").read_text("utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def test_the_unit_starts_the_server() -> None:
    [command] = unit()["ExecStart"]
    program, name, option, _file = shlex.split(command)
    assert Path(program).name == "sipshop"
    serve = typer.main.get_command(cli.app).get_command(None, name)  # type: ignore[attr-defined]  # a group it is
    assert option in [written for parameter in serve.params for written in parameter.opts]


def test_the_unit_stops_it_only_after_its_calls_are_written() -> None:
    [stop_s] = unit()["TimeoutStopSec"]
    assert int(stop_s) >= 2 * Settings().limits.drain_s


def test_the_unit_lets_it_open_what_it_may_need() -> None:
    [files] = unit()["LimitNOFILE"]
    assert int(files) > 2 * Settings().sip.tcp_connections + 512


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Restart", "always"),
        ("Type", "notify"),
        ("User", "sipshop"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
    ],
)
def test_the_unit_is_hardened(key: str, value: str) -> None:
    assert unit()[key] == [value]


def test_the_unit_knows_every_key_once_but_the_filter() -> None:
    assert {key for key, values in unit().items() if len(values) > 1} == {"SystemCallFilter"}


def test_the_image_opens_the_ports_of_the_defaults() -> None:
    [ports] = re.findall(r"^EXPOSE (.*)$", DOCKERFILE, re.MULTILINE)
    sip, http = Settings().sip.listen[1], Settings().http.listen[1]
    assert ports.split() == [f"{sip}/udp", f"{sip}/tcp", str(http)]


def test_the_image_is_asked_for_its_health_where_the_defaults_answer() -> None:
    host, port = Settings().http.listen
    assert f"SIPSHOP_HEALTH_URL=http://{host}:{port}/healthz" in DOCKERFILE


def test_the_image_runs_as_nobody_special() -> None:
    assert re.search(r"^USER sipshop$", DOCKERFILE, re.MULTILINE)
    assert DOCKERFILE.index("USER sipshop") < DOCKERFILE.index("ENTRYPOINT")


def test_what_the_image_copies_is_there() -> None:
    copied = [line.split()[1:-1] for line in re.findall(r"^COPY (?!--from).*$", DOCKERFILE, re.MULTILINE)]
    assert [name for names in copied for name in names if not (ROOT / name).exists()] == []
