"""The pooling that turns feature maps or tokens into the input vector of a head."""

from collections.abc import Callable

import keras
from keras import KerasTensor

from tlsearch.config.device import EXACT
from tlsearch.config.networks.row import Backbone
from tlsearch.pace import POOLED


def pooled_output(model: keras.Model, row: Backbone, pooling: str) -> KerasTensor:
    """Return the pooled vector of a network, by one of the catalogue's poolings.

    ConvNeXt's last normalisation belongs after the pooling, as in Keras' own pooled network; in
    Keras' network of feature maps it comes before. A network of the user's own may output a vector
    itself.
    """
    if len(model.output.shape) == 2:
        return pool(model.output, "flatten")
    if row.tokens is not None:
        return pool_tokens(model.output, row.tokens.leading_tokens, row.pooled_by(pooling))
    pooling = row.pooled_by(pooling)
    if pooling == "flatten" or not row.norm_after_pool:
        return pool(model.output, pooling)
    norm = model.layers[-1]
    norm.dtype_policy = EXACT
    return pool(norm.input, pooling, norm)


def pool(
    maps: KerasTensor,
    pooling: str,
    norm: Callable[[KerasTensor], KerasTensor] = lambda pooled: pooled,
) -> KerasTensor:
    """Pool feature maps (n, height, width, channels) to float32 vectors, by one of the catalogue's
    poolings. Means and maxima pass through `norm`.
    """
    if pooling == "flatten":
        return keras.layers.Flatten(name=POOLED, dtype=EXACT)(maps)
    mean = norm(keras.layers.GlobalAveragePooling2D(name=POOLED, dtype=EXACT)(maps))
    if pooling == "gap":
        return mean
    highest = norm(keras.layers.GlobalMaxPooling2D(name="pool_max", dtype=EXACT)(maps))
    return keras.layers.Concatenate(name="pool_both", dtype=EXACT)([mean, highest])


def pool_tokens(tokens: KerasTensor, front: int, pooling: str) -> KerasTensor:
    """Pool tokens (n, tokens, width) to float32 vectors. Means and maxima are taken over the
    patches, without the `front` tokens before them; the first of those is the class token.
    """
    if pooling == "flatten":
        return keras.layers.Flatten(name=POOLED, dtype=EXACT)(tokens)
    class_token = keras.layers.Cropping1D((0, tokens.shape[1] - 1), name="class_token", dtype=EXACT)
    first = keras.layers.Flatten(name="pool_class", dtype=EXACT)
    if pooling == "cls":
        return first(class_token(tokens))
    patches = keras.layers.Cropping1D((front, 0), name="patch_tokens", dtype=EXACT)(tokens)
    mean = keras.layers.GlobalAveragePooling1D(name=POOLED, dtype=EXACT)(patches)
    if pooling == "gap":
        return mean
    both = keras.layers.Concatenate(name="pool_both", dtype=EXACT)
    if pooling == "cls_mean":
        return both([first(class_token(tokens)), mean])
    highest = keras.layers.GlobalMaxPooling1D(name="pool_max", dtype=EXACT)(patches)
    return both([mean, highest])
