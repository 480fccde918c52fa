"""A wall clock that jumps by hours, only in the driver of a search."""

import os
import random
import sys
import time

JUMP_EVERY_S = 0.5


def jumping(seed: int) -> None:
    """Replace `time.time` by a clock that jumps twice a second, up to five hours either way."""
    true, began = time.time, time.monotonic()

    def jumped() -> float:
        turn = int((time.monotonic() - began) / JUMP_EVERY_S)
        return true() + random.Random(seed * 10**6 + turn).uniform(-5, 5) * 3600

    time.time = jumped
    sys.stderr.write("the clock jumps\n")


if "JUMPING_CLOCK" in os.environ and "tlsearch.cli.main" in sys.orig_argv:
    jumping(int(os.environ["JUMPING_CLOCK"]))
