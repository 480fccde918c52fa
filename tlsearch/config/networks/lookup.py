"""The row of a backbone, by whatever name a search space gives it."""

from tlsearch.base.errors import ConfigError
from tlsearch.config.catalog import BACKBONES, Backbone
from tlsearch.config.spelling import one_of


def row_of(name: str) -> Backbone:
    """The row of a backbone; ConfigError, with the nearest name, where there is none."""
    row = known_row(name)
    if row is None:
        raise ConfigError([one_of(BACKBONES, "backbone").why(name)])
    return row


def known_row(name: str) -> Backbone | None:
    """The row of a backbone, None where there is none: a record may name one of another version."""
    return BACKBONES.get(name)


def checked_name(name: str) -> str:
    """A pydantic validator: the name itself; ValueError where no backbone has it."""
    try:
        row_of(name)
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return name
