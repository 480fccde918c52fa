"""The layers of every network, in order: which can train, where a network can be cut, its blocks.

A contract test compares them with Keras (`tests/training/network/test_backbone.py`), so that depth
can be checked and planned without TensorFlow.
"""

from dataclasses import dataclass
from functools import cached_property

from tlsearch.config.networks.unfreezing import Depth, Unfrozen

WEIGHTS, BATCH_NORM, DROPOUT, OTHER = "w", "b", "d", "o"


@dataclass(frozen=True)
class Anatomy:
    """A network's layers as letters, and the name of its blocks.

    Each layer is one letter: `w` holds weights that can train, `b` is a BatchNorm, `d` a dropout,
    `o` any other layer. A capital letter marks a layer after which the network can be cut:
    everything later depends on its output alone, or on a sum that it ends. The first word is the
    stem, each further word a block with what follows it; `word*3` means three such blocks.
    """

    block: str
    words: str

    @cached_property
    def letters(self) -> str:
        """All layers, from the input on."""
        return "".join(self._blocks)

    @cached_property
    def block_layers(self) -> tuple[int, ...]:
        """The numbers of layers in the last 0, 1, 2, ... blocks, with everything after them."""
        counts = [0]
        for word in reversed(self._blocks[1:]):
            counts.append(counts[-1] + len(word))
        return tuple(counts)

    @property
    def layers(self) -> int:
        """The number of layers, including the input."""
        return len(self.letters)

    @property
    def blocks(self) -> int:
        """The number of blocks."""
        return len(self.block_layers) - 1

    def depth(self, blocks: Unfrozen) -> Depth:
        """The depth at which this many last blocks train, with everything after them."""
        return Depth("all" if blocks == "all" else self.block_layers[blocks], blocks)

    def least(self, batch_norm: bool = False) -> int:
        """The smallest number of last layers that include one that can train."""
        return self.layers - max(map(self.letters.lower().rfind, _trainable(batch_norm)))

    def has_batch_norm(self, depth: Depth) -> bool:
        """Whether a BatchNorm is among the unfrozen layers."""
        return BATCH_NORM in self._last(depth)

    def simplest(
        self, depth: Depth, prefix: Depth, batch_norm: bool = False
    ) -> tuple[Depth, Depth]:
        """The canonical pair of depth and prefix depth among all pairs that train in the same way.

        The training is the same if the same layers train, the same dropouts are active, and the cut
        is the same. All layers but one are not the same as all: Keras adds a layer after the input
        to some networks with ImageNet weights.
        """
        active = _trainable(batch_norm) + DROPOUT
        last = self._last(depth)
        fewest = len(last) - min(
            (place for place, letter in enumerate(last) if letter in active),
            default=len(last) - 1,
        )
        if len(self._last(prefix)) == self.layers:
            return Depth(fewest), Depth("all")
        return Depth(fewest), Depth(max(fewest, self._fewest_behind(prefix)))

    @cached_property
    def _blocks(self) -> tuple[str, ...]:
        """The stem, and each block."""
        parts = (word.partition("*") for word in self.words.split())
        return tuple(word for word, _, times in parts for _ in range(int(times or 1)))

    def _last(self, depth: Depth) -> str:
        """The kinds of the unfrozen layers."""
        return self.letters[depth.first_layer(self.layers) :].lower()

    def _fewest_behind(self, depth: Depth) -> int:
        """The fewest unfrozen layers that have the same cut as a depth."""
        first = depth.first_layer(self.layers)
        points = (place for place, letter in enumerate(self.letters) if letter.isupper())
        return self.layers - next(place for place in points if place >= max(first, 1))


def _trainable(batch_norm: bool) -> str:
    return WEIGHTS + BATCH_NORM if batch_norm else WEIGHTS


_SEPARABLE = "separable block"
_INVERTED = "inverted residual block"
_RESIDUAL = "residual block"
_DENSE = "dense block"
_INCEPTION = "inception block"
_CONVOLUTION = "convolution block"


