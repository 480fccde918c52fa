"""Option parsers and printed tables of the commands for bundles."""

import re
from typing import TYPE_CHECKING

from tlsearch.cli.output import print_line
from tlsearch.cli.tables import print_table

if TYPE_CHECKING:
    from tlsearch.bundle.evaluate import Evaluation
    from tlsearch.bundle.manifest import Manifest


def parse_formats(text: str) -> tuple[str, ...]:
    """Return the formats of a comma-separated list, each once, in order; raises ConfigError."""
    from tlsearch.config.extras import known_formats

    return known_formats([name.strip() for name in text.split(",") if name.strip()], "--formats")


def parse_trial(text: str) -> int | None:
    """Return a trial's number, or None for `best`; raises ConfigError."""
    from tlsearch.base.errors import ConfigError

    if text == "best":
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise ConfigError([f"--trial: found {text}, expected best or a trial's number"])
    return int(text)


def print_manifest(manifest: "Manifest") -> None:
    """Print one row per file: size, difference from the trained network, accuracy, latency."""
    timings = list(manifest.artifacts[0].latency_ms)
    body = [
        [
            a.format,
            f"{a.bytes / 1e6:.2f}",
            f"{a.parity:.1e}",
            f"{a.agreement:.4f}",
            f"{a.accuracy:.4f}",
            *(f"{a.latency_ms[timing]:.1f}" for timing in timings),
        ]
        for a in manifest.artifacts
    ]
    columns = ["format", "MB", "difference", "agreement", "accuracy"]
    print_table([*columns, *(f"ms, {timing}" for timing in timings)], body)
    for remark in filter(None, (artifact.remark for artifact in manifest.artifacts)):
        print_line(remark)
    print_line(f"trained accuracy {manifest.trained_accuracy:.4f} on {manifest.pictures} pictures")


def print_evaluation(found: "Evaluation") -> None:
    """Print the scores, then the scores per class, then the confusion matrix."""
    print_line(f"{found.images} images")
    for name, value in found.scores.items():
        print_line(f"{name}: {value:.4f}")
    rows = [
        [c.label, f"{c.precision:.4f}", f"{c.recall:.4f}", f"{c.f1:.4f}", str(c.images)]
        for c in found.classes
    ]
    print_table(["class", "precision", "recall", "f1", "images"], rows)
    names = [c.label for c in found.classes]
    counts = [[name, *map(str, row)] for name, row in zip(names, found.confusion, strict=True)]
    print_table(["true \\ predicted", *names], counts)
