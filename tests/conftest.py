"""What holds for every test: how many examples hypothesis tries, and which test shows what.

Hypothesis counts examples, not milliseconds, for a busy machine is no fault of ours.
"""

import pytest
from hypothesis import settings

from tools.write_conformance import EVIDENCE, Evidence

settings.register_profile("sipshop", deadline=None)
settings.load_profile("sipshop")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="a hundred times the examples, ten times the calls: hours")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[EVIDENCE] = evidence = Evidence()
    config.pluginmanager.register(evidence)
