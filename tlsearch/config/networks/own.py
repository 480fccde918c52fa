"""The user's own networks: a `.keras` file or a function, imported into a self-describing file.

A clean process loads or builds the network, checks it and writes the file, which holds the
description that the driver reads without TensorFlow.
"""

import functools
import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

from tlsearch.base.digests import sha256
from tlsearch.base.errors import ConfigError, last_line
from tlsearch.base.files import Stamp, absolute_path, parse_json, stamp
from tlsearch.base.phases import phase
from tlsearch.config.catalog import DIGEST_DIGITS
from tlsearch.config.networks.anatomy import ANATOMIES, Anatomy
from tlsearch.config.networks.row import OWN, Backbone, Preprocess

DESCRIPTION = "network.json"  # a member of the file
FILE = ".keras"
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
RULES = 1  # version of the conversion; with a new number, files are imported again
_IMPORTER = "tlsearch.training.network.own_network"
ANY_PX = 10**9  # more than any picture has


@dataclass(frozen=True)
class ImportRequest:
    """A network to import: an absolute path or "module:function", and its preprocessing.

    `folder` is the folder of the file to write, `name` its name if that is known beforehand.
    """

    source: str
    preprocess: Preprocess
    folder: str
    name: str | None


@dataclass(frozen=True)
class Description:
    """A file's description of its network: its source, and its layers as letters of an `Anatomy`.

    `image_px` is its image size, the only possible one if `fixed`, at which it takes
    `multiply_adds`. `vector`: its output is a pooled vector, not a feature map.
    """

    source: str
    preprocess: Preprocess
    letters: str
    image_px: int
    fixed: bool
    vector: bool
    multiply_adds: int
    parameters: int


def is_own(name: str) -> bool:
    """Whether a name has the form of a `.keras` file or a function."""
    source = _split_preprocessing(name)[0]
    return source.endswith(FILE) or FUNCTION.fullmatch(source) is not None


def imported_path(name: str) -> str:
    """Import the user's own network, and return the path of the imported file.

    A function is called each time; a file is loaded only if it was not imported before. Raises
    ConfigError if the network cannot be used.
    """
    source, preprocess = _split_preprocessing(name)
    if FUNCTION.fullmatch(source):
        return _import_in_subprocess(
            ImportRequest(source, preprocess, str(networks_folder()), None)
        )
    path = absolute_path(Path(source))
    if not path.is_file():
        raise ConfigError([f"{source}: no such file"])
    if _description(path) is not None:
        return str(path)
    digest = hashlib.sha256(f"{sha256(path)} {preprocess} {RULES}".encode()).hexdigest()
    file = networks_folder() / f"{path.stem}-{digest[:DIGEST_DIGITS]}{FILE}"
    if file.is_file() and _description(file) is not None:
        return str(file)
    return _import_in_subprocess(ImportRequest(str(path), preprocess, str(file.parent), file.name))


def own_row(name: str) -> Backbone | None:
    """The row of an imported network; None if its file is missing or not written by tlsearch."""
    path = local_copy(Path(name))
    about = _description(path) if name.endswith(FILE) else None
    return None if about is None else _row(name, path, about)


def local_copy(path: Path) -> Path:
    """The path on this machine of a file in `networks_folder`, from its path on another machine.

    Home directories may differ, but the file's name identifies its content. Any other path is
    returned unchanged.
    """
    copy = networks_folder() / path.name
    return copy if copy.is_file() and not path.is_file() else path


def _row(name: str, path: Path, about: Description) -> Backbone:
    return Backbone(
        name=name,
        family=OWN,
        build=f"{_IMPORTER}:own_network",
        preprocess=about.preprocess,
        reference=None,
        layers=len(about.letters),
        anatomy=_anatomy(about.letters),
        multiply_adds=about.multiply_adds,
        parameters=about.parameters,
        image_px=about.image_px,
        min_px=about.image_px if about.fixed else 1,
        max_px=about.image_px if about.fixed else None,
        single_px=ANY_PX if about.vector else 0,
        options={"path": str(path)},
        shipped=str(path),
        trained_on="not known",
        licence="that of your own network",
    )


def _anatomy(letters: str) -> Anatomy:
    """The anatomy of these layers, with blocks if a network of the catalogue has the same layers.

    Preprocessing layers before them may differ.
    """
    body = letters.lstrip("O")
    for known in ANATOMIES.values():
        before = len(letters) - known.layers
        if before >= 0 and known.letters.lstrip("O") == body:
            return Anatomy(known.block, "O" * before + known.words)
    return Anatomy("block", letters)


def _split_preprocessing(name: str) -> tuple[str, Preprocess]:
    """A name without the preprocessing that may follow its #, and that preprocessing."""
    source, _, declared = name.rpartition("#")
    for kind in get_args(Preprocess):
        if source and declared == kind:
            return source, kind
    return name, "none"


def networks_folder() -> Path:
    """The folder of imported networks and hub descriptions, shared by all studies."""
    return absolute_path(Path("~/.cache/tlsearch/networks"))


def _description(path: Path) -> Description | None:
    """The description in a file of an imported network; None for any other file."""
    try:
        return _read(path, stamp(path))
    except OSError:
        return None


@functools.lru_cache(maxsize=64)
def _read(path: Path, _version: Stamp) -> Description | None:
    try:
        with zipfile.ZipFile(path) as archive:
            return Description(**parse_json(archive.read(DESCRIPTION)))
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile):
        return None


def _import_in_subprocess(request: ImportRequest) -> str:
    """Import a network in a subprocess; return the path of its file."""
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    with phase("checking network", subject=request.source):
        done = subprocess.run(
            [sys.executable, "-m", _IMPORTER],
            input=json.dumps(asdict(request)),
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
    if done.returncode:
        why = last_line(done.stderr, f"exit code {done.returncode}")
        raise ConfigError([f"{request.source}: could not be checked and stored: {why}"])
    answer = parse_json(done.stdout.splitlines()[-1])
    if "problem" in answer:
        raise ConfigError([f"{request.source}: {answer['problem']}"])
    return str(answer["path"])
