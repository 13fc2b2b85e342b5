"""The configuration read again, as the API and the command line tell of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from fastapi import FastAPI
from typer.testing import CliRunner, Result

from sipshop import cli
from sipshop.config import Problem
from sipshop.console.api import make_api
from sipshop.console.events import Hub
from sipshop.metrics import Metrics
from sipshop.settings import Change, Reloaded, SettingsErrors
from tests.console.memory import OWNER, TOKEN, Caller, MemoryDesk, idle_gate, idle_tracer, memory_api, serving

CHANGED = Reloaded(
    changed=(Change("limits.max_calls", "10000", "7"),), restart=(Change("sip.listen", "[::1]:5060", "[::1]:5062"),)
)
NOTHING = Reloaded(changed=(), restart=())


def broken() -> Reloaded:
    raise SettingsErrors(
        [Problem("s.yaml", 3, "limits.max_calls", "must be 1"), Problem("s.yaml", 0, "http", "no key")]
    )


def api_with(reload: Callable[[], Reloaded]) -> FastAPI:
    return make_api(
        MemoryDesk("b1"),
        Metrics(version="1"),
        Hub(),
        idle_tracer(),
        bans=idle_gate(),
        version="1",
        reload=reload,
    )


def caller(reload: Callable[[], Reloaded], token: str = TOKEN) -> Caller:
    return Caller(api_with(reload), token=token)


def reload_by_command(reload: Callable[[], Reloaded], *words: str) -> Result:
    with serving(api_with(reload)) as url:
        return CliRunner().invoke(cli.app, ["--url", url, "--token", TOKEN, *words, "reload"])


def test_what_changed_and_what_waits_is_answered() -> None:
    with caller(lambda: CHANGED) as client:
        answer = client.post("/api/v1/reload")
    assert answer.status_code == 200
    assert answer.json() == {
        "changed": [{"key": "limits.max_calls", "old": "10000", "new": "7"}],
        "restart": [{"key": "sip.listen", "old": "[::1]:5060", "new": "[::1]:5062"}],
    }


def test_a_broken_configuration_is_a_problem_with_every_error() -> None:
    with caller(broken) as client:
        answer = client.post("/api/v1/reload")
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert answer.json()["code"] == "bad_configuration"
    assert answer.json()["errors"] == ["s.yaml:3: limits.max_calls: must be 1", "s.yaml: http: no key"]


def test_a_server_without_a_file_says_so() -> None:
    with Caller(memory_api(MemoryDesk("b1"))) as client:
        answer = client.post("/api/v1/reload")
    assert answer.status_code == 422
    assert answer.json()["detail"] == "the demo: it runs by its options, so there is no configuration to read again"


def test_only_the_provider_may() -> None:
    asked: list[str] = []

    def reload() -> Reloaded:
        asked.append("reload")
        return NOTHING

    with caller(reload, token=OWNER) as client:
        answer = client.post("/api/v1/reload")
    assert (answer.status_code, answer.json()["code"], asked) == (403, "forbidden", [])


@pytest.mark.parametrize(
    ("reload", "exit_code", "printed"),
    [
        pytest.param(
            lambda: CHANGED,
            0,
            "changed: limits.max_calls: 10000 -> 7\nwaits for a restart: sip.listen: [::1]:5060 -> [::1]:5062\n",
            id="what changed and what waits",
        ),
        pytest.param(
            lambda: NOTHING,
            0,
            "Nothing has changed; certificates and the log's file were opened again.\n",
            id="nothing",
        ),
        pytest.param(broken, 1, "sipshop: s.yaml:3: limits.max_calls: must be 1; s.yaml: http: no key\n", id="broken"),
    ],
)
def test_the_command_prints_it(reload: Callable[[], Reloaded], exit_code: int, printed: str) -> None:
    result = reload_by_command(reload)
    assert (result.exit_code, result.output) == (exit_code, printed)


def test_the_command_prints_json() -> None:
    assert json.loads(reload_by_command(lambda: NOTHING, "--json").stdout) == {"changed": [], "restart": []}
