"""Laws of proposals: no training is repeated by accident, and duplicates never reach Optuna."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from epoch_results import result
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from tlsearch.config.catalog import BACKBONES
from tlsearch.config.load import parse
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.trial_config import TrialConfig
from tlsearch.results.rank.leaderboard import rows
from tlsearch.results.record.journal import read_journal
from tlsearch.results.report.readable_table import readable_rows
from tlsearch.search.propose.optuna_space import (
    build_point,
    contains,
    distribution,
    parameters_of,
    replica_seed,
)
from tlsearch.search.propose.searcher import TruthfulSearch
from tlsearch.search.propose.tpe_window import tpe

SMALL = """
data: {kind: digits}
space:
  backbone: [strokes, photos]
  unfrozen_layers: [0, 15]
  head_lr: 1e-3
  fine_tune_lr: [1e-4, 1e-3]
epochs: 6
trials: 40
"""
SIZE = 6  # two backbones, each frozen, or unfrozen at two rates
WIDE = SMALL.replace("head_lr: 1e-3", "head_lr: {low: 1e-4, high: 1e-2, log: true}").replace(
    "fine_tune_lr: [1e-4, 1e-3]", "dropout: {low: 0, high: 0.5}"
)


def searcher(folder: Path, space: str = SMALL) -> TruthfulSearch:
    return TruthfulSearch(parse(space), folder / "journal.log", lambda trial, record: None)


def train(search: TruthfulSearch, count: int) -> list[TrialConfig]:
    """Propose and end some trials; unfrozen photos is best by far, so that TPE insists on it."""
    found = []
    for _ in range(count):
        name = str(search.remaining())
        suggested = search.suggest(name)
        trial = TrialConfig(**suggested["trial"])
        good = trial.backbone == "photos" and not trial.frozen
        search.on_trial_complete(name, result(6, 0.9 if good else 0.1))
        found.append(trial)
    return found


def test_a_small_space_is_exhausted_before_anything_is_trained_again(tmp_path: Path) -> None:
    trials = train(searcher(tmp_path), 3 * SIZE)
    assert len({trial.effective for trial in trials[:SIZE]}) == SIZE
    assert {trial.seed for trial in trials[:SIZE]} == {0}
    assert all(trial.seed for trial in trials[SIZE:])
    assert len({trial.digest for trial in trials}) == 3 * SIZE


def test_a_replica_has_the_next_seed_of_its_configuration(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    seeds: dict[str, list[int]] = {}
    first: dict[str, int] = {}
    for number, trial in enumerate(train(search, 2 * SIZE + 3)):
        name = trial.model_copy(update={"seed": 0}).digest
        notes = search.study.trials[number].user_attrs
        assert notes.get("replica_of") == first.get(name)
        first.setdefault(name, number)
        seeds.setdefault(name, []).append(trial.seed)
    for found in seeds.values():
        assert found == [replica_seed(0, place) for place in range(len(found))]


def test_duplicates_leave_no_trace_in_optuna(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    train(search, 4 * SIZE)
    trials = search.study.trials
    assert [trial.number for trial in trials] == list(range(4 * SIZE))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    record = read_journal(tmp_path / "journal.log")
    assert [trial.number for trial in record.trials] == list(range(4 * SIZE))


def test_what_still_trains_is_not_proposed_again(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    trials = [TrialConfig(**search.suggest(str(n))["trial"]) for n in range(SIZE)]
    assert len({trial.effective for trial in trials}) == SIZE


def test_a_replica_cut_short_is_taken_up_with_its_seed(tmp_path: Path) -> None:
    before = searcher(tmp_path)
    train(before, SIZE)
    cut = before.suggest("cut")
    assert cut["trial"]["seed"] != 0
    assert searcher(tmp_path).suggest("again") == cut


def test_a_trial_whose_driver_died_while_it_was_drawn_is_drawn_on(tmp_path: Path) -> None:
    before = searcher(tmp_path)
    train(before, 2)
    begun = before.study.ask()
    begun.suggest_categorical("backbone", ["strokes", "photos"])
    suggested = searcher(tmp_path).suggest("x")
    assert suggested["number"] == begun.number == 2
    assert suggested["trial"]["backbone"] == begun.params["backbone"]


def test_the_same_baseline_twice_is_a_replica(tmp_path: Path) -> None:
    both = "baselines: [{backbone: photos, unfrozen_layers: 0}, {unfrozen_layers: 0, \
backbone: photos}]"
    one, other = train(searcher(tmp_path, SMALL + both), 2)
    assert one.model_copy(update={"seed": other.seed}) == other
    assert (one.seed, other.seed) == (0, replica_seed(0, 1))


def test_where_nothing_comes_twice_the_proposals_are_optunas_own(tmp_path: Path) -> None:
    config = parse(WIDE)
    search = searcher(tmp_path, WIDE)
    stock = optuna.create_study(direction="maximize", sampler=tpe(config.seed))
    for number in range(30):
        ours = search.suggest(str(number))["trial"]
        trial = stock.ask()
        theirs = build_point(config, trial._suggest).trial
        assert ours == theirs.to_json()
        value = ours["dropout"]
        search.on_trial_complete(str(number), result(6, value))
        trial.report(value, 6)
        stock.tell(trial, value)


def test_a_seed_is_a_column_only_where_it_varies(tmp_path: Path) -> None:
    search = searcher(tmp_path)
    train(search, SIZE)
    assert (
        "seed"
        not in readable_rows(rows(read_journal(tmp_path / "journal.log")), "accuracy").columns
    )
    train(search, 1)
    record = read_journal(tmp_path / "journal.log")
    assert "seed" in readable_rows(rows(record), "accuracy").columns
    assert {row["seed"] for row in rows(record)} == {0, replica_seed(0, 1)}


@given(st.integers(0, 2**31 - 1), st.integers(1, 50))
def test_seeds_of_replicas_are_a_function_and_differ(seed: int, count: int) -> None:
    seeds = [replica_seed(seed, number) for number in range(count)]
    assert seeds == [replica_seed(seed, number) for number in range(count)]
    assert seeds[0] == seed
    assert len(set(seeds)) == count
    assert all(0 <= found < 2**31 for found in seeds)


@given(st.randoms(use_true_random=False))
def test_parameters_lead_to_the_configuration_and_back(random: Any) -> None:
    config = parse(WIDE)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(random.randrange(2**31)))
    point = build_point(config, study.ask()._suggest)
    again = TrialConfig(**json.loads(json.dumps(point.trial.to_json())))
    assert parameters_of(again, config.space) == point.parameters


@pytest.mark.parametrize(
    ("change", "held"),
    [
        ({"backbone": "mobilenet_v2"}, False),
        ({"dropout": 0.6}, False),
        ({"dropout": 0.5}, True),
        ({"unfrozen_layers": 40, "fine_tune_lr": 1e-3}, False),
        ({"batch_size": 64}, False),
    ],
)
def test_a_space_holds_what_it_could_propose(change: dict[str, Any], held: bool) -> None:
    trial = TrialConfig(**{"backbone": "strokes", "head_lr": 1e-3, **change})
    assert (parameters_of(trial, parse(WIDE).space) is not None) == held


@pytest.mark.parametrize(
    ("backbone", "layers", "batch_norm", "found"),
    [
        ("strokes", "{low: 0, high: 6}", "false", {0: 0, 1: 3, 2: 3, 3: 3, 6: 6}),
        ("strokes", "{low: 0, high: 6}", "true", {0: 0, 1: 2, 2: 2, 3: 3}),
        ("strokes", "{low: 0, high: 6, step: 2}", "false", {0: 0, 2: 4, 4: 4}),
        ("resnet50", "{low: 0, high: 6}", "false", {0: 0, 1: 4, 3: 4, 5: 5}),
        ("strokes", "[0, 15]", "false", {0: 0, 15: 15}),
    ],
)
def test_a_range_is_read_upwards_to_layers_that_train(
    backbone: str, layers: str, batch_norm: str, found: dict[int, int]
) -> None:
    settings = (
        f"space.backbone={backbone}",
        f"space.unfrozen_layers={layers}",
        f"space.train_batch_norm={batch_norm}",
    )
    config = parse(SMALL, settings=settings)
    for proposed, trained in found.items():
        asked = {"unfrozen_layers": proposed, "fine_tune_lr": 1e-4}
        point = build_point(config, lambda name, kind, asked=asked: asked[name])
        assert (point.trial.unfrozen_layers, point.parameters["unfrozen_layers"]) == (trained,) * 2
        assert parameters_of(point.trial, config.space) == point.parameters


BLOCKS = """
data: {kind: digits}
space:
  backbone: [strokes, resnet50, densenet121]
  unfrozen_blocks: [0, 1, 3, all]
