"""The GPUs of a machine as its driver tells them, and what of one's memory a trial may take."""

import os
import subprocess

from tlsearch.base.errors import ClusterError

CONTEXT_MIB = 512  # what CUDA and cuDNN hold of a GPU for each process, beyond TensorFlow's arrays
LEAST_MIB = 512
ANSWER_S = 20.0
_ASK = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")


def memory_mib(visible: str | None = None) -> tuple[int, ...]:
    """The memory of each GPU, in MiB; none where NVIDIA's driver does not answer.

    `visible` names those to ask for, as CUDA_VISIBLE_DEVICES does: numbers or UUIDs with commas.
    """
    chosen = () if visible is None else ("-i", visible)
    if visible == "":
        return ()
    try:
        told = subprocess.run(
            [*_ASK, *chosen], capture_output=True, text=True, timeout=ANSWER_S, check=True
        )
        return tuple(int(line) for line in told.stdout.split())
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def granted_mib() -> tuple[int, ...]:
    """The memory of each GPU that this process may use."""
    return memory_mib(os.environ.get("CUDA_VISIBLE_DEVICES"))


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
