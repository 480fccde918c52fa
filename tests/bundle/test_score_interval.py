"""The interval of a score contains it, narrows with more images, is repeatable and has a width."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.bundle.metrics import score
from tlsearch.bundle.score_interval import (
    DRAWN,
    LEAST_ROUNDS,
    ROUNDS,
    allowed_rounds,
    score_interval,
)
from tlsearch.config.catalog import METRICS
from tlsearch.results.rank.interval import wilson

BOUNDED = tuple(metric for metric in METRICS if metric != "loss")  # by 1


def predictions(count: int, right: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count).astype(np.int32)
    shown = np.where(rng.random(count) < right, labels, (labels + 1) % 3)
    raw = np.eye(3)[shown] * 4 + rng.random((count, 3))
    return labels, raw / raw.sum(axis=1, keepdims=True)


def image_bootstrap(
    metric: str, labels: np.ndarray, probabilities: np.ndarray, rounds: int, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile interval by its definition: draw images, compute the score again."""
    rng, count = np.random.default_rng(seed), len(labels)
    drawn = (rng.integers(0, count, count) for _ in range(rounds))
    values = [score(metric, labels[rows], probabilities[rows]) for rows in drawn]
    low, high = np.percentile([value for value in values if np.isfinite(value)], (2.5, 97.5))
    return float(low), float(high)


@pytest.mark.parametrize("metric", METRICS)
def test_it_holds_the_score_and_repeats(metric: str) -> None:
    labels, probabilities = predictions(120, 0.8)
    found = score_interval(metric, labels, probabilities)
    assert found.low < score(metric, labels, probabilities) < found.high
    assert found == score_interval(metric, labels, probabilities)


@pytest.mark.parametrize("metric", METRICS)
def test_it_is_about_what_images_drawn_again_give(metric: str) -> None:
    labels, probabilities = predictions(400, 0.9)
    found = score_interval(metric, labels, probabilities)
    expected = image_bootstrap(metric, labels, probabilities, 250)
    width = expected[1] - expected[0]
    np.testing.assert_allclose((found.low, found.high), expected, atol=0.2 * width)


@pytest.mark.parametrize("metric", BOUNDED)
@pytest.mark.parametrize("count", [6, 30, 300])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_perfect_score_is_not_certain(metric: str, count: int, classes: int) -> None:
    labels = (np.arange(count) % classes).astype(np.int32)
    found = score_interval(metric, labels, np.eye(classes)[labels] * 0.7 + 0.3 / classes)
    assert 1 - 12 / count < found.low < 1 - 1 / count
    assert found.high == 1


def test_a_perfect_accuracy_is_wilsons_as_on_validation() -> None:
    labels = (np.arange(30) % 3).astype(np.int32)
    found = score_interval("accuracy", labels, np.eye(3)[labels])
    assert (found.low, found.high) == wilson(1.0, 30) == pytest.approx((0.8865, 1.0), abs=1e-4)
    assert found.to_json() == {"low": found.low, "high": found.high, "interval": "Wilson"}


@pytest.mark.parametrize(
    ("metric", "method"),
    [
        ("accuracy", "Wilson"),
        ("balanced_accuracy", "bootstrap"),
        ("macro_f1", "bootstrap"),
        ("auc", "DeLong"),
        ("loss", "bootstrap"),
    ],
)
def test_it_names_its_method_and_how_many_rounds_were_made(metric: str, method: str) -> None:
    noted = score_interval(metric, *predictions(60, 0.8)).to_json()
    assert noted["interval"] == method
    assert noted.get("rounds") == (ROUNDS if method == "bootstrap" else None)


@pytest.mark.parametrize("metric", METRICS)
def test_more_images_say_more(metric: str) -> None:
    few, many = (score_interval(metric, *predictions(n, 0.8)) for n in (50, 2000))
    assert many.high - many.low < (few.high - few.low) / 3


