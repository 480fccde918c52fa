"""Copy the weights of KerasHub's networks into the same networks of plain layers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from tlsearch.config.networks.convolutions import EfficientNetLite, MobileBlock, MobileNetV5
from tlsearch.config.networks.presets import Spec
from tlsearch.config.networks.transformers import SwinTransformer, VisionTransformer
from tlsearch.training.network.hub.positions import interpolate_positions


@dataclass(frozen=True)
class Places:
    """Where one of KerasHub's classes keeps the weights of our layers: dotted paths of attributes
    or layers.

    `blocks` is the list of blocks; `attention` and the fields after it are paths within a block.
    `dense` and, for gated networks, `gated` map our names to these.
    `front` are the tokens in front of the patches; `positions` has one row per class token, then
    one per patch.
    """

    patches: str
    front: tuple[str, ...]
    positions: str | None
    norm: str
    blocks: str
    attention: str
    norms: tuple[str, str]
    dense: dict[str, str]
    scales: tuple[str, str] | None = None
    gated: dict[str, str] = field(default_factory=dict)


_DINOV2 = Places(
    patches="embeddings.patch_embeddings.projection",
    front=("embeddings.cls_token", "embeddings.register_tokens"),
    positions="embeddings.position_embeddings",
    norm="layernorm",
    blocks="encoder.layers",
    attention="attention.attention",
    norms=("norm1", "norm2"),
    dense={"dense_1": "mlp.fc1", "dense_2": "mlp.fc2"},
    scales=("layer_scale1.lambda1", "layer_scale2.lambda1"),
    gated={"gate": "mlp.weights_in", "dense_1": "mlp.weights_in", "dense_2": "mlp.weights_out"},
)
_VIT = Places(
    patches="vit_patching_and_embedding.patch_embedding",
    front=("vit_patching_and_embedding.class_token",),
    positions="vit_patching_and_embedding.position_embedding.embeddings",
    norm="vit_encoder.layer_norm",
    blocks="vit_encoder.encoder_layers",
    attention="mha",
    norms=("layer_norm_1", "layer_norm_2"),
    dense={"dense_1": "mlp.dense_1", "dense_2": "mlp.dense_2"},
)
_DINOV3_DENSE = {"dense_1": "mlp.up_proj", "dense_2": "mlp.down_proj"}
_DEIT = "deit_patching_and_embedding"
PLACES = {
    "DINOV2Backbone": _DINOV2,
    "DINOV3Backbone": replace(
        _DINOV2,
        positions=None,
        attention="attention",
        dense=_DINOV3_DENSE,
        gated={"gate": "mlp.gate_proj", **_DINOV3_DENSE},
    ),
    "ViTBackbone": _VIT,
    "DeiTBackbone": replace(
        _VIT,
        patches=f"{_DEIT}.patch_embedding",
        front=(f"{_DEIT}.class_token", f"{_DEIT}.distillation_token"),
        positions=f"{_DEIT}.position_embedding",
        norm="deit_encoder.layer_norm",
        blocks="deit_encoder.encoder_layers",
        dense={"dense_1": "mlp.dense", "dense_2": "output_layer.dense"},
    ),
    "SigLIPVisionEncoder": Places(
        patches="embedding.patch_embedding",
        front=(),
        positions="embedding.position_embedding.embeddings",
        norm="post_layer_norm",
        blocks="encoder_layers",
        attention="self_attn",
        norms=("layer_norm1", "layer_norm2"),
        dense={"dense_1": "mlp.fc1", "dense_2": "mlp.fc2"},
    ),
}
# Variables that do not affect the output: mask tokens, counters, positions for another image
# size, seeds.
_SPARE = frozenset(
    ("mask_token", "position_ids", "interpolated_position_embeddings", "seed_generator_state")
)
_POOLING_ATTENTION = "head/"  # of SigLIP
_OF_THREE = ("query", "key", "value")
_OF_TWO = ("_gate", "_dense_1")  # DINOv2 keeps a gate and its values in one layer


def copy_weights(original: Any, model: keras.Model, spec: Spec) -> None:
    """Copy the weights of a KerasHub network to ours, with positions resampled to its image size.

    Raises ValueError if a weight of the original has no counterpart in ours, or another shape.
    """
    taken: set[int] = set()
    for name, variables in _original_variables(original, model, spec):
        taken |= {id(variable) for variable in variables}
        _put(model.get_layer(name), variables, spec)
    left = [v.path for v in original.variables if id(v) not in taken and not _is_spare(v.path)]
    if left:
        raise ValueError(f"{left[0]} of {type(original).__name__} has no place in this network")


def _original_variables(
    original: Any, model: keras.Model, spec: Spec
) -> Iterator[tuple[str, list[Any]]]:
    """Yield each of our layers by name, with its variables in the original."""
    match spec:
        case SwinTransformer():
            yield from _swin(original)
        case EfficientNetLite():
            for layer in model.layers:  # which have the same names there
                if layer.variables:
                    yield layer.name, _variables(original, layer.name)
        case MobileNetV5():
            yield from _mobilenet_v5(original, spec)
        case VisionTransformer():
            yield from _vision(original, spec)


def _vision(original: Any, spec: VisionTransformer) -> Iterator[tuple[str, list[Any]]]:
    """Yield the layers of a vision transformer."""
    places = PLACES[type(original).__name__]
    yield "patches", _variables(original, places.patches)
    front = places.front if spec.leading_tokens > 1 else places.front[:1]
    learned = [] if places.positions is None else [places.positions]
    yield "positions", [_at(original, place) for place in (*front, *learned)]
    for number, block in enumerate(_at(original, places.blocks)):
        for part, place in (places.gated if spec.gated else places.dense).items():
            yield f"block_{number}_{part}", _variables(block, place)
        for half in (0, 1):
            yield f"block_{number}_norm_{half + 1}", _variables(block, places.norms[half])
            if places.scales is not None:
                yield f"block_{number}_scale_{half + 1}", [_at(block, places.scales[half])]
        for part in ("query", "key", "value", "output"):
            dense = f"{places.attention}.{part}_dense"
            yield f"block_{number}_{part}", _variables(block, dense)
    yield "norm", _variables(original, places.norm)


def _swin(original: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the same for a Swin transformer, whose queries, keys and values KerasHub keeps in one
    layer.
    """
    yield "patches", _variables(original, "patch_embedding.proj")
    yield "patches_norm", _variables(original, "patch_embedding.norm")
    for stage, blocks in enumerate(original.stages):
        for place, block in enumerate(blocks.blocks):
            name = f"stage_{stage}_block_{place}"
            yield f"{name}_positions", [block.attn.relative_position_bias_table]
            for part in _OF_THREE:
                yield f"{name}_{part}", _variables(block, "attn.qkv")
            yield f"{name}_output", _variables(block, "attn.proj")
            for half in ("1", "2"):
                yield f"{name}_norm_{half}", _variables(block, f"norm{half}")
                yield f"{name}_dense_{half}", _variables(block, f"mlp.fc{half}")
        if blocks.downsample is not None:
            yield f"stage_{stage}_merge_norm", _variables(blocks, "downsample.norm")
            yield f"stage_{stage}_merge_dense", _variables(blocks, "downsample.reduction")
    yield "norm", _variables(original, "norm")


