"""A finished trial -> a bundle: its model in each format, every file reloaded and compared."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tlsearch.base.cores import granted_cores
from tlsearch.base.digests import sha256, size
from tlsearch.base.errors import ConfigError, RecordError, TlsearchError
from tlsearch.base.files import is_special, write_json, write_text
from tlsearch.base.leftovers import scratch_beside
from tlsearch.base.phases import Counter, counting, counting_each, phase
from tlsearch.bundle.export_request import EXPORTING, ExportRequest
from tlsearch.bundle.manifest import (
    CARD,
    LABELS,
    Artifact,
    FileInput,
    Manifest,
    is_replaceable,
)
from tlsearch.bundle.metrics import accuracy
from tlsearch.bundle.open_bundle import BATCH, batched, read_ahead
from tlsearch.bundle.reload_check import Checked, check_in_clean_process
from tlsearch.config.catalog import BACKBONES, EXPORT_FORMATS, ExportFormat
from tlsearch.data.decode import read_pixels
from tlsearch.data.sources import ImageData, original_pictures
from tlsearch.training.checkpoint import load_checkpoint
from tlsearch.training.export.as_recorded import require_as_recorded
from tlsearch.training.export.formats import Exportable, write
from tlsearch.training.export.model_card import model_card
from tlsearch.training.export.soundness import Changes, require_finite, require_sound
from tlsearch.training.export.whole_model import (
    any_size_model,
    restore,
    square_model,
    trial_probabilities,
)
from tlsearch.training.network.model import Network

CALIBRATION_IMAGES = 200
ORIENTATION = "turned upright as its EXIF tag says, before anything else"
RESIZE = "to a square of image_px, proportions not kept, bilinear, antialiased"


@dataclass(frozen=True, eq=False)
class Exported:
    """What an export wrote, and the trained network's probabilities on the validation split."""

    manifest: Manifest
    validation: NDArray[Any]


def export_bundle(request: ExportRequest) -> Exported:
    """Write a bundle folder; it appears whole, and holds only files that passed.

    Each file is reloaded in a clean process and predicts the original pictures of the validation
    split. A format that fails is left out, and the manifest says why. Where none passes there is no
    bundle, and RecordError names each file and the link of the chain that broke; ConfigError where
    only packages are missing.
    """
    _refuse_foreign(request.out)
    with scratch_beside(request.out) as folder:
        bundle = folder / "bundle"
        bundle.mkdir()
        exported = _fill(bundle, folder / "pictures", request)
        _replace(bundle, request.out)
    return exported


def _fill(bundle: Path, scratch: Path, request: ExportRequest) -> Exported:
    checkpoint = load_checkpoint(request.checkpoint)
    network = restore(checkpoint, len(request.data.classes))
    model = _exportable(network, checkpoint.trial, request.data)
    pictures = original_pictures(
        request.pictures_from, request.data.splits["validation"], scratch, request.data.bits
    )
    references = _References(network, model, request.data, pictures)
    require_as_recorded(checkpoint, references.labels, references.squares, request.recorded)
    artifacts, failed = _artifacts(bundle, model, references, request)
    manifest = _manifest(checkpoint.trial, network, references, artifacts, request)
    manifest = manifest.model_copy(update={"left_out": _reasons(failed)})
    manifest.write(bundle)
    write_json(bundle / LABELS, list(request.data.classes))
    card = model_card(checkpoint.trial, manifest, references.labels, references.squares, request)
    write_text(bundle / CARD, card)
    return Exported(manifest, references.squares)


class _References:
    """What the trained network itself says of the validation pictures: what files must agree with.

    By squares as in training, and by the resize that any-size files hold inside.
    """

    def __init__(
        self, network: Network, model: Exportable, data: ImageData, pictures: Sequence[Path]
    ) -> None:
        self.pictures = pictures
        self.labels = data.split_labels("validation")
        self.squares = trial_probabilities(network, data, "validation")
        self.accuracy = accuracy(self.labels, self.squares)
        self.bits = data.bits
        self._model = model
        self._any_size: NDArray[Any] | None = None

    def of(self, form: ExportFormat) -> NDArray[Any]:
        """Probabilities, (n, classes), that a file of this format must give."""
        if not form.any_size:
            return self.squares
        if self._any_size is None:
            self._any_size = self._by_the_resize_inside()
        return self._any_size

    def _by_the_resize_inside(self) -> NDArray[Any]:
        inside = self._model.any_size.get_layer("resize")
        read = read_ahead(lambda picture: read_pixels(picture, self.bits), self.pictures)
        resized = (np.asarray(inside(pixels[None].astype(np.float32))[0]) for pixels in read)
        with phase("resizing", len(self.pictures), "pictures") as counter:
            blocks = batched(counting_each(resized, counter), lambda square: square.nbytes)
            return np.concatenate([self._model.square(np.stack(b), training=False) for b in blocks])


def _exportable(network: Network, trial: Any, data: ImageData) -> Exportable:
    train = data.images("train")
    rows = np.linspace(0, len(train) - 1, min(CALIBRATION_IMAGES, len(train))).astype(np.int64)
    return Exportable(
        any_size=any_size_model(network, trial),
        square=square_model(network, trial),
        labels=data.classes,
        calibration=train[rows],
        bits=data.bits,
    )


