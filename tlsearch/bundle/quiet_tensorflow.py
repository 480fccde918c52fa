"""Import TensorFlow without the messages that its native code prints before log settings apply."""

import os
import sys
from pathlib import Path

# Without a GPU, the only errors that the native code logs are about the missing GPU.
_HAS_GPU = Path("/dev/nvidia0").exists()


def import_tensorflow() -> None:
    """Import TensorFlow while file descriptor 2 (stderr) points to /dev/null."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2" if _HAS_GPU else "3")
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
