"""The page of conformance is the one that the tests write, and what the tests claim is on a list."""

from __future__ import annotations

import pytest

from tools import write_conformance
from tools.write_conformance import EVIDENCE, Evidence


@pytest.fixture
def evidence(pytestconfig: pytest.Config) -> Evidence:
    """What the tests of this run show; of every test only where all of them were collected."""
    return pytestconfig.stash[EVIDENCE]


def is_whole(config: pytest.Config) -> bool:
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not config.getoption("lf")


def test_the_page_is_the_one_that_the_tests_write(evidence: Evidence, pytestconfig: pytest.Config) -> None:
    written = write_conformance.PAGE.read_text(encoding="utf-8")
    if is_whole(pytestconfig):
        assert written == write_conformance.page(evidence), "run tools/write_conformance.py"
        return
    # of some tests only: whatever they show is on the page
    for claim, tests in evidence.shown.items():
        for name in tests:
            path, _, test = name.partition("::test_")
            assert f"[{test}](../{path})" in written, f"{claim} of {name}: run tools/write_conformance.py"


def test_what_tests_claim_to_show_is_on_a_list(evidence: Evidence) -> None:
    assert write_conformance.unlisted(evidence) == []


def test_every_test_that_a_list_names_is_there(evidence: Evidence, pytestconfig: pytest.Config) -> None:
    modules = {name.partition("::")[0] for name in evidence.tests}
    gone = write_conformance.missing(evidence)
    assert [name for name in gone if is_whole(pytestconfig) or name.partition("::")[0] in modules] == []


def test_numbers_are_for_good() -> None:
    assert [row["n"] for row in write_conformance.read("scenarios")] == list(range(1, 43))
    messages = write_conformance.read("torture")
    assert (len(messages["rfc4475"]), len(messages["rfc5118"])) == (49, 12)
