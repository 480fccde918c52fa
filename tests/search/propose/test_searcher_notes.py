"""What a search tells its listeners while it runs, and the journal of a trial's last result."""

from tlsearch.config.load import parse
from tlsearch.results.live.events import EpochReported, TrialBegan
from tlsearch.search.propose.searcher import TruthfulSearch, noted


def test_the_record_numbers_nodes_and_names_no_host() -> None:
    workers = [noted({"hostname": host, "pid": 7})["worker"] for host in ("ada", "bob", "ada")]
    number = int(workers[0].split()[1].rstrip(","))
    other = number + 1
    assert workers == [f"node {n}, process 7" for n in (number, other, number)]


def test_a_worker_that_the_record_names_keeps_its_name() -> None:
    assert noted({"worker": "node 3, process 9"})["worker"] == "node 3, process 9"
    assert noted({})["worker"] == ""


def test_proposals_and_epochs_are_told_once_with_their_rung(tmp_path):
    heard = []
    config = parse("data: {kind: digits}\nspace: {backbone: strokes}\nepochs: 6\n")
    search = TruthfulSearch(config, tmp_path / "journal.log", lambda *ended: None, heard.append)
    search.suggest("a")
    for epoch, value in [(0, 0.1), (1, 0.2), (2, 0.3), (2, 0.3)]:
        result = {"epoch": epoch, "value": value, "diverged": False, "failure": None}
        search.take("a", result)
    assert isinstance(heard[0], TrialBegan)
    assert heard[1:] == [
        EpochReported(0, 0, 0.1, rung=False),
        EpochReported(0, 1, 0.2, rung=False),
        EpochReported(0, 2, 0.3, rung=True),
    ]
