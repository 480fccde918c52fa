"""Compare our backbones with other implementations of the same networks, given equal weights.

    pip install "tlsearch[parity]"
    python tests/benchmarks/backbone_parity.py [--backbones NAMES] [--json OUT]

Random weights are copied into Keras' network and into timm's on PyTorch, and both get the same
noise as input; for transformers see `transformer_parity.py`. A row shows the largest difference of
any value after any block, and of the pooled vector, divided by the largest value there (by 1 if
that is smaller): both must be at most 1e-4 in float32. ResNet is built as in its first paper, with
the stride in a block's first convolution and with biases, as in Keras; timm's network is changed to
match. Nothing is downloaded.
"""

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import timm
import torch
import transformer_parity
from machine import about
from timm_names import MEAN, REFERENCES, STD, Pair

from tlsearch.training.network.backbone import LoadedBackbone, load_backbone

PICTURES, TOLERANCE = 2, 1e-4


def randomised(backbone: LoadedBackbone) -> None:
    """Randomise norms, biases and layer scales, which otherwise start as the identity."""
    rng = np.random.default_rng(0)
    for variable in backbone.model.variables:
        kind = variable.path.rsplit("/", 1)[-1]
        if kind in ("gamma", "scale", "moving_variance") or "layer_scale" in variable.path:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif kind in ("beta", "bias", "moving_mean"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    for layer in backbone.model.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.adapt_mean.assign(MEAN)
            layer.adapt_variance.assign(STD**2)
            layer.finalize_state()


def layer_named(model: keras.Model, name: str) -> Any:
    """Return a layer by its name, to which Keras may have added the model's name and a number."""
    ends = re.compile(rf"({model.name}_)?{re.escape(name)}(\d+)?")
    (match,) = (layer for layer in model.layers if ends.fullmatch(layer.name))
    return match


def copy(layer: Any, target: Any) -> None:
    """Copy a layer's weights into timm's module or parameter."""
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
    """Copy a kernel: (height, width, in, out) in Keras, depthwise (height, width, channels, 1)."""
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
    elif len(arrays) > 1:  # KerasHub's MobileNetV5 has biases, which are 0
        layer.bias.assign(0 * layer.bias)


def theirs_of(net: Any, name: str) -> Any:
    """Return a module or a parameter by its dotted name."""
    outer, _, last = name.rpartition(".")
    return getattr(net.get_submodule(outer), last)


def behind(model: keras.Model, name: str) -> Any:
    """Return the output tensor of a block: a layer's output, or with `+` the sum that it enters."""
    if not name.startswith("+"):
        return layer_named(model, name).output
    (node,) = layer_named(model, name[1:])._outbound_nodes
    return node.outputs[0]


@torch.no_grad()
def theirs(net: Any, blocks: list[Pair], pictures: Any) -> list[Any]:
    """Return timm's outputs after each block, channels last, and the pooled vector."""
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
    """Compare one backbone with its reference."""
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
    outputs = ours(pixels if reference.inside else normal, training=False)
    pairs = zip(outputs, theirs(net, blocks, normal.astype(np.float32)), strict=True)
    apart = [float(np.abs(a - b).max() / max(1.0, np.abs(b).max())) for a, b in pairs]
    return {"reference": reference.timm, "blocks": len(blocks), "behind blocks": max(apart[:-1]),
            "pooled": apart[-1]}  # fmt: skip


def main() -> None:
    """Print a row per backbone; exit 1 if one differs."""
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
