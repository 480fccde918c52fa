"""RGB 0-255 as a network was trained on it."""

import keras
import numpy as np

from tlsearch.config.networks.row import Preprocess

# Statistics of ImageNet as the networks of each convention were trained with them, in RGB order.
_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCH_MEAN = np.array((0.485, 0.456, 0.406))
_TORCH_STD = np.array((0.229, 0.224, 0.225))


def preprocessing(kind: Preprocess, image_px: int | None) -> keras.Model:
    """RGB 0-255 -> what the network was trained on, in layers that every export format knows."""
    inputs = keras.Input((image_px, image_px, 3), name="rgb")
    if kind == "tf":
        outputs = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    elif kind == "torch":
        scale, offset = 1 / (255 * _TORCH_STD), -_TORCH_MEAN / _TORCH_STD
        outputs = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="rescale")(inputs)
    elif kind == "caffe":
        outputs = _to_centred_bgr()(inputs)
    else:
        outputs = keras.layers.Identity(name="as_is")(inputs)
    return keras.Model(inputs, outputs, name="preprocess")


def _to_centred_bgr() -> keras.layers.Layer:
    """Channel reversal and mean subtraction as a fixed 1 x 1 convolution."""
    swap = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
    layer = keras.layers.Conv2D(3, 1, name="rgb_to_centred_bgr", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights([swap, -np.array(_CAFFE_MEAN[::-1], dtype=np.float32)])
    return layer
