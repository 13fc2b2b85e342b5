"""The promise that what was acknowledged is on the disk, watched from outside: SIGKILL, and a disk that fails."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from sipshop.store import AlreadyRunning, CallSettled
from tests.store.examples import TENANT, cdr, filled, opened, running

ROOT: Final = Path(__file__).parents[2]
STRACE: Final = shutil.which("strace")


def _can_trace() -> bool:
    if STRACE is None:
        return False
    return subprocess.run([STRACE, "-o", os.devnull, "true"], check=False, capture_output=True).returncode == 0


needs_strace: Final = pytest.mark.skipif(not _can_trace(), reason="no strace here, or no right to trace")


class Writer:
    """A process of `tests.store.writer`, asked line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def hear(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ask(self, call_id: str) -> str:
        self.say(call_id)
        return self.hear()

    def heard_until_the_end(self) -> list[str]:
        assert self.process.stdout is not None
        return self.process.stdout.read().split("\n")


@contextmanager
def writer(path: Path, under: Sequence[str] = ()) -> Iterator[Writer]:
    command = [*under, sys.executable, "-m", "tests.store.writer", str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        started = Writer(process)
        assert started.hear() == "ready"
        try:
            yield started
        finally:
            assert process.stdin is not None
            process.stdin.close()


def call_ids(path: Path) -> list[str]:
    """The calls that have a CDR, for whoever opens the database next."""
    found = running(opened(path, process="after"), lambda store: store.cdrs(TENANT, limit=1_000_000))
    return [row["call_id"] for row in found]


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with writer(path) as child:
        child.say("flood")
        heard = [child.hear() for _ in range(300)]
        child.process.send_signal(signal.SIGKILL)
        # The last line may be cut off in the middle; a line that is whole was acknowledged.
        heard += child.heard_until_the_end()[:-1]
    acknowledged = {line.split()[0] for line in heard}
    found = call_ids(path)
    assert len(found) == len(set(found))
    assert acknowledged <= set(found)


def test_a_second_process_is_told_who_is_there(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with writer(path) as child:
        with pytest.raises(AlreadyRunning, match=rf"in use by process {child.process.pid}: stop that one") as caught:
            opened(path)
        assert caught.value.pid == child.process.pid
        child.process.kill()
        child.process.wait()
        opened(path).close()


@needs_strace
def test_a_commit_is_one_sync(tmp_path: Path) -> None:
    path, trace = tmp_path / "db", tmp_path / "trace"
    with writer(path, under=[STRACE or "", "-f", "-o", str(trace), "-e", "trace=fdatasync,fsync,write"]) as child:
        for number in range(23):
            assert child.ask(f"c{number}") == f"c{number} ok"
    steady = re.search(r'write\(1, "c2 ok.*?write\(1, "c22 ok', trace.read_text(), re.DOTALL)
    assert steady is not None
    assert len(re.findall(r"\bf(?:data)?sync\(", steady[0])) == 20


@needs_strace
def test_a_sync_that_fails_is_told_and_the_disk_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with writer(path) as child:
        assert child.ask("c1") == "c1 ok"
        with failing_syncs(child.process.pid):
            assert child.ask("c2") == "c2 Unwritable"
            assert child.ask("c3") == "c3 Unwritable"
        assert child.ask("c4") == "c4 ok"
        assert child.ask("c2") == "c2 ok"
    assert sorted(call_ids(path)) == ["c1", "c2", "c4"]


@contextmanager
def failing_syncs(pid: int) -> Iterator[None]:
    """Have every fdatasync of a running process fail as a broken disk makes it."""
    command = [STRACE or "", "-f", "-p", str(pid), "-o", os.devnull, "-e", "inject=fdatasync:error=EIO"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        assert "attached" in tracer.stderr.readline()
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)  # it lets go of the process and ends


@contextmanager
def unchangeable(path: Path) -> Iterator[None]:
    """A file that even root cannot write, or a skipped test where there is no such thing."""
    if os.geteuid() != 0:
        path.chmod(0o400)
        yield
        path.chmod(0o600)
        return
    chattr = shutil.which("chattr")
    if chattr is None or subprocess.run([chattr, "+i", str(path)], check=False, capture_output=True).returncode != 0:
        pytest.skip("root here, and no file attributes: nothing can be made read-only")
    try:
        yield
    finally:
        subprocess.run([chattr, "-i", str(path)], check=True)


def test_a_read_only_database_opens_and_is_read(tmp_path: Path) -> None:
    path = tmp_path / "db"
    with filled(path) as store:
        running(store, lambda store: store.commit(CallSettled(cdr(session_id=7))))
    with unchangeable(path), filled(path) as store:
        assert not store.writable
        assert [world.tenant for world in store.worlds()] == [TENANT]
        assert len(running(store, lambda store: store.cdrs(TENANT, limit=5))) == 1
    with filled(path) as store:
        assert store.writable


def test_a_read_only_folder_is_read_without_a_lock_file(tmp_path: Path) -> None:
    path = tmp_path / "data" / "db"
    with filled(path):
        pass
    path.with_name("db.lock").unlink()
    with unchangeable(path), unchangeable(path.parent):
        with filled(path) as store:
            assert not store.writable
            assert [world.tenant for world in store.worlds()] == [TENANT]
        assert [file.name for file in path.parent.iterdir()] == ["db"]
