"""A weight file replaced after the search is refused by every later command in its own words."""

import json
import shutil

import numpy as np
import pytest
import yaml

from tlsearch.base.errors import WeightsError
from tlsearch.bundle.manifest import read_manifest
from tlsearch.config.catalog import BACKBONES
from tlsearch.config.load import parse
from tlsearch.results.record.file_names import SEAL
from tlsearch.results.record.journal import read_journal
from tlsearch.search.handle import Study
from tlsearch.search.study import resume, run
from tlsearch.training.network.backbone import load_backbone

pytestmark = [pytest.mark.cluster, pytest.mark.training]

SPACE = """
data: {kind: digits, image_px: 32, splits: {train: 100, validation: 60, test: 60}}
space: {backbone: strokes, unfrozen_layers: [0, 3], head_lr: 1e-2, fine_tune_lr: 1e-3}
epochs: 2
warm_up_lr: 1e-2
trials: 2
confirm: 0
resources: {max_concurrent: 1}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    return tmp_path_factory.mktemp("own") / "own.weights.h5"


@pytest.fixture(scope="module")
def finished(own, tmp_path_factory):
    """Return a study on the user's own weight file, which is replaced after the study has ended."""
    root = tmp_path_factory.mktemp("studies")
    shutil.copyfile(BACKBONES["strokes"].shipped_path, own)
    config = parse(SPACE, settings=[f"space.weights={own}", f"cache={root / 'cache'}"])
    run(config, root / "study")
    shutil.copyfile(BACKBONES["photos"].shipped_path, own)
    return root / "study"


@pytest.fixture
def study(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "study")
    return tmp_path / "study"


def forgotten(study, checkpoints):
    """Rewrite the study as an earlier version would have written it."""
    about = yaml.safe_load((study / "study.yaml").read_text())
    del about["weights"]
    (study / "study.yaml").write_text(yaml.safe_dump(about))
    lines = (study / "journal.log").read_text().splitlines(keepends=True)
    (study / SEAL).unlink()
    (study / "journal.log").write_text("".join(line for line in lines if '"kept"' not in line))
    for path in study.glob("trials/*/best.npz") if checkpoints else ():
        with np.load(path) as file:
            arrays = dict(file)
        checkpoint = json.loads(str(arrays.pop("about")))
        del checkpoint["network"]
        np.savez(path, about=np.array(json.dumps(checkpoint)), **arrays)


def test_the_study_its_trials_and_its_model_say_which_weights_they_have(study, own):
    about = Study(study).about
    (network,) = about["weights"]["networks"].values()
    assert set(about["weights"]["files"]) == {str(own)}
    assert {trial.network for trial in Study(study).record().trials} == {network}
    assert read_manifest(study / "best").network == network


def test_a_resumed_search_refuses_them_before_its_first_trial(study):
    before = (study / "journal.log").read_bytes()
    with pytest.raises(WeightsError, match=r"own\.weights\.h5: these are not the pretrained weigh"):
        resume(study, trials="+1")
    assert (study / "journal.log").read_bytes() == before


def test_where_the_journal_alone_tells_it_the_next_trial_refuses_them(study):
    forgotten(study, checkpoints=False)
    before = read_journal(study / "journal.log").trials
    ended = resume(study, trials="+1")
    assert isinstance(ended.ended_by, WeightsError)
    assert "strokes: its pretrained network is not the one" in str(ended.ended_by)
    after = read_journal(study / "journal.log").trials[len(before) :]
    assert not any(trial.values for trial in after)
    assert {trial.state for trial in after} == {"unfinished"}  # not reported to the sampler


@pytest.fixture
def tlsearch(command_line, tmp_path):
    """Yield the command line, whose process loads the current weights."""
    load_backbone.cache_clear()
    yield command_line(tmp_path / "home").here
    load_backbone.cache_clear()


def test_an_export_refuses_them(study, tlsearch, tmp_path):
    code, _, printed = tlsearch("export", study, "--out", tmp_path / "bundle", "--no-timed")
    assert code == 3
    assert "strokes: its pretrained network is not the one" in printed
    assert "Traceback" not in printed
    assert not (tmp_path / "bundle").exists()


def test_an_export_of_an_earlier_study_compares_the_score_with_the_journals(
    study, tlsearch, tmp_path, caplog
):
    forgotten(study, checkpoints=True)
    code, _, printed = tlsearch("export", study, "--out", tmp_path / "bundle", "--no-timed")
    assert code == 4
    assert "on the validation split, but the journal says" in printed
    assert caplog.text.count("does not record its pretrained weights") == 1
    assert not (tmp_path / "bundle").exists()


def test_a_search_that_confirms_ends_with_the_refusal(study):
    forgotten(study, checkpoints=False)
    ended = resume(study, settings=("confirm=1",))
    assert isinstance(ended.ended_by, WeightsError)
    assert "confirmation" not in ended.record().facts


def test_a_replay_refuses_them(study, tlsearch):
    code, _, printed = tlsearch("replay", study, 0)
    assert code == 3
    assert "strokes: its pretrained network is not the one" in printed
