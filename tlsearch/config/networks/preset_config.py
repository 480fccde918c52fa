"""The network that a preset's `config.json` describes, in the format of KerasHub or transformers;
read without TensorFlow.
"""

from collections.abc import Callable, Mapping
from typing import Any

from tlsearch.config.networks.transformers import SwinTransformer, VisionTransformer

Spec = VisionTransformer | SwinTransformer
Config = Mapping[str, Any]

# Name of a setting in transformers -> its name in KerasHub.
_RENAMED = {
    "hidden_size": "hidden_dim",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_dim",
    "key_bias": "use_key_bias",
}
_CLASSES = {
    "dinov2": "DINOV2Backbone",
    "dinov2_with_registers": "DINOV2Backbone",
    "dinov3_vit": "DINOV3Backbone",
    "vit": "ViTBackbone",
    "deit": "DeiTBackbone",
    "swin": "SwinTransformerBackbone",
}


def parse_preset(config: Config) -> tuple[str, Spec, int]:
    """The class of KerasHub that a configuration names, its network, and its image size.

    Raises ValueError, with the reason, if the network cannot be built here.
    """
    if "model_type" in config:
        kind = str(config["model_type"])
        name, settings = _CLASSES.get(kind, kind), _as_keras_hub(config, kind)
    else:
        name, settings = str(config.get("class_name")), dict(config.get("config", {}))
    if name == "SigLIPBackbone":
        settings = settings["vision_encoder"]["config"]
    if name not in _READERS:
        raise ValueError(f"found {name}, expected one of {', '.join(_READERS)}")
    try:
        return name, _READERS[name](settings), int(settings["image_shape"][0])
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"its {name} lacks {error}") from error


def _as_keras_hub(config: Config, kind: str) -> dict[str, Any]:
    """The settings under KerasHub's names, as KerasHub converts them."""
    px = config["image_size"]
    settings = {_RENAMED.get(name, name): value for name, value in config.items()}
    settings["image_shape"] = settings["position_embedding_shape"] = (px, px, 3)
    if kind.startswith("dinov2"):
        settings["intermediate_dim"] = int(config["hidden_size"] * config["mlp_ratio"])
        settings["antialias_in_interpolation"] = kind != "dinov2"
    if kind == "vit":
        settings["mlp_dim"] = config["intermediate_size"]
    if kind == "vit" or kind == "deit":
        settings["use_mha_bias"] = config["qkv_bias"]
    settings.pop("layer_norm_epsilon", None)
    return settings


def _dinov2(settings: Config) -> Spec:
    _require(settings, use_swiglu_ffn=False)
    patch = _patch(settings)
    return VisionTransformer(
        *_measures(settings, "intermediate_dim"),
        patch,
        int(settings["position_embedding_shape"][0]) // patch,
        registers=int(settings.get("num_register_tokens", 0)),
        layer_scale=True,
        antialias=bool(settings.get("antialias_in_interpolation", False)),
        pooling="cls_mean",
    )


def _dinov3(settings: Config) -> Spec:
    _require(settings, use_gated_mlp=False, rope_theta=100.0, hidden_activation="gelu")
    return VisionTransformer(
        *_measures(settings, "intermediate_dim"),
        _patch(settings),
        grid=None,
        registers=int(settings["num_register_tokens"]),
        layer_scale=True,
        epsilon=float(settings.get("layer_norm_eps", 1e-5)),
        key_bias=bool(settings.get("use_key_bias", True)),
        pooling="cls_mean",
    )


def _vit(settings: Config) -> Spec:
    _require(settings, use_class_token=True, use_patch_bias=True, use_mha_bias=True)
    patch = _patch(settings)
    return VisionTransformer(
        *_measures(settings, "mlp_dim"),
        patch,
        int(settings["image_shape"][0]) // patch,
        epsilon=float(settings.get("layer_norm_epsilon", 1e-6)),
    )


def _deit(settings: Config) -> Spec:
    _require(settings, use_mha_bias=True)
    patch = _patch(settings)
    return VisionTransformer(
        *_measures(settings, "intermediate_dim"),
        patch,
        int(settings["image_shape"][0]) // patch,
        class_tokens=2,
        epsilon=float(settings.get("layer_norm_epsilon", 1e-6)),
    )


def _siglip(settings: Config) -> Spec:
    _require(settings, intermediate_activation="gelu_approximate")
    patch = _patch(settings)
    return VisionTransformer(
        *_measures(settings, "intermediate_dim"),
        patch,
        int(settings["image_shape"][0]) // patch,
        class_tokens=0,
        gelu="tanh",
        epsilon=float(settings.get("layer_norm_epsilon", 1e-6)),
        pooling="gap",
    )


def _swin(settings: Config) -> Spec:
    _require(settings, qkv_bias=True, patch_norm=True, mlp_ratio=4.0)
    return SwinTransformer(
        int(settings["embed_dim"]),
        tuple(map(int, settings["depths"])),
        tuple(map(int, settings["num_heads"])),
        int(settings["window_size"]),
        _patch(settings),
    )


_READERS: dict[str, Callable[[Config], Spec]] = {
    "DINOV2Backbone": _dinov2,
    "DINOV3Backbone": _dinov3,
    "SigLIPBackbone": _siglip,
    "SigLIPVisionEncoder": _siglip,
    "ViTBackbone": _vit,
    "DeiTBackbone": _deit,
    "SwinTransformerBackbone": _swin,
}


def _measures(settings: Config, hidden: str) -> tuple[int, int, int, int]:
    names = ("hidden_dim", "num_layers", "num_heads", hidden)
    width, depth, heads, wide = (int(settings[name]) for name in names)
    return width, depth, heads, wide


def _patch(settings: Config) -> int:
    """The size of a patch, which may be written as two equal numbers."""
    found = settings["patch_size"]
    sizes = {int(found)} if isinstance(found, int) else {int(size) for size in found}
    if len(sizes) > 1:
        raise ValueError(f"its patches are {found}, expected squares")
    return sizes.pop()


def _require(settings: Config, **expected: object) -> None:
    """Raise ValueError unless these settings have these values, which are also their defaults."""
    for name, value in expected.items():
        if settings.get(name, value) != value:
            raise ValueError(f"its {name} is {settings[name]!r}, only {value!r} can be built")
