"""The GPUs of a machine as `nvidia-smi` reports them, and a trial's share of GPU memory."""

import os
import subprocess
from dataclasses import dataclass

from tlsearch.base.errors import ClusterError

CONTEXT_MIB = 512  # GPU memory that CUDA and cuDNN take per process, beyond TensorFlow's arrays
LEAST_MIB = 512
ANSWER_S = 20.0
_FORM = "--format=csv,noheader,nounits"


@dataclass(frozen=True)
class Gpu:
    """A GPU's model name, its memory, and its CUDA compute capability (8.0 for an A100)."""

    name: str
    mib: int
    capability: float


def memory_mib(visible: str | None = None) -> tuple[int, ...]:
    """Return the memory of each GPU in MiB; empty if NVIDIA's driver does not answer.

    `visible` selects GPUs as CUDA_VISIBLE_DEVICES does: comma-separated numbers or UUIDs.
    """
    try:
        return tuple(map(int, _query("memory.total", visible)))
    except ValueError:
        return ()


def granted_mib() -> tuple[int, ...]:
    """Return the memory in MiB of each GPU that this process may use."""
    return memory_mib(os.environ.get("CUDA_VISIBLE_DEVICES"))


def describe_gpus(visible: str | None = None) -> tuple[Gpu, ...]:
    """Describe each GPU; `visible` is that of `memory_mib`.

    Empty if NVIDIA's driver does not answer or is too old to report the compute capability.
    """
    rows = [line.rsplit(",", 2) for line in _query("name,memory.total,compute_cap", visible)]
    try:
        return tuple(Gpu(name.strip(), int(mib), float(cap)) for name, mib, cap in rows)
    except ValueError:
        return ()


def _query(what: str, visible: str | None) -> list[str]:
    """Query `nvidia-smi`: one line per GPU, none if the driver does not answer."""
    chosen = () if visible is None else ("-i", visible)
    if visible == "":
        return []
    command = ["nvidia-smi", f"--query-gpu={what}", _FORM, *chosen]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.splitlines()


def limit_mib(share: float, total_mib: int) -> int:
    """Return TensorFlow's memory limit for a share of a GPU; raises ClusterError if it is too low.

    Each process on the GPU also holds `CONTEXT_MIB` that TensorFlow does not control.
    """
    limit = int(share * total_mib) - CONTEXT_MIB
    if limit < LEAST_MIB:
        raise ClusterError(
            f"resources.gpus_per_trial: a share of {share:g} of a GPU with {total_mib} MiB leaves "
            f"{max(limit, 0)} MiB to a trial, which needs {LEAST_MIB}; ask for a larger share"
        )
    return limit
