"""Settings that a network does not support: one line says where, why and what it supports."""

import pytest

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import BACKBONES, EXPORT_FORMATS, formats_of
from tlsearch.config.load import parse


@pytest.mark.parametrize(
    ("space", "problem"),
    [
        (
            "backbone: [dinov2_small, swin_tiny_224, strokes], pooling: [default, cls]",
            "pooling[1]: found cls, but swin_tiny_224, strokes has no class token: expected "
            "default or gap",
        ),
        (
            "backbone: siglip2_base_224, pooling: cls_mean",
            "pooling: found cls_mean, but siglip2_base_224 has no class token: expected default "
            "or gap",
        ),
        (
            "backbone: [dinov2_small, mobilenet_v5_300m, strokes], weights: [default, imagenet]",
            "weights[1]: found imagenet, but dinov2_small, mobilenet_v5_300m has none: expected "
            "default",
        ),
        (
            "backbone: [vit_base_16_224, resnet50], weights: preset",
            "weights: found preset, but resnet50 has none: expected default",
        ),
        (
            "backbone: [deit_tiny_224, strokes], unfrozen_layers: [0, 15]",
            "unfrozen_layers: deit_tiny_224 can be cut between blocks only: use unfrozen_blocks",
        ),
    ],
)
def test_what_a_network_cannot_do_is_told_with_what_it_can(space: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(f"data: {{kind: digits, image_px: 224}}\nspace: {{{space}}}", "pets.yaml")
    assert problem in [found.split("space.", 1)[-1] for found in refused.value.problems]


def test_a_format_that_cannot_hold_a_network_is_refused_before_the_search() -> None:
    space = "data: {kind: digits, image_px: 224}\nspace: {backbone: [strokes, dinov2_giant]}\n"
    with pytest.raises(ConfigError) as refused:
        parse(f"{space}export: [keras, onnx]", "pets.yaml")
    assert list(refused.value.problems) == [
        "pets.yaml:3: export[1]: found onnx, whose files cannot hold the 4.5 GB of weights of "
        "dinov2_giant: expected keras or saved_model"
    ]
    giants = {row.name for row in BACKBONES.values() if len(formats_of(row)) < len(EXPORT_FORMATS)}
    assert giants == {"dinov2_giant", "dinov2_giant_registers"}
    assert parse(f"{space}export: [keras, saved_model]").export == ("keras", "saved_model")


def test_a_convolutional_network_of_a_hub_trains_by_layers_too() -> None:
    space = "{backbone: efficientnet_lite0, unfrozen_layers: [0, 15], weights: [preset, none]}"
    config = parse(f"data: {{kind: digits, image_px: 225}}\nspace: {space}")
    assert config.space.unfrozen_layers is not None
