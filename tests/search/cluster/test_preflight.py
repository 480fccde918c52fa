"""Nodes that cannot train are found before the first trial; `test_on_nodes.py` uses real ones."""

from types import SimpleNamespace

import pytest

from tlsearch.base.digests import sha256
from tlsearch.base.errors import ClusterError
from tlsearch.config.load import parse
from tlsearch.results.record.directory import StudyDirectory
from tlsearch.search.cluster import preflight
from tlsearch.search.cluster.node_checks import Problem, answer_question
from tlsearch.search.cluster.nodes import Node
from tlsearch.search.cluster.preflight import question_of, require_ready

SPACE = "data: {{kind: digits}}\ncache: {cache}\n{more}"


@pytest.fixture
def nodes(monkeypatch):
    """Return a function that simulates nodes with these names; the driver's is "here"."""
    import ray

    def let_there_be(*names, silent=()):
        context = SimpleNamespace(get_node_id=lambda: "here")
        found = [Node(name, name, {"CPU": 2}, leaving=name == "leaving") for name in names]

        def on_every(calls, timeout_s):
            return {
                node: "none in 60 s" if node.name in silent else function(*arguments)
                for node, (function, *arguments) in calls.items()
            }

        monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
        monkeypatch.setattr(preflight, "nodes_up", lambda: found)
        monkeypatch.setattr(preflight, "on_every", on_every)

    return let_there_be


@pytest.fixture
def study(tmp_path):
    """Return a configuration and its study directory."""
    home = StudyDirectory(tmp_path / "study")
    home.root.mkdir()
    return parse(SPACE.format(cache=tmp_path / "cache", more="space: {backbone: strokes}")), home


def test_nodes_that_see_what_the_driver_sees_pass_and_no_marker_stays(nodes, study):
    nodes("here", "other")
    require_ready(*study)
    assert list(study[1].root.iterdir()) == []


def test_every_node_that_does_not_answer_is_in_the_table(nodes, study):
    nodes("here", "deaf", "dumb", silent=("deaf", "dumb"))
    with pytest.raises(ClusterError, match="2 of 3 nodes") as caught:
        require_ready(*study)
    assert str(caught.value).count("none in 60 s") == 2
    assert list(study[1].root.iterdir()) == []


def test_a_node_that_writes_elsewhere_is_found_by_the_marker_that_does_not_come(
    nodes, study, monkeypatch
):
    sound = answer_question

    def elsewhere(question, node, gpus):
        found = sound(question, node, gpus)
        question.marker_of(node).unlink()  # as if its folder were local, not shared
        return found

    monkeypatch.setattr(preflight, "answer_question", elsewhere)
    nodes("here", "other")
    with pytest.raises(ClusterError, match=r"storage .*not seen here"):
        require_ready(*study)


def test_a_node_that_is_about_to_go_is_asked_nothing(nodes, study):
    nodes("here", "leaving", silent=("leaving",))
    require_ready(*study)


def test_the_only_node_is_asked_nothing(nodes, study):
    nodes("here", silent=("here",))
    require_ready(*study)


def test_the_question_names_what_no_node_is_sent(tmp_path):
    weights = tmp_path / "own.weights.h5"
    weights.write_bytes(b"12")
    more = f"space: {{weights: [default, '{weights}']}}\n"
    config = parse(SPACE.format(cache=tmp_path / "cache", more=more))
    question = question_of(config, StudyDirectory(tmp_path / "study"))
    assert question.files == {weights: sha256(weights)}
    assert question.study == tmp_path / "study"


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ("{backbone: [strokes, mobilenet_v2_035]}", {"mobilenet_v2_035": "imagenet"}),
        ("{backbone: dinov2_small}", {"dinov2_small": "preset"}),
        ("{backbone: [strokes]}", {}),
        ("{backbone: [mobilenet_v2_035], weights: none}", {}),
    ],
)
def test_only_weights_that_may_have_to_be_downloaded_are_loaded(
    tmp_path, monkeypatch, space, expected
):
    calls = {}

    def on_every(asked, timeout_s):
        calls.update(asked)
        return {node: {} for node in asked}

    monkeypatch.setattr(preflight, "on_every", on_every)
    config = parse(SPACE.format(cache=tmp_path, more=f"space: {space}"))
    assert list(preflight._weight_problems(config, [Node("n", "n", {"CPU": 1})])) == []
    assert [arguments[1] for arguments in calls.values()] == ([expected] if expected else [])


def test_nodes_with_other_imagenet_weights_or_none_are_named(tmp_path, monkeypatch):
    answers = {"a": {"mobilenet_v2": "1" * 32}, "b": {"mobilenet_v2": "2" * 32}, "c": "no network"}
    nodes = [Node(name, name, {"CPU": 1}) for name in answers]
    found = {node: answers[node.name] for node in nodes}
    monkeypatch.setattr(preflight, "on_every", lambda asked, timeout_s: found)
    config = parse(SPACE.format(cache=tmp_path, more="space: {backbone: mobilenet_v2}"))
    assert list(preflight._weight_problems(config, nodes)) == [
        Problem("b", "weights", "mobilenet_v2 222222222222", "111111111111, as on a"),
        Problem("c", "weights", "no network", "the pretrained weights"),
    ]
