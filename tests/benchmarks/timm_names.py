"""The names of layers in timm and here, for the networks that `backbone_parity.py` compares."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)

Pair = tuple[str, str]  # a module of timm, the layer or operation of Keras


@dataclass(frozen=True)
class Reference:
    """Another implementation of a backbone.

    `modules` pairs what holds weights, `blocks` what ends a block. `inside`: whether Keras' network
    normalises pixels itself. `change` turns timm's network into the one that Keras builds.
    """

    timm: str
    modules: Callable[[Any], Iterator[Pair]]
    blocks: Callable[[Any], Iterator[Pair]]
    image_px: int = 64
    inside: bool = True
    change: Callable[[Any], None] = lambda net: None


def convnext_modules(net: Any) -> Iterator[Pair]:
    """Yield the convolutions, norms, dense layers and layer scales of a ConvNeXt."""
    yield from (("stem.0", "stem_conv"), ("stem.1", "stem_layernorm"))
    for stage, parts in enumerate(net.stages):
        if stage:
            yield f"stages.{stage}.downsample.0", f"downsampling_layernorm_{stage - 1}"
            yield f"stages.{stage}.downsample.1", f"downsampling_conv_{stage - 1}"
        for block in range(len(parts.blocks)):
            ours, theirs = f"stage_{stage}_block_{block}_", f"stages.{stage}.blocks.{block}"
            yield f"{theirs}.conv_dw", f"{ours}depthwise_conv"
            yield f"{theirs}.norm", f"{ours}layernorm"
            yield f"{theirs}.mlp.fc1", f"{ours}pointwise_conv_1"
            yield f"{theirs}.mlp.fc2", f"{ours}pointwise_conv_2"
            yield f"{theirs}.gamma", f"{ours}layer_scale"
    yield "head.norm", "layer_normalization_at_"


def convnext_blocks(net: Any) -> Iterator[Pair]:
    """Yield the sum that ends each block."""
    blocks = [(s, b) for s, stage in enumerate(net.stages) for b in range(len(stage.blocks))]
    for stage, block in blocks:
        yield f"stages.{stage}.blocks.{block}", f"+stage_{stage}_block_{block}_identity"


def resnet_modules(net: Any) -> Iterator[Pair]:
    """Yield the convolutions and norms of a ResNet."""
    yield from (("conv1", "conv1_conv"), ("bn1", "conv1_bn"))
    for stage in range(1, 5):
        for block, module in enumerate(getattr(net, f"layer{stage}")):
            theirs, ours = f"layer{stage}.{block}", f"conv{stage + 1}_block{block + 1}_"
            for place in (1, 2, 3):
                yield f"{theirs}.conv{place}", f"{ours}{place}_conv"
                yield f"{theirs}.bn{place}", f"{ours}{place}_bn"
            if module.downsample is not None:
                yield f"{theirs}.downsample.0", f"{ours}0_conv"
                yield f"{theirs}.downsample.1", f"{ours}0_bn"


def resnet_blocks(net: Any) -> Iterator[Pair]:
    """Yield the activation that ends each block."""
    for stage in range(1, 5):
        for block in range(len(getattr(net, f"layer{stage}"))):
            yield f"layer{stage}.{block}", f"conv{stage + 1}_block{block + 1}_out"


def as_first_published(net: Any) -> None:
    """Put the stride in a block's first convolution, add biases, and set Keras' epsilon."""
    for module in net.modules():
        if type(module).__name__ == "Bottleneck":
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
        if isinstance(module, torch.nn.Conv2d) and module.bias is None:
            module.bias = torch.nn.Parameter(torch.zeros(module.out_channels))
    with_epsilon(1.001e-5)(net)


def with_epsilon(epsilon: float) -> Callable[[Any], None]:
    """Return a change that gives every BatchNorm this epsilon."""

    def change(net: Any) -> None:
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = epsilon

    return change


# timm's class of block -> its modules and the names of their layers here.
_EFFICIENTNET = {
    "DepthwiseSeparableConv": "conv_dw=dwconv bn1={norm} conv_pw={last} bn2=project_bn",
    "InvertedResidual": "conv_pw=expand_conv bn1=expand_bn conv_dw={depthwise} bn2={norm} "
    "conv_pwl={last} bn3=project_bn",
    "ConvBnAct": "conv=project_conv bn1=project_bn",
    "EdgeResidual": "conv_exp=expand_conv bn1=expand_bn conv_pwl=project_conv bn2=project_bn",
}


_FIRST = {"depthwise": "dwconv", "norm": "bn", "last": "project_conv"}
_SECOND = {**_FIRST, "depthwise": "dwconv2"}
_LITE = {"depthwise": "dwconv", "norm": "dwconv_bn", "last": "project"}


def efficientnet_modules(net: Any, names: dict[str, str]) -> Iterator[Pair]:
    """Yield the convolutions, norms and squeeze-and-excite of an EfficientNet of any version."""
    yield from (("conv_stem", "stem_conv"), ("bn1", "stem_bn"))
    for place, block, name in _blocks_by_letter(net):
        words = _EFFICIENTNET[type(block).__name__].format(**names)
        for module, layer in (word.split("=") for word in words.split()):
            yield f"{place}.{module}", f"{name}_{layer}"
        if hasattr(getattr(block, "se", None), "conv_reduce"):
            yield f"{place}.se.conv_reduce", f"{name}_se_reduce"
            yield f"{place}.se.conv_expand", f"{name}_se_expand"
    yield from (("conv_head", "top_conv"), ("bn2", "top_bn"))


def efficientnet_blocks(net: Any) -> Iterator[Pair]:
    """Yield the sum that ends each block, or its last norm if nothing is added."""
    for place, block, name in _blocks_by_letter(net):
        plain = type(block).__name__ == "ConvBnAct"
        last = "project_activation" if plain else "project_bn"
        yield place, f"{name}_{'add' if block.has_skip else last}"


def _blocks_by_letter(net: Any) -> Iterator[tuple[str, Any, str]]:
    for stage, blocks in enumerate(net.blocks):
        for place, block in enumerate(blocks):
            yield f"blocks.{stage}.{place}", block, f"block{stage + 1}{chr(ord('a') + place)}"


def densenet_modules(net: Any) -> Iterator[Pair]:
    """Yield the convolutions and norms of a DenseNet."""
    yield from (("features.conv0", "conv1_conv"), ("features.norm0", "conv1_bn"))
    layers = "norm1=0_bn conv1=1_conv norm2=1_bn conv2=2_conv"
    for stage, count in enumerate(_dense_layers(net), start=1):
        for place in range(1, count + 1):
            ours = f"conv{stage + 1}_block{place}_"
            for module, layer in (word.split("=") for word in layers.split()):
                yield f"features.denseblock{stage}.denselayer{place}.{module}", f"{ours}{layer}"
        if stage < 4:
            yield f"features.transition{stage}.norm", f"pool{stage + 1}_bn"
            yield f"features.transition{stage}.conv", f"pool{stage + 1}_conv"
    yield "features.norm5", "bn"


def densenet_blocks(net: Any) -> Iterator[Pair]:
    """Yield the concatenation that ends each dense block."""
    for stage, count in enumerate(_dense_layers(net), start=1):
        yield f"features.denseblock{stage}", f"conv{stage + 1}_block{count}_concat"


def _dense_layers(net: Any) -> list[int]:
    return [len(getattr(net.features, f"denseblock{stage}")) for stage in range(1, 5)]


def vgg_modules(net: Any) -> Iterator[Pair]:
    """Yield the convolutions of a VGG."""
    for stage, places in enumerate(_convolutions(net), start=1):
        for number, place in enumerate(places, start=1):
            yield f"features.{place}", f"block{stage}_conv{number}"


def vgg_blocks(net: Any) -> Iterator[Pair]:
    """Yield the pooling that ends each block."""
    for stage, places in enumerate(_convolutions(net), start=1):
        yield f"features.{places[-1] + 2}", f"block{stage}_pool"


def _convolutions(net: Any) -> list[list[int]]:
    """Return the positions of convolutions, by block."""
    blocks: list[list[int]] = [[]]
    for place, module in enumerate(net.features):
        if isinstance(module, torch.nn.Conv2d):
            blocks[-1].append(place)
        elif isinstance(module, torch.nn.MaxPool2d):
            blocks.append([])
    return blocks[:-1]


# timm's class of block -> its modules and the names of their layers here; `.` stands for a
# convolution with its norm.
_MOBILE = {
    "EdgeResidual": "conv_exp=expand bn1=expand_norm conv_pwl=project bn2=project_norm",
    "UniversalInvertedResidual": "dw_start.=start pw_exp.=expand dw_mid.=middle pw_proj.=project "
    "layer_scale.gamma=scale",
    "MobileAttention": "norm=norm attn.query.proj=query attn.key.down_conv=key_reduce "
    "attn.key.norm=key_reduce_norm attn.key.proj=key attn.value.down_conv=value_reduce "
    "attn.value.norm=value_reduce_norm attn.value.proj=value attn.output.proj=output "
    "layer_scale.gamma=scale",
}


def mobilenet_v5_modules(net: Any) -> Iterator[Pair]:
    """Yield the convolutions, norms and layer scales of a MobileNetV5."""
    yield from _with_norm("conv_stem.", "stem")
    for place, block, name in _mobile_blocks(net):
        known = {module for module, _ in block.named_modules()}
        for word in _MOBILE[type(block).__name__].split():
            module, layer = word.split("=")
            held = f"{module}conv" if module.endswith(".") else module.removesuffix(".gamma")
            if held in known:  # timm has an Identity for parts that a block lacks
                yield from _with_norm(f"{place}.{module}", f"{name}_{layer}")
    yield from _with_norm("msfa.ffn.pw_exp.", "fusion_expand")
    yield from _with_norm("msfa.ffn.pw_proj.", "fusion_project")
    yield "msfa.norm", "norm"


def _with_norm(module: str, layer: str) -> Iterator[Pair]:
    if module.endswith("."):
        yield from ((f"{module}conv", layer), (f"{module}bn", f"{layer}_norm"))
    else:
        yield module, layer


def mobilenet_v5_blocks(net: Any) -> Iterator[Pair]:
    """Yield the sum that ends each block, or its last layer if nothing is added."""
    for place, block, name in _mobile_blocks(net):
        last = "project_norm" if type(block).__name__ == "EdgeResidual" else "scale"
        yield place, f"{'+' if block.has_skip else ''}{name}_{last}"


def _mobile_blocks(net: Any) -> Iterator[tuple[str, Any, str]]:
    for stage, blocks in enumerate(net.blocks):
        for place, block in enumerate(blocks):
            yield f"blocks.{stage}.{place}", block, f"stage_{stage}_block_{place}"


def _efficientnet(timm: str, names: dict[str, str], inside: bool = True) -> Reference:
    modules = functools.partial(efficientnet_modules, names=names)
    return Reference(timm, modules, efficientnet_blocks, inside=inside)


REFERENCES = {
    "convnext_tiny": Reference("convnext_tiny", convnext_modules, convnext_blocks),
    "efficientnet_b0": _efficientnet("tf_efficientnet_b0", _FIRST),
    "efficientnet_v2_b0": _efficientnet("tf_efficientnetv2_b0", _SECOND),
    "efficientnet_lite0": _efficientnet("efficientnet_lite0", _LITE, inside=False),
    "mobilenet_v5_300m": Reference(
        *("mobilenetv5_300m_enc", mobilenet_v5_modules, mobilenet_v5_blocks),
        image_px=512,
        inside=False,
    ),
    "resnet50": Reference(
        "resnet50", resnet_modules, resnet_blocks, inside=False, change=as_first_published
    ),
    "densenet121": Reference(
        *("densenet121", densenet_modules, densenet_blocks),
        inside=False,
        change=with_epsilon(1.001e-5),
    ),
    "vgg16": Reference("vgg16", vgg_modules, vgg_blocks, inside=False),
}
