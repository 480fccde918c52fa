"""The tables of all backbones and of the cuts of one backbone, as text or JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from tlsearch.base.errors import ConfigError
from tlsearch.cli.output import print_answer, print_line
from tlsearch.cli.tables import print_table
from tlsearch.config.catalog import EXPORT_FORMATS, backbones, formats_of
from tlsearch.config.networks.lookup import full_name, row_of
from tlsearch.config.networks.network_memory import needed_bytes
from tlsearch.config.networks.row import Backbone
from tlsearch.config.spelling import one_of

if TYPE_CHECKING:
    from tlsearch.training.network.cut_costs import CutCost

COLUMNS = ("backbone", "px", "min", "layers", "GMACs", "params", "GB", "top-1", "input")


def select_backbones(
    family: str | None = None, max_params: float | None = None, max_gmacs: float | None = None
) -> tuple[Backbone, ...]:
    """Return the backbones of a family within limits of millions of parameters and of GMACs.

    Raises ConfigError if the family is unknown or no backbone in it is that small.
    """
    known = dict.fromkeys(row.family for row in backbones())
    if family is not None and family not in known:
        raise ConfigError([f"--family: {one_of(known, 'family').why(family)}"])
    rows = [row for row in backbones() if family in (None, row.family)]
    small = tuple(
        row
        for row in rows
        if (max_params is None or row.parameters <= max_params * 1e6)
        and (max_gmacs is None or row.multiply_adds <= max_gmacs * 1e9)
    )
    if not small:
        least = min(rows, key=lambda row: row.parameters)
        raise ConfigError(
            [
                f"--max-params, --max-gmacs: no backbone is that small; {least.name} has "
                f"{_millions(least)} million parameters and takes {_billions(least)} billion "
                "multiply-adds"
            ]
        )
    return small


def print_backbones(rows: Sequence[Backbone], form: Literal["table", "json"]) -> None:
    """Print one row per backbone."""
    if form == "json":
        import json

        print_answer(json.dumps([_plain(row) for row in rows], indent=2) + "\n")
    else:
        print_table(COLUMNS, [_cells(row) for row in rows], ("layers", "input", "min"))
        large = [row for row in rows if len(formats_of(row)) < len(EXPORT_FORMATS)]
        for formats in dict.fromkeys(map(formats_of, large)):
            names = (row.name for row in large if formats_of(row) == formats)
            print_line(f"exported as {' or '.join(formats)} only: {', '.join(names)}")


CUT_COLUMNS = (
    "cut",
    "up to layers",
    "up to blocks",
    "values per image",
    "mult-adds behind",
    "share",
)


def print_cuts(name: str, form: Literal["table", "json"]) -> None:
    """Print one row per layer at which this backbone can be cut in two; imports TensorFlow."""
    row = row_of(full_name(name))
    from tlsearch.training.network.cut_costs import cut_costs

    found = cut_costs(row)
    if form == "json":
        import json

        print_answer(json.dumps([cut.to_json() for cut in found], indent=2) + "\n")
    else:
        print_table(CUT_COLUMNS, [_cut_cells(cut) for cut in found])
        print_line(_describe_blocks(row))


def _describe_blocks(row: Backbone) -> str:
    """Describe a backbone's blocks and the fewest unfrozen layers that have weights to train."""
    anatomy = row.anatomy
    if anatomy.blocks == 0:
        return f"its blocks are not known; unfreeze at least {anatomy.least()} layers"
    return f"{anatomy.blocks} {anatomy.block}s; unfreeze at least {anatomy.least()} layers"


def _cut_cells(cut: "CutCost") -> list[str]:
    return [
        cut.name,
        str(cut.depth.layers),
        str(cut.depth.blocks),
        str(cut.values),
        f"{cut.multiply_adds / 1e6:.1f} M",
        f"{cut.share:.1%}",
    ]


def _plain(row: Backbone) -> dict[str, object]:
    return {
        "name": row.name,
        "family": row.family,
        "image_px": row.image_px,
        "min_px": row.min_px,
        "max_px": row.max_px,
        "layers": row.layers,
        "blocks": row.anatomy.blocks,
        "block": row.anatomy.block,
        "block_layers": row.anatomy.block_layers[1:],
        "first_trainable": row.anatomy.least(),
        "multiply_adds": row.multiply_adds,
        "parameters": row.parameters,
        "memory_bytes": needed_bytes(row, row.image_px),
        "top1": row.published and row.published.top1,
        "top1_source": row.published and row.published.source,
        "preprocessing": _preprocessing(row),
        "weights": row.default_weights,
        "trained_on": row.trained_on,
        "licence": row.licence,
        "export": formats_of(row),
    }


def _cells(row: Backbone) -> list[str]:
    return [
        row.name,
        str(row.image_px),
        str(row.min_px),
        str(row.layers),
        _billions(row),
        f"{_millions(row)}M",
        f"{needed_bytes(row, row.image_px) / 1e9:.1f}",
        "-" if row.published is None else f"{row.published.top1}%",
        _preprocessing(row),
    ]


def _billions(row: Backbone) -> str:
    billions = row.multiply_adds / 1e9
    return f"{billions:.3f}" if billions < 100 else f"{billions:.1f}"


def _millions(row: Backbone) -> str:
    millions = row.parameters / 1e6
    return f"{millions:.1f}" if millions < 1000 else f"{millions:.0f}"


def _preprocessing(row: Backbone) -> str:
    return "inside" if row.preprocess == "none" else row.preprocess
