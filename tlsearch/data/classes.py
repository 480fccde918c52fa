"""The class of each example, renamed and merged as the user asks."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import yaml

from tlsearch.base.errors import DataError
from tlsearch.config.spelling import did_you_mean
from tlsearch.data.listing import Listing, Split
from tlsearch.data.mistakes import mistakes_error


def rename_classes(listing: Listing, names: Mapping[str, str], strict: bool = False) -> Listing:
    """The listing under new class names; classes that get the same name are merged.

    `names` maps the classes found, by name or shell-style pattern; a name takes precedence over
    patterns. Raises one DataError for all problems: a key that matches no class, a class that two
    patterns match and, if `strict`, a class that nothing matches.
    """
    claims = {found: _claims(found, names) for found in listing.classes}
    mistakes = [*_idle(names, listing.classes), *_unclear(claims, strict)]
    if mistakes:
        found = f"{listing.source}: found the classes {', '.join(listing.classes)}"
        raise mistakes_error([found, *mistakes])
    new = {found: names[keys[0]] if keys else found for found, keys in claims.items()}
    classes = tuple(sorted(set(new.values()))) if names else listing.classes
    labels = [classes.index(new[found]) for found in listing.classes]
    return replace(
        listing,
        classes=classes,
        examples=[replace(e, label=labels[e.label]) for e in listing.examples],
    )


def rename_as_in_training(listing: Listing, names: Mapping[str, str]) -> Listing:
    """Apply the class names of a first listing to a second one, such as images to evaluate on.

    Keys that match none of its classes are ignored. Classes that no key matches stay as they are,
    so they may have their new names already.
    """
    spoken = {key: name for key, name in names.items() if _matches(key, listing.classes)}
    return rename_classes(listing, spoken)


def suggest_names(listing: Listing) -> dict[str, str]:
    """The `names` for a listing whose splits seem to name a class differently; {} if none do."""
    return _same_class(_by_split(listing))


def _claims(found: str, names: Mapping[str, str]) -> list[str]:
    return [found] if found in names else [key for key in names if fnmatchcase(found, key)]


def _idle(names: Mapping[str, str], found: Sequence[str]) -> Iterable[str]:
    for key in names:
        if not _matches(key, found):
            yield f"data.classes: {key}: matches none of them, {did_you_mean(key, found)}"


def _matches(key: str, found: Sequence[str]) -> bool:
    return key in found or any(fnmatchcase(name, key) for name in found)


def _unclear(claims: Mapping[str, Sequence[str]], strict: bool) -> Iterable[str]:
    for found, keys in claims.items():
        if len(keys) > 1:
            yield f"data.classes: {found}: claimed by {' and by '.join(keys)}; keep one"
        if strict and not keys:
            yield f"data.classes: {found}: not in data.classes, and data.strict_classes is true"


def require_classes(listing: Listing, pooled: bool) -> None:
    """Raise DataError for fewer than two classes, or for splits that have different classes.

    For the latter the message says how to fix it, if possible by a mapping of names. If the splits
    are `pooled`, a class may be in only one of them, but not in several under different names.
    """
    if len(listing.classes) < 2:
        raise DataError(
            f"{listing.source}: found {len(listing.classes)} class "
            f"({', '.join(listing.classes)}), expected at least 2"
        )
    named = _by_split(listing)
    everything = set().union(*named.values())
    lacking = {split: sorted(everything - names) for split, names in named.items()}
    same = _same_class(named)
    if any(lacking.values()) and (same or not pooled):
        gaps = [f"{split} has no {', '.join(names)}" for split, names in lacking.items() if names]
        raise DataError(
            f"{listing.source}: the splits do not have the same classes: {'; '.join(gaps)}\n"
            f"{_advice(same)}"
        )


def _by_split(listing: Listing) -> dict[Split, set[str]]:
    named: dict[Split, set[str]] = defaultdict(set)
    for example in listing.examples:
        if example.split is not None:
            named[example.split].add(listing.classes[example.label])
    return {split: named[split] for split in sorted(named)}


def _same_class(named: Mapping[Split, set[str]]) -> dict[str, str]:
    """Class that only some splits have -> the short form of it in other splits, if there is one."""
    everywhere = set.intersection(*named.values()) if named else set()
    odd = sorted(set().union(*named.values()) - everywhere, key=lambda name: (len(name), name))
    found: dict[str, str] = {}
    for index, long in enumerate(odd):
        short = [
            name
            for name in odd[:index]
            if _letters(long).startswith(_letters(name))
            and not any({name, long} <= names for names in named.values())
        ]
        if short:
            found[long] = short[-1]
    return found


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold()


def _advice(same: Mapping[str, str]) -> str:
    if not same:
        return (
            "where one class has two names, map one to the other in data.classes; data.use leaves "
            "a split out, data.pool: true splits all pictures anew"
        )
    classes = {"data": {"classes": dict(sorted(same.items()))}}
    snippet = yaml.safe_dump(classes, allow_unicode=True, width=1000).rstrip()
    return f"if these are one class under two names, say so in the search space:\n{snippet}"
