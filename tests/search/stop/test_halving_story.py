"""What the search tells while it runs: events, in order, and nothing that Ray says."""

import pytest

from tlsearch.config.load import parse
from tlsearch.config.scheduler import rungs
from tlsearch.results.live.events import EpochReported, TrialBegan
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.stop.halving import ExplainedHalving


@pytest.mark.parametrize("first", [1, 2, 5])
@pytest.mark.parametrize("reduction", [2, 3, 4])
@pytest.mark.parametrize("epochs", [1, 3, 9, 18, 27])
def test_rungs_are_those_of_the_scheduler(first, reduction, epochs):
    asha = ExplainedHalving(
        direction="max", epochs=epochs, first_rung=first, reduction=reduction, reasons={}
    )
    milestones = sorted(milestone for milestone, _ in asha.brackets[0])
    assert list(rungs(first, reduction, epochs)) == milestones


def test_proposals_and_epochs_are_told_once_with_their_rung(tmp_path):
    heard = []
    config = parse("data: {kind: digits}\nspace: {backbone: strokes}\nepochs: 6\n")
    search = TruthfulSearch(config, tmp_path / "journal.log", lambda *ended: None, heard.append)
    search.suggest("a")
    for epoch, value in [(0, 0.1), (1, 0.2), (2, 0.3), (2, 0.3)]:
        result = {"epoch": epoch, "value": value, "diverged": False, "failure": None}
        search.on_trial_result("a", result)
    assert isinstance(heard[0], TrialBegan)
    assert heard[1:] == [
        EpochReported(0, 0, 0.1, rung=False),
        EpochReported(0, 1, 0.2, rung=False),
        EpochReported(0, 2, 0.3, rung=True),
    ]
