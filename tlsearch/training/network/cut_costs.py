"""The cuts of a backbone and the training cost that each of them leaves."""

import math
from bisect import bisect_right
from dataclasses import asdict, dataclass

from tlsearch.config.networks.row import Backbone
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.training.network.backbone import outline
from tlsearch.training.network.cut import cut_points
from tlsearch.training.network.multiply_adds import forward_multiply_adds


@dataclass(frozen=True)
class CutCost:
    """A cut behind the layer `name`. `depth` is the greatest depth that it serves, in layers and in
    whole blocks.

    `values` is how many numbers per image cross it at the backbone's native image size;
    `multiply_adds` lie behind it, `share` is their share of the total.
    """

    name: str
    depth: Depth
    values: int
    multiply_adds: int
    share: float

    def to_json(self) -> dict[str, object]:
        """Return plain values, as `tlsearch backbones NAME --format json` prints them."""
        plain = asdict(self)
        del plain["name"], plain["depth"]
        return {"cut": self.name, **self.depth.to_json(), **plain}


def cut_costs(row: Backbone) -> list[CutCost]:
    """Return every cut of a catalogue row, from the output to the input. No weights are loaded."""
    model = outline(row, row.image_px)
    layers, found = list(model.layers), []
    for point in reversed(cut_points(model)):
        behind = forward_multiply_adds(layers[point.index + 1 :])
        values = math.prod(point.tensor.shape[1:])
        left = len(layers) - 1 - point.index
        blocks = bisect_right(row.anatomy.block_layers, left) - 1
        share = behind / forward_multiply_adds(layers)
        found.append(CutCost(point.name, Depth(left, blocks), values, behind, share))
    return found