def _artifacts(
    bundle: Path, model: Exportable, references: _References, request: ExportRequest
) -> tuple[list[Artifact], dict[str, TlsearchError]]:
    """The files that passed, and why each other format did not; its error where none passed."""
    passed: list[Artifact] = []
    failed: dict[str, TlsearchError] = {}
    counter = counting(EXPORTING, len(request.formats), "formats")
    for name in counting_each(request.formats, counter):
        try:
            passed.append(_artifact(bundle, name, model, references, request))
        except (ConfigError, RecordError) as error:
            failed[name] = error
            _remove(bundle / EXPORT_FORMATS[name].file)
    if not passed:
        raise _no_bundle(failed)
    return passed, failed


def _no_bundle(failed: Mapping[str, TlsearchError]) -> TlsearchError:
    """That nothing was exported, and why; a ConfigError where only packages are missing."""
    lines = [f"nothing was exported: {name}: {why}" for name, why in _reasons(failed).items()]
    if all(isinstance(error, ConfigError) for error in failed.values()):
        return ConfigError(lines)
    return RecordError("\n".join(lines))


def _reasons(failed: Mapping[str, TlsearchError]) -> dict[str, str]:
    return {name: str(error) for name, error in failed.items()}


def _remove(path: Path) -> None:
    """Whatever a conversion that failed left there: a file, a folder, or nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _artifact(
    bundle: Path, name: str, model: Exportable, references: _References, request: ExportRequest
) -> Artifact:
    form = EXPORT_FORMATS[name]
    path = bundle / form.file
    with phase("writing", 1, "file", subject=name) as counter:
        write(name, model, path)
        counter.advance()
    with phase("verifying", len(references.pictures), "pictures", subject=name) as counter:
        checked = _check(path, form, references, model, request.timed, counter)
    expected, found = references.of(form), checked.probabilities
    require_finite(form, found)
    artifact = Artifact(
        format=name,
        path=form.file,
        bytes=size(path),
        sha256=sha256(path),
        parity=float(np.abs(expected - found).max()),
        agreement=float((expected.argmax(axis=1) == found.argmax(axis=1)).mean()),
        accuracy=accuracy(references.labels, found),
        latency_ms=checked.latency_ms,
        input=_input(form, int(model.square.input_shape[1])),
    )
    require_sound(artifact, Changes.between(references.labels, references.squares, found))
    return artifact


def _input(form: ExportFormat, image_px: int) -> FileInput:
    px = None if form.any_size else image_px
    return FileInput(dtype=form.dtype, low=0, high=255, shape=(None, px, px, 3))


def _check(
    path: Path,
    form: ExportFormat,
    references: _References,
    model: Exportable,
    timed: bool,
    counter: Counter,
) -> Checked:
    """Predict in one clean process; if `timed`, time batches there and again on one thread."""
    image_px, cores = int(model.square.input_shape[1]), granted_cores()
    batches = (1, BATCH) if timed else ()
    pictures, bits = references.pictures, references.bits
    checked = check_in_clean_process(
        path, form, pictures, image_px, cores, batches, bits, counter.reach
    )
    latency = {f"batch {b}, {cores} threads": ms for b, ms in checked.latency_ms.items()}
    if timed:
        alone = check_in_clean_process(path, form, (), image_px, 1, batches)
        latency |= {f"batch {b}, 1 thread": ms for b, ms in alone.latency_ms.items()}
    return Checked(checked.probabilities, latency)


def _manifest(
    trial: Any,
    network: Network,
    references: _References,
    artifacts: Sequence[Artifact],
    request: ExportRequest,
) -> Manifest:
    row = BACKBONES[trial.backbone]
    known = trial.weights in ("default", "imagenet", "shipped")
    return Manifest(
        labels=request.data.classes,
        classes=dict(request.pictures_from.classes or {}),
        bits=None if request.data.bits is None else dict(request.data.bits),
        image_px=trial.image_px,
        input="image: (n, height, width, 3) RGB, 0 ... 255; squares of image_px where not any size",
        output="probabilities: (n, classes) float32, in the order of labels",
        orientation=ORIENTATION,
        resize=RESIZE,
        test=request.test,
        trained_accuracy=references.accuracy,
        pictures=len(references.pictures),
        backbone=trial.backbone,
        weights=trial.weights,
        weights_licence=row.licence if known else "that of the weights you gave",
        network=network.backbone.digest,
        data_fingerprint=request.data.fingerprint,
        versions=request.versions,
        artifacts=tuple(artifacts),
    )


def _refuse_foreign(out: Path) -> None:
    """Only an older bundle, or nothing, gives way to a new one."""
    if not is_replaceable(out):
        raise ConfigError(
            [
                f"--out: {out} exists and is not a bundle, or holds other files too, which would "
                "be lost; give another place"
            ]
        )


def _replace(bundle: Path, out: Path) -> None:
    """Put the finished folder in its place; an older one gives way."""
    if out.exists():
        old = bundle.with_name("old")
        os.replace(out, old)
    os.replace(bundle, out)


def _put(file: Path, out: Path) -> None:
    """Give a finished file its name; what is no file there, as a pipe, is written into."""
    if is_special(out):
        shutil.copyfile(file, out)
    else:
        os.replace(file, out)


def export_file(request: ExportRequest) -> Exported:
    """Export one `.keras` file, verified as in a bundle, without the rest of the bundle."""
    with scratch_beside(request.out) as bundle:
        exported = _fill(bundle, bundle / "pictures", request)
        _put(bundle / exported.manifest.artifact("keras").path, request.out)
    return exported
