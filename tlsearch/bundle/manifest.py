"""manifest.json: what a bundle holds, and what each file was measured to be."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from tlsearch.base.errors import RecordError
from tlsearch.base.files import write_text
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat

MANIFEST = "manifest.json"
LABELS = "labels.json"
CARD = "model_card.md"
# Everything that a bundle may hold, by name.
FILES = frozenset((MANIFEST, LABELS, CARD, *(form.file for form in EXPORT_FORMATS.values())))


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Artifact(_Plain):
    """One model file. `parity`: largest difference of a probability from the trained network.

    `agreement` and `accuracy` are shares of the validation pictures; `latency_ms` maps a batch size
    and threads ("batch 1, 1 thread") to the median of its runs.
    """

    format: str
    path: str
    bytes: int
    sha256: str
    parity: float
    agreement: float
    accuracy: float
    latency_ms: dict[str, float] = {}

    @property
    def row(self) -> ExportFormat:
        """The catalogue's row of this format."""
        return EXPORT_FORMATS[self.format]


class Manifest(_Plain):
    """A whole bundle. `resize` says how pictures become the squares that fixed-size files take;
    `classes` is the map of class names, from what was found to labels, that the search was given;
    `network` the digest of the pretrained network, before training. `bits` maps the depth that a
    picture of 16 bits states (0: none) to the depth at which it was read in training; without it
    only the upper byte counts, as in bundles of before. `left_out` maps each format that was asked
    for and failed to the reason.
    """

    labels: tuple[str, ...]
    classes: dict[str, str] = {}
    bits: dict[int, int] | None = None
    image_px: int
    input: str
    output: str
    resize: str
    trained_accuracy: float
    pictures: int
    backbone: str
    weights: str
    weights_licence: str
    network: str | None = None
    data_fingerprint: str
    versions: dict[str, str]
    artifacts: tuple[Artifact, ...]
    left_out: dict[str, str] = {}

    def write(self, bundle: Path) -> None:
        """Write it into the bundle, whole."""
        write_text(bundle / MANIFEST, self.model_dump_json(indent=2) + "\n")

    def artifact(self, form: str | None) -> Artifact:
        """The artifact of a format, by default the first; RecordError where there is none."""
        for artifact in self.artifacts:
            if form in (None, artifact.format):
                return artifact
        held = ", ".join(artifact.format for artifact in self.artifacts)
        raise RecordError(f"no {form} in this bundle, which holds: {held}")


def incomplete(left_out: Mapping[str, str]) -> RecordError | None:
    """What to end with where formats were left out of a bundle, None where none was."""
    lines = [f"left out of the bundle: {name}: {why}" for name, why in left_out.items()]
    return RecordError("\n".join(lines)) if lines else None


def read_manifest(bundle: Path) -> Manifest:
    """Read and check a bundle's manifest; RecordError where it is missing or not one."""
    path = bundle / MANIFEST
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise RecordError(f"{bundle}: not a bundle (no {MANIFEST} in it)") from None
    except (ValidationError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RecordError(f"{path}: damaged, or of another version ({reason})") from None
    unknown = [a.format for a in manifest.artifacts if a.format not in EXPORT_FORMATS]
    if unknown:
        raise RecordError(f"{path}: formats that this version does not know: {', '.join(unknown)}")
    return manifest


def is_replaceable(out: Path) -> bool:
    """Whether nothing is lost where a new bundle takes this place: nothing is there, an empty
    folder, or a bundle and no other file. A damaged manifest beside labels is a bundle's.
    """
    if not out.exists():
        return True
    if not out.is_dir() or not {entry.name for entry in out.iterdir()} <= FILES:
        return False
    if (out / LABELS).is_file() or not any(out.iterdir()):
        return True
    try:
        read_manifest(out)
    except RecordError:
        return False
    return True


def locate(bundle: Path, artifact: Artifact, verify: bool = True) -> Path:
    """The file of an artifact, inside the bundle and, with `verify`, unchanged since the export."""
    relative = PurePosixPath(artifact.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise RecordError(f"{bundle}: the manifest points outside the bundle ({artifact.path})")
    path = (bundle / relative).resolve()
    if not path.is_relative_to(bundle.resolve()):
        raise RecordError(f"{bundle}: the manifest points outside the bundle ({artifact.path})")
    if not path.exists():
        raise RecordError(f"{path}: the manifest names it and it is not there")
    if verify and sha256(path) != artifact.sha256:
        raise RecordError(
            f"{path}: changed since it was exported (its sha256 is not the manifest's); "
            "export it again, or use --no-verify if you trust it"
        )
    return path


def sha256(path: Path) -> str:
    """The digest of a file; of a folder, that of its files' names and contents in order."""
    digest = hashlib.sha256()
    for file in files_of(path):
        if path.is_dir():
            digest.update(file.relative_to(path).as_posix().encode() + b"\0")
        with file.open("rb") as content:
            while chunk := content.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in files_of(path))


def files_of(path: Path) -> Iterator[Path]:
    """The file itself, or every file of a folder in order."""
    if path.is_dir():
        yield from sorted(p for p in path.rglob("*") if p.is_file())
    else:
        yield path
