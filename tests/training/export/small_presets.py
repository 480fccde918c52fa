"""Small KerasHub networks, described as its presets are."""

import json
from pathlib import Path
from typing import Any

Settings = dict[str, Any]

_VIT: Settings = {"hidden_dim": 32, "num_layers": 2, "num_heads": 2, "patch_size": 16}
_PX32: Settings = {"image_shape": [32, 32, 3]}
# A convolution, three kinds of blocks and the fusion, in stages of one and of three blocks.
_MOBILE: Settings = {
    "block_types": [["er"], ["uir", "uir", "mqa"]],
    "num_filters": [[16], [24, 24, 24]],
    "strides": [[2], [2, 1, 1]],
    "act_layers": [["gelu"], ["gelu", "gelu", "gelu"]],
    "exp_ratios": [[2.0], [2.0, 2.0, 0.0]],
    "se_ratios": [[0.0], [0.0, 0.0, 0.0]],
    "dw_kernel_sizes": [[0], [5, 0, 0]],
    "dw_start_kernel_sizes": [[0], [3, 3, 0]],
    "dw_end_kernel_sizes": [[0], [0, 0, 0]],
    "exp_kernel_sizes": [[3], [0, 0, 0]],
    "pw_kernel_sizes": [[1], [0, 0, 0]],
    "num_heads": [[0], [0, 0, 2]],
    "key_dims": [[0], [0, 0, 8]],
    "value_dims": [[0], [0, 0, 8]],
    "kv_strides": [[0], [0, 0, 2]],
    "use_cpe": [[False], [False, False, False]],
}
_LITE: Settings = {
    "width_coefficients": [1.0, 1.0],
    "depth_coefficients": [1.0, 1.0],
    "kernel_sizes": [3, 5],
    "num_repeats": [1, 2],
    "input_filters": [8, 16],
    "output_filters": [16, 24],
    "expansion_ratios": [1, 2],
    "squeeze_and_excite_ratios": [0, 0],
    "strides": [1, 2],
    "block_types": ["v1", "v1"],
}


def _stackwise(settings: Settings) -> Settings:
    return {f"stackwise_{name}": value for name, value in settings.items()}


# Settings of small networks, by KerasHub class and the special feature, if any.
CONFIGS: dict[str, Settings] = {
    "DINOV2Backbone": _VIT
    | {"intermediate_dim": 64, "num_register_tokens": 4, "antialias_in_interpolation": True}
    | {"image_shape": [64, 64, 3], "position_embedding_shape": [64, 64]},
    "DINOV3Backbone": _VIT
    | _PX32
    | {"intermediate_dim": 64, "num_register_tokens": 4, "use_key_bias": False},
    "SigLIPVisionEncoder": _VIT | _PX32 | {"intermediate_dim": 48},
    "ViTBackbone": _VIT | _PX32 | {"mlp_dim": 64},
    "DeiTBackbone": _VIT | _PX32 | {"intermediate_dim": 64},
    "SwinTransformerBackbone": _PX32
    | {"embed_dim": 16, "depths": [2, 2], "num_heads": [1, 2], "window_size": 4, "patch_size": 4},
    "EfficientNetBackbone": _stackwise(_LITE)
    | {"activation": "relu6", "dropout": 0, "batch_norm_epsilon": 1e-5, "min_depth": None}
    | {"use_depth_divisor_as_min_depth": True, "input_shape": [64, 64, 3]},
    "MobileNetV5Backbone": _stackwise(_MOBILE)
    | {"stackwise_num_blocks": [1, 3], "stem_size": 16, "num_features": 32}
    | {"layer_scale_init_value": 1e-5, "image_shape": [96, 96, 3]},
}
CONFIGS["DINOV2Backbone gated"] = CONFIGS["DINOV2Backbone"] | {"use_swiglu_ffn": True}
CONFIGS["DINOV3Backbone gated"] = CONFIGS["DINOV3Backbone"] | {
    "use_gated_mlp": True,
    "hidden_activation": "silu",
}


def write_preset(folder: Path, name: str) -> str:
    """Describe a network of `CONFIGS` in a folder, and return the folder as a backbone's name."""
    place = folder / name.replace(" ", "_")
    place.mkdir(exist_ok=True)
    config = {"class_name": name.partition(" ")[0], "config": CONFIGS[name]}
    (place / "config.json").write_text(json.dumps(config))
    return str(place)
