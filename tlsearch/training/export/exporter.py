"""Export a finished trial as a bundle: a file per format, each one reloaded and compared."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tlsearch.base.array_types import Floats
from tlsearch.base.digests import sha256, size
from tlsearch.base.errors import ConfigError, RecordError, TlsearchError
from tlsearch.base.files import is_special, write_json, write_text
from tlsearch.base.leftovers import scratch_beside
from tlsearch.base.phases import Counter, counting_each, phase, phase_counter
from tlsearch.bundle.export_request import EXPORTING, ExportRequest
from tlsearch.bundle.manifest import (
    CARD,
    LABELS,
    Artifact,
    FileInput,
    Manifest,
    TestScore,
    is_replaceable,
)
from tlsearch.bundle.metrics import Labels, accuracy
from tlsearch.bundle.reload_check import Checkers
from tlsearch.config.catalog import EXPORT_FORMATS, ExportFormat
from tlsearch.config.networks.lookup import row_of
from tlsearch.config.spelling import file_name
from tlsearch.data.sources import ImageData, original_pictures
from tlsearch.training.export.formats import Exportable, write_format
from tlsearch.training.export.model_card import model_card
from tlsearch.training.export.soundness import (
    Changes,
    may_be_rounding,
    require_finite,
    require_sound,
)
from tlsearch.training.export.verify import Found, Verification
from tlsearch.training.export.whole_model import Restored, restore_recorded

CALIBRATION_IMAGES = 200
ORIENTATION = "turned upright as its EXIF tag says, before anything else"
RESIZE = "to a square of image_px, proportions not kept, bilinear, antialiased"

ScoreTest = Callable[[Restored], TestScore | None]
Written = tuple[dict[str, Path], dict[str, TlsearchError]]  # the files, and why others failed


@dataclass(frozen=True, eq=False)
class Exported:
    """The manifest of an export, and the probabilities of the trained network on the validation
    split.
    """

    manifest: Manifest
    validation: Floats


def export_bundle(
    request: ExportRequest, checkers: Checkers | None = None, score_test: ScoreTest | None = None
) -> Exported:
    """Write a bundle folder atomically; it contains only files that passed the check.

    Each file is reloaded in a clean process and predicts the original images of the validation
    split. A format that fails is left out, and the manifest gives the reason. If no format passes,
    there is no bundle: raises ConfigError if only packages are missing, otherwise RecordError,
    which names each file and the step that broke it. `checkers` are the clean processes if they are
    already running. `score_test` is called with the trial, once it scores on the validation split
    as recorded, to get the test score that the request lacks.
    """
    _refuse_foreign(request.out)
    with scratch_beside(request.out) as folder:
        bundle = folder / "bundle"
        bundle.mkdir()
        exported = _fill(bundle, folder / "pictures", request, checkers, score_test)
        _replace(bundle, request.out)
    return exported


def _fill(
    bundle: Path,
    scratch: Path,
    request: ExportRequest,
    checkers: Checkers | None = None,
    score_test: ScoreTest | None = None,
) -> Exported:
    counter = phase_counter(EXPORTING, len(request.formats), "formats")
    with checkers or Checkers(request.formats) as ready:
        data = request.data
        trained = restore_recorded(request.checkpoint, data, request.recorded)
        model = _exportable(trained, data)
        # The clean processes load the files while this process computes what they must predict.
        written = _write_formats(bundle, model, request, ready, counter)
        validation = data.splits["validation"]
        pictures = original_pictures(request.pictures_from, validation, scratch, data.bits)
        verification = Verification(model, trained, pictures, request.timed)
        if score_test is not None:
            request = replace(request, test=score_test(trained))
        artifacts, failed = _artifacts(bundle, written, verification, request, ready, counter)
    manifest = _manifest(trained, len(pictures), artifacts, request)
    manifest = manifest.model_copy(update={"left_out": _reasons(failed)})
    manifest.write(bundle)
    write_json(bundle / LABELS, list(data.classes))
    labels = data.split_labels("validation")
    card = model_card(trained.checkpoint.trial, manifest, labels, trained.validation, request)
    write_text(bundle / CARD, card)
    return Exported(manifest, trained.validation)


def _exportable(trained: Restored, data: ImageData) -> Exportable:
    train = data.images("train")
    rows = np.linspace(0, len(train) - 1, min(CALIBRATION_IMAGES, len(train))).astype(np.int64)
    return Exportable(
        network=trained.network,
        trial=trained.checkpoint.trial,
        labels=data.classes,
        calibration=train[rows],
        bits=data.bits,
    )


def _artifacts(
    bundle: Path,
    written: Written,
    verification: Verification,
    request: ExportRequest,
    checkers: Checkers,
    counter: Counter,
) -> tuple[list[Artifact], dict[str, TlsearchError]]:
    """Return the files that passed, and the error of every other format; raises if none passed."""
    files, failed = written
    passed: dict[str, Artifact] = {}
    labels = request.data.split_labels("validation")
    for name, found in counting_each(verification.check(files, checkers), counter):
        try:
            passed[name] = _artifact(bundle, name, found, verification, labels)
        except RecordError as error:
            failed[name] = error
            _remove(files[name])
    if not passed:
        raise _no_bundle({name: failed[name] for name in request.formats})
    return [passed[name] for name in request.formats if name in passed], failed


def _write_formats(
    bundle: Path, model: Exportable, request: ExportRequest, checkers: Checkers, counter: Counter
) -> Written:
    """Write the file of each format; return the paths, and the error of each format that failed.

    A clean process that is running loads its file while the next one is written, unless files are
    timed.
    """
    files: dict[str, Path] = {}
    failed: dict[str, TlsearchError] = {}
    for name in request.formats:
        path = bundle / EXPORT_FORMATS[name].file
        try:
            with phase("writing", 1, "file", subject=name) as one_file:
                write_format(name, model, path)
                one_file.advance()
            files[name] = path
            if not request.timed:
                checkers.load(name, path, model.trial.image_px)
        except (ConfigError, RecordError) as error:
            failed[name] = error
            _remove(path)
            counter.advance()
    return files, failed


def _no_bundle(failed: Mapping[str, TlsearchError]) -> TlsearchError:
    """Return the error that nothing was exported, with the reasons; a ConfigError if only packages
    are missing.
    """
    lines = [f"nothing was exported: {name}: {why}" for name, why in _reasons(failed).items()]
    if all(isinstance(error, ConfigError) for error in failed.values()):
        return ConfigError(lines)
    return RecordError("\n".join(lines))


def _reasons(failed: Mapping[str, TlsearchError]) -> dict[str, str]:
    return {name: str(error) for name, error in failed.items()}


def _remove(path: Path) -> None:
    """Remove anything a failed conversion left at `path`: a file, a folder, or nothing."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _artifact(
    bundle: Path,
    name: str,
    found: Found,
    verification: Verification,
    labels: Labels,
) -> Artifact:
    """Return a file with the results of its check; raises RecordError if it is not the trained
    model.
    """
    if isinstance(found, RecordError):
        raise found
    form, probabilities = EXPORT_FORMATS[name], found.probabilities
    expected = verification.expected(form)
    require_finite(form, probabilities)
    path = bundle / form.file
    parity = float(np.abs(expected - probabilities).max())
    artifact = Artifact(
        format=name,
        path=form.file,
        bytes=size(path),
        sha256=sha256(path),
        parity=parity,
        rounding=verification.trained.rounding if may_be_rounding(form, parity) else None,
        agreement=float((expected.argmax(axis=1) == probabilities.argmax(axis=1)).mean()),
        accuracy=accuracy(labels, probabilities),
        latency_ms=found.latency_ms,
        input=_input(form, verification.image_px),
    )
    require_sound(artifact, Changes.between(labels, verification.squares, probabilities))
    return artifact


