"""Convolutional networks of KerasHub by the dimensions that each one is built from, without
TensorFlow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from tlsearch.config.networks.anatomy import Anatomy

MSFA_SIDE = 16  # places along an edge of MobileNetV5's output, for every image size


@dataclass(frozen=True)
class LiteStage:
    """Inverted residual blocks of the same width: the first one has `stride`, the others add their
    input to their output.
    """

    repeats: int
    kernel: int
    stride: int
    expansion: int
    width: int


@dataclass(frozen=True)
class EfficientNetLite:
    """An EfficientNet without squeeze-and-excite and with ReLU6.

    `stem` and `width` are the channels of the first and of the last convolution.
    """

    stem: int
    stages: tuple[LiteStage, ...]
    width: int
    epsilon: float = 1e-5

    multiple = 1
    least_px = 32

    @cached_property
    def anatomy(self) -> Anatomy:
        """The layers; a block is expansion, depthwise convolution and projection."""
        words, before = ["OOWBO"], self.stem
        for stage, stride in self.blocks:
            expanded = "WBO" if stage.expansion > 1 else ""
            residual = stride == 1 and before == stage.width
            words.append(f"{expanded}OWBOWB".lower() + "O" if residual else f"{expanded}OWBOWB")
            before = stage.width
        return Anatomy("inverted residual block", f"{' '.join(words)}WBO")

    @property
    def blocks(self) -> Iterator[tuple[LiteStage, int]]:
        """The stage and the stride of each block, in order."""
        for stage in self.stages:
            for place in range(stage.repeats):
                yield stage, 1 if place else stage.stride

    def parameters(self, image_px: int) -> int:
        """The number of its parameters, with BatchNorm's four for each channel."""
        del image_px
        found, before = 27 * self.stem + 4 * self.stem, self.stem
        for stage, _ in self.blocks:
            wide = before * stage.expansion
            expanding = before * wide + 4 * wide if stage.expansion > 1 else 0
            found += expanding + wide * (stage.kernel**2 + 4) + stage.width * (wide + 4)
            before = stage.width
        return found + self.width * (before + 4)

    def multiply_adds(self, image_px: int) -> int:
        """Multiplications with a weight for one image."""
        side = -(-image_px // 2)
        found, before = side**2 * 27 * self.stem, self.stem
        for stage, stride in self.blocks:
            wide = before * stage.expansion
            if stage.expansion > 1:
                found += side**2 * before * wide
            side = -(-side // stride)
            found += side**2 * wide * (stage.kernel**2 + stage.width)
            before = stage.width
        return found + side**2 * before * self.width


@dataclass(frozen=True)
class MobileBlock:
    """A block of MobileNetV5; `width` is that of its output.

    An `edge` block expands with a convolution of size `kernel`. An `inverted` block has a depthwise
    convolution of size `start` before its expansion and one of size `kernel` after it, each unless
    its size is 0. An `attention` block has `heads` queries of `key` numbers, which share one key
    and one value; those are computed on maps reduced by `stride`.
    """

    kind: Literal["edge", "inverted", "attention"]
    width: int
    stride: int = 1
    expansion: int = 1
    start: int = 0
    kernel: int = 0
    heads: int = 0
    key: int = 0

    def residual(self, before: int) -> bool:
        """Whether its input, with `before` channels, is added to its output."""
        return before == self.width and (self.kind == "attention" or self.stride == 1)

    def convolutions(self, before: int) -> Iterator[tuple[int, int, bool, bool]]:
        """Yield (inputs per output, outputs, strided, normalised) for each convolution.

        `strided`: its output has the reduced size. `normalised`: it has a bias and a norm.
        """
        wide = before * self.expansion
        if self.kind == "attention":
            if self.stride > 1:
                yield from 2 * ((9, before, True, False),)
            yield before, self.heads * self.key, False, False
            yield from 2 * ((before, self.key, True, False),)
            yield self.heads * self.key, self.width, False, False
            return
        if self.kind == "edge":
            yield before * self.kernel**2, wide, True, True
        else:
            if self.start:
                yield self.start**2, before, not self.kernel, True
            yield before, wide, not self.kernel, True
            if self.kernel:
                yield self.kernel**2, wide, True, True
        yield wide, self.width, True, True

    def parameters(self, before: int) -> int:
        """The number of its parameters."""
        found = sum(
            out * (inputs + (2 if normed else 0))
            for inputs, out, _, normed in self.convolutions(before)
        )
        if self.kind == "attention":
            reduced = 2 * before if self.stride > 1 else 0  # norms of keys and values
            return found + before + reduced + self.width
        return found + (self.width if self.kind == "inverted" else 0)

    def multiply_adds(self, before: int, side: int) -> int:
        """Multiplications with a weight for maps of `side` places along an edge."""
        after = -(-side // self.stride)
        return sum(
            inputs * out * (after if reduced else side) ** 2
            for inputs, out, reduced, _ in self.convolutions(before)
        )

    @property
    def layers(self) -> int:
        """The number of its layers, all of which have weights."""
        if self.kind == "attention":
            return 10 if self.stride > 1 else 6
        if self.kind == "edge":
            return 4
        return 5 + 2 * (self.start > 0) + 2 * (self.kernel > 0)


@dataclass(frozen=True)
class MobileNetV5:
    """The image encoder of Gemma 3n (blocks: arXiv 2404.10518).

    Its output joins the maps of the last two stages, the smaller ones enlarged, and is always
    `MSFA_SIDE` places wide and high. `stem` is the width of its first convolution.
    """

    stem: int
    stages: tuple[tuple[MobileBlock, ...], ...]
    width: int

    multiple = 32
    least_px = 64

    @cached_property
    def anatomy(self) -> Anatomy:
        """The layers; the network cannot be cut within the last stage, and the fusion of the last
        two stages belongs to the last block.
        """
        words, before = ["OWW"], self.stem
        for stage in self.stages:
            for block in stage:
                residual = block.residual(before)
                if stage is self.stages[-1]:
                    words.append("w" * block.layers)
                elif residual:
                    words.append("w" * (block.layers - 1) + "W")
                else:
                    words.append("W" * block.layers)
                before = block.width
        return Anatomy("MobileNetV5 block", f"{' '.join(words)}OWWWWOW")

    @property
    def fused(self) -> int:
        """The number of channels of the last two stages together."""
        return sum(stage[-1].width for stage in self.stages[-2:])

    def parameters(self, image_px: int) -> int:
        """The number of its parameters, which does not depend on the image size."""
        del image_px
        found, before = self.stem * (27 + 2), self.stem
        for block in (block for stage in self.stages for block in stage):
            found += block.parameters(before)
            before = block.width
        wide = 2 * self.fused
        return found + wide * (self.fused + 2) + self.width * (wide + 3)

    def multiply_adds(self, image_px: int) -> int:
        """Multiplications with a weight for one image; attention adds some without weights."""
        side = image_px // 2
        found, before, sides = side**2 * 27 * self.stem, self.stem, []
        for stage in self.stages:
            for block in stage:
                found += block.multiply_adds(before, side)
                before = block.width
                side = side if block.kind == "attention" else -(-side // block.stride)
            sides.append(side)
        wide = 2 * self.fused
        return found + sides[-2] ** 2 * wide * (self.fused + self.width)


def efficientnet_lite0() -> EfficientNetLite:
    """EfficientNet-Lite0."""
    stages = (
        (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
        (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
    )  # fmt: skip
    return EfficientNetLite(32, tuple(LiteStage(*stage) for stage in stages), 1280)


def mobilenet_v5_300m() -> MobileNetV5:
    """MobileNetV5 300M."""

    def inverted(width: int, *rest: int) -> MobileBlock:
        return MobileBlock("inverted", width, *rest)

    def attending(width: int, pairs: int, *rest: int) -> tuple[MobileBlock, ...]:
        attention = MobileBlock("attention", width, rest[0], 1, 0, 0, *rest[1:])
        return pairs * (attention, inverted(width, 1, 2))

    edges = (MobileBlock("edge", 128, 2, 4, 0, 3), *2 * (MobileBlock("edge", 128, 1, 4, 0, 3),))
    second = (inverted(256, 2, 6, 3, 5), *2 * (inverted(256, 1, 4, 5), inverted(256, 1, 4, 3)))
    third = (
        inverted(640, 2, 6, 5, 5),
        *7 * (inverted(640, 1, 4, 5),),
        inverted(640, 1, 1),
        *attending(640, 14, 2, 12, 64),
    )
    fourth = (inverted(1280, 2, 6, 5, 5), *attending(1280, 19, 1, 16, 96))
    return MobileNetV5(64, (edges, second, third, fourth), 2048)
