"""The commands that only read: fast, without TensorFlow or Ray, and clear about mistakes."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tlsearch.cli.tables import print_table, too_wide
from tlsearch.config.catalog import BACKBONES, Direction
from tlsearch.config.load import load, parse
from tlsearch.data.sources import list_source
from tlsearch.results.rank.context import RankingContext
from tlsearch.results.rank.leaderboard import rows
from tlsearch.results.record.journal import (
    StudyRecord,
    TrialRecord,
)
from tlsearch.results.report.readable_table import LEAST_FIRST, readable_rows

ImageFolder = Callable[[dict[str, int]], Path]
Result = tuple[int, str, str]

COMMAND = """
import sys
from tlsearch.cli.main import main
code = main()
heavy = {"tensorflow", "keras", "ray"} & {*sys.modules}
sys.exit(f"imported {heavy}" if heavy else code)
"""


def in_a_process(*arguments: object, warnings: int = 0) -> str:
    """Run a command in its own process and return its stdout.

    The command must import nothing heavy, exit with 0 and print that many warnings on stderr.
    """
    command = [sys.executable, "-c", COMMAND, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stderr.splitlines()
    assert (done.returncode, len(lines)) == (0, warnings), done.stderr
    assert all(line.startswith("WARNING: ") for line in lines)
    return done.stdout


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    text = in_a_process("--help")
    for command in ("run", "resume", "validate", "init", "report", "compare", "replay", "export"):
        assert f"\n  {command} " in text


def test_validate_prints_the_search_as_it_would_run() -> None:
    assert parse(in_a_process("validate", "quickstart")) == load("quickstart")


def test_validate_reads_the_images_where_asked(
    invoke: Callable[..., Result],
    image_folder: ImageFolder,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = image_folder({f"{s}/{c}": 2 for s in ("train", "val", "test") for c in ("cat", "dog")})
    space, sheet = tmp_path / "pets.yaml", tmp_path / "sheet.png"
    space.write_text(f"data: {{path: {root}, image_px: 32}}\ncache: {tmp_path}/cache\n")
    code, text, _ = invoke("validate", space, "--samples", sheet)
    assert "the validation split has 4 pictures: the 95 % interval (Wilson) of" in caplog.text
    assert invoke("validate", space, "--data")[1] == text.rpartition("samples:")[0]
    lines = [line.split() for line in text.splitlines()]
    assert (code, lines[0]) == (0, ["class", "train", "validation", "test"])
    assert lines[2:] == [
        ["cat", "2", "2", "2"],
        ["dog", "2", "2", "2"],
        ["all", "4", "4", "4"],
        ["samples:", str(sheet)],
    ]
    assert sheet.read_bytes().startswith(b"\x89PNG")


def test_validate_tells_what_was_left_out_and_moved(
    invoke: Callable[..., Result], image_folder: ImageFolder, tmp_path: Path
) -> None:
    root = image_folder({"cat": 30, "dog": 30})
    (root / "dog/7.png").write_bytes(b"")
    space = tmp_path / "pets.yaml"
    space.write_text(
        f"data: {{path: {root}, image_px: 32, unreadable: skip, splits: {{validation: 0.01}}}}\n"
        f"cache: {tmp_path}/cache\n"
    )
    code, text, _ = invoke("validate", space, "--data")
    assert code == 0
    assert "unreadable, left out: 1\n  dog/7.png: cannot be read (not an image)\n" in text
    assert "moved to validation to fill small classes: 10 (cat 5, dog 5)\n" in text


def test_backbones_lists_every_row_on_a_line() -> None:
    lines = in_a_process("backbones").splitlines()
    assert [line.split()[0] for line in lines[2:-1]] == list(BACKBONES)
    giants = "dinov2_giant, dinov2_giant_registers"
    assert lines[-1] == f"exported as keras or saved_model only: {giants}"
    assert max(map(len, lines)) <= 80


def test_backbones_of_a_family_and_a_size_are_listed_alone(invoke: Callable[..., Result]) -> None:
    limits = ("--max-params", "100", "--max-gmacs", "10", "--format", "json")
    code, text, _ = invoke("backbones", "--family", "convnext", *limits)
    named = [row["name"] for row in json.loads(text)]
    assert (code, named) == (0, ["convnext_tiny", "convnext_small"])


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (("--family", "convnex"), "--family: unknown family 'convnex', did you mean 'convnext'?"),
        (
            ("--family", "vgg", "--max-params", "3"),
            "no backbone is that small; vgg16 has 14.7 million parameters",
        ),
    ],
)
def test_a_list_of_no_backbones_says_why(
    asked: tuple[str, ...], hint: str, invoke: Callable[..., Result]
) -> None:
    code, _, errors = invoke("backbones", *asked)
    assert (code, hint in errors) == (2, True)


def test_an_unknown_backbone_has_no_cuts(invoke: Callable[..., Result]) -> None:
    code, _, hint = invoke("backbones", "mobilenet_v22")
    assert (code, "did you mean 'mobilenet_v2'?" in hint) == (2, True)


def test_backbones_as_json_hold_what_the_catalogue_holds(invoke: Callable[..., Result]) -> None:
    code, text, _ = invoke("backbones", "--format", "json")
    rows = json.loads(text)
    assert (code, [row["name"] for row in rows]) == (0, list(BACKBONES))
    for row in rows:
        for key in (
            "family",
            "image_px",
            "min_px",
            "layers",
            "multiply_adds",
            "parameters",
            "licence",
        ):
            assert row[key] == getattr(BACKBONES[row["name"]], key)
        anatomy = BACKBONES[row["name"]].anatomy
        assert (row["blocks"], row["first_trainable"]) == (anatomy.blocks, anatomy.least())
        assert tuple(row["block_layers"]) == anatomy.block_layers[1:]


def test_report_prints_the_leaderboard(study: Path) -> None:
    text = in_a_process("report", study)
    printed, table = text.split("\n\n")
    assert printed.startswith("trial 0 leads so far (strokes): validation accuracy 0.7500")
    assert table.split()[:6] == ["rank", "trial", "state", "accuracy", "epoch", "seconds"]


def test_init_prints_a_space_that_validates(image_folder: ImageFolder) -> None:
    root = image_folder({"cat": 20, "dog": 20})
    config = parse(in_a_process("init", root, warnings=2))  # validation and test are small
    assert (config.data.path, config.name) == (root, "pictures")


def test_init_maps_classes_that_the_splits_name_differently(image_folder: ImageFolder) -> None:
    long, short = "squamous.cell_left.hilum_T1_N2_M0_IIIa", "squamous.cell"
    names = {"train": (long, "normal"), "valid": (long, "normal"), "test": (short, "normal")}
    root = image_folder({f"{split}/{name}": 4 for split in names for name in names[split]})
    config = parse(in_a_process("init", root, warnings=2))
    assert config.data.classes == {long: short}
    assert list_source(config.data).classes == ("normal", short)


def test_columns_that_do_not_fit_are_left_out_the_least_important_first() -> None:
    columns, body = ["a", "bb", "ccc"], [["12345", "1", "1"]]
    assert too_wide(columns, body, 14, ["bb", "ccc"]) == []
    assert too_wide(columns, body, 13, ["bb", "ccc"]) == ["bb"]
    assert too_wide(columns, body, 9, ["gone", "bb", "ccc"]) == ["bb", "ccc"]
    assert too_wide(columns, body, 1, ["bb"]) == ["bb"]


def test_at_80_columns_the_leaderboard_keeps_epoch_and_head():
    def trial(number):
        draw = random.Random(number)
        config = {
            "backbone": draw.choice(["mobilenet_v2_035", "efficientnet_b0"]),
            "unfrozen_layers": draw.choice([15, "all"]),
            "head_units": draw.choice([[], [256, 128]]),
            "dropout": draw.random(),
            "fine_tune_lr": 10 ** draw.uniform(-5, -2),
            "optimizer": draw.choice(["adamw", "sgd"]),
            "batch_size": draw.choice([16, 32]),
        }
        return TrialRecord(number, "finished", config, {18: draw.random()}, seconds=1234.5)

    record = StudyRecord(Direction.MAX, tuple(trial(number) for number in range(12)))
    grid = readable_rows(rows(record, RankingContext(500)), "accuracy")
    dropped = too_wide(grid.columns, grid.body, 80, LEAST_FIRST)
    kept = [name for name in grid.columns if name not in dropped]
    assert {"rank", "trial", "accuracy", "epoch", "backbone", "unfrozen", "head"} <= {*kept}
    assert {"batch", "optimizer", "seconds"} <= {*dropped}
    assert too_wide(grid.columns, grid.body, 80, dropped) == dropped


def test_a_narrow_terminal_is_told_what_was_left_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    print_table(["trial", "reason"], [["3", "x" * 40]], ["reason"])
    assert capsys.readouterr().out.splitlines()[-1] == "too wide to show: reason"


def test_validate_takes_settings(invoke: Callable[..., Result]) -> None:
    code, text, _ = invoke("validate", "quickstart", "--set", "trials=3", "--set", "seed=7")
    assert (code, yaml.safe_load(text)["trials"], yaml.safe_load(text)["seed"]) == (0, 3, 7)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (
            ["validate", "quickstrat"],
            2,
            "quickstrat: no such file, and no shipped search space has that name "
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
            "--out needs --format csv, json, md, html or parquet: a table is for the screen",
        ),
        (["report", "x", "--format", "parquet"], 2, "--format parquet needs --out: it is not text"),
        (["report", "x", "--watch", "--format", "md"], 2, "--watch needs --format table"),
        (
            ["report", "x", "--format", "html", "--top", "3"],
            2,
            "--format html shows the whole study: it takes no --columns, --filter or --top",
        ),
        (
            ["report", "x", "--columns", "trial,metrik"],
            2,
            "--columns: unknown column 'metrik', did you mean 'metric'?",
        ),
        (
            ["report", "x", "--filter", "bakbone == 'x'"],
            2,
            "--filter: unknown column 'bakbone', did you mean 'backbone'?",
        ),
        (["run", "quickstart", "--quiet", "--json"], 2, "--quiet and --json: choose one"),
        (["compare", "gone"], 4, "{here}/gone: not a study directory (no study.yaml in it)"),
        (
            ["init", "gone"],
            3,
            "{here}/gone: no such folder; expected a folder that holds one folder per class",
        ),
        (["report", "gone"], 4, "{here}/gone: not a study directory (no study.yaml in it)"),
    ],
)
def test_a_mistake_is_a_message_and_an_exit_code(
    invoke: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(*arguments) == (code, "", f"error: {message.format(here=tmp_path)}\n")
    assert os.listdir() == []


def test_a_piped_table_has_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    columns = [f"column {place}" for place in range(13)]
    body = [[f"{'wide ' * 4}{place}" for place in range(13)] for _ in range(5)]
    print_table(columns, body)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert len(lines) == 2 + 5


def test_a_marked_rank_stands_among_the_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["rank"], [["1*"], ["2"], ["10"]])
    assert capsys.readouterr().out.splitlines()[2:] == ["  1*", "   2", "  10"]


def test_cells_are_text_and_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["[red]x[/red]"], ["[/]"]])
    assert "[red]x[/red]" in capsys.readouterr().out


def test_no_arguments_show_the_help(invoke: Callable[..., Result]) -> None:
    code, out, err = invoke()
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
    invoke: Callable[..., Result], arguments: list[str], part: str
) -> None:
    code, _, err = invoke(*arguments)
    assert code == 2
    assert part in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", ["2024", "on", "1e5", 'it\'s "quoted"', "x" * 120, "日本"])
def test_init_writes_a_valid_space_whatever_the_folder_is_called(
    invoke: Callable[..., Result], tmp_path: Path, picture: Callable[..., None], name: str
) -> None:
    for label in ("cat", "dog"):
        picture(tmp_path / name / label / "0.png", seed=len(label))
    code, out, _ = invoke("init", tmp_path / name)
    assert code == 0
    assert parse(out).data.path == tmp_path / name


def test_a_reader_that_had_enough_is_no_traceback(
    command_line: Callable[[Path], Any], study: Path, tmp_path: Path
) -> None:
    process = command_line(tmp_path).start("report", study, "--format", "json")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