@pytest.mark.parametrize("metric", METRICS)
def test_what_is_not_finite_has_no_interval(metric: str) -> None:
    labels, probabilities = predictions(20, 0.8)
    probabilities[3, 1] = np.nan
    assert score_interval(metric, labels, probabilities) is None


def test_images_that_all_lose_the_same_say_nothing_of_the_loss() -> None:
    labels = (np.arange(12) % 3).astype(np.int32)
    assert score_interval("loss", labels, np.eye(3)[labels]) is None


@given(st.integers(1, 10**12))
def test_rounds_are_bounded_by_what_they_draw(size: int) -> None:
    rounds = allowed_rounds(size)
    assert LEAST_ROUNDS <= rounds <= ROUNDS
    assert rounds == LEAST_ROUNDS or rounds * size <= DRAWN


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("seed", range(3))  # both are random: rare seeds differ more
def test_drawing_cells_of_the_confusion_is_drawing_images(metric: str, seed: int) -> None:
    labels, probabilities = predictions(90, 0.7, seed)
    found = score_interval(metric, labels, probabilities, rounds=400)
    low, high = image_bootstrap(metric, labels, probabilities, 200, seed)
    assert found.low == pytest.approx(low, abs=0.04)
    assert found.high == pytest.approx(high, abs=0.04)


@pytest.mark.parametrize(("classes", "each", "right"), [(3, 30, 0.9), (10, 20, 0.9), (60, 5, 0.6)])
@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
def test_the_interval_of_a_macro_average_holds_the_truth_as_often_as_it_says(
    metric: str, classes: int, each: int, right: float
) -> None:
    """Without a correction, the interval of macro F1 covers the truth in a third of the samples
    of 60 classes of 5 images.
    """

    def drawn(rng: np.random.Generator, each: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, classes, classes * each).astype(np.int32)
        others = (labels + rng.integers(1, classes, len(labels))) % classes
        return labels, np.eye(classes)[np.where(rng.random(len(labels)) < right, labels, others)]

    rng, inside = np.random.default_rng(0), 0
    truth = right  # for both averages, because all classes are confused alike
    for _ in range(120):
        found = score_interval(metric, *drawn(rng, each), rounds=200)
        inside += found.low <= truth <= found.high
    assert inside / 120 > 0.87


@pytest.mark.parametrize("metric", METRICS)
def test_ten_thousand_images_of_a_hundred_classes_have_an_interval(metric: str) -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(10_000) % 100).astype(np.int32)
    raw = rng.random((10_000, 100), np.float32) + np.eye(100, dtype=np.float32)[labels] / 2
    probabilities = raw / raw.sum(axis=1, keepdims=True)
    found = score_interval(metric, labels, probabilities)
    assert found.low < score(metric, labels, probabilities) < found.high


def covered(
    classes: int, images: int, shift: float, truth: float, draws: int = 400
) -> tuple[float, float]:
    """Return how often the AUC's interval of a sample lies below the truth, and covers it."""
    rng, inside, below = np.random.default_rng(3), 0, 0
    for _ in range(draws):
        found = score_interval("auc", *scored(rng, classes, images, shift))
        inside += found is not None and found.low <= truth <= found.high
        below += found is not None and found.high < truth
    return below / draws, inside / draws


def scored(
    rng: np.random.Generator, classes: int, images: int, shift: float
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.concatenate(
        [np.arange(2 * classes) % classes, rng.integers(0, classes, images - 2 * classes)]
    )
    logits = rng.normal(size=(images, classes))
    logits[np.arange(images), labels] += shift
    raised = np.exp(logits)
    return labels.astype(np.int32), raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(
    ("classes", "images", "shift"), [(2, 40, 1.0), (2, 200, 2.0), (5, 60, 1.0), (10, 200, 2.0)]
)
def test_the_interval_of_an_auc_holds_the_truth_as_often_as_it_says(
    classes: int, images: int, shift: float
) -> None:
    large = partial(scored, np.random.default_rng(9), classes, 100_000, shift)
    _, inside = covered(classes, images, shift, score("auc", *large()))
    assert 0.92 <= inside <= 0.985
