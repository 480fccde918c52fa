"""The images of a search, and their splits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field, StringConstraints, field_validator, model_validator

from tlsearch.config.dimension import Frozen
from tlsearch.config.location import LocalPath
from tlsearch.config.spelling import one_of


@dataclass(frozen=True)
class Source:
    """A kind of data source; its listing function gets the values of `takes`, keys of `data`.

    The first of `takes` must be given; `needs` describes it.
    """

    kind: str
    lists: str  # module:function, imported where it is used
    takes: tuple[str, ...] = ()
    needs: str = ""


SOURCES = {
    row.kind: row
    for row in (
        Source(
            "folder",
            "tlsearch.data.kinds.folder:list_raw_folder",
            ("path",),
            "the folder that holds one folder per class",
        ),
        Source(
            "csv",
            "tlsearch.data.kinds.table:list_csv",
            ("path", "root"),
            "a file with the header path,label or path,label,split",
        ),
        Source(
            "cifar",
            "tlsearch.data.kinds.cifar:list_cifar",
            ("path",),
            "the unpacked folder cifar-10-batches-py or cifar-100-python",
        ),
        Source(
            "npz",
            "tlsearch.data.kinds.npz:list_npz",
            ("path",),
            "a NumPy file with the arrays images and labels",
        ),
        Source("tfds", "tlsearch.data.kinds.tfds:list_tfds", ("name",), "for example tf_flowers"),
        Source("digits", "tlsearch.data.kinds.digits:list_digits"),
    )
}


def _part(raw: object) -> object:
    share = isinstance(raw, float) and 0 < raw < 1
    count = isinstance(raw, int) and not isinstance(raw, bool) and raw > 0
    if share or count or raw == "rest":
        return raw
    raise ValueError(
        f"found {raw!r}, expected a share between 0 and 1, a number of images, or rest"
    )


Part = Annotated[float | int | Literal["rest"], BeforeValidator(_part)]


class Splits(Frozen):
    """The size of each split: a share, a number of images, or the rest.

    Data that names its splits, such as folders `train`, `valid` and `test`, keeps them; then only a
    missing validation or test split is cut from train, at these sizes.
    """

    train: Part = "rest"
    validation: Part = 0.15
    test: Part = 0.15

    @model_validator(mode="after")
    def _one_rest(self) -> "Splits":
        parts = (self.train, self.validation, self.test)
        if parts.count("rest") > 1:
            raise ValueError("only one split can be 'rest'")
        if sum(part for part in parts if isinstance(part, float)) > 1 + 1e-9:
            raise ValueError("the shares of train, validation and test add up to more than 1")
        return self


# Name of a split in a data set, in lower case -> its name here. Upper case is accepted too.
SPLIT_NAMES: dict[str, Literal["train", "validation", "test"]] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


def _split_name(raw: object) -> object:
    return SPLIT_NAMES.get(raw.lower(), raw) if isinstance(raw, str) else raw


SplitName = Annotated[Literal["train", "validation", "test"], BeforeValidator(_split_name)]
ClassName = Annotated[str, StringConstraints(min_length=1)]

# 1: a share takes the pictures in its part of [0, 1) alone; 16-bit pictures lose their lower byte.
# 2: a class that a share leaves nearly empty is filled; 16-bit pictures are scaled by their depth.
FIRST_RULES: Final = 1
LATEST_RULES: Final = 2


class Data(Frozen):
    """The images of a search, their class names and their splits.

    `kind` is a row of SOURCES. The paths of a CSV are relative to `root`, which is itself relative
    to the CSV's folder. `classes` maps the classes found, by name or shell-style pattern, to class
    names; with `strict_classes` it must map them all. `use` selects splits among those that the
    data names; `pool` merges the selected splits and splits their examples again. `unreadable`
    pictures are an error, or are left out before splitting. `rules` is the version of the rules by
    which pictures are split and scaled; a study keeps the version that it began with.
    """

    kind: Annotated[str, BeforeValidator(one_of(SOURCES, "kind of data"))] = "folder"
    path: LocalPath | None = None
    name: str | None = None
    root: LocalPath | None = None
    classes: Mapping[str, ClassName] | None = None
    strict_classes: bool = False
    use: Annotated[tuple[SplitName, ...], Field(min_length=1)] | None = None
    pool: bool = False
    image_px: Annotated[int, Field(ge=8, le=1024)] = 224
    splits: Splits = Splits()
    duplicates: Literal["drop", "keep", "error"] = "drop"
    unreadable: Literal["error", "skip"] = "error"
    rules: Literal[1, 2] = LATEST_RULES

    @field_validator("classes", mode="before")
    @classmethod
    def _numbers_name_classes(cls, raw: object) -> object:
        """Take numbers as class names: users write `7: 8` without quotes."""
        if not isinstance(raw, Mapping):
            return raw
        whole = {key for key, to in raw.items() if isinstance(to, int) and not isinstance(to, bool)}
        return {str(key): str(to) if key in whole else to for key, to in raw.items()}

    @model_validator(mode="after")
    def _check_location(self) -> "Data":
        row = SOURCES[self.kind]
        if row.takes and getattr(self, row.takes[0]) is None:
            raise ValueError(f"kind: {row.kind} needs {row.takes[0]} ({row.needs})")
        if self.root is not None and "root" not in row.takes:
            raise ValueError(
                f"kind: {row.kind} takes no root, which is the start of the paths in a CSV"
            )
        if self.strict_classes and self.classes is None:
            raise ValueError("strict_classes needs classes: it states that they are complete")
        return self
