"""`tlsearch plan`: its output, its few requirements, and its errors."""

import json
from dataclasses import replace

import pytest

from tlsearch.cli import tables
from tlsearch.cli.launch.plan_command import show_plan
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.search.cost.cache_plan import CacheChoice
from tlsearch.search.cost.costs import Seconds
from tlsearch.search.cost.plan import Plan, Rung
from tlsearch.search.cost.survey import Survey

MADE = Plan(
    trials=20,
    slots=2,
    epochs=100.0,
    rungs=(Rung(2, 20.0), Rung(6, 12.5)),
    seconds=Seconds(19.2, 12.5, 29.1, 23.2, 12345.6),
    ray_s=3.0,
    wall_s=6789.0,
    candidates=3,
    round_s=40.0,
    confirm_s=45.0,
    export_s=130.0,
    out_of_time=False,
    features=(
        CacheChoice(
            "mobilenet_v2_035",
            "default",
            Depth(0),
            "pool",
            2,
            8_100_000,
            "kept",
            "trains the head",
        ),
        CacheChoice(
            "efficientnet_b3",
            "default",
            Depth(15),
            "block7b_project_bn",
            2,
            10**9,
            "kept",
            "faster to read",
        ),
        CacheChoice(
            "efficientnet_b3",
            "default",
            Depth(40),
            "block7a_expand",
            2,
            10**9,
            "recomputed",
            "cache_gb is full",
        ),
        CacheChoice("resnet152", "default", Depth("all"), "input_layer", 2, 0, "images", ""),
    ),
    image_bytes=2_000_000_000,
    feature_bytes=240_500_000,
    study_bytes=33_400_000,
    slot_bytes=1_600_000_000,
    after_bytes=3_300_000_000,
)
SURVEY = Survey(5, {"train": 2598, "validation": 547, "test": 525}, 19.2)


def test_a_plan_fits_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(tables, "PIPED_WIDTH", 80)
    show_plan("flowers", SURVEY, MADE)
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_plan_says_all(capsys):
    show_plan("flowers", SURVEY, MADE)
    printed = capsys.readouterr().out
    for choice in ("kept", "recomputed", "images", "unused"):
        assert f"{choice} = " in printed
    for word in ("rung: ", "each slot ", "frozen prefix: ", "cut: ", "pool is ", "store: "):
        assert word in printed
    for message in (
        "12.5",
        "12345.6",
        "block7b_project_bn",
        "recomputed  cache_gb is full",
        "240.5 MB",
    ):
        assert message in printed
    assert "2.0 GB of decoded images" in printed
    assert "after the trials at most about 3.3 GB in one process" in printed
    assert "1.6 to 2.4 h: 1 h 53 min to the last trial's end" in printed
    assert "45 s to confirm and 2 min to export the winner" in printed
    assert "2 views of the training images" in printed


def test_a_plan_that_the_budget_ends_says_so(capsys):
    show_plan("flowers", SURVEY, replace(MADE, out_of_time=True))
    assert "1 h 53 min until the time budget ends the trials,\n" in capsys.readouterr().out


def test_data_that_are_not_there_are_answered_without_measuring(invoke, tmp_path):
    code, out, err = invoke("plan", "flowers", "--set", f"data.path={tmp_path}/nowhere")
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith(f"error: {tmp_path}/nowhere: ")


def test_a_mistake_in_the_space_is_answered_as_everywhere(invoke):
    code, _, err = invoke("plan", "quickstart", "--set", "trials=none")
    assert code == 2
    assert "--set trials: trials: found 'none', expected a whole number" in err


@pytest.mark.training
def test_a_measured_plan_is_remembered_and_both_are_one_json(command_line, tmp_path):
    frozen = ["--set", "space.unfrozen_layers=0", "--set", "baselines=[]"]
    small = ["plan", "quickstart", *frozen, "--format", "json"]
    first, again = (command_line(tmp_path)(*small) for _ in range(2))
    assert first.code == 0, first.err
    assert "measuring: done in " in first.err
    assert "measuring" not in again.err
    made, known = json.loads(first.out), json.loads(again.out)
    assert made["data"]["images"] == {"train": 200, "validation": 600, "test": 997}
    assert known["plan"] == {
        **made["plan"],
        "seconds": {**made["plan"]["seconds"], "decode": known["plan"]["seconds"]["decode"]},
    }
    assert [kept["choice"] for kept in made["plan"]["features"]] == ["kept", "kept"]
    assert (tmp_path / ".cache/tlsearch/calibration.json").is_file()
