"""How much a trial computed, in multiply-adds, against the least that would have done."""

from dataclasses import dataclass

from tlsearch.training.network.model import Network
from tlsearch.training.network.multiply_adds import forward, trained, trained_share

BACKWARD = 2  # of a layer that trains: gradients of its inputs and of its weights


@dataclass(frozen=True)
class Work:
    """Multiply-adds of a trial so far. `least` leaves out the frozen prefix, which `prefix`
    names: one pass of it, `prefix_pass`, serves all trials that share it.

    `trained_share` is the share of one forward pass that lies in layers that train.
    """

    done: float
    least: float
    prefix: str
    prefix_pass: float
    trained_share: float


@dataclass(frozen=True)
class Price:
    """Multiply-adds of one image: through the frozen prefix, through what comes after it, and of
    that in layers that train.
    """

    prefix: int
    suffix: int
    trained: int
    share: float

    @classmethod
    def of(cls, network: Network) -> "Price":
        """Of a network that has begun a trial, so that what trains is known."""
        layers, head = network.backbone.model.layers, network.head.model.layers
        frozen = network.sections.prefix.layers
        suffix = [] if network.sections.suffix is None else network.sections.suffix.layers
        return cls(
            prefix=0 if network.sections.from_images else forward(frozen),
            suffix=forward(suffix) + forward(head),
            trained=trained(layers) + trained(head),
            share=trained_share(layers, head),
        )

    def epoch(self, train: int, validation: int) -> int:
        """Of an epoch: training images forward and backward, validation images forward."""
        return train * (self.suffix + BACKWARD * self.trained) + validation * self.suffix
