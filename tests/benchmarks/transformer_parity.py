"""Compare our transformers with those of Hugging Face on PyTorch, for `backbone_parity.py`.

Random weights are saved as Hugging Face's library saves them, and loaded as a search loads a
preset: by KerasHub, then into our network. Only SigLIP is copied without KerasHub, which cannot
convert it.
"""

import tempfile
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import torch
import transformers

from tlsearch.config.catalog import BACKBONES
from tlsearch.config.networks.presets import PRESETS
from tlsearch.config.networks.row import Backbone, preset_row
from tlsearch.config.networks.transformers import SwinTransformer, VisionTransformer, dinov2
from tlsearch.training.network.backbone import LoadedBackbone, load_backbone
from tlsearch.training.network.hub.positions import interpolate_positions

PICTURES = 2
SPREAD = 0.1  # of random weights; with more, attention would choose one token

Weights = Iterator[tuple[str, list[Any]]]


@dataclass(frozen=True)
class Original:
    """A Hugging Face network: its classes, and how it is compared with ours.

    `sizes` are the image sizes of the comparison, `more` gives the settings besides the dimensions,
    and `interpolates` says whether the network interpolates positions only on request.
    """

    config: str
    model: str
    sizes: tuple[int, int]
    more: Callable[[Backbone], dict[str, Any]] = lambda row: {}
    interpolates: bool = False


def _tokens(row: Backbone) -> VisionTransformer | SwinTransformer:
    assert row.tokens
    return row.tokens


def _vision(row: Backbone) -> VisionTransformer:
    assert isinstance(row.tokens, VisionTransformer)
    return row.tokens


def _hidden(row: Backbone) -> dict[str, Any]:
    return {"intermediate_size": _vision(row).hidden, "layer_norm_eps": _vision(row).epsilon}


def _stages(row: Backbone) -> dict[str, Any]:
    spec = row.tokens
    assert isinstance(spec, SwinTransformer)
    return {"embed_dim": spec.width, "depths": list(spec.depths), "window_size": spec.window,
            "num_heads": list(spec.heads)}  # fmt: skip


def _registers(row: Backbone) -> dict[str, Any]:
    return {"num_register_tokens": _vision(row).registers}


# The gated layers of DINOv2's giant, in a network of the size of its small one.
_SMALL = next(preset for preset in PRESETS if preset.name == "dinov2_small")
_GATED = replace(_SMALL, name="dinov2_small_gated", spec=dinov2(384, 12, 6, gated=True))
ROWS = {**BACKBONES, _GATED.name: preset_row(_GATED)}
ORIGINALS = {
    "dinov2_small": Original("Dinov2Config", "Dinov2Model", (518, 224)),
    "dinov2_small_registers": Original(
        *("Dinov2WithRegistersConfig", "Dinov2WithRegistersModel", (518, 224)), more=_registers
    ),
    "dinov3_small": Original(
        *("DINOv3ViTConfig", "DINOv3ViTModel", (224, 320)),
        more=lambda row: _hidden(row) | _registers(row),
    ),
    "dinov2_small_gated": Original(
        *("Dinov2Config", "Dinov2Model", (518, 224)), more=lambda row: {"use_swiglu_ffn": True}
    ),
    "dinov3_small_plus": Original(
        *("DINOv3ViTConfig", "DINOv3ViTModel", (224, 320)),
        more=lambda row: (
            _hidden(row) | _registers(row) | {"use_gated_mlp": True, "hidden_act": "silu"}
        ),
    ),
    "siglip2_base_224": Original(
        "SiglipVisionConfig", "SiglipVisionModel", (224, 288), more=_hidden, interpolates=True
    ),
    "vit_base_16_224": Original(
        "ViTConfig", "ViTForImageClassification", (224, 288), more=_hidden, interpolates=True
    ),
    "deit_tiny_224": Original(
        *("DeiTConfig", "DeiTForImageClassificationWithTeacher", (224, 288)),
        more=_hidden,
        interpolates=True,
    ),
    "swin_tiny_224": Original("SwinConfig", "SwinForImageClassification", (224, 256), more=_stages),
}
_BLOCKS = ("Dinov2Layer", "Dinov2WithRegistersLayer", "DINOv3ViTLayer", "SiglipEncoderLayer",
           "ViTLayer", "DeiTLayer", "SwinLayer")  # fmt: skip


def compared(name: str) -> dict[str, Any]:
    """Compare one network at two image sizes, the first of which is that of its positions."""
    original, row = ORIGINALS[name], ROWS[name]
    whole = _random(original, row)
    with tempfile.TemporaryDirectory() as folder:
        whole.save_pretrained(folder)
        # After small maps, Swin of transformers no longer shifts the windows of larger ones.
        rows = [_apart(original, deepcopy(whole), row, folder, px) for px in original.sizes]
    return {
        "reference": original.model,
        "blocks": row.anatomy.blocks,
        "behind blocks": max(behind for behind, _ in rows),
        "pooled": max(pooled for _, pooled in rows),
    }


