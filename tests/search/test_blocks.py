"""A whole search over blocks, from the YAML to its reports."""

import json

import pytest

from tlsearch.config.catalog import BACKBONES
from tlsearch.search.handle import Study

pytestmark = [pytest.mark.cluster, pytest.mark.training]

ASKED = [("strokes", 3), ("mobilenet_025", 1), ("strokes", 0), ("strokes", "all")]


@pytest.fixture
def tlsearch(blocks_search):
    """Return a function that runs a command and returns its stdout."""

    def say(*words):
        done = blocks_search.tlsearch.here(*words)
        assert done.code == 0, done.err
        return done.out

    return say


def test_trials_are_asked_for_in_blocks_and_trained_in_layers(blocks_search):
    assert "3 blocks" in blocks_search.ran.out
    trials = Study(blocks_search.home / "study").record().trials
    assert [(t.config["backbone"], t.config["unfrozen_blocks"]) for t in trials] == ASKED
    for trial, (name, blocks) in zip(trials, ASKED, strict=True):
        assert trial.config["unfrozen_layers"] == BACKBONES[name].anatomy.depth(blocks).layers
        assert trial.config["cut_layers"] is None
        assert trial.state == "finished"
        rate = "head_lr" if blocks == 0 else "fine_tune_lr"
        assert trial.config[rate] is not None
    shares = [trial.trained_share for trial in trials]
    assert shares[2] < shares[0] < shares[3] == 1.0


def test_reports_tell_what_was_asked_for(tlsearch):
    document = json.loads(tlsearch("report", "study", "--format", "json"))
    assert {row["unfrozen_blocks"] for row in document["trials"]} == {0, 1, 3, "all"}
    assert {row["unfrozen_layers"] for row in document["trials"]} == {None}
    table = tlsearch("report", "study", "--columns", "trial,unfrozen_blocks,trained_share")
    assert table.split()[:3] == ["trial", "unfrozen_blocks", "trained_share"]
    best = document["trials"][0]
    label = "all" if best["unfrozen_blocks"] == "all" else f"{best['unfrozen_blocks']} block"
    assert f"unfrozen {label}" in tlsearch("compare", "study")
    tlsearch("report", "study", "--format", "html")


def test_cuts_are_listed_in_layers_and_in_blocks(tlsearch):
    cuts = json.loads(tlsearch("backbones", "mobilenet_025", "--format", "json"))
    reached = {cut["unfrozen_layers"]: cut["unfrozen_blocks"] for cut in cuts}
    assert [reached[n] for n in BACKBONES["mobilenet_025"].anatomy.block_layers] == [*range(14)]
    table = tlsearch("backbones", "mobilenet_025")
    assert "up to layers" in table
    assert "13 separable blocks; unfreeze at least 3 layers" in table
