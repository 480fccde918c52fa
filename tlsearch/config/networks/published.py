"""The published accuracy of pretrained backbones on ImageNet."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Published:
    """The top-1 accuracy on ImageNet's validation images in percent, and its source."""

    top1: float
    source: str


_KERAS = "keras.io/api/applications"
_KERAS_MOBILENET_V3 = "keras.io/api/applications/mobilenet"
_SLIM = "github.com/tensorflow/models, research/slim/nets/mobilenet"
# A linear classifier on frozen features: the class token, and for DINOv2 patches too.
_DINOV2 = "github.com/facebookresearch/dinov2, linear on frozen features"
_DEIT = "github.com/facebookresearch/deit, distilled"
_SWIN_PAPER = "arXiv 2103.14030, table 1a"
_MOBILENET_PAPER = "arXiv 1704.04861, table 6"
_TIMM = "github.com/huggingface/pytorch-image-models, results-imagenet.csv"

_TABLES: dict[str, dict[str, float]] = {
    _KERAS: {
        "mobilenet_v2": 71.3, "mobilenet": 70.4, "efficientnet_b0": 77.1, "efficientnet_b1": 79.1,
        "efficientnet_b2": 80.1, "efficientnet_b3": 81.6, "efficientnet_b4": 82.9,
        "efficientnet_b5": 83.6, "efficientnet_b6": 84.0, "efficientnet_b7": 84.3,
        "resnet50": 74.9, "resnet101": 76.4, "resnet152": 76.6, "resnet50_v2": 76.0,
        "resnet101_v2": 77.2, "resnet152_v2": 78.0, "efficientnet_v2_b0": 78.7,
        "efficientnet_v2_b1": 79.8, "efficientnet_v2_b2": 80.5, "efficientnet_v2_b3": 82.0,
        "efficientnet_v2_s": 83.9, "efficientnet_v2_m": 85.3, "efficientnet_v2_l": 85.7,
        "convnext_tiny": 81.3, "convnext_small": 82.3, "convnext_base": 85.3,
        "convnext_large": 86.3, "convnext_xlarge": 86.7, "densenet121": 75.0, "densenet169": 76.2,
        "densenet201": 77.3, "inception_v3": 77.9, "inception_resnet_v2": 80.3, "xception": 79.0,
        "vgg16": 71.3, "vgg19": 71.3,
    },
    _KERAS_MOBILENET_V3: {
        "mobilenet_v3_small": 68.1, "mobilenet_v3_large": 75.6, "mobilenet_v3_minimalistic": 72.3,
    },
    _SLIM: {
        "mobilenet_v2_035": 60.3, "mobilenet_v2_050": 65.4, "mobilenet_v2_075": 69.8,
        "mobilenet_v2_130": 74.4, "mobilenet_v2_140": 75.0,
    },
    _DINOV2: {
        "dinov2_small": 81.1, "dinov2_base": 84.5, "dinov2_large": 86.3,
        "dinov2_small_registers": 80.9, "dinov2_base_registers": 84.6,
        "dinov2_large_registers": 86.7, "dinov2_giant": 86.5, "dinov2_giant_registers": 87.1,
    },
    _DEIT: {
        "deit_tiny_224": 74.5, "deit_small_224": 81.2, "deit_base_224": 83.4,
        "deit_base_384": 85.2,
    },
    _SWIN_PAPER: {"swin_tiny_224": 81.3, "swin_small_224": 83.0, "swin_base_224": 83.5},
    _MOBILENET_PAPER: {"mobilenet_025": 50.6, "mobilenet_050": 63.7},
    _TIMM: {"efficientnet_lite0": 75.5},
}  # fmt: skip

# By the name of the backbone; backbones without a published accuracy on ImageNet have no row.
PUBLISHED: dict[str, Published] = {
    name: Published(top1, source)
    for source, table in _TABLES.items()
    for name, top1 in table.items()
}
