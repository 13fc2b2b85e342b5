"""The short form of the flood: calls of a booth while strangers send 1,500 requests a second.

`make flood` sends 5,000. Of a booth's own address each is answered, which takes most of a core: a machine that runs
other tests besides has none to spare.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .flood import run

pytestmark = pytest.mark.wire


def test_no_call_fails_in_a_flood(tmp_path: Path) -> None:
    elsewhere, forged = run(tmp_path, seconds=2, flood_per_s=1500, short=True)
    print(elsewhere, forged, sep="\n")
    assert (elsewhere.calls, elsewhere.failed) == (40, 0), elsewhere
    assert (forged.calls, forged.failed) == (40, 0), forged
    assert elsewhere.dropped > 3 * elsewhere.answered, "a stranger gets no more answers than he may cost"
    assert min(elsewhere.flood_per_s, forged.flood_per_s) > 500, "a machine too busy to flood shows nothing"
