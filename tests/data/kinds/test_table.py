"""A CSV of images: read as spreadsheets write it, with every mistake reported by its line."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tlsearch.base.errors import DataError
from tlsearch.data.kinds.table import list_csv

Picture = Callable[..., None]


@pytest.fixture
def pictures(tmp_path: Path, picture: Picture) -> Path:
    for number in range(4):
        picture(tmp_path / f"scans/{number}.png", seed=number)
    picture(tmp_path / 'scans/a, "b".png', seed=9)
    return tmp_path


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def wrong(path: Path) -> list[str]:
    with pytest.raises(DataError) as refused:
        list_csv(path)
    return [line.replace(str(path.parent), "") for line in str(refused.value).splitlines()]


ROWS = [
    ("scans/0.png", "cat", "train"),
    ("scans/1.png", "dog", "Valid"),
    ("scans/2.png", "dog, old", "TEST"),
    ('scans/a, "b".png', "cat", ""),
]
EXPECTED = [
    ("scans/0.png", "cat", "train"),
    ("scans/1.png", "dog", "validation"),
    ("scans/2.png", "dog, old", "test"),
    ('scans/a, "b".png', "cat", None),
]


def quoted(field: str) -> str:
    return '"' + field.replace('"', '""') + '"'


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_is_read_however_a_spreadsheet_writes_it(
    pictures: Path, separator: str, encoding: str, end: str
) -> None:
    lines = [separator.join(("Path", "label ", "Split"))]
    lines += [separator.join(map(quoted, row)) for row in ROWS]
    listing = list_csv(table(pictures, end.join([*lines, "", ""]), encoding))
    assert listing.classes == ("cat", "dog", "dog, old")
    assert [(e.key, listing.classes[e.label], e.split) for e in listing.examples] == EXPECTED
    assert list(listing.pictures()) == [pictures / key for key, _, _ in EXPECTED]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(ROWS))
def test_the_order_of_the_rows_is_nothing(pictures: Path, rows: list[tuple[str, ...]]) -> None:
    text = "\n".join(["path,label,split", *(",".join(map(quoted, row)) for row in rows)])
    listing = list_csv(table(pictures, text))
    assert [(e.key, listing.classes[e.label], e.split) for e in listing.examples] == EXPECTED


def test_columns_may_stand_in_any_order_beside_others(pictures: Path) -> None:
    listing = list_csv(table(pictures, "age,label,path\n7,cat,scans/0.png\n8,dog,scans\\1.png"))
    assert [(e.key, e.label) for e in listing.examples] == [("scans/0.png", 0), ("scans/1.png", 1)]


@pytest.mark.parametrize("absolute", [False, True])
def test_paths_may_start_from_a_root(pictures: Path, absolute: bool) -> None:
    root = pictures / "scans" if absolute else Path("../scans")
    (pictures / "labels").mkdir()
    path = table(pictures / "labels", "path,label\n0.png,cat\n./1.png,dog\n")
    assert [example.key for example in list_csv(path, root).examples] == ["0.png", "1.png"]


def test_a_whole_path_is_a_key_that_moves_with_the_pictures(pictures: Path) -> None:
    text = f"path,label\n{pictures}/scans/0.png,cat\nscans/1.png,dog\n"
    keys = [example.key for example in list_csv(table(pictures, text)).examples]
    assert keys == ["scans/0.png", "scans/1.png"]


def test_a_row_written_twice_counts_once(pictures: Path) -> None:
    text = "path,label\nscans/0.png,cat\nscans/1.png,dog\nscans/../scans/0.png,cat\n"
    assert len(list_csv(table(pictures, text)).examples) == 2


def test_all_mistakes_are_told_at_once_by_their_lines(
    pictures: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = (
        "path,label,split\n"
        "scans/0.png,cat,train\n"
        "scans/7.png,cat,trian\n"
        'scans/1.png,"",test\n'
        ",dog,test\n"
        'scans/2.png,"dog\nold",test\n'
        "scans/0.png,dog,train\n"
        "scans/0.png,cat,test\n"
        "scans/3.png,dog\n"
    )
    with caplog.at_level(logging.DEBUG):
        assert wrong(table(pictures, text)) == [
            "/labels.csv:3: /scans/7.png: no such file",
            "/labels.csv:3: unknown split 'trian', did you mean 'train'?",
            "/labels.csv:4: an empty label",
            "/labels.csv:5: an empty path",
            "/labels.csv:8: scans/0.png: another label than in line 2",
            "/labels.csv:9: scans/0.png: another split than in line 2",
            "/labels.csv:10: found 2 fields, expected 3",
        ]
    assert caplog.messages == []


def test_of_very_many_mistakes_twenty_are_shown(tmp_path: Path) -> None:
    rows = [f"{number}.png,cat" for number in range(50)]
    lines = wrong(table(tmp_path, "\n".join(["path,label", *rows])))
    assert lines[0] == "/labels.csv:2: /0.png: no such file"
    assert (len(lines), lines[-1]) == (21, "... and 30 more")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "/labels.csv:1: found the columns nothing; expected path, label[, split]"),
        (
            "scans/0.png,cat\n",
            "/labels.csv:1: found the columns scans/0.png, cat; expected path, label[, split]",
        ),
        ("path,label\n", "/labels.csv: no rows below the header"),
        ("path,path,label\n", "/labels.csv:1: the column path appears twice"),
    ],
)
def test_what_is_no_such_table_says_why(tmp_path: Path, text: str, problem: str) -> None:
    assert wrong(table(tmp_path, text)) == [problem]


def test_a_table_in_another_encoding_says_so(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\ncafé.png,cat\n", "latin-1")
    assert wrong(path)[0].startswith("/labels.csv: cannot be read as a UTF-8 table ('utf-8' codec")


def test_a_root_that_is_not_there_says_so(pictures: Path) -> None:
    path = table(pictures, "path,label\n0.png,cat\n")
    with pytest.raises(DataError, match="/nowhere: no such folder; expected a folder that holds"):
        list_csv(path, Path("nowhere"))
