"""A search and an export in which one format cannot be written."""

import sys

import pytest

from tlsearch.bundle.manifest import read_manifest

pytestmark = [pytest.mark.cluster, pytest.mark.training]

REASON = "onnx: onnx needs tf2onnx; run `pip install 'tf2onnx>=1.17'`"


def formats(bundle):
    manifest = read_manifest(bundle)
    return [artifact.format for artifact in manifest.artifacts], list(manifest.left_out)


def test_the_study_is_reported_and_keeps_the_formats_that_passed(blocks_search):
    code, out, err = blocks_search.ran
    study = blocks_search.home / "study"
    assert code == 4, err
    assert f"left out of the exported model: {REASON}" in out
    assert f"model:  {study}/best/model.keras" in out
    assert f"error: left out of the bundle: {REASON}" in err
    assert formats(study / "best") == (["keras"], ["onnx"])
    assert REASON in (study / "report" / "leaderboard.md").read_text()
    assert "test accuracy of trial " in out
    assert ", evaluated once" in out


def test_an_export_says_so_too_and_is_no_bundle_where_nothing_passes(blocks_search, monkeypatch):
    monkeypatch.syspath_prepend(blocks_search.broken)
    monkeypatch.delitem(sys.modules, "tf2onnx", raising=False)
    tlsearch = blocks_search.tlsearch
    both = ["export", "study", "--formats", "keras,onnx", "--no-timed"]
    some = tlsearch.here(*both, "--out", "some")
    assert some.code == 4, some.err
    assert f"error: left out of the bundle: {REASON}" in some.err
    assert formats(tlsearch.home / "some") == (["keras"], ["onnx"])
    none = tlsearch.here("export", "study", "--formats", "onnx", "--out", "none")
    assert none.code == 2
    assert f"error: nothing was exported: {REASON}" in none.err
    assert not (tlsearch.home / "none").exists()


def test_resume_makes_up_for_it_once_the_cause_is_gone(blocks_search):
    done = blocks_search.tlsearch.here("resume", "study")
    assert done.code == 0, done.err
    assert "left out" not in done.out
    assert formats(blocks_search.home / "study" / "best") == (["keras", "onnx"], [])
