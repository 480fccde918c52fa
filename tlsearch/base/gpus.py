"""The GPUs of a machine as its driver tells them, and what of one's memory a trial may take."""

import os
import subprocess
from dataclasses import dataclass

from tlsearch.base.errors import ClusterError

CONTEXT_MIB = 512  # what CUDA and cuDNN hold of a GPU for each process, beyond TensorFlow's arrays
LEAST_MIB = 512
ANSWER_S = 20.0
_FORM = "--format=csv,noheader,nounits"


@dataclass(frozen=True)
class Gpu:
    """A GPU's model, its memory, and NVIDIA's number of what it can do (8.0 of an A100)."""

    name: str
    mib: int
    capability: float


def memory_mib(visible: str | None = None) -> tuple[int, ...]:
    """The memory of each GPU, in MiB; none where NVIDIA's driver does not answer.

    `visible` names those to ask for, as CUDA_VISIBLE_DEVICES does: numbers or UUIDs with commas.
    """
    try:
        return tuple(map(int, _told("memory.total", visible)))
    except ValueError:
        return ()


def granted_mib() -> tuple[int, ...]:
    """The memory of each GPU that this process may use."""
    return memory_mib(os.environ.get("CUDA_VISIBLE_DEVICES"))


def described(visible: str | None = None) -> tuple[Gpu, ...]:
    """Each GPU; none where NVIDIA's driver does not answer, or is too old to say what they can do.
    `visible` as for `memory_mib`.
    """
    rows = [line.rsplit(",", 2) for line in _told("name,memory.total,compute_cap", visible)]
    try:
        return tuple(Gpu(name.strip(), int(mib), float(cap)) for name, mib, cap in rows)
    except ValueError:
        return ()


def _told(what: str, visible: str | None) -> list[str]:
    """A line for each GPU; none where the driver does not answer."""
    chosen = () if visible is None else ("-i", visible)
    if visible == "":
        return []
    command = ["nvidia-smi", f"--query-gpu={what}", _FORM, *chosen]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return told.stdout.splitlines()


def limit_mib(share: float, total_mib: int) -> int:
    """What TensorFlow may take of a GPU for a trial's share of it; ClusterError if too little.

    Each of the processes that share it holds some memory outside of TensorFlow's reach.
    """
    limit = int(share * total_mib) - CONTEXT_MIB
    if limit < LEAST_MIB:
        raise ClusterError(
            f"resources.gpus_per_trial: a share of {share:g} of a GPU with {total_mib} MiB leaves "
            f"{max(limit, 0)} MiB to a trial, which needs {LEAST_MIB}; ask for a larger share"
        )
    return limit
