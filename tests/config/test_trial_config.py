"""Laws of a trial's identity: equality, hash and digest agree exactly when trials train alike."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.config.trial_config import TrialConfig

trials = st.builds(
    TrialConfig,
    backbone=st.sampled_from(["strokes", "photos"]),
    unfrozen_layers=st.integers(0, 2) | st.just("all"),
    head_units=st.lists(st.integers(1, 2), max_size=2),
    dropout=st.sampled_from([0.0, 0.1]),
    head_lr=st.none() | st.floats(1e-6, 1),
    batch_size=st.sampled_from([16, 32]),
)
BASE = TrialConfig(backbone="strokes", head_lr=1e-3)
UNFROZEN = TrialConfig(backbone="strokes", unfrozen_layers=3, fine_tune_lr=1e-3)
AUGMENTED = TrialConfig(backbone="strokes", head_lr=1e-3, augment={"flip": "both"})
WHERE_IT_MATTERS = {
    "fine_tune_lr": UNFROZEN,
    "train_batch_norm": UNFROZEN,
    "views": AUGMENTED,
    "view_seed": AUGMENTED,
    "warm_up_lr": TrialConfig(backbone="strokes", head_lr=1e-3, warm_up_epochs=1),
}
OTHER: dict[str, Any] = {
    "backbone": "photos",
    "weights": "imagenet",
    "unfrozen_layers": "all",
    "cut_layers": 30,
    "pooling": "flatten",
    "schedule": "cosine",
    "class_weights": "balanced",
    "early_stopping": 3,
    "augment": {"flip": "horizontal"},
    "views": 2,
    "view_seed": 1,
    "head_units": (64,),
    "dropout": 0.1,
    "head_lr": 2e-3,
    "fine_tune_lr": 1e-4,
    "optimizer": "sgd",
    "weight_decay": 1e-4,
    "label_smoothing": 0.1,
    "batch_size": 64,
    "image_px": 96,
    "epochs": 3,
    "warm_up_epochs": 2,
    "warm_up_lr": 1e-2,
    "metric": "auc",
    "feature_dtype": "float32",
    "precision": "mixed_bfloat16",
    "seed": 1,
}


@given(trials, trials)
def test_hash_follows_equality_and_digest_what_trains(one: TrialConfig, other: TrialConfig) -> None:
    assert (one.digest == other.digest) == (one.effective == other.effective)
    assert one != other or hash(one) == hash(other)
    assert one.effective.effective == one.effective


def test_blocks_become_layers_where_the_trial_is_made() -> None:
    trial = TrialConfig(backbone="resnet50", unfrozen_blocks=2, fine_tune_lr=1e-3)
    assert (trial.unfrozen_layers, trial.frozen, trial.learning_rate) == (20, False, 1e-3)
    assert TrialConfig(backbone="resnet50", unfrozen_blocks=0).frozen
    assert TrialConfig(backbone="resnet50", unfrozen_blocks="all").unfrozen_layers == "all"


@given(trials)
def test_a_trial_is_read_back_from_json(trial: TrialConfig) -> None:
    again = TrialConfig(**json.loads(json.dumps(trial.to_json())))
    assert again == trial
    assert (again.digest, hash(again)) == (trial.digest, hash(trial))


@pytest.mark.parametrize("field", sorted({*TrialConfig.model_fields} - {"unfrozen_blocks"}))
def test_every_field_changes_the_digest_where_it_is_used(field: str) -> None:
    other = OTHER.get(field, not getattr(BASE, field))  # fields not in the table are switches
    trial = WHERE_IT_MATTERS.get(field, BASE)
    changed = TrialConfig(**{**trial.to_json(), field: other})
    assert changed.digest != trial.digest


@pytest.mark.parametrize("field", ["fine_tune_lr", "train_batch_norm", "warm_up_lr"])
def test_a_field_that_is_not_used_changes_no_digest(field: str) -> None:
    changed = TrialConfig(**{**BASE.to_json(), field: OTHER.get(field, True)})
    assert changed != BASE
    assert changed.digest == BASE.digest


def test_the_heads_own_rate_is_not_used_where_layers_are_unfrozen() -> None:
    changed = TrialConfig(**{**UNFROZEN.to_json(), "head_lr": 1e-2})
    assert changed.digest == UNFROZEN.digest


def test_the_rate_is_that_of_the_phase() -> None:
    rates: dict[str, Any] = {"backbone": "strokes", "head_lr": 1e-2, "fine_tune_lr": 1e-4}
    assert TrialConfig(**rates).learning_rate == 1e-2
    assert TrialConfig(**rates, unfrozen_layers="all").learning_rate == 1e-4
    with pytest.raises(ValueError, match="a trial with unfrozen_layers=3 has no rate"):
        _ = TrialConfig(backbone="strokes", unfrozen_layers=3, head_lr=1e-2).learning_rate
