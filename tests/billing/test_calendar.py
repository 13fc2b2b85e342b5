"""Windows: what a wall clock shows, in nights in which it is changed too."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.billing.calendar import Calendar, Precedence, Window
from sipshop.billing.errors import BadDeck
from tests.billing.decks import NIGHTS, WINDOWS
from tests.billing.reference import EPOCH, said


def calendar(zone: str) -> Calendar:
    return Calendar(zone, {name: Window.parse(*texts) for name, texts in WINDOWS.items()})


@given(st.sampled_from(NIGHTS), st.sampled_from(sorted(WINDOWS)), st.integers(-86_400_000, 2 * 86_400_000))
def test_a_window_holds_when_the_clock_on_the_wall_says_so(night: tuple[str, str], name: str, after_ms: int) -> None:
    zone, day = night
    made = calendar(zone)
    at_ms = made.instant(day) + after_ms
    local = (EPOCH + timedelta(milliseconds=at_ms)).astimezone(ZoneInfo(zone))
    found = made.precedence(name, at_ms)
    assert (-1 if found is None else int(found)) == said(made.windows[name], local)


@given(st.sampled_from(NIGHTS), st.sampled_from(sorted(WINDOWS)), st.integers(0, 86_400_000))
def test_nothing_changes_between_two_edges(night: tuple[str, str], name: str, length_ms: int) -> None:
    zone, day = night
    made = calendar(zone)
    begin = made.instant(day)
    edges = sorted({begin, *made.edges(name, begin, begin + length_ms), begin + length_ms})
    for start, end in pairwise(edges):
        at = (start, (start + end) // 2, end - 1)
        assert len({made.precedence(name, at_ms) for at_ms in at}) == 1


@pytest.mark.parametrize(
    ("zone", "night", "hours"),
    [
        pytest.param("Europe/London", "2026-03-29", 5, id="an hour that does not come in London"),
        pytest.param("Europe/London", "2026-10-25", 7, id="an hour that London has twice"),
        pytest.param("America/New_York", "2026-03-08", 5, id="New York, forward"),
        pytest.param("America/New_York", "2026-11-01", 7, id="New York, back"),
        pytest.param("Asia/Kolkata", "2026-03-29", 6, id="Kolkata, where nothing is changed"),
        pytest.param("Africa/Casablanca", "2026-02-15", 7, id="Casablanca, back as Ramadan begins"),
        pytest.param("Africa/Casablanca", "2026-03-22", 5, id="Casablanca, forward as it is over"),
    ],
)
def test_midnight_to_six_of_a_night(zone: str, night: str, hours: int) -> None:
    made = Calendar(zone, {"night": Window.parse("daily 00:00-06:00")})
    begin = made.instant(night)
    assert made.precedence("night", begin - 1) is None
    inside = [
        at_ms for at_ms in range(begin, begin + 10 * 3_600_000, 60_000) if made.precedence("night", at_ms) is not None
    ]
    assert len(inside) == hours * 60


@pytest.mark.parametrize(
    ("text", "precedence", "inside", "outside"),
    [
        ("daily 18:00-24:00", Precedence.DAILY, "2026-11-22T18:00", "2026-11-23T00:00"),
        ("daily", Precedence.DAILY, "2026-11-22T03:00", None),
        ("daily 22:00-06:00", Precedence.DAILY, "2026-11-22T05:59", "2026-11-22T06:00"),
        ("mon-fri 08:00-20:00", Precedence.WEEKDAYS, "2026-11-23T08:00", "2026-11-22T12:00"),
        ("sat,sun", Precedence.WEEKDAYS, "2026-11-22T23:59", "2026-11-23T00:00"),
        ("fri-mon 20:00-02:00", Precedence.WEEKDAYS, "2026-11-24T01:59", "2026-11-25T01:00"),
        ("2026-12-25", Precedence.DATE, "2026-12-25T00:00", "2026-12-26T00:00"),
        ("2026-12-24,2026-12-31 18:00-24:00", Precedence.DATE, "2026-12-31T18:00", "2026-12-25T18:00"),
    ],
)
def test_a_window(text: str, precedence: Precedence, inside: str, outside: str | None) -> None:
    made = Calendar("Europe/Berlin", {"it": Window.parse(text)})
    assert made.precedence("it", made.instant(inside)) is precedence
    if outside is not None:
        assert made.precedence("it", made.instant(outside)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "never",
        "daily 08:00",
        "daily 8:00-9:00",
        "daily 24:00-25:00",
        "daily 09:00-09:00",
        "daily 08:60-09:00",
        "mon-xyz",
        "2026-13-01",
        "2026-02-30 08:00-09:00",
        "mon,,tue",
        "sat, sun",
    ],
)
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(BadDeck):
        Window.parse(text)


def test_a_window_says_when() -> None:
    with pytest.raises(BadDeck, match="says when"):
        Window.parse()


@pytest.mark.parametrize("zone", ["Europe/Londn", "", "../../etc/passwd", "Europe"])
def test_what_is_no_zone(zone: str) -> None:
    with pytest.raises(BadDeck, match="is not a time zone"):
        Calendar(zone)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("daily 08:00-12:00", "daily 12:00-14:00", False),
        ("daily 08:00-12:01", "daily 12:00-14:00", True),
        ("daily 22:00-06:00", "daily 05:00-07:00", True),
        ("sun 22:00-06:00", "mon 05:00-07:00", True),
        ("sun 22:00-06:00", "tue 05:00-07:00", False),
        ("mon-fri", "sat,sun", False),
        ("mon-fri", "daily", False),
        ("2026-12-25", "fri", False),
        ("2026-12-25 20:00-02:00", "2026-12-26 01:00-03:00", True),
        ("2026-12-25", "2026-12-26", False),
    ],
)
def test_two_windows_meet_where_neither_says_more(one: str, other: str, meet: bool) -> None:
    assert Window.parse(one).meets(Window.parse(other)) is meet
    assert Window.parse(other).meets(Window.parse(one)) is meet


@pytest.mark.parametrize(
    ("zone", "text", "utc"),
    [
        ("UTC", "2026-07-01", "2026-07-01T00:00:00"),
        ("Europe/Berlin", "2026-07-01", "2026-06-30T22:00:00"),
        ("Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T00:00:00"),
        ("Europe/Berlin", "2026-07-01T00:00:00.250-05:00", "2026-07-01T05:00:00.250"),
    ],
)
def test_an_instant(zone: str, text: str, utc: str) -> None:
    since = datetime.fromisoformat(utc).replace(tzinfo=UTC) - EPOCH
    assert Calendar(zone).instant(text) == since // timedelta(milliseconds=1)


@pytest.mark.parametrize("text", ["tomorrow", "", "2026-02-30", "2026-03-29T01:30"])
def test_what_is_no_instant_in_london(text: str) -> None:
    with pytest.raises(BadDeck):
        Calendar("Europe/London").instant(text)
