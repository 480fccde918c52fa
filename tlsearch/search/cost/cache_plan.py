"""What the feature store will do for a search: what it keeps of each backbone, and why."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.config.schema import SearchConfig
from tlsearch.features import worth_keeping
from tlsearch.pace import POOLED
from tlsearch.search.cost.calibration import Calibration, depths


@dataclass(frozen=True)
class Kept:
    """What the store does with the activations of a backbone at a cut, and why: `no room` in
    `cache_gb`, the `cheaper` of both, or "to warm up" the head of every trial on them.

    `views` are those of the training images; what is kept, the validation images with it, takes
    `bytes` on disk.
    """

    backbone: str
    weights: str
    depth: Depth
    cut_name: str
    views: int
    bytes: int
    choice: str  # kept, recomputed, unused, or images: nothing before the cut is frozen
    why: str

    @property
    def kept(self) -> bool:
        """Whether they are computed once for all trials."""
        return self.choice == "kept"

    def to_json(self) -> dict[str, object]:
        """Plain values, as `tlsearch plan --format json` prints them."""
        plain = asdict(self)
        where = {"unfrozen": self.depth.layers, "asked": self.depth.label, "cut": self.cut_name}
        del plain["depth"], plain["cut_name"]
        return {**plain, **where}


def choices(
    config: SearchConfig, calibration: Calibration, images: Mapping[str, int]
) -> tuple[Kept, ...]:
    """What the store will do for each backbone and cut, by the rule that trials go by.

    All cuts of a backbone are kept where they fit into `cache_gb` beside those before it, else
    the pooled features alone, else nothing.
    """
    left, found = int(config.cache_gb * 1e9), list[Kept]()
    for name in config.space.backbone.values:
        for weights in config.space.weights.values:
            wished = list(_wished(config, name, weights, calibration, images))
            fitting = _fitting(wished, left)
            left -= sum(kept.bytes for kept in fitting if kept.kept)
            found += fitting
    return tuple(found)


def _wished(
    config: SearchConfig,
    name: str,
    weights: str,
    machine: Calibration,
    images: Mapping[str, int],
) -> Iterator[Kept]:
    """What would be kept without a budget."""
    pace, item = machine.paces[name], np.dtype(config.feature_dtype).itemsize
    for depth in depths(config, name):
        suffix = pace.suffix(depth)
        size, rows = suffix.numbers * item, _rows(config, name, depth, images)
        row = Kept(
            name,
            weights,
            depth,
            suffix.cut_name,
            views_of(config),
            rows * size,
            "kept",
            "",
        )
        seconds = pace.pass_s * suffix.share + machine.show_s
        if suffix.from_images:
            yield replace(row, bytes=0, choice="images", why="")
        elif rows == 0:
            yield replace(row, choice="unused", why="no warm-up")
        elif suffix.cut_name == POOLED:
            yield replace(row, why="to warm up")
        elif worth_keeping(seconds, size, config.epochs, machine.disk):
            yield replace(row, why="cheaper")
        else:
            yield replace(row, choice="recomputed", why="cheaper")


def _rows(config: SearchConfig, name: str, depth: Depth, images: Mapping[str, int]) -> int:
    """How many rows trials take at a cut: of every view, of one where only the warm-up does."""
    if depth in config.space.prefix_depths(name):
        return images["train"] * views_of(config) + images["validation"]
    return images["train"] + images["validation"] if config.warm_up_epochs else 0


def _fitting(wished: list[Kept], left: int) -> list[Kept]:
    """What of it the budget holds."""
    if sum(kept.bytes for kept in wished if kept.kept) <= left:
        return wished
    why = "cache off" if left == 0 else "no room"
    given_up = [replace(k, choice="recomputed", why=why) if k.kept else k for k in wished]
    pooled = next(kept for kept in wished if kept.cut_name == POOLED)
    return [pooled, *given_up[1:]] if pooled.bytes <= left else given_up


def views_of(config: SearchConfig) -> int:
    """How many views of the training images a trial's epochs see."""
    if config.augment.nothing:
        return 1
    return config.epochs if config.views == "online" else min(config.views, config.epochs)
