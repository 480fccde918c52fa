"""The bootstrap interval holds the score, narrows with images, and is the same every time."""

import numpy as np
import pytest

from tlsearch.bundle.metrics import bootstrap, score
from tlsearch.results.rank.interval import wilson


def predictions(count: int, right: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, count).astype(np.int32)
    shown = np.where(rng.random(count) < right, labels, (labels + 1) % 3)
    return labels, np.eye(3, dtype=np.float32)[shown] * 0.7 + 0.1


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy", "macro_f1", "auc", "loss"])
def test_it_holds_the_score_and_repeats(metric: str) -> None:
    labels, probabilities = predictions(120, 0.8)
    low, high = bootstrap(metric, labels, probabilities, rounds=100)
    assert low < score(metric, labels, probabilities) < high
    assert (low, high) == bootstrap(metric, labels, probabilities, rounds=100)


def test_of_an_accuracy_it_is_about_wilsons() -> None:
    labels, probabilities = predictions(400, 0.9)
    found = bootstrap("accuracy", labels, probabilities)
    expected = wilson(score("accuracy", labels, probabilities), 400)
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_more_images_say_more() -> None:
    few, many = (bootstrap("accuracy", *predictions(n, 0.8), rounds=200) for n in (50, 2000))
    assert many[1] - many[0] < (few[1] - few[0]) / 3


def test_draws_without_a_class_are_left_out_and_nothing_is_said_where_none_remains() -> None:
    labels = np.repeat(np.arange(4, dtype=np.int32), 2)
    probabilities = np.random.default_rng(2).dirichlet(np.ones(4), 8).astype(np.float32)
    low, high = bootstrap("auc", labels, probabilities, rounds=200)
    assert low < score("auc", labels, probabilities) < high
    assert bootstrap("auc", labels[:2], probabilities[:2], rounds=5) is None
