"""The check of every node before the first trial, with all problems in one table."""

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tlsearch.base.errors import ClusterError, last_line
from tlsearch.config.catalog import DIGEST_DIGITS, WEIGHTS
from tlsearch.config.networks.lookup import full_name, row_of
from tlsearch.config.networks.network_memory import require_memory
from tlsearch.config.schema import SearchConfig
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster.node_checks import (
    SHARED,
    Found,
    Needs,
    Problem,
    Question,
    answer_question,
    build_question,
    node_problems,
    node_versions,
    problems_table,
)
from tlsearch.search.cluster.nodes import Node, nodes_up, this_node
from tlsearch.search.cluster.trial_transfer import Networks, networks_to_send

ANSWER_S = 60.0
DOWNLOAD_S = 900.0


def require_ready(config: SearchConfig, home: StudyDirectory) -> None:
    """Raise ClusterError, before anything is trained, if some node cannot train a trial.

    If the driver's node is the only one, it has all that the driver has; then only its memory is
    checked: ConfigError if a network does not fit into it.
    """
    nodes = [node for node in nodes_up() if not node.leaving]
    if {node.id for node in nodes} <= {this_node()}:
        require_memory(config)
        return
    problems = list(_check_nodes(config, home, nodes))
    if not problems:
        problems = list(_weight_problems(config, nodes))
    if problems:
        raise ClusterError(problems_table(problems, len(nodes)))


def _check_nodes(
    config: SearchConfig, home: StudyDirectory, nodes: Sequence[Node]
) -> Iterator[Problem]:
    question = question_of(config, home)
    gpus = config.resources.gpus_per_trial
    needs = Needs(node_versions(), gpus, int(config.cache_gb * 1e9))
    sent = networks_to_send(config)
    calls = {node: (_answer_with, sent, question, node.id, gpus > 0) for node in nodes}
    with _marker_present(question):
        for node, answer in on_every(calls, ANSWER_S).items():
            if isinstance(answer, Found):
                yield from node_problems(
                    needs, node.name, int(node.resources.get("GPU", 0)), answer
                )
                yield from _marker_problems(question, node, answer)
            else:
                yield Problem(node.name, "node", answer, "an answer")


def _answer_with(sent: Networks | None, question: Question, node: str, gpus: bool) -> Found:
    """Return the answer of this process's node, once it has the networks that were sent to it; one
    that cannot be written is found missing.
    """
    if sent is not None:
        with contextlib.suppress(OSError):
            sent()
    return answer_question(question, node, gpus)


def question_of(config: SearchConfig, home: StudyDirectory) -> Question:
    """Return the checks for every node: the study's directory, and weights and networks in files.

    The study's directory is not asked for if the study is at a URL. Images are not asked for: a
    node that does not see the driver's images receives them.
    """
    weights = [Path(name) for name in config.space.weights.values if name not in WEIGHTS]
    paths = [row_of(name).local_path for name in config.space.backbone.values]
    return build_question(
        [*weights, *filter(None, paths)], None if home.url else home.root, config.cache_path
    )


@contextlib.contextmanager
def _marker_present(question: Question) -> Iterator[None]:
    """Keep the driver's marker in the study's directory for the block; then remove all markers."""
    if question.marker is None:
        yield
        return
    try:
        question.marker.write_text(question.token)
        yield
    finally:
        for path in question.marker.parent.glob(f"{question.marker.name}*"):
            path.unlink(missing_ok=True)


def _marker_problems(question: Question, node: Node, answer: Found) -> Iterator[Problem]:
    """Yield a problem if the driver does not see the marker that a node wrote: the node has another
    storage.
    """
    marker = question.marker_of(node.id)
    if answer.marker is not None or marker is None:
        return
    with contextlib.suppress(OSError):
        if marker.read_text() == question.token:
            return
    wrote = f"wrote {marker}, not seen here"
    yield Problem(node.name, "storage", wrote, SHARED)


def _weight_problems(config: SearchConfig, nodes: Sequence[Node]) -> Iterator[Problem]:
    """Have every node load the weights that Keras or KerasHub downloads; yield failures and
    weights that differ between nodes.
    """
    wanted = dict(_downloaded_weights(config))
    if not wanted:
        return
    calls = dict.fromkeys(nodes, (_load_weights, wanted, config.data.image_px))
    first: dict[str, tuple[str, str]] = {}
    for node, answer in on_every(calls, DOWNLOAD_S).items():
        if isinstance(answer, str):
            yield Problem(node.name, "weights", answer, "the pretrained weights")
            continue
        for name, found in answer.items():
            where, digest = first.setdefault(name, (node.name, found))
            if found != digest:
                expected = f"{digest[:DIGEST_DIGITS]}, as on {where}"
                yield Problem(node.name, "weights", f"{name} {found[:DIGEST_DIGITS]}", expected)


def _downloaded_weights(config: SearchConfig) -> Iterator[tuple[str, str]]:
    """Yield the backbones whose weights are downloaded, each with the name of the weights."""
    for name in config.space.backbone.values:
        default = row_of(name).default_weights
        resolved = {default if w == "default" else w for w in config.space.weights.values}
        for weights in resolved & {"imagenet", "preset"}:
            yield name, weights


def _load_weights(wanted: Mapping[str, str], image_px: int) -> dict[str, str] | str:
    """Load weights of backbones in this process; return their digests, or why that failed."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # do not use the GPU of a trial
    from tlsearch.base.errors import ConfigError, WeightsError
    from tlsearch.training.network.backbone import load_backbone

    try:
        return {
            name: load_backbone(full_name(name), weights, image_px).digest
            for name, weights in wanted.items()
        }
    except (WeightsError, ConfigError) as error:  # KerasHub may not be installed
        return str(error)


def on_every(
    calls: Mapping[Node, tuple[Callable[..., Any], *tuple[Any, ...]]], timeout_s: float
) -> dict[Node, Any]:
    """Call a function on each node, all at the same time; return node -> result.

    The result of a call that failed or took longer than `timeout_s` is the reason as a string. A
    node that left meanwhile is omitted: it takes no more trials.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    waiting = {}
    for node, (function, *arguments) in calls.items():
        there = NodeAffinitySchedulingStrategy(node.id, soft=False)
        task = ray.remote(num_cpus=0, max_calls=1, max_retries=0, scheduling_strategy=there)
        waiting[node] = task(function).remote(*arguments)
    ready, late = ray.wait(list(waiting.values()), num_returns=len(waiting), timeout=timeout_s)
    for one in late:
        ray.cancel(one, force=True)
    up = {node.id for node in nodes_up()}
    silent = f"none in {timeout_s:g} s"
    return {
        node: _answer(one) if one in ready else silent
        for node, one in waiting.items()
        if node.id in up
    }


def _answer(one: Any) -> Any:
    import ray

    try:
        return ray.get(one)
    except ray.exceptions.RayError as error:
        return last_line(str(error), type(error).__name__)
