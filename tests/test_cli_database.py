"""`sipshop backup` and `sipshop restore`: what people type, and what they are told."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sipshop.cli import app
from sipshop.cli.codes import DONE, USAGE
from tests.store.examples import filled


def sipshop(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def database(tmp_path: Path) -> Path:
    with filled(tmp_path / "data" / "sipshop.db"):
        return tmp_path / "data" / "sipshop.db"


def test_a_backup_says_what_it_made(tmp_path: Path, database: Path) -> None:
    copy = tmp_path / "copy"
    status, said, _ = sipshop("backup", copy, "--database", database)
    assert (status, said) == (DONE, f"{database} is copied to {copy}, {copy.stat().st_size} bytes\n")
    status, said, _ = sipshop("backup", tmp_path / "other", "--database", database, "--json")
    assert json.loads(said) == {"backup": str(tmp_path / "other"), "bytes": copy.stat().st_size}


def test_a_restore_says_what_it_kept_and_what_to_do_next(tmp_path: Path, database: Path) -> None:
    sipshop("backup", tmp_path / "copy", "--database", database)
    status, said, _ = sipshop("restore", tmp_path / "copy", "--database", database, "--replace")
    assert status == DONE
    assert f"the one before it is kept as {database}.replaced-1\n" in said
    check = re.search(r"sipshop (audit --database .*)$", said, re.MULTILINE)
    assert check is not None
    assert sipshop(*check[1].split())[0] == DONE
    status, said, _ = sipshop("restore", tmp_path / "copy", "--database", tmp_path / "new.db", "--json")
    assert json.loads(said) == {"database": str(tmp_path / "new.db"), "replaced": None}


def test_what_is_in_the_way_is_named(tmp_path: Path, database: Path) -> None:
    sipshop("backup", tmp_path / "copy", "--database", database)
    for words, told in (
        (("backup", tmp_path / "copy"), f"{tmp_path / 'copy'} is there already: name a new file for the backup"),
        (("restore", tmp_path / "copy"), f"{database} is there already: --replace moves it aside"),
        (("restore", tmp_path / "none"), f"{tmp_path / 'none'} cannot be used as a sipshop database: unable to open"),
    ):
        status, said, complaint = sipshop(*words, "--database", database)
        assert (status, said) == (USAGE, "")
        assert complaint.startswith(f"sipshop: {told}")
