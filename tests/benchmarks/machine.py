"""The machine that a benchmark ran on, and what was installed there."""

import os
import platform
from pathlib import Path
from typing import Any

from tlsearch.results.record.directory import package_versions


def about() -> dict[str, Any]:
    """What a benchmark's figures are worth nothing without."""
    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "versions": package_versions(),
    }


def _processor() -> str:
    """The processor's own name where the system tells it."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_mb(pid: int) -> float:
    """Resident memory of a process, in megabytes (Linux); not a number where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes[0]) / 1024 if kilobytes else float("nan")
