"""A search in blocks, whole: from the YAML to what its reports say."""

import json
import os
import subprocess
import sys

import pytest

from tlsearch.config.catalog import BACKBONES
from tlsearch.search.handle import Study

pytestmark = [pytest.mark.cluster, pytest.mark.training]

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 60, validation: 70, test: 80}}
space:
  backbone: [strokes, mobilenet_025]
  weights: none
  unfrozen_blocks: [0, 1, 3, all]
  head_lr: 1e-2
  fine_tune_lr: 1e-3
baselines:
  - {backbone: strokes, unfrozen_blocks: 3}
  - {backbone: mobilenet_025, unfrozen_blocks: 1}
  - {backbone: strokes, unfrozen_blocks: 0}
  - {backbone: strokes, unfrozen_blocks: all}
scheduler: none
epochs: 1
trials: 4
confirm: 1
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    (root / "blocks.yaml").write_text(SPACE)
    return root


def tlsearch(root, *words):
    done = subprocess.run(
        [sys.executable, "-m", "tlsearch.cli.main", *map(str, words)],
        cwd=root,
        env={**os.environ, "HOME": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_trials_are_asked_for_in_blocks_and_trained_in_layers(home):
    said = tlsearch(home, "run", "blocks.yaml", "--study", "study")
    assert "3 blocks" in said
    trials = Study(home / "study").record().trials
    asked = [("strokes", 3), ("mobilenet_025", 1), ("strokes", 0), ("strokes", "all")]
    assert [(t.config["backbone"], t.config["unfrozen_blocks"]) for t in trials] == asked
    for trial, (name, blocks) in zip(trials, asked, strict=True):
        assert trial.config["unfrozen_layers"] == BACKBONES[name].anatomy.last_layers(blocks)
        assert trial.config["cut_layers"] is None
        assert trial.state == "finished"
        rate = "head_lr" if blocks == 0 else "fine_tune_lr"
        assert trial.config[rate] is not None
    shares = [trial.trained_share for trial in trials]
    assert shares[2] < shares[0] < shares[3] == 1.0


def test_reports_tell_what_was_asked_for(home):
    document = json.loads(tlsearch(home, "report", "study", "--format", "json"))
    assert {row["unfrozen_blocks"] for row in document["trials"]} == {0, 1, 3, "all"}
    assert {row["unfrozen_layers"] for row in document["trials"]} == {None}
    table = tlsearch(home, "report", "study", "--columns", "trial,unfrozen_blocks,trained_share")
    assert table.split()[:3] == ["trial", "unfrozen_blocks", "trained_share"]
    best = document["trials"][0]
    told = "all" if best["unfrozen_blocks"] == "all" else f"{best['unfrozen_blocks']} block"
    assert f"unfrozen {told}" in tlsearch(home, "compare", "study")
    tlsearch(home, "report", "study", "--format", "html")


def test_it_is_planned_with_each_backbones_own_cuts(home):
    document = json.loads(tlsearch(home, "plan", "blocks.yaml", "--format", "json"))
    features = document["plan"]["features"]
    found = {(kept["backbone"], kept["asked"]): kept["unfrozen"] for kept in features}
    assert found["strokes", "1 block"] == 11
    assert found["mobilenet_025", "1 block"] == 6


def test_it_goes_on(home):
    said = tlsearch(home, "resume", "study", "--trials", "+1")
    assert "unfrozen" in said
    trials = Study(home / "study").record().trials
    assert len(trials) == 5
    assert trials[4].config["unfrozen_blocks"] in (0, 1, 3, "all")


def test_cuts_are_listed_in_layers_and_in_blocks(home):
    cuts = json.loads(tlsearch(home, "backbones", "mobilenet_025", "--format", "json"))
    reached = {cut["unfrozen_layers"]: cut["unfrozen_blocks"] for cut in cuts}
    assert [reached[n] for n in BACKBONES["mobilenet_025"].anatomy.block_layers] == [*range(14)]
    table = tlsearch(home, "backbones", "mobilenet_025")
    assert "up to layers" in table
    assert "13 separable blocks; the last 3 layers are the fewest of which one trains" in table
