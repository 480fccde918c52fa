"""The Python API: the same verbs as the command line, loaded on first use."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import tlsearch
from tlsearch.base import errors as base_errors
from tlsearch.cli.launch import plan_command, search_commands
from tlsearch.cli.models import model_commands
from tlsearch.cli.read import replay_command, study_commands

MODULES = (search_commands, study_commands, model_commands, plan_command, replay_command)
VERBS = {command.__name__ for module in MODULES for command in module.COMMANDS}


def test_every_command_but_pretrain_and_upload_is_a_verb():
    assert VERBS - {"pretrain", "upload"} <= set(tlsearch.__all__)


def test_no_verb_shares_the_name_of_a_subpackage():
    rooms = {path.stem for path in Path(tlsearch.__file__).parent.iterdir()}
    assert not rooms & set(tlsearch.__all__)


def test_importing_it_imports_nothing_heavy():
    code = "import tlsearch, sys; print({'numpy', 'pandas', 'optuna', 'ray'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_errors_are_a_module_of_the_package():
    from tlsearch.errors import ConfigError

    assert ConfigError is tlsearch.errors.ConfigError is base_errors.ConfigError


def test_the_version_is_that_of_the_installed_package():
    assert tlsearch.__version__ == metadata.version("tlsearch")
    assert "__version__" in dir(tlsearch)


def test_studies_are_named_by_text_by_path_or_by_themselves():
    path = Path(__file__).parent / "earlier_studies" / "finished"
    study = tlsearch.Study(path)
    table = tlsearch.report(study)
    assert table.equals(tlsearch.report(str(path)))
    places = [study, str(path), path]
    assert tlsearch.compare(places)["where"].tolist() == [str(path)] * 3
    assert list(study.curves()["epoch"]) == list(study.curves(study.winner().number)["epoch"])
    with pytest.raises(tlsearch.errors.RecordError, match="there is no trial 99"):
        study.curves(99)


def test_models_and_folders_are_named_by_text_too(tmp_path, picture):
    for name in ("cat", "dog"):
        picture(tmp_path / name / "0.png", seed=len(name))
    assert "median picture" in tlsearch.init(str(tmp_path))
    gone = str(tmp_path / "gone")
    for ask in (
        lambda: [*tlsearch.predict(gone, str(tmp_path))],
        lambda: tlsearch.evaluate(gone, str(tmp_path)),
        lambda: tlsearch.serve(gone),
    ):
        with pytest.raises(tlsearch.errors.RecordError, match="no such model file or bundle"):
            ask()
    with pytest.raises(tlsearch.errors.ConfigError, match="formats: unknown format 'onix'"):
        tlsearch.Study(Path(__file__).parent / "earlier_studies/finished").export(
            gone, formats="onix"
        )


@pytest.mark.parametrize("name", sorted(set(tlsearch.__all__) - {"predict"}))
def test_every_name_resolves(name):
    assert callable(getattr(tlsearch, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        _ = tlsearch.tune
