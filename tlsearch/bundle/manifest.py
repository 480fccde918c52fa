"""manifest.json: the contents of a bundle, and the measurements of each of its files."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from tlsearch.base.digests import sha256
from tlsearch.base.errors import RecordError
from tlsearch.base.files import write_text
from tlsearch.base.links import read_plain, refuse_link
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.results.record.file_names import MANIFEST

LABELS = "labels.json"
CARD = "model_card.md"
# The names of all files that a bundle may contain.
FILES = frozenset((MANIFEST, LABELS, CARD, *(form.file for form in EXPORT_FORMATS.values())))


MANIFEST_BYTES = 16 * 2**20
MAX_PX = 1024  # as `data.image_px` allows

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FileInput(_Plain):
    """The input of a model file: pixels of type `dtype` from `low` to `high`, of shape `shape`.

    None in `shape` stands for any size.
    """

    dtype: Literal["float32", "uint8"]
    low: float
    high: float
    shape: tuple[int | None, int | None, int | None, int]


class TestScore(_Plain):
    """The score on the test split, which was evaluated once, on `pictures` images.

    `low` to `high` is its 95 % interval, by the method that `interval` names.
    """

    __test__ = False  # pytest would collect it by its name

    metric: str
    value: float
    low: float | None = None
    high: float | None = None
    interval: str | None = None
    pictures: Count | None = None


class Artifact(_Plain):
    """One model file. `parity`: largest difference of a probability from the trained network.

    `rounding` is measured only if this difference is larger than usual: how far the network's own
    probabilities move when every pixel value grows by a millionth. `agreement` and `accuracy` are
    shares of the validation images. `latency_ms` maps a batch size and thread count ("batch 1, 1
    thread") to the median of its runs. `input` is None in bundles of older versions.
    """

    format: str
    path: str
    bytes: Count
    sha256: str
    parity: Annotated[float, Field(ge=0)]
    rounding: Annotated[float, Field(ge=0)] | None = None
    agreement: Share
    accuracy: Share
    latency_ms: dict[str, Annotated[float, Field(ge=0)]] = {}
    input: FileInput | None = None

    @model_serializer(mode="wrap")
    def _without_absent_rounding(self, to_plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out an absent `rounding`, so that versions before it read the manifest too."""
        plain: dict[str, Any] = to_plain(self)
        if self.rounding is None:
            del plain["rounding"]
        return plain

    @property
    def remark(self) -> str | None:
        """Why the file may differ by more than usual; None if it does not."""
        if self.rounding is None:
            return None
        return (
            f"{self.path}: differs by more than usual, because this network amplifies rounding: "
            f"its own probabilities change by {self.rounding:.1e} when every pixel value grows by "
            "a millionth"
        )

    @property
    def row(self) -> ExportFormat:
        """The catalogue's entry for this format."""
        return EXPORT_FORMATS[self.format]


class Manifest(_Plain):
    """The description of a whole bundle.

    `classes` maps class names as found in the data to labels, as the search configured it.
    `bits` maps the bit depth that a 16-bit image states (0: none) to the depth at which training
    read it; if it is None, as in bundles of older versions, only the upper byte counts.
    `orientation` says how an image is turned upright before it is resized; `resize` says how images
    become the squares that fixed-size files take. `test` is None if the test split was not
    evaluated. Bundles of older versions have no `orientation` and no `test`. `network` is the
    digest of the pretrained network before training. `left_out` maps each requested format that
    failed to the reason.
    """

    labels: Annotated[tuple[str, ...], Field(min_length=1)]
    classes: dict[str, str] = {}
    bits: dict[Annotated[int, Field(ge=0, le=16)], Annotated[int, Field(ge=1, le=16)]] | None = None
    image_px: Annotated[int, Field(ge=1, le=MAX_PX)]
    input: str
    output: str
    orientation: str = ""
    resize: str
    trained_accuracy: Share
    test: TestScore | None = None
    pictures: Count
    backbone: str
    weights: str
    weights_licence: str
    network: str | None = None
    data_fingerprint: str
    versions: dict[str, str]
    artifacts: Annotated[tuple[Artifact, ...], Field(min_length=1)]
    left_out: dict[str, str] = {}

    @model_validator(mode="after")
    def _name_once(self) -> Self:
        for names in (self.labels, [artifact.format for artifact in self.artifacts]):
            if len({*names}) < len(names):
                raise ValueError("a duplicate label or format")
        return self

    def write(self, bundle: Path) -> None:
        """Write the manifest into the bundle's folder, atomically."""
        write_text(bundle / MANIFEST, self.model_dump_json(indent=2) + "\n")

    def artifact(self, form: str | None) -> Artifact:
        """Return the artifact of a format, by default the first that is not a program.

        Raises RecordError if the bundle has none.
        """
        for artifact in self.artifacts:
            if form == artifact.format or (form is None and not artifact.row.program):
                return artifact
        held = ", ".join(artifact.format for artifact in self.artifacts)
        if form is None:
            raise RecordError(
                f"this bundle holds only {held}, a program that may read and write files: if you "
                f"trust its maker, open it with --artifact {self.artifacts[0].format}"
            )
        raise RecordError(f"no {form} in this bundle, which holds: {held}")


def incomplete_error(left_out: Mapping[str, str]) -> RecordError | None:
    """Return the error that names the formats left out of a bundle; None if there are none."""
    lines = [f"left out of the bundle: {name}: {why}" for name, why in left_out.items()]
    return RecordError("\n".join(lines)) if lines else None


def read_manifest(bundle: Path) -> Manifest:
    """Read and validate a bundle's manifest; raises RecordError if it is missing or invalid."""
    path = bundle / MANIFEST
    try:
        manifest = Manifest.model_validate_json(read_plain(path, MANIFEST_BYTES))
    except FileNotFoundError:
        raise RecordError(f"{bundle}: not a bundle (no {MANIFEST} in it)") from None
    except (ValidationError, OSError) as error:
        reason = _reason(error)
        raise RecordError(f"{path}: damaged, or of another version ({reason})") from None
    unknown = [a.format for a in manifest.artifacts if a.format not in EXPORT_FORMATS]
    if unknown:
        raise RecordError(f"{path}: formats that this version does not know: {', '.join(unknown)}")
    return manifest


def _reason(error: ValidationError | OSError) -> str:
    """Return the first problem, in one line."""
    if isinstance(error, OSError):
        return str(error)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    return ": ".join(part for part in (where, first["msg"].splitlines()[0]) if part)


def is_replaceable(out: Path) -> bool:
    """Return whether a new bundle may replace this path without losing other files.

    True if the path does not exist, is an empty folder, or is a bundle with no other files. A
    folder with `labels.json` counts as a bundle even if its manifest is damaged.
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
    """Return the path of an artifact's file or folder in the bundle.

    Raises RecordError if it is missing, is not at the path of its format in the bundle, is or
    contains a symbolic link or a special file, or, with `verify`, has changed since the export.
    """
    relative = PurePosixPath(artifact.path)
    if relative.is_absolute() or ".." in relative.parts:
        raise RecordError(f"{bundle}: the manifest points outside the bundle ({artifact.path})")
    if artifact.path != artifact.row.file:
        raise RecordError(
            f"{bundle}: the manifest names {artifact.format} in {artifact.path}, expected it in "
            f"{artifact.row.file}"
        )
    path = bundle.resolve() / relative
    if not path.exists() and not path.is_symlink():
        raise RecordError(f"{path}: named in the manifest, but missing")
    _require_plain(path)
    if verify and sha256(path) != artifact.sha256:
        raise RecordError(
            f"{path}: changed since it was exported (its sha256 is not the manifest's); "
            "export it again, or use --no-verify if you trust it"
        )
    return path


def _require_plain(path: Path) -> None:
    """Raise RecordError unless the path is a regular file, or a folder of files and folders."""
    refuse_link(path)
    if path.is_dir():
        for entry in path.iterdir():
            _require_plain(entry)
    elif not path.is_file():
        raise RecordError(f"{path}: neither a file nor a folder")
