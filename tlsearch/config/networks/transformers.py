"""Vision transformers by the dimensions that each one is built from, without TensorFlow."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tlsearch.config.networks.anatomy import Anatomy

BLOCK = "transformer block"


@dataclass(frozen=True)
class VisionTransformer:
    """A ViT, DeiT, DINOv2, DINOv3 or the image tower of a SigLIP.

    An image becomes (px / `patch`)^2 patch tokens of `width` numbers. They follow `class_tokens`
    tokens, the first of which is the class token, and `registers` tokens. Positions are a learned
    table, which was trained for `grid` x `grid` patches and is interpolated for other sizes (with
    antialiasing if `antialias`). If `grid` is None, they are rotary embeddings (RoPE).
    `layer_scale` multiplies the output that a block adds by learned factors. `gelu` is the formula
    of the activation. If the network is `gated`, the values after the first dense layer are instead
    multiplied by the SiLU of a gate, another dense layer. `pooling` is the default way to turn its
    tokens into a vector.
    """

    width: int
    depth: int
    heads: int
    hidden: int
    patch: int
    grid: int | None
    class_tokens: int = 1
    registers: int = 0
    layer_scale: bool = False
    gelu: Literal["exact", "tanh"] = "exact"
    gated: bool = False
    epsilon: float = 1e-6
    key_bias: bool = True
    antialias: bool = False
    pooling: Literal["cls", "cls_mean", "gap"] = "cls"

    @property
    def leading_tokens(self) -> int:
        """The number of tokens in front of the patch tokens."""
        return self.class_tokens + self.registers

    @property
    def multiple(self) -> int:
        """The number that image sizes must be a multiple of."""
        return self.patch

    @property
    def least_px(self) -> int:
        """The smallest size of images: four patches."""
        return 2 * self.patch

    def side(self, image_px: int) -> int:
        """The number of patches along an edge of an image."""
        return image_px // self.patch

    def tokens(self, image_px: int) -> int:
        """The number of tokens of an image."""
        return self.leading_tokens + self.side(image_px) ** 2

    @cached_property
    def anatomy(self) -> Anatomy:
        """The layers; a block is norm, query, key, value, output, then norm, gate, dense, dense.

        Each half of a block has its layer scale, if there is one, and ends in a sum.
        """
        half = "wW" if self.layer_scale else "W"
        block = f"wwww{half}{'w' * self.gated}ww{half}"
        stem = "OWOW"  # input, patches, room for the tokens in front, and those with positions
        return Anatomy(BLOCK, f"{stem} {block}*{self.depth - 1} {block}W")

    def parameters(self, image_px: int) -> int:
        """The number of its parameters at this image size."""
        width, hidden = self.width, self.hidden
        attention = 4 * width * width + (4 if self.key_bias else 3) * width
        dense = (2 + self.gated) * width * hidden + (1 + self.gated) * hidden + width
        scales = 2 * width if self.layer_scale else 0
        block = attention + dense + scales + 4 * width
        patches = 3 * self.patch**2 * width + width
        rows = self.leading_tokens if self.grid is None else self.tokens(image_px)
        return patches + rows * width + self.depth * block + 2 * width

    def multiply_adds(self, image_px: int) -> int:
        """Multiplications with a weight for one image; attention adds some without weights."""
        block = 4 * self.width**2 + (2 + self.gated) * self.width * self.hidden
        patches = self.side(image_px) ** 2 * 3 * self.patch**2 * self.width
        return patches + self.tokens(image_px) * self.depth * block


@dataclass(frozen=True)
class SwinTransformer:
    """A Swin transformer (arXiv 2103.14030): attention within windows, which every other block
    shifts by half.

    Patches of `patch` x `patch` pixels become `width` numbers; after every stage but the last, four
    places become one with twice as many numbers. `depths` and `heads` have an entry for each stage.
    A block pads a map that windows do not divide evenly.
    """

    width: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    window: int
    patch: int = 4
    epsilon: float = 1e-5
    class_tokens: int = 0
    leading_tokens: int = 0
    pooling: Literal["gap"] = "gap"

    @property
    def multiple(self) -> int:
        """The number that image sizes must be a multiple of."""
        return self.patch << (len(self.depths) - 1)

    @property
    def least_px(self) -> int:
        """The size at which one window covers the last stage; a smaller size would cut it."""
        return self.multiple * self.window

    @cached_property
    def anatomy(self) -> Anatomy:
        """The layers; a block is attention, then norm, dense, dense.

        Attention is norm, table of positions, query, key, value, output. Both halves of a block end
        in a sum. Downsampling belongs to the block before it.
        """
        block, last = "wwwwwWwwW", len(self.depths) - 1
        ends = ["W" if stage == last else "WW" for stage in range(last + 1)]
        stages = zip(self.depths, ends, strict=True)
        words = [f"{block}*{depth - 1} {block}{end}" for depth, end in stages]
        return Anatomy(BLOCK, f"OWW {' '.join(words)}")

    def parameters(self, image_px: int) -> int:
        """The number of its parameters, which does not depend on the image size."""
        del image_px
        places = (2 * self.window - 1) ** 2
        found = 3 * self.patch**2 * self.width + 3 * self.width
        for stage, (depth, heads) in enumerate(zip(self.depths, self.heads, strict=True)):
            width = self.width * 2**stage
            found += depth * (12 * width**2 + 13 * width + places * heads)
            last = stage == len(self.depths) - 1
            found += 2 * width if last else 8 * width**2 + 8 * width
        return found

    def multiply_adds(self, image_px: int) -> int:
        """Multiplications with a weight for one image; attention adds some without weights."""
        side = image_px // self.patch
        found = side**2 * 3 * self.patch**2 * self.width
        for stage, depth in enumerate(self.depths):
            width, padded = self.width * 2**stage, -(-side // self.window) * self.window
            found += depth * (4 * padded**2 + 8 * side**2) * width**2
            side //= 2
            if stage < len(self.depths) - 1:
                found += side**2 * 8 * width**2
        return found


def vit(width: int, depth: int, heads: int, patch: int, grid: int) -> VisionTransformer:
    """A ViT of the original paper (arXiv 2010.11929)."""
    return VisionTransformer(width, depth, heads, 4 * width, patch, grid)


def deit(width: int, heads: int, grid: int = 14) -> VisionTransformer:
    """A distilled DeiT (arXiv 2012.12877): its second token learned from a teacher."""
    return VisionTransformer(width, 12, heads, 4 * width, 16, grid, class_tokens=2)


def dinov2(
    width: int, depth: int, heads: int, registers: int = 0, gated: bool = False
) -> VisionTransformer:
    """A DINOv2 (arXiv 2304.07193), whose positions were last trained at 518 px."""
    hidden = gated_width(4 * width) if gated else 4 * width
    return VisionTransformer(
        *(width, depth, heads, hidden, 14, 37),
        registers=registers,
        gated=gated,
        layer_scale=True,
        antialias=registers > 0,
        pooling="cls_mean",
    )


def gated_width(hidden: int) -> int:
    """The hidden width of a gated (SwiGLU) DINOv2, from the ungated width in its configuration."""
    return (int(hidden * 2 / 3) + 7) // 8 * 8


def dinov3(width: int, depth: int, heads: int, gated: bool = False) -> VisionTransformer:
    """A DINOv3 ViT (arXiv 2508.10104), with rotary position embeddings (RoPE)."""
    return VisionTransformer(
        *(width, depth, heads, 4 * width, 16, None),
        registers=4,
        gated=gated,
        layer_scale=True,
        epsilon=1e-5,
        key_bias=False,
        pooling="cls_mean",
    )


def siglip2(width: int, depth: int, heads: int, grid: int) -> VisionTransformer:
    """The image tower of a SigLIP 2 (arXiv 2502.14786) up to its last norm: without the attention
    that pools its tokens.
    """
    return VisionTransformer(
        *(width, depth, heads, 4 * width, 16, grid), class_tokens=0, gelu="tanh", pooling="gap"
    )


def swin(
    width: int, depths: tuple[int, ...], heads: tuple[int, ...], window: int
) -> SwinTransformer:
    """A Swin transformer."""
    return SwinTransformer(width, depths, heads, window)
