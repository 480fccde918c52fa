"""The machine that a benchmark ran on, and the versions of the packages installed there."""

import os
import platform
from pathlib import Path
from typing import Any

from tlsearch.results.record.directory import package_versions


def about() -> dict[str, Any]:
    """Return the machine and the versions, without which a benchmark's figures mean nothing."""
    return {
        "machine": {"processor": _processor(), "cores": os.cpu_count()},
        "versions": package_versions(),
    }


def _processor() -> str:
    """Return the processor's own name if the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def memory_mb(pid: int) -> float:
    """Return the resident memory of a process in megabytes (Linux); NaN if it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return float("nan")
    kilobytes = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")]
    return int(kilobytes[0]) / 1024 if kilobytes else float("nan")
