"""Our backbones against other implementations of the same networks: equal weights, equal numbers.

    pip install "tlsearch[parity]"
    python tests/benchmarks/backbone_parity.py [--backbones NAMES] [--json OUT]

Random weights are put into Keras' network and into timm's on PyTorch, and both see the same noise;
for transformers see `transformer_parity.py`.
A line tells the largest difference of any value behind any block, and of the pooled vector, as a
share of the largest value there (of 1 where that is less): both must be at most 1e-4 in float32.
ResNet is built as its first paper has it, with the stride in a block's first convolution and with
biases, as Keras does; timm's is changed to that. Nothing is downloaded.
"""

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import timm
import torch
import transformer_parity
from machine import about

from tlsearch.training.network.backbone import LoadedBackbone, load_backbone

PICTURES, TOLERANCE = 2, 1e-4
MEAN = np.array((0.485, 0.456, 0.406), np.float32)
STD = np.array((0.229, 0.224, 0.225), np.float32)

Pair = tuple[str, str]  # a module of timm, the layer or operation of Keras


@dataclass(frozen=True)
class Reference:
    """Another implementation of a backbone.

    `modules` pairs what holds weights, `blocks` what ends a block. `inside`: Keras' network
    normalises pixels itself. `change` makes timm's network the one that Keras builds.
    """

    timm: str
    modules: Callable[[Any], Iterator[Pair]]
    blocks: Callable[[Any], Iterator[Pair]]
    image_px: int = 64
    inside: bool = True
    change: Callable[[Any], None] = lambda net: None


def convnext_modules(net: Any) -> Iterator[Pair]:
    """Convolutions, norms, dense layers and layer scales of a ConvNeXt."""
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
    """The sum that ends each block."""
    blocks = [(s, b) for s, stage in enumerate(net.stages) for b in range(len(stage.blocks))]
    for stage, block in blocks:
        yield f"stages.{stage}.blocks.{block}", f"+stage_{stage}_block_{block}_identity"


def resnet_modules(net: Any) -> Iterator[Pair]:
    """Convolutions and norms of a ResNet."""
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
    """The activation that ends each block."""
    for stage in range(1, 5):
        for block in range(len(getattr(net, f"layer{stage}"))):
            yield f"layer{stage}.{block}", f"conv{stage + 1}_block{block + 1}_out"


def as_first_published(net: Any) -> None:
    """Stride in the first convolution of a block, biases, and Keras' epsilon."""
    for module in net.modules():
        if type(module).__name__ == "Bottleneck":
            module.conv1.stride, module.conv2.stride = module.conv2.stride, (1, 1)
        if isinstance(module, torch.nn.Conv2d) and module.bias is None:
            module.bias = torch.nn.Parameter(torch.zeros(module.out_channels))
    with_epsilon(1.001e-5)(net)


def with_epsilon(epsilon: float) -> Callable[[Any], None]:
    """Give every BatchNorm this epsilon."""

    def change(net: Any) -> None:
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eps = epsilon

    return change


# timm's kind of block -> its modules and what Keras calls their layers.
_EFFICIENTNET = {
    "DepthwiseSeparableConv": "conv_dw=dwconv bn1=bn conv_pw=project_conv bn2=project_bn",
    "InvertedResidual": "conv_pw=expand_conv bn1=expand_bn conv_dw={dw} bn2=bn "
    "conv_pwl=project_conv bn3=project_bn",
    "ConvBnAct": "conv=project_conv bn1=project_bn",
    "EdgeResidual": "conv_exp=expand_conv bn1=expand_bn conv_pwl=project_conv bn2=project_bn",
}


def efficientnet_modules(net: Any) -> Iterator[Pair]:
    """Convolutions, norms and squeeze-and-excite of an EfficientNet, first or second version."""
    yield from (("conv_stem", "stem_conv"), ("bn1", "stem_bn"))
    second = "EdgeResidual" in {type(module).__name__ for module in net.modules()}
    for place, block, name in _blocks_by_letter(net):
        words = _EFFICIENTNET[type(block).__name__].format(dw="dwconv2" if second else "dwconv")
        for module, layer in (word.split("=") for word in words.split()):
            yield f"{place}.{module}", f"{name}_{layer}"
        if hasattr(getattr(block, "se", None), "conv_reduce"):
            yield f"{place}.se.conv_reduce", f"{name}_se_reduce"
            yield f"{place}.se.conv_expand", f"{name}_se_expand"
    yield from (("conv_head", "top_conv"), ("bn2", "top_bn"))


