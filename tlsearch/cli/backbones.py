"""The table of backbones, for people and for programs."""

from typing import Any, Literal

from tlsearch.cli.tables import print_table
from tlsearch.config.catalog import Backbone, backbones

COLUMNS = ("backbone", "px", "min", "layers", "mult-adds", "params", "input", "weights")


def print_backbones(form: Literal["table", "json"]) -> None:
    """Print a row a backbone, in the order of the catalogue."""
    if form == "json":
        import json

        print(json.dumps([_plain(row) for row in backbones()], indent=2))
    else:
        print_table(COLUMNS, [_cells(row) for row in backbones()], ("layers", "weights", "input"))


def _plain(row: Backbone) -> dict[str, Any]:
    return {
        "name": row.name,
        "image_px": row.image_px,
        "min_px": row.min_px,
        "layers": row.layers,
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