def _efficientnet(*further: int) -> Anatomy:
    """EfficientNet B1 to B7, by the number of blocks after the first one of each stage."""
    padded, plain = "WBOOWBOoowwOWB", "WBOWBOoowwOWB"
    firsts = ("WBOoowwOWB", padded, padded, padded, plain, padded, plain)
    agains = ("wbooowwowbdO", *["wbowbooowwowbdO"] * 6)
    stages = "".join(
        f" {first}" + f" {again}" * more
        for first, again, more in zip(firsts, agains, further, strict=True)
    )
    return Anatomy(_INVERTED, f"OOOOWBO{stages}WBO")


def _efficientnet_v2(first: str, fused: int, *further: int) -> Anatomy:
    """EfficientNetV2 by its stem with the first stage, and the later stages' numbers of blocks.

    Each number counts the blocks after the first one of its stage: `fused` those of each of the two
    fused stages, `further` those of the stages after them.
    """
    stages = "".join(" WBOWBOoowwOWB" + " wbowbooowwowbdO" * more for more in further)
    return Anatomy(_INVERTED, f"{first}{f' WBOWB wbowbdO*{fused}' * 2}{stages}WBO")


def _convnext(third: int) -> Anatomy:
    """ConvNeXt by the number of blocks in its third stage; a block ends with its downsampling."""
    block = "wwwowwO"
    stage = f"{block}*2 {block}WW"
    return Anatomy(
        "ConvNeXt block",
        f"OOWW {stage} {stage} {block}*{third - 1} {block}WW {block}*2 {block}W",
    )


def _resnet(third: int, fourth: int) -> Anatomy:
    """ResNet by the numbers of repeated blocks in its two middle stages."""
    return Anatomy(
        _RESIDUAL,
        f"OOWBOOO wbowbowwbbOO wbowbowbOO*2 wbowbowwbbOO wbowbowbOO*{third} wbowbowwbbOO "
        f"wbowbowbOO*{fourth} wbowbowwbbOO wbowbowbOO*2",
    )


def _resnet_v2(third: int, fourth: int) -> Anatomy:
    """ResNetV2 by the numbers of repeated blocks in its two middle stages."""
    return Anatomy(
        _RESIDUAL,
        "OOWOO BOwboowbowwO bowboowbowO bowboowboowO BOwboowbowwO "
        f"bowboowbowO*{third} bowboowboowO BOwboowbowwO bowboowbowO*{fourth} bowboowboowO "
        "BOwboowbowwO bowboowbowO bowboowbowOBO",
    )


def _densenet(third: int, fourth: int) -> Anatomy:
    """DenseNet by the numbers of repeated layers in its last two dense blocks."""
    one, transition = "bowbowO", "bowbowOBOWO"
    return Anatomy(
        _DENSE,
        f"OOWBOOO {one * 5}{transition} {one * 11}{transition} {one * third}{transition} "
        f"{one * fourth}bowbowOBO",
    )


