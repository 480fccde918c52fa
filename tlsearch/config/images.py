"""Which images a search is on, and how they are split."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from tlsearch.config.dimension import Frozen


def _part(raw: Any) -> Any:
    share = isinstance(raw, float) and 0 < raw < 1
    count = isinstance(raw, int) and not isinstance(raw, bool) and raw > 0
    if share or count or raw == "rest":
        return raw
    raise ValueError(
        f"found {raw!r}, expected a share between 0 and 1, a number of images, or rest"
    )


Part = Annotated[float | int | Literal["rest"], BeforeValidator(_part)]


class Splits(Frozen):
    """How large each split is: a share, a number of images, or the rest.

    Folders that name their splits (`train`, `valid`, `test`) keep them; then only a missing
    validation or test split is cut from train, as these values say.
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


class Data(Frozen):
    """Which images: a folder `path/<class>/*`, a TFDS data set by name, or the digits."""

    kind: Literal["folder", "tfds", "digits"] = "folder"
    path: Path | None = None
    name: str | None = None
    image_px: Annotated[int, Field(ge=8, le=1024)] = 224
    splits: Splits = Splits()
    duplicates: Literal["drop", "keep", "error"] = "drop"

    @model_validator(mode="after")
    def _located(self) -> "Data":
        if self.kind == "folder" and self.path is None:
            raise ValueError("kind: folder needs path (the folder that holds a folder a class)")
        if self.kind == "tfds" and self.name is None:
            raise ValueError("kind: tfds needs name (for example tf_flowers)")
        return self
