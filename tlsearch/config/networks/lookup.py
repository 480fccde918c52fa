"""The row of a backbone, by whatever name a search space gives it."""

from pathlib import Path

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.networks.handles import (
    is_preset_handle,
    kept_description,
    known_preset,
    preset_name,
)
from tlsearch.config.networks.own import imported_path, is_own, local_copy, networks_folder, own_row
from tlsearch.config.networks.row import Backbone
from tlsearch.config.spelling import one_of


def row_of(name: str) -> Backbone:
    """The row of a backbone; raises ConfigError, with the nearest name, if there is none."""
    row = known_row(name)
    if row is not None:
        return row
    if is_outside_catalogue(name):
        raise ConfigError(
            [
                f"{name}: this stored network is not on this machine; run `tlsearch validate` on a "
                "search space whose backbone is the original file, function or hub address, which "
                "stores it again"
            ]
        )
    raise ConfigError([one_of(BACKBONES, "backbone").why(name)])


def known_row(name: str) -> Backbone | None:
    """The row of a backbone, None if there is none: a record may name one of another version."""
    return BACKBONES.get(name) or own_row(name) or known_preset(name)


def full_name(name: str) -> str:
    """The canonical name of a backbone; raises ConfigError if there is none.

    A network of the user's own is imported first, which takes seconds; its name is the path of the
    imported file.
    """
    if name in BACKBONES:
        return name
    if is_preset_handle(name):
        return preset_name(name)
    return imported_path(name) if is_own(name) else row_of(name).name


def kept_file(name: str) -> Path | None:
    """The file in `networks_folder` that defines a backbone: an imported network, or the
    description of a hub network; None for other backbones.
    """
    path = kept_description(name) or local_copy(Path(name))
    return path if path.is_relative_to(networks_folder()) else None


def is_outside_catalogue(name: str) -> bool:
    """Whether a name is a file, function, address or path, not a name of the catalogue."""
    return name not in BACKBONES and (
        is_own(name) or is_preset_handle(name) or Path(name).is_absolute()
    )