def _input(form: ExportFormat, image_px: int) -> FileInput:
    px = None if form.any_size else image_px
    return FileInput(dtype=form.dtype, low=0, high=255, shape=(None, px, px, 3))


def _manifest(
    trained: Restored, pictures: int, artifacts: Sequence[Artifact], request: ExportRequest
) -> Manifest:
    trial, labels = trained.checkpoint.trial, request.data.split_labels("validation")
    row = row_of(trial.backbone)
    known = trial.weights in ("default", "imagenet", "preset", "shipped")
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
        trained_accuracy=accuracy(labels, trained.validation),
        pictures=pictures,
        backbone=file_name(trial.backbone),
        weights=trial.weights,
        weights_licence=row.licence if known else "that of the weights you gave",
        network=trained.network.backbone.digest,
        data_fingerprint=request.data.fingerprint,
        versions=request.versions,
        artifacts=tuple(artifacts),
    )


def _refuse_foreign(out: Path) -> None:
    """Raise ConfigError if `out` exists and is not a bundle that may be replaced."""
    if not is_replaceable(out):
        raise ConfigError(
            [
                f"--out: {out} exists and is not a bundle, or holds other files too, which would "
                "be lost; give another place"
            ]
        )


def _replace(bundle: Path, out: Path) -> None:
    """Move the finished bundle to `out`, replacing an older one."""
    if out.exists():
        old = bundle.with_name("old")
        os.replace(out, old)
    os.replace(bundle, out)


def _put(file: Path, out: Path) -> None:
    """Rename a finished file to `out`; if `out` is not a regular file, such as a pipe, write into
    it.
    """
    if is_special(out):
        shutil.copyfile(file, out)
    else:
        os.replace(file, out)


def export_file(request: ExportRequest) -> Exported:
    """Export one `.keras` file, checked as in a bundle, without the rest of the bundle."""
    with scratch_beside(request.out) as bundle:
        exported = _fill(bundle, bundle / "pictures", request)
        _put(bundle / exported.manifest.artifact("keras").path, request.out)
    return exported
