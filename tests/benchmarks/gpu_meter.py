"""Readings of nvidia-smi for the first GPU that this process may use; empty without a GPU."""

import os
import subprocess
import threading
import time
from statistics import mean
from typing import NamedTuple

from tlsearch.base.gpus import ANSWER_S

EVERY_S = 0.2


class Card(NamedTuple):
    """A GPU's model, its driver, and its memory in MiB."""

    name: str
    driver: str
    memory_mib: int


class Sample(NamedTuple):
    """The percentage of time busy and the MiB in use, at a moment of `time.monotonic`."""

    moment: float
    busy: float
    used_mib: float


class Meter:
    """Samples the GPU while the block runs, but no other GPUs."""

    def __init__(self) -> None:
        self._samples: list[Sample] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Meter":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def measured_between(
        self, since: float = 0.0, until: float = float("inf")
    ) -> dict[str, float | None]:
        """Return the mean busy percentage and the peak memory between two moments.

        Both are None if no sample was taken.
        """
        within = [sample for sample in self._samples if since <= sample.moment <= until]
        return {
            "busy": mean(sample.busy for sample in within) if within else None,
            "used_mib": max((sample.used_mib for sample in within), default=None),
        }

    def _watch(self) -> None:
        while (words := ask("utilization.gpu,memory.used")) and not self._over.is_set():
            try:
                self._samples.append(Sample(time.monotonic(), *map(float, words)))
            except (TypeError, ValueError):  # "[N/A]": this driver does not report it
                return
            self._over.wait(EVERY_S)


def first_gpu() -> str:
    """Return the first GPU that this process may use, as nvidia-smi takes it, or "" for none."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def card() -> Card | None:
    """Return the GPU, or None if NVIDIA's driver does not answer."""
    words = ask("name,driver_version,memory.total")
    return Card(words[0], words[1], int(words[2])) if len(words) == 3 else None


def ask(fields: str) -> list[str]:
    """Query nvidia-smi for these fields; empty if it does not answer."""
    first = first_gpu()
    if not first:
        return []
    command = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits", "-i", first]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [word.strip() for word in done.stdout.strip().split(",")]
