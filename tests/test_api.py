"""The Python API: the same verbs as the command line, loaded when they are used."""

import subprocess
import sys
from pathlib import Path

import pytest

import tlsearch
from tlsearch.cli.launch import search_commands
from tlsearch.cli.models import model_commands
from tlsearch.cli.read import study_commands

MODULES = (search_commands, study_commands, model_commands)
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


@pytest.mark.parametrize("name", sorted(set(tlsearch.__all__) - {"predict"}))
def test_every_name_resolves(name):
    assert callable(getattr(tlsearch, name))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'tune'"):
        _ = tlsearch.tune
