"""How far a score measured on n images can be trusted."""

from collections.abc import Sequence
from math import hypot, sqrt

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share measured on `count` images (Wilson 1927, eq. 4)."""
    spread = Z_95 * Z_95 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * sqrt(share * (1 - share) / count + spread / (4 * count))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))


def least_mean(counts: Sequence[int]) -> float:
    """The lower end of the 95 % interval of a mean of independent shares, all of them 1 and each
    measured on its count of images, from Wilson's interval of each share (Zou, Huang and Zhang
    2009, Computational Statistics and Data Analysis 53:1080).

    With one or two images per share that is surer than all images together can be: then their
    interval counts.
    """
    apart = 1 - hypot(*(1 - wilson(1.0, count)[0] for count in counts)) / len(counts)
    return min(apart, wilson(1.0, sum(counts))[0])
