"""The multiply-adds a trial computed, compared with the minimum it needed."""

from dataclasses import dataclass

from tlsearch.training.network.model import Network
from tlsearch.training.network.multiply_adds import (
    forward_multiply_adds,
    trained_multiply_adds,
    trained_share,
)

BACKWARD = 2  # passes of a trainable layer: the gradients of its inputs and of its weights


@dataclass(frozen=True)
class Work:
    """Multiply-adds of a trial so far. `least`, the minimum, excludes the frozen prefix: all trials
    with the same `prefix` share one pass of it, which costs `prefix_pass`.

    `trained_share` is the share of one forward pass that lies in trainable layers.
    """

    done: float
    least: float
    prefix: str
    prefix_pass: float
    trained_share: float


@dataclass(frozen=True)
class Price:
    """Multiply-adds per image: in the frozen prefix, in the layers after it, and in trainable
    layers; `share` is the trainable share of one forward pass.
    """

    prefix: int
    suffix: int
    trained: int
    share: float

    @classmethod
    def of(cls, network: Network) -> "Price":
        """Return the price of a network that has begun a trial, so that its trainable layers are
        known.
        """
        layers, head = network.backbone.model.layers, network.head.model.layers
        frozen = network.sections.prefix.layers
        suffix = [] if network.sections.suffix is None else network.sections.suffix.layers
        return cls(
            prefix=0 if network.sections.from_images else forward_multiply_adds(frozen),
            suffix=forward_multiply_adds(suffix) + forward_multiply_adds(head),
            trained=trained_multiply_adds(layers) + trained_multiply_adds(head),
            share=trained_share(layers, head),
        )

    def epoch(self, train: int, validation: int) -> int:
        """Return the cost of one epoch: training images forward and backward, validation images
        forward.
        """
        return train * (self.suffix + BACKWARD * self.trained) + validation * self.suffix
