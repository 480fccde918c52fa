"""Renaming classes by name or by pattern, with all mistakes of the map reported at once."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tlsearch.base.errors import DataError
from tlsearch.config.dataset import Data
from tlsearch.config.load import dump, from_mapping, parse
from tlsearch.data.classes import rename_as_in_training, rename_classes, require_classes
from tlsearch.data.listing import Example, Listing
from tlsearch.data.sources import list_source

ImageFolder = Callable[[dict[str, int]], Path]
LONG = ("adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib", "large cell_IIIa", "normal")
SHORT = ("adenocarcinoma", "large.cell", "normal")
KAGGLE = {f"{s}/{c}": 2 for s in ("Train", "Valid") for c in LONG} | {f"Test/{c}": 2 for c in SHORT}


def listing_of(*classes: str) -> Listing:
    examples = [Example(f"{place}", place) for place in range(len(classes))]
    return Listing("pets", classes, examples, lambda: iter(()))


def shown(listing: Listing) -> list[str]:
    return [listing.classes[example.label] for example in listing.examples]


def refusal(names: dict[str, str], strict: bool = False) -> list[str]:
    with pytest.raises(DataError) as refused:
        rename_classes(listing_of("cat", "dog", "dog [old]", "wolf"), names, strict)
    return str(refused.value).splitlines()


def test_names_and_patterns_rename_and_merge_and_the_rest_keeps_its_name() -> None:
    found = rename_classes(
        listing_of("cat", "dog", "dog_old", "wolf"), {"dog*": "hound", "cat": "feline"}
    )
    assert found.classes == ("feline", "hound", "wolf")
    assert shown(found) == ["feline", "hound", "hound", "wolf"]


def test_a_name_goes_before_a_pattern_and_may_hold_brackets() -> None:
    found = rename_classes(
        listing_of("cat", "dog [old]", "wolf"), {"dog [old]": "dog", "*": "other"}
    )
    assert shown(found) == ["other", "dog", "other"]


def test_names_that_another_listing_lacks_are_let_be() -> None:
    names = {"dog*": "hound", "cat": "feline"}
    assert rename_as_in_training(listing_of("dog_old", "wolf"), names).classes == ("hound", "wolf")
    assert rename_as_in_training(listing_of("hound", "wolf"), names).classes == ("hound", "wolf")


@given(st.lists(st.text("abc", min_size=1, max_size=2), min_size=2, unique=True), st.data())
def test_every_example_shows_what_its_class_was_mapped_to(
    classes: list[str], data: st.DataObject
) -> None:
    names = data.draw(st.dictionaries(st.sampled_from(classes), st.text("abx", min_size=1)))
    before = listing_of(*sorted(classes))
    after = rename_classes(before, names)
    assert shown(after) == [names.get(name, name) for name in shown(before)]
    assert set(after.classes) == set(shown(after))


def test_all_mistakes_of_a_map_are_told_at_once_with_what_was_found() -> None:
    assert refusal({"cta": "cat", "dog*": "dog", "*old*": "old", "x?": "y"}, strict=True) == [
        "pets: found the classes cat, dog, dog [old], wolf",
        "data.classes: cta: matches none of them, did you mean 'cat'?",
        "data.classes: x?: matches none of them, known: cat, dog, dog [old], wolf",
        "data.classes: cat: not in data.classes, and data.strict_classes is true",
        "data.classes: dog [old]: claimed by dog* and by *old*; keep one",
        "data.classes: wolf: not in data.classes, and data.strict_classes is true",
    ]


def test_one_class_is_none() -> None:
    with pytest.raises(DataError) as refused:
        require_classes(rename_classes(listing_of("cat", "dog"), {"*": "pet"}), pooled=False)
    assert str(refused.value) == "pets: found 1 class (pet), expected at least 2"


def test_the_map_that_a_message_suggests_is_the_one_that_mends_it(
    image_folder: ImageFolder,
) -> None:
    root = image_folder(KAGGLE)
    with pytest.raises(DataError) as refused:
        list_source(Data(path=root))
    printed, _, snippet = str(refused.value).partition(
        "\nif these are one class under two names, say so in the search space:\n"
    )
    assert "test has no adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib, " in printed
    assert snippet == (
        "data:\n"
        "  classes:\n"
        "    adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib: adenocarcinoma\n"
        "    large cell_IIIa: large.cell"
    )
    config = parse(snippet, settings=[f"data.path={root}"])
    listing = list_source(config.data)
    assert listing.classes == SHORT
    assert shown(listing) == [c for c in SHORT for _ in range(2)] * 3


def test_odd_names_come_out_of_the_message_as_they_go_into_a_file(
    image_folder: ImageFolder,
) -> None:
    root = image_folder({"train/no": 1, "train/1: cat": 1, "test/No.": 1, "test/1:Cat (big)": 1})
    with pytest.raises(DataError) as refused:
        list_source(Data(path=root))
    snippet = "data:" + str(refused.value).partition("\ndata:")[2]
    data = parse(snippet, settings=[f"data.path={root}"]).data
    assert data.classes == {"1:Cat (big)": "1: cat", "No.": "no"}
    assert list_source(data).classes == ("1: cat", "no")


def test_two_classes_of_one_split_are_never_suggested_to_be_one(
    image_folder: ImageFolder,
) -> None:
    root = image_folder({"train/cat": 1, "train/owl": 1, "train/owl_big": 1, "test/cat": 1})
    with pytest.raises(DataError, match="\\nwhere one class has two names") as refused:
        list_source(Data(path=root))
    assert "owl_big: owl" not in str(refused.value)


def test_pooling_allows_a_class_of_one_split_but_not_one_under_two_names(
    image_folder: ImageFolder,
) -> None:
    root = image_folder({"train/cat": 2, "train/dog": 2, "test/cat": 2, "test/owl": 2})
    assert list_source(Data(path=root, pool=True)).classes == ("cat", "dog", "owl")
    for folder, name in (("train/dog", "train/owl_big"), ("test/owl", "test/owl")):
        (root / folder).rename(root / name)
    with pytest.raises(DataError, match="\n    owl_big: owl"):
        list_source(Data(path=root, pool=True))
    assert list_source(Data(path=root, pool=True, classes={"owl_big": "owl_big"})).classes == (
        "cat",
        "owl",
        "owl_big",
    )


def test_a_map_survives_the_study_file() -> None:
    data = {"kind": "digits", "classes": {"1": "one", "adeno*": "x"}, "use": ["val"]}
    config = from_mapping({"data": data})
    assert config.data.classes == {"1": "one", "adeno*": "x"}
    assert parse(dump(config)) == config


def test_classes_that_are_numbers_need_no_quotes() -> None:
    data = parse("data: {kind: digits, classes: {7: 1, 8: eight}}").data
    assert data.classes == {"7": "1", "8": "eight"}
