"""The attacked files: studies of earlier versions, a fresh study with its bundle, and pictures."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

EARLIER = Path(__file__).parents[1] / "earlier_studies"
SPACES = Path(__file__).parents[2] / "search_spaces"
FRESH = """
data: {{kind: digits, image_px: 32, splits: {{train: 60, validation: 60, test: 60}}}}
space:
  backbone: strokes
  unfrozen_layers: [0, 3]
  head_lr: {{low: 1e-3, high: 3e-2, log: true}}
  fine_tune_lr: {{low: 1e-4, high: 1e-2, log: true}}
epochs: 3
trials: 3
confirm: 1
export: [keras, litert, saved_model]
cache: {cache}
"""


class Victims(NamedTuple):
    """Folders to copy, damage and pass to a command; a fresh study and its bundle are optional."""

    studies: tuple[Path, ...]
    fresh: Path | None
    bundle: Path | None
    pictures: dict[str, bytes]


def earlier(root: Path) -> Victims:
    """Return the files that need no search."""
    return Victims(_earlier_studies(root), None, None, pictures())


def fresh(root: Path) -> Victims:
    """Return these files and a study of this version, run now, with the bundle it exported."""
    (root / "space.yaml").write_text(FRESH.format(cache=root / "cache"))
    study = root / "fresh"
    subprocess.run(
        [sys.executable, "-m", "tlsearch.cli.main", "run", "space.yaml", "--study", str(study)],
        cwd=root,
        env={**os.environ, "HOME": str(root)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    shutil.rmtree(study / "ray", ignore_errors=True)
    return Victims((*_earlier_studies(root), study), study, study / "best", pictures())


def _earlier_studies(root: Path) -> tuple[Path, ...]:
    copies = []
    for study in sorted(EARLIER.iterdir()):
        copy = Path(shutil.copytree(study, root / study.name))
        about = copy / "study.yaml"
        about.write_text(about.read_text().replace("CACHE", str(root / "cache")))
        copies.append(copy)
    return tuple(copies)


def pictures() -> dict[str, bytes]:
    """Return one small picture per supported format, with an EXIF block if the format allows it."""
    noise = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif.update(
        {0x0112: 6, 0x0128: 2, 0x011A: 72.0, 0x010F: "maker", 0x0132: "2020:01:01 00:00:00"}
    )
    exif.get_ifd(0x8769).update({0x9286: b"comment", 0xA002: 32, 0xA003: 24})
    found = {}
    for form, suffix in (("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif")):
        found[suffix] = _encoded(Image.fromarray(noise), form, exif=exif)
    for form, suffix in (("BMP", "bmp"), ("GIF", "gif")):
        found[suffix] = _encoded(Image.fromarray(noise), form)
    return found


def _encoded(image: Image.Image, form: str, **options: Image.Exif) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()