def _mobilenet_v5(original: Any, spec: MobileNetV5) -> Iterator[tuple[str, list[Any]]]:
    """Yield the same for a MobileNetV5, whose blocks are layers of KerasHub's model, in order."""
    given = iter(original.layers[1:])
    yield from _convolution("stem", next(given))
    for stage, blocks in enumerate(spec.stages):
        for place, block in enumerate(blocks):
            yield from _mobile_block(f"stage_{stage}_block_{place}", next(given), block)
    fusion = next(given)
    yield from _convolution("fusion_expand", fusion.ffn.pw_exp)
    yield from _convolution("fusion_project", fusion.ffn.pw_proj)
    yield "norm", _variables(fusion, "norm")


def _mobile_block(name: str, held: Any, block: MobileBlock) -> Iterator[tuple[str, list[Any]]]:
    if block.kind == "edge":
        yield from _convolution(f"{name}_expand", held.conv_exp)
        yield from _convolution(f"{name}_project", held.conv_pwl)
        return
    yield f"{name}_scale", _variables(held, "layer_scale")
    if block.kind == "inverted":
        parts = {"start": "dw_start", "expand": "pw_exp", "middle": "dw_mid", "project": "pw_proj"}
        skipped = {"start": not block.start, "middle": not block.kernel}
        for part, place in parts.items():
            if not skipped.get(part):
                yield from _convolution(f"{name}_{part}", getattr(held, place))
        return
    yield f"{name}_norm", _variables(held, "norm")
    for part, layers in (("key", held.attn.key_layers), ("value", held.attn.value_layers)):
        *reducing, last = layers
        for layer, ours in zip(reducing, ("reduce", "reduce_norm"), strict=False):
            yield f"{name}_{part}_{ours}", list(layer.variables)
        yield f"{name}_{part}", list(last.variables)
    yield f"{name}_query", list(held.attn.query_layers[-1].variables)
    yield f"{name}_output", list(held.attn.output_proj_layers[0].variables)


