"""Multiply-adds of one picture before and after a cut. Imports TensorFlow."""

from dataclasses import dataclass

from tlsearch.config.networks.unfreezing import Depth, Unfrozen
from tlsearch.training.network.backbone import load_backbone
from tlsearch.training.network.cut import choose_cut, trainable_layers
from tlsearch.training.network.multiply_adds import forward_multiply_adds


@dataclass(frozen=True)
class Costs:
    """Multiply-adds per picture, forward: `prefix` up to the cut, `suffix` after it with the head.

    `trained` is the part of the suffix that trains, head included; `cut_shape` is the shape of the
    features at the cut.
    """

    cut: str
    cut_shape: tuple[int, ...]
    prefix: int
    suffix: int
    trained: int

    @property
    def whole(self) -> int:
        """The multiply-adds of the whole network."""
        return self.prefix + self.suffix


def costs(backbone: str, unfrozen: Unfrozen, units: int, classes: int, image_px: int) -> Costs:
    """Return the costs of a catalogue network with its last layers unfrozen, for any weights."""
    loaded = load_backbone(backbone, "none", image_px)
    model, width = loaded.model, int(loaded.pooled.shape[-1])
    head = width * units + units * classes if units else width * classes
    total = forward_multiply_adds(model.layers)
    if unfrozen == 0:
        return Costs("pool", (width,), total, head, head)
    depth = Depth(unfrozen)
    cut = choose_cut(model, depth)
    prefix = 0 if cut.whole else forward_multiply_adds(model.layers[: cut.index + 1])
    trained = forward_multiply_adds(trainable_layers(model, depth)) + head
    shape = tuple(int(side) for side in cut.tensor.shape[1:])
    return Costs(cut.name, shape, prefix, total - prefix + head, trained)