def efficientnet_blocks(net: Any) -> Iterator[Pair]:
    """The sum that ends a block, or its last norm where nothing is added."""
    for place, block, name in _blocks_by_letter(net):
        plain = type(block).__name__ == "ConvBnAct"
        last = "project_activation" if plain else "project_bn"
        yield place, f"{name}_{'add' if block.has_skip else last}"


def _blocks_by_letter(net: Any) -> Iterator[tuple[str, Any, str]]:
    for stage, blocks in enumerate(net.blocks):
        for place, block in enumerate(blocks):
            yield f"blocks.{stage}.{place}", block, f"block{stage + 1}{chr(ord('a') + place)}"


def densenet_modules(net: Any) -> Iterator[Pair]:
    """Convolutions and norms of a DenseNet."""
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
    """What a dense block has put together."""
    for stage, count in enumerate(_dense_layers(net), start=1):
        yield f"features.denseblock{stage}", f"conv{stage + 1}_block{count}_concat"


def _dense_layers(net: Any) -> list[int]:
    return [len(getattr(net.features, f"denseblock{stage}")) for stage in range(1, 5)]


def vgg_modules(net: Any) -> Iterator[Pair]:
    """Convolutions of a VGG."""
    for stage, places in enumerate(_convolutions(net), start=1):
        for number, place in enumerate(places, start=1):
            yield f"features.{place}", f"block{stage}_conv{number}"


def vgg_blocks(net: Any) -> Iterator[Pair]:
    """The pooling that ends each block."""
    for stage, places in enumerate(_convolutions(net), start=1):
        yield f"features.{places[-1] + 2}", f"block{stage}_pool"


def _convolutions(net: Any) -> list[list[int]]:
    """The places of convolutions, by block."""
    found: list[list[int]] = [[]]
    for place, module in enumerate(net.features):
        if isinstance(module, torch.nn.Conv2d):
            found[-1].append(place)
        elif isinstance(module, torch.nn.MaxPool2d):
            found.append([])
    return found[:-1]


