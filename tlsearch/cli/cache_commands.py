"""Commands that list, verify and prune the cache."""

import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tlsearch.cli.options import require_local_path
from tlsearch.cli.output import print_answer, print_line

if TYPE_CHECKING:
    from tlsearch.store.caches import CacheEntry

app = typer.Typer(
    name="cache",
    help="See, check and empty the cache of features and decoded images.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

DEFAULT = "~/.cache/tlsearch"  # a test compares it with the schema, which is slow to import
Cache = Annotated[
    Path,
    typer.Option("--cache", metavar="DIR", callback=require_local_path, help="The cache folder."),
]
Format = Annotated[Literal["table", "json"], typer.Option("--format", help="The output format.")]
MOST_GB = 1e9  # the upper limit of `cache_gb`
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@app.command()
def ls(cache: Cache = Path(DEFAULT), format: Format = "table") -> None:
    """List the arrays in the cache, least recently used first."""
    from tlsearch.store.caches import cache_entries

    cache = _folder(cache)
    found = cache_entries(cache)
    if format == "json":
        _print_json(cache=str(cache), entries=_rows(found), bytes=_total(found))
        return
    from tlsearch.cli.tables import print_table

    if found:
        columns = ["kind", "what", "rows", "size", "made in", "last used"]
        print_table(columns, [_cells(one) for one in found], ["made in", "kind"])
    for kind, part in _by_kind(found).items():
        print_line(f"{kind}: {_size(_total(part))} in {len(part)} {_arrays(part)}")
    print_line(f"{cache}: {_size(_total(found))}")


@app.command()
def verify(cache: Cache = Path(DEFAULT), format: Format = "table") -> None:
    """Read every array, compare checksums and remove damaged arrays; exits with 4 if there are any.

    Also removes partial files and locks that dead processes left. A removed array is computed again
    when a search needs it.
    """
    from tlsearch.base.errors import RecordError
    from tlsearch.store.caches import cache_entries, entry_problem, remove_faulty, remove_leftovers

    cache = _folder(cache)
    found, damaged = cache_entries(cache), []
    for one in found:
        wrong = entry_problem(one.entry)
        if wrong:
            damaged.append({"path": str(one.entry.path), "what": one.description, "fault": wrong})
            remove_faulty(one.entry)
    stale = [str(path) for path in remove_leftovers(cache)]
    unknown = sum(one.entry.about is None for one in found)
    if format == "json":
        _print_json(checked=len(found), unknown=unknown, damaged=damaged, stale=stale)
    else:
        for record in damaged:
            print_line(f"removed {record['path']} ({record['what']}): {record['fault']}")
        print_line(f"{len(found)} {_arrays(found)} read, {len(damaged)} damaged and removed")
        if unknown:
            print_line(f"{unknown} can be opened, but have no recorded checksum")
        if stale:
            print_line(f"{len(stale)} partial files and locks of dead processes removed")
    raise typer.Exit(RecordError.exit_code if damaged else 0)


@app.command()
def prune(
    cache: Cache = Path(DEFAULT),
    to: Annotated[
        float | None, typer.Option(metavar="GB", min=0, help="The size to shrink the cache to.")
    ] = None,
    older: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Remove entries unused for this long: 12h, 7d."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove everything that no process uses.")
    ] = False,
    format: Format = "table",
) -> None:
    """Remove arrays: the least recently used, those unused for a time, or all.

    Arrays that are being written or in use stay.
    """
    from tlsearch.store.caches import cache_entries, evict, paths_in_use, remove_leftovers, to_prune

    older_s = _limits(to, older, everything)
    cache = _folder(cache)
    every = cache_entries(cache)
    to_bytes = None if to is None else int(to * 1e9)
    going = to_prune(every, to_bytes, older_s, paths_in_use(one.entry.path for one in every))
    freed = [one for one in going if evict(one.entry)]
    stale = [str(path) for path in remove_leftovers(cache)] if everything else []
    kept = _total(every) - _total(freed)
    if format == "json":
        _print_json(freed=_rows(freed), freed_bytes=_total(freed), kept_bytes=kept, stale=stale)
        return
    for one in freed:
        print_line(f"removed {one.kind}: {one.description} ({_size(one.entry.bytes)})")
    print_line(f"freed {_size(_total(freed))}, kept {_size(kept)} in {cache}")


def _limits(to: float | None, older: str | None, everything: bool) -> float | None:
    """Return --older in seconds, None without it; raises ConfigError unless one option is given."""
    from tlsearch.base.errors import ConfigError

    if (to is not None) + (older is not None) + everything != 1:
        raise ConfigError(["choose what to remove: --to GB, --older AGE or --all"])
    if to is not None and not to <= MOST_GB:
        raise ConfigError([f"--to: found {to}, expected a number of GB"])
    if older is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", older)
    if match is None:
        raise ConfigError([f"--older: found {older!r}, expected an age as in 90m, 12h or 7d"])
    return float(match[1]) * _UNITS[match[2]]


def _folder(cache: Path) -> Path:
    """Return the absolute cache folder; raises DataError if it is missing and not the default."""
    from tlsearch.base.errors import DataError
    from tlsearch.base.files import absolute_path

    path = absolute_path(cache)
    if str(cache) != DEFAULT and not path.is_dir():
        raise DataError(
            f"{path}: no such folder; expected a cache folder, such as the `cache` of a search"
        )
    return path


def _rows(found: "Sequence[CacheEntry]") -> list[dict[str, object]]:
    return [
        {
            "kind": one.kind,
            "what": one.description,
            "path": str(one.entry.path),
            "rows": None if one.entry.about is None else one.entry.about.shape[0],
            "bytes": one.entry.bytes,
            "last_used": one.entry.last_used,
            "seconds": None if one.entry.about is None else one.entry.about.seconds,
            "key": None if one.entry.about is None else dict(one.entry.about.what),
        }
        for one in found
    ]


def _cells(one: "CacheEntry") -> list[str]:
    about, used = one.entry.about, time.localtime(one.entry.last_used)
    return [
        one.kind,
        one.description,
        "-" if about is None else str(about.shape[0]),
        _size(one.entry.bytes),
        "-" if about is None else f"{about.seconds:.1f} s",
        time.strftime("%Y-%m-%d %H:%M", used),
    ]


def _by_kind(found: "Sequence[CacheEntry]") -> "dict[str, list[CacheEntry]]":
    kinds = dict.fromkeys(one.kind for one in found)
    return {kind: [one for one in found if one.kind == kind] for kind in sorted(kinds)}


def _total(found: "Sequence[CacheEntry]") -> int:
    return sum(one.entry.bytes for one in found)


def _arrays(found: "Sequence[CacheEntry]") -> str:
    return "array" if len(found) == 1 else "arrays"


def _size(count: int) -> str:
    """Format bytes for people; 1 GB is 10^9, as in `cache_gb`."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _print_json(**values: object) -> None:
    print_answer(json.dumps(values, indent=2) + "\n")
