"""The weight files of a search space, checked against their digests from the study's beginning."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tlsearch.base.digests import sha256
from tlsearch.base.errors import WeightsError
from tlsearch.config.catalog import DIGEST_DIGITS, PUT_BACK, UNRECORDED, WEIGHTS
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.schema import SearchConfig
from tlsearch.results.record.directory import StudyDirectory

log = logging.getLogger(__name__)


def weight_files(config: SearchConfig) -> dict[str, Path]:
    """Return name -> path of the weight files that are known before the first trial.

    A file that the user gave is named by its path; so are a network of the user's own and the
    folder of a preset. A shipped file is named by its backbone, because its path differs between
    machines. Files that Keras and KerasHub download are not included: only they know them.
    """
    named = config.space.weights.values
    rows = [row_of(name) for name in config.space.backbone.values]
    found = {name: Path(name) for name in named if name not in WEIGHTS}
    found |= {row.name: row.local_path for row in rows if row.local_path}
    if {"default", "shipped"} & set(named):
        ours = [row for row in rows if row.local_path is None]
        found |= {f"{row.name} (shipped)": row.shipped_path for row in ours if row.shipped_path}
    return found


def file_digests(config: SearchConfig) -> dict[str, str]:
    """Return the SHA-256 of each weight file by name, for study.yaml."""
    return {name: sha256(path) for name, path in weight_files(config).items()}


def require_same_files(
    home: StudyDirectory, about: Mapping[str, Any], config: SearchConfig
) -> None:
    """Raise WeightsError if a weight file has changed since the study began, or is missing.

    Warns if the study has no digests, because an earlier version of tlsearch wrote it.
    """
    recorded = about.get("weights", {}).get("files")
    if recorded is None:
        warn_of_unknown_weights(home)
        return
    for name, path in weight_files(config).items():
        if name in recorded:
            _require(name, path, recorded[name], home)


def warn_of_unknown_weights(home: StudyDirectory) -> None:
    """Warn that a study does not record which pretrained weights it was trained with."""
    log.warning("%s: %s", home.shown(home.study_file), UNRECORDED)


def _require(name: str, path: Path, recorded: str, home: StudyDirectory) -> None:
    if not path.exists():
        found = "no such file"
    else:
        digest = sha256(path)
        if digest == recorded:
            return
        found = digest[:DIGEST_DIGITS]
    raise WeightsError(
        f"{name}: these are not the pretrained weights that the study was trained with: "
        f"{home.shown(home.study_file)} recorded SHA-256 {recorded[:DIGEST_DIGITS]}, found {found} "
        f"in {path}; {PUT_BACK}"
    )
