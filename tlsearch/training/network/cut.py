"""Where a network can be cut in two: the points at which everything later hangs on one tensor."""

from dataclasses import dataclass

import keras

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.pace import POOLED


@dataclass(frozen=True, eq=False)
class Cut:
    """A single-tensor point: layers up to and including `index` are the frozen prefix.

    `name` is the layer, or the operation behind it, whose output crosses it; `whole` where that is
    the network's input, so that nothing is frozen before it.
    """

    name: str
    index: int
    tensor: keras.KerasTensor
    whole: bool


def cut_points(model: keras.Model) -> list[Cut]:
    """Every point at which one tensor alone feeds all later layers, from the input on.

    Branches may join in a layer or in an operation such as `a + b`, which is no layer.
    """
    operations = model.operations
    index = {id(operation): i for i, operation in enumerate(operations)}
    last_use = _last_use(model, index)
    cuts: list[Cut] = []
    crossing: set[int] = set()
    layers = -1
    for i, operation in enumerate(operations):
        layers += isinstance(operation, keras.layers.Layer)
        crossing = {source for source in (*crossing, i) if last_use.get(source, -1) > i}
        if crossing == {i}:  # where it is an earlier one, that one is the point
            cuts.append(Cut(operation.name, layers, operation.output, whole=i == 0))
    return cuts


def choose_cut(model: keras.Model, depth: Depth) -> Cut:
    """The deepest cut point at or before the first layer that trains."""
    first = depth.first_layer(len(model.layers))
    return [cut for cut in cut_points(model) if cut.index < max(first, 1)][-1]


@dataclass(frozen=True, eq=False)
class Sections:
    """A backbone cut in two. `prefix` ends at `name`; `suffix`, None where the whole backbone is
    frozen, goes on to the pooled vector; `pool` is the whole way from input to pooled vector.
    """

    name: str
    prefix: keras.Model
    suffix: keras.Model | None
    pool: keras.Model
    from_images: bool


def cut_in_two(model: keras.Model, pooled: keras.KerasTensor, depth: Depth) -> Sections:
    """The sections of a trial of this depth; `pooled` is the vector pooled from the model's output.

    Building them adds nodes to the shared layers: a backbone keeps those that it has built.
    """
    pool = keras.Model(model.input, pooled, name="pooled_backbone")
    if depth.frozen:
        return Sections(POOLED, pool, None, pool, from_images=False)
    cut = choose_cut(model, depth)
    prefix = keras.Model(model.input, cut.tensor, name="prefix")
    suffix = keras.Model(cut.tensor, pooled, name="suffix")
    return Sections(cut.name, prefix, suffix, pool, from_images=cut.whole)


def trainable_layers(model: keras.Model, depth: Depth) -> list[keras.Layer]:
    """The last N Keras layers of the network, as the field counts them; all of them for "all"."""
    layers = list(model.layers)
    return layers[depth.first_layer(len(layers)) :]


def _last_use(model: keras.Model, index: dict[int, int]) -> dict[int, int]:
    """Operation -> the last one that reads its output, by place (the output counts as one)."""
    last: dict[int, int] = {}
    for i, operation in enumerate(model.operations):
        for node in operation._inbound_nodes:
            for tensor in node.input_tensors:
                source = index.get(id(tensor._keras_history.operation))
                if source is not None:
                    last[source] = max(last.get(source, -1), i)
    output = index[id(model.outputs[0]._keras_history.operation)]
    last[output] = len(model.operations)
    return last
