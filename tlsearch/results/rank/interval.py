"""How far a score measured on n images can be trusted."""

from math import sqrt

Z_95 = 1.959963984540054  # the normal distribution's 97.5 % point


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share measured on `count` images (Wilson 1927, eq. 4)."""
    spread = Z_95 * Z_95 / count
    middle = (share + spread / 2) / (1 + spread)
    half = Z_95 / (1 + spread) * sqrt(share * (1 - share) / count + spread / (4 * count))
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