# By the name of the Keras function that builds the network.
ANATOMIES: dict[str, Anatomy] = {
    "MobileNet": Anatomy(
        _SEPARABLE,
        "OWBO WBOWBO OWBOWBO WBOWBO OWBOWBO WBOWBO OWBOWBO WBOWBO*5 OWBOWBO WBOWBO",
    ),
    "MobileNetV2": Anatomy(
        _INVERTED,
        "OWBO WBOWB WBOOWBOWB wbowbowbO WBOOWBOWB wbowbowbO*2 WBOOWBOWB wbowbowbO*3 WBOWBOWB "
        "wbowbowbO*2 WBOOWBOWB wbowbowbO*2 WBOWBOWBWBO",
    ),
    "MobileNetV3Small": Anatomy(
        _INVERTED,
        "OOWBO OWBOowowoOWB WBOOWBOWB wbowbowbO WBOOWBOowowoOWB wbowboowowoowbO*2 WBOWBOowowoOWB "
        "wbowboowowoowbO WBOOWBOowowoOWB wbowboowowoowbO wbowboowowoowbOWBO",
    ),
    "MobileNetV3Large": Anatomy(
        _INVERTED,
        "OOWBO wbowbO WBOOWBOWB wbowbowbO WBOOWBOowowoOWB wbowboowowoowbO*2 WBOOWBOWB wbowbowbO*3 "
        "WBOWBOowowoOWB wbowboowowoowbO WBOOWBOowowoOWB wbowboowowoowbO wbowboowowoowbOWBO",
    ),
    "MobileNetV3Minimalistic": Anatomy(
        _INVERTED,
        "OOWBO wbowbO WBOOWBOWB wbowbowbO WBOOWBOWB wbowbowbO*2 WBOOWBOWB wbowbowbO*3 WBOWBOWB "
        "wbowbowbO WBOOWBOWB wbowbowbO wbowbowbOWBO",
    ),
    "EfficientNetB0": Anatomy(
        _INVERTED,
        "OOOOWBO WBOoowwOWB WBOOWBOoowwOWB wbowbooowwowbdO WBOOWBOoowwOWB wbowbooowwowbdO "
        "WBOOWBOoowwOWB wbowbooowwowbdO*2 WBOWBOoowwOWB wbowbooowwowbdO*2 WBOOWBOoowwOWB "
        "wbowbooowwowbdO*3 WBOWBOoowwOWBWBO",
    ),
    "EfficientNetB1": _efficientnet(1, 2, 2, 3, 3, 4, 1),
    "EfficientNetB2": _efficientnet(1, 2, 2, 3, 3, 4, 1),
    "EfficientNetB3": _efficientnet(1, 2, 2, 4, 4, 5, 1),
    "EfficientNetB4": _efficientnet(1, 3, 3, 5, 5, 7, 1),
    "EfficientNetB5": _efficientnet(2, 4, 4, 6, 6, 8, 2),
    "EfficientNetB6": _efficientnet(2, 5, 5, 7, 7, 10, 2),
    "EfficientNetB7": _efficientnet(3, 6, 6, 9, 9, 12, 3),
    "EfficientNetV2B0": _efficientnet_v2("OOOWBO WBO", 1, 2, 4, 7),
    "EfficientNetV2B1": _efficientnet_v2("OOOWBO WBO wbodO", 2, 3, 5, 8),
    "EfficientNetV2B2": _efficientnet_v2("OOOWBO WBO wbodO", 2, 3, 5, 9),
    "EfficientNetV2B3": _efficientnet_v2("OOOWBO WBO wbodO", 2, 4, 6, 11),
    "EfficientNetV2S": _efficientnet_v2("OOWBO wboO wbodO", 3, 5, 8, 14),
    "EfficientNetV2M": _efficientnet_v2("OOWBO wboO wbodO*2", 4, 6, 13, 17, 4),
    "EfficientNetV2L": _efficientnet_v2("OOWBO wboO wbodO*3", 6, 9, 18, 24, 6),
    "ConvNeXtTiny": _convnext(9),
    "ConvNeXtSmall": _convnext(27),
    "ConvNeXtBase": _convnext(27),
    "ConvNeXtLarge": _convnext(27),
    "ConvNeXtXLarge": _convnext(27),
    "ResNet50": _resnet(3, 5),
    "ResNet101": _resnet(3, 22),
    "ResNet152": _resnet(7, 35),
    "ResNet50V2": _resnet_v2(2, 4),
    "ResNet101V2": _resnet_v2(2, 21),
    "ResNet152V2": _resnet_v2(6, 34),
    "DenseNet121": _densenet(23, 15),
    "DenseNet169": _densenet(31, 31),
    "DenseNet201": _densenet(47, 31),
    "InceptionV3": Anatomy(
        _INCEPTION,
        "OWBOWBOWBOOWBOWBOO wbowwbbooowwwwbbbbooooO*3 wbowbowwbboooO "
        "wbowbowwbboowwbbooowwwwbbbbooooO*4 wbowbowwbboowwbboooO wbowwbboowwwwowbbbbwboooobooooO*2",
    ),
    "InceptionResNetV2": Anatomy(
        _INCEPTION,
        "OWBOWBOWBOOWBOWBOO wbowwbbooowwwwbbbbooooO wbowwbboowwwbbboooowOO*10 wbowbowwbboooO "
        "wbowbowwbbooowOO*20 wbowwwbbbooowwwbbbooooO wbowbowwbbooowOO*9 wbowbowwbbooowOWBO",
    ),
    "VGG16": Anatomy(_CONVOLUTION, "O WWO WWO WWWO*3"),
    "VGG19": Anatomy(_CONVOLUTION, "O WWO WWO WWWWO*3"),
    "Xception": Anatomy(
        _SEPARABLE,
        "O WBOWBO wbowbwobO owbowbwobO*2 owbowbowbO*8 owbowbwobO WBOWBO",
    ),
}
