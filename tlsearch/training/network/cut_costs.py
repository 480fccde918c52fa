"""Where a backbone can be cut in two, and what each cut leaves to train."""

import math
from bisect import bisect_right
from dataclasses import dataclass

from tlsearch.config.catalog import Backbone
from tlsearch.training.network.backbone import outline
from tlsearch.training.network.cut import cut_points
from tlsearch.training.network.multiply_adds import forward


@dataclass(frozen=True)
class CutCost:
    """A cut behind the layer `cut`, which serves up to so many `unfrozen_layers`, and up to so many
    `unfrozen_blocks`.

    `values` are the numbers of an image that cross it, at the size that the network was made for;
    `multiply_adds` lie behind it, `share` of all.
    """

    cut: str
    unfrozen_layers: int
    unfrozen_blocks: int
    values: int
    multiply_adds: int
    share: float


def cut_costs(row: Backbone) -> list[CutCost]:
    """Every cut of a row of the catalogue, the deepest first; its weights are not needed."""
    model = outline(row, row.image_px)
    layers, found = list(model.layers), []
    for point in reversed(cut_points(model)):
        behind = forward(layers[point.index + 1 :])
        values = math.prod(point.tensor.shape[1:])
        left = len(layers) - 1 - point.index
        blocks = bisect_right(row.anatomy.block_layers, left) - 1
        share = behind / forward(layers)
        found.append(CutCost(point.name, left, blocks, values, behind, share))
    return found
