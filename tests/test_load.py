"""The files of a configuration: secrets that are kept elsewhere, and what else a file leads to."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from typer.testing import CliRunner

from sipshop import cli
from sipshop.load import check_file, fetch_secret, load_settings

ROOT: Final = Path(__file__).parent.parent
CERTIFICATES: Final = Path(__file__).parent / "certificates"


def test_a_secret_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_PASSWORD", "open sesame")
    assert fetch_secret("env:KEY_PASSWORD") == "open sesame"


@pytest.mark.parametrize("written", ["open-sesame", "open-sesame\n", "open-sesame\r\n", "open-sesame\nmore\n"])
def test_a_secret_comes_from_the_first_line_of_a_file(written: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(written.encode())
    assert fetch_secret(f"file:{file}") == "open-sesame"


@pytest.mark.parametrize(
    ("written", "why"),
    [
        pytest.param(b"", "is empty or not there", id="an empty file"),
        pytest.param(b"\nlater", "is empty or not there", id="an empty first line"),
        pytest.param(b"\xff\xfe", "is no UTF-8 text", id="no text"),
        pytest.param(b"a\x00b", "is no secret: at most 4096 printable characters", id="a control character"),
        pytest.param(b"x" * 5000, "is no secret: at most 4096 printable characters", id="a long line"),
    ],
)
def test_what_is_no_secret_is_told_and_not_shown(written: bytes, why: str, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_bytes(written)
    with pytest.raises(ValueError, match=why) as caught:
        fetch_secret(f"file:{file}")
    assert "xxxx" not in str(caught.value)


def test_a_secret_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_PASSWORD", raising=False)
    with pytest.raises(ValueError, match="the environment variable KEY_PASSWORD is empty or not there"):
        fetch_secret("env:KEY_PASSWORD")
    with pytest.raises(ValueError, match="/no/secret cannot be read: No such file or directory"):
        fetch_secret("file:/no/secret")


@pytest.mark.parametrize("file", sorted((ROOT / "conf").rglob("*.yaml")), ids=lambda file: file.name)
def test_what_is_shipped_passes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    kind, problems = check_file(file.relative_to(ROOT))
    assert (kind, problems) == ("configuration" if file.name == "sipshop.yaml" else "world", ())


def test_a_certificate_is_looked_at_with_its_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_PASSWORD", "open-sesame")
    file = tmp_path / "sipshop.yaml"
    http = f"http: {{certificate: {CERTIFICATES / 'desk.pem'}, key: {CERTIFICATES / 'locked.key'}"
    file.write_text(http + ", key_password: 'env:KEY_PASSWORD'}\n")
    assert check_file(file) == ("configuration", ())
    assert load_settings(file).http.key_password == "open-sesame"
    file.write_text(http + "}\n")
    [problem] = check_file(file)[1]
    assert "locked.key cannot be decrypted: http.key_password has to be its password" in str(problem)


def test_each_file_is_told_of_and_one_bad_one_is_enough(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("logs: {level: debug}\n")
    bad.write_text("provider: {name: X}\nshops: []\n")
    both = CliRunner().invoke(cli.app, ["check-config", str(good), str(bad)])
    assert both.exit_code == 2
    assert both.stdout == f"{good}: a configuration without a mistake\n"
    assert f"sipshop: {bad}:" in both.stderr
    assert CliRunner().invoke(cli.app, ["check-config", str(good)]).exit_code == 0
    as_json = CliRunner().invoke(cli.app, ["check-config", "--json", str(good), str(bad)])
    assert as_json.exit_code == 2
    assert '"kind": "world"' in as_json.stdout
