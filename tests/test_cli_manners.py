"""What all commands have in common: docs/cli.md, JSON for programs, narrow windows, foreign text, completion."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from rich.console import Console
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from sipshop import cli
from sipshop.cli import codes, screen
from sipshop.cli.screen import until_interrupted
from tests.console.memory import TOKEN, WORLD_TEXT, MemoryDesk, Stage, memory_api, serving
from tests.store.examples import filled

PAGE: Final = (Path(__file__).parent.parent / "docs/cli.md").read_text(encoding="utf-8")
PRINTS_NOTHING: Final = {"demo", "serve", "carrier", "print-agent", "poster"}
FOREIGN: Final = "[red]\x1b[2J\u202e[link=x]"


def named() -> Iterator[str]:
    """Every command, as it is typed."""
    top = typer.main.get_command(cli.app)
    assert isinstance(top, TyperGroup)
    context = typer.Context(top)
    for name in top.list_commands(context):
        command = top.get_command(context, name)
        if isinstance(command, TyperGroup):
            yield from (f"{name} {each}" for each in command.commands)
        else:
            yield name


COMMANDS: Final = sorted(named())


@pytest.fixture(scope="module")
def stage() -> Iterator[tuple[Stage, str]]:
    """One server for all tests of this file, and its URL."""
    stage = Stage()
    with serving(stage) as url:
        yield stage, url


@pytest.fixture
def desk(stage: tuple[Stage, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MemoryDesk:
    """A desk that the command line finds by the environment, and a folder with files for it."""
    desk = MemoryDesk("b1", "b2")
    stage[0].api = memory_api(desk)
    monkeypatch.setenv("SIPSHOP_URL", stage[1])
    monkeypatch.setenv("SIPSHOP_TOKEN", TOKEN)
    monkeypatch.chdir(tmp_path)
    Path("world.yaml").write_text(WORLD_TEXT, encoding="utf-8")
    return desk


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.app, words)


# docs/cli.md


def test_the_page_names_every_command_and_no_other() -> None:
    table = PAGE.partition("## Commands")[2].partition("## ")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for cell in cells for name in re.findall(r"`([^`]+)`", cell)) == COMMANDS


def test_the_page_explains_every_exit_code_and_no_other() -> None:
    ours = {value for name, value in vars(codes).items() if name.isupper() and isinstance(value, int)}
    assert {int(code) for code in re.findall(r"^\| `(\d+)` \|", PAGE, re.MULTILINE)} == ours


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_explains_itself_and_its_exit_codes(command: str) -> None:
    told = " ".join(run(*command.split(), "--help").stdout.split())
    assert "Exit codes: 0 " in told
    assert ("--json" in told) == (command not in PRINTS_NOTHING)


# For programs


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(words, id=" ".join(words[:2]))
        for words in (
            ("apply", "world.yaml"),
            ("audit",),
            ("backup", "copy.db", "--database", "here/sipshop.db"),
            ("booth", "list"),
            ("booth", "lock", "b1"),
            ("booth", "unlock", "b2"),
            ("calls",),
            ("cdr", "export", "cdrs.csv"),
            ("cdr", "list"),
            ("check-config", "world.yaml"),
            ("deck", "list"),
            ("deck", "show", "sell"),
            ("export-world",),
            ("operator", "list"),
            ("party", "adjust", "olga", "1.00", "--reason", "x"),
            ("party", "limit", "olga", "1.00", "--reason", "x"),
            ("party", "list"),
            ("party", "pay", "olga", "1.00", "--reason", "x"),
            ("party", "resume", "olga"),
            ("party", "show", "olga"),
            ("party", "suspend", "olga"),
            ("party", "transfers", "olga"),
            ("quote", "021234567"),
            ("registration", "list"),
            ("restore", "copy.db", "--database", "there/sipshop.db"),
            ("session", "bill", "b1"),
            ("session", "pay", "b1", "--version", "0", "--tendered", "0"),
            ("session", "topup", "b1", "1.00"),
            ("token", "create", "x", "--party", "olga"),
            ("token", "list"),
            ("trunk", "list"),
            ("version",),
        )
    ],
)
def test_json_is_one_document_and_all_of_the_output(desk: MemoryDesk, words: Sequence[str]) -> None:
    with filled(Path("here/sipshop.db")):
        run("backup", "copy.db", "--database", "here/sipshop.db")
        if words[0] == "backup":
            Path("copy.db").unlink()
        run("booth", "unlock", "b1", "--deposit", "5.00")
        result = run(*words, "--json")
    assert (result.exit_code, result.stderr) == (0, "")
    assert isinstance(json.loads(result.stdout), dict)


def test_a_token_is_made_and_revoked_in_json(desk: MemoryDesk) -> None:
    made = json.loads(run("token", "create", "x", "--party", "olga", "--json").stdout)
    assert json.loads(run("token", "revoke", made["id"], "--json").stdout)["id"] == made["id"]


def test_a_token_of_a_person_has_his_role(desk: MemoryDesk) -> None:
    made = json.loads(run("token", "create", "till", "--operator", "ana", "--json").stdout)
    assert (made["role"], made["shop"]) == ("operator", "center")


def test_records_on_the_standard_output_are_json_lines_if_json_is_asked_for(desk: MemoryDesk) -> None:
    desk.records = [{"call_id": call_id, "booth": "b1", "charges": []} for call_id in "ab"]
    lines = run("--json", "cdr", "export", "-").stdout.splitlines()
    assert [json.loads(line)["call_id"] for line in lines] == ["a", "b"]
    assert run("--json", "cdr", "export", "-", "--format", "csv").stdout.startswith("layout,call_id,")


def test_a_world_in_json_can_be_applied_and_changes_nothing(desk: MemoryDesk) -> None:
    assert run("export-world", "now.json", "--json").exit_code == 0
    json.loads(Path("now.json").read_text(encoding="utf-8"))
    assert run("apply", "now.json", "--prune").stdout == "Nothing changes.\n"


def test_errors_are_text_also_where_json_is_asked_for(desk: MemoryDesk) -> None:
    result = run("--json", "cdr", "show", "none")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "sipshop: there is no call named 'none' that has ended\n"


def test_ctrl_c_is_no_finding_of_an_audit(desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be 1 otherwise, which says that the books do not hold."""

    def interrupted(*_words: object, **_options: object) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("sipshop.cli.ask.Server.get", interrupted)
    assert run("audit").exit_code == codes.INTERRUPTED


