"""The tables of `gpu.py`: images per second, searches, what failed, and the targets."""

from collections.abc import Iterator, Sequence
from typing import Any

from gpu_meter import Card
from machine import about
from measured import Row

STEP_TARGET, SEARCH_TARGET = 0.8, 5.0
PUBLISHED = (
    "NVIDIA's published figures for training ResNet50 on one A100: 938 images/s in TF32, 2,470 in "
    "mixed precision"
)

_NAMES = ("backbone", "precision", "jit", "work", "program")
Paces = dict[tuple[Any, ...], Row]


def print_tables(rows: Sequence[Row], gpu: Card | None) -> None:
    """Print the machine, both tables, what failed, and whether the targets are met."""
    machine = about()["machine"]
    print(f"{machine['processor']}, {machine['cores']} cores")
    print(f"{gpu.name}, {gpu.memory_mib} MiB, driver {gpu.driver}" if gpu else "no GPU")
    paces = {tuple(row[name] for name in _NAMES): row for row in rows if "work" in row}
    searches = [row for row in rows if "search" in row]
    if paces:
        _print_paces(paces)
    if searches:
        _print_searches(searches)
    for line in _failures(rows):
        print(line)
    for line in _targets(paces, searches):
        print(line if gpu else f"{line} (not judged without a GPU)")
    print(PUBLISHED)


def _print_paces(paces: Paces) -> None:
    print(
        f"{'backbone':18} {'precision':15} {'XLA':3} {'work':10} {'images/s':>9} {'by hand':>9} "
        f"{'ratio':>5} {'first s':>7} {'busy %':>6} {'peak MiB':>9} {'used MiB':>9}"
    )
    for key, row in paces.items():
        if row["program"] == "tlsearch" and "failed" not in row:
            hand = paces.get(_by_hand(key), {}).get("images_per_s")
            print(
                f"{row['backbone']:18} {row['precision']:15} {row['jit']:3} {row['work']:10} "
                f"{row['images_per_s']:9.1f} {_number(hand):>9} {_number(_ratio(paces, key), 2):>5}"
                f" {row['first_s']:7.1f} {_number(row['busy'], 0):>6} "
                f"{_number(row['peak_mib'], 0):>9} {_number(row['used_mib'], 0):>9}"
            )


def _by_hand(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the key of the same work by hand, which does not keep features."""
    return (*key[:3], "pass" if key[3] == "kept" else key[3], "by hand")


def _ratio(paces: Paces, key: tuple[Any, ...]) -> float | None:
    ours, hand = (paces.get(k, {}).get("images_per_s") for k in (key, _by_hand(key)))
    return ours / hand if ours and hand else None


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _print_searches(searches: Sequence[Row]) -> None:
    print(
        f"{'search':11} {'slots':>5} {'program':22} {'trials':>6} {'wall s':>7} {'a minute':>8} "
        f"{'steady':>7} {'busy %':>6} {'used MiB':>9} {'limit':>9}"
    )
    for row in searches:
        for program in row.get("programs", ()):
            trials = len(program["trials"])
            print(
                f"{row['search']:11} {row['slots']:5} {program['program']:22} {trials:6} "
                f"{program['wall_s']:7.1f} {60 * trials / program['wall_s']:8.1f} "
                f"{_number(program['steady']):>7} {_number(program['busy'], 0):>6} "
                f"{_number(program['used_mib'], 0):>9} {_number(row.get('limit_mib'), 0):>9}"
            )


def _failures(rows: Sequence[Row]) -> Iterator[str]:
    for row in rows:
        if "failed" in row:
            named = [str(row[name]) for name in (*_NAMES, "search", "slots") if name in row]
            yield f"failed: {' '.join(named)}: {row['failed']}"


def _targets(paces: Paces, searches: Sequence[Row]) -> Iterator[str]:
    """Yield each target, and whether it is met."""
    steps = {k: _ratio(paces, k) for k in paces if k[3:] == ("step", "tlsearch")}
    known = {key: ratio for key, ratio in steps.items() if ratio is not None}
    if known:
        worst = min(known, key=known.__getitem__)
        yield (
            f"whole step, target {STEP_TARGET:.0%} of the loop by hand: {known[worst]:.0%} at the "
            f"least ({' '.join(worst[:2])}, XLA {worst[2]}), {_met(known[worst], STEP_TARGET)}"
        )
    for row in searches:
        if row.get("ratio") is not None:
            yield (
                f"{row['search']} search, target {SEARCH_TARGET:g} times the program by hand: "
                f"{row['ratio']:.1f} times, {_met(row['ratio'], SEARCH_TARGET)}"
            )


def _met(value: float, target: float) -> str:
    return "met" if value >= target else "missed"