def _convolution(name: str, held: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield a convolution and its norm."""
    yield name, _variables(held, "conv")
    yield f"{name}_norm", _variables(held, "norm")


def _table(tokens: list[NDArray[Any]], spec: VisionTransformer, rows: int) -> NDArray[Any]:
    """Return the vector added at each place: a front token, plus its position if it is a class
    token, or the position of a patch.
    """
    arrays = [token.reshape(-1, spec.width) for token in tokens]
    if spec.grid is None:
        return np.concatenate(arrays)
    front = np.concatenate([np.zeros((0, spec.width), np.float32), *arrays[:-1]])
    front[: spec.class_tokens] += arrays[-1][: spec.class_tokens]
    side = round((rows - spec.leading_tokens) ** 0.5)
    patches = interpolate_positions(arrays[-1][spec.class_tokens :], side, spec.antialias)
    return np.concatenate([front, patches])


def _put(layer: Any, variables: list[Any], spec: Spec) -> None:
    arrays = [np.asarray(variable) for variable in variables]
    if isinstance(spec, VisionTransformer) and layer.name == "positions":
        arrays = [_table(arrays, spec, layer.input_dim)]
    elif isinstance(spec, SwinTransformer) and layer.name.rpartition("_")[2] in _OF_THREE:
        third = _OF_THREE.index(layer.name.rpartition("_")[2])
        arrays = [np.split(array, len(_OF_THREE), axis=-1)[third] for array in arrays]
    elif layer.name.endswith(_OF_TWO) and arrays[0].shape[-1] == 2 * layer.units:
        half = 0 if layer.name.endswith("gate") else 1
        arrays = [np.split(array, 2, axis=-1)[half] for array in arrays]
    shapes = [tuple(variable.shape) for variable in layer.variables]
    if [math.prod(shape) for shape in shapes] != [array.size for array in arrays]:
        found = [array.shape for array in arrays]
        raise ValueError(f"{layer.name} holds {shapes}, found weights of {found}")
    layer.set_weights([array.reshape(shape) for array, shape in zip(arrays, shapes, strict=True)])


def _variables(within: Any, place: str) -> list[Any]:
    """Return the variables of a layer; a dense layer without a bias has only a kernel."""
    return list(_at(within, place).variables)


def _at(within: Any, place: str) -> Any:
    for name in place.split("."):
        within = getattr(within, name) if hasattr(within, name) else within.get_layer(name)
    return within


def _is_spare(path: str) -> bool:
    return path.rsplit("/", 1)[-1] in _SPARE or _POOLING_ATTENTION in path
