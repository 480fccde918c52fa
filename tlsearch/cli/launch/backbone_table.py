"""The table of backbones, and of the cuts of one, for people and for programs."""

from typing import TYPE_CHECKING, Any, Literal

from tlsearch.cli.say import answer, say
from tlsearch.cli.tables import print_table
from tlsearch.config.catalog import Backbone, backbones

if TYPE_CHECKING:
    from tlsearch.training.network.cut_costs import CutCost

COLUMNS = ("backbone", "px", "min", "layers", "mult-adds", "params", "input", "weights")


def print_backbones(form: Literal["table", "json"]) -> None:
    """Print a row a backbone, in the order of the catalogue."""
    if form == "json":
        import json

        answer(json.dumps([_plain(row) for row in backbones()], indent=2) + "\n")
    else:
        print_table(COLUMNS, [_cells(row) for row in backbones()], ("layers", "weights", "input"))


CUT_COLUMNS = (
    "cut",
    "up to layers",
    "up to blocks",
    "values an image",
    "mult-adds behind",
    "share",
)


def print_cuts(name: str, form: Literal["table", "json"]) -> None:
    """Print a row a place at which this backbone can be cut in two; imports TensorFlow."""
    from tlsearch.base.errors import ConfigError
    from tlsearch.config.catalog import BACKBONES
    from tlsearch.config.spelling import one_of

    if name not in BACKBONES:
        raise ConfigError([one_of(BACKBONES, "backbone").why(name)])
    from tlsearch.training.network.cut_costs import cut_costs

    found = cut_costs(name)
    if form == "json":
        import json
        from dataclasses import asdict

        answer(json.dumps([asdict(cut) for cut in found], indent=2) + "\n")
    else:
        print_table(CUT_COLUMNS, [_cut_cells(cut) for cut in found])
        say(_blocks_told(BACKBONES[name]))


def _blocks_told(row: Backbone) -> str:
    """What the blocks of a backbone are, and how few layers train nothing."""
    anatomy = row.anatomy
    return (
        f"{anatomy.blocks} {anatomy.block}s; the last {anatomy.least()} layers are the fewest of "
        "which one trains"
    )


def _cut_cells(cut: "CutCost") -> list[str]:
    return [
        cut.cut,
        str(cut.unfrozen_layers),
        str(cut.unfrozen_blocks),
        str(cut.values),
        f"{cut.multiply_adds / 1e6:.1f} M",
        f"{cut.share:.1%}",
    ]


def _plain(row: Backbone) -> dict[str, Any]:
    return {
        "name": row.name,
        "image_px": row.image_px,
        "min_px": row.min_px,
        "layers": row.layers,
        "blocks": row.anatomy.blocks,
        "block": row.anatomy.block,
        "block_layers": row.anatomy.block_layers[1:],
        "first_trainable": row.anatomy.least(),
        "multiply_adds": row.multiply_adds,
        "parameters": row.parameters,
        "preprocessing": _preprocessing(row),
        "weights": row.default_weights,
        "trained_on": row.trained_on,
        "licence": row.licence,
    }


def _cells(row: Backbone) -> list[str]:
    return [
        row.name,
        str(row.image_px),
        str(row.min_px),
        str(row.layers),
        f"{row.multiply_adds / 1e6:.0f} M".rjust(len("mult-adds")),
        f"{row.parameters / 1e6:.1f} M".rjust(len("params")),
        _preprocessing(row),
        row.default_weights,
    ]


def _preprocessing(row: Backbone) -> str:
    return "inside" if row.preprocess == "none" else row.preprocess
