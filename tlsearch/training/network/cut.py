"""The points at which a network can be cut in two: those where a single tensor feeds all later
layers.
"""

from dataclasses import dataclass

import keras

from tlsearch.config.networks.unfreezing import Depth
from tlsearch.pace import POOLED


@dataclass(frozen=True, eq=False)
class Cut:
    """A point where a single tensor crosses: layers up to and including `index` are the frozen
    prefix.

    `name` is the layer or operation whose output is that tensor. `whole` is true if the tensor is
    the network's input, so that nothing is frozen before it.
    """

    name: str
    index: int
    tensor: keras.KerasTensor
    whole: bool


def cut_points(model: keras.Model) -> list[Cut]:
    """Return every point at which a single tensor feeds all later layers, from the input on.

    Branches may join in a layer or in an operation such as `a + b`, which is not a layer.
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
        if crossing == {i}:  # an earlier tensor alone is the cut of its own operation
            cuts.append(Cut(operation.name, layers, operation.output, whole=i == 0))
    return cuts


def choose_cut(model: keras.Model, depth: Depth) -> Cut:
    """Return the last cut point before the first layer that trains; the input if all layers
    train.
    """
    first = depth.first_layer(len(model.layers))
    return [cut for cut in cut_points(model) if cut.index < max(first, 1)][-1]


@dataclass(frozen=True, eq=False)
class Sections:
    """A backbone cut in two. `prefix` ends at the cut `name`. `suffix` continues to the pooled
    vector and is None if the whole backbone is frozen. `pool` goes from the input to the pooled
    vector.
    """

    name: str
    prefix: keras.Model
    suffix: keras.Model | None
    pool: keras.Model
    from_images: bool

    @property
    def source(self) -> keras.KerasTensor:
        """The input of the part that trains: images if nothing is frozen, else activations."""
        return self.prefix.input if self.from_images else self.prefix.output


def cut_in_two(model: keras.Model, pooled: keras.KerasTensor, depth: Depth) -> Sections:
    """Return the sections for trials of this depth; `pooled` is the vector pooled from the model's
    output.

    Building them adds nodes to the shared layers, so a backbone caches its sections.
    """
    pool = keras.Model(model.input, pooled, name="pooled_backbone")
    if depth.frozen:
        return Sections(POOLED, pool, None, pool, from_images=False)
    cut = choose_cut(model, depth)
    prefix = keras.Model(model.input, cut.tensor, name="prefix")
    suffix = keras.Model(cut.tensor, pooled, name="suffix")
    return Sections(cut.name, prefix, suffix, pool, from_images=cut.whole)


def trainable_layers(model: keras.Model, depth: Depth) -> list[keras.Layer]:
    """Return the last N layers of `model.layers`, as Keras users count them; all for "all"."""
    layers = list(model.layers)
    return layers[depth.first_layer(len(layers)) :]


def _last_use(model: keras.Model, index: dict[int, int]) -> dict[int, int]:
    """Map each operation to the last one that reads its output, both by position; the model's
    output counts as one more operation.
    """
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
