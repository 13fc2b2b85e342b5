"""What /openapi.json says is what the API does: schemathesis makes requests of it, good ones and bad ones."""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.console.memory import OWNER, TOKEN, MemoryDesk, memory_api
from tests.console.test_api import EVENTS, TOKEN_ID, record

#: A 500 is documented nowhere; a 503 is, where a command may have to wait.
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
#: So many requests of each kind to each path; the whole file takes well under a minute.
EXAMPLES = 12
#: Names that a guess would not find.
KNOWN = {"booth": "b1", "party": "olga", "call_id": "call-1", "token_id": TOKEN_ID, "deck": "sell"}
KNOWN |= {"place": "booth", "name": "b1", "rule": "often"}


DESK = MemoryDesk("b1", "b2")
DESK.records = [record("call-1"), record("call-2", "b2")]
#: The stream has no end, and its own tests.
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", memory_api(DESK)).exclude(path=EVENTS)


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.parametrize(
    ("token", "names"),
    [
        pytest.param(TOKEN, KNOWN, id="the provider, of what is there"),
        pytest.param(OWNER, KNOWN, id="an owner, of what is there"),
        pytest.param(TOKEN, {}, id="the provider, of anything"),
    ],
)
def test_no_answer_is_a_bug_or_undocumented(case: Any, token: str, names: dict[str, str]) -> None:
    case.path_parameters = {name: names.get(name, value) for name, value in (case.path_parameters or {}).items()}
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=CHECKS)
