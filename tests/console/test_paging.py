import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipshop.console.paging import cdr_place, decode, encode, epoch_ms, page_of, place_of
from sipshop.store import CdrPlace, UnknownPlace
from tests.console.memory import Caller, MemoryDesk, memory_api
from tests.console.test_api import record


@given(st.lists(st.integers(0, 10**6), unique=True), st.integers(1, 7))
def test_pages_put_together_are_the_list(numbers: list[int], limit: int) -> None:
    seen: list[int] = []
    cursor: str | None = None
    while True:
        page, cursor = page_of(numbers, str, limit, cursor)
        seen += page
        if cursor is None:
            break
    assert seen == numbers


@pytest.mark.parametrize(
    "cursor", ["", "no cursor", "!", encode(1), encode("a", "b"), encode("gone"), encode("\ud800")]
)
def test_a_cursor_that_we_never_gave(cursor: str) -> None:
    with pytest.raises(UnknownPlace):
        page_of(["a"], str, 1, cursor)


@pytest.mark.parametrize("text", ["[" * 1000, '[1e999, "a", 0]', f'[{2**63}, "a", 0]', '[true, "a", 0]'])
def test_a_cursor_that_was_made_by_hand(text: str) -> None:
    with pytest.raises(UnknownPlace):
        decode(base64.urlsafe_b64encode(text.encode()).decode(), int, str, int)


def test_a_record_is_found_again_by_its_cursor() -> None:
    place = CdrPlace(1_767_225_599_007, "call", 2)
    assert (
        cdr_place(place_of({"setup_at": "2025-12-31T23:59:59.007Z", "call_id": "call", "revision": 2}), None) == place
    )


@pytest.mark.parametrize(
    "at",
    [
        datetime(1970, 1, 1, 1),  # noqa: DTZ001  # one without a zone is what is tried
        datetime(1970, 1, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=1))),
    ],
)
def test_an_instant_is_in_utc_unless_it_says_otherwise(at: datetime) -> None:
    assert epoch_ms(at) == 3_600_000


@pytest.fixture
def client() -> Iterator[Caller]:
    desk = MemoryDesk("b1", "b2", "b3")
    desk.records = [record(name) for name in ("c", "b", "a")]
    with Caller(memory_api(desk)) as caller:
        for key in "xyz":
            caller.post(
                "/api/v1/parties/olga/payments",
                json={"amount": "1.00", "reason": key},
                headers={"Idempotency-Key": key},
            )
        yield caller


@pytest.mark.parametrize(
    ("path", "rows", "name", "names"),
    [
        ("booths", "booths", "booth", ["b1", "b2", "b3"]),
        ("parties", "parties", "party", ["acme", "rhea", "olga"]),
        ("cdrs", "cdrs", "call_id", ["c", "b", "a"]),
        ("parties/olga/transfers", "transfers", "reason", ["z", "y", "x"]),
    ],
)
def test_every_list_is_read_in_pages(client: Caller, path: str, rows: str, name: str, names: list[str]) -> None:
    first = client.get(f"/api/v1/{path}?limit=2").json()
    second = client.get(f"/api/v1/{path}", params={"limit": 2, "cursor": first["next"]}).json()
    assert [row[name] for row in [*first[rows], *second[rows]]] == names
    assert second["next"] is None
    wrong = client.get(f"/api/v1/{path}?cursor=none")
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_cursor")


def test_numbers_are_masked_where_that_is_asked(client: Caller) -> None:
    (cdr,) = client.get("/api/v1/cdrs?limit=1&mask=true").json()["cdrs"]
    assert (cdr["dialled"], cdr["e164"]) == ("0049 30 1234****", "49301234****")
