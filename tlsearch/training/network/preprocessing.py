"""The preprocessing of RGB 0-255 for each convention of pretrained networks."""

import keras
import numpy as np

from tlsearch.config.networks.row import Preprocess

# ImageNet statistics of each convention, in RGB order.
_CAFFE_MEAN = (123.68, 116.779, 103.939)
_TORCH_MEAN = np.array((0.485, 0.456, 0.406))
_TORCH_STD = np.array((0.229, 0.224, 0.225))


def preprocessing(kind: Preprocess, image_px: int | None) -> keras.Model:
    """Build a model from RGB 0-255 to the input range of the network's training, in layers that
    every export format supports.
    """
    inputs = keras.Input((image_px, image_px, 3), name="rgb")
    if kind == "tf":
        outputs = keras.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)
    elif kind == "unit":
        outputs = keras.layers.Rescaling(1 / 255, name="rescale")(inputs)
    elif kind == "torch":
        scale, offset = 1 / (255 * _TORCH_STD), -_TORCH_MEAN / _TORCH_STD
        outputs = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="rescale")(inputs)
    elif kind == "caffe":
        outputs = _to_centred_bgr()(inputs)
    else:
        outputs = keras.layers.Identity(name="as_is")(inputs)
    return keras.Model(inputs, outputs, name="preprocess")


def _to_centred_bgr() -> keras.layers.Layer:
    """Return a fixed 1 x 1 convolution that reverses the channels and subtracts the mean."""
    swap = np.eye(3, dtype=np.float32)[::-1].reshape(1, 1, 3, 3)
    layer = keras.layers.Conv2D(3, 1, name="rgb_to_centred_bgr", trainable=False)
    layer.build((None, None, None, 3))
    layer.set_weights([swap, -np.array(_CAFFE_MEAN[::-1], dtype=np.float32)])
    return layer