"""


@pytest.mark.parametrize(
    ("backbone", "layers"),
    [
        ("strokes", {0: 0, 1: 11, 3: 29, "all": "all"}),
        ("resnet50", {0: 0, 1: 10, 3: 32, "all": "all"}),
        ("densenet121", {0: 0, 1: 114, 3: 374, "all": "all"}),
    ],
)
def test_blocks_are_as_many_layers_as_the_backbone_has_in_them(
    backbone: str, layers: dict[Any, Any]
) -> None:
    config = parse(BLOCKS)
    assert config.space.prefix_depths(backbone) == tuple(map(Depth, layers.values()))
    for blocks, last in layers.items():
        asked = {"backbone": backbone, "unfrozen_blocks": blocks, "head_lr": 0.1} | {
            "fine_tune_lr": 1e-3
        }
        point = build_point(config, lambda name, kind, asked=asked: asked[name])
        trial = point.trial
        assert (trial.unfrozen_blocks, trial.unfrozen_layers, trial.cut_layers) == (
            blocks,
            last,
            None,
        )
        assert (trial.head_lr is None, trial.fine_tune_lr is None) == (blocks != 0, blocks == 0)
        assert "unfrozen_layers" not in point.parameters
        again = TrialConfig(**json.loads(json.dumps(trial.to_json())))
        assert again == trial
        assert parameters_of(again, config.space) == point.parameters
        layered = TrialConfig(
            **{**trial.to_json(), "unfrozen_blocks": None, "unfrozen_layers": last}
        )
        assert layered.digest == trial.digest


def test_a_range_of_blocks_shares_cuts() -> None:
    config = parse(BLOCKS, settings=["space.unfrozen_blocks={low: 0, high: 4}"])
    wide = parse(
        BLOCKS, settings=["space.backbone=resnet50", "space.unfrozen_blocks={low: 0, high: 16}"]
    )
    shared = tuple(map(Depth, (0, 114, 286, 374, 420)))
    assert config.space.prefix_depths("densenet121") == shared
    assert wide.space.prefix_depths("resnet50") == tuple(
        BACKBONES["resnet50"].anatomy.depth(n) for n in (0, 4, 7, 10, 13, 16)
    )
    asked = {"unfrozen_blocks": 5, "fine_tune_lr": 1e-3}
    trial = build_point(wide, lambda name, kind: asked[name]).trial
    depths = [BACKBONES["resnet50"].anatomy.depth(n) for n in (5, 7)]
    assert [trial.depth, trial.prefix_depth] == depths


def test_a_search_over_blocks_is_recorded_and_goes_on(tmp_path: Path) -> None:
    train(searcher(tmp_path, BLOCKS), 5)
    again = searcher(tmp_path, BLOCKS)
    assert again.study.study_name == "tlsearch"
    table = rows(read_journal(tmp_path / "journal.log"))
    assert {row["unfrozen_blocks"] for row in table} <= {0, 1, 3, "all"}
    assert {row["unfrozen_layers"] for row in table} == {None}
    grid = readable_rows(rows(read_journal(tmp_path / "journal.log")), "accuracy")
    shown = {row[grid.columns.index("unfrozen")] for row in grid.body}
    assert shown <= {"0 blocks", "1 block", "3 blocks", "all"}


def test_a_search_goes_on_in_blocks(tmp_path: Path) -> None:
    """The space changes from layers to blocks; the old trials stay in the record."""
    train(searcher(tmp_path), 3)
    blocks = SMALL.replace("unfrozen_layers: [0, 15]", "unfrozen_blocks: [0, 2]")
    again = searcher(tmp_path, blocks)
    suggested = again.suggest("next")
    assert (suggested["number"], suggested["trial"]["unfrozen_blocks"] in (0, 2)) == (3, True)


def test_of_two_names_of_one_training_one_is_trained(tmp_path: Path) -> None:
    settings = ["space.backbone=strokes", "space.fine_tune_lr=1e-3"]
    config = parse(SMALL, settings=[*settings, "space.optimizer=[adam, adamw]"])
    search = TruthfulSearch(config, tmp_path / "journal.log", lambda trial, record: None)
    trials = train(search, 3)
    assert len({trial.effective for trial in trials[:2]}) == 2
    assert [trial.seed == 0 for trial in trials] == [True, True, False]


@pytest.mark.parametrize("value", ["all", None, "strange"])
def test_a_range_holds_no_words(value: Any) -> None:
    space = parse(SMALL, settings=["space.unfrozen_layers={low: 0, high: 20}"]).space
    kind = distribution("unfrozen_layers", space.unfrozen_layers)
    assert kind is not None
    assert not contains(kind, value)