REFERENCES = {
    "convnext_tiny": Reference("convnext_tiny", convnext_modules, convnext_blocks),
    "efficientnet_b0": Reference("tf_efficientnet_b0", efficientnet_modules, efficientnet_blocks),
    "efficientnet_v2_b0": Reference(
        "tf_efficientnetv2_b0", efficientnet_modules, efficientnet_blocks
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


def randomised(backbone: LoadedBackbone) -> None:
    """Give norms and layer scales weights that an identity would not have."""
    rng = np.random.default_rng(0)
    for variable in backbone.model.variables:
        kind = variable.path.rsplit("/", 1)[-1]
        if kind in ("gamma", "moving_variance") or "layer_scale" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif kind in ("beta", "bias", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.adapt_mean.assign(MEAN)
            layer.adapt_variance.assign(STD**2)
            layer.finalize_state()


def layer_named(model: keras.Model, name: str) -> Any:
    """A layer by its name, behind the network's own and before its place where it has them."""
    ends = re.compile(rf"({model.name}_)?{re.escape(name)}(\d+)?")
    (found,) = (layer for layer in model.layers if ends.fullmatch(layer.name))
    return found


def copy(layer: Any, target: Any) -> None:
    """A layer's weights into timm's module, or into its parameter."""
    arrays = [torch.from_numpy(variable.numpy()) for variable in layer.variables]
    with torch.no_grad():
        if isinstance(target, torch.nn.Parameter):
            target.copy_(arrays[0])
        elif isinstance(target, torch.nn.Conv2d | torch.nn.Linear):
            _copy_kernel(layer, target, arrays)
        else:
            names = ("weight", "bias", "running_mean", "running_var")[: len(arrays)]
            for name, array in zip(names, arrays, strict=True):
                getattr(target, name).copy_(array)


def _copy_kernel(layer: Any, target: Any, arrays: list[Any]) -> None:
    """Keras has (height, width, in, out), of depthwise layers (height, width, channels, 1)."""
    kernel = arrays[0]
    if kernel.ndim == 2:
        kernel = kernel.T
    elif isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = kernel.permute(2, 3, 0, 1)
    else:
        kernel = kernel.permute(3, 2, 0, 1)
    target.weight.copy_(kernel)
    if target.bias is not None:
        target.bias.copy_(arrays[1])


def theirs_of(net: Any, name: str) -> Any:
    """A module or a parameter by its dotted name."""
    outer, _, last = name.rpartition(".")
    return getattr(net.get_submodule(outer), last)


def behind(model: keras.Model, name: str) -> Any:
    """The tensor that ends a block: a layer's output, or with `+` the sum that it goes into."""
    if not name.startswith("+"):
        return layer_named(model, name).output
    (node,) = layer_named(model, name[1:])._outbound_nodes
    return node.outputs[0]


@torch.no_grad()
def theirs(net: Any, blocks: list[Pair], pictures: Any) -> list[Any]:
    """What timm's network gives behind each block, channels last, and pooled."""
    seen: dict[str, Any] = {}
    for module, _ in blocks:
        net.get_submodule(module).register_forward_hook(
            lambda _, __, output, module=module: seen.__setitem__(module, output)
        )
    shown = torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy())
    maps = net.forward_features(shown)
    pooled = net.forward_head(maps, pre_logits=True) if hasattr(net.head_of, "norm") else None
    pooled = maps.mean((2, 3)) if pooled is None else pooled
    return [*(seen[module].permute(0, 2, 3, 1).numpy() for module, _ in blocks), pooled.numpy()]


def compared(name: str) -> dict[str, Any]:
    """One backbone against its reference."""
    if name in transformer_parity.ORIGINALS:
        return transformer_parity.compared(name)
    reference = REFERENCES[name]
    backbone = load_backbone(name, "none", reference.image_px)
    randomised(backbone)
    net = timm.create_model(reference.timm, pretrained=False, num_classes=0).eval()
    net.head_of = getattr(net, "head", None)
    reference.change(net)
    for module, layer in reference.modules(net):
        copy(layer_named(backbone.model, layer), theirs_of(net, module))
    blocks = list(reference.blocks(net))
    tensors = [behind(backbone.model, layer) for _, layer in blocks]
    shape = (PICTURES, reference.image_px, reference.image_px, 3)
    pixels = np.random.default_rng(1).integers(0, 256, shape).astype(np.float32)
    normal = (pixels / 255 - MEAN) / STD
    ours = keras.Model(backbone.model.input, [*tensors, backbone.pooled])
    found = ours(pixels if reference.inside else normal, training=False)
    pairs = zip(found, theirs(net, blocks, normal.astype(np.float32)), strict=True)
    apart = [float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs]
    return {"reference": reference.timm, "blocks": len(blocks), "behind blocks": max(apart[:-1]),
            "pooled": apart[-1]}  # fmt: skip


def main() -> None:
    """Print a line a backbone; exit 1 where one differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backbones",
        type=lambda text: text.split(","),
        default=[*REFERENCES, *transformer_parity.ORIGINALS],
    )
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    print(f"{'backbone':24}{'reference':40}{'blocks':>8}{'behind blocks':>15}{'pooled':>10}")
    rows = {}
    for name in args.backbones:
        row = rows[name] = compared(name)
        print(f"{name:24}{row['reference']:40}{row['blocks']:>8}{row['behind blocks']:>15.1e}"
              f"{row['pooled']:>10.1e}", flush=True)  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps({"machine": about(), "rows": rows}, indent=2) + "\n")
    differs = [
        name for name, row in rows.items() if max(row["behind blocks"], row["pooled"]) > TOLERANCE
    ]
    if differs:
        sys.exit(f"more than {TOLERANCE:g} apart: {', '.join(differs)}")


if __name__ == "__main__":
    main()
