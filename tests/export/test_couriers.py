"""Couriers on a real database: what is written arrives, each target by itself, and nothing is lost by a restart."""

import asyncio
import json
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from sipshop.export.couriers import Couriers, unknown_providers
from sipshop.export.spool import Spool
from sipshop.export.target import Outcome, Parcel
from sipshop.export.webhook import BadTarget
from sipshop.settings import ExportSettings, TargetSettings
from sipshop.store import CallSettled, NotInTheOutbox, Store, UnknownTarget, audit_file
from sipshop.switch import utc_ms
from tests.store.examples import TENANT, cdr, filled, running

PATIENCE_S: Final = 10.0


async def until(look: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < give_up, what
        await asyncio.sleep(0.01)


def couriers_of(store: Store) -> Couriers:
    return Couriers(store, TENANT, clock=time.monotonic, utc_ms=utc_ms, chance=lambda: 0.0, environment={})


def with_couriers(path: Path, work: Callable[[Store, Couriers], Awaitable[None]]) -> None:
    async def main(store: Store) -> None:
        couriers = couriers_of(store)
        try:
            await work(store, couriers)
        finally:
            await couriers.stop()

    with filled(path) as store:
        running(store, main)
    assert audit_file(path) == []


def spool(path: Path, name: str = "books", *, batch: int = 2) -> TargetSettings:
    return TargetSettings(name=name, file=str(path), batch=batch, from_beginning=True)


def calls_in(path: Path) -> list[str]:
    return [json.loads(line)["call_id"] for line in path.read_text().splitlines()] if path.exists() else []


async def settle(store: Store, *call_ids: str) -> None:
    for call_id in call_ids:
        store.submit(CallSettled(cdr(call_id, session_id=None, talk_ms=0)))
    store.flush()


def test_what_is_written_arrives_in_order_and_the_next_start_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "cdr.jsonl"

    async def first(store: Store, couriers: Couriers) -> None:
        await settle(store, "c1", "c2", "c3")
        couriers.change(ExportSettings(targets=(spool(out),)))
        await until(lambda: len(calls_in(out)) == 3, "three records")

    async def second(store: Store, couriers: Couriers) -> None:
        couriers.change(ExportSettings(targets=(spool(out),)))
        await settle(store, "c4")
        await until(lambda: len(calls_in(out)) == 4, "the fourth")
        await until(lambda: couriers.statuses()[0].age_s == 0 and couriers.statuses()[0].state == "idle", "rest")
        (status,) = couriers.statuses(TENANT)
        assert status.standing is not None
        assert (status.standing.delivered, status.standing.backlog, status.where) == (4, 0, f"file {out}")
        assert couriers.statuses("umbrella") == []

    with_couriers(tmp_path / "db", first)
    with_couriers(tmp_path / "db", second)
    assert calls_in(out) == ["c1", "c2", "c3", "c4"]


def test_what_was_taken_while_the_server_stops_does_not_come_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "cdr.jsonl"
    stopped = threading.Event()
    append = Spool.deliver

    def deliver(self: Spool, parcel: Parcel, utc_ms: int) -> Outcome:
        outcome = append(self, parcel, utc_ms)
        assert stopped.wait(PATIENCE_S)  # a slow disk: the answer comes when the courier has been called home
        return outcome

    async def first(store: Store, couriers: Couriers) -> None:
        await settle(store, "c1", "c2", "c3")
        couriers.change(ExportSettings(targets=(spool(out),)))
        await until(lambda: len(calls_in(out)) == 2, "the first batch")

    async def second(store: Store, couriers: Couriers) -> None:
        couriers.change(ExportSettings(targets=(spool(out),)))
        await until(lambda: calls_in(out)[-1] == "c3", "the third")

    with monkeypatch.context() as patches:
        patches.setattr(Spool, "deliver", deliver)
        patches.setattr(Spool, "stop", lambda self: stopped.set())
        with_couriers(tmp_path / "db", first)
    assert calls_in(out) == ["c1", "c2"]
    with_couriers(tmp_path / "db", second)
    assert calls_in(out) == ["c1", "c2", "c3"]


def test_a_dead_target_keeps_no_other_waiting_and_is_told(tmp_path: Path) -> None:
    out, dead = tmp_path / "cdr.jsonl", tmp_path / "none" / "cdr.jsonl"

    async def work(store: Store, couriers: Couriers) -> None:
        await settle(store, "c1", "c2")
        couriers.change(ExportSettings(targets=(spool(dead, "dead"), spool(out))))
        await until(lambda: len(calls_in(out)) == 2, "the other one's records")
        await until(lambda: couriers.statuses()[0].failures > 0, "a failure")
        status = couriers.statuses()[0]
        assert status.standing is not None
        assert status.standing.backlog == 2
        assert status.age_s > 80
        assert "No such file" in status.why
        dead.parent.mkdir()
        await couriers.retry(TENANT, "dead", "ana")
        await until(lambda: len(calls_in(dead)) == 2, "what had waited")

    with_couriers(tmp_path / "db", work)


def test_poison_is_parked_told_tried_again_and_skipped(tmp_path: Path) -> None:
    out, cure = tmp_path / "out", tmp_path / "cure"
    program = (
        "import sys, os; text = sys.stdin.read(); "
        f"bad = '\"c2\"' in text and not os.path.exists({str(cure)!r}); "
        f"bad or open({str(out)!r}, 'a').write(text); sys.exit(65 if bad else 0)"
    )
    loader = TargetSettings(
        name="loader", command=(sys.executable, "-S", "-c", program), from_beginning=True, batch=4, timeout_s=10
    )

    async def work(store: Store, couriers: Couriers) -> None:
        await settle(store, "c1", "c2", "c3")
        couriers.change(ExportSettings(targets=(loader,)))

        def parked() -> int:
            seen = couriers.statuses()[0].standing
            return 0 if seen is None else seen.parked_count

        await until(lambda: parked() == 1 and len(calls_in(out)) == 2, "a parked record, and those around it")
        (one,) = couriers.statuses()[0].standing.parked  # type: ignore[union-attr]  # it was counted above
        assert (one.number, one.call_id, one.why) == (2, "c2", "exit status 65")
        with pytest.raises(NotInTheOutbox):
            await couriers.skip(TENANT, "loader", 1, "ana")
        cure.touch()
        assert await couriers.retry(TENANT, "loader", "ana") == 1
        await until(lambda: len(calls_in(out)) == 3, "the parked one")
        assert calls_in(out) == ["c1", "c3", "c2"]

    with_couriers(tmp_path / "db", work)


def test_what_comes_next_can_be_skipped_and_another_providers_target_is_unknown(tmp_path: Path) -> None:
    dead = tmp_path / "none" / "cdr.jsonl"

    async def work(store: Store, couriers: Couriers) -> None:
        await settle(store, "c1", "c2")
        couriers.change(ExportSettings(targets=(spool(dead, "dead", batch=1),)))
        await until(lambda: couriers.statuses()[0].failures > 0, "a failure")
        with pytest.raises(UnknownTarget):
            await couriers.skip("umbrella", "dead", 1, "eve")
        await couriers.skip(TENANT, "dead", 1, "ana")
        dead.parent.mkdir()
        await couriers.retry(TENANT, "dead", "ana")
        await until(lambda: calls_in(dead) == ["c2"], "what was not skipped")

    with_couriers(tmp_path / "db", work)


def test_a_target_of_now_gets_what_is_to_come(tmp_path: Path) -> None:
    out = tmp_path / "cdr.jsonl"

    async def work(store: Store, couriers: Couriers) -> None:
        await settle(store, "before")
        couriers.change(ExportSettings(targets=(TargetSettings(name="books", file=str(out)),)))
        await until(lambda: couriers.statuses()[0].state == "idle", "a beginning")
        await settle(store, "after")
        await until(lambda: calls_in(out) == ["after"], "what came after")

    with_couriers(tmp_path / "db", work)


def test_a_target_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    hook = TargetSettings(name="hook", url="http://127.0.0.1:1/", secret="whsec_%%%%%%%%%%%%")

    async def work(_store: Store, couriers: Couriers) -> None:
        couriers.change(ExportSettings(targets=(spool(tmp_path / "cdr.jsonl"),)))
        with pytest.raises(BadTarget, match="hook: "):
            couriers.change(ExportSettings(targets=(hook,)))
        assert [status.target for status in couriers.statuses()] == ["books"]

    with_couriers(tmp_path / "db", work)


def test_a_provider_that_is_not_there_is_named() -> None:
    wanted = ExportSettings(targets=(TargetSettings(name="books", provider="nobody", file="f"),))
    assert unknown_providers(wanted, ["acme"]) == ["target books: there is no provider named 'nobody'"]
