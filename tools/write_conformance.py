"""Write docs/conformance.md from the tests' own markers: `.venv/bin/python tools/write_conformance.py`.

What has to hold is listed in `tests/conformance/*.yaml`; which test shows it says the test, by `scenario(number)`,
`rfc(document, section)` or `torture(name)`, and for the musts of RFC 3261 and our peers their list. `tests/conformance`
fails when the page that is committed is not the one that this script would write.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parent.parent
PAGE: Final = ROOT / "docs" / "conformance.md"
LISTS: Final = ROOT / "tests" / "conformance"
MARKERS: Final = ("scenario", "rfc", "torture")

HEAD: Final = """\
# Conformance

Written by `tools/write_conformance.py` from the lists in `tests/conformance` and the tests' markers; do not edit. Each
row names the tests that show it: they all pass, or no change lands. A row without a test says so; *fault* marks a test
that is known to fail. Wordings are ours: the RFCs say it in full.
"""

#: What a test shows: a marker's name and its arguments, as text.
Claim = tuple[str, ...]


@dataclass(slots=True)
class Evidence:
    """Which tests show what, and which tests there are; tests are named as pytest does, without parameters."""

    shown: dict[Claim, list[str]] = field(default_factory=lambda: defaultdict(list))
    tests: set[str] = field(default_factory=set)
    faults: set[str] = field(default_factory=set)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: Sequence[pytest.Item]) -> None:
        """Look at every test, before any is deselected."""
        for item in items:
            name = item.nodeid.partition("[")[0]
            self.tests.add(name)
            if item.get_closest_marker("xfail"):
                self.faults.add(name)
            for marker in MARKERS:
                for mark in item.iter_markers(marker):
                    claim = (marker, *map(str, mark.args))
                    if name not in self.shown[claim]:
                        self.shown[claim].append(name)


#: Where a run of the tests keeps what it has seen.
EVIDENCE: Final = pytest.StashKey[Evidence]()


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: its cells, the tests that show it, and why there are none where none are wanted."""

    cells: tuple[str, ...]
    tests: tuple[str, ...]
    excuse: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A heading, what a reader has to know, the names of the columns but the last, and the rows."""

    title: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read(name: str) -> Any:
    """A list of `tests/conformance`."""
    return yaml.safe_load((LISTS / f"{name}.yaml").read_text(encoding="utf-8"))


def tables(evidence: Evidence) -> Iterator[Table]:
    """Every table of the page."""
    shown = evidence.shown
    torture = read("torture")
    for number, key in (("4475", "rfc4475"), ("5118", "rfc5118"), ("", "other")):
        yield Table(
            f"RFC {number}: torture messages" if number else "What is no SIP",
            "What each is answered stands in `tests/sip/torture/cases.py`, with the reason.",
            ("Section", "Message", "What it is"),
            tuple(
                Row((row["section"], f"`{row['name']}`", row["title"]), tuple(shown.get(("torture", row["name"]), ())))
                for row in torture[key]
            ),
        )
    yield Table(
        "Scenarios that broke others",
        "Collected from the trackers of other switches.",
        ("No.", "What happens, and what has to come of it"),
        tuple(
            Row((str(row["n"]), row["title"]), tuple(shown.get(("scenario", str(row["n"])), ())), row.get("waits", ""))
            for row in read("scenarios")
        ),
    )
    yield Table(
        "RFC 5407: races",
        "Two agents joined in memory, or phone, switch and carrier, in virtual time.",
        ("Section", "Race"),
        tuple(
            Row((row["section"], row["title"]), tuple(shown.get(("rfc", "5407", row["section"]), ())))
            for row in read("races")
        ),
    )
    yield Table(
        "RFC 3261: what a registrar and a back-to-back user agent must do",
        "As amended by RFC 4320, 5393, 5626, 6026, 6141 and 7616.",
        ("No.", "Section", "Must"),
        tuple(_listed(row, str(number), row["section"], row["must"]) for number, row in enumerate(read("musts"), 1)),
    )
    yield Table(
        "Peers on the wire",
        "Other people's programs, over real sockets.",
        ("Peer", "Transport", "What it is to us"),
        tuple(_listed(row, row["peer"], row["transport"], row["is"]) for row in read("peers")),
    )
    yield Table(
        "Other sections that tests name",
        "",
        ("Document", "Section"),
        tuple(
            Row((f"RFC {claim[1]}", claim[2]), tuple(tests))
            for claim, tests in sorted(shown.items(), key=lambda pair: _in_order(pair[0]))
            if claim[0] == "rfc" and claim[1] != "5407"
        ),
    )


def page(evidence: Evidence) -> str:
    """The whole page."""
    found = list(tables(evidence))
    lines = [HEAD, "| table | rows | shown | not applicable, or waiting | without a test |", "|---|---|---|---|---|"]
    for table in found:
        shown = sum(bool(row.tests) for row in table.rows)
        excused = sum(bool(row.excuse) and not row.tests for row in table.rows)
        counts = (len(table.rows), shown, excused, len(table.rows) - shown - excused)
        lines.append(f"| [{table.title}](#{_anchor(table.title)}) | {' | '.join(map(str, counts))} |")
    for table in found:
        lines += ["", f"## {table.title}", "", *([table.says, ""] if table.says else [])]
        lines.append(f"| {' | '.join(table.columns)} | shown by |")
        lines.append("|---" * (len(table.columns) + 1) + "|")
        lines += [f"| {' | '.join(row.cells)} | {_shown_by(row, evidence.faults)} |" for row in table.rows]
    return "\n".join(lines) + "\n"


def missing(evidence: Evidence) -> list[str]:
    """The tests that the lists of musts and peers name and that are not there."""
    named = {name for row in (*read("musts"), *read("peers")) for name in _tests_of(row)}
    return sorted(named - evidence.tests)


def unlisted(evidence: Evidence) -> list[Claim]:
    """What tests claim to show and no list has: a number or a name that was mistyped."""
    torture = {row["name"] for rows in read("torture").values() for row in rows}
    known: Mapping[str, set[str]] = {
        "scenario": {str(row["n"]) for row in read("scenarios")},
        "torture": torture,
        "5407": {row["section"] for row in read("races")},
    }
    return [
        claim
        for claim in evidence.shown
        if claim[-1] not in known.get(claim[1] if claim[0] == "rfc" else claim[0], {claim[-1]})
    ]


def _listed(row: Mapping[str, Any], *cells: str) -> Row:
    return Row(cells, tuple(_tests_of(row)), row.get("not_ours", ""))


def _tests_of(row: Mapping[str, Any]) -> Iterable[str]:
    """The tests that a list names: `sip/test_leg a, b` stands for two functions of one module of ours."""
    for text in row.get("tests", ()):
        module, _, names = text.partition(" ")
        yield from (f"tests/{module}.py::test_{name.strip()}" for name in names.split(","))


def _shown_by(row: Row, faults: set[str]) -> str:
    shown = ", ".join(
        f"[{name.partition('::test_')[2]}](../{name.partition('::')[0]}){' (*fault*)' if name in faults else ''}"
        for name in row.tests
    )
    if row.excuse:
        return f"{shown}; waits: {row.excuse}" if shown else row.excuse
    return shown or "**no test**"


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")


def _in_order(claim: Claim) -> tuple[tuple[int, str], ...]:
    """Sections as people count them: 8.2 before 8.10."""
    return tuple((int(part), "") if part.isdigit() else (0, part) for text in claim[1:] for part in text.split("."))


def main() -> int:
    """Collect every test and write the page; what the lists name and nobody has is an error."""
    evidence = Evidence()
    status = pytest.main(["--collect-only", "-qq", "--no-header", "--no-summary", str(ROOT / "tests")], [evidence])
    if status:
        return int(status)
    PAGE.write_text(page(evidence), encoding="utf-8")
    for problem in (*missing(evidence), *map(str, unlisted(evidence))):
        print(f"not there: {problem}", file=sys.stderr)
    return 1 if missing(evidence) or unlisted(evidence) else 0


if __name__ == "__main__":
    sys.exit(main())
