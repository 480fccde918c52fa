"""The results that a trial's actor reports to the searcher, one per epoch."""

from typing import Any


def result(epoch: int, value: float = 0.5, **changes: Any) -> dict[str, Any]:
    plain = {"diverged": False, "failure": None, "seconds": 1.0}
    return {"epoch": epoch, "value": value, **plain, **changes}
