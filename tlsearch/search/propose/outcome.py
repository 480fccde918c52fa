"""The outcome of a trial, judged from its last result, and the parts that the journal keeps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tlsearch.results.record.journal import FEATURE_DTYPE, State
from tlsearch.search.stop.decision import Decision

RETRIES = 3  # how often a trial is resumed after its worker was lost on a node that stayed up
LOST = (
    f"the worker was lost, and so were its {RETRIES} retries from the last saved epoch: its "
    "process or node died; the kernel's out-of-memory killer is a common cause (check `dmesg`)"
)

_NODES: dict[str, int] = {}  # host -> its number, in the order of first reports
_NOTED = (
    *("seconds", "trained_parameters", "trained_share", "work", "machine", "threads"),
    FEATURE_DTYPE,
)


@dataclass(frozen=True)
class Outcome:
    """The outcome of a trial; the sampler keeps away from trials that are not `feasible`."""

    state: State
    reason: str
    feasible: bool = True


def outcome_of(
    result: Mapping[str, Any] | None, error: bool, epochs: int, stopped: Decision | None
) -> Outcome:
    """Return the outcome of a trial from its last result; `stopped` is the stopping rule's decision
    to stop it, if any.
    """
    if error or result is None:
        return Outcome("failed", LOST, feasible=False)
    if result.get("failure") is not None:
        return Outcome("failed", str(result["failure"]), feasible=False)
    if result.get("diverged"):
        reason = f"diverged at epoch {result['epoch']}: loss or metric is not a number"
        return Outcome("diverged", reason, feasible=False)
    if result["epoch"] >= epochs:
        return Outcome("finished", "trained to the last epoch")
    if result.get("gave_up"):
        ended = f"ended at epoch {result['epoch']} by early stopping"
        return Outcome("finished", f"{ended}: no better value within its patience")
    return Outcome("stopped", str(stopped or f"stopped at epoch {result['epoch']}"))


def journalled_result(result: Mapping[str, Any]) -> dict[str, object]:
    """Return the parts of a trial's last result that the journal keeps."""
    worker = result.get("worker") or _worker(result)
    return {name: result[name] for name in _NOTED if name in result} | {"worker": worker}


def _worker(result: Mapping[str, Any]) -> str:
    """The node, by its number in this driver, and the process: the record holds no host names."""
    if "hostname" not in result:
        return ""
    number = _NODES.setdefault(result["hostname"], len(_NODES) + 1)
    return f"node {number}, process {result.get('pid', '')}"
