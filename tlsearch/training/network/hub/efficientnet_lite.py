"""An EfficientNet-Lite in plain Keras layers, which are named as KerasHub names them."""

from typing import Any

import keras
from keras import layers

from tlsearch.config.networks.convolutions import EfficientNetLite, LiteStage


def efficientnet_lite(spec: EfficientNetLite, image_px: int) -> keras.Model:
    """Build a network from normalised pixels (n, px, px, 3) to feature maps (n, side, side, width)
    after the last activation.
    """
    pixels = keras.Input((image_px, image_px, 3))
    padded = layers.ZeroPadding2D(1, name="stem_conv_pad")(pixels)
    x = layers.Conv2D(spec.stem, 3, strides=2, use_bias=False, name="stem_conv")(padded)
    x = _relu6(_norm(spec, "stem_bn")(x), "stem_activation")
    for number, stage in enumerate(spec.stages, start=1):
        for place in range(stage.repeats):
            stride = 1 if place else stage.stride
            x = _block(x, spec, stage, stride, f"block{number}{chr(ord('a') + place)}")
    x = layers.Conv2D(spec.width, 1, use_bias=False, name="top_conv")(x)
    x = _relu6(_norm(spec, "top_bn")(x), "top_activation")
    return keras.Model(pixels, x, name="efficientnet_lite")


def _block(given: Any, spec: EfficientNetLite, stage: LiteStage, stride: int, name: str) -> Any:
    """Apply an expansion, a depthwise convolution and a projection, with a residual connection if
    the shape stays the same.
    """
    x, before = given, given.shape[-1]
    if stage.expansion > 1:
        wide = before * stage.expansion
        x = layers.Conv2D(wide, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _relu6(_norm(spec, f"{name}_expand_bn")(x), f"{name}_expand_activation")
    x = layers.ZeroPadding2D(stage.kernel // 2, name=f"{name}_dwconv_pad")(x)
    x = layers.DepthwiseConv2D(stage.kernel, strides=stride, use_bias=False, name=f"{name}_dwconv")(
        x
    )
    x = _relu6(_norm(spec, f"{name}_dwconv_bn")(x), f"{name}_dwconv_activation")
    x = layers.Conv2D(stage.width, 1, use_bias=False, name=f"{name}_project")(x)
    x = _norm(spec, f"{name}_project_bn")(x)
    if stride == 1 and before == stage.width:
        x = layers.Add(name=f"{name}_add")([x, given])
    return x


def _norm(spec: EfficientNetLite, name: str) -> Any:
    return layers.BatchNormalization(epsilon=spec.epsilon, momentum=0.9, name=name)


def _relu6(x: Any, name: str) -> Any:
    return layers.Activation("relu6", name=name)(x)
