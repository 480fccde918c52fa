"""The answers of a node before the first trial, and the problems found in them; without Ray."""

import json
import re

import pytest

from tlsearch.base.errors import ClusterError
from tlsearch.search.cluster import node_checks
from tlsearch.search.cluster.node_checks import (
    Found,
    Needs,
    Problem,
    Question,
    answer_question,
    build_question,
    node_problems,
    problems_table,
    require_here,
)

NEEDS = Needs({"python": "3.11", "ray": "2.60.0"}, 0, 2**40)
SOUND = Found({"python": "3.11", "ray": "2.60.0"}, {}, None, (), 2**40)


@pytest.fixture
def question(tmp_path):
    """Return the question about a study whose weights, storage and driver's marker are in place."""
    (tmp_path / "study").mkdir()
    (tmp_path / "own.h5").write_bytes(b"weights")
    made = build_question([tmp_path / "own.h5"], tmp_path / "study", tmp_path / "cache" / "deep")
    made.marker.write_text(made.token)
    return made


def checks(problems):
    return [problem.check for problem in problems]


def test_a_node_that_sees_everything_is_sound_and_leaves_its_marker(question):
    found = answer_question(question, "n1", gpus=False)
    assert found.unreadable == {}
    assert found.marker is None
    assert question.marker_of("n1").read_text() == question.token
    assert node_problems(Needs(node_checks.node_versions(), 0, 0), "n1", 0, found) == []


def test_weight_files_that_are_not_there_or_others_are_named(question, tmp_path):
    held = question.files[tmp_path / "own.h5"][:12]
    (tmp_path / "own.h5").write_bytes(b"WEIGHTS")  # the same number of bytes
    found = answer_question(question, "n1", gpus=False)
    (why,) = found.unreadable.values()
    assert re.fullmatch(rf"SHA-256 [0-9a-f]{{12}}, not {held}", why)
    assert checks(node_problems(NEEDS, "n1", 0, found)).count("weights") == 1
    (tmp_path / "own.h5").unlink()
    assert (
        "No such file"
        in answer_question(question, "n1", gpus=False).unreadable[tmp_path / "own.h5"]
    )


def test_a_node_that_joined_late_is_looked_at_by_its_first_trial(tmp_path):
    study = tmp_path / "study.yaml"
    with pytest.raises(ClusterError, match=r"storage .*study.yaml: no such file"):
        require_here(study, node_checks.node_versions())
    study.write_text("")
    require_here(study, node_checks.node_versions())
    with pytest.raises(ClusterError, match=r"keras +3\.0, as where"):
        require_here(study, {**node_checks.node_versions(), "keras": "3.0"})


def test_storage_that_is_not_the_drivers_is_seen_by_its_marker(question):
    question.marker.write_text("of another search")
    assert answer_question(question, "n1", gpus=False).marker == "another file is there"
    question.marker.unlink()
    assert "No such file" in answer_question(question, "n1", gpus=False).marker
    assert not question.marker_of("n1").exists()


def test_without_a_directory_that_is_shared_no_marker_is_asked_for(question):
    alone = Question(question.files, None, question.cache, question.token)
    assert answer_question(alone, "n1", gpus=False).marker is None
    require_here(None, node_checks.node_versions())


def test_storage_that_cannot_be_written_is_a_problem(question):
    question.marker_of("n1").mkdir()  # root may write whatever the mode, but not to a directory
    assert "Is a directory" in answer_question(question, "n1", gpus=False).marker


def test_another_version_is_a_problem_with_both_numbers():
    found = Found({"python": "3.11", "ray": "2.59.0"}, {}, None, (), 2**40)
    (problem,) = node_problems(NEEDS, "n1", 0, found)
    assert problem == Problem("n1", "ray", "2.59.0", "2.60.0, as where the search was started")


def test_a_checkout_that_was_edited_is_another_version(tmp_path, monkeypatch):
    before = node_checks._code_digest()
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "a.py").write_text("1")
    monkeypatch.setattr(node_checks, "PACKAGE", tmp_path)
    assert node_checks._code_digest() != before


GPUS = Needs(NEEDS.versions, 0.25, 2**40)


@pytest.mark.parametrize(
    ("promised", "memory", "expected"),
    [
        (2, (24000, 24000), []),
        (2, (24000,), ["gpu"]),
        (1, (), ["gpu"]),
        (1, (2000,), ["gpu memory"]),
        (0, (), []),  # a node without GPUs takes no trial of this study
    ],
)
def test_gpus_must_be_as_many_as_ray_counts_and_large_enough(promised, memory, expected):
    found = Found(SOUND.versions, {}, None, memory, 2**40)
    assert checks(node_problems(GPUS, "n1", promised, found)) == expected


def test_a_full_disk_is_a_problem_unless_nothing_is_kept_there():
    full = Found(SOUND.versions, {}, None, (), 1000)
    assert checks(node_problems(NEEDS, "n1", 0, full)) == ["disk"]
    assert node_problems(Needs(NEEDS.versions, 0, 0), "n1", 0, full) == []


def test_all_problems_of_all_nodes_are_one_table():
    problems = [
        Problem("10.0.0.4", "ray", "2.59.0", "2.60.0"),
        Problem("10.0.0.4", "storage", "No such file", "the study's directory"),
        Problem("10.0.0.17", "disk", "0.01 GB free", "1.07 GB free"),
    ]
    head, columns, *rows = problems_table(problems, 3).splitlines()
    assert head == "2 of 3 nodes cannot train this study's trials:"
    assert columns.split() == ["node", "check", "expected", "found"]
    assert [row.split()[0] for row in rows] == ["10.0.0.4", "10.0.0.4", "10.0.0.17"]
    assert len({row.index(p.found) for row, p in zip(rows, problems, strict=True)}) == 1


def test_answers_travel_as_plain_values(question):
    found = answer_question(question, "n1", gpus=False)
    json.dumps([dict(found.versions), found.marker, found.gpu_mib, found.free_bytes])
    assert isinstance(question, Question)


def test_the_error_of_a_preflight_ends_with_exit_code_3():
    assert ClusterError(problems_table([], 0)).exit_code == 3
