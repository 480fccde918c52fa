"""The commands that only read: quick, without TensorFlow or Ray, and clear about mistakes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import yaml

from tlsearch.cli.main import main
from tlsearch.cli.tables import print_table
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.load import load, parse
from tlsearch.results.journal import STUDY_NAME, open_storage
from tlsearch.results.storage import StudyDirectory

ImageFolder = Callable[[dict[str, int]], Path]
Said = tuple[int, str, str]

COMMAND = """
import sys
from tlsearch.cli.main import main
code = main()
heavy = {"tensorflow", "keras", "ray"} & {*sys.modules}
sys.exit(f"imported {heavy}" if heavy else code)
"""


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A study directory with one trial."""
    home = StudyDirectory(tmp_path / "study")
    home.write_about({"name": "pets", "metric": "accuracy"})
    journal = optuna.create_study(
        storage=open_storage(home.journal_file), study_name=STUDY_NAME, direction="maximize"
    )
    trial = journal.ask()
    trial.set_user_attr("config", json.dumps({"backbone": "strokes"}))
    trial.report(0.75, 1)
    journal.tell(trial, 0.75)
    return home.root


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """Run the command line in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr(sys, "argv", ["tlsearch", *map(str, arguments)])
        code = main()
        return (code, *capsys.readouterr())

    return run


def in_a_process(*arguments: object) -> str:
    """Stdout of a command in a process of its own that imports nothing heavy and exits with 0."""
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    text = in_a_process("--help")
    for command in ("run", "resume", "validate", "init", "backbones", "report", "export"):
        assert f"\n  {command} " in text


def test_validate_prints_the_search_as_it_would_run() -> None:
    assert parse(in_a_process("validate", "quickstart")) == load("quickstart")


def test_backbones_lists_every_row_on_a_line() -> None:
    lines = in_a_process("backbones").splitlines()
    assert [line.split()[0] for line in lines[2:]] == list(BACKBONES)


def test_report_prints_the_leaderboard(study: Path) -> None:
    text = in_a_process("report", study)
    assert text.split()[:6] == ["rank", "trial", "state", "accuracy", "epoch", "seconds"]


def test_init_prints_a_space_that_validates(image_folder: ImageFolder) -> None:
    root = image_folder({"cat": 20, "dog": 20})
    config = parse(in_a_process("init", root))
    assert (config.data.path, config.name) == (root, "pictures")


def test_reports_of_each_form_go_to_stdout_or_to_a_file(
    say: Callable[..., Said], study: Path, tmp_path: Path
) -> None:
    for form in ("csv", "json", "md"):
        code, text, _ = say("report", study, "--format", form)
        assert say("report", study, "--format", form, "--out", tmp_path / form) == (0, "", "")
        assert (code, text) == (0, (tmp_path / form).read_text())
    assert json.loads((tmp_path / "json").read_text())["trials"][0]["metric"] == 0.75


def test_validate_takes_settings(say: Callable[..., Said]) -> None:
    code, text, _ = say("validate", "quickstart", "--set", "trials=3", "--set", "seed=7")
    assert (code, yaml.safe_load(text)["trials"], yaml.safe_load(text)["seed"]) == (0, 3, 7)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["validate", "quickstrat"],
            2,
            "quickstrat: no such file, and no search space ships by that name "
            "(did you mean 'quickstart'?)",
        ),
        (
            ["validate", "quickstart", "--set", "trails=3", "--set", "epochs=0"],
            2,
            "--set epochs: epochs: found 0, expected a number > 0\n"
            "--set trails: trails: unknown key, did you mean 'trials'?",
        ),
        (
            ["report", "study", "--format", "table", "--out", "x"],
            2,
            "--out needs --format csv, json or md: a table is for the screen",
        ),
        (
            ["init", "gone"],
            3,
            "{here}/gone: no such folder; expected a folder that holds a folder a class",
        ),
        (["report", "gone"], 4, "{here}/gone: not a study directory (no study.yaml in it)"),
    ],
)
def test_a_mistake_is_a_message_and_an_exit_code(
    say: Callable[..., Said],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert say(*arguments) == (code, "", f"error: {message.format(here=tmp_path)}\n")
    assert os.listdir() == []


def test_a_piped_table_has_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [f"column {place}" for place in range(13)]
    body = [[f"{'wide ' * 4}{place}" for place in range(13)] for _ in range(5)]
    print_table(columns, body)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 2 + 5


def test_cells_are_text_and_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["[red]x[/red]"], ["[/]"]])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_no_arguments_show_the_help(say: Callable[..., Said]) -> None:
    code, out, err = say()
    assert code == 2
    assert "Commands" in out + err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--bogus"], "No such option"),
        (["report"], "Missing argument 'DIR'"),
        (["report", ".", "--format", "nope"], "Invalid value for '--format'"),
        (["sing"], "No such command"),
    ],
)
def test_a_wrong_call_is_a_message_and_exit_code_2(
    say: Callable[..., Said], arguments: list[str], part: str
) -> None:
    code, _, err = say(*arguments)
    assert code == 2
    assert part in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["2024", "on", "1e5", 'it\'s "quoted"', "x" * 120, "日本"])
def test_init_writes_a_valid_space_whatever_the_folder_is_called(
    say: Callable[..., Said], tmp_path: Path, picture: Callable[..., None], name: str
) -> None:
    for label in ("cat", "dog"):
        picture(tmp_path / name / label / "0.png", seed=len(label))
    code, out, _ = say("init", tmp_path / name)
    assert code == 0
    assert parse(out).data.path == tmp_path / name


def test_a_reader_that_had_enough_is_no_traceback(study: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tlsearch.cli.main", "report", study, "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1
