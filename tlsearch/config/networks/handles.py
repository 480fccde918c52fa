"""Presets of KerasHub by other names than the catalogue's: `hub:NAME`, an address on a hub, or a
folder.
"""

import functools
import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlsearch.base.errors import ConfigError, first_line
from tlsearch.base.files import Stamp, absolute_path, parse_json, stamp, write_text
from tlsearch.config.extras import require_extra
from tlsearch.config.networks.own import networks_folder
from tlsearch.config.networks.preset_config import parse_preset
from tlsearch.config.networks.presets import CONDITIONAL, PRESETS, Family, Preset, Scaling
from tlsearch.config.networks.row import Backbone, preset_row
from tlsearch.config.spelling import did_you_mean

EXTRA = "hub"
ALIAS = "hub:"
_CONFIG = "config.json"
_ADDRESS = re.compile(r"hf://[\w.-]+/[\w.-]+|kaggle://[\w.-]+/[\w.-]+/keras/[\w.-]+(/\d+)?")
_EXPECTED = "hf://USER/REPOSITORY or kaggle://USER/MODEL/keras/VARIANT"
_FAMILIES = {preset.family.keras_hub: preset.family for preset in PRESETS}
# Parts of the hub packages' errors for files that need a login.
_GATED = ("not accessible", "gated", "403", "401")
# These means are subtracted from pixels in 0 ... 1, which are then divided by these deviations.
_SCALES: dict[Scaling, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "tf": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "torch": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "unit": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


def is_preset_handle(name: str) -> bool:
    """Whether a name is `hub:NAME`, a hub address, or a folder that holds a `config.json`.

    False for the catalogue's own names of presets.
    """
    return (
        name.startswith((ALIAS, "hf:", "kaggle:"))
        or (absolute_path(Path(name)) / _CONFIG).is_file()
    )


def preset_name(name: str) -> str:
    """The name that a preset has in every process; raises ConfigError if it cannot be used.

    The description of a network on a hub is downloaded if it was not before.
    """
    if name.startswith(ALIAS):
        return _catalogue_name(name.removeprefix(ALIAS))
    if not name.startswith(("hf:", "kaggle:")):
        full = str(absolute_path(Path(name)))
        _row(full, absolute_path(Path(name)) / _CONFIG)
        return full
    kept = kept_description(name)
    if kept is None:
        raise ConfigError([f"{name}: expected {_EXPECTED}"])
    if not kept.is_file():
        write_text(kept, _download_config(name).read_text(encoding="utf-8"))
    _row(name, kept)
    return name


def known_preset(name: str) -> Backbone | None:
    """The row of a preset by its full name; None if its description is not on this machine."""
    path = kept_description(name) or Path(name) / _CONFIG
    if not path.is_absolute():
        return None
    try:
        return _row(name, path)
    except ConfigError:
        return None


def unavailable_message(name: str, error: Exception) -> str:
    """The reason why a file of a hub could not be loaded, and what to do, in one line."""
    problem = f"{name}: could not be loaded from its hub ({first_line(error)})"
    if any(sign in str(error) for sign in _GATED):
        return (
            f"{problem}; accept its terms on the page of the model, then set HF_TOKEN, or "
            "KAGGLE_USERNAME and KAGGLE_KEY"
        )
    return (
        f"{problem}; check its name, or download it where the hub can be reached and set HF_HOME "
        "or KAGGLEHUB_CACHE to that cache, or name the folder of the preset as the backbone"
    )


def _reason(error: Exception) -> str:
    return f"lacks {error}" if isinstance(error, KeyError) else first_line(error)


def _catalogue_name(handle: str) -> str:
    """The catalogue's name of a preset that KerasHub publishes as `handle`."""
    known = {preset.handle: preset.name for preset in PRESETS}
    if handle not in known:
        raise ConfigError([f"{ALIAS}{handle}: no such preset, {did_you_mean(handle, known)}"])
    return known[handle]


def kept_description(name: str) -> Path | None:
    """The file that keeps the description of a network on a hub; None for other names."""
    if not _ADDRESS.fullmatch(name):
        return None
    return networks_folder() / re.sub(r"\W+", ".", name) / _CONFIG


def _download_config(handle: str) -> Path:
    """Download the description of a network on a hub to the cache of the hub's own package."""
    require_extra(f"space.backbone: {handle}", EXTRA)
    scheme, _, place = handle.partition("://")
    try:
        if scheme == "hf":
            hub = importlib.import_module("huggingface_hub")
            return Path(hub.hf_hub_download(repo_id=place, filename=_CONFIG))
        hub = importlib.import_module("kagglehub")
        return Path(hub.model_download(place, _CONFIG))
    except Exception as error:  # each hub's package raises its own kinds
        raise ConfigError([unavailable_message(handle, error)]) from error


def _row(name: str, path: Path) -> Backbone:
    try:
        return _read(name, path, stamp(path))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError([f"{name}: {path.name}: {_reason(error)}"]) from error


@functools.lru_cache(maxsize=64)
def _read(name: str, path: Path, _version: Stamp) -> Backbone:
    keras_hub, spec, px = parse_preset(parse_json(path.read_text(encoding="utf-8")))
    family = _family(name, keras_hub, path.parent)
    return preset_row(Preset(name, name, spec, px, family))


def _family(name: str, keras_hub: str, folder: Path) -> Family:
    """The catalogue's family of that class, except for facts that differ for others' weights."""
    known = _FAMILIES[keras_hub.replace("SigLIPVisionEncoder", "SigLIPBackbone")]
    licence = known.licence if known.licence in CONDITIONAL else f"that of {name}"
    scale = _scale(folder) or known.normalises
    return Family(known.name, keras_hub, scale, "not known", licence)


def _scale(folder: Path) -> Scaling | None:
    """The scaling of pixels that a folder states; None if it states none.

    Raises ValueError if no preprocessing here does the same.
    """
    for name, read in (
        ("image_converter.json", _of_keras_hub),
        ("preprocessor_config.json", _of_transformers),
    ):
        if not (folder / name).is_file():
            continue
        found = read(parse_json((folder / name).read_text(encoding="utf-8")))
        for kind, known in _SCALES.items():
            if all(map(_alike, found, known)):
                return kind
        means, deviations = found
        raise ValueError(
            f"{name} takes {means} from pixels and divides them by {deviations}, expected one of "
            f"{[*map(list, _SCALES.values())]}"
        )
    return None


def _alike(found: list[float], known: tuple[float, ...]) -> bool:
    return all(abs(one - other) < 1e-3 for one, other in zip(found, known, strict=True))


def _of_keras_hub(config: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    """Means and deviations of pixels that are multiplied by `scale` and moved by `offset`."""
    scale, offset = (_of_channels(config["config"][name]) for name in ("scale", "offset"))
    deviations = [1 / (255 * one) for one in scale]
    return [-one * by for one, by in zip(offset, deviations, strict=True)], deviations


def _of_transformers(config: Mapping[str, Any]) -> tuple[list[float], list[float]]:
    return _of_channels(config["image_mean"]), _of_channels(config["image_std"])


def _of_channels(value: Any) -> list[float]:
    return [float(one) for one in (value if isinstance(value, list) else [value] * 3)]