def _random(original: Original, row: Backbone) -> Any:
    spec, settings = _tokens(row), original.more(row)
    if not isinstance(spec, SwinTransformer):
        settings |= {"hidden_size": spec.width, "num_hidden_layers": spec.depth,
                     "num_attention_heads": spec.heads}  # fmt: skip
    config = getattr(transformers, original.config)(
        image_size=original.sizes[0], patch_size=spec.patch, **settings
    )
    torch.manual_seed(0)
    net = getattr(transformers, original.model)(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            ones = 1.0 if parameter.ndim == 1 else 0.0
            parameter.copy_(ones + SPREAD * torch.randn_like(parameter))
    return net


def _apart(
    original: Original, whole: Any, row: Backbone, folder: str, px: int
) -> tuple[float, float]:
    """Return the largest difference after any block, and that of the pooled vectors."""
    if row.family == "siglip2":
        ours = load_backbone(row.name, "none", px, "default")
        _copy_siglip(whole, ours)
    else:
        ours = load_backbone(folder, "preset", px, "default")
    shape = (PICTURES, px, px, 3)
    pixels = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    blocks, last = _theirs(original, whole, pixels)
    expected = [*blocks, _pooled(last, ours.row)]
    tensors = [_behind(ours.model, place) for place in _ends(ours.row)]
    outputs = keras.Model(ours.model.input, [*tensors, ours.pooled])(pixels, training=False)
    load_backbone.cache_clear()
    apart = [
        float(np.abs(np.asarray(a).reshape(b.shape) - b).max() / max(1.0, np.abs(b).max()))
        for a, b in zip(outputs, expected, strict=True)
    ]
    return max(apart[:-1]), apart[-1]


@torch.no_grad()
def _theirs(original: Original, whole: Any, pixels: Any) -> tuple[list[Any], Any]:
    """Return the outputs of their network after each block, and after the last norm."""
    net = next(
        (getattr(whole, name) for name in ("vit", "deit", "swin") if hasattr(whole, name)), whole
    )
    seen: list[Any] = []
    for module in net.modules():
        if type(module).__name__ in _BLOCKS:
            module.register_forward_hook(
                lambda _, __, output: seen.append(
                    output[0] if isinstance(output, tuple) else output
                )
            )
    options = {"interpolate_pos_encoding": True} if original.interpolates else {}
    last = net(torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), **options).last_hidden_state
    for module in net.modules():
        module._forward_hooks.clear()
    return [one.numpy() for one in seen], last.numpy()


def _pooled(last: Any, row: Backbone) -> Any:
    mean = last[:, _tokens(row).leading_tokens :].mean(axis=1)
    if _tokens(row).pooling == "gap":
        return mean
    return last[:, 0] if _tokens(row).pooling == "cls" else np.hstack([last[:, 0], mean])


def _ends(row: Backbone) -> list[str]:
    """Return the name of the layer that is added last in each block."""
    spec = _tokens(row)
    if isinstance(spec, SwinTransformer):
        places = [(s, b) for s, depth in enumerate(spec.depths) for b in range(depth)]
        return [f"stage_{stage}_block_{block}_dense_2" for stage, block in places]
    last = "scale" if spec.layer_scale else "dense"
    return [f"block_{block}_{last}_2" for block in range(spec.depth)]


def _behind(model: keras.Model, place: str) -> Any:
    (node,) = model.get_layer(place)._outbound_nodes
    return node.outputs[0]


def _copy_siglip(whole: Any, ours: LoadedBackbone) -> None:
    """Copy SigLIP's weights into our network, by the layer names of both."""
    for name, arrays in _siglip(whole, ours):
        layer = ours.model.get_layer(name)
        layer.set_weights(
            [a.reshape(v.shape) for a, v in zip(arrays, layer.variables, strict=True)]
        )


def _siglip(whole: Any, ours: LoadedBackbone) -> Weights:
    def of(place: str) -> list[Any]:
        module = whole.get_submodule(place)
        weight = module.weight.detach().numpy()
        return [weight.T if weight.ndim == 2 else weight, module.bias.detach().numpy()]

    (inner,) = (n for n, _ in whole.named_modules() if n.endswith("embeddings"))
    before = inner.removesuffix("embeddings")
    kernel, bias = of(f"{inner}.patch_embedding")
    yield "patches", [kernel.transpose(2, 3, 1, 0), bias]
    table = whole.get_submodule(f"{inner}.position_embedding").weight.detach().numpy()
    side = ours.model.input_shape[1] // _tokens(ours.row).patch
    yield "positions", [interpolate_positions(table, side, antialias=False)]
    names = {"norm_1": "layer_norm1", "norm_2": "layer_norm2", "query": "self_attn.q_proj",
             "key": "self_attn.k_proj", "value": "self_attn.v_proj", "output": "self_attn.out_proj",
             "dense_1": "mlp.fc1", "dense_2": "mlp.fc2"}  # fmt: skip
    for block in range(_vision(ours.row).depth):
        for mine, theirs in names.items():
            yield f"block_{block}_{mine}", of(f"{before}encoder.layers.{block}.{theirs}")
    yield "norm", of(f"{before}post_layernorm")
