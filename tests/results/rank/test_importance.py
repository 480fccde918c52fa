"""Parameter importance from the record alone: known effects in order, and which trials count."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from tlsearch.config.catalog import Direction
from tlsearch.results.rank.importance import (
    Effect,
    Importance,
    importance,
    importance_sentences,
    varied_parameters,
)
from tlsearch.results.record.journal import StudyRecord, TrialRecord

SPACE = {
    "backbone": ["a", "b", "c"],
    "unfrozen_layers": [0, 15, "all"],
    "train_batch_norm": [False, True],
    "dropout": {"low": 0.0, "high": 0.5},
    "head_lr": {"low": 1e-4, "high": 1e-1, "log": True},
    "fine_tune_lr": {"low": 1e-5, "high": 1e-2, "log": True},
    "batch_size": [16, 32],
}


def drawn(draw: random.Random) -> dict[str, Any]:
    depth = draw.choice([0, 15, "all"])
    rates = {"head_lr": 10 ** draw.uniform(-4, -1), "fine_tune_lr": 10 ** draw.uniform(-5, -2)}
    unused = "fine_tune_lr" if depth == 0 else "head_lr"
    return {
        "backbone": draw.choice("abc"),
        "unfrozen_layers": depth,
        "train_batch_norm": draw.random() < 0.5,
        "dropout": draw.uniform(0, 0.5),
        "batch_size": draw.choice([16, 32]),
        **{name: None if name == unused else rate for name, rate in rates.items()},
    }


def trials(count: int, score: Any, seed: int) -> Iterator[TrialRecord]:
    draw = random.Random(seed)
    for number in range(count):
        config = drawn(draw)
        value = score(config) + draw.gauss(0, 0.02)
        yield TrialRecord(number, "finished", config, {1: value})


def backbone_decides(config: dict[str, Any]) -> float:
    return {"a": 0.7, "b": 0.8, "c": 0.9}[config["backbone"]]


def words(record: StudyRecord) -> dict[str, str]:
    return {effect.name: effect.word for effect in importance(record, SPACE).effects}


@pytest.mark.parametrize("seed", range(4))
def test_the_backbone_that_decides_is_named_and_dropout_is_not(seed: int) -> None:
    """PED-ANOVA gave dropout 0.56, and a backbone like this one 0.09."""
    found = importance(StudyRecord(Direction.MAX, tuple(trials(40, backbone_decides, seed))), SPACE)
    assert [effect.name for effect in found.notable] == ["backbone"]
    assert found.effects[0].share == pytest.approx(0.9, abs=0.1)
    assert next(e.share for e in found.effects if e.name == "dropout") < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_the_rate_of_one_phase_is_told_from_that_of_the_other(seed: int) -> None:
    def score(config: dict[str, Any]) -> float:
        return 0.9 if config["head_lr"] is None else 0.9 - 0.2 * (config["head_lr"] < 3e-3)

    record = StudyRecord(Direction.MAX, tuple(trials(100, score, seed)))
    assert words(record)["head_lr"] == "matters"
    assert words(record)["fine_tune_lr"] != "matters"


@pytest.mark.parametrize("count", [10, 60])
def test_noise_is_too_few_trials_to_tell(count: int) -> None:
    records = [StudyRecord(Direction.MAX, tuple(trials(count, lambda _: 0.5, s))) for s in range(3)]
    claims = [word for record in records for word in words(record).values() if word == "matters"]
    assert not claims
    assert {"too few trials to tell"} <= set(words(records[0]).values())


def test_below_ten_trials_nothing_is_said() -> None:
    every = tuple(trials(10, backbone_decides, 0))
    assert importance(StudyRecord(Direction.MAX, every), SPACE).effects
    few = importance(StudyRecord(Direction.MAX, every[:9]), SPACE)
    assert (few.effects, few.trials) == ((), 9)


def test_a_diverged_trial_counts_as_the_worst_and_a_failed_one_not_at_all() -> None:
    every = [*trials(60, backbone_decides, 0)]
    high = [n for n, trial in enumerate(every) if trial.config["dropout"] > 0.3]
    for n in high:
        every[n] = TrialRecord(n, "diverged", every[n].config, {})
    every.append(TrialRecord(60, "failed", every[0].config, {1: 0.1}, "out of memory"))
    every.append(TrialRecord(61, "unfinished", every[0].config, {1: 0.1}))
    every.append(TrialRecord(62, "waiting", {}, {}))
    found = importance(StudyRecord(Direction.MAX, tuple(every)), SPACE)
    assert (found.trials, found.diverged, found.left_out) == (60, len(high), 2)
    assert "dropout" in {effect.name for effect in found.notable}


def test_a_stopped_trial_counts_with_the_best_that_it_reached() -> None:
    every = [*trials(30, backbone_decides, 0)]
    stopped = [
        TrialRecord(t.number, "stopped", t.config, {**t.values, 2: 0.0}) for t in every[:15]
    ] + every[15:]
    before, after = (
        importance(StudyRecord(Direction.MAX, tuple(t)), SPACE) for t in (every, stopped)
    )
    assert (after.effects, after.stopped) == (before.effects, 15)


def test_what_mattered_and_which_trials_counted_is_said() -> None:
    backbone = Effect("backbone", 0.6, 0.4, 0.8, "matters")
    rate = Effect("head_lr", 0.12, 0.03, 0.2, "matters")
    unclear = Effect("dropout", 0.1, 0.0, 0.7, "too few trials to tell")
    assert importance_sentences(Importance((backbone, rate, unclear), 20, 3, 1, 2), "accuracy") == [
        "backbone explains 60 % (40 to 80 %) of the variance in accuracy over the search space, "
        "head lr 12 % (3 to 20 %)",
        "trials that did not finish: 3 stopped early (counted with their best value); 1 diverged "
        "(counted with the worst value of all); 2 failed or not ended (not counted)",
    ]
    assert importance_sentences(Importance((unclear,), 20), "accuracy") == [
        "too few trials to tell what mattered: in 20 trials no parameter clearly explains more "
        "than random numbers would"
    ]
    assert importance_sentences(Importance((), 20), "accuracy") == [
        "nothing mattered: the counted trials have the same configuration or the same score"
    ]


def test_a_record_without_its_space_is_measured_over_what_was_tried() -> None:
    every = tuple(trials(60, lambda c: c["dropout"] * 2 if c["dropout"] < 0.3 else 0, 1))
    found = importance(StudyRecord(Direction.MAX, every), {})
    assert found.effects[0].name == "dropout"


def test_parameters_hold_what_a_trial_uses() -> None:
    head = {"unfrozen_layers": 0, "head_lr": 0.1, "fine_tune_lr": 0.5, "train_batch_norm": True}
    deep = {"unfrozen_layers": 15, "fine_tune_lr": 0.01, "train_batch_norm": False}
    deeper = {"unfrozen_layers": 15, "fine_tune_lr": 0.02, "train_batch_norm": True}
    every = enumerate((head, deep, deeper))
    record = StudyRecord(
        Direction.MAX, tuple(TrialRecord(n, "finished", c, {1: 0.5}) for n, c in every)
    )
    assert varied_parameters(record) == {
        "unfrozen_layers": [0, 15, 15],
        "train_batch_norm": [None, False, True],
        "fine_tune_lr": [None, 0.01, 0.02],
    }


def test_depth_is_told_in_blocks_where_all_trials_say_it_so() -> None:
    blocks = [{"unfrozen_layers": n * 9, "unfrozen_blocks": n} for n in (0, 2)]
    layers = {"unfrozen_layers": 9, "unfrozen_blocks": None}
    for configs, name in ((blocks, "unfrozen_blocks"), ([*blocks, layers], "unfrozen_layers")):
        every = (TrialRecord(n, "finished", c, {1: 0.5}) for n, c in enumerate(configs))
        assert list(varied_parameters(StudyRecord(Direction.MAX, tuple(every)))) == [name]
