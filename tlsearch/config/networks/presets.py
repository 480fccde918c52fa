"""Pretrained networks of KerasHub."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tlsearch.config.networks.convolutions import (
    EfficientNetLite,
    MobileNetV5,
    efficientnet_lite0,
    mobilenet_v5_300m,
)
from tlsearch.config.networks.transformers import (
    SwinTransformer,
    VisionTransformer,
    deit,
    dinov2,
    dinov3,
    siglip2,
    swin,
    vit,
)

DINOV3_LICENCE = "DINOv3 License"
GEMMA_LICENCE = "Gemma Terms of Use"
CONDITIONAL = (DINOV3_LICENCE, GEMMA_LICENCE)  # they bind models that are trained from the weights

Spec = VisionTransformer | SwinTransformer | EfficientNetLite | MobileNetV5
Scaling = Literal["tf", "torch", "unit"]


@dataclass(frozen=True)
class Family:
    """The facts that several presets share.

    `keras_hub` is the class of KerasHub that holds their weights; `normalises` says how pixels are
    scaled.
    """

    name: str
    keras_hub: str
    normalises: Scaling
    trained_on: str
    licence: str = "Apache-2.0"


@dataclass(frozen=True)
class Preset:
    """Weights that KerasHub publishes as `handle`, and the network that they belong to.

    `image_px` is the size at which the network is described.
    """

    name: str
    handle: str
    spec: Spec
    image_px: int
    family: Family


_SMALL, _BASE, _LARGE = (384, 12, 6), (768, 12, 12), (1024, 24, 16)  # width, depth, heads
_GIANT = (1536, 40, 24)
_SIZES = {"small": _SMALL, "base": _BASE, "large": _LARGE}


def _dinov2() -> Iterator[Preset]:
    family = Family("dinov2", "DINOV2Backbone", "torch", "LVD-142M")
    for size, measures in {**_SIZES, "giant": _GIANT}.items():
        for registers in (0, 4):
            name = f"dinov2_{size}_registers" if registers else f"dinov2_{size}"
            handle = f"dinov2_with_registers_{size}" if registers else name
            spec = dinov2(*measures, registers, gated=size == "giant")
            yield Preset(name, handle, spec, 224, family)


def _dinov3() -> Iterator[Preset]:
    family = Family("dinov3", "DINOV3Backbone", "torch", "LVD-1689M", DINOV3_LICENCE)
    for size, measures in {**_SIZES, "small_plus": _SMALL}.items():
        handle = f"dinov3_vit_{size}_lvd1689m"
        spec = dinov3(*measures, gated=size == "small_plus")
        yield Preset(f"dinov3_{size}", handle, spec, 224, family)


def _siglip2() -> Iterator[Preset]:
    family = Family("siglip2", "SigLIPBackbone", "tf", "WebLI")
    for size, sizes_px in (("base", (224, 256, 384)), ("large", (256, 384, 512))):
        for px in sizes_px:
            spec = siglip2(*_SIZES[size], px // 16)
            handle = f"siglip2_{size}_patch16_{px}"
            yield Preset(f"siglip2_{size}_{px}", handle, spec, px, family)


def _vit() -> Iterator[Preset]:
    for size in ("base", "large"):
        for patch, px, images in (
            (16, 224, "imagenet"),
            (16, 384, "imagenet"),
            (32, 384, "imagenet"),
            (16, 224, "imagenet21k"),
            (32, 224, "imagenet21k"),
        ):
            seen = images if images == "imagenet21k" else "imagenet21k, imagenet"
            name = f"vit_{size}_{patch}_{px}{'_21k' if images == 'imagenet21k' else ''}"
            handle = f"vit_{size}_patch{patch}_{px}_{images}"
            spec = vit(*_SIZES[size], patch, px // patch)
            yield Preset(name, handle, spec, px, Family("vit", "ViTBackbone", "tf", seen))


def _deit() -> Iterator[Preset]:
    family = Family("deit", "DeiTBackbone", "torch", "imagenet")
    for size, width, heads, px in (
        ("tiny", 192, 3, 224),
        ("small", 384, 6, 224),
        ("base", 768, 12, 224),
        ("base", 768, 12, 384),
    ):
        handle = f"deit_{size}_distilled_patch16_{px}_imagenet"
        yield Preset(f"deit_{size}_{px}", handle, deit(width, heads, px // 16), px, family)


def _swin() -> Iterator[Preset]:
    family = Family("swin", "SwinTransformerBackbone", "torch", "imagenet", "MIT")
    for size, width, third, heads, window, px in (
        ("tiny", 96, 6, 3, 7, 224),
        ("small", 96, 18, 3, 7, 224),
        ("base", 128, 18, 4, 7, 224),
        ("base", 128, 18, 4, 12, 384),
        ("large", 192, 18, 6, 7, 224),
        ("large", 192, 18, 6, 12, 384),
    ):
        spec = swin(width, (2, 2, third, 2), (heads, 2 * heads, 4 * heads, 8 * heads), window)
        handle = f"swin_{size}_patch4_window{window}_{px}"
        yield Preset(f"swin_{size}_{px}", handle, spec, px, family)


def _convolutional() -> Iterator[Preset]:
    lite = Family("efficientnet_lite", "EfficientNetBackbone", "torch", "imagenet")
    handle = "efficientnet_lite0_ra_imagenet"
    yield Preset("efficientnet_lite0", handle, efficientnet_lite0(), 224, lite)
    seen = "the training images of Gemma 3n"
    mobile = Family("mobilenet_v5", "MobileNetV5Backbone", "unit", seen, GEMMA_LICENCE)
    handle = "mobilenetv5_300m_enc_gemma3n"
    yield Preset("mobilenet_v5_300m", handle, mobilenet_v5_300m(), 768, mobile)


PRESETS = (
    *(*_dinov2(), *_dinov3(), *_siglip2(), *_vit(), *_deit(), *_swin()),
    *_convolutional(),
)