# For people


def table_in(width: int, *, spare: Sequence[str] = ("Shop", "Since")) -> str:
    """A table of a booth, as it is printed in a window."""
    table = screen.make_table("Booth", "Shop", "Since", right=("Amount",))
    screen.add_row(table, "the booth by the window", "Corner", "2026-01-01 08:00:00", "1234567.89 EUR")
    console = Console(width=width, file=StringIO())
    screen.fit(table, console, spare)
    with console.capture() as printed:
        console.print(table)
    return printed.get()


@pytest.mark.parametrize(
    ("width", "left_out"),
    [
        pytest.param(160, [], id="wide"),
        pytest.param(80, [], id="just"),
        pytest.param(66, ["Shop"], id="narrow"),
        pytest.param(45, ["Shop", "Since"], id="very"),
    ],
)
def test_a_narrow_window_leaves_out_columns_and_says_which(width: int, left_out: list[str]) -> None:
    printed = table_in(width)
    assert max(map(len, printed.splitlines())) <= width
    assert "the booth by the window" in printed
    assert "1234567.89 EUR" in printed
    told = f"Not shown in so narrow a window: {', '.join(left_out)}"
    assert (told in " ".join(printed.split())) == bool(left_out)
    assert ("Corner" in printed, "08:00" in printed) == ("Shop" not in left_out, "Since" not in left_out)


def test_what_can_not_be_left_out_is_folded_and_an_amount_not_even_that() -> None:
    printed = table_in(34)
    assert "1234567.89 EUR" in printed
    assert "…" not in printed
    assert [word for word in ("the booth", "window") if word not in printed] == []


@pytest.mark.parametrize(
    ("words", "times"),
    [
        (("booth", "list"), 1),
        (("session", "bill", FOREIGN), 2),
        (("booth", "lock", FOREIGN), 1),
        (("session", "topup", FOREIGN, "1.00"), 1),
    ],
)
def test_the_name_of_a_booth_steers_neither_terminal_nor_table(
    desk: MemoryDesk, words: Sequence[str], times: int
) -> None:
    desk.rooms[FOREIGN] = desk.rooms.pop("b2")
    run("booth", "unlock", FOREIGN, "--deposit", "1.00")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("[red]?[2J?[link=x]") == times, "in a title as in a cell"


def test_nothing_but_a_terminal_sees_how_far_something_is(
    desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with screen.progress("Copy of [x]\x1b") as tell:
        tell(1, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with screen.progress("Copy of [x]\x1b") as tell:
        tell(1, 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Copy of [x]?" in printed.err


# Completion


#: The command line under the name that it is installed by.
AS_INSTALLED = (sys.executable, "-c", "import sys; sys.argv[0] = 'sipshop'; from sipshop.cli import main; main()")


def completed(words: str, shell: str = "bash") -> str:
    """What a shell is told of the last word."""
    environment = {
        **os.environ,
        "_SIPSHOP_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": words,
        "COMP_CWORD": str(words.count(" ")),
        "_TYPER_COMPLETE_ARGS": words,
    }
    return subprocess.run(AS_INSTALLED, env=environment, capture_output=True, text=True, check=True).stdout


def test_a_shell_completes_commands_and_options() -> None:
    assert completed("sipshop boo").split() == ["booth"]
    assert completed("sipshop cdr ").split() == ["list", "show", "export", "verify"]
    assert "--prune" in completed("sipshop apply --").split()
    assert '"unlock"' in completed("sipshop booth ", "zsh")


def test_what_a_shell_has_to_learn_is_printed() -> None:
    # It is the shell that asks who is told, whoever runs the tests: a bash that stays until it has its answer.
    asked = ("bash", "-c", '"$@" --show-completion; exit $?', "bash", *AS_INSTALLED)
    script = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    assert "complete -o default -F _sipshop_completion sipshop" in script


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interruption_that_python_forgets_ends_a_command_all_the_same() -> None:
    class Finalized:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with until_interrupted() as goes_on:
        assert goes_on()
        Finalized()
        assert not goes_on()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interruption_ends_what_it_comes_in() -> None:
    with until_interrupted():
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("it goes on")
