"""The cache commands: what they list, verify and free, and how they report mistakes."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tlsearch.cli.cache_commands import DEFAULT
from tlsearch.config.schema import SearchConfig
from tlsearch.features import Activation, FeatureKey, FeatureStore

Result = tuple[int, str, str]
ROWS = np.zeros((100, 50), np.float32)


@pytest.fixture
def invoke(invoke: Callable[..., Result]) -> Callable[..., Result]:
    """Run a cache command in this process and return its exit code, stdout and stderr."""
    return functools.partial(invoke, "cache")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return a cache of two features of 10 kB; the pooled one was used least recently."""
    store = FeatureStore(tmp_path, "float16")
    for age, cut in ((0, "pool"), (10**9, "out")):
        key = FeatureKey("k:MobileNetV2 ab", cut, "tf", 48, "float16", "i", view=2)
        asked = [Activation(key, (50,))]
        store.open_together(asked, 100, lambda _: lambda a, b: [ROWS[a:b]])
        os.utime(tmp_path / "features" / f"{key.name}.npy", (age, age))
    return tmp_path


def test_ls_says_what_is_there_and_how_large_it_is(
    invoke: Callable[..., Result], cache: Path
) -> None:
    code, out, err = invoke("ls", "--cache", cache)
    assert (code, err) == (0, "")
    head, _, first, second, *totals = out.splitlines()
    assert head.split() == ["kind", "what", "rows", "size", "made", "in", "last", "used"]
    assert first.split()[:9] == [
        "features",
        "MobileNetV2",
        "pool",
        "48",
        "px",
        "float16",
        "view",
        "2",
        "100",
    ]
    assert second.split()[2] == "out"
    assert totals == ["features: 20.3 kB in 2 arrays", f"{cache}: 20.3 kB"]


def test_ls_as_json(invoke: Callable[..., Result], cache: Path) -> None:
    found = json.loads(invoke("ls", "--cache", cache, "--format", "json")[1])
    assert (found["cache"], found["bytes"]) == (str(cache), 20256)
    assert [entry["key"]["cut"] for entry in found["entries"]] == ["pool", "out"]
    assert [entry["last_used"] for entry in found["entries"]] == [0, 10**9]
    assert {entry["rows"] for entry in found["entries"]} == {100}


def test_verify_removes_what_is_damaged_and_exits_with_4(
    invoke: Callable[..., Result], cache: Path
) -> None:
    sound = (0, "2 arrays read, 0 damaged and removed\n", "")
    assert invoke("verify", "--cache", cache) == sound
    path = next((cache / "features").glob("*.npy"))
    with path.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"x")
    code, out, _ = invoke("verify", "--cache", cache, "--format", "json")
    found = json.loads(out)
    assert (code, found["checked"], found["damaged"][0]["path"]) == (4, 2, str(path))
    assert found["damaged"][0]["fault"].startswith("checksum ")
    code, out, _ = invoke("verify", "--cache", cache)
    assert (code, out.splitlines()[0]) == (0, "1 array read, 0 damaged and removed")


def test_verify_says_what_it_removed_and_what_it_cannot_tell(
    invoke: Callable[..., Result], cache: Path
) -> None:
    first, second = sorted((cache / "features").glob("*.npy"))
    first.write_bytes(first.read_bytes()[:-1])
    second.with_suffix(".json").write_text("{")
    (cache / "features" / ("0" * 32 + ".lock")).touch()
    code, out, _ = invoke("verify", "--cache", cache)
    removed, read, unknown, stale = out.splitlines()
    assert code == 4
    assert removed.startswith(f"removed {first} (MobileNetV2 ")
    assert ": cannot be read (" in removed
    assert read == "2 arrays read, 1 damaged and removed"
    assert unknown == "1 can be opened, but have no recorded checksum"
    assert stale == "2 partial files and locks of dead processes removed"
    assert (first.exists(), second.exists()) == (False, True)


@pytest.mark.parametrize(
    ("options", "freed"),
    [
        (["--to", "0.00001"], 2),
        (["--to", "0.000011"], 1),
        (["--to", "1"], 0),
        (["--to", "0"], 2),
        (["--older", "365d"], 2),
        (["--older", "20000d"], 1),
        (["--all"], 2),
    ],
)
def test_prune_frees_the_least_recently_used_and_says_it(
    invoke: Callable[..., Result], cache: Path, options: list[str], freed: int
) -> None:
    code, out, _ = invoke("prune", "--cache", cache, *options)
    *removed, last = out.splitlines()
    cuts = ["pool", "out"][:freed]
    assert code == 0
    assert removed == [
        f"removed features: MobileNetV2 {cut} 48 px float16 view 2 (10.1 kB)" for cut in cuts
    ]
    sizes = {0: "0 B", 1: "10.1 kB", 2: "20.3 kB"}
    assert last == f"freed {sizes[freed]}, kept {sizes[2 - freed]} in {cache}"
    assert len(list((cache / "features").glob("*.npy"))) == 2 - freed


def test_prune_as_json(invoke: Callable[..., Result], cache: Path) -> None:
    found = json.loads(
        invoke("prune", "--cache", cache, "--older", "20000d", "--format", "json")[1]
    )
    assert [entry["key"]["cut"] for entry in found["freed"]] == ["pool"]
    assert (found["freed_bytes"], found["kept_bytes"]) == (10128, 10128)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["prune"], 2, "choose what to remove: --to GB, --older AGE or --all"),
        (
            ["prune", "--all", "--to", "1"],
            2,
            "choose what to remove: --to GB, --older AGE or --all",
        ),
        (
            ["prune", "--older", "soon"],
            2,
            "--older: found 'soon', expected an age as in 90m, 12h or 7d",
        ),
        (["prune", "--to", "inf"], 2, "--to: found inf, expected a number of GB"),
        (
            ["ls", "--cache", "gone"],
            3,
            "{here}/gone: no such folder; expected a cache folder, such as the `cache` of a search",
        ),
    ],
)
def test_a_mistake_is_a_message_and_an_exit_code(
    invoke: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert invoke(*arguments) == (code, "", f"error: {message.format(here=tmp_path)}\n")
    assert os.listdir() == []


def test_the_default_is_the_searches_and_need_not_be_there(
    invoke: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Path(DEFAULT) == SearchConfig.model_fields["cache"].default
    monkeypatch.setenv("HOME", str(tmp_path))
    assert invoke("ls")[:2] == (0, f"{tmp_path}/.cache/tlsearch: 0 B\n")
    assert os.listdir(tmp_path) == []


def test_the_commands_import_nothing_heavy(cache: Path) -> None:
    code = (
        "import sys\nfrom tlsearch.cli.main import main\nmain()\n"
        "sys.exit(str({'tensorflow', 'keras', 'ray', 'pandas', 'optuna'} & {*sys.modules} or ''))"
    )
    for command in (["ls"], ["verify"], ["prune", "--to", "1"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "cache", *command, "--cache", str(cache)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr.strip() == ""
