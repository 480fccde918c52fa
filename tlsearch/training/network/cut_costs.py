"""Where a backbone can be cut in two, and what each cut leaves to train."""

import math
from bisect import bisect_right
from dataclasses import asdict, dataclass

from tlsearch.config.networks.row import Backbone
from tlsearch.config.networks.unfreezing import Depth
from tlsearch.training.network.backbone import outline
from tlsearch.training.network.cut import cut_points
from tlsearch.training.network.multiply_adds import forward


@dataclass(frozen=True)
class CutCost:
    """A cut behind the layer `name`, and the greatest depth that it serves: so many layers, and so
    many whole blocks.

    `values` are the numbers of an image that cross it, at the size that the network was made for;
    `multiply_adds` lie behind it, `share` of all.
    """

    name: str
    depth: Depth
    values: int
    multiply_adds: int
    share: float

    def to_json(self) -> dict[str, object]:
        """Plain values, as `tlsearch backbones NAME --format json` prints them."""
        plain = asdict(self)
        del plain["name"], plain["depth"]
        return {"cut": self.name, **self.depth.to_json(), **plain}


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
        found.append(CutCost(point.name, Depth(left, blocks), values, behind, share))
    return found
