"""How far a score can be trusted, whatever the metric: drawn again from its own images."""

import numpy as np
from numpy.typing import NDArray

from tlsearch.bundle.metrics import Labels, score

ROUNDS = 1000


def bootstrap(
    metric: str, labels: Labels, probabilities: NDArray[np.float32], rounds: int = ROUNDS
) -> tuple[float, float] | None:
    """The 95 % percentile interval of a metric (Efron 1979), by a fixed seed.

    `labels` (n,), `probabilities` (n, classes); images are drawn with replacement. Draws in which
    the metric is not defined, for want of a class, are left out; None where none remains.
    """
    rng, count = np.random.default_rng(0), len(labels)
    drawn = (rng.integers(0, count, count) for _ in range(rounds))
    values = np.array([score(metric, labels[rows], probabilities[rows]) for rows in drawn])
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)
