"""What holds for every test: how many examples hypothesis tries, which test shows what, in which process each runs.

Hypothesis counts examples, not milliseconds, for a busy machine is no fault of ours.
"""

import gc
from itertools import count
from typing import Final

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tools.write_conformance import EVIDENCE, Evidence

settings.register_profile("sipshop", deadline=None)
settings.load_profile("sipshop")

# A third of the time that an application takes to be built was the collector's, which found nothing: hundreds of tests
# build one.
gc.set_threshold(50_000, 20, 50)
#: After so many tests it looks for all that they left: databases in memory that hang together with their desks.
COLLECT_EVERY: Final = 100
_tests: Final = count(1)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="a hundred times the examples, ten times the calls: hours")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[EVIDENCE] = evidence = Evidence()
    config.pluginmanager.register(evidence)


def pytest_runtest_teardown() -> None:
    if next(_tests) % COLLECT_EVERY == 0:
        gc.collect()


#: A minute or more each: whoever began them last would be waited for by all others.
LONG: Final = ("tests/wire/test_leaks.py", "tests/switch/test_two_stacks.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


class Lanes(LoadScopeScheduling):
    """All tests with real sockets in one process, one after the other; the others in whichever has time.

    The leak test waits for a minute and needs nobody meanwhile: it waits beside the others.
    """

    def _split_scope(self, nodeid: str) -> str:
        is_alone = nodeid.startswith("tests/wire/") and "/test_leaks.py" not in nodeid
        return "wire" if is_alone else nodeid


@pytest.hookimpl(optionalhook=True)  # a run in one process may leave xdist out
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Lanes(config, log)
