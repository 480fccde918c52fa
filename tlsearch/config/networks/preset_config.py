"""The network that a preset's `config.json` describes, in the format of KerasHub or transformers;
read without TensorFlow.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from tlsearch.config.networks.convolutions import (
    MSFA_SIDE,
    EfficientNetLite,
    LiteStage,
    MobileBlock,
    MobileNetV5,
)
from tlsearch.config.networks.presets import Spec
from tlsearch.config.networks.transformers import SwinTransformer, VisionTransformer, gated_width

Config = Mapping[str, Any]

# Name of a setting in transformers -> its name in KerasHub.
_RENAMED = {
    "hidden_size": "hidden_dim",
    "num_hidden_layers": "num_layers",
    "num_attention_heads": "num_heads",
    "intermediate_size": "intermediate_dim",
    "key_bias": "use_key_bias",
    "hidden_act": "hidden_activation",
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
        name = str(config.get("class_name") or config.get("architecture"))
        settings = dict(config.get("config", {}))
    if name == "SigLIPBackbone":
        settings = settings["vision_encoder"]["config"]
    if name not in _READERS:
        raise ValueError(f"found {name}, expected one of {', '.join(_READERS)}")
    try:
        spec = _READERS[name](settings)
        return name, spec, _image_px(settings) or _ANY_SIZE[type(spec)]
    except (KeyError, TypeError, IndexError) as error:
        raise ValueError(f"its {name} lacks {error}") from error


def _image_px(settings: Config) -> int | None:
    """The image size of a network; None if it takes any."""
    shape = settings["input_shape" if "input_shape" in settings else "image_shape"]
    return None if shape is None or shape[0] is None else int(shape[0])


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
    patch, gated = _patch(settings), bool(settings.get("use_swiglu_ffn", False))
    width, depth, heads, hidden = _measures(settings, "intermediate_dim")
    return VisionTransformer(
        *(width, depth, heads, gated_width(hidden) if gated else hidden),
        patch,
        int(settings["position_embedding_shape"][0]) // patch,
        gated=gated,
        registers=int(settings.get("num_register_tokens", 0)),
        layer_scale=True,
        antialias=bool(settings.get("antialias_in_interpolation", False)),
        pooling="cls_mean",
    )


def _dinov3(settings: Config) -> Spec:
    gated = bool(settings.get("use_gated_mlp", False))
    _require(settings, rope_theta=100.0, hidden_activation="silu" if gated else "gelu")
    return VisionTransformer(
        *_measures(settings, "intermediate_dim"),
        _patch(settings),
        grid=None,
        registers=int(settings["num_register_tokens"]),
        gated=gated,
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


_LISTS = ("num_repeats", "kernel_sizes", "strides", "expansion_ratios", "output_filters")


def _efficientnet_lite(settings: Config) -> Spec:
    stages = len(settings["stackwise_num_repeats"])
    plain = {f"stackwise_{name}_coefficients": [1.0] * stages for name in ("width", "depth")}
    _require(settings, activation="relu6", projection_activation=None, **plain)
    _require(settings, include_stem_padding=True, stem_conv_padding="valid", num_features=1280)
    _require(settings, stackwise_squeeze_and_excite_ratios=[0] * stages)
    _require(settings, stackwise_block_types=["v1"] * stages)
    numbers = zip(*(settings[f"stackwise_{name}"] for name in _LISTS), strict=True)
    return EfficientNetLite(
        int(settings["stackwise_input_filters"][0]),
        tuple(LiteStage(*map(int, stage)) for stage in numbers),
        1280,
        float(settings["batch_norm_epsilon"]),
    )


# Kind of block in KerasHub's configuration -> ours.
_KINDS: dict[str, Literal["edge", "inverted", "attention"]] = {
    "er": "edge",
    "uir": "inverted",
    "mqa": "attention",
}


def _mobilenet_v5(settings: Config) -> Spec:
    _require(settings, use_msfa=True, msfa_output_resolution=MSFA_SIDE, act_layer="gelu")
    _require(settings, norm_layer="rms_norm", stem_bias=True, pad_type="same")
    if settings.get("layer_scale_init_value") is None:
        raise ValueError("its blocks have no layer scale, only blocks with one can be built")
    counts = settings["stackwise_num_blocks"]
    stages = tuple(
        tuple(_mobile_block(settings, stage, place) for place in range(count))
        for stage, count in enumerate(counts)
    )
    return MobileNetV5(int(settings["stem_size"]), stages, int(settings["num_features"]))


def _mobile_block(settings: Config, stage: int, place: int) -> MobileBlock:
    def of(name: str) -> Any:
        return settings[f"stackwise_{name}"][stage][place]

    kind = _KINDS.get(of("block_types"))
    if kind is None or of("dw_end_kernel_sizes") or of("se_ratios") or of("use_cpe"):
        raise ValueError(f"block {place} of its stage {stage} is of a kind that cannot be built")
    if kind == "attention":
        heads, key = int(of("num_heads")), int(of("key_dims"))
        return MobileBlock(kind, of("num_filters"), of("kv_strides"), heads=heads, key=key)
    kernel = of("exp_kernel_sizes") if kind == "edge" else of("dw_kernel_sizes")
    start = of("dw_start_kernel_sizes") if kind == "inverted" else 0
    expansion = int(of("exp_ratios"))
    return MobileBlock(kind, of("num_filters"), of("strides"), expansion, start, kernel)


# The image size of networks whose description has none: that of the published weights.
_ANY_SIZE: dict[type, int] = {EfficientNetLite: 224, MobileNetV5: 768}
_READERS: dict[str, Callable[[Config], Spec]] = {
    "DINOV2Backbone": _dinov2,
    "DINOV3Backbone": _dinov3,
    "SigLIPBackbone": _siglip,
    "SigLIPVisionEncoder": _siglip,
    "ViTBackbone": _vit,
    "DeiTBackbone": _deit,
    "SwinTransformerBackbone": _swin,
    "EfficientNetBackbone": _efficientnet_lite,
    "MobileNetV5Backbone": _mobilenet_v5,
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
