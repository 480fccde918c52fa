"""The speed of a space's backbones on this machine: remembered, or measured in a subprocess."""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from tlsearch.base.cores import granted_cores
from tlsearch.base.errors import StudyError, last_line
from tlsearch.base.files import parse_json, write_json
from tlsearch.base.machine import cpu_name
from tlsearch.base.phases import phase
from tlsearch.config.device import CPU_PROFILE, DeviceProfile
from tlsearch.config.networks.unfreezing import Depth, Unfrozen
from tlsearch.config.schema import SearchConfig
from tlsearch.features import Disk, FeatureStore
from tlsearch.pace import Pace
from tlsearch.results.record.directory import package_versions

MOST_PROCESSES = 8  # measured at a time
REMEMBERED = "calibration.json"
SHARED = ("start_s", "memory_bytes", "resident_bytes", "augment_s")  # the same for all backbones


@dataclass(frozen=True)
class Calibration:
    """The speed of this machine: `paces` by backbone, and the read and write speed of its disk.

    A process takes `start_s` seconds to start and `memory_bytes` of memory before it holds any
    features; it holds at most `resident_bytes` of features. Augmenting an image takes `augment_s`
    seconds.
    """

    paces: Mapping[str, Pace]
    disk: Disk
    start_s: float
    memory_bytes: int
    resident_bytes: int
    augment_s: float = 0.0


def prefix_depths(config: SearchConfig, backbone: str) -> tuple[Depth, ...]:
    """Return the depths whose frozen prefixes a backbone's trials use.

    Depth 0 comes first, because all heads warm up on its features.
    """
    space = config.space
    return tuple(dict.fromkeys((space.depth(backbone, 0), *space.prefix_depths(backbone))))


def _layers(config: SearchConfig, backbone: str) -> list[Unfrozen | None]:
    return [depth.layers for depth in prefix_depths(config, backbone)]


def remembered_paces(
    config: SearchConfig, classes: int, device: DeviceProfile = CPU_PROFILE, slots: int = 1
) -> Calibration | None:
    """Return the remembered measurements of this space on this machine, with `slots` trials at a
    time; None if any is missing.
    """
    known = recall(config.cache_path)
    try:
        found = {
            name: known[_key(config, name, classes, device, slots)]
            for name in config.space.backbone.values
        }
        last = next(reversed(found.values()))
        return Calibration(
            paces={name: Pace.of(entry["pace"]) for name, entry in found.items()},
            disk=Disk(**last["disk"]),
            start_s=max(entry["start_s"] for entry in found.values()),
            memory_bytes=max(entry["memory_bytes"] for entry in found.values()),
            resident_bytes=last["resident_bytes"],
            augment_s=last["augment_s"],
        )
    except (KeyError, TypeError):
        return None


def calibrate(
    config: SearchConfig, classes: int, device: DeviceProfile = CPU_PROFILE, slots: int = 1
) -> Calibration:
    """Return the remembered measurements, or measure now, which takes seconds.

    `slots` trials run at a time, so as many processes are measured at a time: they share the memory
    and the clock of the processor. Raises StudyError if measuring fails.
    """
    found = remembered_paces(config, classes, device, slots)
    if found is not None:
        return found
    answer = _measure(config, classes, device, slots)
    disk = FeatureStore(config.cache_path, config.feature_dtype).measure_disk()
    shared = {key: answer[key] for key in SHARED}
    entries = {
        _key(config, name, classes, device, slots): {"pace": pace, "disk": asdict(disk), **shared}
        for name, pace in answer["paces"].items()
    }
    remember(config.cache_path, entries)
    paces = {name: Pace.of(pace) for name, pace in answer["paces"].items()}
    return Calibration(paces, disk, **shared)


def _measure(
    config: SearchConfig, classes: int, device: DeviceProfile, slots: int
) -> dict[str, Any]:
    space = config.space
    request = {
        "backbones": space.backbone.values,
        "image_px": config.data.image_px,
        "depths": {name: _layers(config, name) for name in space.backbone.values},
        "classes": classes,
        "head_units": space.head_units.values[0],
        "optimizer": space.optimizer.values[0],
        "feature_dtype": config.feature_dtype,
        "threads": config.resources.cpus_per_trial,
        "gpus": config.resources.gpus_per_trial,
        "device": device.to_json(),
        "augment": config.augment.model_dump(),
        "began": time.time(),
    }
    return ask_subprocess("tlsearch.training.calibrate", request, _processes(config, slots))


def _processes(config: SearchConfig, slots: int) -> int:
    """Return how many processes are measured at a time: one for each slot on this machine, at most
    `MOST_PROCESSES`, and one alone on a GPU.
    """
    if config.resources.gpus_per_trial:
        return 1
    here = granted_cores() // config.resources.cpus_per_trial
    return max(1, min(slots, here, MOST_PROCESSES))


def ask_subprocess(
    module: str, request: Mapping[str, object], processes: int = 1
) -> dict[str, Any]:
    """Run a module in a subprocess and return its JSON answer to `request`.

    The subprocess imports TensorFlow, which this process never does. If several processes run at a
    time, the first one answers. Raises StudyError if it fails.
    """

    def run(_: int) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", module],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            check=False,
        )

    with phase("measuring"), ThreadPoolExecutor(processes) as pool:
        done, *_ = pool.map(run, range(processes))
    if done.returncode:
        why = last_line(done.stderr, f"exit code {done.returncode}")
        raise StudyError(f"the backbones could not be measured: {why}")
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _key(
    config: SearchConfig, backbone: str, classes: int, device: DeviceProfile, slots: int
) -> str:
    """Return the key of a backbone's measurement: a digest of everything that it depends on."""
    space = config.space
    parts = [
        backbone, config.data.image_px, _layers(config, backbone), classes,
        space.head_units.values[0], space.optimizer.values[0], config.feature_dtype,
        config.resources.cpus_per_trial, config.augment.model_dump(),
        *filter(None, [config.resources.gpus_per_trial]),
        cpu_name(), granted_cores(), sorted(package_versions().items()), _processes(config, slots),
    ]  # fmt: skip
    parts += [] if device == CPU_PROFILE else [device.to_json()]
    return f"{backbone} {config.data.image_px} px {digest_of(parts)}"


def digest_of(parts: Sequence[object]) -> str:
    """Return a short digest of plain values."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()


def recall(cache: Path) -> dict[str, Any]:
    """Return the remembered entries of a cache by key.

    The result is empty if the file is missing or damaged; then everything is measured again.
    """
    with contextlib.suppress(OSError, ValueError):
        known = parse_json((cache / REMEMBERED).read_text(encoding="utf-8"))
        return known if isinstance(known, dict) else {}
    return {}


def remember(cache: Path, entries: Mapping[str, object]) -> None:
    """Add entries to the remembered ones of a cache; an entry replaces one of the same key."""
    path = cache / REMEMBERED
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        write_json(path, {**recall(cache), **entries})
