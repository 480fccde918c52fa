"""Build the network of a KerasHub preset from plain layers and load the preset's weights."""

import importlib
from typing import Any

import keras

from tlsearch.base.errors import WeightsError
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.extras import require_extra
from tlsearch.config.networks.convolutions import EfficientNetLite, MobileNetV5
from tlsearch.config.networks.handles import EXTRA, unavailable_message
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.networks.preset_config import parse_preset
from tlsearch.config.networks.presets import Spec
from tlsearch.config.networks.row import Backbone
from tlsearch.config.networks.transformers import SwinTransformer, VisionTransformer
from tlsearch.training.network.build import one_at_a_time
from tlsearch.training.network.hub.efficientnet_lite import efficientnet_lite
from tlsearch.training.network.hub.mobilenet_v5 import mobilenet_v5
from tlsearch.training.network.hub.preset_weights import copy_weights
from tlsearch.training.network.hub.swin import swin_transformer
from tlsearch.training.network.hub.transformer import vision_transformer


def preset_network(
    include_top: bool, input_shape: tuple[int, int, int], weights: str | None, preset: str
) -> keras.Model:
    """Build the network of a preset for one image size, with its own weights or random ones.

    Raises WeightsError if its weights are not available, ConfigError if KerasHub is not installed.
    """
    del include_top  # part of the signature of Keras' own builders
    published = {row.options.get("preset"): row for row in BACKBONES.values()}
    row = published.get(preset) or row_of(preset)
    assert row.spec is not None, "only presets are built here"
    if weights is None:
        return _built(row.spec, input_shape[0])
    original = _original(row)
    try:
        spec = _spec(original, row.spec)
        model = _built(spec, input_shape[0])
        copy_weights(original, model, spec)
    except ValueError as error:
        why = "the loaded network does not match the preset"
        raise WeightsError(f"{row.name}: {why}: {error}") from error
    return model


def _built(spec: Spec, image_px: int) -> keras.Model:
    match spec:
        case SwinTransformer():
            return swin_transformer(spec, image_px)
        case EfficientNetLite():
            return efficientnet_lite(spec, image_px)
        case MobileNetV5():
            return mobilenet_v5(spec, image_px)
        case VisionTransformer():
            return vision_transformer(spec, image_px)


def _spec(original: Any, expected: Spec) -> Spec:
    """Return the dimensions of a network as its own configuration gives them, which take
    precedence; raises ValueError if its layers differ from the expected ones.
    """
    settings = {"class_name": type(original).__name__, "config": original.get_config()}
    _, found, _ = parse_preset(settings)
    if found.anatomy != expected.anatomy or found.width != expected.width:
        raise ValueError(f"found {found}, expected {expected}")
    return found


def _original(row: Backbone) -> Any:
    """Return KerasHub's network with its weights; for SigLIP only its image encoder."""
    require_extra(f"backbone {row.name}", EXTRA)
    hub = importlib.import_module("keras_hub")
    handle = str(row.options["preset"])
    try:
        with one_at_a_time():
            whole = hub.models.Backbone.from_preset(handle, dtype="float32")
    except Exception as error:  # each hub raises its own types
        raise WeightsError(unavailable_message(row.name, error)) from error
    return getattr(whole, "vision_encoder", whole)
