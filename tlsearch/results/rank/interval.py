"""Confidence intervals of scores measured on a number of images."""

from collections.abc import Sequence
from math import hypot, sqrt

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(share: float, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share measured on `count` images (Wilson 1927, eq. 4)."""
    spread = Z_95 * Z_95 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * sqrt(share * (1 - share) / count + spread / (4 * count))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def least_mean(counts: Sequence[int]) -> float:
    """Return the lower end of the 95 % interval of a mean of independent shares that are all 1.

    `counts` holds the number of images behind each share. The bound follows from Wilson's interval
    of each share (Zou, Huang and Zhang 2009, Computational Statistics and Data Analysis 53:1080).
    With one or two images per share it can be higher than the bound for all images pooled; the
    pooled bound is then returned.
    """
    apart = 1 - hypot(*(1 - wilson(1.0, count)[0] for count in counts)) / len(counts)
    return min(apart, wilson(1.0, sum(counts))[0])
