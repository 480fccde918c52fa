"""The model card, model_card.md: how a model was made, how good it is, and its limits."""

from collections.abc import Mapping, Sequence

from tlsearch.base.array_types import Classes, Floats
from tlsearch.base.markdown import escape, markdown_table
from tlsearch.bundle.evaluate import confusion
from tlsearch.bundle.export_request import ExportRequest
from tlsearch.bundle.manifest import FileInput, Manifest
from tlsearch.config.requirements import CONDITIONS
from tlsearch.config.spelling import without_folders
from tlsearch.config.trial_config import TrialConfig
from tlsearch.training.export.usage import usage


def model_card(
    trial: TrialConfig,
    manifest: Manifest,
    labels: Classes,
    probabilities: Floats,
    request: ExportRequest,
) -> str:
    """Return the card as Markdown; `labels` (n,) and `probabilities` (n, classes) are of the
    validation split.
    """
    sections = (
        _heading(manifest),
        _data(manifest, request),
        _scores(manifest),
        _confusion(manifest.labels, labels, probabilities.argmax(axis=1)),
        _files(manifest),
        usage(manifest),
        _configuration(trial, request.refined_from),
        _use(manifest),
    )
    return "\n\n".join(sections) + "\n"


def _heading(manifest: Manifest) -> str:
    names = ", ".join(map(escape, manifest.labels))
    return f"# Image classifier\n\nDistinguishes {len(manifest.labels)} classes: {names}."


def _data(manifest: Manifest, request: ExportRequest) -> str:
    sizes = ", ".join(f"{len(rows)} {split}" for split, rows in request.data.splits.items())
    return (
        f"## Data\n\nImages: {sizes}. Fingerprint of pictures, labels and splits: "
        f"`{manifest.data_fingerprint}`."
    )


def _scores(manifest: Manifest) -> str:
    rows = [("validation accuracy", f"{manifest.trained_accuracy:.4f}", "", str(manifest.pictures))]
    test = manifest.test
    if test is not None:
        between = "" if test.low is None else f"{test.low:.4f} to {test.high:.4f}"
        method = "" if test.interval is None else f" ({test.interval})"
        counted = "" if test.pictures is None else str(test.pictures)
        name = f"test {test.metric}, evaluated once"
        rows.append((name, f"{test.value:.4f}", between + method, counted))
    return "## Scores\n\n" + _table(("score", "value", "95 % interval", "pictures"), rows)


def _confusion(names: Sequence[str], labels: Classes, guess: Classes) -> str:
    counts = confusion(labels, guess, len(names))
    body = [(name, *map(str, row)) for name, row in zip(names, counts, strict=True)]
    return (
        "## Confusion on the validation split\n\nRows are true classes, columns are predicted "
        "classes.\n\n" + _table(("", *names), body)
    )


def _files(manifest: Manifest) -> str:
    columns = ("format", "file", "MB", "input", "largest probability difference", "accuracy")
    body = [
        (
            *(a.format, a.path, f"{a.bytes / 1e6:.2f}", _describe_input(a.input)),
            *(f"{a.parity:.1e}", f"{a.accuracy:.4f}"),
        )
        for a in manifest.artifacts
    ]
    notes = [a.remark for a in manifest.artifacts if a.remark is not None]
    notes += [f"Left out: {name}: {escape(why)}" for name, why in manifest.left_out.items()]
    return "\n\n".join(["## Files", _table(columns, body), *notes])


def _describe_input(found: FileInput | None) -> str:
    """Return the input of a file in short: float32, 0 to 255, (n, any, any, 3)."""
    if found is None:
        return ""
    first, *others = found.shape
    sides = ", ".join("any" if side is None else str(side) for side in others)
    return f"{found.dtype}, {found.low:g} to {found.high:g}, ({first or 'n'}, {sides})"


def _configuration(trial: TrialConfig, refined_from: TrialConfig | None) -> str:
    """Return the configuration of the trial; for a refined trial, those of both training phases."""
    if refined_from is None:
        return "## Configuration\n\n" + _keys(trial.to_json())
    before, after = refined_from.to_json(), trial.to_json()
    changed = {name: value for name, value in after.items() if value != before[name]}
    return (
        f"## Configuration\n\n{_keys(before)}\n\n### Refinement\n\nTraining continued from the "
        "best weights of that training, with a new augmented view in every epoch and these "
        "settings:\n\n" + _keys(changed)
    )


def _keys(values: Mapping[str, object]) -> str:
    named = without_folders(values)
    return _table(("key", "value"), [(name, str(value)) for name, value in named.items()])


def _use(manifest: Manifest) -> str:
    untested = manifest.test is None
    tested = "This model has no test score." if untested else "The test score is not."
    return (
        "## Intended use and limits\n\n"
        "Use the model for pictures like those it was trained on. It always predicts one of its "
        "classes, even if a picture shows none of them. Its probabilities are not calibrated. The "
        "validation score is optimistic, because it was used to choose this model. "
        f"{tested} Pretrained weights: {manifest.backbone} ({manifest.weights}), licence "
        f"{manifest.weights_licence}{_conditions(manifest.weights_licence)}."
    )


def _conditions(licence: str) -> str:
    return f", {CONDITIONS[licence]}" if licence in CONDITIONS else ""


def _table(columns: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    return "\n".join(markdown_table(columns, body))
