"""The least memory that training a network takes, estimated from its row alone."""

from tlsearch.base.errors import ConfigError
from tlsearch.base.machine import memory_bytes
from tlsearch.config.catalog import NUMBER_BYTES
from tlsearch.config.dimension import Range
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.row import Backbone
from tlsearch.config.schema import SearchConfig
from tlsearch.config.spelling import file_name

# Copies of each weight: the weight, its value as loaded, and its gradient with a moment of the
# optimizer, or a constant of the frozen pass.
COPIES = 4
# Numbers kept for an image in a training step: from 1 per 1,000 multiply-adds (VGG, ViT) to 20.
KEPT_PER_MULTIPLY_ADD = 1 / 1000
IMAGES = 32  # in a step by default


def needed_bytes(row: Backbone, image_px: int, images: int = IMAGES) -> int:
    """The least memory for training the whole network on `images` images at a time.

    With 0 images, the least memory for using it frozen.
    """
    scale = (image_px / row.image_px) ** 2
    kept = images * row.multiply_adds * scale * KEPT_PER_MULTIPLY_ADD
    return NUMBER_BYTES * int(COPIES * row.parameters + kept)


def require_memory(config: SearchConfig, held: int | None = None) -> None:
    """Raise ConfigError if this machine's memory, `held` bytes, cannot hold a network."""
    held = memory_bytes() if held is None else held
    batches, px = config.space.batch_size, config.data.image_px
    least = int(batches.low) if isinstance(batches, Range) else min(batches.values)
    whole = config.space.depths.admits("all")  # the need of fewer layers is not known
    images = least if whole else 0
    problems = [
        f"space.backbone: {file_name(name)} needs at least {needed / 1e9:.0f} GB of memory at "
        f"{px} px, and this machine has {held / 1e9:.0f} GB: choose a smaller one (tlsearch "
        "backbones --max-params), or unfreeze fewer layers, or give a smaller batch_size or "
        "image_px"
        for name in config.space.backbone.values
        if (needed := needed_bytes(row_of(name), px, images)) > held
    ]
    if problems:
        raise ConfigError(problems)
