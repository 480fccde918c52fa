"""The plan of the feature store for a search: the activations kept of each backbone, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.schema import SearchConfig
from tlsearch.features import worth_keeping
from tlsearch.pace import POOLED
from tlsearch.search.cost.calibration import Calibration, prefix_depths


@dataclass(frozen=True)
class CacheChoice:
    """The store's choice for the activations of a backbone at a cut: kept, recomputed or unused.

    `why` is the reason, for example "cache_gb is full", "faster to read", or "trains the head".
    `views` is the number of views of the training images. `bytes` is the size on disk, validation
    images included.
    """

    backbone: str
    weights: str
    depth: Depth
    cut_name: str
    views: int
    bytes: int
    choice: str  # kept, recomputed, unused, or images if no layer before the cut is frozen
    why: str

    @property
    def cached(self) -> bool:
        """Whether the activations are computed once for all trials."""
        return self.choice == "kept"

    def to_json(self) -> dict[str, object]:
        """Return plain values, as `tlsearch plan --format json` prints them."""
        plain = asdict(self)
        where = {"unfrozen": self.depth.layers, "depth": self.depth.label, "cut": self.cut_name}
        del plain["depth"], plain["cut_name"]
        return {**plain, **where}


def cache_choices(
    config: SearchConfig, calibration: Calibration, images: Mapping[str, int]
) -> tuple[CacheChoice, ...]:
    """Return the forecast of the store's choice for each backbone and cut.

    All cuts of a backbone that are worth keeping are kept if they fit into `cache_gb` beside those
    of the backbones before it, else the pooled features alone, else nothing. (A trial for which
    not all cuts fit tries to keep its own cut, too.) `images` maps each split to its number of
    images.
    """
    left, found = int(config.cache_gb * 1e9), list[CacheChoice]()
    for name in config.space.backbone.values:
        for weights in config.space.weights.values:
            choices = list(_unlimited_choices(config, name, weights, calibration, images))
            fitting = _fitting(choices, left)
            left -= sum(kept.bytes for kept in fitting if kept.cached)
            found += fitting
    return tuple(found)


def _unlimited_choices(
    config: SearchConfig,
    name: str,
    weights: str,
    machine: Calibration,
    images: Mapping[str, int],
) -> Iterator[CacheChoice]:
    """Yield the choice at each cut of a backbone as if `cache_gb` were unlimited."""
    pace, item = machine.paces[name], np.dtype(config.feature_dtype).itemsize
    for depth in prefix_depths(config, name):
        suffix = pace.suffix(depth)
        size, rows = suffix.numbers * item, _rows(config, name, depth, images)
        row = CacheChoice(
            name,
            weights,
            depth,
            suffix.cut_name,
            views_of(config),
            rows * size,
            "kept",
            "",
        )
        seconds = pace.pass_s * suffix.share + machine.augment_s
        if suffix.from_images:
            yield replace(row, bytes=0, choice="images", why="")
        elif rows == 0:
            yield replace(row, choice="unused", why="no warm-up")
        elif suffix.cut_name == POOLED:
            yield replace(row, why="trains the head")
        elif worth_keeping(seconds, size, config.epochs, machine.disk):
            yield replace(row, why="faster to read")
        else:
            yield replace(row, choice="recomputed", why="faster to compute")


def _rows(config: SearchConfig, name: str, depth: Depth, images: Mapping[str, int]) -> int:
    """Return how many rows trials read at a cut: of all views, or of one for the warm-up alone."""
    if depth in config.space.prefix_depths(name):
        return images["train"] * views_of(config) + images["validation"]
    return images["train"] + images["validation"] if config.warm_up_epochs else 0


def _fitting(choices: list[CacheChoice], left: int) -> list[CacheChoice]:
    """Return the choices for one backbone with `left` bytes of the budget left."""
    if sum(kept.bytes for kept in choices if kept.cached) <= left:
        return choices
    why = "cache off" if left == 0 else "cache_gb is full"
    given_up = [replace(k, choice="recomputed", why=why) if k.cached else k for k in choices]
    pooled = next(kept for kept in choices if kept.cut_name == POOLED)
    return [pooled, *given_up[1:]] if pooled.bytes <= left else given_up


def views_of(config: SearchConfig) -> int:
    """Return how many views of the training images the epochs of a trial use."""
    if config.augment.is_off:
        return 1
    return config.epochs if config.views == "online" else min(config.views, config.epochs)
